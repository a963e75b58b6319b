//! The view `actions`, read from its projection instead of folded by SQL.
//!
//! In: the evidence and the projection of its actions. Out: a plan with the columns of `queries/views/actions.sql`
//! over a table of segments and of the actions that newer events touch. Invariant: the rows are those that the SQL
//! of the view gives over the first `size` events, whatever the projection covers; a test compares the two.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{Result as PlanResult, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, ParquetSource};
use datafusion::datasource::provider_as_source;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, ident};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use tempfile::TempDir;

use super::failure;
use super::files::scan_of;
use super::header::NamedQuery;
use super::window::Restriction;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::actions::{AS_PROPOSED, action_schema};
use crate::limits::{PAGE_ROWS, PROJECTION_MEMORY_EVENTS};
use crate::store::projection::{Projection, Segment, build, newest};
use crate::store::snapshot::Snapshot;

/// From so many columns on besides those filtered by, rows are filtered before these are decoded.
const LATE_COLUMNS: usize = 3;
/// The name of the view.
pub(super) const ACTIONS: &str = "actions";

/// Folded actions: segments on disk, and those that newer events touch.
pub(super) struct ActionsTable {
    objects: Arc<dyn ObjectStore>,
    segments: Vec<Segment>,
    touched: Vec<RecordBatch>,
    /// Where segments lie that were made for this session alone.
    _folder: Option<TempDir>,
}

impl std::fmt::Debug for ActionsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ActionsTable {{ segments: {}, touched: {} }}", self.segments.len(), self.touched.len())
    }
}

impl ActionsTable {
    /// The actions of the first `size` events of `snapshot`; what no projection holds is folded now, into memory or
    /// into files in `spill_dir`.
    ///
    /// # Errors
    /// When evidence or projection cannot be read.
    pub(super) async fn open(snapshot: &Snapshot, size: i64, spill_dir: Option<&std::path::Path>) -> Result<Self> {
        let before = newest(&snapshot.objects, &snapshot.projection, size).await?.unwrap_or_default();
        if before.segments.is_empty() && size > PROJECTION_MEMORY_EVENTS {
            return Self::folded_now(snapshot, size, spill_dir).await;
        }
        Self::completed(snapshot, size, before).await
    }

    async fn completed(snapshot: &Snapshot, size: i64, before: Projection) -> Result<Self> {
        let objects = snapshot.objects.clone();
        let touched = build::touched(snapshot, size, &objects, before).await?;
        let step = |from: usize| touched.actions.slice(from, PAGE_ROWS.min(touched.actions.num_rows() - from));
        let rows = (0..touched.actions.num_rows()).step_by(PAGE_ROWS).map(step).collect();
        Ok(Self { objects, segments: touched.before.segments, touched: rows, _folder: None })
    }

    async fn folded_now(snapshot: &Snapshot, size: i64, spill_dir: Option<&std::path::Path>) -> Result<Self> {
        let no_room =
            |e| Error::unavailable("cannot write temporary files; is there room where TMPDIR points?").because(e);
        let folder = spill_dir.map_or_else(TempDir::new, TempDir::new_in).map_err(no_room)?;
        let path = Path::from_absolute_path(folder.path())
            .map_err(|e| Error::unavailable("the folder for temporary files cannot be used").because(e))?;
        let objects: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let segments = build::everything(snapshot, size, (&objects, &path, &Clock::system())).await?;
        Ok(Self { objects, segments, touched: Vec::new(), _folder: Some(folder) })
    }

    /// A scan of this table.
    ///
    /// # Errors
    /// Never for a table of its schema.
    pub(super) fn reading(self: &Arc<Self>) -> Result<LogicalPlanBuilder> {
        LogicalPlanBuilder::scan(ACTIONS, provider_as_source(self.clone()), None).map_err(failure::error)
    }

    /// The plan of the view `view` over this table, of the actions of `restriction` only.
    ///
    /// # Errors
    /// When the view has a column that the fold does not give.
    pub(super) fn plan(
        self: &Arc<Self>,
        state: &SessionState,
        view: &NamedQuery,
        restriction: Option<&Restriction>,
    ) -> Result<LogicalPlan> {
        let mut scan = self.reading()?;
        if let Some(restriction) = restriction {
            scan = scan.filter(restriction.of_actions()).map_err(failure::error)?;
        }
        let columns: Result<Vec<Expr>> =
            view.returns.iter().map(|column| column_of_view(state, &scan, &column.name)).collect();
        scan.project(columns?).and_then(LogicalPlanBuilder::build).map_err(failure::error)
    }

