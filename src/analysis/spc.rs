//! Control charts of a rate: which weeks differ from the others by more than chance.
//!
//! In: per week the hits and the trials. Out: per week the rate, its limits and its exact tails. Invariant: the
//! centre is the rate of all weeks together; a week without trials has no point. Pure.

use super::normal::BEYOND_THREE_SIGMA;
use super::tails::{Binomial, MAX_DRAWS};

/// With fewer expected hits, or misses, the normal limits mean nothing and the exact tails decide.
pub const FEWEST_EXPECTED: f64 = 5.0;

/// The mean distance of two independent standard normal numbers, 2 / sqrt(pi), as tables of control charts round it.
const D2: f64 = 1.128;

/// A chart of all weeks.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// All hits / all trials; `None` without trials.
    pub center: Option<f64>,
    /// How much wider the weeks scatter than chance alone would make them; `None` with fewer than two weeks.
    pub sigma_z: Option<f64>,
    /// One per week; `None` for a week without trials.
    pub points: Vec<Option<Point>>,
}

/// One week.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Hits / trials.
    pub value: f64,
    /// Distance from the centre in standard deviations of this week; 0 when there is no spread.
    pub z: f64,
    /// Three-sigma limit, not below 0.
    pub low: f64,
    /// Three-sigma limit, not above 1.
    pub high: f64,
    /// Limits widened by `sigma_z` (Laney 2002, the p' chart); `None` when it is not known.
    pub laney_low: Option<f64>,
    /// See `laney_low`.
    pub laney_high: Option<f64>,
    /// P(this many hits or more) at the centre.
    pub tail_high: f64,
    /// P(this many hits or fewer) at the centre.
    pub tail_low: f64,
    /// Outside of the limits; with few expected hits or misses, less probable than a point outside would be.
    pub is_signal: bool,
}

/// The p chart of `x` hits among `n` trials per week; `None` unless as many x as n and
/// 0 <= x <= n <= [`MAX_DRAWS`].
///
/// centre ± 3 s with s = sqrt(centre (1 - centre) / n); sigma_z = mean |z_i - z_(i-1)| / 1.128 over consecutive
/// weeks with trials.
pub fn p_chart(x: &[i64], n: &[i64]) -> Option<Chart> {
    if !are_counts(x, n) {
        return None;
    }
    let (hits, trials) = (sum(x), sum(n));
    if trials == 0.0 {
        return Some(Chart { center: None, sigma_z: None, points: vec![None; x.len()] });
    }
    let center = hits / trials;
    let weeks = || x.iter().copied().zip(n.iter().copied());
    let scores: Vec<f64> = weeks().filter(|(_, n)| *n > 0).map(|(x, n)| score(x, n, center)).collect();
    let sigma_z = (scores.len() > 1).then(|| {
        let moved: f64 = scores.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
        moved / (scores.len() - 1) as f64 / D2
    });
    let points = weeks().map(|(x, n)| (n > 0).then(|| point(x, n, center, sigma_z))).collect();
    Some(Chart { center: Some(center), sigma_z, points })
}

/// Whether there are as many hits as trials, and 0 <= x <= n <= [`MAX_DRAWS`] in each pair.
pub(super) fn are_counts(x: &[i64], n: &[i64]) -> bool {
    x.len() == n.len() && x.iter().zip(n).all(|(x, n)| (0..=*n).contains(x) && *n <= MAX_DRAWS)
}

fn sum(counts: &[i64]) -> f64 {
    counts.iter().map(|count| i128::from(*count)).sum::<i128>() as f64
}

fn spread(n: i64, center: f64) -> f64 {
    (center * (1.0 - center) / n as f64).sqrt()
}

fn score(x: i64, n: i64, center: f64) -> f64 {
    let spread = spread(n, center);
    if spread == 0.0 { 0.0 } else { (x as f64 / n as f64 - center) / spread }
}

