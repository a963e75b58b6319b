//! Compaction and vacuum: few large sorted files per month instead of many small ones.
//!
//! In: the files of a month. Out: files of about [`COMPACTED_FILE_BYTES`] with the same rows, sorted and
//! non-overlapping, committed with `dataChange=false`. Invariant: the new files are read back and hold the same
//! multiset of leaf hashes as the old ones before the commit, let alone before anything is deleted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::path::Path;

use super::Store;
use super::durable::sweep_staging;
use super::making::Growing;
use super::object::object_error;
use super::parquet;
use super::paths::Paths;
use super::snapshot::DataFile;
use super::table::{Committed, Replacement, TableState};
use crate::clock::{Micros, SECOND};
use crate::error::{Error, Result};
use crate::event::{Column, Leaf, Rows, leaves};
use crate::limits::{
    APPEND_ATTEMPTS, COMPACTED_FILE_BYTES, COMPACTION_FILES, ORPHAN_SECONDS, PAGE_ROWS, SMALL_FILES_PER_MONTH,
    VACUUM_GRACE_SECONDS,
};

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files replaced.
    pub replaced: usize,
    /// Files written.
    pub written: usize,
    /// Rows moved, each with its leaf hash checked.
    pub rows: u64,
}

/// What a vacuum deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Data files that no version in use names.
    pub files: usize,
    /// Objects of earlier projections.
    pub projection: usize,
    /// Staging files of killed processes.
    pub staging: usize,
    /// Quarantine entries past their age.
    pub quarantine: usize,
}

impl Store {
    /// Merges the small files of every month; of months with many of them only where `only_due`.
    ///
    /// # Errors
    /// When the store fails, or the new files do not hold what the old ones held: then nothing is replaced.
    pub async fn compact(&self, due: Due) -> Result<Compacted> {
        let _queued = self.queue("compact").await?;
        let mut done = Compacted::default();
        loop {
            let state = self.table().await?;
            let Some(group) = next_group(&state.files, due) else { return Ok(done) };
            let step = self.compact_group(&state, &group).await?;
            if step.replaced == 0 {
                return Ok(done);
            }
            done.replaced += step.replaced;
            done.written += step.written;
            done.rows += step.rows;
        }
    }

    async fn compact_group(&self, state: &TableState, group: &[DataFile]) -> Result<Compacted> {
        let (written, before) = self.merge(group).await?;
        let after = self.leaf_sum(&written).await?;
        if before != after {
            self.discard(&written).await;
            return Err(Error::damaged(format!(
                "compaction of {} would change evidence: {} rows went in, {} came out, or their leaf hashes differ; nothing was replaced",
                group[0].month, before.rows, after.rows
            )));
        }
        match self.replace(state.clone(), (group, &written), &Replacement::Compaction).await? {
            true => Ok(Compacted { replaced: group.len(), written: written.len(), rows: before.rows }),
            false => Ok(Compacted::default()),
        }
    }

    /// Commits that `new` files take the place of `old` ones, whatever else is committed beside it. False when an old
    /// one was replaced meanwhile: then the new ones are discarded.
    pub(super) async fn replace(
        &self,
        mut state: TableState,
        (old, new): (&[DataFile], &[DataFile]),
        why: &Replacement<'_>,
    ) -> Result<bool> {
        for _ in 0..APPEND_ATTEMPTS {
            if !state.names_all(old) {
                break;
            }
            if self.table.commit_replacement(&state, (old, new), why).await? == Committed::Done {
                return Ok(true);
            }
            state = self.table().await?;
        }
        self.discard(new).await;
        Ok(false)
    }

