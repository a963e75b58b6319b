//! The report of one incident: what it reached and what was done about it, on a page that stands alone.
//!
//! In: the account of an incident as JSON, with what preserves its evidence. Out: page and JSON. Invariant: the page
//! shows what the document holds; what that does not know is said to be unknown, and a list that is cut says so.

mod answer;
mod causes;
pub mod gather;
mod reach;
mod response;
mod safeguards;

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{Block, Cell, Column, Document, Facts, Kind, Section, Table};
use super::files::Report;
use super::{format, html};

/// In the place of a time that ended before it began.
pub const EARLY: &str = "already before";

/// The report of the incident that `account` tells of.
pub fn report(account: &Value, tenant: &str) -> Report {
    let id = words(account, "/incident_id");
    let title = words(account, "/title");
    let document = Document {
        title: format!("Incident {id}"),
        subtitle: if title.is_empty() { format!("Tenant {tenant}") } else { format!("{title} · tenant {tenant}") },
        facts: facts(account),
        banner: banner(account),
        sections: vec![
            answer::answer(account),
            answer::course(account),
            causes::causes(account),
            reach::records(account),
            reach::spread(account),
            reach::people(account),
            response::response(account),
            safeguards::safeguards(account),
            ground(account),
        ],
    };
    Report {
        name: format!("incident-{id}"),
        html: html::render(&document),
        json: account.clone(),
        csv: BTreeMap::new(),
        headline: headline(account),
    }
}

/// The incident in one line.
pub fn headline(account: &Value) -> String {
    let (id, state) = (words(account, "/incident_id"), words(account, "/state"));
    match number(account, "/scope/records") {
        None => format!("{id} ({state}): not scoped, nothing says what picks its bad actions"),
        Some(records) => {
            let (certainty, cells) = (words(account, "/scope/certainty"), number(account, "/scope/cells"));
            let wrong = number(account, "/scope/states/still_wrong");
            let beside = [("/lost", "lost"), ("/scope/states/unknown", "unknown")].into_iter();
            let beside =
                beside.filter_map(|(pointer, word)| Some((number(account, pointer).filter(|n| *n > 0)?, word)));
            let beside: String = beside.map(|(n, word)| format!(", {} {word}", format::count(n))).collect();
            format!(
                "{id} ({state}): {certainty} {} records are affected; {} of {} cells are still wrong{beside}",
                format::count(records),
                format::count(wrong.unwrap_or(0)),
                format::count(cells.unwrap_or(0))
            )
        }
    }
}

