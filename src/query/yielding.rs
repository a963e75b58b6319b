//! An optimizer rule: operators that make many rows of few let themselves be interrupted, and hold no more than needed.
//!
//! In: a finished physical plan. Out: the same plan with every join and unnest wrapped so that it gives the
//! thread back now and then, and every join that holds a side so that its rows do not hold it, too. Invariant: a query that was dropped or ran out of time ends at the next batch
//! of any join. DataFusion wraps leaves and exchanges only: a join whose inputs are in memory runs to its end
//! without ever being asked.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::unnest::UnnestExec;

use super::condensed::Condensed;

/// The rule; it belongs behind all others.
#[derive(Debug)]
pub struct Yielding;

fn multiplies(node: &dyn ExecutionPlan) -> bool {
    node.downcast_ref::<CrossJoinExec>().is_some()
        || node.downcast_ref::<HashJoinExec>().is_some()
        || node.downcast_ref::<NestedLoopJoinExec>().is_some()
        || node.downcast_ref::<SortMergeJoinExec>().is_some()
        || node.downcast_ref::<UnnestExec>().is_some()
}

impl PhysicalOptimizerRule for Yielding {
    fn name(&self) -> &str {
        "yielding"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !multiplies(node.as_ref()) {
                return Ok(Transformed::no(node));
            }
            let is_holding = node.downcast_ref::<HashJoinExec>().is_some();
            let node: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
            Ok(Transformed::yes(if is_holding { Arc::new(Condensed::new(node)) } else { node }))
        })
        .data()
    }
}
