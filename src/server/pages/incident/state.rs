//! The forms of an incident: changes, steps and notes, a new scope, a replayed guardrail, the end.
//!
//! In: forms. Out: events of the register, by the caller's name. Invariant: nothing is stated without the token of the
//! caller's session, and what was stated names its event on the page that follows; a form that is refused comes back.

use std::sync::Arc;

use axum::Form;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::super::layout::{self, Page, Place, heading};
use super::super::work::{Done, see_other};
use super::address;
use super::facts::Facts;
use super::forms::{closing, noting, or_again, replaying};
use super::list::refused;
use crate::error::{Error, ErrorKind, Result};
use crate::incident::asked::Said;
use crate::incident::guardrail::{Guardrail, replay};
use crate::incident::record::{self, Record};
use crate::incident::{register, scope};
use crate::query::engine::Engine;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;

/// The form that changes what is known of an incident.
pub(super) async fn form(caller: Caller, Path(id): Path<String>) -> Reply {
    let engine = caller.tenant.engine().await?;
    let record = record::one(&engine, &id).await?;
    caller.reads(Read { what: "/incidents/{id}/change", subject: None, extra: json!({"incident_id": id}) }).await?;
    Ok(page(&caller, (id.as_str(), &Facts::of(&record)), (StatusCode::OK, String::new())))
}

fn page(caller: &Caller, (id, facts): (&str, &Facts), (status, above): (StatusCode, String)) -> Response {
    let title = format!("Change incident {id}");
    let about = "What differs from what stood here is stated; another condition or window freezes a new scope.";
    let form = layout::form(&format!("{}/change", address(id)), caller, &facts.markup(), "State the change");
    let back = layout::actions(&[layout::link(&address(id), "Back to the incident")]);
    let body = format!("{}{back}{above}{form}", heading(&title, about));
    layout::render_as(status, &Page { title: &title, here: Place::Incidents, caller, body })
}

/// States what has changed.
pub(super) async fn change(caller: Caller, Path(id): Path<String>, Form(facts): Form<Facts>) -> Reply {
    caller.check_csrf(&facts.csrf)?;
    let stated = async {
        let (_, record) = found(&caller, &id).await?;
        let said = facts.said(&Facts::of(&record))?;
        update(&caller, &record, (&said, "changed")).await
    };
    match stated.await {
        Ok(response) => Ok(response),
        Err(e) if e.kind() == ErrorKind::Invalid => {
            Ok(page(&caller, (id.as_str(), &facts), (StatusCode::BAD_REQUEST, refused(&e))))
        }
        Err(e) => Err(e.into()),
    }
}

/// A step, a note or both.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Noted {
    csrf: String,
    step: String,
    note: String,
}

/// States that a step is done, or a note.
pub(super) async fn note(caller: Caller, Path(id): Path<String>, Form(noted): Form<Noted>) -> Reply {
    caller.check_csrf(&noted.csrf)?;
    let stated = async {
        let (_, record) = found(&caller, &id).await?;
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let said = Said { step: filled(&noted.step), note: filled(&noted.note), ..Said::default() };
        if said == Said::default() {
            return Err(Error::invalid("neither a step nor a note is given; choose a step, or write a note"));
        }
        update(&caller, &record, (&said, "noted")).await
    };
    let form = noting(&caller, &id, (noted.step.as_str(), noted.note.as_str()));
    or_again(&caller, (id.as_str(), "State a step, or a note"), &form, stated.await)
}

async fn update(caller: &Caller, record: &Record, (said, what): (&Said, &str)) -> Result<Response> {
    let change = said.change(record.selector.as_ref())?;
    let engine = caller.tenant.engine().await?;
    let stated = register::update(caller.tenant.store(), &engine, record, (&change, caller.name.as_str())).await?;
    Ok(see_other(&Done::address(&address(&record.incident_id), what, stated.seq)))
}

/// What every form carries.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Plain {
    csrf: String,
}

/// Scopes it anew and freezes the result.
pub(super) async fn freeze(caller: Caller, Path(id): Path<String>, Form(plain): Form<Plain>) -> Reply {
    caller.check_csrf(&plain.csrf)?;
    let (engine, record) = found(&caller, &id).await?;
    let (_, frozen) = register::freeze(caller.tenant.store(), &engine, &record, &caller.name).await?;
    Ok(see_other(&Done::address(&address(&id), "frozen", frozen.seq)))
}

/// A condition to replay.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ruled {
    csrf: String,
    rule: String,
}

/// Replays a rule and states what it would have stopped.
pub(super) async fn guardrail(caller: Caller, Path(id): Path<String>, Form(ruled): Form<Ruled>) -> Reply {
    caller.check_csrf(&ruled.csrf)?;
    let stated = async {
        let rule = ruled.rule.trim();
        if rule.is_empty() {
            return Err(Error::invalid("no condition is given that could stop an action; write one"));
        }
        let (engine, record) = found(&caller, &id).await?;
        let store = caller.tenant.store();
        let scoped = scope(store, &engine, record.picking()?).await?;
        let replayed = replay(&engine, &scoped, &Guardrail::Rule(rule.to_owned())).await?;
        let seq = register::state_replay(store, &record, &replayed, &caller.name).await?;
        Ok::<Response, Error>(see_other(&Done::address(&address(&id), "replayed", seq)))
    };
    let form = replaying(&caller, &id, &ruled.rule);
    or_again(&caller, (id.as_str(), "Replay a guardrail"), &form, stated.await)
}

/// Why it is closed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Closed {
    csrf: String,
    reason: String,
}

/// Closes it.
pub(super) async fn close(caller: Caller, Path(id): Path<String>, Form(closed): Form<Closed>) -> Reply {
    caller.check_csrf(&closed.csrf)?;
    let stated = async {
        let (_, record) = found(&caller, &id).await?;
        let seq = register::close(caller.tenant.store(), &record, &closed.reason, &caller.name).await?;
        Ok::<Response, Error>(see_other(&Done::address(&address(&id), "closed", seq)))
    };
    let form = closing(&caller, &id, &closed.reason);
    or_again(&caller, (id.as_str(), "Close the incident"), &form, stated.await)
}

/// The session over all that is known, and the incident as its events leave it.
async fn found(caller: &Caller, id: &str) -> Result<(Arc<Engine>, Record)> {
    let engine = caller.tenant.engine().await?;
    let record = record::one(&engine, id).await?;
    Ok((engine, record))
}
