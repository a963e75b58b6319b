//! Touches of data files: what each file says of writes and reads, kept beside the table in numbers.
//!
//! In: the rows of a data file. Out: its [`Touches`] and its [`Summary`], from an object beside its index. Invariant:
//! they are those of the file's rows, in file order. An object is made from its data file alone and goes with it; one
//! that is missing or damaged is passed over: then the columns of the file are read instead. The next projection makes
//! anew what is missing, and what its process found damaged. No value is in it, so that an erasure, which replaces the
//! file, leaves nothing behind.

mod format;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::Store;
use super::index::Indexes;
use super::object::{self, object_error};
use super::parquet;
use super::snapshot::DataFile;
use crate::blast::{Builder, Key, Summary, TOUCH_COLUMNS, Touches};
use crate::error::{Error, Result};
use crate::event::{Column, Rows};
use crate::limits::TOUCHES_MEMORY_BYTES;
use format::Head;

/// How the names of these objects end.
const ENDING: &str = "touches";
/// Bytes read of an object to begin with: the header, and the summary of a log of some hundred sources.
const HEAD_BYTES: u64 = 16 * 1024;
/// Sources that a summary names; a file with more has none, and is read.
const SUMMED_SOURCES: usize = 1024;
/// Runs of numbers that it names of each.
const SUMMED_RUNS: usize = 16;

/// Touches read before, as many as fit into [`TOUCHES_MEMORY_BYTES`]. Files never change, nor reuse a name.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    touches: HashMap<Path, (u64, Arc<Touches>)>,
    bytes: usize,
    looks: u64,
    /// Objects that were there and could not be read.
    damaged: HashSet<Path>,
}

impl Kept {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn get(&self, path: &Path) -> Option<Arc<Touches>> {
        let mut shelf = self.shelf();
        shelf.looks += 1;
        let now = shelf.looks;
        let (last, touches) = shelf.touches.get_mut(path)?;
        *last = now;
        Some(touches.clone())
    }

    fn put(&self, path: Path, touches: Arc<Touches>) {
        let mut shelf = self.shelf();
        let (now, bytes) = (shelf.looks, touches.bytes());
        if bytes > TOUCHES_MEMORY_BYTES {
            return;
        }
        if let Some((_, before)) = shelf.touches.insert(path, (now, touches)) {
            shelf.bytes -= before.bytes();
        }
        shelf.bytes += bytes;
        while shelf.bytes > TOUCHES_MEMORY_BYTES {
            let oldest = shelf.touches.iter().min_by_key(|(_, (last, _))| *last).map(|(path, _)| path.clone());
            let Some((_, gone)) = oldest.and_then(|path| shelf.touches.remove(&path)) else { return };
            shelf.bytes -= gone.bytes();
        }
    }

    fn note_damaged(&self, path: &Path) {
        self.shelf().damaged.insert(path.clone());
    }

    /// The damaged objects that were met since this was asked last.
    fn take_damaged(&self) -> HashSet<Path> {
        std::mem::take(&mut self.shelf().damaged)
    }
}

/// Touches and summary in the making.
#[derive(Default)]
pub(super) struct Making {
    builder: Builder,
    summary: Summary,
}

impl Making {
    /// Adds events behind those that are in it.
    ///
    /// # Errors
    /// When they cannot be told in numbers.
    pub(super) fn add(&mut self, events: &RecordBatch) -> Result<()> {
        self.builder.add(events)?;
        let rows = Rows::new(events)?;
        (0..rows.len()).for_each(|row| self.summary.add(&rows, row));
        Ok(())
    }

    fn finish(self) -> (Touches, Summary) {
        (self.builder.finish(), self.summary)
    }

    /// The object of a data file with these events; none where its spans are too wide for one.
    pub(super) fn encoded(self) -> Option<Vec<u8>> {
        encoded(&self.finish())
    }
}

/// The object of a data file with the rows of `batches`, in file order; none where its spans are too wide for one.
pub fn encode(batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let mut making = Making::default();
    batches.iter().try_for_each(|batch| making.add(batch)).ok()?;
    making.encoded()
}

