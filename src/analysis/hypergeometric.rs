//! Exact bounds of the number of hits in a finite frame, from a random sample of it.
//!
//! In: the size of the frame, of the sample, the hits in the sample, the allowed error. Out: whole numbers.
//! Invariant: `k` <= low <= high <= `frame` - (`n` - `k`), and the bounds are those of exact arithmetic: a tail
//! is compared with the allowed error as a float, and in whole numbers where the float is too close to say;
//! where that would take too long, the wider bound is given. Pure.

use super::natural::Natural;
use super::tails::Hypergeometric;

/// The largest frame: products of two counts must fit 64 bits.
pub const MAX_FRAME: i64 = u32::MAX as i64;

/// Floats that differ by more than this share of the error decide; their own error is a thousand times less.
const FLOAT_MARGIN: f64 = 1e-8;

/// The largest exact comparison, in multiplications of 64-bit digits: about a second.
const MAX_EXACT_STEPS: f64 = 1e9;

/// Decimal places of an allowed error.
const PLACES: usize = 18;

/// A probability as the decimal number that it is written as, over 10^18, so that a tail of exactly 1/20 is
/// not above an error of 0.05.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    value: f64,
    numerator: u64,
    denominator: u64,
}

impl Allowed {
    /// `alpha` over `sides` (1 or 2); `None` unless 0 < `alpha` < 1 in 18 decimal places.
    fn new(alpha: f64, sides: u64) -> Option<Self> {
        let text = format!("{alpha}");
        let decimals = text.strip_prefix("0.")?;
        let numerator = format!("{decimals:0<PLACES$.PLACES$}").parse().ok().filter(|n| *n > 0)?;
        Some(Self { value: alpha / sides as f64, numerator, denominator: 10_u64.pow(PLACES as u32) * sides })
    }
}

/// The numbers of hits in the frame that `k` hits among `n` do not speak against, each side with half of
/// `alpha`: low = min {D : P(K >= k) > alpha/2}, high = max {D : P(K <= k) > alpha/2}.
///
/// `None` unless 0 <= `k` <= `n` <= `frame` <= [`MAX_FRAME`], k hits and n - k misses fit, and 0 < `alpha` < 1.
pub fn bounds(frame: i64, n: i64, k: i64, alpha: f64) -> Option<(i64, i64)> {
    let allowed = Allowed::new(alpha, 2)?;
    Some((low(frame, n, k, allowed)?, high(frame, n, k, allowed)?))
}

/// min {D : P(K >= k) > `alpha`}; `None` as in [`bounds`].
pub fn lower_bound(frame: i64, n: i64, k: i64, alpha: f64) -> Option<i64> {
    low(frame, n, k, Allowed::new(alpha, 1)?)
}

/// max {D : P(K <= k) > `alpha`}; `None` as in [`bounds`].
pub fn upper_bound(frame: i64, n: i64, k: i64, alpha: f64) -> Option<i64> {
    high(frame, n, k, Allowed::new(alpha, 1)?)
}

/// Many hits are few misses.
fn low(frame: i64, n: i64, k: i64, allowed: Allowed) -> Option<i64> {
    Some(frame - high(frame, n, n.checked_sub(k)?, allowed)?)
}

