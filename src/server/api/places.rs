//! Where the events are stored that a request repeats.
//!
//! In: the records of a request, and which of them were known. Out: for each of those the place and the leaf hash of the
//! stored event, which is what its sender was answered the first time. Invariant: it is found as the writer finds it, by
//! source, id and UTC month. It judges nothing: that a record is a duplicate, the writer decided by comparing all of it.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use hashbrown::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::event::{Column, Leaf, Rows, leaves};
use crate::ingest::known::{by_month, key};
use crate::ingest::writer::Outcome;
use crate::server::state::Tenant;
use crate::store::parquet::RowsWith;

/// Source and id of an event.
type Key<'a> = (&'a str, &'a str);
/// Rows of a request by the event that they repeat.
type Sought<'a> = HashMap<Key<'a>, Vec<usize>>;

/// Place and leaf hash of the stored event for each of `rows` that is a duplicate by `outcomes`.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn of_duplicates(
    tenant: &Tenant,
    rows: &RecordBatch,
    outcomes: &[Outcome],
) -> Result<BTreeMap<usize, (i64, Leaf)>> {
    let mut found = BTreeMap::new();
    let months = sought(&Rows::new(rows)?, outcomes);
    if months.is_empty() {
        return Ok(found);
    }
    let snapshot = tenant.snapshot().await?;
    for (month, sought) in &months {
        let ids: HashSet<String> = sought.keys().map(|(_, id)| (*id).to_owned()).collect();
        let filter = RowsWith::texts(Column::EventId, ids);
        let folded = tenant.store().rows_with_ids(&snapshot, month, &filter).await?;
        for batch in folded.iter().chain(&snapshot.journal) {
            find(batch, (month.as_str(), sought), &mut found)?;
        }
    }
    Ok(found)
}

/// The duplicates among `rows` by their month.
fn sought<'a>(rows: &Rows<'a>, outcomes: &[Outcome]) -> BTreeMap<String, Sought<'a>> {
    let duplicates = (0..rows.len()).filter(|row| outcomes.get(*row) == Some(&Outcome::Duplicate));
    let by_event = |members: Vec<usize>| {
        let mut sought = Sought::new();
        members.into_iter().for_each(|row| sought.entry(key(rows, row)).or_default().push(row));
        sought
    };
    by_month(rows, duplicates).into_iter().map(|(month, members)| (month, by_event(members))).collect()
}

/// Adds to `found` what `batch` has of what is `sought` in `month`.
fn find(
    batch: &RecordBatch,
    (month, sought): (&str, &Sought<'_>),
    found: &mut BTreeMap<usize, (i64, Leaf)>,
) -> Result<()> {
    let stored = Rows::new(batch)?;
    for row in 0..stored.len() {
        let Some(repeated) = sought.get(&key(&stored, row)) else { continue };
        if stored.text(Column::OccurredMonth, row) != Some(month) {
            continue;
        }
        let one = batch.slice(row, 1);
        let leaf = leaves(&Rows::new(&one)?).first().copied();
        let place = stored.long(Column::Seq, row).zip(leaf);
        let place = place.ok_or_else(|| Error::internal("a stored event has no `seq`"))?;
        found.extend(repeated.iter().map(|row| (*row, place)));
    }
    Ok(())
}
