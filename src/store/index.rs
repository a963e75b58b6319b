//! Indexes of data files: on which pages an event, an action or a record is told of.
//!
//! In: the rows of a data file, in file order. Out: an object beside the table with one entry for each key and page;
//! for a key, the pages of a file that may hold it. Invariant: a page that holds the key is always among them; a
//! page that does not is among them once in many thousand times. An index is made from its data file alone, may be
//! missing, and then the file is read as if there were none.
//!
//! ```text
//! magic 8 | per key column: entries u32, bucket bits u8, page bits u8, 2 zero bytes | per key column: bucket ends u32…
//!         | per key column: entries u32…, an entry being the low bits of the hash above the number of the page
//! ```
//! Numbers are little-endian. The high bits of the hash (XXH64, seed 0) choose the bucket; a bucket has about
//! 512 entries, so that a look-up reads one directory, which is kept, and two kilobytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::snapshot::DataFile;
use super::touches;
use crate::event::Column;
use crate::limits::{PAGE_ROWS, POLICY_FILES};

/// The columns that are indexed, most selective first.
pub const KEYS: [Column; 3] = [Column::EventId, Column::ActionId, Column::RecordId];

const MAGIC: &[u8; 8] = b"PRBIDX01";
const BUCKET_ENTRIES: usize = 512;
const HEADER_BYTES: usize = 8 + 8 * KEYS.len();
/// Bytes read at first: the header and, for files of about a million rows, all directories.
const HEAD_BYTES: u64 = 32 * 1024;
/// Index objects read at once.
const READ_AHEAD: usize = 32;

/// Where the indexes of a table are, and the directories read before.
#[derive(Debug, Clone)]
pub struct Indexes {
    folder: Path,
    directories: Arc<Mutex<HashMap<Path, Arc<Directory>>>>,
    /// The disk of this machine, where that is where they are.
    disk: Option<Arc<LocalFileSystem>>,
    /// The events of data files that apply policies, as they were found before. Files never change, nor reuse a name.
    policies: Arc<Mutex<HashMap<Path, Arc<[RecordBatch]>>>>,
    /// Touches of data files that were read before.
    pub(super) touches: touches::Kept,
}

/// Where the entries of a key are found.
#[derive(Debug, Clone, Copy)]
struct Shape {
    entries: u32,
    bucket_bits: u8,
    page_bits: u8,
}

#[derive(Debug)]
struct Directory {
    shapes: [Shape; KEYS.len()],
    /// For each key column, the number of its first entry among all, then the ends of its buckets.
    ends: [Vec<u32>; KEYS.len()],
}

/// XXH64 of a key, seed 0: part of the format.
pub(super) fn hash_of(key: &str) -> u64 {
    twox_hash::XxHash64::oneshot(0, key.as_bytes())
}

impl Shape {
    fn of(entries: usize, rows: u64) -> Self {
        let pages = rows.div_ceil(PAGE_ROWS as u64).max(1);
        let buckets = entries.div_ceil(BUCKET_ENTRIES).max(1);
        let bits = |n: u64| (64 - (n - 1).leading_zeros()) as u8;
        Self { entries: entries as u32, bucket_bits: bits(buckets as u64), page_bits: bits(pages) }
    }

    fn buckets(self) -> usize {
        1 << self.bucket_bits
    }

    fn bucket(self, hash: u64) -> usize {
        if self.bucket_bits == 0 { 0 } else { (hash >> (64 - u32::from(self.bucket_bits))) as usize }
    }

    fn entry(self, hash: u64, page: u32) -> u32 {
        (hash as u32) << self.page_bits | page
    }

    /// The page of `entry`, if its hash may be `hash`.
    fn page(self, hash: u64, entry: u32) -> Option<u32> {
        let page = entry & ((1u32 << self.page_bits) - 1);
        (self.entry(hash, page) == entry).then_some(page)
    }
}

/// The bytes of the index of a data file with the rows of `batches`; none where the file is too large for one.
pub fn encode(batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let mut making = Making::default();
    batches.iter().for_each(|batch| making.add(batch));
    making.encoded()
}

/// An index in the making.
#[derive(Default)]
pub(super) struct Making {
    /// By key the hash and page of each value.
    places: [Vec<(u64, u32)>; KEYS.len()],
    rows: u64,
}

