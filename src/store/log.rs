//! The ledger at rest: tiles of the tree, and the checkpoints that are signed over it.
//!
//! Rows of the table → leaves → tiles → one signed checkpoint for every commit that made the table longer. In: the
//! table and its commit log. Out: a tree that covers the whole table. Invariants: nothing is signed before it is
//! durable; a checkpoint is never larger than the table and never contradicts an earlier one, else sealing refuses;
//! checkpoints are never overwritten. Tiles can be made again from the rows and are written without waiting for the
//! disk. Recovery is this code and no other: it begins at whatever tiles are there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::Store;
use super::object::{self, object_error};
use super::parquet;
use super::paths::Paths;
use super::snapshot::DataFile;
use super::table::TableState;
use crate::error::{Error, Result};
use crate::event::{Column, Leaf, Rows, leaves};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::edge::Edge;
use crate::ledger::hash::{Hash, hex};
use crate::ledger::note::{Note, Signer};
use crate::ledger::tile::{TILE_WIDTH, Tile};
use crate::ledger::tree::Node;

const HASH_BYTES: usize = 32;
/// Tiles read or written at once: each of them is an answer to wait for,
pub(super) const TILES_AT_ONCE: usize = 32;
/// but on a disk of this machine only a thread more, and every thread keeps memory that the next fold then misses.
const LOCAL_TILES_AT_ONCE: usize = 4;
/// Tiles kept by whoever looks many leaves or nodes up.
const TILES_HELD: usize = 4096;
/// Data files read at once.
const FILES_AT_ONCE: usize = 2;
/// Leaves computed from rows before they become tiles; bounds the memory of a recovery.
pub(super) const LEAVES_AT_ONCE: i64 = 1024 * 1024;

/// Tiles and checkpoints of one tenant.
#[derive(Debug, Clone)]
pub struct Log {
    objects: Arc<dyn ObjectStore>,
    /// The same objects, written without waiting for the disk.
    loose: Arc<dyn ObjectStore>,
    paths: Paths,
}

/// What becomes of a tile that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// It must be the same.
    Compared,
    /// It gives way: the root over what takes its place was signed.
    Replaced,
}

/// A checkpoint as it lies in the store.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The whole note, cosignatures included.
    pub note: Bytes,
}

