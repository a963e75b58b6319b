//! Gathering: every question of a dashboard is asked, over the same evidence and with the same parameters.
//!
//! In: an engine, dashboards, parameters. Out: the answers by name, and the queries as the appendix prints them.
//! Invariant: a page is composed from nothing but what is gathered here; no number is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::compose::{Answers, LISTED};
use super::dashboard::Dashboard;
use super::document::Query;
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::hash::sha256;
use crate::query::answer::Limits;
use crate::query::catalogue::{Catalogue, tables_in};
use crate::query::engine::Engine;
use crate::query::header::NamedQuery;
use crate::query::objects::{Row, rows};
use crate::query::params::Params;

/// The grain of a metric's rows about its period as a whole.
const PERIOD: &str = "period";
/// Questions at work at once: while one is planned, or gathers its last rows, the other keeps the processors busy.
const AT_ONCE: usize = 2;

/// A stretch of time with a name, such as a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its name, `2016-03`.
    pub name: String,
    /// First instant.
    pub start: Micros,
    /// End, not included.
    pub end: Micros,
}

/// What is asked of every query.
pub struct Ask<'a> {
    /// The evidence.
    pub engine: &'a Engine,
    /// The queries.
    pub catalogue: &'a Catalogue,
    /// Values for all parameters that a query may have.
    pub params: Params,
    /// The period itself.
    pub period: Period,
    /// The periods of the trends, oldest first.
    pub trend: Vec<Period>,
}

/// The answers, and how they were asked for.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Rows by query; `trend:<metric>` over the periods of the trend; `control:<name>` with the result first.
    pub answers: Answers,
    /// The queries with their parameters, in the order of their first use.
    pub queries: Vec<Query>,
}

/// One question of a page.
struct Question<'a> {
    query: &'a NamedQuery,
    period: &'a Period,
    asks: Asks,
}

/// What is asked of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// All its rows.
    Rows,
    /// A metric's rows about the period as a whole.
    OfPeriod,
    /// A control's result, and the rows that violate it.
    Result,
}

