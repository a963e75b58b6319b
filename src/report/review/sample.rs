//! The frame, the seed and the items of a review.
//!
//! In: the document of a review. Out: two sections. Invariant: what was left out and who could have chosen the sample
//! stand beside what was drawn.

use serde_json::Value;

use super::{counted, event, texts};
use crate::report::document::{Block, Cell, Flag, Kind, Section, Tone};
use crate::report::format;
use crate::report::incident::{brief, cell, cut, labelled, list, noted, number, real, section, words};

/// Items on the page; the JSON has more.
const SHOWN: usize = 200;
/// Characters of a value.
const VALUE: usize = 60;
/// Characters of an id, of which `review mark` takes 8.
const ID: usize = 12;

/// What was judged, and how the sample of it was drawn.
pub(super) fn sample(document: &Value) -> Section {
    let said = |pointer: &str| words(document, pointer);
    let (items, left_out) = (number(document, "/plan/frame/items"), number(document, "/plan/frame/left_out"));
    let share = items.zip(left_out).map(|(items, left_out)| {
        let share = format::percent(real(document, "/left_out_share"));
        format!("{}, {share}", format::of(left_out, items + left_out))
    });
    let frame = vec![
        ("candidate", said("/candidate")),
        ("narrowed to", said("/plan/frame/predicate")),
        ("environment", said("/plan/frame/environment")),
        ("as of", format!("{} events", counted(document, "/plan/frame/size"))),
        ("outputs", counted(document, "/plan/frame/items")),
        ("left out of the candidate", share.unwrap_or_default()),
        ("strata by", said("/stratum_by")),
        ("planted from", said("/planted_from/predicate")),
        ("frame SHA-256", said("/plan/frame/frame_hash")),
    ];
    let plan = vec![
        ("claim", claim(document)),
        ("alpha of all attempts", said("/plan/alpha")),
        ("alpha of this test", said("/status/alpha")),
        ("procedure", said("/plan/procedure")),
        ("most items", counted(document, "/plan/most_items")),
        ("planned", stated(document, "/planned")),
        ("plan hash", said("/plan_hash")),
    ];
    let blocks = vec![labelled("Frame", kept(frame)), labelled("Plan", kept(plan)), seed(document)];
    section("sample", "The sample", "What was judged, and who could have chosen the sample?", blocks)
}

/// The pairs that say something.
fn kept(pairs: Vec<(&str, String)>) -> Vec<(String, String)> {
    pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(label, value)| (label.to_owned(), value)).collect()
}

fn claim(document: &Value) -> String {
    let of = match words(document, "/plan/claim/of").as_str() {
        "each_stratum" => "in each stratum",
        "value" => "of the value at stake",
        _ => "of all outputs",
    };
    format!("error rate below {} {of}", words(document, "/plan/claim/below"))
}

/// Event, instant and person of a statement; empty where there is none.
pub(super) fn stated(document: &Value, pointer: &str) -> String {
    let Some(mark) = document.pointer(pointer).filter(|mark| mark.is_object()) else { return String::new() };
    let at = format::instant(&words(mark, "/at"));
    format!("event {} by {}, {at}", number(mark, "/seq").unwrap_or(0), words(mark, "/by"))
}

fn seed(document: &Value) -> Block {
    if document.pointer("/seed").is_none_or(Value::is_null) {
        return Block::Text("Nothing is drawn yet.".to_owned());
    }
    let said = |pointer: &str| words(document, pointer);
    let mut pairs = vec![
        ("class", format!("{}: {}", said("/seed/class"), said("/class_means"))),
        ("drawn", stated(document, "/drawn")),
        ("checkpoint", format!("{} events of {}", counted(document, "/seed/seed/size"), said("/seed/seed/origin"))),
        ("its root", said("/seed/seed/root")),
        ("seed SHA-256", said("/seed/seed_hash")),
        ("order SHA-256", said("/seed/order_hash")),
    ];
    let entropy: Vec<String> = list(document, "/seed/seed/entropy")
        .iter()
        .map(|part| format!("{} {}", words(part, "/kind"), words(part, "/hex")))
        .collect();
    pairs.push(("revealed", entropy.join(", ")));
    labelled("Seed", kept(pairs))
}

