//! The search box: from a name to the page of what it names.
//!
//! In: the id of a record, an action, an event, an incident or a review, a record's whole key, or the number of an
//! event. Out: the page of the one thing that it names, or a list where it names several. Invariant: names are compared
//! whole, mostly through the indexes; it searches no text.

use axum::extract::Query;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::access::role::May;
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{self, Row, literal};
use crate::report::document::{Kind, Tone};
use crate::server::caller::{Caller, Read};
use crate::server::pages::layout::{self, Page, Place};
use crate::server::pages::work::{asked, see_other, shows};
use crate::server::problem::Reply;
use crate::server::route::Route;

/// Bytes of what is sought; ids are no longer.
const SOUGHT_BYTES: usize = 512;
/// Records of one id that are listed.
const RECORDS: usize = 50;

/// The route of this file.
pub(super) fn route() -> Route {
    let about = shows(
        "goes to what a name names, or lists what it may mean",
        const { &[asked("q", "id of a record, action, event, incident or review, `system/type/id`, or a seq")] },
    );
    Route::get("/find", Some(May::Read), find).page().about(about)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sought {
    q: String,
}

/// One thing that was found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    what: &'static str,
    name: String,
    address: String,
}

async fn find(caller: Caller, Query(sought): Query<Sought>) -> Reply {
    let name = sought.q.trim();
    if name.is_empty() {
        return Ok(see_other("/"));
    }
    if name.len() > SOUGHT_BYTES {
        return Err(Error::invalid(format!("a name has at most {SOUGHT_BYTES} bytes; give the id alone")).into());
    }
    let engine = caller.engine(None).await?;
    caller.reads(Read { what: "/find", subject: None, extra: json!({"params": {"q": name}}) }).await?;
    let found = all(&engine, name).await?;
    if let [one] = found.as_slice() {
        return Ok(see_other(&one.address));
    }
    let title = if found.is_empty() { "Nothing is called so" } else { "Several things are called so" };
    let mut body = layout::heading(title, name);
    body += &if found.is_empty() { nothing() } else { listed(&found) };
    let status = if found.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    Ok(layout::render_as(status, &Page { title, here: Place::Elsewhere, caller: &caller, body }))
}

fn nothing() -> String {
    let words = "<p>Names are compared whole: the id of a record, an action, an event, an incident or a review, \
                 <code>system/type/id</code>, or the number of an event. To search otherwise, ask with \
                 <a href=\"/sql\">SQL</a>.</p>";
    layout::notice(Tone::Plain, words)
}

fn listed(found: &[Found]) -> String {
    let row = |found: &Found| vec![layout::escape(found.what), layout::link(&found.address, &found.name)];
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    layout::table("", &[("What", Kind::Text), ("Name", Kind::Code)], &rows, "")
}

async fn all(engine: &Engine, name: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    found.extend(records(engine, name).await?);
    found.extend(named(engine, ("action_id", name), ("Action", "actions")).await?);
    found.extend(events(engine, name).await?);
    // No index knows these columns: they are looked through only for what looks like such an id.
    if name.starts_with("inc-") {
        found.extend(named(engine, ("incident_id", name), ("Incident", "incidents")).await?);
    }
    if name.starts_with("rev-") {
        found.extend(named(engine, ("review_id", name), ("Review", "reviews")).await?);
    }
    Ok(found)
}

async fn rows(engine: &Engine, sql: &str) -> Result<Vec<Row>> {
    objects::rows(&engine.sql(sql, Limits { rows: RECORDS, ..Limits::default() }).await?)
}

async fn records(engine: &Engine, name: &str) -> Result<Vec<Found>> {
    let select = "select distinct system, record_type, record_id from evidence where record_id =";
    let order = "order by system, record_type, record_id";
    let mut found = rows(engine, &format!("{select} {} {order}", literal(name))).await?;
    if let Some([system, record_type, record_id]) = key(name) {
        let condition = format!("system = {} and record_type = {}", literal(&system), literal(&record_type));
        found.extend(rows(engine, &format!("{select} {} and {condition} {order}", literal(&record_id))).await?);
    }
    Ok(found.iter().filter_map(record).collect())
}

