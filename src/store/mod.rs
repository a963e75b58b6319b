//! Bytes at rest: one tenant's journal and table, and what keeps them in order.
//!
//! In: batches of accepted events with their place. Out: consistent prefixes of the evidence. Invariants: an
//! acknowledged event is in the journal or the table after any crash, exactly once; `seq` has no gap and no
//! repeat; every [`Snapshot`] is one prefix. This room knows nothing of SQL, nor of where events come from.

pub mod compact;
pub mod condition;
pub mod content;
pub mod cosign;
pub mod durable;
pub mod erase;
pub mod fold;
pub mod handovers;
pub mod index;
pub mod journal;
pub mod keys;
pub mod log;
mod making;
pub mod object;
pub mod pack;
pub mod parquet;
pub mod paths;
pub mod projection;
pub mod prove;
pub mod quarantine;
pub mod removals;
pub mod retire;
pub mod snapshot;
pub mod table;
pub mod touches;
pub mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use crate::clock::{Clock, Micros};
use crate::error::{Error, Result};
use crate::event::{Column, Leaf, Rows, leaves};
use crate::ledger::edge::Edge;
use crate::ledger::note::Signer;
use crate::limits::APPEND_ATTEMPTS;
use index::Indexes;
use journal::{Journal, Segment, chain};
use keys::Signing;
use log::Log;
use object::Location;
use paths::Paths;
pub use snapshot::{DataFile, Snapshot};
use table::{Table, TableState};

/// One tenant's evidence.
#[derive(Debug)]
pub struct Store {
    location: Location,
    paths: Paths,
    table: Table,
    journal: Journal,
    clock: Clock,
    /// The newest state seen; a hint that saves reading the log from its start.
    seen: Mutex<TableState>,
    indexes: Indexes,
    /// Journal objects read before; they never change while they count.
    segments: Arc<Mutex<BTreeMap<i64, Segment>>>,
    log: Log,
    /// Who signs checkpoints; without a key the ledger grows unsigned.
    signing: Option<Arc<Signing>>,
    /// The growing edge of the ledger's tree, once it was read.
    edge: Arc<tokio::sync::Mutex<Option<Edge>>>,
}

/// Where the next event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of events: the next `seq`.
    pub size: i64,
    /// `recorded_at` of the last one; the next is never before it.
    pub recorded_at: Micros,
}

impl Store {
    /// Opens the evidence of `tenant` at `location`.
    ///
    /// # Errors
    /// NotFound when there is no such store; Invalid when a newer version made it.
    pub async fn open(location: Location, tenant: &str, clock: Clock) -> Result<Self> {
        let paths = Paths::new(&location.base, tenant)?;
        let table = Table::new(&location, &paths, clock.clone())?;
        let state = table.open().await?;
        let missing = || {
            Error::not_found(format!(
                "no evidence of tenant `{tenant}` at {}; create it with `probity init`",
                location.url
            ))
        };
        let state = state.ok_or_else(missing)?;
        Ok(Self::with(location, paths, table, state, clock))
    }

    /// Opens the evidence of `tenant`, after creating it where it is not there.
    ///
    /// # Errors
    /// When the place cannot be written.
    pub async fn create(location: Location, tenant: &str, clock: Clock) -> Result<Self> {
        let paths = Paths::new(&location.base, tenant)?;
        let table = Table::new(&location, &paths, clock.clone())?;
        let state = table.create().await?;
        Ok(Self::with(location, paths, table, state, clock))
    }

    /// Where it lies.
    pub fn location(&self) -> &Location {
        &self.location
    }

    fn with(location: Location, paths: Paths, table: Table, state: TableState, clock: Clock) -> Self {
        let journal = Journal::new(location.objects.clone(), paths.clone());
        let indexes = Indexes::new(paths.index());
        let indexes = if location.directory.is_some() { indexes.on_disk() } else { indexes };
        let log = Log::new(location.objects.clone(), location.unsynced(), paths.clone());
        Self {
            location,
            paths,
            table,
            journal,
            clock,
            seen: Mutex::new(state),
            indexes,
            segments: Arc::default(),
            log,
            signing: None,
            edge: Arc::default(),
        }
    }

    /// The same store, signing its checkpoints with `signer`.
    pub fn signed_by(self, signer: Arc<Signer>) -> Self {
        Self { signing: Some(Arc::new(Signing::new(signer, None))), ..self }
    }

