//! Parquet files of the table: how they are written, and how rows are read back outside of SQL.
//!
//! In: rows of one month. Out: one file sorted by (`occurred_at`, `seq`), without the partition column, with
//! page statistics and bloom filters on the columns that people look up. Invariant: no statistic in a footer
//! repeats a sealed value.

mod lookup;
mod placed;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef, Fields, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowReaderMetadata, ArrowReaderOptions, RowFilter, RowSelection};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;

use super::snapshot::DataFile;
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::batch::null_column;
use crate::event::columns::{COLUMNS, Kind, stored_schema};
use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS};
pub use lookup::looked_up;
pub use placed::placed;

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

/// The rows of `batches` in (`occurred_at`, `seq`) order.
///
/// # Errors
/// Never for rows of the stored schema.
pub fn sort(batches: &[RecordBatch]) -> Result<RecordBatch> {
    ordered(batches, |at, seq| (at, seq))
}

/// The rows of `batches` in `seq` order.
///
/// # Errors
/// Never for rows of the stored schema.
pub fn sort_by_seq(batches: &[RecordBatch]) -> Result<RecordBatch> {
    ordered(batches, |_, seq| (seq, 0))
}

/// The rows in ascending order of what `key` makes of `occurred_at` and `seq`.
fn ordered(batches: &[RecordBatch], key: impl Fn(i64, i64) -> (i64, i64)) -> Result<RecordBatch> {
    let mut order: Vec<(i64, i64, u32, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (number, batch) in (0..).zip(batches) {
        let at = batch.column(Column::OccurredAt as usize).as_primitive::<TimestampMicrosecondType>().values();
        let seq = batch.column(Column::Seq as usize).as_primitive::<Int64Type>().values();
        order.extend(at.iter().zip(seq).zip(0..).map(|((at, seq), row)| {
            let (first, then) = key(*at, *seq);
            (first, then, number, row)
        }));
    }
    order.sort_unstable();
    let order: Vec<(usize, usize)> =
        order.into_iter().map(|(_, _, batch, row)| (batch as usize, row as usize)).collect();
    let column = |column: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        match parts.iter().all(|part| part.null_count() == part.len()) {
            true => Ok(null_column(stored_schema().field(column).data_type(), order.len())),
            false => interleave(&parts, &order),
        }
    };
    let columns = (0..stored_schema().fields().len()).map(column).collect::<std::result::Result<Vec<_>, _>>();
    columns
        .and_then(|columns| RecordBatch::try_new(stored_schema(), columns))
        .map_err(|e| Error::internal("cannot sort events").because(e))
}

/// The bytes of a file that holds the sorted `batches`, columns of [`stored_schema`].
///
/// # Errors
/// When the rows do not follow the schema.
pub fn encode(batches: &[RecordBatch], effort: Effort) -> Result<Bytes> {
    let mut encoder = Encoder::new(batches, batches.iter().map(RecordBatch::num_rows).sum(), effort)?;
    batches.iter().try_for_each(|batch| encoder.add(batch))?;
    encoder.finish()
}

/// A file in the making: of the rows that went in, encoded pages are held.
pub struct Encoder(ArrowWriter<Vec<u8>>);

impl Encoder {
    /// A file for about `rows` rows of which `sample` are some.
    ///
    /// # Errors
    /// Never for rows of the stored schema.
    pub fn new(sample: &[RecordBatch], rows: usize, effort: Effort) -> Result<Self> {
        let properties = properties(sample, rows, effort);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Vec::new(), file_schema(), options).map(Self).map_err(unwritable)
    }

    /// Adds rows, columns of [`stored_schema`], behind those that are in it.
    ///
    /// # Errors
    /// When they do not follow the schema.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut columns = batch.columns().to_vec();
        columns.remove(Column::OccurredMonth as usize);
        let batch = RecordBatch::try_new(file_schema(), columns)
            .map_err(|e| Error::internal("cannot write a data file").because(e))?;
        self.0.write(&batch).map_err(unwritable)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// When what was added cannot be encoded.
    pub fn finish(self) -> Result<Bytes> {
        self.0.into_inner().map(Bytes::from).map_err(unwritable)
    }
}

fn unwritable(err: ParquetError) -> Error {
    Error::internal("cannot write a data file").because(err)
}

/// Event types that there may be.
const EVENT_TYPES: usize = 64;
/// People whom a row group is expected to be about; more of them only let more row groups be read.
const SUBJECTS: usize = 32 * 1024;

