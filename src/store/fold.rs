//! The fold: journal objects become sorted Parquet and one Delta commit.
//!
//! Chain from the table's size on → rows by month → files → commit with transaction `ledger` = new size → tiles and
//! signed checkpoint (`store::log`) → folded objects deleted. Invariant: killed between any two steps, the next fold
//! finds a table and a journal that together hold every acknowledged event once; recovery is this code and no other.

use arrow::record_batch::RecordBatch;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use super::Store;
use super::index;
use super::journal::{Entry, Segment, chain};
use super::making::{Made, Spans};
use super::object::object_error;
use super::parquet::{self, Effort};
use super::snapshot::DataFile;
use super::table::{Committed, TableState};
use super::touches;
use crate::clock::SECOND;
use crate::error::{Error, Result};
use crate::event::batch::bytes_of;
use crate::event::{Column, Leaf, Rows};
use crate::limits::{
    APPEND_ATTEMPTS, COMMITS_PER_CHECKPOINT, FOLD_AGE_SECONDS, FOLD_BYTES, FOLD_OBJECTS, FOLD_STEP_BYTES,
};

/// Journal objects that a fold reads at once.
const FOLD_READ_AHEAD: usize = 4;

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    /// Events that went from the journal into the table.
    pub events: i64,
    /// Data files written.
    pub files: usize,
}

impl Store {
    /// Whether the journal is large, long or old enough to be folded.
    ///
    /// # Errors
    /// When the journal cannot be listed.
    pub async fn is_fold_due(&self) -> Result<bool> {
        let size = self.table().await?.size;
        let entries = self.journal.list(size).await?;
        let bytes: u64 = entries.iter().map(|e| e.bytes).sum();
        let oldest = entries.iter().map(|e| e.put_at).min().unwrap_or(i64::MAX);
        let is_old = oldest <= self.clock.now() - FOLD_AGE_SECONDS * SECOND;
        Ok(bytes >= FOLD_BYTES || entries.len() >= FOLD_OBJECTS || is_old)
    }

    /// Folds the whole journal.
    ///
    /// # Errors
    /// When the store fails; what was acknowledged stays in the journal then.
    pub async fn fold(&self) -> Result<Folded> {
        self.fold_before(i64::MAX).await
    }