fn encoded((touches, summary): &(Touches, Summary)) -> Option<Vec<u8>> {
    let summary = (summary.sources.len() <= SUMMED_SOURCES).then(|| summary.clone().shortened(SUMMED_RUNS));
    format::encode(touches, summary.as_ref())
}

/// Touches and summary of a data file, from its columns.
async fn made_from(objects: &Arc<dyn ObjectStore>, file: &DataFile) -> Result<(Touches, Summary)> {
    let columns: Vec<Column> = TOUCH_COLUMNS.into_iter().chain([Column::Source, Column::SourceSeq]).collect();
    let mut rows = parquet::scan(objects, file, &columns, None).await?;
    let mut making = Making::default();
    while let Some(batch) = rows.try_next().await? {
        making.add(&batch)?;
    }
    Ok(making.finish())
}

impl Indexes {
    /// Where the touches of the data file at `path` are.
    pub fn touches_path(&self, path: &Path) -> Path {
        self.beside(path, ENDING)
    }

    /// The touches of `file`.
    ///
    /// # Errors
    /// When neither they nor the file can be read.
    pub async fn touches(&self, objects: &Arc<dyn ObjectStore>, file: &DataFile) -> Result<Arc<Touches>> {
        let path = self.touches_path(&file.path);
        if let Some(kept) = self.touches.get(&path) {
            return Ok(kept);
        }
        let stored = match objects.get(&path).await {
            Ok(found) => found.bytes().await.ok(),
            Err(_) => None,
        };
        let is_there = stored.is_some();
        let touches = match decoded(stored, file.rows).await? {
            Some(touches) => touches,
            None => {
                if is_there {
                    self.touches.note_damaged(&path);
                }
                made_from(objects, file).await?.0
            }
        };
        let touches = Arc::new(touches);
        self.touches.put(path, touches.clone());
        Ok(touches)
    }

    /// The summary of `file`, where one is kept.
    pub async fn summary(&self, objects: &Arc<dyn ObjectStore>, file: &DataFile) -> Option<Summary> {
        let path = self.touches_path(&file.path);
        let mut bytes = objects.get_range(&path, 0..HEAD_BYTES).await.ok()?;
        let head = Head::parse(&bytes)?;
        if head.summary().end > bytes.len() {
            bytes = objects.get_range(&path, 0..head.summary().end as u64).await.ok()?;
        }
        head.read_summary(&bytes)
    }

    /// Whether `file` may hold an event of one of `actions`, which ascend. Most files are told apart by the keys of
    /// their actions alone.
    pub async fn may_tell_of(&self, objects: &Arc<dyn ObjectStore>, file: &DataFile, actions: &[Key]) -> bool {
        let path = self.touches_path(&file.path);
        if let Some(kept) = self.touches.get(&path) {
            return kept.tells_of(actions);
        }
        let keys = async {
            let begin = objects.get_range(&path, 0..HEAD_BYTES).await.ok()?;
            let head = Head::parse(&begin)?;
            let (keys, length) = (head.action_keys(), begin.len());
            let bytes = match keys.end <= length {
                true => begin.slice(keys),
                false => objects.get_range(&path, keys.start as u64..keys.end as u64).await.ok()?,
            };
            head.holds_any(&bytes, actions)
        };
        keys.await.unwrap_or(true)
    }
}

/// The touches in `stored`; none where it is no sound object for a file of `rows` rows.
async fn decoded(stored: Option<Bytes>, rows: u64) -> Result<Option<Touches>> {
    let Some(bytes) = stored else { return Ok(None) };
    let decoding = tokio::task::spawn_blocking(move || format::decode(&bytes));
    let touches = decoding.await.map_err(|e| Error::internal("the decode task died").because(e))?;
    Ok(touches.filter(|touches| touches.len() as u64 == rows))
}

