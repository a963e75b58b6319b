//! The monthly governance review: one page, the same numbers as JSON, its tables as CSV.
//!
//! In: an engine over one prefix of the evidence, a month, parameters. Out: the report. Invariant: the same
//! `as_of` gives the same bytes; `metrics` and `batches` depend on the evidence alone.

use serde_json::{Value, json};

use super::compose::{self, Answers, all, of_period};
use super::dashboard::{Dashboard, MONTHLY};
use super::document::{Block, Document};
use super::files::{self, Report};
use super::gather::{Ask, Gathered, check_params};
use super::ground::{Policies, facts};
use super::issued::FirstIssue;
use super::period::Month;
use super::withheld::Eyes;
use super::{format, html};
use crate::clock::rfc3339;
use crate::error::Result;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{Row, count};
use crate::query::params::Params;

/// Months of a trend, the reviewed one included.
const TREND_MONTHS: u32 = 6;
/// Parameters that the review sets itself.
const FIXED: [&str; 4] = ["period_start", "period_end", "as_of", "time_zone"];

/// What the review is about.
#[derive(Debug, Clone)]
pub struct Request {
    /// The month.
    pub month: Month,
    /// Parameters of the metrics, by name.
    pub params: Params,
    /// Name of the tenant, for the title.
    pub tenant: String,
}

/// The shipped dashboard of the review.
///
/// # Errors
/// Never, which a test shows.
pub fn dashboard() -> Result<Dashboard> {
    Dashboard::parse("monthly", MONTHLY)
}

/// Asks every question of `dashboard` for the month and composes the report.
///
/// # Errors
/// When a parameter is unknown or a query fails.
pub async fn review(engine: &Engine, request: &Request, page: (&Dashboard, &Catalogue)) -> Result<Report> {
    seen(Eyes::open(engine), request, page).await
}

/// As [`review`], for a reader with these `eyes`.
///
/// # Errors
/// As [`review`].
pub async fn seen(
    eyes: Eyes<'_>,
    request: &Request,
    (dashboard, catalogue): (&Dashboard, &Catalogue),
) -> Result<Report> {
    let Eyes { whole, seen: engine } = eyes;
    check_params(catalogue, dashboard, &request.params, &FIXED)?;
    let utc = request.month.period(chrono_tz::Tz::UTC);
    let policies = Policies::during(whole, utc.start, utc.end).await?;
    let zone: chrono_tz::Tz = policies.first.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
    let mut params = request.params.clone();
    params.insert("time_zone".to_owned(), zone.name().to_owned());
    params.entry("maturity_days".to_owned()).or_insert_with(|| policies.first.maturity_days.to_string());
    let (period, trend) = (request.month.period(zone), request.month.trend(TREND_MONTHS, zone));
    let ask = Ask { engine, catalogue, params: params.clone(), period, trend };
    let mut gathered = ask.all(dashboard).await?;
    let issued = FirstIssue::find(whole, "monthly", &request.month.to_string(), &params).await?;
    if let Some(first) = &issued {
        first.put_beside(&mut gathered.answers, "period");
    }
    let mut json = json_of(&ask, request, &policies, (dashboard, &gathered, issued.as_ref()));
    eyes.sight().mark(&mut json);
    let csv = files::csv(dashboard, &gathered, catalogue);
    let headline = headline(request, &gathered.answers);
    let mut document = document(&ask, request, &policies, (dashboard, gathered, issued.as_ref()));
    document.facts.extend(eyes.sight().fact());
    Ok(Report { name: format!("monthly-{}", request.month), html: html::render(&document), json, csv, headline })
}

type Composed<'a, G> = (&'a Dashboard, G, Option<&'a FirstIssue>);

fn document(
    ask: &Ask<'_>,
    request: &Request,
    policies: &Policies,
    (dashboard, gathered, issued): Composed<'_, Gathered>,
) -> Document {
    let answers = &gathered.answers;
    let mut sections = compose::sections(dashboard, answers);
    if let (Some(words), Some(summary)) = (nothing_done(answers), sections.first_mut()) {
        summary.blocks.insert(1, Block::Text(words));
    }
    let facts = facts(ask, policies, issued);
    let banner = banner(answers);
    if let Some(appendix) = sections.last_mut() {
        appendix.blocks.extend(compose::register(gathered.queries));
    }
    Document {
        title: dashboard.title.clone(),
        subtitle: format!("{}, tenant {}", request.month.words(), request.tenant),
        facts,
        banner,
        sections,
    }
}

