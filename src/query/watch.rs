//! The end of a query, as its operators see it.
//!
//! In: a physical plan. Out: the same plan, in which the conditions of joins ask whether the query is over before they
//! are judged. Invariant: nothing changes while the query runs. A join can compare all pairs of two large sides without
//! giving a row, and without giving its thread back: it would go on long after whoever asked has left.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

use crate::error::Error;

/// Whether a query is over.
#[derive(Debug, Default)]
pub(super) struct Watch {
    is_over: AtomicBool,
}

impl Watch {
    /// Ends the query: what is at work on it stops soon.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        if self.is_over.load(Ordering::Relaxed) {
            // Not the kind of a lack of memory, after which a query begins again.
            return Err(DataFusionError::External(Box::new(Error::unavailable("the query is over"))));
        }
        Ok(())
    }
}

/// `plan` with joins that stop when `watch` says so.
///
/// # Errors
/// Never for a plan that could be made.
pub(super) fn watched(plan: Arc<dyn ExecutionPlan>, watch: &Arc<Watch>) -> Result<Arc<dyn ExecutionPlan>> {
    let over = |filter: &JoinFilter| {
        let condition = Watched { inner: filter.expression().clone(), watch: watch.clone() };
        Some(JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), filter.schema().clone()))
    };
    plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(over(filter)).build()?;
            return Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>));
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            let join = HashJoinExecBuilder::from(join).with_filter(over(filter)).build()?;
            return Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>));
        }
        Ok(Transformed::no(node))
    })
    .data()
}

/// A condition that fails once the query is over.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn PhysicalExpr>,
    watch: Arc<Watch>,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.inner.as_ref() == other.inner.as_ref() && Arc::ptr_eq(&self.watch, &other.watch)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.watch.check()?;
        self.inner.evaluate(batch)
    }

    fn evaluate_selection(&self, batch: &RecordBatch, selection: &BooleanArray) -> Result<ColumnarValue> {
        self.watch.check()?;
        self.inner.evaluate_selection(batch, selection)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(inner), true) => Ok(Arc::new(Self { inner, watch: self.watch.clone() })),
            _ => internal_err!("a watched condition has one part"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::lit;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn a_condition_is_judged_until_the_query_is_over() {
        let watch = Arc::new(Watch::default());
        let condition = Watched { inner: lit(true), watch: watch.clone() };
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        assert!(condition.evaluate(&batch).is_ok());
        watch.end();
        assert!(condition.evaluate(&batch).is_err());
        assert!(condition.evaluate_selection(&batch, &BooleanArray::from(vec![true, false])).is_err());
    }

    #[tokio::test]
    async fn joins_with_a_condition_stop_and_their_plans_look_the_same() {
        let context = SessionContext::new();
        for sql in [
            "select a.x from (values (1), (2)) as a (x) join (values (2), (3)) as b (y) on a.x * b.y + 1 > 3",
            "select a.x from (values (1), (2)) as a (x) join (values (2), (3)) as b (y) on a.x = b.y and a.x + b.y > a.x * b.y - 9",
        ] {
            for is_over in [false, true] {
                let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
                let shown = displayable(plan.as_ref()).indent(false).to_string();
                let watch = Arc::new(Watch::default());
                let plan = watched(plan, &watch).unwrap();
                assert_eq!(displayable(plan.as_ref()).indent(false).to_string(), shown);
                if is_over {
                    watch.end();
                }
                let ran = collect(plan, context.task_ctx()).await;
                assert_eq!(ran.is_err_and(|err| err.to_string().contains("the query is over")), is_over, "{sql}");
            }
        }
    }
}
