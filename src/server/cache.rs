//! Finished answers and long work: one page is computed once, however many wait for it.
//!
//! In: a key, the size of the ledger that the answer is about, and the work. Out: the answer, or how long it has been
//! worked on. Invariants: of one key one work runs at a time, and goes on when who asked leaves; what is kept stays
//! within its bound, and what was not looked at longest leaves first. A failure is told once and tried again.
//!
//! An answer is shown for the size that was asked for. One exception: what took longer than its asker's patience is
//! shown to who comes back for it within `LATE_SECONDS`, although the ledger has grown meanwhile; a page that takes
//! ten seconds would never be seen otherwise while events come in. It says itself up to which event it tells.
//!
//! The key must name everything that the answer depends on besides the ledger: parameters, and whether sealed values
//! are in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use super::lock;
use super::metrics::Metrics;
use super::problem;
use crate::clock::{Clock, Micros, SECOND};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{PAGE_CACHE_BYTES, PAGE_WORKS};

/// Seconds for which an answer that took long is shown to who waited for it.
const LATE_SECONDS: i64 = 10;
/// Bytes that an entry takes besides its body and key.
const ENTRY_BYTES: usize = 256;

/// What there is to see.
#[derive(Debug)]
pub enum Look {
    /// The answer.
    Ready(Arc<Rendered>),
    /// It is being worked on.
    Working(Progress),
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Bytes,
}

/// How far a work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// When it began.
    pub since: Micros,
    /// What it does now, in words.
    pub step: String,
}

tokio::task_local! {
    static STEP: Arc<Mutex<String>>;
}

/// Says what the work around this call does now, in words for who waits; outside of a work nobody hears it.
pub fn step(words: &str) {
    let _ = STEP.try_with(|step| words.clone_into(&mut lock(step)));
}

/// The answers of one tenant.
#[derive(Debug, Clone)]
pub struct Pages(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    metrics: Arc<Metrics>,
    kept: Mutex<Kept>,
    /// Works that run at once; others wait.
    places: Semaphore,
    bound: usize,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<String, Entry>,
    bytes: usize,
    used: u64,
}

/// What is known of a key.
#[derive(Debug)]
struct Entry {
    /// The newest answer.
    answer: Option<Answer>,
    /// The work that is on, or its failure, which nobody was told yet.
    work: Option<Work>,
    used: u64,
}

#[derive(Debug, Clone)]
struct Answer {
    size: i64,
    rendered: Arc<Rendered>,
    finished_at: Micros,
    took: Micros,
}

#[derive(Debug, Clone)]
struct Work {
    since: Micros,
    step: Arc<Mutex<String>>,
    /// True when the work has ended.
    ended: watch::Receiver<bool>,
    failure: Option<(ErrorKind, String)>,
}