fn properties(sample: &[RecordBatch], rows: usize, effort: Effort) -> WriterProperties {
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
    for spec in COLUMNS.iter().filter(|spec| is_varied(sample, spec.column)) {
        properties = properties
            .set_column_dictionary_enabled(path(spec.column), false)
            .set_column_encoding(path(spec.column), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    for column in [Column::EventId, Column::ActionId, Column::RecordId] {
        properties = properties
            .set_column_bloom_filter_enabled(path(column), true)
            .set_column_bloom_filter_fpp(path(column), 0.01)
            .set_column_bloom_filter_max_ndv(path(column), rows.clamp(1, ROW_GROUP_ROWS) as u64);
    }
    // Rare statements, and the events about one person, are sought in years of evidence.
    for (column, values) in [(Column::EventType, EVENT_TYPES), (Column::SubjectId, rows.clamp(1, SUBJECTS))] {
        properties = properties
            .set_column_bloom_filter_enabled(path(column), true)
            .set_column_bloom_filter_fpp(path(column), 0.01)
            .set_column_bloom_filter_max_ndv(path(column), values as u64);
    }
    for spec in COLUMNS.iter().filter(|c| c.column.is_sealed() || c.kind == Kind::Bytes) {
        properties = properties.set_column_statistics_enabled(path(spec.column), EnabledStatistics::None);
    }
    properties.set_column_dictionary_enabled(path(Column::Salt), false).build()
}

/// Whether most values of a text column differ, going by some of them: then a dictionary only costs time.
fn is_varied(batches: &[RecordBatch], column: Column) -> bool {
    const SAMPLE: usize = 2048;
    let Some(batch) = batches.get(batches.len() / 2) else { return false };
    let Some(texts) = batch.column(column as usize).as_string_view_opt() else { return false };
    let (mut known, mut repeated) = (hashbrown::HashSet::new(), 0);
    for text in texts.iter().flatten().take(SAMPLE) {
        repeated += usize::from(!known.insert(text));
        // Whatever follows: most columns are done with here.
        if repeated * 4 >= SAMPLE {
            return false;
        }
    }
    let sampled = known.len() + repeated;
    sampled >= SAMPLE / 8 && repeated * 4 < sampled
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
    filter: Option<RowsWith>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let unreadable = unreadable(file.path.clone());
    let mut builder = pruned(objects, file, filter.as_ref()).await.map_err(&unreadable)?;
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

/// The rows of a data file that `filter` lets through, all columns, in batches that each hold one at least.
///
/// # Errors
/// When the file cannot be read.
pub async fn matching(objects: &Arc<dyn ObjectStore>, file: &DataFile, filter: &RowsWith) -> Result<Vec<RecordBatch>> {
    let rows = scan(objects, file, &Column::all(), Some(filter.clone())).await?;
    rows.try_filter(|batch| std::future::ready(batch.num_rows() > 0)).try_collect().await
}

fn unreadable(path: Path) -> impl Fn(ParquetError) -> Error + Send + 'static {
    move |e| {
        // Not as something that there is not: of its events it is known that they were there.
        let words = match missing(&e) {
            true => format!(
                "data file {path} is gone; ask again, it may have been replaced meanwhile; where it stays gone, \
                 evidence is missing, and `probity verify store` tells what"
            ),
            false => format!("cannot read data file {path}"),
        };
        Error::unavailable(words).because(e)
    }
}

/// A reader of the row groups, and of the pages in them, that may hold what `filter` lets through.
async fn pruned(
    objects: &Arc<dyn ObjectStore>,
    file: &DataFile,
    filter: Option<&RowsWith>,
) -> parquet::errors::Result<ParquetRecordBatchStreamBuilder<ObjectReader>> {
    let reader = || ObjectReader::new(objects.clone(), file.path.clone(), file.bytes);
    let mut builder = viewing(reader()).await?;
    let Some(filter) = filter else { return Ok(builder) };
    let groups = filter.row_groups(&mut builder).await?;
    let metadata = builder.metadata().clone();
    if filter.is_worth_pages(&metadata, &groups) {
        // Rows are sorted by time, and `seq` grows with it: most pages are passed over.
        let metadata = with_page_index(reader(), &metadata).await?;
        builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader(), as_viewed(metadata.clone())?);
        if let Some(selection) = filter.pages(&metadata, &groups) {
            builder = builder.with_row_selection(selection);
        }
    }
    Ok(builder.with_row_groups(groups))
}

/// A reader that gives text as views right away instead of copying it twice.
pub(super) async fn viewing(
    mut reader: ObjectReader,
) -> parquet::errors::Result<ParquetRecordBatchStreamBuilder<ObjectReader>> {
    let plain = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await?;
    let metadata = as_viewed(plain.metadata().clone())?;
    Ok(ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata))
}