    fn scan_segments(&self, state: &dyn Session, ask: &Ask<'_>) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let reader = Arc::new(CachedParquetFileReaderFactory::new(self.objects.clone(), cache));
        let source = ParquetSource::new(action_schema())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(reader)
            .with_pushdown_filters(ask.filters_late);
        let partitions = state.config_options().execution.target_partitions.max(1);
        let mut groups: Vec<(u64, FileGroup)> = vec![(0, FileGroup::default()); partitions];
        for segment in &self.segments {
            if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
                *bytes += segment.bytes;
                group.push(partitioned(segment));
            }
        }
        let groups = groups.into_iter().map(|(_, group)| group).filter(|group| !group.is_empty()).collect();
        let mut statistics = Statistics::new_unknown(&action_schema());
        let rows: u64 = self.segments.iter().map(|s| s.rows - s.replaced.len()).sum();
        statistics.num_rows = datafusion::common::stats::Precision::Inexact(rows as usize);
        scan_of(source, groups, statistics, (ask.projection, ask.limit))
    }
}

struct Ask<'a> {
    projection: Option<&'a Vec<usize>>,
    limit: Option<usize>,
    /// Rows are filtered before the remaining columns are decoded.
    filters_late: bool,
}

/// `segment` as DataFusion reads it, without its replaced rows.
fn partitioned(segment: &Segment) -> PartitionedFile {
    // Not `new`, which encodes a path that is encoded already once more.
    let file = PartitionedFile::new_from_meta(ObjectMeta {
        location: segment.path.clone(),
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: segment.bytes,
        e_tag: None,
        version: None,
    });
    if segment.replaced.is_empty() {
        return file;
    }
    let (mut selectors, mut from) = (Vec::new(), 0u32);
    for row in segment.replaced.iter() {
        if row > from {
            selectors.push(RowSelector::select((row - from) as usize));
        }
        selectors.push(RowSelector::skip(1));
        from = row + 1;
    }
    selectors.push(RowSelector::select((segment.rows - u64::from(from)) as usize));
    file.with_extension(ParquetRowSelection::new(RowSelection::from(selectors)))
}

/// The column `name` of the view in terms of the fold: an `…_order` is made of an instant and a `seq`.
fn column_of_view(state: &SessionState, scan: &LogicalPlanBuilder, name: &str) -> Result<Expr> {
    if AS_PROPOSED.contains(&name) {
        let text = format!("case when {name}_as_proposed then proposed_payload_hash else {name} end");
        return state.create_logical_expr(&text, scan.schema()).map(|e| e.alias(name)).map_err(failure::error);
    }
    let at = match name {
        "proposed_at" => return Ok(ident("cohort_at").alias(name)),
        "proposal_order" => "cohort_at",
        "first_decision_order" => "first_decision_at",
        "final_decision_order" => "final_decision_at",
        "first_execution_order" => "executed_at",
        "last_succeeded_order" => "last_succeeded_at",
        _ => return Ok(ident(name)),
    };
    let seq = name.replace("_order", "_seq");
    let text = format!("cast(cast({at} as bigint) as decimal(38, 0)) * 1000000000000 + {seq}");
    state.create_logical_expr(&text, scan.schema()).map(|expr| expr.alias(name)).map_err(failure::error)
}

#[async_trait]
impl TableProvider for ActionsTable {
    fn schema(&self) -> SchemaRef {
        action_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        // With filters above the scan, the first `limit` rows are not those that were asked for.
        let limit = limit.filter(|_| filters.is_empty());
        let filtered: HashSet<&str> = filters.iter().flat_map(Expr::column_refs).map(|c| c.name.as_str()).collect();
        let projected = projection.map_or(action_schema().fields().len(), Vec::len);
        let filters_late = !filters.is_empty() && projected >= filtered.len() + LATE_COLUMNS;
        let ask = Ask { projection, limit, filters_late };
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !self.segments.is_empty() {
            parts.push(self.scan_segments(state, &ask)?);
        }
        if !self.touched.is_empty() {
            let rows = std::slice::from_ref(&self.touched);
            let source = MemorySourceConfig::try_new(rows, action_schema(), ask.projection.cloned())?;
            parts.push(DataSourceExec::from_data_source(source.with_limit(ask.limit)));
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(&action_schema(), projection)?))),
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }
}
