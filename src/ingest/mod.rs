//! The write path: decode → dedupe → journal → receipt → fold.
//!
//! In: files, streams, mapped rows. Out: durable events, a quarantine, and counts that add up. Decoding runs
//! beside appending, and folding beside both; a bounded channel keeps memory constant whatever the size of
//! the input. Invariant: accepted + duplicate + conflict + rejected = received; checked, not assumed.

pub mod counts;
pub mod decode;
pub mod frame;
pub mod group;
pub mod known;
pub mod mapping;
pub mod receipts;
pub mod spool;
pub mod writer;

use std::io::Read;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::event::{Column, Draft};
use crate::limits::{FIRST_REASONS, FOLD_STEP_BYTES};
use crate::store::Store;
use crate::store::compact::Due;
use crate::store::fold::Folded;
use crate::store::quarantine::Refused;
use counts::{Counts, Tally};
use decode::{Incoming, JsonDecoder};
use known::Verdict;
use receipts::{Issued, Stretches};
use writer::{Outcome, Writer};

/// Where records come from.
pub enum Source {
    /// Events as JSON: one a line, or the elements of one array.
    Json {
        /// Name for refusals.
        name: String,
        /// Their bytes, unpacked.
        reader: Box<dyn Read + Send>,
    },
    /// Events made by this program.
    Drafts {
        /// Name for refusals.
        name: String,
        /// The events.
        drafts: Box<dyn Iterator<Item = Draft<'static>> + Send>,
    },
    /// Rows that a mapping yields.
    Mapped {
        /// Name for refusals of rows that carry none.
        name: String,
        /// The rows.
        rows: BoxStream<'static, Result<RecordBatch>>,
        /// Records that could not even be read as rows.
        refused: Vec<Refused>,
    },
}

/// What an ingest did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The counts.
    pub counts: Counts,
    /// `seq` of the first event stored.
    pub first_seq: Option<i64>,
    /// Size of the ledger afterwards, the engine's own event included.
    pub size: i64,
    /// The first reasons for refusal, `file:line: reason`.
    pub reasons: Vec<String>,
    /// A receipt for every stretch of the ledger that was accepted, also of an ingest that ended early.
    pub receipts: Vec<Issued>,
}

/// What became of one record that decoded.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Stored with its place and leaf hash, known already, or in conflict.
    pub outcome: Outcome,
    /// The file that it came from.
    pub file: &'a str,
    /// Its line there, 1-based.
    pub line: u64,
}

/// Told how far an ingest is: units consumed of one source (bytes, or rows of a mapping) and counts so far.
pub type Progress<'a> = &'a (dyn Fn(u64, &Counts) + Sync);

/// Told what became of every record that decoded, in the order of the input, once that is durable. What it fails with
/// ends the ingest.
pub type Acknowledge<'a> = &'a (dyn Fn(&Told<'_>) -> Result<()> + Sync);

/// Bytes appended by an ingest that make it fold at its end; readers should not pay for a bulk load.
const BULK_BYTES: usize = 4 * 1024 * 1024;

/// Stores everything that `source` gives; the report holds what was done, also when it ended early because the
/// input cannot be read or the store fails: what was acknowledged stays stored, and a repetition finds it as
/// duplicates.
pub async fn ingest(store: &Store, source: Source, progress: Progress<'_>) -> (Report, Result<()>) {
    ingest_telling(store, source, progress, None).await
}

/// As [`ingest`], and tells `acknowledge` what became of each record. Where the store fails within a batch, what was
/// stored of that batch is not told; a repetition finds it as duplicates.
pub async fn ingest_telling(
    store: &Store,
    source: Source,
    progress: Progress<'_>,
    acknowledge: Option<Acknowledge<'_>>,
) -> (Report, Result<()>) {
    let mut run = Run::new(store);
    let folded = fold_if_due(store).await;
    let outcome = match folded {
        Ok(()) => run.consume(source, progress, acknowledge).await,
        failed => failed,
    };
    // What was counted before a failure is stated as well.
    let outcome = run.finish(outcome).await;
    (run.report, outcome)
}

async fn fold_if_due(store: &Store) -> Result<()> {
    if store.is_fold_due().await? {
        store.fold().await?;
    }
    Ok(())
}

/// Looks whether every record of `source` would be stored or is known, without storing anything.
///
/// # Errors
/// Invalid, naming the first refusals, when one would not.
pub async fn check_strict(store: &Store, source: Source) -> Result<()> {
    let mut writer = Writer::new(store);
    let mut incoming = decoded(source, store.clock().clone());
    let (mut received, mut bad, mut reasons) = (0usize, 0usize, Vec::new());
    while let Some(batch) = incoming.batches.recv().await {
        let batch = batch?;
        received += batch.rows.num_rows() + batch.refused.len();
        let conflicts = writer.classify(&batch).await?;
        let conflicts =
            conflicts.iter().enumerate().filter(|(_, v)| **v == Verdict::Conflict).map(|(row, _)| batch.place(row));
        let conflicts = conflicts.map(|place| format!("{place}: same ids as a stored event, other content"));
        for reason in batch.refused.iter().map(reason).chain(conflicts) {
            bad += 1;
            if reasons.len() < FIRST_REASONS {
                reasons.push(reason);
            }
        }
    }
    incoming.join().await?;
    if bad == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "strict: {bad} of {received} records are refused, so nothing was stored\n  {}",
        reasons.join("\n  ")
    )))
}

/// One ingest while it runs.
struct Run<'a> {
    store: &'a Store,
    writer: Writer<'a>,
    report: Report,
    unstated: Tally,
    accepted: Stretches,
    appended: usize,
    unfolded: usize,
    fold: Option<JoinHandle<Result<Folded>>>,
}

