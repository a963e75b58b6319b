//! What the two passes are fed: much of few columns in the order of time, then few events in full.
//!
//! In: a scope, what the first pass needs. Out: events in (`occurred_at`, `seq`) order, each once, none past the as-of
//! point. Invariant: what is left out cannot matter. The first pass streams; data files declare their order, so that
//! nothing is sorted unless too many of them overlap. The second pass looks its events up by action and by `seq`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray, UInt32Array, new_null_array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::JoinType;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::HashSet;
use object_store::ObjectStore;
use tokio::sync::mpsc;

use super::{Ground, instant};
use crate::blast::{Needed, REACH_COLUMNS, Reach, Scope, TRACE_COLUMNS};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::actions::rows_of;
use crate::event::batch::with_own_text;
use crate::event::columns::stored_schema;
use crate::event::{Column, Rows};
use crate::query::engine::EVIDENCE;
use crate::query::failure;
use crate::store::parquet::{self, RowsWith};
use crate::store::snapshot::DataFile;

/// The environment whose actions are folded.
const FOLDED: &str = "production";
const ACTION_ID: &str = "action_id";
/// Batches decoded ahead of the first pass.
const BATCHES_AHEAD: usize = 4;
/// Data files in which events are looked up at once.
const FILES_AT_ONCE: usize = 4;
/// Actions looked up in the indexes; with more, the column is read.
const LOOKED_UP: usize = 64;

/// Events to look up.
struct Wanted<'a> {
    actions: &'a [String],
    /// Ascending.
    seqs: &'a [i64],
    columns: &'a [Column],
    /// From an instant on, and before another.
    span: (Micros, Micros),
}

impl Ground {
    /// When the first event of `actions` happened, or earlier; each has one at `known_at` or later, and one of them
    /// then.
    pub(super) async fn beginning(&self, scope: &Scope, actions: &[String], known_at: Micros) -> Result<Micros> {
        if scope.environment != FOLDED {
            // Only production is folded: of others all of the past is read.
            return Ok(Micros::MIN);
        }
        let folded = self.views.folded().await?.reading()?;
        let plan = folded
            .filter(ident("last_event_at").gt_eq(instant(known_at)))
            .and_then(|folded| folded.join(ids(actions)?, JoinType::LeftSemi, (vec![ACTION_ID], vec![ACTION_ID]), None))
            .and_then(|own| {
                own.aggregate(Vec::<Expr>::new(), [min(ident("first_event_at")).alias("first_at")])?.build()
            })
            .map_err(failure::error)?;
        let mut rows = self.rows(&plan).await?;
        let mut first_at = known_at;
        while let Some(batch) = rows.try_next().await.map_err(failure::running)? {
            let earliest = arrow::compute::min(batch.column(0).as_primitive::<TimestampMicrosecondType>());
            first_at = first_at.min(earliest.unwrap_or(known_at));
        }
        Ok(first_at)
    }

    /// The first pass, from `start` on.
    pub(super) async fn reach(&self, scope: &Scope, start: Micros) -> Result<Needed> {
        let mut reach = Reach::new(scope);
        if !scope.remembered.is_empty() {
            let (actions, span) = (scope.remembered.as_slice(), (Micros::MIN, start));
            reach.feed(&self.events(&Wanted { actions, seqs: &[], columns: &REACH_COLUMNS, span }).await?)?;
        }
        let mut rows = self.rows(&self.log(scope, start)?).await?;
        // Decoding goes on while events are judged; dropping the task ends it.
        let (send, mut receive) = mpsc::channel(BATCHES_AHEAD);
        let decoding = SpawnedTask::spawn(async move {
            while let Some(batch) = rows.next().await {
                if send.send(batch).await.is_err() {
                    break;
                }
            }
        });
        while let Some(batch) = receive.recv().await {
            reach.feed(&batch.map_err(failure::running)?)?;
        }
        decoding.join().await.map_err(|e| Error::internal("reading events failed by a defect").because(e))?;
        Ok(reach.finish())
    }

