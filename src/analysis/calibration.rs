//! Whether a stated confidence means what it says, and from which confidence on an agent is right often enough.
//!
//! In: confidences in 0..1 and whether each was right. Out: bins, scores, a threshold. Invariant: a confidence
//! outside of 0..1 makes the whole undefined. Pure.

use super::binomial::lower_bound;

/// Bins of equal width; a confidence of 1 lies in the last.
pub const BINS: usize = 10;

/// One bin of confidences.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Items in it.
    pub n: i64,
    /// Right ones among them.
    pub correct: i64,
    /// Sum of their confidences.
    pub confidence_sum: f64,
}

/// The ten bins, min(9, floor(10 p)); `None` unless as many `right` as `confidences`, all in 0..1.
pub fn bins(confidences: &[f64], right: &[bool]) -> Option<[Bin; BINS]> {
    let mut bins = [Bin::default(); BINS];
    for (confidence, right) in pairs(confidences, right)? {
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.n += 1;
        bin.correct += i64::from(right);
        bin.confidence_sum += confidence;
    }
    Some(bins)
}

/// The mean squared distance of confidence and outcome (Brier 1950), 0 for perfect; `None` as in [`bins`] and for
/// no items.
pub fn brier(confidences: &[f64], right: &[bool]) -> Option<f64> {
    let sum: f64 = pairs(confidences, right)?.map(|(p, right)| (p - f64::from(u8::from(right))).powi(2)).sum();
    (!right.is_empty()).then(|| sum / right.len() as f64)
}

/// How far confidence and precision of a bin are apart: the mean over items (the expected calibration error, too
/// high on few items), and the largest of the bins. `None` without items.
pub fn calibration_error(bins: &[Bin]) -> Option<(f64, f64)> {
    let n: i64 = bins.iter().map(|bin| bin.n).sum();
    let gap = |bin: &Bin| (bin.correct as f64 - bin.confidence_sum).abs();
    let filled = || bins.iter().filter(|bin| bin.n > 0);
    let largest = filled().map(|bin| gap(bin) / bin.n as f64).fold(0.0, f64::max);
    (n > 0).then(|| (filled().map(gap).sum::<f64>() / n as f64, largest))
}

/// What is known of the items at or above a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The lowest confidence taken.
    pub threshold: f64,
    /// Items at or above it.
    pub chosen: i64,
    /// Right ones among them.
    pub correct: i64,
    /// Exact one-sided lower bound of their precision; 0 without items.
    pub lower_bound: f64,
}

/// The steps from the first of the falling `grid` on, up to and with the first whose lower bound at `alpha` is
/// below `target`. The last step but that one is the threshold: since the tests come in a fixed order and stop
/// at the first failure, none needs correction for the others (fixed-sequence testing, Maurer 1995).
///
/// `None` unless as many `right` as `confidences`, all in 0..1, 0 < `alpha` < 1 and 0 <= `target` <= 1.
pub fn precision_steps(items: (&[f64], &[bool]), grid: &[f64], target: f64, alpha: f64) -> Option<Vec<Step>> {
    let items: Vec<(f64, bool)> = pairs(items.0, items.1)?.collect();
    if !(0.0..=1.0).contains(&target) {
        return None;
    }
    let mut steps = Vec::new();
    for threshold in grid {
        let above = || items.iter().filter(|(confidence, _)| confidence >= threshold);
        let (chosen, correct) = (above().count() as i64, above().filter(|(_, right)| *right).count() as i64);
        let lower_bound = lower_bound(correct, chosen, alpha)?;
        steps.push(Step { threshold: *threshold, chosen, correct, lower_bound });
        if !is_enough(chosen, lower_bound, target) {
            break;
        }
    }
    Some(steps)
}

/// The lowest threshold of the `grid` whose items are right with at least the `target` precision, as far as
/// [`precision_steps`] can show; `None` when none is.
pub fn threshold_for_precision(items: (&[f64], &[bool]), grid: &[f64], target: f64, alpha: f64) -> Option<Step> {
    let steps = precision_steps(items, grid, target, alpha)?;
    steps.into_iter().rfind(|step| is_enough(step.chosen, step.lower_bound, target))
}

/// 0.95, 0.90, … 0.05: the thresholds that are tried, fixed before any data is seen.
pub fn standard_grid() -> Vec<f64> {
    (1..=19).rev().map(|twentieths| f64::from(twentieths) / 20.0).collect()
}

fn is_enough(chosen: i64, lower_bound: f64, target: f64) -> bool {
    chosen > 0 && lower_bound >= target
}

