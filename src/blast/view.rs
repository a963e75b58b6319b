//! Events as the rules of the blast radius see them: kind, effect, target, inputs.
//!
//! In: a row of a batch. Out: what the rules ask of it. Invariant: one reading of each column for both passes, so
//! that they cannot disagree. It must not know which actions are bad.

use arrow::array::{Array, RecordBatch};

use super::names::Target;
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::batch::Value;
use crate::event::{Column, Rows};

/// What an event can do to cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `action.executed`.
    Executed,
    /// `action.rolled_back`.
    RolledBack,
    /// `record.corrected`.
    Corrected,
    /// Nothing.
    Other,
}

impl Kind {
    /// The kind of an event of this type.
    pub fn of(event_type: Option<&str>) -> Self {
        match event_type {
            Some("action.executed") => Self::Executed,
            Some("action.rolled_back") => Self::RolledBack,
            Some("record.corrected") => Self::Corrected,
            _ => Self::Other,
        }
    }
}

/// How far a change reached its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It succeeded.
    Full,
    /// It was partial, or nobody knows.
    Doubtful,
    /// It failed, was skipped or denied.
    Nothing,
}

impl Effect {
    /// The effect of an event; a correction succeeded unless its outcome says otherwise.
    pub fn of(kind: Kind, outcome: Option<&str>) -> Self {
        match outcome {
            Some("succeeded") => Self::Full,
            Some("partial" | "unknown") => Self::Doubtful,
            None if kind == Kind::Corrected => Self::Full,
            _ => Self::Nothing,
        }
    }
}

/// The columns of a [`Target`].
pub const TARGET: [Column; 4] = [Column::System, Column::RecordType, Column::RecordId, Column::Field];

/// The target that the event of `row` itself names.
pub fn target<'a>(rows: &Rows<'a>, row: usize) -> Target<'a> {
    TARGET.map(|column| rows.text(column, row))
}

/// What the event of `row` read.
pub fn inputs<'a>(rows: &Rows<'a>, row: usize) -> impl Iterator<Item = Target<'a>> + use<'a> {
    let (parts, entries) = match rows.value(Column::Inputs, row) {
        Some(Value::Inputs(inputs)) => (Some(inputs.parts()), inputs.range()),
        _ => (None, 0..0),
    };
    entries.filter_map(move |entry| Some(parts?.map(|part| part.is_valid(entry).then(|| part.value(entry)))))
}

/// Checks that `batch` has `columns`: what is missing would be taken for absent.
///
/// # Errors
/// Internal, naming the column.
pub fn require(batch: &RecordBatch, columns: &[Column]) -> Result<()> {
    match columns.iter().find(|column| batch.column_by_name(column.name()).is_none()) {
        Some(missing) => Err(Error::internal(format!("a blast radius needs column `{}`", missing.name()))),
        None => Ok(()),
    }
}

/// The event `seq` is not behind the one before.
pub fn out_of_order(seq: i64) -> Error {
    Error::internal(format!("event {seq} is out of (occurred_at, seq) order; sort before feeding"))
}

/// Sees to it that events come in (`occurred_at`, `seq`) order, each once.
#[derive(Debug, Default)]
pub struct Order {
    last: Option<(Micros, i64)>,
}

impl Order {
    /// Instant and `seq` of the next event.
    ///
    /// # Errors
    /// Internal, when it is not behind the one before.
    pub fn next(&mut self, rows: &Rows<'_>, row: usize) -> Result<(Micros, i64)> {
        let (Some(at), Some(seq)) = (rows.instant(Column::OccurredAt, row), rows.long(Column::Seq, row)) else {
            return Err(Error::internal("an event of a blast radius lacks `occurred_at` or `seq`"));
        };
        if self.last.is_some_and(|last| last >= (at, seq)) {
            return Err(out_of_order(seq));
        }
        self.last = Some((at, seq));
        Ok((at, seq))
    }
}
