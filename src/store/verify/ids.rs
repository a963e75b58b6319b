//! Ids that two events share: `source` and `event_id` name one event of the whole store.
//!
//! In: a hash of the ids of every row, with its place. Out: each later row that has the ids of an earlier one, of
//! another month or of the same. Invariants: rows with one hash are read and compared before anything is said; memory
//! is bounded, because hashes beyond a bound go to temporary files, split so that equal ones are in the same. The files
//! have no name: the system deletes them with the process, however it ends.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

use futures::TryStreamExt;
use hashbrown::{HashMap, HashSet};
use twox_hash::XxHash64;

use super::{Work, joined};
use crate::error::{Error, Result};
use crate::event::{Column, Rows};
use crate::store::object::is_of_the_store;
use crate::store::parquet::{self, RowsWith};
use crate::store::snapshot::DataFile;

/// Records held in memory, 24 bytes each.
const IN_MEMORY: usize = 1024 * 1024;
/// Temporary files; open at once, of the 256 that some systems allow.
const PARTS: usize = 64;
/// Records whose rows are read and compared at once.
const COMPARED_AT_ONCE: usize = 128 * 1024;
/// Bytes of a record in a temporary file.
const RECORD_BYTES: usize = 20;
/// Bytes buffered for each temporary file.
const BUFFER_BYTES: usize = 32 * 1024;

/// Where a row with ids of this hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    hash: u64,
    seq: i64,
    /// Its place among the data files.
    file: u32,
}

impl Record {
    fn part(self) -> usize {
        (self.hash >> (u64::BITS - PARTS.trailing_zeros())) as usize
    }

    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.hash.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..].copy_from_slice(&self.file.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let eight = |from: usize| <[u8; 8]>::try_from(&bytes[from..from + 8]).expect("eight bytes");
        let file = <[u8; 4]>::try_from(&bytes[16..]).expect("four bytes");
        Self { hash: u64::from_le_bytes(eight(0)), seq: i64::from_le_bytes(eight(8)), file: u32::from_le_bytes(file) }
    }
}

/// The records of `rows`, all of the data file with number `file`; `key` is the same for a whole verification.
pub(super) fn records(key: u64, rows: &Rows<'_>, file: u32) -> Vec<Record> {
    let record = |row| {
        let of_source = XxHash64::oneshot(key, rows.text(Column::Source, row)?.as_bytes());
        let hash = XxHash64::oneshot(of_source, rows.text(Column::EventId, row)?.as_bytes());
        Some(Record { hash, seq: rows.long(Column::Seq, row)?, file })
    };
    (0..rows.len()).filter_map(record).collect()
}

/// The records gathered so far.
#[derive(Debug)]
pub(super) struct Ids {
    held: Vec<Record>,
    bound: usize,
    /// None of them before the bound is passed for the first time.
    spilled: Vec<BufWriter<File>>,
}

impl Default for Ids {
    fn default() -> Self {
        Self::holding(IN_MEMORY)
    }
}

impl Ids {
    /// Holds so many records in memory.
    fn holding(bound: usize) -> Self {
        Self { held: Vec::new(), bound, spilled: Vec::new() }
    }

    /// Gathers `records`.
    ///
    /// # Errors
    /// When the disk has no room for temporary files.
    pub(super) fn add(&mut self, records: &[Record]) -> Result<()> {
        self.held.extend_from_slice(records);
        if self.held.len() <= self.bound { Ok(()) } else { self.spill().map_err(no_room) }
    }

    fn spill(&mut self) -> std::io::Result<()> {
        if self.spilled.is_empty() {
            let file = |_| tempfile::tempfile().map(|file| BufWriter::with_capacity(BUFFER_BYTES, file));
            self.spilled = (0..PARTS).map(file).collect::<std::io::Result<_>>()?;
        }
        for record in self.held.drain(..) {
            self.spilled[record.part()].write_all(&record.to_bytes())?;
        }
        Ok(())
    }

    /// Everything that was gathered; records of one hash are in the same part.
    fn into_parts(mut self) -> Result<Vec<Part>> {
        if self.spilled.is_empty() {
            return Ok(vec![Part::Held(self.held)]);
        }
        self.spill().map_err(no_room)?;
        let part = |file: BufWriter<File>| file.into_inner().map(Part::Spilled).map_err(|e| no_room(e.into_error()));
        self.spilled.into_iter().map(part).collect()
    }
}

fn no_room(err: std::io::Error) -> Error {
    Error::unavailable(
        "cannot keep the ids of all events in temporary files; make room where TMPDIR points, 20 bytes an event",
    )
    .because(err)
}

/// Some of the records.
enum Part {
    Held(Vec<Record>),
    Spilled(File),
}

impl Part {
    /// The records that share their hash with one of another `seq`, those of one hash together, in `seq` order. No more
    /// than about `bound` records are held beside them.
    fn repeated(self, bound: usize) -> std::io::Result<Vec<Record>> {
        let file = match self {
            Part::Held(records) => return Ok(repeated(records)),
            Part::Spilled(file) => file,
        };
        let records = file.metadata()?.len() / RECORD_BYTES as u64;
        let passes = records.div_ceil(bound.max(1) as u64);
        let mut found = Vec::new();
        for pass in 0..passes {
            found.extend(repeated(read(&file, records, |record| record.hash % passes == pass)?));
        }
        Ok(found)
    }
}

