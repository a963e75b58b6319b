//! One item of a review as the reviewer sees it, and the three answers.
//!
//! In: what is shown of the item. Out: markup. Invariants: nothing of what anybody said of the item is in it; a value
//! that was not captured is not shown as empty; the answers work by Tab and Enter alone, and no key sends one by
//! accident from within a field.

use serde_json::Value;

use super::super::layout::{Field, escape, fields, link, pairs, text_area};
use super::super::record::event::inputs;
use crate::query::objects::{Row, number, text};
use crate::report::format;

/// The change, the reason and what was read.
pub(super) fn item(row: &Row) -> String {
    let part = |name: &str| escape(text(row, name));
    let record = ["system", "record_type", "record_id"].map(|name| text(row, name)).join("/");
    let field = match text(row, "field") {
        "" => "the whole record".to_owned(),
        field => escape(field),
    };
    // Read as plain names: a link would lead to what others said.
    let read: Vec<String> = inputs(row).iter().map(|input| without_link(input)).collect();
    let facts = pairs(&[
        ("Record", format!("<code>{}</code>", escape(&record).replace('/', "/<wbr>"))),
        ("Field", field),
        ("Operation", part("operation")),
        ("Why the agent proposed it", part("reason_code")),
        ("Issue", part("issue_type").replace('_', " ")),
        ("Confidence", number(row, "confidence").map(|value| format::number(Some(value))).unwrap_or_default()),
        ("Amount", amount(row)),
        ("What it read", read.join("<br>\n")),
        ("Versions", versions(row)),
        ("Outcome", part("outcome")),
        ("Error", part("error")),
    ]);
    format!(
        "<p class=\"change\"><span class=\"old\"><span class=\"unseen\">from </span>{}</span> \
         <span aria-hidden=\"true\">→</span> <span class=\"new\"><span class=\"unseen\">to </span>{}</span></p>\n\
         {facts}",
        value(row, "old_value"),
        value(row, "new_value")
    )
}

/// A value as it was sent.
fn value(row: &Row, column: &str) -> String {
    match row.get(column).and_then(Value::as_str) {
        None => "<span class=\"missing\">not captured</span>".to_owned(),
        Some("") => "<span class=\"missing\">empty</span>".to_owned(),
        Some(value) => format!("<code>{}</code>", escape(value)),
    }
}

/// The words of a link without it; only markup of this server is given.
fn without_link(markup: &str) -> String {
    let (Some(start), Some(end)) = (markup.find("<a "), markup.find("</a>")) else { return markup.to_owned() };
    let Some(open) = markup[start..].find('>').map(|place| start + place + 1) else { return markup.to_owned() };
    format!("{}{}{}", &markup[..start], &markup[open..end], &markup[end + "</a>".len()..])
}

fn amount(row: &Row) -> String {
    let amount = match row.get("amount") {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    escape(format!("{amount} {}", text(row, "currency")).trim())
}

fn versions(row: &Row) -> String {
    let all = [("prompt", "prompt_version"), ("rule", "rule_version"), ("model", "model_version")];
    let said = all.into_iter().map(|(label, column)| (label, text(row, column)));
    let said = said.filter(|(_, version)| !version.is_empty());
    said.map(|(label, version)| format!("{label} {}", escape(version))).collect::<Vec<_>>().join("<br>\n")
}

/// What the form of an item needs.
pub(super) struct Marking<'a> {
    /// Where it is sent.
    pub(super) action: &'a str,
    /// The token of the session.
    pub(super) csrf: &'a str,
    /// The item.
    pub(super) item: &'a str,
    /// When it was opened, sealed.
    pub(super) opened: &'a str,
    /// What stands in the comment.
    pub(super) comment: &'a str,
    /// What can be said.
    pub(super) answers: Answers,
    /// Where its evidence is; empty where it stands on the page.
    pub(super) evidence: &'a str,
}

/// What a reviewer can say of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answers {
    /// Whether his `correct` would count: not where he called it incorrect before.
    pub(super) may_clear: bool,
    /// Whether he may say how much of its value is wrong.
    pub(super) has_amount: bool,
}

