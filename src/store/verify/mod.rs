//! Verifying a store: every row, tile and checkpoint against the others.
//!
//! In: the table with its commit log, the tiles, the checkpoints, the keys that may have signed them. Out: what does
//! not match, with row, file and reason. Invariants: a row is believed only if its own bytes give the leaf that the
//! signed tree holds at its place; memory is one bit an event, one for each number of a source, and a bound on
//! everything else. It repairs nothing.

mod ids;
mod ledger;
mod removed;
mod rows;
mod sources;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Store;
use super::removals::Removals;
use super::snapshot::DataFile;
use crate::error::{Error, Result};
use crate::ledger::note::Verifier;
use ids::Ids;
use sources::Sources;

/// Findings kept; all are counted.
pub const FINDINGS: usize = 100;

/// Something that does not match.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// About rows: `edited`, `added`, `missing`, `twice`, `truncated`, `erased` (nobody says why), `unerased` (an
    /// erasure is not finished) or `ids` (two events have the same). About objects: `tile`, `checkpoint`, `signature`,
    /// `commit`, `file` or `retired`. About what arrived: `gap`.
    pub kind: &'static str,
    /// The first row that it is about, where it is about rows.
    pub seq: Option<i64>,
    /// The object that it was found in.
    pub object: Option<String>,
    /// In words, with dates where a row has one.
    pub reason: String,
}

/// What a verification found.
#[derive(Debug, Default, serde::Serialize)]
pub struct Verified {
    /// Rows of the table, each hashed again.
    pub rows: u64,
    /// Data files read.
    pub files: u64,
    /// Signed checkpoints, each compared with the tree.
    pub checkpoints: u64,
    /// Size of the newest one; rows behind it are vouched for by nobody yet.
    pub signed: u64,
    /// Rows that are gone with a retired month: an event of the ledger says so, and their hashes are kept.
    pub retired: u64,
    /// Whether gaps in `source_seq` were looked for; they are not where months were retired, whose rows took theirs along.
    pub gaps_judged: bool,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub count: u64,
}

impl Verified {
    /// Whether everything matches.
    pub fn is_ok(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// A kind of finding and its reason, before row and file are named.
type Flaw = (&'static str, String);

/// What the tasks of one verification share.
struct Work {
    store: Store,
    size: u64,
    files: Arc<Vec<DataFile>>,
    /// None where they cannot be told; then no erasure is judged.
    removals: Option<Removals>,
    seen: Vec<AtomicU64>,
    ids: Mutex<Ids>,
    /// Makes the hashes of ids those of this verification alone.
    ids_key: u64,
    sources: Mutex<Sources>,
    found: Mutex<Verified>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Work {
    fn add(&self, kind: &'static str, seq: Option<i64>, object: Option<String>, reason: String) {
        self.locked().add(Finding { kind, seq, object, reason });
    }

    fn locked(&self) -> MutexGuard<'_, Verified> {
        self.found.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes that the row was seen; false where it was before.
    fn see(&self, seq: u64) -> bool {
        let bit = 1 << (seq % 64);
        self.seen[(seq / 64) as usize].fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

impl Store {
    /// Verifies the folded table. `keys` are those that checkpoints may be signed by; `progress` is told how many rows
    /// were read.
    ///
    /// # Errors
    /// When the store cannot be read, or the disk has no room for temporary files; what does not match is no error.
    pub async fn verify(&self, keys: &[Verifier], progress: impl Fn(u64) + Send + Sync + 'static) -> Result<Verified> {
        // Checkpoints and seq sets before the table: whoever folds meanwhile only makes the table longer.
        let sizes = self.log().sizes().await?;
        let hinted = self.log().hinted_size().await?;
        let sets = self.seq_sets().await?;
        let state = self.table().await?;
        let (removals, unknown) = removed::load(self, &state).await?;
        let size = u64::try_from(state.size).unwrap_or(0);
        let work = Arc::new(Work {
            store: self.share(),
            size,
            files: state.files.clone(),
            removals,
            seen: (0..size.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            ids: Mutex::default(),
            ids_key: u64::from_le_bytes(self.clock.random()),
            sources: Mutex::default(),
            found: Mutex::default(),
            progress: Box::new(progress),
        });
        unknown.into_iter().for_each(|finding| work.locked().add(finding));
        removed::check_sets(&work, &sets);
        let checkpoints = ledger::check_checkpoints(&work, &sizes, hinted, keys).await?;
        ledger::check_commits(&work, &state, &checkpoints).await?;
        tokio::try_join!(ledger::check_tree(&work, &checkpoints), rows::check_files(&work))?;
        removed::count_retired(&work);
        rows::check_seen(&work);
        // Last, because they may be many, and only the first findings are kept.
        ids::check_ids(&work).await?;
        sources::check_gaps(&work);
        let mut found = std::mem::take(&mut *work.locked());
        found.findings.sort_by(|a, b| place(a).cmp(&place(b)));
        Ok(found)
    }
}

/// Rows first and in order; what was found at the same time by several tasks is always told in the same order.
fn place(finding: &Finding) -> (bool, Option<i64>, &str, Option<&str>) {
    (finding.seq.is_none(), finding.seq, finding.kind, finding.object.as_deref())
}

/// What a task of a verification gave.
fn joined<T>(ended: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    ended.map_err(|e| Error::internal("a verification task died").because(e))?
}