impl Making {
    /// Adds rows behind those that are in it.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        for (places, column) in self.places.iter_mut().zip(KEYS) {
            if let Some(texts) = batch.column_by_name(column.name()).and_then(|c| c.as_string_view_opt()) {
                let set = (self.rows..).zip(texts).filter_map(|(row, text)| Some((row, text?)));
                places.extend(set.map(|(row, text)| (hash_of(text), (row / PAGE_ROWS as u64) as u32)));
            }
        }
        self.rows += batch.num_rows() as u64;
    }

    /// Its bytes; none where the file is too large for one.
    pub(super) fn encoded(mut self) -> Option<Vec<u8>> {
        for places in &mut self.places {
            places.sort_unstable();
            places.dedup();
        }
        let keys = self.places;
        let shapes = [0, 1, 2].map(|key| Shape::of(keys[key].len(), self.rows));
        if shapes.iter().any(|shape| shape.page_bits > 20) || self.rows > u64::from(u32::MAX) {
            return None;
        }
        let mut out = Vec::with_capacity(HEADER_BYTES + keys.iter().map(|k| k.len() * 5).sum::<usize>());
        out.extend_from_slice(MAGIC);
        for shape in shapes {
            out.extend_from_slice(&shape.entries.to_le_bytes());
            out.extend_from_slice(&[shape.bucket_bits, shape.page_bits, 0, 0]);
        }
        for (key, shape) in keys.iter().zip(shapes) {
            let mut at = 0;
            for bucket in 0..shape.buckets() {
                at += key[at..].partition_point(|(hash, _)| shape.bucket(*hash) <= bucket);
                out.extend_from_slice(&(at as u32).to_le_bytes());
            }
        }
        for (key, shape) in keys.iter().zip(shapes) {
            key.iter().for_each(|(hash, page)| out.extend_from_slice(&shape.entry(*hash, *page).to_le_bytes()));
        }
        Some(out)
    }
}

impl Directory {
    /// Bytes of the header and the directories that `head` begins with; none when it begins no index.
    fn length(head: &[u8]) -> Option<usize> {
        let shapes = Self::shapes(head)?;
        Some(HEADER_BYTES + shapes.iter().map(|shape| shape.buckets() * 4).sum::<usize>())
    }

    fn shapes(head: &[u8]) -> Option<[Shape; KEYS.len()]> {
        let header = head.get(..HEADER_BYTES)?.strip_prefix(MAGIC)?;
        let shape = |key: usize| {
            let bytes = &header[key * 8..key * 8 + 8];
            let entries = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            Shape { entries, bucket_bits: bytes[4].min(31), page_bits: bytes[5].min(31) }
        };
        Some([shape(0), shape(1), shape(2)])
    }

    fn parse(head: &[u8]) -> Option<Self> {
        let shapes = Self::shapes(head)?;
        let mut rest = head.get(HEADER_BYTES..Self::length(head)?)?;
        let ends = shapes.map(|shape| {
            let (own, other) = rest.split_at(shape.buckets() * 4);
            rest = other;
            own.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect::<Vec<_>>()
        });
        Some(Self { shapes, ends })
    }

    /// The bytes of the bucket of `hash` among the entries of key column `key`.
    fn bucket(&self, key: usize, hash: u64) -> Range<u64> {
        let directories = self.ends.iter().map(|ends| ends.len() * 4).sum::<usize>();
        let before: u64 = self.shapes[..key].iter().map(|shape| u64::from(shape.entries) * 4).sum();
        let start = (HEADER_BYTES + directories) as u64 + before;
        let bucket = self.shapes[key].bucket(hash);
        let from = bucket.checked_sub(1).map_or(0, |b| self.ends[key][b]);
        start + u64::from(from) * 4..start + u64::from(self.ends[key][bucket]) * 4
    }
}

impl Indexes {
    /// The indexes in `folder`.
    pub fn new(folder: Path) -> Self {
        Self {
            folder,
            directories: Arc::default(),
            policies: Arc::default(),
            disk: None,
            touches: touches::Kept::default(),
        }
    }

    /// The same indexes, on a disk of this machine.
    pub fn on_disk(self) -> Self {
        Self { disk: Some(Arc::new(LocalFileSystem::new())), ..self }
    }

    /// The events that apply policies in the data file at `path`, where they were looked for before.
    pub fn policies_in(&self, path: &Path) -> Option<Arc<[RecordBatch]>> {
        self.policies.lock().unwrap_or_else(|e| e.into_inner()).get(path).cloned()
    }

    /// Remembers them.
    pub fn remember_policies(&self, path: Path, found: Arc<[RecordBatch]>) {
        let mut known = self.policies.lock().unwrap_or_else(|e| e.into_inner());
        if known.len() >= POLICY_FILES {
            known.clear();
        }
        known.insert(path, found);
    }

    /// Where the index of the data file at `path` is.
    pub fn path_of(&self, path: &Path) -> Path {
        self.beside(path, "idx")
    }

    /// Where what is made of the data file at `path` is, by how its name ends.
    pub(super) fn beside(&self, path: &Path, ending: &str) -> Path {
        self.folder.clone().join(format!("{}.{ending}", path.filename().unwrap_or_default()))
    }

