//! Erasing a person: the sealed values of the events about a subject, everywhere in the store.
//!
//! Hold check → marker → `evidence.erased` in the table, signed → hold check again → quarantine → data files →
//! projection → what older versions and dead processes left → marker gone. Invariants: the event is in the ledger before
//! a value is gone, and names no value; a marker stands for every erasure that is under way, so that a killed one is
//! finished later; events about the subject that are later than the event stay.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Order;
use super::hold::{Watch, check_free, check_person, watching};
use crate::error::{Error, Result};
use crate::event::Column;
use crate::ingest::writer::Writer;
use crate::ledger::hash::hex;
use crate::store::Store;
use crate::store::erase::{Rewritten, Traces};
use crate::store::projection::Lag;
use crate::store::quarantine::Texts;
use crate::store::removals::ERASED;

/// What an erasure did.
#[derive(Debug, Clone, Serialize)]
pub struct Erased {
    /// The person.
    pub subject: String,
    /// The `evidence.erased` event; none when only the quarantine knew the subject.
    pub event: Option<i64>,
    /// Events about the subject before it.
    pub events: u64,
    /// Events that lost sealed values now.
    pub erased: u64,
    /// Events of the same actions that name no subject and keep their values.
    pub siblings: u64,
    /// Data files that took the place of others.
    pub files: usize,
    /// Data files of older versions and dead processes that are gone.
    pub leftovers: usize,
    /// Quarantine entries that are gone.
    pub quarantine: usize,
    /// Size of the ledger that the root is over.
    pub size: i64,
    /// The root after it, hexadecimal: that of before.
    pub root: Option<String>,
}

/// An erasure that is under way, as it is kept in the store.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    subject: String,
    by: String,
    reason: String,
}

/// What an erasure would take.
///
/// # Errors
/// Denied when a hold is about the subject or one of its events; when the store fails.
pub async fn check(store: &Store, subject: &str) -> Result<Traces> {
    Ok(look(store, subject, None).await?.0)
}

/// What an erasure would take, and the holds that do not stop it: those of `known`, where that is given.
async fn look(store: &Store, subject: &str, known: Option<Watch>) -> Result<(Traces, Option<Watch>)> {
    store.fold().await?;
    let state = store.table().await?;
    let traces = store.traces(&state, subject).await?;
    if traces.is_empty() {
        // A hold on the person would be an event about it.
        return Ok((traces, None));
    }
    let watch = match known {
        Some(watch) => watch,
        None => watching(store).await?,
    };
    check_person(&watch.holds, subject)?;
    check_free(&watch.holds, traces.batches())?;
    Ok((traces, Some(watch)))
}

/// Erases the sealed values of every event about `subject` that is in the ledger now.
///
/// # Errors
/// NotFound when nothing is about the subject; Denied when a hold is; Damaged when a row is not the one that the
/// ledger holds; when the store fails: then the next erasure or maintenance finishes it.
pub async fn erase(store: &Store, subject: &str, order: &Order) -> Result<Erased> {
    let looked_at = look(store, subject, None).await?;
    check_reason(&looked_at.0.values()?, order)?;
    finish(store, subject, order, looked_at).await
}

/// Erases what was found of a subject, with a reason that was checked.
async fn finish(
    store: &Store,
    subject: &str,
    order: &Order,
    (traces, watch): (Traces, Option<Watch>),
) -> Result<Erased> {
    let size = store.table().await?.size;
    let root = store.root_at(size).await?;
    let marker = Marker { subject: subject.to_owned(), by: order.by.clone(), reason: order.reason.clone() };
    let is_known = !traces.is_empty();
    let id = hex(&Sha256::digest(subject)[..16]);
    if is_known {
        store.mark_erasure(&id, &to_json(&marker)?).await?;
    }
    let mut done = Erased {
        subject: subject.to_owned(),
        event: None,
        events: traces.len() as u64,
        erased: 0,
        siblings: 0,
        files: 0,
        leftovers: 0,
        quarantine: 0,
        size,
        root,
    };
    let mut values = traces.values()?;
    done.siblings = store.unnamed_siblings(&store.table().await?, &traces).await?;
    if is_known {
        let event = stated(store, &traces, subject, order).await?;
        done.event = Some(event);
        // Events that came before the statement are erased with the rest, and a hold that did stops it. Where nothing
        // came between the holds and the statement, the holds are those that are known.
        let known = watch.filter(|watch| watch.size == event);
        values = look(store, subject, known).await?.0.values()?;
    }
    let texts = Texts::new(values.iter().map(String::as_str).chain([subject]));
    done.quarantine = store.erase_from_quarantine(&texts).await?;
    let Some(event) = done.event else {
        return match done.quarantine {
            0 => Err(Error::not_found(format!(
                "no event is about the subject `{subject}`, and no refused record holds it"
            ))),
            _ => Ok(done),
        };
    };
    let Rewritten { rows, files } = store.erase_from_table(subject, event).await?;
    (done.erased, done.files) = (rows, files);
    if store.drop_projection().await? {
        store.project(Lag::None).await?;
    }
    done.leftovers = store.delete_leftovers(subject, event).await?;
    let after = store.root_at(size).await?;
    if after != done.root {
        return Err(Error::damaged("the root of the ledger moved; run `probity verify store`"));
    }
    store.unmark_erasure(&id).await?;
    Ok(done)
}

/// Finishes the erasures that were begun and not done; gives what each did, or why it cannot be finished now. One that
/// a hold stops does not stop the others.
///
/// # Errors
/// When the store fails; Damaged when what was noted of one cannot be read.
pub async fn resume(store: &Store) -> Result<Vec<(String, Result<Erased>)>> {
    let mut done = Vec::new();
    for text in store.marked_erasures().await? {
        let marker: Marker = serde_json::from_slice(&text)
            .map_err(|e| Error::damaged("what was noted of an erasure under way cannot be read").because(e))?;
        let order = Order { by: marker.by, reason: marker.reason };
        let outcome = match look(store, &marker.subject, None).await {
            Ok(looked_at) => finish(store, &marker.subject, &order, looked_at).await,
            Err(e) => Err(e),
        };
        done.push((marker.subject, outcome));
    }
    Ok(done)
}

/// The event that says so: a new one, unless everything that is sealed is older than the last one.
async fn stated(store: &Store, traces: &Traces, subject: &str, order: &Order) -> Result<i64> {
    let state = store.table().await?;
    let last = store.removals(&state).await?.last_erasure(subject);
    if let Some(event) = last.filter(|event| traces.last_sealed().is_ok_and(|sealed| sealed < Some(*event))) {
        return Ok(event);
    }
    let mut writer = Writer::new(store);
    let mut event = order.statement(&writer, ERASED);
    event.set_text(Column::SubjectId, subject.to_owned());
    let seq = writer.state(&event).await?;
    store.fold().await?;
    Ok(seq)
}

/// The reason stays readable for ever, so it must not repeat what is erased.
fn check_reason(values: &BTreeSet<String>, order: &Order) -> Result<()> {
    if Texts::new(values.iter().map(String::as_str)).are_in(&order.reason) {
        return Err(Error::invalid("the reason repeats a value that is to be erased; name a case instead"));
    }
    Ok(())
}

fn to_json(marker: &Marker) -> Result<Vec<u8>> {
    serde_json::to_vec(marker).map_err(|e| Error::internal("cannot note an erasure").because(e))
}
