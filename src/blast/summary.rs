//! What some events say of the completeness of the log: late ones, and the numbers that sources gave.
//!
//! In: events, in any order. Out: counts that add up over parts, and runs of numbers. Invariant: what is said of a
//! whole is what its parts say joined, or that there is too much to say. It must not say which events these are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::acts::is_late;
use super::touches::environment_number;
use crate::event::{Column, Rows};

/// Runs of numbers of a source that are told apart; who has more is asked about elsewhere.
const MOST_RUNS: usize = 1024;

/// The numbers that a source gave to its events, as unbroken runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceNumbers {
    /// The last number of each run by its first, no two of them side by side; none where there are too many.
    runs: Option<BTreeMap<i64, i64>>,
}

impl SourceNumbers {
    fn new() -> Self {
        Self { runs: Some(BTreeMap::new()) }
    }

    /// Whether every number from the least to the largest was given, be it more than once.
    pub fn are_unbroken(&self) -> bool {
        self.runs.as_ref().is_some_and(|runs| runs.len() == 1)
    }

    /// The least and the largest number; none where there are too many runs.
    pub fn span(&self) -> Option<(i64, i64)> {
        let runs = self.runs.as_ref()?;
        let (first, _) = runs.first_key_value()?;
        let (_, last) = runs.last_key_value()?;
        Some((*first, *last))
    }

    /// Breaks between numbers from `low` to `high`: those with a number on either side that is one of these; none
    /// where there are too many runs.
    pub fn breaks_within(&self, (low, high): (i64, i64)) -> Option<u64> {
        let runs = self.runs.as_ref()?;
        let breaks = runs.values().zip(runs.keys().skip(1));
        Some(breaks.filter(|(before, behind)| **before >= low && **behind <= high).count() as u64)
    }

    /// Takes the numbers from `first` to `last`.
    fn add(&mut self, (mut first, mut last): (i64, i64)) {
        let Some(runs) = &mut self.runs else { return };
        // Nearly always the next one.
        if let Some(mut newest) = runs.last_entry()
            && newest.get().checked_add(1) == Some(first)
        {
            *newest.get_mut() = last;
            return;
        }
        while let Some((low, high)) = runs.range(..=last.saturating_add(1)).next_back().map(|(low, high)| (*low, *high))
            && high.saturating_add(1) >= first
        {
            runs.remove(&low);
            (first, last) = (first.min(low), last.max(high));
        }
        runs.insert(first, last);
        self.limit(MOST_RUNS);
    }

    fn join(&mut self, other: &Self) {
        match &other.runs {
            Some(runs) => runs.iter().for_each(|(first, last)| self.add((*first, *last))),
            None => self.runs = None,
        }
    }

