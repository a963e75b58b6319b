//! The result of a query, whole or as it comes.
//!
//! In: a physical plan and bounds. Out: record batches. Invariant: no more rows than asked for, no later than
//! the deadline; what was left out is stated. Dropping the stream ends the query; a panic in it is an error
//! of this query alone.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::failure;
use super::judgement::Judgement;
use super::runtime::{Guest, QueryRuntime, give_memory_back};
use super::spill::spilling;
use super::types::ValueType;
use super::watch::{Watch, watched};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{QUERY_END_SECONDS, QUERY_ROWS, QUERY_SECONDS};

/// Bytes of an answer that is held in memory as a whole; larger ones are streamed.
pub const ANSWER_BYTES: usize = 512 * 1024 * 1024;
/// Batches made ahead of the reader.
const BATCHES_AHEAD: usize = 2;

/// Bounds of one query.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of the answer.
    pub rows: usize,
    /// Seconds from asking to the last row.
    pub seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: QUERY_ROWS, seconds: QUERY_SECONDS }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether rows were left out because of the row limit.
    pub is_truncated: bool,
    /// Of a control: its items by result.
    pub judgement: Option<Judgement>,
}

impl Answer {
    /// Names of the columns.
    pub fn columns(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// Types of the columns as headers name them; `None` for a type that has no such name.
    pub fn types(&self) -> Vec<Option<ValueType>> {
        self.schema.fields().iter().map(|field| ValueType::of(field.data_type())).collect()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// When a query must be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    seconds: u64,
}

impl Deadline {
    /// `seconds` from now. This is the timer of the runtime, not a reading of the time that enters a result.
    pub(super) fn within(seconds: u64) -> Self {
        Self { at: Instant::now() + Duration::from_secs(seconds), seconds }
    }

    /// `work`, or a refusal when it is not done in time.
    pub(super) async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::time::timeout_at(self.at, work).await.map_err(|_| {
            Error::limit(format!("the query ran longer than {} s; ask for less or for a shorter period", self.seconds))
        })
    }
}

/// What gives an answer.
pub(super) struct Work {
    /// The plan that is run.
    pub(super) physical: Arc<dyn ExecutionPlan>,
    pub(super) state: Arc<SessionState>,
    /// What is planned anew where memory does not suffice for `physical`.
    pub(super) again: Option<LogicalPlan>,
    /// Told when nobody waits for an answer any more.
    pub(super) watch: Arc<Watch>,
}

impl Work {
    /// The work that `plan` is, which is planned anew where memory does not suffice.
    ///
    /// # Errors
    /// When there is no physical plan of it.
    pub(super) async fn planned(state: Arc<SessionState>, plan: LogicalPlan) -> Result<Self> {
        let watch = Arc::new(Watch::default());
        let physical = state.create_physical_plan(&plan).await.map_err(failure::error)?;
        let physical = watched(physical, &watch).map_err(failure::error)?;
        Ok(Self { physical, state, again: Some(plan), watch })
    }

    /// The rows, and the first of them: a plan that lacks memory fails before it gives any.
    async fn begin(self) -> Result<(Option<RecordBatch>, SendableRecordBatchStream)> {
        let started = first(self.physical, &self.state).await;
        let (Err(lack), Some(again)) = (&started, self.again) else { return started };
        if lack.kind() != ErrorKind::Limit {
            return started;
        }
        let (state, watch) = (self.state.clone(), self.watch.clone());
        let plan = async move { watched(spilling(&state, &again).await?, &watch).map_err(failure::error) };
        let plan = QueryRuntime::on_deep_stack(tokio::runtime::Handle::current(), plan).await?;
        first(plan, &self.state).await
    }
}

async fn first(
    plan: Arc<dyn ExecutionPlan>,
    state: &SessionState,
) -> Result<(Option<RecordBatch>, SendableRecordBatchStream)> {
    let mut rows = execute_stream(plan, state.task_ctx()).map_err(failure::running)?;
    let batch = rows.next().await.transpose().map_err(failure::running)?;
    Ok((batch, rows))
}

/// An answer as it comes.
#[derive(Debug)]
pub struct AnswerStream {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    task: JoinHandle<()>,
    rows_left: usize,
    is_truncated: bool,
    is_done: bool,
    deadline: Deadline,
    judgement: Option<Judgement>,
    watch: Arc<Watch>,
    guest: Option<Guest>,
}

impl AnswerStream {
    /// Starts `work` on `handle`, which belongs to `guest` if there is one.
    pub(super) fn start(
        handle: &tokio::runtime::Handle,
        work: Work,
        bounds: (usize, Deadline),
        guest: Option<Guest>,
    ) -> Self {
        let (send, batches) = mpsc::channel(BATCHES_AHEAD);
        let (schema, watch) = (work.physical.schema(), work.watch.clone());
        let task = handle.spawn(async move {
            let (mut batch, mut rows) = match work.begin().await {
                Ok((batch, rows)) => (batch.map(Ok), rows),
                Err(err) => return drop(send.send(Err(err)).await),
            };
            while let Some(next) = batch {
                // Nobody listens any more: the query ends here.
                if send.send(next).await.is_err() {
                    break;
                }
                batch = rows.next().await.map(|batch| batch.map_err(failure::running));
            }
            drop(rows);
            tokio::task::spawn_blocking(give_memory_back);
        });
        let (rows_left, deadline) = bounds;
        Self {
            schema,
            batches,
            task,
            rows_left,
            is_truncated: false,
            is_done: false,
            deadline,
            judgement: None,
            watch,
            guest,
        }
    }