impl Log {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, loose: Arc<dyn ObjectStore>, paths: Paths) -> Self {
        Self { objects, loose, paths }
    }

    /// Sizes of all signed checkpoints, ascending.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sizes(&self) -> Result<Vec<u64>> {
        self.sizes_from(None).await
    }

    /// The size that the hint names as the newest, where there is a hint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hinted_size(&self) -> Result<Option<u64>> {
        let hint = self.get(&self.paths.checkpoint_hint()).await?;
        Ok(hint.and_then(|note| read_checkpoint(&note).ok()).map(|checkpoint| checkpoint.size))
    }

    async fn sizes_from(&self, after: Option<u64>) -> Result<Vec<u64>> {
        let folder = self.paths.checkpoints();
        let listed = match after {
            Some(size) => self.objects.list_with_offset(Some(&folder), &self.paths.checkpoint(size)),
            None => self.objects.list(Some(&folder)),
        };
        let sizes = listed.map_ok(|meta| Paths::checkpoint_size(&meta.location));
        let sizes: Vec<Option<u64>> = sizes.try_collect().await.map_err(|e| object_error("list", &folder, e))?;
        let mut sizes: Vec<u64> = sizes.into_iter().flatten().collect();
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// The newest signed checkpoint; none where nothing was signed yet.
    ///
    /// # Errors
    /// When the store fails; Damaged when it is no checkpoint.
    pub async fn newest(&self) -> Result<Option<Sealed>> {
        let hint = self.hinted_size().await?;
        if let Some(size) = hint
            && let Some(sealed) = self.checkpoint(self.sizes_from(hint).await?.last().copied().unwrap_or(size)).await?
        {
            return Ok(Some(sealed));
        }
        // No hint, or one to a checkpoint that is gone: look at all of them.
        match self.sizes().await?.last() {
            Some(size) => self.checkpoint(*size).await,
            None => Ok(None),
        }
    }

    /// The checkpoint of this size.
    ///
    /// # Errors
    /// When the store fails; Damaged when it is no checkpoint of that size.
    pub async fn checkpoint(&self, size: u64) -> Result<Option<Sealed>> {
        let path = self.paths.checkpoint(size);
        let Some(note) = self.get(&path).await? else { return Ok(None) };
        let checkpoint =
            read_checkpoint(&note).map_err(|e| Error::damaged(format!("{path} is no checkpoint")).because(e))?;
        if checkpoint.size != size {
            return Err(Error::damaged(format!("{path} is a checkpoint of {} events", checkpoint.size)));
        }
        Ok(Some(Sealed { checkpoint, note }))
    }

    /// Puts a signed checkpoint, unless it is there with the same text.
    async fn sign(&self, size: u64, root: Hash, signer: &Signer) -> Result<()> {
        let checkpoint = Checkpoint { origin: signer.name().to_owned(), size, root };
        let note = Note::signed(&checkpoint.to_text(), signer)?.to_string();
        let path = self.paths.checkpoint(size);
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        if let Err(e) = self.objects.put_opts(&path, note.clone().into(), options).await {
            match self.checkpoint(size).await? {
                Some(there) if there.checkpoint == checkpoint => {}
                Some(_) => return Err(Error::damaged(format!("{path} says something else about {size} events"))),
                None => return Err(object_error("write", &path, e)),
            }
        }
        let hint = self.paths.checkpoint_hint();
        self.loose.put(&hint, note.into()).await.map(drop).map_err(|e| object_error("write", &hint, e))
    }

    async fn get(&self, path: &Path) -> Result<Option<Bytes>> {
        object::get(&self.objects, path).await
    }

    /// The bytes of a tile, taken from the full one of the same place where that is what there is; none where neither
    /// is there or they have another length.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Bytes>> {
        let wanted = usize::from(tile.width) * HASH_BYTES;
        if let Some(bytes) = self.get(&self.paths.tile(tile)).await?.filter(|bytes| bytes.len() == wanted) {
            return Ok(Some(bytes));
        }
        let full = Tile { width: TILE_WIDTH as u16, ..tile };
        let bytes = self.get(&self.paths.tile(full)).await?;
        let bytes = bytes.filter(|bytes| bytes.len() == TILE_WIDTH * HASH_BYTES && wanted <= bytes.len());
        Ok(bytes.map(|bytes| bytes.slice(..wanted)))
    }

    /// The edge of the tree of `size` leaves, as the tiles tell it; none where one lacks or has another length.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn edge(&self, size: u64) -> Result<Option<Edge>> {
        let mut tiles = Vec::new();
        for tile in Edge::tiles(size) {
            let Some(bytes) = self.tile(tile).await? else { return Ok(None) };
            let Ok(hashes) = tile.hashes(&bytes) else { return Ok(None) };
            tiles.push(hashes.to_vec());
        }
        Ok(Edge::from_tiles(size, tiles).ok())
    }

    /// Appends `leaves` to the tree of `edge`: full tiles are written, and their incomplete forerunners go.
    async fn extend(&self, edge: &mut Edge, leaves: &[Hash], existing: Existing) -> Result<()> {
        let begun = Edge::tiles(edge.size());
        let mut full: Vec<(Tile, Bytes)> = Vec::new();
        for leaf in leaves {
            edge.append(*leaf, |tile, hashes| full.push((tile, hashes.as_flattened().to_vec().into())));
        }
        let is_full = |old: &Tile| full.iter().any(|(tile, _)| (tile.level, tile.index) == (old.level, old.index));
        let outgrown: Vec<Tile> = begun.into_iter().filter(is_full).collect();
        self.write(full, existing).await?;
        for tile in outgrown {
            self.forget(tile).await?;
        }
        Ok(())
    }

    /// The incomplete tiles of `edge`.
    fn partial(&self, edge: &Edge) -> Vec<(Tile, Bytes)> {
        edge.partial().map(|(tile, hashes)| (tile, hashes.as_flattened().to_vec().into())).collect()
    }

    async fn write(&self, tiles: Vec<(Tile, Bytes)>, existing: Existing) -> Result<()> {
        // Only a local store has other objects for what need not be waited for.
        let at_once = if Arc::ptr_eq(&self.objects, &self.loose) { TILES_AT_ONCE } else { LOCAL_TILES_AT_ONCE };
        let puts = futures::stream::iter(tiles).map(|(tile, bytes)| self.write_tile(tile, bytes, existing));
        puts.buffer_unordered(at_once).try_collect().await
    }

    async fn write_tile(&self, tile: Tile, bytes: Bytes, existing: Existing) -> Result<()> {
        let path = self.paths.tile(tile);
        let mode = match existing {
            Existing::Compared => PutMode::Create,
            Existing::Replaced => PutMode::Overwrite,
        };
        let options = PutOptions { mode, ..Default::default() };
        let Err(failure) = self.loose.put_opts(&path, bytes.clone().into(), options).await else { return Ok(()) };
        match self.get(&path).await? {
            Some(there) if there == bytes => Ok(()),
            // Cut off by a crash: it never was a tile.
            Some(there) if there.len() != bytes.len() => {
                self.loose.put(&path, bytes.into()).await.map(drop).map_err(|e| object_error("write", &path, e))
            }
            Some(_) => Err(Error::damaged(format!(
                "the rows give other hashes than {path}, which was written when they were folded: evidence was changed; \
                 `probity verify store` says which rows"
            ))),
            None => Err(object_error("write", &path, failure)),
        }
    }

    /// Deletes what was written of `tile` before it was full.
    async fn forget(&self, tile: Tile) -> Result<()> {
        for meta in object::list(&self.loose, &self.paths.partial_tiles(tile)).await? {
            object::delete(&self.loose, &meta.location).await?;
        }
        Ok(())
    }
}