fn point(x: i64, n: i64, center: f64, sigma_z: Option<f64>) -> Point {
    let (value, spread) = (x as f64 / n as f64, spread(n, center));
    let reach = 3.0 * spread;
    // Without spread every widening gives the same limits, also an unknown one.
    let laney = if spread == 0.0 { Some(0.0) } else { sigma_z.map(|sigma_z| reach * sigma_z) };
    let draw = Binomial::new(n, center).expect("n is positive and the centre lies between 0 and 1");
    let (tail_low, tail_high) = (draw.low(x), draw.high(x));
    let (low, high) = ((center - reach).max(0.0), (center + reach).min(1.0));
    let is_signal = if n as f64 * center.min(1.0 - center) < FEWEST_EXPECTED {
        tail_low.min(tail_high) < BEYOND_THREE_SIGMA
    } else {
        value < low || value > high
    };
    Point {
        value,
        z: score(x, n, center),
        low,
        high,
        laney_low: laney.map(|reach| (center - reach).max(0.0)),
        laney_high: laney.map(|reach| (center + reach).min(1.0)),
        tail_high,
        tail_low,
        is_signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{assert_close, cases, ints};

    #[test]
    fn charts_are_those_of_the_formulas() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/spc.json"), "cases");
        assert!(vectors.len() >= 6);
        for case in vectors {
            let chart = p_chart(&ints(&case["x"]), &ints(&case["n"])).unwrap();
            let want = &case["chart"];
            assert_close(chart.center, &want["pbar"], 1e-12, "center");
            assert_close(chart.sigma_z, &want["sigma_z"], 1e-10, "sigma_z");
            let points: Vec<Point> = chart.points.into_iter().flatten().collect();
            assert_eq!(points.len(), want["points"].as_array().map_or(0, Vec::len));
            for (point, want) in points.iter().zip(want["points"].as_array().into_iter().flatten()) {
                assert_close(Some(point.value), &want["p"], 1e-12, "value");
                assert_close(Some(point.z), &want["z"], 1e-10, "z");
                assert_close(Some(point.low), &want["p_lcl"], 1e-12, "low");
                assert_close(Some(point.high), &want["p_ucl"], 1e-12, "high");
                assert_close(point.laney_low, &want["laney_lcl"], 1e-10, "laney_low");
                assert_close(point.laney_high, &want["laney_ucl"], 1e-10, "laney_high");
                assert_close(Some(point.tail_high), &want["exact_upper_p"], 1e-11, "tail_high");
            }
        }
    }

    #[test]
    fn limits_decide_where_hits_are_many() {
        let chart = p_chart(&[500, 510, 700], &[10_000; 3]).unwrap();
        let signals: Vec<bool> = chart.points.iter().flatten().map(|point| point.is_signal).collect();
        assert_eq!(signals, [true, false, true]);
    }

    /// At 0.5 %, 1 of 10 lies above the limit of 7.2 % and yet happens one week in twenty; 3 of 10 is rare.
    #[test]
    fn exact_tails_decide_where_hits_are_few() {
        let is_signal = |x, n| {
            let weeks = [x, 500 - x];
            let chart = p_chart(&weeks, &[n, 100_000 - n]).unwrap();
            (chart.points[0].as_ref().unwrap().high, chart.points[0].as_ref().unwrap().is_signal)
        };
        let (high, one) = is_signal(1, 10);
        assert!((0.07..0.1).contains(&high) && !one);
        assert!(is_signal(3, 10).1);
    }

    #[test]
    fn weeks_without_trials_leave_the_others_as_they_are() {
        let with = p_chart(&[2, 0, 2], &[40, 0, 400]).unwrap();
        let without = p_chart(&[2, 2], &[40, 400]).unwrap();
        assert_eq!((with.center, with.sigma_z, with.points[1].is_none()), (without.center, without.sigma_z, true));
        assert_eq!(with.points[2], without.points[1]);
    }

    #[test]
    fn what_are_no_counts_has_no_chart() {
        assert_eq!(p_chart(&[3], &[2]).or(p_chart(&[-1], &[2])).or(p_chart(&[1], &[])), None);
    }
}
