//! The evidence of an item: what had happened to its record, and to the records that were read for it, before the agent
//! proposed the change.
//!
//! In: an item. Out: markup. Invariants: only what was written before the proposal is shown, and nothing of the action
//! itself: what came later would tell what others thought of it. Where known errors are planted among the items,
//! instants are told as distances and versions not at all, because a planted item is of another time.

use super::super::layout::{counted, escape, section, time};
use super::super::record::event::change;
use crate::clock::{HOUR, Micros, rfc3339};
use crate::error::{ErrorKind, Result};
use crate::event::parse;
use crate::query::dossier::{self, Event, RecordKey, Slice};
use crate::query::engine::Engine;
use crate::query::objects::{Row, text};
use crate::report::format;
use crate::review::outputs::Output;

/// Writes of one record that are shown, the newest first.
const SHOWN: usize = 25;
/// Records that were read of which the history is shown.
const READ: usize = 5;
/// What changes a record, or says that something is wrong with it.
const TOLD: [(&str, &str); 4] = [
    ("action.executed", "wrote"),
    ("action.rolled_back", "rolled back"),
    ("record.corrected", "corrected"),
    ("exception.raised", "raised an exception"),
];

/// How much is told of when something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// The instant.
    Instants,
    /// How long before the proposal.
    Distances,
}

/// The moment of a proposal.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Micros,
    seq: i64,
}

/// The histories of the record of `row` and of what was read for it, before the proposal that `output` is called by.
///
/// # Errors
/// When the evidence cannot be read, or a record has more events than a bound.
pub(super) async fn evidence(engine: &Engine, row: &Row, output: &Output, telling: Telling) -> Result<String> {
    let proposal = dossier::event(engine, output.seq).await?;
    let at = parse::instant(text(&proposal.told.event, "occurred_at")).unwrap_or(Micros::MAX);
    let moment = Moment { at, seq: output.seq };
    let mut out = String::new();
    for (key, field) in records(row) {
        let events = match dossier::history(engine, &key, Slice::default()).await {
            Ok(history) => history.events,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        out += &history(&events, &(key, field), (moment, &output.action_id), telling);
    }
    let words = "Only what happened before the proposal is shown: what came later would tell what others thought.";
    let note = format!("<p class=\"note\">{words}</p>\n");
    Ok(section("evidence", "Evidence", &format!("{out}{note}")))
}

/// The record of an item and those that were read for it, each once, with the field that was read.
fn records(row: &Row) -> Vec<(RecordKey, String)> {
    let of = |part: &dyn Fn(&str) -> String| {
        let key = RecordKey { system: part("system"), record_type: part("record_type"), record_id: part("record_id") };
        (key, part("field"))
    };
    let own = of(&|name| text(row, name).to_owned());
    let inputs = row.get("inputs").and_then(serde_json::Value::as_array).into_iter().flatten();
    let read = inputs
        .map(|input| of(&|name| input.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()));
    let mut records: Vec<(RecordKey, String)> = Vec::new();
    for record in std::iter::once(own).chain(read) {
        if !record.0.record_id.is_empty() && records.iter().all(|(key, _)| *key != record.0) {
            records.push(record);
        }
    }
    records.truncate(READ + 1);
    records
}

fn history(
    events: &[Event],
    (key, field): &(RecordKey, String),
    (moment, action): (Moment, &str),
    telling: Telling,
) -> String {
    let before: Vec<&Event> = events.iter().filter(|event| is_before(event, moment, action)).collect();
    let lines: String = before.iter().rev().take(SHOWN).map(|event| line(event, field, moment, telling)).collect();
    let name = format!("{}/{}/{}", key.system, key.record_type, key.record_id);
    let title = format!("<h3 class=\"label\">{}</h3>\n", escape(&name));
    if lines.is_empty() {
        return format!("{title}<p class=\"empty\">Nothing had been written to it as far as the evidence goes.</p>\n");
    }
    let more = match before.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!("<p class=\"note\">{} before these.</p>\n", counted(n as u64, "event", "events")),
    };
    format!("{title}<ol class=\"timeline\">\n{lines}</ol>\n{more}")
}

