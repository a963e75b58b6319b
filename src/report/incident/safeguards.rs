//! The safeguards of an incident: the controls that list its actions, and the guardrail that was replayed.
//!
//! In: the account. Out: one section. Invariant: a control that was not run is named; what a guardrail stops beside the
//! bad actions is told as plainly as what it stops of them.

use serde_json::Value;

use super::{labelled, list, noted, number, real, section, short, words};
use crate::report::document::{Block, Cell, Kind, Section};
use crate::report::format;

/// The controls and the guardrail.
pub(super) fn safeguards(account: &Value) -> Section {
    let question = "Which controls list these actions, and would a new rule have stopped them?";
    let mut blocks = vec![controls(account)];
    match account.get("guardrail").filter(|guardrail| guardrail.is_object()) {
        None => blocks.push(Block::Text(
            "No guardrail was replayed. `probity incident guardrail` tells what a rule or a policy would have stopped, \
             and states it with `--state`."
                .to_owned(),
        )),
        Some(guardrail) => blocks.extend([replay(guardrail), about(guardrail)]),
    }
    section("safeguards", "The safeguards", question, blocks)
}

fn controls(account: &Value) -> Block {
    let columns = [
        ("Control", Kind::Code),
        ("It asks", Kind::Text),
        ("Of this incident", Kind::Count),
        ("In the months", Kind::Count),
    ];
    let row = |control: &Value| -> Vec<Cell> {
        let count = |name: &str| number(control, name).unwrap_or(0);
        vec![
            words(control, "/control").into(),
            words(control, "/question").into(),
            number(control, "/actions").into(),
            format::of(count("/violations"), count("/population")).into(),
        ]
    };
    let rows = list(account, "/failed_controls/failed").iter().map(row).collect();
    let (empty, note) = match number(account, "/failed_controls/ran").filter(|ran| *ran > 0) {
        None => ("no control was run for this incident".to_owned(), String::new()),
        Some(ran) => {
            let none = format!("none of {} controls lists an action of this incident", format::count(ran));
            (none, months(account, ran))
        }
    };
    noted("Controls that list its actions", &columns, rows, (empty.as_str(), note))
}

/// Which months the controls were run over, and which were not run.
fn months(account: &Value, ran: u64) -> String {
    let at = |pointer: &str| format::date(&words(account, pointer));
    let not_run = account.pointer("/failed_controls/not_run").and_then(Value::as_object);
    let names: Vec<&str> = not_run.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let (from, to) = (at("/failed_controls/period_start"), at("/failed_controls/period_end"));
    let mut note = format!(
        "{} controls were run over the months of the bad actions, {from} to {to} (not included). A control whose rows \
         are runs or agents names one action for each.",
        format::count(ran)
    );
    if !names.is_empty() {
        note.push_str(&format!(" Not run: {}.", names.join(", ")));
    }
    note
}

fn replay(guardrail: &Value) -> Block {
    let columns = [
        ("Actions that took effect", Kind::Text),
        ("Stopped", Kind::Count),
        ("Of", Kind::Count),
        ("Share", Kind::Percent),
        ("95 % interval", Kind::Interval),
    ];
    let row = |(label, name): (&str, &str)| -> Vec<Cell> {
        let at = |part: &str| format!("/replay/{name}/{part}");
        let bounds = real(guardrail, &at("ci_low")).zip(real(guardrail, &at("ci_high")));
        vec![
            label.into(),
            number(guardrail, &at("stopped")).into(),
            number(guardrail, &at("actions")).into(),
            real(guardrail, &at("share")).into(),
            bounds.map_or(Cell::Missing, |(low, high)| Cell::Range(low, high)),
        ]
    };
    let kinds = [
        ("picked by the selector", "direct"),
        ("that read what those wrote", "derived"),
        ("others of the same workflows in the period", "others"),
    ];
    let idle = number(guardrail, "/replay/not_executed").filter(|n| *n > 0);
    let note = idle.map_or_else(String::new, |n| {
        format!("{} more that the selector picks never took effect: there is nothing to stop.", format::count(n))
    });
    noted("Guardrail replay", &columns, kinds.into_iter().map(row).collect(), ("", note))
}

/// What was replayed, and which actions it misses or hits.
fn about(guardrail: &Value) -> Block {
    let said = |pointer: &str| words(guardrail, pointer);
    let mut pairs = vec![
        ("rule", said("/replay/rule")),
        ("policy", said("/replay/policy/version")),
        ("policy SHA-256", said("/replay/policy/sha256")),
        ("others proposed from", short(&said("/replay/period_start"))),
        ("to", short(&said("/replay/period_end"))),
        ("stated", format!("event {} by {}", number(guardrail, "/seq").unwrap_or(0), said("/by"))),
    ];
    let by = guardrail.pointer("/replay/by_control").and_then(Value::as_object);
    let by: Vec<String> = by
        .into_iter()
        .flatten()
        .map(|(control, n)| format!("{control} {}", format::count(n.as_u64().unwrap_or(0))))
        .collect();
    pairs.push(("bad actions by control", by.join(", ")));
    for (label, name) in [("not stopped", "missed"), ("stopped as well", "hit")] {
        let ids: Vec<&str> = list(guardrail, &format!("/replay/{name}")).iter().filter_map(Value::as_str).collect();
        pairs.push((label, ids.join(", ")));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    labelled("What was replayed", pairs.into_iter().map(|(label, value)| (label.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use serde_json::json;

    #[test]
    fn what_a_guardrail_hits_beside_is_told_as_plainly_as_what_it_stops() {
        let stopped = |n: u64, of: u64| {
            let share = n as f64 / of as f64;
            json!({"stopped": n, "actions": of, "share": share, "ci_low": 0.25, "ci_high": 0.75})
        };
        let replay = json!({"rule": "field = 'x'", "direct": stopped(3, 3), "others": stopped(2, 4), "missed": [],
            "hit": ["a-8", "a-9"], "not_executed": 1});
        let account = json!({"guardrail": {"seq": 7, "by": "ann", "replay": replay}});
        let html = report(&account, "default").html;
        for expected in ["100.0\u{a0}%", "50.0\u{a0}%", "a-8, a-9", "event 7 by ann", "1 more that the selector picks"]
        {
            assert!(html.contains(expected), "{expected}");
        }
        assert!(!html.contains("not stopped") && !html.contains("No guardrail was replayed"));
    }

    #[test]
    fn controls_that_were_not_run_are_named() {
        let failed = json!({"ran": 21, "failed": [], "not_run": {"chain_break": "it reads the whole log"}});
        let html = report(&json!({"failed_controls": failed}), "default").html;
        assert!(html.contains("none of 21 controls") && html.contains("Not run: chain_break."));
        assert!(report(&json!({}), "default").html.contains("no control was run"));
    }
}
