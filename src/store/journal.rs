//! The journal: events that are durable and in order, but not yet in the table.
//!
//! One object is one batch of accepted events as an Arrow IPC file, named by the first `seq` it holds and put
//! if absent. That put is the acknowledgement. Invariant: an object never changes; the objects from the
//! table's size on form a gap-free chain, or the journal is damaged.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::object::object_error;
use super::paths::Paths;
use crate::clock::Micros;
use crate::error::{Error, ErrorKind, Result};
use crate::event::columns::stored_schema;
use crate::event::{Column, Leaf, Rows, leaves};
use crate::limits::JOURNAL_OBJECT_BYTES;

/// Format of the objects that this program writes, and the newest it reads.
const FORMAT: i64 = 1;
const FORMAT_KEY: &str = "probity.format";
const WRITER_KEY: &str = "probity.writer";

/// How often, and with which pause, the fate of a failed put is asked for.
const SETTLE_ATTEMPTS: usize = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

/// An object of the journal as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `seq` of its first event, as its name says.
    pub first_seq: i64,
    /// Where it is.
    pub path: Path,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was put, microseconds.
    pub put_at: Micros,
}

/// An object of the journal as read.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Random id that its writer gave it.
    pub writer: String,
    /// `seq` of its first event.
    pub first_seq: i64,
    /// Its events, in `seq` order.
    pub rows: RecordBatch,
    /// Their leaf hashes, where this process has computed them already.
    pub leaves: Option<Arc<[Leaf]>>,
}

impl Segment {
    /// The `seq` after its last event.
    pub fn end(&self) -> i64 {
        self.first_seq + self.rows.num_rows() as i64
    }

    /// The leaf hashes of its events, in `seq` order.
    ///
    /// # Errors
    /// When the rows are not of the stored schema.
    pub fn leaves(&self) -> Result<Arc<[Leaf]>> {
        match &self.leaves {
            Some(known) => Ok(known.clone()),
            None => Ok(leaves(&Rows::new(&self.rows)?).into()),
        }
    }

    /// When its events were recorded.
    pub fn recorded_at(&self) -> Option<Micros> {
        let rows = Rows::new(&self.rows).ok()?;
        rows.instant(Column::RecordedAt, rows.len().checked_sub(1)?)
    }
}

/// What became of a put.
#[derive(Debug)]
pub enum Appended {
    /// The object is there and ours.
    Done,
    /// Another writer's object has the name, or had it until it was folded.
    Lost,
    /// The store failed and the object is not there now.
    Unknown(Error),
}

/// The journal of one tenant.
#[derive(Debug, Clone)]
pub struct Journal {
    objects: Arc<dyn ObjectStore>,
    paths: Paths,
}

impl Journal {
    /// The journal at `paths`.
    pub fn new(objects: Arc<dyn ObjectStore>, paths: Paths) -> Self {
        Self { objects, paths }
    }

    /// Puts `rows`, which start at `first_seq`, if no object has that name. A lost response is resolved by
    /// reading what is there: the random id `writer` tells whose it is.
    ///
    /// # Errors
    /// When the rows cannot be encoded or what is there is damaged.
    pub async fn append(&self, first_seq: i64, rows: &RecordBatch, writer: &str) -> Result<Appended> {
        let bytes = encode(rows, writer)?;
        let path = self.paths.journal_object(first_seq);
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        let Err(failure) = self.objects.put_opts(&path, bytes.clone().into(), options).await else {
            return Ok(Appended::Done);
        };
        let is_taken =
            matches!(failure, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. });
        // What became of the put must be found out now, while this writer knows its bytes: be patient.
        let mut found = self.read(&path, first_seq).await;
        for _ in 0..SETTLE_ATTEMPTS {
            if !matches!(&found, Err(e) if e.kind() == ErrorKind::Unavailable) {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
            found = self.read(&path, first_seq).await;
        }
        match found {
            Ok(Some(segment)) if segment.writer == writer && is_taken => Ok(Appended::Done),
            // There, but whether it is durable was not answered: only a put that finds it taken proves that.
            Ok(Some(segment)) if segment.writer == writer => {
                Ok(Appended::Unknown(object_error("write", &path, failure)))
            }
            Ok(Some(_)) => Ok(Appended::Lost),
            Ok(None) if is_taken => Ok(Appended::Lost),
            Err(e) if e.kind() == ErrorKind::Damaged => match self.remove_torn(&path, &bytes, writer).await? {
                true => Ok(Appended::Unknown(object_error("write", &path, failure))),
                false => Err(e),
            },
            Ok(None) | Err(_) => Ok(Appended::Unknown(object_error("write", &path, failure))),
        }
    }

