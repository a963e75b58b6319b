//! A scope as JSON, written without being built first: that of a large incident is tens of megabytes.
//!
//! In: a scope. Out: its summary, what it reached, and an item for each cell. Invariant: the same text as a JSON value
//! with these members prints, whose keys are in the order of the alphabet. It must not judge or leave out anything.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::Scoped;
use crate::blast::{Cell, Radius, State};

/// A scope as a JSON document.
#[derive(Debug, Serialize)]
pub struct Document<'s>(BTreeMap<String, Part<'s>>);

#[derive(Debug)]
enum Part<'s> {
    Value(Value),
    /// The cells.
    Items(&'s Radius),
}

impl<'s> Document<'s> {
    /// What there is to say of `scoped`, and `more`, whose keys win.
    pub(super) fn new(scoped: &'s Scoped, more: Map<String, Value>) -> Self {
        let radius = &scoped.radius;
        let summary = if let Value::Object(summary) = scoped.summary() { summary } else { Map::new() };
        let reached = [
            ("people", Part::Value(json!(radius.people))),
            ("exposed", Part::Value(json!(radius.exposed))),
            ("items", Part::Items(radius)),
        ];
        let plain = |(name, value)| (name, Part::Value(value));
        let mut parts: BTreeMap<String, Part<'s>> = summary.into_iter().map(plain).collect();
        parts.extend(reached.map(|(name, part)| (name.to_owned(), part)));
        parts.extend(more.into_iter().map(plain));
        Self(parts)
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Items(radius) => serializer.collect_seq(radius.cells.iter().map(|cell| Item::new(cell, radius))),
        }
    }
}

/// A cell as people and other programs read it; fields in the order of the alphabet.
#[derive(Serialize)]
struct Item<'s> {
    bad_value: Option<&'s str>,
    current_seq: Option<i64>,
    current_value: Option<&'s str>,
    current_writer: Option<&'s str>,
    depth: u32,
    field: Option<&'s str>,
    first_bad_seq: Option<i64>,
    flags: Vec<&'static str>,
    last_bad_seq: Option<i64>,
    old_value: Option<&'s str>,
    parent_seq: Option<i64>,
    record_id: &'s str,
    record_type: &'s str,
    state: State,
    system: &'s str,
    via_action: &'s str,
}

impl<'s> Item<'s> {
    fn new(cell: &'s Cell, radius: &'s Radius) -> Self {
        Self {
            bad_value: cell.bad_value.as_deref(),
            current_seq: cell.current_seq,
            current_value: cell.current_value.as_deref(),
            current_writer: cell.current_actor.as_deref(),
            depth: cell.depth,
            field: cell.field.as_deref(),
            first_bad_seq: cell.first_bad_seq,
            flags: cell.flags.names(),
            last_bad_seq: cell.last_bad_seq,
            old_value: cell.old_value.as_deref(),
            parent_seq: cell.parent_seq,
            record_id: &cell.record.record_id,
            record_type: &cell.record.record_type,
            state: cell.state,
            system: &cell.record.system,
            via_action: &radius.actions[cell.first_action].action_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::testing::{action, record, written};
    use crate::blast::{Action, Flags};

    fn radius() -> Radius {
        let cell = Cell {
            field: Some("owner".to_owned()),
            depth: 1,
            parent_seq: Some(3),
            last_action: Some(0),
            bad_value: Some("\"x\"".to_owned()),
            current_seq: Some(4),
            flags: Flags { old_unknown: true, ..Flags::default() },
            ..written(record("crm", "lead", "r\n1"), State::StillWrong, (4, 0))
        };
        let action = Action { depth: 1, ..action("a1") };
        Radius { actions: vec![action], cells: vec![cell], ..Radius::default() }
    }

    #[test]
    fn a_document_has_its_keys_in_order_and_those_given_win() {
        let scoped = Scoped::of(radius());
        let more = Map::from_iter([("why".to_owned(), json!([1])), ("certainty".to_owned(), json!("given"))]);
        let text = serde_json::to_string(&scoped.document(more)).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text, read.to_string(), "as a value prints it");
        let mut plain = scoped.to_json();
        assert_eq!(plain["certainty"], "exactly");
        let item = &plain["items"][0];
        assert_eq!((&item["record_id"], &item["bad_value"]), (&json!("r\n1"), &json!("\"x\"")));
        assert_eq!((&item["state"], &item["flags"]), (&json!("still_wrong"), &json!(["old_unknown"])));
        assert_eq!((&item["via_action"], &item["current_writer"]), (&json!("a1"), &Value::Null));
        (plain["why"], plain["certainty"]) = (json!([1]), json!("given"));
        assert_eq!(read, plain);
    }
}
