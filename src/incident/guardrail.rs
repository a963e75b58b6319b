//! Guardrail replay: which bad actions a rule or a policy would have stopped, and which others as well.
//!
//! In: an incident, and a condition over the columns of `events` or a policy by which the session judges. Out: how
//! many of the direct, the derived and the other actions it stops. Invariants: an action counts once it took effect,
//! since there is nothing to stop in one that never ran; the others are those of the same workflows in the time that
//! the incident is compared in. It says what would have been stopped, not what would have happened instead.
//!
//! A condition stops an action when it matches the event that proposed it, else its first event: what comes later a
//! guardrail could not have known. A policy stops an action when a control of what is prohibited, blocked, uncertain or
//! unapproved finds it, or when it lists workflows and this agent is none of this workflow's.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BooleanArray, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};

use super::Scoped;
use super::comparison::{
    Comparison, PRODUCTION, Part, Span, each, flag_at, flags, holds, instant_at, instants, places, text_at, texts,
    within,
};
use super::failed_controls::{column, violations};
use super::record::instant;
use super::rules::check_rules;
use crate::analysis::wilson::wilson;
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::ledger::hash::sha256;
use crate::policy::Policy;
use crate::query::answer::Limits;
use crate::query::blast::{Matching, Selector};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{count, rows};

/// Controls of which a violation is an action that the policy would not have let through.
const STOPPING: [&str; 5] = [
    "prohibited_action_executed",
    "blocked_field_touched",
    "approval_missing",
    "executed_without_valid_approval",
    "below_threshold_not_reviewed",
];
/// The control whose violations are workflows and agents, not actions.
const BY_AGENT: &str = "not_in_policy";
/// Actions of a kind that are named.
const NAMED: usize = 20;

const ACTIONS: &str = "
    select action_id, cohort_at, proposal_order, any_executed, workflow, proposed_by, executed_by from actions";

/// What is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guardrail {
    /// A condition over the columns of `events`.
    Rule(String),
    /// The policy that the session judges by, as if it had always been in force.
    Policy {
        /// Its version.
        version: String,
        /// SHA-256 of its text.
        sha256: String,
    },
}

/// The policy whose text is `document`, and the queries of a session that judges everything by it.
///
/// # Errors
/// Invalid when it is no policy, or one of its rules names a metric that cannot be held against a limit.
pub fn judging(document: &str) -> Result<(Guardrail, Catalogue)> {
    let policy = Policy::parse(document)?;
    check_rules(&policy)?;
    let catalogue = Catalogue::shipped()?.judging_by(&policy.version, document)?;
    let sha256 = sha256(document);
    Ok((Guardrail::Policy { version: policy.version, sha256 }, catalogue))
}

/// Actions of a kind, and how many of them are stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Those stopped.
    pub stopped: u64,
    /// All that took effect.
    pub actions: u64,
}

impl Stopped {
    fn add(&mut self, is_stopped: bool) {
        self.actions += 1;
        self.stopped += u64::from(is_stopped);
    }

    /// The share that is stopped; none where nothing took effect.
    pub fn share(self) -> Option<f64> {
        (self.actions > 0).then(|| self.stopped as f64 / self.actions as f64)
    }

    /// The 95 % interval of that share, if such actions were to come again.
    pub fn bounds(self) -> Option<(f64, f64)> {
        self.share().map(|_| wilson(self.stopped as i64, self.actions as i64))
    }

    fn to_json(self) -> Value {
        let (low, high) = self.bounds().unzip();
        json!({
            "stopped": self.stopped, "actions": self.actions, "share": self.share(), "ci_low": low, "ci_high": high,
        })
    }
}

/// What a guardrail would have stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// What was replayed.
    pub guardrail: Guardrail,
    /// Actions that the selector picks.
    pub direct: Stopped,
    /// Actions that read what those wrote.
    pub derived: Stopped,
    /// Other actions of the same workflows in the period.
    pub others: Stopped,
    /// Actions that the selector picks and that never took effect.
    pub not_executed: u64,
    /// By control, the direct actions that it stops; of a condition none.
    pub by_control: BTreeMap<&'static str, u64>,
    /// The first direct actions that are not stopped, by name.
    pub missed: BTreeSet<String>,
    /// The first others that are stopped, by name.
    pub hit: BTreeSet<String>,
    /// When the others were proposed.
    pub period: (Micros, Micros),
    /// Their workflows; none stands for actions without one.
    pub workflows: BTreeSet<Option<String>>,
    /// The selector of the bad actions, and the events that count.
    basis: (Value, i64),
}