impl Ask<'_> {
    /// Asks everything that `dashboard` shows.
    ///
    /// # Errors
    /// When it names a query that there is not, or a query fails.
    pub async fn all(&self, dashboard: &Dashboard) -> Result<Gathered> {
        let questions = self.questions(dashboard)?;
        let answers = self.answers(&questions).await?;
        let mut gathered = Gathered::default();
        let mut trends: Vec<(&str, &Period, Vec<Row>)> = Vec::new();
        for (question, found) in questions.iter().zip(answers) {
            let name = question.query.name.as_str();
            match question.asks {
                Asks::Rows => gathered.answers.insert(name.to_owned(), found),
                Asks::Result => gathered.answers.insert(format!("control:{name}"), found),
                Asks::OfPeriod => {
                    trends.push((name, question.period, found));
                    continue;
                }
            };
            gathered.queries.push(self.printed(question.query)?);
        }
        for name in dashboard.trends() {
            let mut found = Vec::new();
            for period in &self.trend {
                let asked = trends.iter().find(|(of, at, _)| *of == name && *at == period).map(|(_, _, rows)| rows);
                let rows = asked.or_else(|| gathered.answers.get(name)).into_iter().flatten();
                found.extend(rows.filter(|row| is_of_period(row)).map(|row| named(row, period)));
            }
            gathered.answers.insert(format!("trend:{name}"), found);
        }
        self.print_views(&mut gathered)?;
        Ok(gathered)
    }

    /// Everything that `dashboard` needs, each once.
    fn questions(&self, dashboard: &Dashboard) -> Result<Vec<Question<'_>>> {
        let mut questions = Vec::new();
        // `controls` stands for the results of all controls on the page.
        let shown: Vec<&str> = dashboard.queries().into_iter().filter(|name| *name != "controls").collect();
        for name in &shown {
            let query = self.catalogue.get(name)?;
            questions.push(Question { query, period: &self.period, asks: Asks::Rows });
        }
        for name in dashboard.trends() {
            let query = self.catalogue.get(name)?;
            // The last period is the one that the page is about: its rows may be asked for already.
            let is_new = |period: &&Period| **period != self.period || !shown.contains(&name);
            let periods = self.trend.iter().filter(is_new);
            questions.extend(periods.map(|period| Question { query, period, asks: Asks::OfPeriod }));
        }
        for name in dashboard.controls() {
            let query = self.catalogue.get(name)?;
            questions.push(Question { query, period: &self.period, asks: Asks::Result });
        }
        Ok(questions)
    }

    /// The answers to `questions`, in their order.
    async fn answers(&self, questions: &[Question<'_>]) -> Result<Vec<Vec<Row>>> {
        let (mut found, mut alone) = (BTreeMap::new(), Vec::new());
        let (mut waiting, mut running) = (questions.iter().enumerate(), FuturesUnordered::new());
        loop {
            while running.len() < AT_ONCE && alone.is_empty() {
                let Some((place, question)) = waiting.next() else { break };
                running.push(self.placed(place, question));
            }
            match running.next().await {
                Some((place, Ok(rows))) => drop(found.insert(place, rows)),
                // Beside another it had too little memory or time. No other begins before it was asked alone: where that
                // does not suffice either, the page fails at once and not after all its questions.
                Some((place, Err(err))) if err.kind() == ErrorKind::Limit => alone.push(place),
                Some((_, Err(err))) => return Err(err),
                None if alone.is_empty() => break,
                None => {
                    for place in alone.drain(..) {
                        found.insert(place, self.answer(&questions[place]).await?);
                    }
                }
            }
        }
        Ok(found.into_values().collect())
    }

    async fn placed(&self, place: usize, question: &Question<'_>) -> (usize, Result<Vec<Row>>) {
        (place, self.answer(question).await)
    }

    async fn answer(&self, question: &Question<'_>) -> Result<Vec<Row>> {
        let Question { query, period, asks } = question;
        let answer = match asks {
            Asks::Rows => self.rows(query, period).await,
            Asks::OfPeriod => self.rows_of_period(query, period).await,
            Asks::Result => self.judged(query).await,
        };
        answer.map_err(|err| of_query(query, err))
    }

    /// Adds the views that the queries read: without their texts no number can be recomputed.
    fn print_views(&self, gathered: &mut Gathered) -> Result<()> {
        let mut words = BTreeSet::new();
        for query in &gathered.queries {
            words.extend(tables_in(self.catalogue.get(&query.name)?));
        }
        for view in self.catalogue.needed(&words) {
            gathered.queries.push(self.printed(view)?);
        }
        Ok(())
    }

    async fn rows(&self, query: &NamedQuery, period: &Period) -> Result<Vec<Row>> {
        rows(&self.engine.run(query, &self.params_for(query, period)).await?)
    }

    /// The rows of a metric about the period as a whole.
    async fn rows_of_period(&self, query: &NamedQuery, period: &Period) -> Result<Vec<Row>> {
        rows(&self.engine.run_grain(query, &self.params_for(query, period), PERIOD).await?)
    }

    /// The result of a control as a row, then the rows that violate it.
    async fn judged(&self, query: &NamedQuery) -> Result<Vec<Row>> {
        let limits = Limits { rows: LISTED, ..Limits::default() };
        let params = self.params_for(query, &self.period);
        let answer = self.engine.stream(query, &params, limits).await?.collect().await?;
        let judged = answer.judgement.ok_or_else(|| Error::invalid(format!("`{}` is no control", query.name)))?;
        let first = json!({
            "result": judged.verdict().word(), "population": judged.population, "violations": judged.violations,
            "untestable": judged.untestable, "question": query.question,
        });
        let first = first.as_object().cloned().unwrap_or_default();
        Ok(std::iter::once(first).chain(rows(&answer)?).collect())
    }

    fn params_for(&self, query: &NamedQuery, period: &Period) -> Params {
        let mut given = self.params.clone();
        // A query of weeks needs as many of them as there are: limits drawn from four weeks say little.
        let is_weekly = query.returns.iter().any(|column| column.name == "week_start");
        let first = self.trend.first().filter(|_| is_weekly).unwrap_or(period);
        given.insert("period_start".to_owned(), rfc3339(first.start));
        given.insert("period_end".to_owned(), rfc3339(period.end));
        given.retain(|name, _| query.params.iter().any(|p| p.name == *name));
        given
    }

    fn printed(&self, query: &NamedQuery) -> Result<Query> {
        let bound = self.engine.bind(query, &self.params_for(query, &self.period))?;
        Ok(Query {
            name: query.name.clone(),
            question: query.question.clone(),
            parameters: bound.values().into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect(),
            sql: query.text.clone(),
            digest: sha256(&query.text),
        })
    }
}

