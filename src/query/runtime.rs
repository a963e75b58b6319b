//! The machine that queries run on: threads, memory, temporary files and caches, shared by all sessions.
//!
//! In: bounds. Out: an environment for the sessions over one store, and places for strangers' queries.
//! Invariant: all queries together stay within the memory and the disk given here, away from the threads
//! that serve requests; a stranger's query has threads of its own, so that it can starve nobody. One runtime belongs to one object store: what is cached of a file is found by path.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::{Result as PlanResult, exec_err};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use url::Url;

use super::guard::PLANNING_STACK_BYTES;
use super::pool::Pool;
use super::provider::STORE_URL;
use crate::error::{Error, Result};
use crate::limits::{PIECE_EVENTS, QUERY_MEMORY_BYTES, QUERY_SPILL_BYTES};

/// Look-ups by key at once for each thread: while one waits for its disk, or a bucket, another decodes.
const LOOK_UPS_A_THREAD: usize = 2;
/// Strangers' queries that run at once; others wait.
pub const ADHOC_QUERIES: usize = 2;
/// Bytes of footers and page indexes kept, so that a file's structure is read once.
const METADATA_CACHE_BYTES: usize = 256 * 1024 * 1024;
/// Stack of a thread that runs operators: expressions are evaluated by recursion.
const THREAD_STACK_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that a sort may buffer per partition while it reads files in order.
const SORT_BUFFER_BYTES: usize = 64 * 1024 * 1024;
/// Values of an IN list up to which files and row groups are skipped by it.
const PRUNED_IN_LIST: usize = 256;

/// Bounds of a [`QueryRuntime`].
#[derive(Debug, Clone)]
pub struct RuntimeLimits {
    /// Threads, and partitions of a plan.
    pub threads: usize,
    /// Bytes of memory of all queries together.
    pub memory_bytes: usize,
    /// Bytes of temporary files of all queries together.
    pub spill_bytes: u64,
    /// Where temporary files lie; the system's folder when `None`.
    pub spill_dir: Option<PathBuf>,
    /// Events whose actions are judged at a time.
    pub piece_events: u64,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(2, NonZeroUsize::get),
            memory_bytes: QUERY_MEMORY_BYTES,
            spill_bytes: QUERY_SPILL_BYTES,
            spill_dir: None,
            piece_events: PIECE_EVENTS,
        }
    }
}

/// Threads, memory and caches for queries over one store.
pub struct QueryRuntime {
    /// `None` only while it is being dropped.
    threads: Option<tokio::runtime::Runtime>,
    env: RuntimeEnv,
    partitions: usize,
    spill_dir: Option<PathBuf>,
    piece_events: u64,
    strangers: Arc<Semaphore>,
    look_ups: Semaphore,
    judges: Semaphore,
}

impl std::fmt::Debug for QueryRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QueryRuntime {{ partitions: {} }}", self.partitions)
    }
}

