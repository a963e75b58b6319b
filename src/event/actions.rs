//! The fold of actions: what has become of each proposed change, from the events that tell of it.
//!
//! In: rows of events, in any order. Out: one row per `action_id` with a production event, sorted by the instant of
//! its proposal. Invariant: equal to the view `actions` in `queries/views/actions.sql`, which is the definition and
//! is compared with this file on random logs. Pure.
//!
//! Three steps, each over whole columns: events are gathered by action in (`occurred_at`, `seq`) order; for each
//! action it is found which event speaks for which phase; then every column takes its values from the events that
//! speak for it. Text is hashed once per event and copied once per action.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use hashbrown::HashMap;

use super::batch::with_own_text;
use super::columns::{Column, stored_schema};
use crate::error::{Error, Result};

/// Which of an action's events a column of the fold is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// The last event that sets the column.
    LastSet,
    /// The first event that sets the column.
    FirstSet,
    /// The first `action.proposed`, else the first event.
    Proposal,
    /// The first event with a decision.
    FirstDecision,
    /// The last decision that is not `escalated`, else the last one.
    FinalDecision,
    /// The first `action.executed`.
    FirstExecution,
    /// The last `action.executed`.
    LastExecution,
    /// The last `action.executed` that succeeded, failed, was partial or unknown.
    LastAttempt,
    /// The last `action.executed` that succeeded.
    LastSuccess,
    /// The last `action.rolled_back`.
    RollBack,
    /// The last `action.labeled`.
    Label,
}

/// Number of single events that speak for a phase: those behind `FirstSet` above.
const PHASES: usize = Speaker::Label as usize - Speaker::FirstSet as usize;

use Speaker::*;

/// Columns taken from one event: name, column of the event, which event.
#[rustfmt::skip]
const TAKEN: &[(&str, Column, Speaker)] = &[
    ("workflow", Column::Workflow, LastSet),
    ("prompt_version", Column::PromptVersion, LastSet),
    ("rule_version", Column::RuleVersion, LastSet),
    ("model_version", Column::ModelVersion, LastSet),
    ("policy_version", Column::PolicyVersion, LastSet),
    ("permission_area", Column::PermissionArea, LastSet),
    ("permission_level", Column::PermissionLevel, LastSet),
    ("system", Column::System, LastSet),
    ("record_type", Column::RecordType, LastSet),
    ("record_id", Column::RecordId, LastSet),
    ("field", Column::Field, LastSet),
    ("segment", Column::Segment, LastSet),
    ("subject_id", Column::SubjectId, LastSet),
    ("operation", Column::Operation, LastSet),
    ("issue_type", Column::IssueType, LastSet),
    ("amount", Column::Amount, LastSet),
    ("currency", Column::Currency, LastSet),
    ("confidence", Column::Confidence, LastSet),
    ("threshold", Column::Threshold, LastSet),
    ("reversibility", Column::Reversibility, LastSet),
    ("rollback_ref", Column::RollbackRef, LastSet),
    ("inputs", Column::Inputs, LastSet),
    ("policy_outcome", Column::PolicyOutcome, LastSet),
    ("trigger", Column::Trigger, FirstSet),
    ("run_id", Column::RunId, FirstSet),
    ("batch_id", Column::BatchId, FirstSet),
    ("cohort_at", Column::OccurredAt, Proposal),
    ("proposal_seq", Column::Seq, Proposal),
    ("proposed_by", Column::ActorId, Proposal),
    ("proposed_by_kind", Column::ActorKind, Proposal),
    ("proposed_reason_code", Column::ReasonCode, Proposal),
    ("proposed_payload_hash", Column::PayloadHash, Proposal),
    ("first_decision", Column::Decision, FirstDecision),
    ("first_decision_at", Column::OccurredAt, FirstDecision),
    ("first_decision_seq", Column::Seq, FirstDecision),
    ("first_decision_reviewer", Column::Reviewer, FirstDecision),
    ("first_decision_reason_code", Column::ReasonCode, FirstDecision),
    ("first_decision_payload_hash", Column::PayloadHash, FirstDecision),
    ("first_decision_review_opened_at", Column::ReviewOpenedAt, FirstDecision),
    ("final_decision", Column::Decision, FinalDecision),
    ("final_decision_at", Column::OccurredAt, FinalDecision),
    ("final_decision_seq", Column::Seq, FinalDecision),
    ("final_decision_reviewer", Column::Reviewer, FinalDecision),
    ("final_decision_reason_code", Column::ReasonCode, FinalDecision),
    ("final_decision_payload_hash", Column::PayloadHash, FinalDecision),
    ("final_decision_review_opened_at", Column::ReviewOpenedAt, FinalDecision),
    ("executed_at", Column::OccurredAt, FirstExecution),
    ("first_execution_seq", Column::Seq, FirstExecution),
    ("last_executed_at", Column::OccurredAt, LastExecution),
    ("executed_by", Column::ActorId, LastExecution),
    ("executed_by_kind", Column::ActorKind, LastExecution),
    ("outcome", Column::Outcome, LastExecution),
    ("error", Column::Error, LastExecution),
    ("old_value", Column::OldValue, LastExecution),
    ("new_value", Column::NewValue, LastExecution),
    ("executed_payload_hash", Column::PayloadHash, LastExecution),
    ("last_attempt_outcome", Column::Outcome, LastAttempt),
    ("last_succeeded_at", Column::OccurredAt, LastSuccess),
    ("last_succeeded_seq", Column::Seq, LastSuccess),
    ("last_succeeded_old_value", Column::OldValue, LastSuccess),
    ("rolled_back_at", Column::OccurredAt, RollBack),
    ("rollback_outcome", Column::Outcome, RollBack),
    ("rolled_back_by", Column::ActorId, RollBack),
    ("rolled_back_by_kind", Column::ActorKind, RollBack),
    ("label", Column::Label, Label),
];

