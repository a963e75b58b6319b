//! The sequential test of one random sample without replacement: how strongly it says that errors are few.
//!
//! In: the size of a frame, the number D0 of errors that the claim excludes, n items reviewed with k errors. Out: the
//! E-value and what it means. With c = n - k and L(d) = d (d-1) … (d-k+1) (N-d) … (N-d-c+1), the ways to draw these
//! marks in order when d items are errors,
//!
//! E = Q / max {L(d) : d >= D0}, Q = 9/10 sum w_i L(d_i) + 1/10 sum L(d) / (N+1), d_i = floor(i D0 / G),
//! w_i = (G+1) / (G (i+1) (i+2)), i = 0 … G-1, G = min(32, D0).
//!
//! Were D >= D0 items errors, then Q / L(D) would be a martingale that begins at 1, and E is never above it: the
//! probability that E ever reaches 1 / alpha is at most alpha, whenever one stops (Ville 1939; the prior-posterior
//! ratio of Waudby-Smith and Ramdas 2020, arXiv:2006.04347; the mixture and the maximum are this project's).
//! Invariant: whole numbers decide. Pure.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::fraction::Fraction;
use super::hypergeometric;
use super::natural::Natural;
use super::number::{Bounds, Number};
use super::strata::{Stratum, Walk};

/// The largest frame: products of two counts fit 64 bits.
pub const MAX_FRAME: u64 = hypergeometric::MAX_FRAME as u64;

/// The most marks that are looked ahead: no person reviews more.
pub const MAX_MARKS: u64 = 1_000_000;

/// Alternatives of a mixture.
pub(super) const POINTS: u64 = 32;

/// The least common multiple of 1 to 33: it is divided by every (i+1)(i+2).
pub(super) const SHARES: u64 = 144_403_552_893_600;

/// The sum of `parts`, each times [`SHARES`] / ((i+1)(i+2)): what every mixture does with its alternatives.
pub(super) fn weighted<'a, N: Number + 'a>(parts: impl Iterator<Item = &'a N>) -> N {
    let mut sum = N::zero();
    for (i, part) in (0..).zip(parts) {
        let mut part = part.clone();
        part.multiply(SHARES / ((i + 1) * (i + 2)));
        sum.add(&part);
    }
    sum
}

/// What a mark says in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It is right.
    Correct,
    /// It is an error.
    Incorrect,
}

/// A sample so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Items of the frame.
    pub frame: u64,
    /// Items reviewed.
    pub n: u64,
    /// Errors among them.
    pub k: u64,
}

impl Sample {
    /// Items reviewed and found right.
    pub fn correct(self) -> u64 {
        self.n - self.k
    }

    /// The most errors that the frame can hold.
    pub fn most_errors(self) -> u64 {
        self.frame - self.correct()
    }

    /// The number of errors in the frame under which these marks are most likely.
    ///
    /// L(d) / L(d-1) >= 1 as long as d <= k (N+1) / n.
    pub fn likeliest(self) -> u64 {
        let likeliest = match self.n {
            0 => 0,
            n => u128::from(self.k) * (u128::from(self.frame) + 1) / u128::from(n),
        };
        // A product of two numbers of 32 bits.
        (likeliest as u64).clamp(self.k, self.most_errors())
    }

    /// L(`errors`).
    pub fn likelihood<N: Number>(self, errors: u64) -> N {
        let mut ways = N::one();
        ways.multiply_falling(errors, self.k);
        ways.multiply_falling(self.frame - errors, self.correct());
        ways
    }

    /// What L(`errors`) is multiplied by when the next mark says `finding`.
    pub fn factor(self, errors: u64, finding: Finding) -> u64 {
        match finding {
            Finding::Incorrect => errors.saturating_sub(self.k),
            Finding::Correct => (self.frame - errors).saturating_sub(self.correct()),
        }
    }

    /// The sample with one more mark.
    pub fn with(self, finding: Finding) -> Self {
        Self { n: self.n + 1, k: self.k + u64::from(finding == Finding::Incorrect), ..self }
    }

    fn is_possible(self) -> bool {
        self.k <= self.n && self.n <= self.frame && self.frame <= MAX_FRAME
    }
}

/// Q of one stratum, kept up to date mark by mark.
#[derive(Debug, Clone)]
pub struct Mixture<N> {
    sample: Sample,
    points: Vec<Point<N>>,
    /// The sum of L(d) over all d.
    total: N,
}

#[derive(Debug, Clone)]
struct Point<N> {
    errors: u64,
    likelihood: N,
}

