//! The table `evidence`: one prefix of the ledger as a DataFusion table.
//!
//! In: a snapshot and the number of events to show. Out: scan plans made of plain file scans over the data
//! files and an in-memory source over the journal. Invariant: exactly the rows `seq` 0..size, each once,
//! whatever filters, projections and limits are pushed down. `salt` is not part of the schema: nobody can
//! ask for it. It must not write, list or open a data file while planning; a look-up by key asks the indexes.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, OnceLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{Result, ScalarValue, project_schema};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{BinaryExpr, Column as PhysicalColumn, Literal};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectStore;

use super::failure;
use super::files::{self, Extent, Place};
use crate::error::Error;
use crate::event::Column;
use crate::event::batch::with_own_text;
use crate::event::columns::{Role, stored_schema};
use crate::limits::PAGE_ROWS;
use crate::store::index::{Indexes, KEYS};
use crate::store::snapshot::{DataFile, Snapshot};

/// The only place a session can read from; the name is resolved by [`EvidenceTable::objects`] alone.
pub const STORE_URL: &str = "probity://evidence";
/// Rows of a journal batch: the batch size of the engine.
const JOURNAL_BATCH_ROWS: usize = PAGE_ROWS;
/// From so many columns on besides those filtered by, rows are filtered before these are decoded.
const LATE_COLUMNS: usize = 3;
/// Keys looked up in the indexes at once; with more, the columns are read.
const LOOKED_UP: usize = 64;
/// Columns that name one thing among many: an equality on one of them leaves few rows.
const SELECTIVE: [Column; 12] = [
    Column::EventId,
    Column::RunId,
    Column::BatchId,
    Column::TraceId,
    Column::ActionId,
    Column::RecordId,
    Column::SubjectId,
    Column::RollbackRef,
    Column::PayloadHash,
    Column::IncidentId,
    Column::ReviewId,
    Column::Seq,
];

/// The columns of `evidence`: those of the stored schema without `salt`, the partition column last.
pub fn evidence_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| table_schema(is_shown).table_schema().clone());
    SCHEMA.clone()
}

fn is_shown(column: Column) -> bool {
    column != Column::Salt
}

fn is_open(column: Column) -> bool {
    is_shown(column) && column.spec().role != Role::Sealed
}

fn table_schema(shows: fn(Column) -> bool) -> TableSchema {
    let is_in_files = |field: &&Arc<Field>| {
        Column::named(field.name()).is_some_and(|column| column != Column::OccurredMonth && shows(column))
    };
    let stored = stored_schema();
    let fields: Vec<Arc<Field>> = stored.fields().iter().filter(is_in_files).cloned().collect();
    let month = Arc::new(Field::new(Column::OccurredMonth.name(), DataType::Utf8View, true));
    TableSchema::builder(Arc::new(Schema::new(fields))).with_table_partition_cols(vec![month]).build()
}

/// The table over one snapshot, cut at `size` events.
pub struct EvidenceTable {
    schema: TableSchema,
    ordering: LexOrdering,
    objects: Arc<dyn ObjectStore>,
    indexes: Indexes,
    files: Vec<DataFile>,
    size: i64,
    journal: Vec<RecordBatch>,
    sorted_journal: OnceLock<Journal>,
}

/// The journal's rows in (`occurred_at`, `seq`) order.
#[derive(Default)]
struct Journal {
    batches: Vec<RecordBatch>,
    extent: Option<Extent>,
}

impl std::fmt::Debug for EvidenceTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EvidenceTable {{ size: {}, files: {} }}", self.size, self.files.len())
    }
}

