//! The seven steps of an incident, each with its evidence.
//!
//! In: the record of an incident, its scope as of now, the evidence. Out: for each step whether it is open or done, by
//! whom, when, and which event says so. Invariants: an event of the log goes before the word of a person; what the
//! evidence contradicts is not done, whoever says so; what it cannot tell is `not_known`, never done.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde_json::{Value, json};

use super::Scoped;
use super::comparison::{PRODUCTION, each, instant_at, instants, text_at, texts, unreadable};
use super::record::{Note, Record, Replayed, instant, seq, words};
use crate::blast::State;
use crate::clock::{Micros, rfc3339};
use crate::error::Result;
use crate::query::answer::Limits;
use crate::query::blast::Selector;
use crate::query::engine::Engine;
use crate::query::objects::{Row, count, literal, rows, text};

/// Whether a setting is one that agents work by: a key of the ledger and a token of the server change nothing that they
/// do, and mend nothing.
pub const OF_AGENTS: &str = "not (source = 'probity' and coalesce(field, '') in ('access_token', 'ledger.key'))";

/// The steps in their order: name and words.
pub const STEPS: [(&str, &str); 7] = [
    ("pause", "pause the workflow"),
    ("identify_records", "identify the affected records"),
    ("roll_back", "roll back"),
    (NOTIFY_OWNER, "notify the owner"),
    ("review_sources", "review source data and versions"),
    ("add_guardrail", "add a guardrail"),
    ("sample", "sample before re-enabling"),
];
/// The step that the owner was told, which meets a deadline of the policy.
pub const NOTIFY_OWNER: &str = "notify_owner";
/// What a person may state beside the steps: that the authority was told, which meets a deadline of the law.
pub const NOTIFY_AUTHORITY: &str = "notify_authority";
/// States that a roll-back has to leave behind, or cannot, in words.
const TOLD: [(State, &str); 4] = [
    (State::StillWrong, "still wrong"),
    (State::Deleted, "deleted"),
    (State::Unknown, "not known to be right"),
    (State::Irreversible, "irreversible"),
];
/// The decision of a review that lets a workflow run again.
const ENABLED: &str = "ENABLE";
/// Numbers of events in one question.
const ASKED_EVENTS: usize = 1_000;

/// An event that says something of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The event.
    pub seq: i64,
    /// When it happened.
    pub at: Micros,
    /// Who caused it.
    pub by: Option<String>,
    /// More about it.
    pub note: Option<String>,
}

impl Mark {
    fn of(row: &Row) -> Self {
        let (at, by) = (instant(row, "occurred_at").unwrap_or_default(), words(row, "actor_id"));
        Self { seq: seq(row), at, by, note: None }
    }

    fn of_note(note: &Note) -> Self {
        Self { seq: note.seq, at: note.at, by: Some(note.by.clone()), note: note.note.clone() }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({"seq": self.seq, "at": rfc3339(self.at), "by": self.by})
    }
}

/// What the evidence shows of an incident beside its own events.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The first pause of its workflow that still held when it was detected, or came later.
    pub paused: Option<Mark>,
    /// The resumption, where that came last.
    pub resumed: Option<Mark>,
    /// The first change of a setting: of its workflow, else of all.
    pub changed: Option<Mark>,
    /// The last review after it that was signed with ENABLE; any other decision lets nothing run.
    pub reviewed: Option<Mark>,
    /// The last roll-back of an affected action that succeeded.
    pub rolled_back: Option<Mark>,
    /// Roll-backs of affected actions that succeeded.
    pub roll_backs: u64,
    /// How many of them name which recovery plan, by its SHA-256 in `rollback_ref`. Whether that plan was ever made is
    /// not in the log: a plan leaves no event.
    pub roll_backs_by_plan: BTreeMap<String, u64>,
    /// When the last cell was put right, where none is wrong, deleted or unknown any more.
    pub recovered_at: Option<Micros>,
    /// Cells that a bad write changed after the pause; none without a pause or a scope.
    pub cells_after_pause: Option<u64>,
    /// Whether the change names the incident or its workflow.
    pub is_own_change: bool,
}