/// Those of the first `count` records in `file` that are `wanted`.
fn read(mut file: &File, count: u64, wanted: impl Fn(&Record) -> bool) -> std::io::Result<Vec<Record>> {
    file.rewind()?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let (mut records, mut bytes) = (Vec::new(), [0; RECORD_BYTES]);
    for _ in 0..count {
        reader.read_exact(&mut bytes)?;
        let record = Record::from_bytes(&bytes);
        if wanted(&record) {
            records.push(record);
        }
    }
    Ok(records)
}

fn repeated(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_unstable();
    let groups = records.chunk_by(|a, b| a.hash == b.hash);
    groups.filter(|group| group[0].seq != group[group.len() - 1].seq).flatten().copied().collect()
}

/// Names the events whose ids an earlier event has.
pub(super) async fn check_ids(work: &Work) -> Result<()> {
    let ids = std::mem::take(&mut *work.ids());
    let bound = ids.bound;
    for part in ids.into_parts()? {
        let found = joined(tokio::task::spawn_blocking(move || part.repeated(bound).map_err(no_room)).await)?;
        let mut rest = found.as_slice();
        while !rest.is_empty() {
            let mut end = rest.len().min(COMPARED_AT_ONCE);
            while end < rest.len() && rest[end].hash == rest[end - 1].hash {
                end += 1;
            }
            compare(work, &rest[..end]).await?;
            rest = &rest[end..];
        }
    }
    Ok(())
}

/// Compares the ids themselves: two of them may have one hash by chance.
async fn compare(work: &Work, records: &[Record]) -> Result<()> {
    let known = read_ids(work, records).await?;
    for group in records.chunk_by(|a, b| a.hash == b.hash) {
        let mut firsts: HashMap<&(String, String), Record> = HashMap::new();
        for record in group {
            let Some(ids) = known.get(&(record.file, record.seq)) else { continue };
            let first = *firsts.entry(ids).or_insert(*record);
            if first.seq != record.seq {
                let (file, of_first) = (&work.files[record.file as usize], &work.files[first.file as usize]);
                let reason = format!(
                    "the event, of {}, has the source and event_id of seq {}, of {}: they name one event",
                    file.month, first.seq, of_first.month
                );
                work.add("ids", Some(record.seq), Some(file.path.to_string()), reason);
            }
        }
    }
    Ok(())
}

/// `source` and `event_id` of the rows, by number of the file and `seq`.
async fn read_ids(work: &Work, records: &[Record]) -> Result<HashMap<(u32, i64), (String, String)>> {
    let mut by_file: HashMap<u32, HashSet<i64>> = HashMap::new();
    for record in records {
        by_file.entry(record.file).or_default().insert(record.seq);
    }
    let mut known = HashMap::new();
    for (number, seqs) in by_file {
        match ids_of(work, &work.files[number as usize], seqs).await {
            Ok(rows) => known.extend(rows.into_iter().map(|(seq, ids)| ((number, seq), ids))),
            Err(e) if is_of_the_store(&e) => return Err(e),
            // It was named as unreadable before.
            Err(_) => {}
        }
    }
    Ok(known)
}

async fn ids_of(work: &Work, file: &DataFile, seqs: HashSet<i64>) -> Result<Vec<(i64, (String, String))>> {
    let columns = [Column::Seq, Column::Source, Column::EventId];
    let filter = Some(RowsWith::seqs(seqs));
    let mut batches = parquet::scan(&work.store.location.objects, file, &columns, filter).await?;
    let mut found = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        let rows = Rows::new(&batch)?;
        found.extend((0..rows.len()).filter_map(|row| {
            let (source, id) = (rows.text(Column::Source, row)?, rows.text(Column::EventId, row)?);
            Some((rows.long(Column::Seq, row)?, (source.to_owned(), id.to_owned())))
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is repeated among `records`, found with so many of them in memory.
    fn found(records: &[Record], bound: usize) -> (Vec<Record>, bool) {
        let mut ids = Ids::holding(bound);
        records.chunks(100).for_each(|some| ids.add(some).unwrap());
        let is_spilled = !ids.spilled.is_empty();
        let parts = ids.into_parts().unwrap();
        let mut found: Vec<Record> = parts.into_iter().flat_map(|part| part.repeated(bound).unwrap()).collect();
        found.sort_unstable();
        (found, is_spilled)
    }

    #[test]
    fn what_is_repeated_is_found_in_temporary_files_as_in_memory() {
        // Every hash of a third of the rows is that of another one; some rows are there twice.
        let hash = |n: i64| XxHash64::oneshot(7, &n.to_le_bytes());
        let shared = |seq: i64| if seq % 3 == 0 { seq / 6 } else { -seq };
        let row = |seq: i64| Record { hash: hash(shared(seq)), seq, file: seq as u32 % 5 };
        let records: Vec<Record> = (0..5_000).chain((0..5_000).step_by(700)).map(row).collect();
        let (in_memory, is_spilled) = found(&records, 10_000);
        assert!(!is_spilled && in_memory.len() > 1_000, "{}", in_memory.len());
        assert!(in_memory.iter().all(|record| record.seq % 3 == 0), "a row is no repetition of itself");
        for bound in [0, 1, 7, 300, 4_999] {
            assert_eq!(found(&records, bound), (in_memory.clone(), true), "{bound} in memory");
        }
    }

    #[test]
    fn a_record_is_read_back() {
        let record = Record { hash: u64::MAX - 1, seq: -3, file: 77 };
        assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        assert_eq!(record.part(), PARTS - 1);
    }
}
