//! `/v1/incidents`: the register, scopes, recovery plans, reports, guardrails, reconciliations.
//!
//! In: what a responder states, as JSON; the name of whoever states it is the caller's. Out: the documents of the
//! command line. Invariants: what is stated is an event before it is answered; who may not see sealed values gets
//! documents without them, no file that is made of them, and no answer to a condition over them; a question of one's
//! own takes the place of a stranger's query.

mod about;
mod guardrail;
mod reconcile;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::asking::{
    Asked, CSV, HTML, JSON, NDJSON, Named, Params, Sent, created, document, file, form, kept, working,
};
use super::bundle::{Bundle, long, reads, reporting, sight, whole};
use super::received::on_thread;
use crate::access::role::May;
use crate::blast::Plan;
use crate::clock::{Micros, SECOND};
use crate::error::{Error, ErrorKind, Result};
use crate::incident::account::Account;
use crate::incident::asked::{Said, SelectorText};
use crate::incident::plan::{Written, remedies, to_csv, to_json, to_ndjson};
use crate::incident::record::{self, Record};
use crate::incident::{self, Scoped, register};
use crate::limits::{EVENTS_BODY_BYTES, PLACE_SECONDS};
use crate::report::incident::gather::{Reader, gather};
use crate::report::withheld::{Sight, withhold};
use crate::server::cache::{Look, Rendered, step};
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::route::Route;
use crate::server::state::App;

const ALL: &str = "/v1/incidents";
const ONE: &str = "/v1/incidents/{id}";
const CLOSE: &str = "/v1/incidents/{id}/close";
const SCOPE: &str = "/v1/incidents/{id}/scope";
const PLAN: &str = "/v1/incidents/{id}/plan";
const REPORT: &str = "/v1/incidents/{id}/report";
const AD_HOC: &str = "/v1/incidents/scope";
const CHECK: &str = "/v1/incidents/plan/check";
const GUARDRAIL: &str = "/v1/incidents/{id}/guardrail";
const REPLAY: &str = "/v1/incidents/guardrail";
const RECONCILE: &str = "/v1/incidents/reconcile";

/// An account is kept so long at most although nothing happens: its clocks go on.
const ACCOUNT_SPAN: Micros = 15 * 60 * SECOND;
/// Bytes of a recovery plan that is sent to be checked: one of a hundred thousand cells fits.
const PLAN_BYTES: usize = 64 * 1024 * 1024;

/// The routes of incidents.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get(ALL, Some(May::Read), list).about(about::LIST),
        Route::post(ALL, Some(May::Respond), open).about(about::OPEN),
        Route::post(AD_HOC, Some(May::Read), reached).about(about::REACHED),
        Route::post(CHECK, Some(May::Respond), check).body_limit(PLAN_BYTES).about(about::CHECK),
        Route::get(ONE, Some(May::Read), show).about(about::SHOW),
        Route::post(ONE, Some(May::Respond), update).about(about::UPDATE),
        Route::post(CLOSE, Some(May::Respond), close).about(about::CLOSE),
        Route::get(SCOPE, Some(May::Read), scope).about(about::SCOPE),
        Route::post(SCOPE, Some(May::Respond), freeze).about(about::FREEZE),
        Route::get(PLAN, Some(May::Read), plan).about(about::PLAN),
        Route::post(GUARDRAIL, Some(May::Respond), guardrail::replayed).about(about::GUARDRAIL),
        Route::post(REPLAY, Some(May::Read), guardrail::picked).about(about::REPLAY),
        Route::post(RECONCILE, Some(May::Read), reconcile::reconciled)
            .body_limit(EVENTS_BODY_BYTES)
            .about(about::RECONCILE),
        Route::get(REPORT, Some(May::Read), report).about(about::REPORT),
    ]
}

/// `found` as the caller may see it.
fn seen(caller: &Caller, mut found: Value) -> Value {
    withhold(&mut found, sight(caller));
    found
}

/// What the evidence tells of the read of one incident.
fn note(id: &str, params: &Params) -> Value {
    let mut told = params.clone();
    told.0.insert("id".to_owned(), id.to_owned());
    told.note()
}

