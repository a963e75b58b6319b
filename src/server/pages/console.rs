//! The query console: the named queries, a form for each made from its header, and SQL.
//!
//! In: a name with parameters, or one SELECT, in the address, so that an address can be handed on. Out: pages with the
//! first rows, and links to all of them. Invariants: a read is stated before its rows are shown; a cut answer says so;
//! what is wrong with a question stands beside the question. It must not compute: the engine answers.

mod result;
mod sql;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde_json::json;

use super::layout::{self, Field, Page, Place};
use super::work::{asked, part, shows};
use crate::access::role::May;
use crate::error::{Error, ErrorKind};
use crate::limits::SHOWN_ROWS;
use crate::query::answer::{Answer, Limits};
use crate::query::catalogue::Catalogue;
use crate::query::header::{AS_OF, Kind, NamedQuery, Param};
use crate::query::params::Params;
use crate::query::types::ValueType;
use crate::report::compose::first_upper;
use crate::report::document::{Kind as Set, Tone};
use crate::server::append::Busy;
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::Route;

/// The forms in which an answer is handed out whole.
const FORMATS: [(&str, &str); 4] = [("json", "JSON"), ("csv", "CSV"), ("ndjson", "NDJSON"), ("parquet", "Parquet")];

/// The kinds of queries as the list shows them.
const GROUPS: [(Kind, &str, &str); 8] = [
    (Kind::Control, "Controls", "Each judges every item that a rule is about and lists those that violate it."),
    (Kind::Metric, "Metrics", "The numbers of the monthly review, each with numerator, denominator and interval."),
    (Kind::Governance, "Governance", "The tables of the monthly review."),
    (Kind::Review, "Sample reviews", "What the marks of sample reviews say."),
    (Kind::Incident, "Incidents", "What incidents are judged by."),
    (Kind::Health, "Evidence health", "Whether the evidence itself can be believed."),
    (Kind::View, "Views", "Tables for SQL."),
    (Kind::Mapping, "Mappings", "How the rows of a source become events."),
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    let list_page = shows("the named queries by kind", &[]);
    let named_page = shows(
        "a named query: a form made from its parameters, which the page takes too, and the first rows of its answer",
        const { &[part("name", "name of the query"), asked("as_of", "RFC 3339 instant, ledger size or vN")] },
    );
    let mut routes = vec![
        Route::get("/query", Some(May::Read), list).page().about(list_page),
        Route::get("/query/{name}", Some(May::Read), named).page().about(named_page),
    ];
    routes.extend(sql::routes());
    routes
}

async fn list(caller: Caller) -> Reply {
    let catalogue = Catalogue::shipped()?;
    let mut body = layout::heading(
        "Query",
        "Every number of a report is the answer of one of these; each has an address of its own. What none of them \
         answers is asked with SQL.",
    );
    body += &tabs(Tab::Named);
    for (kind, title, about) in GROUPS {
        let rows: Vec<Vec<String>> = catalogue.list().filter(|query| query.kind == kind).map(listed).collect();
        if rows.is_empty() {
            continue;
        }
        let table = layout::table("", &[("Name", Set::Code), ("Question", Set::Text)], &rows, "");
        let about = format!("<p class=\"question\">{}</p>\n", layout::escape(about));
        body += &layout::section(&format!("{kind:?}").to_lowercase(), title, &(about + &table));
    }
    Ok(layout::render(&Page { title: "Query", here: Place::Query, caller: &caller, body }))
}

fn listed(query: &NamedQuery) -> Vec<String> {
    // A long name breaks between its words.
    let name = layout::escape(&query.name).replace('_', "_<wbr>");
    let link = format!("<a href=\"{}\"><code>{name}</code></a>", address_of(query));
    vec![link, layout::escape(&query.question)]
}

fn address_of(query: &NamedQuery) -> String {
    layout::path(&["query", &query.name])
}

/// The two ways to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    /// By name.
    Named,
    /// With SQL.
    Sql,
}

pub(super) fn tabs(here: Tab) -> String {
    let tab = |words, href, tab: Tab| layout::Tab { href, words, is_here: tab == here };
    layout::tabs("Ways to ask", &[tab("Named queries", "/query", Tab::Named), tab("SQL", "/sql", Tab::Sql)])
}

/// What the address asks of a named query.
struct Asked {
    params: Params,
    /// Empty: now.
    as_of: String,
    /// Whether anything was asked; an address without a question shows the form alone.
    is_asked: bool,
}

