//! Kept views: a view that many questions read is computed once and read back from memory or from a temporary file.
//!
//! In: the plan of a view. Out: a table over its rows that lives as long as the session. Invariant: the rows are those
//! of the view at the session's as-of point. A small view stays in memory, of which the queries' pool knows, while they
//! leave room; of any other a row group is held at a time.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::condensed::condense;
use super::failure;
use super::files::scan_of;
use super::spill::spilling;
use crate::error::{Error, ErrorKind};
use crate::limits::{KEPT_MEMORY_PART, KEPT_VIEW_BYTES};

/// Rows of a row group; bounds the memory of writing, and several make a scan parallel.
const ROW_GROUP_ROWS: usize = 64 * 1024;
/// Rows of a page: as many as a batch has. Texts that are read back point into their pages, and a page that several
/// batches point into is counted against the memory of a query once for each of them.
const PAGE_ROWS: usize = 8 * 1024;

/// The folder of a session's kept views.
#[derive(Debug)]
pub(super) struct Kept {
    folder: TempDir,
    objects: Arc<dyn ObjectStore>,
}

impl Kept {
    /// An empty folder in `parent`, or where the system keeps temporary files. Only its owner can read it.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub(super) fn new(parent: Option<&Path>) -> crate::error::Result<Self> {
        let folder = parent.map_or_else(TempDir::new, TempDir::new_in).map_err(no_room)?;
        let objects = LocalFileSystem::new_with_prefix(folder.path())
            .map_err(|e| Error::unavailable("cannot open the folder for kept views").because(e))?;
        Ok(Self { folder, objects: Arc::new(objects) })
    }

    /// Computes `plan` and gives the table over its rows; `name` is that of a file, no two are alike.
    ///
    /// # Errors
    /// When the view fails, or the rows cannot be written.
    pub(super) async fn keep(
        &self,
        state: &SessionState,
        name: &str,
        plan: &LogicalPlan,
    ) -> crate::error::Result<Arc<KeptTable>> {
        let physical = state.create_physical_plan(plan).await.map_err(failure::error)?;
        let schema = physical.schema();
        let part = match self.take(physical, state, name).await {
            Err(e) if e.kind() == ErrorKind::Limit => self.take(spilling(state, plan).await?, state, name).await?,
            taken => taken?,
        };
        Ok(Arc::new(KeptTable { schema, parts: vec![Arc::new(part)], objects: self.objects.clone() }))
    }

    /// The rows of `plan`, in memory while there is room for all of them.
    async fn take(&self, plan: Arc<dyn ExecutionPlan>, state: &SessionState, name: &str) -> crate::error::Result<Part> {
        let pool = &state.runtime_env().memory_pool;
        let mut held = Held { batches: Vec::new(), memory: MemoryConsumer::new("kept view").register(pool) };
        let mut rows = execute_stream(plan, state.task_ctx()).map_err(failure::running)?;
        while let Some(batch) = rows.next().await {
            let batch = batch.and_then(|batch| condense(&batch)).map_err(failure::running)?;
            if !held.has_room(&batch, pool) {
                held.batches.push(batch);
                let file = format!("{name}.parquet");
                let (bytes, rows) = write(&self.folder.path().join(&file), held, rows).await?;
                return Ok(Part::File { name: file, bytes, rows });
            }
            held.batches.push(batch);
        }
        Ok(Part::Memory(held))
    }
}

fn no_room(cause: std::io::Error) -> Error {
    Error::unavailable("cannot write temporary files; is there room where TMPDIR points?").because(cause)
}

/// Writes what was held and the `rows` behind it; gives bytes and rows.
async fn write(path: &Path, held: Held, rows: SendableRecordBatchStream) -> crate::error::Result<(u64, usize)> {
    let broken = |e| Error::unavailable("cannot write a kept view").because(e);
    let file = std::fs::File::create(path).map_err(no_room)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        // Read back a few times: looking for repetitions would cost more than it saves.
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .build();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).map_err(broken)?;
    let Held { batches, memory } = held;
    let mut batches = stream::iter(batches).map(Ok).chain(rows);
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failure::running)?;
        rows += batch.num_rows();
        writer.write(&batch).map_err(broken)?;
    }
    drop(memory);
    writer.close().map_err(broken)?;
    Ok((std::fs::metadata(path).map_err(no_room)?.len(), rows))
}

/// Some rows of a view.
#[derive(Debug)]
enum Part {
    Memory(Held),
    File { name: String, bytes: u64, rows: usize },
}

/// Rows in memory, of which the pool knows.
#[derive(Debug)]
struct Held {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Held {
    /// Takes memory for `batch`, if there is enough for this view and for what queries need besides.
    fn has_room(&self, batch: &RecordBatch, pool: &Arc<dyn MemoryPool>) -> bool {
        let bytes = batch.get_array_memory_size();
        let is_small = self.memory.size().saturating_add(bytes) <= KEPT_VIEW_BYTES;
        if !is_small || self.memory.try_grow(bytes).is_err() {
            return false;
        }
        match pool.memory_limit() {
            MemoryLimit::Finite(limit) => pool.reserved() <= limit / KEPT_MEMORY_PART,
            _ => true,
        }
    }
}

/// A table over kept rows.
#[derive(Debug)]
pub(super) struct KeptTable {
    schema: SchemaRef,
    parts: Vec<Arc<Part>>,
    objects: Arc<dyn ObjectStore>,
}

impl KeptTable {
    /// The rows of all `parts`, of one folder and one view; `None` where there is none.
    pub(super) fn joined(parts: &[Arc<Self>]) -> Option<Arc<Self>> {
        let first = parts.first()?;
        let all = parts.iter().flat_map(|part| part.parts.clone()).collect();
        Some(Arc::new(Self { schema: first.schema.clone(), parts: all, objects: first.objects.clone() }))
    }

