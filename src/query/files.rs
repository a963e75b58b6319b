//! Which data files a scan reads, what is known of them, and how they are dealt to partitions.
//!
//! In: the data files of a snapshot and the filters of a query. Out: the files that may hold matching rows,
//! as DataFusion's files with truthful statistics, in groups. Invariant: a file left out holds no matching
//! row, and within a group that claims an order, file follows file without overlap. It reads no file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::RowSelection;

use super::provider::STORE_URL;
use crate::event::Column;
use crate::limits::PAGE_ROWS;
use crate::store::snapshot::DataFile;

/// Ordered groups may exceed the wished number of partitions by this factor before the order is given up:
/// each further group is a stream of its own in every operator above.
const GROUPS_PER_PARTITION: usize = 2;
/// Ordered groups that are accepted on the smallest machine.
const MIN_GROUPS: usize = 8;
/// Bytes of the footer of a data file with few pages.
const FOOTER_BYTES: usize = 16 * 1024;
/// Bytes that the page index and the footer say of a page of all columns.
const PAGE_INDEX_BYTES: usize = 3 * 1024;

/// The range of values that one place (a file, the journal) holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    /// Number of rows.
    pub rows: u64,
    /// Smallest and largest `seq`.
    pub seq: (i64, i64),
    /// Smallest and largest `occurred_at`, microseconds.
    pub occurred_at: (i64, i64),
    /// Smallest and largest `recorded_at`, microseconds.
    pub recorded_at: (i64, i64),
    /// Smallest and largest `occurred_month`.
    pub month: (String, String),
}

impl From<&DataFile> for Extent {
    fn from(file: &DataFile) -> Self {
        Self {
            rows: file.rows,
            seq: file.seq,
            occurred_at: file.occurred_at,
            recorded_at: file.recorded_at,
            month: (file.month.clone(), file.month.clone()),
        }
    }
}

/// For each of `extents`, whether it may hold a row that passes all `filters`.
///
/// # Errors
/// When a filter names a column that `schema` lacks.
pub fn may_match(extents: &[Extent], filters: &[Expr], schema: &SchemaRef, session: &dyn Session) -> Result<Vec<bool>> {
    let all = vec![true; extents.len()];
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(all) };
    if extents.is_empty() {
        return Ok(all);
    }
    let df_schema = DFSchema::try_from(Arc::clone(schema))?;
    let filter = session.create_physical_expr(filter, &df_schema)?;
    // A filter that cannot be understood prunes nothing; it is evaluated on the rows anyway.
    let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(filter) else {
        return Ok(all);
    };
    if predicate.always_true() {
        return Ok(all);
    }
    Ok(predicate.prune(&Extents(extents)).unwrap_or(all))
}

struct Extents<'a>(&'a [Extent]);

impl Extents<'_> {
    fn values(
        &self,
        column: &str,
        pick: fn(&(i64, i64)) -> i64,
        month: fn(&(String, String)) -> &String,
    ) -> Option<ArrayRef> {
        let extents = self.0.iter();
        let instants =
            |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) };
        Some(match Column::named(column)? {
            Column::Seq => Arc::new(Int64Array::from_iter_values(extents.map(|e| pick(&e.seq)))),
            Column::OccurredAt => instants(extents.map(|e| pick(&e.occurred_at)).collect()),
            Column::RecordedAt => instants(extents.map(|e| pick(&e.recorded_at)).collect()),
            Column::OccurredMonth => Arc::new(StringViewArray::from_iter_values(extents.map(|e| month(&e.month)))),
            _ => return None,
        })
    }
}

