//! The appender: one writer a tenant, which makes many requests durable with one put.
//!
//! In: decoded batches and the server's own statements, from many requests at once. Out: what became of each, told once
//! it is durable. While one put is on its way the next ones gather, and go together: a group commit. Invariants: nothing
//! is answered before it is durable; what waits is bounded, and who comes when it is full is told to come again; what
//! was taken in is written also when who sent it has left, and when the server ends. Counts of what was received are
//! themselves stated, every few seconds and at the end.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::lock;
use super::metrics::Metrics;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::batch::bytes_of;
use crate::event::{Column, Draft};
use crate::ingest::counts::Tally;
use crate::ingest::decode::Incoming;
use crate::ingest::group::Group;
use crate::ingest::writer::{Acknowledged, Outcome, Writer, statement};
use crate::limits::{
    APPEND_GROUP_BYTES, APPEND_QUEUE_BYTES, APPEND_QUEUE_ENTRIES, BATCH_EVENTS, COUNTS_SECONDS, FOLD_OBJECTS,
    SERVER_FOLD_BYTES, SERVER_UNFOLDED_BYTES,
};
use crate::store::Store;

/// Attempts to state the last counts when the server ends.
const LAST_ATTEMPTS: usize = 3;

/// Why something was not taken in: too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server is busy")
    }
}

impl std::error::Error for Busy {}

impl Busy {
    /// Whether this is why `err` came about.
    pub fn is_why(err: &Error) -> bool {
        std::error::Error::source(err).is_some_and(|cause| cause.is::<Self>())
    }
}

/// The writer of one tenant's evidence, shared by all requests.
#[derive(Debug)]
pub struct Appender {
    /// None once the server ends.
    sender: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
    clock: Clock,
}

/// What the requests, the writer and the upkeep know of each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    /// Bytes and objects put since the last fold began,
    unfolded: (AtomicUsize, AtomicUsize),
    /// and the bytes that it folds.
    folding: AtomicUsize,
    /// Events of the ledger up to and with the last one that was put here.
    end: AtomicI64,
    /// The journal was folded: the writer looks again where it ends.
    is_folded: AtomicBool,
    /// Wakes the upkeep when a fold is due.
    pub(super) fold: Notify,
}

/// What waits to be written.
#[derive(Debug)]
enum Job {
    Events(Box<Incoming>, oneshot::Sender<Result<Acknowledged>>),
    Statements(Vec<Draft<'static>>, oneshot::Sender<Result<i64>>),
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Events(incoming, _) => bytes_of(&incoming.rows) + incoming.raw_bytes(),
            Self::Statements(drafts, _) => drafts.len() * size_of::<Draft<'static>>(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Events(incoming, _) => incoming.rows.num_rows(),
            Self::Statements(drafts, _) => drafts.len(),
        }
    }
}

impl Appender {
    /// An appender to `store`, at work until [`close`](Self::close).
    pub(super) fn start(store: &Store, metrics: Arc<Metrics>) -> Self {
        let (sender, jobs) = mpsc::unbounded_channel();
        let shared: Arc<Shared> = Arc::default();
        let work = Work { jobs, shared: shared.clone(), metrics, unstated: Tally::default(), state_at: None };
        let task = tokio::spawn(work.run(store.share()));
        let (sender, task) = (Mutex::new(Some(sender)), Mutex::new(Some(task)));
        Self { sender, task, shared, clock: store.clock().clone() }
    }

    /// Stores what is new of `incoming`; all of it is durable when this returns.
    ///
    /// # Errors
    /// Limit when too much waits already; Unavailable when the store fails: a repetition finds as duplicates what was
    /// stored all the same.
    pub async fn append(&self, incoming: Incoming) -> Result<Acknowledged> {
        let (reply, told) = oneshot::channel();
        self.send(Job::Events(Box::new(incoming), reply))?;
        told.await.map_err(|_| ended())?
    }

