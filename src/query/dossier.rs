//! Everything that the evidence says about one event, one record or one action, found by its key.
//!
//! In: a session and a key. Out: the events in (`occurred_at`, `seq`) order with their leaf hashes; of an action also
//! what it is by now, what the policies of the moment asked, who decided, whether each execution had a valid approval,
//! and which of the twelve items of evidence are held. Invariants: the judgements are those of the shipped views, asked
//! of the action's events and the policies alone, which is all that they depend on; whoever may not see sealed values
//! gets none, and is told which ones there are. It reads a few pages of the data files, whatever the size of the
//! ledger, and writes nothing.

mod found;
mod judged;

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use serde::Serialize;
use serde_json::Value;

use super::engine::Engine;
use super::objects::Row;
use super::rows;
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::event::canonical::write_canonical;
use crate::event::columns::{COLUMNS, Role, SEALED};
use crate::event::{Column, Rows};
use crate::ledger::hash::{hex, leaf_hash};
use crate::limits::LOOKED_UP_READS;
use judged::Judged;

/// The event that tells of a read.
const READ: &str = "evidence.queried";

/// The point of the evidence that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Events that counted.
    pub size: i64,
    /// Version of the folded table.
    pub version: i64,
    /// The instant that counted as now, RFC 3339.
    pub at: String,
}

/// Whether the caller sees sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// Those that were not erased.
    Shown,
    /// None.
    Withheld,
}

/// What became of a sealed value that the source sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    /// It stands in the event.
    Disclosed,
    /// It is there, and this caller does not see it.
    Withheld,
    /// It was erased; its digest is left.
    Erased,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its place in the ledger.
    pub seq: i64,
    /// Its leaf hash, hexadecimal.
    pub leaf: String,
    /// Its columns that are set, by name.
    pub event: Row,
    /// Its sealed columns that were set, by name.
    pub sealed: BTreeMap<&'static str, Seal>,
}

/// One event with the bytes that its leaf hash is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The event.
    #[serde(flatten)]
    pub told: Event,
    /// Its canonical text.
    pub entry: String,
}

/// A record by its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RecordKey {
    /// System of record.
    pub system: String,
    /// Type of the record.
    pub record_type: String,
    /// Its id.
    pub record_id: String,
}

/// Which of the events are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Events passed over, from the oldest on.
    pub offset: usize,
    /// Events given at most.
    pub limit: usize,
}

impl Default for Slice {
    fn default() -> Self {
        Self { offset: 0, limit: usize::MAX }
    }
}

/// What happened to a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The record.
    #[serde(flatten)]
    pub key: RecordKey,
    /// As of when.
    pub as_of: Point,
    /// Events that name it, in all, but for the reads left out.
    pub total: usize,
    /// Older reads of it that are not among them: of reads the newest
    /// [`LOOKED_UP_READS`] are.
    pub reads_left_out: usize,
    /// Events passed over before the first one given.
    pub offset: usize,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Whether sealed values are shown.
    pub sealed: Sight,
}

/// One of the twelve items of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name.
    pub item: &'static str,
    /// Whether the log holds it, or it cannot apply.
    pub is_held: bool,
}

/// Everything about an action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dossier {
    /// The action.
    pub action_id: String,
    /// As of when.
    pub as_of: Point,
    /// What has become of it, the columns of the view `actions`; none where it has no production event.
    pub action: Option<Row>,
    /// What the policy of the moment asked of its proposal, each decision and each execution: rows of the view
    /// `judged_actions`, oldest first.
    pub judgements: Vec<Row>,
    /// Who decided: rows of the view `decisions`, oldest first.
    pub decisions: Vec<Row>,
    /// Whether each execution had a valid approval: rows of the view `approvals`, oldest first.
    pub approvals: Vec<Row>,
    /// The twelve items of evidence; none where it has no production event.
    pub evidence: Option<Vec<Item>>,
    /// Its events, oldest first.
    pub events: Vec<Event>,
    /// Whether sealed values are shown.
    pub sealed: Sight,
}