async fn list(caller: Caller, asked: Asked) -> Reply {
    let params = asked.only(&["as_of"])?;
    let engine = whole(&caller, params.text("as_of")).await?;
    let incidents: Vec<Value> = record::list(&engine).await?.iter().map(Record::to_json).collect();
    reads(&caller, ALL, params.note()).await?;
    Ok(document(&seen(&caller, json!({"incidents": incidents}))))
}

async fn open(caller: Caller, asked: Asked, Sent(said): Sent<Said>) -> Reply {
    asked.only(&[])?;
    let change = said.opening()?;
    let engine = caller.tenant.engine().await?;
    let stated = register::open(caller.tenant.store(), &engine, &change, &caller.name).await?;
    let location = format!("{ALL}/{}", stated.incident_id);
    Ok(created(&seen(&caller, stated.to_json()), &location))
}

async fn update(caller: Caller, Named(id): Named<String>, asked: Asked, Sent(said): Sent<Said>) -> Reply {
    asked.only(&[])?;
    let engine = caller.tenant.engine().await?;
    let record = record::one(&engine, &id).await?;
    let change = said.change(record.selector.as_ref())?;
    let stated = register::update(caller.tenant.store(), &engine, &record, (&change, caller.name.as_str())).await?;
    Ok(document(&seen(&caller, stated.to_json())))
}

/// Why an incident is closed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closing {
    reason: String,
}

async fn close(caller: Caller, Named(id): Named<String>, asked: Asked, Sent(closing): Sent<Closing>) -> Reply {
    asked.only(&[])?;
    let engine = caller.tenant.engine().await?;
    let record = record::one(&engine, &id).await?;
    let seq = register::close(caller.tenant.store(), &record, &closing.reason, &caller.name).await?;
    Ok(document(&json!({"incident_id": record.incident_id, "seq": seq})))
}

/// The key of what is told of an incident; without a point of its own it is another one after a while, for the clocks.
fn key(route: &str, id: &str, params: &Params, caller: &Caller) -> String {
    let as_of = params.text("as_of");
    let now = caller.tenant.store().clock().now();
    format!("{route}?{id:?}&{as_of:?}&{:?}", as_of.is_none().then(|| now.div_euclid(ACCOUNT_SPAN)))
}

async fn show(caller: Caller, Named(id): Named<String>, asked: Asked, uri: Uri) -> Reply {
    let params = asked.only(&["as_of"])?;
    let (reader, key, asked_of, named) = (caller.clone(), key(ONE, &id, &params, &caller), params.clone(), id.clone());
    let work = async move {
        let engine = whole(&reader, asked_of.text("as_of")).await?;
        let record = record::one(&engine, &named).await?;
        step("following what its bad actions have reached");
        let account = Account::of(reader.tenant.store(), &engine, record).await?;
        let told = seen(&reader, account.to_json());
        Ok(Rendered { content_type: JSON, body: told.to_string().into() })
    };
    match long(&caller, key, work).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(found) => {
            reads(&caller, ONE, note(&id, &params)).await?;
            Ok(kept(&found))
        }
    }
}

async fn report(caller: Caller, Named(id): Named<String>, asked: Asked, uri: Uri, headers: HeaderMap) -> Reply {
    let params = asked.only(&["as_of", "format"])?;
    // What cannot be given is said before the work.
    form(params.text("format"), &headers, &[JSON, HTML])?;
    let (reader, key) = (caller.clone(), key(REPORT, &id, &params, &caller));
    let (asked_of, named) = (params.clone(), id.clone());
    let work = async move {
        let as_of = asked_of.text("as_of");
        let engine = reporting(&reader, as_of).await?;
        step("following what its bad actions have reached, and running the controls");
        let tenant = &reader.tenant;
        let to = Reader { tenant: tenant.name(), is_as_of: as_of.is_some(), sight: sight(&reader) };
        Bundle::keep(gather(tenant.store(), &engine, &named, to).await?)
    };
    match long(&caller, key, work).await? {
        Look::Working(progress) => Ok(working(&uri, &progress)),
        Look::Ready(found) => {
            let answer = Bundle::read(&found)?.answer(&headers, params.text("format"), None)?;
            reads(&caller, REPORT, note(&id, &params)).await?;
            Ok(answer)
        }
    }
}

