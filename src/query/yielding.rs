//! An optimizer rule: operators that make many rows of few let themselves be interrupted, and hold no more than needed.
//!
//! In: a finished physical plan. Out: the same plan with every leaf, join and unnest wrapped so that it gives the thread
//! back now and then, by time and by batches, and every join that holds a side so that its rows do not hold it, too.
//! Invariant: a query that was dropped or ran out of time ends at the next batch of any of them. DataFusion wraps leaves
//! and exchanges only, and counts batches: a join whose inputs are in memory runs to its end without ever being asked.
//! What a join does between two batches is watched by `query::watch`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::unnest::UnnestExec;

use super::passing::{Passing, PassingExec};

/// The rule; it belongs behind all others.
#[derive(Debug)]
pub struct Yielding;

fn passing(node: Arc<dyn ExecutionPlan>, passing: Passing) -> Arc<dyn ExecutionPlan> {
    Arc::new(PassingExec::new(node, passing))
}

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
            if node.children().is_empty() {
                return Ok(Transformed::yes(passing(node, Passing::Sliced)));
            }
            if !multiplies(node.as_ref()) {
                return Ok(Transformed::no(node));
            }
            let is_holding = node.downcast_ref::<HashJoinExec>().is_some();
            let node = passing(Arc::new(CooperativeExec::new(node)), Passing::Sliced);
            Ok(Transformed::yes(if is_holding { passing(node, Passing::Condensed) } else { node }))
        })
        .data()
    }
}
