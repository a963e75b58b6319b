//! Parquet files of the table: how they are written, and how rows are read back outside of SQL.
//!
//! In: rows of one month. Out: one file sorted by (`occurred_at`, `seq`), without the partition column, with
//! page statistics and bloom filters on the columns that people look up. Invariant: no statistic in a footer
//! repeats a sealed value.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowReaderOptions, RowFilter};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::snapshot::DataFile;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Column;
use crate::event::columns::{COLUMNS, Kind, stored_schema};
use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS};

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// While folding: soon rewritten.
    Fold,
    /// While compacting: read for years.
    Compact,
}

/// The schema inside the files: all columns but the partition column.
pub fn file_schema() -> SchemaRef {
    let stored = stored_schema();
    let fields = stored.fields().iter().filter(|f| f.name() != Column::OccurredMonth.name());
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// `rows` in (`occurred_at`, `seq`) order.
///
/// # Errors
/// Never for rows of the stored schema.
pub fn sort(rows: &RecordBatch) -> Result<RecordBatch> {
    let key = |column: Column| SortColumn { values: rows.column(column as usize).clone(), options: None };
    lexsort_to_indices(&[key(Column::OccurredAt), key(Column::Seq)], None)
        .and_then(|order| take_record_batch(rows, &order))
        .map_err(|e| Error::internal("cannot sort events").because(e))
}

/// The bytes of a file that holds the sorted `batches`, columns of [`stored_schema`].
///
/// # Errors
/// When the rows do not follow the schema.
pub fn encode(batches: &[RecordBatch], effort: Effort) -> Result<Bytes> {
    let failed = |e: ParquetError| Error::internal("cannot write a data file").because(e);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let options = ArrowWriterOptions::new().with_properties(properties(rows, effort)).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), file_schema(), options).map_err(failed)?;
    for batch in batches {
        let mut columns = batch.columns().to_vec();
        columns.remove(Column::OccurredMonth as usize);
        let batch = RecordBatch::try_new(file_schema(), columns)
            .map_err(|e| Error::internal("cannot write a data file").because(e))?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.into_inner().map(Bytes::from).map_err(failed)
}

fn properties(rows: usize, effort: Effort) -> WriterProperties {
    let level = match effort {
        Effort::Fold => 1,
        Effort::Compact => 3,
    };
    let path = |column: Column| ColumnPath::from(column.name());
    let sorting = [Column::OccurredAt, Column::Seq].map(|column| {
        let position = file_schema().index_of(column.name()).expect("both are in the schema");
        SortingColumn { column_idx: position as i32, descending: false, nulls_first: true }
    });
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).expect("levels 1 and 3 exist")))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_index_truncate_length(Some(64))
        .set_created_by(format!("probity {}", env!("CARGO_PKG_VERSION")))
        .set_sorting_columns(Some(sorting.to_vec()));
    for column in [Column::Seq, Column::OccurredAt, Column::RecordedAt, Column::SourceSeq] {
        properties = properties
            .set_column_dictionary_enabled(path(column), false)
            .set_column_encoding(path(column), Encoding::DELTA_BINARY_PACKED);
    }
    for column in [Column::EventId, Column::ActionId, Column::RecordId] {
        properties = properties
            .set_column_bloom_filter_enabled(path(column), true)
            .set_column_bloom_filter_fpp(path(column), 0.01)
            .set_column_bloom_filter_max_ndv(path(column), rows.clamp(1, ROW_GROUP_ROWS) as u64);
    }
    for spec in COLUMNS.iter().filter(|c| c.column.is_sealed() || c.kind == Kind::Bytes) {
        properties = properties.set_column_statistics_enabled(path(spec.column), EnabledStatistics::None);
    }
    properties.set_column_dictionary_enabled(path(Column::Salt), false).build()
}

/// Reads columns of a data file, all rows or those that `filter` lets through, in file order, with the types of
/// the stored schema.
///
/// # Errors
/// When the file cannot be opened; the stream's items fail when it cannot be read further.
pub async fn scan(
    objects: &Arc<dyn ObjectStore>,
    file: &DataFile,
    columns: &[Column],
    filter: Option<IdFilter>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let path = file.path.clone();
    let unreadable = move |e: ParquetError| match missing(&e) {
        true => Error::new(
            ErrorKind::NotFound,
            format!("data file {path} is gone: it was replaced by a compaction or deleted"),
        ),
        false => Error::unavailable(format!("cannot read data file {path}")).because(e),
    };
    let reader = ObjectReader { objects: objects.clone(), path: file.path.clone(), bytes: file.bytes };
    let mut builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(&unreadable)?;
    if let Some(filter) = &filter {
        let kept = filter.row_groups(&mut builder).await.map_err(&unreadable)?;
        builder = builder.with_row_groups(kept);
    }
    let schema = builder.parquet_schema();
    let projection = ProjectionMask::columns(schema, columns.iter().map(|c| c.name()));
    if let Some(filter) = filter {
        let mask = ProjectionMask::columns(schema, [filter.column.name()]);
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(IdPredicate { filter, mask })]));
    }
    let stream = builder.with_projection(projection).with_batch_size(PAGE_ROWS).build().map_err(&unreadable)?;
    let (columns, month) = (columns.to_vec(), file.month.clone());
    Ok(stream.map(move |batch| restore(&batch.map_err(&unreadable)?, &columns, &month)).boxed())
}

