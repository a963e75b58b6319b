//! Kept views: a view that many questions read is computed once and read back from a temporary file.
//!
//! In: the plan of a view. Out: a table over a Parquet file that lives as long as the session. Invariant: the
//! rows are those of the view at the session's as-of point; memory is bounded by one row group.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::failure;
use super::provider::STORE_URL;
use super::spill::spilling;
use crate::error::{Error, ErrorKind};

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
        let file = format!("{name}.parquet");
        let path = self.folder.path().join(&file);
        let physical = state.create_physical_plan(plan).await.map_err(failure::error)?;
        let schema = physical.schema();
        let (bytes, rows) = match write(physical, state, &path).await {
            Err(e) if e.kind() == ErrorKind::Limit => write(spilling(state, plan).await?, state, &path).await?,
            written => written?,
        };
        let files = vec![KeptFile { name: file, bytes, rows }];
        Ok(Arc::new(KeptTable { schema, files, objects: self.objects.clone() }))
    }
}

fn no_room(cause: std::io::Error) -> Error {
    Error::unavailable("cannot write temporary files; is there room where TMPDIR points?").because(cause)
}

/// Writes the rows of `plan`; gives bytes and rows.
async fn write(plan: Arc<dyn ExecutionPlan>, state: &SessionState, path: &Path) -> crate::error::Result<(u64, usize)> {
    let broken = |e| Error::unavailable("cannot write a kept view").because(e);
    let file = std::fs::File::create(path).map_err(no_room)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        // Read back a few times: looking for repetitions would cost more than it saves.
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .build();
    let mut writer = ArrowWriter::try_new(file, plan.schema(), Some(properties)).map_err(broken)?;
    let mut batches = execute_stream(plan, state.task_ctx()).map_err(failure::running)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failure::running)?;
        rows += batch.num_rows();
        writer.write(&batch).map_err(broken)?;
    }
    writer.close().map_err(broken)?;
    Ok((std::fs::metadata(path).map_err(no_room)?.len(), rows))
}

#[derive(Debug, Clone)]
struct KeptFile {
    name: String,
    bytes: u64,
    rows: usize,
}

/// A table over kept files.
#[derive(Debug)]
pub(super) struct KeptTable {
    schema: SchemaRef,
    files: Vec<KeptFile>,
    objects: Arc<dyn ObjectStore>,
}

impl KeptTable {
    /// The rows of all `parts`, of one folder and one view; `None` where there is none.
    pub(super) fn joined(parts: &[Arc<Self>]) -> Option<Arc<Self>> {
        let first = parts.first()?;
        let files = parts.iter().flat_map(|part| part.files.clone()).collect();
        Some(Arc::new(Self { schema: first.schema.clone(), files, objects: first.objects.clone() }))
    }
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
        let reader = Arc::new(DefaultParquetFileReaderFactory::new(self.objects.clone()));
        let source = ParquetSource::new(self.schema.clone()).with_parquet_file_reader_factory(reader);
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(self.files.iter().map(|file| file.rows).sum());
        let groups = state.config_options().execution.target_partitions.clamp(1, self.files.len().max(1));
        let mut groups: Vec<FileGroup> = vec![FileGroup::default(); groups];
        let next = groups.len();
        for (at, file) in self.files.iter().enumerate() {
            groups[at % next].push(PartitionedFile::new(file.name.clone(), file.bytes));
        }
        // The reader above opens the file; the address only has to be one that the session knows.
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