    /// Folds the journal objects that begin before `end`, so that whoever appends meanwhile is not run after in ever
    /// smaller steps, each with files and a commit of its own.
    ///
    /// # Errors
    /// As [`Store::fold`].
    pub async fn fold_before(&self, end: i64) -> Result<Folded> {
        let _queued = self.queue("fold").await?;
        self.check_not_rolled_back().await?;
        let mut folded = Folded::default();
        for _ in 0..APPEND_ATTEMPTS {
            let state = self.table().await?;
            let entries = self.journal.list(0).await?;
            let (dead, live): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|e| e.first_seq < state.size);
            self.journal.delete(dead.into_iter().map(|e| e.path).collect()).await?;
            let live: Vec<Entry> = live.into_iter().filter(|e| e.first_seq < end).collect();
            if live.is_empty() {
                self.seal(None).await?;
                return Ok(folded);
            }
            let step = self.step(&state, live).await?;
            if step.is_empty() {
                // The chain does not start at the table's size: somebody folds beside us, or a gap.
                self.prefix().await?;
                continue;
            }
            let files = self.fold_step(state, &step).await?;
            folded.files += files;
            if files > 0 {
                folded.events += step.last().map_or(0, Segment::end) - step[0].first_seq;
            }
        }
        Ok(folded)
    }

    /// The first part of the chain, as much as may be held in memory at once.
    async fn step(&self, state: &TableState, live: Vec<Entry>) -> Result<Vec<Segment>> {
        let (mut linked, mut end, mut bytes) = (Vec::new(), state.size, 0);
        for entries in live.chunks(FOLD_READ_AHEAD) {
            let (next, has_gap) = chain(self.read_segments(entries).await?, end);
            bytes += next.iter().map(|s| bytes_of(&s.rows)).sum::<usize>();
            end = next.last().map_or(end, Segment::end);
            let is_broken = has_gap || next.is_empty();
            linked.extend(next);
            if is_broken || bytes >= FOLD_STEP_BYTES {
                break;
            }
        }
        Ok(linked)
    }

    /// Writes and commits one step; gives the number of files, 0 when somebody else folded first.
    async fn fold_step(&self, mut state: TableState, step: &[Segment]) -> Result<usize> {
        let size = step.last().map_or(state.size, Segment::end);
        let (files, leaves) = tokio::join!(self.write_months(step.iter().map(|s| &s.rows)), leaves_of(step));
        let (files, leaves) = (files?, leaves?);
        for _ in 0..APPEND_ATTEMPTS {
            match self.table.commit_fold(&state, &files, size).await? {
                Committed::Done => {
                    let known = step.first().map(|segment| (segment.first_seq, leaves.as_slice()));
                    self.seal(known).await?;
                    let done = step.iter().map(|s| self.paths.journal_object(s.first_seq)).collect();
                    self.journal.delete(done).await?;
                    self.checkpoint_if_due().await?;
                    return Ok(files.len());
                }
                Committed::Lost => {
                    let now = self.table().await?;
                    if now.size != state.size {
                        break;
                    }
                    state = now; // a compaction came between: the same files extend the new version as well
                }
            }
        }
        self.discard(&files).await;
        Ok(0)
    }

    async fn write_months(&self, batches: impl Iterator<Item = &RecordBatch>) -> Result<Vec<DataFile>> {
        let batches: Vec<RecordBatch> = batches.cloned().collect();
        let months = tokio::task::spawn_blocking(move || -> Result<Vec<(String, RecordBatch)>> {
            Ok(split_months(&parquet::sort(&batches)?))
        });
        let months = months.await.map_err(|e| Error::internal("the sort task died").because(e))??;
        let mut files = Vec::with_capacity(months.len());
        for (month, rows) in months {
            files.push(self.write_file(&month, vec![rows], Effort::Fold).await?);
        }
        Ok(files)
    }

    /// Writes sorted rows of one month as one durable data file, not yet named by any commit.
    pub(super) async fn write_file(&self, month: &str, batches: Vec<RecordBatch>, effort: Effort) -> Result<DataFile> {
        let spans = Spans::of_all(&batches);
        let rows = batches.iter().map(|b| b.num_rows() as u64).sum();
        // Side by side: a fold that lags behind makes whoever appends wait.
        let shared = batches.clone();
        let beside = tokio::task::spawn_blocking(move || (index::encode(&shared), touches::encode(&shared)));
        let encoded = tokio::task::spawn_blocking(move || parquet::encode(&batches, effort));
        let died = |e: tokio::task::JoinError| Error::internal("the encode task died").because(e);
        let bytes = encoded.await.map_err(died)??;
        let (index, touches) = beside.await.map_err(died)?;
        self.put_file(month, Made { bytes, index, touches, rows, spans }).await
    }

    /// Makes a data file of `month` durable; no commit names it yet.
    pub(super) async fn put_file(&self, month: &str, made: Made) -> Result<DataFile> {
        let Made { bytes, index, touches, rows, spans: Spans { seq, occurred_at, recorded_at } } = made;
        let path = self.paths.data_file(month, seq.0, seq.1, &self.clock.id());
        let length = bytes.len() as u64;
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        match self.location.objects.put_opts(&path, bytes.into(), options).await {
            Ok(_) => {}
            // The name is random: if it is taken, it was this put whose answer was lost; its length tells.
            Err(e) => match self.location.objects.head(&path).await {
                Ok(meta) if meta.size == length => {}
                _ => return Err(object_error("write", &path, e)),
            },
        }
        for (at, beside) in [(self.indexes.path_of(&path), index), (self.indexes.touches_path(&path), touches)] {
            if let Some(bytes) = beside {
                self.location.objects.put(&at, bytes.into()).await.map_err(|e| object_error("write", &at, e))?;
            }
        }
        Ok(DataFile { path, bytes: length, rows, month: month.to_owned(), seq, occurred_at, recorded_at })
    }

    /// Deletes files that no commit ever named; where that cannot be told, they are left to vacuum.
    pub(super) async fn discard(&self, files: &[DataFile]) {
        let Ok(now) = self.table().await else { return };
        let Ok(removed) = self.table.removed(&now).await else { return };
        for file in files {
            let is_named = now.files.iter().any(|named| named.path == file.path) || removed.contains_key(&file.path);
            if !is_named {
                let _ = self.location.objects.delete(&file.path).await;
                self.delete_beside(&file.path).await;
            }
        }
    }

    async fn checkpoint_if_due(&self) -> Result<()> {
        let state = self.table().await?;
        if state.version > 0 && (state.version as u64).is_multiple_of(COMMITS_PER_CHECKPOINT) {
            self.table.checkpoint(&state).await?;
        }
        Ok(())
    }

    /// Writes a Delta checkpoint of the newest version; gives that version.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn checkpoint(&self) -> Result<i64> {
        let state = self.table().await?;
        self.table.checkpoint(&state).await?;
        Ok(state.version)
    }
}

