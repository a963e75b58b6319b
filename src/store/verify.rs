//! Verifying a store: every row, tile and checkpoint against the others.
//!
//! In: the table with its commit log, the tiles, the checkpoints, the keys that may have signed them. Out: what does
//! not match, with row, file and reason. Invariants: a row is believed only if its own bytes give the leaf that the
//! signed tree holds at its place; memory is one bit an event, and a bound on everything else. It repairs nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::Store;
use super::log::{HeldTiles, Log, Sealed, TILES_AT_ONCE};
use super::parquet;
use super::snapshot::DataFile;
use crate::error::{Error, Result};
use crate::event::batch::month_of;
use crate::event::{Column, Leaf, Rows, leaves};
use crate::ledger::edge::Edge;
use crate::ledger::hash::Hash;
use crate::ledger::note::{Note, Verifier};
use crate::ledger::tile::{TILE_WIDTH, Tile};
use crate::ledger::tree::Node;

/// Findings kept; all are counted.
pub const FINDINGS: usize = 100;
/// Data files read at once.
const FILES_AT_ONCE: usize = 4;

/// Something that does not match.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// `edited`, `added`, `missing`, `twice`, `truncated`, `tile`, `checkpoint`, `signature`, `commit` or `file`.
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

/// What the tasks of one verification share.
struct Work {
    store: Store,
    size: u64,
    seen: Vec<AtomicU64>,
    found: Mutex<Verified>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Work {
    fn add(&self, kind: &'static str, seq: Option<i64>, object: Option<String>, reason: String) {
        self.locked().add(Finding { kind, seq, object, reason });
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Verified> {
        self.found.lock().unwrap_or_else(|e| e.into_inner())
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
    /// When the store cannot be read; what does not match is no error.
    pub async fn verify(&self, keys: &[Verifier], progress: impl Fn(u64) + Send + Sync + 'static) -> Result<Verified> {
        // Checkpoints before the table: whoever folds meanwhile only makes the table longer.
        let sizes = self.log().sizes().await?;
        let hinted = self.log().hinted_size().await?;
        let state = self.table().await?;
        let size = u64::try_from(state.size).unwrap_or(0);
        let seen = (0..size.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (found, progress) = (Mutex::default(), Box::new(progress));
        let work = Arc::new(Work { store: self.share(), size, seen, found, progress });
        let checkpoints = check_checkpoints(&work, &sizes, hinted, keys).await?;
        check_commits(&work, &state, &checkpoints).await?;
        check_tree(&work, &checkpoints).await?;
        check_files(&work, &state.files).await?;
        check_seen(&work);
        let mut found = std::mem::take(&mut *work.locked());
        found.findings.sort_by_key(|finding| (finding.seq.is_none(), finding.seq));
        Ok(found)
    }
}

/// Reads every checkpoint: its form, who signed it, whether the table is as long.
async fn check_checkpoints(
    work: &Work,
    sizes: &[u64],
    hinted: Option<u64>,
    keys: &[Verifier],
) -> Result<BTreeMap<u64, Hash>> {
    let log = work.store.log();
    let mut roots = BTreeMap::new();
    let mut origin: Option<String> = None;
    let lacking = |size: u64, reason: &str| {
        work.add("checkpoint", None, Some(work.store.paths.checkpoint(size).to_string()), reason.to_owned());
    };
    if let Some(hinted) = hinted.filter(|hinted| sizes.last() < Some(hinted)) {
        lacking(hinted, "`log/checkpoint` names it as the newest one, and it is not there");
    }
    if sizes.first().is_some_and(|first| *first > 0) {
        lacking(0, "the first one, over no event, is not there");
    }
    for size in sizes.iter().copied() {
        let object = work.store.paths.checkpoint(size).to_string();
        let Some(sealed) = read_checkpoint(work, log, size, &object).await? else { continue };
        if let Err(e) = check_signature(&sealed, keys) {
            work.add("signature", None, Some(object.clone()), format!("{e}"));
        }
        let named = origin.get_or_insert_with(|| sealed.checkpoint.origin.clone());
        if *named != sealed.checkpoint.origin {
            let reason = format!("is of the log `{}`, the first one of `{named}`", sealed.checkpoint.origin);
            work.add("checkpoint", None, Some(object.clone()), reason);
        }
        if size > work.size {
            let reason = format!(
                "the table has {} events, but {size} were signed: {} are cut off at the end",
                work.size,
                size - work.size
            );
            work.add("truncated", Some(work.size as i64), Some(object), reason);
            continue;
        }
        roots.insert(size, sealed.checkpoint.root);
    }
    let mut found = work.locked();
    found.checkpoints = roots.len() as u64;
    found.signed = roots.keys().last().copied().unwrap_or(0);
    drop(found);
    Ok(roots)
}

async fn read_checkpoint(work: &Work, log: &Log, size: u64, object: &str) -> Result<Option<Sealed>> {
    match log.checkpoint(size).await {
        Ok(sealed) => Ok(sealed),
        Err(e) if e.kind() == crate::error::ErrorKind::Damaged => {
            work.add("checkpoint", None, Some(object.to_owned()), e.to_string());
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

fn check_signature(sealed: &Sealed, keys: &[Verifier]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    Note::parse(&sealed.note)?.verify(keys).map(drop)
}

/// Every commit that made the table longer has its checkpoint, from the first that was signed on.
async fn check_commits(work: &Work, state: &super::table::TableState, checkpoints: &BTreeMap<u64, Hash>) -> Result<()> {
    let Some((last, _)) = checkpoints.last_key_value() else { return Ok(()) };
    let sizes = work.store.table.sizes_after(state, 0).await?;
    for size in sizes.iter().map(|size| *size as u64).filter(|size| size <= last && !checkpoints.contains_key(size)) {
        let reason = format!("a commit made the table {size} events long, and its checkpoint is not there");
        work.add("checkpoint", None, Some(work.store.paths.checkpoint(size).to_string()), reason);
    }
    for size in checkpoints.keys().filter(|size| **size > 0 && sizes.binary_search(&(**size as i64)).is_err()) {
        let reason = "was signed over a size that no commit gave the table".to_owned();
        work.add("commit", None, Some(work.store.paths.checkpoint(*size).to_string()), reason);
    }
    Ok(())
}

/// The tiles of leaves give every tile above them, and the root of every checkpoint.
async fn check_tree(work: &Work, checkpoints: &BTreeMap<u64, Hash>) -> Result<()> {
    let log = work.store.log();
    let mut edge = Edge::default();
    let mut above: Vec<(Tile, Bytes)> = Vec::new();
    let width = TILE_WIDTH as u64;
    let tiles = (0..work.size.div_ceil(width)).map(|index| {
        let tile = Tile { level: 0, index, width: (work.size - index * width).min(width) as u16 };
        async move { (tile, log.tile(tile).await) }
    });
    let mut tiles = futures::stream::iter(tiles).buffered(TILES_AT_ONCE);
    while let Some((tile, bytes)) = tiles.next().await {
        let Some(leaves) = leaves_of_tile(work, tile, bytes?).await? else { return Ok(()) };
        for leaf in leaves {
            edge.append(leaf, |tile, hashes| {
                if tile.level > 0 {
                    above.push((tile, hashes.as_flattened().to_vec().into()));
                }
            });
            if let Some(root) = checkpoints.get(&edge.size()) {
                check_root(work, &edge, root);
            }
        }
        for (tile, hashes) in above.drain(..) {
            check_tile(work, tile, &hashes).await?;
        }
    }
    for (tile, hashes) in edge.partial().filter(|(tile, _)| tile.level > 0) {
        check_tile(work, tile, hashes.as_flattened()).await?;
    }
    Ok(())
}

/// The leaves in a tile; where it is missing, those that the rows give. None behind what was signed: a fold may be at
/// work there.
async fn leaves_of_tile(work: &Work, tile: Tile, bytes: Option<Bytes>) -> Result<Option<Vec<Hash>>> {
    if let Some(bytes) = bytes {
        return tile.hashes(&bytes).map(|hashes| Some(hashes.to_vec()));
    }
    let first = tile.index * TILE_WIDTH as u64;
    if first + u64::from(tile.width) > work.locked().signed {
        return Ok(None);
    }
    let reason = "the tile of leaves is missing or cut off; `probity maintain tiles` makes it again".to_owned();
    work.add("tile", Some(first as i64), Some(tile.path()), reason);
    let range = first as i64..first as i64 + i64::from(tile.width);
    // A row that is missing there is named when the rows are read.
    Ok(work.store.leaves_of_table(range).await.ok())
}

async fn check_tile(work: &Work, tile: Tile, hashes: &[u8]) -> Result<()> {
    if work.store.log().tile(tile).await?.as_deref() != Some(hashes) {
        let reason = "is missing or does not hold the hashes of the tiles below it".to_owned();
        work.add("tile", None, Some(tile.path()), reason);
    }
    Ok(())
}

fn check_root(work: &Work, edge: &Edge, signed: &Hash) {
    if edge.root() != *signed {
        let reason = format!("the tiles give another root over {} events than the one that was signed", edge.size());
        work.add("checkpoint", None, Some(work.store.paths.checkpoint(edge.size()).to_string()), reason);
    }
}

async fn check_files(work: &Arc<Work>, files: &[DataFile]) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for file in files {
        if tasks.len() == FILES_AT_ONCE {
            joined(tasks.join_next().await)?;
        }
        let (work, file) = (work.clone(), file.clone());
        tasks.spawn(async move { check_file(&work, &file).await });
    }
    while !tasks.is_empty() {
        joined(tasks.join_next().await)?;
    }
    Ok(())
}

fn joined(ended: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match ended {
        Some(Ok(done)) => done,
        Some(Err(e)) => Err(Error::internal("a verification task died").because(e)),
        None => Ok(()),
    }
}

async fn check_file(work: &Work, file: &DataFile) -> Result<()> {
    let all = Column::all();
    let object = file.path.to_string();
    let mut read = Bounds::default();
    let mut leaves = Leaves { tiles: HeldTiles::new(work.store.log()), size: work.size };
    let reading = async {
        let mut rows = parquet::scan(&work.store.location.objects, file, &all, None).await?;
        while let Some(batch) = rows.try_next().await? {
            let view = Rows::new(&batch)?;
            check_batch(work, &mut leaves, &view, file, &mut read).await?;
            (work.progress)(view.len() as u64);
        }
        Ok::<(), Error>(())
    };
    match reading.await {
        Ok(()) if !read.are_of(file) => {
            let reason = "the commit log states other bounds or another number of rows: queries would pass rows over";
            work.add("file", Some(file.seq.0), Some(object), reason.to_owned());
        }
        Ok(()) => {}
        Err(e) if is_of_the_store(&e) => return Err(e),
        Err(e) => work.add("file", Some(file.seq.0), Some(object), format!("cannot be read: {}", chain_of(&e))),
    }
    let mut found = work.locked();
    found.rows += read.rows;
    found.files += 1;
    Ok(())
}

async fn check_batch(
    work: &Work,
    held: &mut Leaves<'_>,
    view: &Rows<'_>,
    file: &DataFile,
    read: &mut Bounds,
) -> Result<()> {
    for (row, leaf) in leaves(view).into_iter().enumerate() {
        let seq = view.long(Column::Seq, row);
        let at = view.instant(Column::OccurredAt, row).unwrap_or_default();
        read.widen(seq.unwrap_or(-1), at, view.instant(Column::RecordedAt, row).unwrap_or_default());
        let said = |reason: String| format!("{reason} (occurred at {})", crate::clock::rfc3339(at));
        if let Some((kind, reason)) = check_row(work, held, seq, &leaf).await? {
            work.add(kind, seq, Some(file.path.to_string()), said(reason));
        }
        if month_of(at) != file.month {
            let reason = said(format!("the row lies in the folder of {}", file.month));
            work.add("file", seq, Some(file.path.to_string()), reason);
        }
    }
    Ok(())
}

/// What a file was found to hold, to compare with what the commit log states of it.
#[derive(Default)]
struct Bounds {
    rows: u64,
    seq: Option<(i64, i64)>,
    occurred_at: Option<(i64, i64)>,
    recorded_at: Option<(i64, i64)>,
}

impl Bounds {
    fn widen(&mut self, seq: i64, occurred_at: i64, recorded_at: i64) {
        let wider = |bounds: Option<(i64, i64)>, value: i64| {
            Some(bounds.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
        };
        self.rows += 1;
        self.seq = wider(self.seq, seq);
        self.occurred_at = wider(self.occurred_at, occurred_at);
        self.recorded_at = wider(self.recorded_at, recorded_at);
    }

    fn are_of(&self, file: &DataFile) -> bool {
        let stated = (Some(file.seq), Some(file.occurred_at), Some(file.recorded_at));
        self.rows == file.rows && (self.seq, self.occurred_at, self.recorded_at) == stated
    }
}

/// Whether the store failed, so that nothing is known of the evidence.
fn is_of_the_store(err: &Error) -> bool {
    let mut cause = std::error::Error::source(err);
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref::<object_store::Error>() {
            return !matches!(e, object_store::Error::NotFound { .. });
        }
        cause = e.source();
    }
    false
}

/// An error with its causes: the reader says what is broken in a file there.
fn chain_of(err: &Error) -> String {
    let mut text = err.to_string();
    let mut cause = std::error::Error::source(err);
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

async fn check_row(
    work: &Work,
    held: &mut Leaves<'_>,
    seq: Option<i64>,
    leaf: &Leaf,
) -> Result<Option<(&'static str, String)>> {
    let place = seq.and_then(|seq| u64::try_from(seq).ok()).filter(|seq| *seq < work.size);
    let Some(place) = place else {
        return Ok(Some(("added", format!("the row lies outside the {} events of the table", work.size))));
    };
    let is_first = work.see(place);
    let expected = held.get(place).await?;
    Ok(match (expected, is_first) {
        (Some(expected), _) if expected != *leaf => {
            Some(("edited", "the row does not give the leaf hash that the ledger holds at its place".to_owned()))
        }
        (_, false) => Some(("twice", "a row of this seq was read before".to_owned())),
        _ => None,
    })
}

/// Names the rows that no file holds, as runs.
fn check_seen(work: &Work) {
    let is_seen = |seq: u64| work.seen[(seq / 64) as usize].load(Ordering::Relaxed) >> (seq % 64) & 1 == 1;
    let mut seq = 0;
    while seq < work.size {
        if seq % 64 == 0 && work.seen[(seq / 64) as usize].load(Ordering::Relaxed) == u64::MAX {
            seq += 64;
            continue;
        }
        let first = seq;
        while seq < work.size && !is_seen(seq) {
            seq += 1;
        }
        match seq - first {
            0 => seq += 1,
            1 => work.add("missing", Some(first as i64), None, "no data file holds this row".to_owned()),
            n => {
                let reason = format!("no data file holds the {n} rows from here to seq {}", seq - 1);
                work.add("missing", Some(first as i64), None, reason);
            }
        }
    }
}

/// Leaf hashes as the tiles of the tree of `size` leaves hold them.
struct Leaves<'a> {
    tiles: HeldTiles<'a>,
    size: u64,
}

impl Leaves<'_> {
    async fn get(&mut self, seq: u64) -> Result<Option<Leaf>> {
        let (tile, range) = Tile::holding(Node { level: 0, index: seq }, self.size);
        let Some(bytes) = self.tiles.get(tile).await? else { return Ok(None) };
        Ok(Some(tile.hashes(&bytes)?[range.start]))
    }
}
