//! The rows that have a key, straight from the data files; and those that apply policies.
//!
//! In: a session's evidence, a column, a value. Out: whole stored rows in (`occurred_at`, `seq`) order. Invariant: all
//! such rows up to the session's as-of point, each once. The index of a data file says which of its pages to read;
//! where it tells nothing, the bloom filters of the file do.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::event::columns::stored_schema;
use crate::event::{Column, ENGINE_SOURCE, Rows};
use crate::limits::LOOKED_UP_EVENTS;
use crate::policy;
use crate::query::engine::Engine;
use crate::store::parquet::{RowsWith, looked_up, matching, sort};
use crate::store::snapshot::{DataFile, Snapshot};

/// Data files read at once.
const FILES_AT_ONCE: usize = 4;
/// What the events have that apply policies, as `queries/views/policies.sql` says; the rarest first, for what comes behind
/// is read of what it leaves alone.
const APPLIES_POLICY: [(Column, &str); 3] =
    [(Column::EventType, "config.changed"), (Column::Field, policy::FIELD), (Column::Source, ENGINE_SOURCE)];

/// Gathers rows up to the as-of point, within the bound of a look-up.
struct Gathered<F> {
    size: i64,
    keep: F,
    rows: Vec<RecordBatch>,
    count: usize,
}

impl<F: FnMut(&Rows<'_>, usize) -> bool> Gathered<F> {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = Rows::new(batch)?;
        let mut is_kept = vec![false; view.len()];
        for row in (0..view.len()).rev() {
            let is_before = view.long(Column::Seq, row).is_some_and(|seq| seq < self.size);
            is_kept[row] = is_before && (self.keep)(&view, row);
        }
        let kept = BooleanArray::from(is_kept);
        let count = kept.true_count();
        if count == 0 {
            return Ok(());
        }
        self.count += count;
        if self.count > LOOKED_UP_EVENTS {
            return Err(Error::limit(format!(
                "more than {LOOKED_UP_EVENTS} events have this key; read them with SQL, a period at a time"
            )));
        }
        let kept = filter_record_batch(batch, &kept);
        self.rows.push(kept.map_err(|e| Error::internal("cannot select events").because(e))?);
        Ok(())
    }
}

/// The rows whose text column `column` is `value` and that `keep` lets through; it is asked about the newest ones first,
/// as far as the files are told apart by time.
///
/// # Errors
/// Limit when there are more than [`LOOKED_UP_EVENTS`]; when a data file cannot be read.
pub(super) async fn by(
    engine: &Engine,
    column: Column,
    value: &str,
    keep: impl FnMut(&Rows<'_>, usize) -> bool,
) -> Result<RecordBatch> {
    let _place = engine.runtime.look_up().await?;
    let snapshot: &Snapshot = &engine.ground.snapshot;
    let size = engine.as_of().size;
    let mut gathered = Gathered { size, keep, rows: Vec::new(), count: 0 };
    let filter = RowsWith::texts(column, [value.to_owned()].into_iter().collect());
    for batch in snapshot.journal.iter().rev() {
        gathered.take(&in_journal(batch, &filter, column)?)?;
    }
    let mut files: Vec<&DataFile> = snapshot.files.iter().filter(|file| file.seq.0 < size).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.seq.1));
    let pages = snapshot.indexes.pages(&snapshot.objects, &files, column, &[value.to_owned()]).await;
    let held = files.into_iter().zip(pages).filter(|(_, pages)| pages.as_ref().is_none_or(|some| !some.is_empty()));
    let reading: Vec<_> = held
        .map(|(file, pages)| {
            let filter = &filter;
            async move { looked_up(&snapshot.objects, file, std::slice::from_ref(filter), pages.as_deref()).await }
        })
        .collect();
    let mut reading = stream::iter(reading).buffered(FILES_AT_ONCE);
    while let Some(batches) = reading.try_next().await? {
        batches.iter().rev().try_for_each(|batch| gathered.take(batch))?;
    }
    sorted(&gathered.rows)
}