    /// For each of `files`, the pages that may hold one of `values` in `column`, ascending; none where no index
    /// tells: it is missing, broken or cannot be read, and the data file answers as well.
    pub async fn pages(
        &self,
        objects: &Arc<dyn ObjectStore>,
        files: &[&DataFile],
        column: Column,
        values: &[String],
    ) -> Vec<Option<Vec<u32>>> {
        let Some(key) = KEYS.iter().position(|k| *k == column) else { return vec![None; files.len()] };
        let hashes: Vec<u64> = values.iter().map(|value| hash_of(value)).collect();
        let looks = files.iter().map(|file| self.look(objects, file, key, &hashes)).collect::<Vec<_>>();
        let looks: Vec<Option<Look>> = stream::iter(looks).buffered(READ_AHEAD).collect().await;
        let Some(disk) = self.disk.clone() else {
            let reads = looks.into_iter().map(|look| async move { look?.ask(objects).await }).collect::<Vec<_>>();
            return stream::iter(reads).buffered(READ_AHEAD).collect().await;
        };
        // Hundreds of small reads: to hand each to a thread takes longer than to make it.
        let read = move || looks.into_iter().map(|look| look?.read(&disk)).collect();
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| vec![None; files.len()])
    }

    /// What is to be read of the index of `file`.
    async fn look(&self, objects: &Arc<dyn ObjectStore>, file: &DataFile, key: usize, hashes: &[u64]) -> Option<Look> {
        let path = self.path_of(&file.path);
        let directory = self.directory(objects, &path).await?;
        let buckets = hashes.iter().map(|hash| (*hash, directory.bucket(key, *hash)));
        let buckets = buckets.filter(|(_, range)| !range.is_empty()).collect();
        Some(Look { path, shape: directory.shapes[key], buckets })
    }

    async fn directory(&self, objects: &Arc<dyn ObjectStore>, path: &Path) -> Option<Arc<Directory>> {
        if let Some(known) = self.directories.lock().unwrap_or_else(|e| e.into_inner()).get(path) {
            return Some(known.clone());
        }
        let mut head = objects.get_range(path, 0..HEAD_BYTES).await.ok()?;
        if let Some(length) = Directory::length(&head).filter(|n| *n as u64 > HEAD_BYTES) {
            head = objects.get_range(path, 0..length as u64).await.ok()?;
        }
        let found = Arc::new(Directory::parse(&head)?);
        self.directories.lock().unwrap_or_else(|e| e.into_inner()).insert(path.clone(), found.clone());
        Some(found)
    }
}

/// The buckets to be read of one index, each with the hash that is looked for in it.
struct Look {
    path: Path,
    shape: Shape,
    buckets: Vec<(u64, Range<u64>)>,
}

impl Look {
    async fn ask(&self, objects: &Arc<dyn ObjectStore>) -> Option<Vec<u32>> {
        let ranges: Vec<Range<u64>> = self.buckets.iter().map(|(_, range)| range.clone()).collect();
        let read = match ranges.is_empty() {
            true => Vec::new(),
            false => objects.get_ranges(&self.path, &ranges).await.ok()?,
        };
        Some(self.pages(&read))
    }

    fn read(&self, disk: &LocalFileSystem) -> Option<Vec<u32>> {
        if self.buckets.is_empty() {
            return Some(Vec::new());
        }
        let mut file = File::open(disk.path_to_filesystem(&self.path).ok()?).ok()?;
        let mut bucket = |range: &Range<u64>| -> Option<Bytes> {
            let (length, mut bytes) = (range.end - range.start, Vec::new());
            file.seek(SeekFrom::Start(range.start)).ok()?;
            file.by_ref().take(length).read_to_end(&mut bytes).ok()?;
            (bytes.len() as u64 == length).then(|| bytes.into())
        };
        let read: Option<Vec<Bytes>> = self.buckets.iter().map(|(_, range)| bucket(range)).collect();
        Some(self.pages(&read?))
    }

    /// The pages that the entries of the buckets, which are `read`, name for the hashes.
    fn pages(&self, read: &[Bytes]) -> Vec<u32> {
        let mut pages = Vec::new();
        for ((hash, _), bytes) in self.buckets.iter().zip(read) {
            let entries = bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            pages.extend(entries.filter_map(|entry| self.shape.page(*hash, entry)));
        }
        pages.sort_unstable();
        pages.dedup();
        pages
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::{ArrayRef, StringViewArray};
    use object_store::PutPayload;
    use object_store::memory::InMemory;

    use super::*;

    fn batch(from: usize, rows: usize) -> RecordBatch {
        let text = |name: &'static str, of: &dyn Fn(usize) -> Option<String>| {
            (name, Arc::new(StringViewArray::from_iter((from..from + rows).map(of))) as ArrayRef)
        };
        RecordBatch::try_from_iter_with_nullable(
            [
                text("event_id", &|row| Some(format!("e{row}"))),
                text("action_id", &|row| (row % 3 > 0).then(|| format!("a{}", row / 7 % 9_000))),
                text("record_id", &|row| Some(format!("r{}", row % 11))),
            ]
            .map(|(name, array)| (name, array, true)),
        )
        .unwrap()
    }

