//! The newest month of the evidence and the one before it, in the numbers that lead their reviews.
//!
//! In: a session for reports. Out: markup, in parts that need not wait for each other: over a long log the rates take
//! seconds and the controls longer. Invariant: every number is the answer of a named query for a month as the policy of
//! that month draws its borders, the same as in the review; the links ask the same questions.

use crate::clock::rfc3339;
use crate::error::Result;
use crate::event::parse;
use crate::query::answer::Limits;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::header::NamedQuery;
use crate::query::judgement::{Judgement, Verdict};
use crate::query::objects::{self, Row};
use crate::query::params::Params;
use crate::report::document::{Block, Flag, Kind, Tile, Tone};
use crate::report::gather::Period;
use crate::report::ground::Policies;
use crate::report::period::Month;
use crate::report::{format, html, monthly};
use crate::server::cache::step;
use crate::server::pages::layout;

/// The rates that are shown, and what they are called.
const RATES: [(&str, &str); 3] = [
    ("routing_exception_rate", "Routing exceptions"),
    ("approval_rate", "Approved"),
    ("execution_failure_rate", "Executions failed"),
];
/// The months with an event of a source, the newest first.
const MONTHS: &str = "select occurred_month as month, count(*) as events from events \
                      where event_type not like 'evidence.%' and source <> 'probity' \
                      group by occurred_month order by occurred_month desc limit 2";

/// A month with the values that its questions get.
struct Asked {
    month: Month,
    params: Params,
}

/// The rates of the newest month; nothing where no source has sent an event.
///
/// # Errors
/// When a query fails or a bound is met.
pub(super) async fn rates(engine: &Engine) -> Result<String> {
    step("looking for the newest month");
    let Some(newest) = Asked::back(engine, 0).await? else { return Ok(String::new()) };
    step("asking for the rates of the newest month");
    let tiles = tiles(engine, &newest).await?;
    let review = layout::link(&layout::path(&["monthly", &newest.month.to_string()]), "the whole review");
    let so_far = if is_running(engine, &newest)? { ", so far" } else { "" };
    let title = format!("{}{so_far}", newest.month.words());
    let rows = rows_behind(&newest)?;
    let body = format!(
        "{}<p class=\"note\">See {review}, or what each number is made of: {rows}.</p>\n",
        html::blocks(&[Block::Tiles(tiles)])
    );
    Ok(layout::section("month", &title, &body))
}

/// The same rates of the month before it; nothing where there is none.
///
/// # Errors
/// When a query fails or a bound is met.
pub(super) async fn before(engine: &Engine) -> Result<String> {
    step("looking for the month before");
    let Some(before) = Asked::back(engine, 1).await? else { return Ok(String::new()) };
    step("asking for the rates of the month before");
    let tiles = tiles(engine, &before).await?;
    Ok(layout::section("month-before", &before.month.words(), &html::blocks(&[Block::Tiles(tiles)])))
}

/// The controls that fail in the newest month, and how many others there are.
///
/// # Errors
/// When a query fails or a bound is met.
pub(super) async fn controls(engine: &Engine) -> Result<String> {
    step("looking for the newest month");
    let Some(newest) = Asked::back(engine, 0).await? else { return Ok(String::new()) };
    step("judging by the controls");
    judged(engine, &newest).await
}

/// Links to the questions that the numbers answer, asked the same.
fn rows_behind(asked: &Asked) -> Result<String> {
    let mut links = Vec::new();
    for (name, label) in RATES {
        links.push(layout::link(&asked.address(Catalogue::shipped()?.get(name)?), &label.to_lowercase()));
    }
    Ok(links.join(", "))
}

/// Whether the month has not ended yet.
fn is_running(engine: &Engine, asked: &Asked) -> Result<bool> {
    let end = asked.params.get("period_end").map(String::as_str).unwrap_or_default();
    Ok(engine.as_of().at < parse::instant(end).unwrap_or(i64::MAX))
}

