//! Holds: evidence that must not be removed until somebody releases it.
//!
//! In: a selection by incident, workflow, person or time. Out: `evidence.held` and `evidence.released` events, and
//! which holds are in force. Invariant: a hold with several parts is about the events that match all of them. What is
//! in force is read from the evidence, not from a setting. An incident's events are those that name it, and those of
//! the actions and the records that it has reached when somebody asks. That is found through all of them, so a hold on
//! an incident has no other part: what such a part let go would take with it how the rest is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde::Serialize;

use super::reach::{self, Reach};
use super::{Order, month_span};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Column, Rows};
use crate::ingest::writer::Writer;
use crate::query::blast::read_instant;
use crate::store::{Store, parquet};

const HELD: &str = "evidence.held";
const RELEASED: &str = "evidence.released";
/// The record type that holds have as records of the engine.
const RECORD_TYPE: &str = "hold";
/// A range without that end, as ISO 8601-2 writes it.
const OPEN: &str = "..";

/// Which events are held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Of this incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Of this workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// About this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// That happened at this instant or later, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// That happened before this instant, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A hold.
#[derive(Debug, Clone, Serialize)]
pub struct Hold {
    /// Its name.
    pub id: String,
    /// What it holds.
    #[serde(flatten)]
    pub selection: Selection,
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// Since when, RFC 3339.
    pub since: String,
    #[serde(skip)]
    span: (Micros, Micros),
    /// What its incident has reached; none until somebody looks.
    #[serde(skip)]
    reach: Option<Arc<Reach>>,
}

/// The holds in force at a size of the ledger.
#[derive(Debug)]
pub struct Watch {
    /// Events that there were at least when they were looked up; what is stated later may be another hold.
    pub size: i64,
    /// The holds, each with what its incident has reached.
    pub holds: Vec<Hold>,
}

/// What a hold is about now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// Events.
    pub events: u64,
    /// Actions and records that its incident has reached; none without one, and where the register does not know it.
    pub reached: Option<(u64, u64)>,
}

/// What of an event says whether it is held.
pub const JUDGED: [Column; 9] = [
    Column::EventType,
    Column::OccurredAt,
    Column::IncidentId,
    Column::Workflow,
    Column::SubjectId,
    Column::ActionId,
    Column::System,
    Column::RecordType,
    Column::RecordId,
];

impl Hold {
    /// Whether the event of that row is held.
    pub fn matches(&self, rows: &Rows<'_>, row: usize) -> bool {
        let is = |column: Column, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| rows.text(column, row) == Some(wanted))
        };
        let at = rows.instant(Column::OccurredAt, row).unwrap_or_default();
        // A statement about evidence, such as the hold itself, is not what is held.
        let is_statement = rows.text(Column::EventType, row).is_some_and(|name| name.starts_with("evidence."));
        let is_reached = || self.reach.as_ref().is_some_and(|reach| reach.holds(rows, row));
        !is_statement
            && (is(Column::IncidentId, &self.selection.incident) || is_reached())
            && is(Column::Workflow, &self.selection.workflow)
            && is(Column::SubjectId, &self.selection.subject)
            && (self.span.0..self.span.1).contains(&at)
    }

    /// Whether events of `month` may be held.
    pub fn touches(&self, month: &str) -> bool {
        // A month that cannot be read is held: nothing is deleted by mistake.
        month_span(month).map_or(true, |(from, to)| from < self.span.1 && self.span.0 < to)
    }

    /// Its name and what it is about, for people.
    pub fn words(&self) -> String {
        let part = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
        let selection = &self.selection;
        let parts = [
            selection.incident.as_ref().map(|id| format!("incident {id} and what it reached")),
            part("workflow", &selection.workflow),
            part("subject", &selection.subject),
            part("from", &selection.from),
            part("to", &selection.to),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{} ({}; {}, by {} since {})", self.id, parts.join(", "), self.reason, self.by, self.since)
    }
}

impl Selection {
    /// Whether it has nothing but that part.
    fn is_of_one(&self, part: impl Fn(&mut Self) -> &mut Option<String>) -> bool {
        let mut rest = self.clone();
        *part(&mut rest) = None;
        rest == Self::default()
    }
}

fn span_of(selection: &Selection) -> Result<(Micros, Micros)> {
    let instant = |text: &Option<String>, otherwise: Micros| text.as_deref().map_or(Ok(otherwise), read_instant);
    Ok((instant(&selection.from, Micros::MIN)?, instant(&selection.to, Micros::MAX)?))
}