impl EvidenceTable {
    /// The first `size` events of `snapshot`.
    ///
    /// # Errors
    /// When `size` is negative or beyond the snapshot, or the journal has columns of other types.
    pub fn new(snapshot: &Snapshot, size: i64) -> crate::error::Result<Self> {
        if !(0..=snapshot.size).contains(&size) {
            let have = snapshot.size;
            return Err(Error::invalid(format!("the ledger has {have} events, {size} were asked for")));
        }
        let schema = table_schema(is_shown);
        let mut left = usize::try_from(size - snapshot.folded).unwrap_or(0);
        let mut journal = Vec::new();
        for batch in &snapshot.journal {
            let rows = batch.num_rows().min(left);
            left -= rows;
            if rows > 0 {
                journal.push(select(&batch.slice(0, rows), schema.table_schema())?);
            }
        }
        Ok(Self {
            ordering: time_order(schema.table_schema()),
            schema,
            objects: snapshot.objects.clone(),
            indexes: snapshot.indexes.clone(),
            files: snapshot.files.iter().filter(|file| file.seq.0 < size).cloned().collect(),
            size,
            journal,
            sorted_journal: OnceLock::new(),
        })
    }

    /// The same rows without the sealed columns: nobody can ask this table for them.
    ///
    /// # Errors
    /// When the journal cannot be put in order.
    pub fn without_sealed(&self) -> crate::error::Result<Self> {
        let schema = table_schema(is_open);
        let sorted = self.journal().map_err(failure::error)?;
        let batches = sorted.batches.iter().map(|batch| select(batch, schema.table_schema()));
        let batches = batches.collect::<crate::error::Result<Vec<_>>>()?;
        Ok(Self {
            ordering: time_order(schema.table_schema()),
            schema,
            objects: self.objects.clone(),
            indexes: self.indexes.clone(),
            files: self.files.clone(),
            size: self.size,
            journal: Vec::new(),
            sorted_journal: OnceLock::from(Journal { batches, extent: sorted.extent.clone() }),
        })
    }

    /// The store that [`STORE_URL`] stands for.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }

    fn journal(&self) -> Result<&Journal> {
        if let Some(journal) = self.sorted_journal.get() {
            return Ok(journal);
        }
        let sorted = Journal::sorted(&self.journal, self.schema.table_schema())?;
        Ok(self.sorted_journal.get_or_init(|| sorted))
    }

    /// `files` with the pages of them that may hold what `filters` look for, as far as an index tells.
    async fn places<'a>(&self, files: Vec<&'a DataFile>, filters: &[Expr]) -> Vec<Place<'a>> {
        let Some((column, values)) = KEYS.into_iter().find_map(|key| looked_up(key, filters)) else {
            return files.into_iter().map(Place::from).collect();
        };
        let pages = self.indexes.pages(&self.objects, &files, column, &values).await;
        let places = files.into_iter().zip(pages).map(|(file, pages)| Place { file, pages });
        places.filter(|place| place.pages.as_ref().is_none_or(|pages| !pages.is_empty())).collect()
    }

    /// Scans `files`, all of whose rows count.
    fn scan_files(&self, state: &dyn Session, files: Vec<Place<'_>>, ask: &Ask<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_metadata_size_hint(files::ending_bytes(&files))
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(
                self.objects.clone(),
                cache,
            )))
            .with_pushdown_filters(ask.filters_late)
            .with_reorder_filters(ask.filters_late);
        let extents: Vec<Extent> = files.iter().map(|place| Extent::from(place.file)).collect();
        let partitions = state.config_options().execution.target_partitions;
        // The order is declared only to those who can see it: without it, files are split evenly by size.
        let ordered = ask.sees_order.then(|| files::ordered_groups(files.clone(), partitions)).flatten();
        let ordering = ordered.is_some().then_some(&self.ordering);
        let groups = ordered.unwrap_or_else(|| files::balanced_groups(files, partitions));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(files::file_groups(&groups, self.schema.file_schema(), ordering))
            .with_statistics(files::statistics(extents.iter(), self.schema.table_schema()))
            .with_output_ordering(ordering.cloned().into_iter().collect())
            .with_projection_indices(ask.projection.clone())?
            .with_limit(ask.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Scans files that go past the cut and drops the rows behind it.
    fn scan_cut(&self, state: &dyn Session, files: Vec<Place<'_>>, ask: &Ask<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let seq = self.schema.table_schema().index_of(Column::Seq.name())?;
        let mut columns =
            ask.projection.clone().unwrap_or_else(|| (0..self.schema.table_schema().fields().len()).collect());
        let wanted = columns.len();
        let at = columns.iter().position(|c| *c == seq).unwrap_or_else(|| {
            columns.push(seq);
            wanted
        });
        let ask = Ask { projection: Some(columns), limit: None, ..*ask };
        let input = self.scan_files(state, files, &ask)?;
        let is_before = BinaryExpr::new(
            Arc::new(PhysicalColumn::new(Column::Seq.name(), at)),
            Operator::Lt,
            Arc::new(Literal::new(ScalarValue::Int64(Some(self.size)))),
        );
        let builder = FilterExecBuilder::new(Arc::new(is_before), input);
        Ok(Arc::new(builder.apply_projection(Some((0..wanted).collect()))?.build()?))
    }

    fn scan_journal(&self, journal: &Journal, ask: &Ask<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let source = MemorySourceConfig::try_new(
            std::slice::from_ref(&journal.batches),
            self.schema.table_schema().clone(),
            ask.projection.clone(),
        )?;
        let source = source.try_with_sort_information(vec![self.ordering.clone()])?.with_limit(ask.limit);
        Ok(DataSourceExec::from_data_source(source))
    }
}