    /// Stores what the server itself states, all of it or nothing; gives the place of the first. Durable when this
    /// returns.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn state(&self, statements: Vec<Draft<'static>>) -> Result<i64> {
        let (reply, told) = oneshot::channel();
        self.send(Job::Statements(statements, reply))?;
        told.await.map_err(|_| ended())?
    }

    /// An event of the engine itself that happens now.
    pub fn statement(&self, event_type: &str) -> Draft<'static> {
        statement(&self.clock, event_type)
    }

    /// Requests that wait to be written.
    pub fn waiting(&self) -> usize {
        self.shared.entries.load(Ordering::Relaxed)
    }

    /// What the upkeep needs to know.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether the writer is at work.
    pub(super) fn is_alive(&self) -> bool {
        lock(&self.task).as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Takes nothing in any more; returns when everything that waits is durable and the counts are stated.
    pub(super) async fn close(&self) {
        drop(lock(&self.sender).take());
        let task = lock(&self.task).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }

    fn send(&self, job: Job) -> Result<()> {
        let bytes = job.bytes();
        // Whoever looks for something is not kept from it by those who bring events.
        let is_behind = matches!(job, Job::Events(..)) && self.shared.is_behind();
        let sender = lock(&self.sender);
        let sender = sender.as_ref().ok_or_else(ended)?;
        let entries = self.shared.entries.fetch_add(1, Ordering::Relaxed);
        let waiting = self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Something that is larger than the whole queue is taken in when nothing else waits.
        let is_full =
            entries >= APPEND_QUEUE_ENTRIES || waiting > 0 && waiting + bytes > APPEND_QUEUE_BYTES || is_behind;
        if is_full || sender.send(job).is_err() {
            self.shared.entries.fetch_sub(1, Ordering::Relaxed);
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(if is_full { busy() } else { ended() });
        }
        Ok(())
    }
}

impl Shared {
    /// What was appended before the fold began is no longer in the journal.
    pub(super) fn folded(&self) {
        self.folding.store(0, Ordering::Relaxed);
        self.is_folded.store(true, Ordering::Release);
    }

    /// Takes note that a fold begins: what is put from now on counts for the next one.
    pub(super) fn folds(&self) {
        let bytes = self.unfolded.0.swap(0, Ordering::AcqRel);
        self.folding.fetch_add(bytes, Ordering::Relaxed);
        self.unfolded.1.store(0, Ordering::Relaxed);
    }

    /// Whether folds cannot keep up: what was not folded is held in memory.
    pub(super) fn is_behind(&self) -> bool {
        let unfolded = self.unfolded.0.load(Ordering::Relaxed) + self.folding.load(Ordering::Relaxed);
        unfolded > SERVER_UNFOLDED_BYTES
    }

    /// Events of the ledger up to and with the last one that was put here: a table with as many holds all of them.
    pub(super) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Takes note that so many bytes were put, the last of them before the place `end`.
    pub(super) fn appended(&self, bytes: usize, end: i64) {
        // Before the bytes: what a fold counts as its own is never behind the end that it sees.
        self.end.fetch_max(end, Ordering::AcqRel);
        let bytes = self.unfolded.0.fetch_add(bytes, Ordering::Release) + bytes;
        let objects = self.unfolded.1.fetch_add(1, Ordering::Relaxed) + 1;
        if bytes >= SERVER_FOLD_BYTES || objects >= FOLD_OBJECTS {
            self.fold.notify_one();
        }
    }
}

/// The writer's side.
struct Work {
    jobs: mpsc::UnboundedReceiver<Job>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    /// Counts that the evidence does not tell of yet, and when it shall.
    unstated: Tally,
    state_at: Option<Instant>,
}

/// Who waits for the statements of a group, and how many are his.
type Stating = Vec<(usize, oneshot::Sender<Result<i64>>)>;

