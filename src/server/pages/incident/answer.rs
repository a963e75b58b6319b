//! The answer of an incident, before anything else: what is wrong now, what cannot be undone, whether it goes on,
//! whether it is paused, what is next and until when; and the seven steps.
//!
//! In: the account as JSON. Out: markup. Invariant: what nobody knows is said to be unknown; the numbers are those of
//! the account.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::layout::parts::badge;
use super::super::layout::{counted, escape, link, section, time};
use crate::report::document::Tone;
use crate::report::{format, html};

/// Text at a JSON pointer; empty where there is none.
fn words<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The answer in lines: what is asked, how it stands, and what is known beside.
pub(super) fn answer(account: &Value) -> String {
    let lines = [wrong(account), lost(account), going_on(account), paused(account), next(account), due(account)];
    let shown: String = lines.iter().map(Line::markup).collect();
    section("answer-now", "Now", &format!("<ul class=\"lines\">\n{shown}</ul>\n"))
}

struct Line {
    what: &'static str,
    tone: Tone,
    state: String,
    /// Markup.
    more: String,
}

impl Line {
    fn markup(&self) -> String {
        let more = match self.more.as_str() {
            "" => String::new(),
            more => format!("<span class=\"more\">{more}</span>\n"),
        };
        let state = badge(self.tone, &self.state);
        format!("<li><span class=\"what\">{}</span>\n<span>{state}</span>\n{more}</li>\n", escape(self.what))
    }
}

fn wrong(account: &Value) -> Line {
    let what = "Wrong now";
    let Some(records) = number(account, "/scope/records") else {
        let state = "not known: nothing says what picks the bad actions".to_owned();
        return Line { what, tone: Tone::Absent, state, more: String::new() };
    };
    let is_wrong = |item: &&Value| words(item, "/state") == "still_wrong";
    let wrong: BTreeSet<[&str; 3]> = list(account, "/scope/items").iter().filter(is_wrong).map(key).collect();
    let certainty = words(account, "/scope/certainty");
    let cells = number(account, "/scope/states/still_wrong").unwrap_or(0);
    let of = format!("{certainty} {}", counted(records, "affected record", "affected records"));
    let tone = if wrong.is_empty() { Tone::Good } else { Tone::Bad };
    let state = format!("{} still wrong, of {of}", counted(wrong.len() as u64, "record is", "records are"));
    let more = format!(
        "{} in them; the rest was restored, overwritten or never changed",
        counted(cells, "cell is wrong", "cells are wrong")
    );
    Line { what, tone, state, more: if wrong.is_empty() { String::new() } else { more } }
}

fn key(item: &Value) -> [&str; 3] {
    ["/system", "/record_type", "/record_id"].map(|part| words(item, part))
}

fn lost(account: &Value) -> Line {
    let what = "Cannot be undone";
    let (lost, external) = (number(account, "/lost"), number(account, "/scope/external_effects"));
    let Some((lost, external)) = lost.zip(external) else {
        return Line { what, tone: Tone::Absent, state: "not known".to_owned(), more: String::new() };
    };
    let unknown = number(account, "/scope/states/unknown").unwrap_or(0);
    let tone = if lost + external > 0 { Tone::Bad } else { Tone::Good };
    let state = match (lost, external) {
        (0, 0) => "nothing".to_owned(),
        (lost, 0) => counted(lost, "cell is lost", "cells are lost"),
        (0, external) => format!("{} with effects outside", counted(external, "action", "actions")),
        (lost, external) => format!(
            "{}, {} with effects outside",
            counted(lost, "cell is lost", "cells are lost"),
            counted(external, "action", "actions")
        ),
    };
    let more = match unknown {
        0 => String::new(),
        n => format!("of {} nobody knows what stands", counted(n, "cell", "cells")),
    };
    Line { what, tone, state, more }
}