impl<N: Number> Mixture<N> {
    /// The mixture after `sample`, with its alternatives below `d0` errors, which is at least 1.
    pub fn at(sample: Sample, d0: u64) -> Self {
        let grid = POINTS.min(d0);
        let point = |i: u64| {
            let errors = i * d0 / grid;
            Point { errors, likelihood: sample.likelihood(errors) }
        };
        Self { sample, points: (0..grid).map(point).collect(), total: total(sample) }
    }

    /// The marks so far.
    pub fn sample(&self) -> Sample {
        self.sample
    }

    /// Counts one more mark, of at most as many as the frame has items.
    pub fn mark(&mut self, finding: Finding) {
        let Sample { frame, n, .. } = self.sample;
        for point in &mut self.points {
            point.likelihood.multiply(self.sample.factor(point.errors, finding));
        }
        let like = match finding {
            Finding::Incorrect => self.sample.k,
            Finding::Correct => self.sample.correct(),
        };
        self.total.multiply(like + 1);
        self.total.multiply(frame - n);
        self.total.divide(n + 2);
        self.sample = self.sample.with(finding);
    }

    /// Q as numerator and denominator.
    pub fn value(&self) -> [N; 2] {
        let (grid, places) = (self.points.len() as u64, self.sample.frame + 1);
        let mut sum = weighted(self.points.iter().map(|point| &point.likelihood));
        sum.multiply(9 * (grid + 1));
        sum.multiply(places);
        let mut even = self.total.clone();
        even.multiply(grid);
        even.multiply(SHARES);
        sum.add(&even);
        let mut scale = N::one();
        for factor in [10 * grid, SHARES, places] {
            scale.multiply(factor);
        }
        [sum, scale]
    }
}

/// The sum of L(d) over all d, which is k! c! (N+1 over n+1).
fn total<N: Number>(sample: Sample) -> N {
    let rarer = sample.k.min(sample.correct());
    let mut total = N::one();
    total.multiply_falling(sample.frame + 1, sample.n + 1);
    total.multiply_falling(rarer, rarer);
    for divisor in sample.n + 1 - rarer..=sample.n + 1 {
        total.divide(divisor);
    }
    total
}

/// E of n items reviewed with k errors from a frame of `frame`, against `d0` errors or more.
///
/// `None` unless 0 <= `k` <= `n` <= `frame` <= [`MAX_FRAME`] and `d0` <= `frame`. No marks show less than 0 errors.
pub fn evidence(sample: Sample, d0: u64) -> Option<Evidence<'static>> {
    if !sample.is_possible() || d0 > sample.frame {
        return None;
    }
    if d0 == 0 {
        return Some(Evidence::none());
    }
    if sample.most_errors() < d0 {
        return Some(Evidence::certain());
    }
    let worst = sample.likeliest().max(d0);
    Some(Evidence::new(ratio::<Bounds>(sample, d0, worst), move || ratio::<Natural>(sample, d0, worst)))
}

fn ratio<N: Number>(sample: Sample, d0: u64, worst: u64) -> [N; 2] {
    let [numerator, denominator] = Mixture::<N>::at(sample, d0).value();
    [numerator, denominator.times(&sample.likelihood(worst))]
}

/// What the marks of a review mean for its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Decision {
    /// The claim is shown.
    Enable,
    /// More marks may show it.
    Extend,
    /// More marks than the plan allows would be needed.
    Paused,
    /// The claim is false for certain.
    Rejected,
    /// No sample shows it: only a count of so much of the frame that nothing else is possible.
    Census,
    /// What was marked is not what was planned and drawn.
    Invalid,
}

impl Decision {
    /// Its name in events, JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enable => "ENABLE",
            Self::Extend => "EXTEND",
            Self::Paused => "PAUSED",
            Self::Rejected => "REJECTED",
            Self::Census => "CENSUS",
            Self::Invalid => "INVALID",
        }
    }
}

/// The decision on a sample of one stratum that may go on to the whole frame, at the allowed error `alpha`; `None` as
/// in [`evidence`], or when more than [`MAX_MARKS`] marks would have to be looked ahead.
pub fn decide(sample: Sample, d0: u64, alpha: Fraction) -> Option<Decision> {
    let evidence = evidence(sample, d0)?;
    Some(if sample.k >= d0 {
        Decision::Rejected
    } else if evidence.reaches(alpha) {
        Decision::Enable
    } else if next(sample, d0, alpha)?.1.is_certain() {
        Decision::Census
    } else {
        Decision::Extend
    })
}

