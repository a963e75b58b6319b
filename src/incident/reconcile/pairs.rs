//! Pairing on the line of time: which writes of two lists are the same write told twice.
//!
//! In: the instants of two lists, each in order, how far those of a pair may lie apart, what speaks against a pair.
//! Out: pairs of places. Invariants: each place is used once; no pairing within the tolerance has more pairs.
//!
//! Whoever pairs two lists by time alone may pair them in order: where two pairs cross, `h1 < h2` with `e2 > e1`, the
//! uncrossed ones lie within the tolerance as well, and in sum no farther apart. So the best pairing in order has as
//! many pairs as any. Of those with the most pairs the one is taken against which least speaks, and of these the one
//! whose pairs lie least apart. It must not know what a write is.

use std::ops::Range;

use crate::clock::Micros;

/// Entries of the table that is made for writes which lie close together; past it the first that fits is taken. One
/// value would have to be written to a field a thousand times in a row, each within the tolerance of the one before.
const TABLE: usize = 1024 * 1024;

/// What speaks against the pair of two places; only compared, never a reason to leave a pair out.
pub type Against<'a> = &'a dyn Fn(usize, usize) -> i32;

/// Pairs the instants of `history` and `evidence`, both in order, that lie at most `tolerance` apart.
pub fn pair(history: &[Micros], evidence: &[Micros], tolerance: Micros, against: Against<'_>) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let (mut h, mut e) = (0, 0);
    while h < history.len() && e < evidence.len() {
        let (rows, writes) = neighbours(history, evidence, (h, e), tolerance);
        (h, e) = (rows.end, writes.end);
        let against = |i: usize, j: usize| against(rows.start + i, writes.start + j);
        let found = if rows.len().saturating_mul(writes.len()) > TABLE {
            first_that_fits(&history[rows.clone()], &evidence[writes.clone()], tolerance)
        } else {
            best(&history[rows.clone()], &evidence[writes.clone()], tolerance, &against)
        };
        pairs.extend(found.into_iter().map(|(i, j)| (rows.start + i, writes.start + j)));
    }
    pairs
}

/// The instants from `from` on that follow one another within the tolerance: no pair leads out of them.
fn neighbours(
    history: &[Micros],
    evidence: &[Micros],
    from: (usize, usize),
    tolerance: Micros,
) -> (Range<usize>, Range<usize>) {
    let (mut h, mut e) = from;
    let mut last = None;
    loop {
        let next = match (history.get(h), evidence.get(e)) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(at), None) | (None, Some(at)) => *at,
            (None, None) => break,
        };
        if last.is_some_and(|last| next - last > tolerance) {
            break;
        }
        last = Some(next);
        if history.get(h) == Some(&next) {
            h += 1;
        } else {
            e += 1;
        }
    }
    (from.0..h, from.1..e)
}

/// How good a pairing is: more is better, what speaks against it counts below zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    pairs: i32,
    against: i32,
    apart: Micros,
}

impl Score {
    fn with(self, against: i32, apart: Micros) -> Self {
        Self { pairs: self.pairs + 1, against: self.against - against, apart: self.apart - apart }
    }
}

/// The best pairing in order: `best[i][j]` is the score of the first `i` and the first `j` instants.
fn best(history: &[Micros], evidence: &[Micros], tolerance: Micros, against: Against<'_>) -> Vec<(usize, usize)> {
    let width = evidence.len() + 1;
    let mut scores = vec![Score::default(); (history.len() + 1) * width];
    let together = |scores: &[Score], i: usize, j: usize| {
        let apart = (history[i - 1] - evidence[j - 1]).abs();
        (apart <= tolerance).then(|| scores[(i - 1) * width + j - 1].with(against(i - 1, j - 1), apart))
    };
    for i in 1..=history.len() {
        for j in 1..width {
            let apart = scores[(i - 1) * width + j].max(scores[i * width + j - 1]);
            scores[i * width + j] = together(&scores, i, j).map_or(apart, |score| score.max(apart));
        }
    }
    let (mut i, mut j) = (history.len(), evidence.len());
    let mut pairs = Vec::new();
    while i > 0 && j > 0 {
        let score = scores[i * width + j];
        if together(&scores, i, j) == Some(score) {
            (i, j) = (i - 1, j - 1);
            pairs.push((i, j));
        } else if scores[(i - 1) * width + j] == score {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    pairs.reverse();
    pairs
}

/// The pairing that takes each instant as soon as it fits. It has the most pairs as well: the earliest instants of both
/// lists lie within the tolerance, and then some best pairing has that pair; or one of them fits nothing that is left.
fn first_that_fits(history: &[Micros], evidence: &[Micros], tolerance: Micros) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < history.len() && j < evidence.len() {
        let apart = history[i] - evidence[j];
        if apart.abs() <= tolerance {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if apart < 0 {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Every way to pair, crossing or not: the best by number of pairs.
    fn most(history: &[Micros], evidence: &[Micros], tolerance: Micros) -> usize {
        let Some((first, rest)) = history.split_first() else { return 0 };
        let without = most(rest, evidence, tolerance);
        let with = (0..evidence.len()).filter(|j| (first - evidence[*j]).abs() <= tolerance).map(|j| {
            let others: Vec<Micros> = [&evidence[..j], &evidence[j + 1..]].concat();
            1 + most(rest, &others, tolerance)
        });
        with.max().unwrap_or(0).max(without)
    }

    fn instants(rng: &mut StdRng) -> Vec<Micros> {
        let length = rng.random_range(0..6);
        let mut instants: Vec<Micros> = (0..length).map(|_| rng.random_range(0..30)).collect();
        instants.sort_unstable();
        instants
    }

    #[test]
    fn no_other_pairing_has_more_pairs() {
        let seed = 0x5eed_0021;
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..3_000 {
            let (history, evidence) = (instants(&mut rng), instants(&mut rng));
            let tolerance = rng.random_range(0..8);
            let found = pair(&history, &evidence, tolerance, &|i, j| ((i + j) % 2) as i32);
            let told = format!("{history:?} {evidence:?} within {tolerance}: {found:?}");
            assert_eq!(found.len(), most(&history, &evidence, tolerance), "{told}");
            assert_eq!(first_that_fits(&history, &evidence, tolerance).len(), found.len(), "{told}");
            assert!(found.iter().all(|(i, j)| (history[*i] - evidence[*j]).abs() <= tolerance), "{told}");
            assert!(found.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1), "{told}");
        }
    }

    #[test]
    fn the_nearest_is_taken_unless_more_speaks_against_it() {
        assert_eq!(pair(&[0, 100, 120], &[118], 50, &|_, _| 0), [(2, 0)]);
        assert_eq!(pair(&[0, 100, 120], &[118], 50, &|i, _| i32::from(i == 2)), [(1, 0)]);
        // Nearest first would leave one over: 6 with 5, and then 0 with nothing.
        assert_eq!(pair(&[0, 6], &[5, 11], 5, &|_, _| 0), [(0, 0), (1, 1)]);
        assert!(pair(&[], &[5], 5, &|_, _| 0).is_empty());
    }

    #[test]
    fn what_is_too_long_for_a_table_has_as_many_pairs() {
        let history: Vec<Micros> = (0..2_000).map(|n| n * 3).collect();
        let evidence: Vec<Micros> = (0..1_000).map(|n| n * 6 + 2).collect();
        assert_eq!(pair(&history, &evidence, 3, &|_, _| 0).len(), 1_000);
    }
}
