//! An incident as its events leave it.
//!
//! In: the `incident.*` events, which the engine alone writes. Out: records, folded in the order of the events, drafts
//! of rules among them. Invariant: the last statement of a thing holds; nothing is kept beside the events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock::{Micros, rfc3339};
use crate::error::{Error, Result};
use crate::event::parse;
use crate::query::answer::Limits;
use crate::query::blast::{Selector, read_instant};
use crate::query::engine::Engine;
use crate::query::objects::{Row, count, literal, rows, text};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// A rule of the policy opened it; no person has looked.
    Draft,
    /// A person is at it.
    #[default]
    Open,
    /// A person closed it.
    Closed,
}

impl Standing {
    /// Its name in events and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// A scope as it was frozen.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// Counted from 1.
    pub version: u64,
    /// The event that holds it.
    pub seq: i64,
    /// When.
    pub at: Micros,
    /// By whom.
    pub by: String,
    /// Selector, point of the ledger, counts and the hash of the affected records.
    pub scope: Value,
}

/// The counts of a frozen scope that are compared with those of the one before.
const COMPARED: [&str; 5] = ["direct_actions", "derived_actions", "records", "cells", "exposed_records"];

impl Frozen {
    /// What has changed since `last`: differences of the counts, and whether the set of records is another one.
    pub fn difference(&self, last: &Frozen) -> Value {
        let number = |scope: &Value, name: &str| scope.get(name).and_then(Value::as_i64).unwrap_or(0);
        let change = |name: &str, now: &Value, then: &Value| (name.to_owned(), number(now, name) - number(then, name));
        let counts: BTreeMap<String, i64> =
            COMPARED.into_iter().map(|name| change(name, &self.scope, &last.scope)).collect();
        let (now, then) = (&self.scope["states"], &last.scope["states"]);
        let names = now.as_object().into_iter().flat_map(|states| states.keys());
        let states: BTreeMap<String, i64> = names.map(|name| change(name, now, then)).collect();
        json!({
            "since_version": last.version, "counts": counts, "states": states,
            "is_affected_changed": self.scope["affected_sha256"] != last.scope["affected_sha256"],
        })
    }

    /// What freezing it stated of the incident that `before` tells of, with the difference to the scope before; JSON.
    pub fn stated(&self, before: &Record) -> Value {
        json!({
            "incident_id": before.incident_id, "scope_version": self.version, "seq": self.seq,
            "difference": before.scopes.last().map(|last| self.difference(last)),
        })
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "version": self.version, "seq": self.seq, "at": rfc3339(self.at), "by": self.by, "scope": self.scope,
        })
    }
}

/// A guardrail as it was replayed.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// The event that holds it.
    pub seq: i64,
    /// When.
    pub at: Micros,
    /// By whom.
    pub by: String,
    /// What was replayed, and what it stops.
    pub replay: Value,
}

impl Replayed {
    /// What it stops, in words.
    pub fn words(&self) -> String {
        let number = |pointer: &str| self.replay.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let (seq, stopped, direct) = (self.seq, number("/direct/stopped"), number("/direct/actions"));
        let (hit, others) = (number("/others/stopped"), number("/others/actions"));
        format!(
            "event {seq} replays a guardrail: it stops {stopped} of {direct} bad actions and {hit} of {others} others"
        )
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({"seq": self.seq, "at": rfc3339(self.at), "by": self.by, "replay": self.replay})
    }
}

/// What a person wrote about it.
#[derive(Debug, Clone)]
pub struct Note {
    /// The step that it says is done.
    pub step: Option<String>,
    /// The words.
    pub note: Option<String>,
    /// The event.
    pub seq: i64,
    /// When.
    pub at: Micros,
    /// By whom.
    pub by: String,
}

