//! The report of one sample review: what it shows, how it was drawn, and how anybody does it again.
//!
//! In: the document of a review as JSON. Out: page and JSON. Invariant: the page shows what the document holds; a review
//! that is not as stated says so before any number, and what it rests on without proof is called an assumption.

pub mod gather;
mod grounds;
mod sample;

use std::collections::BTreeMap;

use serde_json::Value;

use super::charts::{Goal, Step, evidence};
use super::document::{Block, Cell, Chart, Document, Flag, Headline, Kind, Section, Tile, Tone};
use super::files::Report;
use super::incident::{list, number, real, section, short, table, words};
use super::{format, html};

/// The purpose of a review that follows no incident.
const CADENCE: &str = "cadence";

/// The report of the review that `document` tells of.
pub fn report(document: &Value, tenant: &str) -> Report {
    let id = words(document, "/review_id");
    let page = Document {
        title: format!("Sample review {id}"),
        subtitle: format!("Workflow {}, tenant {tenant}", words(document, "/workflow")),
        facts: facts(document),
        banner: banner(document),
        sections: vec![
            answer(document),
            course(document),
            sample::sample(document),
            sample::items(document),
            grounds::marks(document),
            grounds::people(document),
            grounds::again(document),
            grounds::assumptions(document),
        ],
    };
    Report {
        name: format!("review-{id}"),
        html: html::render(&page),
        json: document.clone(),
        csv: BTreeMap::new(),
        headline: words(document, "/headline"),
    }
}

