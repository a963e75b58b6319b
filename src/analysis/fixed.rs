//! Samples whose size is fixed beforehand: how rare so few errors would be, and how many items that takes.
//!
//! In: the size of a frame, the number D0 of errors that the claim excludes, n items with k errors. Out: one over the
//! probability of k or fewer errors among n when just D0 of the frame are errors (with more errors it is smaller
//! still), and the least n. For a process without an end the binomial distribution takes the place of the
//! hypergeometric one. One look at the full sample is allowed, no extension. Invariant: whole numbers decide. Pure.

use super::eprocess::{MAX_FRAME, MAX_MARKS, Sample};
use super::evidence::Evidence;
use super::fraction::Fraction;
use super::natural::Natural;
use super::number::{Bounds, Number};

/// One over P(K <= k) in a sample from a frame with `d0` errors; `None` for counts that cannot be.
///
/// The terms are `C(n, j) [d0]_j [N - d0]_(n-j)`, the orders of drawing j errors, of `[N]_n` in all.
pub fn evidence(sample: Sample, d0: u64) -> Option<Evidence<'static>> {
    let is_possible = sample.k <= sample.n && sample.n <= sample.frame && d0 <= sample.frame;
    if !is_possible || sample.frame > MAX_FRAME {
        return None;
    }
    let fewest = sample.n.saturating_sub(sample.frame - d0);
    Some(if sample.k < fewest {
        Evidence::certain()
    } else {
        Evidence::new(drawn::<Bounds>(sample, d0, fewest), move || drawn::<Natural>(sample, d0, fewest))
    })
}

/// `[N]_n`, and the orders with `fewest` to k errors.
fn drawn<N: Number>(Sample { frame, n, k }: Sample, d0: u64, fewest: u64) -> [N; 2] {
    let right = frame - d0;
    let mut all = N::one();
    all.multiply_falling(frame, n);
    let mut term = N::one();
    term.multiply_falling(n, fewest);
    for divisor in 2..=fewest {
        term.divide(divisor);
    }
    term.multiply_falling(d0, fewest);
    term.multiply_falling(right, n - fewest);
    let mut sum = term.clone();
    for j in fewest..k.min(d0) {
        term.multiply((n - j) * (d0 - j));
        term.divide((j + 1) * (right + j + 1 - n));
        sum.add(&term);
    }
    [all, sum]
}

/// One over P(K <= `k`) of `n` independent draws, each an error with the probability `rate`.
///
/// `None` unless `k` <= `n` <= [`MAX_MARKS`] and 0 < `rate` < 1 with a denominator of 32 bits.
pub fn process_evidence(n: u64, k: u64, rate: Fraction) -> Option<Evidence<'static>> {
    let is_possible = k <= n && n <= MAX_MARKS && rate.is_share() && rate.denominator() <= u64::from(u32::MAX);
    is_possible.then(|| Evidence::new(independent::<Bounds>(n, k, rate), move || independent::<Natural>(n, k, rate)))
}

/// q^n, and the sum of C(n, j) p^j (q - p)^(n-j) for j up to k.
fn independent<N: Number>(n: u64, k: u64, rate: Fraction) -> [N; 2] {
    let mut all = N::one();
    all.multiply_power(rate.denominator(), n);
    let mut terms = Terms::<N>::new(n, rate);
    let mut sum = terms.term.clone();
    for _ in 0..k {
        terms.advance();
        sum.add(&terms.term);
    }
    [all, sum]
}

/// C(n, j) p^j (q - p)^(n-j), one j after the other; over q^n the binomial probabilities.
pub(super) struct Terms<N> {
    n: u64,
    rate: Fraction,
    j: u64,
    /// The present one.
    pub(super) term: N,
}

impl<N: Number> Terms<N> {
    /// The term of j = 0.
    pub(super) fn new(n: u64, rate: Fraction) -> Self {
        let mut term = N::one();
        term.multiply_power(rate.denominator() - rate.numerator(), n);
        Self { n, rate, j: 0, term }
    }

    /// Goes on to the next j, up to n.
    pub(super) fn advance(&mut self) {
        self.term.multiply(self.n - self.j);
        self.term.multiply(self.rate.numerator());
        self.j += 1;
        self.term.divide(self.j);
        self.term.divide(self.rate.denominator() - self.rate.numerator());
    }
}

