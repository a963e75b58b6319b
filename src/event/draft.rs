//! One event while it is read: cells filled in by a decoder, then checked and completed.
//!
//! In: cells by column, from JSON or from a mapping. Out: a draft that is fit to store, or the reason why not.
//! Invariant: after [`Draft::check`] every required column is there, every word is known and every default is
//! filled in, whatever the input format was. Pure: the present comes in as a parameter.

use std::borrow::Cow;

use super::columns::{COLUMNS, Column, ENGINE_EVENT_TYPES, ENGINE_SOURCE, Kind, SUPPLIED};
use super::parse::{self, Reason};
use crate::clock::{HOUR, Micros};
use crate::limits::{FUTURE_HOURS, ID_BYTES, RECORD_BYTES};

/// One entry of `inputs`: a cell of a record that was read; without `field` the whole record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// System of record.
    pub system: Option<String>,
    /// Type of the record.
    pub record_type: Option<String>,
    /// Id of the record.
    pub record_id: Option<String>,
    /// Field, if one.
    pub field: Option<String>,
}

/// The value of one column of a draft.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Cell<'a> {
    /// Not supplied.
    #[default]
    Absent,
    /// Text of any kind.
    Text(Cow<'a, str>),
    /// An integer of any width.
    Integer(i64),
    /// A ratio.
    Ratio(f64),
    /// Hundredths.
    Amount(i64),
    /// Microseconds.
    Instant(Micros),
    /// What was read.
    Inputs(Vec<Input>),
}

/// An event before it has a place in the ledger.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    cells: [Cell<'a>; SUPPLIED],
}

impl Default for Draft<'_> {
    fn default() -> Self {
        Self { cells: [const { Cell::Absent }; SUPPLIED] }
    }
}