/// Replays `guardrail` for the incident that `scoped` tells of. A policy is the one that `engine` judges by.
///
/// # Errors
/// Invalid when the condition is none, when the selector picks nothing, or nothing in production; when a query fails
/// or a bound is met.
pub async fn replay(engine: &Engine, scoped: &Scoped, guardrail: &Guardrail) -> Result<Replay> {
    if scoped.selector.environment != PRODUCTION {
        return Err(Error::invalid("a guardrail is replayed on production actions; this selector is about others"));
    }
    let Some(comparison) = Comparison::of(engine, scoped).await? else {
        return Err(Error::invalid("the selector picks no action, so that there is nothing to stop"));
    };
    let stopper = match guardrail {
        Guardrail::Rule(predicate) => {
            let (from, to) = comparison.reach;
            let selector = Selector { from: Some(from), to: Some(to), ..Selector::new(predicate.clone()) };
            Stopper::Rule(engine.matching(&selector).await?)
        }
        Guardrail::Policy { .. } => Stopper::Policy(Findings::of(engine, &comparison).await?),
    };
    let mut replay = Replay {
        guardrail: guardrail.clone(),
        direct: Stopped::default(),
        derived: Stopped::default(),
        others: Stopped::default(),
        not_executed: 0,
        by_control: BTreeMap::new(),
        missed: BTreeSet::new(),
        hit: BTreeSet::new(),
        period: comparison.period,
        workflows: comparison.workflows.clone(),
        basis: (scoped.basis(), scoped.size),
    };
    let sql = format!("{ACTIONS} where {}", within("cohort_at", comparison.reach));
    each(engine, &sql, |batch| replay.add(&Page::read(batch)?, &comparison, &stopper)).await?;
    Ok(replay)
}

impl Replay {
    fn add(&mut self, page: &Page, comparison: &Comparison<'_>, stopper: &Stopper) -> Result<()> {
        for row in 0..page.ids.len() {
            let action = page.action(row);
            let part = comparison.part(action.id);
            if !action.is_executed {
                self.not_executed += u64::from(part == Part::Direct);
                continue;
            }
            let is_other = part == Part::Other;
            if is_other && !(holds(self.period, action.proposed_at) && self.is_own(action.workflow)) {
                continue;
            }
            let by = stopper.stops(&action);
            let is_stopped = by != 0;
            match part {
                Part::Direct => {
                    self.direct.add(is_stopped);
                    stopper.names(by).for_each(|name| *self.by_control.entry(name).or_default() += 1);
                    if !is_stopped {
                        name(&mut self.missed, action.id);
                    }
                }
                Part::Derived => self.derived.add(is_stopped),
                Part::Other => {
                    self.others.add(is_stopped);
                    if is_stopped {
                        name(&mut self.hit, action.id);
                    }
                }
            }
        }
        Ok(())
    }

    fn is_own(&self, workflow: Option<&str>) -> bool {
        self.workflows.iter().any(|own| own.as_deref() == workflow)
    }

    /// Whether every direct action that took effect would have been stopped.
    pub fn is_complete(&self) -> bool {
        self.direct.stopped == self.direct.actions
    }

    /// As JSON: what is stated with an incident.
    pub fn to_json(&self) -> Value {
        let (rule, policy) = match &self.guardrail {
            Guardrail::Rule(predicate) => (Some(predicate), None),
            Guardrail::Policy { version, sha256 } => (None, Some(json!({"version": version, "sha256": sha256}))),
        };
        let (selector, size) = &self.basis;
        json!({
            "rule": rule, "policy": policy, "selector": selector, "size": size,
            "period_start": rfc3339(self.period.0), "period_end": rfc3339(self.period.1),
            "workflows": self.workflows, "direct": self.direct.to_json(), "derived": self.derived.to_json(),
            "others": self.others.to_json(), "not_executed": self.not_executed, "by_control": self.by_control,
            "is_complete": self.is_complete(), "missed": self.missed, "hit": self.hit,
        })
    }
}

