//! The rules of a policy that open draft incidents.
//!
//! In: an engine over the evidence, the policy in force. Out: the rules that fire, and `incident.opened` events
//! in the state `draft`. Invariant: a rule has at most one incident that is not closed; a person decides what
//! becomes of a draft.

use serde_json::json;

use crate::clock::{DAY, rfc3339};
use crate::error::{Error, Result};
use crate::event::{Cell, Column};
use crate::ingest::writer::Writer;
use crate::policy::{IncidentRule, Policy};
use crate::query::answer::Limits;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::header::Kind;
use crate::query::objects::{RATE_PART, Row, count, number, rows, text};
use crate::query::params::Params;
use crate::store::Store;

/// A rule of a policy, and what its metric is over the rule's window.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The rule.
    pub rule: IncidentRule,
    /// Numerator of the metric.
    pub numerator: u64,
    /// Its denominator.
    pub denominator: u64,
    /// Its value; none when there is nothing in it.
    pub value: Option<f64>,
    /// First instant of the window, RFC 3339.
    pub period_start: String,
    /// End of the window, not included.
    pub period_end: String,
}

impl Reading {
    /// Whether it opens an incident.
    pub fn fires(&self) -> bool {
        self.rule.fires(self.value, self.denominator as i64)
    }

    /// What was read against what limit, for people.
    pub fn words(&self) -> String {
        let rule = &self.rule;
        let limit = match (rule.above, rule.below) {
            (Some(above), _) => format!("above {above}"),
            (_, Some(below)) => format!("below {below}"),
            _ => String::new(),
        };
        let of = rule.workflow.as_ref().map_or(String::new(), |w| format!(" of {w}"));
        let value = self.value.map_or("no data".to_owned(), |value| format!("{value:.4}"));
        let (metric, days, name) = (&rule.metric, rule.window_days, &rule.name);
        let (k, n) = (self.numerator, self.denominator);
        format!("{name}: {metric}{of} was {k} of {n} = {value} in {days} days; the rule fires {limit}")
    }
}

/// Checks that every incident rule of `policy` reads a metric that there is.
///
/// # Errors
/// Invalid, naming rule and metric.
pub fn check_rules(policy: &Policy) -> Result<()> {
    for rule in &policy.incident_rules {
        metric(rule)?;
    }
    Ok(())
}

fn metric(rule: &IncidentRule) -> Result<&'static crate::query::header::NamedQuery> {
    let bad = |why: &str| Error::invalid(format!("incident rule `{}`: metric `{}` {why}", rule.name, rule.metric));
    let query =
        Catalogue::shipped()?.get(&rule.metric).map_err(|_| bad("does not exist; `probity queries` lists them"))?;
    let has = |name: &str| query.returns.iter().any(|column| column.name == name);
    let is_rate = query.kind == Kind::Metric && ["grain", "key", "denominator", "value"].into_iter().all(has);
    // Of a metric with parts only the one whose header names the rate first can be held against a limit.
    let is_single = query.returns.iter().all(|c| c.name != "part" || c.note.starts_with(RATE_PART));
    if is_rate && is_single { Ok(query) } else { Err(bad("is no rate of a period or workflow")) }
}

/// The metrics of all incident rules of `policy` over their windows up to the as-of instant.
///
/// # Errors
/// When a rule reads no metric, or a query fails.
pub async fn readings(engine: &Engine, policy: &Policy) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for rule in &policy.incident_rules {
        let query = metric(rule)?;
        let end = engine.as_of().at;
        let window = (rfc3339(end - rule.window_days * DAY), rfc3339(end));
        let mut params = Params::from([
            ("period_start".to_owned(), window.0.clone()),
            ("period_end".to_owned(), window.1.clone()),
            ("maturity_days".to_owned(), policy.maturity_days.to_string()),
        ]);
        params.retain(|name, _| query.params.iter().any(|p| p.name == *name));
        let answer = rows(&engine.run(query, &params).await?)?;
        let is_wanted = |row: &&Row| {
            let is_rate = !row.contains_key("part") || text(row, "part") == RATE_PART;
            is_rate
                && match &rule.workflow {
                    None => text(row, "grain") == "period",
                    Some(workflow) => text(row, "grain") == "workflow" && text(row, "key") == workflow,
                }
        };
        let row = answer.iter().find(is_wanted);
        readings.push(Reading {
            rule: rule.clone(),
            numerator: row.and_then(|row| count(row, "numerator")).unwrap_or(0),
            denominator: row.and_then(|row| count(row, "denominator")).unwrap_or(0),
            value: row.and_then(|row| number(row, "value")),
            period_start: window.0,
            period_end: window.1,
        });
    }
    Ok(readings)
}

/// The incidents that rules opened, by rule, and how many of them are closed.
const OPENED_BY_RULES: &str = "
    select json_text(o.extra, '/rule') as rule, count(*) as opened, count(c.incident_id) as closed
    from events as o
    left join (select distinct incident_id from events where event_type = 'incident.closed') as c
        on c.incident_id = o.incident_id
    where o.event_type = 'incident.opened' and json_text(o.extra, '/rule') is not null
    group by json_text(o.extra, '/rule')";

/// Opens a draft incident for every reading that fires, unless its rule has one that is not closed; gives their ids.
///
/// # Errors
/// When the store fails.
pub async fn open_drafts(store: &Store, engine: &Engine, policy: &Policy, readings: &[Reading]) -> Result<Vec<String>> {
    let known = rows(&engine.sql(OPENED_BY_RULES, Limits::default()).await?)?;
    let opened_and_closed = |name: &str| {
        let row = known.iter().find(|row| text(row, "rule") == name);
        row.map_or((0, 0), |row| (count(row, "opened").unwrap_or(0), count(row, "closed").unwrap_or(0)))
    };
    let mut writer = Writer::new(store);
    let mut opened = Vec::new();
    for reading in readings.iter().filter(|reading| reading.fires()) {
        let rule = &reading.rule;
        let (before, closed) = opened_and_closed(&rule.name);
        if before > closed {
            continue;
        }
        let id = format!("draft-{}", &store.clock().id()[..12]);
        let mut event = writer.statement("incident.opened");
        // Two checks at the same moment mean the same incident: the second finds this id taken.
        event.set_text(Column::EventId, format!("incident-rule/{}/{}", short(&rule.name), before + 1));
        event.set_text(Column::IncidentId, id.clone());
        event.set_text(Column::PolicyVersion, policy.version.clone());
        if let Some(workflow) = &rule.workflow {
            event.set_text(Column::Workflow, workflow.clone());
        }
        let extra = json!({
            "class": rule.class, "denominator": reading.denominator, "limit": rule.above.or(rule.below),
            "metric": rule.metric, "numerator": reading.numerator, "period_end": reading.period_end,
            "period_start": reading.period_start, "rule": rule.name, "severity": rule.severity, "state": "draft",
            "title": reading.words(), "value": reading.value,
        });
        event.set(Column::Extra, Cell::Text(extra.to_string().into()));
        if writer.state_once(&event).await?.is_some() {
            opened.push(id);
        }
    }
    Ok(opened)
}

/// A name as part of an id, which has a limit and no control characters.
fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}
