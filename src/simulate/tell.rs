//! The words of an event: what an entry of the agenda looks like as a draft.
//!
//! In: an action, a record, a moment. Out: columns of a draft. Invariant: an event tells what its producer could
//! know at that time, no more. The level, the kind of change and the reason stand on the proposal alone, from where
//! the fold of the action takes them; the versions, which pick the actions of an incident, on the execution too.
//! Decides nothing and draws nothing at random.

use chrono::{DateTime, Datelike};

use super::incidents::ROGUE_AGENT;
use super::ndjson::{decimal, hex32, numbered};
use super::random::mix;
use super::state::{Action, Flaw, Records};
use super::world::{FIELDS, SEGMENTS, TYPES, Target, VERSION_KINDS, WORKFLOWS, Workflow, version_name};
use crate::clock::{DAY, Micros};
use crate::event::columns::Column;
use crate::event::draft::{Cell, Draft, Input};

/// Agent number that stands for [`ROGUE_AGENT`].
pub const ROGUE: u8 = 100;
/// Agent number of the first agent in a run that changes too many records.
pub const BULK: u8 = 101;
/// Names of the environments by number; the first is the default and left out.
pub const ENVIRONMENTS: [&str; 3] = ["production", "shadow", "sandbox"];

const TRIGGERS: [&str; 4] = ["schedule", "schedule", "user", "exception"];
const HALF_YEARS: [&str; 8] =
    ["revops-1", "revops-2", "revops-3", "revops-4", "revops-5", "revops-6", "revops-7", "revops-8"];

/// The workflow by number.
pub fn workflow_of(number: u8) -> &'static Workflow {
    &WORKFLOWS[usize::from(number)]
}

/// What an action changes.
pub fn target_of(action: &Action) -> &'static Target {
    &workflow_of(action.workflow).targets[usize::from(action.target)]
}

/// The name of an agent of a workflow.
pub fn agent_name(workflow: u8, agent: u8) -> &'static str {
    match agent {
        ROGUE => ROGUE_AGENT,
        BULK => workflow_of(workflow).agents[0],
        n => workflow_of(workflow).agents[usize::from(n) % workflow_of(workflow).agents.len()],
    }
}

/// Amount at stake on a record, in hundredths: mostly small, seldom above 100,000.
pub fn amount_of(record: u32, workflow: u8) -> i64 {
    let u = (mix(u64::from(record) ^ 0xA407) >> 11) as f64 / (1u64 << 53) as f64;
    let most = if workflow_of(workflow).name == "refund-desk" { 40_000.0 } else { 160_000.0 };
    20_00 + (u * u * u * u * most * 100.0) as i64
}

/// Who the event is from.
pub fn actor(draft: &mut Draft<'static>, kind: &'static str, name: &'static str) {
    draft.set_text(Column::ActorKind, kind);
    draft.set_text(Column::ActorId, name);
}

/// Run and trace of the work.
pub fn run(draft: &mut Draft<'static>, number: u32) {
    draft.set_text(Column::RunId, numbered("run-", u64::from(number), 4));
    if number.is_multiple_of(7) {
        draft.set_text(Column::TraceId, hex32(u64::from(number) ^ 0x7ACE));
    }
}

/// The batch of a workflow in the ISO week of `at`, e.g. `LR-2026-W14`.
pub fn batch(draft: &mut Draft<'static>, workflow: u8, at: Micros) {
    let week = DateTime::from_timestamp_micros(at).unwrap_or_default().iso_week();
    let mut id = decimal(workflow_of(workflow).code, u64::from(week.year().unsigned_abs()), 4);
    id.push_str(&decimal("-W", u64::from(week.week()), 2));
    draft.set_text(Column::BatchId, id);
}

/// The record.
pub fn record(draft: &mut Draft<'static>, records: &Records, number: u32) {
    let key = records.key(number);
    let record_type = &TYPES[usize::from(key.record_type)];
    draft.set_text(Column::System, record_type.system);
    draft.set_text(Column::RecordType, record_type.name);
    draft.set_text(Column::RecordId, decimal(record_type.prefix, u64::from(key.number), 6));
}

/// The customer group of a record; half of the customers are small, as usual.
pub fn segment(draft: &mut Draft<'static>, number: u32) {
    let bits = mix(u64::from(number) ^ 0x5E6);
    let segment = if bits & 1 == 0 { 0 } else { (bits >> 1) as usize % SEGMENTS.len() };
    draft.set_text(Column::Segment, SEGMENTS[segment]);
}

/// The customer group and the person behind a record.
pub fn customer(draft: &mut Draft<'static>, records: &Records, number: u32) {
    segment(draft, number);
    if TYPES[usize::from(records.key(number).record_type)].has_subject {
        draft.set_text(Column::SubjectId, numbered("sub-", mix(u64::from(number) ^ 0x5B) >> 30, 7));
    }
}

/// Versions by which a record is looked at; the model matters where it proposes.
pub fn rules(draft: &mut Draft<'static>, workflow: u8, versions: [u8; 3]) {
    draft.set_text(Column::PromptVersion, version_name(workflow, 0, versions[0]));
    draft.set_text(Column::RuleVersion, version_name(workflow, 1, versions[1]));
}