    /// Removes what a torn put of ours left: a proper beginning of `bytes` that reaches past our writer id, so
    /// that it cannot be anybody else's. It was never acknowledged.
    async fn remove_torn(&self, path: &Path, bytes: &Bytes, writer: &str) -> Result<bool> {
        let mut attempts = 0;
        let found = loop {
            let read = async { self.objects.get(path).await?.bytes().await };
            match read.await {
                Ok(found) => break found,
                Err(object_store::Error::NotFound { .. }) => return Ok(true),
                Err(_) if attempts < SETTLE_ATTEMPTS => attempts += 1,
                Err(e) => return Err(object_error("read", path, e)),
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        };
        let is_ours = found.len() < bytes.len()
            && bytes.starts_with(&found)
            && found.windows(writer.len()).any(|part| part == writer.as_bytes());
        if !is_ours {
            return Ok(false);
        }
        // Once only: if the answer is lost, the next put finds out, and whose object is there by then.
        let _ = self.delete(vec![path.clone()]).await;
        Ok(true)
    }

    /// The objects with a first `seq` of at least `from`, in order.
    ///
    /// # Errors
    /// When the store cannot list.
    pub async fn list(&self, from: i64) -> Result<Vec<Entry>> {
        let folder = self.paths.journal();
        let mut listed = self.objects.list(Some(&folder));
        let mut entries = Vec::new();
        while let Some(meta) = listed.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(e) => return Err(object_error("list", &folder, e)),
            };
            if let Some(first_seq) = Paths::journal_seq(&meta.location).filter(|seq| *seq >= from) {
                let put_at = meta.last_modified.timestamp_micros();
                entries.push(Entry { first_seq, path: meta.location, bytes: meta.size, put_at });
            }
        }
        entries.sort_by_key(|entry| entry.first_seq);
        Ok(entries)
    }

    /// The object at `path`; none if it is not there (any more).
    ///
    /// # Errors
    /// When the store fails, or the object is damaged or newer than this program.
    pub async fn read(&self, path: &Path, first_seq: i64) -> Result<Option<Segment>> {
        let result = match self.objects.get(path).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(object_error("read", path, e)),
        };
        if result.meta.size > JOURNAL_OBJECT_BYTES {
            return Err(damaged(path, &format!("it has {} bytes, more than any writer puts", result.meta.size)));
        }
        match result.bytes().await {
            Ok(bytes) => decode(bytes, first_seq, path).map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(object_error("read", path, e)),
        }
    }

    /// Reads the objects of `entries`, in order; none for one that is gone.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub async fn read_all(&self, entries: &[Entry]) -> Result<Vec<Option<Segment>>> {
        let reads = entries.iter().map(|entry| self.read(&entry.path, entry.first_seq)).collect::<Vec<_>>();
        stream::iter(reads).buffered(16).try_collect().await
    }

    /// Deletes objects; one that is gone already is no error.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, paths: Vec<Path>) -> Result<()> {
        for path in paths {
            match self.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(object_error("delete", &path, e)),
            }
        }
        Ok(())
    }
}