impl Seen {
    /// Looks for it.
    ///
    /// # Errors
    /// When a query fails or a bound is met.
    pub async fn of(engine: &Engine, record: &Record, scoped: Option<&Scoped>) -> Result<Self> {
        let mut seen = Self::default();
        seen.look_for_signals(engine, record).await?;
        if let Some(scoped) = scoped {
            seen.look_for_roll_backs(engine, scoped).await?;
            if scoped.unresolved() == 0 {
                seen.recovered_at = recovered_at(engine, scoped).await?;
            }
            if let Some(paused) = &seen.paused {
                seen.cells_after_pause = Some(cells_after(engine, scoped, paused.at).await?);
            }
        }
        Ok(seen)
    }

    async fn look_for_signals(&mut self, engine: &Engine, record: &Record) -> Result<()> {
        let environment = record.selector.as_ref().map_or(PRODUCTION, |selector| selector.environment.as_str());
        // A breaker stops a workflow before anybody knows why: pauses are looked for in all of the past. One of another
        // environment stops nothing here.
        let sql = format!(
            "select seq, event_type, occurred_at, actor_id, workflow, incident_id, field, reason_code, review_id, \
             case when event_type = 'review.decided' then extra end as extra from events \
             where (event_type in ('workflow.paused', 'workflow.resumed') and environment = {environment}) \
             or (event_type in ('config.changed', 'review.decided') and environment in ('{PRODUCTION}', {environment}) \
             and occurred_at >= timestamp '{since}' and {OF_AGENTS}) order by occurred_at, seq",
            environment = literal(environment),
            since = rfc3339(record.since())
        );
        for row in &rows(&engine.sql(&sql, Limits::default()).await?)? {
            if !enables(row, record) || is_heard(engine, row).await? {
                self.take_signal(row, record);
            }
        }
        Ok(())
    }

    fn take_signal(&mut self, row: &Row, record: &Record) {
        let is_own = text(row, "incident_id") == record.incident_id
            || record.workflow.as_deref().is_some_and(|workflow| text(row, "workflow") == workflow);
        // A pause or a setting that names no workflow is about all of them.
        let is_about = is_own || (record.workflow.is_some() && text(row, "workflow").is_empty());
        let mut mark = Mark::of(row);
        match text(row, "event_type") {
            "workflow.paused" if is_about => {
                self.paused.get_or_insert(mark);
                self.resumed = None;
            }
            // What was over before the detection was about something else.
            "workflow.resumed" if is_about && mark.at < record.since() => self.paused = None,
            "workflow.resumed" if is_about && self.paused.is_some() => self.resumed = Some(mark),
            "config.changed" if is_about => {
                mark.note = words(row, "field").map(|field| format!("`{field}` was changed"));
                self.take_change(mark, is_own);
            }
            // The engine alone writes it, and its reason is the decision.
            "review.decided" if enables(row, record) => self.reviewed = Some(mark),
            _ => {}
        }
    }

    /// A setting of all workflows, as a new policy is, need not have to do with this one.
    fn take_change(&mut self, mark: Mark, is_own: bool) {
        if self.changed.is_none() || (is_own && !self.is_own_change) {
            self.changed = Some(mark);
            self.is_own_change = is_own;
        }
    }

    async fn look_for_roll_backs(&mut self, engine: &Engine, scoped: &Scoped) -> Result<()> {
        let Some(first) = scoped.first_bad_at() else { return Ok(()) };
        let environment = literal(&scoped.selector.environment);
        let sql = format!(
            "select seq, occurred_at, actor_id, action_id, rollback_ref from events \
             where event_type = 'action.rolled_back' and outcome = 'succeeded' and environment = {environment} \
             and occurred_at >= timestamp '{}'",
            rfc3339(first)
        );
        let actions: HashSet<&str> = scoped.radius.actions.iter().map(|action| action.action_id.as_str()).collect();
        // As they come: a long log has more roll-backs than an answer has rows.
        each(engine, &sql, |batch| {
            let seqs = batch.column(0).as_primitive_opt::<Int64Type>().ok_or_else(unreadable)?;
            let (instants, names, ids) = (instants(batch, 1)?, texts(batch, 2)?, texts(batch, 3)?);
            let plans = texts(batch, 4)?;
            for row in (0..batch.num_rows()).filter(|row| text_at(&ids, *row).is_some_and(|id| actions.contains(id))) {
                let (seq, at) = (seqs.value(row), instant_at(&instants, row).unwrap_or_default());
                self.roll_backs += 1;
                if let Some(plan) = text_at(&plans, row).filter(|reference| is_plan(reference)) {
                    *self.roll_backs_by_plan.entry(plan.to_owned()).or_default() += 1;
                }
                if self.rolled_back.as_ref().is_none_or(|last| (last.at, last.seq) < (at, seq)) {
                    let by = text_at(&names, row).map(str::to_owned);
                    self.rolled_back = Some(Mark { seq, at, by, note: None });
                }
            }
            Ok(())
        })
        .await
    }
}

