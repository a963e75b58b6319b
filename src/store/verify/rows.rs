//! The rows of the table: each is hashed again and compared with the leaf that the tree holds at its place.
//!
//! In: data files, tiles of leaves. Out: what is edited, added, there twice, missing or in the wrong folder, and files
//! that the commit log describes wrongly. Files are read beside each other, and their batches are hashed on threads of
//! their own while the next ones are read. Invariant: memory is bounded by files, batches and tiles at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use tokio::task::JoinSet;

use super::ledger::tile_of_leaves;
use super::sources::Sources;
use super::{Flaw, Work, ids, joined, removed};
use crate::error::{Error, Result};
use crate::event::batch::Months;
use crate::event::columns::SEALED;
use crate::event::{Column, Leaf, Rows, leaves};
use crate::ledger::tile::TILE_WIDTH;
use crate::store::log::TILES_AT_ONCE;
use crate::store::object::is_of_the_store;
use crate::store::parquet;
use crate::store::snapshot::DataFile;

/// Data files read at once.
const FILES_AT_ONCE: usize = 2;
/// Batches of one file that are hashed at once, while the next one is read.
const BATCHES_AT_ONCE: usize = 2;
/// Tiles of leaves kept for one file.
const TILES_HELD: usize = 1024;

/// Reads every data file.
pub(super) async fn check_files(work: &Arc<Work>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..work.files.len() {
        if tasks.len() == FILES_AT_ONCE
            && let Some(ended) = tasks.join_next().await
        {
            joined(ended)?;
        }
        let work = work.clone();
        tasks.spawn(async move { check_file(&work, number).await });
    }
    while let Some(ended) = tasks.join_next().await {
        joined(ended)?;
    }
    Ok(())
}

async fn check_file(work: &Arc<Work>, number: usize) -> Result<()> {
    let file = &work.files[number];
    let object = file.path.to_string();
    let mut read = Read::default();
    let outcome = read_file(work, number, &mut read).await;
    match outcome {
        Ok(()) if !read.bounds.are_of(file) => {
            let reason = "the commit log states other bounds or another number of rows: queries would pass rows over";
            work.add("file", Some(file.seq.0), Some(object), reason.to_owned());
        }
        Ok(()) => {}
        Err(e) if is_of_the_store(&e) => return Err(e),
        Err(e) => work.add("file", Some(file.seq.0), Some(object), format!("cannot be read: {}", chain_of(&e))),
    }
    work.sources().merge(read.sources);
    let mut found = work.locked();
    found.rows += read.bounds.rows;
    found.files += 1;
    Ok(())
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

/// Checks the rows of a file as far as it can be read.
async fn read_file(work: &Arc<Work>, number: usize, read: &mut Read) -> Result<()> {
    let file = &work.files[number];
    let mut held = Tiles::default();
    let mut checks = JoinSet::new();
    let mut rows = parquet::scan(&work.store.location.objects, file, &Column::all(), None).await?;
    let outcome = loop {
        let batch = match rows.try_next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => break Ok(()),
            Err(e) => break Err(e),
        };
        let tiles = tiles_of(work, &mut held, &batch).await?;
        if checks.len() == BATCHES_AT_ONCE
            && let Some(ended) = checks.join_next().await
        {
            read.merge(joined(ended)?);
        }
        let work = work.clone();
        checks.spawn_blocking(move || check_batch(&work, number, &batch, &tiles));
    };
    while let Some(ended) = checks.join_next().await {
        read.merge(joined(ended)?);
    }
    outcome
}

/// Tiles of leaves by their index; none where one is missing.
type Tiles = HashMap<u64, Option<Bytes>>;

/// The tiles that hold the leaves of `batch`; they are kept in `held`, because rows that follow each other were mostly
/// recorded about the same time.
async fn tiles_of(work: &Work, held: &mut Tiles, batch: &RecordBatch) -> Result<Tiles> {
    let wanted = wanted_tiles(batch, work.size);
    let missing: Vec<u64> = wanted.iter().copied().filter(|index| !held.contains_key(index)).collect();
    if held.len() + missing.len() > TILES_HELD {
        held.retain(|index, _| wanted.binary_search(index).is_ok());
    }
    let read = |index: u64| async move { (index, work.store.log().tile(tile_of_leaves(index, work.size)).await) };
    let reading: Vec<_> = missing.into_iter().map(read).collect();
    let mut reading = futures::stream::iter(reading).buffer_unordered(TILES_AT_ONCE);
    while let Some((index, bytes)) = reading.next().await {
        held.insert(index, bytes?);
    }
    Ok(wanted.into_iter().filter_map(|index| Some((index, held.get(&index)?.clone()))).collect())
}

