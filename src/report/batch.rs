//! The weekly packet of one batch: every flagged record with its evidence, decision and result.
//!
//! In: an engine over one prefix of the evidence, a batch. Out: the report. Invariant: a batch counts whole,
//! whatever months it lies in; later facts count as long as the policy in force at its start says.

use serde_json::json;

use super::compose::{self, Answers};
use super::dashboard::{BATCH, Dashboard};
use super::document::Document;
use super::files::{self, Report};
use super::gather::{Ask, Gathered, Period, check_params};
use super::ground::{Policies, facts};
use super::issued::FirstIssue;
use super::withheld::Eyes;
use super::{format, html};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::parse;
use crate::ledger::hash::sha256;
use crate::query::answer::Limits;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{Row, count, literal, number, rows, text};
use crate::query::params::Params;

const FIXED: [&str; 4] = ["period_start", "period_end", "as_of", "batch_id"];

/// What the packet is about.
#[derive(Debug, Clone)]
pub struct Request {
    /// The batch.
    pub batch_id: String,
    /// Parameters of the metrics, by name.
    pub params: Params,
    /// Name of the tenant, for the title.
    pub tenant: String,
}

/// The shipped dashboard of the packet.
///
/// # Errors
/// Never, which a test shows.
pub fn dashboard() -> Result<Dashboard> {
    Dashboard::parse("batch", BATCH)
}

/// Asks every question of `dashboard` for the batch and composes the report.
///
/// # Errors
/// When there is no such batch, a parameter is unknown, or a query fails.
pub async fn packet(engine: &Engine, request: &Request, page: (&Dashboard, &Catalogue)) -> Result<Report> {
    seen(Eyes::open(engine), request, page).await
}

/// As [`packet`], for a reader with these `eyes`.
///
/// # Errors
/// As [`packet`].
pub async fn seen(
    eyes: Eyes<'_>,
    request: &Request,
    (dashboard, catalogue): (&Dashboard, &Catalogue),
) -> Result<Report> {
    let Eyes { whole, seen: engine } = eyes;
    check_params(catalogue, dashboard, &request.params, &FIXED)?;
    let period = extent(engine, &request.batch_id).await?;
    let mut params = request.params.clone();
    params.insert("batch_id".to_owned(), request.batch_id.clone());
    let policies = Policies::during(whole, period.start, period.end).await?;
    params.entry("maturity_days".to_owned()).or_insert_with(|| policies.first.maturity_days.to_string());
    let ask = Ask { engine, catalogue, params: params.clone(), period, trend: Vec::new() };
    let mut gathered = ask.all(dashboard).await?;
    let is_of_batch = |row: &Row| {
        !row.contains_key("grain") || (text(row, "grain") == "batch" && text(row, "key") == request.batch_id)
    };
    gathered.answers.values_mut().for_each(|rows| rows.retain(is_of_batch));
    let issued = FirstIssue::find(whole, "batch", &request.batch_id, &params).await?;
    if let Some(first) = &issued {
        first.put_beside(&mut gathered.answers, "batch");
    }
    let as_of = engine.as_of();
    let mut json = json!({
        "report": "batch",
        "subject": request.batch_id,
        "batch_id": request.batch_id,
        "period": {"start": rfc3339(ask.period.start), "end": rfc3339(ask.period.end)},
        "as_of": {"at": rfc3339(as_of.at), "size": as_of.size, "version": engine.version(), "root": null},
        "params": params,
        "policies": policies.json(),
        "first_issued": issued.as_ref().map(|first| json!({"at": first.issued_at, "by": first.issued_by, "metrics": first.metrics})),
        "metrics": files::metrics(dashboard, &gathered.answers, "batch", &request.batch_id),
        "controls": files::controls(dashboard, &gathered.answers),
        "tables": files::tables(dashboard, &gathered),
    });
    eyes.sight().mark(&mut json);
    let csv = files::csv(dashboard, &gathered, catalogue);
    let headline = headline(request, &gathered.answers);
    let name = format!("batch-{}", file_name(&request.batch_id));
    let mut facts = facts(&ask, &policies, issued.as_ref());
    facts.extend(eyes.sight().fact());
    let document = document(request, facts, dashboard, gathered);
    Ok(Report { name, html: html::render(&document), json, csv, headline })
}

fn document(request: &Request, facts: Vec<(String, String)>, dashboard: &Dashboard, gathered: Gathered) -> Document {
    let mut sections = compose::sections(dashboard, &gathered.answers);
    if let Some(last) = sections.last_mut() {
        last.blocks.extend(compose::register(gathered.queries));
    }
    Document {
        title: dashboard.title.clone(),
        subtitle: format!("Batch {}, tenant {}", request.batch_id, request.tenant),
        facts,
        banner: None,
        sections,
    }
}

/// The instants between which the events of the batch lie.
async fn extent(engine: &Engine, batch_id: &str) -> Result<Period> {
    let sql = format!(
        "select min(occurred_at) as first_at, max(occurred_at) as last_at from events \
         where environment = 'production' and batch_id = {}",
        literal(batch_id)
    );
    let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
    let instant = |name: &str| -> Option<Micros> { parse::instant(text(found.first()?, name)).ok() };
    match (instant("first_at"), instant("last_at")) {
        (Some(start), Some(last)) => Ok(Period { name: batch_id.to_owned(), start, end: last + 1 }),
        _ => Err(Error::not_found(format!(
            "there is no batch `{batch_id}`; the query \"select distinct batch_id from events\" lists them"
        ))),
    }
}

/// A batch id as part of a file name. Where a character cannot stand in one, a digest of the id keeps two ids that
/// look alike apart.
fn file_name(batch_id: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    let safe: String = batch_id.chars().take(80).map(|c| if is_safe(c) { c } else { '-' }).collect();
    if safe == batch_id { safe } else { format!("{safe}-{}", &sha256(batch_id)[..8]) }
}

fn headline(request: &Request, answers: &Answers) -> String {
    let row = compose::all(answers, "routing_exception_rate").first();
    let found = row.filter(|row| count(row, "denominator").unwrap_or(0) > 0).map(|row| {
        let (k, n) = (count(row, "numerator").unwrap_or(0), count(row, "denominator").unwrap_or(0));
        let (large, small) = format::rate(k, n, number(row, "value"));
        format!("{large}, {small}")
    });
    format!("batch {}: routing exceptions {}", request.batch_id, found.unwrap_or_else(|| format::NO_DATA.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_batches_never_share_a_file() {
        assert_eq!(file_name("weekly-2026-10"), "weekly-2026-10");
        let names: std::collections::BTreeSet<String> =
            ["a/b", "a\\b", "a-b", "a b", "../a", "ü", "🦀", &"x".repeat(90), &"x".repeat(91)].map(file_name).into();
        assert_eq!(names.len(), 9);
        assert!(names.iter().all(|name| name.is_ascii() && !name.contains(['/', '\\', ' '])));
    }
}
