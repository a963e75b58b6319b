//! `/actions/{id}`: the dossier of an action: what was proposed and why, who let it pass, what became of it, which
//! items of evidence are held, and how anybody proves its events.
//!
//! In: the id of an action. Out: the page. Invariants: what is shown is the dossier of `query::dossier`; a value that
//! is withheld, erased or was never captured says which; a proof is made of what was signed, never of what merely is
//! there.

mod facts;
mod proof;

use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::layout::parts::badge;
use super::layout::{self, Page, Place, actions, escape, heading, link, notice, path, section, state, table, time};
use super::record::event;
use super::work::{asked, part, shows};
use crate::access::role::May;
use crate::query::dossier::{Dossier, Item, dossier};
use crate::query::objects::{Row, count, text};
use crate::report::document::{Kind, Tone};
use crate::report::format;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{Param, Route};

const PARAMS: &[Param] = &[
    part("id", "the action"),
    asked("as_of", "as of this instant, size of the ledger or version of the table"),
    asked("proof", "the event whose proof stands on the page"),
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/actions/{id}", Some(May::Read), show)
            .page()
            .about(shows("the dossier of an action, with the proofs of its events", PARAMS)),
    ]
}

/// A link to an action.
pub(super) fn link_to(action_id: &str) -> String {
    if action_id.is_empty() {
        return String::new();
    }
    format!("<a href=\"{}\"><code>{}</code></a>", escape(&address(action_id)), escape(action_id))
}

fn address(action_id: &str) -> String {
    path(&["actions", action_id])
}

/// What of an action is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    as_of: String,
    proof: String,
}

async fn show(caller: Caller, Path(id): Path<String>, Query(asked): Query<Asked>) -> Reply {
    let as_of = Some(asked.as_of.trim()).filter(|as_of| !as_of.is_empty());
    let engine = caller.engine(as_of).await?;
    let dossier = dossier(&engine, &id).await?;
    let proofs = proof::section_of(&caller, &dossier, asked.proof.trim()).await?;
    caller
        .reads(Read { what: "/actions/{id}", subject: None, extra: json!({"action_id": id, "as_of": as_of}) })
        .await?;
    let title = format!("Action {id}");
    let about = dossier.action.as_ref().map_or_else(|| facts::NOT_IN_PRODUCTION.to_owned(), facts::sentence);
    let timeline: String = dossier.events.iter().map(event::item).collect();
    let size = format::count(u64::try_from(dossier.as_of.size).unwrap_or_default());
    let body = [
        heading(&title, &about),
        actions(&[link(&format!("/v1{}", address(&id)), "JSON")]),
        section("dossier", "What it is", &facts::facts(&dossier)),
        section("approval", "Was it allowed?", &allowed(&dossier)),
        section("evidence", "Is the evidence there?", &held(dossier.evidence.as_deref())),
        section("events", "What happened", &format!("<ol class=\"timeline\">\n{timeline}</ol>\n")),
        proofs,
        format!("<p class=\"note\">As of {}, the first {size} events.</p>\n", time(&dossier.as_of.at)),
    ];
    let body = body.concat();
    Ok(layout::render(&Page { title: &title, here: Place::Elsewhere, caller: &caller, body }))
}

/// What the policies of the moment asked, who decided, and whether each execution had a valid approval.
fn allowed(dossier: &Dossier) -> String {
    [policies(&dossier.judgements), decisions(&dossier.decisions), approvals(&dossier.approvals)].concat()
}

fn policies(judgements: &[Row]) -> String {
    let line = |row: &Row| {
        let own = if row.get("is_default_policy") == Some(&Value::Bool(true)) { " (built in)" } else { "" };
        vec![
            escape(text(row, "phase")),
            time(text(row, "occurred_at")),
            format!("{}{own}", escape(text(row, "policy_version"))),
            counted(row, "level"),
            yes(row, "needs_approval"),
            escape(text(row, "needed_because")),
            place(row),
        ]
    };
    let columns = [
        ("Moment", Kind::Text),
        ("At", Kind::Time),
        ("Policy in force", Kind::Text),
        ("Level", Kind::Count),
        ("Needs approval", Kind::Text),
        ("Because of", Kind::Text),
        ("Event", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = judgements.iter().map(line).collect();
    table("What the policy asked", &columns, &rows, "No policy could be asked about it.")
}

fn decisions(decisions: &[Row]) -> String {
    let line = |row: &Row| {
        vec![
            state(text(row, "decision")),
            escape(text(row, "decided_by")),
            time(text(row, "decided_at")),
            yes(row, "is_authorised"),
            yes(row, "is_self_decided"),
            place(row),
        ]
    };
    let columns = [
        ("Decision", Kind::Text),
        ("By", Kind::Text),
        ("At", Kind::Time),
        ("Was entitled", Kind::Text),
        ("Decided his own", Kind::Text),
        ("Event", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = decisions.iter().map(line).collect();
    table("Who decided", &columns, &rows, "Nobody decided about it.")
}

fn approvals(approvals: &[Row]) -> String {
    let line = |row: &Row| {
        vec![
            state(text(row, "status")),
            yes(row, "needs_approval"),
            escape(text(row, "executed_by")),
            time(text(row, "executed_at")),
            escape(text(row, "decided_by")),
            counted(row, "use_number"),
            place(row),
        ]
    };
    let columns = [
        ("Approval", Kind::Text),
        ("Needed", Kind::Text),
        ("Executed by", Kind::Text),
        ("At", Kind::Time),
        ("Approved by", Kind::Text),
        ("Use of it", Kind::Count),
        ("Event", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = approvals.iter().map(line).collect();
    table("Whether each execution had a valid approval", &columns, &rows, "It was never executed.")
}

fn yes(row: &Row, column: &str) -> String {
    match row.get(column).and_then(Value::as_bool) {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => badge(Tone::Absent, "not known"),
    }
}

fn place(row: &Row) -> String {
    count(row, "seq").map(|seq| link(&format!("/v1/events/{seq}"), &seq.to_string())).unwrap_or_default()
}

fn counted(row: &Row, column: &str) -> String {
    count(row, column).map(|n| n.to_string()).unwrap_or_default()
}

/// The twelve items of evidence.
fn held(items: Option<&[Item]>) -> String {
    let Some(items) = items else { return notice(Tone::Plain, &format!("<p>{}</p>", facts::NOT_IN_PRODUCTION)) };
    let there = items.iter().filter(|item| item.is_held).count() as u64;
    let line = |item: &Item| {
        let flag = if item.is_held { badge(Tone::Good, "held") } else { badge(Tone::Bad, "missing") };
        format!("<li><span class=\"what\">{flag}</span>\n<span>{}</span>\n</li>\n", escape(item.item))
    };
    let lines: String = items.iter().map(line).collect();
    let counts = format::of(there, items.len() as u64);
    format!(
        "<p class=\"text\">{} items are held, or cannot apply.</p>\n<ul class=\"lines\">\n{lines}</ul>\n",
        escape(&counts)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_item_of_evidence_is_named() {
        let items = [Item { item: "inputs", is_held: false }, Item { item: "timestamp", is_held: true }];
        let html = held(Some(&items));
        assert!(html.contains("missing") && html.contains("inputs") && html.contains("1\u{a0}of\u{a0}2"), "{html}");
        assert!(held(None).contains("production"));
    }

    #[test]
    fn an_action_of_any_name_has_its_address() {
        assert!(link_to("a/<b>").contains("/actions/a%2F%3Cb%3E"));
        assert_eq!(link_to(""), "");
    }
}