    /// The events of the scope's environment from `start` on, in order, with the columns of the first pass.
    fn log(&self, scope: &Scope, start: Micros) -> Result<LogicalPlan> {
        let is_here = ident("environment").eq(lit(scope.environment.as_str()));
        let is_then = ident("occurred_at").gt_eq(instant(start));
        let order = ["occurred_at", "seq"].map(|column| ident(column).sort(true, false));
        LogicalPlanBuilder::scan(EVIDENCE, provider_as_source(self.table.clone()), None)
            .and_then(|log| log.filter(is_here.and(is_then))?.project(REACH_COLUMNS.map(|c| ident(c.name()))))
            .and_then(|log| log.sort(order)?.build())
            .map_err(failure::error)
    }

    /// Those of `actions` of which an event names a record, as far as that is known without reading them.
    pub(super) async fn placed(&self, scope: &Scope, actions: Vec<String>, start: Micros) -> Result<Vec<String>> {
        if actions.is_empty() || scope.environment != FOLDED {
            return Ok(actions);
        }
        let folded = self.views.folded().await?.reading()?;
        let is_placed = ident("record_id").is_not_null().and(ident("last_event_at").gt_eq(instant(start)));
        let plan = folded
            .filter(is_placed)
            .and_then(|folded| {
                folded.join(ids(&actions)?, JoinType::LeftSemi, (vec![ACTION_ID], vec![ACTION_ID]), None)
            })
            .and_then(|own| own.project([ident(ACTION_ID)])?.build())
            .map_err(failure::error)?;
        let mut rows = self.rows(&plan).await?;
        let mut placed = Vec::new();
        while let Some(batch) = rows.try_next().await.map_err(failure::running)? {
            placed.extend(batch.column(0).as_string_view().iter().flatten().map(str::to_owned));
        }
        placed.sort_unstable();
        Ok(placed)
    }

    /// What the second pass is fed.
    pub(super) async fn needed_events(&self, scope: &Scope, needed: &Needed, start: Micros) -> Result<RecordBatch> {
        let actions = [needed.actions.as_slice(), needed.unplaced.as_slice()].concat();
        let from = if actions.is_empty() { start } else { self.beginning(scope, &actions, start).await? };
        let wanted =
            Wanted { actions: &actions, seqs: &needed.seqs, columns: &TRACE_COLUMNS, span: (from, Micros::MAX) };
        self.events(&wanted).await
    }

    /// The events of some actions and those with some `seq`, in order.
    async fn events(&self, wanted: &Wanted<'_>) -> Result<RecordBatch> {
        let ids: Arc<HashSet<String>> = Arc::new(wanted.actions.iter().cloned().collect());
        let mut reads = Vec::new();
        for (file, filter) in self.places(wanted, &ids).await {
            reads.push(read(self.snapshot.objects.clone(), file, wanted.columns.to_vec(), filter));
        }
        // The tasks of a look-up that is dropped end with it.
        let tasks: Vec<_> =
            reads.into_iter().map(|read| async move { SpawnedTask::spawn(read).join().await }).collect();
        let mut found = stream::iter(tasks).buffered(FILES_AT_ONCE);
        let mut batches = Vec::new();
        while let Some(rows) = found.next().await {
            batches.extend(rows.map_err(|e| Error::internal("looking events up failed by a defect").because(e))??);
        }
        for batch in &self.snapshot.journal {
            batches.extend(of_journal(batch, wanted, &ids)?);
        }
        self.ordered(&batches, wanted)
    }

    /// Where the events may be: data files, and by what they are to be found there.
    async fn places(&self, wanted: &Wanted<'_>, ids: &Arc<HashSet<String>>) -> Vec<(DataFile, RowsWith)> {
        let (from, to) = wanted.span;
        let is_then =
            |file: &&DataFile| file.seq.0 < self.as_of.size && file.occurred_at.1 >= from && file.occurred_at.0 < to;
        let files: Vec<&DataFile> = self.snapshot.files.iter().filter(is_then).collect();
        let pages = match ids.len() {
            1..=LOOKED_UP => {
                let indexes = &self.snapshot.indexes;
                indexes.pages(&self.snapshot.objects, &files, Column::ActionId, wanted.actions).await
            }
            _ => vec![None; files.len()],
        };
        let mut places = Vec::new();
        for (file, pages) in files.into_iter().zip(pages) {
            if !ids.is_empty() && pages.is_none_or(|pages| !pages.is_empty()) {
                places.push((file.clone(), RowsWith::shared_texts(Column::ActionId, ids.clone())));
            }
            let first = wanted.seqs.partition_point(|seq| *seq < file.seq.0);
            let end = wanted.seqs.partition_point(|seq| *seq <= file.seq.1);
            if first < end {
                places.push((file.clone(), RowsWith::seqs(wanted.seqs[first..end].iter().copied().collect())));
            }
        }
        places
    }