/// Whether an event is the ENABLE of a review of the incident.
fn enables(row: &Row, record: &Record) -> bool {
    text(row, "event_type") == "review.decided"
        && text(row, "incident_id") == record.incident_id
        && text(row, "reason_code") == ENABLED
}

/// Whether the ENABLE in `row` rests on every mark before it. Where somebody marked while it was signed, it resumes
/// nothing, and shows nothing.
async fn is_heard(engine: &Engine, row: &Row) -> Result<bool> {
    let said: Value = serde_json::from_str(text(row, "extra")).unwrap_or_default();
    let Some(size) = said.pointer("/basis/size").and_then(Value::as_i64) else { return Ok(false) };
    let sql = format!(
        "select count(*) as n from events where event_type = 'review.marked' and source = 'probity' \
         and review_id = {} and seq >= {size} and seq < {}",
        literal(text(row, "review_id")),
        seq(row)
    );
    let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
    Ok(found.first().and_then(|row| count(row, "n")) == Some(0))
}

/// Whether a `rollback_ref` has the form of a plan's SHA-256; most say in words how to undo something.
fn is_plan(reference: &str) -> bool {
    reference.len() == 64 && reference.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// When the last of the cells that are right again was written.
async fn recovered_at(engine: &Engine, scoped: &Scoped) -> Result<Option<Micros>> {
    let is_right = |state: State| matches!(state, State::Restored | State::Overwritten);
    let cells = scoped.radius.cells.iter().filter(|cell| is_right(cell.state));
    let writes: BTreeSet<i64> = cells.filter_map(|cell| cell.current_seq).collect();
    let writes: Vec<String> = writes.iter().map(i64::to_string).collect();
    let mut last: Option<Micros> = None;
    for some in writes.chunks(ASKED_EVENTS) {
        let sql = format!("select max(occurred_at) as last_at from events where seq in ({})", some.join(", "));
        let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
        last = last.max(found.first().and_then(|row| instant(row, "last_at")));
    }
    Ok(last)
}

/// Cells with a bad write after `paused_at`: of the incident, and of what its predicate picks since, whatever the end
/// of its window.
async fn cells_after(engine: &Engine, scoped: &Scoped, paused_at: Micros) -> Result<u64> {
    let since = Selector { from: scoped.selector.from.max(Some(paused_at)), to: None, ..scoped.selector.clone() };
    let later = engine.blast_radius(&since).await?.radius;
    let cells = scoped.radius.cells.iter().chain(&later.cells);
    let written = cells.filter(|cell| cell.last_bad_at.is_some_and(|at| at > paused_at));
    let different: BTreeSet<(String, Option<&str>)> =
        written.map(|cell| (cell.record.key(), cell.field.as_deref())).collect();
    Ok(different.len() as u64)
}

/// Whether a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not yet, as far as the evidence goes.
    Open,
    /// Done.
    Done,
    /// The evidence cannot tell.
    NotKnown,
}

impl Progress {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::NotKnown => "not_known",
        }
    }
}

/// A step of an incident.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, as `incident update --step` takes it.
    pub step: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// Whether it is done.
    pub state: Progress,
    /// What says so.
    pub evidence: Option<Mark>,
    /// Whether a person stated it rather than the log.
    pub is_stated: bool,
    /// What else there is to know.
    pub note: Option<String>,
}

impl Step {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let evidence = self.evidence.as_ref();
        json!({
            "step": self.step, "title": self.title, "state": self.state.name(),
            "by": evidence.and_then(|mark| mark.by.clone()), "at": evidence.map(|mark| rfc3339(mark.at)),
            "seq": evidence.map(|mark| mark.seq), "is_stated": self.is_stated, "note": self.note,
        })
    }
}

/// The first time that a person stated `step`.
pub fn stated(record: &Record, step: &str) -> Option<Mark> {
    record.notes.iter().find(|note| note.step.as_deref() == Some(step)).map(Mark::of_note)
}