impl Asked {
    /// Fields that were left empty are not given; of a name given twice the page could not say which one counts.
    fn read(given: Vec<(String, String)>) -> Result<Self, Error> {
        let mut asked = Self { params: Params::new(), as_of: String::new(), is_asked: !given.is_empty() };
        for (name, value) in given.into_iter().filter(|(_, value)| !value.trim().is_empty()) {
            let value = value.trim().to_owned();
            if name == AS_OF {
                asked.as_of = value;
            } else if asked.params.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(format!("parameter `{name}` is given twice")));
            }
        }
        Ok(asked)
    }

    fn as_of(&self) -> Option<&str> {
        Some(self.as_of.as_str()).filter(|text| !text.is_empty())
    }

    /// What was asked, where the form that says it is left out.
    fn on_paper(&self) -> String {
        let pairs: Vec<(&str, String)> =
            self.pairs().into_iter().map(|(name, value)| (name, layout::escape(value))).collect();
        layout::on_paper(&layout::pairs(&pairs))
    }

    /// The query of an address that asks the same.
    fn pairs(&self) -> Vec<(&str, &str)> {
        let params = self.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        params.chain(self.as_of().map(|as_of| (AS_OF, as_of))).collect()
    }
}

async fn named(caller: Caller, Path(name): Path<String>, Query(given): Query<Vec<(String, String)>>) -> Reply {
    let query = Catalogue::shipped()?.get(&name)?;
    let asked = Asked::read(given)?;
    let is_runnable = !matches!(query.kind, Kind::View | Kind::Mapping);
    let mut body = layout::heading(&query.name, &query.question);
    body += &tabs(Tab::Named);
    let mut status = StatusCode::OK;
    if is_runnable {
        body += &form(query, &asked);
    } else {
        body += &not_runnable(query);
    }
    if is_runnable && asked.is_asked {
        let (answered, markup) = result_of(&caller, query, &asked).await?;
        status = answered;
        body += &layout::section("result", "Answer", &(asked.on_paper() + &markup));
    }
    body += &about(query);
    Ok(layout::render_as(status, &Page { title: &query.name, here: Place::Query, caller: &caller, body }))
}

/// The answer of `query`, or what is wrong with the question, with the status that says which.
async fn result_of(caller: &Caller, query: &NamedQuery, asked: &Asked) -> Result<(StatusCode, String), Error> {
    match answer_of(caller, query, asked).await {
        Ok((answer, size)) => {
            let links = downloads(&layout::path(&["v1", "query", &query.name]), &asked.pairs());
            Ok((StatusCode::OK, result::shown(&answer, size, &links)?))
        }
        Err(error) => refused(error),
    }
}

async fn answer_of(caller: &Caller, query: &NamedQuery, asked: &Asked) -> Result<(Answer, i64), Error> {
    let engine = caller.engine(asked.as_of()).await?;
    // A question that is wrong reads nothing.
    engine.bind(query, &asked.params)?;
    let extra = json!({"query": query.name, "params": asked.params, "as_of": asked.as_of()});
    caller.reads(Read { what: &query.name, subject: None, extra }).await?;
    let limits = Limits { rows: SHOWN_ROWS, ..Limits::default() };
    let answer = engine.stream(query, &asked.params, limits).await?.collect().await?;
    Ok((answer, engine.as_of().size))
}

/// A question that cannot be answered as it stands, said beside it; other failures are the page's own.
///
/// # Errors
/// `error` itself where asking otherwise would not help.
pub(super) fn refused(error: Error) -> Result<(StatusCode, String), Error> {
    let status = match error.kind() {
        ErrorKind::Invalid | ErrorKind::NotFound => StatusCode::BAD_REQUEST,
        ErrorKind::Limit if !Busy::is_why(&error) => StatusCode::PAYLOAD_TOO_LARGE,
        _ => return Err(error),
    };
    let words = format!("<p>{}</p>", layout::message(&error.to_string()));
    Ok((status, layout::notice(Tone::Bad, &words)))
}

/// Links to the whole answer in every format.
fn downloads(base: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let link = |(format, words): (&'static str, &'static str)| {
        let all: Vec<(&str, &str)> = pairs.iter().copied().chain([("format", format)]).collect();
        layout::link(&layout::address(base, &all), words)
    };
    FORMATS.map(link).to_vec()
}

fn form(query: &NamedQuery, asked: &Asked) -> String {
    let fields: String =
        query.params.iter().filter(|param| param.name != AS_OF).map(|param| field(param, asked)).collect();
    format!(
        "<form class=\"form wide\" method=\"get\" action=\"{}\">\n<div class=\"grid\">\n{fields}{}</div>\n\
         <p class=\"submit\"><button>Run</button></p>\n</form>\n",
        address_of(query),
        layout::fields(&[as_of_field(&asked.as_of)])
    )
}

/// As of when something is asked.
pub(super) fn as_of_field(value: &str) -> Field<'_> {
    Field {
        name: AS_OF,
        label: "As of",
        value,
        example: "now",
        note: "An RFC 3339 instant, a ledger size or a table version such as v7; empty: all that is known now.",
        ..Field::default()
    }
}

