//! What is known of each action from its events so far.
//!
//! In: the events of an action in the order of time. Out: its target, operation and the like (the last that was said),
//! the people it concerns. Invariant: an event is remembered after it took effect, so that a write sees earlier events
//! only. It must not know whether an action is bad.

use super::names::{NONE, Texts};
use super::view::Kind;
use crate::clock::{DAY, Micros};
use crate::event::batch::Value;
use crate::event::{Column, Rows};

/// How somebody is concerned by an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// `subject_id`.
    Subject,
    /// `reviewer` of an approval.
    Approver,
    /// `segment`.
    Segment,
}

/// What is known of an action; texts by number, [`NONE`] where nothing was said.
#[derive(Debug)]
pub struct Act {
    /// System, type and id of its record, and the field.
    pub target: [u32; 4],
    /// `operation`.
    pub operation: u32,
    /// `reversibility`.
    pub reversibility: u32,
    /// `permission_level`.
    pub level: Option<i32>,
    /// Hundredths.
    pub amount: Option<i128>,
    /// `currency`.
    pub currency: u32,
    /// The old value captured last, by any event but a roll-back: what a roll-back finds is the wrong value.
    pub old_value: Option<Box<str>>,
    /// Whom it concerns, each once.
    pub people: Vec<(Concern, u32)>,
    /// Its events.
    pub events: u64,
    /// Those recorded more than a day after they happened.
    pub late_events: u64,
    /// Its bad writes,
    pub bad_writes: u64,
    /// those with outcome unknown,
    pub unknown_writes: u64,
    /// and those that were partial.
    pub partial_writes: u64,
}

impl Default for Act {
    fn default() -> Self {
        Self {
            target: [NONE; 4],
            operation: NONE,
            reversibility: NONE,
            level: None,
            amount: None,
            currency: NONE,
            old_value: None,
            people: Vec::new(),
            events: 0,
            late_events: 0,
            bad_writes: 0,
            unknown_writes: 0,
            partial_writes: 0,
        }
    }
}

impl Act {
    /// Takes note of an event of the action, after it took effect; `own` is the target that it names itself.
    pub fn remember(&mut self, (rows, row): (&Rows<'_>, usize), kind: Kind, own: [u32; 4], texts: &mut Texts) {
        for (place, part) in self.target.iter_mut().zip(own).filter(|(_, part)| *part != NONE) {
            *place = part;
        }
        let places = [&mut self.operation, &mut self.reversibility, &mut self.currency];
        for (place, column) in places.into_iter().zip([Column::Operation, Column::Reversibility, Column::Currency]) {
            if let Some(text) = rows.text(column, row) {
                *place = texts.intern_word(text);
            }
        }
        if let Some(Value::Short(level)) = rows.value(Column::PermissionLevel, row) {
            self.level = Some(level);
        }
        if let Some(Value::Amount(amount)) = rows.value(Column::Amount, row) {
            self.amount = Some(amount);
        }
        if let Some(old) = rows.text(Column::OldValue, row)
            && kind != Kind::RolledBack
        {
            self.old_value = Some(old.into());
        }
        self.events += 1;
        self.late_events += u64::from(is_late(rows, row));
        self.concern(rows, row, texts);
    }

    fn concern(&mut self, rows: &Rows<'_>, row: usize, texts: &mut Texts) {
        let is_approval = matches!(rows.text(Column::Decision, row), Some("approved" | "approved_with_changes"));
        let approver = rows.text(Column::Reviewer, row).filter(|_| is_approval);
        let people = [
            (Concern::Subject, rows.text(Column::SubjectId, row)),
            (Concern::Approver, approver),
            (Concern::Segment, rows.text(Column::Segment, row)),
        ];
        for (concern, name) in people {
            let Some(name) = name else { continue };
            let person =
                (concern, if concern == Concern::Segment { texts.intern_word(name) } else { texts.intern(name) });
            if !self.people.contains(&person) {
                self.people.push(person);
            }
        }
    }
}

/// Whether an event was recorded more than a day after it happened, the bound of the metric `log_health`.
pub fn is_late(rows: &Rows<'_>, row: usize) -> bool {
    let instant = |column: Column| rows.instant(column, row);
    let delay = |(recorded, occurred): (Micros, Micros)| recorded.saturating_sub(occurred);
    instant(Column::RecordedAt).zip(instant(Column::OccurredAt)).map(delay).is_some_and(|delay| delay > DAY)
}
