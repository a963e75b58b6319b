//! What an incident has reached, as far as its evidence must be kept.
//!
//! In: the id of an incident in the register. Out: the actions that went wrong or followed from them, and the records
//! that they touched. Invariant: every selector that ever defined the incident counts, so that narrowing one lets
//! nothing go. It is found anew whenever something is about to be removed: an incident grows.

use hashbrown::HashSet;

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

impl Reach {
    /// What `incident` has reached by now; none for one that the register does not know, whose events name it.
    ///
    /// # Errors
    /// When the evidence cannot be read, or a selector of the incident gives no blast radius.
    pub(super) async fn of(store: &Store, incident: &str) -> Result<Option<Self>> {
        let engine = session(store).await?;
        let known = match record::one(&engine, incident).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            known => known?,
        };
        let mut reach = Self::default();
        for selector in known.selectors() {
            let radius = engine.blast_radius(&selector).await?.radius;
            reach.actions.extend(radius.actions.into_iter().map(|action| action.action_id));
            reach.records.extend(radius.cells.into_iter().map(|cell| cell.record));
        }
        Ok(Some(reach))
    }

    /// Whether the event of that row tells of one of the actions, or of one of the records.
    pub(super) fn holds(&self, rows: &Rows<'_>, row: usize) -> bool {
        if rows.text(Column::ActionId, row).is_some_and(|action| self.actions.contains(action)) {
            return true;
        }
        let part = |column: Column| rows.text(column, row).unwrap_or_default().to_owned();
        let record_id = part(Column::RecordId);
        let record = || Target { system: part(Column::System), record_type: part(Column::RecordType), record_id };
        rows.is_set(Column::RecordId, row) && self.records.contains(&record())
    }
}

async fn session(store: &Store) -> Result<Engine> {
    let snapshot = store.snapshot().await?;
    let head = AsOf { size: snapshot.size, at: store.clock().now() };
    Engine::new(&QueryRuntime::new(&RuntimeLimits::default())?, &snapshot, head).await
}