impl PruningStatistics for Extents<'_> {
    fn min_values(&self, column: &datafusion::common::Column) -> Option<ArrayRef> {
        self.values(&column.name, |range| range.0, |range| &range.0)
    }

    fn max_values(&self, column: &datafusion::common::Column) -> Option<ArrayRef> {
        self.values(&column.name, |range| range.1, |range| &range.1)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, column: &datafusion::common::Column) -> Option<ArrayRef> {
        known(&column.name).then(|| Arc::new(UInt64Array::from(vec![0; self.0.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|e| e.rows))))
    }

    fn contained(&self, _: &datafusion::common::Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Whether an [`Extent`] knows the range of `column`; such a column is never null.
fn known(column: &str) -> bool {
    let known = [Column::Seq, Column::OccurredAt, Column::RecordedAt, Column::OccurredMonth];
    Column::named(column).is_some_and(|c| known.contains(&c))
}

/// Statistics of a table of `schema` whose rows lie within `extents`.
pub fn statistics<'a>(extents: impl Iterator<Item = &'a Extent>, schema: &Schema) -> Statistics {
    let whole = extents.cloned().reduce(|a, b| Extent {
        rows: a.rows + b.rows,
        seq: cover(a.seq, b.seq),
        occurred_at: cover(a.occurred_at, b.occurred_at),
        recorded_at: cover(a.recorded_at, b.recorded_at),
        month: cover(a.month, b.month),
    });
    let Some(whole) = whole else { return Statistics::new_unknown(schema) };
    let mut result = Statistics::new_unknown(schema);
    result.num_rows = Precision::Exact(usize::try_from(whole.rows).unwrap_or(usize::MAX));
    let instant = |at: i64| ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into()));
    let text = |text: &String| ScalarValue::Utf8View(Some(text.clone()));
    for (field, column) in schema.fields().iter().zip(&mut result.column_statistics) {
        let (min, max) = match Column::named(field.name()) {
            Some(Column::Seq) => (ScalarValue::Int64(Some(whole.seq.0)), ScalarValue::Int64(Some(whole.seq.1))),
            Some(Column::OccurredAt) => (instant(whole.occurred_at.0), instant(whole.occurred_at.1)),
            Some(Column::RecordedAt) => (instant(whole.recorded_at.0), instant(whole.recorded_at.1)),
            Some(Column::OccurredMonth) => (text(&whole.month.0), text(&whole.month.1)),
            _ => continue,
        };
        *column = ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value: Precision::Exact(min),
            max_value: Precision::Exact(max),
            ..ColumnStatistics::new_unknown()
        };
    }
    result
}

fn cover<T: Ord>(a: (T, T), b: (T, T)) -> (T, T) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// A data file, and the pages of it that are to be read; all of them when `None`.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a DataFile,
    /// Numbers of pages of [`PAGE_ROWS`] rows, ascending.
    pub pages: Option<Vec<u32>>,
}

impl<'a> From<&'a DataFile> for Place<'a> {
    fn from(file: &'a DataFile) -> Self {
        Self { file, pages: None }
    }
}

impl Place<'_> {
    /// Bytes to be read, about.
    fn bytes(&self) -> u64 {
        let pages = self.file.rows.div_ceil(PAGE_ROWS as u64).max(1);
        self.pages.as_ref().map_or(self.file.bytes, |read| self.file.bytes * read.len() as u64 / pages)
    }

    /// The rows of the pages that are to be read.
    fn selection(&self) -> Option<RowSelection> {
        let pages = self.pages.as_ref()?;
        let rows = self.file.rows as usize;
        let ranges = pages.iter().map(|page| {
            let from = *page as usize * PAGE_ROWS;
            from.min(rows)..(from + PAGE_ROWS).min(rows)
        });
        Some(RowSelection::from_consecutive_ranges(ranges, rows))
    }
}