    /// Merges sorted files into sorted files; gives them with the leaf sum of what was read.
    async fn merge(&self, group: &[DataFile]) -> Result<(Vec<DataFile>, LeafSum)> {
        let all = Column::all();
        let mut inputs = Vec::with_capacity(group.len());
        for file in group {
            inputs.push(parquet::scan(&self.location.objects, file, &all, None).await?);
        }
        let bytes_per_row =
            group.iter().map(|f| f.bytes).sum::<u64>() as f64 / group.iter().map(|f| f.rows).sum::<u64>().max(1) as f64;
        let rows_per_file =
            ((COMPACTED_FILE_BYTES as f64 / bytes_per_row.max(1.0)) as usize).clamp(PAGE_ROWS, MERGED_FILE_ROWS);
        let mut merged = Merge::new(inputs).await?;
        let (mut written, mut sum) = (Vec::new(), LeafSum::default());
        let (mut growing, mut rows) = (Growing::start(rows_per_file), 0);
        while let Some(batch) = merged.next().await? {
            sum.add(&batch)?;
            rows += batch.num_rows();
            if growing.push(batch).await.is_err() || rows >= rows_per_file {
                let full = std::mem::replace(&mut growing, Growing::start(rows_per_file));
                written.extend(self.put_grown(&group[0].month, full).await?);
                rows = 0;
            }
        }
        written.extend(self.put_grown(&group[0].month, growing).await?);
        Ok((written, sum))
    }

    async fn put_grown(&self, month: &str, growing: Growing) -> Result<Option<DataFile>> {
        match growing.finish().await? {
            Some(made) => self.put_file(month, made).await.map(Some),
            None => Ok(None),
        }
    }

    /// The leaf hashes of what is in `files`.
    pub(super) async fn leaf_sum(&self, files: &[DataFile]) -> Result<LeafSum> {
        let all = Column::all();
        let mut sum = LeafSum::default();
        for file in files {
            let mut rows = parquet::scan(&self.location.objects, file, &all, None).await?;
            while let Some(batch) = rows.try_next().await? {
                sum.add(&batch)?;
            }
        }
        Ok(sum)
    }

    /// Deletes data files that the newest version does not name, once queries that may still read them had
    /// [`VACUUM_GRACE_SECONDS`], and what killed processes and old refusals left behind. Replaced files of the months
    /// that `is_held` names stay, and what was refused in them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn vacuum(&self, is_held: impl Fn(&str) -> bool) -> Result<Vacuumed> {
        let _queued = self.queue("fold").await?;
        let state = self.table().await?;
        let named: HashSet<&Path> = state.files.iter().map(|f| &f.path).collect();
        let removed: HashMap<Path, Micros> = self.table.removed(&state).await?;
        let folder = self.paths.events();
        let listed: Vec<_> = self
            .location
            .objects
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|e| object_error("list", &folder, e))?;
        let now = self.clock.now();
        let mut done = Vacuumed::default();
        for meta in listed {
            let Some(month) = Paths::month_of_file(&meta.location) else { continue };
            let unused_since = match removed.get(&meta.location) {
                Some(at) => at + VACUUM_GRACE_SECONDS * SECOND,
                None => meta.last_modified.timestamp_micros() + ORPHAN_SECONDS * SECOND,
            };
            if !named.contains(&meta.location) && unused_since < now && !is_held(month) {
                self.delete_data_file(&meta.location).await?;
                done.files += 1;
            }
        }
        done.projection = self.sweep_projection().await?;
        done.quarantine = self.expire_quarantine(&is_held).await?;
        if let Some(directory) = self.local_path("") {
            let age = Duration::from_secs(ORPHAN_SECONDS as u64);
            let swept = tokio::task::spawn_blocking(move || sweep_staging(&directory, age)).await;
            let swept = swept.map_err(|e| Error::internal("the sweep task died").because(e))?;
            done.staging = swept.map_err(|e| Error::unavailable("cannot sweep staging files").because(e))?;
        }
        Ok(done)
    }
}

/// Rows of one merged file at most, whatever their size on disk: what lies beside it is held in memory.
const MERGED_FILE_ROWS: usize = 1024 * 1024;

/// Which months a compaction looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Every month with two files or more that can be merged.
    Any,
    /// Months with at least [`SMALL_FILES_PER_MONTH`] small files.
    Many,
}