/// What one scan was asked for.
struct Ask<'a> {
    projection: Option<Vec<usize>>,
    filters: &'a [Expr],
    limit: Option<usize>,
    /// Both columns of the order are projected.
    sees_order: bool,
    /// Rows are filtered before the remaining columns are decoded.
    filters_late: bool,
}

impl<'a> Ask<'a> {
    fn new(schema: &Schema, projection: Option<&Vec<usize>>, filters: &'a [Expr], limit: Option<usize>) -> Self {
        let sees = |column: Column| match (projection, schema.index_of(column.name())) {
            (Some(projected), Ok(index)) => projected.contains(&index),
            (None, _) => true,
            _ => false,
        };
        let filtered: HashSet<&str> = filters.iter().flat_map(Expr::column_refs).map(|c| c.name.as_str()).collect();
        let projected = projection.map_or(schema.fields().len(), Vec::len);
        let is_selective = filters.iter().any(is_selective);
        // What most rows pass is cheaper to test behind the scan.
        let is_equality = filters.iter().any(|filter| equated(filter).is_some());
        Self {
            projection: projection.cloned(),
            filters,
            // With filters above the scan, the first `limit` rows are not those that were asked for.
            limit: if filters.is_empty() { limit } else { None },
            sees_order: sees(Column::OccurredAt) && sees(Column::Seq),
            filters_late: is_selective || is_equality && projected >= filtered.len() + LATE_COLUMNS,
        }
    }
}

/// The values that one of `filters` restricts `column` to, if one does to few.
fn looked_up(column: Column, filters: &[Expr]) -> Option<(Column, Vec<String>)> {
    let is_column = |expr: &Expr| expr.try_as_col().is_some_and(|c| c.name == column.name());
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    filters.iter().find_map(|filter| match filter {
        Expr::BinaryExpr(e) if e.op == Operator::Eq && is_column(&e.left) => Some((column, vec![text(&e.right)?])),
        Expr::BinaryExpr(e) if e.op == Operator::Eq && is_column(&e.right) => Some((column, vec![text(&e.left)?])),
        Expr::InList(list) if !list.negated && list.list.len() <= LOOKED_UP && is_column(&list.expr) => {
            Some((column, list.list.iter().map(text).collect::<Option<_>>()?))
        }
        _ => None,
    })
}

fn is_selective(filter: &Expr) -> bool {
    equated(filter).is_some_and(|column| SELECTIVE.contains(&column))
}

