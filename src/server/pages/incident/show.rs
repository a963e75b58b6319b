//! One incident: the answer first, then the steps and what can be stated, then its whole report.
//!
//! In: an incident. Out: the page. Invariants: everything shown is of one account, made once and kept; the parts that
//! carry the token of a session are put between when the page is sent. The controls are left to the report that stands
//! alone: they take longer than all the rest, and who has to act does not wait for them.

use axum::extract::{Path, Query};
use serde_json::{Value, json};

use super::super::layout::{self, Page, Place, actions, escape, link, notice, section};
use super::super::work::{Done, Inside, Shown, apart, in_two, inside, joined, up_to};
use super::forms::{closing, noting, replaying};
use super::{address, answer, sight_of};
use crate::access::role::May;
use crate::error::Result;
use crate::incident::account::Account;
use crate::incident::record;
use crate::query::engine::Engine;
use crate::report::document::Tone;
use crate::report::html;
use crate::report::incident::gather::{Reader, told};
use crate::report::withheld::Sight;
use crate::server::cache::step;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::state::Tenant;

/// The page of an incident.
pub(super) async fn show(caller: Caller, Path(id): Path<String>, Query(done): Query<Done>) -> Reply {
    let (title, sight, asked) = (format!("Incident {id}"), sight_of(&caller), id.clone());
    let shown = Shown { key: format!("incident:{sight:?}:{id}"), title: &title, done: &done };
    let made =
        inside(
            &caller,
            shown,
            move |tenant, engine| async move { parts(&tenant, &engine, (asked.as_str(), sight)).await },
        );
    let markup = match made.await? {
        Inside::Ready(markup) => markup,
        Inside::Wait(response) => return Ok(response),
    };
    caller.reads(Read { what: "/incidents/{id}", subject: None, extra: json!({"incident_id": id}) }).await?;
    let [state, front, now, course, rest] = apart::<5>(&markup)?;
    let mut body = done.said(stated);
    body += front;
    body += now;
    body += &ways(&caller, &id, state);
    body += course;
    if caller.may(May::Respond) && state != "closed" {
        body += &stating(&caller, &id, state);
    }
    body += rest;
    Ok(layout::render(&Page { title: &title, here: Place::Incidents, caller: &caller, body }))
}

/// The state, the front of the report, the answer, the steps with the notes, and the rest of the report.
async fn parts(tenant: &Tenant, engine: &Engine, (id, sight): (&str, Sight)) -> Result<String> {
    step("finding what the bad actions reached, and what may have caused them");
    let record = record::one(engine, id).await?;
    let account = Account::of(tenant.store(), engine, record).await?;
    step("writing the page");
    let reader = Reader { tenant: tenant.name(), is_as_of: false, sight };
    let report = told(tenant.store(), &account, reader).await?;
    // The steps stand above, each with a link to its event.
    let [front, rest] = in_two(&html::without_table(&report.html, "Steps"))?;
    let document = &report.json;
    let state = document.get("state").and_then(Value::as_str).unwrap_or_default();
    let course = format!("{}{}", answer::steps(document), answer::notes(document));
    Ok(joined(&[state.to_owned(), front, answer::answer(document), course, format!("{rest}{}", up_to(engine))]))
}

/// What was just stated, in words.
fn stated(what: &str) -> Option<&'static str> {
    Some(match what {
        "opened" => "The incident is open, and its first scope is frozen.",
        "changed" => "The change is stated.",
        "noted" => "It is stated.",
        "frozen" => "The scope was taken anew and is frozen.",
        "replayed" => "The guardrail was replayed, and the result is stated; the safeguards below tell it.",
        "closed" => "The incident is closed.",
        _ => return None,
    })
}

/// Where else to look, and what else to take.
fn ways(caller: &Caller, id: &str, state: &str) -> String {
    let (own, api) = (address(id), format!("/v1{}", address(id)));
    let change = match caller.may(May::Respond) && state != "closed" {
        true => link(&format!("{own}/change"), "Change what is known of it"),
        false => String::new(),
    };
    let review = match caller.may(May::Respond) {
        true => {
            link(&layout::parts::address("/reviews/new", &[("incident", id)]), "Plan the review before re-enabling")
        }
        false => String::new(),
    };
    actions(&[
        format!("<a class=\"button main\" href=\"{}\">Cells and recovery plan</a>", escape(&format!("{own}/cells"))),
        change,
        review,
        link(&format!("{api}/report"), "Report with its controls"),
        link(&api, "JSON"),
    ])
}

/// The forms that state something of it.
fn stating(caller: &Caller, id: &str, state: &str) -> String {
    let own = address(id);
    let draft = match state {
        "draft" => notice(
            Tone::Watch,
            "<p>A rule of the policy opened this. With the first thing that is stated it becomes an open incident, and \
             somebody is aware of it.</p>",
        ),
        _ => String::new(),
    };
    let step_form = section("state-step", "State a step, or a note", &noting(caller, id, ("", "")));
    let scope = format!(
        "<p class=\"text\">The scope as of now is frozen with its counts and the hash of the affected records, as a \
         new version.</p>\n{}",
        layout::button_form(&format!("{own}/freeze"), caller, "Freeze the scope again", &[])
    );
    format!(
        "{draft}<div class=\"columns stating\">\n{step_form}{}{}{}</div>\n",
        section("freeze", "Scope", &scope),
        section("guardrail", "Replay a guardrail", &replaying(caller, id, "")),
        section("close", "Close", &closing(caller, id, ""))
    )
}
