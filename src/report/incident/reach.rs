//! What an incident has reached: records, the spread from step to step, people, messages, money.
//!
//! In: the account with its items. Out: three sections. Invariant: a list that is cut says so; persons are shown by
//! number alone, as their keys say nothing to a reader.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{brief, cell, cut, labelled, list, noted, number, section, words};
use crate::report::document::{Block, Cell, Kind, Section, Tile};
use crate::report::format;

/// Records on the page; the JSON has all.
const SHOWN_RECORDS: usize = 200;
/// Cells of these on the page: a record may have thousands of fields.
const SHOWN_CELLS: usize = 1_000;
/// Actions with external effects on the page.
const SHOWN_ACTIONS: usize = 50;
/// Steps of the spread on the page.
const SHOWN_STEPS: usize = 50;
/// Names in one line.
const SHOWN_NAMES: usize = 20;
/// Events of one chain that are named.
const SHOWN_EVENTS: usize = 12;

/// The affected records, each with its cells that a bad write changed.
pub(super) fn records(account: &Value) -> Section {
    let is_changed = |item: &&Value| !["not_applied", "no_effect"].contains(&words(item, "/state").as_str());
    let mut shown: BTreeSet<String> = BTreeSet::new();
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let changed: Vec<&Value> = list(account, "/scope/items").iter().filter(is_changed).collect();
    let mut cells = 0;
    for item in changed.iter().take(SHOWN_CELLS) {
        let record = key(item);
        if !shown.contains(&record) {
            if shown.len() >= SHOWN_RECORDS {
                break;
            }
            rows.push(vec![Cell::Group(record.clone())]);
            shown.insert(record);
        }
        cells += 1;
        rows.push(vec![
            words(item, "/field").into(),
            words(item, "/state").replace('_', " ").into(),
            cell(item, "/old_value"),
            cell(item, "/bad_value"),
            cell(item, "/current_value"),
            cell(item, "/current_writer"),
        ]);
    }
    let columns = ["Field", "State", "Before", "Bad value", "Now", "Written by"].map(|label| (label, Kind::Text));
    let of = number(account, "/scope/records").unwrap_or(0) as usize;
    let notes = [cut(shown.len(), of, "records"), cut(cells, changed.len(), "cells")];
    let note = notes.into_iter().find(|note| !note.is_empty()).unwrap_or_default();
    let table = noted("Affected records", &columns, rows, ("no record is affected", note));
    section("records", "The records", "Which records, and what stands in them now?", vec![table])
}

/// `system/type/id` of a record.
fn key(item: &Value) -> String {
    ["/system", "/record_type", "/record_id"].map(|part| words(item, part)).join("/")
}

/// How wrong values were read and written on.
pub(super) fn spread(account: &Value) -> Section {
    let derived = number(account, "/scope/derived_actions").unwrap_or(0);
    let said = match (number(account, "/scope/records"), derived) {
        (None, _) => "Nothing says what picks the bad actions, so that nothing could be followed.".to_owned(),
        (_, 0) => "No other action is known to have read what the bad actions wrote.".to_owned(),
        (_, n) => format!(
            "{} other actions read a wrong value, over up to {} steps.",
            format::count(n),
            format::count(number(account, "/scope/max_depth").unwrap_or(0))
        ),
    };
    let mut blocks = vec![Block::Text(said)];
    if derived > 0 {
        blocks.extend([steps(account), chains(account)]);
    }
    let exposed = list(account, "/scope/exposed");
    if !exposed.is_empty() {
        let keys: Vec<String> = exposed.iter().map(key).collect();
        blocks.push(Block::Text(format!(
            "Exposed, that is named by an event that read a wrong value, without a wrong value of their own: {}.",
            names(&keys)
        )));
    }
    section("spread", "The spread", "Who read the wrong values, and wrote on from them?", blocks)
}

