//! Questions: the named queries, and one SELECT of anybody's own, answered while they are computed.
//!
//! In: a query with parameters, or SQL; the form that is wanted. Out: rows as JSON, lines of JSON, CSV, Parquet or an
//! Arrow stream. Invariants: the question is on record, with its text, before the first row leaves; strangers' SQL takes
//! one of few places and waits for it within bounds; who leaves ends his query.
//!
//! What fails before the first row is a problem document. What fails later ends the answer without its end: the
//! connection breaks off within the body, and a reader of any of the forms sees that it is incomplete. JSON says
//! `"truncated": true` where the row limit cut the answer; the other forms have no place for it, so every answer carries
//! its limit in `Probity-Row-Limit`: one that holds as many rows may have been cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asking::{Asked, CSV, JSON, NDJSON, Named, Sent, document, wanted};
use super::explained;
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::limits::{PLACE_SECONDS, QUERY_SECONDS};
use crate::query::answer::{AnswerStream, Limits};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::listing::{self, named};
use crate::query::output::{Encoder, Ending, Format, Preamble};
use crate::query::params::{Bound, Params};
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{self, About, Answer, Param, Route};
use crate::server::state::{App, Tenant};

const PARQUET: &str = "application/vnd.apache.parquet";
const ARROW: &str = "application/vnd.apache.arrow.stream";
/// The forms of an answer by media type, the one that is given unasked first.
const FORMS: [(&str, &str, Format); 5] = [
    (JSON, "json", Format::Json),
    (NDJSON, "ndjson", Format::Ndjson),
    (CSV, "csv", Format::Csv),
    (PARQUET, "parquet", Format::Parquet),
    (ARROW, "arrow", Format::Arrow),
];
const TYPES: &[&str] = &[JSON, NDJSON, CSV, PARQUET, ARROW];
/// Names of the question itself in the address of a named query; no query has a parameter of such a name.
const OWN: [&str; 4] = ["as_of", "limit", "seconds", "format"];
const ROW_LIMIT: &str = "probity-row-limit";

const fn of_query(name: &'static str, schema: &'static str, note: &'static str) -> Param {
    Param { name, place: route::Place::Query, is_required: false, schema, note }
}

const NAMED: &[Param] = &[
    Param { name: "name", place: route::Place::Path, is_required: true, schema: "string", note: "a named query" },
    of_query("as_of", "string", "an RFC 3339 instant, a ledger size, or vN"),
    of_query("limit", "int64", "rows given at most; default 1,000,000"),
    of_query("seconds", "int64", "time that the answer may take, from 1 to 300 [default: 300]"),
    of_query("format", "string", "json, ndjson, csv, parquet or arrow; else the Accept header decides"),
    of_query("PARAMETER", "string", "every parameter of the query by its own name, as `GET /v1/queries` lists them"),
];

const ROWS: &[Answer] = &[Answer {
    status: 200,
    types: TYPES,
    schema: "QueryDocument",
    note: "rows while they are computed; one that fails later breaks off. `Probity-Row-Limit` says how many rows the \
           answer has at most",
}];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/queries", Some(May::Read), list).about(About {
            summary: "The named queries: what each asks, takes and gives.",
            params: &[],
            body: None,
            answers: &[Answer { status: 200, types: &[JSON], schema: "Queries", note: "in order of name" }],
        }),
        Route::get("/v1/query/{name}", Some(May::Read), get).about(About {
            summary: "The answer of a named query.",
            params: NAMED,
            body: None,
            answers: ROWS,
        }),
        Route::post("/v1/query", Some(May::Read), post).about(About {
            summary: "The answer of a named query or of one SELECT.",
            params: &[],
            body: Some(route::Body {
                types: &[JSON],
                schema: "Question",
                note: "`query` is a name or SQL; `params`, `as_of`, `limit`, `seconds` and `format` as needed",
            }),
            answers: ROWS,
        }),
    ]
}

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
    #[serde(default)]
    params: BTreeMap<String, Value>,
    #[serde(default)]
    as_of: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    format: Option<String>,
}

async fn list(asked: Asked) -> Reply {
    asked.only(&[])?;
    Ok(document(&listing::document(Catalogue::shipped()?)))
}

