//! What may have caused an incident: the values that stand out among the bad actions.
//!
//! In: the account. Out: one section, with a chart and a table. Invariant: a candidate is never called the cause; what
//! may be chance and what the selector itself names are marked.

use serde_json::Value;

use super::{brief, list, noted, number, real, section, short, words};
use crate::report::charts::{Contrast, contrast};
use crate::report::document::{Block, Cell, Chart, Flag, Kind, Section, Tone};
use crate::report::format;

/// Candidates on the page; the JSON has more.
const SHOWN: usize = 12;
/// Characters of what a change says.
const WORDS: usize = 60;

/// The candidates for the cause.
pub(super) fn causes(account: &Value) -> Section {
    let question = "What do the bad actions have that the others lack, and what was changed before?";
    let all = list(account, "/causes/causes");
    let shown = &all[..all.len().min(SHOWN)];
    if shown.is_empty() {
        let lack = words(account, "/causes/lack");
        let lack = if lack.is_empty() { format::NO_DATA } else { lack.as_str() };
        return section("causes", "The causes", question, vec![Block::Text(format!("No candidate is named: {lack}."))]);
    }
    let blocks = vec![Block::Text(ground(account)), chart(shown), listed(account, shown, all.len())];
    section("causes", "The causes", question, blocks)
}

/// What was compared with what.
fn ground(account: &Value) -> String {
    let count = |pointer: &str| format::count(number(account, pointer).unwrap_or(0));
    let kind = if account.pointer("/causes/is_of_executed") == Some(&Value::Bool(true)) { "executed " } else { "" };
    let at = |pointer: &str| short(&words(account, pointer));
    format!(
        "{} bad actions are compared with all {} {kind}actions of production that were proposed from {} to {}, {} days \
         before the first bad one included; {} values were looked at. The order is that of the evidence, not of the \
         lift: what two bad actions share by chance comes late. A candidate is where to look; it proves nothing.",
        count("/causes/bad"),
        count("/causes/all"),
        at("/causes/period_start"),
        at("/causes/period_end"),
        count("/causes/days_before"),
        count("/causes/values")
    )
}

fn chart(shown: &[Value]) -> Block {
    let row = |cause: &Value| Contrast {
        label: words(cause, "/value"),
        note: words(cause, "/dimension").replace('_', " "),
        part: real(cause, "/share_of_bad").unwrap_or_default(),
        whole: real(cause, "/share_of_all").unwrap_or_default(),
        is_doubtful: cause["is_signal"] != true,
        end: format!("× {}", rounded(real(cause, "/lift"))),
    };
    let title = "Shares of the candidates";
    let rows: Vec<Contrast> = shown.iter().map(row).collect();
    Block::Chart(Chart {
        title: title.to_owned(),
        caption: "The share that has the value among the bad actions, and among all; at the end of a row the lift, \
                  which is the one over the other."
            .to_owned(),
        svg: contrast(title, ("among the bad actions", "among all"), &rows),
        source: String::new(),
    })
}

/// A lift with few digits, for the chart; the table has all of them.
fn rounded(lift: Option<f64>) -> String {
    match lift {
        Some(lift) if lift < 100.0 => format!("{lift:.1}"),
        Some(lift) => format!("{lift:.0}"),
        None => format::NO_DATA.to_owned(),
    }
}

fn listed(account: &Value, shown: &[Value], all: usize) -> Block {
    let total = |pointer: &str| number(account, pointer).unwrap_or(0);
    // The totals once in the heading: beside each count they would push the change off the page.
    let (bad, whole) = (of("Bad", total("/causes/bad")), of("All", total("/causes/all")));
    let columns = [
        ("Kind", Kind::Text),
        ("Value", Kind::Code),
        (bad.as_str(), Kind::Count),
        (whole.as_str(), Kind::Count),
        ("Lift", Kind::Number),
        ("Reading", Kind::Text),
        ("First at work", Kind::Time),
        ("Change before", Kind::Text),
    ];
    let row = |cause: &Value| -> Vec<Cell> {
        let first = words(cause, "/first_seen_at");
        vec![
            words(cause, "/dimension").replace('_', " ").into(),
            words(cause, "/value").into(),
            number(cause, "/bad").into(),
            number(cause, "/all").into(),
            real(cause, "/lift").into(),
            reading(cause).into(),
            Some(format::date(&first)).filter(|day| !day.is_empty()).into(),
            change(cause).into(),
        ]
    };
    let more = all as u64 - shown.len() as u64 + total("/causes/left_out");
    let note = if more > 0 { format!("{} more have less evidence.", format::count(more)) } else { String::new() };
    noted("Candidates", &columns, shown.iter().map(row).collect(), ("", note))
}

fn of(label: &str, total: u64) -> String {
    format!("{label}, of {}", format::count(total))
}

fn reading(cause: &Value) -> Flag {
    match (cause["is_selected"] == true, cause["is_signal"] == true) {
        (true, _) => Flag::new(Tone::Plain, "the selector names it"),
        (false, true) => Flag::new(Tone::Watch, "more than chance"),
        (false, false) => Flag::new(Tone::Absent, "may be chance"),
    }
}

/// The change of the configuration before, in words.
fn change(cause: &Value) -> Option<String> {
    let change = cause.get("change").filter(|change| change.is_object())?;
    let part = |name: &str| brief(&words(change, name), WORDS);
    let what = match cause["is_announced"] == true {
        true => "brought it".to_owned(),
        false => format!("{} {}", part("/what"), part("/to")),
    };
    let by = match part("/by") {
        by if by.is_empty() => "nobody named".to_owned(),
        by => by,
    };
    let hours = format::hours(real(change, "/hours_before"));
    Some(format!("{hours} before: event {} by {by}, {what}", number(change, "/seq").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::rounded;
    use serde_json::{Value, json};

    fn cause(value: &str, is_signal: bool, is_selected: bool) -> Value {
        json!({
            "dimension": "rule_version", "value": value, "bad": 3, "all": 4, "share_of_bad": 1.0, "share_of_all": 0.4,
            "lift": 2.5, "is_signal": is_signal, "is_selected": is_selected, "first_seen_at": "2026-01-02T03:04:05Z",
            "change": {"seq": 12, "by": "ann", "what": "policy", "to": "p2", "hours_before": 3.0},
            "is_announced": false,
        })
    }

    #[test]
    fn a_candidate_that_may_be_chance_or_that_the_selector_names_is_marked() {
        let causes = json!({"bad": 3, "all": 10, "days_before": 28, "causes": [
            cause("r1", true, true), cause("r2", true, false), cause("r3", false, false)]});
        let html = report(&json!({"causes": causes}), "default").html;
        let before = "3.0\u{a0}h before: event 12 by ann, policy p2";
        for expected in ["the selector names it", "more than chance", "may be chance", before] {
            assert!(html.contains(expected), "{expected}");
        }
        assert!(html.contains("Bad, of 3<") && html.contains("All, of 10<"));
        assert!(html.contains("First candidate for the cause: rule version r1, in 3\u{a0}of\u{a0}3 bad actions"));
    }

    #[test]
    fn a_lift_on_the_chart_has_few_digits() {
        let words = [Some(25.326), Some(1.04), Some(1234.4), None].map(rounded);
        assert_eq!(words, ["25.3", "1.0", "1234", "no data"]);
    }

    #[test]
    fn without_a_candidate_the_reason_is_told() {
        let html = report(&json!({"causes": {"causes": [], "lack": "every action is bad"}}), "default").html;
        assert!(html.contains("No candidate is named: every action is bad.") && !html.contains("First candidate"));
    }
}
