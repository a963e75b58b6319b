//! The test of a claim while findings come in, whatever it is a claim of.
//!
//! In: the terms of the test, then findings in the order of review. Out: whether the claim is shown, is certain, and
//! by which evidence. Invariant: a stratum leaves the test only where the plan had it reviewed in full: were it to
//! leave whenever its last item is marked, the test would change with the sample, and exact probabilities of small
//! frames exceed alpha. Until all of those are reviewed nothing is shown but by certainty. Pure.

use std::collections::BTreeMap;

use super::plan::{Claim, Measure, Procedure, Stratum};
use crate::analysis::betting::Bets;
use crate::analysis::eprocess::{Finding, Sample};
use crate::analysis::evidence::Evidence;
use crate::analysis::fraction::Fraction;
use crate::analysis::planted::recorded_errors;
use crate::analysis::{fixed, strata};
use crate::error::{Error, Result};

/// What a claim is tested by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub claim: Claim,
    pub procedure: Procedure,
    pub alpha: Fraction,
    pub strata: &'a [Stratum],
    /// The value at stake in hundredths.
    pub value: u128,
    pub catch: Catch,
}

/// What is known of the errors that reviewers catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Catch {
    /// Marks are taken for right.
    All,
    /// At least this share.
    Share(Fraction),
    /// Not all planted items are marked.
    Unknown,
}

/// The test of one claim.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    claim: Claim,
    procedure: Procedure,
    alpha: Fraction,
    /// Every stratum of the plan.
    parts: Vec<Part>,
    /// The recorded errors that the claim excludes: overall, or of each stratum.
    targets: Vec<u64>,
    test: Test,
    /// Whether each target is met, as far as that was asked since its last mark.
    met: Vec<Option<bool>>,
}

#[derive(Debug, Clone)]
struct Part {
    sample: Sample,
    is_take_all: bool,
    /// Its place among the strata that are sampled.
    place: usize,
}

#[derive(Debug, Clone)]
enum Test {
    /// Of all sampled strata, once those that are reviewed in full are.
    Overall {
        is_rate_kept: bool,
        started: Option<Started>,
    },
    /// Of each stratum that is sampled.
    Each(Vec<Option<strata::Walk>>),
    Value(Box<Value>),
}

/// The test of the strata that are sampled.
#[derive(Debug, Clone)]
struct Started {
    d0: u64,
    walk: strata::Walk,
}

#[derive(Debug, Clone)]
struct Value {
    total: u128,
    bets: Bets,
    /// Weight and wrong amount of each item drawn.
    drawn: BTreeMap<u32, (u64, u64)>,
}

impl Judge {
    /// The test before the first finding.
    ///
    /// # Errors
    /// `Invalid` for terms that no checked plan has.
    pub fn new(terms: Terms<'_>) -> Result<Self> {
        let untestable = || Error::invalid("the claim cannot be tested by its terms; check the plan first");
        let mut sampled = 0;
        let part = |stratum: &Stratum| {
            sampled += usize::from(!stratum.is_take_all);
            let sample = Sample { frame: stratum.items, n: 0, k: 0 };
            Part { sample, is_take_all: stratum.is_take_all, place: sampled.saturating_sub(1) }
        };
        let parts: Vec<Part> = terms.strata.iter().map(part).collect();
        let items = parts.iter().map(|part| part.sample.frame);
        let targets = match terms.claim.of {
            Measure::Overall => vec![terms.target(items.sum()).ok_or_else(untestable)?],
            Measure::EachStratum => {
                items.map(|items| terms.target(items)).collect::<Option<Vec<u64>>>().ok_or_else(untestable)?
            }
            Measure::Value => vec![0],
        };
        let test = match terms.claim.of {
            Measure::Overall => {
                let is_rate_kept = terms.catch == Catch::All && parts.iter().all(|part| !part.is_take_all);
                Test::Overall { is_rate_kept, started: None }
            }
            Measure::EachStratum => Test::Each(parts.iter().zip(&targets).map(alone).collect()),
            Measure::Value => {
                let bets = Bets::new(terms.claim.below).ok_or_else(untestable)?;
                Test::Value(Box::new(Value { total: terms.value, bets, drawn: BTreeMap::new() }))
            }
        };
        let met = vec![None; targets.len()];
        let Terms { claim, procedure, alpha, .. } = terms;
        let mut judge = Self { claim, procedure, alpha, parts, targets, test, met };
        judge.start();
        Ok(judge)
    }

    /// Counts the finding of the next item of the stratum at `place`.
    pub fn mark(&mut self, place: usize, finding: Finding) {
        let Part { sample, is_take_all, place: own } = &mut self.parts[place];
        if sample.n == sample.frame {
            return;
        }
        *sample = sample.with(finding);
        let (own, is_sampled) = (*own, !*is_take_all);
        let met = if self.met.len() == 1 { 0 } else { place };
        self.met[met] = None;
        match &mut self.test {
            Test::Overall { started: Some(started), .. } if is_sampled => started.walk.mark(own, finding),
            Test::Each(walks) => {
                if let Some(walk) = &mut walks[place] {
                    walk.mark(0, finding);
                }
            }
            _ => {}
        }
        self.start();
    }

    /// Counts the next draw by value: of `item`, which weighs `weight` hundredths of which `wrong` are wrong.
    pub fn draw(&mut self, item: u32, weight: u64, wrong: u64) {
        if let Test::Value(value) = &mut self.test {
            let wrong = wrong.min(weight);
            value.bets.draw(Fraction::new(wrong, weight).unwrap_or(Fraction::ZERO));
            value.drawn.insert(item, (weight, wrong));
            self.met[0] = None;
        }
    }