/// The least number of further marks, all correct, after which E reaches 1 / `alpha`, and E then. `None` when errors
/// are too many already, or more than [`MAX_MARKS`] marks would be needed.
fn next(sample: Sample, d0: u64, alpha: Fraction) -> Option<(u64, Evidence<'static>)> {
    let mut walk = Walk::after(&[(Stratum { frame: sample.frame, d0 }, sample)], d0)?;
    let left = (sample.frame - sample.n).min(MAX_MARKS);
    let more = (1..=left).find(|_| {
        walk.mark(0, Finding::Correct);
        walk.evidence().reaches(alpha)
    })?;
    Some((more, evidence(Sample { n: sample.n + more, ..sample }, d0)?))
}

/// The least number of items after which the claim is shown if just `errors` of them are errors, at any time.
///
/// `None` when that cannot be, as when `errors` >= `d0`, or takes more than [`MAX_MARKS`] items.
pub fn sequential_items(frame: u64, d0: u64, alpha: Fraction, errors: u64) -> Option<u64> {
    let sample = Sample { frame, n: errors, k: errors };
    if errors >= d0 {
        return None;
    }
    if evidence(sample, d0)?.reaches(alpha) {
        return Some(errors);
    }
    Some(errors + next(sample, d0, alpha)?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::testing::{assert_close, cases, int};

    const VECTORS: &str = include_str!("../../tests/fixtures/stats/sequential_eprocess.json");

    fn count(value: &Value) -> u64 {
        value.as_u64().unwrap()
    }

    fn fraction(value: &Value) -> Fraction {
        Fraction::parse(value.as_str().unwrap()).unwrap()
    }

    fn sample_of(case: &Value) -> Sample {
        Sample { frame: count(&case["N"]), n: count(&case["n"]), k: count(&case["k"]) }
    }

    fn exact(text: &str) -> Natural {
        text.bytes().fold(Natural::zero(), |mut number, digit| {
            number.multiply(10);
            let mut unit = Natural::one();
            unit.multiply(u64::from(digit - b'0'));
            number.add(&unit);
            number
        })
    }

    #[test]
    fn evidence_is_that_of_exact_fractions() {
        let vectors = cases(VECTORS, "cases");
        assert!(vectors.len() >= 104);
        let mut compared = 0;
        for case in vectors {
            let (sample, d0) = (sample_of(&case), count(&case["D0"]));
            assert_eq!(fraction(&case["X"]).of(sample.frame), d0, "{case}");
            let e = evidence(sample, d0).unwrap();
            assert_eq!(e.is_certain(), case["e"] == "inf", "{case}");
            if !e.is_certain() {
                assert_close(Some(e.to_f64()), &case["e"], 1e-12, &case.to_string());
            }
            for (alpha, name) in [("1/20", "accept_at_1_20"), ("1/10", "accept_at_1_10")] {
                assert_eq!(e.reaches(Fraction::parse(alpha).unwrap()), case[name].as_bool().unwrap(), "{case}");
            }
            if let Some((numerator, denominator)) = case["e_exact"].as_str().and_then(|text| text.split_once('/')) {
                let [ours, scale] = ratio::<Natural>(sample, d0, sample.likeliest().max(d0));
                assert_eq!(ours.times(&exact(denominator)), scale.times(&exact(numerator)), "{case}");
                compared += 1;
            }
        }
        assert!(compared > 30, "{compared}");
    }

    #[test]
    fn sizes_are_where_exact_fractions_stop() {
        let vectors = cases(VECTORS, "stopping");
        assert!(vectors.len() >= 39);
        for case in vectors {
            let (frame, d0, alpha) = (count(&case["N"]), count(&case["D0"]), fraction(&case["alpha"]));
            for (errors, want) in (0..).zip(case["n_stop_with_k_errors"].as_array().unwrap()) {
                assert_eq!(sequential_items(frame, d0, alpha, errors), want.as_u64(), "{case}");
            }
        }
    }

    /// False acceptance at any time, from the exact probabilities of all paths.
    #[test]
    fn a_false_claim_is_shown_as_often_as_exact_fractions_say() {
        for case in cases(VECTORS, "false_accept") {
            let (frame, errors, alpha) = (count(&case["N"]), count(&case["true_D"]), fraction(&case["alpha"]));
            let d0 = fraction(&case["X"]).of(frame);
            let accepts = |n, k| evidence(Sample { frame, n, k }, d0).unwrap().reaches(alpha);
            let (mut open, mut accepted) = (vec![1.0], 0.0);
            for n in 0..frame {
                let mut next = vec![0.0; open.len() + 1];
                for (k, weight) in open.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                    let is_error = errors.saturating_sub(k as u64) as f64 / (frame - n) as f64;
                    next[k] += weight * (1.0 - is_error);
                    next[k + 1] += weight * is_error;
                }
                for (k, weight) in next.iter_mut().enumerate().filter(|(_, weight)| **weight > 1e-300) {
                    if accepts(n + 1, k as u64) {
                        accepted += std::mem::take(weight);
                    }
                }
                open = next;
            }
            assert_close(Some(accepted), &case["p_false_accept_ever"], 1e-9, &case.to_string());
            assert!(accepted <= alpha.to_f64(), "{case}: {accepted}");
        }
    }

    #[test]
    fn the_worst_number_of_errors_is_the_one_that_makes_the_marks_likeliest() {
        for frame in 1..14 {
            for n in 0..=frame {
                for k in 0..=n {
                    let sample = Sample { frame, n, k };
                    for d0 in 1..=sample.most_errors() {
                        let most = (d0..=frame).map(|d| sample.likelihood::<Natural>(d)).max().unwrap();
                        assert_eq!(sample.likelihood::<Natural>(sample.likeliest().max(d0)), most, "{sample:?} {d0}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mixture_marked_step_by_step_is_the_mixture_of_the_counts() {
        let (mut walked, mut sample) = (Mixture::<Natural>::at(Sample { frame: 90, n: 0, k: 0 }, 40), None);
        for i in 0..90_u64 {
            let finding = if i % 7 == 3 { Finding::Incorrect } else { Finding::Correct };
            walked.mark(finding);
            sample = Some(walked.sample());
            assert_eq!(walked.value(), Mixture::<Natural>::at(walked.sample(), 40).value(), "{i}");
        }
        assert_eq!(sample, Some(Sample { frame: 90, n: 90, k: 13 }));
    }

    /// With two rates of error alone the test is Wald's, which SHANGRLA computes as ALPHA with a fixed alternative.
    #[test]
    fn one_alternative_gives_the_martingale_of_shangrla() {
        let vectors = cases(include_str!("../../tests/fixtures/stats/alpha_shangrla.json"), "cases");
        let mut compared = 0;
        for case in vectors {
            let Some(frame) = case["N"].as_u64() else { continue };
            let [null, alternative] = ["t", "eta"].map(|rate| (1.0 - case[rate].as_f64().unwrap()) * frame as f64);
            if (alternative - alternative.round()).abs() > 1e-9 {
                continue;
            }
            let (mut sample, mut least) = (Sample { frame, n: 0, k: 0 }, 1.0_f64);
            for (mark, want) in case["x"].as_array().unwrap().iter().zip(case["p_history"].as_array().unwrap()) {
                sample = sample.with(if int(mark) == 1 { Finding::Correct } else { Finding::Incorrect });
                let [one, other] = [alternative, null].map(|errors| sample.likelihood::<Bounds>(errors.round() as u64));
                let p = (1.0 / one.ratio(&other)).min(1.0);
                least = least.min(p);
                assert_close(Some(p), want, 1e-9, "p_history");
                compared += 1;
            }
            assert_close(Some(least), &case["p"], 1e-9, "p");
        }
        assert!(compared > 150, "{compared}");
    }

    #[test]
    fn the_decision_follows_from_the_counts() {
        let alpha = Fraction::new(1, 20).unwrap();
        let on = |frame, n, k| decide(Sample { frame, n, k }, Fraction::new(1, 20).unwrap().of(frame), alpha);
        assert_eq!((on(200, 55, 0), on(200, 56, 0)), (Some(Decision::Extend), Some(Decision::Enable)));
        assert_eq!((on(200, 130, 2), on(200, 130, 3)), (Some(Decision::Enable), Some(Decision::Extend)));
        assert_eq!((on(200, 10, 10), on(200, 199, 10)), (Some(Decision::Rejected), Some(Decision::Rejected)));
        // Of 20 items none may be wrong: all but the last one tell nothing for certain.
        assert_eq!(
            (on(20, 0, 0), on(20, 19, 0), on(20, 20, 0)),
            (Some(Decision::Census), Some(Decision::Census), Some(Decision::Enable))
        );
        assert_eq!(on(20, 21, 0).or(on(20, 3, 4)), None);
    }

    #[test]
    fn nothing_is_shown_against_no_errors_at_all() {
        let sample = Sample { frame: 9, n: 9, k: 0 };
        assert_eq!(evidence(sample, 0).unwrap().digits(), "0");
        assert_eq!(decide(sample, 0, Fraction::new(1, 20).unwrap()), Some(Decision::Rejected));
        assert!(evidence(sample, 10).is_none() && evidence(Sample { frame: MAX_FRAME + 1, n: 0, k: 0 }, 1).is_none());
    }
}