    /// `batches` in (`occurred_at`, `seq`) order, each event once, within the span and the as-of point.
    fn ordered(&self, batches: &[RecordBatch], wanted: &Wanted<'_>) -> Result<RecordBatch> {
        let (from, to) = wanted.span;
        let mut order: Vec<(Micros, i64, u32, u32)> = Vec::new();
        for (number, batch) in (0..).zip(batches) {
            let rows = Rows::new(batch)?;
            for row in 0..rows.len() {
                let (Some(at), Some(seq)) = (rows.instant(Column::OccurredAt, row), rows.long(Column::Seq, row)) else {
                    return Err(Error::internal("an event of a blast radius lacks `occurred_at` or `seq`"));
                };
                if seq < self.as_of.size && from <= at && at < to {
                    order.push((at, seq, number, row as u32));
                }
            }
        }
        order.sort_unstable();
        // An event of a bad action may be wanted by its `seq` as well.
        order.dedup_by_key(|(at, seq, ..)| (*at, *seq));
        if order.is_empty() {
            return Ok(RecordBatch::new_empty(schema_of(wanted.columns)));
        }
        let order: Vec<(usize, usize)> =
            order.into_iter().map(|(_, _, batch, row)| (batch as usize, row as usize)).collect();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        interleave_record_batch(&batches, &order).map_err(|e| Error::internal("cannot sort events").because(e))
    }
}

/// The actions as a table to join with.
fn ids(actions: &[String]) -> datafusion::common::Result<LogicalPlan> {
    let schema = Arc::new(Schema::new(vec![Field::new(ACTION_ID, DataType::Utf8View, true)]));
    let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(actions));
    let batch = RecordBatch::try_new(schema.clone(), vec![column])?;
    let table = Arc::new(MemTable::try_new(schema, vec![vec![batch]])?);
    LogicalPlanBuilder::scan("asked_for", provider_as_source(table), None)?.build()
}

/// Rows of one data file, without the text of others.
async fn read(
    objects: Arc<dyn ObjectStore>,
    file: DataFile,
    columns: Vec<Column>,
    filter: RowsWith,
) -> Result<Vec<RecordBatch>> {
    let mut rows = parquet::scan(&objects, &file, &columns, Some(filter)).await?;
    let mut kept = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        if batch.num_rows() > 0 {
            let own = batch.columns().iter().map(with_own_text).collect();
            let batch = RecordBatch::try_new(batch.schema(), own);
            kept.push(batch.map_err(|e| Error::internal("cannot take events").because(e))?);
        }
    }
    Ok(kept)
}

/// Rows of one journal object, if any is wanted.
fn of_journal(batch: &RecordBatch, wanted: &Wanted<'_>, ids: &HashSet<String>) -> Result<Option<RecordBatch>> {
    let rows = Rows::new(batch)?;
    let is_wanted = |row: &usize| {
        rows.text(Column::ActionId, *row).is_some_and(|id| ids.contains(id))
            || rows.long(Column::Seq, *row).is_some_and(|seq| wanted.seqs.binary_search(&seq).is_ok())
    };
    let picked: Vec<u32> = (0..rows.len()).filter(is_wanted).map(|row| row as u32).collect();
    if picked.is_empty() {
        return Ok(None);
    }
    let schema = schema_of(wanted.columns);
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(array) => array.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns = schema.fields().iter().map(column).collect();
    let narrow = RecordBatch::try_new(schema, columns)
        .map_err(|e| Error::internal("the journal does not follow the evidence schema").because(e))?;
    rows_of(&narrow, &UInt32Array::from(picked)).map(Some)
}

/// `columns` as they are stored.
fn schema_of(columns: &[Column]) -> SchemaRef {
    let stored = stored_schema();
    Arc::new(Schema::new(columns.iter().map(|column| stored.field(*column as usize).clone()).collect::<Vec<_>>()))
}
