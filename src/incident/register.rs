//! The register: what persons state of an incident, from its opening to its closing.
//!
//! In: a change that a person states. Out: an `incident.opened`, `incident.updated` or `incident.closed` event, the
//! scope frozen with it. Invariants: what a change does not give stays as it was; a closed incident takes nothing
//! more, so that what was closed is what stays; a draft of a rule becomes an incident by the first change.

use serde_json::{Map, Value, json};

use super::guardrail::Replay;
use super::record::{Frozen, Record, Standing, selector_as_json};
use super::steps::{NOTIFY_AUTHORITY, STEPS};
use super::{Scoped, scope};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cell, Column, Draft};
use crate::ingest::writer::Writer;
use crate::policy::SEVERITIES;
use crate::query::blast::Selector;
use crate::query::engine::Engine;
use crate::store::Store;

/// Characters of a title, a name, a reason.
const LINE_CHARACTERS: usize = 256;
/// Characters of a note.
const NOTE_CHARACTERS: usize = 4_000;
/// How bad an incident is when nobody says it.
const SEVERITY: &str = "medium";

/// What a person states of an incident; what is none stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What happened, in a line.
    pub title: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Option<String>,
    /// What kind it is; some kinds have notification deadlines.
    pub class: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The workflow that it is about, whose pause contains it.
    pub workflow: Option<String>,
    /// What picks the bad actions.
    pub selector: Option<Selector>,
    /// When it was detected.
    pub detected_at: Option<Micros>,
    /// When the organisation became aware of it, from which deadlines run.
    pub aware_at: Option<Micros>,
    /// One of the steps, which this says is done.
    pub step: Option<String>,
    /// Words about it.
    pub note: Option<String>,
}

impl Change {
    fn check(&self, now: Micros) -> Result<()> {
        let names =
            [("title", &self.title), ("class", &self.class), ("owner", &self.owner), ("workflow", &self.workflow)];
        for (name, value) in names {
            value.as_deref().map_or(Ok(()), |value| check_line(name, value))?;
        }
        if let Some(severity) = self.severity.as_deref().filter(|severity| !SEVERITIES.contains(severity)) {
            return Err(Error::invalid(format!("severity `{severity}` is none of {}", SEVERITIES.join(", "))));
        }
        let is_step = |name: &str| name == NOTIFY_AUTHORITY || STEPS.iter().any(|(known, _)| *known == name);
        if let Some(step) = self.step.as_deref().filter(|step| !is_step(step)) {
            let known: Vec<&str> = STEPS.iter().map(|(name, _)| *name).chain([NOTIFY_AUTHORITY]).collect();
            return Err(Error::invalid(format!("step `{step}` is none of {}", known.join(", "))));
        }
        if self.note.as_ref().is_some_and(|note| note.trim().is_empty() || note.chars().count() > NOTE_CHARACTERS) {
            return Err(Error::invalid(format!("a note has between 1 and {NOTE_CHARACTERS} characters")));
        }
        for (name, at) in [("detected", self.detected_at), ("aware", self.aware_at)] {
            if at.is_some_and(|at| at > now) {
                return Err(Error::invalid(format!("--{name} lies in the future")));
            }
        }
        Ok(())
    }

