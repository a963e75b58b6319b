//! The field history of a system of record, read through a mapping.
//!
//! In: rows that a mapping yields. Out: the writes that they tell of, and counts of the rest. Invariants: every row is
//! a write, or is counted under the reason why it is none; nothing of it is stored. The mapping says what a row means;
//! here nothing is guessed.

use futures::StreamExt;
use hashbrown::HashSet;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::writes::{Told, Writes};
use crate::blast::view::{Effect, Kind, target};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{Column, Rows};
use crate::ingest::Source;
use crate::ingest::decode::{Incoming, decode_mapped};
use crate::limits::FIRST_REASONS;
use crate::store::quarantine::Refused;

/// The columns that make two rows one and the same.
const IDENTITY: [Column; 10] = [
    Column::EventId,
    Column::Source,
    Column::System,
    Column::RecordType,
    Column::RecordId,
    Column::Field,
    Column::Operation,
    Column::OldValue,
    Column::NewValue,
    Column::ActorId,
];

/// Rows of a history, and those that are no write to compare; with the writes that are compared and those outside of
/// the span they add up to `rows`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Rows that came, readable or not.
    pub rows: u64,
    /// Rows that do not decode.
    pub refused: u64,
    /// Rows that are there twice; each counts once.
    pub duplicates: u64,
    /// Rows that say that nothing was written.
    pub not_writes: u64,
    /// Rows without a record.
    pub without_record: u64,
}

/// A history.
#[derive(Default)]
pub struct History {
    pub(super) writes: Writes,
    /// How its rows were read.
    pub read: Read,
    /// Why the first rows do not decode, `file:line: reason`.
    pub reasons: Vec<String>,
    seen: HashSet<[u8; 16]>,
}

impl History {
    /// Reads what a mapping yields; `clock` tells which rows lie in the future.
    ///
    /// # Errors
    /// A source without a mapping, a mapping that fails, more writes than fit.
    pub async fn read(source: Source, clock: &Clock) -> Result<Self> {
        let Source::Mapped { name, mut rows, refused } = source else {
            return Err(Error::invalid("a history is read through a mapping; give --map NAME or --map FILE.sql"));
        };
        let mut history = Self::default();
        history.refuse(&refused);
        while let Some(batch) = rows.next().await {
            if let Some(incoming) = decode_mapped(batch?, &name, clock)? {
                history.take(&incoming)?;
            }
        }
        history.seen = HashSet::new();
        Ok(history)
    }

    fn refuse(&mut self, refused: &[Refused]) {
        self.read.rows += refused.len() as u64;
        self.read.refused += refused.len() as u64;
        let room = FIRST_REASONS.saturating_sub(self.reasons.len());
        let words = refused.iter().take(room).map(|row| format!("{}:{}: {}", row.file, row.line, row.reason));
        self.reasons.extend(words);
    }

    fn take(&mut self, incoming: &Incoming) -> Result<()> {
        self.refuse(&incoming.refused);
        let rows = Rows::new(&incoming.rows)?;
        for (row, origin) in incoming.origins.iter().enumerate() {
            self.read.rows += 1;
            let Some(told) = told(&rows, row) else {
                self.read.not_writes += 1;
                continue;
            };
            if !rows.is_set(Column::RecordId, row) {
                self.read.without_record += 1;
            } else if !self.seen.insert(identity(&rows, row)) {
                self.read.duplicates += 1;
            } else {
                let told = Told { origin: Some(origin.file()), number: origin.line() as i64, ..told };
                self.writes.add_history(&told)?;
            }
        }
        Ok(())
    }
}

/// What the event of `row` tells of a write; none when it wrote nothing. Where it was told is not in it.
pub fn told<'a>(rows: &Rows<'a>, row: usize) -> Option<Told<'a>> {
    let kind = Kind::of(rows.text(Column::EventType, row));
    let outcome = rows.text(Column::Outcome, row);
    if kind == Kind::Other || Effect::of(kind, outcome) == Effect::Nothing {
        return None;
    }
    Some(Told {
        at: rows.instant(Column::OccurredAt, row)?,
        target: target(rows, row),
        operation: rows.text(Column::Operation, row),
        old_value: rows.text(Column::OldValue, row),
        new_value: rows.text(Column::NewValue, row),
        actor_id: rows.text(Column::ActorId, row),
        actor_kind: rows.text(Column::ActorKind, row),
        outcome,
        origin: None,
        number: 0,
    })
}

/// A digest of what a row says: an export that was cut into overlapping pages has some rows twice.
fn identity(rows: &Rows<'_>, row: usize) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(rows.instant(Column::OccurredAt, row).unwrap_or_default().to_le_bytes());
    for column in IDENTITY {
        let text = rows.text(column, row);
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    }
    let mut identity = [0; 16];
    identity.copy_from_slice(&hash.finalize()[..16]);
    identity
}
