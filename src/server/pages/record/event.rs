//! One event in words: when, who, what, from which value to which, by which versions, and where it leads.
//!
//! In: an event as `query::dossier` tells it. Out: markup. Invariants: a value that was withheld or erased says so, and
//! one that was never captured is not shown as empty; every text of the event is escaped.

use super::super::layout::parts::badge;
use super::super::layout::{code, escape, link, path, state, time};
use super::super::{action, incident};
use crate::query::dossier::{Event, Seal};
use crate::query::objects::{Row, number, text};
use crate::report::document::Tone;
use crate::report::format;

/// What an event tells in words where it is not about a write.
const ACTS: [(&str, &str); 19] = [
    ("record.reviewed", "looked at the record"),
    ("data.accessed", "read it"),
    ("action.proposed", "proposed"),
    ("action.evaluated", "judged the proposal by the policy"),
    ("action.decided", "decided"),
    ("action.executed", "carried out"),
    ("action.rolled_back", "rolled back"),
    ("action.labeled", "labelled the action"),
    ("record.corrected", "corrected"),
    ("exception.raised", "raised an exception"),
    ("workflow.paused", "paused the workflow"),
    ("workflow.resumed", "let the workflow run again"),
    ("config.changed", "changed a setting"),
    ("incident.opened", "opened an incident"),
    ("incident.updated", "stated something of an incident"),
    ("incident.closed", "closed an incident"),
    ("evidence.queried", "read the evidence of it"),
    ("evidence.exported", "took evidence of it away"),
    ("evidence.erased", "had its values erased"),
];
/// What an event says in a word that judges.
const WORDS: [&str; 6] = ["policy_outcome", "decision", "outcome", "correction", "label", "issue_type"];
/// What else is worth a line, by column and label.
const MORE: [(&str, &str); 11] = [
    ("reason_code", "why"),
    ("permission_area", "area"),
    ("trigger", "trigger"),
    ("run_id", "run"),
    ("batch_id", "batch"),
    ("prompt_version", "prompt"),
    ("rule_version", "rule"),
    ("model_version", "model"),
    ("policy_version", "policy"),
    ("reversibility", "reversibility"),
    ("rollback_ref", "undo by"),
];
/// Sealed columns that are words, not values.
const SAID: [(&str, &str); 2] = [("comment", "comment"), ("error", "error")];

/// The event as an entry of a timeline.
pub(in super::super) fn item(event: &Event) -> String {
    let row = &event.event;
    let seq = link(&format!("/v1/events/{}", event.seq), &format!("event {}", event.seq));
    format!(
        "<li id=\"event-{}\"><p class=\"at\">{} · {} · {seq}</p>\n<p>{}</p>\n{}{}</li>\n",
        event.seq,
        time(text(row, "occurred_at")),
        escape(text(row, "source")),
        sentence(row),
        change(event),
        beside(event)
    )
}

/// Who did what, with links to the action, the incident and the review.
pub(in super::super) fn sentence(row: &Row) -> String {
    let kind = text(row, "event_type");
    let act = ACTS
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or_else(|| kind.replace(['.', '_'], " "), |(_, act)| (*act).to_owned());
    let what = [text(row, "operation"), text(row, "field")].into_iter().filter(|part| !part.is_empty());
    let what: Vec<String> = what.map(escape).collect();
    let judged: Vec<String> =
        WORDS.iter().map(|name| text(row, name)).filter(|word| !word.is_empty()).map(state).collect();
    let mut words = format!("<strong>{}</strong> {}", who(row), escape(&act));
    if !what.is_empty() {
        words.push_str(&format!(" <em>{}</em>", what.join(" ")));
    }
    if !judged.is_empty() {
        words.push_str(&format!(" {}", judged.join(" · ")));
    }
    if text(row, "environment") != "production" && !text(row, "environment").is_empty() {
        words.push_str(&format!(" {}", badge(Tone::Watch, text(row, "environment"))));
    }
    for (name, link) in [("action_id", action::link_to as fn(&str) -> String), ("incident_id", incident::link_to)] {
        if !text(row, name).is_empty() {
            words.push_str(&format!(" · {}", link(text(row, name))));
        }
    }
    if !text(row, "review_id").is_empty() {
        let id = text(row, "review_id");
        words.push_str(&format!(" · {}", link(&path(&["reviews", id]), id)));
    }
    words
}

/// Who caused it; a reviewer where the actor is not named.
fn who(row: &Row) -> String {
    let name = [text(row, "actor_id"), text(row, "reviewer")].into_iter().find(|name| !name.is_empty());
    match (name, text(row, "actor_kind")) {
        (Some(name), kind) if kind.is_empty() || kind == "human" => escape(name),
        (Some(name), kind) => format!("{} {}", escape(kind), escape(name)),
        (None, kind) if !kind.is_empty() => escape(kind),
        (None, _) => "somebody".to_owned(),
    }
}