/// Hashes that are nearly always the one of the proposal: then they are null, and `<name>_as_proposed` is true.
pub const AS_PROPOSED: [&str; 3] =
    ["first_decision_payload_hash", "final_decision_payload_hash", "executed_payload_hash"];
const PROPOSED_HASH: &str = "proposed_payload_hash";

/// Columns that are counted or looked for over all events of an action.
const JUDGED: &[(&str, DataType)] = &[
    ("has_proposal", DataType::Boolean),
    ("has_execution", DataType::Boolean),
    ("attempts", DataType::Int64),
    ("any_attempted", DataType::Boolean),
    ("any_executed", DataType::Boolean),
    ("max_attempt", DataType::Int32),
    ("any_rolled_back", DataType::Boolean),
    ("has_human_decision", DataType::Boolean),
    ("first_event_at", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)),
    ("last_event_at", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)),
    ("first_decision_payload_hash_as_proposed", DataType::Boolean),
    ("final_decision_payload_hash_as_proposed", DataType::Boolean),
    ("executed_payload_hash_as_proposed", DataType::Boolean),
];

/// The columns of events that a fold reads.
pub fn event_columns() -> Vec<Column> {
    let mut columns: Vec<Column> = TAKEN.iter().map(|(_, column, _)| *column).collect();
    columns.extend([Column::ActionId, Column::EventType, Column::Environment, Column::Attempt]);
    columns.sort_unstable_by_key(|column| *column as usize);
    columns.dedup();
    columns
}

/// The columns of a fold: `action_id`, then values taken from events, then what was counted. Where the view has
/// an `…_order`, this has the `…_seq` of the event, whose instant stands in the column beside it.
pub fn action_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let stored = stored_schema();
        let of = |name: &str, column: Column| Field::new(name, stored.field(column as usize).data_type().clone(), true);
        let mut fields = vec![of("action_id", Column::ActionId)];
        fields.extend(TAKEN.iter().map(|(name, column, _)| of(name, *column)));
        fields.extend(JUDGED.iter().map(|(name, data_type)| match data_type {
            DataType::Timestamp(..) => of(name, Column::OccurredAt),
            other => Field::new(*name, other.clone(), true),
        }));
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

/// Whether `event_type` is one that a fold reads: anything but the engine's own statements about the evidence.
fn counts(event_type: &str) -> bool {
    !event_type.starts_with("evidence.")
}

/// The columns that say whether a fold reads an event.
pub const READ_BY: [Column; 3] = [Column::ActionId, Column::EventType, Column::Environment];

/// The rows of `events` that a fold reads: production events of an action. Needs the columns [`READ_BY`].
///
/// # Errors
/// When a column is missing or of another type.
pub fn of_actions(events: &RecordBatch) -> Result<BooleanArray> {
    let [action, event_type, environment] = READ_BY.map(|column| text_of(events, column));
    let (action, event_type, environment) = (action?, event_type?, environment?);
    let is_read = |row: usize| {
        action.is_valid(row)
            && environment.is_valid(row)
            && environment.value(row) == "production"
            && event_type.is_valid(row)
            && counts(event_type.value(row))
    };
    Ok((0..events.num_rows()).map(|row| Some(is_read(row))).collect())
}

