//! The size of the ledger without the reads at its end: what an answer about records depends on.
//!
//! In: a snapshot and what was known before. Out: a size. Every read through the server is itself an event; without this
//! an answer that is kept would be out of date as soon as it was looked at. Invariant: an event other than a read moves
//! this size past itself.

use futures::TryStreamExt;

use super::parquet::scan;
use super::snapshot::{DataFile, Snapshot};
use crate::error::Result;
use crate::event::{Column, Rows};

/// The event that states a read.
const READ: &str = "evidence.queried";

/// What is known of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    /// Events that were looked at.
    pub seen: i64,
    /// The `seq` after the last of them that is no read.
    pub size: i64,
}

impl Snapshot {
    /// What is known after a look at the events of this snapshot that `before` has not seen.
    ///
    /// # Errors
    /// When a data file cannot be read.
    pub async fn content(&self, before: Content) -> Result<Content> {
        if self.size <= before.seen {
            return Ok(before);
        }
        let known = |size: i64| Content { seen: self.size, size: size.max(before.size) };
        for batch in self.journal.iter().rev() {
            if let Some(seq) = last_in(&Rows::new(batch)?) {
                return Ok(known(seq + 1));
            }
        }
        let mut size = before.size;
        // Newest first: mostly the first file holds it, and the others end before.
        let mut files: Vec<&DataFile> = self.files.iter().filter(|file| file.seq.1 >= before.seen).collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.seq.1));
        for file in files {
            if file.seq.1 < size {
                break;
            }
            let mut batches = scan(&self.objects, file, &[Column::Seq, Column::EventType], None).await?;
            while let Some(batch) = batches.try_next().await? {
                size = size.max(last_in(&Rows::new(&batch)?).map_or(0, |seq| seq + 1));
            }
        }
        Ok(known(size))
    }
}

/// The largest `seq` of an event that is no read.
fn last_in(rows: &Rows<'_>) -> Option<i64> {
    let others = (0..rows.len()).filter(|row| rows.text(Column::EventType, *row) != Some(READ));
    others.filter_map(|row| rows.long(Column::Seq, row)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::batch::assign;
    use crate::event::{BatchBuilder, Cell, Draft};
    use crate::store::Store;
    use crate::store::object::Location;

    async fn append(store: &Store, types: &[&'static str]) {
        let mut builder = BatchBuilder::default();
        for event_type in types {
            let mut draft = Draft::default();
            draft.set_text(Column::EventId, store.clock().id());
            draft.set_text(Column::Source, "probity");
            draft.set_text(Column::EventType, *event_type);
            draft.set(Column::OccurredAt, Cell::Instant(store.clock().now()));
            builder.append(&draft);
        }
        let head = store.head().await.unwrap().0;
        let rows = assign(&builder.finish(), head.size, store.clock().now(), store.clock()).unwrap();
        store.journal().append(head.size, &rows, "w").await.unwrap();
    }

    #[tokio::test]
    async fn reads_at_the_end_do_not_count_in_the_journal_or_in_files_or_after_a_restart() {
        let store = Store::create(Location::memory(), "default", Clock::fixed(1_775_000_000_000_000)).await.unwrap();
        let mut known = Content::default();
        let steps: [(&[&'static str], bool, i64); 7] = [
            (&[], false, 0),
            (&["evidence.queried"], false, 0),
            (&["record.created", "evidence.queried"], false, 2),
            (&["evidence.queried", "evidence.queried"], true, 2),
            (&["evidence.queried"], false, 2),
            (&["evidence.received"], true, 7),
            (&["evidence.queried"], true, 7),
        ];
        for (types, is_folded, expected) in steps {
            if !types.is_empty() {
                append(&store, types).await;
            }
            if is_folded {
                store.fold().await.unwrap();
            }
            let snapshot = store.snapshot().await.unwrap();
            known = snapshot.content(known).await.unwrap();
            assert_eq!((known.seen, known.size), (snapshot.size, expected), "{types:?}");
            assert_eq!(snapshot.content(Content::default()).await.unwrap(), known, "{types:?}");
        }
    }
}