/// The event at place `seq`.
///
/// # Errors
/// NotFound when the ledger ends before, or the event was deleted with its month.
pub async fn event(engine: &Engine, seq: i64) -> Result<Entry> {
    let rows = found::at(engine, seq).await?;
    let view = Rows::new(&rows)?;
    if view.is_empty() {
        return Err(Error::not_found(match (0..engine.as_of().size).contains(&seq) {
            true => format!("event {seq} is gone: retention deleted its month; its leaf hash is still in the tree"),
            false => format!("there is no event {seq}; the ledger has {} events", engine.as_of().size),
        }));
    }
    let mut entry = String::new();
    write_canonical(&view, 0, &mut entry);
    Ok(Entry { told: told(&rows, &view, 0, sight(engine))?, entry })
}

/// The events that name the record `key`.
///
/// # Errors
/// NotFound when none but reads do; Limit when more than [`LOOKED_UP_EVENTS`](crate::limits::LOOKED_UP_EVENTS) do.
pub async fn history(engine: &Engine, key: &RecordKey, slice: Slice) -> Result<History> {
    let mut reads = 0;
    let is_told = |view: &Rows<'_>, row: usize| {
        let is_its = view.text(Column::System, row) == Some(key.system.as_str())
            && view.text(Column::RecordType, row) == Some(key.record_type.as_str());
        let is_read = is_its && view.text(Column::EventType, row) == Some(READ);
        reads += usize::from(is_read);
        is_its && (!is_read || reads <= LOOKED_UP_READS)
    };
    let rows = found::by(engine, Column::RecordId, &key.record_id, is_told).await?;
    // That somebody asked for it does not make it a record.
    if rows.num_rows() == reads.min(LOOKED_UP_READS) {
        return Err(Error::not_found(
            "no event names this record; system, type and id are compared byte by byte, capitals included",
        ));
    }
    let offset = slice.offset.min(rows.num_rows());
    let given = rows.slice(offset, slice.limit.min(rows.num_rows() - offset));
    Ok(History {
        key: key.clone(),
        as_of: point(engine),
        total: rows.num_rows(),
        reads_left_out: reads.saturating_sub(LOOKED_UP_READS),
        offset,
        events: all_told(&given, sight(engine))?,
        sealed: sight(engine),
    })
}

/// Everything about the action `action_id`.
///
/// # Errors
/// NotFound when no event names it; Limit as for [`history`].
pub async fn dossier(engine: &Engine, action_id: &str) -> Result<Dossier> {
    let rows = found::by(engine, Column::ActionId, action_id, |_, _| true).await?;
    if rows.num_rows() == 0 {
        return Err(Error::not_found("no event names this action; ids are compared byte by byte, capitals included"));
    }
    let sight = sight(engine);
    let Judged { action, judgements, decisions, approvals, evidence } = judged::judge(engine, &rows, sight).await?;
    Ok(Dossier {
        action_id: action_id.to_owned(),
        as_of: point(engine),
        action,
        judgements,
        decisions,
        approvals,
        evidence,
        events: all_told(&rows, sight)?,
        sealed: sight,
    })
}

fn point(engine: &Engine) -> Point {
    let as_of = engine.as_of();
    Point { size: as_of.size, version: engine.version(), at: rfc3339(as_of.at) }
}

fn sight(engine: &Engine) -> Sight {
    if engine.sees_sealed() { Sight::Shown } else { Sight::Withheld }
}

fn all_told(rows: &RecordBatch, sight: Sight) -> Result<Vec<Event>> {
    let view = Rows::new(rows)?;
    (0..view.len()).map(|row| told(rows, &view, row, sight)).collect()
}

