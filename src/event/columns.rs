//! The columns of an evidence event: one table that decoding, storage and the canonical form all read.
//!
//! Invariant: `COLUMNS[c as usize].column == c`; the order is that of the stored schema and only grows at
//! the end of the supplied part, so that stores made earlier stay readable.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// A column by name; `as usize` is its position in [`COLUMNS`] and in the stored schema.
#[rustfmt::skip]
#[allow(missing_docs)] // the variants are the column names of the table below
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    EventId, Source, EventType, OccurredAt, SourceSeq, Environment, Workflow, Trigger, RunId, BatchId,
    TraceId, ActionId, Attempt, ActorKind, ActorId, PromptVersion, RuleVersion, ModelVersion,
    PolicyVersion, PermissionArea, PermissionLevel, System, RecordType, RecordId, Field, Segment,
    SubjectId, Operation, IssueType, OldValue, NewValue, Amount, Currency, Processor, Region, Confidence,
    Threshold, ReasonCode, Reversibility, RollbackRef, PayloadHash, Inputs, PolicyOutcome, Decision,
    Reviewer, ReviewOpenedAt, Outcome, Error, Correction, Label, IncidentId, ReviewId, Comment, Extra,
    Seq, RecordedAt, Salt, OccurredMonth,
    OldValueDigest, NewValueDigest, ErrorDigest, CommentDigest, ExtraDigest,
}

/// Columns that a source may supply: the first ones of [`COLUMNS`].
pub const SUPPLIED: usize = Column::Extra as usize + 1;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, stored unchanged.
    Text,
    /// Text that names something: no control characters.
    Id,
    /// Text that identifies an event: no control characters, at most [`ID_BYTES`](crate::limits::ID_BYTES).
    Key,
    /// One of a closed list of words.
    Word(&'static [&'static str]),
    /// Microseconds since 1970 in UTC.
    Instant,
    /// A 64-bit integer.
    Int64,
    /// A 32-bit integer of at least 1.
    Int32,
    /// An integer 1..5.
    Int8,
    /// decimal(18,2).
    Amount,
    /// A float 0..1.
    Ratio,
    /// A list of the cells that were read.
    Inputs,
    /// Random bytes.
    Bytes,
}

/// Who sets a column and how it enters the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Set by the source, in clear.
    Open,
    /// Set by the source; only its salted digest enters the canonical form, so that it can be erased.
    Sealed,
    /// Set by the engine.
    Assigned,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnSpec {
    /// Which one.
    pub column: Column,
    /// Its name in input, storage, SQL and JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Who sets it.
    pub role: Role,
}

const ENVIRONMENT: &[&str] = &["production", "shadow", "sandbox"];
const ACTOR_KIND: &[&str] = &["agent", "human", "automation", "system"];
const ISSUE_TYPE: &[&str] = &[
    "missing_required_field",
    "stale_owner",
    "duplicate",
    "lifecycle_mismatch",
    "unclear_lead_source",
    "routing_error",
    "rule_violation",
    "other",
];
const REVERSIBILITY: &[&str] = &["reversible", "compensable", "irreversible"];
const POLICY_OUTCOME: &[&str] = &["auto_run", "approval_required", "blocked"];
const DECISION: &[&str] = &["approved", "approved_with_changes", "rejected", "escalated", "expired", "withdrawn"];
const OUTCOME: &[&str] = &["succeeded", "failed", "partial", "unknown", "skipped", "denied"];
const CORRECTION: &[&str] = &["routing", "owner", "lifecycle", "duplicate", "required_field", "other"];
const LABEL: &[&str] = &["true_positive", "false_positive", "false_negative", "true_negative", "unclear"];

/// Event types that a source may send.
pub const SOURCE_EVENT_TYPES: &[&str] = &[
    "record.reviewed",
    "data.accessed",
    "action.proposed",
    "action.evaluated",
    "action.decided",
    "action.executed",
    "action.rolled_back",
    "action.labeled",
    "record.corrected",
    "exception.raised",
    "workflow.paused",
    "workflow.resumed",
    "config.changed",
];

/// `source` of the events that the engine itself writes; nobody else may claim it, so that a policy is what was
/// applied and a receipt what was received.
pub const ENGINE_SOURCE: &str = "probity";

/// Event types that only the engine writes.
pub const ENGINE_EVENT_TYPES: &[&str] = &[
    "incident.opened",
    "incident.updated",
    "incident.closed",
    "review.planned",
    "review.drawn",
    "review.marked",
    "review.decided",
    "report.issued",
    "evidence.received",
    "evidence.heartbeat",
    "evidence.queried",
    "evidence.exported",
    "evidence.erased",
    "evidence.held",
    "evidence.released",
    "evidence.retired",
];