/// The scope of `scoped` as JSON, with the reason why `key` is in it where that is asked.
async fn told(caller: &Caller, scoped: &Scoped, params: &Params) -> Result<Value> {
    let mut told = scoped.to_json();
    if let Some(key) = params.text("why") {
        let engine = whole(caller, params.text("as_of")).await?;
        told["why"] = incident::why(&engine, scoped, key).await?.into();
    }
    Ok(seen(caller, told))
}

async fn scope(caller: Caller, Named(id): Named<String>, asked: Asked) -> Reply {
    let params = asked.only(&["as_of", "why", "version"])?;
    let engine = whole(&caller, params.text("as_of")).await?;
    let record = record::one(&engine, &id).await?;
    let told = match params.number::<u64>("version")? {
        Some(version) => seen(&caller, frozen(&record, version)?),
        None => {
            let scoped = incident::scope(caller.tenant.store(), &engine, record.picking()?).await?;
            told(&caller, &scoped, &params).await?
        }
    };
    reads(&caller, SCOPE, note(&id, &params)).await?;
    Ok(document(&told))
}

/// Version `version` of the scope as it was frozen.
fn frozen(record: &Record, version: u64) -> Result<Value> {
    let id = &record.incident_id;
    let found = record.scopes.iter().find(|frozen| frozen.version == version);
    let frozen = found.ok_or_else(|| {
        let newest = record.scopes.last().map_or(0, |last| last.version);
        Error::not_found(format!("incident `{id}` has no scope of version {version}; its newest is {newest}"))
    })?;
    let mut told = frozen.scope.clone();
    if let (Value::Object(told), Value::Object(stated)) = (&mut told, frozen.to_json()) {
        told.extend(stated.into_iter().filter(|(name, _)| name != "scope"));
    }
    Ok(told)
}

async fn freeze(caller: Caller, Named(id): Named<String>, asked: Asked) -> Reply {
    asked.only(&[])?;
    let engine = caller.tenant.engine().await?;
    let record = record::one(&engine, &id).await?;
    let (scoped, frozen) = register::freeze(caller.tenant.store(), &engine, &record, &caller.name).await?;
    let mut told = scoped.summary();
    if let (Value::Object(told), Value::Object(stated)) = (&mut told, frozen.stated(&record)) {
        told.extend(stated);
    }
    let location = format!("{ALL}/{}/scope?version={}", record.incident_id, frozen.version);
    Ok(created(&seen(&caller, told), &location))
}

/// A place for a question of one's own; the second waits beside the first, others behind them.
async fn place(app: &App) -> Result<SemaphorePermit<'_>> {
    let busy =
        || Error::unavailable("other questions are being answered and this one found no place in time; ask again");
    match tokio::time::timeout(Duration::from_secs(PLACE_SECONDS), app.adhoc().acquire()).await {
        Ok(place) => place.map_err(|_| busy()),
        Err(_) => Err(busy()),
    }
}

async fn reached(State(app): State<App>, caller: Caller, asked: Asked, Sent(selector): Sent<SelectorText>) -> Reply {
    let params = asked.only(&["as_of", "why"])?;
    let selector = selector.read()?;
    let _place = place(&app).await?;
    // A condition over values that the caller may not see would tell him what they are.
    let engine = caller.engine(params.text("as_of")).await?;
    // Stated before it is tried: a condition that fails on a row has told of that row.
    reads(&caller, AD_HOC, json!({"params": params.0, "selector": record::selector_as_json(&selector)})).await?;
    let scoped = incident::scope(caller.tenant.store(), &engine, &selector).await?;
    Ok(document(&told(&caller, &scoped, &params).await?))
}

