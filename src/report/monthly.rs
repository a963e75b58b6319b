//! The monthly governance review: one page, the same numbers as JSON, its tables as CSV.
//!
//! In: an engine over one prefix of the evidence, a month, parameters. Out: the files' contents. Invariant: the
//! same `as_of` gives the same bytes; `metrics` and `batches` depend on the evidence alone.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde_json::{Map, Value, json};

use super::compose::{self, Answers, all, keys_of, of_period};
use super::dashboard::{Dashboard, MONTHLY};
use super::document::{Block, Document, Query, Section};
use super::rows::{Row, count, rows, text};
use super::{format, html};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::params::Params;

/// A month of the calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    first: NaiveDate,
}

impl Month {
    /// Reads `YYYY-MM`, years 0002..9998: the trend reaches months before it.
    ///
    /// # Errors
    /// Invalid for anything else.
    pub fn parse(month: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(format!("`{month}` is no month of the years 0002..9998; give it as YYYY-MM, e.g. 2016-03"))
        };
        let (year, number) = month.split_once('-').filter(|(y, m)| y.len() == 4 && m.len() == 2).ok_or_else(bad)?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let (year, number) = (digits(year).ok_or_else(bad)?, digits(number).ok_or_else(bad)?);
        let first =
            NaiveDate::from_ymd_opt(year as i32, number, 1).filter(|_| (2..=9998).contains(&year)).ok_or_else(bad)?;
        Ok(Self { first })
    }

    /// The instants between which it lies, the second one not included.
    pub fn period(self) -> (Micros, Micros) {
        let next = match self.first.month() {
            12 => NaiveDate::from_ymd_opt(self.first.year() + 1, 1, 1),
            month => NaiveDate::from_ymd_opt(self.first.year(), month + 1, 1),
        };
        let micros = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        (micros(self.first), next.map_or(Micros::MAX, micros))
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

/// What the review is about.
#[derive(Debug, Clone)]
pub struct Request {
    /// The month.
    pub month: Month,
    /// Parameters of the metrics, by name.
    pub params: BTreeMap<String, String>,
    /// Name of the tenant, for the title.
    pub tenant: String,
}

/// A finished review.
#[derive(Debug)]
pub struct Review {
    /// The page.
    pub html: String,
    /// The numbers.
    pub json: Value,
    /// Tables by file name.
    pub csv: BTreeMap<&'static str, String>,
    /// The headline in one line.
    pub headline: String,
}

/// Runs every query of the review and composes it.
///
/// # Errors
/// When a parameter is unknown or a query fails.
pub async fn review(engine: &Engine, request: &Request) -> Result<Review> {
    let dashboard = Dashboard::parse("monthly", MONTHLY)?;
    let catalogue = Catalogue::shipped()?;
    check_params(catalogue, &dashboard, request)?;
    let (mut answers, mut queries) = (Answers::new(), Vec::new());
    for name in dashboard.queries() {
        let query = catalogue.get(name)?;
        let params = params_for(request, &query.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
        let answer = engine.run(query, &params).await?;
        answers.insert(name.to_owned(), rows(&answer)?);
        let bound = engine.bind(query, &params)?;
        queries.push(Query {
            name: name.to_owned(),
            question: query.question.clone(),
            parameters: bound.values().into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect(),
            sql: query.text.clone(),
        });
    }
    let document = document(engine, request, &dashboard, &answers, queries);
    Ok(Review {
        html: html::render(&document),
        json: json_of(engine, request, &dashboard, &answers),
        csv: csv_of(&dashboard, &answers),
        headline: headline(request, &answers),
    })
}

/// Refuses parameters that no query of the page knows.
fn check_params(catalogue: &Catalogue, dashboard: &Dashboard, request: &Request) -> Result<()> {
    let mut known: Vec<&str> = Vec::new();
    for name in dashboard.queries() {
        known.extend(catalogue.get(name)?.params.iter().map(|p| p.name.as_str()));
    }
    let fixed = ["period_start", "period_end", "as_of"];
    match request.params.keys().find(|name| fixed.contains(&name.as_str()) || !known.contains(&name.as_str())) {
        Some(name) => {
            known.retain(|k| !fixed.contains(k));
            known.sort_unstable();
            known.dedup();
            Err(Error::invalid(format!("the monthly review has no parameter `{name}`; it knows: {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

fn params_for(request: &Request, wanted: &[&str]) -> Params {
    let (start, end) = request.month.period();
    let mut given = request.params.clone();
    given.insert("period_start".into(), rfc3339(start));
    given.insert("period_end".into(), rfc3339(end));
    given.into_iter().filter(|(name, _)| wanted.contains(&name.as_str())).collect()
}

fn document(
    engine: &Engine,
    request: &Request,
    dashboard: &Dashboard,
    answers: &Answers,
    queries: Vec<Query>,
) -> Document {
    let as_of = engine.as_of();
    let (start, end) = request.month.period();
    let version = if engine.version() < 0 { "none yet".to_owned() } else { format!("v{}", engine.version()) };
    let mut facts = vec![
        ("Period".to_owned(), format!("{} to {}, UTC", &rfc3339(start)[..10], &rfc3339(end - 1)[..10])),
        ("As of".to_owned(), rfc3339(as_of.at)),
        ("Ledger size".to_owned(), format!("{} events", format::count(as_of.size as u64))),
        ("Table version".to_owned(), version),
        ("Time zone".to_owned(), "UTC".to_owned()),
    ];
    facts.extend(request.params.iter().map(|(name, value)| (compose::words(name), value.clone())));
    let mut sections = compose::sections(dashboard, answers);
    sections.push(appendix(queries));
    if let (Some(words), Some(summary)) = (nothing_proposed(answers), sections.first_mut()) {
        summary.blocks.insert(1, Block::Text(words));
    }
    Document {
        title: dashboard.title.clone(),
        subtitle: format!("{}, tenant {}", month_name(request.month), request.tenant),
        facts,
        banner: banner(answers),
        sections,
    }
}

fn month_name(month: Month) -> String {
    month.first.format("%B %Y").to_string()
}

fn appendix(queries: Vec<Query>) -> Section {
    let mut blocks = vec![Block::Text(
        "Every number above is an answer of one of these queries over the evidence as of the instant and ledger size \
         given on the first page; anyone with the store can run them again."
            .to_owned(),
    )];
    blocks.extend(queries.into_iter().map(Block::Query));
    Section {
        id: "appendix".to_owned(),
        title: "Appendix: queries and parameters".to_owned(),
        question: "How can every number be recomputed?".to_owned(),
        blocks,
    }
}

/// Said beside the headline when the period holds no proposal of an agent at all.
fn nothing_proposed(answers: &Answers) -> Option<String> {
    let period =
        |query: &str, column: &str| of_period(answers, query).first().and_then(|row| count(row, column)).unwrap_or(0);
    let is_reviewed = period("flag_rate", "denominator") > 0;
    let is_proposed =
        period("flag_rate", "numerator") + period("decision_mix", "denominator") + period("decision_mix", "pending")
            > 0;
    (is_reviewed && !is_proposed).then(|| {
        "No proposal of an agent is in this month: what is said of flags, approvals and misses does not judge an agent.".to_owned()
    })
}

/// Said on page one when the log is not complete.
fn banner(answers: &Answers) -> Option<String> {
    let sum = |column: &str| all(answers, "log_health").iter().filter_map(|row| count(row, column)).sum::<u64>();
    let (refused, gaps) = (sum("conflict") + sum("rejected"), sum("gaps"));
    let mut faults = Vec::new();
    if refused > 0 {
        let records = if refused == 1 { "record was refused and is" } else { "records were refused and are" };
        faults.push(format!("{} {records} in the quarantine", format::count(refused)));
    }
    if gaps > 0 {
        let events = if gaps == 1 { "event is" } else { "events are" };
        faults.push(format!("{} {events} missing by the sources' own count", format::count(gaps)));
    }
    (!faults.is_empty()).then(|| {
        format!(
            "The log of this month is incomplete: {}. Read every number below with that in mind.",
            faults.join("; ")
        )
    })
}

/// A metric's result: the columns of its period row, or `parts` for a mix.
fn result(rows: &[&Row]) -> Value {
    let without = |row: &Row, names: &[&str]| -> Map<String, Value> {
        row.iter().filter(|(name, _)| !names.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    let Some(first) = rows.first() else { return Value::Null };
    if !first.contains_key("part") {
        return Value::Object(without(first, &["grain", "key"]));
    }
    let part = |row: &&Row| (text(row, "part").to_owned(), row.get("numerator").cloned().unwrap_or(Value::Null));
    let mut result = without(first, &["grain", "key", "part", "numerator", "value", "ci_low", "ci_high"]);
    result.insert("parts".to_owned(), Value::Object(rows.iter().map(part).collect()));
    Value::Object(result)
}

fn metrics(dashboard: &Dashboard, answers: &Answers) -> Map<String, Value> {
    let mut metrics = Map::new();
    for name in &dashboard.metrics {
        let period = of_period(answers, name);
        if name == "exception_origin" {
            // The split of the headline is two metrics with a rate each.
            for (part, metric) in
                [("surfaced_by_ai", "exceptions_surfaced_by_ai"), ("found_by_human", "found_by_human")]
            {
                let mut row =
                    period.iter().find(|row| text(row, "part") == part).map_or(Map::new(), |row| (*row).clone());
                row.remove("part");
                metrics.insert(metric.to_owned(), result(&[&row]));
            }
        } else {
            metrics.insert(name.clone(), result(&period));
        }
    }
    metrics
}

fn batches(dashboard: &Dashboard, answers: &Answers) -> Vec<Value> {
    let of_batch = |batch: &str| {
        let mut metrics = Map::new();
        for name in &dashboard.metrics {
            let rows: Vec<&Row> = all(answers, name)
                .iter()
                .filter(|row| text(row, "grain") == "batch" && text(row, "key") == batch)
                .collect();
            if !rows.is_empty() {
                metrics.insert(name.clone(), result(&rows));
            }
        }
        json!({"batch_id": batch, "metrics": metrics})
    };
    keys_of(answers, "batch").iter().map(|batch| of_batch(batch)).collect()
}

fn json_of(engine: &Engine, request: &Request, dashboard: &Dashboard, answers: &Answers) -> Value {
    let as_of = engine.as_of();
    let (start, end) = request.month.period();
    json!({
        "report": "monthly",
        "month": request.month.to_string(),
        "period": {"start": rfc3339(start), "end": rfc3339(end)},
        "as_of": {"at": rfc3339(as_of.at), "size": as_of.size, "version": engine.version(), "root": null},
        "params": request.params,
        "metrics": metrics(dashboard, answers),
        "batches": batches(dashboard, answers),
        "controls": [],
        "trend": all(answers, "monthly_routing_exceptions"),
        "weeks": all(answers, "trend_routing_exceptions"),
        "log_health": all(answers, "log_health"),
    })
}

/// `metrics.csv` with every metric at every grain, and one file for each table of another shape.
fn csv_of(dashboard: &Dashboard, answers: &Answers) -> BTreeMap<&'static str, String> {
    let rates =
        dashboard.metrics.iter().flat_map(|name| all(answers, name).iter().map(move |row| (name.as_str(), row)));
    let columns =
        ["grain", "key", "part", "numerator", "denominator", "value", "ci_low", "ci_high", "pending", "status"];
    let (durations, rates): (Vec<_>, Vec<_>) = rates.partition(|(_, row)| row.contains_key("p50_hours"));
    let line = |(name, row): &(&str, &Row)| -> Vec<String> {
        std::iter::once((*name).to_owned()).chain(columns.iter().map(|c| field(row.get(*c)))).collect()
    };
    let head: Vec<String> = std::iter::once("metric").chain(columns).map(str::to_owned).collect();
    let metrics = std::iter::once(head).chain(rates.iter().map(line)).map(|fields| csv_line(&fields)).collect();
    let table = |rows: &[&Row], columns: &[&str]| -> String {
        let head: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        let lines = rows.iter().map(|row| columns.iter().map(|c| field(row.get(*c))).collect::<Vec<_>>());
        std::iter::once(head).chain(lines).map(|fields| csv_line(&fields)).collect()
    };
    let durations: Vec<&Row> = durations.into_iter().map(|(_, row)| row).collect();
    let of = |name: &str| all(answers, name).iter().collect::<Vec<_>>();
    BTreeMap::from([
        ("metrics.csv", metrics),
        (
            "time_to_decision.csv",
            table(
                &durations,
                &[
                    "grain",
                    "key",
                    "denominator",
                    "p50_hours",
                    "p90_hours",
                    "max_hours",
                    "pending",
                    "pending_age_hours",
                    "status",
                ],
            ),
        ),
        (
            "trend.csv",
            table(
                &of("monthly_routing_exceptions"),
                &["month", "reviewed", "exceptions", "value", "ci_low", "ci_high", "status"],
            ),
        ),
        (
            "weeks.csv",
            table(
                &of("trend_routing_exceptions"),
                &["week_start", "reviewed", "exceptions", "value", "ci_low", "ci_high", "status"],
            ),
        ),
        (
            "log_health.csv",
            table(
                &of("log_health"),
                &["source", "day", "received", "accepted", "duplicate", "conflict", "rejected", "late", "gaps"],
            ),
        ),
    ])
}

fn field(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// RFC 4180; a field that a spreadsheet would take for a formula is marked as text.
fn csv_line(fields: &[String]) -> String {
    let quoted = |field: &String| {
        let is_formula =
            field.starts_with(['=', '+', '@', '\t', '\r']) || (field.starts_with('-') && field.parse::<f64>().is_err());
        let field = if is_formula { format!("'{field}") } else { field.clone() };
        if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

fn headline(request: &Request, answers: &Answers) -> String {
    let period = of_period(answers, "routing_exception_rate");
    let found = period.first().map(|row| {
        let (numerator, denominator) = (count(row, "numerator").unwrap_or(0), count(row, "denominator").unwrap_or(0));
        let (large, small) = format::rate(numerator, denominator, row.get("value").and_then(Value::as_f64));
        if denominator == 0 { format::NO_DATA.to_owned() } else { format!("{large}, {small}") }
    });
    format!("{}: routing exceptions {}", request.month, found.unwrap_or_else(|| format::NO_DATA.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_to_the_ends_of_the_calendar() {
        let period = |month: &str| Month::parse(month).map(|m| m.period()).map(|(a, b)| (rfc3339(a), rfc3339(b)));
        let (start, end) = period("2016-12").unwrap();
        assert_eq!((start.as_str(), end.as_str()), ("2016-12-01T00:00:00.000000Z", "2017-01-01T00:00:00.000000Z"));
        assert_eq!(period("9998-12").unwrap().1, "9999-01-01T00:00:00.000000Z");
        assert_eq!(period("0002-01").unwrap().0, "0002-01-01T00:00:00.000000Z");
        for bad in ["0001-12", "9999-01", "2016", "2016-13", "2016-3", "0000-01", "16-03", "2016-03-01", "x", "+016-03"]
        {
            assert!(Month::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn csv_fields_are_quoted_and_formulas_defused() {
        let fields = ["a,b", "c\"d", "=1+1", "-0.5", "-x"].map(str::to_owned);
        assert_eq!(csv_line(&fields), "\"a,b\",\"c\"\"d\",'=1+1,-0.5,'-x\r\n");
    }
}
