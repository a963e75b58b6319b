//! The recovery plan: what to do about each affected cell, the newest bad write first.
//!
//! In: a blast radius. Out: one row a cell and a hash over the state they were made from. Invariant: undoing in the
//! order of the rows runs against the order of causes; a plan made from another state than now is known by its hash.
//! It must not write to a business system: it says what to do, the change path of that system does it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::radius::{Cell, Flags, Radius, Record, State, encoded};
use crate::ledger::hash::hex;

/// What to do about a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Write the old value back: the bad one stands, the old one is known.
    Restore,
    /// Let a person look: somebody wrote since, or wrote without logging.
    Review,
    /// Create the record again.
    Recreate,
    /// Make good what has left the house or cannot be undone.
    Compensate,
    /// Find out first what stands there, or what stood there.
    Verify,
    /// Nothing.
    None,
}

impl Remedy {
    /// Its name in SQL, JSON and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Review => "review",
            Self::Recreate => "recreate",
            Self::Compensate => "compensate",
            Self::Verify => "verify",
            Self::None => "none",
        }
    }

    /// The remedy for `cell` of `radius`, by the first rule that holds.
    fn of(cell: &Cell, radius: &Radius) -> Self {
        let is_external = cell.last_action.is_some_and(|action| radius.actions[action].is_external);
        match cell.state {
            State::NotApplied => Self::None,
            State::Irreversible => Self::Compensate,
            // A message that went out is not called back by writing to the record.
            _ if is_external => Self::Compensate,
            State::NoEffect | State::Restored => Self::None,
            State::Deleted => Self::Recreate,
            State::Unknown => Self::Verify,
            State::Overwritten => Self::Review,
            State::StillWrong if cell.flags.chain_break => Self::Review,
            State::StillWrong if cell.flags.old_unknown => Self::Verify,
            State::StillWrong => Self::Restore,
        }
    }
}

/// What to do about one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRow {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// The field; none for the whole record.
    pub field: Option<String>,
    /// What to do.
    pub remedy: Remedy,
    /// The value to write where the remedy is `restore`: the one before the first bad write.
    pub restore_value: Option<String>,
    /// The value that should be found there now.
    pub current_value: Option<String>,
    /// What stands there now.
    pub state: State,
    /// What else has to be known.
    pub flags: Flags,
    /// The first bad write.
    pub first_bad_seq: Option<i64>,
    /// The last bad write.
    pub last_bad_seq: Option<i64>,
    /// The event that wrote the present value.
    pub current_seq: Option<i64>,
}

impl PlanRow {
    fn of(cell: &Cell, radius: &Radius) -> Self {
        let remedy = Remedy::of(cell, radius);
        Self {
            record: cell.record.clone(),
            field: cell.field.clone(),
            remedy,
            restore_value: cell.old_value.clone().filter(|_| remedy == Remedy::Restore),
            current_value: cell.current_value.clone(),
            state: cell.state,
            flags: cell.flags,
            first_bad_seq: cell.first_bad_seq,
            last_bad_seq: cell.last_bad_seq,
            current_seq: cell.current_seq,
        }
    }

    /// What was known of the cell, in one line. Values are told by the events that wrote them: a hash over values
    /// would give them away to whoever can guess.
    fn basis(&self) -> String {
        let mut line = self.record.key();
        let seq = |seq: Option<i64>| seq.map_or_else(String::new, |seq| seq.to_string());
        let field = self.field.as_ref().map_or_else(String::new, |field| format!("={}", encoded(field)));
        let (state, remedy, flags) = (self.state.name(), self.remedy.name(), self.flags.names().join(","));
        let seqs = [self.first_bad_seq, self.last_bad_seq, self.current_seq].map(seq).join("/");
        write!(line, "/{field}/{state}/{seqs}/{flags}/{remedy}").expect("a string takes any text");
        line
    }
}

/// A recovery plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// SHA-256 over the state that the plan was made from, in hexadecimal digits.
    pub plan_sha256: String,
    /// One row a cell: those with a bad write by the last one, newest first, then the others.
    pub rows: Vec<PlanRow>,
}

impl Plan {
    /// The plan for `radius`.
    pub fn of(radius: &Radius) -> Self {
        let mut hash = Sha256::new();
        let mut rows = Vec::with_capacity(radius.cells.len());
        for cell in &radius.cells {
            let row = PlanRow::of(cell, radius);
            hash.update(row.basis().as_bytes());
            hash.update(b"\n");
            rows.push((cell.last_bad_at.zip(cell.last_bad_seq), row));
        }
        // Stable: cells without a bad write keep their order, at the end.
        rows.sort_by_key(|(written, _)| Reverse(*written));
        Self { plan_sha256: hex(&hash.finalize()), rows: rows.into_iter().map(|(_, row)| row).collect() }
    }

    /// Whether anything that the plan was made from is no longer so.
    pub fn is_stale(&self, now: &Radius) -> bool {
        Self::of(now).plan_sha256 != self.plan_sha256
    }

    /// Rows of the plan whose cell is no longer as the plan found it, for a caller who goes on with the others.
    pub fn changed_rows(&self, now: &Radius) -> Vec<&PlanRow> {
        let rows = now.cells.iter().map(|cell| PlanRow::of(cell, now));
        let present: BTreeMap<(Record, Option<String>), String> =
            rows.map(|row| ((row.record.clone(), row.field.clone()), row.basis())).collect();
        let is_changed = |row: &&PlanRow| present.get(&(row.record.clone(), row.field.clone())) != Some(&row.basis());
        self.rows.iter().filter(is_changed).collect()
    }
}
