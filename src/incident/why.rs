//! Why a record is in the set: the events from the first bad write to here.
//!
//! In: a scope, the key of a record or of a cell. Out: one chain a cell, each step with its event. Invariant: the chain
//! is what the one pass found; nothing is searched for again but the events themselves. It writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Scoped;
use crate::blast::Cell;
use crate::error::Result;
use crate::query::answer::Limits;
use crate::query::engine::Engine;
use crate::query::objects::{Row, count, rows};

/// Events in one question.
const NAMED_EVENTS: usize = 1_000;

/// The chains of the cells that `key` names, as JSON.
///
/// # Errors
/// NotFound when there is none, Invalid when the key has another shape; when a query fails.
pub async fn why(engine: &Engine, scoped: &Scoped, key: &str) -> Result<Vec<Value>> {
    let cells = scoped.cells_of(key)?;
    let events = events_of(engine, scoped, &cells).await?;
    Ok(cells.into_iter().map(|cell| chain(scoped, cell, &events)).collect())
}

/// The events by which `cells` came into the set, by `seq`; asked for together, since a record may have many cells.
async fn events_of(engine: &Engine, scoped: &Scoped, cells: &[&Cell]) -> Result<BTreeMap<u64, Row>> {
    let steps = cells.iter().flat_map(|cell| scoped.radius.why(cell));
    let seqs: BTreeSet<i64> = steps.map(|step| step.seq).collect();
    let seqs: Vec<String> = seqs.iter().map(i64::to_string).collect();
    let mut events = BTreeMap::new();
    for some in seqs.chunks(NAMED_EVENTS) {
        let sql = format!(
            "select seq, event_id, event_type, cast(occurred_at as varchar) as occurred_at, actor_id, system, \
             record_type, record_id, field, old_value, new_value, outcome from events where seq in ({})",
            some.join(", ")
        );
        let found = rows(&engine.sql(&sql, Limits::default()).await?)?;
        events.extend(found.into_iter().filter_map(|event| Some((count(&event, "seq")?, event))));
    }
    Ok(events)
}

/// Why `cell` is in the set, each step with its event of `events`.
fn chain(scoped: &Scoped, cell: &Cell, events: &BTreeMap<u64, Row>) -> Value {
    let mut chain = scoped.why(cell);
    if let Some(steps) = chain.get_mut("steps").and_then(Value::as_array_mut) {
        for step in steps {
            let seq = step.get("seq").and_then(Value::as_u64);
            let event = seq.and_then(|seq| events.get(&seq));
            step["event"] = event.map_or(Value::Null, |event| Value::Object(event.clone()));
        }
    }
    chain
}
