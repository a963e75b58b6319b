//! The way out when memory does not suffice: the same question with joins that sort.
//!
//! A hash join holds one of its sides in memory; a join of sorted sides spills, and is slower where memory suffices.
//! So the former is tried first.

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::failure;
use crate::error::Result;

/// Bytes that a sort keeps free for merging what it spilled.
const SORT_RESERVATION_BYTES: usize = 2 * 1024 * 1024;

/// The plan of `plan` with joins that can spill.
///
/// # Errors
/// When there is no such plan.
pub(super) async fn spilling(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let mut state = state.clone();
    let options = state.config_mut().options_mut();
    options.optimizer.prefer_hash_join = false;
    // Each sort has its share of the memory: few of them, that set little aside, get along with what there is.
    options.execution.target_partitions = 1;
    options.execution.sort_spill_reservation_bytes = SORT_RESERVATION_BYTES;
    state.create_physical_plan(plan).await.map_err(failure::error)
}