fn steps(account: &Value) -> Block {
    let columns = [
        ("Steps from a bad action", Kind::Count),
        ("Actions", Kind::Count),
        ("That wrote", Kind::Count),
        ("Cells first changed", Kind::Count),
        ("Still wrong", Kind::Count),
    ];
    let row = |step: &Value| -> Vec<Cell> {
        let names = ["/steps", "/actions", "/writing_actions", "/cells", "/still_wrong"];
        names.into_iter().map(|name| number(step, name).into()).collect()
    };
    let all = list(account, "/spread/steps");
    let rows = all.iter().take(SHOWN_STEPS).map(row).collect();
    let cut = cut(SHOWN_STEPS, all.len(), "steps");
    let note = format!("Step 0 are the actions that the selector picks. {cut}").trim_end().to_owned();
    noted("From step to step", &columns, rows, ("", note))
}

fn chains(account: &Value) -> Block {
    let columns = [("Cell", Kind::Code), ("State", Kind::Text), ("Steps", Kind::Count), ("Events", Kind::Text)];
    let row = |chain: &Value| -> Vec<Cell> {
        let field = words(chain, "/field");
        let record = words(chain, "/record");
        let name = if field.is_empty() { record } else { format!("{record}/{field}") };
        let events = list(chain, "/steps");
        let event = |step: &Value| {
            let (seq, role) = (number(step, "/seq").unwrap_or(0), words(step, "/role"));
            format!("{seq} {role} by {}", brief(&words(step, "/action_id"), 40))
        };
        let mut told: Vec<String> = events.iter().take(SHOWN_EVENTS).map(event).collect();
        if events.len() > SHOWN_EVENTS {
            told.push(format!("{} more", format::count((events.len() - SHOWN_EVENTS) as u64)));
        }
        vec![
            name.into(),
            words(chain, "/state").replace('_', " ").into(),
            number(chain, "/depth").into(),
            told.join(" → ").into(),
        ]
    };
    let rows = list(account, "/spread/chains").iter().map(row).collect();
    let empty = "no action that read a wrong value changed a cell";
    noted("The longest chains", &columns, rows, (empty, "`probity incident scope --why` prints the events.".to_owned()))
}