impl Work {
    async fn run(mut self, store: Store) {
        let mut writer = Writer::new(&store);
        loop {
            let due = self.state_at;
            let counts_are_due = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let first = tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => Some(job),
                    None => break,
                },
                () = counts_are_due => None,
            };
            self.write_group(&mut writer, first).await;
        }
        for _ in 0..LAST_ATTEMPTS {
            if self.unstated.is_empty() {
                return;
            }
            self.state_at = Some(Instant::now());
            self.write_group(&mut writer, None).await;
        }
    }

    /// Everything that waits, as much as one group takes.
    fn gather(&mut self, first: Option<Job>) -> Vec<Job> {
        let mut jobs: Vec<Job> = first.into_iter().collect();
        let mut rows: usize = jobs.iter().map(Job::rows).sum();
        let mut bytes: usize = jobs.iter().map(Job::bytes).sum();
        while rows < BATCH_EVENTS
            && bytes < APPEND_GROUP_BYTES
            && let Ok(job) = self.jobs.try_recv()
        {
            rows += job.rows();
            bytes += job.bytes();
            jobs.push(job);
        }
        jobs
    }

    async fn write_group(&mut self, writer: &mut Writer<'_>, first: Option<Job>) {
        if self.shared.is_folded.swap(false, Ordering::AcqRel) {
            writer.forget_head();
        }
        let jobs = self.gather(first);
        let (count, bytes) = (jobs.len(), jobs.iter().map(Job::bytes).sum::<usize>());
        let (mut batches, mut senders, mut drafts, mut stating) = (Vec::new(), Vec::new(), Vec::new(), Stating::new());
        for job in jobs {
            match job {
                Job::Events(incoming, reply) => {
                    batches.push(*incoming);
                    senders.push(reply);
                }
                Job::Statements(statements, reply) => {
                    stating.push((statements.len(), reply));
                    drafts.extend(statements);
                }
            }
        }
        let told = self.counts(writer, &mut drafts);
        if batches.is_empty() && drafts.is_empty() {
            // Statements of nothing at all.
            stating.into_iter().for_each(|(_, reply)| drop(reply.send(Err(nothing()))));
            self.done(count, bytes);
            return;
        }
        let written = write(writer, batches, &drafts).await;
        self.done(count, bytes);
        match written {
            Ok((parts, first_seq)) => {
                let stated = first_seq.map(|first| first + drafts.len() as i64);
                let end = parts.iter().filter_map(|part| end_of(&part.outcomes)).chain(stated).max();
                self.shared.appended(parts.iter().map(|part| part.bytes).sum(), end.unwrap_or(0));
                self.tell(parts, senders, (first_seq, stating));
            }
            Err(e) => {
                self.metrics.append_failed();
                // What it knows of the journal may be what was wrong.
                writer.forget_head();
                // What could not be stated is stated with the next group.
                if let Some(tally) = told {
                    self.unstated.merge(tally);
                }
                senders.into_iter().for_each(|reply| drop(reply.send(Err(again(&e)))));
                stating.into_iter().for_each(|(_, reply)| drop(reply.send(Err(again(&e)))));
            }
        }
        self.plan_counts();
    }

    /// Adds the statements of the counts where they are due; gives what they say.
    fn counts(&mut self, writer: &Writer<'_>, drafts: &mut Vec<Draft<'static>>) -> Option<Tally> {
        let is_due = self.state_at.is_some_and(|at| at <= Instant::now());
        if !is_due {
            return None;
        }
        self.state_at = None;
        if self.unstated.is_empty() {
            return None;
        }
        let tally = std::mem::take(&mut self.unstated);
        for extra in tally.extras() {
            let mut draft = writer.statement("evidence.received");
            draft.set_text(Column::Extra, extra);
            drafts.push(draft);
        }
        Some(tally)
    }

    fn plan_counts(&mut self) {
        if !self.unstated.is_empty() && self.state_at.is_none() {
            self.state_at = Some(Instant::now() + Duration::from_secs(COUNTS_SECONDS));
        }
    }

    /// Frees the places of a group.
    fn done(&self, count: usize, bytes: usize) {
        self.shared.entries.fetch_sub(count, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn tell(
        &mut self,
        parts: Vec<Acknowledged>,
        senders: Vec<oneshot::Sender<Result<Acknowledged>>>,
        (first_seq, stating): (Option<i64>, Stating),
    ) {
        for (part, reply) in parts.into_iter().zip(senders) {
            self.metrics.received(part.tally.total());
            self.unstated.merge(part.tally.clone());
            // Who left needs no answer; a repetition finds duplicates.
            let _ = reply.send(Ok(part));
        }
        let mut seq = first_seq.unwrap_or_default();
        for (count, reply) in stating {
            let _ = reply.send(if count == 0 { Err(nothing()) } else { Ok(seq) });
            seq += count as i64;
        }
    }
}

/// Events of the ledger up to and with the last one that was stored; none where nothing was.
pub(super) fn end_of(outcomes: &[Outcome]) -> Option<i64> {
    let ends = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Accepted { seq, .. } => Some(seq + 1),
        Outcome::Duplicate | Outcome::Conflict => None,
    });
    ends.max()
}