fn is_of_period(row: &Row) -> bool {
    row.get("grain").and_then(Value::as_str) == Some(PERIOD)
}

/// `row` with the name of `period` beside it.
fn named(row: &Row, period: &Period) -> Row {
    let mut row = row.clone();
    row.insert("month".to_owned(), period.name.clone().into());
    row
}

/// The same error, naming the question that the page failed at.
fn of_query(query: &NamedQuery, err: Error) -> Error {
    Error::new(err.kind(), format!("query `{}`: {err}", query.name))
}

/// Refuses parameters that no query of the page knows; `fixed` are those that the report sets.
///
/// # Errors
/// Invalid, naming the parameter and those that there are.
pub fn check_params(catalogue: &Catalogue, dashboard: &Dashboard, given: &Params, fixed: &[&str]) -> Result<()> {
    let mut known: Vec<&str> = Vec::new();
    for name in dashboard.queries().into_iter().filter(|name| *name != "controls") {
        known.extend(catalogue.get(name)?.params.iter().map(|p| p.name.as_str()));
    }
    known.retain(|name| !fixed.contains(name));
    known.sort_unstable();
    known.dedup();
    match given.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            Err(Error::invalid(format!("the report has no parameter `{name}`; it knows: {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// Adds the sections of a user's dashboard to `dashboard`, and the queries beside it to `catalogue`.
///
/// A dashboard may name shipped queries, or files `<name>.sql` in its own folder.
///
/// # Errors
/// When the file cannot be read, names a query that is neither, or repeats a section.
pub fn add_dashboard(dashboard: &mut Dashboard, catalogue: &mut Catalogue, file: &Path) -> Result<()> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::not_found(format!("cannot read dashboard {name}")).because(e))?;
    let added = Dashboard::parse(&name, &text)?;
    let asked = added.queries().into_iter().chain(added.trends()).chain(added.controls());
    for query in asked.filter(|query| *query != "controls").map(str::to_owned).collect::<Vec<_>>() {
        let beside = file.with_file_name(format!("{query}.sql"));
        if catalogue.get(&query).is_err() && beside.is_file() {
            let text = std::fs::read_to_string(&beside)
                .map_err(|e| Error::not_found(format!("cannot read query {}", beside.display())).because(e))?;
            let folder = if added.controls().contains(&query.as_str()) { "controls" } else { "governance" };
            catalogue.add(&format!("{folder}/{query}.sql"), &text)?;
        }
        catalogue.get(&query).map_err(|e| {
            Error::not_found(format!(
                "dashboard {name}: {}; a query of your own lies beside it as {query}.sql",
                e.message()
            ))
        })?;
    }
    for section in &added.sections {
        if dashboard.sections.iter().any(|s| s.id == section.id) {
            return Err(Error::invalid(format!("dashboard {name}: the section `{}` is there already", section.id)));
        }
    }
    dashboard.metrics.extend(added.metrics.into_iter().filter(|m| !dashboard.metrics.contains(m)).collect::<Vec<_>>());
    // The appendix and the signatures stay last.
    let last = dashboard.sections.iter().position(|s| s.id == "sign-off").unwrap_or(dashboard.sections.len());
    dashboard.sections.splice(last..last, added.sections);
    Ok(())
}
