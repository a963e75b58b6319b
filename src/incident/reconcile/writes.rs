//! Writes to cells as a field history and the evidence tell of them, held compactly.
//!
//! In: what either side tells of each write. Out: rows of numbers by cell and time, and the texts behind the numbers.
//! Invariants: equal numbers mean equal texts, so that names and values are compared exactly; nothing is held past the
//! bounds. It decides nothing.

use std::collections::BTreeSet;

use hashbrown::HashSet;

use crate::blast::names::{FIELD, NONE, RECORD_TYPE, STRANGE, SYSTEM, Target, Texts};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::limits::{RECONCILED_TEXT_BYTES, RECONCILED_WRITES};

/// What one side tells of a write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// When it was made.
    pub at: Micros,
    /// System, type and id of the record, and the field; without one the whole record.
    pub target: Target<'a>,
    /// What was done.
    pub operation: Option<&'a str>,
    /// What it found.
    pub old_value: Option<&'a str>,
    /// What it left.
    pub new_value: Option<&'a str>,
    /// Who made it.
    pub actor_id: Option<&'a str>,
    /// What that is: agent, human, automation, system.
    pub actor_kind: Option<&'a str>,
    /// How far it succeeded; without one it did.
    pub outcome: Option<&'a str>,
    /// File of the history, or id of the action.
    pub origin: Option<&'a str>,
    /// Line or row of the file, or `seq`.
    pub number: i64,
}

/// System, type, id and field of a cell by number, and of a whole record the operation: a deletion is no lock.
pub type CellKey = [u32; 5];

/// Place of the operation in a [`CellKey`].
pub const OPERATION: usize = 4;
/// The operation that makes a record.
const CREATE: &str = "create";

/// Whose write it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// An agent's.
    Agent,
    /// A person's, or a program's that is no agent.
    Other,
    /// Nobody says.
    Unknown,
}

/// How far a write succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Succeeded,
    /// In part.
    Partial,
    /// Nobody knows.
    Unknown,
}

impl Outcome {
    /// Its name in the evidence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
        }
    }
}

/// One write; texts by number, `NONE` where nothing was said.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    /// Where it went.
    pub cell: CellKey,
    /// When.
    pub at: Micros,
    /// What it found.
    pub old: u32,
    /// What it left.
    pub new: u32,
    /// Who made it.
    pub actor: u32,
    /// Whose it is.
    pub writer: Writer,
    /// How far it succeeded.
    pub outcome: Outcome,
    /// Whether it made the record.
    pub is_creation: bool,
    /// File of the history, or id of the action.
    pub origin: u32,
    /// Line or row of the file, or `seq`.
    pub number: i64,
}

impl Write {
    /// Whether it changed something, as far as it says: one that found what it left leaves no trace in most systems.
    pub fn is_changing(&self) -> bool {
        self.old == NONE || self.old != self.new
    }

    /// System, type and id of the record.
    pub fn record(&self) -> [u32; 3] {
        [self.cell[0], self.cell[1], self.cell[2]]
    }
}

/// Whose writes in the history count as those of agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agents {
    /// Those of the identities that a person named, and no others.
    Named(BTreeSet<String>),
    /// Those of the identities that the evidence has for agents, and what the history itself calls an agent's.
    Known(BTreeSet<String>),
}

impl Agents {
    /// The identities.
    pub fn identities(&self) -> &BTreeSet<String> {
        let (Self::Named(identities) | Self::Known(identities)) = self;
        identities
    }
}

/// Whether the history can show a write of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// It has rows of this type and field.
    Field,
    /// It has rows of this type, none of this field.
    OtherField,
    /// It has no row of this type.
    OtherType,
}

/// The writes of both sides.
#[derive(Default)]
pub struct Writes {
    texts: Texts,
    text_bytes: usize,
    pub(super) history: Vec<Write>,
    pub(super) evidence: Vec<Write>,
    types: HashSet<[u32; 2]>,
    fields: HashSet<[u32; 4]>,
}

impl Writes {
    /// Adds a row of the history.
    ///
    /// # Errors
    /// Limit, when there are too many, or their texts are too long.
    pub fn add_history(&mut self, told: &Told<'_>) -> Result<()> {
        if self.history.len() >= RECONCILED_WRITES {
            let most = RECONCILED_WRITES;
            return Err(Error::limit(format!(
                "the history has more than {most} writes; split it by record type or time"
            )));
        }
        let write = self.write(told)?;
        let [system, record_type, _, field, operation] = write.cell;
        self.types.insert([system, record_type]);
        self.fields.insert([system, record_type, field, operation]);
        self.history.push(write);
        Ok(())
    }

    /// Adds a write of the evidence.
    ///
    /// # Errors
    /// Limit, when there are too many, or their texts are too long.
    pub fn add_evidence(&mut self, told: &Told<'_>) -> Result<()> {
        if self.evidence.len() >= RECONCILED_WRITES {
            let most = RECONCILED_WRITES;
            return Err(Error::limit(format!(
                "the evidence has more than {most} writes to the fields of the history; take less time with --from and \
                 --to"
            )));
        }
        let write = self.write(told)?;
        self.evidence.push(write);
        Ok(())
    }

    /// Whether the rows of the history so far can show `told`.
    pub fn coverage(&self, told: &Told<'_>) -> Coverage {
        let number = |text: Option<&str>| text.map_or(NONE, |text| self.find(text).unwrap_or(STRANGE));
        let [system, record_type, field] = [SYSTEM, RECORD_TYPE, FIELD].map(|part| number(told.target[part]));
        let operation = if field == NONE { number(told.operation) } else { NONE };
        if !self.types.contains(&[system, record_type]) {
            Coverage::OtherType
        } else if self.fields.contains(&[system, record_type, field, operation]) {
            Coverage::Field
        } else {
            Coverage::OtherField
        }
    }

