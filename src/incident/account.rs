//! The account of an incident: all that is known of it as of a point of the ledger.
//!
//! In: its record, a store, an engine. Out: its scope as of now, what may have caused it, what the evidence shows,
//! steps, clocks, deadlines, the summary of the recovery plan; all of it as one JSON document, from which words and
//! pages are made. Invariant: what is told is what the evidence gives now, not what was frozen once; the frozen scopes
//! and the replayed guardrails stand beside it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::causes::Causes;
use super::clocks::{Clock, Deadline, clocks, deadlines};
use super::comparison::Comparison;
use super::failed_controls::FailedControls;
use super::plan::remedies;
use super::record::{Record, Replayed};
use super::steps::{Seen, Step, steps};
use super::{Scoped, scope};
use crate::blast::{Plan, Radius, State};
use crate::clock::{DAY, Micros, rfc3339};
use crate::error::Result;
use crate::policy::Policy;
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{rows, text};
use crate::store::Store;

/// Days that are told one by one; a longer stretch is told by month.
const DAYS: i64 = 92;
/// Chains of events that are told, the longest first.
const CHAINS: usize = 5;

/// Why nothing is known of causes.
const UNSCOPED: &str = "nothing says what picks the bad actions";

/// All that is known of an incident.
#[derive(Debug)]
pub struct Account {
    /// What persons stated.
    pub record: Record,
    /// As of when.
    pub at: Micros,
    /// Events that count.
    pub size: i64,
    /// What it has reached; none without a selector.
    pub scoped: Option<Scoped>,
    /// What may have caused it.
    pub causes: Causes,
    /// The controls that list its actions; none where they were not asked for.
    pub failed_controls: Option<FailedControls>,
    /// What the evidence shows beside.
    pub seen: Seen,
    /// The seven steps.
    pub steps: Vec<Step>,
    /// The clocks.
    pub clocks: Vec<Clock>,
    /// What law and policy ask.
    pub deadlines: Vec<Deadline>,
}

impl Account {
    /// Gives the account of `record`, without the controls, which take longer than all the rest.
    ///
    /// # Errors
    /// When the evidence cannot be read or a bound is met.
    pub async fn of(store: &Store, engine: &Engine, record: Record) -> Result<Self> {
        let scoped = scope_of(store, engine, &record).await?;
        let causes = match &scoped {
            Some(scoped) => Causes::of(engine, scoped, Comparison::of(engine, scoped).await?.as_ref()).await?,
            None => Causes::none(UNSCOPED),
        };
        Self::with(engine, record, scoped, (causes, None)).await
    }

    /// Gives the account of `record` with the controls that list its actions.
    ///
    /// # Errors
    /// When the evidence cannot be read or a bound is met.
    pub async fn with_controls(store: &Store, engine: &Engine, record: Record) -> Result<Self> {
        let scoped = scope_of(store, engine, &record).await?;
        let (causes, failed) = match &scoped {
            Some(scoped) => {
                let comparison = Comparison::of(engine, scoped).await?;
                let causes = Causes::of(engine, scoped, comparison.as_ref()).await?;
                (causes, FailedControls::of(engine, comparison.as_ref()).await?)
            }
            None => (Causes::none(UNSCOPED), FailedControls::default()),
        };
        Self::with(engine, record, scoped, (causes, Some(failed))).await
    }

    async fn with(
        engine: &Engine,
        record: Record,
        scoped: Option<Scoped>,
        (causes, failed_controls): (Causes, Option<FailedControls>),
    ) -> Result<Self> {
        let seen = Seen::of(engine, &record, scoped.as_ref()).await?;
        let policy = policy_of(engine, &record).await?;
        let as_of = engine.as_of();
        Ok(Self {
            steps: steps(&record, &seen, scoped.as_ref()),
            clocks: clocks(&record, &seen, scoped.as_ref().and_then(Scoped::first_bad_at)),
            deadlines: deadlines(&record, policy.as_ref(), as_of.at),
            at: as_of.at,
            size: as_of.size,
            record,
            scoped,
            causes,
            failed_controls,
            seen,
        })
    }

    /// Whether its workflow stands still; none without a pause.
    pub fn is_paused(&self) -> Option<bool> {
        self.seen.paused.as_ref().map(|_| self.seen.resumed.is_none())
    }

    /// The account as JSON, with the scope as of now in `scope`.
    pub fn to_json(&self) -> Value {
        self.document(self.scoped.as_ref().map(Scoped::summary))
    }

