//! What an incident has reached, as far as its evidence must be kept.
//!
//! In: the id of an incident in the register. Out: the actions that went wrong or followed from them, the records that
//! they touched, and those named where a bad value was read. Invariant: every selector that ever defined the incident
//! counts, so that narrowing one lets nothing go. It is found anew whenever something is about to be removed: an
//! incident grows.

use hashbrown::{Equivalent, HashSet};

use crate::blast::Record as Target;
use crate::error::{ErrorKind, Result};
use crate::event::{Column, Rows};
use crate::incident::record;
use crate::query::asof::AsOf;
use crate::query::engine::Engine;
use crate::query::runtime::{QueryRuntime, RuntimeLimits};
use crate::store::Store;

/// Actions and records of an incident.
#[derive(Debug, Default)]
pub struct Reach {
    actions: HashSet<String>,
    records: HashSet<Target>,
}

/// A [`Target`] whose parts lie elsewhere; it hashes as one, so that a row is looked up without a copy.
#[derive(Hash)]
struct Named<'a> {
    system: &'a str,
    record_type: &'a str,
    record_id: &'a str,
}

impl Equivalent<Target> for Named<'_> {
    fn equivalent(&self, target: &Target) -> bool {
        self.record_id == target.record_id && self.record_type == target.record_type && self.system == target.system
    }
}

impl Reach {
    /// What `incident` has reached by now; none for one that the register does not know, whose events name it.
    ///
    /// # Errors
    /// When the evidence cannot be read, or a selector of the incident gives no blast radius.
    pub(super) async fn of(engine: &Engine, incident: &str) -> Result<Option<Self>> {
        let known = match record::one(engine, incident).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            known => known?,
        };
        let mut reach = Self::default();
        for selector in &known.selectors {
            let radius = engine.blast_radius(selector).await?.radius;
            reach.actions.extend(radius.actions.into_iter().map(|action| action.action_id));
            reach.records.extend(radius.cells.into_iter().map(|cell| cell.record));
            reach.records.extend(radius.exposed.into_iter().map(|exposed| exposed.record));
        }
        Ok(Some(reach))
    }

    /// Whether the event of that row tells of one of the actions, or of one of the records.
    pub(super) fn holds(&self, rows: &Rows<'_>, row: usize) -> bool {
        if rows.text(Column::ActionId, row).is_some_and(|action| self.actions.contains(action)) {
            return true;
        }
        let Some(record_id) = rows.text(Column::RecordId, row) else { return false };
        let part = |column: Column| rows.text(column, row).unwrap_or_default();
        let named = Named { system: part(Column::System), record_type: part(Column::RecordType), record_id };
        self.records.contains(&named)
    }

    /// How many actions, and how many records.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.actions.len() as u64, self.records.len() as u64)
    }
}

/// A session over everything that is stored now.
///
/// # Errors
/// When the store fails.
pub(super) async fn session(store: &Store) -> Result<Engine> {
    let snapshot = store.snapshot().await?;
    let head = AsOf { size: snapshot.size, at: store.clock().now() };
    Engine::new(&QueryRuntime::new(&RuntimeLimits::default())?, &snapshot, head).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_parts_that_lie_elsewhere() {
        let target = Target { system: "crm".into(), record_type: String::new(), record_id: "L-1".into() };
        let records: HashSet<Target> = [target].into_iter().collect();
        assert!(records.contains(&Named { system: "crm", record_type: "", record_id: "L-1" }));
        assert!(!records.contains(&Named { system: "", record_type: "crm", record_id: "L-1" }));
    }
}