/// The same metadata with a schema of views.
fn as_viewed(metadata: Arc<ParquetMetaData>) -> parquet::errors::Result<ArrowReaderMetadata> {
    let plain = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
    let schema = Arc::new(Schema::new(as_views(plain.schema().fields())));
    ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_schema(schema))
}

/// The same metadata with what the file says of its pages, where it does.
async fn with_page_index(
    mut reader: ObjectReader,
    metadata: &ParquetMetaData,
) -> parquet::errors::Result<Arc<ParquetMetaData>> {
    let mut loading =
        ParquetMetaDataReader::new_with_metadata(metadata.clone()).with_page_index_policy(PageIndexPolicy::Optional);
    loading.load_page_index(&mut reader).await?;
    loading.finish().map(Arc::new)
}

fn as_views(fields: &Fields) -> Fields {
    let view = |field: &FieldRef| -> FieldRef {
        let data_type = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Struct(inner) => DataType::Struct(as_views(inner)),
            DataType::List(element) => {
                let element = as_views(&Fields::from(vec![element.clone()]));
                DataType::List(element[0].clone())
            }
            other => other.clone(),
        };
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    fields.iter().map(view).collect()
}

fn missing(err: &ParquetError) -> bool {
    let ParquetError::External(cause) = err else { return false };
    matches!(cause.downcast_ref(), Some(object_store::Error::NotFound { .. }))
}

/// A data file as the Parquet reader wants it.
pub(super) struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl ObjectReader {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, path: Path, bytes: u64) -> Self {
        Self { objects, path, bytes }
    }
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
            Some(array) if array.data_type() == field.data_type() => array.clone(),
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

/// Lets through the rows whose column has one of some values.
#[derive(Debug, Clone)]
pub struct RowsWith {
    column: Column,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Texts(Arc<hashbrown::HashSet<String>>),
    /// The same numbers twice: to find one, and to find whether there is one between two others.
    Numbers(Arc<hashbrown::HashSet<i64>>, Arc<[i64]>),
    Range(Range<i64>),
}

impl Wanted {
    /// How many values there are.
    fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Numbers(_, ascending) => ascending.len(),
            Self::Range(range) => usize::try_from(range.end - range.start).unwrap_or(0),
        }
    }

    /// Whether a number from `min` to `max` may be wanted.
    fn is_between(&self, min: i64, max: i64) -> bool {
        match self {
            Self::Texts(_) => true,
            Self::Numbers(_, ascending) => {
                ascending.get(ascending.partition_point(|seq| *seq < min)).is_some_and(|next| *next <= max)
            }
            Self::Range(range) => min < range.end && max >= range.start,
        }
    }
}

impl RowsWith {
    /// Rows whose text column `column` is one of `texts`.
    pub fn texts(column: Column, texts: hashbrown::HashSet<String>) -> Self {
        Self { column, wanted: Wanted::Texts(Arc::new(texts)) }
    }

    /// As [`RowsWith::texts`], for texts that are held already.
    pub fn shared_texts(column: Column, texts: Arc<hashbrown::HashSet<String>>) -> Self {
        Self { column, wanted: Wanted::Texts(texts) }
    }

    /// Rows with one of these `seq`.
    pub fn seqs(seqs: hashbrown::HashSet<i64>) -> Self {
        let mut ascending: Vec<i64> = seqs.iter().copied().collect();
        ascending.sort_unstable();
        Self { column: Column::Seq, wanted: Wanted::Numbers(Arc::new(seqs), ascending.into()) }
    }

    /// Rows with a `seq` in `range`.
    pub fn seq_range(range: Range<i64>) -> Self {
        Self { column: Column::Seq, wanted: Wanted::Range(range) }
    }