    fn file(rows: u64) -> DataFile {
        let (month, range) = ("2026-01".to_owned(), (0, 0));
        let path = Path::from("t/events/occurred_month=2026-01/part-1.parquet");
        DataFile { path, bytes: 1, rows, month, seq: range, occurred_at: range, recorded_at: range }
    }

    async fn indexes(batches: &[RecordBatch]) -> (Arc<dyn ObjectStore>, Indexes, DataFile) {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let indexes = Indexes::new(Path::from("t/index"));
        let file = file(batches.iter().map(|b| b.num_rows() as u64).sum());
        let bytes = encode(batches).unwrap();
        objects.put(&indexes.path_of(&file.path), PutPayload::from(bytes)).await.unwrap();
        (objects, indexes, file)
    }

    #[tokio::test]
    async fn every_page_that_holds_a_key_is_found_and_hardly_any_other() {
        let batches = [batch(0, 50_000), batch(50_000, 41_234)];
        let (objects, indexes, file) = indexes(&batches).await;
        let mut false_pages = 0;
        for column in KEYS {
            for row in (0..91_234).step_by(1_009) {
                let all = |b: &RecordBatch| -> Vec<Option<String>> {
                    let texts = b.column_by_name(column.name()).unwrap().as_string_view().clone();
                    texts.iter().map(|t| t.map(str::to_owned)).collect()
                };
                let texts: Vec<Option<String>> = batches.iter().flat_map(all).collect();
                let Some(key) = texts[row].clone() else { continue };
                let holds = texts.iter().enumerate().filter(|(_, text)| **text == Some(key.clone()));
                let expected: BTreeSet<u32> = holds.map(|(row, _)| (row / PAGE_ROWS) as u32).collect();
                let pages = indexes.pages(&objects, &[&file], column, &[key]).await;
                let found: BTreeSet<u32> = pages[0].clone().unwrap().into_iter().collect();
                assert!(found.is_superset(&expected), "{} row {row}", column.name());
                false_pages += found.len() - expected.len();
            }
        }
        assert!(false_pages <= 2, "{false_pages}");
    }

    #[tokio::test]
    async fn a_missing_or_broken_index_tells_nothing() {
        let (objects, indexes, file) = indexes(&[batch(0, 100)]).await;
        let ask = async |indexes: &Indexes| {
            let values = ["e5".to_owned(), "nobody".to_owned()];
            indexes.pages(&objects, &[&file], Column::EventId, &values).await
        };
        assert_eq!(ask(&indexes).await, [Some(vec![0])]);
        for bytes in [&b""[..], b"PRBIDX01", b"something else that is long enough to hold a header"] {
            let broken = Indexes::new(Path::from("t/index"));
            objects.put(&broken.path_of(&file.path), PutPayload::from(bytes.to_vec())).await.unwrap();
            assert_eq!(ask(&broken).await, [None]);
        }
        objects.delete(&indexes.path_of(&file.path)).await.unwrap();
        assert_eq!(ask(&Indexes::new(Path::from("t/index"))).await, [None]);
    }

    #[tokio::test]
    async fn a_disk_is_read_as_a_store_is() {
        let folder = tempfile::tempdir().unwrap();
        let objects: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let stored = || Indexes::new(Path::from_absolute_path(folder.path()).unwrap().join("index"));
        let batches = [batch(0, 30_000)];
        let file = file(30_000);
        objects.put(&stored().path_of(&file.path), PutPayload::from(encode(&batches).unwrap())).await.unwrap();
        let ask = async |indexes: Indexes, values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            indexes.pages(&objects, &[&file], Column::ActionId, &values).await
        };
        for values in [&["a1", "a4000"][..], &["a7"], &["nobody"], &[]] {
            let found = ask(stored().on_disk(), values).await;
            assert_eq!(found, ask(stored(), values).await, "{values:?}");
            assert!(found[0].is_some());
        }
        // An index that ends before its directory says tells nothing.
        let whole = encode(&batches).unwrap();
        let cut = PutPayload::from(whole[..whole.len() / 4].to_vec());
        objects.put(&stored().path_of(&file.path), cut).await.unwrap();
        assert_eq!(ask(stored().on_disk(), &["a4000", "a1", "a7"]).await, [None]);
        objects.delete(&stored().path_of(&file.path)).await.unwrap();
        assert_eq!(ask(stored().on_disk(), &["a1"]).await, [None]);
    }
}
