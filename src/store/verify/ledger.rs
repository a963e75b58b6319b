//! The ledger against itself: checkpoints, commits of the table, tiles.
//!
//! In: signed checkpoints, the sizes that commits gave the table, the tiles. Out: what is missing, is not signed by one
//! of the keys, or gives another root. Invariant: tiles are believed only as far as a signed root covers them. It reads
//! rows only where a tile of leaves is missing.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt;

use super::Work;
use crate::error::{ErrorKind, Result};
use crate::ledger::edge::Edge;
use crate::ledger::hash::Hash;
use crate::ledger::note::{Note, Verifier};
use crate::ledger::tile::{TILE_WIDTH, Tile};
use crate::ledger::tree::Node;
use crate::store::log::{Log, Sealed, TILES_AT_ONCE};
use crate::store::table::TableState;

/// Reads every checkpoint: its form, who signed it, whether the table is as long.
pub(super) async fn check_checkpoints(
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
        Err(e) if e.kind() == ErrorKind::Damaged => {
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
pub(super) async fn check_commits(work: &Work, state: &TableState, checkpoints: &BTreeMap<u64, Hash>) -> Result<()> {
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
pub(super) async fn check_tree(work: &Work, checkpoints: &BTreeMap<u64, Hash>) -> Result<()> {
    let log = work.store.log();
    let mut edge = Edge::default();
    let mut above: Vec<(Tile, Bytes)> = Vec::new();
    let tiles = (0..work.size.div_ceil(TILE_WIDTH as u64)).map(|index| {
        let tile = tile_of_leaves(index, work.size);
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

/// The tile of leaves at `index` in the tree of `size` leaves, which reaches there.
pub(super) fn tile_of_leaves(index: u64, size: u64) -> Tile {
    Tile::holding(Node { level: 0, index: index * TILE_WIDTH as u64 }, size).0
}