    /// The account as JSON, with every affected cell in `scope`, the way that the spread took, and the actions whose
    /// effect left the house.
    pub fn with_items(&self) -> Value {
        let mut document = self.document(self.scoped.as_ref().map(Scoped::to_json));
        document["spread"] = self.scoped.as_ref().map(spread).into();
        let external = self.scoped.iter().flat_map(|scoped| scoped.radius.external());
        document["external"] = external.map(|action| json!(action)).collect();
        document
    }

    fn document(&self, scope: Option<Value>) -> Value {
        let scoped = self.scoped.as_ref();
        let plan = scoped.map(|scoped| Plan::of(&scoped.radius));
        let plan = plan.map(|plan| {
            let remedies = remedies(&plan).into_iter().map(|(remedy, n)| (remedy.name().to_owned(), n));
            json!({"plan_sha256": plan.plan_sha256, "remedies": remedies.collect::<BTreeMap<String, u64>>()})
        });
        let mut document = self.record.to_json();
        let all = json!({
            "at": rfc3339(self.at),
            "size": self.size,
            "scope": scope,
            "causes": self.causes.to_json(),
            "guardrail": self.record.guardrails.last().map(Replayed::to_json),
            "failed_controls": self.failed_controls.as_ref().map(FailedControls::to_json),
            "lost": scoped.map(Scoped::lost),
            "doubts": scoped.map(Scoped::doubts),
            "days": scoped.map(days),
            "first_bad_at": scoped.and_then(Scoped::first_bad_at).map(rfc3339),
            "last_bad_at": scoped.and_then(last_bad_at).map(rfc3339),
            "is_paused": self.is_paused(),
            "paused": self.seen.paused.as_ref().map(|mark| mark.to_json()),
            "resumed": self.seen.resumed.as_ref().map(|mark| mark.to_json()),
            "cells_after_pause": self.seen.cells_after_pause,
            "roll_backs": self.seen.roll_backs,
            "roll_backs_by_plan": self.seen.roll_backs_by_plan,
            "rolled_back": self.seen.rolled_back.as_ref().map(|mark| mark.to_json()),
            "recovered_at": self.seen.recovered_at.map(rfc3339),
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
            "clocks": self.clocks.iter().map(Clock::to_json).collect::<Vec<_>>(),
            "deadlines": self.deadlines.iter().map(Deadline::to_json).collect::<Vec<_>>(),
            "plan": plan,
        });
        if let (Value::Object(document), Value::Object(all)) = (&mut document, all) {
            document.extend(all);
        }
        document
    }
}

async fn scope_of(store: &Store, engine: &Engine, record: &Record) -> Result<Option<Scoped>> {
    match &record.selector {
        Some(selector) => Ok(Some(scope(store, engine, selector).await?)),
        None => Ok(None),
    }
}

/// The policy in force when `record` was detected; none where it has no class that a deadline could be for.
pub(super) async fn policy_of(engine: &Engine, record: &Record) -> Result<Option<Policy>> {
    if record.class.is_none() {
        return Ok(None);
    }
    let at = rfc3339(record.since());
    let sql = format!(
        "select document from policies where effective_from <= timestamp '{at}' and effective_to > timestamp '{at}'"
    );
    let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
    found.first().map(|row| Policy::parse(text(row, "document"))).transpose()
}

/// When the last bad write happened.
fn last_bad_at(scoped: &Scoped) -> Option<Micros> {
    scoped.radius.cells.iter().filter_map(|cell| cell.last_bad_at).max()
}

/// How far the bad values went: by steps from the direct actions how many actions and cells, and the longest chains.
fn spread(scoped: &Scoped) -> Value {
    let radius = &scoped.radius;
    let mut far: Vec<_> = radius.cells.iter().filter(|cell| cell.depth > 0 && cell.state.is_changed()).collect();
    far.sort_by(|a, b| b.depth.cmp(&a.depth).then(a.first_seq.cmp(&b.first_seq)));
    // Several cells may hang on one action: each chain that is told ends in another one.
    let mut ends = BTreeSet::new();
    let chains = far.into_iter().filter(|cell| ends.insert(cell.first_action)).take(CHAINS).map(|cell| {
        let mut chain = scoped.why(cell);
        chain["state"] = cell.state.name().into();
        chain["depth"] = cell.depth.into();
        chain
    });
    json!({
        "steps": by_steps(radius).into_iter().map(step_as_json).collect::<Vec<_>>(),
        "chains": chains.collect::<Vec<_>>(),
    })
}

fn step_as_json((steps, [actions, writing, cells, wrong]): (u32, [u64; 4])) -> Value {
    json!({
        "steps": steps, "actions": actions, "writing_actions": writing, "cells": cells, "still_wrong": wrong,
    })
}