impl Pages {
    /// Nothing is kept yet.
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self::within(PAGE_CACHE_BYTES, clock, metrics)
    }

    fn within(bound: usize, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let places = Semaphore::new(PAGE_WORKS);
        Self(Arc::new(Shared { clock, metrics, kept: Mutex::default(), places, bound }))
    }

    /// What is kept under (`key`, `size`), or starts `work` once in the background and waits up to `patience` for it.
    ///
    /// # Errors
    /// What the work failed with.
    pub async fn look<F>(&self, key: String, size: i64, patience: Duration, work: F) -> Result<Look>
    where
        F: Future<Output = Result<Rendered>> + Send + 'static,
    {
        if let Some(ready) = self.ready(&key, size, patience) {
            self.0.metrics.page_hit();
            return Ok(Look::Ready(ready));
        }
        self.0.metrics.page_miss();
        let mut running = self.running_or(&key, size, work);
        let _ = tokio::time::timeout(patience, running.ended.wait_for(|ended| *ended)).await;
        if let Some((kind, message)) = self.failure(&key) {
            return Err(Error::new(kind, message));
        }
        // Who waited for a work that another began sees its answer, also where it is about fewer events.
        if let Some(answer) = self.answer(&key).filter(|answer| answer.finished_at >= running.since) {
            return Ok(Look::Ready(answer.rendered));
        }
        let words = lock(&running.step).clone();
        Ok(Look::Working(Progress { since: running.since, step: words }))
    }

    /// The answer that may be shown at once.
    fn ready(&self, key: &str, size: i64, patience: Duration) -> Option<Arc<Rendered>> {
        let answer = self.answer(key)?;
        let age = self.0.clock.now() - answer.finished_at;
        let is_late = u128::try_from(answer.took).is_ok_and(|took| took > patience.as_micros());
        let is_shown = answer.size == size || is_late && age < LATE_SECONDS * SECOND;
        is_shown.then_some(answer.rendered)
    }

    fn answer(&self, key: &str) -> Option<Answer> {
        let mut kept = self.kept();
        kept.used += 1;
        let used = kept.used;
        let entry = kept.entries.get_mut(key)?;
        entry.used = used;
        entry.answer.clone()
    }

    /// Takes the failure of a work that has ended, so that it is told once.
    fn failure(&self, key: &str) -> Option<(ErrorKind, String)> {
        let mut kept = self.kept();
        let entry = kept.entries.get_mut(key)?;
        let failure = entry.work.as_ref()?.failure.clone()?;
        entry.work = None;
        if entry.answer.is_none() {
            kept.entries.remove(key);
        }
        Some(failure)
    }

    /// The work of `key` that is on, or the one that begins now.
    fn running_or<F>(&self, key: &str, size: i64, work: F) -> Work
    where
        F: Future<Output = Result<Rendered>> + Send + 'static,
    {
        let mut kept = self.kept();
        kept.used += 1;
        let used = kept.used;
        let entry = kept.entries.entry(key.to_owned()).or_insert(Entry { answer: None, work: None, used });
        entry.used = used;
        if let Some(running) = &entry.work {
            return running.clone();
        }
        let (ends, ended) = watch::channel(false);
        let step = Arc::new(Mutex::new("waiting for other work".to_owned()));
        let begun = Work { since: self.0.clock.now(), step: step.clone(), ended, failure: None };
        entry.work = Some(begun.clone());
        drop(kept);
        let (pages, key) = (self.clone(), key.to_owned());
        tokio::spawn(async move {
            let ending = Ending { pages: pages.clone(), key: key.clone(), step: step.clone(), ends };
            let _place = pages.0.places.acquire().await;
            "computing".clone_into(&mut lock(&step));
            let outcome = STEP.scope(step, work).await;
            pages.finish(&key, size, outcome);
            drop(ending);
        });
        begun
    }

    /// Notes how the work of `key` ended, and makes room.
    fn finish(&self, key: &str, size: i64, outcome: Result<Rendered>) {
        let now = self.0.clock.now();
        let mut kept = self.kept();
        let Some(entry) = kept.entries.get_mut(key) else { return };
        let since = entry.work.as_ref().map_or(now, |work| work.since);
        match outcome {
            Ok(rendered) => {
                let rendered = Arc::new(rendered);
                let added = bytes_of(key, &rendered);
                let answer = Answer { size, rendered, finished_at: now, took: now - since };
                let before = entry.answer.replace(answer).map_or(0, |old| bytes_of(key, &old.rendered));
                entry.work = None;
                kept.bytes = kept.bytes + added - before;
                kept.make_room(self.0.bound, key);
            }
            Err(e) => {
                if let Some(work) = &mut entry.work {
                    work.failure = Some((problem::kind(&e), e.to_string()));
                }
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0.kept)
    }
}

impl Kept {
    /// Drops the answers that were not looked at longest until the others fit; `newest` stays whatever it takes.
    fn make_room(&mut self, bound: usize, newest: &str) {
        while self.bytes > bound {
            let others = self.entries.iter().filter(|(key, entry)| *key != newest && entry.answer.is_some());
            let Some(oldest) = others.min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone()) else { return };
            let Some(entry) = self.entries.get_mut(&oldest) else { return };
            let freed = entry.answer.take().map_or(0, |answer| bytes_of(&oldest, &answer.rendered));
            self.bytes -= freed.min(self.bytes);
            if entry.work.is_none() {
                self.entries.remove(&oldest);
            }
        }
    }
}

