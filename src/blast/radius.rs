//! The answer: affected cells with their states, actions with their causes, and what else was reached.
//!
//! In: what the second pass found. Out: plain values in a fixed order, the hash of the affected records, and the
//! chain of events by which a cell came into the set. Invariant: the same events give the same bytes. It must not
//! decide anything.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::clock::Micros;
use crate::event::canonical::amount;
use crate::ledger::hash::hex;

/// What stands in an affected cell now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No bad write: every attempt failed, was skipped or denied.
    NotApplied,
    /// Every bad write left the value as it was.
    NoEffect,
    /// The last bad write cannot be undone.
    Irreversible,
    /// The last bad write deleted the record or merged it away, and nothing was written to it since.
    Deleted,
    /// Nobody knows how far the last bad write came, and nothing was written since.
    Unknown,
    /// A clean write brought back the value from before the first bad write.
    Restored,
    /// A clean write came last, with another value or an unknown one.
    Overwritten,
    /// The bad value stands.
    StillWrong,
}

impl State {
    /// Every state, in the order of the rules.
    pub const ALL: [Self; 8] = [
        Self::NotApplied,
        Self::NoEffect,
        Self::Irreversible,
        Self::Deleted,
        Self::Unknown,
        Self::Restored,
        Self::Overwritten,
        Self::StillWrong,
    ];

    /// Its name in SQL, JSON and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotApplied => "not_applied",
            Self::NoEffect => "no_effect",
            Self::Irreversible => "irreversible",
            Self::Deleted => "deleted",
            Self::Unknown => "unknown",
            Self::Restored => "restored",
            Self::Overwritten => "overwritten",
            Self::StillWrong => "still_wrong",
        }
    }

    /// Whether a bad write changed the cell: its record counts as affected.
    pub fn is_changed(self) -> bool {
        !matches!(self, Self::NotApplied | Self::NoEffect)
    }
}

/// A record of a system of record; a part that no event named is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Record {
    /// System of record.
    pub system: String,
    /// Type of the record.
    pub record_type: String,
    /// Id of the record.
    pub record_id: String,
}

impl Record {
    /// `system/record_type/record_id`, with `%`, `/` and line feed percent-encoded in each part.
    pub fn key(&self) -> String {
        let Self { system, record_type, record_id } = self;
        let mut key = String::with_capacity(system.len() + record_type.len() + record_id.len() + 2);
        for (part, text) in [system, record_type, record_id].into_iter().enumerate() {
            if part > 0 {
                key.push('/');
            }
            append_encoded(&mut key, text);
        }
        key
    }
}

/// `text` with `%`, `/` and line feed percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    append_encoded(&mut out, text);
    out
}

fn append_encoded(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['%', '/', '\n']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'%' => "%25",
            b'/' => "%2F",
            _ => "%0A",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// What a reader of a cell has to know besides its state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Flags {
    /// The value before the first bad write was not captured.
    pub old_unknown: bool,
    /// Some write found another value than the write before left: somebody wrote without logging.
    pub chain_break: bool,
    /// A partial or unknown write, or roll-back, that is neither bad nor clean may have changed the cell since.
    pub uncertain: bool,
}

impl Flags {
    /// Names of the flags that are set.
    pub fn names(self) -> Vec<&'static str> {
        let all = [(self.old_unknown, "old_unknown"), (self.chain_break, "chain_break"), (self.uncertain, "uncertain")];
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }
}

