//! How folded actions are made from evidence: all of them in buckets, or those that some events touch.
//!
//! In: a prefix of the evidence. Out: segments, or rows, of folded actions. Invariant: an action is folded from all
//! of its events at once. While everything is folded, events of an action that goes on are carried to the bucket
//! where it ends, so that memory holds one bucket and the actions in flight, whatever the size of the log.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, UInt32Array};
use arrow::compute::{and, concat_batches, filter_record_batch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::{HashMap, HashSet};
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::task::JoinHandle;

use super::segment::{self, Segment};
use super::{FOLD_BUCKET_ROWS, Projection, SEGMENT_ROWS};
use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::actions::{READ_BY, event_columns, fold, of_actions, rows_of};
use crate::event::columns::stored_schema;
use crate::store::index::hash_of;
use crate::store::parquet::{RowsWith, scan};
use crate::store::snapshot::{DataFile, Snapshot};

/// Low bits of a key that hold the bucket; the others are the hash of the action.
const BUCKET_BITS: u32 = 16;

/// Folds the actions of the first `size` events of `snapshot` into segments in `folder` of `target`.
///
/// # Errors
/// When evidence cannot be read or a segment not written.
pub async fn everything(
    snapshot: &Snapshot,
    size: i64,
    (target, folder, clock): (&Arc<dyn ObjectStore>, &Path, &Clock),
) -> Result<Vec<Segment>> {
    let ends = last_buckets(snapshot, size).await?;
    let mut buckets = Buckets::new(events(snapshot, size, event_columns()));
    let (mut pending, mut segments) = (Vec::new(), Vec::new());
    // While one bucket is folded, the next one is read.
    let mut folding: Option<JoinHandle<Result<Folded>>> = None;
    loop {
        let next = buckets.next().await?;
        let carried = match folding.take() {
            None => Vec::new(),
            Some(work) => {
                let (folded, carried) = work.await.map_err(|e| Error::internal("the fold task died").because(e))??;
                pending.push(folded);
                carried
            }
        };
        let is_last = next.is_none();
        if let Some((number, rows)) = next {
            let ends = ends.clone();
            folding = Some(tokio::task::spawn_blocking(move || fold_bucket(number, carried, rows, &ends)));
        }
        let actions: usize = pending.iter().map(RecordBatch::num_rows).sum();
        if actions >= SEGMENT_ROWS || is_last && actions > 0 {
            segments.push(segment::write(target, new_path(folder, clock), std::mem::take(&mut pending)).await?);
        }
        if is_last {
            return Ok(segments);
        }
    }
}

/// Folded actions, and the events of those that go on.
type Folded = (RecordBatch, Vec<RecordBatch>);

/// The name of a new segment in `folder`.
pub fn new_path(folder: &Path, clock: &Clock) -> Path {
    folder.clone().join(format!("{}.parquet", clock.id()))
}

/// Folds what ends in bucket `number`; gives that, and the events of actions that go on.
fn fold_bucket(
    number: usize,
    mut events: Vec<RecordBatch>,
    rows: Vec<RecordBatch>,
    ends: &HashMap<u64, u16>,
) -> Result<Folded> {
    events.extend(rows);
    let schema = events.first().map_or_else(events_schema, RecordBatch::schema);
    let all = concat_batches(&schema, &events).map_err(|e| Error::internal("cannot join events").because(e))?;
    drop(events);
    let actions = all.column_by_name(Column::ActionId.name()).and_then(|c| c.as_string_view_opt());
    let actions = actions.ok_or_else(|| Error::internal("events to fold lack their action"))?;
    let goes_on = |row: usize| {
        let end = ends.get(&(hash_of(actions.value(row)) >> BUCKET_BITS));
        end.is_some_and(|end| usize::from(*end) > number)
    };
    let going_on: Vec<u32> = (0..all.num_rows()).filter(|row| goes_on(*row)).map(|row| row as u32).collect();
    if going_on.is_empty() {
        return Ok((fold(&all)?, Vec::new()));
    }
    let mut is_ending = vec![true; all.num_rows()];
    going_on.iter().for_each(|row| is_ending[*row as usize] = false);
    let ending: UInt32Array = (0..all.num_rows() as u32).filter(|row| is_ending[*row as usize]).collect();
    let ended = arrow::compute::take_record_batch(&all, &ending)
        .map_err(|e| Error::internal("cannot take events").because(e))?;
    Ok((fold(&ended)?, vec![rows_of(&all, &UInt32Array::from(going_on))?]))
}

/// For each action that has events in several buckets, the last of them; by hash: actions that share one only
/// go on for longer than they had to.
async fn last_buckets(snapshot: &Snapshot, size: i64) -> Result<Arc<HashMap<u64, u16>>> {
    let columns = READ_BY.into_iter().chain([Column::Seq]).collect();
    let mut buckets = Buckets::new(events(snapshot, size, columns));
    let mut keys: Vec<u64> = Vec::new();
    while let Some((number, rows)) = buckets.next().await? {
        let from = keys.len();
        for batch in &rows {
            let Some(actions) = batch.column_by_name(Column::ActionId.name()).and_then(|c| c.as_string_view_opt())
            else {
                continue;
            };
            let hashes = actions.iter().flatten().map(hash_of);
            keys.extend(hashes.map(|hash| hash >> BUCKET_BITS << BUCKET_BITS | number as u64));
        }
        keys[from..].sort_unstable();
        let mut distinct = keys.split_off(from);
        distinct.dedup();
        keys.extend(distinct);
    }
    keys.sort_unstable();
    let pairs = keys.windows(2).filter(|pair| pair[0] >> BUCKET_BITS == pair[1] >> BUCKET_BITS);
    // Keys of one hash ascend by bucket: the last insertion is the last bucket.
    Ok(Arc::new(pairs.map(|pair| (pair[1] >> BUCKET_BITS, pair[1] as u16)).collect()))
}

fn events_schema() -> SchemaRef {
    let stored = stored_schema();
    Arc::new(Schema::new(event_columns().iter().map(|c| stored.field(*c as usize).clone()).collect::<Vec<_>>()))
}

/// The first `size` events of `snapshot`, file after file in the order of time, the journal last.
fn events(snapshot: &Snapshot, size: i64, columns: Vec<Column>) -> BoxStream<'static, Result<(RecordBatch, i64)>> {
    let mut files: Vec<DataFile> = snapshot.files.iter().filter(|file| file.seq.0 < size).cloned().collect();
    files.sort_by_key(|file| (file.occurred_at, file.seq));
    let objects = snapshot.objects.clone();
    let journal: Vec<Result<RecordBatch>> = snapshot.journal.iter().map(|batch| project(batch, &columns)).collect();
    let of_files = stream::iter(files).then(move |file| {
        let (objects, columns) = (objects.clone(), columns.clone());
        async move { scan(&objects, &file, &columns, None).await }
    });
    of_files.try_flatten().chain(stream::iter(journal)).map_ok(move |batch| (batch, size)).boxed()
}