impl<'a> Draft<'a> {
    /// The value of `column`.
    pub fn cell(&self, column: Column) -> &Cell<'a> {
        &self.cells[column as usize]
    }

    /// All values in column order.
    pub fn cells(&self) -> &[Cell<'a>; SUPPLIED] {
        &self.cells
    }

    /// Sets a typed value.
    pub fn set(&mut self, column: Column, cell: Cell<'a>) {
        self.cells[column as usize] = cell;
    }

    /// Sets text, as it is; for events that the engine itself writes.
    pub fn set_text(&mut self, column: Column, text: impl Into<Cow<'a, str>>) {
        self.set(column, Cell::Text(text.into()));
    }

    /// The text of `column`, if it holds text.
    pub fn text(&self, column: Column) -> Option<&str> {
        match self.cell(column) {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads `text` as the value of `column`; the empty string is absent, except in old and new value.
    ///
    /// # Errors
    /// When the text is not of the column's kind.
    pub fn read(&mut self, column: Column, text: Cow<'a, str>) -> Result<(), Reason> {
        let keeps_empty = matches!(column, Column::OldValue | Column::NewValue);
        if text.is_empty() && !keeps_empty {
            return Ok(());
        }
        let cell = match column.spec().kind {
            Kind::Text | Kind::Id | Kind::Key | Kind::Word(_) => Ok(Cell::Text(text)),
            Kind::Instant => parse::instant(&text).map(Cell::Instant),
            Kind::Int64 => parse::integer(&text, i64::MIN, i64::MAX).map(Cell::Integer),
            Kind::Int32 => parse::integer(&text, 1, i64::from(i32::MAX)).map(Cell::Integer),
            Kind::Int8 => parse::integer(&text, 1, 5).map(Cell::Integer),
            Kind::Amount => parse::amount(&text).map(Cell::Amount),
            Kind::Ratio => parse::ratio(&text).map(Cell::Ratio),
            Kind::Inputs | Kind::Bytes => Err("is no text column".into()),
        };
        self.set(column, cell.map_err(|why| format!("`{}` {why}", column.name()))?);
        Ok(())
    }

    /// Fills in the defaults, then checks everything that a single event can be checked for.
    ///
    /// # Errors
    /// The first thing wrong, naming the column.
    pub fn check(&mut self, now: Micros) -> Result<(), Reason> {
        self.fill_defaults();
        self.check_required()?;
        self.check_text()?;
        self.check_time(now)
    }

    fn fill_defaults(&mut self) {
        if *self.cell(Column::Environment) == Cell::Absent {
            self.set_text(Column::Environment, "production");
        }
        let event_type = self.text(Column::EventType).unwrap_or_default();
        if event_type == "action.executed" && *self.cell(Column::Attempt) == Cell::Absent {
            self.set(Column::Attempt, Cell::Integer(1));
        } else if event_type == "action.decided"
            && self.text(Column::ActorKind) == Some("human")
            && *self.cell(Column::Reviewer) == Cell::Absent
        {
            self.set(Column::Reviewer, self.cell(Column::ActorId).clone());
        }
    }

    fn check_required(&self) -> Result<(), Reason> {
        self.require(&[Column::EventId, Column::Source, Column::EventType, Column::OccurredAt], "every event")?;
        if self.text(Column::Source) == Some(ENGINE_SOURCE) {
            return Err(format!("`source` `{ENGINE_SOURCE}` is the engine's own; name the producer of the event"));
        }
        let event_type = self.text(Column::EventType).unwrap_or_default();
        if ENGINE_EVENT_TYPES.contains(&event_type) {
            return Err(format!("`event_type` {event_type} is written by the engine only"));
        }
        if event_type.starts_with("action.") {
            self.require(&[Column::Workflow, Column::ActionId], event_type)?;
        }
        if event_type.starts_with("record.") {
            let key = [Column::Workflow, Column::System, Column::RecordType, Column::RecordId];
            self.require(&key, event_type)?;
        }
        if matches!(event_type, "action.executed" | "action.rolled_back") {
            self.require(&[Column::Outcome], event_type)?;
        }
        Ok(())
    }

    fn require(&self, columns: &[Column], by: &str) -> Result<(), Reason> {
        match columns.iter().find(|c| *self.cell(**c) == Cell::Absent) {
            Some(missing) => Err(format!("`{}` is missing; {} needs it", missing.name(), known_or(by))),
            None => Ok(()),
        }
    }

    fn check_text(&self) -> Result<(), Reason> {
        let mut total = 0;
        for (spec, cell) in COLUMNS.iter().zip(&self.cells) {
            let Cell::Text(text) = cell else { continue };
            total += text.len();
            let is_id = matches!(spec.kind, Kind::Id | Kind::Key);
            if let Kind::Word(words) = spec.kind
                && !words.contains(&text.as_ref())
            {
                return Err(format!("`{}` is none of: {}", spec.name, words.join(", ")));
            }
            if is_id && has_control(text) {
                return Err(format!("`{}` holds a control character", spec.name));
            }
            if spec.kind == Kind::Key && text.len() > ID_BYTES {
                return Err(format!("`{}` has {} bytes, the limit is {ID_BYTES}", spec.name, text.len()));
            }
        }
        if total > RECORD_BYTES {
            return Err(format!("the record holds {total} bytes of text, the limit is {RECORD_BYTES}"));
        }
        let is_currency = |text: &str| text.len() == 3 && text.bytes().all(|c| c.is_ascii_uppercase());
        match self.text(Column::Currency) {
            Some(text) if !is_currency(text) => Err("`currency` is no ISO 4217 code of three capitals".into()),
            _ => Ok(()),
        }
    }

    fn check_time(&self, now: Micros) -> Result<(), Reason> {
        for column in [Column::OccurredAt, Column::ReviewOpenedAt] {
            if let Cell::Instant(at) = self.cell(column)
                && *at > now + FUTURE_HOURS * HOUR
            {
                return Err(format!("`{}` is more than {FUTURE_HOURS} hours ahead of the clock", column.name()));
            }
        }
        Ok(())
    }
}

fn has_control(text: &str) -> bool {
    let is_suspect = |byte: u8| !(0x20..0x7f).contains(&byte);
    text.bytes().any(is_suspect) && text.chars().any(char::is_control)
}

/// Event types are echoed in messages only where they are of the closed list: input is content.
fn known_or(by: &str) -> &str {
    let Kind::Word(known) = Column::EventType.spec().kind else { return by };
    if known.contains(&by) || by == "every event" { by } else { "an event of that type" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 1_772_355_600_000_000;

    fn executed() -> Draft<'static> {
        let mut draft = Draft::default();
        for (column, text) in [
            (Column::EventId, "e1"),
            (Column::Source, "test"),
            (Column::EventType, "action.executed"),
            (Column::OccurredAt, "2026-03-01T09:00:00Z"),
            (Column::Workflow, "w"),
            (Column::ActionId, "a1"),
            (Column::Outcome, "succeeded"),
        ] {
            draft.read(column, text.into()).unwrap();
        }
        draft
    }

    #[test]
    fn defaults_are_filled_in_before_the_check() {
        let mut draft = executed();
        draft.check(NOW).unwrap();
        assert_eq!(draft.text(Column::Environment), Some("production"));
        assert_eq!(*draft.cell(Column::Attempt), Cell::Integer(1));
        let mut decided = executed();
        decided.set_text(Column::EventType, "action.decided");
        decided.set_text(Column::ActorKind, "human");
        decided.set_text(Column::ActorId, "reviewer-7");
        decided.check(NOW).unwrap();
        assert_eq!(decided.text(Column::Reviewer), Some("reviewer-7"));
        assert_eq!(*decided.cell(Column::Attempt), Cell::Absent);
    }

    #[test]
    fn each_fault_of_a_draft_is_named_by_its_column() {
        let long = "x".repeat(257);
        for (column, text, expected) in [
            (Column::EventType, "action.exploded", "`event_type` is none of"),
            (Column::EventType, "evidence.erased", "written by the engine only"),
            (Column::Outcome, "fine", "`outcome` is none of"),
            (Column::EventId, "a\u{85}b", "`event_id` holds a control character"),
            (Column::RecordId, "a\nb", "`record_id` holds a control character"),
            (Column::Source, long.as_str(), "`source` has 257 bytes, the limit is 256"),
            (Column::Currency, "eur", "`currency` is no ISO 4217"),
            (Column::OccurredAt, "2026-03-02T09:00:00.000001Z", "more than 24 hours ahead"),
            (Column::OccurredAt, "9999-03-02T09:00:00Z", "more than 24 hours ahead"),
        ] {
            let mut draft = executed();
            draft.read(column, text.to_owned().into()).unwrap();
            let reason = draft.check(NOW).unwrap_err();
            assert!(reason.contains(expected), "{}: {reason}", column.name());
        }
    }

    #[test]
    fn what_an_event_type_needs_is_required() {
        for column in [Column::EventId, Column::OccurredAt, Column::Workflow, Column::ActionId, Column::Outcome] {
            let mut draft = executed();
            draft.set(column, Cell::Absent);
            assert!(draft.check(NOW).unwrap_err().contains(&format!("`{}` is missing", column.name())));
        }
    }

    #[test]
    fn the_empty_string_is_absent_but_in_old_and_new_value() {
        let mut draft = executed();
        for column in [Column::Segment, Column::OldValue, Column::Amount, Column::Decision] {
            draft.read(column, "".into()).unwrap();
        }
        assert_eq!(draft.text(Column::OldValue), Some(""));
        for column in [Column::Segment, Column::Amount, Column::Decision] {
            assert_eq!(*draft.cell(column), Cell::Absent);
        }
    }
}
