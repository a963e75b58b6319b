//! What an action is: the change, its reasons, the way it took.
//!
//! In: a dossier. Out: markup. Invariant: each phase speaks for itself; the reason of a proposal is not that of its
//! rejection. What did not happen is said, never left open.

use super::super::layout::{code, escape, pairs, state, time};
use super::super::record::{self, event};
use crate::clock::{HOUR, Micros};
use crate::event::parse;
use crate::query::dossier::{Dossier, Event};
use crate::query::objects::{Row, count, number, text};
use crate::report::format;

/// What is said of an action that never was in production.
pub(super) const NOT_IN_PRODUCTION: &str =
    "No event of production names it: it ran beside the work, and was judged by nobody.";

/// What became of it, in a sentence.
pub(super) fn sentence(action: &Row) -> String {
    let by = match text(action, "proposed_by") {
        "" => "It was proposed".to_owned(),
        by => format!("{by} proposed it"),
    };
    let decided = match (text(action, "final_decision"), text(action, "final_decision_reviewer")) {
        ("", _) => "nobody decided".to_owned(),
        (decision, "") => decision.replace('_', " "),
        (decision, who) => format!("{} by {who}", decision.replace('_', " ")),
    };
    let executed = match (text(action, "outcome"), is_true(action, "has_execution")) {
        (_, false) => "not executed".to_owned(),
        ("", true) => "executed, with unknown outcome".to_owned(),
        (outcome, true) => format!("execution {outcome}"),
    };
    let back = if is_true(action, "any_rolled_back") { ", rolled back" } else { "" };
    format!("{by}; {decided}; {executed}{back}.")
}

fn is_true(row: &Row, column: &str) -> bool {
    row.get(column).and_then(serde_json::Value::as_bool) == Some(true)
}

/// Labels and values: what, why, by what, with what result.
pub(super) fn facts(dossier: &Dossier) -> String {
    let none = Row::new();
    let first = proposal(&dossier.events);
    let told = first.map_or(&none, |event| &event.event);
    let action = dossier.action.as_ref().unwrap_or(told);
    let part = |column: &str| escape(text(action, column));
    let target = record::link_to(text(action, "system"), text(action, "record_type"), text(action, "record_id"));
    let inputs = event::inputs(told);
    let said = [
        ("Record", target),
        ("Field", part("field")),
        ("Operation", part("operation")),
        ("Issue", part("issue_type").replace('_', " ")),
        ("Change", first.map(event::change).unwrap_or_default()),
        ("Why it was proposed", escape(text(told, "reason_code"))),
        ("Confidence", confidence(action)),
        ("What it read", inputs.join("<br>\n")),
        ("Amount", amount(action)),
        ("Policy said", flag(action, "policy_outcome")),
        ("Decision", decision(action)),
        ("Time to decide", decided_in(action)),
        ("Execution", execution(action)),
        ("Roll-back", roll_back(action)),
        ("Label", flag(action, "label")),
        ("Workflow", part("workflow")),
        ("Area and level", both(part("permission_area"), level(action))),
        ("Versions", versions(action)),
        ("Run and batch", both(part("run_id"), part("batch_id"))),
        ("Trigger", part("trigger")),
        ("Segment", part("segment")),
        ("Reversibility", both(part("reversibility"), part("rollback_ref"))),
        ("Payload hash", hash(action)),
    ];
    pairs(&said)
}

/// Two values in one place, told apart where there are both.
fn both(first: String, second: String) -> String {
    let said: Vec<String> = [first, second].into_iter().filter(|value| !value.is_empty()).collect();
    said.join(", ")
}

/// The event that proposed it, else its first one.
fn proposal(events: &[Event]) -> Option<&Event> {
    let is_proposal = |event: &&Event| text(&event.event, "event_type") == "action.proposed";
    events.iter().find(is_proposal).or_else(|| events.first())
}

fn flag(row: &Row, column: &str) -> String {
    match text(row, column) {
        "" => String::new(),
        word => state(word),
    }
}

fn confidence(action: &Row) -> String {
    let value = |column: &str| number(action, column).map(|value| format::number(Some(value)));
    match (value("confidence"), value("threshold")) {
        (None, _) => String::new(),
        (Some(confidence), None) => confidence,
        (Some(confidence), Some(threshold)) => format!("{confidence}, threshold {threshold}"),
    }
}