fn project(batch: &RecordBatch, columns: &[Column]) -> Result<RecordBatch> {
    let places: Vec<usize> = columns.iter().map(|column| *column as usize).collect();
    batch.project(&places).map_err(|e| Error::internal("the journal does not follow the evidence schema").because(e))
}

/// Events cut into buckets by their place in the stream, the same places whatever columns are read.
struct Buckets {
    events: BoxStream<'static, Result<(RecordBatch, i64)>>,
    rest: Option<RecordBatch>,
    number: usize,
    is_over: bool,
}

impl Buckets {
    fn new(events: BoxStream<'static, Result<(RecordBatch, i64)>>) -> Self {
        Self { events, rest: None, number: 0, is_over: false }
    }

    /// The next bucket: its number and the rows in it that a fold reads.
    async fn next(&mut self) -> Result<Option<(usize, Vec<RecordBatch>)>> {
        if self.is_over {
            return Ok(None);
        }
        let (mut kept, mut left) = (Vec::new(), FOLD_BUCKET_ROWS);
        while left > 0 {
            let batch = match self.rest.take() {
                Some(batch) => batch,
                None => match self.events.try_next().await? {
                    Some((batch, size)) => before(&batch, size)?,
                    None => {
                        self.is_over = true;
                        break;
                    }
                },
            };
            let taken = batch.num_rows().min(left);
            left -= taken;
            if taken < batch.num_rows() {
                self.rest = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            let part = batch.slice(0, taken);
            kept.push(keep(&part, &of_actions(&part)?)?);
        }
        self.number += 1;
        Ok(Some((self.number - 1, kept)))
    }
}

/// The rows of `batch` with a `seq` below `size`.
fn before(batch: &RecordBatch, size: i64) -> Result<RecordBatch> {
    within(batch, 0..size)
}

fn within(batch: &RecordBatch, range: Range<i64>) -> Result<RecordBatch> {
    let seq = batch.column_by_name(Column::Seq.name()).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let seq = seq.ok_or_else(|| Error::internal("events to fold lack their `seq`"))?;
    if seq.values().iter().all(|seq| range.contains(seq)) {
        return Ok(batch.clone());
    }
    keep(batch, &seq.values().iter().map(|seq| Some(range.contains(seq))).collect())
}

fn keep(batch: &RecordBatch, rows: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, rows).map_err(|e| Error::internal("cannot select events").because(e))
}

