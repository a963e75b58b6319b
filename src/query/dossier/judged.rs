//! What the shipped views say of one action.
//!
//! In: the events of an action, in the session that they were found in. Out: rows of the views `actions`,
//! `judged_actions`, `decisions`, `approvals` and `action_evidence`. They are asked in a session of their own over those
//! events and the policies, numbered anew from 0 in the same order, and the numbers in the answers are put back: that
//! session is a small ledger, so that an answer costs the same whatever the size of the large one. Invariant: each row
//! is the one that the view gives over everything; a test compares them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde_json::Value;

use super::{Item, Sight, found};
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::columns::stored_schema;
use crate::query::answer::Answer;
use crate::query::asof::AsOf;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::Row;
use crate::query::params::Params;
use crate::query::rows;
use crate::store::parquet::sort_by_seq;
use crate::store::snapshot::Snapshot;

/// The items of evidence: column of the view `action_evidence`, and the words that its `missing` uses.
const ITEMS: [(&str, &str); 12] = [
    ("has_workflow", "workflow"),
    ("has_trigger", "trigger"),
    ("has_inputs", "inputs"),
    ("has_version", "prompt or rule version"),
    ("has_proposed_action", "action proposed"),
    ("has_taken_action", "action taken"),
    ("has_values", "old and new value"),
    ("has_reason", "confidence or reason code"),
    ("has_reviewer", "reviewer"),
    ("has_approval_status", "approval status"),
    ("has_timestamp", "timestamp"),
    ("has_rollback_path", "rollback path"),
];
/// Columns that name an event by its place.
const PLACES: [&str; 2] = ["seq", "decision_seq"];

/// What the views say.
pub(super) struct Judged {
    pub(super) action: Option<Row>,
    pub(super) judgements: Vec<Row>,
    pub(super) decisions: Vec<Row>,
    pub(super) approvals: Vec<Row>,
    pub(super) evidence: Option<Vec<Item>>,
}

/// What the views say of the action whose events are `rows`.
///
/// # Errors
/// When the policies cannot be read, or a view fails.
pub(super) async fn judge(engine: &Engine, rows: &RecordBatch, sight: Sight) -> Result<Judged> {
    let policies = found::policies(engine).await?;
    let _place = engine.runtime.judge().await?;
    let small = Small::over(engine, &[rows.clone(), policies], sight).await?;
    // Most of each is planning, which has a thread of its own.
    let (mut actions, judgements, decisions, approvals, mut evidence) = tokio::try_join!(
        small.view("actions", "action_id"),
        small.view("judged_actions", "event_order, phase"),
        small.view("decisions", "event_order"),
        small.view("approvals", "event_order"),
        small.view("action_evidence", "action_id"),
    )?;
    let (action, evidence) = (actions.pop(), evidence.pop().map(|row| items(&row)));
    Ok(Judged { action, judgements, decisions, approvals, evidence })
}

fn items(row: &Row) -> Vec<Item> {
    let is_held = |column: &str| row.get(column).and_then(Value::as_bool).unwrap_or(false);
    ITEMS.into_iter().map(|(column, item)| Item { item, is_held: is_held(column) }).collect()
}

/// A session over a few events.
struct Small {
    session: Engine,
    /// The places that the events have in the ledger, by those that they have here.
    seqs: Vec<i64>,
    /// Whether its answers have the sealed columns; the judgements behind them always do.
    sight: Sight,
}

impl Small {
    async fn over(engine: &Engine, parts: &[RecordBatch], sight: Sight) -> Result<Self> {
        let rows = sort_by_seq(parts)?;
        let seqs = rows.column(Column::Seq as usize).as_primitive::<Int64Type>().values().to_vec();
        let size = seqs.len() as i64;
        let mut columns = rows.columns().to_vec();
        columns[Column::Seq as usize] = Arc::new(Int64Array::from_iter_values(0..size)) as ArrayRef;
        let rows = RecordBatch::try_new(stored_schema(), columns)
            .map_err(|e| Error::internal("numbered events do not follow the stored schema").because(e))?;
        // Nothing of it is at rest: neither files nor a projection.
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let large: &Snapshot = &engine.ground.snapshot;
        let (files, projection) = (Vec::new(), Path::from("none"));
        let snapshot = Snapshot { objects, projection, files, journal: vec![rows], folded: 0, size, ..large.clone() };
        let as_of = AsOf { size, at: engine.as_of().at };
        Ok(Self { session: Engine::new(&engine.runtime, &snapshot, as_of).await?, seqs, sight })
    }

    /// The rows of the view `name` with the places that the events have in the ledger, without their orders.
    async fn view(&self, name: &str, order: &str) -> Result<Vec<Row>> {
        let mut query = Catalogue::shipped()?.get(name)?.clone();
        query.returns.retain(|column| self.sight == Sight::Shown || !column.is_sealed);
        let columns: Vec<&str> = query.returns.iter().map(|column| column.name.as_str()).collect();
        query.text = format!("select {} from {name} order by {order}", columns.join(", "));
        let mut rows = as_rows(&self.session.run(&query, &Params::new()).await?)?;
        for row in &mut rows {
            row.retain(|column, _| !column.ends_with("_order"));
            for place in PLACES {
                if let Some(value) = row.get_mut(place)
                    && let Some(here) = value.as_u64()
                {
                    *value = self.seqs.get(here as usize).copied().into();
                }
            }
        }
        Ok(rows)
    }
}

/// The rows of an answer by column name, as its JSON document writes them.
///
/// # Errors
/// When a column has no JSON form, which no column of a view has.
pub(super) fn as_rows(answer: &Answer) -> Result<Vec<Row>> {
    let names = answer.columns();
    let mut found = Vec::with_capacity(answer.rows());
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let values = rows::row(batch, row)?;
            found.push(names.iter().map(|name| (*name).to_owned()).zip(values).collect());
        }
    }
    Ok(found)
}
