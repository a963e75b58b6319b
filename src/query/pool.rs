//! The memory that all queries share.
//!
//! In: what operators ask for. Out: memory, or a refusal that says how much there is. Invariant: a nested loop join
//! that cannot hold its side is over. Left to itself it would run its input once more and spill it; but files are handed
//! out once and exchanges give their rows once, so that rows would be missing from the answer, or the thread would die.

use std::fmt;
use std::num::NonZeroUsize;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};

use super::failure;
use crate::error::Error;

/// Consumers that the pool names when memory runs out.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN;
/// How the consumer is called with which such a join holds its side.
const HELD_BY_LOOP: &str = "NestedLoopJoinLoad";

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    held: TrackConsumersPool<FairSpillPool>,
    bytes: usize,
}

impl Pool {
    /// A pool of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self { held: TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS), bytes }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.held, f)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.held.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.held.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.held.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.held.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.held.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let is_held_by_loop = reservation.consumer().name().starts_with(HELD_BY_LOOP);
        self.held.try_grow(reservation, additional).map_err(|lack| match lack {
            // The join begins again only after a lack of DataFusion's own class.
            DataFusionError::ResourcesExhausted(_) if is_held_by_loop => {
                DataFusionError::External(Box::new(Error::limit(failure::no_memory(self.bytes))))
            }
            DataFusionError::ResourcesExhausted(_) => {
                DataFusionError::ResourcesExhausted(failure::no_memory(self.bytes))
            }
            lack => lack,
        })
    }

    fn reserved(&self) -> usize {
        self.held.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.held.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn only_a_nested_loop_join_is_refused_for_good() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(3 * 1024 * 1024));
        let refused = |name: &str| {
            let reservation = MemoryConsumer::new(name).register(&pool);
            reservation.try_grow(2 * 1024 * 1024).unwrap();
            reservation.try_grow(2 * 1024 * 1024).unwrap_err()
        };
        let lack = refused("NestedLoopJoinLoad[1]");
        assert!(!matches!(lack.find_root(), DataFusionError::ResourcesExhausted(_)), "{lack}");
        let err = failure::error(lack.context("somewhere"));
        assert_eq!(err.kind(), ErrorKind::Limit);
        assert!(err.to_string().contains("more memory than it may use (all queries: 3 MiB)"), "{err}");
        let lack = refused("HashJoinInput[0]");
        assert!(matches!(lack.find_root(), DataFusionError::ResourcesExhausted(_)));
        assert_eq!(failure::error(lack).to_string(), err.to_string());
        assert_eq!(pool.reserved(), 0, "what was held is given back");
    }
}
