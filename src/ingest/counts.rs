//! What was received: counts by source and day, written into the evidence itself.
//!
//! In: what became of each record. Out: four counts that add up to what was received, and the `extra` of the
//! `evidence.received` events that state them. Invariant: accepted + duplicate + conflict + rejected =
//! received, in every cell.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::{Micros, rfc3339};
use crate::limits::RECEIVED_ENTRIES;

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub received: u64,
    /// Stored.
    pub accepted: u64,
    /// Known already, with the same content.
    pub duplicate: u64,
    /// Known already, with other content; in the quarantine.
    pub conflict: u64,
    /// Not parsed or not valid; in the quarantine.
    pub rejected: u64,
}

impl Counts {
    /// Adds `other` to these.
    pub fn add(&mut self, other: Counts) {
        self.received += other.received;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.conflict += other.conflict;
        self.rejected += other.rejected;
    }

    /// Whether nothing was lost between the counts.
    pub fn add_up(&self) -> bool {
        self.accepted + self.duplicate + self.conflict + self.rejected == self.received
    }
}

/// One of the four ends of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Stored.
    Accepted,
    /// Known already.
    Duplicate,
    /// Same ids, other content.
    Conflict,
    /// Not valid.
    Rejected,
}

/// Counts by source and UTC day of `occurred_at`; unknown where a refused record did not tell.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    cells: BTreeMap<Place, Counts>,
}

/// Day of `at` in UTC, `YYYY-MM-DD`.
pub fn day_of(at: Micros) -> String {
    rfc3339(at)[..10].to_owned()
}

impl Tally {
    /// Counts one record.
    pub fn count(&mut self, source: Option<&str>, day: Option<&str>, end: End) {
        self.count_many(source, day, end, 1);
    }

    /// Counts `records` that ended alike.
    pub fn count_many(&mut self, source: Option<&str>, day: Option<&str>, end: End, records: u64) {
        let cell = self.cells.entry((source.map(str::to_owned), day.map(str::to_owned))).or_default();
        cell.received += records;
        match end {
            End::Accepted => cell.accepted += records,
            End::Duplicate => cell.duplicate += records,
            End::Conflict => cell.conflict += records,
            End::Rejected => cell.rejected += records,
        }
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: Tally) {
        for (key, counts) in other.cells {
            self.cells.entry(key).or_default().add(counts);
        }
    }

    /// The sum over all sources and days.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.cells.values().for_each(|counts| total.add(*counts));
        total
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The `extra` of the `evidence.received` events that state this tally, at most [`RECEIVED_ENTRIES`] cells
    /// each.
    pub fn extras(&self) -> Vec<String> {
        let cells: Vec<_> = self.cells.iter().collect();
        cells.chunks(RECEIVED_ENTRIES).map(received_extra).collect()
    }
}

/// Source and day, as far as they are known.
type Place = (Option<String>, Option<String>);

/// JSON in canonical order: keys ascending, no white space.
fn received_extra(cells: &[(&Place, &Counts)]) -> String {
    let entry = |((source, day), counts): &(&Place, &Counts)| {
        let fields = BTreeMap::from([
            ("accepted", Some(serde_json::Value::from(counts.accepted))),
            ("conflict", Some(counts.conflict.into())),
            ("day", day.as_deref().map(Into::into)),
            ("duplicate", Some(counts.duplicate.into())),
            ("received", Some(counts.received.into())),
            ("rejected", Some(counts.rejected.into())),
            ("source", source.as_deref().map(Into::into)),
        ]);
        let set: BTreeMap<_, _> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        serde_json::to_string(&set).unwrap_or_default()
    };
    format!("{{\"counts\":[{}]}}", cells.iter().map(entry).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_print_in_canonical_order() {
        let mut tally = Tally::default();
        tally.count(Some("s"), Some("2026-03-01"), End::Accepted);
        tally.count(Some("s"), Some("2026-03-01"), End::Conflict);
        tally.count(None, None, End::Rejected);
        assert!(tally.total().add_up());
        assert_eq!(tally.total().received, 3);
        let expected = concat!(
            r#"{"counts":[{"accepted":0,"conflict":0,"duplicate":0,"received":1,"rejected":1},"#,
            r#"{"accepted":1,"conflict":1,"day":"2026-03-01","duplicate":0,"received":2,"rejected":0,"source":"s"}]}"#
        );
        assert_eq!(tally.extras(), [expected]);
    }

    #[test]
    fn many_days_are_spread_over_several_events() {
        let mut tally = Tally::default();
        for day in 0..RECEIVED_ENTRIES + 1 {
            tally.count(Some("s"), Some(&day.to_string()), End::Accepted);
        }
        assert_eq!(tally.extras().len(), 2);
    }
}
