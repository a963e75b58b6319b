//! Leaf hashes of single events: what outputs are called in a frame, and a plan in a seed.
//!
//! In: the `seq` of events, ascending and each once. Out: their leaf hashes in the same order. Invariant: whichever way
//! they are taken they are the same, unless the store was changed; who verifies takes them from the rows. It writes
//! nothing.

use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::event::canonical::write_canonical;
use crate::event::{Column, Leaf, Rows, leaves};
use crate::ledger::hash::leaf_hash;
use crate::ledger::tile::{TILE_WIDTH, Tile};
use crate::ledger::tree::Node;
use crate::store::parquet::{self, RowsWith};
use crate::store::{Snapshot, Store};

/// Tiles read at once.
const TILES_AT_ONCE: usize = 32;

/// Where leaf hashes are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The tiles of the ledger, as far as they reach: a file for 256 of them.
    Tiles,
    /// The rows alone, hashed again.
    Rows,
}

/// The leaf hashes of the events `seqs`.
///
/// # Errors
/// Damaged when the evidence lacks one of them; when the store fails.
pub async fn leaves_of(store: &Store, seqs: &[i64], source: Source) -> Result<Vec<Leaf>> {
    let snapshot = store.snapshot().await?;
    let mut found: Vec<Option<Leaf>> = vec![None; seqs.len()];
    if source == Source::Tiles {
        add_from_tiles(store, snapshot.folded, seqs, &mut found).await?;
    }
    add_from_rows(&snapshot, seqs, &mut found).await?;
    match found.iter().position(Option::is_none) {
        None => Ok(found.into_iter().flatten().collect()),
        Some(place) => Err(Error::damaged(format!(
            "the evidence lacks event {}; `probity verify store` says what else is missing",
            seqs[place]
        ))),
    }
}

/// Fills in what the tiles over the first `folded` events hold.
async fn add_from_tiles(store: &Store, folded: i64, seqs: &[i64], found: &mut [Option<Leaf>]) -> Result<()> {
    let covered = seqs.partition_point(|seq| *seq < folded);
    let mut parts: Vec<(Tile, Range<usize>)> = Vec::new();
    let mut from = 0;
    while from < covered {
        let (tile, _) = Tile::holding(Node { level: 0, index: seqs[from] as u64 }, folded as u64);
        let end = (tile.index + 1) * TILE_WIDTH as u64;
        let to = from + seqs[from..covered].partition_point(|seq| (*seq as u64) < end);
        parts.push((tile, from..to));
        from = to;
    }
    let read = |(tile, places): (Tile, Range<usize>)| async move {
        store.log().tile(tile).await.map(|bytes| (tile, places, bytes))
    };
    let mut reading = stream::iter(parts).map(read).buffer_unordered(TILES_AT_ONCE);
    while let Some((tile, places, bytes)) = reading.try_next().await? {
        // A tile that is not there yet is no fault: the rows tell the same.
        let Some(bytes) = bytes else { continue };
        let hashes = tile.hashes(&bytes)?;
        for place in places {
            found[place] = hashes.get(seqs[place] as usize % TILE_WIDTH).copied();
        }
    }
    Ok(())
}

/// Fills in what is still missing from the rows of the table and of the journal behind it.
async fn add_from_rows(snapshot: &Snapshot, seqs: &[i64], found: &mut [Option<Leaf>]) -> Result<()> {
    let is_missing = |(place, _): &(usize, &i64)| found[*place].is_none();
    let missing: Vec<i64> = seqs.iter().enumerate().filter(is_missing).map(|(_, seq)| *seq).collect();
    let mut add = |seq: i64, leaf: Leaf| {
        if let Ok(place) = seqs.binary_search(&seq) {
            found[place] = Some(leaf);
        }
    };
    for file in &snapshot.files {
        let first = missing.partition_point(|seq| *seq < file.seq.0);
        let end = missing.partition_point(|seq| *seq <= file.seq.1);
        if first == end {
            continue;
        }
        let wanted = RowsWith::seqs(missing[first..end].iter().copied().collect());
        let mut rows = parquet::scan(&snapshot.objects, file, &Column::all(), Some(wanted)).await?;
        while let Some(batch) = rows.try_next().await? {
            let view = Rows::new(&batch)?;
            for (row, leaf) in leaves(&view).into_iter().enumerate() {
                view.long(Column::Seq, row).into_iter().for_each(|seq| add(seq, leaf));
            }
        }
    }
    let mut text = String::new();
    for batch in &snapshot.journal {
        let view = Rows::new(batch)?;
        let Some(first) = (0..view.len()).next().and_then(|row| view.long(Column::Seq, row)) else { continue };
        let end = first + view.len() as i64;
        let wanted = missing.partition_point(|seq| *seq < first)..missing.partition_point(|seq| *seq < end);
        for seq in &missing[wanted] {
            write_canonical(&view, (seq - first) as usize, &mut text);
            add(*seq, leaf_hash(text.as_bytes()));
        }
    }
    Ok(())
}