fn record(row: &Row) -> Option<Found> {
    let parts = ["system", "record_type", "record_id"].map(|column| objects::text(row, column));
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let [system, record_type, record_id] = parts;
    let address = layout::path(&["records", system, record_type, record_id]);
    Some(Found { what: "Record", name: parts.join("/"), address })
}

/// The three parts of a record's key as it is written elsewhere: `/` and `%` in a part percent-encoded.
fn key(name: &str) -> Option<[String; 3]> {
    let parts: Vec<String> = name.split('/').map(decoded).collect::<Option<Vec<String>>>()?;
    <[String; 3]>::try_from(parts).ok()
}

fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What has `name` in `column`: what it is called, and the folder of its page.
async fn named(
    engine: &Engine,
    (column, name): (&str, &str),
    (what, folder): (&'static str, &str),
) -> Result<Option<Found>> {
    let sql = format!("select {column} from evidence where {column} = {} limit 1", literal(name));
    let is_there = !rows(engine, &sql).await?.is_empty();
    let address = layout::path(&[folder, name]);
    Ok(is_there.then(|| Found { what, name: name.to_owned(), address }))
}

/// Events of that id, and the one of that number; each leads to the action, the record, the incident or the review that
/// it is about, and to itself where it is about none.
async fn events(engine: &Engine, name: &str) -> Result<Vec<Found>> {
    let select = "select seq, event_type, action_id, system, record_type, record_id, incident_id, review_id \
                  from evidence where";
    let mut found = rows(engine, &format!("{select} event_id = {} order by seq", literal(name))).await?;
    if let Some(seq) = name.parse::<i64>().ok().filter(|seq| *seq >= 0) {
        found.extend(rows(engine, &format!("{select} seq = {seq}")).await?);
    }
    Ok(found.iter().map(event).collect())
}

fn event(row: &Row) -> Found {
    let seq = objects::count(row, "seq").unwrap_or_default();
    let name = format!("{seq}, {}", objects::text(row, "event_type"));
    let named = |column: &str, folder: &str| match objects::text(row, column) {
        "" => None,
        id => Some(layout::path(&[folder, id])),
    };
    let timeline = named("action_id", "actions").or_else(|| record(row).map(|record| record.address));
    let address = timeline
        .map(|page| format!("{page}#event-{seq}"))
        .or_else(|| named("incident_id", "incidents"))
        .or_else(|| named("review_id", "reviews"))
        .unwrap_or_else(|| format!("/v1/events/{seq}"));
    Found { what: "Event", name, address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_record_is_read_in_its_parts() {
        let parts = |name: &str| key(name).map(|parts| parts.join("|"));
        assert_eq!(parts("crm/account/a%2F1").as_deref(), Some("crm|account|a/1"));
        for name in ["a", "a/b", "a/b/c/d", "a/b/%2", "a/b/%zz", "a/b/%ff"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    #[test]
    fn an_event_leads_to_what_it_is_about() {
        let address = |json: &str| event(&serde_json::from_str(json).unwrap()).address;
        assert_eq!(address(r#"{"seq":7,"event_type":"x","action_id":"a/1"}"#), "/actions/a%2F1#event-7");
        let of_record = r#"{"seq":7,"system":"crm","record_type":"account","record_id":"1"}"#;
        assert_eq!(address(of_record), "/records/crm/account/1#event-7");
        assert_eq!(address(r#"{"seq":7,"incident_id":"inc-1"}"#), "/incidents/inc-1");
        assert_eq!(address(r#"{"seq":7,"review_id":"rev-1"}"#), "/reviews/rev-1");
        assert_eq!(address(r#"{"seq":7,"action_id":null}"#), "/v1/events/7");
    }

    #[test]
    fn a_name_cannot_leave_its_literal() {
        assert_eq!(literal("a' or '1'='1"), "'a'' or ''1''=''1'");
    }
}