/// The column that `filter` restricts to one or a few values.
fn equated(filter: &Expr) -> Option<Column> {
    let column = match filter {
        Expr::BinaryExpr(e) if e.op == Operator::Eq => e.left.try_as_col().or_else(|| e.right.try_as_col()),
        Expr::InList(list) if !list.negated => list.expr.try_as_col(),
        _ => None,
    };
    column.and_then(|c| Column::named(&c.name)).filter(|column| *column != Column::Environment)
}

#[async_trait]
impl TableProvider for EvidenceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema.table_schema();
        let ask = Ask::new(schema, projection, filters, limit);
        let extents: Vec<Extent> = self.files.iter().map(Extent::from).collect();
        let keep = files::may_match(&extents, ask.filters, schema, state)?;
        let kept = self.files.iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file));
        let kept = self.places(kept.collect(), ask.filters).await;
        let (whole, cut): (Vec<Place<'_>>, Vec<Place<'_>>) =
            kept.into_iter().partition(|place| place.file.seq.1 < self.size);
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !whole.is_empty() {
            parts.push(self.scan_files(state, whole, &ask)?);
        }
        if !cut.is_empty() {
            parts.push(self.scan_cut(state, cut, &ask)?);
        }
        let journal = self.journal()?;
        if let Some(extent) = &journal.extent
            && files::may_match(std::slice::from_ref(extent), ask.filters, schema, state)?.contains(&true)
        {
            parts.push(self.scan_journal(journal, &ask)?);
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(schema, projection)?))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }
}

impl Journal {
    fn sorted(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Self> {
        // A batch that is a slice of a larger one would bring all of its text along.
        let batches = batches.iter().map(compact).collect::<Result<Vec<_>>>()?;
        let all = concat_batches(schema, &batches)?;
        if all.num_rows() == 0 {
            return Ok(Self::default());
        }
        let key = |column: Column| -> Result<SortColumn> {
            let values = all.column(schema.index_of(column.name())?).clone();
            Ok(SortColumn { values, options: Some(ascending()) })
        };
        let order = lexsort_to_indices(&[key(Column::OccurredAt)?, key(Column::Seq)?], None)?;
        let mut sorted = Vec::new();
        for from in (0..order.len()).step_by(JOURNAL_BATCH_ROWS) {
            let some = order.slice(from, JOURNAL_BATCH_ROWS.min(order.len() - from));
            sorted.push(compact(&take_record_batch(&all, &some)?)?);
        }
        Ok(Self { extent: Some(extent(&all, schema)?), batches: sorted })
    }
}

/// `batch` with views onto its own text only: otherwise each batch would count the whole journal as its
/// memory, and sorting a few rows would spill.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(batch.schema(), batch.columns().iter().map(with_own_text).collect())?)
}

fn extent(batch: &RecordBatch, schema: &SchemaRef) -> Result<Extent> {
    let column = |column: Column| -> Result<&ArrayRef> { Ok(batch.column(schema.index_of(column.name())?)) };
    let instants = |name: Column| -> Result<(i64, i64)> {
        let values = column(name)?.as_primitive::<TimestampMicrosecondType>();
        Ok((arrow::compute::min(values).unwrap_or(i64::MIN), arrow::compute::max(values).unwrap_or(i64::MAX)))
    };
    let seq = column(Column::Seq)?.as_primitive::<Int64Type>();
    let months = column(Column::OccurredMonth)?.as_string_view();
    let month = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(Extent {
        rows: batch.num_rows() as u64,
        seq: (arrow::compute::min(seq).unwrap_or(i64::MIN), arrow::compute::max(seq).unwrap_or(i64::MAX)),
        occurred_at: instants(Column::OccurredAt)?,
        recorded_at: instants(Column::RecordedAt)?,
        month: (month(arrow::compute::min_string_view(months)), month(arrow::compute::max_string_view(months))),
    })
}