/// Tiles as they are asked for, the last ones kept.
pub(super) struct HeldTiles<'a> {
    log: &'a Log,
    held: HashMap<Tile, Option<Bytes>>,
}

impl<'a> HeldTiles<'a> {
    pub(super) fn new(log: &'a Log) -> Self {
        Self { log, held: HashMap::new() }
    }

    /// The bytes of a tile, as [`Log::tile`].
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn get(&mut self, tile: Tile) -> Result<Option<Bytes>> {
        if let Some(held) = self.held.get(&tile) {
            return Ok(held.clone());
        }
        if self.held.len() == TILES_HELD {
            self.held.clear();
        }
        let bytes = self.log.tile(tile).await?;
        self.held.insert(tile, bytes.clone());
        Ok(bytes)
    }

    /// The bytes of a tile without which there is no proof.
    ///
    /// # Errors
    /// Damaged when it is missing; when the store fails.
    pub(super) async fn needed(&mut self, tile: Tile) -> Result<Bytes> {
        self.get(tile).await?.ok_or_else(|| {
            Error::damaged(format!(
                "tile {} of the ledger is missing; make it again with `probity maintain tiles`",
                tile.path()
            ))
        })
    }
}

fn read_checkpoint(note: &[u8]) -> Result<Checkpoint> {
    Checkpoint::parse(&Note::parse(note)?.text)
}