    /// The same rows as those of a control: they are counted by result, and only the violations are given.
    pub(super) fn judged(mut self) -> Self {
        self.judgement = Some(Judgement::default());
        self
    }

    /// The counts of a control; whole once [`AnswerStream::next`] has given `None`.
    pub fn judgement(&self) -> Option<Judgement> {
        self.judgement
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether rows were left out; known once [`AnswerStream::next`] has given `None`.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The next rows, `None` at the end.
    ///
    /// # Errors
    /// When the query fails or meets a bound; the stream is at its end then.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while !self.is_done {
            let next = self.deadline.hold(self.batches.recv()).await;
            let batch = match next {
                Ok(Some(Ok(batch))) => match &mut self.judgement {
                    Some(judgement) => judgement.take(&batch)?,
                    None => batch,
                },
                Ok(None) => {
                    self.is_done = true;
                    return self.check_end().await.map(|()| None);
                }
                Ok(Some(Err(err))) | Err(err) => {
                    self.end();
                    self.leave().await;
                    return Err(err);
                }
            };
            if batch.num_rows() > self.rows_left {
                self.is_truncated = true;
                let kept = batch.slice(0, self.rows_left);
                self.rows_left = 0;
                // A control counts on to its last item.
                match self.judgement {
                    None => self.end(),
                    Some(_) if kept.num_rows() == 0 => continue,
                    Some(_) => {}
                }
                return Ok((kept.num_rows() > 0).then_some(kept));
            }
            if batch.num_rows() > 0 {
                self.rows_left -= batch.num_rows();
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// All rows.
    ///
    /// # Errors
    /// As [`AnswerStream::next`], and when the answer exceeds [`ANSWER_BYTES`].
    pub async fn collect(mut self) -> Result<Answer> {
        let mut batches = Vec::new();
        let mut bytes = 0usize;
        while let Some(batch) = self.next().await? {
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if bytes > ANSWER_BYTES {
                let mib = ANSWER_BYTES / (1024 * 1024);
                return Err(Error::limit(format!(
                    "the answer is larger than {mib} MiB; ask for fewer rows or columns"
                )));
            }
            batches.push(batch);
        }
        let (schema, judgement) = (self.schema(), self.judgement);
        Ok(Answer { schema, batches, is_truncated: self.is_truncated, judgement })
    }

    fn end(&mut self) {
        self.is_done = true;
        self.watch.end();
        self.task.abort();
        self.batches.close();
    }

    /// Waits until the threads of a stranger's query have ended: whoever is told that there was too little memory may ask
    /// for less at once, and must not find it taken by what was ended.
    async fn leave(&mut self) {
        if let Some(mut guest) = self.guest.take() {
            let _ = tokio::time::timeout(Duration::from_secs(QUERY_END_SECONDS), guest.end()).await;
        }
    }

    /// Tells an orderly end from a panic, which closes the channel as well.
    async fn check_end(&mut self) -> Result<()> {
        match (&mut self.task).await {
            Err(end) if end.is_panic() => Err(Error::internal("the query failed by a defect")),
            _ => Ok(()),
        }
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        self.watch.end();
        self.task.abort();
    }
}
