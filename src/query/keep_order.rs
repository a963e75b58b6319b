//! An optimizer rule: a scan that promises an order keeps it.
//!
//! In: a finished physical plan. Out: the same plan, in which every file scan with a declared output ordering
//! reads its files in that order. Invariant: no plan relies on an order that a scan may break. DataFusion
//! 55.2 drops the requirement when it pushes the limit of a sort-preserving merge into a scan, and then
//! returns wrong rows (apache/datafusion#24272); this file can go when that is fixed.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// The rule; it belongs behind all others.
#[derive(Debug)]
pub struct KeepOrder;

impl PhysicalOptimizerRule for KeepOrder {
    fn name(&self) -> &str {
        "keep_order"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
            let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else {
                return Ok(Transformed::no(node));
            };
            if config.preserve_order || config.output_ordering.is_empty() {
                return Ok(Transformed::no(node));
            }
            let config = FileScanConfigBuilder::from(config.clone()).with_preserve_order(true).build();
            Ok(Transformed::yes(Arc::new(scan.clone().with_data_source(Arc::new(config))) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }
}
