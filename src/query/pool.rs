//! The memory that all queries share.
//!
//! In: what operators ask for. Out: memory, or a refusal. Invariant: a nested loop join that cannot hold its side is
//! over. Left to itself it would run its input once more and spill it; but files are handed out once and exchanges give
//! their rows once, so that rows would be missing from the answer, or the thread would die.

use std::fmt;
use std::num::NonZeroUsize;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};

use super::failure;

/// Consumers that the pool names when memory runs out.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN;
/// How the consumer is called with which such a join holds its side.
const HELD_BY_LOOP: &str = "NestedLoopJoinLoad";

/// The pool.
#[derive(Debug)]
pub(super) struct Pool(TrackConsumersPool<FairSpillPool>);

impl Pool {
    /// A pool of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS))
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.0.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.0.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.0.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.0.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let is_held_by_loop = reservation.consumer().name().starts_with(HELD_BY_LOOP);
        self.0.try_grow(reservation, additional).map_err(|lack| match lack {
            // The join begins again only after a lack of DataFusion's own class.
            DataFusionError::ResourcesExhausted(text) if is_held_by_loop => {
                DataFusionError::External(Box::new(failure::exhausted(&text)))
            }
            lack => lack,
        })
    }

    fn reserved(&self) -> usize {
        self.0.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.0.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn only_a_nested_loop_join_is_refused_for_good() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1_000));
        let refused = |name: &str| {
            let reservation = MemoryConsumer::new(name).register(&pool);
            reservation.try_grow(900).unwrap();
            reservation.try_grow(200).unwrap_err()
        };
        let lack = refused("NestedLoopJoinLoad[1]");
        assert!(!matches!(lack.find_root(), DataFusionError::ResourcesExhausted(_)), "{lack}");
        let err = failure::error(lack.context("somewhere"));
        assert_eq!(err.kind(), ErrorKind::Limit);
        assert!(err.to_string().contains("more memory than it may use"), "{err}");
        assert!(matches!(refused("HashJoinInput[0]").find_root(), DataFusionError::ResourcesExhausted(_)));
        assert_eq!(pool.reserved(), 0, "what was held is given back");
    }
}