/// The columns of `schema` from `batch`, by name; a column that the batch lacks is null.
fn select(batch: &RecordBatch, schema: &SchemaRef) -> crate::error::Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect())
        .map_err(|e| Error::internal("the journal does not follow the evidence schema").because(e))
}

fn ascending() -> SortOptions {
    SortOptions { descending: false, nulls_first: false }
}

/// (`occurred_at`, `seq`) ascending, over `schema`.
fn time_order(schema: &Schema) -> LexOrdering {
    let by = |column: Column| {
        let index = schema.index_of(column.name()).expect("the evidence schema has the columns of its order");
        PhysicalSortExpr::new(Arc::new(PhysicalColumn::new(column.name(), index)), ascending())
    };
    LexOrdering::new([by(Column::OccurredAt), by(Column::Seq)]).expect("two columns are an order")
}

#[cfg(test)]
mod tests {
    use datafusion::common::assert_batches_eq;
    use datafusion::datasource::MemTable;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::testing::{random_events, snapshot};
    use super::*;

    /// A session with `evidence` over `snapshot`, and `observed` over the same rows in memory.
    async fn session(snapshot: &Snapshot, lines: &[String], size: i64) -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(3).set_str("datafusion.execution.time_zone", "UTC");
        let state = SessionStateBuilder::new_with_default_features().with_config(config);
        let state = state.with_physical_optimizer_rule(Arc::new(super::super::keep_order::KeepOrder)).build();
        let ctx = SessionContext::new_with_state(state);
        let table = EvidenceTable::new(snapshot, size).unwrap();
        ctx.register_object_store(ObjectStoreUrl::parse(STORE_URL).unwrap().as_ref(), table.objects());
        let schema = evidence_schema();
        let all = super::super::testing::stored(lines);
        let all = concat_batches(&stored_schema(), &all).unwrap().slice(0, size as usize);
        let plain = MemTable::try_new(schema.clone(), vec![vec![select(&all, &schema).unwrap()]]).unwrap();
        ctx.register_table("evidence", Arc::new(table)).unwrap();
        ctx.register_table("observed", Arc::new(plain)).unwrap();
        ctx
    }

    async fn text(ctx: &SessionContext, sql: &str) -> String {
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    }

    /// `sql` with `{t}` for the table gives the same on both tables.
    async fn same(ctx: &SessionContext, sql: &str, context: &str) {
        let ours = text(ctx, &sql.replace("{t}", "evidence")).await;
        let plain = text(ctx, &sql.replace("{t}", "observed")).await.replace("observed", "evidence");
        assert_eq!(ours, plain, "{context}: {sql}");
    }

    fn random_filter(rng: &mut StdRng, count: usize) -> String {
        let day = rng.random_range(0..110);
        let at = crate::clock::rfc3339(super::super::testing::START + day * crate::clock::DAY);
        let seq = rng.random_range(0..count.max(1));
        match rng.random_range(0..14) {
            0 => format!("occurred_at >= '{at}'"),
            1 => format!("occurred_at < '{at}'"),
            2 => format!("occurred_at between '{at}' and timestamp '{at}' + interval '9 days'"),
            3 => format!("seq < {seq}"),
            4 => format!("seq = {seq}"),
            5 => format!("seq in ({seq}, {}, 3)", seq / 2),
            6 => format!("occurred_month = '2026-0{}'", rng.random_range(1..6)),
            7 => "occurred_month > '2026-02' or record_id = 'r7'".to_owned(),
            8 => format!("event_id = 'e{seq}'"),
            9 => format!("record_id in ('r1', 'r{}') and event_type <> 'action.proposed'", seq % 40),
            10 => "confidence > 0.5 and amount is not null".to_owned(),
            11 => "extra_digest is null and old_value is not null".to_owned(),
            12 => format!("recorded_at > timestamp '2026-07-20T00:{:02}:00Z'", seq % 60),
            _ => format!("not (seq >= {seq}) or inputs is not null"),
        }
    }

    #[tokio::test]
    async fn every_answer_equals_that_of_the_same_rows_in_memory() {
        let seed = 0x5eed_0001;
        println!("seed {seed}");
        let lines = random_events(seed, 300);
        let mut rng = StdRng::seed_from_u64(seed);
        for (folded, fold, size) in
            [(0, 1, 300), (300, 60, 300), (240, 50, 300), (240, 240, 131), (240, 50, 255), (300, 300, 0), (0, 1, 9)]
        {
            let snapshot = snapshot(&lines, folded, fold).await;
            let ctx = session(&snapshot, &lines, size).await;
            let context = format!("folded {folded} by {fold}, size {size}");
            same(&ctx, "select count(*), min(seq), max(seq), min(occurred_at), max(occurred_at), max(recorded_at), min(occurred_month) from {t}", &context).await;
            same(&ctx, "select * from {t} order by occurred_at, seq", &context).await;
            same(&ctx, "select * from {t} order by seq desc limit 7", &context).await;
            same(
                &ctx,
                "select occurred_at, seq, event_id from {t} order by occurred_at desc, seq desc limit 5",
                &context,
            )
            .await;
            for _ in 0..4 {
                let (a, b) = (random_filter(&mut rng, 300), random_filter(&mut rng, 300));
                let filter = if rng.random_bool(0.5) { format!("({a}) and ({b})") } else { a };
                for sql in [
                    format!("select count(*) from {{t}} where {filter}"),
                    format!("select * from {{t}} where {filter} order by seq"),
                    format!(
                        "select seq, occurred_at, action_id from {{t}} where {filter} order by occurred_at, seq limit 4"
                    ),
                    format!(
                        "select occurred_month, event_type, count(*), sum(amount) from {{t}} where {filter} group by 1, 2 order by 1, 2"
                    ),
                    format!(
                        "select l.seq, r.event_id from {{t}} l join {{t}} r on l.record_id = r.record_id and l.seq < r.seq where l.{} order by 1, 2 limit 20",
                        "confidence > 0.9"
                    ),
                ] {
                    same(&ctx, &sql, &context).await;
                }
            }
        }
    }

    #[tokio::test]
    async fn the_order_of_the_files_is_not_sorted_again() {
        let lines = random_events(3, 400);
        let snapshot = snapshot(&lines, 360, 360).await;
        let ctx = session(&snapshot, &lines, 400).await;
        let plan =
            text(&ctx, "explain select occurred_at, seq, event_id from evidence order by occurred_at, seq").await;
        assert!(!plan.contains("SortExec"), "{plan}");
        let plan = text(&ctx, "explain select count(*) from evidence").await;
        assert!(plan.contains("PlaceholderRowExec"), "a count is read from the statistics: {plan}");
        let plan =
            text(&ctx, "explain select count(event_id) from evidence where occurred_month = '2026-02' and seq < 360")
                .await;
        assert_eq!(plan.matches(".parquet").count(), 1, "{plan}");
    }

    #[tokio::test]
    async fn the_salt_cannot_be_named() {
        let lines = random_events(3, 5);
        let ctx = session(&snapshot(&lines, 5, 5).await, &lines, 5).await;
        assert!(ctx.sql("select salt from evidence").await.is_err());
        let columns = ctx.sql("select * from evidence").await.unwrap();
        assert!(columns.schema().fields().iter().all(|f| f.name() != "salt"));
        assert_eq!(columns.schema().fields().len(), stored_schema().fields().len() - 1);
    }

    #[tokio::test]
    async fn nothing_recorded_is_an_empty_table() {
        let ctx = session(&snapshot(&[], 0, 1).await, &[], 0).await;
        let batches =
            ctx.sql("select count(*) as n, max(seq) as s from evidence").await.unwrap().collect().await.unwrap();
        assert_batches_eq!(["+---+---+", "| n | s |", "+---+---+", "| 0 |   |", "+---+---+"], &batches);
    }
}
