//! Erasing a subject from the table: files whose sealed values are gone take the place of those that hold them.
//!
//! In: a subject, and the event that says it was erased. Out: data files without its values, and nothing left of the
//! old ones. Invariants: each new file is read back and gives the leaves that the ledger holds before it replaces an
//! old one; what a killed process left behind is found by looking into every file that no version names. Which events
//! may be erased, and who says so, is not decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::Store;
use super::durable::sweep_staging;
use super::log::HeldTiles;
use super::object::{self, is_gone, is_of_the_store, object_error};
use super::parquet::{self, Effort, RowsWith};
use super::paths::Paths;
use super::snapshot::DataFile;
use super::table::{Replacement, TableState};
use crate::error::{Error, Result};
use crate::event::columns::SEALED;
use crate::event::erase::{erase_rows, is_sealed};
use crate::event::{Column, Rows, leaves};
use crate::ledger::tile::Tile;
use crate::ledger::tree::Node;
use crate::limits::APPEND_ATTEMPTS;

/// Age at which a staging file is a dead process's; whoever writes one is done within seconds.
const STAGING_SECONDS: u64 = 60;

/// What the table holds of a subject.
#[derive(Debug, Default)]
pub struct Traces {
    /// Its rows by data file, all columns.
    pub rows: Vec<(DataFile, Vec<RecordBatch>)>,
}

/// What an erasure changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Rows that lost their sealed values.
    pub rows: u64,
    /// Data files that took the place of others.
    pub files: usize,
}

impl Traces {
    /// Number of its rows.
    pub fn len(&self) -> usize {
        self.batches().map(RecordBatch::num_rows).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its rows.
    pub fn batches(&self) -> impl Iterator<Item = &RecordBatch> {
        self.rows.iter().flat_map(|(_, batches)| batches)
    }

    /// The largest `seq` of a row that holds something sealed.
    ///
    /// # Errors
    /// Never for rows of the stored schema.
    pub fn last_sealed(&self) -> Result<Option<i64>> {
        let mut last = None;
        for batch in self.batches() {
            let rows = Rows::new(batch)?;
            let sealed = (0..rows.len()).filter(|row| is_sealed(&rows, *row));
            last = last.max(sealed.filter_map(|row| rows.long(Column::Seq, row)).max());
        }
        Ok(last)
    }

    /// The texts of the sealed values.
    ///
    /// # Errors
    /// Never for rows of the stored schema.
    pub fn values(&self) -> Result<BTreeSet<String>> {
        let mut values = BTreeSet::new();
        for batch in self.batches() {
            let rows = Rows::new(batch)?;
            for row in 0..rows.len() {
                values.extend(SEALED.iter().filter_map(|(column, _)| rows.text(*column, row)).map(str::to_owned));
            }
        }
        Ok(values)
    }
}

fn is_to_erase(rows: &Rows<'_>, row: usize, (subject, before): (&str, i64)) -> bool {
    let is_before = rows.long(Column::Seq, row).is_some_and(|seq| seq < before);
    is_before && rows.text(Column::SubjectId, row) == Some(subject) && is_sealed(rows, row)
}

impl Store {
    /// What the table holds of `subject`.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub async fn traces(&self, state: &TableState, subject: &str) -> Result<Traces> {
        let mut traces = Traces::default();
        for file in state.files.iter() {
            let rows = self.rows_of_subject(file, subject).await?;
            if !rows.is_empty() {
                traces.rows.push((file.clone(), rows));
            }
        }
        Ok(traces)
    }

