//! The sequential test over several strata: overall, their errors are few.
//!
//! In: sizes of strata, marks one after the other. Out: E of all of them together,
//!
//! E = product Q_s / max {product L_s(d_s) : sum d_s >= D0, k_s <= d_s <= N_s - c_s},
//!
//! with Q and L of [`eprocess`](super::eprocess). The strata are sampled independently, so the products of their
//! ratios Q_s / L_s are a martingale as well, and the maximum covers every way in which D0 errors can lie. Each L_s is
//! log-concave, so that the maximum is found unit by unit, where the next error costs least. Counts are never pooled:
//! an unreviewed stratum may hold all errors. Invariant: whole numbers decide. Pure.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::eprocess::{Finding, MAX_FRAME, Mixture, Sample};
use super::evidence::Evidence;
use super::natural::Natural;
use super::number::{Bounds, Number};

/// A stratum before anything of it is reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stratum {
    /// Its items.
    pub frame: u64,
    /// The number of errors below which the alternatives of its mixture lie; at least 1.
    pub d0: u64,
}

/// The test while marks come in.
#[derive(Debug, Clone)]
pub struct Walk {
    d0: u64,
    strata: Vec<Stratum>,
    mixtures: Vec<Mixture<Bounds>>,
    /// Per stratum the errors at the maximum; none when D0 errors no longer fit.
    worst: Option<Vec<Worst>>,
}

#[derive(Debug, Clone, Copy)]
struct Worst {
    errors: u64,
    likelihood: Bounds,
}

impl Walk {
    /// The test of `d0` errors or more in all `strata` before the first mark; `None` as in [`Walk::after`].
    pub fn new(strata: &[Stratum], d0: u64) -> Option<Self> {
        let unmarked = |stratum: &Stratum| (*stratum, Sample { frame: stratum.frame, n: 0, k: 0 });
        Self::after(&strata.iter().map(unmarked).collect::<Vec<_>>(), d0)
    }

    /// The test after so many marks of each stratum.
    ///
    /// `None` without strata, when they have more than [`MAX_FRAME`] items, or when for one of them not 0 <= k <= n <=
    /// frame and 1 <= d0 <= frame.
    pub fn after(marked: &[(Stratum, Sample)], d0: u64) -> Option<Self> {
        let is_possible = |(stratum, sample): &(Stratum, Sample)| {
            let is_counted = sample.k <= sample.n && sample.n <= sample.frame && sample.frame == stratum.frame;
            is_counted && (1..=stratum.frame).contains(&stratum.d0)
        };
        let frame = marked.iter().try_fold(0_u64, |sum, (stratum, _)| sum.checked_add(stratum.frame))?;
        if marked.is_empty() || frame > MAX_FRAME || !marked.iter().all(is_possible) {
            return None;
        }
        let samples: Vec<Sample> = marked.iter().map(|(_, sample)| *sample).collect();
        let worst = least_favourable(&samples, d0);
        let at = |(sample, errors): (&Sample, &u64)| Worst { errors: *errors, likelihood: sample.likelihood(*errors) };
        Some(Self {
            d0,
            strata: marked.iter().map(|(stratum, _)| *stratum).collect(),
            mixtures: marked.iter().map(|(stratum, sample)| Mixture::at(*sample, stratum.d0)).collect(),
            worst: worst.map(|errors| samples.iter().zip(&errors).map(at).collect()),
        })
    }

    /// Counts one more mark of the stratum at `place`; one past the stratum's last item is not counted.
    pub fn mark(&mut self, place: usize, finding: Finding) {
        let sample = self.mixtures[place].sample();
        if sample.n == sample.frame {
            return;
        }
        self.mixtures[place].mark(finding);
        let Some(worst) = &mut self.worst else { return };
        let there = &mut worst[place];
        there.likelihood.multiply(sample.factor(there.errors, finding));
        let samples: Vec<Sample> = self.mixtures.iter().map(Mixture::sample).collect();
        let Some(errors) = least_favourable(&samples, self.d0) else {
            self.worst = None;
            return;
        };
        for ((worst, sample), errors) in worst.iter_mut().zip(&samples).zip(errors) {
            if worst.errors != errors {
                *worst = Worst { errors, likelihood: sample.likelihood(errors) };
            }
        }
    }

    /// The marks so far, by stratum.
    pub fn samples(&self) -> Vec<Sample> {
        self.mixtures.iter().map(Mixture::sample).collect()
    }

    /// E of the marks so far; no marks show less than 0 errors.
    pub fn evidence(&self) -> Evidence<'_> {
        if self.d0 == 0 {
            return Evidence::none();
        }
        let Some(worst) = &self.worst else { return Evidence::certain() };
        let rough = product(self.mixtures.iter().map(Mixture::value), worst.iter().map(|worst| worst.likelihood));
        let exact = move || {
            let parts = self.samples().into_iter().zip(&self.strata);
            let likelihoods = self.samples().into_iter().zip(worst);
            product(
                parts.map(|(sample, stratum)| Mixture::<Natural>::at(sample, stratum.d0).value()),
                likelihoods.map(|(sample, worst)| sample.likelihood(worst.errors)),
            )
        };
        Evidence::new(rough, exact)
    }
}