    /// As `extra` of its event; the keys are the names of the register.
    fn extra(&self) -> Map<String, Value> {
        let texts = [
            ("title", &self.title),
            ("severity", &self.severity),
            ("class", &self.class),
            ("owner", &self.owner),
            ("step", &self.step),
            ("note", &self.note),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some((name, Value::from(value.clone()?))));
        let instants = [("detected_at", self.detected_at), ("aware_at", self.aware_at)];
        let instants = instants.into_iter().filter_map(|(name, at)| Some((name, Value::from(rfc3339(at?)))));
        let selector = self.selector.iter().map(|selector| ("selector", selector_as_json(selector)));
        texts.chain(instants).chain(selector).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn check_line(name: &str, value: &str) -> Result<()> {
    let is_line = !value.trim().is_empty() && value.chars().count() <= LINE_CHARACTERS;
    if is_line && !value.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(format!("the {name} must be one line of 1 to {LINE_CHARACTERS} characters")))
}

/// What was stated.
#[derive(Debug, Clone)]
pub struct Stated {
    /// The incident.
    pub incident_id: String,
    /// The event that states it.
    pub seq: i64,
    /// The scope that was frozen with it.
    pub frozen: Option<Frozen>,
}

impl Stated {
    /// As JSON, with the scope.
    pub fn to_json(&self) -> Value {
        let frozen = self.frozen.as_ref();
        json!({
            "incident_id": self.incident_id, "seq": self.seq, "scope_version": frozen.map(|frozen| frozen.version),
            "scope_seq": frozen.map(|frozen| frozen.seq), "scope": frozen.map(|frozen| frozen.scope.clone()),
        })
    }
}

/// Opens an incident and freezes its first scope. Without instants it counts as detected and known now.
///
/// # Errors
/// Invalid when title or selector lack or something given is wrong; when the store fails.
pub async fn open(store: &Store, engine: &Engine, change: &Change, by: &str) -> Result<Stated> {
    let now = store.clock().now();
    let mut change = change.clone();
    change.severity.get_or_insert_with(|| SEVERITY.to_owned());
    change.aware_at = change.aware_at.or(change.detected_at).or(Some(now));
    change.detected_at = change.detected_at.or(change.aware_at);
    change.check(now)?;
    check_order(change.detected_at, change.aware_at)?;
    let (Some(_), Some(selector)) = (&change.title, &change.selector) else {
        return Err(Error::invalid(
            "an incident needs a title, and a condition that picks its bad actions: its `where`",
        ));
    };
    let scoped = scope(store, engine, selector).await?;
    let id = format!("inc-{}", &store.clock().id()[..12]);
    let mut extra = change.extra();
    extra.insert("state".to_owned(), Standing::Open.name().into());
    let mut writer = Writer::new(store);
    let event = statement(&writer, "incident.opened", (id.as_str(), by), (&change, extra));
    let seq = writer.state(&event).await?;
    let frozen = state_scope(&mut writer, (id.as_str(), by), &scoped, 1).await?;
    Ok(Stated { incident_id: id, seq, frozen: Some(frozen) })
}

/// States what has changed of an incident; a draft becomes an open incident, and a new selector freezes a new scope.
///
/// # Errors
/// Invalid when nothing is given or something is wrong, Conflict when it is closed; when the store fails.
pub async fn update(store: &Store, engine: &Engine, record: &Record, (change, by): (&Change, &str)) -> Result<Stated> {
    check_not_closed(record)?;
    let now = store.clock().now();
    let is_draft = record.state == Standing::Draft;
    if *change == Change::default() && !is_draft {
        return Err(Error::invalid(
            "nothing is given that would change; say what is different now, or a step or a note",
        ));
    }
    let mut change = change.clone();
    if is_draft {
        // A rule has found it; that somebody knows begins with who takes it over.
        change.aware_at = change.aware_at.or(record.aware_at).or(Some(now));
    }
    change.check(now)?;
    check_order(change.detected_at.or(record.detected_at), change.aware_at.or(record.aware_at))?;
    let scoped = match &change.selector {
        Some(selector) => Some(scope(store, engine, selector).await?),
        None => None,
    };
    let mut extra = change.extra();
    if is_draft {
        extra.insert("state".to_owned(), Standing::Open.name().into());
    }
    let id = record.incident_id.as_str();
    let mut writer = Writer::new(store);
    let event = statement(&writer, "incident.updated", (id, by), (&change, extra));
    let seq = writer.state(&event).await?;
    let frozen = match scoped {
        Some(scoped) => Some(state_scope(&mut writer, (id, by), &scoped, record.next_scope()).await?),
        None => None,
    };
    Ok(Stated { incident_id: id.to_owned(), seq, frozen })
}

/// Scopes an incident anew and freezes the result.
///
/// # Errors
/// Invalid when it has no selector, Conflict when it is closed; when the store fails.
pub async fn freeze(store: &Store, engine: &Engine, record: &Record, by: &str) -> Result<(Scoped, Frozen)> {
    check_not_closed(record)?;
    let id = record.incident_id.as_str();
    let scoped = scope(store, engine, record.picking()?).await?;
    let frozen = state_scope(&mut Writer::new(store), (id, by), &scoped, record.next_scope()).await?;
    Ok((scoped, frozen))
}

/// States with an incident what a replayed guardrail would have stopped; gives the `seq` of the event.
///
/// # Errors
/// Conflict when it is closed; when the store fails.
pub async fn state_replay(store: &Store, record: &Record, replay: &Replay, by: &str) -> Result<i64> {
    check_not_closed(record)?;
    let mut writer = Writer::new(store);
    let extra = Map::from_iter([("guardrail".to_owned(), replay.to_json())]);
    let id = record.incident_id.as_str();
    let event = statement(&writer, "incident.updated", (id, by), (&Change::default(), extra));
    writer.state(&event).await
}

/// Closes an incident; gives the `seq` of the event.
///
/// # Errors
/// Invalid when the reason is no line, Conflict when it is closed already; when the store fails.
pub async fn close(store: &Store, record: &Record, reason: &str, by: &str) -> Result<i64> {
    check_line("reason", reason)?;
    check_not_closed(record)?;
    let id = record.incident_id.as_str();
    let mut writer = Writer::new(store);
    let extra = Map::from_iter([("state".to_owned(), Value::from(Standing::Closed.name()))]);
    let mut event = statement(&writer, "incident.closed", (id, by), (&Change::default(), extra));
    // Two who close at the same moment mean the same: the second finds this id taken.
    event.set_text(Column::EventId, format!("incident/{id}/closed"));
    event.set_text(Column::ReasonCode, reason.trim().to_owned());
    writer.state_once(&event).await?.ok_or_else(|| closed_already(id))
}

fn check_not_closed(record: &Record) -> Result<()> {
    if record.state == Standing::Closed { Err(closed_already(&record.incident_id)) } else { Ok(()) }
}

fn closed_already(id: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("incident `{id}` is closed already; open another one for what came since"))
}