/// The gap-free chain of `segments` from `start` on, and whether objects follow behind a gap.
pub fn chain(segments: Vec<Segment>, start: i64) -> (Vec<Segment>, bool) {
    let mut end = start;
    let mut linked = Vec::with_capacity(segments.len());
    let mut has_gap = false;
    for segment in segments {
        if segment.first_seq == end {
            end = segment.end();
            linked.push(segment);
        } else if segment.first_seq > end {
            has_gap = true;
            break;
        }
    }
    (linked, has_gap)
}

/// Rows from which on the columns of an object are compressed. That begins anew for each of them, and for a few rows
/// takes longer than writing their bytes.
const COMPRESSED_ROWS: usize = 64;

fn encode(rows: &RecordBatch, writer: &str) -> Result<Bytes> {
    let failed = |e: arrow::error::ArrowError| Error::internal("cannot encode a journal object").because(e);
    let metadata = [(WRITER_KEY.to_owned(), writer.to_owned()), (FORMAT_KEY.to_owned(), FORMAT.to_string())];
    // Columns without a value come back as null when the object is read.
    let set: Vec<usize> = (0..rows.num_columns()).filter(|c| rows.column(*c).null_count() < rows.num_rows()).collect();
    let rows = &rows.project(&set).map_err(failed)?;
    let schema = Schema::new_with_metadata(rows.schema().fields().clone(), metadata.into());
    let compression = (rows.num_rows() >= COMPRESSED_ROWS).then_some(CompressionType::LZ4_FRAME);
    let options = IpcWriteOptions::default().try_with_compression(compression).map_err(failed)?;
    let mut file = FileWriter::try_new_with_options(Vec::new(), &schema, options).map_err(failed)?;
    file.write(rows).and_then(|()| file.finish()).map_err(failed)?;
    file.into_inner().map(Bytes::from).map_err(failed)
}

fn decode(bytes: Bytes, first_seq: i64, path: &Path) -> Result<Segment> {
    let reader = FileReader::try_new(Cursor::new(bytes), None)
        .map_err(|e| damaged(path, "it is cut off or no Arrow file").because(e))?;
    let metadata = reader.schema().metadata().clone();
    let format: Option<i64> = metadata.get(FORMAT_KEY).and_then(|v| v.parse().ok());
    match format {
        Some(format) if format > FORMAT => {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{path} was written by a newer version (format {format}, this one reads {FORMAT}); upgrade"),
            ));
        }
        Some(_) => {}
        None => return Err(damaged(path, "it is no journal object")),
    }
    let batches: std::result::Result<Vec<_>, _> = reader.collect();
    let batches = batches.map_err(|e| damaged(path, "its content is broken").because(e))?;
    let rows = concat_batches(&stored_schema(), batches.iter().map(conform).collect::<Result<Vec<_>>>()?.iter())
        .map_err(|e| damaged(path, "its content is broken").because(e))?;
    let seqs = Rows::new(&rows)?;
    let is_numbered =
        !seqs.is_empty() && (0..seqs.len()).all(|i| seqs.long(Column::Seq, i) == Some(first_seq + i as i64));
    if !is_numbered {
        return Err(damaged(path, "its events do not carry the numbers that its name says"));
    }
    Ok(Segment { writer: metadata.get(WRITER_KEY).cloned().unwrap_or_default(), first_seq, rows, leaves: None })
}