impl Store {
    /// The root over the first `size` events in hex, of tiles and of the journal behind them; none where the tiles do
    /// not reach as far as the table.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn root_at(&self, size: i64) -> Result<Option<String>> {
        let (state, segments) = self.prefix().await?;
        let Some(mut edge) = self.log.edge(size.min(state.size) as u64).await? else { return Ok(None) };
        for segment in &segments {
            for leaf in segment.leaves()?.iter() {
                if (edge.size() as i64) < size {
                    edge.append(*leaf, |_, _| {});
                }
            }
        }
        let is_whole = edge.size() as i64 == size;
        Ok(is_whole.then(|| hex(&edge.root())))
    }

    /// Refuses a table that is shorter than what was signed over it; gives the newest checkpoint.
    ///
    /// # Errors
    /// Damaged when it is; when the store fails.
    pub(super) async fn check_not_rolled_back(&self) -> Result<Option<Sealed>> {
        // The checkpoint first: whoever folds meanwhile only makes the table longer.
        let newest = self.log.newest().await?;
        let signed = newest.as_ref().map_or(0, |sealed| sealed.checkpoint.size);
        let size = self.table().await?.size as u64;
        if signed <= size {
            return Ok(newest);
        }
        Err(Error::damaged(format!(
            "the table has {size} events, but a checkpoint over {signed} was signed: it was rolled back or cut off; \
             restore it, or find out who did that (`probity verify store`)"
        )))
    }

    /// Brings the ledger up to the table: tiles for its rows and, with a key, a checkpoint for every commit.
    ///
    /// `known` are leaves that need not be computed again: of the rows from a `seq` on.
    ///
    /// # Errors
    /// Damaged when the table is shorter than what was signed, has another root, or the newest checkpoint is not one
    /// that this key or a predecessor signed; Conflict when this key has handed over; when the store fails.
    pub(super) async fn seal(&self, known: Option<(i64, &[Hash])>) -> Result<()> {
        let newest = self.check_not_rolled_back().await?;
        let signer = self.signer_upon(newest.as_ref()).await?;
        let state = self.table().await?;
        let signed = newest.as_ref().map_or(0, |sealed| sealed.checkpoint.size);
        let sizes = match &signer {
            Some(_) => self.table.sizes_after(&state, signed as i64).await?,
            None => vec![state.size],
        };
        if let (Some(signer), None) = (&signer, &newest) {
            self.log.sign(0, Edge::default().root(), signer).await?;
        }
        let mut edge = self.edge_to_grow(&state, newest.as_ref()).await?;
        let mut leaves = KnownLeaves { given: known, read: (0, Vec::new()), until: state.size };
        for size in sizes {
            self.grow(&mut edge, size, &mut leaves).await?;
            if let Some(signer) = &signer {
                self.log.sign(size as u64, edge.root(), signer).await?;
            }
        }
        *self.edge.lock().await = Some(edge);
        Ok(())
    }

    /// The tree to grow: with a key that of the newest checkpoint and no larger one, for only that was vouched for.
    async fn edge_to_grow(&self, state: &TableState, newest: Option<&Sealed>) -> Result<Edge> {
        let signed = newest.map_or(0, |sealed| sealed.checkpoint.size);
        let is_of_newest =
            |edge: &Edge| edge.size() == signed && newest.is_none_or(|sealed| sealed.checkpoint.root == edge.root());
        let held = self.edge.lock().await.take();
        if self.signer().is_none() {
            let is_fit = |edge: &Edge| (signed..=state.size as u64).contains(&edge.size());
            if let Some(edge) = held.filter(is_fit) {
                return Ok(edge);
            }
            if let Some(edge) = self.log.edge(state.size as u64).await? {
                return Ok(edge);
            }
        } else if let Some(edge) = held.filter(is_of_newest) {
            return Ok(edge);
        }
        match (self.log.edge(signed).await?.filter(is_of_newest), newest) {
            (Some(edge), _) => Ok(edge),
            (None, Some(sealed)) => self.regrown(sealed).await,
            (None, None) => Ok(Edge::default()),
        }
    }

    /// Makes the tiles of what was signed again from the rows; gives the number of events.
    ///
    /// # Errors
    /// Damaged when the rows give another root than the one that was signed: then no tile is touched.
    pub async fn remake_tiles(&self) -> Result<u64> {
        let _queued = self.queue("fold").await?;
        let sealed = self.newest_checkpoint().await?;
        self.signer_upon(Some(&sealed)).await?;
        let edge = self.regrown(&sealed).await?;
        *self.edge.lock().await = Some(edge);
        Ok(sealed.checkpoint.size)
    }

    /// The tree of what was signed, made again from the rows: no tile is touched before the root was compared.
    async fn regrown(&self, sealed: &Sealed) -> Result<Edge> {
        let size = sealed.checkpoint.size as i64;
        let mut edge = Edge::default();
        let mut leaves = KnownLeaves { given: None, read: (0, Vec::new()), until: size };
        while (edge.size() as i64) < size {
            for leaf in self.next_leaves(edge.size() as i64, size, &mut leaves).await? {
                edge.append(*leaf, |_, _| {});
            }
        }
        if edge.root() != sealed.checkpoint.root {
            return Err(Error::damaged(format!(
                "the first {size} events of the table have another root than the checkpoint that was signed over them: \
                 evidence was changed; `probity verify store` says which rows"
            )));
        }
        let mut edge = Edge::default();
        while (edge.size() as i64) < size {
            let from = edge.size() as i64;
            let leaves = self.next_leaves(from, size, &mut leaves).await?;
            self.log.extend(&mut edge, leaves, Existing::Replaced).await?;
        }
        self.log.write(self.log.partial(&edge), Existing::Replaced).await?;
        Ok(edge)
    }

    /// Appends the leaves of the rows up to `size`.
    async fn grow(&self, edge: &mut Edge, size: i64, known: &mut KnownLeaves<'_>) -> Result<()> {
        while (edge.size() as i64) < size {
            let leaves = self.next_leaves(edge.size() as i64, size, known).await?;
            self.log.extend(edge, leaves, Existing::Compared).await?;
        }
        self.log.write(self.log.partial(edge), Existing::Compared).await
    }

    /// Leaves of the rows from `from` on, to `until` at most, at least one.
    async fn next_leaves<'a>(&self, from: i64, until: i64, known: &'a mut KnownLeaves<'_>) -> Result<&'a [Hash]> {
        let part = |first: i64, count: usize| {
            let end = until.min(first + count as i64);
            (first..end).contains(&from).then(|| (from - first) as usize..(end - first) as usize)
        };
        if let Some((first, leaves)) = known.given
            && let Some(range) = part(first, leaves.len())
        {
            return Ok(&leaves[range]);
        }
        if part(known.read.0, known.read.1.len()).is_none() {
            // As far as the table goes: commits may be many and small.
            let ahead = known.until.min(from + LEAVES_AT_ONCE);
            known.read = (from, self.leaves_of_table(from..ahead).await?);
        }
        let range = part(known.read.0, known.read.1.len()).ok_or_else(|| Error::internal("no leaf was read"))?;
        Ok(&known.read.1[range])
    }
}