/// Tells who waits that a work has ended, also where it died.
struct Ending {
    pages: Pages,
    key: String,
    /// That of this work: another one of the same key may have begun by now.
    step: Arc<Mutex<String>>,
    ends: watch::Sender<bool>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut kept = self.pages.kept();
        if let Some(entry) = kept.entries.get_mut(&self.key)
            && let Some(work) = &mut entry.work
            && Arc::ptr_eq(&work.step, &self.step)
            && work.failure.is_none()
        {
            work.failure = Some((ErrorKind::Internal, "the work died by a defect".to_owned()));
        }
        drop(kept);
        let _ = self.ends.send(true);
    }
}

fn bytes_of(key: &str, rendered: &Rendered) -> usize {
    key.len() + rendered.body.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn pages(bound: usize) -> Pages {
        Pages::within(bound, Clock::system(), Arc::default())
    }

    async fn rendered(text: &'static str) -> Result<Rendered> {
        Ok(Rendered { content_type: "text/plain", body: Bytes::from_static(text.as_bytes()) })
    }

    async fn dying() -> Result<Rendered> {
        panic!("a planted defect")
    }

    fn text(look: Look) -> String {
        match look {
            Look::Ready(rendered) => String::from_utf8(rendered.body.to_vec()).unwrap(),
            Look::Working(progress) => progress.step,
        }
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_waits_for_one_work_and_a_grown_ledger_asks_again() {
        let (pages, runs) = (pages(1 << 20), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let runs = runs.clone();
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                rendered("page").await
            }
        };
        let looks = (0..20).map(|_| pages.look("a".to_owned(), 7, LONG, work()));
        for look in futures::future::join_all(looks).await {
            assert_eq!(text(look.unwrap()), "page");
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        pages.look("a".to_owned(), 8, LONG, work()).await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_has_no_patience_is_told_what_runs_and_finds_the_answer_later() {
        let pages = pages(1 << 20);
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            step("reading actions");
            let _ = wait.await;
            rendered("page").await
        };
        let first = pages.look("a".to_owned(), 1, Duration::from_millis(20), work).await.unwrap();
        assert_eq!(text(first), "reading actions");
        go.send(()).unwrap();
        // Grown meanwhile: who comes back sees what he waited for.
        assert_eq!(text(pages.look("a".to_owned(), 2, LONG, rendered("other")).await.unwrap()), "page");
        let late = pages.look("a".to_owned(), 3, Duration::ZERO, rendered("other")).await.unwrap();
        assert_eq!(text(late), "page");
    }

    #[tokio::test]
    async fn a_failure_is_told_once_and_tried_again() {
        let pages = pages(1 << 20);
        let failing = async { Err(Error::unavailable("the disk is away")) };
        let err = pages.look("a".to_owned(), 1, LONG, failing).await.unwrap_err();
        assert_eq!((err.kind(), err.message()), (ErrorKind::Unavailable, "the disk is away"));
        assert_eq!(text(pages.look("a".to_owned(), 1, LONG, rendered("page")).await.unwrap()), "page");
        let lost = async { Err(Error::not_found("cannot read x").because(std::io::Error::other("gone"))) };
        let err = pages.look("c".to_owned(), 1, LONG, lost).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Unavailable, "the store lacks it, not who asks");
        let err = pages.look("b".to_owned(), 1, LONG, dying()).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Internal);
    }

    #[tokio::test]
    async fn what_was_not_looked_at_longest_leaves_first() {
        let pages = pages(2 * (ENTRY_BYTES + 5));
        for key in ["a", "b", "a", "c"] {
            pages.look(key.to_owned(), 1, LONG, rendered("page")).await.unwrap();
        }
        let found: Vec<bool> = ["a", "b", "c"].map(|key| pages.answer(key).is_some()).to_vec();
        assert_eq!(found, [true, false, true]);
        assert!(pages.kept().bytes <= 2 * (ENTRY_BYTES + 5));
    }
}