/// An affected cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Its record.
    #[serde(flatten)]
    pub record: Record,
    /// Its field; none for the cell of the whole record.
    pub field: Option<String>,
    /// What stands there now.
    pub state: State,
    /// Steps from a direct action to the first bad write, or to the first attempt where there is none.
    pub depth: u32,
    /// The write by which that write's action became bad; none for a direct one.
    pub parent_seq: Option<i64>,
    /// The event that affected the cell: its first bad write, else the first attempt.
    pub first_seq: i64,
    /// Position of that event's action in [`Radius::actions`].
    pub first_action: usize,
    /// The first bad write.
    pub first_bad_seq: Option<i64>,
    /// When it happened.
    pub first_bad_at: Option<Micros>,
    /// The last bad write.
    pub last_bad_seq: Option<i64>,
    /// When it happened.
    pub last_bad_at: Option<Micros>,
    /// Position of the last bad write's action in [`Radius::actions`].
    pub last_action: Option<usize>,
    /// The value before the first bad write, as that write captured it.
    pub old_value: Option<String>,
    /// The value that the last bad write left.
    pub bad_value: Option<String>,
    /// The value that stands now, as far as it was captured.
    pub current_value: Option<String>,
    /// The event that wrote it.
    pub current_seq: Option<i64>,
    /// Who caused that event.
    pub current_actor: Option<String>,
    /// What else has to be known.
    pub flags: Flags,
}

/// A record that an event with a tainted input named, without an affected cell of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exposed {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// The first such event.
    pub seq: i64,
    /// The write whose value it read.
    pub parent_seq: i64,
}

/// Why an action is derived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parent {
    /// The write whose value it read.
    pub write_seq: i64,
    /// The event that read it.
    pub read_seq: i64,
    /// Position of the writing action in [`Radius::actions`].
    pub action: usize,
}

/// A direct or derived action, with what its events said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Its id.
    pub action_id: String,
    /// 0 for a direct action.
    pub depth: u32,
    /// Why it is derived; none for a direct one.
    pub parent: Option<Parent>,
    /// Its bad writes, whether they name a record or not.
    pub bad_writes: u64,
    /// `operation`.
    pub operation: Option<String>,
    /// `permission_level`.
    pub permission_level: Option<i32>,
    /// `reversibility`.
    pub reversibility: Option<String>,
    /// Whether it has left the house: level 5, a message, money, or irreversible.
    pub is_external: bool,
}

/// Hundredths of a currency; in JSON a decimal text with two digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hundredths(pub i128);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&amount(self.0))
    }
}

impl Serialize for Hundredths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is at stake in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// ISO 4217; none where it was not said.
    pub currency: Option<String>,
    /// Bad actions with an amount in it.
    pub actions: u64,
    /// Their amounts together, each action once.
    pub total: Hundredths,
    /// Those of actions with a bad write.
    pub applied: Hundredths,
}

/// Whom the bad actions concern; each once, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct People {
    /// Pseudonymous keys of persons.
    pub subjects: Vec<String>,
    /// Reviewers who approved.
    pub approvers: Vec<String>,
    /// Customer groups.
    pub segments: Vec<String>,
}

/// What makes the answer "at least" instead of "exactly", as far as the events of bad actions tell; gaps of
/// `source_seq` are the caller's to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Uncertainty {
    /// Bad writes with outcome `unknown`.
    pub unknown_outcomes: u64,
    /// Bad writes with outcome `partial`.
    pub partial_outcomes: u64,
    /// Events of bad actions recorded more than a day after they happened.
    pub late_events: u64,
    /// Cells with the flag `uncertain`.
    pub uncertain_cells: u64,
}

/// One event of the answer to "why is this cell in the set?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The event.
    pub seq: i64,
    /// What it did.
    pub role: Role,
    /// Position of its action in [`Radius::actions`].
    pub action: usize,
}

/// What an event of a chain did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It left a wrong value.
    Write,
    /// It read the wrong value that the step before left.
    Read,
    /// It tried to write and changed nothing.
    Attempt,
}

/// The affected records in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// How many there are.
    pub records: u64,
    /// SHA-256 of their keys, sorted bytewise and joined by line feeds, in hexadecimal digits.
    pub sha256: String,
}

/// The blast radius of a set of direct actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Radius {
    /// Actions that the selector picked, as far as they have an event in the environment.
    pub direct_actions: u64,
    /// Actions that read a tainted cell.
    pub derived_actions: u64,
    /// Largest depth of a derived action, also of one that wrote nothing.
    pub max_depth: u32,
    /// Direct and derived actions by depth, then id.
    pub actions: Vec<Action>,
    /// Affected cells by record, then field; the cell of the whole record first.
    pub cells: Vec<Cell>,
    /// Exposed records, sorted.
    pub exposed: Vec<Exposed>,
    /// Whom it concerns.
    pub people: People,
    /// What is at stake, by currency; what names none comes first.
    pub amounts: Vec<Amount>,
    /// What is not known for certain.
    pub uncertainty: Uncertainty,
}

