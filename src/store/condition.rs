//! The condition of a store: how far each thing that is made from the events has come.
//!
//! In: a store. Out: counts. Invariant: it looks at names, sizes and manifests and reads no event, so that it takes as
//! long for ten million events as for ten. It judges nothing and mends nothing.

use std::collections::HashSet;

use object_store::path::Path;

use super::journal::Entry;
use super::{Store, object, projection};
use crate::clock::Micros;
use crate::error::Result;

/// How far each thing has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Events in the ledger.
    pub size: i64,
    /// When the newest of them was recorded; none in an empty ledger.
    pub recorded_at: Option<Micros>,
    /// Version of the table; -1 when nothing was folded yet.
    pub version: i64,
    /// Events in the table; the others are in the journal.
    pub folded: i64,
    /// Data files of the table.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Data files that have an index.
    pub indexed: usize,
    /// Objects of the journal that are not folded yet.
    pub journal_objects: usize,
    /// Their bytes.
    pub journal_bytes: u64,
    /// When the oldest of them was put.
    pub oldest_put_at: Option<Micros>,
    /// Events that the projection of actions stands for; none where there is no projection.
    pub projected: Option<i64>,
}

impl Store {
    /// Looks how far each thing has come.
    ///
    /// # Errors
    /// When the store fails; Damaged when the journal has a gap or the table is shorter than what was signed.
    pub async fn condition(&self) -> Result<Condition> {
        let (head, snapshot) = self.head().await?;
        let unfolded: Vec<Entry> = self.journal.list(snapshot.folded).await?;
        let indexes = object::list(&self.location.objects, &self.paths.index()).await?;
        let indexes: HashSet<Path> = indexes.into_iter().map(|meta| meta.location).collect();
        let is_indexed = |path: &Path| indexes.contains(&snapshot.indexes.path_of(path));
        let projection = projection::newest(&snapshot.objects, &snapshot.projection, snapshot.size).await?;
        Ok(Condition {
            size: head.size,
            recorded_at: (head.size > 0).then_some(head.recorded_at),
            version: snapshot.version,
            folded: snapshot.folded,
            files: snapshot.files.len(),
            bytes: snapshot.files.iter().map(|file| file.bytes).sum(),
            indexed: snapshot.files.iter().filter(|file| is_indexed(&file.path)).count(),
            journal_objects: unfolded.len(),
            journal_bytes: unfolded.iter().map(|entry| entry.bytes).sum(),
            oldest_put_at: unfolded.iter().map(|entry| entry.put_at).min(),
            projected: projection.map(|projection| projection.covers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::Location;
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_store_without_an_event_has_nothing_to_catch_up_with() {
        let store = Store::create(Location::memory(), "default", Clock::fixed(7)).await.unwrap();
        let found = store.condition().await.unwrap();
        assert_eq!((found.size, found.recorded_at, found.oldest_put_at), (0, None, None));
        assert_eq!((found.files, found.indexed, found.journal_objects, found.projected), (0, 0, 0, None));
    }
}
