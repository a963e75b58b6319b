//! Gaps in what the sources have sent: each numbers its events without a gap, so a missing number is a lost event.
//!
//! In: `source` and `source_seq` of every row. Out: each run of numbers that is missing between the least and the
//! largest of a source. Invariant: one bit for each number where they follow each other. That a number is there twice
//! is a question for SQL.

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::Work;
use crate::event::{Column, Rows};

/// Order of int64 as order of u64.
const SIGN: u64 = 1 << 63;

/// The numbers that each source has given its events.
#[derive(Debug, Default)]
pub(super) struct Sources {
    seqs: HashMap<String, RoaringTreemap>,
}

impl Sources {
    /// Notes the numbers of `rows`.
    pub(super) fn note(&mut self, rows: &Rows<'_>) {
        if !rows.is_used(Column::SourceSeq) {
            return;
        }
        for row in 0..rows.len() {
            if let (Some(source), Some(seq)) = (rows.text(Column::Source, row), rows.long(Column::SourceSeq, row)) {
                self.seqs.entry_ref(source).or_default().insert(seq as u64 ^ SIGN);
            }
        }
    }

    /// Takes over what others have noted.
    pub(super) fn merge(&mut self, other: Sources) {
        for (source, seqs) in other.seqs {
            *self.seqs.entry(source).or_default() |= seqs;
        }
    }
}

/// Names the gaps of every source, unless a retired month took numbers along.
pub(super) fn check_gaps(work: &Work) {
    let are_judged = work.removals.as_ref().is_some_and(|removals| removals.retired().is_empty());
    work.locked().gaps_judged = are_judged;
    if !are_judged {
        return;
    }
    let mut sources: Vec<(String, RoaringTreemap)> = std::mem::take(&mut *work.sources()).seqs.into_iter().collect();
    sources.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (source, seqs) in &sources {
        for_each_gap(seqs, |first, last| {
            let count = first.abs_diff(last) + 1;
            let reason = format!("source `{source}` has no event with source_seq {first} to {last} ({count} of them)");
            work.add("gap", None, None, reason);
        });
    }
}

/// Tells `each` of the first and last number of every gap.
fn for_each_gap(seqs: &RoaringTreemap, mut each: impl FnMut(i64, i64)) {
    let plain = |seq: u64| (seq ^ SIGN) as i64;
    let (Some(least), Some(largest)) = (seqs.min(), seqs.max()) else { return };
    if largest - least == seqs.len() - 1 {
        return;
    }
    let mut before = least;
    for seq in seqs {
        if seq - before > 1 {
            each(plain(before + 1), plain(seq - 1));
        }
        before = seq;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(seqs: &[i64]) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let seqs: RoaringTreemap = seqs.iter().map(|seq| *seq as u64 ^ SIGN).collect();
        for_each_gap(&seqs, |first, last| found.push((first, last)));
        found
    }

    #[test]
    fn gaps_are_named_by_their_bounds_across_zero_too() {
        let without: [&[i64]; 3] = [&[], &[7], &[1, -1, 0, 2]];
        for seqs in without {
            assert!(gaps(seqs).is_empty(), "{seqs:?}");
        }
        assert_eq!(gaps(&[-5, -3, 0, 1, 9]), [(-4, -4), (-2, -1), (2, 8)]);
        assert_eq!(gaps(&[i64::MIN, i64::MAX]), [(i64::MIN + 1, i64::MAX - 1)]);
    }
}