/// An incident.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Its id.
    pub incident_id: String,
    /// Where it stands.
    pub state: Standing,
    /// What happened, in a line.
    pub title: Option<String>,
    /// How bad it is.
    pub severity: Option<String>,
    /// What kind it is.
    pub class: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The workflow that it is about.
    pub workflow: Option<String>,
    /// The rule of the policy that opened it.
    pub rule: Option<String>,
    /// What picks the bad actions.
    pub selector: Option<Selector>,
    /// Every selector that it was ever defined or scoped by, each once, the oldest first; one that looks back from the
    /// as-of instant also as it picked then.
    pub selectors: Vec<Selector>,
    /// When it was detected; by a rule: when that opened it.
    pub detected_at: Option<Micros>,
    /// When the organisation became aware of it.
    pub aware_at: Option<Micros>,
    /// The first event.
    pub opened_seq: i64,
    /// When it was opened.
    pub opened_at: Micros,
    /// By whom; none by a rule.
    pub opened_by: Option<String>,
    /// When it was closed.
    pub closed_at: Option<Micros>,
    /// By whom.
    pub closed_by: Option<String>,
    /// Why.
    pub close_reason: Option<String>,
    /// Its scopes, the oldest first.
    pub scopes: Vec<Frozen>,
    /// Guardrails that were replayed for it, the oldest first.
    pub guardrails: Vec<Replayed>,
    /// What was written about it, the oldest first.
    pub notes: Vec<Note>,
}

const STATEMENTS: &str = "
    select seq, event_type, incident_id, occurred_at, actor_id, workflow, reason_code, extra
    from events
    where event_type in ('incident.opened', 'incident.updated', 'incident.closed') and incident_id is not null";

/// All incidents, the oldest first.
///
/// # Errors
/// When the query fails; Damaged when an event cannot be understood.
pub async fn list(engine: &Engine) -> Result<Vec<Record>> {
    let statements = rows(&engine.sql(&format!("{STATEMENTS} order by occurred_at, seq"), Limits::default()).await?)?;
    let mut known: BTreeMap<String, Record> = BTreeMap::new();
    for row in &statements {
        known.entry(text(row, "incident_id").to_owned()).or_default().add(row)?;
    }
    let mut records: Vec<Record> = known.into_values().collect();
    records.sort_by_key(|record| (record.opened_at, record.opened_seq));
    Ok(records)
}

/// The incident `id`.
///
/// # Errors
/// NotFound when there is none; Damaged when an event cannot be understood.
pub async fn one(engine: &Engine, id: &str) -> Result<Record> {
    let sql = format!("{STATEMENTS} and incident_id = {} order by occurred_at, seq", literal(id));
    let statements = rows(&engine.sql(&sql, Limits::default()).await?)?;
    if statements.is_empty() {
        return Err(Error::not_found(format!(
            "there is no incident `{id}`; `probity incident list` or GET /v1/incidents names all"
        )));
    }
    let mut record = Record::default();
    statements.iter().try_for_each(|row| record.add(row))?;
    Ok(record)
}

/// The instant of a row's column.
pub(super) fn instant(row: &Row, column: &str) -> Option<Micros> {
    parse::instant(text(row, column)).ok()
}