    /// How many events of the same actions name no subject and hold sealed values: an erasure of the subject leaves
    /// them, because nothing in them says whom they are about.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub async fn unnamed_siblings(&self, state: &TableState, traces: &Traces) -> Result<u64> {
        let mut actions = hashbrown::HashSet::new();
        for batch in traces.batches() {
            let rows = Rows::new(batch)?;
            actions.extend((0..rows.len()).filter_map(|row| rows.text(Column::ActionId, row)).map(str::to_owned));
        }
        if actions.is_empty() {
            return Ok(0);
        }
        let filter = RowsWith::texts(Column::ActionId, actions);
        let mut siblings = 0;
        for file in state.files.iter() {
            for batch in parquet::matching(&self.location.objects, file, &filter).await? {
                let rows = Rows::new(&batch)?;
                let is_one = |row: &usize| !rows.is_set(Column::SubjectId, *row) && is_sealed(&rows, *row);
                siblings += (0..rows.len()).filter(is_one).count() as u64;
            }
        }
        Ok(siblings)
    }

    async fn rows_of_subject(&self, file: &DataFile, subject: &str) -> Result<Vec<RecordBatch>> {
        let filter = RowsWith::texts(Column::SubjectId, [subject.to_owned()].into_iter().collect());
        parquet::matching(&self.location.objects, file, &filter).await
    }

    /// Replaces the data files that hold sealed values of `subject` in rows before `before`.
    ///
    /// # Errors
    /// Damaged when a row does not give the leaf that the ledger holds: then nothing is replaced. When the store fails.
    pub async fn erase_from_table(&self, subject: &str, before: i64) -> Result<Rewritten> {
        let _queued = self.queue("compact").await?;
        for _ in 0..APPEND_ATTEMPTS {
            let state = self.table().await?;
            let mut done = Rewritten::default();
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for (file, batches) in self.traces(&state, subject).await?.rows {
                let rows = count_to_erase(&batches, (subject, before))?;
                if rows > 0 {
                    new.push(self.erased_file(&file, (subject, before), state.size).await?);
                    old.push(file);
                    done.rows += rows;
                }
            }
            done.files = new.len();
            if new.is_empty() || self.replace(state, (&old, &new), &Replacement::Erasure).await? {
                return Ok(done);
            }
        }
        Err(Error::unavailable("the table changes faster than a subject can be erased from it; try again"))
    }

    /// A copy of `file` with the subject erased, proven to hold the same leaves.
    async fn erased_file(&self, file: &DataFile, erased: (&str, i64), size: i64) -> Result<DataFile> {
        let mut batches = Vec::new();
        let mut tiles = HeldTiles::new(self.log());
        let mut rows = parquet::scan(&self.location.objects, file, &Column::all(), None).await?;
        while let Some(batch) = rows.try_next().await? {
            let view = Rows::new(&batch)?;
            let after = erase_rows(&batch, |row| is_to_erase(&view, row, erased))?;
            for (row, leaf) in leaves(&Rows::new(&after)?).into_iter().enumerate() {
                if is_to_erase(&view, row, erased) {
                    let seq = view.long(Column::Seq, row).unwrap_or_default();
                    let (tile, at) = Tile::holding(Node { level: 0, index: seq as u64 }, size as u64);
                    let held = tiles.needed(tile).await?;
                    if tile.hashes(&held)?[at.start] != leaf {
                        return Err(changed(seq));
                    }
                }
            }
            batches.push(after);
        }
        let new = self.write_file(&file.month, batches, Effort::Compact).await?;
        if self.leaf_sum(std::slice::from_ref(file)).await? == self.leaf_sum(std::slice::from_ref(&new)).await? {
            return Ok(new);
        }
        self.discard(std::slice::from_ref(&new)).await;
        Err(Error::damaged(format!(
            "erasing from {} would change leaves of the ledger; nothing was replaced",
            file.path
        )))
    }

    /// Deletes every data file that no version names and that holds sealed values of `subject` in rows before
    /// `before`, or cannot be read; gives their number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_leftovers(&self, subject: &str, before: i64) -> Result<usize> {
        // Whoever folds has written files that are not named yet.
        let _queued = self.queue("fold").await?;
        let named: BTreeSet<Path> = self.table().await?.files.iter().map(|file| file.path.clone()).collect();
        let mut deleted = 0;
        for meta in self.data_files().await?.into_iter().filter(|meta| !named.contains(&meta.location)) {
            let is_to_go = match self.rows_of_subject(&unnamed(&meta), subject).await {
                Ok(batches) => count_to_erase(&batches, (subject, before))? > 0,
                Err(e) if is_gone(&e) => false,
                Err(e) if is_of_the_store(&e) => return Err(e),
                // Cut off: what it holds cannot be told, and puts that are under way show nothing of themselves.
                Err(_) => true,
            };
            if is_to_go {
                self.delete_data_file(&meta.location).await?;
                deleted += 1;
            }
        }
        if let Some(directory) = self.local_path("") {
            let sweep = move || sweep_staging(&directory, Duration::from_secs(STAGING_SECONDS));
            let swept = tokio::task::spawn_blocking(sweep).await;
            let swept = swept.map_err(|e| Error::internal("the sweep task died").because(e))?;
            swept.map_err(|e| Error::unavailable("cannot sweep staging files").because(e))?;
        }
        Ok(deleted)
    }

    /// Notes that an erasure is under way.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mark_erasure(&self, id: &str, marker: &[u8]) -> Result<()> {
        let path = self.paths.erasure(id);
        let put = self.location.objects.put(&path, marker.to_vec().into()).await;
        put.map(drop).map_err(|e| object_error("write", &path, e))
    }

    /// Notes that an erasure is done.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unmark_erasure(&self, id: &str) -> Result<()> {
        let path = self.paths.erasure(id);
        object::delete(&self.location.objects, &path).await
    }

    /// What is noted of the erasures that are under way.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn marked_erasures(&self) -> Result<Vec<Bytes>> {
        let mut marked = Vec::new();
        for meta in object::list(&self.location.objects, &self.paths.erasures()).await? {
            marked.extend(object::get(&self.location.objects, &meta.location).await?);
        }
        Ok(marked)
    }

    /// All data files that lie in the store, named by a version or not.
    pub(super) async fn data_files(&self) -> Result<Vec<ObjectMeta>> {
        let mut listed = object::list(&self.location.objects, &self.paths.events()).await?;
        listed.retain(|meta| Paths::month_of_file(&meta.location).is_some());
        Ok(listed)
    }

    /// Deletes a data file with its index and its touches.
    pub(super) async fn delete_data_file(&self, path: &Path) -> Result<()> {
        self.delete_beside(path).await;
        object::delete(&self.location.objects, path).await?;
        // Whoever saw the file a moment ago may have made its touches since.
        let _ = self.location.objects.delete(&self.indexes.touches_path(path)).await;
        Ok(())
    }

    /// Deletes what lies beside a data file. It may be missing; it is of no use without its file.
    pub(super) async fn delete_beside(&self, path: &Path) {
        let _ = self.location.objects.delete(&self.indexes.path_of(path)).await;
        let _ = self.location.objects.delete(&self.indexes.touches_path(path)).await;
    }
}

fn count_to_erase(batches: &[RecordBatch], erased: (&str, i64)) -> Result<u64> {
    let mut count = 0;
    for batch in batches {
        let rows = Rows::new(batch)?;
        count += (0..rows.len()).filter(|row| is_to_erase(&rows, *row, erased)).count() as u64;
    }
    Ok(count)
}

/// A file of which nothing is known but that it is there.
fn unnamed(meta: &ObjectMeta) -> DataFile {
    let month = Paths::month_of_file(&meta.location).unwrap_or_default().to_owned();
    let (path, bytes) = (meta.location.clone(), meta.size);
    DataFile { path, bytes, rows: 0, month, seq: (0, 0), occurred_at: (0, 0), recorded_at: (0, 0) }
}

fn changed(seq: i64) -> Error {
    Error::damaged(format!(
        "row {seq} does not give the leaf that the ledger holds: it was changed, and erasing would hide that; nothing was \
         replaced (`probity verify store`)"
    ))
}