/// By steps from the direct actions: actions, those that wrote, cells that they changed first, those still wrong.
fn by_steps(radius: &Radius) -> BTreeMap<u32, [u64; 4]> {
    let mut steps: BTreeMap<u32, [u64; 4]> = BTreeMap::new();
    for action in &radius.actions {
        let [actions, writing, ..] = steps.entry(action.depth).or_default();
        *actions += 1;
        *writing += u64::from(action.bad_writes > 0);
    }
    for cell in radius.cells.iter().filter(|cell| cell.state.is_changed()) {
        let [.., cells, wrong] = steps.entry(cell.depth).or_default();
        *cells += 1;
        *wrong += u64::from(cell.state == State::StillWrong);
    }
    steps
}

/// Cells by the day of their first bad write, or the month where there are many days: how many, and how many of them
/// are still wrong. Days between without any are there.
fn days(scoped: &Scoped) -> Vec<Value> {
    let cells = scoped.radius.cells.iter().filter(|cell| cell.state.is_changed());
    let hit: Vec<(i64, bool)> =
        cells.filter_map(|cell| Some((cell.first_bad_at?.div_euclid(DAY), cell.state == State::StillWrong))).collect();
    let span = hit.iter().map(|(day, _)| *day).min().zip(hit.iter().map(|(day, _)| *day).max());
    let Some((first, last)) = span else { return Vec::new() };
    let width = if last - first < DAYS { 10 } else { 7 };
    let name = |day: i64| rfc3339(day * DAY)[..width].to_owned();
    let mut days: BTreeMap<String, (u64, u64)> = (first..=last).map(|day| (name(day), (0, 0))).collect();
    for (day, is_wrong) in hit {
        let entry = days.entry(name(day)).or_default();
        entry.0 += 1;
        entry.1 += u64::from(is_wrong);
    }
    days.into_iter().map(|(day, (cells, wrong))| json!({"day": day, "cells": cells, "still_wrong": wrong})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::testing::{self, record, written};
    use crate::blast::{Action, Cell, Parent};

    fn cell(day: i64, state: State) -> Cell {
        written(record("s", "t", &day.to_string()), state, (0, day * DAY))
    }

    fn days_of(cells: Vec<Cell>) -> Vec<Value> {
        days(&Scoped::of(Radius { cells, ..Radius::default() }))
    }

    fn action(id: &str, depth: u32, parent: Option<Parent>) -> Action {
        Action { depth, parent, ..testing::action(id) }
    }

    #[test]
    fn the_spread_is_told_by_steps_and_by_its_longest_chains() {
        let parent = |action: usize, write_seq: i64| Some(Parent { write_seq, read_seq: write_seq + 1, action });
        let actions = vec![action("a", 0, None), action("b", 1, parent(0, 10)), action("c", 2, parent(1, 20))];
        let far = |day: i64, depth: u32, state: State| Cell {
            depth,
            first_action: depth as usize,
            first_seq: 10 * i64::from(depth) + 10,
            ..cell(day, state)
        };
        let cells = vec![
            far(0, 0, State::Restored),
            far(1, 2, State::StillWrong),
            far(2, 2, State::StillWrong),
            far(3, 1, State::NoEffect),
        ];
        let told = spread(&Scoped::of(Radius { actions, cells, ..Radius::default() }));
        let step = |steps: u32, cells: u64, wrong: u64| step_as_json((steps, [1, 1, cells, wrong]));
        assert_eq!(told["steps"], json!([step(0, 1, 0), step(1, 0, 0), step(2, 2, 2)]));
        let chains = told["chains"].as_array().unwrap();
        let seqs: Vec<i64> = chains[0]["steps"].as_array().unwrap().iter().filter_map(|s| s["seq"].as_i64()).collect();
        assert_eq!((chains.len(), &chains[0]["depth"], seqs), (1, &json!(2), vec![10, 11, 20, 21, 30]));
    }

    #[test]
    fn days_without_a_bad_write_are_told_as_none() {
        let found = days_of(vec![cell(0, State::StillWrong), cell(2, State::Restored), cell(2, State::NoEffect)]);
        let day = |day: &str, cells: u64, wrong: u64| json!({"day": day, "cells": cells, "still_wrong": wrong});
        assert_eq!(found, [day("1970-01-01", 1, 1), day("1970-01-02", 0, 0), day("1970-01-03", 1, 0)]);
        assert_eq!(days_of(vec![cell(0, State::Restored), cell(92, State::Restored)]).len(), 4);
        assert!(days_of(Vec::new()).is_empty());
    }
}