/// The product of all Q, over that of all L.
fn product<N: Number>(mixtures: impl Iterator<Item = [N; 2]>, likelihoods: impl Iterator<Item = N>) -> [N; 2] {
    let start = [N::one(), N::one()];
    let [numerator, denominator] =
        mixtures.fold(start, |[n, d], [numerator, denominator]| [n.times(&numerator), d.times(&denominator)]);
    [numerator, likelihoods.fold(denominator, |product, likelihood| product.times(&likelihood))]
}

/// The errors per stratum, at least `d0` together, under which the marks are likeliest; `None` when so many do not fit.
///
/// From the likeliest errors of each stratum on, an error is added where it costs least. Many are added at once: with
/// m missing in S strata, let each stratum offer its next b <= m / S errors; those of the stratum whose last one costs
/// least are among the m cheapest, because fewer than b of every other stratum are cheaper.
pub fn least_favourable(samples: &[Sample], d0: u64) -> Option<Vec<u64>> {
    let most: u64 = samples.iter().map(|sample| sample.most_errors()).sum();
    let mut errors: Vec<u64> = samples.iter().map(|sample| sample.likeliest()).collect();
    let mut missing = d0.saturating_sub(errors.iter().sum());
    if most < d0 {
        return None;
    }
    if let [only] = errors.as_mut_slice() {
        *only += missing;
        missing = 0;
    }
    let strata = samples.len() as u64;
    while missing > 0 {
        let block = (missing / (2 * strata)).max(1);
        let offer = |place: usize, errors: u64| Offer::new(samples[place], errors, block, place);
        let mut offers: BinaryHeap<Offer> =
            errors.iter().enumerate().filter_map(|(place, errors)| offer(place, *errors)).collect();
        // One error at a time may be taken to the end.
        while missing > 0 && (block == 1 || missing >= strata * block) {
            let place = offers.pop()?.place;
            errors[place] += block;
            missing -= block;
            offers.extend(offer(place, errors[place]));
        }
    }
    Some(errors)
}

/// What the last of a block of errors that a stratum offers multiplies L by: L(d) / L(d-1).
struct Offer {
    numerator: u64,
    denominator: u64,
    place: usize,
}

impl Offer {
    /// `None` when so many more errors do not fit into the stratum.
    fn new(sample: Sample, errors: u64, block: u64, place: usize) -> Option<Self> {
        let last = errors + block;
        (last <= sample.most_errors()).then(|| Self {
            numerator: last * (sample.most_errors() + 1 - last),
            denominator: (last - sample.k) * (sample.frame + 1 - last),
            place,
        })
    }
}