impl<'a> Run<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            writer: Writer::new(store),
            report: Report::default(),
            unstated: Tally::default(),
            accepted: Stretches::default(),
            appended: 0,
            unfolded: 0,
            fold: None,
        }
    }

    async fn consume(
        &mut self,
        source: Source,
        progress: Progress<'_>,
        acknowledge: Option<Acknowledge<'_>>,
    ) -> Result<()> {
        let mut incoming = decoded(source, self.store.clock().clone());
        while let Some(batch) = incoming.batches.recv().await {
            let batch = batch?;
            let consumed = batch.consumed;
            self.append(batch, acknowledge).await?;
            progress(consumed, &self.report.counts);
        }
        incoming.join().await
    }

    async fn append(&mut self, batch: Incoming, acknowledge: Option<Acknowledge<'_>>) -> Result<()> {
        let received = (batch.rows.num_rows() + batch.refused.len()) as u64;
        let origins = acknowledge.map(|_| batch.origins.clone()).unwrap_or_default();
        let done = self.writer.append(batch).await?;
        self.accepted.accept(&done.outcomes);
        let counts = done.tally.total();
        if !counts.add_up() || counts.received != received {
            return Err(Error::internal(format!(
                "{received} records were received, but {counts:?} were accounted for"
            )));
        }
        self.report.counts.add(counts);
        self.unstated.merge(done.tally);
        for entry in done.refused.iter().take(FIRST_REASONS.saturating_sub(self.report.reasons.len())) {
            self.report.reasons.push(reason(entry));
        }
        let seqs = done.outcomes.iter().filter_map(|o| match o {
            Outcome::Accepted { seq, .. } => Some(*seq),
            _ => None,
        });
        self.report.first_seq = self.report.first_seq.or(seqs.min());
        if counts.accepted > 0 {
            self.appended += done.bytes;
            self.unfolded += done.bytes;
        }
        if let Some(acknowledge) = acknowledge {
            for (outcome, origin) in done.outcomes.iter().zip(&origins) {
                acknowledge(&Told { outcome: *outcome, file: origin.file(), line: origin.line() })?;
            }
        }
        if self.unfolded > FOLD_STEP_BYTES {
            self.start_fold().await?;
        }
        Ok(())
    }

    /// States the counts so far and folds in the background what is there by then; one fold at a time.
    async fn start_fold(&mut self) -> Result<()> {
        self.join_fold().await?;
        self.state_counts().await?;
        self.unfolded = 0;
        let (store, end) = (self.store.share(), self.writer.size().await?);
        self.fold = Some(tokio::spawn(async move { store.fold_before(end).await }));
        Ok(())
    }

    async fn join_fold(&mut self) -> Result<()> {
        if let Some(fold) = self.fold.take() {
            fold.await.map_err(|e| Error::internal("the fold task died").because(e))??;
            self.writer.forget_head();
        }
        Ok(())
    }

    async fn state_counts(&mut self) -> Result<()> {
        for extra in std::mem::take(&mut self.unstated).extras() {
            let mut receipt = self.writer.statement("evidence.received");
            receipt.set_text(Column::Extra, extra);
            self.writer.state(&receipt).await?;
        }
        Ok(())
    }

    async fn finish(&mut self, outcome: Result<()>) -> Result<()> {
        self.report.receipts = std::mem::take(&mut self.accepted).issue(self.store).await;
        let stated = self.state_counts().await;
        let folded = self.join_fold().await;
        outcome.and(stated).and(folded)?;
        if self.appended > BULK_BYTES {
            self.store.fold().await?;
            self.store.compact(Due::Many).await?;
        }
        self.report.size = self.store.head().await?.0.size;
        Ok(())
    }
}

fn reason(entry: &Refused) -> String {
    format!("{}:{}: {}", entry.file, entry.line, entry.reason)
}

/// Batches as they come out of the decoder.
struct Decoded {
    batches: mpsc::Receiver<Result<Incoming>>,
    task: JoinHandle<()>,
}

impl Decoded {
    async fn join(self) -> Result<()> {
        self.task.await.map_err(|e| Error::internal("the decoder died").because(e))
    }
}

/// Decodes `source` beside its consumer, at most two batches ahead.
fn decoded(source: Source, clock: crate::clock::Clock) -> Decoded {
    // One waits in the channel, the other for room in it.
    let (sender, batches) = mpsc::channel(1);
    let task = match source {
        Source::Json { name, reader } => tokio::task::spawn_blocking(move || {
            let mut decoder = JsonDecoder::new(reader, &name, clock);
            while let Some(batch) = decoder.next_batch().transpose() {
                let is_last = batch.is_err();
                if sender.blocking_send(batch).is_err() || is_last {
                    return;
                }
            }
        }),
        Source::Drafts { name, mut drafts } => tokio::task::spawn_blocking(move || {
            let name: Arc<str> = name.into();
            let mut taken = 0;
            while let Some(batch) = decode::take_drafts(&mut drafts, &name, &mut taken, &clock) {
                if sender.blocking_send(Ok(batch)).is_err() {
                    return;
                }
            }
        }),
        Source::Mapped { name, mut rows, refused } => tokio::spawn(async move {
            if !refused.is_empty() && sender.send(Ok(Incoming::only_refused(refused))).await.is_err() {
                return;
            }
            let name: Arc<str> = name.into();
            while let Some(batch) = rows.next().await {
                let decoded = batch.and_then(|batch| decode::decode_mapped(batch, &name, &clock));
                let Some(decoded) = decoded.transpose() else { continue };
                let is_last = decoded.is_err();
                if sender.send(decoded).await.is_err() || is_last {
                    return;
                }
            }
        }),
    };
    Decoded { batches, task }
}