    /// The same store, signing its checkpoints with `signer`, which was read from `file`: a key that takes its place
    /// there while this store is open signs from then on.
    pub fn signed_from(self, signer: Arc<Signer>, file: PathBuf) -> Self {
        Self { signing: Some(Arc::new(Signing::new(signer, Some(file)))), ..self }
    }

    /// Who signs the checkpoints of this store, if anybody does.
    pub fn signer(&self) -> Option<&Arc<Signer>> {
        self.signing.as_ref().map(|signing| signing.signer())
    }

    /// The ledger at rest.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Another handle on the same store, for a task beside this one.
    pub fn share(&self) -> Store {
        let seen = self.seen.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let (location, paths, clock) = (self.location.clone(), self.paths.clone(), self.clock.clone());
        let segments = self.segments.clone();
        Self {
            table: self.table.clone(),
            journal: self.journal.clone(),
            seen: Mutex::new(seen),
            indexes: self.indexes.clone(),
            log: self.log.clone(),
            signing: self.signing.clone(),
            edge: self.edge.clone(),
            location,
            paths,
            clock,
            segments,
        }
    }

    /// The time and randomness of this store.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where its objects are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// URL of the store.
    pub fn url(&self) -> &str {
        self.location.url.as_str()
    }

    /// The objects of the store.
    pub fn objects(&self) -> &Arc<dyn object_store::ObjectStore> {
        &self.location.objects
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The newest version of the table.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn table(&self) -> Result<TableState> {
        let seen = self.seen.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let state = self.table.refresh(&seen).await?;
        let mut newest = self.seen.lock().unwrap_or_else(|e| e.into_inner());
        if state.version > newest.version {
            *newest = state.clone();
        }
        Ok(state)
    }

    /// The size of the evidence as of a version of the table.
    ///
    /// # Errors
    /// When there is no such version.
    pub async fn size_at_version(&self, version: i64) -> Result<i64> {
        Ok(self.table.at_version(version).await?.size)
    }

    /// The whole evidence as of now: journal first, then the table, so that nothing falls between them.
    ///
    /// # Errors
    /// Damaged when the journal has a gap that persists.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let (state, segments) = self.prefix().await?;
        let size = segments.last().map_or(state.size, Segment::end);
        Ok(Snapshot {
            objects: self.location.objects.clone(),
            projection: self.paths.projection(),
            indexes: self.indexes.clone(),
            files: state.files.to_vec(),
            journal: segments.into_iter().map(|s| s.rows).collect(),
            folded: state.size,
            size,
            version: state.version,
        })
    }

    /// The table and the chain of journal objects behind it.
    async fn prefix(&self) -> Result<(TableState, Vec<Segment>)> {
        for attempt in 0..APPEND_ATTEMPTS {
            let from = self.seen.lock().unwrap_or_else(|e| e.into_inner()).size;
            let entries = self.journal.list(from).await?;
            let segments = self.read_segments(&entries).await?;
            let state = self.table().await?;
            let has_later = segments.iter().any(|s| s.first_seq > state.size);
            let (linked, has_gap) = chain(segments, state.size);
            // Objects behind the chain without its start: they were folded between the two looks, or a gap.
            if !has_gap && (!linked.is_empty() || !has_later) {
                self.remember(state.size, &linked);
                return Ok((state, linked));
            }
            if attempt > 3 {
                tokio::time::sleep(Duration::from_millis(5 * attempt as u64)).await;
            }
            if attempt >= 20 {
                let end = linked.last().map_or(state.size, Segment::end);
                return Err(Error::damaged(format!(
                    "the journal lacks the object that starts at seq {end}, but holds later ones: acknowledged events are \
                     missing; restore {} from a backup",
                    self.paths.journal_object(end)
                )));
            }
        }
        Err(Error::unavailable("the journal is folded faster than it can be read; try again"))
    }

