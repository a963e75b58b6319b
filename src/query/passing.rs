//! Operators that pass rows on: what happens on the way is that texts are condensed, or that the thread is given back.
//!
//! In: batches. Out: the same rows in the same order. Invariant: whoever looks at the plan sees the properties of what
//! lies below. A task is asked whether it is to end, and its thread can do something else, only when it gives the thread
//! back; DataFusion's own operators do so after so many batches, however long each of them took.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use futures::{Stream, StreamExt};

use super::condensed::condense;

/// How long a task may go on before it gives its thread back.
const SLICE: Duration = Duration::from_millis(10);

/// What happens to rows on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// Their texts are condensed.
    Condensed,
    /// They wait where their task has had its slice of time.
    Sliced,
}

/// The operator.
#[derive(Debug)]
pub(super) struct PassingExec {
    input: Arc<dyn ExecutionPlan>,
    passing: Passing,
}

impl PassingExec {
    /// Passes the rows of `input` on.
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, passing: Passing) -> Self {
        Self { input, passing }
    }
}

impl DisplayAs for PassingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for PassingExec {
    fn name(&self) -> &str {
        match self.passing {
            Passing::Condensed => "Condensed",
            Passing::Sliced => "Sliced",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.passing))),
            _ => internal_err!("{} has one input", self.name()),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(match self.passing {
            Passing::Condensed => {
                let rows = rows.map(|batch| batch.and_then(|batch| condense(&batch)));
                Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows))
            }
            Passing::Sliced => Box::pin(RecordBatchStreamAdapter::new(self.schema(), Slices { rows, since: None })),
        })
    }
}

/// Rows that wait a moment where their task has been at work for longer than [`SLICE`].
struct Slices {
    rows: SendableRecordBatchStream,
    /// Since when the task has not given its thread back, as far as these rows have seen.
    since: Option<Instant>,
}

impl Stream for Slices {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.since.get_or_insert_with(Instant::now).elapsed() > SLICE {
            self.since = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.rows.poll_next_unpin(cx);
        if next.is_pending() {
            self.since = None;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use futures::stream;

    use super::*;

    #[test]
    fn rows_of_a_task_that_has_had_its_slice_wait_once_and_then_come() {
        let schema = Arc::new(Schema::empty());
        let batches = [0, 1].map(|_| Ok(RecordBatch::new_empty(schema.clone())));
        let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)));
        let long_ago = Instant::now().checked_sub(SLICE * 2).unwrap();
        let mut rows = Slices { rows, since: Some(long_ago) };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(rows.poll_next_unpin(&mut cx).is_pending());
        assert!(matches!(rows.poll_next_unpin(&mut cx), Poll::Ready(Some(Ok(_)))));
        rows.since = Some(long_ago);
        assert!(rows.poll_next_unpin(&mut cx).is_pending());
        assert!(matches!(rows.poll_next_unpin(&mut cx), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(rows.poll_next_unpin(&mut cx), Poll::Ready(None)));
    }
}