/// Folds `events`, rows of at least [`event_columns`], into rows of [`action_schema`]: one per action, in
/// (`cohort_at`, `proposal_seq`) order. Rows that are no production event of an action are passed over.
///
/// # Errors
/// When a column is missing or of another type.
pub fn fold(events: &RecordBatch) -> Result<RecordBatch> {
    let view = View::new(events)?;
    let groups = Groups::of(&view, &of_actions(events)?);
    let mut phases: Vec<[u32; PHASES]> = (0..groups.len()).map(|group| view.speakers(groups.rows(group))).collect();
    let order = by_proposal(&view, &phases);
    phases = order.iter().map(|group| phases[*group as usize]).collect();
    let runs: Vec<&[u32]> = order.iter().map(|group| groups.rows(*group as usize)).collect();

    let mut columns: Vec<ArrayRef> = Vec::with_capacity(action_schema().fields().len());
    let firsts = UInt32Array::from_iter_values(runs.iter().map(|rows| rows[0]));
    columns.push(taken(events, Column::ActionId, &firsts)?);
    for (_, column, speaker) in TAKEN {
        let array = column_of(events, *column)?;
        let rows = match speaker {
            LastSet => set_rows(array.as_ref(), &runs, Direction::Backward),
            FirstSet => set_rows(array.as_ref(), &runs, Direction::Forward),
            phase => phases.iter().map(|speakers| some(speakers[*phase as usize - PHASE_BASE])).collect(),
        };
        columns.push(taken(events, *column, &rows)?);
    }
    columns.extend(view.judged(&runs));
    for name in AS_PROPOSED {
        let (hash, is_as_proposed) = beside_proposed(&columns, name)?;
        columns[action_schema().index_of(name).expect("a column of the fold")] = hash;
        columns.push(is_as_proposed);
    }
    RecordBatch::try_new(action_schema(), columns)
        .map_err(|e| Error::internal("the fold of actions does not follow its schema").because(e))
}

/// The hashes of column `name` that differ from that of the proposal, and which do not.
fn beside_proposed(columns: &[ArrayRef], name: &str) -> Result<(ArrayRef, ArrayRef)> {
    let column = |name: &str| columns[action_schema().index_of(name).expect("a column of the fold")].as_string_view();
    let (hashes, proposed) = (column(name), column(PROPOSED_HASH));
    let is_same: Vec<bool> = hashes.iter().zip(proposed).map(|(hash, other)| hash.is_some() && hash == other).collect();
    let other = hashes.iter().zip(&is_same).map(|(hash, same)| hash.filter(|_| !same));
    let other: StringViewArray = other.collect();
    Ok((Arc::new(other), Arc::new(BooleanArray::from(is_same))))
}

const PHASE_BASE: usize = Proposal as usize;
/// No event speaks.
const NONE: u32 = u32::MAX;

/// `row` speaks, unless an earlier one does.
fn first(found: &mut [u32; PHASES], speaker: Speaker, row: u32) {
    let place = &mut found[speaker as usize - PHASE_BASE];
    if *place == NONE {
        *place = row;
    }
}

/// `row` speaks from now on.
fn last(found: &mut [u32; PHASES], speaker: Speaker, row: u32) {
    found[speaker as usize - PHASE_BASE] = row;
}

fn some(row: u32) -> Option<u32> {
    (row != NONE).then_some(row)
}

fn column_of(events: &RecordBatch, column: Column) -> Result<&ArrayRef> {
    events
        .column_by_name(column.name())
        .ok_or_else(|| Error::internal(format!("the fold of actions needs column `{}`", column.name())))
}

fn text_of(events: &RecordBatch, column: Column) -> Result<&StringViewArray> {
    column_of(events, column)?.as_string_view_opt().ok_or_else(|| wrong(column))
}

fn wrong(column: Column) -> Error {
    Error::internal(format!("column `{}` of a fold has another type", column.name()))
}