impl Ord for Offer {
    /// The cheapest is the greatest; of equals, that of the first stratum.
    fn cmp(&self, other: &Self) -> Ordering {
        let crossed = |a: &Self, b: &Self| u128::from(a.numerator) * u128::from(b.denominator);
        crossed(self, other).cmp(&crossed(other, self)).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Offer {}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::eprocess;
    use crate::analysis::fraction::Fraction;
    use crate::analysis::testing::{assert_close, cases};

    const VECTORS: &str = include_str!("../../tests/fixtures/stats/stratified.json");

    fn count(value: &Value) -> u64 {
        value.as_u64().unwrap()
    }

    fn sample(value: &Value) -> Sample {
        Sample { frame: count(&value["N"]), n: count(&value["n"]), k: count(&value["k"]) }
    }

    fn after(samples: &[Sample], below: Fraction, d0: u64) -> Walk {
        let part = |sample: &Sample| (Stratum { frame: sample.frame, d0: below.of(sample.frame) }, *sample);
        Walk::after(&samples.iter().map(part).collect::<Vec<_>>(), d0).unwrap()
    }

    #[test]
    fn evidence_is_that_of_exact_fractions() {
        let vectors = cases(VECTORS, "cases");
        assert!(vectors.len() >= 6);
        for case in vectors {
            let samples: Vec<Sample> = case["strata"].as_array().unwrap().iter().map(sample).collect();
            let below = Fraction::parse(case["X"].as_str().unwrap()).unwrap();
            let walk = after(&samples, below, count(&case["D0"]));
            assert_close(Some(walk.evidence().to_f64()), &case["e"], 1e-12, "e");
            let worst: Vec<u64> = walk.worst.as_ref().unwrap().iter().map(|worst| worst.errors).collect();
            let want: Vec<u64> = case["argmax_d"].as_array().unwrap().iter().map(count).collect();
            assert_eq!(worst, want);
        }
    }

    #[test]
    fn a_stratum_reviewed_in_full_leaves_with_its_errors() {
        let vectors = cases(VECTORS, "certainty_cases");
        assert!(vectors.len() >= 5);
        for case in vectors {
            let (rest, d0) = (sample(&case["rest"]), count(&case["D0_rest"]));
            assert_eq!(d0, count(&case["D0"]).saturating_sub(count(&case["certainty"]["k"])));
            assert_close(Some(eprocess::evidence(rest, d0).unwrap().to_f64()), &case["e"], 1e-12, "e");
        }
    }

    /// Every sample of two or three small strata.
    fn small_samples() -> Vec<Vec<Sample>> {
        let all = |frame: u64| {
            let of_size = move |n: u64| (0..=n).map(move |k| Sample { frame, n, k });
            (0..=frame).flat_map(of_size).collect::<Vec<_>>()
        };
        let mut out = Vec::new();
        for a in all(5) {
            for b in all(7) {
                out.push(vec![a, b]);
                out.extend(all(2).into_iter().map(|c| vec![a, b, c]));
            }
        }
        out
    }

    /// The greatest product of likelihoods over all ways to place the errors, one by one.
    fn greatest(samples: &[Sample], d0: u64) -> Option<Natural> {
        let Some((first, rest)) = samples.split_first() else { return (d0 == 0).then(Natural::one) };
        let places = (0..=first.frame).filter_map(|errors| {
            let others = greatest(rest, d0.saturating_sub(errors))?;
            Some(first.likelihood::<Natural>(errors).times(&others))
        });
        places.max()
    }

    #[test]
    fn the_least_favourable_errors_are_those_of_a_search_through_all() {
        for samples in small_samples() {
            for d0 in [1, 3, 6, 10] {
                let fit = samples.iter().map(|sample| sample.most_errors()).sum::<u64>() >= d0;
                let found = least_favourable(&samples, d0);
                assert_eq!(found.is_some(), fit, "{samples:?} {d0}");
                let Some(errors) = found else { continue };
                assert!(errors.iter().sum::<u64>() >= d0);
                let ours = samples
                    .iter()
                    .zip(&errors)
                    .fold(Natural::one(), |product, (sample, errors)| product.times(&sample.likelihood(*errors)));
                assert_eq!(Some(ours), greatest(&samples, d0), "{samples:?} {d0}");
            }
        }
    }

    #[test]
    fn many_errors_at_once_are_placed_as_one_by_one() {
        let samples = [(90_000, 700, 3), (4_000, 30, 1), (800, 0, 0), (60_000, 300, 9), (500, 499, 2)]
            .map(|(frame, n, k)| Sample { frame, n, k });
        for d0 in [100, 3_000, 7_501, 20_000] {
            let at_once = least_favourable(&samples, d0).unwrap();
            let mut errors = samples.map(Sample::likeliest).to_vec();
            while errors.iter().sum::<u64>() < d0 {
                let offers = samples.iter().zip(&errors).enumerate();
                let best = offers.filter_map(|(place, (sample, errors))| Offer::new(*sample, *errors, 1, place)).max();
                errors[best.unwrap().place] += 1;
            }
            assert_eq!(at_once, errors, "{d0}");
        }
    }

    #[test]
    fn one_stratum_is_tested_as_alone() {
        let d0 = 7;
        let mut walk = Walk::new(&[Stratum { frame: 60, d0 }], d0).unwrap();
        for i in 0..60 {
            walk.mark(0, if i % 17 == 5 { Finding::Incorrect } else { Finding::Correct });
            let [sample] = walk.samples()[..] else { panic!("one stratum") };
            assert_eq!(walk.evidence().digits(), eprocess::evidence(sample, d0).unwrap().digits(), "{sample:?}");
        }
    }

    #[test]
    fn a_walk_gives_the_evidence_of_the_counts() {
        let below = Fraction::new(1, 10).unwrap();
        let strata = [40, 25, 9].map(|frame| Stratum { frame, d0: below.of(frame) });
        let mut walk = Walk::new(&strata, 8).unwrap();
        for i in 0..200_usize {
            walk.mark(i % 3, if i % 23 == 7 { Finding::Incorrect } else { Finding::Correct });
            let direct = after(&walk.samples(), below, 8);
            assert_eq!(walk.evidence().digits(), direct.evidence().digits(), "{i}");
        }
        assert!(walk.samples().iter().all(|sample| sample.n == sample.frame));
    }

    #[test]
    fn an_unreviewed_stratum_may_hold_all_errors() {
        let samples = [Sample { frame: 50, n: 50, k: 0 }, Sample { frame: 50, n: 0, k: 0 }];
        let walk = after(&samples, Fraction::new(1, 10).unwrap(), 10);
        assert!(walk.evidence().to_f64() < 1.0);
    }

    #[test]
    fn nonsense_has_no_test() {
        let stratum = Stratum { frame: 5, d0: 1 };
        assert!(Walk::new(&[], 1).is_none() && Walk::new(&[Stratum { frame: 5, d0: 0 }], 1).is_none());
        assert!(Walk::after(&[(stratum, Sample { frame: 5, n: 3, k: 4 })], 1).is_none());
        assert!(Walk::after(&[(stratum, Sample { frame: 6, n: 3, k: 1 })], 1).is_none());
        assert!(Walk::new(&[Stratum { frame: MAX_FRAME, d0: 1 }, stratum], 1).is_none());
    }
}