/// The leaf hashes of a step, in `seq` order.
async fn leaves_of(step: &[Segment]) -> Result<Vec<Leaf>> {
    let step = step.to_vec();
    let hashing = tokio::task::spawn_blocking(move || -> Result<Vec<Leaf>> {
        let mut all = Vec::new();
        for segment in &step {
            all.extend_from_slice(&segment.leaves()?);
        }
        Ok(all)
    });
    hashing.await.map_err(|e| Error::internal("the hash task died").because(e))?
}

/// Cuts rows sorted by `occurred_at` at the borders of months.
fn split_months(rows: &RecordBatch) -> Vec<(String, RecordBatch)> {
    let Ok(view) = Rows::new(rows) else { return Vec::new() };
    let month = |row: usize| view.text(Column::OccurredMonth, row).unwrap_or_default();
    let mut months = Vec::new();
    let mut from = 0;
    for row in 1..=view.len() {
        if row == view.len() || month(row) != month(from) {
            months.push((month(from).to_owned(), rows.slice(from, row - from)));
            from = row;
        }
    }
    months
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::assign;
    use crate::event::{BatchBuilder, json};
    use crate::store::object::Location;

    const NOW: i64 = 1_775_000_000_000_000;

    /// Appends two events.
    async fn append(store: &Store, first_seq: i64) {
        let mut builder = BatchBuilder::default();
        for seq in first_seq..first_seq + 2 {
            let text = format!(r#"{{"event_id":"{seq}","source":"s","occurred_at":"2026-03-01T09:00:00Z"}}"#);
            builder.append(&json::decode(text.as_bytes()).unwrap());
        }
        let rows = assign(&builder.finish(), first_seq, NOW, store.clock()).unwrap();
        store.journal().append(first_seq, &rows, "w").await.unwrap();
    }

    #[tokio::test]
    async fn a_fold_with_an_end_leaves_what_was_appended_behind_it() {
        let store = Store::create(Location::memory(), "default", Clock::fixed(NOW)).await.unwrap();
        for first_seq in [0, 2, 4] {
            append(&store, first_seq).await;
        }
        assert_eq!(store.fold_before(4).await.unwrap(), Folded { events: 4, files: 1 });
        let left: Vec<i64> = store.journal().list(0).await.unwrap().iter().map(|entry| entry.first_seq).collect();
        assert_eq!((left, store.snapshot().await.unwrap().size), (vec![4], 6));
        assert_eq!(store.fold_before(4).await.unwrap(), Folded::default());
        assert_eq!(store.fold().await.unwrap(), Folded { events: 2, files: 1 });
    }
}