fn field(param: &Param, asked: &Asked) -> String {
    let default = param.default.as_ref().map(ToString::to_string);
    let kind = kind_of(param.value_type);
    let note = match default.as_deref() {
        None | Some("") => format!("{kind}. {}", layout::sentence(&param.note)),
        Some(value) => format!("{kind}; empty: {value}. {}", layout::sentence(&param.note)),
    };
    let example = match param.value_type {
        ValueType::Timestamp => "2026-11-01T00:00:00Z",
        ValueType::Date => "2026-11-01",
        _ => "",
    };
    layout::fields(&[Field {
        name: &param.name,
        label: &first_upper(&param.name),
        value: asked.params.get(&param.name).map_or("", String::as_str),
        example: default.as_deref().unwrap_or(example),
        note: note.trim(),
        is_required: default.is_none(),
        ..Field::default()
    }])
}

/// What can be filled in, in words.
fn kind_of(value_type: ValueType) -> String {
    match value_type {
        ValueType::Timestamp => "Instant (RFC 3339)".to_owned(),
        ValueType::Date => "Day".to_owned(),
        ValueType::Utf8 => "Text".to_owned(),
        ValueType::Int64 => "Whole number".to_owned(),
        ValueType::Float64 => "Number".to_owned(),
        ValueType::Boolean => "True or false".to_owned(),
        other => other.word(),
    }
}

fn not_runnable(query: &NamedQuery) -> String {
    let words = match query.kind {
        Kind::View => {
            let sql = format!("select * from {} limit 100", query.name);
            let link = layout::link(&layout::address("/sql", &[("q", &sql)]), &sql);
            format!("<p>This is a view: it is read with SQL. {link}</p>")
        }
        _ => format!(
            "<p>This is a mapping: <code>probity ingest --map {} FILE</code> turns rows into events with it.</p>",
            layout::escape(&query.name)
        ),
    };
    layout::notice(Tone::Plain, &words)
}

/// The header and the text: what the answer means, and how it is computed.
fn about(query: &NamedQuery) -> String {
    let columns: Vec<Vec<String>> = query
        .returns
        .iter()
        .map(|column| {
            vec![layout::code(&column.name), layout::escape(&column.value_type.word()), layout::escape(&column.note)]
        })
        .collect();
    let facts = layout::pairs(&[
        ("A row is", layout::escape(query.grain.as_str())),
        ("It needs", layout::escape(query.needs.as_str())),
        ("Why so", layout::escape(query.why.as_str())),
        ("File", format!("<code>queries/{}</code>", layout::escape(&query.file))),
    ]);
    let headings = [("Column", Set::Code), ("Type", Set::Text), ("Meaning", Set::Text)];
    let table = layout::table("Columns", &headings, &columns, "");
    let text = format!(
        "<details>\n<summary>SQL of <code>{}</code></summary>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</details>\n",
        layout::escape(&query.name),
        layout::escape(query.text.trim_end())
    );
    layout::section("about", "What it means", &(facts + &table + &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn empty_fields_are_not_given_and_an_address_without_a_question_asks_none() {
        let asked = Asked::read(given(&[("maturity_days", " 14 "), ("period_start", ""), ("as_of", "v7")])).unwrap();
        assert_eq!(asked.pairs(), [("maturity_days", "14"), ("as_of", "v7")]);
        assert!(asked.is_asked && !Asked::read(Vec::new()).unwrap().is_asked);
        assert!(asked.on_paper().contains("<dt>maturity_days</dt><dd>14</dd>"));
        assert_eq!(Asked::read(Vec::new()).unwrap().on_paper(), "");
        assert!(Asked::read(given(&[("a", "1"), ("a", "2")])).is_err());
    }

    #[test]
    fn every_named_query_has_a_form_with_all_of_its_parameters() {
        for query in Catalogue::shipped().unwrap().list() {
            let asked = Asked::read(Vec::new()).unwrap();
            let form = form(query, &asked);
            for param in query.params.iter().filter(|param| param.name != AS_OF) {
                assert!(form.contains(&format!("name=\"{}\"", param.name)), "{}: {}", query.name, param.name);
                assert_eq!(
                    form.contains("\" required"),
                    query.params.iter().any(|p| p.name != AS_OF && p.default.is_none())
                );
            }
        }
    }

    #[test]
    fn a_field_says_in_words_what_to_fill_in_and_what_holds_while_it_is_empty() {
        let query = Catalogue::shipped().unwrap().get("routing_exception_rate").unwrap();
        let form = form(query, &Asked::read(Vec::new()).unwrap());
        for note in ["Instant (RFC 3339). ", "Whole number; empty: 30. "] {
            assert!(form.contains(note), "{note}: {form}");
        }
    }

    #[test]
    fn every_kind_of_query_has_its_group() {
        let catalogue = Catalogue::shipped().unwrap();
        assert!(catalogue.list().all(|query| GROUPS.iter().any(|(kind, ..)| *kind == query.kind)));
    }

    #[test]
    fn an_answer_is_handed_on_in_every_format_with_the_same_question() {
        let links = downloads("/v1/query/months", &[("as_of", "7")]);
        assert_eq!(links.len(), 4);
        assert!(links[1].contains("/v1/query/months?as_of=7&amp;format=csv"), "{}", links[1]);
    }
}