/// The seven steps in their order.
pub fn steps(record: &Record, seen: &Seen, scoped: Option<&Scoped>) -> Vec<Step> {
    let by_workflow = if record.workflow.is_some() { Progress::Open } else { Progress::NotKnown };
    let frozen = record.scopes.first().map(|frozen| Mark {
        seq: frozen.seq,
        at: frozen.at,
        by: Some(frozen.by.clone()),
        note: record.scopes.last().map(|last| format!("version {} is the newest, event {}", last.version, last.seq)),
    });
    let step = |(step, title): (&'static str, &'static str)| match step {
        "pause" => told(record, (step, title), (seen.paused.clone(), by_workflow)),
        "identify_records" => told(record, (step, title), (frozen.clone(), Progress::Open)),
        "roll_back" => roll_back(record, (step, title), (seen, scoped)),
        "add_guardrail" => replayed(record, told(record, (step, title), (seen.changed.clone(), by_workflow))),
        "sample" => told(record, (step, title), (seen.reviewed.clone(), by_workflow)),
        // Only a person can say it.
        _ => told(record, (step, title), (None, Progress::Open)),
    };
    STEPS.into_iter().map(step).collect()
}

/// A step that an event shows, else a person states, else is `otherwise`.
fn told(
    record: &Record,
    (step, title): (&'static str, &'static str),
    (event, otherwise): (Option<Mark>, Progress),
) -> Step {
    let is_stated = event.is_none();
    let evidence = event.or_else(|| stated(record, step));
    let state = if evidence.is_some() { Progress::Done } else { otherwise };
    let note = evidence.as_ref().and_then(|mark| mark.note.clone());
    Step { step, title, state, is_stated: is_stated && evidence.is_some(), evidence, note }
}

/// A step with what the last replay of a guardrail says; that it was replayed does not put it in force.
fn replayed(record: &Record, step: Step) -> Step {
    let last = record.guardrails.last().map(Replayed::words);
    let notes: Vec<String> = step.note.into_iter().chain(last).collect();
    Step { note: Some(notes.join("; ")).filter(|note| !note.is_empty()), ..step }
}

fn roll_back(
    record: &Record,
    (step, title): (&'static str, &'static str),
    (seen, scoped): (&Seen, Option<&Scoped>),
) -> Step {
    let Some(scoped) = scoped else { return unscoped(record, (step, title)) };
    if scoped.radius.cells.is_empty() {
        return told(record, (step, title), (None, Progress::NotKnown));
    }
    let is_resolved = scoped.unresolved() == 0;
    let counted =
        TOLD.into_iter().map(|(state, words)| (scoped.cells_in(state), words)).filter(|(cells, _)| *cells > 0);
    let mut notes: Vec<String> = counted.map(|(cells, words)| format!("{cells} cells are {words}")).collect();
    if !is_resolved {
        notes.extend(stated(record, step).map(|mark| format!("event {} says it is done; the log does not", mark.seq)));
    } else if seen.rolled_back.is_none() {
        notes.push("no roll-back was reported: others wrote since, or nothing was changed".to_owned());
    }
    if seen.roll_backs > 0 {
        let by_plan: u64 = seen.roll_backs_by_plan.values().sum();
        notes.push(format!("{by_plan} of {} roll-backs name a recovery plan", seen.roll_backs));
    }
    let state = if is_resolved { Progress::Done } else { Progress::Open };
    let note = Some(notes.join("; ")).filter(|note| !note.is_empty());
    Step { step, title, state, evidence: seen.rolled_back.clone(), is_stated: false, note }
}