/// A column of the items: its label, its kind, what it says of an item.
type Told = (&'static str, Kind, fn(&Value) -> Cell);

/// What is told of every item.
const TOLD: [Told; 9] = [
    ("Turn", Kind::Count, |item| number(item, "/turn").into()),
    ("Record", Kind::Text, |item| record(item).into()),
    ("Field", Kind::Text, |item| cell(item, "/field")),
    ("Before", Kind::Text, |item| value(item, "/old_value").into()),
    ("Proposed", Kind::Text, |item| value(item, "/new_value").into()),
    ("Stands", Kind::Text, |item| standing(&words(item, "/standing")).into()),
    ("Reviewers", Kind::Text, |item| {
        Some(texts(item, "/reviewers").join(", ")).filter(|names| !names.is_empty()).into()
    }),
    ("Event", Kind::Code, |item| event(item, "/seq")),
    ("Item", Kind::Code, |item| words(item, "/item").chars().take(ID).collect::<String>().into()),
];
/// The place of how it stands.
const STANDS: usize = 5;
/// Of several strata.
const STRATUM: Told = ("Stratum", Kind::Text, |item| cell(item, "/stratum"));
/// Of a claim by value.
const VALUES: [Told; 2] = [
    ("Value", Kind::Text, |item| cell(item, "/weight")),
    ("Wrong amount", Kind::Text, |item| cell(item, "/wrong_amount")),
];

/// What reviewers were shown, and how it stands; a column that would say nothing is left out, the JSON has it.
pub(super) fn items(document: &Value) -> Section {
    let told = list(document, "/items");
    let shown = &told[..told.len().min(SHOWN)];
    let mut columns = TOLD.to_vec();
    if words(document, "/plan/claim/of") == "value" {
        (STANDS + 1..).zip(VALUES).for_each(|(at, column)| columns.insert(at, column));
    }
    if list(document, "/plan/strata").len() > 1 {
        columns.insert(1, STRATUM);
    }
    let rows: Vec<Vec<Cell>> = shown.iter().map(|item| columns.iter().map(|(_, _, of)| of(item)).collect()).collect();
    let columns: Vec<(&str, Kind)> = columns.iter().map(|(label, kind, _)| (*label, *kind)).collect();
    let note = left_out(document, (shown.len(), told.len()));
    let question = "What was judged, and what was found? Items that are not correct come first.";
    section("items", "The items", question, vec![noted("Items reviewed", &columns, rows, ("none yet", note))])
}

/// What is said below the items of which not all are shown; the document itself may hold fewer than were judged.
fn left_out(document: &Value, (shown, told): (usize, usize)) -> String {
    let judged = number(document, "/judged").unwrap_or(told as u64);
    if judged <= told as u64 {
        return cut(shown, told, "items");
    }
    let counts = [shown as u64, judged, told as u64].map(format::count);
    format!("The first {} of {} items; the JSON has {}.", counts[0], counts[1], counts[2])
}

fn record(item: &Value) -> Option<String> {
    let parts = ["/system", "/record_type", "/record_id"].map(|part| words(item, part));
    if parts.iter().all(String::is_empty) { None } else { Some(parts.join("/")) }
}

fn value(item: &Value, pointer: &str) -> Option<String> {
    item.pointer(pointer).and_then(Value::as_str).map(|text| brief(text, VALUE))
}

fn standing(standing: &str) -> Flag {
    let tone = match standing {
        "correct" => Tone::Good,
        "incorrect" | "without_evidence" => Tone::Bad,
        "escalated" => Tone::Watch,
        _ => Tone::Absent,
    };
    Flag::new(tone, standing.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::report;
    use super::super::testing::document;

    #[test]
    fn what_was_left_out_and_who_could_choose_the_sample_are_told() {
        let mut drawn = document("EXTEND");
        assert!(report(&drawn, "default").html.contains("Nothing is drawn yet."));
        drawn["seed"] = json!({"class": "D", "seed_hash": "a", "order_hash": "b",
            "seed": {"origin": "log", "size": 701, "root": "c"}});
        drawn["class_means"] = "a checkpoint alone".into();
        let html = report(&drawn, "default").html;
        for expected in ["50\u{a0}of\u{a0}250, 20.0\u{a0}%", "D: a checkpoint alone", "701 events of log", "below 1/20"]
        {
            assert!(html.contains(expected), "{expected}");
        }
    }

    #[test]
    fn no_more_items_than_the_page_holds_and_it_says_so() {
        let item = |turn: usize| {
            json!({"turn": turn, "system": "s", "record_type": "t", "standing": "correct",
            "record_id": format!("{turn:03}"), "old_value": "x".repeat(90), "reviewers": ["rita", "ron"]})
        };
        let mut many = document("EXTEND");
        many["items"] = (1..=250).map(item).collect::<Vec<Value>>().into();
        let html = report(&many, "default").html;
        assert!(html.contains("s/t/200") && !html.contains("s/t/201") && html.contains("200 of 250 items"));
        assert!(html.contains("rita, ron") && html.contains(&format!("{}…", "x".repeat(60))));
        many["judged"] = 1_250.into();
        assert!(report(&many, "default").html.contains("200 of 1,250 items; the JSON has 250"));
    }

    #[test]
    fn a_column_that_would_say_nothing_is_left_out() {
        let mut review = document("EXTEND");
        review["items"] = json!([{"turn": 1, "stratum": "gold", "weight": "7.50", "standing": "correct"}]);
        let html = report(&review, "default").html;
        assert!(!html.contains("gold") && !html.contains("7.50") && !html.contains("Wrong amount"));
        review["plan"]["strata"] = json!([{"stratum": "gold"}, {"stratum": "tin"}]);
        review["plan"]["claim"]["of"] = "value".into();
        let html = report(&review, "default").html;
        let places = ["Turn", "gold", "correct", "7.50"].map(|words| html.rfind(words).unwrap());
        assert!(places.is_sorted() && html.contains("Wrong amount"), "{places:?}");
    }
}