/// One group through the writer: what became of each batch, and the place of the first statement.
async fn write(
    writer: &mut Writer<'_>,
    batches: Vec<Incoming>,
    drafts: &[Draft<'static>],
) -> Result<(Vec<Acknowledged>, Option<i64>)> {
    let (group, incoming) = Group::of(batches)?;
    let (done, first_seq) = writer.append_stating(incoming, drafts).await?;
    Ok((group.split(done)?, first_seq))
}

fn busy() -> Error {
    Error::limit("too many events wait to be written; send them again in a second").because(Busy)
}

fn ended() -> Error {
    Error::unavailable("the server is shutting down; send it again to the one that takes its place")
}

fn nothing() -> Error {
    Error::internal("nothing was stated")
}

/// The same failure for each of a group.
fn again(err: &Error) -> Error {
    let kind = match err.kind() {
        // Of this request nothing was wrong.
        ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Denied => ErrorKind::Unavailable,
        kind => kind,
    };
    Error::new(kind, err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Rows;
    use crate::ingest::decode::JsonDecoder;
    use crate::store::object::Location;

    const NOW: i64 = 1_775_000_000_000_000;

    async fn store() -> Store {
        Store::create(Location::memory(), "default", Clock::fixed(NOW)).await.unwrap()
    }

    fn event(id: usize) -> Incoming {
        let line = format!(
            "{{\"event_id\":\"{id}\",\"source\":\"s\",\"event_type\":\"action.proposed\",\"workflow\":\"w\",\
             \"action_id\":\"{id}\",\"occurred_at\":\"2026-03-01T09:00:00Z\"}}\n"
        );
        JsonDecoder::new(line.as_bytes(), "request", Clock::fixed(NOW)).next_batch().unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_comes_together_goes_into_few_objects_and_each_is_told_its_own_place() {
        let store = store().await;
        let appender = Appender::start(&store, Arc::default());
        let events = futures::future::join_all((0..64).map(|id| appender.append(event(id))));
        let statements = futures::future::join_all((0..8).map(|_| {
            let statement = appender.statement("evidence.queried");
            appender.state(vec![statement])
        }));
        let (events, statements) = tokio::join!(events, statements);
        let mut seqs: Vec<i64> = events
            .into_iter()
            .map(|told| match told.unwrap().outcomes.as_slice() {
                [Outcome::Accepted { seq, .. }] => *seq,
                other => panic!("{other:?}"),
            })
            .collect();
        seqs.extend(statements.into_iter().map(|told| told.unwrap()));
        seqs.sort_unstable();
        assert_eq!(seqs, (0..72).collect::<Vec<_>>());
        assert!(store.journal().list(0).await.unwrap().len() <= 4);
        assert_eq!((appender.waiting(), appender.shared().end()), (0, 72));
        assert!(matches!(appender.append(event(7)).await.unwrap().outcomes.as_slice(), [Outcome::Duplicate]));
        appender.close().await;
        assert!(!appender.is_alive());
    }

    #[tokio::test]
    async fn the_counts_are_stated_at_the_end_and_nothing_is_taken_in_afterwards() {
        let store = store().await;
        let appender = Appender::start(&store, Arc::default());
        appender.append(event(1)).await.unwrap();
        appender.append(event(1)).await.unwrap();
        appender.close().await;
        let journal = store.snapshot().await.unwrap().journal;
        let last = Rows::new(journal.last().unwrap()).unwrap();
        assert_eq!(last.text(Column::EventType, 0), Some("evidence.received"));
        let extra = last.text(Column::Extra, 0).unwrap();
        assert!(extra.contains("\"accepted\":1") && extra.contains("\"duplicate\":1"), "{extra}");
        assert_eq!(appender.append(event(2)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_full_queue_says_come_again_and_has_room_later() {
        let store = store().await;
        let appender = Appender::start(&store, Arc::default());
        let send = || {
            let (reply, told) = oneshot::channel();
            appender.send(Job::Statements(vec![appender.statement("evidence.queried")], reply)).map(|()| told)
        };
        let taken: Vec<_> = (0..APPEND_QUEUE_ENTRIES).map(|_| send().unwrap()).collect();
        let refused = send().unwrap_err();
        assert!(refused.kind() == ErrorKind::Limit && Busy::is_why(&refused));
        for (seq, told) in (0..).zip(taken) {
            assert_eq!(told.await.unwrap().unwrap(), seq);
        }
        appender.append(event(1)).await.unwrap();
    }

    #[tokio::test]
    async fn events_wait_for_folds_that_cannot_keep_up_and_statements_do_not() {
        let store = store().await;
        let appender = Appender::start(&store, Arc::default());
        appender.append(event(1)).await.unwrap();
        appender.shared().appended(SERVER_UNFOLDED_BYTES, 0);
        let state = || appender.state(vec![appender.statement("evidence.queried")]);
        for folds in [false, true] {
            if folds {
                appender.shared().folds();
            }
            let refused = appender.append(event(2)).await.unwrap_err();
            assert!(refused.kind() == ErrorKind::Limit && Busy::is_why(&refused));
            state().await.unwrap();
        }
        appender.shared().folded();
        appender.append(event(2)).await.unwrap();
    }

    #[tokio::test]
    async fn a_writer_beside_it_and_a_fold_lose_and_repeat_nothing() {
        let store = store().await;
        let appender = Appender::start(&store, Arc::default());
        let mut other = Writer::new(&store);
        for round in 0..6 {
            appender.append(event(round)).await.unwrap();
            other.append(event(100 + round)).await.unwrap();
            if round == 3 {
                appender.shared().folds();
                store.fold().await.unwrap();
                appender.shared().folded();
                other.forget_head();
            }
        }
        for round in 0..6 {
            let told = appender.append(event(100 + round)).await.unwrap();
            assert!(matches!(told.outcomes.as_slice(), [Outcome::Duplicate]), "{told:?}");
        }
        assert_eq!(store.head().await.unwrap().0.size, 12);
    }
}
