//! The controls that list bad actions of an incident: what should have held them up, or did notice.
//!
//! In: a scope, the policies that were in force. Out: for each control of the months of its direct actions how many of
//! them it lists. Invariant: the total beside is that of the months, so that it can be compared with the monthly
//! review. A control whose rows are runs or agents names one action for each. Controls that have to read the whole log
//! are not run here, and are named.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, StringViewArray};
use hashbrown::HashSet;
use serde_json::{Value, json};

use super::comparison::{Comparison, Part, Span, as_texts, unreadable};
use crate::clock::{DAY, Micros, civil, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::query::answer::Limits;
use crate::query::blast::read_instant;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::header::{Kind, NamedQuery};
use crate::query::judgement::Judgement;
use crate::query::params::Params;

/// A control without a window that reads events of its period alone.
const NARROW: &str = "not_in_policy";

/// A control, and what it found of the incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedControl {
    /// Its name.
    pub control: String,
    /// What it asks.
    pub question: String,
    /// Direct actions that it lists.
    pub actions: u64,
    /// All that it judged in the months.
    pub judgement: Judgement,
}

/// The controls of the months of an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedControls {
    /// The months; none where nothing is bad.
    pub period: Option<(Micros, Micros)>,
    /// Controls that were run.
    pub ran: u64,
    /// Those that list a direct action, the one that lists most first.
    pub failed: Vec<FailedControl>,
    /// Those that were not run, and why.
    pub not_run: BTreeMap<String, &'static str>,
}

impl FailedControls {
    /// Runs the controls for the incident that `comparison` is about.
    ///
    /// # Errors
    /// When a control fails for another reason than a bound.
    pub(super) async fn of(engine: &Engine, comparison: Option<&Comparison<'_>>) -> Result<Self> {
        let Some(comparison) = comparison else { return Ok(Self::default()) };
        let period = months(comparison.course)?;
        let mut found = Self { period: Some(period), ..Self::default() };
        for query in Catalogue::shipped()?.list().filter(|query| query.kind == Kind::Control) {
            if query.window.is_none() && query.name != NARROW {
                found.not_run.insert(query.name.clone(), "it reads the whole log, whatever the period");
                continue;
            }
            match listed(engine, query, (comparison, period)).await {
                Ok(control) => {
                    found.ran += 1;
                    found.failed.extend(Some(control).filter(|control| control.actions > 0));
                }
                Err(e) if e.kind() == ErrorKind::Limit => {
                    found.not_run.insert(query.name.clone(), "it met a bound of time or memory");
                }
                Err(e) => return Err(e),
            }
        }
        found.failed.sort_by(|a, b| b.actions.cmp(&a.actions).then_with(|| a.control.cmp(&b.control)));
        Ok(found)
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let control = |failed: &FailedControl| {
            let Judgement { population, violations, untestable } = failed.judgement;
            json!({
                "control": failed.control, "question": failed.question, "actions": failed.actions,
                "population": population, "violations": violations, "untestable": untestable,
            })
        };
        json!({
            "period_start": self.period.map(|(start, _)| rfc3339(start)),
            "period_end": self.period.map(|(_, end)| rfc3339(end)), "ran": self.ran,
            "failed": self.failed.iter().map(control).collect::<Vec<_>>(), "not_run": self.not_run,
        })
    }
}

async fn listed(
    engine: &Engine,
    query: &NamedQuery,
    (comparison, period): (&Comparison<'_>, Span),
) -> Result<FailedControl> {
    let mut actions: HashSet<String> = HashSet::new();
    let take = |batch: &RecordBatch| -> Result<()> {
        let ids = column(batch, "action_id")?;
        let bad = ids.iter().flatten().filter(|id| comparison.part(id) == Part::Direct);
        actions.extend(bad.map(str::to_owned));
        Ok(())
    };
    let judgement = violations(engine, &query.name, period, take).await?;
    Ok(FailedControl {
        control: query.name.clone(),
        question: query.question.clone(),
        actions: actions.len() as u64,
        judgement,
    })
}

/// Gives the violations that the control `name` finds in `period` as they come, and what it judged.
///
/// # Errors
/// When there is no such control, it fails, or `take` refuses rows.
pub(super) async fn violations(
    engine: &Engine,
    name: &str,
    (start, end): Span,
    mut take: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<Judgement> {
    let period = [("period_start", start), ("period_end", end)];
    let params: Params = period.into_iter().map(|(name, at)| (name.to_owned(), rfc3339(at))).collect();
    let limits = Limits { rows: usize::MAX, ..Limits::default() };
    let mut found = engine.stream(Catalogue::shipped()?.get(name)?, &params, limits).await?;
    while let Some(batch) = found.next().await? {
        take(&batch)?;
    }
    found.judgement().ok_or_else(|| Error::internal(format!("`{name}` is no control")))
}

/// The column `name` of a control, as text.
pub(super) fn column(batch: &RecordBatch, name: &str) -> Result<StringViewArray> {
    batch.column_by_name(name).ok_or_else(unreadable).and_then(as_texts)
}

/// The months of `span` in UTC.
fn months((start, end): Span) -> Result<Span> {
    let month = |at: Micros| {
        let (year, month, _) = civil(at.div_euclid(DAY));
        (year, month)
    };
    let first = |(year, month): (i64, i64)| read_instant(&format!("{year:04}-{month:02}-01"));
    let (last_year, last_month) = month(end.saturating_sub(1));
    let next = if last_month == 12 { (last_year + 1, 1) } else { (last_year, last_month + 1) };
    Ok((first(month(start))?, first(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_before_the_first_instant_and_end_behind_the_last() {
        let at = |text: &str| read_instant(text).unwrap();
        let found = |from: &str, to: &str| months((at(from), at(to))).unwrap();
        assert_eq!(found("2026-03-05", "2026-03-06"), (at("2026-03-01"), at("2026-04-01")));
        assert_eq!(found("2025-11-01", "2026-01-01"), (at("2025-11-01"), at("2026-01-01")));
        assert_eq!(found("2025-12-31", "2025-12-31T23:59:59Z"), (at("2025-12-01"), at("2026-01-01")));
    }

    #[test]
    fn every_control_has_the_column_that_is_looked_at() {
        for query in Catalogue::shipped().unwrap().list().filter(|query| query.kind == Kind::Control) {
            let has = |name: &str| query.returns.iter().any(|column| column.name == name);
            assert!(has("action_id") && has("workflow") && has("actor"), "{}", query.name);
        }
    }
}