/// Text of a row's column; none where it is null or empty.
pub(super) fn words(row: &Row, column: &str) -> Option<String> {
    Some(text(row, column)).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The place of a row in the ledger.
pub(super) fn seq(row: &Row) -> i64 {
    count(row, "seq").and_then(|seq| i64::try_from(seq).ok()).unwrap_or_default()
}

fn keep<T>(known: &mut Option<T>, said: Option<T>) {
    if said.is_some() {
        *known = said;
    }
}

fn instant_in(said: &Value, name: &str) -> Result<Option<Micros>> {
    said.get(name).and_then(Value::as_str).map(read_instant).transpose()
}

impl Record {
    /// The version that the next scope has.
    pub fn next_scope(&self) -> u64 {
        self.scopes.last().map_or(1, |frozen| frozen.version + 1)
    }

    /// What picks its bad actions.
    ///
    /// # Errors
    /// Invalid when nothing was said of that yet.
    pub fn picking(&self) -> Result<&Selector> {
        let id = &self.incident_id;
        self.selector.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "nothing says what picks the bad actions of `{id}`; update the incident with a condition, its `where`"
            ))
        })
    }

    /// From when on its events are looked for.
    pub fn since(&self) -> Micros {
        self.detected_at.or(self.aware_at).unwrap_or(self.opened_at)
    }

    fn add(&mut self, row: &Row) -> Result<()> {
        let (seq, by) = (seq(row), text(row, "actor_id").to_owned());
        let at = instant(row, "occurred_at").unwrap_or_default();
        if self.incident_id.is_empty() {
            self.incident_id = text(row, "incident_id").to_owned();
            (self.opened_at, self.opened_seq) = (at, seq);
            self.opened_by = words(row, "actor_id");
        }
        let said: Value = serde_json::from_str(text(row, "extra")).unwrap_or_default();
        let texts = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
        keep(&mut self.title, texts("title"));
        keep(&mut self.severity, texts("severity"));
        keep(&mut self.class, texts("class"));
        keep(&mut self.owner, texts("owner"));
        keep(&mut self.rule, texts("rule"));
        keep(&mut self.workflow, words(row, "workflow"));
        keep(&mut self.detected_at, instant_in(&said, "detected_at")?);
        keep(&mut self.aware_at, instant_in(&said, "aware_at")?);
        let defined_by = self.selector_in(&said, seq)?;
        let scoped_by = said.get("scope").map_or(Ok(None), |scope| self.selector_in(scope, seq))?;
        for selector in defined_by.iter().chain(&scoped_by) {
            for selector in [selector.clone(), as_it_picked(selector, at)] {
                if !self.selectors.contains(&selector) {
                    self.selectors.push(selector);
                }
            }
        }
        keep(&mut self.selector, defined_by);
        match texts("state").as_deref() {
            Some("draft") => self.state = Standing::Draft,
            Some("open") => self.state = Standing::Open,
            _ => {}
        }
        if self.rule.is_some() && self.detected_at.is_none() {
            self.detected_at = Some(self.opened_at);
        }
        if let Some(scope) = said.get("scope").filter(|scope| scope.is_object()) {
            let version = said.get("scope_version").and_then(Value::as_u64).unwrap_or_else(|| self.next_scope());
            self.scopes.push(Frozen { version, seq, at, by: by.clone(), scope: scope.clone() });
        }
        if let Some(replay) = said.get("guardrail").filter(|replay| replay.is_object()) {
            self.guardrails.push(Replayed { seq, at, by: by.clone(), replay: replay.clone() });
        }
        let (step, note) = (texts("step"), texts("note"));
        if text(row, "event_type") == "incident.updated" && (step.is_some() || note.is_some()) {
            self.notes.push(Note { step, note, seq, at, by });
        }
        if text(row, "event_type") == "incident.closed" {
            self.state = Standing::Closed;
            self.closed_at = Some(at);
            self.closed_by = words(row, "actor_id");
            self.close_reason = words(row, "reason_code");
        }
        Ok(())
    }

    /// The selector that `said` gives. One that cannot be read is not passed over: what it picks would be let go.
    fn selector_in(&self, said: &Value, seq: i64) -> Result<Option<Selector>> {
        let Some(selector) = said.get("selector").filter(|selector| selector.is_object()) else { return Ok(None) };
        let unreadable = || {
            let id = &self.incident_id;
            Error::damaged(format!("the selector of incident `{id}` cannot be read in event {seq}"))
        };
        selector_of(selector).ok_or_else(unreadable).map(Some)
    }

    /// The record as JSON.
    pub fn to_json(&self) -> Value {
        let note = |note: &Note| json!({"step": note.step, "note": note.note, "seq": note.seq, "at": rfc3339(note.at), "by": note.by});
        json!({
            "incident_id": self.incident_id, "state": self.state.name(), "title": self.title,
            "severity": self.severity, "class": self.class, "owner": self.owner, "workflow": self.workflow,
            "rule": self.rule, "selector": self.selector.as_ref().map(selector_as_json),
            "detected_at": self.detected_at.map(rfc3339), "aware_at": self.aware_at.map(rfc3339),
            "opened_seq": self.opened_seq, "opened_at": rfc3339(self.opened_at), "opened_by": self.opened_by,
            "closed_at": self.closed_at.map(rfc3339), "closed_by": self.closed_by, "close_reason": self.close_reason,
            "scopes": self.scopes.iter().map(Frozen::to_json).collect::<Vec<_>>(),
            "guardrails": self.guardrails.iter().map(Replayed::to_json).collect::<Vec<_>>(),
            "notes": self.notes.iter().map(note).collect::<Vec<_>>(),
        })
    }
}

/// A selector as events, scopes and plans write it.
pub fn selector_as_json(selector: &Selector) -> Value {
    json!({
        "where": selector.predicate, "from": selector.from.map(rfc3339), "to": selector.to.map(rfc3339),
        "environment": selector.environment, "depth": selector.depth,
    })
}

/// `selector` with the as-of instant `at` in it: what looks back from that instant picks other actions later.
fn as_it_picked(selector: &Selector, at: Micros) -> Selector {
    let instant = format!("timestamp '{}'", rfc3339(at));
    Selector { predicate: selector.predicate.replace("$as_of", &instant), ..selector.clone() }
}