/// What a hold is about now.
///
/// # Errors
/// When the evidence cannot be read; Denied when the reach of its incident cannot be found.
pub async fn cover(store: &Store, hold: &Hold) -> Result<Cover> {
    let mut hold = hold.clone();
    look(store, std::slice::from_mut(&mut hold)).await?;
    let snapshot = store.snapshot().await?;
    let matching = |batch: &RecordBatch| -> Result<u64> {
        let rows = Rows::new(batch)?;
        Ok((0..rows.len()).filter(|row| hold.matches(&rows, *row)).count() as u64)
    };
    let mut events = 0;
    for file in snapshot.files.iter().filter(|file| hold.touches(&file.month)) {
        let mut batches = parquet::scan(store.objects(), file, &JUDGED, None).await?;
        while let Some(batch) = batches.try_next().await? {
            events += matching(&batch)?;
        }
    }
    for batch in &snapshot.journal {
        events += matching(batch)?;
    }
    Ok(Cover { events, reached: hold.reach.as_ref().map(|reach| reach.counts()) })
}

/// Places a hold; gives it with the `seq` of its event.
///
/// # Errors
/// Invalid when the selection is empty, names nothing, has an incident and other parts, or its times are no range; when
/// the store fails.
pub async fn place(store: &Store, mut selection: Selection, order: &Order) -> Result<(Hold, i64)> {
    if selection == Selection::default() {
        return Err(Error::invalid("a hold needs an incident, a workflow, a subject, or a time"));
    }
    if [&selection.incident, &selection.workflow, &selection.subject].into_iter().flatten().any(|name| name.is_empty())
    {
        return Err(Error::invalid("a hold on an empty name would be about nothing; leave that option away"));
    }
    if selection.incident.is_some() && !selection.is_of_one(|one| &mut one.incident) {
        return Err(Error::invalid(
            "an incident is held as a whole, because what it reached is found through all of it; leave the other \
             options away, or place two holds",
        ));
    }
    let span = span_of(&selection)?;
    if span.0 >= span.1 {
        return Err(Error::invalid("the hold ends before it begins; --to is the instant after the last one"));
    }
    selection.from = selection.from.map(|_| rfc3339(span.0));
    selection.to = selection.to.map(|_| rfc3339(span.1));
    let id = format!("hold-{}", &store.clock().id()[..12]);
    let mut writer = Writer::new(store);
    let mut event = order.statement(&writer, HELD);
    event.set_text(Column::System, crate::event::ENGINE_SOURCE);
    event.set_text(Column::RecordType, RECORD_TYPE);
    event.set_text(Column::RecordId, id.clone());
    let parts = [
        (Column::IncidentId, &selection.incident),
        (Column::Workflow, &selection.workflow),
        (Column::SubjectId, &selection.subject),
    ];
    for (column, value) in parts {
        if let Some(value) = value {
            event.set_text(column, value.clone());
        }
    }
    if selection.from.is_some() || selection.to.is_some() {
        // In a column that no erasure takes: without its range the hold would be about all time.
        let bound = |at: &Option<String>| at.clone().unwrap_or_else(|| OPEN.to_owned());
        event.set_text(Column::Field, format!("{}/{}", bound(&selection.from), bound(&selection.to)));
    }
    let seq = writer.state(&event).await?;
    let since = rfc3339(store.clock().now());
    let (reason, by) = (order.reason.clone(), order.by.clone());
    Ok((Hold { id, selection, reason, by, since, span, reach: None }, seq))
}

/// Releases a hold; gives the `seq` of the event.
///
/// # Errors
/// NotFound when no hold of that name is in force; when the store fails.
pub async fn release(store: &Store, id: &str, order: &Order) -> Result<i64> {
    let known = in_force(store).await?;
    if !known.iter().any(|hold| hold.id == id) {
        let names: Vec<&str> = known.iter().map(|hold| hold.id.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Error::not_found(format!("no hold `{id}` is in force; in force: {names}")));
    }
    let mut writer = Writer::new(store);
    let mut event = order.statement(&writer, RELEASED);
    event.set_text(Column::System, crate::event::ENGINE_SOURCE);
    event.set_text(Column::RecordType, RECORD_TYPE);
    event.set_text(Column::RecordId, id.to_owned());
    writer.state(&event).await
}

/// The holds that are in force, each with what its incident has reached by now: what a removal asks before it begins.
///
/// # Errors
/// As [`in_force`], and Denied when the reach of an incident cannot be found: then nothing may be removed.
pub async fn watching(store: &Store) -> Result<Watch> {
    // The size comes first: what is stated from here on is not known to be seen.
    let size = store.snapshot().await?.size;
    let mut holds = in_force(store).await?;
    look(store, &mut holds).await?;
    Ok(Watch { size, holds })
}

