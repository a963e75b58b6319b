//! What stands in the fields of a record now, by its events.
//!
//! In: the events of a record, oldest first. Out: one line a field: its value, who wrote it, when. Invariants: a write
//! is what blast radii call one (an execution or a roll-back that succeeded, or may have; a correction), in production;
//! a value that may not stand says so. It is what the evidence tells, not what the business system holds.

use std::collections::BTreeMap;

use super::super::layout::parts::badge;
use super::super::layout::{escape, link, table, time};
use super::event::value;
use crate::query::dossier::Event;
use crate::query::objects::text;
use crate::report::document::{Kind, Tone};

/// What stands in a field.
struct Stands<'a> {
    /// The event that wrote it.
    event: &'a Event,
    /// The event that holds the value, and its column; none where a roll-back restored what nobody captured.
    held: Option<(&'a Event, &'static str)>,
    /// Whether it may not have been written.
    is_doubtful: bool,
}

/// The fields as a table; the whole record stands under no name.
pub(super) fn fields(events: &[Event]) -> String {
    let columns = [
        ("Field", Kind::Text),
        ("Value", Kind::Text),
        ("Written by", Kind::Text),
        ("At", Kind::Time),
        ("Event", Kind::Text),
    ];
    let row = |(field, stands): (&&str, &Stands<'_>)| {
        let event = stands.event;
        let held = stands.held.map_or_else(
            || "<span class=\"missing\">what was there before, which nobody captured</span>".to_owned(),
            |(event, column)| value(event, column),
        );
        let doubt =
            if stands.is_doubtful { format!(" {}", badge(Tone::Watch, "may not stand")) } else { String::new() };
        vec![
            if field.is_empty() { "whole record".to_owned() } else { escape(field) },
            format!("{held}{doubt}"),
            escape(text(&event.event, "actor_id")),
            time(text(&event.event, "occurred_at")),
            link(&format!("/v1/events/{}", event.seq), &event.seq.to_string()),
        ]
    };
    let stand = standing(events);
    let rows: Vec<Vec<String>> = stand.iter().map(row).collect();
    table("", &columns, &rows, "No event in the evidence wrote to it.")
}

/// What stands by field.
fn standing(events: &[Event]) -> BTreeMap<&str, Stands<'_>> {
    let mut stand: BTreeMap<&str, Stands<'_>> = BTreeMap::new();
    // The old values of actions, which a roll-back without a value of its own restores.
    let mut before: BTreeMap<&str, &Event> = BTreeMap::new();
    for event in events {
        let row = &event.event;
        let (kind, outcome) = (text(row, "event_type"), text(row, "outcome"));
        let action = text(row, "action_id");
        if event.sealed.contains_key("old_value") && kind != "action.rolled_back" {
            before.insert(action, event);
        }
        let is_write = match kind {
            "action.executed" | "action.rolled_back" => matches!(outcome, "succeeded" | "partial" | "unknown"),
            "record.corrected" => matches!(outcome, "" | "succeeded" | "partial" | "unknown"),
            _ => false,
        };
        if !is_write || text(row, "environment") != "production" {
            continue;
        }
        let held = match event.sealed.contains_key("new_value") {
            true => Some((event, "new_value")),
            false if kind == "action.rolled_back" => before.get(action).map(|held| (*held, "old_value")),
            false => Some((event, "new_value")),
        };
        let is_doubtful = matches!(outcome, "partial" | "unknown");
        stand.insert(text(row, "field"), Stands { event, held, is_doubtful });
    }
    stand
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::event::testing::event;
    use super::*;

    fn write(seq: i64, kind: &str, more: Value) -> Event {
        let mut columns = json!({"event_type": kind, "environment": "production", "field": "owner", "action_id": "a"});
        columns.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event(seq, columns)
    }

    fn held(events: &[Event]) -> Option<String> {
        let stands = standing(events);
        let (event, column) = stands.get("owner")?.held?;
        Some(text(&event.event, column).to_owned())
    }

    #[test]
    fn the_last_write_stands_and_what_never_took_effect_does_not() {
        let executed = write(1, "action.executed", json!({"outcome": "succeeded", "old_value": "a", "new_value": "b"}));
        let failed = write(2, "action.executed", json!({"outcome": "failed", "new_value": "c"}));
        let shadow =
            write(3, "action.executed", json!({"outcome": "succeeded", "new_value": "d", "environment": "shadow"}));
        let all = [executed, failed, shadow];
        assert_eq!(held(&all).as_deref(), Some("b"));
        let corrected = write(4, "record.corrected", json!({"new_value": "e"}));
        assert_eq!(held(&[all[0].clone(), corrected]).as_deref(), Some("e"));
    }

    #[test]
    fn a_roll_back_restores_the_old_value_of_its_action() {
        let executed = write(1, "action.executed", json!({"outcome": "succeeded", "old_value": "a", "new_value": "b"}));
        let back = write(2, "action.rolled_back", json!({"outcome": "succeeded"}));
        assert_eq!(held(&[executed, back.clone()]).as_deref(), Some("a"));
        assert!(fields(&[back]).contains("nobody captured"));
    }

    #[test]
    fn a_write_that_may_not_have_landed_says_so() {
        let partial = write(1, "action.executed", json!({"outcome": "partial", "new_value": "b"}));
        assert!(fields(&[partial]).contains("may not stand"));
        assert!(fields(&[]).contains("No event"));
    }
}
