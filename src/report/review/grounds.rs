//! The marks, the people, the way to do it again, and the assumptions of a review.
//!
//! In: the document of a review. Out: four sections. Invariant: a mark that was taken back stays visible; what was not
//! checked is not called checked.

use serde_json::Value;

use super::{counted, event, evidence_words, texts};
use crate::report::document::{Block, Cell, Flag, Kind, Section, Tone};
use crate::report::format;
use crate::report::incident::{cell, cut, labelled, list, noted, number, section, short, table, words};

/// Marks that were taken back on the page; the JSON has more.
const SHOWN: usize = 100;

/// What was taken back or cleared.
pub(super) fn marks(document: &Value) -> Section {
    let count = |name: &str| counted(document, &format!("/marks/{name}"));
    let mut summary = format!("{} marks of {} items.", count("marks"), count("items"));
    if number(document, "/marks/refused") > Some(0) {
        summary.push_str(&format!(
            " {} marks from incorrect to correct by the same reviewer did not count, because a second one has to clear it.",
            count("refused")
        ));
    }
    if number(document, "/marks/by_others") > Some(0) {
        summary.push_str(&format!(
            " {} marks were put into the ledger by somebody else than the reviewer whom they name.",
            count("by_others")
        ));
    }
    let all = list(document, "/marks/superseded");
    let shown = &all[..all.len().min(SHOWN)];
    let row = |mark: &Value| -> Vec<Cell> {
        vec![
            words(mark, "/reviewer").into(),
            words(mark, "/mark").into(),
            event(mark, "/seq"),
            words(mark, "/now").into(),
            event(mark, "/superseded_by"),
            words(mark, "/item").into(),
        ]
    };
    let columns = [
        ("Reviewer", Kind::Text),
        ("Said", Kind::Text),
        ("Event", Kind::Code),
        ("Says now", Kind::Text),
        ("Event", Kind::Code),
        ("Item", Kind::Code),
    ];
    let note = cut(shown.len(), all.len(), "marks");
    let superseded = noted("Marks taken back", &columns, shown.iter().map(row).collect(), ("none", note));
    let cleared = list(document, "/marks/cleared").iter().map(|cleared| -> Vec<Cell> {
        let said = texts(cleared, "/reviewers").join(", ");
        vec![words(cleared, "/cleared_by").into(), said.into(), words(cleared, "/item").into()]
    });
    let columns = [("Cleared by", Kind::Text), ("Marked by", Kind::Text), ("Item", Kind::Code)];
    let cleared = table("Items cleared", &columns, cleared.collect(), "none");
    let question = "Was anything said that was taken back later?";
    section("marks", "The marks", question, vec![Block::Text(summary), superseded, cleared])
}

/// Who reviewed, what had to hold, who signed.
pub(super) fn people(document: &Value) -> Section {
    let named = |pointer: &str| texts(document, pointer).join(", ");
    let mut pairs = vec![
        ("business owner", words(document, "/plan/owner")),
        ("reviewers", named("/plan/reviewers")),
        ("reviewers of each item", counted(document, "/plan/reviewers_per_item")),
        ("authors of the fix, as named", named("/authors")),
    ];
    pairs.retain(|(_, value)| !value.is_empty());
    let pairs = pairs.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
    let blocks = vec![labelled("People", pairs), conditions(document), rulings(document)];
    section("people", "People and signatures", "Who judged, who signed, and what had to hold before?", blocks)
}

fn conditions(document: &Value) -> Block {
    let row = |condition: &Value| -> Vec<Cell> {
        let is_met = condition["is_met"] == true;
        let flag = if is_met { Flag::new(Tone::Good, "met") } else { Flag::new(Tone::Bad, "not met") };
        vec![
            words(condition, "/condition").replace('_', " ").into(),
            flag.into(),
            words(condition, "/words").into(),
            event(condition, "/seq"),
        ]
    };
    let columns =
        [("Condition", Kind::Text), ("When planned", Kind::Text), ("Evidence", Kind::Prose), ("Event", Kind::Code)];
    let rows = list(document, "/preconditions").iter().map(row).collect();
    table("Before it was planned", &columns, rows, "nothing has to hold before a review by cadence")
}

fn rulings(document: &Value) -> Block {
    let row = |ruling: &Value| -> Vec<Cell> {
        let counts = number(ruling, "/status/k").zip(number(ruling, "/status/n"));
        vec![
            words(ruling, "/status/decision").into(),
            counts.map(|(k, n)| format::of(k, n)).into(),
            evidence_words(&words(ruling, "/status/e")).into(),
            number(ruling, "/basis/marks").into(),
            cell(ruling, "/by"),
            short(&words(ruling, "/at")).into(),
            event(ruling, "/seq"),
        ]
    };
    let columns = [
        ("Decision", Kind::Text),
        ("Wrong", Kind::Text),
        ("E", Kind::Text),
        ("Marks", Kind::Count),
        ("Signed by", Kind::Text),
        ("At", Kind::Time),
        ("Event", Kind::Code),
    ];
    table("Decisions", &columns, list(document, "/rulings").iter().map(row).collect(), "nobody has signed yet")
}