/// P(K <= k) falls as the hits in the frame grow, so the last D above the error is found by halving.
fn high(frame: i64, n: i64, k: i64, allowed: Allowed) -> Option<i64> {
    if !(0..=n).contains(&k) || n > frame || frame > MAX_FRAME {
        return None;
    }
    let (mut inside, mut outside) = (k, frame - (n - k) + 1);
    while outside - inside > 1 {
        let middle = inside + (outside - inside) / 2;
        if is_above(Hypergeometric::new(frame, middle, n)?, Sample { frame, hits: middle, n, k }, allowed) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    Some(inside)
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    frame: i64,
    hits: i64,
    n: i64,
    k: i64,
}

/// Whether P(K <= k) > error. An equality in a sample too large for whole numbers counts as above, which makes
/// the interval wider by one hit.
fn is_above(draw: Hypergeometric, sample: Sample, allowed: Allowed) -> bool {
    let tail = draw.low(sample.k);
    if (tail - allowed.value).abs() > FLOAT_MARGIN * allowed.value {
        return tail > allowed.value;
    }
    exact_steps(sample) > MAX_EXACT_STEPS || is_exactly_above(sample, allowed)
}

/// Digits of the number of possible samples, times the factors and terms that are worked through.
fn exact_steps(Sample { frame, n, k, .. }: Sample) -> f64 {
    let drawn = n.min(frame - n) as f64;
    let digits = drawn * (frame as f64 / drawn.max(1.0) * 2.72).log2() / 64.0 + 1.0;
    digits * (2.0 * n as f64 + k as f64)
}

/// sum over j <= k of (hits over j)(misses over n - j) compared with error * (frame over n), in whole numbers.
fn is_exactly_above(Sample { frame, hits, n, k }: Sample, allowed: Allowed) -> bool {
    let [frame, hits, n, k] = [frame, hits, n, k].map(|count| count as u64);
    let misses = frame - hits;
    let mut ways = Natural::choose(hits, k).times(&Natural::choose(misses, n - k));
    let mut sum = ways.clone();
    for j in (n.saturating_sub(misses) + 1..=k).rev() {
        ways.multiply(j * (misses + j - n));
        ways.divide((hits - j + 1) * (n - j + 1));
        sum.add(&ways);
    }
    let mut limit = Natural::choose(frame, n);
    limit.multiply(allowed.numerator);
    sum.multiply(allowed.denominator);
    sum > limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{cases, int};

    #[test]
    fn bounds_are_exactly_those_of_rational_arithmetic() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/hypergeom_ci.json"), "cases");
        assert!(vectors.len() >= 44);
        for case in vectors {
            let (frame, n, k) = (int(&case["N"]), int(&case["n"]), int(&case["k"]));
            let alpha = 1.0 / case["alpha"].as_str().unwrap().strip_prefix("1/").unwrap().parse::<f64>().unwrap();
            let both = (int(&case["two_sided"][0]), int(&case["two_sided"][1]));
            assert_eq!(bounds(frame, n, k, alpha), Some(both), "{case}");
            assert_eq!(lower_bound(frame, n, k, alpha), Some(int(&case["lower_one_sided"])), "{case}");
            assert_eq!(upper_bound(frame, n, k, alpha), Some(int(&case["upper_one_sided"])), "{case}");
        }
    }

    #[test]
    fn floats_and_whole_numbers_decide_alike() {
        for (alpha, sides) in [(0.05, 2), (0.05, 1), (0.1, 1), (0.25, 1), (0.5, 1)] {
            let allowed = Allowed::new(alpha, sides).unwrap();
            for frame in 1..16 {
                for n in 0..=frame {
                    for k in 0..=n {
                        let is_inside = |hits: &i64| is_exactly_above(Sample { frame, hits: *hits, n, k }, allowed);
                        let last = (k..=frame - n + k).filter(is_inside).max();
                        assert_eq!(high(frame, n, k, allowed), last, "{frame} {n} {k} {alpha}");
                    }
                }
            }
        }
    }

    /// With one draw from 1,000, P(K = 0) is exactly 0.05 at 950 hits: not above the error, so 949 is the bound.
    #[test]
    fn a_tail_that_equals_the_error_is_outside() {
        assert_eq!(upper_bound(1_000, 1, 0, 0.05), Some(949));
        assert_eq!(lower_bound(1_000, 1, 1, 0.05), Some(51));
        assert_eq!(upper_bound(4_000_000_000, 1, 0, 0.05), Some(3_799_999_999));
    }

    #[test]
    fn everything_drawn_is_known_and_nonsense_has_no_bounds() {
        assert_eq!(bounds(30, 30, 4, 0.05), Some((4, 4)));
        assert_eq!(bounds(30, 0, 0, 0.05), Some((0, 30)));
        assert_eq!(bounds(0, 0, 0, 0.05), Some((0, 0)));
        for (frame, n, k, alpha) in [(9, 10, 1, 0.05), (9, 5, 6, 0.05), (9, 5, -1, 0.05), (9, 5, 1, 1.0)] {
            assert_eq!(bounds(frame, n, k, alpha), None);
        }
        assert_eq!(bounds(9, 5, 1, f64::NAN).or(bounds(9, 5, 1, 0.0)).or(bounds(MAX_FRAME + 1, 5, 1, 0.05)), None);
    }
}
