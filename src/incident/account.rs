//! The account of an incident: all that is known of it as of a point of the ledger.
//!
//! In: its record, a store, an engine. Out: its scope as of now, what the evidence shows, steps, clocks, deadlines, the
//! summary of the recovery plan; all of it as one JSON document, from which words and pages are made. Invariant: what
//! is told is what the evidence gives now, not what was frozen once; the frozen scopes stand beside it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clocks::{Clock, Deadline, clocks, deadlines};
use super::plan::remedies;
use super::record::Record;
use super::steps::{Seen, Step, steps};
use super::{Scoped, scope};
use crate::blast::{Plan, State};
use crate::clock::{DAY, Micros, rfc3339};
use crate::error::Result;
use crate::query::engine::Engine;
use crate::store::Store;

/// Days that are told one by one; a longer stretch is told by month.
const DAYS: i64 = 92;

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
    /// What the evidence shows beside.
    pub seen: Seen,
    /// The seven steps.
    pub steps: Vec<Step>,
    /// The clocks.
    pub clocks: Vec<Clock>,
    /// What the law asks.
    pub deadlines: Vec<Deadline>,
}

impl Account {
    /// Gives the account of `record`.
    ///
    /// # Errors
    /// When the evidence cannot be read or a bound is met.
    pub async fn of(store: &Store, engine: &Engine, record: Record) -> Result<Self> {
        let scoped = match &record.selector {
            Some(selector) => Some(scope(store, engine, selector).await?),
            None => None,
        };
        let seen = Seen::of(engine, &record, scoped.as_ref()).await?;
        let as_of = engine.as_of();
        Ok(Self {
            steps: steps(&record, &seen, scoped.as_ref()),
            clocks: clocks(&record, &seen, scoped.as_ref().and_then(Scoped::first_bad_at)),
            deadlines: deadlines(&record, as_of.at),
            at: as_of.at,
            size: as_of.size,
            record,
            scoped,
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

    /// The account as JSON, with every affected cell in `scope`.
    pub fn with_items(&self) -> Value {
        self.document(self.scoped.as_ref().map(Scoped::to_json))
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
            "lost": scoped.map(Scoped::lost),
            "doubts": scoped.map(Scoped::doubts),
            "days": scoped.map(days),
            "is_paused": self.is_paused(),
            "paused": self.seen.paused.as_ref().map(|mark| mark.to_json()),
            "resumed": self.seen.resumed.as_ref().map(|mark| mark.to_json()),
            "cells_after_pause": self.seen.cells_after_pause,
            "roll_backs": self.seen.roll_backs,
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
    use crate::blast::{Cell, Flags, Radius, Record as Target};
    use crate::query::blast::Selector;

    fn cell(day: i64, state: State) -> Cell {
        Cell {
            record: Target { system: "s".into(), record_type: "t".into(), record_id: day.to_string() },
            field: None,
            state,
            depth: 0,
            parent_seq: None,
            first_seq: 0,
            first_action: 0,
            first_bad_seq: Some(0),
            first_bad_at: Some(day * DAY),
            last_bad_seq: Some(0),
            last_bad_at: Some(day * DAY),
            last_action: None,
            old_value: None,
            bad_value: None,
            current_value: None,
            current_seq: None,
            current_actor: None,
            flags: Flags::default(),
        }
    }

    fn days_of(cells: Vec<Cell>) -> Vec<Value> {
        days(&Scoped {
            selector: Selector::new("true"),
            radius: Radius { cells, ..Radius::default() },
            size: 0,
            table_version: -1,
            root: None,
            late_in_window: 0,
            source_gaps: 0,
        })
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