/// Bytes to read from the end of each of `files` at once: footer and page index of the largest fit, and little else is
/// read of the others. A file with more to say is read twice.
pub fn ending_bytes(files: &[Place<'_>]) -> usize {
    let rows = files.iter().map(|place| place.file.rows).max().unwrap_or(0);
    FOOTER_BYTES + PAGE_INDEX_BYTES * (rows as usize).div_ceil(PAGE_ROWS)
}

/// `place` as DataFusion reads it: its month as partition value, its statistics, its order.
pub fn partitioned(place: &Place<'_>, file_schema: &Schema, ordering: Option<&LexOrdering>) -> PartitionedFile {
    let file = place.file;
    let meta = ObjectMeta {
        location: file.path.clone(),
        // Files are immutable and never reuse a name, so that no date is needed to tell versions apart.
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    let statistics = statistics(std::iter::once(&Extent::from(file)), file_schema);
    // The partition value comes before the statistics: those of the partition column are derived from it.
    let whole = PartitionedFile::new_from_meta(meta)
        .with_partition_values(vec![ScalarValue::Utf8View(Some(file.month.clone()))])
        .with_statistics(Arc::new(statistics))
        .with_ordering(ordering.cloned());
    match place.selection() {
        Some(selection) => whole.with_extension(ParquetRowSelection::new(selection)),
        None => whole,
    }
}

/// Deals `files` to groups in which file follows file without overlap in (`occurred_at`, `seq`), the groups
/// of about equal size; `None` when that takes too many groups.
pub fn ordered_groups(mut files: Vec<Place<'_>>, partitions: usize) -> Option<Vec<Vec<Place<'_>>>> {
    let partitions = partitions.max(1);
    let limit = (partitions * GROUPS_PER_PARTITION).max(MIN_GROUPS);
    let first = |f: &Place<'_>| (f.file.occurred_at.0, f.file.seq.0);
    let last = |f: &Place<'_>| (f.file.occurred_at.1, f.file.seq.1);
    files.sort_by_key(|f| (first(f), last(f)));
    let mut groups: Vec<(u64, Vec<Place<'_>>)> = Vec::new();
    for file in files {
        let follows = |group: &(u64, Vec<Place<'_>>)| group.1.last().is_none_or(|f| last(f) < first(&file));
        if groups.len() < partitions {
            groups.push((file.bytes(), vec![file]));
            continue;
        }
        let fitting = (0..groups.len()).filter(|i| follows(&groups[*i])).min_by_key(|i| groups[*i].0);
        match fitting {
            Some(i) => {
                groups[i].0 += file.bytes();
                groups[i].1.push(file);
            }
            None if groups.len() < limit => groups.push((file.bytes(), vec![file])),
            None => return None,
        }
    }
    Some(groups.into_iter().map(|group| group.1).collect())
}

/// Deals `files` to at most `partitions` groups of about equal size, in no particular order.
pub fn balanced_groups(mut files: Vec<Place<'_>>, partitions: usize) -> Vec<Vec<Place<'_>>> {
    files.sort_by_key(|f| (std::cmp::Reverse(f.bytes()), f.file.seq));
    let mut groups: Vec<(u64, Vec<Place<'_>>)> = vec![(0, Vec::new()); partitions.clamp(1, files.len().max(1))];
    for file in files {
        if let Some(group) = groups.iter_mut().min_by_key(|group| group.0) {
            group.0 += file.bytes();
            group.1.push(file);
        }
    }
    groups.into_iter().map(|group| group.1).collect()
}

/// Turns dealt files into DataFusion's groups.
pub fn file_groups(groups: &[Vec<Place<'_>>], file_schema: &Schema, ordering: Option<&LexOrdering>) -> Vec<FileGroup> {
    let group = |files: &Vec<Place<'_>>| {
        FileGroup::new(files.iter().map(|file| partitioned(file, file_schema, ordering)).collect())
    };
    groups.iter().map(group).collect()
}

/// A scan of files of the one store that a session knows, or of a reader that opens others by its own.
///
/// # Errors
/// When `projection` names a column that the source lacks.
pub fn scan_of(
    source: ParquetSource,
    groups: Vec<FileGroup>,
    statistics: Statistics,
    (projection, limit): (Option<&Vec<usize>>, Option<usize>),
) -> Result<Arc<dyn ExecutionPlan>> {
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(projection.cloned())?
        .with_limit(limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use parquet::file::metadata::ParquetMetaDataReader;

    use super::super::testing::{random_events, stored};
    use super::*;
    use crate::store::parquet::{Effort, encode, sort};

    #[test]
    fn footer_and_page_index_of_a_file_are_read_at_once() {
        let events = 2 * PAGE_ROWS + 1;
        let bytes = encode(&[sort(&stored(&random_events(3, events))).unwrap()], Effort::Compact).unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
        let indexes = columns.flat_map(|column| [column.column_index_offset(), column.offset_index_offset()]);
        let needed = bytes.len() - indexes.flatten().min().unwrap() as usize;
        let (path, month, range) = (Path::from("part-1.parquet"), "2026-03".to_owned(), (0, i64::MAX));
        let (bytes, rows) = (bytes.len() as u64, events as u64);
        let file = DataFile { path, bytes, rows, month, seq: range, occurred_at: range, recorded_at: range };
        let read = ending_bytes(&[Place::from(&file)]);
        assert!(needed <= read && read < 4 * needed, "{needed} bytes are needed, {read} are read");
    }
}
