//! Threads for upkeep: what nobody waits for gives way to what somebody waits for.
//!
//! In: work beside the requests of a server. Out: a place to run it. A fold sorts and compresses for seconds; on the
//! threads of the requests, or beside them at the same priority, it would be felt in the slowest answers. Invariant: all
//! threads of this runtime, those for blocking work too, have a lower priority than the others of the process where the
//! system gives each thread its own (Linux); elsewhere the same.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// Threads beside those for blocking work: a merge of files computes between its reads, and folds must not wait for that.
const WORKERS: usize = 2;

/// A runtime of its own for upkeep; what runs there is left alone when this is dropped.
#[derive(Debug)]
pub(super) struct Background(Option<Runtime>);

impl Background {
    /// Starts its threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("upkeep")
            .on_thread_start(give_way)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| Error::unavailable("cannot start the threads for upkeep").because(e))?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Requests may be answered on the thread that drops it: it must not wait here.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of the thread that calls.
#[cfg(target_os = "linux")]
fn give_way() {
    /// A third of the processor time of a thread that wants as much.
    const NICENESS: libc::c_int = 5;
    // SAFETY: the call takes numbers only. On Linux, 0 is the calling thread; where it fails, the priority stays as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    fn niceness() -> libc::c_int {
        // SAFETY: as above.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_threads_give_way_and_no_other() {
        let before = niceness();
        let background = Background::start().unwrap();
        let told = background.handle().spawn(async {
            let blocking = tokio::task::spawn_blocking(niceness).await.unwrap();
            (niceness(), blocking)
        });
        let expected = (before + 5).min(19);
        let (worker, blocking) = told.await.unwrap();
        // A process that was started with less than the usual priority may be there already.
        assert!(worker >= expected.min(5) && blocking == worker, "{worker} {blocking}");
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn it_may_be_dropped_while_requests_are_answered() {
        let background = Background::start().unwrap();
        let task = background.handle().spawn(std::future::pending::<()>());
        drop(background);
        assert!(task.await.is_err());
    }
}