/// `batch` with exactly the columns of the stored schema; columns that it lacks are null.
pub fn conform(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = stored_schema();
    let arrays = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(array) => array.clone(),
        None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
    });
    RecordBatch::try_new(schema.clone(), arrays.collect())
        .map_err(|e| Error::damaged("stored events have columns of another type than the evidence schema").because(e))
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::damaged(format!(
        "journal object {path} cannot be read: {why}; it may hold acknowledged events: restore it from a backup"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::assign;
    use crate::event::{BatchBuilder, json};
    use object_store::memory::InMemory;

    fn rows(first_seq: i64, count: usize) -> RecordBatch {
        let mut builder = BatchBuilder::default();
        for i in 0..count {
            let text = format!(r#"{{"event_id":"{i}","occurred_at":"2026-03-01T09:00:00Z","old_value":"x"}}"#);
            builder.append(&json::decode(text.as_bytes()).unwrap());
        }
        assign(&builder.finish(), first_seq, 5, &Clock::fixed(5)).unwrap()
    }

    fn journal() -> Journal {
        let paths = Paths::new(&Path::from("s"), "default").unwrap();
        Journal::new(Arc::new(InMemory::new()), paths)
    }

    #[tokio::test]
    async fn what_was_appended_is_read_back_and_a_name_is_taken_once() {
        let journal = journal();
        assert!(matches!(journal.append(0, &rows(0, 3), "a").await, Ok(Appended::Done)));
        assert!(matches!(journal.append(0, &rows(0, 2), "b").await, Ok(Appended::Lost)));
        assert!(matches!(journal.append(0, &rows(0, 3), "a").await, Ok(Appended::Done)), "a repeated put is ours");
        assert!(matches!(journal.append(3, &rows(3, 1), "a").await, Ok(Appended::Done)));
        let entries = journal.list(0).await.unwrap();
        let segments = journal.read_all(&entries).await.unwrap();
        let ends: Vec<_> = segments.iter().flatten().map(Segment::end).collect();
        assert_eq!(ends, [3, 4]);
        assert_eq!(segments[0].as_ref().unwrap().rows, rows(0, 3));
    }

    #[tokio::test]
    async fn objects_of_any_length_are_read_back() {
        let journal = journal();
        let mut first_seq = 0;
        for count in [1, COMPRESSED_ROWS - 1, COMPRESSED_ROWS, 3 * COMPRESSED_ROWS] {
            let appended = rows(first_seq, count);
            assert!(matches!(journal.append(first_seq, &appended, "a").await, Ok(Appended::Done)));
            let read = journal.read(&journal.paths.journal_object(first_seq), first_seq).await.unwrap();
            assert_eq!(read.unwrap().rows, appended, "{count} rows");
            first_seq += count as i64;
        }
    }

    #[tokio::test]
    async fn a_torn_object_is_damage_and_a_newer_one_says_so() {
        let journal = journal();
        let path = journal.paths.journal_object(0);
        let whole = encode(&rows(0, 3), "w").unwrap();
        for bytes in [whole.slice(..whole.len() / 2), Bytes::new(), Bytes::from_static(b"ARROW1")] {
            journal.objects.put(&path, bytes.into()).await.unwrap();
            assert_eq!(journal.read(&path, 0).await.unwrap_err().kind(), ErrorKind::Damaged);
        }
        journal.objects.put(&path, whole.into()).await.unwrap();
        assert_eq!(journal.read(&path, 7).await.unwrap_err().kind(), ErrorKind::Damaged);
        let newer =
            rows(0, 1).schema().as_ref().clone().with_metadata([(FORMAT_KEY.to_owned(), "2".to_owned())].into());
        let mut file = FileWriter::try_new(Vec::new(), &newer).unwrap();
        file.finish().unwrap();
        journal.objects.put(&path, file.into_inner().unwrap().into()).await.unwrap();
        let message = journal.read(&path, 0).await.unwrap_err().to_string();
        assert!(message.contains("newer version"), "{message}");
    }

    #[test]
    fn a_chain_ends_at_the_first_gap_and_skips_dead_objects() {
        let segment = |first: i64, n: usize| Segment {
            writer: String::new(),
            first_seq: first,
            rows: rows(first, n),
            leaves: None,
        };
        let ends = |segments: Vec<Segment>, start| {
            let (linked, gap) = chain(segments, start);
            (linked.iter().map(Segment::end).collect::<Vec<_>>(), gap)
        };
        assert_eq!(ends(vec![segment(0, 2), segment(2, 1), segment(5, 1)], 0), (vec![2, 3], true));
        assert_eq!(ends(vec![segment(1, 2), segment(2, 3)], 2), (vec![5], false));
        assert_eq!(ends(vec![], 4), (vec![], false));
    }
}
