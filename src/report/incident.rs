//! The report of one incident: what it reached and what was done about it, on a page that stands alone.
//!
//! In: the account of an incident as JSON, with what preserves its evidence. Out: page and JSON. Invariant: the page
//! shows what the document holds; what that does not know is said to be unknown, and a list that is cut says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::charts::{Pair, columns};
use super::document::{Block, Cell, Chart, Column, Document, Facts, Flag, Headline, Kind, Section, Table, Tile, Tone};
use super::files::Report;
use super::{format, html};

/// Records on the page; the JSON has all.
const SHOWN_RECORDS: usize = 200;

/// The report of the incident that `account` tells of.
pub fn report(account: &Value, tenant: &str) -> Report {
    let id = words(account, "/incident_id");
    let title = words(account, "/title");
    let document = Document {
        title: format!("Incident {id}"),
        subtitle: format!("{title}, tenant {tenant}"),
        facts: facts(account),
        banner: banner(account),
        sections: vec![answer(account), course(account), records(account), response(account), ground(account)],
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
            format!(
                "{id} ({state}): {certainty} {} records are affected; {} of {} cells are still wrong",
                format::count(records),
                format::count(wrong.unwrap_or(0)),
                format::count(cells.unwrap_or(0))
            )
        }
    }
}

/// Text at a JSON pointer; empty where there is none.
fn words(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text as a cell; missing where there is none.
fn cell(value: &Value, pointer: &str) -> Cell {
    value.pointer(pointer).and_then(Value::as_str).into()
}

/// An instant without the fraction of its second.
fn short(instant: &str) -> String {
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
        ("As of", "/at"),
    ];
    let mut facts: Vec<(String, String)> =
        said.into_iter().map(|(label, pointer)| (label.to_owned(), words(account, pointer))).collect();
    facts.retain(|(_, value)| !value.is_empty());
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

fn answer(account: &Value) -> Section {
    let certainty = words(account, "/scope/certainty");
    let records = number(account, "/scope/records");
    let large = records.map_or_else(|| format::NO_DATA.to_owned(), |n| format!("{certainty} {}", format::count(n)));
    let cells = number(account, "/scope/cells").unwrap_or(0);
    let headline = Headline {
        label: "Records affected".to_owned(),
        value: large,
        detail: format!("{} cells", format::count(cells)),
        ..Headline::default()
    };
    let tile = |label: &str, value: Option<u64>, tone: Tone| Tile {
        label: label.to_owned(),
        value: value.map_or_else(|| format::NO_DATA.to_owned(), format::count),
        detail: "cells".to_owned(),
        status: value.filter(|n| *n > 0).map(|_| Flag::new(tone, label.to_lowercase())),
        source: String::new(),
    };
    let state = |name: &str| number(account, &format!("/scope/states/{name}"));
    let tiles = vec![
        tile("Still wrong", state("still_wrong"), Tone::Bad),
        tile("Overwritten", state("overwritten"), Tone::Watch),
        tile("Restored", state("restored"), Tone::Good),
        tile("Lost", number(account, "/lost"), Tone::Bad),
        tile("Unknown", state("unknown"), Tone::Absent),
    ];
    let doubts: Vec<String> = list(account, "/doubts")
        .iter()
        .filter_map(Value::as_str)
        .map(|doubt| format!("Not certain: {doubt}."))
        .collect();
    let sure = match (records, doubts.is_empty()) {
        (None, _) => "Nothing says what picks the bad actions, so that nothing could be counted.",
        (_, true) => "The counts are exact: no source has a gap, no event came late, every outcome is known.",
        (_, false) => "The counts are lower bounds, for these reasons:",
    };
    let mut blocks = vec![Block::Headline(headline), Block::Tiles(tiles), Block::Text(pause(account))];
    blocks.push(Block::Text(sure.to_owned()));
    if !doubts.is_empty() {
        blocks.push(Block::List(doubts));
    }
    let question = "How much is affected, how much of it is wrong now, and has it stopped?";
    section("answer", "The answer", question, blocks)
}

fn section(id: &str, title: &str, question: &str, blocks: Vec<Block>) -> Section {
    Section { id: id.to_owned(), title: title.to_owned(), question: question.to_owned(), blocks }
}

/// Whether the workflow stands still, and whether it goes on all the same.
fn pause(account: &Value) -> String {
    let at = |pointer: &str| short(&words(account, pointer));
    let still = match account.pointer("/is_paused").and_then(Value::as_bool) {
        None => return "No pause of the workflow is in the log.".to_owned(),
        Some(true) => format!("The workflow is paused since {}.", at("/paused/at")),
        Some(false) => {
            format!("The workflow was paused at {} and resumed at {}.", at("/paused/at"), at("/resumed/at"))
        }
    };
    let after = match number(account, "/cells_after_pause") {
        None => "Whether the selector still writes is not known.".to_owned(),
        Some(0) => "No cell was written wrongly since the pause.".to_owned(),
        Some(cells) => format!("{} cells were written wrongly after the pause.", format::count(cells)),
    };
    format!("{still} {after}")
}

fn course(account: &Value) -> Section {
    let pair = |day: &Value| Pair {
        label: words(day, "/day"),
        counts: number(day, "/cells").zip(number(day, "/still_wrong")),
    };
    let pairs: Vec<Pair> = list(account, "/days").iter().map(pair).collect();
    let title = "Cells by the day of their first bad write";
    let marks = [
        ("detected", "/detected_at"),
        ("opened", "/opened_at"),
        ("paused", "/paused/at"),
        ("last roll-back", "/rolled_back/at"),
        ("closed", "/closed_at"),
    ];
    let marks: Vec<String> = marks
        .into_iter()
        .map(|(name, pointer)| (name, words(account, pointer)))
        .filter(|(_, at)| !at.is_empty())
        .map(|(name, at)| format!("{name} {}", short(&at)))
        .collect();
    let chart = Chart {
        title: title.to_owned(),
        caption: format!("On the way: {}.", marks.join(", ")),
        svg: columns(title, ("cells", "still wrong now"), &pairs),
        source: String::new(),
    };
    section("course", "The course", "When did it happen, and when was what done?", vec![Block::Chart(chart)])
}

/// The affected records, each with its cells that a bad write changed.
fn records(account: &Value) -> Section {
    let is_changed = |item: &&Value| !["not_applied", "no_effect"].contains(&words(item, "/state").as_str());
    let key = |item: &Value| ["/system", "/record_type", "/record_id"].map(|part| words(item, part));
    let mut shown: BTreeSet<[String; 3]> = BTreeSet::new();
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for item in list(account, "/scope/items").iter().filter(is_changed) {
        let key = key(item);
        if shown.len() >= SHOWN_RECORDS && !shown.contains(&key) {
            break;
        }
        let record = key.join("/");
        shown.insert(key);
        rows.push(vec![
            record.into(),
            cell(item, "/field"),
            words(item, "/state").replace('_', " ").into(),
            cell(item, "/old_value"),
            cell(item, "/bad_value"),
            cell(item, "/current_value"),
            cell(item, "/current_writer"),
        ]);
    }
    let of = number(account, "/scope/records").unwrap_or(0);
    let is_cut = of > shown.len() as u64;
    let cut = || format!("The first {SHOWN_RECORDS} of {} records; the JSON has all.", format::count(of));
    let note = if is_cut { cut() } else { String::new() };
    let labels = ["Record", "Field", "State", "Before", "Bad value", "Now", "Written by"];
    let kinds = [Kind::Code, Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Text];
    let table = Table {
        caption: "Affected records".to_owned(),
        columns: labels.into_iter().zip(kinds).map(|(label, kind)| Column::new(label, kind)).collect(),
        rows,
        empty: "no record is affected".to_owned(),
        note,
        source: String::new(),
    };
    section("records", "The records", "Which records, and what stands in them now?", vec![Block::Table(table)])
}

fn response(account: &Value) -> Section {
    let question = "What was done, how fast, and what is due?";
    let blocks = vec![steps(account), clocks(account), deadlines(account), plan(account)];
    section("response", "The response", question, blocks)
}

fn table(caption: &str, columns: &[(&str, Kind)], rows: Vec<Vec<Cell>>, empty: &str) -> Block {
    let columns = columns.iter().map(|(label, kind)| Column::new(*label, *kind)).collect();
    Block::Table(Table { caption: caption.to_owned(), columns, rows, empty: empty.to_owned(), ..Table::default() })
}

fn steps(account: &Value) -> Block {
    let flag = |state: &str| match state {
        "done" => Flag::new(Tone::Good, "done"),
        "open" => Flag::new(Tone::Watch, "open"),
        _ => Flag::new(Tone::Absent, "not known"),
    };
    let row = |step: &Value| -> Vec<Cell> {
        let source = match (number(step, "/seq"), step["is_stated"] == true) {
            (None, _) => None,
            (Some(seq), true) => Some(format!("event {seq}, stated")),
            (Some(seq), false) => Some(format!("event {seq}")),
        };
        let at = Some(short(&words(step, "/at"))).filter(|at| !at.is_empty());
        vec![
            words(step, "/title").into(),
            flag(&words(step, "/state")).into(),
            cell(step, "/by"),
            at.into(),
            source.into(),
            cell(step, "/note"),
        ]
    };
    let columns = [
        ("Step", Kind::Text),
        ("State", Kind::Text),
        ("By", Kind::Text),
        ("At", Kind::Time),
        ("Evidence", Kind::Text),
        ("Note", Kind::Text),
    ];
    table("Steps", &columns, list(account, "/steps").iter().map(row).collect(), "")
}

fn clocks(account: &Value) -> Block {
    let row = |clock: &Value| -> Vec<Cell> { vec![words(clock, "/title").into(), clock["hours"].as_f64().into()] };
    let columns = [("Clock", Kind::Text), ("Time", Kind::Hours)];
    table("Clocks", &columns, list(account, "/clocks").iter().map(row).collect(), "")
}

fn deadlines(account: &Value) -> Block {
    let row = |deadline: &Value| -> Vec<Cell> {
        let (due, told) = (words(deadline, "/due_at"), words(deadline, "/notified_at"));
        let state = match (due.is_empty(), told.is_empty(), deadline["has_passed"] == true) {
            (true, _, _) => Flag::new(Tone::Absent, "not known since when"),
            (_, true, true) => Flag::new(Tone::Bad, "passed"),
            (_, true, false) => Flag::new(Tone::Watch, "running"),
            (_, false, true) => Flag::new(Tone::Bad, "told late"),
            (_, false, false) => Flag::new(Tone::Good, "told in time"),
        };
        let instant = |text: &str| Some(short(text)).filter(|text| !text.is_empty());
        vec![
            words(deadline, "/article").into(),
            words(deadline, "/asks").into(),
            instant(&due).into(),
            instant(&told).into(),
            state.into(),
        ]
    };
    let columns = [
        ("Law", Kind::Text),
        ("It asks to", Kind::Text),
        ("Due", Kind::Time),
        ("Told", Kind::Time),
        ("State", Kind::Text),
    ];
    let rows = list(account, "/deadlines").iter().map(row).collect();
    table("Deadlines", &columns, rows, "the class of this incident has none")
}

fn plan(account: &Value) -> Block {
    let remedies = account.pointer("/plan/remedies").and_then(Value::as_object);
    let pair =
        |(name, n): (&String, &Value)| (name.clone(), format!("{} cells", format::count(n.as_u64().unwrap_or(0))));
    let mut pairs: Vec<(String, String)> = remedies.into_iter().flatten().map(pair).collect();
    if !pairs.is_empty() {
        pairs.push(("plan SHA-256".to_owned(), words(account, "/plan/plan_sha256")));
    }
    let (label, empty) = ("Recovery plan".to_owned(), "there is nothing to recover".to_owned());
    Block::Facts(Facts { label, pairs, empty, source: String::new() })
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
    let facts = Facts { label: "Evidence".to_owned(), pairs, ..Facts::default() };
    let held = if holds.is_empty() {
        Block::Text("No hold is in force: what is older than its retention may be deleted.".to_owned())
    } else {
        Block::List(holds.into_iter().map(|hold| format!("Held: {hold}")).collect())
    };
    let question = "What do these numbers stand on, and what keeps their evidence?";
    section("preservation", "Preservation", question, vec![Block::Facts(facts), held])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_never_a_number() {
        let account = json!({"incident_id": "i", "state": "draft", "title": "a & b", "scope": null, "steps": []});
        let report = report(&account, "default");
        assert!(report.headline.contains("not scoped") && report.html.contains("a &amp; b"));
        assert!(report.html.contains("No pause of the workflow is in the log."));
        assert_eq!((report.name.as_str(), &report.json), ("incident-i", &account));
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
