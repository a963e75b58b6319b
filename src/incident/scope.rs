//! The scope of an incident: a blast radius, frozen with what it was made from and what is not known for certain.
//!
//! In: a selector. Out: counts, cells, the hash of the affected records, the point of the ledger. Invariant: the same
//! selector over the same point gives the same scope. Whatever may hide further records makes it "at least".

use serde_json::{Value, json};

use super::record::selector_as_json;
use crate::blast::{Cell, Radius, Role, SourceNumbers, State};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::blast::Selector;
use crate::query::engine::Engine;
use crate::query::objects::{count, literal, rows};
use crate::store::Store;

/// Bytes of the names of sources that a question for gaps holds; past it, all sources are asked about.
const NAMED_BYTES: usize = 8 * 1024;

/// What an incident has reached, as of a point of the ledger.
#[derive(Debug, Clone)]
pub struct Scoped {
    /// What picked the bad actions.
    pub selector: Selector,
    /// What they have reached.
    pub radius: Radius,
    /// Events that count.
    pub size: i64,
    /// Version of the folded table.
    pub table_version: i64,
    /// Root of the ledger over these events, where its tiles reach as far.
    pub root: Option<String>,
    /// Events of the selector's window and environment that were recorded more than a day after they happened.
    pub late_in_window: u64,
    /// Breaks in the numbers that the sources of the direct actions gave to their events of the window.
    pub source_gaps: u64,
}

/// Scopes what `selector` picks.
///
/// # Errors
/// A predicate that is none, a bound that is met, a store that fails.
pub async fn scope(store: &Store, engine: &Engine, selector: &Selector) -> Result<Scoped> {
    let size = engine.as_of().size;
    // What the window says depends on nothing that was reached.
    let (reached, window, root) =
        tokio::try_join!(engine.blast_radius(selector), engine.summary(selector), store.root_at(size))?;
    // Only numbers with a gap are worth looking for the place: events outside of the window may have what is missing.
    let mut numbers = reached.sources.iter().filter_map(|source| window.sources.get(source));
    let source_gaps = match numbers.all(SourceNumbers::are_unbroken) {
        true => 0,
        false => gaps(engine, selector, &reached.sources).await?,
    };
    Ok(Scoped {
        radius: reached.radius,
        size,
        table_version: engine.version(),
        root,
        late_in_window: window.late(&selector.environment),
        source_gaps,
        selector: selector.clone(),
    })
}

/// Gaps between the first and the last number of each source in the window.
async fn gaps(engine: &Engine, selector: &Selector, sources: &[String]) -> Result<u64> {
    let names = sources.iter().map(|source| literal(source)).collect::<Vec<_>>().join(", ");
    let named = if names.len() > NAMED_BYTES { "true".to_owned() } else { format!("source in ({names})") };
    let window = selector.window_sql("occurred_at");
    let numbers = format!(
        "select source, min(source_seq) as low, max(source_seq) as high, count(*) as events from evidence \
         where source_seq is not null and event_type not like 'evidence.%' and {named}{window} group by source"
    );
    let runs = format!(
        "select count(*) as n from source_runs as r inner join ({numbers}) as w on w.source = r.source \
         where r.previous_number >= w.low and r.first_number <= w.high"
    );
    number(engine, &runs).await
}

async fn number(engine: &Engine, sql: &str) -> Result<u64> {
    let answer = rows(&engine.sql(sql, Limits::default()).await?)?;
    let number = answer.first().and_then(|row| count(row, "n"));
    number.ok_or_else(|| Error::internal("a count of an incident gives no number"))
}

impl Scoped {
    /// Why the scope may be larger than it is shown, in words; none where it is exact.
    pub fn doubts(&self) -> Vec<String> {
        let uncertainty = &self.radius.uncertainty;
        let all = [
            (self.source_gaps, "gaps in the numbers that sources gave to their events"),
            (self.late_in_window, "events of the window recorded more than a day after they happened"),
            (uncertainty.unknown_outcomes, "bad writes with outcome unknown"),
            (uncertainty.partial_outcomes, "bad writes that were partial"),
            (uncertainty.uncertain_cells, "cells that a doubtful write may have changed since"),
        ];
        let cut = self.cut_at().map(|depth| format!("the spread was followed for {depth} steps only"));
        let counted = all.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        counted.chain(cut).collect()
    }

    /// The steps that were asked for, where an action stands at the last of them: what read its writes is left out.
    fn cut_at(&self) -> Option<u32> {
        let is_reached = |depth: &u32| self.radius.actions.iter().any(|action| action.depth >= *depth);
        self.selector.depth.filter(is_reached)
    }

    /// Cells in `state`.
    pub fn cells_in(&self, state: State) -> u64 {
        self.radius.cells.iter().filter(|cell| cell.state == state).count() as u64
    }

    /// Cells in which the bad value stands.
    pub fn still_wrong(&self) -> u64 {
        self.cells_in(State::StillWrong)
    }

    /// Cells whose value no write to the cell brings back: deleted, or irreversible.
    pub fn lost(&self) -> u64 {
        self.cells_in(State::Deleted) + self.cells_in(State::Irreversible)
    }

    /// Cells that are not right and could be: still wrong, deleted, or nobody knows.
    pub fn unresolved(&self) -> u64 {
        [State::StillWrong, State::Deleted, State::Unknown].into_iter().map(|state| self.cells_in(state)).sum()
    }

    /// When the first bad write happened.
    pub fn first_bad_at(&self) -> Option<Micros> {
        self.radius.cells.iter().filter_map(|cell| cell.first_bad_at).min()
    }