/// Actions that events behind a projection touch: folded anew, and where their old rows stand.
#[derive(Debug)]
pub struct Touched {
    /// Rows of [`action_schema`](crate::event::actions::action_schema).
    pub actions: RecordBatch,
    /// The projection with the old rows marked as replaced.
    pub before: Projection,
}

/// Folds the actions that the events `before.covers..size` of `snapshot` touch.
///
/// # Errors
/// When evidence or segments cannot be read.
pub async fn touched(
    snapshot: &Snapshot,
    size: i64,
    objects: &Arc<dyn ObjectStore>,
    mut before: Projection,
) -> Result<Touched> {
    let new = before.covers..size;
    let mut events = read(snapshot, &new, None, Micros::MIN).await?;
    let ids: HashSet<String> = events.iter().flat_map(actions_in).collect();
    let ids = Arc::new(ids);
    let mut since: Option<Micros> = None;
    if !ids.is_empty() {
        for segment in &mut before.segments {
            let found = segment::find(objects, segment, &ids).await?;
            since = since.into_iter().chain(found.first_event_at).min();
            if !found.rows.is_empty() {
                Arc::make_mut(&mut segment.replaced).extend(found.rows);
            }
        }
    }
    if let Some(since) = since {
        events.extend(read(snapshot, &(0..new.start), Some(&ids), since).await?);
    }
    let all =
        concat_batches(&events_schema(), &events).map_err(|e| Error::internal("cannot join events").because(e))?;
    let folded = tokio::task::spawn_blocking(move || fold(&all)).await;
    let actions = folded.map_err(|e| Error::internal("the fold task died").because(e))??;
    Ok(Touched { actions, before })
}

fn actions_in(batch: &RecordBatch) -> Vec<String> {
    let column = batch.column_by_name(Column::ActionId.name()).and_then(|c| c.as_string_view_opt());
    column.map(|actions| actions.iter().flatten().map(str::to_owned).collect()).unwrap_or_default()
}

/// Events with a `seq` in `range` that a fold reads; of the actions `ids` only, and none before `since`.
async fn read(
    snapshot: &Snapshot,
    range: &Range<i64>,
    ids: Option<&Arc<HashSet<String>>>,
    since: Micros,
) -> Result<Vec<RecordBatch>> {
    let columns = event_columns();
    let files = snapshot.files.iter().filter(|file| {
        file.seq.0 < range.end && file.seq.1 >= range.start && file.occurred_at.1 >= since && !range.is_empty()
    });
    let mut kept = Vec::new();
    let mut take = |batch: RecordBatch| -> Result<()> {
        let batch = within(&batch, range.clone())?;
        let mut rows = of_actions(&batch)?;
        if let Some(ids) = ids {
            let actions = batch.column_by_name(Column::ActionId.name());
            let actions = actions.ok_or_else(|| Error::internal("events to fold lack their action"))?;
            let wanted = RowsWith::shared_texts(Column::ActionId, ids.clone()).lets_through(actions.as_ref());
            rows = and(&rows, &wanted).map_err(|e| Error::internal("cannot select events").because(e))?;
        }
        if rows.true_count() > 0 {
            kept.push(keep(&batch, &rows)?);
        }
        Ok(())
    };
    for file in files {
        let filter = match ids {
            Some(ids) => Some(RowsWith::shared_texts(Column::ActionId, ids.clone())),
            None if range.start <= file.seq.0 && file.seq.1 < range.end => None,
            None => Some(RowsWith::seq_range(range.clone())),
        };
        let mut batches = scan(&snapshot.objects, file, &columns, filter).await?;
        while let Some(batch) = batches.try_next().await? {
            take(batch)?;
        }
    }
    for batch in &snapshot.journal {
        take(project(batch, &columns)?)?;
    }
    Ok(kept)
}
