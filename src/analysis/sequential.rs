//! Charts that remember: small lasting shifts of a rate, seen soon.
//!
//! In: per week the hits and the trials, the rate p0 when all is well, the rate p1 to be seen soon. Out: one
//! statistic per week. Invariant: a week without trials changes nothing; results stay finite. Pure.

use super::spc::are_counts;

/// Weight of the newest week in the moving average.
pub const LAMBDA: f64 = 0.2;

/// Width of its limits in standard deviations.
pub const REACH: f64 = 3.0;

/// The exponentially weighted moving average after one week.
#[derive(Debug, Clone, PartialEq)]
pub struct Ewma {
    /// The average; p0 before the first week with trials.
    pub ewma: f64,
    /// Its standard deviation while the rate is p0, exact for changing numbers of trials.
    pub sd: f64,
    /// p0 - 3 sd, not below 0.
    pub low: f64,
    /// p0 + 3 sd, not above 1.
    pub high: f64,
}

/// The moving average z = 0.2 p + 0.8 z with its limits; `None` unless the counts are counts and 0 <= `p0` <= 1.
///
/// Roberts 1959; var = 0.04 p0 (1 - p0) / n + 0.64 var.
pub fn ewma_chart(x: &[i64], n: &[i64], p0: f64) -> Option<Vec<Ewma>> {
    if !are_counts(x, n) || !(0.0..=1.0).contains(&p0) {
        return None;
    }
    let (mut ewma, mut variance) = (p0, 0.0);
    let step = |(x, n): (&i64, &i64)| {
        if *n > 0 {
            let (x, n) = (*x as f64, *n as f64);
            ewma = LAMBDA * (x / n) + (1.0 - LAMBDA) * ewma;
            variance = LAMBDA.powi(2) * p0 * (1.0 - p0) / n + (1.0 - LAMBDA).powi(2) * variance;
        }
        let sd = f64::sqrt(variance);
        Ewma { ewma, sd, low: (p0 - REACH * sd).max(0.0), high: (p0 + REACH * sd).min(1.0) }
    };
    Some(x.iter().zip(n).map(step).collect())
}

/// The cumulative sum S = max(0, S + log likelihood ratio) of p1 against p0, per week (Page 1954); `None` unless
/// the counts are counts and both rates lie strictly between 0 and 1. Its threshold needs a simulation.
pub fn cusum(x: &[i64], n: &[i64], p0: f64, p1: f64) -> Option<Vec<f64>> {
    let mut sum = 0.0;
    Some(
        log_ratios(x, n, p0, p1)?
            .into_iter()
            .map(|(ratio, _)| accumulate(&mut sum, |sum| (sum + ratio).max(0.0)))
            .collect(),
    )
}

/// The Shiryaev–Roberts statistic R = (1 + R) * likelihood ratio of p1 against p0, per week; `None` as in [`cusum`].
///
/// R less the number of weeks is a martingale while the rate is p0, so an alarm at R >= A comes falsely once in
/// A weeks or more, whatever the numbers of trials (Pollak 1985). It stops growing at the largest float.
pub fn shiryaev_roberts(x: &[i64], n: &[i64], p0: f64, p1: f64) -> Option<Vec<f64>> {
    let mut r = 0.0;
    let step = |(ratio, has_trials): (f64, bool)| {
        accumulate(&mut r, |r| if has_trials { ((1.0 + r) * ratio.exp()).min(f64::MAX) } else { r })
    };
    Some(log_ratios(x, n, p0, p1)?.into_iter().map(step).collect())
}

fn accumulate(total: &mut f64, next: impl Fn(f64) -> f64) -> f64 {
    *total = next(*total);
    *total
}

/// Per week the log likelihood ratio of p1 against p0, and whether there were trials.
fn log_ratios(x: &[i64], n: &[i64], p0: f64, p1: f64) -> Option<Vec<(f64, bool)>> {
    let is_inside = |p: f64| p > 0.0 && p < 1.0;
    if !are_counts(x, n) || !is_inside(p0) || !is_inside(p1) {
        return None;
    }
    // Not the logarithm of a quotient, which could be infinite.
    let (hit, miss) = (p1.ln() - p0.ln(), (-p1).ln_1p() - (-p0).ln_1p());
    Some(x.iter().zip(n).map(|(x, n)| (*x as f64 * hit + (n - x) as f64 * miss, *n > 0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases, ints, number};

    #[test]
    fn statistics_are_those_of_the_formulas() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/spc.json"), "cases");
        assert!(vectors.len() >= 6);
        for case in vectors {
            let (x, n) = (ints(&case["x"]), ints(&case["n"]));
            let (p0, p1) = (number(&case["p0"]), number(&case["p1"]));
            let (ewma, sums) = (ewma_chart(&x, &n, p0).unwrap(), cusum(&x, &n, p0, p1).unwrap());
            let roberts = shiryaev_roberts(&x, &n, p0, p1).unwrap();
            assert_eq!((ewma.len(), sums.len(), roberts.len()), (x.len(), x.len(), x.len()));
            for (i, want) in case["sequential"].as_array().unwrap().iter().enumerate() {
                assert_close(Some(ewma[i].ewma), &want["ewma"], 1e-12, "ewma");
                assert_close(Some(ewma[i].sd), &want["ewma_sd"], 1e-12, "sd");
                assert_close(Some(ewma[i].low), &want["ewma_lcl"], 1e-12, "low");
                assert_close(Some(ewma[i].high), &want["ewma_ucl"], 1e-12, "high");
                assert_close(Some(sums[i]), &want["cusum"], 1e-11, "cusum");
                assert_close(Some(roberts[i]), &want["shiryaev_roberts"], 1e-11, "shiryaev_roberts");
            }
        }
    }

    #[test]
    fn overwhelming_evidence_stays_a_number() {
        let (x, n) = ([100_000; 9], [100_000; 9]);
        assert_eq!(shiryaev_roberts(&x, &n, 0.01, 0.99).unwrap()[8], f64::MAX);
        assert_eq!(shiryaev_roberts(&x, &n, 0.99, 0.01).unwrap()[8], 0.0);
        assert!(cusum(&x, &n, 0.01, 0.99).unwrap()[8].is_finite());
        assert!(cusum(&[0, 1], &[1, 1], 1e-310, 0.5).unwrap()[1].is_finite());
    }

    #[test]
    fn a_rate_of_zero_or_one_can_not_be_judged() {
        for (p0, p1) in [(0.0, 0.1), (0.1, 0.0), (1.0, 0.5), (0.5, f64::NAN)] {
            assert_eq!(cusum(&[1], &[2], p0, p1).or(shiryaev_roberts(&[1], &[2], p0, p1)), None);
        }
        assert_eq!(ewma_chart(&[1], &[2], 1.5).or(ewma_chart(&[3], &[2], 0.5)), None);
    }
}