fn going_on(account: &Value) -> Line {
    let what = "Still happening";
    let last = match words(account, "/last_bad_at") {
        "" => String::new(),
        at => format!("last bad write {}", time(at)),
    };
    let (tone, state) = match number(account, "/cells_after_pause") {
        Some(0) => (Tone::Good, "no: nothing was written wrongly since the pause".to_owned()),
        Some(n) => {
            (Tone::Bad, format!("yes: {} since the pause", counted(n, "cell was written", "cells were written")))
        }
        None if last.is_empty() => (Tone::Absent, "no bad write is known".to_owned()),
        None => (Tone::Watch, "not known to have stopped: there is no pause to count from".to_owned()),
    };
    Line { what, tone, state, more: last }
}

fn paused(account: &Value) -> Line {
    let what = "Paused";
    let by = |pointer: &str| match words(account, pointer) {
        "" => String::new(),
        by => format!(" by {}", escape(by)),
    };
    match account.pointer("/is_paused").and_then(Value::as_bool) {
        Some(true) => {
            let more = format!("since {}{}", time(words(account, "/paused/at")), by("/paused/by"));
            Line { what, tone: Tone::Good, state: "yes".to_owned(), more }
        }
        Some(false) => {
            let more = format!("resumed {}{}", time(words(account, "/resumed/at")), by("/resumed/by"));
            Line { what, tone: Tone::Watch, state: "no: it runs again".to_owned(), more }
        }
        None => match words(account, "/workflow") {
            "" => {
                let state = "not known: no workflow is named that could be paused".to_owned();
                Line { what, tone: Tone::Absent, state, more: String::new() }
            }
            workflow => {
                let state = "not paused: no pause is in the log".to_owned();
                let more = format!("a <code>workflow.paused</code> event of {} would show it", escape(workflow));
                Line { what, tone: Tone::Bad, state, more }
            }
        },
    }
}

fn next(account: &Value) -> Line {
    let what = "Next";
    let line = |tone, state: &str| Line { what, tone, state: state.to_owned(), more: String::new() };
    match (words(account, "/state"), next_step(account)) {
        ("closed", _) => line(Tone::Good, "nothing: it is closed"),
        ("draft", _) => line(Tone::Watch, "take it over: a rule of the policy opened it, and nobody has looked yet"),
        (_, Some(step)) => {
            let more = html::prose(words(step, "/note"));
            Line { what, tone: Tone::Watch, state: words(step, "/title").to_owned(), more }
        }
        (_, None) => line(Tone::Good, "close it: every step is done"),
    }
}

/// The first step that is not known to be done.
fn next_step(account: &Value) -> Option<&Value> {
    list(account, "/steps").iter().find(|step| words(step, "/state") != "done")
}

/// The deadline that nobody has met yet and that ends first.
fn due(account: &Value) -> Line {
    let what = "Deadline";
    let all = list(account, "/deadlines");
    let open = all.iter().filter(|deadline| deadline["notified_at"].is_null());
    let Some(first) = open.min_by_key(|deadline| (deadline["due_at"].is_null(), words(deadline, "/due_at"))) else {
        let state = if all.is_empty() { "its class has none" } else { "met" };
        return Line { what, tone: Tone::Plain, state: state.to_owned(), more: String::new() };
    };
    let more = format!("{}: {}", escape(words(first, "/article")), escape(words(first, "/asks")));
    let due = format::instant(words(first, "/due_at"));
    let (tone, state) = match (due.is_empty(), first["has_passed"] == true) {
        (true, _) => (Tone::Absent, "not known: nobody said since when the organisation is aware".to_owned()),
        (false, true) => (Tone::Bad, format!("passed at {due} UTC")),
        (false, false) => (Tone::Watch, format!("{due} UTC")),
    };
    Line { what, tone, state, more }
}

/// The seven steps, each with who did it, when, and the event that says so.
pub(super) fn steps(account: &Value) -> String {
    let current = next_step(account).map(|step| words(step, "/step"));
    let step = |step: &Value| {
        let state = match words(step, "/state") {
            "done" => badge(Tone::Good, "done"),
            "open" => badge(Tone::Watch, "open"),
            _ => badge(Tone::Absent, "not known"),
        };
        let mark = if current == Some(words(step, "/step")) { " aria-current=\"step\"" } else { "" };
        let more: Vec<String> =
            [evidence(step), html::prose(words(step, "/note"))].into_iter().filter(|s| !s.is_empty()).collect();
        let more = match more.join("; ").as_str() {
            "" => String::new(),
            more => format!("<br>\n<span class=\"note\">{more}</span>"),
        };
        format!("<li{mark}><div>{} {state}{more}</div></li>\n", escape(words(step, "/title")))
    };
    let shown: String = list(account, "/steps").iter().map(step).collect();
    section("steps", "Steps", &format!("<ol class=\"steps\">\n{shown}</ol>\n"))
}