/// Finds what the incidents of `holds` have reached, each once, however many holds it has.
async fn look(store: &Store, holds: &mut [Hold]) -> Result<()> {
    if holds.iter().all(|hold| hold.selection.incident.is_none()) {
        return Ok(());
    }
    let engine = reach::session(store).await?;
    let mut known: BTreeMap<String, Option<Arc<Reach>>> = BTreeMap::new();
    for hold in holds {
        let Some(incident) = hold.selection.incident.clone() else { continue };
        let reach = match known.get(&incident) {
            Some(reach) => reach.clone(),
            None => Reach::of(&engine, &incident).await.map_err(|e| unseen(hold, &e))?.map(Arc::new),
        };
        hold.reach = reach.clone();
        known.insert(incident, reach);
    }
    Ok(())
}

/// That it is not known what `hold` holds. What trying again does not help against counts as held.
fn unseen(hold: &Hold, why: &Error) -> Error {
    let kind = match why.kind() {
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Limit => ErrorKind::Denied,
        kind => kind,
    };
    let id = &hold.id;
    Error::new(
        kind,
        format!(
            "what {id} holds cannot be found, so that nothing may be removed ({why}); `probity release {id}` ends it"
        ),
    )
}

/// The holds that are in force, the oldest first.
///
/// # Errors
/// When the evidence cannot be read; Damaged when a hold states no readable range.
pub async fn in_force(store: &Store) -> Result<Vec<Hold>> {
    // The journal before the table: what is folded between the two looks is seen twice, which is harmless.
    let journal = store.snapshot().await?.journal;
    let state = store.table().await?;
    let mut batches = store.statements(&state, &[HELD, RELEASED]).await?;
    batches.extend(journal);
    let (mut held, mut released) = (BTreeMap::new(), BTreeSet::new());
    for batch in &batches {
        read(batch, &mut held, &mut released)?;
    }
    Ok(held.into_values().filter(|hold| !released.contains(&hold.id)).collect())
}

fn read(batch: &RecordBatch, held: &mut BTreeMap<i64, Hold>, released: &mut BTreeSet<String>) -> Result<()> {
    let rows = Rows::new(batch)?;
    for row in 0..rows.len() {
        let text = |column: Column| rows.text(column, row).map(str::to_owned);
        match rows.text(Column::EventType, row) {
            Some(HELD) => drop(held.insert(rows.long(Column::Seq, row).unwrap_or_default(), hold_of(&rows, row)?)),
            Some(RELEASED) => released.extend(text(Column::RecordId)),
            _ => {}
        }
    }
    Ok(())
}

fn hold_of(rows: &Rows<'_>, row: usize) -> Result<Hold> {
    let text = |column: Column| rows.text(column, row).map(str::to_owned);
    let id = text(Column::RecordId).unwrap_or_default();
    let (from, to) = match rows.text(Column::Field, row).map(|range| range.split_once('/')) {
        None => (OPEN, OPEN),
        Some(Some(range)) => range,
        Some(None) => return Err(Error::damaged(format!("the range of the hold `{id}` cannot be read"))),
    };
    let bound = |at: &str| (at != OPEN).then(|| at.to_owned());
    let selection = Selection {
        incident: text(Column::IncidentId),
        workflow: text(Column::Workflow),
        subject: text(Column::SubjectId),
        from: bound(from),
        to: bound(to),
    };
    Ok(Hold {
        id,
        span: span_of(&selection)?,
        reach: None,
        selection,
        reason: text(Column::ReasonCode).unwrap_or_default(),
        by: text(Column::ActorId).unwrap_or_default(),
        since: rfc3339(rows.instant(Column::OccurredAt, row).unwrap_or_default()),
    })
}

/// Refuses when a hold is about one of these rows.
///
/// # Errors
/// Denied, naming the hold, when one is.
pub fn check_free<'b>(holds: &[Hold], batches: impl Iterator<Item = &'b RecordBatch>) -> Result<()> {
    for batch in batches {
        let rows = Rows::new(batch)?;
        for hold in holds {
            if (0..rows.len()).any(|row| hold.matches(&rows, row)) {
                return Err(held(hold));
            }
        }
    }
    Ok(())
}

/// Refuses when a hold is about all of a person: then about what was refused and is no event, too.
///
/// # Errors
/// Denied, naming the hold, when one is.
pub fn check_person(holds: &[Hold], subject: &str) -> Result<()> {
    let is_about = |hold: &&Hold| {
        hold.selection.subject.as_deref() == Some(subject) && hold.selection.is_of_one(|one| &mut one.subject)
    };
    holds.iter().find(is_about).map_or(Ok(()), |hold| Err(held(hold)))
}

fn held(hold: &Hold) -> Error {
    let (words, id) = (hold.words(), &hold.id);
    Error::new(ErrorKind::Denied, format!("held: {words}; release it first with `probity release {id}`"))
}