/// The texts of a list.
fn texts(document: &Value, pointer: &str) -> Vec<String> {
    list(document, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The number of an event, which names it and counts nothing.
fn event(value: &Value, pointer: &str) -> Cell {
    number(value, pointer).map(|seq| seq.to_string()).into()
}

/// A count as a text; what nobody knows is no data.
fn counted(document: &Value, pointer: &str) -> String {
    number(document, pointer).map_or_else(|| format::NO_DATA.to_owned(), format::count)
}

fn facts(document: &Value) -> Vec<(String, String)> {
    let said = [
        ("State", "/state"),
        ("Incident", "/incident_id"),
        ("Permission area", "/area"),
        ("Planned", "/planned/at"),
        ("Drawn", "/drawn/at"),
        ("Resumed", "/resumed/at"),
        ("Sealed values", "/sealed"),
    ];
    let value = |pointer: &str| match pointer.ends_with("/at") {
        true => short(&words(document, pointer)),
        false => words(document, pointer),
    };
    let mut facts: Vec<(String, String)> =
        said.into_iter().map(|(label, pointer)| (label.to_owned(), value(pointer))).collect();
    let purpose = match words(document, "/purpose").as_str() {
        "re_enable" => "before the workflow runs again".to_owned(),
        CADENCE => "by cadence".to_owned(),
        other => other.to_owned(),
    };
    facts.push(("Purpose".to_owned(), purpose));
    facts.push(("Attempt".to_owned(), counted(document, "/attempt")));
    facts.push(("Ledger size".to_owned(), format!("{} events", counted(document, "/size"))));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// What must be known before any number.
fn banner(document: &Value) -> Option<String> {
    if words(document, "/status/decision") == "INVALID" {
        let reasons = texts(document, "/status/reasons").join("; ");
        return Some(format!("This review is not as stated and shows nothing: {reasons}."));
    }
    let last = list(document, "/rulings").last();
    let signed = last.map(|ruling| (words(ruling, "/status/decision"), number(ruling, "/seq").unwrap_or(0)));
    let now = words(document, "/status/decision");
    let unheard = number(document, "/unheard").filter(|unheard| *unheard > 0);
    match signed {
        Some((_, seq)) if unheard.is_some() => Some(format!(
            "ENABLE was signed in event {seq} while {} more marks came, which it does not count: it shows nothing and \
             lets nothing run; plan another review.",
            counted(document, "/unheard")
        )),
        None => Some("Nobody has signed a decision yet; the numbers are those of the marks so far.".to_owned()),
        Some((decision, seq)) if decision != now => Some(format!(
            "The decision that was signed in event {seq} is {decision}; by the evidence of today it would be {now}."
        )),
        Some(_) => None,
    }
}

/// What is decided, and what that promises.
fn answer(document: &Value) -> Section {
    let decision = words(document, "/status/decision");
    let (value, tone) = verdict(&decision, words(document, "/purpose") == CADENCE);
    let headline = Headline {
        label: "The sample says".to_owned(),
        value: decision.clone(),
        detail: value.to_owned(),
        status: Some(Flag::new(tone, words(document, "/state"))),
        ..Headline::default()
    };
    let tile = |label: &str, value: String, detail: String| Tile {
        label: label.to_owned(),
        value,
        detail,
        status: None,
        source: String::new(),
    };
    let count = |pointer: &str| counted(document, pointer);
    let more = number(document, "/status/next").filter(|_| ["EXTEND", "CENSUS"].contains(&decision.as_str()));
    let mut tiles = vec![
        tile("Outputs in the frame", count("/status/N"), excluded(document)),
        tile("Reviewed", count("/status/n"), String::new()),
        tile("Wrong", count("/status/k"), String::new()),
        tile("E", evidence_words(&words(document, "/status/e")), format!("it takes {}", threshold(document))),
    ];
    tiles.extend(more.map(|next| tile("Still to review", format::count(next), "if all are correct".to_owned())));
    let promise = Block::Text(format!("The promise: {}.", words(document, "/promise")));
    let mut blocks = vec![Block::Headline(headline), Block::Tiles(tiles), promise];
    let reasons = texts(document, "/status/reasons");
    if !reasons.is_empty() {
        blocks.push(Block::List(reasons));
    }
    blocks.extend(value_at_stake(document));
    blocks.extend(planted(document));
    let question = match words(document, "/purpose").as_str() {
        CADENCE => "Is the work as good as it is claimed to be, and how sure is that?",
        _ => "May the workflow run, and how sure is that?",
    };
    section("answer", "The answer", question, blocks)
}

/// A decision in a sentence; a look by cadence lets nothing run and stops nothing.
fn verdict(decision: &str, is_by_cadence: bool) -> (&'static str, Tone) {
    match decision {
        "ENABLE" if is_by_cadence => ("The claim is shown.", Tone::Good),
        "PAUSED" if is_by_cadence => ("The plan cannot show the claim any more.", Tone::Bad),
        "ENABLE" => ("The claim is shown: the workflow may run.", Tone::Good),
        "EXTEND" => ("Not shown yet; more marks may show it, and going on costs nothing.", Tone::Watch),
        "CENSUS" => ("Not shown yet; only a look at so much that the claim is certain would show it.", Tone::Watch),
        "PAUSED" => ("The plan cannot show the claim any more; the workflow stays paused.", Tone::Bad),
        "REJECTED" => ("The claim is false: too many outputs are wrong.", Tone::Bad),
        "INVALID" => ("What was planned or drawn is not what the evidence gives.", Tone::Bad),
        _ => (format::NO_DATA, Tone::Absent),
    }
}

fn excluded(document: &Value) -> String {
    let claim = words(document, "/plan/claim/below");
    match number(document, "/status/D0") {
        Some(d0) => format!("to exclude: {} or more wrong", format::count(d0)),
        None => format!("to exclude: {claim} of the value wrong"),
    }
}

/// E as it is to be read; certainty is no number.
fn evidence_words(e: &str) -> String {
    match e {
        "inf" => "certain".to_owned(),
        "" => format::NO_DATA.to_owned(),
        e => e.parse::<u64>().map_or_else(|_| e.to_owned(), format::count),
    }
}

fn threshold(document: &Value) -> String {
    format::number(real(document, "/threshold"))
}

fn value_at_stake(document: &Value) -> Option<Block> {
    document.pointer("/status/value")?;
    let (wrong, total) = (words(document, "/status/value/wrong"), words(document, "/status/value/total"));
    Some(Block::Text(format!("Of the value at stake, {total}, the items reviewed so far have {wrong} wrong.")))
}

fn planted(document: &Value) -> Option<Block> {
    document.pointer("/status/planted")?;
    let count = |name: &str| number(document, &format!("/status/planted/{name}")).unwrap_or(0);
    let (items, marked, caught) = (count("items"), count("marked"), count("caught"));
    let share = words(document, "/status/planted/share");
    let least = if share.is_empty() {
        "What reviewers catch is not known until all of them are marked.".to_owned()
    } else {
        format!("Reviewers catch at least {} of what is wrong, and the test allows for the rest.", percent(&share))
    };
    Some(Block::Text(format!(
        "Among the items were {} that are known to be wrong; {} of them were caught. {least}",
        format::count(items),
        format::of(caught, marked)
    )))
}

/// A share `a/b` in percent with one decimal, rounded down: less is certain than a rounded number would say.
fn percent(share: &str) -> String {
    let [numerator, denominator] = share.split_once('/').map_or(["", ""], |(a, b)| [a, b]).map(str::parse::<u128>);
    match (numerator, denominator) {
        (Ok(numerator), Ok(denominator @ 1..)) => {
            let permille = numerator.saturating_mul(1_000) / denominator;
            format!("{}.{}\u{a0}%", permille / 10, permille % 10)
        }
        _ => share.to_owned(),
    }
}

/// How E came about, and the counts of each stratum.
fn course(document: &Value) -> Section {
    let path = list(document, "/path");
    let step = |step: &Value| Step {
        n: number(step, "/n").unwrap_or(0),
        k: number(step, "/k").unwrap_or(0),
        e: words(step, "/e").parse().unwrap_or(0.0),
    };
    let steps: Vec<Step> = path.iter().map(step).collect();
    let reached = path.last().map_or_else(String::new, |last| evidence_words(&words(last, "/e")));
    let goal = Goal { threshold: real(document, "/threshold").unwrap_or_default(), reached };
    let title = "E over the items reviewed";
    let chart = Chart {
        title: title.to_owned(),
        caption:
            "E is how strongly the marks speak for the claim, 1 at the start. A correct item raises it a little, a \
                  wrong one lowers it much. At the dashed line the claim is shown; the chance that a false claim ever \
                  gets there is at most alpha."
                .to_owned(),
        svg: evidence(title, &goal, &steps),
        source: String::new(),
    };
    let question = "How did the evidence come about, and where were the errors?";
    section("evidence", "The evidence", question, vec![Block::Chart(chart), strata(document)])
}

fn strata(document: &Value) -> Block {
    let row = |stratum: &Value| -> Vec<Cell> {
        let count = |pointer: &str| number(stratum, pointer);
        let part = if stratum["is_take_all"] == true { "in full" } else { "a sample" };
        let e = words(stratum, "/e");
        vec![
            words(stratum, "/stratum").into(),
            part.into(),
            count("/N").into(),
            count("/n").into(),
            count("/k").into(),
            count("/escalated").into(),
            count("/without_evidence").into(),
            count("/unmarked").into(),
            count("/cleared").into(),
            Some(e).filter(|e| !e.is_empty()).map(|e| evidence_words(&e)).into(),
        ]
    };
    let columns = [
        ("Stratum", Kind::Text),
        ("Reviewed", Kind::Text),
        ("Outputs", Kind::Count),
        ("Items", Kind::Count),
        ("Wrong", Kind::Count),
        ("Of them escalated", Kind::Count),
        ("Without evidence", Kind::Count),
        ("Not marked", Kind::Count),
        ("Cleared", Kind::Count),
        ("Own E", Kind::Text),
    ];
    table("Tally by stratum", &columns, list(document, "/status/strata").iter().map(row).collect(), "no stratum")
}

#[cfg(test)]
pub(in crate::report) mod testing {
    use serde_json::{Value, json};

    /// The document of a review of 200 outputs, with `decision`.
    pub fn document(decision: &str) -> Value {
        json!({
            "review_id": "rev-1", "workflow": "w & v", "state": "closed", "purpose": "re_enable", "attempt": 1,
            "size": 900, "headline": "rev-1: done", "threshold": 40.0,
            "promise": "if at least 10 of the 200 outputs in the frame were wrong, …",
            "planned": {"seq": 700, "at": "2026-03-02T10:00:00.000000Z", "by": "ann"},
            "plan": {"claim": {"below": "1/20", "of": "overall"}, "owner": "olga", "reviewers": ["rita"],
                "reviewers_per_item": 1, "procedure": "sequential", "most_items": 130,
                "frame": {"predicate": "true", "environment": "shadow", "size": 690, "items": 200, "left_out": 50,
                    "frame_hash": "f".repeat(64)}},
            "candidate": "rule_version = 'r8'", "left_out_share": 0.2,
            "status": {"N": 200, "D0": 10, "n": 2, "k": 1, "e": "1.5", "decision": decision, "next": 70,
                "reasons": ["1 of 2 is wrong"],
                "strata": [{"stratum": "all", "N": 200, "n": 2, "k": 1, "escalated": 0, "without_evidence": 0,
                    "unmarked": 0, "cleared": 0, "is_take_all": false}]},
            "path": [{"n": 1, "k": 0, "e": "1.1"}, {"n": 2, "k": 1, "e": "0.2"}],
            "rulings": [{"status": {"decision": "EXTEND", "n": 2, "k": 1, "e": "0.2"}, "seq": 800, "by": "olga",
                "at": "2026-03-03T10:00:00.000000Z", "basis": {"marks": 2}}],
            "assumptions": ["the marks are right"], "recompute": ["probity review verify rev-1"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::document;
    use super::*;

    #[test]
    fn the_answer_comes_first_and_the_promise_is_printed() {
        let report = report(&document("EXTEND"), "default");
        let places =
            ["EXTEND", "The promise: if at least 10 of the 200 outputs", "Tally by stratum", "1 of 2 is wrong"]
                .map(|words| report.html.find(words).unwrap_or_else(|| panic!("{words}")));
        assert!(places[0] < places[1] && places[1] < places[2] && places[3] < places[2]);
        assert!(report.html.contains("w &amp; v") && report.html.contains("<svg"));
        assert_eq!((report.name.as_str(), &report.json), ("review-rev-1", &document("EXTEND")));
    }

    #[test]
    fn a_review_that_is_not_as_stated_says_so_before_any_number() {
        let mut invalid = document("INVALID");
        invalid["status"]["reasons"] = json!(["the frame has changed"]);
        let html = report(&invalid, "default").html;
        let banner = html.find("shows nothing: the frame has changed.").unwrap();
        assert!(banner < html.find("Outputs in the frame").unwrap());
        assert!(report(&document("REJECTED"), "default").html.contains("event 800 is EXTEND"));
        assert!(!report(&document("EXTEND"), "default").html.contains("Read this first"));
    }

    #[test]
    fn an_enable_that_does_not_count_every_mark_says_so_before_any_number() {
        let mut late = document("ENABLE");
        late["rulings"][0]["status"]["decision"] = "ENABLE".into();
        assert!(!report(&late, "default").html.contains("Read this first"));
        late["unheard"] = 2.into();
        let html = report(&late, "default").html;
        let banner = html.find("while 2 more marks came, which it does not count").unwrap();
        assert!(banner < html.find("Outputs in the frame").unwrap());
    }

    #[test]
    fn what_is_not_known_is_never_a_number() {
        let html = report(&json!({"review_id": "rev-2"}), "default").html;
        assert!(html.contains("Nobody has signed a decision yet") && html.contains(format::NO_DATA));
        assert!(!html.contains("<svg"));
    }

    #[test]
    fn evidence_is_read_as_a_number_and_certainty_as_a_word() {
        let shown = ["153153", "1.5", "0", "inf", ""].map(evidence_words);
        assert_eq!(shown, ["153,153", "1.5", "0", "certain", format::NO_DATA]);
    }

    #[test]
    fn a_look_by_cadence_does_not_say_that_anything_may_run() {
        let mut cadence = document("ENABLE");
        cadence["purpose"] = CADENCE.into();
        let html = report(&cadence, "default").html;
        assert!(html.contains("The claim is shown.") && html.contains("by cadence") && !html.contains("may run"));
        assert!(report(&document("ENABLE"), "default").html.contains("the workflow may run"));
    }

    #[test]
    fn what_reviewers_catch_is_rounded_down() {
        assert_eq!(percent("381513/500000"), "76.3\u{a0}%");
        assert_eq!((percent("999999/1000000"), percent("1/1")), ("99.9\u{a0}%".to_owned(), "100.0\u{a0}%".to_owned()));
        assert_eq!((percent("1"), percent("1/0")), ("1".to_owned(), "1/0".to_owned()));
    }

    #[test]
    fn certainty_is_said_in_words() {
        let mut certain = document("ENABLE");
        certain["status"]["e"] = "inf".into();
        certain["path"][1]["e"] = "inf".into();
        let html = report(&certain, "default").html;
        assert!(html.contains("certain") && !html.contains(">inf<"));
    }
}