impl Store {
    /// Makes the touches of those of `files` that have none, or damaged ones as far as that was noticed; gives their
    /// number.
    ///
    /// # Errors
    /// When a data file cannot be read or an object not be written.
    pub(super) async fn complete_touches(&self, files: &[DataFile]) -> Result<usize> {
        let objects = &self.location.objects;
        let listed = object::list(objects, &self.paths.index()).await?;
        let there: HashSet<&Path> = listed.iter().filter(|meta| meta.size > 0).map(|meta| &meta.location).collect();
        let damaged = self.indexes.touches.take_damaged();
        let mut made = 0;
        for file in files {
            let path = self.indexes.touches_path(&file.path);
            if there.contains(&path) && !damaged.contains(&path) {
                continue;
            }
            let whole = made_from(objects, file).await?;
            let encoding = tokio::task::spawn_blocking(move || encoded(&whole));
            let bytes = encoding.await.map_err(|e| Error::internal("the encode task died").because(e))?;
            let Some(bytes) = bytes else { continue };
            objects.put(&path, bytes.into()).await.map_err(|e| object_error("write", &path, e))?;
            made += 1;
            // Whoever replaced the file meanwhile found no touches to delete with it.
            if let Err(object_store::Error::NotFound { .. }) = objects.head(&file.path).await {
                object::delete(objects, &path).await?;
                made -= 1;
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use object_store::PutPayload;
    use object_store::memory::InMemory;

    use super::*;

    fn file(rows: u64) -> DataFile {
        let (month, range) = ("2026-01".to_owned(), (0, 0));
        let path = Path::from("t/events/occurred_month=2026-01/part-1.parquet");
        DataFile { path, bytes: 1, rows, month, seq: range, occurred_at: range, recorded_at: range }
    }

    fn key(n: u32) -> Key {
        Key::of(&n.to_string())
    }

    fn some() -> (Touches, Summary) {
        let mut action_keys: Vec<Key> = (0..3_000).map(key).collect();
        action_keys.sort_unstable();
        let touches = Touches {
            at: vec![5, 5, 9],
            seqs: vec![7, 8, 1],
            marks: vec![0; 3],
            actions: vec![0, u32::MAX, 2_999],
            targets: vec![u32::MAX; 3],
            action_keys,
            ..Touches::default()
        };
        (touches, Summary::default())
    }

    #[tokio::test]
    async fn what_is_kept_is_read_back_in_whole_and_in_part() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (indexes, file) = (Indexes::new(Path::from("t/index")), file(3));
        let path = indexes.touches_path(&file.path);
        assert_eq!(path.as_ref(), "t/index/part-1.parquet.touches");
        objects.put(&path, PutPayload::from(encoded(&some()).unwrap())).await.unwrap();
        let ask = async |n: u32| indexes.may_tell_of(&objects, &file, &[key(n)]).await;
        for _ in 0..2 {
            assert_eq!((ask(0).await, ask(2_999).await, ask(3_000).await), (true, true, false));
            assert_eq!(indexes.summary(&objects, &file).await, Some(Summary::default()));
            assert_eq!(*indexes.touches(&objects, &file).await.unwrap(), some().0);
        }
    }

    #[tokio::test]
    async fn a_damaged_object_is_passed_over() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (indexes, file) = (Indexes::new(Path::from("t/index")), file(3));
        let whole = encoded(&some()).unwrap();
        for damage in [0, 9, 60, 81, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[damage] ^= 1;
            objects.put(&indexes.touches_path(&file.path), PutPayload::from(bytes.clone())).await.unwrap();
            assert_eq!(decoded(Some(bytes.into()), 3).await.unwrap(), None, "{damage}");
            // There is no data file here to read instead.
            assert!(indexes.touches(&objects, &file).await.is_err(), "{damage}");
            assert!(indexes.touches.take_damaged().contains(&indexes.touches_path(&file.path)), "{damage}");
        }
        assert!(indexes.touches.take_damaged().is_empty());
        assert_eq!(decoded(Some(whole.clone().into()), 4).await.unwrap(), None, "of another file");
        assert!(decoded(Some(whole.into()), 3).await.unwrap().is_some());
    }

    #[test]
    fn what_was_not_asked_for_lately_leaves_first() {
        let kept = Kept::default();
        let large = || Arc::new(Touches { at: vec![0; TOUCHES_MEMORY_BYTES / 60], ..Touches::default() });
        for name in ["a", "b", "c"] {
            kept.put(Path::from(name), large());
            kept.get(&Path::from("a")).unwrap();
        }
        let there = ["a", "b", "c"].map(|name| kept.get(&Path::from(name)).is_some());
        assert_eq!(there, [true, false, true]);
    }
}
