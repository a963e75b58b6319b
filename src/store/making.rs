//! A data file in the making: rows go in batch by batch, and are let go of as soon as they are encoded.
//!
//! In: sorted rows of one month. Out: the bytes of the file, of its index and of its touches, and what a commit says of
//! it. Invariant: whatever the file will hold, what is held of it are encoded pages, keys and numbers; few batches wait.
//! It writes nothing.

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::parquet::{self, Effort, Encoder};
use super::{index, touches};
use crate::error::{Error, Result};
use crate::event::Column;

/// Batches that wait to be encoded while others are merged.
const WAITING: usize = 4;

/// A data file that is written nowhere yet.
pub(super) struct Made {
    /// The Parquet file.
    pub(super) bytes: Bytes,
    /// Its index, where it can have one.
    pub(super) index: Option<Vec<u8>>,
    /// Its touches, where it can have them.
    pub(super) touches: Option<Vec<u8>>,
    /// Number of its rows.
    pub(super) rows: u64,
    /// What its rows span.
    pub(super) spans: Spans,
}

/// The least and the largest value of the columns that a commit tells of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) seq: (i64, i64),
    pub(super) occurred_at: (i64, i64),
    pub(super) recorded_at: (i64, i64),
}

impl Spans {
    fn of(batch: &RecordBatch) -> Self {
        let span = |column: Column| parquet::range(batch, column);
        Self { seq: span(Column::Seq), occurred_at: span(Column::OccurredAt), recorded_at: span(Column::RecordedAt) }
    }

    fn and(self, other: Self) -> Self {
        let both = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
        Self {
            seq: both(self.seq, other.seq),
            occurred_at: both(self.occurred_at, other.occurred_at),
            recorded_at: both(self.recorded_at, other.recorded_at),
        }
    }

    /// What all rows of `batches` span; zeros where there is none.
    pub(super) fn of_all(batches: &[RecordBatch]) -> Self {
        let none = Self { seq: (0, 0), occurred_at: (0, 0), recorded_at: (0, 0) };
        batches.iter().map(Self::of).reduce(Self::and).unwrap_or(none)
    }
}

/// A file that grows on a thread of its own.
pub(super) struct Growing {
    batches: mpsc::Sender<RecordBatch>,
    task: JoinHandle<Result<Option<Made>>>,
}

impl Growing {
    /// A file of at most about `rows` rows.
    pub(super) fn start(rows: usize) -> Self {
        let (batches, receiver) = mpsc::channel(WAITING);
        Self { batches, task: tokio::task::spawn_blocking(move || make(receiver, rows)) }
    }

    /// Puts rows behind those that are in it.
    ///
    /// # Errors
    /// When it cannot grow any more; [`finish`](Self::finish) says why.
    pub(super) async fn push(&self, batch: RecordBatch) -> Result<()> {
        let sent = self.batches.send(batch).await;
        sent.map_err(|_| Error::internal("a data file in the making was given up"))
    }

    /// The file; none without rows.
    ///
    /// # Errors
    /// When the rows cannot be encoded.
    pub(super) async fn finish(self) -> Result<Option<Made>> {
        drop(self.batches);
        self.task.await.map_err(|e| Error::internal("the encode task died").because(e))?
    }
}

fn make(mut batches: mpsc::Receiver<RecordBatch>, rows: usize) -> Result<Option<Made>> {
    let Some(first) = batches.blocking_recv() else { return Ok(None) };
    let mut encoder = Encoder::new(std::slice::from_ref(&first), rows, Effort::Compact)?;
    let (mut index, mut touches, mut spans) = (index::Making::default(), touches::Making::default(), Spans::of(&first));
    // A file whose touches cannot be told has none; its rows are read instead.
    let (mut count, mut has_touches, mut next) = (0, true, Some(first));
    while let Some(batch) = next {
        encoder.add(&batch)?;
        index.add(&batch);
        has_touches = has_touches && touches.add(&batch).is_ok();
        spans = spans.and(Spans::of(&batch));
        count += batch.num_rows() as u64;
        next = batches.blocking_recv();
    }
    let touches = if has_touches { touches.encoded() } else { None };
    Ok(Some(Made { bytes: encoder.finish()?, index: index.encoded(), touches, rows: count, spans }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::assign;
    use crate::event::{BatchBuilder, json};

    const NOW: i64 = 1_775_000_000_000_000;

    fn rows(first_seq: i64, count: i64) -> RecordBatch {
        let mut builder = BatchBuilder::default();
        for seq in first_seq..first_seq + count {
            let text = format!(
                r#"{{"event_id":"e{seq}","source":"s","event_type":"action.executed","outcome":"succeeded","action_id":"a{}","system":"crm","record_type":"lead","record_id":"r{}","field":"f","occurred_at":"2026-03-01T{:02}:00:00Z"}}"#,
                seq / 3,
                seq % 7,
                seq / 40
            );
            builder.append(&json::decode(text.as_bytes()).unwrap());
        }
        assign(&builder.finish(), first_seq, NOW, &Clock::fixed(NOW)).unwrap()
    }

    #[tokio::test]
    async fn what_grows_batch_by_batch_is_what_is_made_at_once() {
        let batches = [rows(0, 100), rows(100, 1), rows(101, 299)];
        let growing = Growing::start(400);
        for batch in &batches {
            growing.push(batch.clone()).await.unwrap();
        }
        let made = growing.finish().await.unwrap().unwrap();
        assert_eq!(made.rows, 400);
        assert_eq!((made.spans.seq, made.spans.recorded_at), ((0, 399), (NOW, NOW)));
        assert_eq!(made.index, index::encode(&batches));
        assert!(made.index.is_some() && made.touches.is_some());
        assert_eq!(made.touches, touches::encode(&batches));
        assert_eq!(made.bytes, parquet::encode(&batches, Effort::Compact).unwrap());
    }

    #[tokio::test]
    async fn without_rows_there_is_no_file() {
        assert!(Growing::start(10).finish().await.unwrap().is_none());
    }
}