/// Whether a reviewer may know of `event`.
fn is_before(event: &Event, moment: Moment, action: &str) -> bool {
    let row = &event.event;
    let at = parse::instant(text(row, "occurred_at")).unwrap_or(Micros::MAX);
    text(row, "environment") == "production"
        && text(row, "action_id") != action
        && (at, event.seq) < (moment.at, moment.seq)
        && TOLD.iter().any(|(kind, _)| *kind == text(row, "event_type"))
}

fn line(event: &Event, asked: &str, moment: Moment, telling: Telling) -> String {
    let row = &event.event;
    let at = parse::instant(text(row, "occurred_at")).unwrap_or(moment.at);
    let before = format!("{} before", format::hours(Some((moment.at - at) as f64 / HOUR as f64)));
    let when = match telling {
        Telling::Instants => format!("{} · {before}", time(&rfc3339(at))),
        Telling::Distances => before,
    };
    let who = match text(row, "actor_id") {
        "" => escape(text(row, "actor_kind")),
        name => escape(name),
    };
    let did = TOLD.iter().find(|(kind, _)| *kind == text(row, "event_type")).map_or("", |(_, did)| *did);
    let field = match text(row, "field") {
        field if !field.is_empty() && field == asked => format!("<strong>{}</strong>", escape(field)),
        field => escape(field),
    };
    let outcome = text(row, "outcome").replace('_', " ");
    format!("<li><p class=\"at\">{when}</p>\n<p>{who} {did} {field} {}</p>\n{}</li>\n", escape(&outcome), change(event))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::record::event::testing::event;
    use super::*;

    fn write(seq: i64, hour: u32, more: Value) -> Event {
        let mut columns = json!({"event_type": "action.executed", "environment": "production", "field": "owner",
            "occurred_at": format!("2026-03-01T{hour:02}:00:00Z"), "actor_id": "router", "action_id": "a-0",
            "outcome": "succeeded", "old_value": "x", "new_value": format!("v{seq}"), "rule_version": "r6"});
        columns.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event(seq, columns)
    }

    fn told(events: &[Event], telling: Telling) -> String {
        let key = RecordKey { system: "crm".into(), record_type: "lead".into(), record_id: "9".into() };
        let at = parse::instant("2026-03-01T12:00:00Z").unwrap();
        history(events, &(key, "owner".into()), (Moment { at, seq: 50 }, "a-1"), telling)
    }

    #[test]
    fn nothing_that_came_later_or_is_of_the_action_itself_or_of_others_opinion_is_told() {
        let events = [
            write(10, 9, json!({})),
            write(11, 10, json!({"action_id": "a-1"})),
            write(12, 11, json!({"environment": "shadow"})),
            write(13, 11, json!({"event_type": "action.decided", "decision": "rejected"})),
            write(60, 12, json!({})),
            write(61, 13, json!({"event_type": "record.corrected"})),
        ];
        let html = told(&events, Telling::Instants);
        assert_eq!((html.matches("<li>").count(), html.contains("v10")), (1, true), "{html}");
    }

    #[test]
    fn where_items_are_planted_no_instant_and_no_version_is_told() {
        let html = told(&[write(10, 9, json!({}))], Telling::Distances).replace('\u{a0}', " ");
        assert!(html.contains("3.0 h before") && !html.contains("2026") && !html.contains("r6"), "{html}");
        assert!(told(&[], Telling::Distances).contains("Nothing had been written"));
    }

    #[test]
    fn each_record_is_looked_at_once_the_own_first() {
        let row = json!({"system": "crm", "record_type": "lead", "record_id": "9", "field": "owner", "inputs": [
            {"system": "crm", "record_type": "lead", "record_id": "9", "field": "mail"},
            {"system": "crm", "record_type": "account", "record_id": "4"}, {"field": "nothing"}]});
        let found = records(row.as_object().unwrap());
        let names: Vec<&str> = found.iter().map(|(key, _)| key.record_id.as_str()).collect();
        assert_eq!(names, ["9", "4"]);
    }
}