    /// "exactly" or "at least".
    pub fn certainty(&self) -> &'static str {
        if self.doubts().is_empty() { "exactly" } else { "at least" }
    }

    /// The cells of the record or cell that `key` names: `system/type/id`, or `system/type/id/field`, each part
    /// percent-encoded as in record keys.
    ///
    /// # Errors
    /// NotFound when there is none; Invalid when the key has another shape.
    pub fn cells_of(&self, key: &str) -> Result<Vec<&Cell>> {
        let parts: Vec<&str> = key.split('/').collect();
        let (record, field) = match parts.as_slice() {
            [_, _, _] => (key.to_owned(), None),
            [system, record_type, id, field] => (format!("{system}/{record_type}/{id}"), Some(*field)),
            _ => {
                return Err(Error::invalid(format!(
                    "`{key}` is no record; write system/type/id or system/type/id/field, with %2F for a slash in a part"
                )));
            }
        };
        let is_asked = |cell: &&Cell| {
            cell.record.key() == record && field.is_none_or(|field| encoded(cell.field.as_deref()) == field)
        };
        let cells: Vec<&Cell> = self.radius.cells.iter().filter(is_asked).collect();
        if cells.is_empty() {
            return Err(Error::not_found(format!("`{key}` is not in the set: no bad action wrote to it")));
        }
        Ok(cells)
    }

    /// Why `cell` is in the set, as JSON: its events from the first bad write on.
    pub fn why(&self, cell: &Cell) -> Value {
        let steps = self.radius.why(cell).into_iter().map(|step| {
            let role = match step.role {
                Role::Write => "write",
                Role::Read => "read",
                Role::Attempt => "attempt",
            };
            json!({"seq": step.seq, "role": role, "action_id": self.radius.actions[step.action].action_id})
        });
        json!({"record": cell.record.key(), "field": cell.field, "steps": steps.collect::<Vec<_>>()})
    }

    /// The selector, as JSON: what is needed to make the scope again.
    pub fn basis(&self) -> Value {
        selector_as_json(&self.selector)
    }

    /// The scope without its records and persons, as JSON: what is frozen with an incident.
    pub fn summary(&self) -> Value {
        let radius = &self.radius;
        let states: serde_json::Map<String, Value> =
            radius.states().into_iter().map(|(state, n)| (state.name().to_owned(), n.into())).collect();
        let uncertainty = &radius.uncertainty;
        json!({
            "selector": self.basis(),
            "as_of": {"size": self.size, "version": self.table_version, "root": self.root},
            "direct_actions": radius.direct_actions,
            "derived_actions": radius.derived_actions,
            "records": radius.record_keys().len(),
            "cells": radius.cells.len(),
            "states": states,
            "exposed_records": radius.exposed.len(),
            "external_effects": radius.external().count(),
            "affected_sha256": radius.affected_sha256(),
            "max_depth": radius.max_depth,
            "certainty": self.certainty(),
            "uncertainty": {
                "source_gaps": self.source_gaps,
                "late_in_window": self.late_in_window,
                "unknown_outcomes": uncertainty.unknown_outcomes,
                "partial_outcomes": uncertainty.partial_outcomes,
                "late_events": uncertainty.late_events,
                "uncertain_cells": uncertainty.uncertain_cells,
                "cut_at_depth": self.cut_at(),
            },
            "amounts": radius.amounts,
        })
    }

    /// The scope as JSON; the keys are those of the interface, and more.
    pub fn to_json(&self) -> Value {
        let radius = &self.radius;
        let mut whole = self.summary();
        whole["people"] = json!(radius.people);
        whole["exposed"] = json!(radius.exposed);
        whole["items"] = radius.cells.iter().map(|cell| item(cell, radius)).collect();
        whole
    }
}

fn item(cell: &Cell, radius: &Radius) -> Value {
    json!({
        "system": cell.record.system, "record_type": cell.record.record_type, "record_id": cell.record.record_id,
        "field": cell.field, "state": cell.state.name(), "depth": cell.depth, "parent_seq": cell.parent_seq,
        "first_bad_seq": cell.first_bad_seq, "last_bad_seq": cell.last_bad_seq, "old_value": cell.old_value,
        "bad_value": cell.bad_value, "current_value": cell.current_value, "current_seq": cell.current_seq,
        "current_writer": cell.current_actor, "flags": cell.flags.names(),
        "via_action": radius.actions[cell.first_action].action_id,
    })
}

/// A field as part of a key; empty for the whole record.
fn encoded(field: Option<&str>) -> String {
    field.unwrap_or_default().replace('%', "%25").replace('/', "%2F").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blast::Action;

    #[test]
    fn what_may_hide_records_is_said() {
        let mut scoped = Scoped {
            selector: Selector::new("true"),
            radius: Radius::default(),
            size: 0,
            table_version: -1,
            root: None,
            late_in_window: 0,
            source_gaps: 0,
        };
        assert_eq!((scoped.certainty(), scoped.doubts().len()), ("exactly", 0));
        scoped.source_gaps = 2;
        assert_eq!(scoped.certainty(), "at least");
        assert_eq!(scoped.doubts(), ["2 gaps in the numbers that sources gave to their events"]);
        scoped.selector.depth = Some(1);
        assert_eq!(scoped.doubts().len(), 1, "the spread ended before");
        let action = |depth: u32| Action {
            action_id: depth.to_string(),
            depth,
            parent: None,
            bad_writes: 1,
            operation: None,
            permission_level: None,
            reversibility: None,
            is_external: false,
        };
        scoped.radius.actions = vec![action(0), action(1)];
        assert_eq!(scoped.doubts()[1], "the spread was followed for 1 steps only");
        assert!(scoped.cells_of("a/b/c").unwrap_err().to_string().contains("not in the set"));
        assert!(scoped.cells_of("a/b").unwrap_err().to_string().contains("system/type/id"));
    }
}