    /// Whether the claim is shown at the allowed error.
    pub fn is_shown(&mut self) -> bool {
        for place in 0..self.met.len() {
            if self.met[place].is_none() {
                let reaches = self.evidence(place).reaches(self.alpha);
                self.met[place] = Some(reaches);
            }
        }
        self.met.iter().all(|met| *met == Some(true))
    }

    /// Whether nothing that the claim excludes is possible any more.
    pub fn is_certain(&self) -> bool {
        (0..self.targets.len()).all(|place| self.evidence(place).is_certain())
    }

    /// The evidence that is the least for the claim, as digits.
    pub fn digits(&self) -> String {
        let all = (0..self.targets.len()).map(|place| self.evidence(place));
        let least = all.min_by(|a, b| a.to_f64().total_cmp(&b.to_f64()));
        least.map_or_else(|| "0".to_owned(), |evidence| evidence.digits())
    }

    /// The evidence on the stratum at `place`; none where the claim is not one of each stratum.
    pub fn stratum_digits(&self, place: usize) -> Option<String> {
        matches!(self.test, Test::Each(_)).then(|| self.evidence(place).digits())
    }

    /// The recorded errors that the claim excludes; of a claim by value none.
    pub fn targets(&self) -> &[u64] {
        if self.claim.of == Measure::Value { &[] } else { &self.targets }
    }

    /// The wrong value among the items drawn, in hundredths.
    pub fn wrong_value(&self) -> u128 {
        match &self.test {
            Test::Value(value) => value.drawn.values().map(|(_, wrong)| u128::from(*wrong)).sum(),
            _ => 0,
        }
    }

    /// Whether `amount` of the value at stake is a share of what the claim excludes.
    pub fn is_excluded_value(&self, amount: u128) -> bool {
        let Test::Value(value) = &self.test else { return false };
        is_share_of(amount, value.total, self.claim.below)
    }

    /// The evidence on the target at `place`.
    fn evidence(&self, place: usize) -> Evidence<'_> {
        let target = self.targets[place];
        match &self.test {
            Test::Value(value) => value.evidence(self.claim.below),
            Test::Overall { .. } | Test::Each(_) if target == 0 => Evidence::none(),
            Test::Overall { started, .. } => {
                let most: u64 = self.parts.iter().map(|part| part.sample.most_errors()).sum();
                match started {
                    _ if most < target => Evidence::certain(),
                    Some(started) => self.of_sampled(started),
                    None => Evidence::none(),
                }
            }
            Test::Each(walks) => {
                let sample = self.parts[place].sample;
                match &walks[place] {
                    _ if sample.most_errors() < target => Evidence::certain(),
                    Some(walk) if self.procedure == Procedure::Sequential => walk.evidence(),
                    Some(_) => fixed::evidence(sample, target).unwrap_or_else(Evidence::none),
                    None => Evidence::none(),
                }
            }
        }
    }

    /// Of several strata a fixed sample has the evidence of a sequential one, looked at once.
    fn of_sampled<'a>(&self, started: &'a Started) -> Evidence<'a> {
        match (self.procedure, &started.walk.samples()[..]) {
            (Procedure::Fixed, [only]) => fixed::evidence(*only, started.d0).unwrap_or_else(Evidence::none),
            _ => started.walk.evidence(),
        }
    }

    /// Begins the overall test of the sampled strata when those reviewed in full are.
    fn start(&mut self) {
        let Test::Overall { is_rate_kept, started: started @ None } = &mut self.test else { return };
        let whole = || self.parts.iter().filter(|part| part.is_take_all).map(|part| part.sample);
        if whole().any(|sample| sample.n < sample.frame) {
            return;
        }
        let d0 = self.targets[0].saturating_sub(whole().map(|sample| sample.k).sum());
        let sampled = || self.parts.iter().filter(|part| !part.is_take_all).map(|part| part.sample);
        let rest: u64 = sampled().map(|sample| sample.frame).sum();
        let rate = if *is_rate_kept { Some(self.claim.below) } else { Fraction::new(d0, rest) };
        let Some(rate) = rate.filter(|_| d0 > 0) else { return };
        let with_d0 = |sample: Sample| {
            let d0 = rate.of(sample.frame).clamp(1, sample.frame);
            (strata::Stratum { frame: sample.frame, d0 }, sample)
        };
        *started =
            strata::Walk::after(&sampled().map(with_d0).collect::<Vec<_>>(), d0).map(|walk| Started { d0, walk });
    }
}

impl Terms<'_> {
    /// The recorded errors among `items` that the claim excludes; 0 as long as that is not known.
    fn target(&self, items: u64) -> Option<u64> {
        let d0 = self.claim.below.of(items);
        match self.catch {
            Catch::All => Some(d0),
            Catch::Share(share) => recorded_errors(d0, share, self.alpha),
            Catch::Unknown => Some(0),
        }
    }
}

/// The test of a stratum by itself.
fn alone((part, target): (&Part, &u64)) -> Option<strata::Walk> {
    let stratum = strata::Stratum { frame: part.sample.frame, d0: *target };
    if part.is_take_all { None } else { strata::Walk::new(&[stratum], *target) }
}

impl Value {
    fn evidence(&self, below: Fraction) -> Evidence<'_> {
        let right: u128 = self.drawn.values().map(|(weight, wrong)| u128::from(weight - wrong)).sum();
        match is_share_of(self.total.saturating_sub(right), self.total, below) {
            true => self.bets.evidence(),
            false => Evidence::certain(),
        }
    }
}

/// Whether `amount` / `total` >= `share`: the claim is false if so much is wrong.
fn is_share_of(amount: u128, total: u128, share: Fraction) -> bool {
    // A frame has at most 2^21 items of 2^64 hundredths, and a claim's fraction 30 bits.
    amount * u128::from(share.denominator()) >= total * u128::from(share.numerator())
}