const fn spec(column: Column, name: &'static str, kind: Kind, role: Role) -> ColumnSpec {
    ColumnSpec { column, name, kind, role }
}

/// Every column in stored order.
#[rustfmt::skip]
pub const COLUMNS: [ColumnSpec; Column::ExtraDigest as usize + 1] = {
    use Column as C;
    use Kind::*;
    use Role::*;
    [
        spec(C::EventId, "event_id", Key, Open),
        spec(C::Source, "source", Key, Open),
        spec(C::EventType, "event_type", Word(SOURCE_EVENT_TYPES), Open),
        spec(C::OccurredAt, "occurred_at", Instant, Open),
        spec(C::SourceSeq, "source_seq", Int64, Open),
        spec(C::Environment, "environment", Word(ENVIRONMENT), Open),
        spec(C::Workflow, "workflow", Text, Open),
        spec(C::Trigger, "trigger", Text, Open),
        spec(C::RunId, "run_id", Id, Open),
        spec(C::BatchId, "batch_id", Id, Open),
        spec(C::TraceId, "trace_id", Id, Open),
        spec(C::ActionId, "action_id", Id, Open),
        spec(C::Attempt, "attempt", Int32, Open),
        spec(C::ActorKind, "actor_kind", Word(ACTOR_KIND), Open),
        spec(C::ActorId, "actor_id", Id, Open),
        spec(C::PromptVersion, "prompt_version", Text, Open),
        spec(C::RuleVersion, "rule_version", Text, Open),
        spec(C::ModelVersion, "model_version", Text, Open),
        spec(C::PolicyVersion, "policy_version", Text, Open),
        spec(C::PermissionArea, "permission_area", Text, Open),
        spec(C::PermissionLevel, "permission_level", Int8, Open),
        spec(C::System, "system", Text, Open),
        spec(C::RecordType, "record_type", Text, Open),
        spec(C::RecordId, "record_id", Id, Open),
        spec(C::Field, "field", Text, Open),
        spec(C::Segment, "segment", Text, Open),
        spec(C::SubjectId, "subject_id", Id, Open),
        spec(C::Operation, "operation", Text, Open),
        spec(C::IssueType, "issue_type", Word(ISSUE_TYPE), Open),
        spec(C::OldValue, "old_value", Text, Sealed),
        spec(C::NewValue, "new_value", Text, Sealed),
        spec(C::Amount, "amount", Amount, Open),
        spec(C::Currency, "currency", Text, Open),
        spec(C::Processor, "processor", Text, Open),
        spec(C::Region, "region", Text, Open),
        spec(C::Confidence, "confidence", Ratio, Open),
        spec(C::Threshold, "threshold", Ratio, Open),
        spec(C::ReasonCode, "reason_code", Text, Open),
        spec(C::Reversibility, "reversibility", Word(REVERSIBILITY), Open),
        spec(C::RollbackRef, "rollback_ref", Text, Open),
        spec(C::PayloadHash, "payload_hash", Text, Open),
        spec(C::Inputs, "inputs", Inputs, Open),
        spec(C::PolicyOutcome, "policy_outcome", Word(POLICY_OUTCOME), Open),
        spec(C::Decision, "decision", Word(DECISION), Open),
        spec(C::Reviewer, "reviewer", Text, Open),
        spec(C::ReviewOpenedAt, "review_opened_at", Instant, Open),
        spec(C::Outcome, "outcome", Word(OUTCOME), Open),
        spec(C::Error, "error", Text, Sealed),
        spec(C::Correction, "correction", Word(CORRECTION), Open),
        spec(C::Label, "label", Word(LABEL), Open),
        spec(C::IncidentId, "incident_id", Id, Open),
        spec(C::ReviewId, "review_id", Id, Open),
        spec(C::Comment, "comment", Text, Sealed),
        spec(C::Extra, "extra", Text, Sealed),
        spec(C::Seq, "seq", Int64, Assigned),
        spec(C::RecordedAt, "recorded_at", Instant, Assigned),
        spec(C::Salt, "salt", Bytes, Assigned),
        spec(C::OccurredMonth, "occurred_month", Text, Assigned),
        spec(C::OldValueDigest, "old_value_digest", Text, Assigned),
        spec(C::NewValueDigest, "new_value_digest", Text, Assigned),
        spec(C::ErrorDigest, "error_digest", Text, Assigned),
        spec(C::CommentDigest, "comment_digest", Text, Assigned),
        spec(C::ExtraDigest, "extra_digest", Text, Assigned),
    ]
};