    /// A scan of the parts in files; `None` where there is none.
    fn scan_files(&self, partitions: usize, ask: &Ask<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (mut files, mut all_rows) = (Vec::new(), 0);
        for part in &self.parts {
            if let Part::File { name, bytes, rows } = part.as_ref() {
                files.push(PartitionedFile::new(name.clone(), *bytes));
                all_rows += rows;
            }
        }
        if files.is_empty() {
            return Ok(None);
        }
        let reader = Arc::new(DefaultParquetFileReaderFactory::new(self.objects.clone()));
        let source = ParquetSource::new(self.schema.clone()).with_parquet_file_reader_factory(reader);
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(all_rows);
        let mut groups: Vec<FileGroup> = vec![FileGroup::default(); partitions.clamp(1, files.len())];
        let next = groups.len();
        for (at, file) in files.into_iter().enumerate() {
            groups[at % next].push(file);
        }
        scan_of(source, groups, statistics, (ask.projection, ask.limit)).map(Some)
    }

    /// A scan of the parts in memory, of no row where there is none.
    fn scan_memory(&self, partitions: usize, ask: &Ask<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut groups: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions.max(1)];
        let held = self.parts.iter().filter_map(|part| match part.as_ref() {
            Part::Memory(held) => Some(&held.batches),
            Part::File { .. } => None,
        });
        let next = groups.len();
        for (at, batch) in held.flatten().enumerate() {
            groups[at % next].push(batch.clone());
        }
        groups.retain(|group| !group.is_empty());
        if groups.is_empty() {
            groups.push(Vec::new());
        }
        let source = MemorySourceConfig::try_new(&groups, self.schema.clone(), ask.projection.cloned())?;
        Ok(DataSourceExec::from_data_source(source.with_limit(ask.limit)))
    }
}

struct Ask<'a> {
    projection: Option<&'a Vec<usize>>,
    limit: Option<usize>,
}

#[async_trait]
impl TableProvider for KeptTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = state.config_options().execution.target_partitions;
        let ask = Ask { projection, limit };
        let files = self.scan_files(partitions, &ask)?;
        let is_in_memory = self.parts.iter().any(|part| matches!(part.as_ref(), Part::Memory(_)));
        match files {
            Some(files) if is_in_memory => UnionExec::try_new(vec![files, self.scan_memory(partitions, &ask)?]),
            Some(files) => Ok(files),
            None => self.scan_memory(partitions, &ask),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext, col};
    use url::Url;

    use super::super::provider::STORE_URL;
    use super::*;

    const VIEW: &str =
        "select * from (values (1, 'a text that is no part of its view'), (2, null), (3, 'c')) as v (n, t)";

    /// The view kept twice: where a view may stay in memory, and where all memory is taken.
    async fn kept(context: &SessionContext, kept: &Kept) -> [Arc<KeptTable>; 2] {
        let plan = context.sql(VIEW).await.unwrap().into_unoptimized_plan();
        let state = context.state();
        let held = kept.keep(&state, "held", &plan).await.unwrap();
        let pool = &state.runtime_env().memory_pool;
        let others = MemoryConsumer::new("others").register(pool);
        others.try_grow(60_000_000).unwrap();
        [held, kept.keep(&state, "written", &plan).await.unwrap()]
    }

    #[tokio::test]
    async fn rows_are_the_same_wherever_they_lie_and_memory_is_given_back() {
        let env = RuntimeEnvBuilder::new().with_memory_limit(100_000_000, 1.0).build_arc().unwrap();
        let context = SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(2), env.clone());
        let folder = Kept::new(None).unwrap();
        context.register_object_store(&Url::parse(STORE_URL).unwrap(), folder.objects.clone());
        let [held, written] = kept(&context, &folder).await;
        assert!(matches!(held.parts[0].as_ref(), Part::Memory(_)));
        assert!(matches!(written.parts[0].as_ref(), Part::File { rows: 3, .. }));
        let both = KeptTable::joined(&[held.clone(), written.clone()]).unwrap();
        assert!(env.memory_pool.reserved() > 0, "the pool knows of rows in memory");
        let shown = async |table: Arc<KeptTable>, columns: &[&str]| {
            let rows = context.read_table(table).unwrap().select_columns(columns).unwrap();
            let rows = rows.sort_by(vec![col("n"), col("t")]).unwrap().collect().await.unwrap();
            arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
        };
        assert_eq!(shown(held.clone(), &["n", "t"]).await, shown(written.clone(), &["n", "t"]).await);
        assert_eq!(context.read_table(both.clone()).unwrap().count().await.unwrap(), 6);
        drop((held, written, both));
        assert_eq!(env.memory_pool.reserved(), 0);
    }
}