fn missing(err: &ParquetError) -> bool {
    let ParquetError::External(cause) = err else { return false };
    matches!(cause.downcast_ref(), Some(object_store::Error::NotFound { .. }))
}

/// A data file as the Parquet reader wants it.
struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.objects.get_range(&self.path, range).map_err(|e| ParquetError::External(Box::new(e))).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            let read = self.objects.get_ranges(&self.path, &ranges).await;
            read.map_err(|e| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            reader.load_and_finish(self, bytes).await.map(Arc::new)
        }
        .boxed()
    }
}

/// Casts what Parquet gave to the types of the stored schema and adds the partition column.
fn restore(batch: &RecordBatch, columns: &[Column], month: &str) -> Result<RecordBatch> {
    let stored = stored_schema();
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for column in columns {
        let field = stored.field(*column as usize).clone();
        let array = match batch.column_by_name(column.name()) {
            _ if *column == Column::OccurredMonth => {
                Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(month, batch.num_rows()))) as ArrayRef
            }
            Some(array) => arrow::compute::cast(array, field.data_type()).map_err(|e| {
                Error::damaged(format!("column `{}` of a data file has another type", column.name())).because(e)
            })?,
            None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
        };
        fields.push(field);
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|e| Error::internal("cannot read events back").because(e))
}

/// Lets through the rows whose `column` is one of `ids`; `seq` is matched as a number.
#[derive(Debug, Clone)]
pub struct IdFilter {
    column: Column,
    texts: Arc<hashbrown::HashSet<String>>,
    seqs: Arc<hashbrown::HashSet<i64>>,
}

impl IdFilter {
    /// Rows with one of these event ids.
    pub fn event_ids(ids: hashbrown::HashSet<String>) -> Self {
        Self { column: Column::EventId, texts: Arc::new(ids), seqs: Arc::default() }
    }

    /// Rows with one of these `seq`.
    pub fn seqs(seqs: hashbrown::HashSet<i64>) -> Self {
        Self { column: Column::Seq, texts: Arc::default(), seqs: Arc::new(seqs) }
    }

    /// Row groups whose bloom filter may hold one of the ids; all of them where many ids are sought, because
    /// then reading the column is cheaper than probing.
    async fn row_groups(
        &self,
        builder: &mut ParquetRecordBatchStreamBuilder<ObjectReader>,
    ) -> parquet::errors::Result<Vec<usize>> {
        const PROBES: usize = 256;
        let groups = builder.metadata().num_row_groups();
        if self.column == Column::Seq || self.texts.len() > PROBES {
            return Ok((0..groups).collect());
        }
        let position = builder.parquet_schema().columns().iter().position(|c| c.path().string() == self.column.name());
        let Some(position) = position else { return Ok((0..groups).collect()) };
        let mut kept = Vec::new();
        for group in 0..groups {
            let bloom = builder.get_row_group_column_bloom_filter(group, position).await?;
            if bloom.is_none_or(|bloom| self.texts.iter().any(|id| bloom.check(&id.as_str()))) {
                kept.push(group);
            }
        }
        Ok(kept)
    }

    fn lets_through(&self, array: &dyn Array) -> arrow::array::BooleanArray {
        if self.column == Column::Seq {
            return array
                .as_primitive::<Int64Type>()
                .iter()
                .map(|v| Some(v.is_some_and(|v| self.seqs.contains(&v))))
                .collect();
        }
        match array.as_string_view_opt() {
            Some(texts) => texts.iter().map(|v| Some(v.is_some_and(|v| self.texts.contains(v)))).collect(),
            None => array.as_string::<i32>().iter().map(|v| Some(v.is_some_and(|v| self.texts.contains(v)))).collect(),
        }
    }
}

struct IdPredicate {
    filter: IdFilter,
    mask: ProjectionMask,
}

impl ArrowPredicate for IdPredicate {
    fn projection(&self) -> &ProjectionMask {
        &self.mask
    }

    fn evaluate(
        &mut self,
        batch: RecordBatch,
    ) -> std::result::Result<arrow::array::BooleanArray, arrow::error::ArrowError> {
        Ok(self.filter.lets_through(batch.column(0).as_ref()))
    }
}

/// Smallest and largest value of an int64 or instant column of `rows`; (0, 0) when there is none.
pub fn range(rows: &RecordBatch, column: Column) -> (i64, i64) {
    let array = rows.column(column as usize);
    let (low, high) = match column.spec().kind {
        Kind::Instant => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            (arrow::compute::min(array), arrow::compute::max(array))
        }
        _ => {
            let array = array.as_primitive::<Int64Type>();
            (arrow::compute::min(array), arrow::compute::max(array))
        }
    };
    (low.unwrap_or_default(), high.unwrap_or_default())
}