/// Sealed columns, each with the column that keeps its digest after an erasure.
pub const SEALED: [(Column, Column); 5] = [
    (Column::OldValue, Column::OldValueDigest),
    (Column::NewValue, Column::NewValueDigest),
    (Column::Error, Column::ErrorDigest),
    (Column::Comment, Column::CommentDigest),
    (Column::Extra, Column::ExtraDigest),
];

impl Column {
    /// Every column, in stored order.
    pub fn all() -> Vec<Column> {
        COLUMNS.iter().map(|spec| spec.column).collect()
    }

    /// The column called `name`.
    pub fn named(name: &str) -> Option<Column> {
        static BY_NAME: LazyLock<Names> = LazyLock::new(Names::new);
        BY_NAME.get(name)
    }

    /// Name, kind and role.
    pub fn spec(self) -> &'static ColumnSpec {
        &COLUMNS[self as usize]
    }

    /// The column's name.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Whether it may carry the value of a record, which erasure removes.
    pub fn is_sealed(self) -> bool {
        self.spec().role == Role::Sealed
    }
}

/// The columns by name in a table without collisions: a name is looked up for every value that is read.
struct Names {
    multiplier: u32,
    places: [Option<Column>; Names::PLACES],
}

impl Names {
    const PLACES: usize = 1024;

    fn new() -> Self {
        let placed = |multiplier: u32| {
            let mut places = [None; Self::PLACES];
            let is_free = COLUMNS.iter().all(|c| places[Self::place(multiplier, c.name)].replace(c.column).is_none());
            is_free.then_some(Self { multiplier, places })
        };
        // 63 names in 1024 places: one of a few multipliers parts them all.
        (1u32..).step_by(2).find_map(|n| placed(n.wrapping_mul(0x9e37_79b1))).expect("some multiplier parts the names")
    }

    fn place(multiplier: u32, name: &str) -> usize {
        let bytes = name.as_bytes();
        let at = |i: usize| u32::from(bytes.get(i).copied().unwrap_or(0));
        let key = at(0) ^ at(bytes.len() / 2) << 8 ^ at(bytes.len().wrapping_sub(1)) << 16 ^ at(bytes.len() / 3) << 24;
        (key ^ (bytes.len() as u32 * 0x0101)).wrapping_mul(multiplier) as usize >> 22
    }

    fn get(&self, name: &str) -> Option<Column> {
        self.places[Self::place(self.multiplier, name)].filter(|column| column.name() == name)
    }
}

/// Fields of one entry of `inputs`.
pub fn input_fields() -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    Fields::from(vec![text("system"), text("record_type"), text("record_id"), text("field")])
}

/// The element field of the list `inputs`.
pub fn input_element() -> Field {
    Field::new("element", DataType::Struct(input_fields()), true)
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Id | Kind::Key | Kind::Word(_) => DataType::Utf8View,
        Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Int64 => DataType::Int64,
        Kind::Int32 => DataType::Int32,
        Kind::Int8 => DataType::Int8,
        Kind::Amount => DataType::Decimal128(18, 2),
        Kind::Ratio => DataType::Float64,
        Kind::Inputs => DataType::List(Arc::new(input_element())),
        Kind::Bytes => DataType::Binary,
    }
}

fn schema_of(columns: &[ColumnSpec]) -> SchemaRef {
    // Every column is nullable in storage: erasure and schema growth need it; validation does the requiring.
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(c.name, data_type(c.kind), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The schema of stored events: all of [`COLUMNS`].
pub fn stored_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema_of(&COLUMNS));
    SCHEMA.clone()
}

/// The schema of decoded events that have no `seq` yet: the first [`SUPPLIED`] columns.
pub fn supplied_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema_of(&COLUMNS[..SUPPLIED]));
    SCHEMA.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_stands_at_its_own_position() {
        for (i, spec) in COLUMNS.iter().enumerate() {
            assert_eq!(spec.column as usize, i, "{}", spec.name);
            assert_eq!(Column::named(spec.name), Some(spec.column));
        }
        assert_eq!(COLUMNS[SUPPLIED - 1].name, "extra");
        assert!(COLUMNS[SUPPLIED..].iter().all(|c| c.role == Role::Assigned));
    }

    #[test]
    fn sealed_columns_and_their_digests_pair_by_name() {
        for (value, digest) in SEALED {
            assert!(value.is_sealed());
            assert_eq!(format!("{}_digest", value.name()), digest.name());
        }
    }
}