/// Text at a JSON pointer; empty where there is none.
pub(super) fn words(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn real(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// A text as a cell; missing where there is none.
pub(super) fn cell(value: &Value, pointer: &str) -> Cell {
    value.pointer(pointer).and_then(Value::as_str).into()
}

/// An instant without the fraction of its second.
pub(super) fn short(instant: &str) -> String {
    match instant.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => instant.to_owned(),
    }
}

fn facts(account: &Value) -> Vec<(String, String)> {
    let said = [
        ("State", "/state"),
        ("Severity", "/severity"),
        ("Class", "/class"),
        ("Owner", "/owner"),
        ("Workflow", "/workflow"),
        ("Detected", "/detected_at"),
        ("Aware", "/aware_at"),
        ("Opened", "/opened_at"),
        ("Closed", "/closed_at"),
        ("Why closed", "/close_reason"),
        ("Selector", "/selector/where"),
        ("Selected from", "/selector/from"),
        ("Selected to", "/selector/to"),
        ("Environment", "/selector/environment"),
        ("As of", "/at"),
        ("Sealed values", "/sealed"),
    ];
    let is_instant = |pointer: &str| pointer.ends_with("at") || ["/selector/from", "/selector/to"].contains(&pointer);
    let value = |pointer: &str| match words(account, pointer) {
        instant if is_instant(pointer) => short(&instant),
        text => text,
    };
    let mut facts: Vec<(String, String)> =
        said.into_iter().map(|(label, pointer)| (label.to_owned(), value(pointer))).collect();
    facts.retain(|(_, value)| !value.is_empty());
    if let Some(depth) = number(account, "/selector/depth") {
        facts.push(("Spread followed for".to_owned(), format!("{} steps", format::count(depth))));
    }
    if let Some(size) = number(account, "/size") {
        facts.push(("Ledger size".to_owned(), format!("{} events", format::count(size))));
    }
    facts
}

fn banner(account: &Value) -> Option<String> {
    let passed = list(account, "/deadlines").iter().filter(|d| d["has_passed"] == true);
    let passed: Vec<String> =
        passed.map(|d| format!("{} was due at {}", words(d, "/article"), short(&words(d, "/due_at")))).collect();
    let after = number(account, "/cells_after_pause").filter(|cells| *cells > 0);
    let mut said: Vec<String> = Vec::new();
    if !passed.is_empty() {
        said.push(format!("A deadline has passed without a notice in time: {}.", passed.join("; ")));
    }
    if let Some(cells) = after {
        said.push(format!("After the pause {} more cells were written wrongly.", format::count(cells)));
    }
    Some(said.join(" ")).filter(|said| !said.is_empty())
}

pub(super) fn section(id: &str, title: &str, question: &str, blocks: Vec<Block>) -> Section {
    Section { id: id.to_owned(), title: title.to_owned(), question: question.to_owned(), blocks }
}

pub(super) fn table(caption: &str, columns: &[(&str, Kind)], rows: Vec<Vec<Cell>>, empty: &str) -> Block {
    noted(caption, columns, rows, (empty, String::new()))
}

/// A table with what is said in its place where it is empty, and a note below it.
pub(super) fn noted(
    caption: &str,
    columns: &[(&str, Kind)],
    rows: Vec<Vec<Cell>>,
    (empty, note): (&str, String),
) -> Block {
    let columns = columns.iter().map(|(label, kind)| Column::new(*label, *kind)).collect();
    let (caption, empty, source) = (caption.to_owned(), empty.to_owned(), String::new());
    Block::Table(Table { caption, columns, rows, empty, note, source })
}

/// What is said below a list of which `shown` of `all` entries are on the page.
pub(super) fn cut(shown: usize, all: usize, what: &str) -> String {
    if all <= shown {
        return String::new();
    }
    format!("The first {} of {} {what}; the JSON has all.", format::count(shown as u64), format::count(all as u64))
}

fn ground(account: &Value) -> Section {
    let mut pairs = vec![("affected records SHA-256".to_owned(), words(account, "/scope/affected_sha256"))];
    for frozen in list(account, "/scopes") {
        let version = number(frozen, "/version").unwrap_or(0);
        let (records, seq) = (number(frozen, "/scope/records"), number(frozen, "/seq").unwrap_or(0));
        let records = format::count(records.unwrap_or(0));
        let at = short(&words(frozen, "/at"));
        pairs.push((format!("scope version {version}"), format!("{records} records, event {seq}, frozen at {at}")));
    }
    if let Some(size) = number(account, "/checkpoint/size") {
        pairs.push(("signed checkpoint".to_owned(), format!("{} events", format::count(size))));
        pairs.push(("its ledger".to_owned(), words(account, "/checkpoint/origin")));
        pairs.push(("its root".to_owned(), words(account, "/checkpoint/root")));
    } else {
        pairs.push(("signed checkpoint".to_owned(), "none: this store is not signed".to_owned()));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    let holds: Vec<String> = list(account, "/holds").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let facts = labelled("Evidence", pairs);
    let held = if holds.is_empty() {
        Block::Text("No hold is in force: what is older than its retention may be deleted.".to_owned())
    } else {
        Block::List(holds.into_iter().map(|hold| format!("Held: {hold}")).collect())
    };
    let question = "What do these numbers stand on, and what keeps their evidence?";
    let mut blocks = vec![facts, held];
    if account["is_as_of"] == true {
        let words = "Checkpoint and holds are those of the time of writing, whatever the point that was asked for.";
        blocks.push(Block::Text(words.to_owned()));
    }
    section("preservation", "Preservation", question, blocks)
}

/// The first so many characters of `text`.
pub(super) fn brief(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn labelled(label: &str, pairs: Vec<(String, String)>) -> Block {
    Block::Facts(Facts { label: label.to_owned(), pairs, ..Facts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_never_a_number() {
        let account = json!({"incident_id": "i", "state": "draft", "title": "a & b", "scope": null, "steps": []});
        let report = report(&account, "default");
        assert!(
            report.headline.contains("not scoped")
                && !report.html.contains("Environment")
                && report.html.contains("a &amp; b")
        );
        assert!(report.html.contains("No pause of the workflow is in the log."));
        assert_eq!((report.name.as_str(), &report.json), ("incident-i", &account));
    }

    #[test]
    fn what_cannot_be_right_any_more_and_what_was_not_looked_at_is_said() {
        let account = json!({
            "incident_id": "i", "state": "open", "lost": 2,
            "scope": {"records": 3, "cells": 4, "states": {"still_wrong": 0, "unknown": 1}},
            "selector": {"where": "true", "environment": "sandbox", "depth": 2},
            "clocks": [{"title": "detection to pause", "hours": null, "is_early": true}], "is_as_of": true,
        });
        let report = report(&account, "default");
        assert!(report.headline.ends_with("0 of 4 cells are still wrong, 2 lost, 1 unknown"), "{}", report.headline);
        for expected in ["sandbox", "2 steps", EARLY, "those of the time of writing"] {
            assert!(report.html.contains(expected), "{expected}");
        }
    }

    #[test]
    fn the_sections_come_in_the_order_of_a_readers_questions() {
        let html = report(&json!({"incident_id": "i"}), "default").html;
        let titles = [
            "The answer",
            "The course",
            "The causes",
            "The records",
            "The spread",
            "People and messages",
            "The response",
            "The safeguards",
            "Preservation",
        ];
        let places =
            titles.map(|title| html.find(&format!("</span> {title}</h2>")).unwrap_or_else(|| panic!("{title}")));
        assert!(places.is_sorted());
    }

    #[test]
    fn no_more_records_than_the_page_holds_and_it_says_so() {
        let item =
            |id: u64| json!({"system": "s", "record_type": "t", "record_id": format!("{id:03}"), "state": "restored"});
        let items: Vec<Value> = (0..250).map(item).collect();
        let account = json!({"incident_id": "i", "state": "open", "scope": {"records": 250, "items": items}});
        let html = report(&account, "default").html;
        assert!(html.contains("s/t/199") && !html.contains("s/t/200") && html.contains("200 of 250 records"));
    }
}