impl QueryRuntime {
    /// A runtime within `limits`.
    ///
    /// # Errors
    /// When the threads or the folder for temporary files cannot be had.
    pub fn new(limits: &RuntimeLimits) -> Result<Arc<Self>> {
        let partitions = limits.threads.max(1);
        let threads = threads("query", partitions)?;
        let mode = match &limits.spill_dir {
            Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
            None => DiskManagerMode::OsTmpDirectory,
        };
        let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(limits.spill_bytes);
        let env = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(Pool::new(limits.memory_bytes)))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(METADATA_CACHE_BYTES)
            .build()
            .map_err(|e| {
                Error::unavailable("cannot prepare the folder for temporary files").because(e.strip_backtrace())
            })?;
        let strangers = Arc::new(Semaphore::new(ADHOC_QUERIES));
        let (spill_dir, piece_events) = (limits.spill_dir.clone(), limits.piece_events.max(1));
        let (look_ups, judges) = (Semaphore::new(LOOK_UPS_A_THREAD * partitions), Semaphore::new(partitions));
        let threads = Some(threads);
        Ok(Arc::new(Self { threads, env, partitions, spill_dir, piece_events, strangers, look_ups, judges }))
    }

    /// The threads that run queries.
    pub(super) fn handle(&self) -> tokio::runtime::Handle {
        self.threads.as_ref().expect("the threads live as long as the runtime").handle().clone()
    }

    /// The environment of a session that can read `objects` and nothing else.
    pub(super) fn env(&self, objects: Arc<dyn ObjectStore>) -> Arc<RuntimeEnv> {
        Arc::new(RuntimeEnv { object_store_registry: Arc::new(OneStore(objects)), ..self.env.clone() })
    }

    /// Events whose actions are judged at a time.
    pub(super) fn piece_events(&self) -> u64 {
        self.piece_events
    }

    /// Where temporary files lie; the system's folder when `None`.
    pub(super) fn spill_dir(&self) -> Option<PathBuf> {
        self.spill_dir.clone()
    }

    /// Settings of every session.
    pub(super) fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.partitions)
            .with_information_schema(false)
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_str("datafusion.execution.spill_compression", "lz4_frame");
        let options = config.options_mut();
        options.execution.parquet.max_in_list_size = PRUNED_IN_LIST;
        options.execution.sort_pushdown_buffer_capacity = SORT_BUFFER_BYTES;
        // Row counts of the evidence are exact.
        options.execution.use_row_number_estimates_to_optimize_partitioning = true;
        config
    }

    /// Threads for a stranger's query; waits while all places are taken.
    pub(super) async fn guest(&self) -> Result<Guest> {
        let place = self.strangers.clone().acquire_owned().await;
        let place = place.map_err(|e| Error::internal("queries are no longer run").because(e))?;
        Ok(Guest(Some((threads("query-guest", self.partitions)?, place))))
    }

    /// A place to look one key up in; waits while all are taken. Whole pages of all columns are decoded for a few rows: a
    /// hundred look-ups at once would hold gigabytes and not be done sooner.
    pub(super) async fn look_up(&self) -> Result<SemaphorePermit<'_>> {
        self.look_ups.acquire().await.map_err(|e| Error::internal("keys are no longer looked up").because(e))
    }

    /// A place to judge one action in; waits while all are taken. Most of that is planning, which fills a processor, in a
    /// thread of its own: a hundred at once would not be done sooner.
    pub(super) async fn judge(&self) -> Result<SemaphorePermit<'_>> {
        self.judges.acquire().await.map_err(|e| Error::internal("actions are no longer judged").because(e))
    }

    /// Runs `work` on a thread of its own with a stack that the deepest accepted query does not exhaust.
    pub(super) async fn on_deep_stack<T, F>(handle: tokio::runtime::Handle, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (send, receive) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("query-plan".to_owned()).stack_size(PLANNING_STACK_BYTES);
        let spawned = thread.spawn(move || {
            // A caller that went away needs no answer.
            let _ = send.send(handle.block_on(work));
        });
        spawned.map_err(|e| Error::unavailable("cannot start a thread to plan the query").because(e))?;
        // The sender is dropped without a word only when the thread panicked.
        receive.await.unwrap_or_else(|_| Err(Error::internal("planning the query failed by a defect")))
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        // Waiting for the threads is not allowed in a task, and a runaway query would keep it waiting.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

fn threads(name: &str, count: usize) -> Result<tokio::runtime::Runtime> {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name(name)
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build();
    threads.map_err(|e| Error::unavailable("cannot start the threads for queries").because(e))
}

/// The threads of one stranger's query. Its place is free again when they have really ended.
pub(super) struct Guest(Option<(tokio::runtime::Runtime, OwnedSemaphorePermit)>);

impl Guest {
    /// The threads.
    pub(super) fn handle(&self) -> tokio::runtime::Handle {
        self.0.as_ref().expect("the threads live as long as the guest").0.handle().clone()
    }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guest")
    }
}

impl Guest {
    /// Ends the threads; what is given tells when they have ended and hold no memory any more.
    pub(super) fn end(&mut self) -> tokio::sync::oneshot::Receiver<()> {
        let (ended, told) = tokio::sync::oneshot::channel();
        if let Some((threads, place)) = self.0.take() {
            // Waiting is not allowed in a task; and without a thread to wait in, nobody waits.
            let _ = std::thread::Builder::new().name("query-end".to_owned()).spawn(move || {
                drop(threads);
                give_memory_back();
                drop(place);
                let _ = ended.send(());
            });
        }
        told
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Returns to the system what queries have freed. The allocator of glibc keeps the small pieces of large
/// aggregates: a server would grow by a gigabyte with each such query and never shrink.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_memory_back() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> i32;
    }
    static AT_WORK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // One at a time: who comes second would find nothing left to return.
    if let Ok(_alone) = AT_WORK.try_lock() {
        // SAFETY: the function of glibc takes a number, may be called from any thread, and touches free memory only.
        unsafe { malloc_trim(0) };
    }
}

/// Other allocators return freed memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_memory_back() {}

/// A registry that knows one store under one name, so that no path in SQL leads anywhere else.
#[derive(Debug)]
struct OneStore(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> PlanResult<Arc<dyn ObjectStore>> {
        if url.as_str().trim_end_matches('/') == STORE_URL {
            return Ok(self.0.clone());
        }
        exec_err!("a query reads the evidence only")
    }
}
