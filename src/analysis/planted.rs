//! Reviewers who miss errors: how many errors would be recorded, by what they catch of errors planted among the rest.
//!
//! In: planted items and how many were caught, the number D0 of errors that the claim excludes, the allowed error.
//! Out: a lower bound s of the share that is caught (Clopper and Pearson 1934), and the least number D0' of errors that
//! D0 errors leave in the record but for the allowed error, when each is caught with the probability s. A claim that is
//! tested against D0' at a third of alpha, with a third for each of the two bounds, holds at alpha. It rests on planted
//! items being as hard to judge as real ones. Invariant: whole numbers decide, and s is rounded down. Pure.

use super::eprocess::{MAX_FRAME, MAX_MARKS};
use super::evidence::Evidence;
use super::fixed::{Terms, process_evidence};
use super::fraction::Fraction;
use super::natural::Natural;
use super::number::{Bounds, Number};

/// The bound is a multiple of one over this.
const STEPS: u64 = 1_000_000;

/// The largest share s, in millionths, with P(Bin(`planted`, s) >= `caught`) <= `error`: what is caught at least, but
/// with a probability of at most `error`. `None` unless `caught` <= `planted` <= [`MAX_MARKS`].
pub fn caught_share(planted: u64, caught: u64, error: Fraction) -> Option<Fraction> {
    if caught > planted || planted > MAX_MARKS {
        return None;
    }
    // As many caught or more are so few missed or fewer.
    let is_rare = |share: u64| {
        let missed_rate = Fraction::new(STEPS - share, STEPS)?;
        Some(process_evidence(planted, planted - caught, missed_rate)?.reaches(error))
    };
    let (mut rare, mut common) = (0, STEPS);
    while common - rare > 1 && caught > 0 {
        let middle = rare + (common - rare) / 2;
        if is_rare(middle)? {
            rare = middle;
        } else {
            common = middle;
        }
    }
    Fraction::new(rare, STEPS)
}

/// The largest m with P(Bin(`d0`, `share`) < m) <= `error`: at least so many of `d0` errors are recorded, but with a
/// probability of at most `error`. `None` unless `d0` <= [`MAX_FRAME`] and 0 <= `share` < 1, in parts of a million at
/// most.
pub fn recorded_errors(d0: u64, share: Fraction, error: Fraction) -> Option<u64> {
    if d0 > MAX_FRAME || share.denominator() > STEPS || share.numerator() >= share.denominator() {
        return None;
    }
    if share.numerator() == 0 {
        return Some(0);
    }
    let mut all = Bounds::one();
    all.multiply_power(share.denominator(), d0);
    let mut terms = Terms::<Bounds>::new(d0, share);
    let mut sum = Bounds::zero();
    for m in 0..d0 {
        sum.add(&terms.term);
        // P(< m + 1), which is P(<= m).
        let tail = Evidence::new([all, sum], || exact_tail(d0, m, share));
        if !tail.reaches(error) {
            return Some(m);
        }
        terms.advance();
    }
    Some(d0)
}

/// q^D0, and the sum of the first m + 1 terms.
fn exact_tail(d0: u64, m: u64, share: Fraction) -> [Natural; 2] {
    let mut all = Natural::one();
    all.multiply_power(share.denominator(), d0);
    let mut terms = Terms::<Natural>::new(d0, share);
    let mut sum = Natural::zero();
    for _ in 0..=m {
        sum.add(&terms.term);
        terms.advance();
    }
    [all, sum]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::binomial::lower_bound;
    use crate::analysis::tails::Binomial;

    fn fraction(text: &str) -> Fraction {
        Fraction::parse(text).unwrap()
    }

    #[test]
    fn the_share_is_the_exact_lower_bound_rounded_down() {
        for (planted, caught) in [(1, 1), (10, 9), (20, 20), (20, 13), (40, 1), (300, 299), (5, 0)] {
            for error in ["1/20", "1/60", "1/2"] {
                let share = caught_share(planted, caught, fraction(error)).unwrap();
                let exact = lower_bound(caught as i64, planted as i64, fraction(error).to_f64()).unwrap();
                let over = exact - share.to_f64();
                assert!((-1e-12..1.0 / STEPS as f64 + 1e-12).contains(&over), "{planted} {caught} {error}: {over:e}");
            }
        }
        assert_eq!(caught_share(3, 4, fraction("1/20")), None);
    }

    /// 0.05^(1/20), from the sampling literature: 20 planted items, none missed.
    #[test]
    fn twenty_caught_of_twenty_show_86_percent() {
        assert_eq!(caught_share(20, 20, fraction("1/20")).unwrap(), fraction("0.860891"));
    }

    #[test]
    fn recorded_errors_are_the_quantile_of_the_binomial_distribution() {
        for d0 in [1, 2, 10, 50, 400] {
            for share in ["0.860891", "0.5", "0.02", "0.999999"] {
                for error in ["1/60", "1/3"] {
                    let m = recorded_errors(d0, fraction(share), fraction(error)).unwrap();
                    let draw = Binomial::new(d0 as i64, fraction(share).to_f64()).unwrap();
                    let allowed = fraction(error).to_f64();
                    assert!(draw.low(m as i64 - 1) <= allowed * (1.0 + 1e-9), "{d0} {share} {error}");
                    assert!(m == d0 || draw.low(m as i64) > allowed * (1.0 - 1e-9), "{d0} {share} {error}");
                }
            }
        }
    }

    /// P(Bin(1, 1/4) < 1) is 3/4, and at an error of just that one error is recorded.
    #[test]
    fn a_tail_that_equals_the_error_is_allowed() {
        assert_eq!(recorded_errors(1, fraction("1/4"), fraction("3/4")), Some(1));
        assert_eq!(recorded_errors(1, fraction("1/4"), fraction("0.7499999999")), Some(0));
    }

    #[test]
    fn who_catches_nothing_records_nothing() {
        assert_eq!(caught_share(10, 0, fraction("1/60")), Some(fraction("0")));
        assert_eq!(recorded_errors(1_000, fraction("0"), fraction("1/60")), Some(0));
        assert_eq!(recorded_errors(9, fraction("1"), fraction("1/60")), None);
    }
}