/// Keeps `id` while it is among the first few by name, so that the same actions are named however rows come.
fn name(ids: &mut BTreeSet<String>, id: &str) {
    ids.insert(id.to_owned());
    if ids.len() > NAMED {
        ids.pop_last();
    }
}

/// What stops actions.
#[derive(Debug)]
enum Stopper {
    Rule(Matching),
    Policy(Findings),
}

impl Stopper {
    /// What stops `action`: a bit for each of [`STOPPING`] and the one behind it for the agent; 0 when nothing does.
    fn stops(&self, action: &Action<'_>) -> u8 {
        match self {
            Self::Rule(matching) => u8::from(matching.contains(action.proposal)),
            Self::Policy(findings) => findings.on(action),
        }
    }

    /// The controls that the bits of `by` stand for.
    fn names(&self, by: u8) -> impl Iterator<Item = &'static str> {
        let controls: Vec<&'static str> = match self {
            Self::Rule(_) => Vec::new(),
            Self::Policy(_) => STOPPING.into_iter().chain([BY_AGENT]).collect(),
        };
        controls.into_iter().enumerate().filter(move |(i, _)| (by >> i) & 1 == 1).map(|(_, name)| name)
    }
}

/// What the controls found by the policy that a session judges by.
#[derive(Debug, Default)]
struct Findings {
    /// By action the controls that found it, a bit each.
    actions: HashMap<String, u8>,
    /// By workflow the agents that the policy does not know there; an empty name stands for none.
    agents: HashMap<String, HashSet<String>>,
}

impl Findings {
    async fn of(engine: &Engine, comparison: &Comparison<'_>) -> Result<Self> {
        let period = executions(engine, comparison).await?;
        let mut findings = Self::default();
        for (i, control) in STOPPING.into_iter().enumerate() {
            let take = |batch: &RecordBatch| findings.take_actions(&column(batch, "action_id")?, 1 << i);
            violations(engine, control, period, take).await?;
        }
        if lists_workflows(engine).await? {
            let take =
                |batch: &RecordBatch| findings.take_agents(&column(batch, "workflow")?, &column(batch, "actor")?);
            violations(engine, BY_AGENT, period, take).await?;
        }
        Ok(findings)
    }

    fn take_actions(&mut self, ids: &StringViewArray, by: u8) -> Result<()> {
        for id in ids.iter().flatten() {
            match self.actions.get_mut(id) {
                Some(known) => *known |= by,
                None => {
                    self.actions.insert(id.to_owned(), by);
                }
            }
        }
        Ok(())
    }

    fn take_agents(&mut self, workflows: &StringViewArray, agents: &StringViewArray) -> Result<()> {
        for (workflow, agent) in workflows.iter().zip(agents.iter()) {
            let Some(workflow) = workflow else { continue };
            self.agents.entry(workflow.to_owned()).or_default().insert(agent.unwrap_or_default().to_owned());
        }
        Ok(())
    }

    fn on(&self, action: &Action<'_>) -> u8 {
        let found = self.actions.get(action.id).copied().unwrap_or(0);
        let unknown = action.workflow.and_then(|workflow| self.agents.get(workflow));
        let is_at_work = |agents: &HashSet<String>| {
            [action.proposed_by, action.executed_by].into_iter().any(|agent| agents.contains(agent.unwrap_or_default()))
        };
        found | (u8::from(unknown.is_some_and(is_at_work)) << STOPPING.len())
    }
}

/// Whether the policy says which workflows there are; one that names none forbids none.
async fn lists_workflows(engine: &Engine) -> Result<bool> {
    let sql = "select count(*) as n from policy_rules where kind = 'workflow'";
    let found = rows(&engine.sql(sql, Limits::default()).await?)?;
    Ok(found.first().and_then(|row| count(row, "n")).is_some_and(|n| n > 0))
}

/// From the first proposal of an action that is looked at to its last execution, for controls go by that.
async fn executions(engine: &Engine, comparison: &Comparison<'_>) -> Result<Span> {
    let sql = format!(
        "select max(last_executed_at) as last_at from actions where {}",
        within("cohort_at", comparison.period)
    );
    let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
    let last = found.first().and_then(|row| instant(row, "last_at"));
    let end = last.max(comparison.last_executed_at).unwrap_or(comparison.reach.1);
    Ok((comparison.reach.0, end.saturating_add(1).max(comparison.reach.1)))
}