    /// Row groups that may hold one of the values, by bloom filter or statistics; all of them where many texts are
    /// sought, because then reading the column is cheaper than probing.
    async fn row_groups(
        &self,
        builder: &mut ParquetRecordBatchStreamBuilder<ObjectReader>,
    ) -> parquet::errors::Result<Vec<usize>> {
        const PROBES: usize = 256;
        let groups = 0..builder.metadata().num_row_groups();
        let position = builder.parquet_schema().columns().iter().position(|c| c.path().string() == self.column.name());
        let Some(position) = position else { return Ok(groups.collect()) };
        let mut kept = Vec::new();
        for group in groups {
            let may_hold = match &self.wanted {
                Wanted::Texts(texts) if texts.len() <= PROBES => {
                    let bloom = builder.get_row_group_column_bloom_filter(group, position).await?;
                    bloom.is_none_or(|bloom| texts.iter().any(|id| bloom.check(&id.as_str())))
                }
                Wanted::Texts(_) => true,
                Wanted::Numbers(..) | Wanted::Range(_) => {
                    let statistics = builder.metadata().row_group(group).column(position).statistics();
                    may_hold(statistics, &self.wanted)
                }
            };
            if may_hold {
                kept.push(group);
            }
        }
        Ok(kept)
    }

    /// Whether reading what the file says of its pages may save more than it costs: numbers are wanted, and far fewer
    /// than there are rows.
    fn is_worth_pages(&self, metadata: &ParquetMetaData, groups: &[usize]) -> bool {
        let rows: i64 = groups.iter().map(|group| metadata.row_group(*group).num_rows()).sum();
        let is_number = !matches!(self.wanted, Wanted::Texts(_));
        is_number && rows as usize > PAGE_ROWS && self.wanted.len() < rows as usize / 2
    }

    /// The rows of those pages of `groups` that may hold a wanted number; none where the file does not tell.
    fn pages(&self, metadata: &ParquetMetaData, groups: &[usize]) -> Option<RowSelection> {
        let columns = metadata.file_metadata().schema_descr().columns();
        let position = columns.iter().position(|column| column.path().string() == self.column.name())?;
        let (statistics, places) = (metadata.column_index()?, metadata.offset_index()?);
        let (mut kept, mut before): (Vec<Range<usize>>, usize) = (Vec::new(), 0);
        for group in groups {
            let rows = metadata.row_group(*group).num_rows() as usize;
            let ColumnIndexMetaData::INT64(pages) = statistics.get(*group)?.get(position)? else { return None };
            let begins = places.get(*group)?.get(position)?.page_locations();
            if pages.num_pages() as usize != begins.len() {
                return None;
            }
            for (page, begin) in begins.iter().enumerate() {
                let begin = begin.first_row_index as usize;
                let end = begins.get(page + 1).map_or(rows, |next| next.first_row_index as usize);
                if begin > end || end > rows {
                    return None;
                }
                let bounds = pages.min_value(page).zip(pages.max_value(page));
                if bounds.is_none_or(|(min, max)| self.wanted.is_between(*min, *max)) {
                    kept.push(before + begin..before + end);
                }
            }
            before += rows;
        }
        Some(RowSelection::from_consecutive_ranges(kept.into_iter(), before))
    }

    /// Which rows of the column `array` have a wanted value.
    pub fn lets_through(&self, array: &dyn Array) -> arrow::array::BooleanArray {
        let numbers = |is_wanted: &dyn Fn(i64) -> bool| {
            array.as_primitive::<Int64Type>().iter().map(|v| Some(v.is_some_and(is_wanted))).collect()
        };
        match &self.wanted {
            Wanted::Numbers(seqs, _) => numbers(&|v| seqs.contains(&v)),
            Wanted::Range(range) => numbers(&|v| range.contains(&v)),
            Wanted::Texts(texts) => match array.as_string_view_opt() {
                Some(array) => array.iter().map(|v| Some(v.is_some_and(|v| texts.contains(v)))).collect(),
                None => array.as_string::<i32>().iter().map(|v| Some(v.is_some_and(|v| texts.contains(v)))).collect(),
            },
        }
    }
}

fn may_hold(statistics: Option<&Statistics>, wanted: &Wanted) -> bool {
    match statistics {
        Some(Statistics::Int64(s)) => {
            wanted.is_between(s.min_opt().copied().unwrap_or(i64::MIN), s.max_opt().copied().unwrap_or(i64::MAX))
        }
        _ => true,
    }
}

struct IdPredicate {
    filter: RowsWith,
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
        // A file from before the column was known holds none of the values.
        let column = batch.columns().first();
        Ok(column.map_or_else(
            || arrow::array::BooleanArray::from(vec![false; batch.num_rows()]),
            |column| self.filter.lets_through(column.as_ref()),
        ))
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