/// The least number of items that shows less than `d0` errors in a frame of `frame` at the allowed error `alpha`,
/// with up to `errors` errors among them.
///
/// `None` when that cannot be, as when `errors` >= `d0`, or takes more than [`MAX_MARKS`] items.
pub fn items(frame: u64, d0: u64, alpha: Fraction, errors: u64) -> Option<u64> {
    if errors >= d0 {
        return None;
    }
    let is_enough = |n: u64| Some(evidence(Sample { frame, n, k: errors }, d0)?.reaches(alpha));
    least(errors, frame.min(MAX_MARKS), is_enough)
}

/// As [`items`] for a process without an end, against a rate of errors of `rate` or more: what remains of a frame
/// that grows.
pub fn process_items(rate: Fraction, alpha: Fraction, errors: u64) -> Option<u64> {
    least(errors, MAX_MARKS, |n| Some(process_evidence(n, errors, rate)?.reaches(alpha)))
}

/// The least n in `first`..=`last` of which `is_enough` says yes, which it goes on to say of all that follow.
fn least(first: u64, last: u64, is_enough: impl Fn(u64) -> Option<bool>) -> Option<u64> {
    // In growing steps first, because a large sample takes longer to judge.
    let mut enough = first;
    let mut too_few = None;
    while !is_enough(enough)? {
        if enough == last {
            return None;
        }
        too_few = Some(enough);
        enough = last.min(enough + (enough - first).max(16));
    }
    let Some(mut too_few) = too_few else { return Some(enough) };
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if is_enough(middle)? {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::testing::cases;

    const VECTORS: &str = include_str!("../../tests/fixtures/stats/sample_size.json");

    fn fraction(value: &Value) -> Fraction {
        Fraction::parse(value.as_str().unwrap()).unwrap()
    }

    #[test]
    fn sizes_from_a_frame_are_those_of_exact_fractions() {
        let vectors = cases(VECTORS, "hypergeometric");
        assert!(vectors.len() >= 72);
        for case in vectors {
            let (frame, d0) = (case["N"].as_u64().unwrap(), case["D0"].as_u64().unwrap());
            assert_eq!(fraction(&case["X"]).of(frame), d0, "{case}");
            for (errors, want) in (0..).zip(case["n_for_c"].as_array().unwrap()) {
                assert_eq!(items(frame, d0, fraction(&case["alpha"]), errors), want.as_u64(), "{case}");
            }
        }
    }

    #[test]
    fn sizes_without_an_end_are_those_of_exact_fractions() {
        let vectors = cases(VECTORS, "binomial");
        assert!(vectors.len() >= 15);
        for case in vectors {
            for (errors, want) in (0..).zip(case["n_for_c"].as_array().unwrap()) {
                assert_eq!(process_items(fraction(&case["X"]), fraction(&case["alpha"]), errors), want.as_u64());
            }
        }
    }

    /// The attribute tables of the AICPA: the least n whose expected errors, rounded up, are rare enough.
    #[test]
    fn tables_of_attribute_sampling_are_reproduced() {
        let (computed, published) = (cases(VECTORS, "aicpa_rule"), cases(VECTORS, "published"));
        assert!(computed.len() >= 112 && published.len() >= 4);
        for case in computed.into_iter().chain(published) {
            let [expected, rate, risk] = ["expected", "tolerable", "risk"].map(|name| fraction(&case[name]));
            let want = case["n"].as_u64().unwrap_or_else(|| case["n_k"][0].as_u64().unwrap());
            let is_enough = |n: &u64| process_evidence(*n, expected.of(*n), rate).unwrap().reaches(risk);
            assert_eq!((1..=want).find(is_enough), Some(want), "{case}");
        }
    }

    #[test]
    fn the_orders_of_drawing_add_up() {
        for frame in 1..12_u64 {
            for d0 in 0..=frame {
                for n in 0..=frame {
                    let most = n.min(d0);
                    let fewest = n.saturating_sub(frame - d0);
                    let [all, sum] = drawn::<Natural>(Sample { frame, n, k: most }, d0, fewest);
                    assert_eq!(all, sum, "{frame} {d0} {n}");
                    assert!(evidence(Sample { frame, n, k: most }, d0).unwrap().digits() == "1");
                    if fewest > 0 {
                        assert!(evidence(Sample { frame, n, k: fewest - 1 }, d0).unwrap().is_certain());
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_has_no_size() {
        let alpha = Fraction::new(1, 20).unwrap();
        assert_eq!(items(100, 5, alpha, 5).or(items(100, 0, alpha, 0)).or(items(100, 101, alpha, 0)), None);
        assert_eq!(items(4_000_000_000, 1, alpha, 0), None, "more than anybody reviews");
        assert_eq!(process_items(Fraction::new(1, 1).unwrap(), alpha, 0), None);
        assert!(evidence(Sample { frame: 9, n: 5, k: 6 }, 1).is_none());
    }
}