/// An action, as far as a guardrail asks for it.
#[derive(Debug, Clone, Copy)]
struct Action<'a> {
    id: &'a str,
    proposed_at: Micros,
    /// The event that proposed it, else its first one.
    proposal: i64,
    is_executed: bool,
    workflow: Option<&'a str>,
    proposed_by: Option<&'a str>,
    executed_by: Option<&'a str>,
}

/// Some rows of [`ACTIONS`].
struct Page {
    ids: StringViewArray,
    proposed_at: TimestampMicrosecondArray,
    proposals: Vec<i64>,
    any_executed: BooleanArray,
    /// Workflow, proposer, executor.
    names: [StringViewArray; 3],
}

impl Page {
    fn read(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            ids: texts(batch, 0)?,
            proposed_at: instants(batch, 1)?,
            proposals: places(batch, 2)?,
            any_executed: flags(batch, 3)?,
            names: [texts(batch, 4)?, texts(batch, 5)?, texts(batch, 6)?],
        })
    }

    fn action(&self, row: usize) -> Action<'_> {
        let [workflow, proposed_by, executed_by] = self.names.each_ref().map(|column| text_at(column, row));
        Action {
            id: text_at(&self.ids, row).unwrap_or_default(),
            proposed_at: instant_at(&self.proposed_at, row).unwrap_or_default(),
            proposal: self.proposals[row],
            is_executed: flag_at(&self.any_executed, row),
            workflow,
            proposed_by,
            executed_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts_of(values: &[Option<&str>]) -> StringViewArray {
        values.iter().copied().collect()
    }

    fn action<'a>(id: &'a str, workflow: &'a str, agents: [&'a str; 2]) -> Action<'a> {
        let [proposed_by, executed_by] = agents.map(Some);
        let workflow = Some(workflow);
        Action { id, proposed_at: 0, proposal: 0, is_executed: true, workflow, proposed_by, executed_by }
    }

    #[test]
    fn a_policy_stops_what_a_control_finds_and_agents_that_it_does_not_list() {
        let mut findings = Findings::default();
        findings.take_actions(&texts_of(&[Some("a"), None]), 1).unwrap();
        findings.take_actions(&texts_of(&[Some("a"), Some("b")]), 4).unwrap();
        findings.take_agents(&texts_of(&[Some("w"), None]), &texts_of(&[Some("rogue"), Some("known")])).unwrap();
        let stopper = Stopper::Policy(findings);
        let by = |action: Action<'_>| stopper.names(stopper.stops(&action)).collect::<Vec<_>>();
        assert_eq!(by(action("a", "w", ["known", "known"])), [STOPPING[0], STOPPING[2]]);
        assert_eq!(by(action("b", "w", ["known", "rogue"])), [STOPPING[2], BY_AGENT]);
        assert!(by(action("c", "other", ["rogue", "rogue"])).is_empty());
    }

    #[test]
    fn a_policy_judges_by_its_text_and_is_known_by_the_hash_of_it() {
        let (guardrail, catalogue) = judging("version = \"p-1\"\n").unwrap();
        let sha256 = "86add083aa949d358564dad7a375f70c839595c5c1a099a1f50c96386aa3f256".to_owned();
        assert_eq!(guardrail, Guardrail::Policy { version: "p-1".to_owned(), sha256 });
        assert!(catalogue.get("policies").unwrap().text.contains("'p-1' as version"));
        assert!(judging("version = 7").is_err());
    }

    #[test]
    fn of_many_actions_the_same_few_are_named_however_they_come() {
        let (mut up, mut down) = (BTreeSet::new(), BTreeSet::new());
        (0..50).for_each(|i| name(&mut up, &format!("a{i:02}")));
        (0..50).rev().for_each(|i| name(&mut down, &format!("a{i:02}")));
        assert_eq!((up.len(), up.last().map(String::as_str)), (NAMED, Some("a19")));
        assert_eq!(up, down);
    }

    #[test]
    fn nothing_to_stop_has_no_share() {
        let none = Stopped::default().to_json();
        assert_eq!((&none["share"], &none["ci_high"]), (&Value::Null, &Value::Null));
        let mut some = Stopped::default();
        [true, false].into_iter().for_each(|is_stopped| some.add(is_stopped));
        assert_eq!(some.to_json()["share"], 0.5);
    }
}