/// One row as an event: its columns that are set, without salt and digests.
fn told(rows: &RecordBatch, view: &Rows<'_>, row: usize, sight: Sight) -> Result<Event> {
    let is_told = |column: Column| match column.spec().role {
        Role::Open => true,
        Role::Sealed => sight == Sight::Shown,
        Role::Assigned => matches!(column, Column::Seq | Column::RecordedAt),
    };
    let mut event = Row::new();
    for spec in COLUMNS.iter().filter(|spec| is_told(spec.column) && view.is_set(spec.column, row)) {
        let mut value = rows::json(rows.column(spec.column as usize).as_ref(), row)?;
        if let Value::Array(inputs) = &mut value {
            inputs
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|input| input.retain(|_, part| !part.is_null()));
        }
        event.insert(spec.name.to_owned(), value);
    }
    let sealed = SEALED.iter().filter_map(|(value, kept)| {
        let seal = match (view.is_set(*value, row), view.is_set(*kept, row)) {
            (true, _) if sight == Sight::Shown => Seal::Disclosed,
            (true, _) => Seal::Withheld,
            (false, true) => Seal::Erased,
            (false, false) => return None,
        };
        Some((value.name(), seal))
    });
    let sealed = sealed.collect();
    let mut entry = String::new();
    write_canonical(view, row, &mut entry);
    let seq = view.long(Column::Seq, row).ok_or_else(|| Error::damaged("an event has no `seq`"))?;
    Ok(Event { seq, leaf: hex(&leaf_hash(entry.as_bytes())), event, sealed })
}

#[cfg(test)]
mod tests {
    use super::super::answer::Limits;
    use super::super::catalogue::Catalogue;
    use super::super::params::Params;
    use super::super::testing::{START, engine, random_events, snapshot};
    use super::*;
    use crate::clock::HOUR;
    use crate::error::ErrorKind;
    use crate::store::snapshot::Snapshot;

    #[tokio::test]
    async fn policies_are_those_that_sql_finds_remembered_or_not_and_as_of_earlier_points() {
        let mut lines = random_events(5, 300);
        let changes = [
            (20, "probity", "policy"),
            (21, "crm", "policy"),
            (22, "probity", "owner"),
            (150, "probity", "policy"),
            (151, "crm", "policy"),
            (290, "probity", "policy"),
            (291, "probity", "owner"),
        ];
        for (place, source, field) in changes {
            let event = serde_json::json!({
                "event_id": format!("c{place}"), "source": source, "event_type": "config.changed", "field": field,
                "occurred_at": rfc3339(START + place as i64 * HOUR), "new_value": "no policy at all",
            });
            lines[place] = event.to_string();
        }
        let whole = snapshot(&lines, 240, 60).await;
        for (size, expected) in [(300, 3), (160, 2), (300, 3), (20, 0)] {
            let engine = engine(&Snapshot { size, ..whole.clone() }).await;
            let found = found::policies(&engine).await.unwrap();
            let sql = "select seq from events where event_type = 'config.changed' and field = 'policy' and source = 'probity' \
                       order by occurred_at, seq";
            let rows = judged::as_rows(&engine.sql(sql, Limits::default()).await.unwrap()).unwrap();
            let seqs: Vec<i64> = rows.iter().filter_map(|row| row["seq"].as_i64()).collect();
            let view = Rows::new(&found).unwrap();
            let places: Vec<i64> = (0..view.len()).filter_map(|row| view.long(Column::Seq, row)).collect();
            assert_eq!((places.len(), places), (expected, seqs), "of {size} events");
        }
    }