impl Radius {
    /// Number of cells in each state; they add up to the cells.
    pub fn states(&self) -> BTreeMap<State, u64> {
        let mut states: BTreeMap<State, u64> = State::ALL.into_iter().map(|state| (state, 0)).collect();
        for cell in &self.cells {
            *states.entry(cell.state).or_default() += 1;
        }
        states
    }

    /// Actions whose effect has left the house.
    pub fn external(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(|action| action.is_external)
    }

    /// The affected records, those with a cell that a bad write changed.
    pub fn affected(&self) -> Affected {
        let changed = self.cells.iter().filter(|cell| cell.state.is_changed());
        let mut keys: Vec<String> = Vec::new();
        let mut last = None;
        for Cell { record, .. } in changed {
            // Cells of a record lie side by side.
            if last.replace(record) != Some(record) {
                keys.push(record.key());
            }
        }
        // By bytes of the keys, which is not the order of their parts.
        keys.sort_unstable();
        keys.dedup();
        let sha256 = hex(&Sha256::digest(keys.join("\n")));
        Affected { records: keys.len() as u64, sha256 }
    }

    /// SHA-256 of the keys of the affected records, joined by line feeds, in hexadecimal digits.
    pub fn affected_sha256(&self) -> String {
        self.affected().sha256
    }

    /// Why `cell` is in the set: the events from the first bad write of a direct action to the one that affected it,
    /// in the order of time. An event that read and wrote at once is one step.
    pub fn why(&self, cell: &Cell) -> Vec<Step> {
        let role = if cell.first_bad_seq.is_some() { Role::Write } else { Role::Attempt };
        let mut action = cell.first_action;
        let mut steps = vec![Step { seq: cell.first_seq, role, action }];
        while let Some(parent) = &self.actions[action].parent {
            if steps.last().is_none_or(|step| step.seq != parent.read_seq) {
                steps.push(Step { seq: parent.read_seq, role: Role::Read, action });
            }
            action = parent.action;
            steps.push(Step { seq: parent.write_seq, role: Role::Write, action });
        }
        steps.reverse();
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cell, record};
    use super::*;

    #[test]
    fn a_key_has_two_slashes_whatever_its_parts_hold() {
        assert_eq!(record("crm", "lead", "1").key(), "crm/lead/1");
        assert_eq!(record("a/b", "50%", "x\ny%2F").key(), "a%2Fb/50%25/x%0Ay%252F");
        assert_eq!(record("", "", "1").key(), "//1");
    }

    #[test]
    fn nothing_affected_is_the_hash_of_nothing() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Radius::default().affected_sha256(), empty);
        assert_eq!(Radius::default().states().len(), State::ALL.len());
    }

    #[test]
    fn each_affected_record_counts_once_and_keys_are_hashed_by_bytes() {
        // In the order of their parts `a` is before `a!`, as keys `a!/…` is before `a/…`.
        let (first, second) = (record("a", "lead", "1"), record("a!", "lead", "1"));
        let cells = vec![
            cell(first.clone(), State::StillWrong),
            cell(first.clone(), State::NoEffect),
            cell(first, State::Restored),
            cell(second, State::Deleted),
            cell(record("b", "lead", "1"), State::NotApplied),
        ];
        let affected = Radius { cells, ..Radius::default() }.affected();
        let sha256 = hex(&Sha256::digest("a!/lead/1\na/lead/1"));
        assert_eq!(affected, Affected { records: 2, sha256 });
    }

    #[test]
    fn names_of_states_are_those_of_json() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert_eq!(serde_json::to_value(Hundredths(-105)).unwrap(), "-1.05");
    }
}