async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    asked: Asked,
    Sent(question): Sent<Question>,
) -> Reply {
    asked.only(&[])?;
    answer(&app, &caller, question, &headers).await
}

/// The answer of one SELECT in the form of that name, for the page on which it was asked.
///
/// # Errors
/// Those of `POST /v1/query`.
pub(in crate::server) async fn of_sql(
    app: &App,
    caller: &Caller,
    (sql, as_of, format): (String, Option<String>, String),
) -> Reply {
    let (params, format) = (BTreeMap::new(), Some(format));
    let question = Question { query: sql, params, as_of, limit: None, seconds: None, format };
    answer(app, caller, question, &HeaderMap::new()).await
}

async fn get(
    State(app): State<App>,
    caller: Caller,
    Named(name): Named<String>,
    headers: HeaderMap,
    asked: Asked,
) -> Reply {
    let mut asked = asked.all()?;
    let (limit, seconds) = (asked.number("limit")?, asked.number("seconds")?);
    let [as_of, _, _, format] = OWN.map(|own| asked.take(own));
    if named(&name)?.is_none() {
        return Err(Error::not_found("the path names no query; POST /v1/query takes SQL").into());
    }
    let params = asked.0.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    answer(&app, &caller, Question { query: name, params, as_of, limit, seconds, format }, &headers).await
}

/// One of the places of strangers' SQL, free again when this is dropped.
struct Taken(App);

