//! SQL of the reader's own: one SELECT in a form, its first rows below it.
//!
//! In: the text, in the address. Out: a page. Invariants: the text is stated as evidence before its rows are shown; two
//! such queries run at once and others wait, but not for ever. It must not judge the text: the engine's guard does.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{FORMATS, Tab, as_of_field, refused, result, tabs};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::limits::{PLACE_SECONDS, SHOWN_ROWS};
use crate::query::answer::{Answer, Limits};
use crate::query::catalogue::Catalogue;
use crate::query::header::Kind;
use crate::query::{blast, functions};
use crate::report::document::Kind as Set;
use crate::server::api::{explained, query};
use crate::server::caller::{Caller, Read};
use crate::server::pages::layout::{self, Field, Page, Place};
use crate::server::pages::work::{asked, part, shows};
use crate::server::problem::Reply;
use crate::server::route::{About, Answer as RouteAnswer, Param, Route};
use crate::server::state::App;

const FORMS: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
];
/// What stands in the form at first.
const EXAMPLE: &str = "select event_type, count(*) as events from events group by event_type order by events desc";

const Q: Param = asked("q", "the SELECT");
const AS_OF: Param = asked("as_of", "RFC 3339 instant, ledger size or vN");

/// The routes of this file.
pub(super) fn routes() -> Vec<Route> {
    let page = shows("one SELECT over the evidence and the first rows of its answer", const { &[Q, AS_OF] });
    let file = About {
        summary: "the whole answer of the SELECT of a page, as `POST /v1/query` gives it",
        params: const { &[part("format", "json, ndjson, csv, parquet or arrow"), Q, AS_OF] },
        body: None,
        answers: &[RouteAnswer { status: 200, types: FORMS, schema: "", note: "the rows while they are computed" }],
    };
    vec![
        Route::get("/sql", Some(May::Read), sql).page().about(page),
        Route::get("/sql/{format}", Some(May::Read), whole).about(file),
    ]
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    q: String,
    as_of: String,
}

impl Asked {
    /// What was asked, where the form that says it is left out.
    fn on_paper(&self) -> String {
        let as_of = layout::pairs(&[("as_of", layout::escape(self.as_of().unwrap_or_default()))]);
        layout::on_paper(&format!("<pre><code>{}</code></pre>\n{as_of}", layout::escape(&self.q)))
    }

    fn as_of(&self) -> Option<&str> {
        Some(self.as_of.trim()).filter(|text| !text.is_empty())
    }
}

async fn sql(State(app): State<App>, caller: Caller, Query(asked): Query<Asked>) -> Reply {
    let mut body = layout::heading("Query", "One SELECT over the evidence. It reads and cannot change anything.");
    body += &tabs(Tab::Sql);
    body += &form(&asked);
    let mut status = StatusCode::OK;
    if !asked.q.trim().is_empty() {
        let (answered, markup) = match answer_of(&app, &caller, &asked).await {
            Ok((answer, size)) => (StatusCode::OK, result::shown(&answer, size, &downloads(&asked))?),
            Err(error) => refused(error)?,
        };
        status = answered;
        body += &layout::section("result", "Answer", &(asked.on_paper() + &markup));
    }
    body += &reference()?;
    Ok(layout::render_as(status, &Page { title: "SQL", here: Place::Query, caller: &caller, body }))
}

/// The whole answer as a file: an address, so that it is a link, which a `POST` is not.
async fn whole(
    State(app): State<App>,
    caller: Caller,
    Path(format): Path<String>,
    Query(asked): Query<Asked>,
) -> Reply {
    let as_of = asked.as_of().map(str::to_owned);
    query::of_sql(&app, &caller, (asked.q, as_of, format)).await
}

fn downloads(asked: &Asked) -> Vec<String> {
    let pairs = [("q", asked.q.as_str()), ("as_of", asked.as_of().unwrap_or_default())];
    let link = |(format, words): (&str, &str)| layout::link(&layout::address(&format!("/sql/{format}"), &pairs), words);
    FORMATS.map(link).to_vec()
}

async fn answer_of(app: &App, caller: &Caller, asked: &Asked) -> Result<(Answer, i64)> {
    let waited = tokio::time::timeout(Duration::from_secs(PLACE_SECONDS), app.adhoc().acquire()).await;
    let busy = |_| Error::unavailable("as many questions in SQL are being answered as may be at once; ask again");
    let _place = waited.map_err(busy)?.map_err(|e| Error::internal("the places for SQL were closed").because(e))?;
    let engine = caller.engine(asked.as_of()).await?;
    let extra = json!({"sql": asked.q, "as_of": asked.as_of()});
    caller.reads(Read { what: "sql", subject: None, extra }).await?;
    let limits = Limits { rows: SHOWN_ROWS, ..Limits::default() };
    let mut answer = engine.sql(&asked.q, limits).await?;
    for rows in &mut answer.batches {
        *rows = explained::shown(rows.clone(), &asked.q, caller.tenant.store())?;
    }
    Ok((answer, engine.as_of().size))
}

fn form(asked: &Asked) -> String {
    let text = if asked.q.is_empty() { EXAMPLE } else { &asked.q };
    let q = Field { name: "q", label: "SELECT", value: text, is_required: true, ..Field::default() };
    format!(
        "<form class=\"form wide\" method=\"get\" action=\"/sql\">\n{}<div class=\"grid\">\n{}</div>\n\
         <p class=\"submit\"><button>Run</button></p>\n</form>\n",
        layout::text_area(&q, 8),
        layout::fields(&[as_of_field(&asked.as_of)])
    )
}

/// The tables and functions that there are.
fn reference() -> Result<String> {
    let views = Catalogue::shipped()?.list().filter(|query| query.kind == Kind::View);
    let tables: Vec<Vec<String>> = views
        .map(|view| {
            let columns: Vec<&str> = view.returns.iter().map(|column| column.name.as_str()).collect();
            vec![
                layout::link(&layout::path(&["query", &view.name]), &view.name),
                layout::escape(&view.question),
                format!("<code>{}</code>", layout::escape(&columns.join(", "))),
            ]
        })
        .collect();
    let notes = functions::notes().chain(blast::NOTES);
    let calls: Vec<Vec<String>> = notes.map(|note| vec![layout::code(note.call), layout::escape(note.gives)]).collect();
    let tables =
        layout::table("Views", &[("Name", Set::Code), ("Question", Set::Text), ("Columns", Set::Text)], &tables, "");
    let calls = layout::table("Functions", &[("Call", Set::Code), ("Gives", Set::Text)], &calls, "");
    let body = format!(
        "<details>\n<summary>Views and their columns</summary>\n{tables}</details>\n\
         <details>\n<summary>Functions</summary>\n{calls}</details>\n"
    );
    Ok(layout::section("reference", "What can be asked", &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_stands_in_the_form_as_text() {
        let asked = Asked { q: "select '</textarea><script>'".to_owned(), as_of: "v7".to_owned() };
        let form = form(&asked);
        assert_eq!(form.matches("</textarea>").count(), 1);
        assert!(!form.contains("<script>") && form.contains("value=\"v7\""));
        let paper = asked.on_paper();
        assert!(!paper.contains("<script>") && paper.contains("&lt;script&gt;") && paper.contains("<dd>v7</dd>"));
    }

    #[test]
    fn every_view_and_function_is_listed() {
        let page = reference().unwrap();
        for name in ["judged_actions", "policy_rules", "wilson_low", "blast_radius"] {
            assert!(page.contains(name), "{name}");
        }
    }
}
