//! What was removed from the evidence on purpose, and which event of the ledger says so.
//!
//! In: the table, and the seq sets of retired months. Out: for a row whose sealed values are gone the
//! `evidence.erased` event that explains it, for a row that is gone the `evidence.retired` event. Invariant: nothing
//! explains a removal but an event that is later in the ledger; a seq set counts only with the hash that its event
//! states. It removes nothing.

use std::collections::HashMap;

use arrow::record_batch::RecordBatch;
use object_store::path::Path;
use roaring::RoaringTreemap;
use sha2::{Digest, Sha256};

use super::Store;
use super::object;
use super::parquet::{self, RowsWith};
use super::table::TableState;
use crate::error::{Error, Result};
use crate::event::{Column, Rows};
use crate::ledger::hash::hex;

/// The type of the events that say whose values were erased.
pub const ERASED: &str = "evidence.erased";
/// The type of the events that say which month was deleted.
pub const RETIRED: &str = "evidence.retired";

/// A month that was deleted by retention.
#[derive(Debug, Clone)]
pub struct RetiredMonth {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The rows that it had.
    pub seqs: RoaringTreemap,
    /// The event that says so.
    pub stated_by: i64,
}

/// Everything that was removed on purpose.
#[derive(Debug, Clone, Default)]
pub struct Removals {
    /// By subject the events that erased it, ascending.
    erasures: HashMap<String, Vec<i64>>,
    retired: Vec<RetiredMonth>,
}

impl Removals {
    /// The first event later than `seq` that erased the subject.
    pub fn erasure_of(&self, subject: &str, seq: i64) -> Option<i64> {
        let events = self.erasures.get(subject)?;
        events.get(events.partition_point(|by| *by <= seq)).copied()
    }

    /// The last event that erased the subject.
    pub fn last_erasure(&self, subject: &str) -> Option<i64> {
        self.erasures.get(subject)?.last().copied()
    }

    /// The months that were deleted.
    pub fn retired(&self) -> &[RetiredMonth] {
        &self.retired
    }

    /// The month with which the row was deleted, if it was.
    pub fn retired_with(&self, seq: u64) -> Option<&RetiredMonth> {
        self.retired.iter().find(|month| month.seqs.contains(seq))
    }
}

impl Store {
    /// What the table `state` says was removed from it.
    ///
    /// # Errors
    /// When the store fails; Damaged when a seq set is missing or is not the one that its event states.
    pub async fn removals(&self, state: &TableState) -> Result<Removals> {
        let mut removals = Removals::default();
        for batch in self.statements(state, &[ERASED, RETIRED]).await? {
            let rows = Rows::new(&batch)?;
            for row in 0..rows.len() {
                let seq = rows.long(Column::Seq, row).unwrap_or_default();
                match (rows.text(Column::EventType, row), rows.text(Column::SubjectId, row)) {
                    (Some(ERASED), Some(subject)) => {
                        removals.erasures.entry(subject.to_owned()).or_default().push(seq);
                    }
                    (Some(RETIRED), _) => removals.retired.extend(self.retired_month(&rows, row, seq).await?),
                    _ => {}
                }
            }
        }
        removals.erasures.values_mut().for_each(|events| events.sort_unstable());
        Ok(removals)
    }

    /// The rows of the table that are of these event types, all columns.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub async fn statements(&self, state: &TableState, types: &[&str]) -> Result<Vec<RecordBatch>> {
        let filter = RowsWith::texts(Column::EventType, types.iter().map(|name| (*name).to_owned()).collect());
        let mut found = Vec::new();
        for file in state.files.iter() {
            found.extend(parquet::matching(&self.location.objects, file, &filter).await?);
        }
        Ok(found)
    }

    /// The seq set that belongs to an `evidence.retired` event; none where the event was written and the month was
    /// not deleted after it.
    async fn retired_month(&self, rows: &Rows<'_>, row: usize, seq: i64) -> Result<Option<RetiredMonth>> {
        let month = rows.text(Column::RecordId, row).unwrap_or_default().to_owned();
        let path = self.paths.retired(&month, seq);
        let Some(bytes) = object::get(&self.location.objects, &path).await? else { return Ok(None) };
        if rows.text(Column::PayloadHash, row) != Some(hash_of_set(&bytes).as_str()) {
            return Err(Error::damaged(format!("{path} is not the set of rows whose hash event {seq} states")));
        }
        let seqs = RoaringTreemap::deserialize_from(bytes.as_ref())
            .map_err(|e| Error::damaged(format!("{path} is no set of rows")).because(e))?;
        Ok(Some(RetiredMonth { month, seqs, stated_by: seq }))
    }

    /// The seq sets that lie in the store, whether an event states them or not.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn seq_sets(&self) -> Result<Vec<Path>> {
        let listed = object::list(&self.location.objects, &self.paths.all_retired()).await?;
        Ok(listed.into_iter().map(|meta| meta.location).collect())
    }
}

/// What an `evidence.retired` event states of a seq set: its SHA-256 in hex.
pub fn hash_of_set(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}
