//! An object store that fails as networks and disks do, by a seeded plan.
//!
//! A put may lose its response after it was done, time out before it was done, or tear: leave the beginning of
//! its bytes behind. Reads and lists may time out. The Delta log is spared torn puts: the protocol rests on an
//! atomic put-if-absent, which every supported store gives.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Fails some of its operations.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<InMemory>,
    random: Mutex<StdRng>,
    /// Operations in a hundred that fail.
    rate: u32,
    is_calm: AtomicBool,
    /// Faults so far.
    pub faults: AtomicU64,
    /// Puts that may still happen; past them the "process" is dead and everything fails.
    puts_left: Mutex<Option<u64>>,
}

impl Faulty {
    /// Fails `rate` of a hundred operations, by `seed`.
    pub fn new(seed: u64, rate: u32) -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            rate,
            is_calm: AtomicBool::new(false),
            faults: AtomicU64::new(0),
            puts_left: Mutex::new(None),
        }
    }

    /// The same objects with another plan.
    pub fn with(other: &Faulty, seed: u64, rate: u32) -> Self {
        Self { inner: other.inner.clone(), ..Self::new(seed, rate) }
    }

    /// Stops or restarts failing.
    pub fn calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::SeqCst);
    }

    /// Dies after `changes` more puts and deletes; `None` revives.
    pub fn die_after(&self, changes: Option<u64>) {
        *self.puts_left.lock().unwrap() = changes;
    }

    fn roll(&self) -> u32 {
        if self.is_calm.load(Ordering::SeqCst) { 100 } else { self.random.lock().unwrap().random_range(0..100) }
    }

    fn fails(&self) -> bool {
        let fails = self.roll() < self.rate;
        self.faults.fetch_add(u64::from(fails), Ordering::SeqCst);
        fails
    }

    /// Counts a change; false when the process is dead.
    fn lives(&self) -> bool {
        match self.puts_left.lock().unwrap().as_mut() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn is_dead(&self) -> bool {
        *self.puts_left.lock().unwrap() == Some(0)
    }
}

fn timeout() -> Error {
    Error::Generic { store: "faulty", source: "timed out".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if !self.lives() {
            return Err(timeout());
        }
        if !self.fails() {
            return self.inner.put_opts(location, payload, opts).await;
        }
        match self.roll() % 4 {
            // Lost response, seen as an error of the connection or, after a retry, as a conflict.
            0 => self.inner.put_opts(location, payload, opts).await.and(Err(timeout())),
            1 => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(Error::AlreadyExists { path: location.to_string(), source: "retried".into() })
            }
            2 if !location.as_ref().contains("_delta_log") && self.inner.head(location).await.is_err() => {
                let bytes = Bytes::from(payload.iter().flat_map(|b| b.to_vec()).collect::<Vec<_>>());
                let torn = bytes.slice(..bytes.len() * 3 / 4);
                self.inner.put_opts(location, torn.into(), opts).await.and(Err(timeout()))
            }
            _ => Err(timeout()),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.is_dead() || self.fails() {
            return Err(timeout());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if !self.lives() {
            return Box::pin(futures::stream::once(async { Err(timeout()) }));
        }
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.is_dead() || self.fails() {
            return Box::pin(futures::stream::once(async { Err(timeout()) }));
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if self.is_dead() {
            return Err(timeout());
        }
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