/// Indexes of the tiles that hold the leaves of `batch`, ascending.
fn wanted_tiles(batch: &RecordBatch, size: u64) -> Vec<u64> {
    let seqs = batch.column(Column::Seq as usize).as_primitive::<Int64Type>().values();
    let places = seqs.iter().filter_map(|seq| place_of(*seq, size));
    let mut wanted: Vec<u64> = places.map(|place| place / TILE_WIDTH as u64).collect();
    wanted.dedup();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

fn place_of(seq: i64, size: u64) -> Option<u64> {
    u64::try_from(seq).ok().filter(|place| *place < size)
}

fn leaf_at(tiles: &Tiles, place: u64) -> Option<&Leaf> {
    let bytes = tiles.get(&(place / TILE_WIDTH as u64))?.as_ref()?;
    bytes.as_chunks::<32>().0.get((place % TILE_WIDTH as u64) as usize)
}

/// Hashes the rows of a batch and compares them; runs on a thread of its own.
fn check_batch(work: &Work, number: usize, batch: &RecordBatch, tiles: &Tiles) -> Result<Read> {
    let file = &work.files[number];
    let view = Rows::new(batch)?;
    let (mut read, mut months) = (Read::default(), Months::default());
    for (row, leaf) in leaves(&view).iter().enumerate() {
        let seq = view.long(Column::Seq, row);
        let at = view.instant(Column::OccurredAt, row).unwrap_or_default();
        read.bounds.widen(seq.unwrap_or(-1), at, view.instant(Column::RecordedAt, row).unwrap_or_default());
        let tell = |(kind, reason): Flaw| {
            let reason = format!("{reason} (occurred at {})", crate::clock::rfc3339(at));
            work.add(kind, seq, Some(file.path.to_string()), reason);
        };
        if let Some(flaw) = check_row(work, tiles, seq, leaf).or_else(|| check_salt(&view, row)) {
            tell(flaw);
        }
        if months.name(at) != file.month {
            tell(("file", format!("the row lies in the folder of {}", file.month)));
        }
        if let (Some(removals), Some(seq)) = (&work.removals, seq)
            && let Some(flaw) = removed::check_row(removals, &view, row, seq)
        {
            tell(flaw);
        }
    }
    let records = ids::records(work.ids_key, &view, number as u32);
    work.ids().add(&records)?;
    read.sources.note(&view);
    (work.progress)(view.len() as u64);
    Ok(read)
}

fn check_row(work: &Work, tiles: &Tiles, seq: Option<i64>, leaf: &Leaf) -> Option<Flaw> {
    let Some(place) = seq.and_then(|seq| place_of(seq, work.size)) else {
        return Some(("added", format!("the row lies outside the {} events of the table", work.size)));
    };
    let is_first = work.see(place);
    match leaf_at(tiles, place) {
        Some(expected) if expected != leaf => {
            Some(("edited", "the row does not give the leaf hash that the ledger holds at its place".to_owned()))
        }
        _ if !is_first => Some(("twice", "a row of this seq was read before".to_owned())),
        _ => None,
    }
}

/// Without a salt the leaf is made of the digest that is kept, whatever value stands beside it.
fn check_salt(rows: &Rows<'_>, row: usize) -> Option<Flaw> {
    let is_bare = rows.salt(row).is_none() && SEALED.iter().any(|(value, _)| rows.is_set(*value, row));
    is_bare.then(|| ("edited", "it holds a sealed value without a salt, which no leaf hash vouches for".to_owned()))
}

/// What was read of a file.
#[derive(Default)]
struct Read {
    bounds: Bounds,
    sources: Sources,
}

impl Read {
    fn merge(&mut self, other: Read) {
        self.bounds.merge(&other.bounds);
        self.sources.merge(other.sources);
    }
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
        let one = |value: i64| Some((value, value));
        self.merge(&Self { rows: 1, seq: one(seq), occurred_at: one(occurred_at), recorded_at: one(recorded_at) });
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.seq = wider(self.seq, other.seq);
        self.occurred_at = wider(self.occurred_at, other.occurred_at);
        self.recorded_at = wider(self.recorded_at, other.recorded_at);
    }

    fn are_of(&self, file: &DataFile) -> bool {
        let stated = (Some(file.seq), Some(file.occurred_at), Some(file.recorded_at));
        self.rows == file.rows && (self.seq, self.occurred_at, self.recorded_at) == stated
    }
}

fn wider(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Names the rows that no file holds, as runs.
pub(super) fn check_seen(work: &Work) {
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