/// The roll-back where nothing was scoped: the word of a person is enough only where no selector is known, by which the
/// evidence could contradict it.
fn unscoped(record: &Record, (step, title): (&'static str, &'static str)) -> Step {
    let found = told(record, (step, title), (None, Progress::NotKnown));
    let Some(mark) = found.evidence.as_ref().filter(|_| record.selector.is_some()) else { return found };
    let note = format!("event {} says that it is done; whether anything is still wrong, the scope tells", mark.seq);
    Step { state: Progress::NotKnown, note: Some(note), ..found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let note =
            |step: &str, seq: i64| Note { step: Some(step.to_owned()), note: None, seq, at: seq, by: "p".into() };
        let notes = vec![note("notify_owner", 7), note("pause", 8)];
        Record { workflow: Some("w".to_owned()), notes, ..Record::default() }
    }

    #[test]
    fn an_event_goes_before_a_word_and_what_nobody_says_is_open() {
        let paused = Some(Mark { seq: 3, at: 3, by: None, note: None });
        let found = steps(&record(), &Seen { paused, ..Seen::default() }, None);
        let of = |name: &str| found.iter().find(|step| step.step == name).unwrap();
        assert_eq!(of("pause").evidence.as_ref().map(|mark| mark.seq), Some(3));
        assert!(!of("pause").is_stated && of("notify_owner").is_stated);
        assert_eq!((of("notify_owner").state, of("review_sources").state), (Progress::Done, Progress::Open));
        assert_eq!((of("roll_back").state, of("sample").state), (Progress::NotKnown, Progress::Open));
        assert_eq!((of("add_guardrail").state, &of("add_guardrail").note), (Progress::Open, &None));
        let found = steps(&Record::default(), &Seen::default(), None);
        assert_eq!((found.len(), found[0].state), (7, Progress::NotKnown));
    }

    #[test]
    fn a_stated_roll_back_that_a_scope_could_contradict_is_not_known_to_be_done_without_one() {
        let note = Note { step: Some("roll_back".to_owned()), note: None, seq: 9, at: 9, by: "p".into() };
        let stated = Record { notes: vec![note], ..record() };
        let of = |record: &Record| steps(record, &Seen::default(), None).remove(2);
        assert_eq!((of(&stated).step, of(&stated).state), ("roll_back", Progress::Done));
        let found = of(&Record { selector: Some(Selector::new("true")), ..stated });
        assert_eq!(found.state, Progress::NotKnown);
        assert!(found.is_stated && found.note.is_some_and(|note| note.contains("event 9 says")));
    }

    /// What the events, each a type with more columns, show of incident `i` of workflow `w`.
    fn seen(events: &[(&str, Value)]) -> Seen {
        let record = Record { incident_id: "i".to_owned(), workflow: Some("w".to_owned()), ..Record::default() };
        let mut seen = Seen::default();
        for (seq, (event_type, more)) in (1..).zip(events) {
            let mut row = json!({"seq": seq, "event_type": event_type, "occurred_at": "2026-01-01T00:00:00Z"});
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            seen.take_signal(row.as_object().unwrap(), &record);
        }
        seen
    }

    #[test]
    fn only_enable_of_its_own_review_is_a_sample_before_re_enabling() {
        let decided = |incident: &str, decision: &str| {
            ("review.decided", json!({"incident_id": incident, "workflow": "w", "reason_code": decision}))
        };
        let reviewed = |events: &[(&str, Value)]| seen(events).reviewed.map(|mark| mark.seq);
        for other in [decided("i", "EXTEND"), decided("i", "REJECTED"), decided("", "ENABLE"), decided("j", "ENABLE")] {
            assert_eq!(reviewed(std::slice::from_ref(&other)), None, "{other:?}");
            assert_eq!(reviewed(&[decided("i", "ENABLE"), other]), Some(1));
        }
        assert_eq!(reviewed(&[decided("i", "EXTEND"), decided("i", "ENABLE")]), Some(2));
    }

    #[test]
    fn a_setting_of_the_workflow_goes_before_one_of_all() {
        let changed = |workflow: &str, field: &str| ("config.changed", json!({"workflow": workflow, "field": field}));
        let note = |events: &[(&str, Value)]| seen(events).changed.and_then(|mark| mark.note);
        let all = [changed("", "policy"), changed("v", "x"), changed("w", "rule"), changed("w", "y"), changed("", "z")];
        assert_eq!(note(&all).as_deref(), Some("`rule` was changed"));
        assert_eq!(note(&all[..2]).as_deref(), Some("`policy` was changed"));
        assert_eq!(note(&all[1..2]), None);
    }

    #[test]
    fn a_replayed_guardrail_is_told_and_is_not_one_that_was_added() {
        let replay = json!({"direct": {"stopped": 2, "actions": 2}});
        let guardrails = vec![Replayed { seq: 9, at: 9, by: "p".to_owned(), replay }];
        let found = steps(&Record { guardrails, ..record() }, &Seen::default(), None);
        let step = found.iter().find(|step| step.step == "add_guardrail").unwrap();
        let is_told = step.note.as_deref().is_some_and(|note| note.contains("event 9") && note.contains("2 of 2 bad"));
        assert!(step.state == Progress::Open && is_told, "{step:?}");
    }
}