async fn plan(caller: Caller, Named(id): Named<String>, asked: Asked, headers: HeaderMap) -> Reply {
    let params = asked.only(&["as_of", "file", "format"])?;
    let forms = [JSON, NDJSON, CSV];
    let form = if params.text("file").is_some() { CSV } else { form(params.text("format"), &headers, &forms)? };
    let engine = whole(&caller, params.text("as_of")).await?;
    let record = record::one(&engine, &id).await?;
    let scoped = incident::scope(caller.tenant.store(), &engine, record.picking()?).await?;
    let answer = plan_as(&caller, &scoped, (id.as_str(), form, params.text("file")))?;
    reads(&caller, PLAN, note(&id, &params)).await?;
    Ok(answer)
}

/// The plan for `scoped` in the form that is asked for.
fn plan_as(caller: &Caller, scoped: &Scoped, (id, form, table): (&str, &str, Option<&str>)) -> Result<Response> {
    let plan = Plan::of(&scoped.radius);
    if form == JSON {
        return Ok(document(&seen(caller, plan_document(scoped, &plan)?)));
    }
    if sight(caller) == Sight::Withheld {
        let words = "this form of the plan is made of sealed values, which this token does not see; ask for JSON";
        return Err(Error::new(ErrorKind::Denied, words));
    }
    if form == NDJSON {
        return Ok(file(&format!("plan-{id}.ndjson"), NDJSON, to_ndjson(&plan)?));
    }
    let mut updates = to_csv(&plan);
    let names: Vec<String> = updates.keys().cloned().collect();
    let name = match (table, names.as_slice()) {
        (Some(table), _) => table,
        (None, [one]) => one.as_str(),
        (None, []) => return Err(Error::not_found("nothing is to be restored; there is no bulk update")),
        (None, _) => return Err(Error::invalid(format!("which bulk update? give file=NAME of: {}", names.join(", ")))),
    };
    let text = updates.remove(name).ok_or_else(|| {
        Error::not_found(format!("there is no bulk update `{}`; there are: {}", name.escape_debug(), names.join(", ")))
    })?;
    Ok(file(name, CSV, text))
}

/// The plan as JSON, with what it comes to and the bulk updates that there are.
fn plan_document(scoped: &Scoped, plan: &Plan) -> Result<Value> {
    let mut told = to_json(scoped, plan)?;
    let counts = remedies(plan).into_iter().map(|(remedy, cells)| (remedy.name().to_owned(), Value::from(cells)));
    told["remedies"] = Value::Object(counts.collect());
    told["certainty"] = scoped.certainty().into();
    told["files"] = to_csv(plan).into_keys().collect();
    Ok(told)
}

async fn check(State(app): State<App>, caller: Caller, asked: Asked, Sent(sent): Sent<Box<RawValue>>) -> Reply {
    let params = asked.only(&["as_of"])?;
    let bytes = sent.get().len();
    let read = on_thread(bytes, move || {
        let written = Written::parse(sent.get())?;
        let selector = written.selector()?;
        Ok((written, selector))
    });
    let (written, selector) = read.await?;
    let _place = place(&app).await?;
    let engine = whole(&caller, params.text("as_of")).await?;
    reads(&caller, CHECK, json!({"params": params.0, "selector": record::selector_as_json(&selector)})).await?;
    let scoped = incident::scope(caller.tenant.store(), &engine, &selector).await?;
    let verdict = written.verdict(&Plan::of(&scoped.radius))?;
    Ok(document(&verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_was_frozen_is_told_as_it_was() {
        let mut record = Record { incident_id: "inc-1".to_owned(), ..Record::default() };
        assert!(frozen(&record, 1).unwrap_err().to_string().contains("its newest is 0"));
        let scope = json!({"records": 2, "selector": {"where": "true"}});
        record.scopes.push(record::Frozen { version: 1, seq: 7, at: 0, by: "ann".to_owned(), scope });
        let told = frozen(&record, 1).unwrap();
        assert_eq!((&told["records"], &told["seq"], &told["by"]), (&2.into(), &7.into(), &"ann".into()));
        assert!(told.get("scope").is_none());
    }
}