fn amount(action: &Row) -> String {
    let amount = match action.get("amount") {
        None | Some(serde_json::Value::Null) => return String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    escape(format!("{amount} {}", text(action, "currency")).trim())
}

fn decision(action: &Row) -> String {
    let decision = match text(action, "final_decision") {
        "" => return "nobody decided".to_owned(),
        word => state(word),
    };
    let by = said(" by ", text(action, "final_decision_reviewer"));
    let why = said(", because ", text(action, "final_decision_reason_code"));
    format!("{decision}{by} {}{why}", time(text(action, "final_decision_at")))
}

fn said(before: &str, words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("{before}{}", escape(words)) }
}

/// From the proposal, and from when the reviewer opened it, to the decision.
fn decided_in(action: &Row) -> String {
    let instant = |column: &str| parse::instant(text(action, column)).ok();
    let hours = |from: Option<Micros>, to: Option<Micros>| {
        let between = to? - from?;
        (between >= 0).then(|| format::hours(Some(between as f64 / HOUR as f64)))
    };
    let decided = instant("final_decision_at");
    let waited = hours(instant("proposed_at"), decided).map(|hours| format!("{hours} after the proposal"));
    let looked = hours(instant("final_decision_review_opened_at"), decided)
        .map(|hours| format!("{hours} after the reviewer opened it"));
    waited.into_iter().chain(looked).collect::<Vec<_>>().join(", ")
}

fn execution(action: &Row) -> String {
    if !is_true(action, "has_execution") {
        return "never executed".to_owned();
    }
    let outcome = flag(action, "outcome");
    let by = said(" by ", text(action, "executed_by"));
    let attempts = match count(action, "attempts") {
        Some(n @ 2..) => format!(", {} attempts", format::count(n)),
        _ => String::new(),
    };
    format!("{outcome}{by} {}{attempts}", time(text(action, "last_executed_at")))
}

fn roll_back(action: &Row) -> String {
    if text(action, "rolled_back_at").is_empty() {
        return "none".to_owned();
    }
    let by = said(" by ", text(action, "rolled_back_by"));
    format!("{}{by} {}", flag(action, "rollback_outcome"), time(text(action, "rolled_back_at")))
}

fn level(action: &Row) -> String {
    count(action, "permission_level").map(|level| format!("level {level}")).unwrap_or_default()
}

fn versions(action: &Row) -> String {
    let all = [
        ("prompt", "prompt_version"),
        ("rule", "rule_version"),
        ("model", "model_version"),
        ("policy", "policy_version"),
    ];
    let said = all.into_iter().map(|(label, column)| (label, text(action, column)));
    let said = said.filter(|(_, version)| !version.is_empty());
    said.map(|(label, version)| format!("{label} {}", escape(version))).collect::<Vec<_>>().join("<br>\n")
}

fn hash(action: &Row) -> String {
    match text(action, "proposed_payload_hash") {
        "" => String::new(),
        hash => code(hash),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(columns: Value) -> Row {
        columns.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn what_did_not_happen_is_said() {
        let bare = row(json!({"proposed_by": "router", "has_execution": false}));
        assert_eq!(sentence(&bare), "router proposed it; nobody decided; not executed.");
        assert_eq!((execution(&bare).as_str(), roll_back(&bare).as_str()), ("never executed", "none"));
        let done = row(json!({"final_decision": "approved", "final_decision_reviewer": "ann", "has_execution": true,
            "outcome": "succeeded", "any_rolled_back": true}));
        assert_eq!(sentence(&done), "It was proposed; approved by ann; execution succeeded, rolled back.");
    }

    #[test]
    fn the_time_to_decide_runs_from_the_proposal_and_from_the_opening() {
        let action = row(json!({"proposed_at": "2026-03-01T08:00:00Z", "final_decision_at": "2026-03-01T10:00:00Z",
            "final_decision_review_opened_at": "2026-03-01T09:58:00Z"}));
        let words = decided_in(&action).replace('\u{a0}', " ");
        assert_eq!(words, "2.0 h after the proposal, 2 min after the reviewer opened it");
        assert_eq!(decided_in(&row(json!({"proposed_at": "2026-03-01T08:00:00Z"}))), "");
    }
}