/// The values of `column` at `rows`, without the text of the rows that were not taken.
fn taken(events: &RecordBatch, column: Column, rows: &UInt32Array) -> Result<ArrayRef> {
    let failed = |e| Error::internal(format!("cannot take column `{}` of a fold", column.name())).because(e);
    take(column_of(events, column)?, rows, None).map(|array| with_own_text(&array)).map_err(failed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// For each run of rows, the first one (from either end) that is set in `array`.
fn set_rows(array: &dyn Array, runs: &[&[u32]], direction: Direction) -> UInt32Array {
    let nulls = array.logical_nulls();
    let is_set = |row: &&u32| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(**row as usize));
    let pick = |rows: &&[u32]| match direction {
        Direction::Forward => rows.iter().find(is_set).copied(),
        Direction::Backward => rows.iter().rev().find(is_set).copied(),
    };
    runs.iter().map(pick).collect()
}

/// Groups in the order of the event that speaks for their proposal.
fn by_proposal(view: &View<'_>, phases: &[[u32; PHASES]]) -> Vec<u32> {
    let key = |group: &u32| {
        let row = phases[*group as usize][Proposal as usize - PHASE_BASE] as usize;
        (view.at.value(row), view.seq.value(row))
    };
    let mut order: Vec<u32> = (0..phases.len() as u32).collect();
    order.sort_unstable_by_key(key);
    order
}

/// Rows gathered by action, each group in (`occurred_at`, `seq`) order.
struct Groups {
    rows: Vec<u32>,
    starts: Vec<u32>,
}

impl Groups {
    fn of(view: &View<'_>, is_read: &BooleanArray) -> Self {
        let order = view.rows_in_order(is_read);
        let mut numbers: HashMap<&str, u32> = HashMap::with_capacity(order.len() / 2);
        let groups: Vec<u32> = order
            .iter()
            .map(|row| {
                let next = numbers.len() as u32;
                *numbers.entry(view.action.value(*row as usize)).or_insert(next)
            })
            .collect();
        // A counting sort keeps the order of time inside each group.
        let mut starts = vec![0u32; numbers.len() + 1];
        groups.iter().for_each(|group| starts[*group as usize + 1] += 1);
        for group in 1..starts.len() {
            starts[group] += starts[group - 1];
        }
        let (mut next, mut rows) = (starts.clone(), vec![0u32; order.len()]);
        for (row, group) in order.iter().zip(groups) {
            let place = &mut next[group as usize];
            rows[*place as usize] = *row;
            *place += 1;
        }
        Self { rows, starts }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn rows(&self, group: usize) -> &[u32] {
        &self.rows[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}

/// What an event says of the phase it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Proposed,
    Executed,
    RolledBack,
    Labeled,
    Other,
}

/// The columns that decide which event speaks for what.
struct View<'a> {
    action: &'a StringViewArray,
    event_type: &'a StringViewArray,
    decision: &'a StringViewArray,
    outcome: &'a StringViewArray,
    actor_kind: &'a StringViewArray,
    reviewer: &'a StringViewArray,
    at: &'a TimestampMicrosecondArray,
    seq: &'a Int64Array,
    attempt: &'a Int32Array,
}

impl<'a> View<'a> {
    fn new(events: &'a RecordBatch) -> Result<Self> {
        let text = |column: Column| text_of(events, column);
        Ok(Self {
            action: text(Column::ActionId)?,
            event_type: text(Column::EventType)?,
            decision: text(Column::Decision)?,
            outcome: text(Column::Outcome)?,
            actor_kind: text(Column::ActorKind)?,
            reviewer: text(Column::Reviewer)?,
            at: column_of(events, Column::OccurredAt)?
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(|| wrong(Column::OccurredAt))?,
            seq: column_of(events, Column::Seq)?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong(Column::Seq))?,
            attempt: column_of(events, Column::Attempt)?
                .as_primitive_opt::<Int32Type>()
                .ok_or_else(|| wrong(Column::Attempt))?,
        })
    }

    /// The rows that are read, in (`occurred_at`, `seq`) order.
    fn rows_in_order(&self, is_read: &BooleanArray) -> Vec<u32> {
        let mut rows: Vec<u32> = is_read.values().set_indices().map(|row| row as u32).collect();
        let key = |row: &u32| (self.at.value(*row as usize), self.seq.value(*row as usize));
        if !rows.is_sorted_by_key(key) {
            rows.sort_unstable_by_key(key);
        }
        rows
    }

    fn event_type(&self, row: usize) -> Type {
        match self.event_type.value(row) {
            "action.proposed" => Type::Proposed,
            "action.executed" => Type::Executed,
            "action.rolled_back" => Type::RolledBack,
            "action.labeled" => Type::Labeled,
            _ => Type::Other,
        }
    }

    fn text(array: &'a StringViewArray, row: usize) -> Option<&'a str> {
        array.is_valid(row).then(|| array.value(row))
    }

    fn is_attempted(&self, row: usize) -> bool {
        matches!(Self::text(self.outcome, row), Some("succeeded" | "failed" | "partial" | "unknown"))
    }

    /// The event that speaks for each phase, from `Proposal` on, of an action with these rows.
    fn speakers(&self, rows: &[u32]) -> [u32; PHASES] {
        let mut found = [NONE; PHASES];
        let (mut proposed, mut decided, mut escalated) = (NONE, NONE, NONE);
        for &row in rows {
            let at = row as usize;
            match self.event_type(at) {
                Type::Proposed if proposed == NONE => proposed = row,
                Type::Executed => {
                    last(&mut found, LastExecution, row);
                    if self.is_attempted(at) {
                        last(&mut found, LastAttempt, row);
                    }
                    if Self::text(self.outcome, at) == Some("succeeded") {
                        last(&mut found, LastSuccess, row);
                    }
                    first(&mut found, FirstExecution, row);
                }
                Type::RolledBack => last(&mut found, RollBack, row),
                Type::Labeled => last(&mut found, Label, row),
                _ => {}
            }
            if let Some(decision) = Self::text(self.decision, at) {
                first(&mut found, FirstDecision, row);
                if decision == "escalated" {
                    escalated = row;
                } else {
                    decided = row;
                }
            }
        }
        found[Proposal as usize - PHASE_BASE] = if proposed == NONE { rows[0] } else { proposed };
        found[FinalDecision as usize - PHASE_BASE] = if decided == NONE { escalated } else { decided };
        found
    }

    /// The columns of [`JUDGED`].
    fn judged(&self, runs: &[&[u32]]) -> Vec<ArrayRef> {
        let is = |row: &u32, kind: Type| self.event_type(*row as usize) == kind;
        let outcome = |row: &u32| Self::text(self.outcome, *row as usize);
        let any = |test: &dyn Fn(&u32) -> bool| -> ArrayRef {
            Arc::new(runs.iter().map(|rows| Some(rows.iter().any(test))).collect::<BooleanArray>())
        };
        let executed = |row: &u32| is(row, Type::Executed);
        let attempted = |row: &u32| executed(row) && self.is_attempted(*row as usize);
        let attempts = runs.iter().map(|rows| rows.iter().filter(|row| executed(row)).count() as i64);
        let max_attempt = runs.iter().map(|rows| {
            let attempted = rows.iter().filter(|row| attempted(row)).map(|row| *row as usize);
            attempted.filter(|row| self.attempt.is_valid(*row)).map(|row| self.attempt.value(row)).max()
        });
        let at = |rows: Vec<u32>| -> ArrayRef {
            let instants = rows.into_iter().map(|row| self.at.value(row as usize));
            Arc::new(TimestampMicrosecondArray::from_iter_values(instants).with_timezone("UTC"))
        };
        vec![
            any(&|row| is(row, Type::Proposed)),
            any(&executed),
            Arc::new(Int64Array::from_iter_values(attempts)),
            any(&attempted),
            any(&|row| executed(row) && matches!(outcome(row), Some("succeeded" | "partial" | "unknown"))),
            Arc::new(max_attempt.collect::<Int32Array>()),
            any(&|row| is(row, Type::RolledBack) && outcome(row) == Some("succeeded")),
            any(&|row| {
                let row = *row as usize;
                self.decision.is_valid(row)
                    && (self.reviewer.is_valid(row) || Self::text(self.actor_kind, row) == Some("human"))
            }),
            at(runs.iter().map(|rows| rows[0]).collect()),
            at(runs.iter().map(|rows| rows[rows.len() - 1]).collect()),
        ]
    }
}

/// `events` restricted to `rows`, with the text of no other row.
///
/// # Errors
/// Never for rows of the batch.
pub fn rows_of(events: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    let failed = |e| Error::internal("cannot take events").because(e);
    let taken = take_record_batch(events, rows).map_err(failed)?;
    RecordBatch::try_new(taken.schema(), taken.columns().iter().map(with_own_text).collect()).map_err(failed)
}