/// The form with the three answers.
pub(super) fn form(marking: &Marking<'_>) -> String {
    let hidden: String = [("csrf", marking.csrf), ("item", marking.item), ("opened", marking.opened)]
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escape(value)))
        .concat();
    let amount = Field {
        name: "wrong_amount",
        label: "How much of the value is wrong, if incorrect",
        example: "12.50",
        note: "Empty: all of it.",
        ..Field::default()
    };
    let amount = if marking.answers.has_amount { fields(&[amount]) } else { String::new() };
    let comment = Field { name: "comment", label: "Comment", value: marking.comment, ..Field::default() };
    let comment = text_area(&comment, 2).replacen("<textarea ", "<textarea data-key=\"m\" maxlength=\"4000\" ", 1);
    let evidence = match marking.evidence {
        "" => String::new(),
        evidence => format!(
            "<p class=\"evidence\">{} <kbd aria-hidden=\"true\">h</kbd></p>\n",
            link(evidence, "Open the history of the record and of what was read").replacen(
                "<a ",
                "<a data-key=\"h\" ",
                1
            )
        ),
    };
    let clear = if marking.answers.may_clear { "" } else { " disabled" };
    let answer = |mark: &str, key: &str, words: &str| {
        let off = if mark == "correct" { clear } else { "" };
        format!(
            "<button name=\"mark\" aria-keyshortcuts=\"{key}\" value=\"{mark}\" data-key=\"{key}\"{off}>\
             <kbd aria-hidden=\"true\">{key}</kbd> {words}</button>\n"
        )
    };
    // The first button of a form is what Enter in a field presses: a disabled one, so that no mark is sent by it.
    format!(
        "{evidence}<form class=\"form wide marking\" method=\"post\" action=\"{}\">\n{hidden}\
         <button class=\"unseen\" disabled tabindex=\"-1\" aria-hidden=\"true\"></button>\n{comment}{amount}\
         <div class=\"keys\" role=\"group\" aria-label=\"Your mark\">\n{}{}{}</div>\n</form>\n",
        escape(marking.action),
        answer("correct", "c", "Correct"),
        answer("incorrect", "i", "Incorrect"),
        answer("escalate", "e", "Escalate"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Row {
        let row = json!({"system": "crm", "record_type": "lead", "record_id": "<9>", "field": "owner", "old_value": null,
            "new_value": "", "reason_code": "territory", "confidence": 0.91,
            "inputs": [{"system": "crm", "record_type": "lead", "record_id": "8", "field": "mail"}]});
        row.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn an_item_is_shown_with_its_reasons_and_leads_nowhere_else() {
        let html = item(&row());
        for expected in ["not captured", "empty", "territory", "0.91", "&lt;9&gt;", "mail"] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert!(!html.contains("<a ") && !html.contains("<9>"), "{html}");
    }

    fn marking(may_clear: bool, has_amount: bool) -> String {
        form(&Marking {
            action: "/reviews/r/desk",
            csrf: "token",
            item: "aa",
            opened: "1.ff",
            comment: "</textarea><b>",
            answers: Answers { may_clear, has_amount },
            evidence: "/reviews/r/desk?item=aa",
        })
    }

    #[test]
    fn the_three_answers_are_buttons_and_enter_in_a_field_presses_none() {
        let html = marking(true, true);
        for key in ["c", "i", "e", "h", "m"] {
            assert_eq!(html.matches(&format!("data-key=\"{key}\"")).count(), 1, "{key}");
        }
        assert!(html.contains("<button class=\"unseen\" disabled"));
        assert!(html.find("<button class=\"unseen\" disabled") < html.find("name=\"mark\""));
        assert!(
            html.contains("wrong_amount") && !html.contains("<b>") && html.contains("name=\"csrf\" value=\"token\"")
        );
    }

    #[test]
    fn who_called_it_incorrect_is_not_offered_to_clear_it() {
        let html = marking(false, false);
        assert!(html.contains("value=\"correct\" data-key=\"c\" disabled") && !html.contains("wrong_amount"));
    }
}