/// The next files to merge: small files of one month, oldest first.
fn next_group(files: &[DataFile], due: Due) -> Option<Vec<DataFile>> {
    let mut months: BTreeMap<&str, Vec<&DataFile>> = BTreeMap::new();
    for file in files {
        let is_small = file.bytes < COMPACTED_FILE_BYTES / 2 && file.rows < MERGED_FILE_ROWS as u64 / 2;
        if is_small {
            months.entry(&file.month).or_default().push(file);
        }
    }
    let least = match due {
        Due::Any => 2,
        Due::Many => SMALL_FILES_PER_MONTH,
    };
    let (_, mut small) = months.into_iter().find(|(_, small)| small.len() >= least)?;
    small.sort_by_key(|f| (f.bytes, f.seq));
    Some(small.into_iter().take(COMPACTION_FILES).cloned().collect())
}

/// A multiset of leaf hashes: their number and their sum modulo 2^256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeafSum {
    rows: u64,
    sum: [u64; 4],
}

impl LeafSum {
    /// Adds the rows of `batch`.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for leaf in leaves(&Rows::new(batch)?) {
            self.add_leaf(&leaf);
        }
        Ok(())
    }

    fn add_leaf(&mut self, leaf: &Leaf) {
        self.rows += 1;
        let mut carry = 0u128;
        for (word, bytes) in self.sum.iter_mut().zip(leaf.chunks_exact(8)) {
            let part = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
            let total = u128::from(*word) + u128::from(part) + carry;
            *word = total as u64;
            carry = total >> 64;
        }
    }
}

/// Merges streams sorted by (`occurred_at`, `seq`) into one such stream.
struct Merge {
    inputs: Vec<BoxStream<'static, Result<RecordBatch>>>,
    cursors: Vec<Option<Cursor>>,
    heap: BinaryHeap<Reverse<(Micros, i64, usize)>>,
}

/// Where an input stands.
struct Cursor {
    batch: RecordBatch,
    occurred_at: TimestampMicrosecondArray,
    seq: Int64Array,
    row: usize,
}

impl Cursor {
    fn new(batch: RecordBatch) -> Self {
        let occurred_at = batch.column(Column::OccurredAt as usize).as_primitive().clone();
        let seq = batch.column(Column::Seq as usize).as_primitive().clone();
        Self { batch, occurred_at, seq, row: 0 }
    }

    fn is_used_up(&self) -> bool {
        self.row >= self.batch.num_rows()
    }
}

impl Merge {
    async fn new(inputs: Vec<BoxStream<'static, Result<RecordBatch>>>) -> Result<Self> {
        let cursors = inputs.iter().map(|_| None).collect();
        let mut merge = Self { inputs, cursors, heap: BinaryHeap::new() };
        for input in 0..merge.inputs.len() {
            merge.fill(input).await?;
        }
        Ok(merge)
    }

    /// Puts the next row of `input` on the heap, reading on where its batch is used up.
    async fn fill(&mut self, input: usize) -> Result<()> {
        while self.cursors[input].as_ref().is_none_or(Cursor::is_used_up) {
            match self.inputs[input].try_next().await? {
                Some(batch) => self.cursors[input] = Some(Cursor::new(batch)),
                None => {
                    self.cursors[input] = None;
                    return Ok(());
                }
            }
        }
        if let Some(cursor) = &self.cursors[input] {
            self.heap.push(Reverse((cursor.occurred_at.value(cursor.row), cursor.seq.value(cursor.row), input)));
        }
        Ok(())
    }

    /// The next rows in order, some thousands.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut slots: Vec<Option<usize>> = vec![None; self.inputs.len()];
        let mut picks = Vec::with_capacity(PAGE_ROWS);
        while picks.len() < PAGE_ROWS {
            let Some(Reverse((_, _, input))) = self.heap.pop() else { break };
            let Some(cursor) = &mut self.cursors[input] else { continue };
            let slot = *slots[input].get_or_insert_with(|| {
                batches.push(cursor.batch.clone());
                batches.len() - 1
            });
            picks.push((slot, cursor.row));
            cursor.row += 1;
            if cursor.is_used_up() {
                slots[input] = None;
            }
            self.fill(input).await?;
        }
        if picks.is_empty() {
            return Ok(None);
        }
        let refs: Vec<&RecordBatch> = batches.iter().collect();
        let merged = interleave_record_batch(&refs, &picks);
        merged.map(Some).map_err(|e| Error::internal("cannot merge data files").because(e))
    }
}