/// The items one by one; `None` unless the lists fit and each confidence lies in 0..1.
fn pairs(confidences: &[f64], right: &[bool]) -> Option<impl Iterator<Item = (f64, bool)>> {
    let is_valid = confidences.len() == right.len() && confidences.iter().all(|p| (0.0..=1.0).contains(p));
    is_valid.then(|| confidences.iter().copied().zip(right.iter().copied()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::testing::{assert_close, cases, int, ints, number, numbers};

    fn vectors() -> Vec<(Value, Vec<f64>, Vec<bool>)> {
        let vectors = cases(include_str!("../../tests/fixtures/stats/calibration.json"), "cases");
        assert!(vectors.len() >= 7);
        let read = |case: Value| {
            let right = ints(&case["y"]).into_iter().map(|y| y == 1).collect();
            (case.clone(), numbers(&case["p"]), right)
        };
        vectors.into_iter().map(read).collect()
    }

    #[test]
    fn bins_and_scores_are_those_of_the_formulas() {
        for (case, confidences, right) in vectors() {
            let bins = bins(&confidences, &right).unwrap();
            let mut filled = Vec::new();
            for (i, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.n > 0) {
                filled.push(vec![i as i64, bin.n, bin.correct]);
            }
            assert_eq!(filled, case["bins"].as_array().unwrap().iter().map(ints).collect::<Vec<_>>());
            let (mean, largest) = calibration_error(&bins).unwrap();
            assert_close(brier(&confidences, &right), &case["brier"], 1e-12, "brier");
            assert!((mean - number(&case["ece10"])).abs() < 1e-12 && (largest - number(&case["mce10"])).abs() < 1e-12);
        }
    }

    /// The vectors try 0.99, 0.98, … and all fail at once, so only their first steps can be compared.
    #[test]
    fn steps_are_those_of_scipy() {
        let grid: Vec<f64> = (1..=99).rev().map(|percent| f64::from(percent) / 100.0).collect();
        for (case, confidences, right) in vectors() {
            let steps = precision_steps((&confidences, &right), &grid, 0.9, 0.05).unwrap();
            let want = case["threshold_steps"].as_array().unwrap();
            assert_eq!(steps.len(), want.len());
            for (step, want) in steps.iter().zip(want) {
                assert_close(Some(step.threshold), &want[0], 1e-15, "threshold");
                assert_eq!((step.chosen, step.correct), (int(&want[1]), int(&want[2])));
                assert_close(Some(step.lower_bound), &want[3], 1e-11, "lower bound");
            }
            let threshold = threshold_for_precision((&confidences, &right), &grid, 0.9, 0.05);
            assert_close(threshold.map(|t| t.threshold), &case["threshold_precision_090_alpha_005"], 0.0, "threshold");
        }
    }

    /// 100 right at 0.97 and 100 right at 0.8 pass; with 40 wrong ones at 0.6 it fails; what follows is not tried.
    #[test]
    fn the_threshold_is_the_last_that_passes_before_the_first_that_fails() {
        let mut confidences = [vec![0.97; 100], vec![0.8; 100], vec![0.6; 40]].concat();
        let mut right = [vec![true; 200], vec![false; 40]].concat();
        confidences.extend(vec![0.3; 9_000]);
        right.extend(vec![true; 9_000]);
        let got = threshold_for_precision((&confidences, &right), &standard_grid(), 0.9, 0.05).unwrap();
        assert_eq!((got.threshold, got.chosen, got.correct), (0.65, 200, 200));
        assert!((got.lower_bound - 0.05_f64.powf(1.0 / 200.0)).abs() < 1e-12);
        let all = precision_steps((&confidences, &right), &standard_grid(), 0.9, 0.05).unwrap();
        assert_eq!((all.len(), all[7].threshold, all[7].chosen), (8, 0.6, 240));
    }

    #[test]
    fn a_confidence_on_the_grid_is_at_or_above_it() {
        let got = precision_steps((&[0.95], &[true]), &standard_grid(), 0.0, 0.05).unwrap();
        assert_eq!((got[0].threshold, got[0].chosen, got.len()), (0.95, 1, 19));
    }

    #[test]
    fn nothing_observed_says_nothing_and_nonsense_has_no_score() {
        assert_eq!(brier(&[], &[]).or(brier(&[1.1], &[true])).or(brier(&[0.5], &[])), None);
        assert_eq!(calibration_error(&bins(&[], &[]).unwrap()), None);
        assert_eq!(bins(&[f64::NAN], &[true]), None);
        assert_eq!(threshold_for_precision((&[], &[]), &standard_grid(), 0.9, 0.05), None);
        assert_eq!(precision_steps((&[0.5], &[true]), &standard_grid(), 0.9, 0.0), None);
    }
}