fn check_order(detected_at: Option<Micros>, aware_at: Option<Micros>) -> Result<()> {
    match detected_at.zip(aware_at) {
        Some((detected, aware)) if aware < detected => Err(Error::invalid(format!(
            "aware since {} and detected at {}: nobody is aware of what is not detected",
            rfc3339(aware),
            rfc3339(detected)
        ))),
        _ => Ok(()),
    }
}

fn statement(
    writer: &Writer<'_>,
    event_type: &str,
    (id, by): (&str, &str),
    (change, extra): (&Change, Map<String, Value>),
) -> Draft<'static> {
    let mut event = writer.statement(event_type);
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, by.to_owned());
    event.set_text(Column::IncidentId, id.to_owned());
    if let Some(workflow) = &change.workflow {
        event.set_text(Column::Workflow, workflow.clone());
    }
    event.set_text(Column::Extra, Value::Object(extra).to_string());
    event
}

async fn state_scope(writer: &mut Writer<'_>, (id, by): (&str, &str), scoped: &Scoped, version: u64) -> Result<Frozen> {
    let scope = scoped.summary();
    let extra =
        Map::from_iter([("scope".to_owned(), scope.clone()), ("scope_version".to_owned(), Value::from(version))]);
    let event = statement(writer, "incident.updated", (id, by), (&Change::default(), extra));
    let at = event_time(&event);
    let seq = writer.state(&event).await?;
    Ok(Frozen { version, seq, at, by: by.to_owned(), scope })
}

fn event_time(event: &Draft<'_>) -> Micros {
    match event.cell(Column::OccurredAt) {
        Cell::Instant(at) => *at,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_is_checked_and_says_what_would_do() {
        let wrong = |change: Change| change.check(10).unwrap_err().to_string();
        let text = |text: &str| Some(text.to_owned());
        assert!(wrong(Change { title: text("a\nb"), ..Change::default() }).contains("one line"));
        assert!(wrong(Change { severity: text("bananas"), ..Change::default() }).contains("critical"));
        assert!(wrong(Change { step: text("dance"), ..Change::default() }).contains("notify_owner"));
        assert!(wrong(Change { aware_at: Some(11), ..Change::default() }).contains("future"));
        assert!(wrong(Change { note: text(" "), ..Change::default() }).contains("characters"));
        assert!(check_order(Some(2), Some(1)).is_err() && check_order(Some(1), Some(1)).is_ok());
    }
}