impl Asked {
    /// The month that comes `back` places after the newest one; none where there are not so many.
    async fn back(engine: &Engine, back: usize) -> Result<Option<Self>> {
        let months = objects::rows(&engine.sql(MONTHS, Limits::default()).await?)?;
        match months.get(back) {
            Some(row) => Self::of(engine, row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn of(engine: &Engine, row: &Row) -> Result<Self> {
        let month = Month::parse(objects::text(row, "month"))?;
        let utc = month.period(chrono_tz::Tz::UTC);
        let policy = Policies::during(engine, utc.start, utc.end).await?.first;
        let zone: chrono_tz::Tz = policy.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
        let Period { start, end, .. } = month.period(zone);
        let params = [
            ("period_start", rfc3339(start)),
            ("period_end", rfc3339(end)),
            ("time_zone", zone.name().to_owned()),
            ("maturity_days", policy.maturity_days.to_string()),
        ];
        Ok(Self { month, params: params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() })
    }

    /// What `query` takes of it.
    fn params_for(&self, query: &NamedQuery) -> Params {
        let mut params = self.params.clone();
        params.retain(|name, _| query.param(name).is_some());
        params
    }

    /// The page on which `query` is asked the same.
    fn address(&self, query: &NamedQuery) -> String {
        let params = self.params_for(query);
        let pairs: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        layout::parts::address(&layout::path(&["query", &query.name]), &pairs)
    }
}

/// The row of a rate for the month as a whole.
async fn rate(engine: &Engine, asked: &Asked, name: &str) -> Result<Option<Row>> {
    let query = Catalogue::shipped()?.get(name)?;
    let answer = engine.run_grain(query, &asked.params_for(query), "period").await?;
    Ok(objects::rows(&answer)?.into_iter().next())
}

fn in_words(row: Option<&Row>) -> (String, String) {
    let count = |column: &str| row.and_then(|row| objects::count(row, column)).unwrap_or_default();
    format::rate(count("numerator"), count("denominator"), row.and_then(|row| objects::number(row, "value")))
}

async fn tiles(engine: &Engine, asked: &Asked) -> Result<Vec<Tile>> {
    let mut tiles = Vec::new();
    for (name, label) in RATES {
        let row = rate(engine, asked, name).await?;
        let (value, detail) = in_words(row.as_ref());
        // What has no data says so once.
        let status = row.as_ref().and_then(|row| Flag::of_status(objects::text(row, "status")));
        let status = status.filter(|flag| flag.words != value);
        tiles.push(Tile { label: label.to_owned(), value, detail, status, source: String::new() });
    }
    Ok(tiles)
}

async fn judged(engine: &Engine, asked: &Asked) -> Result<String> {
    let catalogue = Catalogue::shipped()?;
    let dashboard = monthly::dashboard()?;
    let (mut failing, mut passed, mut untestable) = (Vec::new(), 0u64, 0u64);
    for name in dashboard.controls() {
        let query = catalogue.get(name)?;
        let limits = Limits { rows: 0, ..Limits::default() };
        let judged = engine.stream(query, &asked.params_for(query), limits).await?.collect().await?.judgement;
        let judged = judged.unwrap_or_default();
        match judged.verdict() {
            Verdict::Fail => failing.push(failed(query, judged, &asked.address(query))),
            Verdict::Pass => passed += 1,
            Verdict::NotTestable => untestable += 1,
        }
    }
    let columns = [("Control", Kind::Code), ("What it asks", Kind::Text), ("Violations", Kind::Count)];
    let table = layout::table("", &columns, &failing, "No control fails in this month.");
    let rest = format!(
        "{} pass; {} cannot be judged by what this log holds.",
        layout::counted(passed, "control", "controls"),
        format::count(untestable)
    );
    let tone = if failing.is_empty() { layout::badge(Tone::Good, "none fails") } else { String::new() };
    let body = format!("{table}<p class=\"note\">{} {tone}</p>\n", layout::escape(&rest));
    Ok(layout::section("controls", &format!("Controls that fail in {}", asked.month.words()), &body))
}

fn failed(query: &NamedQuery, judged: Judgement, address: &str) -> Vec<String> {
    let name = format!("<a href=\"{}\"><code>{}</code></a>", layout::escape(address), layout::escape(&query.name));
    vec![name, layout::escape(&query.question), format::of(judged.violations, judged.population)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_of_a_month_gets_what_it_takes_and_its_page_asks_the_same() {
        let params = [("period_start", "a"), ("period_end", "b"), ("time_zone", "UTC"), ("maturity_days", "30")];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let asked = Asked { month: Month::parse("2026-03").unwrap(), params };
        let query = Catalogue::shipped().unwrap().get("self_approval").unwrap();
        assert_eq!(asked.address(query), "/query/self_approval?period_end=b&period_start=a");
    }

    #[test]
    fn every_rate_is_a_metric_with_a_row_for_the_period() {
        for (name, _) in RATES {
            let query = Catalogue::shipped().unwrap().get(name).unwrap();
            for column in ["grain", "numerator", "denominator", "value", "status"] {
                assert!(query.returns.iter().any(|known| known.name == column), "{name}: {column}");
            }
        }
    }
}
