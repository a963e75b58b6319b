//! The Wilson score interval of a proportion.
//!
//! In: k successes of n trials. Out: the 95 % interval of the underlying rate, without continuity correction
//! (Wilson 1927; the form of Brown, Cai and DasGupta 2001). Invariant: 0 <= low <= k/n <= high <= 1, and
//! (0, 1) when nothing was observed. Pure.

/// The 0.975 quantile of the standard normal distribution.
pub const Z95: f64 = 1.959963984540054;

/// The 95 % interval (low, high) of a rate of which `k` of `n` were seen; (0, 1) at `n` = 0.
///
/// A `k` outside 0..`n` has no meaning; it counts as the nearest bound.
pub fn wilson(k: i64, n: i64) -> (f64, f64) {
    if n <= 0 {
        return (0.0, 1.0);
    }
    let k = k.clamp(0, n);
    let (hits, misses, n_f) = (k as f64, (n - k) as f64, n as f64);
    let z2 = Z95 * Z95;
    let centre = (hits + z2 / 2.0) / (n_f + z2);
    let half = Z95 / (n_f + z2) * (hits * misses / n_f + z2 / 4.0).sqrt();
    // At the borders the exact bounds are 0 and 1; floating point would miss them by one digit.
    let low = if k == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if k == n { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_agree_with_statsmodels() {
        let text = include_str!("../../tests/fixtures/stats/wilson_95.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 10);
        for case in cases {
            let (low, high) = wilson(case["k"].as_i64().unwrap(), case["n"].as_i64().unwrap());
            assert!((low - case["wilson"][0].as_f64().unwrap()).abs() < 1e-12, "{case} low {low}");
            assert!((high - case["wilson"][1].as_f64().unwrap()).abs() < 1e-12, "{case} high {high}");
        }
    }

    #[test]
    fn nothing_observed_says_nothing() {
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn the_interval_holds_the_rate_and_stays_in_zero_to_one() {
        for n in 1..200 {
            for k in 0..=n {
                let (low, high) = wilson(k, n);
                let rate = k as f64 / n as f64;
                assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0, "{k}/{n}: {low}..{high}");
            }
        }
        assert_eq!((wilson(0, 9).0, wilson(9, 9).1), (0.0, 1.0));
        let (low, high) = wilson(i64::MAX, i64::MAX);
        assert!(low > 0.999 && high == 1.0);
    }
}