impl Taken {
    /// Waits for a place.
    ///
    /// # Errors
    /// Unavailable when none is free in [`PLACE_SECONDS`].
    async fn place(app: &App) -> Result<Self> {
        let waited = tokio::time::timeout(Duration::from_secs(PLACE_SECONDS), app.adhoc().acquire()).await;
        let busy = |_| Error::unavailable("as many questions in SQL are being answered as may be at once; ask again");
        let place = waited.map_err(busy)?.map_err(|e| Error::internal("the places for SQL were closed").because(e))?;
        // It is given back by hand: it lives as long as the answer, which outlives this borrow.
        place.forget();
        Ok(Self(app.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.adhoc().add_permits(1);
    }
}

async fn answer(app: &App, caller: &Caller, question: Question, headers: &HeaderMap) -> Reply {
    let (media_type, word, format) = form(question.format.as_deref(), headers)?;
    let limits = limits(&question)?;
    let params = texts(&question.params)?;
    let query = named(&question.query)?;
    let engine = caller.engine(question.as_of.as_deref()).await?;
    let (mut rows, bound, place) = match query {
        Some(query) => (engine.stream(query, &params, limits).await?, engine.bind(query, &params)?, None),
        None if !params.is_empty() => {
            return Err(Error::invalid("`params` are those of named queries; write values into the SQL instead").into());
        }
        None => {
            let place = Taken::place(app).await?;
            let rows = engine.sql_stream(&question.query, limits).await?;
            (rows, Bound::as_of(engine.as_of().at), Some(place))
        }
    };
    let said = if query.is_some() { "query" } else { "sql" };
    let extra = json!({said: question.query, "params": params, "as_of": question.as_of, "format": word});
    caller.reads(Read { what: "query", subject: None, extra }).await?;
    // Whatever fails before there is a row has a status of its own.
    let first = rows.next().await?;
    let size = engine.as_of().size;
    // Only JSON says which tree the rows are of.
    let root = if format == Format::Json { caller.tenant.store().root_at(size).await? } else { None };
    let preamble = Preamble { query: &question.query, params: &bound, size, version: engine.version(), root };
    let encoder = Encoder::new(format, rows.schema(), &preamble)?;
    let name = if query.is_some() { question.query.as_str() } else { "answer" };
    let file = format!("{name}.{word}");
    let (question, tenant) = (question.query, caller.tenant.clone());
    let running = Running { rows, encoder: Some(encoder), first, question, tenant, _place: place, _engine: engine };
    Ok(told((media_type, file.as_str()), limits.rows, running.into_body()))
}

/// The bounds of the answer: those of every query, or narrower ones that are asked for.
fn limits(question: &Question) -> Result<Limits> {
    let usual = Limits::default();
    let seconds = question.seconds.unwrap_or(usual.seconds);
    if !(1..=QUERY_SECONDS).contains(&seconds) {
        return Err(Error::invalid(format!("`seconds` is a number from 1 to {QUERY_SECONDS}")));
    }
    Ok(Limits { rows: question.limit.unwrap_or(usual.rows), seconds })
}

/// The form that is asked for.
fn form(word: Option<&str>, headers: &HeaderMap) -> Result<(&'static str, &'static str, Format)> {
    let found = match word {
        Some(word) => FORMS.into_iter().find(|(_, known, _)| *known == word),
        None => {
            let media_type = wanted(headers, TYPES)?;
            FORMS.into_iter().find(|(known, ..)| *known == media_type)
        }
    };
    found.ok_or_else(|| Error::invalid("`format` is json, ndjson, csv, parquet or arrow"))
}

/// Parameters as texts: a value may be a string, a number or a truth value.
pub(super) fn texts(params: &BTreeMap<String, Value>) -> Result<Params> {
    let text = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        _ => Err(Error::invalid(format!("parameter `{}` is no string, number or truth value", name.escape_debug()))),
    };
    params.iter().map(text).collect()
}

fn told((media_type, name): (&'static str, &str), limit: usize, body: Body) -> Response {
    let shown = if media_type == CSV { "text/csv; charset=utf-8; header=present" } else { media_type };
    let mut response = ([(CONTENT_TYPE, shown)], body).into_response();
    let headers = response.headers_mut();
    headers.insert(ROW_LIMIT, HeaderValue::from(limit));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("inline; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

/// An answer on its way. Dropped, it ends its query.
struct Running {
    rows: AnswerStream,
    /// None behind the end.
    encoder: Option<Encoder>,
    /// The rows that were read to see whether the query fails.
    first: Option<RecordBatch>,
    question: String,
    tenant: Arc<Tenant>,
    _place: Option<Taken>,
    _engine: Arc<Engine>,
}

impl Running {
    fn into_body(self) -> Body {
        Body::from_stream(stream::try_unfold(self, Self::step))
    }

    /// The next bytes; none behind the end.
    async fn step(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        let batch = match self.first.take() {
            Some(batch) => Some(batch),
            None => self.rows.next().await?,
        };
        let batch = batch.map(|rows| explained::shown(rows, &self.question, self.tenant.store())).transpose()?;
        let is_over = batch.is_none();
        let ending = Ending::of(&self.rows);
        // A batch of wide rows takes a while to write out: not on a thread that answers requests.
        let encoding = tokio::task::spawn_blocking(move || {
            match &batch {
                Some(batch) => encoder.batch(batch)?,
                None => encoder.end(ending)?,
            }
            let bytes = Bytes::from(encoder.take());
            Ok::<_, Error>((encoder, bytes))
        });
        let (encoder, bytes) = encoding.await.map_err(|e| Error::internal("writing an answer died").because(e))??;
        self.encoder = (!is_over).then_some(encoder);
        Ok(Some((bytes, self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_the_word_or_of_the_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(form(None, &headers).unwrap().2, Format::Json);
        headers.insert("accept", HeaderValue::from_static("text/csv, application/json;q=0.5"));
        assert_eq!(form(None, &headers).unwrap().2, Format::Csv);
        assert_eq!(form(Some("arrow"), &headers).unwrap(), (ARROW, "arrow", Format::Arrow));
        assert!(form(Some("table"), &headers).is_err() && form(Some(""), &headers).is_err());
        assert_eq!(TYPES, FORMS.map(|(media_type, ..)| media_type));
    }

    #[test]
    fn no_query_has_a_parameter_of_the_questions_own() {
        for query in Catalogue::shipped().unwrap().list() {
            let taken = query.params.iter().find(|param| OWN[1..].contains(&param.name.as_str()));
            assert!(taken.is_none(), "{} takes {taken:?}", query.name);
        }
    }

    #[test]
    fn parameters_are_texts_numbers_or_truth_values() {
        let given = json!({"a": "x", "b": 3, "c": true, "d": 0.5});
        let params = |value: Value| texts(&serde_json::from_value(value).unwrap());
        let read: Vec<String> = params(given).unwrap().into_values().collect();
        assert_eq!(read, ["x", "3", "true", "0.5"]);
        assert!(params(json!({"a": null})).is_err() && params(json!({"a": [1]})).is_err());
    }
}
