//! Which events are there already: duplicates and conflicts among (`source`, `event_id`) of one UTC month.
//!
//! In: decoded rows and the newest prefix of the evidence. Out: for each row whether it is new, a duplicate or
//! a conflict. Invariant: a hash only ever says "new"; "known" is decided by reading the stored event and
//! comparing every column. Memory is bounded by [`KNOWN_IDS`]: months are dropped and loaded again.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use crate::error::Result;
use crate::event::batch::Months;
use crate::event::{Column, Rows};
use crate::limits::KNOWN_IDS;
use crate::store::parquet::{RowsWith, scan};
use crate::store::{Snapshot, Store};

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not there.
    New,
    /// There with the same content.
    Duplicate,
    /// There with other content.
    Conflict,
}

/// Rows looked up one by one in a month before its ids are worth loading.
const LOOK_UPS: usize = 256;

/// Ids of the months that this writer met.
#[derive(Default)]
pub struct Known {
    hasher: DefaultHashBuilder,
    months: HashMap<String, Month>,
    /// Ids of events with a smaller `seq` are in every loaded month.
    upto: i64,
    used: u64,
}

#[derive(Default)]
struct Month {
    /// None until so many rows were looked up that loading pays.
    ids: Option<HashSet<u64>>,
    looked_up: usize,
    used: u64,
}

impl Known {
    /// Classifies `rows` against the evidence of `snapshot` and against each other.
    ///
    /// # Errors
    /// When stored events cannot be read.
    pub async fn classify(&mut self, store: &Store, snapshot: &Snapshot, rows: &RecordBatch) -> Result<Vec<Verdict>> {
        self.catch_up(snapshot)?;
        let view = Rows::new(rows)?;
        let mut verdicts = vec![Verdict::New; view.len()];
        for (month, members) in by_month(&view, 0..view.len()) {
            let suspects = self.suspects(snapshot, &month, &view, &members).await?;
            if !suspects.is_empty() {
                compare_stored(store, snapshot, &month, (&view, &suspects), &mut verdicts).await?;
            }
            within_batch(&view, &members, &mut verdicts);
        }
        Ok(verdicts)
    }

    /// Takes note of rows that were appended by this writer, in a batch that ended at `upto`.
    pub fn appended(&mut self, rows: &Rows<'_>, upto: i64) {
        self.insert(rows);
        self.upto = self.upto.max(upto);
    }

    fn hash(&self, rows: &Rows<'_>, row: usize) -> u64 {
        self.hasher.hash_one(key(rows, row))
    }

    fn insert(&mut self, rows: &Rows<'_>) {
        let mut names = Months::default();
        for row in 0..rows.len() {
            let hash = self.hash(rows, row);
            let month = names.name(rows.instant(Column::OccurredAt, row).unwrap_or_default());
            if let Some(ids) = self.months.get_mut(month).and_then(|m| m.ids.as_mut()) {
                ids.insert(hash);
            }
        }
    }

    /// Learns the ids that other writers appended since: from the journal where they are there still; months
    /// that were folded meanwhile are loaded again when they are needed.
    ///
    /// # Errors
    /// When the journal's rows cannot be read.
    pub fn catch_up(&mut self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.folded > self.upto {
            let upto = self.upto;
            let changed =
                snapshot.files.iter().filter(|f| f.seq.1 >= upto).map(|f| f.month.as_str()).collect::<HashSet<_>>();
            self.months.retain(|month, _| !changed.contains(month.as_str()));
        }
        // They are in order: what this writer has not seen stands at the end, and a long journal is not walked through.
        for batch in snapshot.journal.iter().rev() {
            let last = batch.num_rows().checked_sub(1);
            let seqs = batch.column(Column::Seq as usize).as_primitive::<Int64Type>();
            if last.is_some_and(|row| seqs.value(row) < self.upto) {
                break;
            }
            self.insert(&Rows::new(batch)?);
        }
        self.upto = self.upto.max(snapshot.size);
        Ok(())
    }

    /// The rows of a month that may be there already.
    async fn suspects(
        &mut self,
        snapshot: &Snapshot,
        month: &str,
        view: &Rows<'_>,
        members: &[usize],
    ) -> Result<Vec<usize>> {
        self.used += 1;
        let used = self.used;
        let is_stored = snapshot.files.iter().any(|f| f.month == month);
        let entry = self.months.entry(month.to_owned()).or_default();
        entry.used = used;
        entry.looked_up += members.len();
        if entry.ids.is_none() && is_stored && entry.looked_up <= LOOK_UPS {
            return Ok(members.to_vec());
        }
        if entry.ids.is_none() {
            let ids = self.load(snapshot, month).await?;
            self.make_room(ids.len());
            self.months.entry(month.to_owned()).or_default().ids = Some(ids);
        }
        let empty = HashSet::new();
        let ids = self.months.get(month).and_then(|m| m.ids.as_ref()).unwrap_or(&empty);
        Ok(members.iter().copied().filter(|row| ids.contains(&self.hash(view, *row))).collect())
    }