/// Leaves that are known while the tree grows.
struct KnownLeaves<'a> {
    /// Given by whoever folded: the first `seq`, the leaves.
    given: Option<(i64, &'a [Hash])>,
    /// Computed from rows, ahead of what is needed.
    read: (i64, Vec<Hash>),
    /// The size of the table.
    until: i64,
}

impl Store {
    /// The leaf hashes of these rows of the table, in `seq` order, computed from the rows.
    ///
    /// # Errors
    /// Damaged when a row is missing or there twice; when a data file cannot be read.
    pub(super) async fn leaves_of_table(&self, range: Range<i64>) -> Result<Vec<Leaf>> {
        let state = self.table().await?;
        let overlapping = |file: &&DataFile| file.seq.0 < range.end && file.seq.1 >= range.start;
        let mut found: Vec<Option<Leaf>> = vec![None; (range.end - range.start) as usize];
        let files = state.files.iter().filter(overlapping).cloned().collect::<Vec<_>>();
        let reading = files.into_iter().map(|file| self.leaves_of_file(file, range.clone()));
        let mut reading = futures::stream::iter(reading).buffer_unordered(FILES_AT_ONCE);
        while let Some(leaves) = reading.try_next().await? {
            for (seq, leaf) in leaves {
                let place = &mut found[(seq - range.start) as usize];
                if place.replace(leaf).is_some() {
                    return Err(Error::damaged(format!("the table holds two rows of seq {seq}")));
                }
            }
        }
        if found.iter().any(Option::is_none) {
            self.add_retired(&state, range.start, &mut found).await?;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Fills in the leaves of rows that retention deleted: what is left of them are the tiles.
    async fn add_retired(&self, state: &TableState, first: i64, found: &mut [Option<Leaf>]) -> Result<()> {
        let removals = self.removals(state).await?;
        let mut tiles = HeldTiles::new(&self.log);
        for (at, place) in found.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
            let seq = first as u64 + at as u64;
            if removals.retired_with(seq).is_none() {
                return Err(Error::damaged(format!("the table lacks the row of seq {seq}")));
            }
            let (tile, range) = Tile::holding(Node { level: 0, index: seq }, state.size as u64);
            let lost = || Error::damaged(format!("{}, which holds hashes of retired rows, is lost", tile.path()));
            let bytes = tiles.get(tile).await?.ok_or_else(lost)?;
            *place = Some(tile.hashes(&bytes)?[range.start]);
        }
        Ok(())
    }

    async fn leaves_of_file(&self, file: DataFile, range: Range<i64>) -> Result<Vec<(i64, Leaf)>> {
        let filter = parquet::RowsWith::seq_range(range);
        let mut rows = parquet::scan(&self.location.objects, &file, &Column::all(), Some(filter)).await?;
        let mut found = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            let view = Rows::new(&batch)?;
            let seqs = (0..view.len()).map(|row| view.long(Column::Seq, row).unwrap_or(-1));
            found.extend(seqs.zip(leaves(&view)));
        }
        Ok(found)
    }
}