    /// Reads journal objects, those known from before without asking the store; objects that are gone are left out.
    async fn read_segments(&self, entries: &[journal::Entry]) -> Result<Vec<Segment>> {
        let known = |entry: &journal::Entry| {
            self.segments.lock().unwrap_or_else(|e| e.into_inner()).get(&entry.first_seq).cloned()
        };
        let (mut segments, mut unread) = (Vec::new(), Vec::new());
        for entry in entries {
            match known(entry) {
                Some(segment) => segments.push(segment),
                None => unread.push(entry.clone()),
            }
        }
        segments.extend(self.journal.read_all(&unread).await?.into_iter().flatten());
        segments.sort_by_key(|segment| segment.first_seq);
        Ok(segments)
    }

    /// Takes note of a journal object that this process has put, so that nobody here reads it back.
    pub fn note_appended(&self, first_seq: i64, writer: &str, rows: &RecordBatch, leaves: &[Leaf]) {
        let leaves = Some(leaves.into());
        let segment = Segment { writer: writer.to_owned(), first_seq, rows: rows.clone(), leaves };
        self.segments.lock().unwrap_or_else(|e| e.into_inner()).insert(first_seq, segment);
    }

    /// Keeps the chain for the next look, and nothing that was folded.
    fn remember(&self, folded: i64, chain: &[Segment]) {
        let mut known = self.segments.lock().unwrap_or_else(|e| e.into_inner());
        *known = known.split_off(&folded);
        for segment in chain {
            known.entry(segment.first_seq).or_insert_with(|| segment.clone());
        }
    }

    /// Where the next event goes, and the prefix that says so.
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub async fn head(&self) -> Result<(Head, Snapshot)> {
        self.check_not_rolled_back().await?;
        let snapshot = self.snapshot().await?;
        let of_files = snapshot.files.iter().map(|f| f.recorded_at.1).max();
        let of_journal = snapshot.journal.last().map(|rows| parquet::range(rows, Column::RecordedAt).1);
        let recorded_at = of_journal.max(of_files).unwrap_or(Micros::MIN);
        Ok((Head { size: snapshot.size, recorded_at }, snapshot))
    }

    /// The leaf hash of the event with this `seq` as the table holds it; none if the table ends before.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub async fn leaf_in_table(&self, seq: i64) -> Result<Option<Leaf>> {
        use futures::TryStreamExt;
        let state = self.table().await?;
        let all = Column::all();
        for file in state.files.iter().filter(|f| (f.seq.0..=f.seq.1).contains(&seq)) {
            let filter = parquet::RowsWith::seqs([seq].into_iter().collect());
            let mut rows = parquet::scan(&self.location.objects, file, &all, Some(filter)).await?;
            while let Some(batch) = rows.try_next().await? {
                if let Some(leaf) = leaves(&Rows::new(&batch)?).first() {
                    return Ok(Some(*leaf));
                }
            }
        }
        Ok(None)
    }

    /// Rows of the evidence in `month` with one of these event ids, from the table.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub async fn rows_with_ids(
        &self,
        snapshot: &Snapshot,
        month: &str,
        filter: &parquet::RowsWith,
    ) -> Result<Vec<RecordBatch>> {
        let mut found = Vec::new();
        for file in snapshot.files.iter().filter(|f| f.month == month) {
            found.extend(parquet::matching(&self.location.objects, file, filter).await?);
        }
        Ok(found)
    }

    /// Deletes the journal object at `first_seq`, which came too late: the table holds other events there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_dead(&self, first_seq: i64) -> Result<()> {
        self.journal.delete(vec![self.paths.journal_object(first_seq)]).await
    }

    /// Queues this process behind others that do the same work on a local store; on other stores it does
    /// nothing. Correctness never depends on it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub async fn queue(&self, work: &'static str) -> Result<Option<Arc<File>>> {
        let Some(path) = self.local_path(&format!("{work}.lock")) else { return Ok(None) };
        let failed =
            |e: std::io::Error| Error::unavailable(format!("cannot lock {work} of {}", self.location.url)).because(e);
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        // Nearly always nobody holds it, which is told sooner than another thread wakes up.
        if file.try_lock().is_ok() {
            return Ok(Some(Arc::new(file)));
        }
        let lock = move || file.lock().map(|()| file);
        match tokio::task::spawn_blocking(lock).await {
            Ok(locked) => locked.map(|file| Some(Arc::new(file))).map_err(failed),
            Err(e) => Err(Error::internal("the lock task died").because(e)),
        }
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        self.location.directory.as_ref()?;
        Some(PathBuf::from(format!("/{}", self.paths.root())).join(name))
    }
}