/// Said beside the headline when nothing counts to the period, or nothing that an agent proposed.
fn nothing_done(answers: &Answers) -> Option<String> {
    let holds = |row: &Row, column: &str| count(row, column).unwrap_or(0) > 0;
    let period =
        |query: &str, column: &str| of_period(answers, query).first().and_then(|row| count(row, column)).unwrap_or(0);
    let decisions = period("decision_mix", "denominator") + period("decision_mix", "pending");
    let counts = all(answers, "month_counts");
    let is_counted = counts.iter().any(|row| holds(row, "records") || holds(row, "actions"));
    if !counts.is_empty() && !is_counted && decisions == 0 {
        let words = "No record was reviewed in this month, and no action that counts to it was proposed, decided or executed: \
                     nothing below judges an agent.";
        return Some(words.to_owned());
    }
    let is_reviewed = period("flag_rate", "denominator") > 0;
    let is_proposed = period("flag_rate", "numerator") + decisions > 0;
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

fn json_of(
    ask: &Ask<'_>,
    request: &Request,
    policies: &Policies,
    (dashboard, gathered, issued): Composed<'_, &Gathered>,
) -> Value {
    let (as_of, answers) = (ask.engine.as_of(), &gathered.answers);
    let mut report = json!({
        "report": "monthly",
        "subject": request.month.to_string(),
        "month": request.month.to_string(),
        "period": {"start": rfc3339(ask.period.start), "end": rfc3339(ask.period.end)},
        "as_of": {"at": rfc3339(as_of.at), "size": as_of.size, "version": ask.engine.version(), "root": null},
        "params": ask.params,
        "policies": policies.json(),
        "metrics": files::metrics(dashboard, answers, "period", ""),
        "batches": files::by_key(dashboard, answers, "batch", "batch_id"),
        "workflows": files::by_key(dashboard, answers, "workflow", "workflow"),
        "grains": files::other_grains(dashboard, answers),
        "controls": files::controls(dashboard, answers),
        "first_issued": issued.map(|first| json!({"at": first.issued_at, "by": first.issued_by, "metrics": first.metrics})),
        "trend": all(answers, "monthly_routing_exceptions"),
        "weeks": all(answers, "trend_routing_exceptions"),
        "log_health": all(answers, "log_health"),
        "trends": files::trends(dashboard, answers),
    });
    if let Some(report) = report.as_object_mut() {
        report.insert("tables".to_owned(), files::tables(dashboard, gathered).into());
    }
    report
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

    fn rows(value: Value) -> Vec<Row> {
        value.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn a_month_without_work_says_so_first_and_one_without_proposals_that_it_judges_no_agent() {
        let counts = |records: u64| {
            let parts = json!([
                {"part": "reviewed", "records": records, "actions": null},
                {"part": "executed", "records": 0, "actions": 0},
            ]);
            ("month_counts".to_owned(), rows(parts))
        };
        let flags = |flagged: u64| {
            let rate = json!([{"grain": "period", "numerator": flagged, "denominator": 9}]);
            ("flag_rate".to_owned(), rows(rate))
        };
        let said = |answers: Vec<(String, Vec<Row>)>| nothing_done(&answers.into_iter().collect());
        let decided = |pending: u64| {
            let mix = json!([{"grain": "period", "denominator": 0, "pending": pending}]);
            ("decision_mix".to_owned(), rows(mix))
        };
        assert!(said(vec![counts(0), decided(0)]).unwrap().starts_with("No record was reviewed"));
        assert_eq!(said(vec![counts(0), decided(1)]), None, "something is proposed");
        assert!(said(vec![counts(9), flags(0)]).unwrap().starts_with("No proposal of an agent"));
        assert_eq!(said(vec![counts(9), flags(1)]), None);
        assert_eq!(said(vec![]), None, "a page that does not ask for the counts knows nothing");
    }
}