fn selector_of(value: &Value) -> Option<Selector> {
    let words = |name: &str| value.get(name).and_then(Value::as_str);
    let bound = |name: &str| words(name).map(read_instant).transpose().ok();
    Some(Selector {
        predicate: words("where")?.to_owned(),
        from: bound("from")?,
        to: bound("to")?,
        environment: words("environment").unwrap_or("production").to_owned(),
        depth: value.get("depth").and_then(Value::as_u64).and_then(|depth| u32::try_from(depth).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, event_type: &str, extra: &Value) -> Row {
        let value = json!({
            "seq": seq, "event_type": event_type, "incident_id": "i", "occurred_at": "2026-03-01T00:00:00Z",
            "actor_id": "p", "workflow": null, "reason_code": "done", "extra": extra.to_string(),
        });
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn the_last_statement_of_a_thing_holds_and_the_rest_stays() {
        let selector = selector_as_json(&Selector::new("true"));
        let mut record = Record::default();
        let draft = json!({"rule": "r", "state": "draft", "title": "t", "severity": "low", "class": "c"});
        record.add(&row(1, "incident.opened", &draft)).unwrap();
        assert_eq!((record.state, record.detected_at), (Standing::Draft, Some(record.opened_at)));
        let taken = json!({"state": "open", "severity": "high", "selector": selector});
        record.add(&row(2, "incident.updated", &taken)).unwrap();
        assert_eq!((record.state, record.title.as_deref()), (Standing::Open, Some("t")));
        assert_eq!((record.severity.as_deref(), &record.selector), (Some("high"), &Some(Selector::new("true"))));
        let replay = json!({"direct": {"stopped": 2, "actions": 3}, "others": {"stopped": 0, "actions": 7}});
        record.add(&row(3, "incident.updated", &json!({"guardrail": replay}))).unwrap();
        let words = "event 3 replays a guardrail: it stops 2 of 3 bad actions and 0 of 7 others";
        assert_eq!((record.guardrails[0].words().as_str(), record.notes.len()), (words, 0));
        record.add(&row(4, "incident.closed", &json!({"state": "closed"}))).unwrap();
        assert_eq!((record.state, record.close_reason.as_deref()), (Standing::Closed, Some("done")));
    }

    #[test]
    fn no_selector_is_forgotten_and_none_that_cannot_be_read_is_passed_over() {
        let [first, second, scoped] = ["a", "b", "c"].map(Selector::new);
        let mut record = Record::default();
        // Replaced before a scope was frozen with it, as by a process that was killed in between.
        record.add(&row(1, "incident.opened", &json!({"selector": selector_as_json(&first)}))).unwrap();
        record.add(&row(2, "incident.updated", &json!({"selector": selector_as_json(&second)}))).unwrap();
        record.add(&row(3, "incident.updated", &json!({"scope": {"selector": selector_as_json(&scoped)}}))).unwrap();
        record.add(&row(4, "incident.updated", &json!({"scope": {"selector": selector_as_json(&first)}}))).unwrap();
        assert_eq!(record.selector.as_ref(), Some(&second));
        assert_eq!(record.selectors, [first, second, scoped]);
        let recent = selector_as_json(&Selector::new("occurred_at > $as_of"));
        record.add(&row(4, "incident.updated", &json!({"selector": recent}))).unwrap();
        let then = record.selectors.last().map(|selector| selector.predicate.as_str());
        assert_eq!(then, Some("occurred_at > timestamp '2026-03-01T00:00:00.000000Z'"));
        for unreadable in [json!({"selector": {"depth": 1}}), json!({"scope": {"selector": {"depth": 1}}})] {
            let refusal = record.add(&row(5, "incident.updated", &unreadable)).unwrap_err();
            assert!(refusal.to_string().contains("event 5"), "{refusal}");
        }
    }

    #[test]
    fn two_scopes_differ_by_their_counts_and_their_hash() {
        let frozen = |version: u64, wrong: u64, hash: &str| Frozen {
            version,
            seq: 0,
            at: 0,
            by: String::new(),
            scope: json!({"records": 2, "cells": 3, "states": {"still_wrong": wrong}, "affected_sha256": hash}),
        };
        let change = frozen(2, 1, "a").difference(&frozen(1, 3, "a"));
        assert_eq!((&change["counts"]["cells"], &change["states"]["still_wrong"]), (&0.into(), &(-2).into()));
        assert_eq!(change["is_affected_changed"], false);
        assert_eq!(frozen(2, 1, "b").difference(&frozen(1, 1, "a"))["is_affected_changed"], true);
    }
}