fn evidence(step: &Value) -> String {
    let Some(seq) = number(step, "/seq") else { return String::new() };
    let said = if step["is_stated"] == true { "stated" } else { "shown" };
    let by = match words(step, "/by") {
        "" => String::new(),
        by => format!(" by {}", escape(by)),
    };
    let event = link(&format!("/v1/events/{seq}"), &format!("event {seq}"));
    format!("{said}{by} {} in {event}", time(words(step, "/at")))
}

/// What persons wrote, the newest first.
pub(super) fn notes(account: &Value) -> String {
    let note = |note: &Value| {
        let step = match words(note, "/step") {
            "" => String::new(),
            step => format!("<strong>{}</strong> ", escape(&step.replace('_', " "))),
        };
        let seq = number(note, "/seq").unwrap_or_default();
        let event = link(&format!("/v1/events/{seq}"), &format!("event {seq}"));
        let (at, by) = (time(words(note, "/at")), escape(words(note, "/by")));
        format!(
            "<li><p class=\"at\">{at} {by}, {event}</p>\n<p class=\"text\">{step}{}</p></li>\n",
            escape(words(note, "/note"))
        )
    };
    let shown: String = list(account, "/notes").iter().rev().map(note).collect();
    match shown.is_empty() {
        true => String::new(),
        false => section("notes", "Notes", &format!("<ol class=\"timeline\">\n{shown}</ol>\n")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_said_and_never_a_number() {
        let html = answer(&json!({"state": "open", "scope": null, "steps": []}));
        for expected in ["nothing says what picks", "no workflow is named", "its class has none", "no bad write"] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
    }

    #[test]
    fn the_records_that_are_wrong_are_counted_once_each() {
        let item = |id: &str, field: &str, state: &str| {
            let (system, kind) = ("s", "t");
            json!({"system": system, "record_type": kind, "record_id": id, "field": field, "state": state})
        };
        let items = json!([item("1", "a", "still_wrong"), item("1", "b", "still_wrong"), item("2", "a", "restored")]);
        let account = json!({
            "state": "open", "lost": 2, "cells_after_pause": 3, "is_paused": true, "paused": {"at": "", "by": "<ann>"},
            "scope": {"records": 2, "certainty": "at least", "external_effects": 1, "items": items,
                "states": {"still_wrong": 2, "unknown": 1}},
            "steps": [{"step": "pause", "title": "pause the workflow", "state": "done"},
                {"step": "roll_back", "title": "roll back", "state": "open", "note": "2 cells"}],
        });
        let html = answer(&account);
        for expected in [
            "1 record is still wrong, of at least 2 affected records",
            "2 cells are wrong",
            "2 cells are lost, 1 action with effects outside",
            "yes: 3 cells were written since the pause",
            "&lt;ann&gt;",
            "roll back",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        let listed = steps(&account);
        assert_eq!(listed.matches("aria-current").count(), 1);
        assert!(listed.find("aria-current") > listed.find("pause the workflow"));
    }

    #[test]
    fn the_first_deadline_that_nobody_met_is_told() {
        let due = |due: &str, told: Value, passed: bool| {
            let article = "GDPR article 33(1)";
            json!({"due_at": due, "notified_at": told, "has_passed": passed, "article": article, "asks": "tell"})
        };
        let of = |all: Value| super::due(&json!({"deadlines": all})).state;
        let (early, late) = ("2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z");
        assert!(of(json!([due(late, Value::Null, false), due(early, Value::Null, true)])).starts_with("passed at"));
        assert_eq!(of(json!([due(early, "x".into(), false)])), "met");
    }
}