    fn limit(&mut self, most: usize) {
        if self.runs.as_ref().is_some_and(|runs| runs.len() > most) {
            self.runs = None;
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Events recorded more than a day after they happened, by number of the environment.
    late: [u64; 4],
    /// By source, the engine's own statements about the evidence left out.
    pub sources: BTreeMap<String, SourceNumbers>,
}

impl Summary {
    /// The columns that are counted.
    pub const COLUMNS: [Column; 7] = [
        Column::Seq,
        Column::OccurredAt,
        Column::RecordedAt,
        Column::Environment,
        Column::EventType,
        Column::Source,
        Column::SourceSeq,
    ];

    /// Counts an event.
    pub fn add(&mut self, rows: &Rows<'_>, row: usize) {
        if is_late(rows, row) {
            self.late[usize::from(environment_number(rows.text(Column::Environment, row)))] += 1;
        }
        let is_of_source = rows.text(Column::EventType, row).is_some_and(|name| !name.starts_with("evidence."));
        if let Some(number) = rows.long(Column::SourceSeq, row)
            && let Some(source) = rows.text(Column::Source, row)
            && is_of_source
        {
            self.of_source(source, |known| known.add((number, number)));
        }
    }

    /// Counts what `other` counted.
    pub fn join(&mut self, other: &Self) {
        self.late.iter_mut().zip(other.late).for_each(|(own, more)| *own += more);
        other.sources.iter().for_each(|(source, numbers)| self.of_source(source, |known| known.join(numbers)));
    }

    /// Late events of `environment`.
    pub fn late(&self, environment: &str) -> u64 {
        match environment_number(Some(environment)) {
            super::touches::NO_ENVIRONMENT => 0,
            number => self.late[usize::from(number)],
        }
    }

    /// The same without the numbers of sources that have more than `runs` runs of them.
    pub fn shortened(mut self, runs: usize) -> Self {
        self.sources.values_mut().for_each(|numbers| numbers.limit(runs));
        self
    }

    fn of_source(&mut self, source: &str, take: impl FnOnce(&mut SourceNumbers)) {
        match self.sources.get_mut(source) {
            Some(known) => take(known),
            None => {
                let mut new = SourceNumbers::new();
                take(&mut new);
                self.sources.insert(source.to_owned(), new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(runs: &[(i64, i64)]) -> SourceNumbers {
        let mut numbers = SourceNumbers::new();
        runs.iter().for_each(|run| numbers.add(*run));
        numbers
    }

    #[test]
    fn numbers_are_unbroken_where_none_is_missing_however_often_one_was_given() {
        for unbroken in [
            &[(3, 3)][..],
            &[(-2, 0), (1, 2)],
            &[(5, 5), (4, 4), (6, 6), (5, 5)],
            &[(1, 2), (4, 5), (3, 3)],
            &[(1, 9), (2, 3), (10, 10)],
            &[(i64::MIN, i64::MAX), (7, 7)],
            &[(i64::MAX, i64::MAX), (i64::MAX - 1, i64::MAX - 1)],
        ] {
            assert!(numbers(unbroken).are_unbroken(), "{unbroken:?}");
        }
        // Four events with numbers from 1 to 4, and yet 3 is missing.
        for broken in [&[(1, 1), (2, 2), (2, 2), (4, 4)][..], &[(3, 5), (7, 7)], &[(i64::MIN, i64::MIN), (0, 9)]] {
            assert!(!numbers(broken).are_unbroken(), "{broken:?}");
        }
    }

    #[test]
    fn runs_are_those_of_the_numbers_in_whatever_order_they_come() {
        let mut state = 5_u64;
        for _ in 0..300 {
            let mut some = Vec::new();
            for _ in 0..20 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                some.push((state >> 59) as i64);
            }
            let mut sorted = some.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let breaks = sorted.windows(2).filter(|pair| pair[0] + 1 < pair[1]).count();
            let runs: Vec<(i64, i64)> = some.iter().map(|number| (*number, *number)).collect();
            let mut parts = numbers(&runs[..7]);
            parts.join(&numbers(&runs[7..]));
            assert_eq!(parts, numbers(&runs), "{some:?}");
            assert_eq!(parts.runs.unwrap().len(), breaks + 1, "{some:?}");
        }
    }

    #[test]
    fn breaks_count_where_both_their_sides_are_within() {
        let known = numbers(&[(1, 4), (6, 6), (9, 12)]);
        assert_eq!(known.span(), Some((1, 12)));
        for (within, breaks) in
            [((1, 12), 2), ((4, 9), 2), ((5, 9), 1), ((4, 8), 1), ((5, 8), 0), ((6, 6), 0), ((20, 30), 0)]
        {
            assert_eq!(known.breaks_within(within), Some(breaks), "{within:?}");
        }
        let too_many = SourceNumbers { runs: None };
        assert_eq!((too_many.span(), too_many.breaks_within((1, 2))), (None, None));
    }

    #[test]
    fn what_is_said_of_parts_joins_and_too_much_is_not_said() {
        let mut whole = Summary::default();
        for run in [(7, 9), (1, 6)] {
            let sources = BTreeMap::from([("crm".to_owned(), numbers(&[run]))]);
            whole.join(&Summary { late: [1, 2, 0, 0], sources });
        }
        assert_eq!((whole.late("production"), whole.late("elsewhere")), (4, 0));
        assert!(whole.sources["crm"].are_unbroken());
        let bytes = serde_json::to_vec(&whole).unwrap();
        assert_eq!(serde_json::from_slice::<Summary>(&bytes).unwrap(), whole);

        let odd: Vec<(i64, i64)> = (0..=MOST_RUNS as i64).map(|n| (2 * n, 2 * n)).collect();
        let mut scattered = numbers(&odd);
        assert_eq!(scattered.runs, None);
        scattered.add((0, 5_000));
        assert!(!scattered.are_unbroken());
        let sources = BTreeMap::from([("erp".to_owned(), numbers(&odd[..9])), ("crm".to_owned(), numbers(&odd[..8]))]);
        let shortened = Summary { late: [0; 4], sources }.shortened(8);
        assert!(shortened.sources["erp"].runs.is_none() && shortened.sources["crm"].runs.is_some());
    }
}