    #[tokio::test]
    async fn a_dossier_says_of_an_action_what_the_views_say_over_everything() {
        let engine = engine(&snapshot(&random_events(11, 300), 240, 60).await).await;
        let all = async |name: &str| {
            let query = Catalogue::shipped().unwrap().get(name).unwrap();
            let answer = engine.run(query, &Params::new()).await.unwrap();
            judged::as_rows(&answer).unwrap()
        };
        let (actions, approvals, decisions) = (all("actions").await, all("approvals").await, all("decisions").await);
        let judgements = all("judged_actions").await;
        let evidence = all("action_evidence").await;
        for id in (0..60).step_by(7).map(|n| format!("a{n}")) {
            let of = |rows: &[Row]| -> Vec<Row> {
                let of_action = |row: &&Row| row["action_id"] == id.as_str();
                let mut rows: Vec<Row> = rows.iter().filter(of_action).cloned().collect();
                rows.iter_mut().for_each(|row| row.retain(|column, _| !column.ends_with("_order")));
                rows.sort_by_key(|row| {
                    (row.get("seq").and_then(Value::as_i64), row.get("phase").map(Value::to_string))
                });
                rows
            };
            let dossier = dossier(&engine, &id).await.unwrap();
            assert_eq!(dossier.action.clone().into_iter().collect::<Vec<_>>(), of(&actions), "{id}");
            for (found, expected) in
                [(&dossier.approvals, &approvals), (&dossier.decisions, &decisions), (&dossier.judgements, &judgements)]
            {
                assert_eq!(of(found), of(expected), "{id}");
            }
            let held = dossier.evidence.clone().unwrap().iter().filter(|item| item.is_held).count();
            assert_eq!(of(&evidence)[0]["items_present"], held, "{id}");
            let sql = format!("select seq from events where action_id = '{id}' order by occurred_at, seq");
            let seqs = judged::as_rows(&engine.sql(&sql, Limits::default()).await.unwrap()).unwrap();
            let seqs: Vec<i64> = seqs.iter().filter_map(|row| row["seq"].as_i64()).collect();
            assert_eq!(dossier.events.iter().map(|event| event.seq).collect::<Vec<_>>(), seqs);
        }
        assert_eq!(dossier(&engine, "nobody").await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_history_is_cut_where_it_was_asked_to_be() {
        let engine = engine(&snapshot(&random_events(12, 200), 150, 50).await).await;
        let key = RecordKey { system: "crm".into(), record_type: "lead".into(), record_id: "r7".into() };
        let whole = history(&engine, &key, Slice::default()).await.unwrap();
        assert_eq!((whole.total, whole.offset), (whole.events.len(), 0));
        let at = |event: &Event| (event.event["occurred_at"].as_str().unwrap().to_owned(), event.seq);
        assert!(whole.events.windows(2).all(|pair| at(&pair[0]) < at(&pair[1])));
        let part = history(&engine, &key, Slice { offset: 1, limit: 2 }).await.unwrap();
        assert_eq!((part.total, part.offset, &part.events[..]), (whole.total, 1, &whole.events[1..3]));
        let past = history(&engine, &key, Slice { offset: 1_000, limit: 2 }).await.unwrap();
        assert!(past.events.is_empty() && past.total == whole.total);
        let other = RecordKey { system: "CRM".into(), ..key };
        assert_eq!(history(&engine, &other, Slice::default()).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_event_comes_with_the_bytes_of_its_leaf() {
        let engine = engine(&snapshot(&random_events(13, 60), 40, 20).await).await;
        for seq in [0, 39, 40, 59] {
            let found = event(&engine, seq).await.unwrap();
            assert_eq!(found.told.leaf, hex(&leaf_hash(found.entry.as_bytes())));
            assert!(found.entry.contains(&format!("\"seq\":\"{seq}\"")) && found.told.seq == seq);
            assert_eq!(found.told.event["event_id"], format!("e{seq}").as_str());
        }
        for seq in [60, -1, i64::MAX] {
            assert_eq!(event(&engine, seq).await.unwrap_err().kind(), ErrorKind::NotFound, "{seq}");
        }
    }

    #[tokio::test]
    async fn whoever_may_not_see_sealed_values_is_told_that_they_are_there() {
        let engine = engine(&snapshot(&random_events(14, 200), 150, 50).await).await;
        let open = engine.without_sealed().unwrap();
        let (mut withheld, mut held) = (0, false);
        for id in (0..60).map(|n| format!("a{n}")) {
            let Ok(dossier) = dossier(&open, &id).await else { continue };
            let text = serde_json::to_string(&dossier).unwrap();
            assert!(!text.contains("before") && dossier.sealed == Sight::Withheld, "{text}");
            let seals = dossier.events.iter().filter(|event| event.sealed.contains_key("old_value"));
            withheld += seals.filter(|event| event.sealed["old_value"] == Seal::Withheld).count();
            // The items of evidence are judged over the values all the same.
            let whole = super::dossier(&engine, &id).await.unwrap();
            assert_eq!(dossier.evidence, whole.evidence);
            held |= whole.events.iter().any(|event| event.event.contains_key("old_value"));
        }
        assert!(withheld > 0 && held);
    }
}