    /// The first and the last instant of the history.
    pub fn span(&self) -> Option<(Micros, Micros)> {
        let instants = || self.history.iter().map(|write| write.at);
        instants().min().zip(instants().max())
    }

    /// The text with this number; none where nothing was said.
    pub fn text(&self, number: u32) -> Option<&str> {
        self.texts.get_some(number)
    }

    /// Puts both sides into the order of cell and time. Rows of the history of one instant stay as they came.
    pub(super) fn sort(&mut self) {
        self.history.sort_by_key(|write| (write.cell, write.at));
        self.evidence.sort_unstable_by_key(|write| (write.cell, write.at, write.number));
    }

    /// Says of every write whose it is.
    pub(super) fn name_agents(&mut self, agents: &Agents) {
        let numbers: HashSet<u32> = agents.identities().iter().filter_map(|id| self.texts.find(id)).collect();
        let is_history_believed = matches!(agents, Agents::Known(_));
        for write in &mut self.history {
            let is_called_agent = is_history_believed && write.writer == Writer::Agent;
            write.writer = match write.writer {
                _ if is_called_agent || numbers.contains(&write.actor) => Writer::Agent,
                Writer::Unknown if write.actor == NONE => Writer::Unknown,
                _ => Writer::Other,
            };
        }
        for write in self.evidence.iter_mut().filter(|write| numbers.contains(&write.actor)) {
            write.writer = Writer::Agent;
        }
    }

    /// The number of the operation that makes a record; none where neither side has it.
    pub(super) fn creation(&self) -> Option<u32> {
        self.find(CREATE)
    }

    fn find(&self, text: &str) -> Option<u32> {
        self.texts.find(text)
    }

    fn write(&mut self, told: &Told<'_>) -> Result<Write> {
        let mut cell = [NONE; 5];
        for (number, text) in cell.iter_mut().zip(told.target) {
            *number = self.number(text)?;
        }
        if told.target[FIELD].is_none() {
            cell[OPERATION] = self.number(told.operation)?;
        }
        Ok(Write {
            cell,
            at: told.at,
            old: self.number(told.old_value)?,
            new: self.number(told.new_value)?,
            actor: self.number(told.actor_id)?,
            writer: match told.actor_kind {
                Some("agent") => Writer::Agent,
                Some(_) => Writer::Other,
                None => Writer::Unknown,
            },
            outcome: match told.outcome {
                Some("partial") => Outcome::Partial,
                Some("unknown") => Outcome::Unknown,
                _ => Outcome::Succeeded,
            },
            is_creation: told.operation == Some(CREATE),
            origin: self.number(told.origin)?,
            number: told.number,
        })
    }

    fn number(&mut self, text: Option<&str>) -> Result<u32> {
        let Some(text) = text else { return Ok(NONE) };
        if let Some(number) = self.texts.find(text) {
            return Ok(number);
        }
        self.text_bytes += text.len();
        if self.text_bytes > RECONCILED_TEXT_BYTES {
            let mib = RECONCILED_TEXT_BYTES / (1024 * 1024);
            return Err(Error::limit(format!(
                "the names and values of history and evidence take more than {mib} MiB; split the history by record \
                 type or time"
            )));
        }
        Ok(self.texts.intern(text))
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Writes without texts.

    use super::*;

    /// A write to one cell.
    pub fn write(at: Micros, old: u32, new: u32) -> Write {
        Write {
            cell: [0; 5],
            at,
            old,
            new,
            actor: 0,
            writer: Writer::Agent,
            outcome: Outcome::Succeeded,
            is_creation: false,
            origin: 0,
            number: at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(target: [&'a str; 4], operation: &'a str) -> Told<'a> {
        let target = target.map(|part| Some(part).filter(|part| !part.is_empty()));
        Told { target, operation: Some(operation), ..Told::default() }
    }

    #[test]
    fn the_history_covers_the_types_and_fields_that_it_has_rows_of() {
        let mut writes = Writes::default();
        writes.add_history(&told(["crm", "lead", "1", "owner"], "update")).unwrap();
        writes.add_history(&told(["crm", "lead", "1", ""], "delete")).unwrap();
        for (target, operation, coverage) in [
            (["crm", "lead", "2", "owner"], "create", Coverage::Field),
            (["crm", "lead", "2", "stage"], "update", Coverage::OtherField),
            (["crm", "lead", "2", ""], "delete", Coverage::Field),
            (["crm", "lead", "2", ""], "send", Coverage::OtherField),
            (["crm", "deal", "1", "owner"], "update", Coverage::OtherType),
            (["", "lead", "1", "owner"], "update", Coverage::OtherType),
        ] {
            assert_eq!(writes.coverage(&told(target, operation)), coverage, "{target:?} {operation}");
        }
    }

    #[test]
    fn a_person_who_names_agents_is_believed_before_the_history() {
        let of = |agents: Agents| {
            let mut writes = Writes::default();
            for (actor_id, actor_kind) in [("bot", None), ("ai", Some("agent")), ("ann", Some("human"))] {
                writes.add_history(&Told { actor_id: Some(actor_id), actor_kind, ..Told::default() }).unwrap();
            }
            writes.add_history(&Told::default()).unwrap();
            writes.name_agents(&agents);
            writes.history.iter().map(|write| write.writer).collect::<Vec<_>>()
        };
        let bot = BTreeSet::from(["bot".to_owned()]);
        assert_eq!(of(Agents::Named(bot.clone())), [Writer::Agent, Writer::Other, Writer::Other, Writer::Unknown]);
        assert_eq!(of(Agents::Known(bot)), [Writer::Agent, Writer::Agent, Writer::Other, Writer::Unknown]);
    }
}
