//! Upkeep of one tenant beside its requests: fold, compaction, projection, vacuum.
//!
//! In: what the appender has put. Out: a store that readers find quickly. Invariants: folds wait for nothing but each
//! other, for what is not folded is held in memory; whatever else is to be done runs beside them, one piece at a time; a
//! failure is counted, told on standard error and tried again; what is acknowledged never waits for it. Evidence that is
//! held stays, also from vacuum.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::append::Shared;
use super::metrics::Metrics;
use super::{lock, log};
use crate::custody::hold;
use crate::error::{Error, Result};
use crate::limits::{UPKEEP_SECONDS, VACUUM_SECONDS};
use crate::store::Store;
use crate::store::compact::Due;
use crate::store::projection::Lag;

/// The upkeep of a store, at work until [`stop`](Self::stop).
#[derive(Debug)]
pub(super) struct Upkeep {
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Upkeep {
    /// Begins the upkeep of `store`, which `shared`'s appender writes to, on the threads of `place`.
    pub(super) fn start(store: &Store, shared: Arc<Shared>, metrics: Arc<Metrics>, place: &Handle) -> Self {
        let (stop, stopped) = watch::channel(false);
        let folded: Arc<Notify> = Arc::default();
        let folds = Folds { store: store.share(), shared, metrics: metrics.clone(), folded: folded.clone() };
        let tidying = Tidying { store: store.share(), metrics, folded, vacuum_at: Instant::now() };
        let tasks = vec![place.spawn(folds.run(stopped.clone())), place.spawn(tidying.run(stopped))];
        Self { stop, tasks: Mutex::new(tasks) }
    }

    /// Ends it; returns when what was begun is done.
    pub(super) async fn stop(&self) {
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            let _ = task.await;
        }
    }
}

/// Makes files of the journal.
struct Folds {
    store: Store,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    /// Wakes who tidies up.
    folded: Arc<Notify>,
}

impl Folds {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            let is_asked = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = self.shared.fold.notified() => true,
                () = tokio::time::sleep(Duration::from_secs(UPKEEP_SECONDS)) => false,
            };
            match self.fold(is_asked).await {
                Ok(true) => self.folded.notify_one(),
                Ok(false) => {}
                Err(e) => failed(&self.metrics, &e),
            }
        }
    }

    /// Folds the journal where that is due; whether it was.
    async fn fold(&self, is_asked: bool) -> Result<bool> {
        // Where events are kept out for what is not folded, a fold finds out whether it still is: it may have failed
        // here, and another process have done it.
        if !is_asked && !self.shared.is_behind() && !self.store.is_fold_due().await? {
            return Ok(false);
        }
        self.shared.folds();
        let end = self.shared.end();
        // What comes in meanwhile is left to the next one: run after, it would be folded in ever smaller steps, each with
        // files and a commit of its own. Nobody asked where it lies long, which another process may have put there: of
        // that no end is known here.
        let folded = if is_asked { self.store.fold_before(end).await } else { self.store.fold().await };
        // A fold that could not be signed, or tidy up behind itself, may have emptied the journal all the same: those who
        // bring events must not wait for what is no longer there.
        if folded.is_ok() || self.store.table().await.is_ok_and(|table| table.size >= end) {
            self.shared.folded();
        }
        self.metrics.folded(folded?.events);
        Ok(true)
    }
}

/// Makes few files of many, and deletes what nobody reads.
struct Tidying {
    store: Store,
    metrics: Arc<Metrics>,
    folded: Arc<Notify>,
    vacuum_at: Instant,
}

impl Tidying {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let folded = self.folded.clone();
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = folded.notified() => {}
            }
            // What is cut off here is begun anew another time, as after a crash; the end of a server waits for less.
            let outcome = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                outcome = self.tidy() => outcome,
            };
            if let Err(e) = outcome {
                failed(&self.metrics, &e);
            }
        }
    }

    /// What keeps a folded table quick to read and its folder small.
    async fn tidy(&mut self) -> Result<()> {
        self.store.compact(Due::Many).await?;
        self.store.project(Lag::Some).await?;
        if self.vacuum_at <= Instant::now() {
            self.vacuum_at = Instant::now() + Duration::from_secs(VACUUM_SECONDS);
            self.vacuum().await?;
        }
        Ok(())
    }

    /// Deletes files that compactions replaced long ago, where no hold is about their months.
    async fn vacuum(&self) -> Result<()> {
        let holds = hold::in_force(&self.store).await?;
        let done = self.store.vacuum(|month| holds.iter().any(|hold| hold.touches(month))).await;
        done.map(|_| ()).map_err(|e| Error::new(e.kind(), "cannot delete replaced data files").because(e))
    }
}