/// Whom it concerns, what has left the house, and what it is about in money.
pub(super) fn people(account: &Value) -> Section {
    let counted = |pointer: &str| number(account, "/scope/records").map(|_| list(account, pointer).len() as u64);
    let tile = |label: &str, value: Option<u64>, detail: &str| Tile {
        label: label.to_owned(),
        value: value.map_or_else(|| format::NO_DATA.to_owned(), format::count),
        detail: detail.to_owned(),
        ..Tile::default()
    };
    let tiles = vec![
        tile("Persons", counted("/scope/people/subjects"), "whose records are concerned"),
        tile("Approvers", counted("/scope/people/approvers"), "who let bad actions pass"),
        tile("Segments", counted("/scope/people/segments"), "of customers"),
        tile("External effects", number(account, "/scope/external_effects"), "messages, money, irreversible acts"),
    ];
    let texts = |pointer: &str| -> Vec<String> {
        list(account, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let named = [("approvers", "/scope/people/approvers"), ("segments", "/scope/people/segments")];
    let mut pairs: Vec<(String, String)> =
        named.into_iter().map(|(label, pointer)| (label.to_owned(), names(&texts(pointer)))).collect();
    pairs.retain(|(_, value)| !value.is_empty());
    let mut blocks = vec![Block::Tiles(tiles)];
    if !pairs.is_empty() {
        blocks.push(labelled("By name", pairs));
    }
    blocks.extend([external(account), amounts(account)]);
    let question = "Whom does it concern, what cannot be taken back, and how much money is it about?";
    section("people", "People and messages", question, blocks)
}

/// The first of `names` in one line.
fn names(names: &[String]) -> String {
    let mut shown = names.iter().take(SHOWN_NAMES).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_NAMES {
        shown.push_str(&format!(" and {} more", format::count((names.len() - SHOWN_NAMES) as u64)));
    }
    shown
}

fn external(account: &Value) -> Block {
    let columns = [
        ("Action", Kind::Code),
        ("Operation", Kind::Text),
        ("Reversibility", Kind::Text),
        ("Level", Kind::Count),
        ("Steps", Kind::Count),
        ("Took effect", Kind::Text),
    ];
    let row = |action: &Value| -> Vec<Cell> {
        let has_effect = number(action, "/bad_writes").is_some_and(|writes| writes > 0);
        vec![
            words(action, "/action_id").into(),
            cell(action, "/operation"),
            cell(action, "/reversibility"),
            number(action, "/permission_level").into(),
            number(action, "/depth").into(),
            if has_effect { "yes" } else { "no" }.into(),
        ]
    };
    let all = list(account, "/external");
    let rows = all.iter().take(SHOWN_ACTIONS).map(row).collect();
    let empty = "no affected action sent a message, moved money or was irreversible";
    noted("Actions whose effect left the house", &columns, rows, (empty, cut(SHOWN_ACTIONS, all.len(), "actions")))
}

fn amounts(account: &Value) -> Block {
    let columns =
        [("Currency", Kind::Text), ("Actions", Kind::Count), ("Amount", Kind::Number), ("Took effect", Kind::Number)];
    let row = |amount: &Value| -> Vec<Cell> {
        let currency = words(amount, "/currency");
        vec![
            if currency.is_empty() { "not named".to_owned() } else { currency }.into(),
            number(amount, "/actions").into(),
            cell(amount, "/total"),
            cell(amount, "/applied"),
        ]
    };
    let rows = list(account, "/scope/amounts").iter().map(row).collect();
    noted("Amounts", &columns, rows, ("no affected action names an amount", String::new()))
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use serde_json::{Value, json};

    #[test]
    fn a_record_is_headed_once_and_its_cells_stand_below_it() {
        let item = |field: &str| {
            let (system, state) = ("s", "still_wrong");
            json!({"system": system, "record_type": "t", "record_id": "1", "field": field, "state": state})
        };
        let account = json!({"scope": {"records": 1, "items": [item("a"), item("b")]}});
        let html = report(&account, "default").html;
        assert_eq!(html.matches("s/t/1").count(), 1);
        assert_eq!(html.matches("still wrong</td>").count(), 2);
    }

    #[test]
    fn more_names_than_fit_are_counted() {
        let approvers: Vec<String> = (0..25).map(|i| format!("p{i:02}")).collect();
        let account = json!({"scope": {"records": 1, "people": {"approvers": approvers, "subjects": ["secret-key"]}}});
        let html = report(&account, "default").html;
        assert!(html.contains("p19 and 5 more") && !html.contains("p20"));
        assert!(!html.contains("secret-key"), "the key of a person says nothing to a reader");
    }

    #[test]
    fn a_record_with_more_fields_than_fit_is_cut_and_says_so() {
        let item = |n: u64| {
            let field = format!("f{n:04}");
            json!({"system": "s", "record_type": "t", "record_id": "1", "field": field, "state": "restored"})
        };
        let items: Vec<Value> = (0..1_005).map(item).collect();
        let html = report(&json!({"scope": {"records": 1, "items": items}}), "default").html;
        assert!(html.contains("f0999") && !html.contains("f1000") && html.contains("first 1,000 of 1,005 cells"));
    }

    #[test]
    fn a_spread_of_more_steps_than_fit_is_cut_and_says_so() {
        let steps: Vec<Value> = (0..60).map(|n| json!({"steps": n, "actions": 1_000 + n})).collect();
        let account = json!({"scope": {"records": 1, "derived_actions": 59}, "spread": {"steps": steps}});
        let html = report(&account, "default").html;
        assert!(html.contains("1,049") && !html.contains("1,050") && html.contains("first 50 of 60 steps"));
    }

    #[test]
    fn an_exposed_record_is_named() {
        let exposed = json!([{"system": "s", "record_type": "t", "record_id": "9"}]);
        let account = json!({"scope": {"records": 1, "exposed": exposed}});
        let html = report(&account, "default").html;
        assert!(html.contains("without a wrong value of their own: s/t/9."), "{html}");
    }

    #[test]
    fn a_long_chain_is_cut_and_says_so() {
        let step = |seq: u64| json!({"seq": seq, "role": "read", "action_id": format!("a{seq}")});
        let steps: Vec<Value> = (0..15).map(step).collect();
        let chain = json!({"record": "s/t/1", "field": null, "state": "restored", "depth": 7, "steps": steps});
        let account = json!({"scope": {"records": 1, "derived_actions": 7}, "spread": {"chains": [chain]}});
        let html = report(&account, "default").html;
        assert!(html.contains("11 read by a11 → 3 more") && !html.contains("a12"));
    }
}