/// How anybody does it again, and what was checked while this page was made.
pub(super) fn again(document: &Value) -> Section {
    let row = |check: &Value| -> Vec<Cell> {
        let flag = match words(check, "/outcome").as_str() {
            "passed" => Flag::new(Tone::Good, "as stated"),
            "failed" => Flag::new(Tone::Bad, "not as stated"),
            _ => Flag::new(Tone::Absent, "not checked"),
        };
        let findings = texts(check, "/findings").join("; ");
        vec![
            words(check, "/check").into(),
            flag.into(),
            words(check, "/words").into(),
            Some(findings).filter(|findings| !findings.is_empty()).into(),
        ]
    };
    let columns = [("Check", Kind::Text), ("Result", Kind::Text), ("What", Kind::Prose), ("Wrong", Kind::Prose)];
    let checks = table("Checked for this page", &columns, list(document, "/checks").iter().map(row).collect(), "");
    let ways = texts(document, "/recompute").iter().map(|way| command(way)).collect();
    let mut blocks = vec![Block::List(ways), checks];
    let seed = words(document, "/seed_text");
    if !seed.is_empty() {
        let lines = seed.lines().zip(SEED_LINES.into_iter().chain(std::iter::repeat("revealed")));
        let pairs = lines.map(|(line, label)| (label.to_owned(), line.to_owned())).collect();
        blocks.push(labelled("Seed text, each line ending with a line feed", pairs));
    }
    section("again", "Doing it again", "How does anybody get the same result without trusting this page?", blocks)
}

/// A command line and the comment behind it as a sentence; other words as they are.
fn command(way: &str) -> String {
    match way.split_once(" # ") {
        Some((command, comment)) => format!("`{}`: {}", command.trim_end(), comment.trim_start()),
        None => way.to_owned(),
    }
}

/// The lines of a seed text.
const SEED_LINES: [&str; 7] = ["form", "log", "tree size", "root", "frame", "plan", "attempt"];

/// What the result rests on and nobody proved.
pub(super) fn assumptions(document: &Value) -> Section {
    let blocks = vec![Block::List(texts(document, "/assumptions"))];
    section("assumptions", "Assumptions", "What does the result rest on that nobody proved?", blocks)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report;
    use super::super::testing::document;

    #[test]
    fn a_mark_that_was_taken_back_stays_visible() {
        let mut review = document("EXTEND");
        review["marks"] = json!({"marks": 3, "items": 2, "refused": 1,
            "superseded": [{"item": "i-1", "reviewer": "rita", "seq": 810, "mark": "correct", "superseded_by": 812,
                "now": "incorrect"}],
            "cleared": [{"item": "i-2", "cleared_by": "ron", "reviewers": ["rita", "ron"]}]});
        let html = report(&review, "default").html;
        for expected in ["3 marks of 2 items. 1 marks", "i-1", "812", "i-2", "rita, ron"] {
            assert!(html.contains(expected), "{expected}");
        }
        assert!(!html.contains("by somebody else"));
        review["marks"]["by_others"] = 2.into();
        assert!(report(&review, "default").html.contains("2 marks were put into the ledger by somebody else"));
    }

    #[test]
    fn what_was_not_checked_is_not_called_checked() {
        let mut review = document("EXTEND");
        let check = |outcome: &str, findings: &[&str]| {
            json!({"check": "seed", "outcome": outcome, "words": "w",
            "findings": findings})
        };
        review["checks"] = json!([check("not_checked", &[])]);
        let html = report(&review, "default").html;
        assert!(html.contains("not checked") && !html.contains("as stated"));
        review["checks"] = json!([check("failed", &["another root"])]);
        assert!(report(&review, "default").html.contains("another root"));
    }

    #[test]
    fn a_way_to_do_it_again_is_a_command_with_words_behind_it() {
        let mut review = document("EXTEND");
        review["recompute"] = json!(["probity review verify rev-1   # all of it", "frame: one line an output"]);
        let html = report(&review, "default").html;
        assert!(html.contains("<li><code>probity review verify rev-1</code>: all of it</li>"));
        assert!(html.contains("<li>frame: one line an output</li>"));
    }

    #[test]
    fn the_number_of_an_event_is_a_name_and_not_a_count() {
        let mut review = document("EXTEND");
        review["rulings"][0]["seq"] = 20_101.into();
        let html = report(&review, "default").html;
        assert!(html.contains("<code class=\"short\">20101</code>") && !html.contains("20,101"));
    }

    #[test]
    fn the_seed_text_is_printed_line_by_line() {
        let mut review = document("EXTEND");
        review["seed_text"] = "sample-review-seed/v1\nlog\n701\nr\nf\np\n2\nann:00ff\n".into();
        let html = report(&review, "default").html;
        assert!(html.contains("<dt>attempt</dt><dd>2</dd>") && html.contains("<dt>revealed</dt><dd>ann:00ff</dd>"));
    }
}