fn failed(metrics: &Metrics, err: &Error) {
    metrics.upkeep_failed();
    log::failure("upkeep", err);
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;
    use crate::clock::Clock;
    use crate::error::ErrorKind;
    use crate::ingest::writer::{Writer, statement};
    use crate::ledger::note::Signer;
    use crate::limits::SERVER_UNFOLDED_BYTES;
    use crate::store::object::Location;

    /// A server whose key had handed over folded all that came and could not sign it. It counted that as not folded, and
    /// refused every event for ever once it was 256 MiB.
    #[tokio::test]
    async fn what_was_folded_and_not_signed_does_not_keep_events_out() {
        let signer = |seed: u8| Signer::new("log", [seed; 32]).unwrap();
        let clock = Clock::simulated(1_775_000_000_000_000, 5);
        let store = Store::create(Location::memory(), "default", clock).await.unwrap().signed_by(Arc::new(signer(1)));
        let state = async || {
            let event = statement(store.clock(), "evidence.queried");
            Writer::new(&store).state(&event).await.unwrap()
        };
        state().await;
        store.hand_over(&signer(2)).await.unwrap();
        let seq = state().await;
        let folds = folds(&store, seq + 1);
        assert!(folds.shared.is_behind());
        assert_eq!(folds.fold(true).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert!(!folds.shared.is_behind());
    }

    /// The folds of a server that put more than it may, as far as it knows, before the place `end`.
    fn folds(store: &Store, end: i64) -> Folds {
        let shared: Arc<Shared> = Arc::default();
        shared.appended(SERVER_UNFOLDED_BYTES + 1, end);
        Folds { store: store.share(), shared, metrics: Arc::default(), folded: Arc::default() }
    }

    #[tokio::test]
    async fn a_fold_that_was_asked_for_leaves_what_came_in_since() {
        let clock = Clock::simulated(1_775_000_000_000_000, 5);
        let store = Store::create(Location::memory(), "default", clock.clone()).await.unwrap();
        let state = async || Writer::new(&store).state(&statement(&clock, "evidence.queried")).await.unwrap();
        let folds = folds(&store, state().await + 1);
        let later = state().await;
        let left =
            async || store.journal().list(0).await.unwrap().iter().map(|entry| entry.first_seq).collect::<Vec<_>>();
        assert!(folds.fold(true).await.unwrap());
        assert_eq!(left().await, [later]);
        // Of what another process left behind, this one knows no end.
        folds.shared.appended(SERVER_UNFOLDED_BYTES + 1, 0);
        assert!(folds.fold(false).await.unwrap());
        assert!(left().await.is_empty());
    }

    #[tokio::test]
    async fn what_another_process_folded_does_not_keep_events_out() {
        let clock = Clock::simulated(1_775_000_000_000_000, 5);
        let folds = folds(&Store::create(Location::memory(), "default", clock).await.unwrap(), 0);
        // A fold failed here, and then there was nothing to fold any more.
        folds.shared.folds();
        assert!(folds.shared.is_behind());
        assert!(folds.fold(false).await.unwrap());
        assert!(!folds.shared.is_behind() && !folds.fold(false).await.unwrap());
    }

    #[tokio::test]
    async fn a_fold_that_failed_counts_as_none_however_little_there_is_to_fold() {
        let (location, clock) = (Location::memory(), Clock::system());
        let store = Store::create(location.clone(), "default", clock.clone()).await.unwrap();
        Writer::new(&store).state(&statement(&clock, "evidence.queried")).await.unwrap();
        let entry = store.journal().list(0).await.unwrap().remove(0);
        location.objects.put(&entry.path, "torn".into()).await.unwrap();
        let folds = folds(&Store::open(location, "default", clock).await.unwrap(), 1);
        assert!(!folds.store.is_fold_due().await.unwrap());
        assert_eq!(folds.fold(true).await.unwrap_err().kind(), ErrorKind::Damaged);
        assert!(folds.shared.is_behind());
    }
}