/// Versions in force when the action was proposed.
fn versions(draft: &mut Draft<'static>, action: &Action) {
    let columns = [Column::PromptVersion, Column::RuleVersion, Column::ModelVersion];
    for (kind, column) in columns.into_iter().enumerate() {
        draft.set_text(column, version_name(action.workflow, kind as u8, action.versions[kind]));
    }
}

/// What the action is about: ties, versions, the cell that it changes.
pub fn action(draft: &mut Draft<'static>, records: &Records, action: &Action) {
    draft.set_text(Column::ActionId, action_id(action));
    run(draft, action.run);
    versions(draft, action);
    cell(draft, records, action.cell());
}

/// The id of an action.
pub fn action_id(action: &Action) -> String {
    numbered("act-", action.number, 5)
}

/// Why the action was proposed and what it rests on.
pub fn proposal(draft: &mut Draft<'static>, records: &Records, action: &Action, at: Micros) {
    let workflow = workflow_of(action.workflow);
    let target = target_of(action);
    batch(draft, action.workflow, at);
    draft.set_text(Column::PermissionArea, workflow.area);
    draft.set(Column::PermissionLevel, Cell::Integer(i64::from(target.level)));
    draft.set_text(Column::Operation, if action.flaw == Flaw::Prohibited { "delete" } else { target.operation });
    draft.set_text(Column::Reversibility, target.reversibility);
    customer(draft, records, action.record);
    draft.set_text(Column::Trigger, TRIGGERS[action.run as usize % TRIGGERS.len()]);
    draft.set_text(Column::PolicyVersion, HALF_YEARS[at.div_euclid(182 * DAY) as usize % HALF_YEARS.len()]);
    draft.set_text(Column::IssueType, target.issue);
    if action.flaw != Flaw::NoEvidence {
        draft.set(Column::Confidence, Cell::Ratio(f64::from(action.confidence) / 100.0));
        draft.set_text(Column::ReasonCode, reason_of(target.issue));
    }
    draft.set(Column::Threshold, Cell::Ratio(workflow.threshold));
    draft.set_text(Column::NewValue, records.words(action.cell())[usize::from(action.new_value)]);
    if target.reversibility != "irreversible" {
        draft.set_text(Column::RollbackRef, numbered("undo-", action.number, 5));
    }
    if workflow.has_amount {
        draft.set(Column::Amount, Cell::Amount(amount_of(action.record, action.workflow)));
        draft.set_text(Column::Currency, "EUR");
    }
    inputs(draft, records, action);
}

fn reason_of(issue: &str) -> &'static str {
    match issue {
        "stale_owner" => "owner_inactive",
        "routing_error" => "territory_mismatch",
        "missing_required_field" => "field_empty",
        "lifecycle_mismatch" => "activity_after_stage",
        "rule_violation" => "outside_rule",
        _ => "customer_waiting",
    }
}

/// The cells that the action read.
fn inputs(draft: &mut Draft<'static>, records: &Records, action: &Action) {
    let read = &action.inputs[..usize::from(action.input_count)];
    if read.is_empty() {
        return;
    }
    let inputs = read.iter().map(|input| {
        let key = records.key(input / 8);
        let record_type = &TYPES[usize::from(key.record_type)];
        Input {
            system: Some(record_type.system.to_owned()),
            record_type: Some(record_type.name.to_owned()),
            record_id: Some(decimal(record_type.prefix, u64::from(key.number), 6)),
            field: Some(record_type.field((input % 8) as usize).to_owned()),
        }
    });
    draft.set(Column::Inputs, Cell::Inputs(inputs.collect()));
}

/// The hash of the patch, `drift` telling apart patches of one action.
pub fn payload(draft: &mut Draft<'static>, action: &Action, drift: u64) {
    draft.set_text(Column::PayloadHash, hex32(action.number << 3 | u64::from(action.is_changed) << 2 | drift));
}

/// Old and new value of a cell.
pub fn values(draft: &mut Draft<'static>, records: &Records, cell: u32, old: u8, new: u8) {
    let words = records.words(cell);
    draft.set_text(Column::OldValue, words[usize::from(old)]);
    draft.set_text(Column::NewValue, words[usize::from(new)]);
}

/// Record and field of a cell.
pub fn cell(draft: &mut Draft<'static>, records: &Records, cell: u32) {
    let number = cell / FIELDS as u32;
    record(draft, records, number);
    let record_type = &TYPES[usize::from(records.key(number).record_type)];
    draft.set_text(Column::Field, record_type.fields[cell as usize % FIELDS]);
}

/// A change of configuration from version `old` to the next.
pub fn change(draft: &mut Draft<'static>, workflow: u8, kind: u8, old: u8) {
    draft.set_text(Column::PermissionArea, "prompts_rules");
    draft.set_text(Column::Field, VERSION_KINDS[usize::from(kind)]);
    draft.set_text(Column::OldValue, version_name(workflow, kind, old));
    draft.set_text(Column::NewValue, version_name(workflow, kind, old + 1));
}
