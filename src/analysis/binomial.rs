//! Exact bounds of a rate that was observed in independent trials.
//!
//! In: k successes of n trials and the allowed error. Out: the bounds of Clopper and Pearson (1934). Invariant:
//! 0 <= low <= k/n <= high <= 1; the interval is (0, 1) when nothing was observed. Pure.

use super::bisect;
use super::tails::{Binomial, MAX_DRAWS};

/// The interval that misses the true rate with a probability of at most `alpha`, half of it on each side.
///
/// `None` unless 0 <= `k` <= `n` <= [`MAX_DRAWS`] and 0 < `alpha` < 1.
pub fn clopper_pearson(k: i64, n: i64, alpha: f64) -> Option<(f64, f64)> {
    Some((lower_bound(k, n, alpha / 2.0)?, upper_bound(k, n, alpha / 2.0)?))
}

/// The lower bound that is above the true rate with a probability of at most `error`: the rate at which `k` or
/// more successes have just that probability. `None` unless 0 <= `k` <= `n` <= [`MAX_DRAWS`] and 0 < `error` < 1.
pub fn lower_bound(k: i64, n: i64, error: f64) -> Option<f64> {
    if !is_valid(k, n, error) {
        return None;
    }
    Some(match k {
        0 => 0.0,
        _ if k == n => (error.ln() / n as f64).exp(),
        _ => bisect(0.0, k as f64 / n as f64, |p| tail(n, p).high(k) < error),
    })
}

/// The upper bound that is below the true rate with a probability of at most `error`: the rate at which `k` or
/// fewer successes have just that probability. `None` unless 0 <= `k` <= `n` <= [`MAX_DRAWS`] and 0 < `error` < 1.
pub fn upper_bound(k: i64, n: i64, error: f64) -> Option<f64> {
    if !is_valid(k, n, error) {
        return None;
    }
    Some(match k {
        _ if k == n => 1.0,
        0 => -(error.ln() / n as f64).exp_m1(),
        _ => bisect(k as f64 / n as f64, 1.0, |p| tail(n, p).low(k) > error),
    })
}

fn is_valid(k: i64, n: i64, error: f64) -> bool {
    (0..=n).contains(&k) && n <= MAX_DRAWS && error > 0.0 && error < 1.0
}

fn tail(n: i64, p: f64) -> Binomial {
    Binomial::new(n, p).expect("n is not negative and p lies between 0 and 1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases, int, number};

    const VECTORS: &str = include_str!("../../tests/fixtures/stats/binomial_ci.json");

    #[test]
    fn bounds_are_those_of_scipy() {
        let vectors = cases(VECTORS, "cases");
        assert!(vectors.len() >= 38);
        for case in vectors {
            let (k, n, error) = (int(&case["k"]), int(&case["n"]), 1.0 - number(&case["conf"]));
            let both = clopper_pearson(k, n, error).unwrap();
            let name = format!("{k} of {n}, {error}");
            assert_close(Some(both.0), &case["clopper_pearson"][0], 1e-11, &name);
            assert_close(Some(both.1), &case["clopper_pearson"][1], 1e-11, &name);
            assert_close(lower_bound(k, n, error), &case["cp_lower_one_sided"], 1e-11, &name);
            assert_close(upper_bound(k, n, error), &case["cp_upper_one_sided"], 1e-11, &name);
        }
    }

    #[test]
    fn at_a_bound_the_tail_has_the_probability_allowed() {
        for (k, n) in [(1, 2), (3, 40), (499, 1_000), (999_990, 1_000_000)] {
            let (low, high) = clopper_pearson(k, n, 0.05).unwrap();
            assert!((tail(n, low).high(k) / 0.025 - 1.0).abs() < 1e-9, "{k} of {n}: {low}");
            assert!((tail(n, high).low(k) / 0.025 - 1.0).abs() < 1e-9, "{k} of {n}: {high}");
        }
    }

    #[test]
    fn the_interval_holds_the_rate_and_stays_in_zero_to_one() {
        for n in 1..60 {
            for k in 0..=n {
                let (low, high) = clopper_pearson(k, n, 0.05).unwrap();
                let rate = k as f64 / n as f64;
                assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0, "{k}/{n}: {low}..{high}");
            }
        }
    }

    #[test]
    fn nothing_observed_says_nothing_and_nonsense_has_no_interval() {
        assert_eq!(clopper_pearson(0, 0, 0.05), Some((0.0, 1.0)));
        for (k, n, alpha) in [(3, 2, 0.05), (-1, 2, 0.05), (0, -1, 0.05), (1, 2, 0.0), (1, 2, f64::NAN)] {
            assert_eq!(clopper_pearson(k, n, alpha), None);
        }
    }
}
