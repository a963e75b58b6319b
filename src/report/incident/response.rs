//! The response to an incident: recovery plan, steps, clocks, deadlines.
//!
//! In: the account. Out: one section. Invariant: a step is done where the evidence or a person says so, which is told
//! apart.

use serde_json::Value;

use super::{EARLY, cell, list, number, section, short, table, words};
use crate::report::document::{Block, Cell, Facts, Flag, Kind, Section, Tone};
use crate::report::format;

/// Plans that roll-backs name and that the page tells of.
const TOLD_PLANS: usize = 3;

/// What to recover, what was done, how fast, and what is due.
pub(super) fn response(account: &Value) -> Section {
    let question = "What was done, how fast, and what is due?";
    let blocks = vec![plan(account), steps(account), clocks(account), deadlines(account)];
    section("response", "The response", question, blocks)
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
        ("Note", Kind::Prose),
    ];
    table("Steps", &columns, list(account, "/steps").iter().map(row).collect(), "")
}

fn clocks(account: &Value) -> Block {
    let time = |clock: &Value| -> Cell {
        if clock["is_early"] == true { EARLY.into() } else { clock["hours"].as_f64().into() }
    };
    let row = |clock: &Value| -> Vec<Cell> { vec![words(clock, "/title").into(), time(clock)] };
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
        let ground = match (words(deadline, "/article"), words(deadline, "/policy_version")) {
            (article, version) if version.is_empty() => article,
            (article, version) => format!("{article}, policy {version}"),
        };
        vec![
            ground.into(),
            words(deadline, "/asks").into(),
            cell(deadline, "/notify"),
            instant(&due).into(),
            instant(&told).into(),
            state.into(),
        ]
    };
    let columns = [
        ("Ground", Kind::Text),
        ("It asks to", Kind::Text),
        ("Whom", Kind::Text),
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
    pairs.extend(roll_backs(account));
    let (label, empty) = ("Recovery plan".to_owned(), "there is nothing to recover".to_owned());
    Block::Facts(Facts { label, pairs, empty, source: String::new() })
}

/// How many roll-backs name which plan, the plans of most first.
fn roll_backs(account: &Value) -> Vec<(String, String)> {
    let by_plan = account.pointer("/roll_backs_by_plan").and_then(Value::as_object);
    let counted = by_plan.into_iter().flatten().map(|(plan, n)| (plan, n.as_u64().unwrap_or(0)));
    let mut counted: Vec<(&String, u64)> = counted.collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let all = format::count(number(account, "/roll_backs").unwrap_or(0));
    let told = counted.iter().take(TOLD_PLANS).map(|(plan, n)| {
        let words = format!("{} of {all} roll-backs name {plan}", format::count(*n));
        ("rolled back by plan".to_owned(), words)
    });
    let further = counted.len().saturating_sub(TOLD_PLANS) as u64;
    let further = Some(further).filter(|n| *n > 0);
    let further = further.map(|n| ("further plans".to_owned(), format!("{}; the JSON has all", format::count(n))));
    told.chain(further).collect()
}