/// The events that apply policies. Every dossier asks for them: what was found in a data file is remembered.
///
/// # Errors
/// Limit when there are more than [`LOOKED_UP_EVENTS`]; when a data file cannot be read.
pub(super) async fn policies(engine: &Engine) -> Result<RecordBatch> {
    let _place = engine.runtime.look_up().await?;
    let snapshot: &Snapshot = &engine.ground.snapshot;
    let size = engine.as_of().size;
    let mut gathered = Gathered { size, keep: |_: &Rows<'_>, _: usize| true, rows: Vec::new(), count: 0 };
    let filters =
        APPLIES_POLICY.map(|(column, value)| RowsWith::texts(column, [value.to_owned()].into_iter().collect()));
    for batch in &snapshot.journal {
        let mut left = batch.clone();
        for (filter, (column, _)) in filters.iter().zip(APPLIES_POLICY) {
            left = in_journal(&left, filter, column)?;
        }
        gathered.take(&left)?;
    }
    let files = snapshot.files.iter().filter(|file| file.seq.0 < size);
    let reading: Vec<_> = files.map(|file| policies_in(snapshot, file, &filters)).collect();
    let mut reading = stream::iter(reading).buffered(FILES_AT_ONCE);
    while let Some(batches) = reading.try_next().await? {
        batches.iter().try_for_each(|batch| gathered.take(batch))?;
    }
    sorted(&gathered.rows)
}

async fn policies_in(snapshot: &Snapshot, file: &DataFile, filters: &[RowsWith]) -> Result<Arc<[RecordBatch]>> {
    if let Some(known) = snapshot.indexes.policies_in(&file.path) {
        return Ok(known);
    }
    let found = looked_up(&snapshot.objects, file, filters, None).await?;
    let found = found.iter().map(copied).collect::<Result<Arc<[RecordBatch]>>>()?;
    snapshot.indexes.remember_policies(file.path.clone(), found.clone());
    Ok(found)
}

/// `batch` with texts of its own: it stays longer than the pages that they point into.
fn copied(batch: &RecordBatch) -> Result<RecordBatch> {
    let copy = |column: &ArrayRef| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()),
        None => column.clone(),
    };
    let copies = RecordBatch::try_new(batch.schema(), batch.columns().iter().map(copy).collect());
    copies.map_err(|e| Error::internal("cannot copy events out").because(e))
}

/// The row at place `seq`; no row where there is none.
///
/// # Errors
/// When a data file cannot be read.
pub(super) async fn at(engine: &Engine, seq: i64) -> Result<RecordBatch> {
    let _place = engine.runtime.look_up().await?;
    let snapshot: &Snapshot = &engine.ground.snapshot;
    let mut gathered =
        Gathered { size: engine.as_of().size, keep: |_: &Rows<'_>, _: usize| true, rows: Vec::new(), count: 0 };
    let filter = RowsWith::seqs([seq].into_iter().collect());
    let mut files: Vec<&DataFile> = snapshot.files.iter().filter(|f| f.seq.0 <= seq && seq <= f.seq.1).collect();
    // Late events widen what a file may hold: the narrowest has it most likely.
    files.sort_by_key(|file| file.seq.1 - file.seq.0);
    for file in files {
        for batch in matching(&snapshot.objects, file, &filter).await? {
            gathered.take(&batch)?;
        }
        if gathered.count > 0 {
            break;
        }
    }
    for batch in snapshot.journal.iter().filter(|_| seq >= snapshot.folded) {
        gathered.take(&in_journal(batch, &filter, Column::Seq)?)?;
    }
    sorted(&gathered.rows)
}

fn in_journal(batch: &RecordBatch, filter: &RowsWith, column: Column) -> Result<RecordBatch> {
    let wanted = filter.lets_through(batch.column(column as usize).as_ref());
    filter_record_batch(batch, &wanted).map_err(|e| Error::internal("cannot select events of the journal").because(e))
}

fn sorted(rows: &[RecordBatch]) -> Result<RecordBatch> {
    if rows.is_empty() { Ok(RecordBatch::new_empty(stored_schema())) } else { sort(rows) }
}
