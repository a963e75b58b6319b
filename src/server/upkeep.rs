//! Upkeep of one tenant beside its requests: fold, compaction, projection, vacuum.
//!
//! In: what the appender has put. Out: a store that readers find quickly. Invariants: one piece of upkeep runs at a time;
//! a failure is counted, told on standard error and tried again; what is acknowledged never waits for it. Evidence that
//! is held stays, also from vacuum.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
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
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Begins the upkeep of `store`, which `shared`'s appender writes to.
    pub(super) fn start(store: &Store, shared: Arc<Shared>, metrics: Arc<Metrics>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let work = Work { store: store.share(), shared, metrics, vacuum_at: Instant::now() };
        let runtime = Handle::current();
        // On a thread of its own: between two reads it sorts and compares for long, and requests must not wait for that.
        let task = tokio::task::spawn_blocking(move || runtime.block_on(work.run(stopped)));
        Self { stop, task: Mutex::new(Some(task)) }
    }

    /// Ends it; returns when what was begun is done.
    pub(super) async fn stop(&self) {
        let _ = self.stop.send(true);
        let task = lock(&self.task).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

struct Work {
    store: Store,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    vacuum_at: Instant,
}

impl Work {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let is_asked = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = self.shared.fold.notified() => true,
                () = tokio::time::sleep(Duration::from_secs(UPKEEP_SECONDS)) => false,
            };
            let outcome = match self.fold(is_asked).await {
                // What is cut off here is begun anew another time, as after a crash; the end of a server waits for less.
                Ok(true) => tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    outcome = self.tidy() => outcome,
                },
                outcome => outcome.map(|_| ()),
            };
            if let Err(e) = outcome {
                self.metrics.upkeep_failed();
                log::failure("upkeep", &e);
            }
        }
    }

    /// Folds the journal where that is due; whether it was.
    async fn fold(&self, is_asked: bool) -> Result<bool> {
        if !is_asked && !self.store.is_fold_due().await? {
            return Ok(false);
        }
        self.shared.folds();
        let folded = self.store.fold().await?;
        self.shared.folded();
        self.metrics.folded(folded.events);
        Ok(true)
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