/// The value before and the value after, where either was sent.
pub(in super::super) fn change(event: &Event) -> String {
    if !event.sealed.contains_key("old_value") && !event.sealed.contains_key("new_value") {
        return String::new();
    }
    format!(
        "<p class=\"change\"><span class=\"old\"><span class=\"unseen\">from </span>{}</span> \
         <span aria-hidden=\"true\">→</span> <span class=\"new\"><span class=\"unseen\">to </span>{}</span></p>\n",
        value(event, "old_value"),
        value(event, "new_value")
    )
}

/// A sealed value: itself, or what became of it.
pub(in super::super) fn value(event: &Event, column: &str) -> String {
    let absent = |words: &str| format!("<span class=\"missing\">{words}</span>");
    match event.sealed.get(column) {
        None => absent("not captured"),
        Some(Seal::Withheld) => absent("withheld"),
        Some(Seal::Erased) => absent("erased"),
        Some(Seal::Disclosed) => match text(&event.event, column) {
            "" => absent("empty"),
            shown => format!("<code>{}</code>", escape(shown)),
        },
    }
}

/// What else it says: reasons, versions, amounts, comments.
fn beside(event: &Event) -> String {
    let row = &event.event;
    let mut parts: Vec<String> = MORE
        .iter()
        .map(|(column, label)| (label, text(row, column)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| format!("{label} {}", escape(value)))
        .collect();
    for (column, label) in [("confidence", "confidence"), ("threshold", "threshold")] {
        if let Some(value) = number(row, column) {
            parts.push(format!("{label} {}", format::number(Some(value))));
        }
    }
    if let Some(amount) = row.get("amount").filter(|amount| !amount.is_null()) {
        let amount = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
        parts.push(format!("amount {} {}", escape(&amount), escape(text(row, "currency"))));
    }
    for (column, label) in SAID {
        if event.sealed.contains_key(column) {
            parts.push(format!("{label} {}", value(event, column)));
        }
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!("<p class=\"note\">{}</p>\n", parts.join(" · ")),
    }
}

/// What an event read, each with a link to its record.
pub(in super::super) fn inputs(row: &Row) -> Vec<String> {
    let read = |input: &serde_json::Value| {
        let part = |name: &str| input.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let record = super::link_to(part("system"), part("record_type"), part("record_id"));
        match (record.is_empty(), part("field")) {
            (true, _) => code(&[part("system"), part("record_type"), part("field")].join(" ")),
            (false, "") => record,
            (false, field) => format!("{record} {}", escape(field)),
        }
    };
    row.get("inputs").and_then(serde_json::Value::as_array).into_iter().flatten().map(read).collect()
}

#[cfg(test)]
pub(in super::super) mod testing {
    use serde_json::Value;

    use crate::query::dossier::{Event, Seal};

    /// An event with these columns, all of its sealed ones disclosed.
    pub(in crate::server::pages) fn event(seq: i64, columns: Value) -> Event {
        let event = columns.as_object().cloned().unwrap_or_default();
        let names = ["old_value", "new_value", "comment", "error", "extra"];
        let sealed = names.into_iter().filter(|name| event.contains_key(*name)).map(|name| (name, Seal::Disclosed));
        Event { seq, leaf: String::new(), sealed: sealed.collect(), event }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::event;
    use super::*;

    #[test]
    fn an_event_is_told_with_who_what_and_both_values() {
        let told = item(&event(
            7,
            json!({"event_type": "action.executed", "occurred_at": "2026-03-02T14:05:00Z", "actor_kind": "agent",
                "actor_id": "router", "operation": "update", "field": "owner", "outcome": "succeeded", "old_value": "",
                "new_value": "<b>", "action_id": "a/1", "rule_version": "r7", "environment": "shadow",
                "amount": "3.10"}),
        ));
        for expected in [
            "agent router",
            "carried out",
            // Where the search box leads to.
            "<li id=\"event-7\">",
            "update owner",
            "/v1/events/7",
            "&lt;b&gt;",
            "empty",
            "/actions/a%2F1",
            "rule r7",
            "shadow",
            "amount 3.10",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        assert!(!told.contains("<b>"));
    }

    #[test]
    fn a_value_that_is_not_shown_says_why() {
        let mut event = event(1, json!({"event_type": "record.corrected", "old_value": "x"}));
        assert!(change(&event).contains("<code>x</code>") && change(&event).contains("not captured"));
        event.sealed.insert("old_value", Seal::Withheld);
        event.event.remove("old_value");
        assert!(change(&event).contains("withheld") && !change(&event).contains("<code>"));
        event.sealed.insert("new_value", Seal::Erased);
        assert!(change(&event).contains("erased"));
        event.sealed.clear();
        assert_eq!(change(&event), "");
    }

    #[test]
    fn what_was_read_leads_to_its_record() {
        let row = json!({"inputs": [{"system": "crm", "record_type": "lead", "record_id": "9", "field": "mail"}]});
        let read = inputs(row.as_object().unwrap());
        assert!(read[0].contains("/records/crm/lead/9") && read[0].ends_with("mail"), "{read:?}");
    }
}
