//! What blast radii are read from: data files and journal up to the as-of point, each with its touches.
//!
//! In: a snapshot. Out: stretches of the log by the instant of their first event, the touches of each, single rows in
//! full. Invariant: together the stretches hold every event below the as-of size once, and each is in
//! (`occurred_at`, `seq`) order. It must not know what is sought.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array, new_null_array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use object_store::ObjectStore;

use crate::blast::{Builder, Key, TRACE_COLUMNS, Touches};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::actions::rows_of;
use crate::event::columns::stored_schema;
use crate::event::{Column, Rows};
use crate::store::index::Indexes;
use crate::store::parquet;
use crate::store::snapshot::{DataFile, Snapshot};

/// The columns in which rows are given: those of the second pass, and who sent the event.
fn columns() -> Vec<Column> {
    TRACE_COLUMNS.into_iter().chain([Column::Source]).collect()
}

/// Events that lie together.
struct Stretch {
    /// First and last instant.
    span: (Micros, Micros),
    /// Least and largest `seq`.
    seqs: (i64, i64),
    holds: Holds,
}

enum Holds {
    File(DataFile),
    /// The journal's rows in order, and their touches.
    Journal(RecordBatch, Arc<Touches>),
}

/// The log up to a point.
pub(super) struct Log {
    objects: Arc<dyn ObjectStore>,
    indexes: Indexes,
    /// Events with a `seq` below it count.
    pub(super) size: i64,
    /// By first instant.
    stretches: Vec<Stretch>,
}

impl Log {
    /// The first `size` events of `snapshot`.
    ///
    /// # Errors
    /// When the journal does not follow the schema of the evidence.
    pub(super) fn new(snapshot: &Snapshot, size: i64) -> Result<Self> {
        let of_file =
            |file: &DataFile| Stretch { span: file.occurred_at, seqs: file.seq, holds: Holds::File(file.clone()) };
        let mut stretches: Vec<Stretch> = snapshot.files.iter().filter(|file| file.seq.0 < size).map(of_file).collect();
        stretches.extend(journal(&snapshot.journal, size)?);
        stretches.sort_by_key(|stretch| (stretch.span, stretch.seqs));
        Ok(Self { objects: snapshot.objects.clone(), indexes: snapshot.indexes.clone(), size, stretches })
    }

    /// Number of stretches.
    pub(super) fn len(&self) -> usize {
        self.stretches.len()
    }

    /// First and last instant of a stretch.
    pub(super) fn span(&self, number: usize) -> (Micros, Micros) {
        self.stretches[number].span
    }

    /// Least and largest `seq` of a stretch.
    pub(super) fn seqs(&self, number: usize) -> (i64, i64) {
        self.stretches[number].seqs
    }

    /// The touches of a stretch, of events past the as-of point too.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub(super) async fn touches(&self, number: usize) -> Result<Arc<Touches>> {
        match &self.stretches[number].holds {
            Holds::File(file) => self.indexes.touches(&self.objects, file).await,
            Holds::Journal(_, touches) => Ok(touches.clone()),
        }
    }

    /// Whether a stretch may hold an event of one of `actions`, which ascend.
    pub(super) async fn may_tell_of(&self, number: usize, actions: &[Key]) -> bool {
        match &self.stretches[number].holds {
            _ if actions.is_empty() => false,
            Holds::File(file) => self.indexes.may_tell_of(&self.objects, file, actions).await,
            Holds::Journal(_, touches) => touches.tells_of(actions),
        }
    }

    /// The events of a stretch in `rows`, which ascend.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub(super) async fn rows(&self, number: usize, rows: Vec<u32>) -> Result<Vec<RecordBatch>> {
        match &self.stretches[number].holds {
            Holds::File(file) => parquet::placed(&self.objects, file, &columns(), &rows).await,
            Holds::Journal(events, _) => Ok(vec![rows_of(events, &UInt32Array::from(rows))?]),
        }
    }
}

/// The events of `batches` with a `seq` below `size` as one stretch, if there are any.
fn journal(batches: &[RecordBatch], size: i64) -> Result<Option<Stretch>> {
    let narrow = batches.iter().map(narrow).collect::<Result<Vec<RecordBatch>>>()?;
    let events = ordered(&narrow, size)?;
    if events.num_rows() == 0 {
        return Ok(None);
    }
    let mut builder = Builder::default();
    builder.add(&events)?;
    let touches = Arc::new(builder.finish());
    let last = touches.len() - 1;
    let least = |seqs: (i64, i64), seq: i64| (seqs.0.min(seq), seqs.1.max(seq));
    let seqs = (0..=last).map(|row| touches.moment(row).1).fold((i64::MAX, i64::MIN), least);
    let span = (touches.moment(0).0, touches.moment(last).0);
    Ok(Some(Stretch { span, seqs, holds: Holds::Journal(events, touches) }))
}

/// Where an event stands, in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) at: Micros,
    seq: i64,
    /// Number of its batch.
    pub(super) batch: u32,
    row: u32,
}

impl Spot {
    /// Batch and row.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.batch as usize, self.row as usize)
    }
}

/// Where the events of `batch`, which is the one with this number, stand that have a `seq` below `size`.
///
/// # Errors
/// When `occurred_at` or `seq` is missing.
pub(super) fn spots(number: u32, batch: &RecordBatch, size: i64) -> Result<Vec<Spot>> {
    let rows = Rows::new(batch)?;
    let mut spots = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        let (Some(at), Some(seq)) = (rows.instant(Column::OccurredAt, row), rows.long(Column::Seq, row)) else {
            return Err(Error::internal("an event of a blast radius lacks `occurred_at` or `seq`"));
        };
        if seq < size {
            spots.push(Spot { at, seq, batch: number, row: row as u32 });
        }
    }
    Ok(spots)
}

/// The events of `batches` with a `seq` below `size`, in (`occurred_at`, `seq`) order.
///
/// # Errors
/// When `occurred_at` or `seq` is missing.
fn ordered(batches: &[RecordBatch], size: i64) -> Result<RecordBatch> {
    let mut order: Vec<Spot> = Vec::new();
    for (number, batch) in (0..).zip(batches) {
        order.extend(spots(number, batch, size)?);
    }
    if order.is_empty() {
        return Ok(RecordBatch::new_empty(schema()));
    }
    order.sort_unstable();
    let order: Vec<(usize, usize)> = order.iter().map(Spot::place).collect();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    interleave_record_batch(&batches, &order).map_err(|e| Error::internal("cannot sort events").because(e))
}

/// A batch of the journal with the columns in which rows are given.
fn narrow(batch: &RecordBatch) -> Result<RecordBatch> {
    let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
        Some(array) => array.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns = schema().fields().iter().map(column).collect();
    RecordBatch::try_new(schema(), columns)
        .map_err(|e| Error::internal("the journal does not follow the evidence schema").because(e))
}

fn schema() -> SchemaRef {
    let stored = stored_schema();
    let fields = columns().into_iter().map(|column| stored.field(column as usize).clone());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