    /// All ids of a month, from the table and the journal.
    async fn load(&self, snapshot: &Snapshot, month: &str) -> Result<HashSet<u64>> {
        let mut ids = HashSet::new();
        for file in snapshot.files.iter().filter(|f| f.month == month) {
            let mut batches = scan(&snapshot.objects, file, &[Column::EventId, Column::Source], None).await?;
            while let Some(batch) = batches.try_next().await? {
                let rows = Rows::new(&batch)?;
                ids.extend((0..rows.len()).map(|row| self.hash(&rows, row)));
            }
        }
        for batch in &snapshot.journal {
            let rows = Rows::new(batch)?;
            let of_month = (0..rows.len()).filter(|row| rows.text(Column::OccurredMonth, *row) == Some(month));
            ids.extend(of_month.map(|row| self.hash(&rows, row)));
        }
        Ok(ids)
    }

    /// Drops the months used longest ago until `more` ids fit.
    fn make_room(&mut self, more: usize) {
        let held = |months: &HashMap<String, Month>| {
            months.values().filter_map(|m| m.ids.as_ref()).map(HashSet::len).sum::<usize>()
        };
        while held(&self.months) + more > KNOWN_IDS {
            let loaded = self.months.iter().filter(|(_, m)| m.ids.is_some());
            let Some(oldest) = loaded.min_by_key(|(_, m)| m.used).map(|(name, _)| name.clone()) else { return };
            self.months.remove(&oldest);
        }
    }
}

/// Some rows of `view` by their UTC month, in their order.
pub fn by_month(view: &Rows<'_>, rows: impl Iterator<Item = usize>) -> BTreeMap<String, Vec<usize>> {
    let (mut months, mut names) = (BTreeMap::<String, Vec<usize>>::new(), Months::default());
    for row in rows {
        let name = names.name(view.instant(Column::OccurredAt, row).unwrap_or_default());
        match months.get_mut(name) {
            Some(members) => members.push(row),
            None => drop(months.insert(name.to_owned(), vec![row])),
        }
    }
    months
}

/// Source and id, by which an event of a month is known.
pub fn key<'a>(rows: &Rows<'a>, row: usize) -> (&'a str, &'a str) {
    (rows.text(Column::Source, row).unwrap_or_default(), rows.text(Column::EventId, row).unwrap_or_default())
}

/// Compares the rows of a batch that are new so far with each other: the first one counts.
fn within_batch(view: &Rows<'_>, members: &[usize], verdicts: &mut [Verdict]) {
    let mut first: HashMap<(&str, &str), usize> = HashMap::with_capacity(members.len());
    for &row in members {
        if verdicts[row] != Verdict::New {
            continue;
        }
        let earlier = *first.entry(key(view, row)).or_insert(row);
        if earlier != row {
            let is_same = view.same_content(row, view, earlier);
            verdicts[row] = if is_same { Verdict::Duplicate } else { Verdict::Conflict };
        }
    }
}

/// Compares suspects with the stored events that have their ids.
async fn compare_stored(
    store: &Store,
    snapshot: &Snapshot,
    month: &str,
    (view, suspects): (&Rows<'_>, &[usize]),
    verdicts: &mut [Verdict],
) -> Result<()> {
    let ids: HashSet<String> = suspects.iter().map(|row| key(view, *row).1.to_owned()).collect();
    let mut batches = store.rows_with_ids(snapshot, month, &RowsWith::texts(Column::EventId, ids)).await?;
    batches.extend(snapshot.journal.iter().cloned());
    let stored = batches.iter().map(Rows::new).collect::<Result<Vec<_>>>()?;
    let wanted: HashSet<(&str, &str)> = suspects.iter().map(|row| key(view, *row)).collect();
    let mut places = HashMap::new();
    for rows in &stored {
        let of_month = (0..rows.len()).filter(|row| rows.text(Column::OccurredMonth, *row) == Some(month));
        for row in of_month.filter(|row| wanted.contains(&key(rows, *row))) {
            places.insert(key(rows, row), (rows, row));
        }
    }
    for &row in suspects {
        verdicts[row] = match places.get(&key(view, row)) {
            None => Verdict::New,
            Some((rows, at)) if view.same_content(row, rows, *at) => Verdict::Duplicate,
            Some(_) => Verdict::Conflict,
        };
    }
    Ok(())
}
