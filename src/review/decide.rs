//! The decision of a review, and what it would take.
//!
//! In: plan, frame, order, verdicts, planted items. Out: the status that `review status` prints and `review.decided`
//! holds, and the path of E after each counted item. Invariant: the same inputs give the same decision on every
//! platform, because whole numbers decide; a worse verdict never helps. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::frame::{Frame, decimal};
use super::judge::{Catch, Judge, Terms};
use super::marks::Standing;
use super::order::Order;
use super::plan::{Claim, Measure, Plan, Procedure, Stratum};
use super::seed::Drawn;
use super::tally::{StratumTally, Tally, Verdicts, finding, tally, verdict, wrong};
use crate::analysis::betting::Bets;
use crate::analysis::eprocess::Finding;
use crate::analysis::fraction::Fraction;
use crate::analysis::planted::caught_share;
use crate::error::{Error, Result};

pub use crate::analysis::eprocess::Decision;

/// All that a decision follows from.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The plan, which has been checked against the frame.
    pub plan: &'a Plan,
    /// The frame.
    pub frame: &'a Frame,
    /// The order that was drawn from it.
    pub order: &'a Order,
    /// The verdicts of items of the frame; others are not looked at.
    pub verdicts: &'a Verdicts,
    /// What became of planted items; counts where the plan has some.
    pub planted: Planted,
}

/// What became of planted items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Planted {
    /// Those that have a verdict.
    pub marked: u64,
    /// Those whose verdict is not correct.
    pub caught: u64,
}

impl Planted {
    /// Counts the verdicts of the planted items `ids`.
    pub fn of(ids: &BTreeSet<String>, verdicts: &Verdicts) -> Self {
        let found = |id: &String| finding(verdicts.get(id));
        let findings: Vec<Finding> = ids.iter().filter_map(found).collect();
        let caught = findings.iter().filter(|finding| **finding == Finding::Incorrect).count();
        Self { marked: findings.len() as u64, caught: caught as u64 }
    }
}

/// Where a review stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Items of the frame.
    #[serde(rename = "N")]
    pub items: u64,
    /// Errors that the claim excludes, in the whole frame; none of a claim by value.
    #[serde(rename = "D0")]
    pub d0: Option<u64>,
    /// Items counted; by value, draws.
    pub n: u64,
    /// Of them incorrect.
    pub k: u64,
    /// The least E that has to reach 1 / alpha, six digits rounded down; in a fixed plan one over the p-value.
    pub e: String,
    /// What is decided.
    pub decision: Decision,
    /// The least number of further marks, all correct, that gives ENABLE within the plan.
    pub next: Option<u64>,
    /// What E is held against: the allowed error of this attempt, or of its test.
    pub alpha: Fraction,
    /// The claim.
    pub claim: Claim,
    /// When it may be decided.
    pub procedure: Procedure,
    /// The attempt.
    pub attempt: u32,
    /// By stratum.
    pub strata: Vec<StratumStatus>,
    /// Marks of items whose turn has not come.
    pub waiting: u64,
    /// What reviewers catch, where items were planted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<PlantedStatus>,
    /// What is wrong of the value, of a claim by value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueStatus>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// How the sample was drawn; filled in by whoever read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Drawn>,
}

/// Where a stratum stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StratumStatus {
    /// Its counts.
    #[serde(flatten)]
    pub tally: StratumTally,
    /// Whether all of it is reviewed.
    pub is_take_all: bool,
    /// Errors that the claim excludes in it, of a claim of each stratum.
    #[serde(rename = "D0", default, skip_serializing_if = "Option::is_none")]
    pub d0: Option<u64>,
    /// Its own E, of a claim of each stratum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// What planted items show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlantedStatus {
    /// Planted.
    pub items: u64,
    /// Of them with a verdict.
    pub marked: u64,
    /// Of them not called correct.
    pub caught: u64,
    /// What is caught at least; none until all are marked.
    pub share: Option<Fraction>,
    /// The recorded errors that take the place of D0, overall or of each stratum; none until all are marked.
    pub recorded_errors: Option<Vec<u64>>,
}

/// What a review by value shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueStatus {
    /// The value at stake in the frame.
    pub total: String,
    /// What of it was found wrong, each item once.
    pub wrong: String,
}

/// A step of the path of E.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Items counted.
    pub n: u64,
    /// Of them incorrect.
    pub k: u64,
    /// As [`Status::e`].
    pub e: String,
}

impl Status {
    /// The same review, but not what was planned or drawn.
    pub fn invalid(self, reasons: Vec<String>) -> Self {
        Self { decision: Decision::Invalid, next: None, reasons, ..self }
    }
}

impl Case<'_> {
    /// Where the review stands.
    ///
    /// # Errors
    /// `Invalid` for a plan that its check refuses.
    pub fn status(&self) -> Result<Status> {
        let tally = tally(self.plan, self.frame, self.order, self.verdicts);
        let catch = self.catch(self.planted)?;
        let start = self.judge(catch)?;
        let mut judge = start.clone();
        self.apply(&mut judge, &self.order.places()[..tally.counted]);
        let (decision, next) = match judge.is_shown() {
            _ if self.is_false(&judge, &tally) => (Decision::Rejected, None),
            true => (Decision::Enable, Some(0)),
            false => match self.next(&start, judge.clone(), &tally)? {
                Some((next, true)) => (Decision::Census, Some(next)),
                Some((next, false)) => (Decision::Extend, Some(next)),
                None => (Decision::Paused, None),
            },
        };
        let sum = |of: fn(&StratumTally) -> u64| tally.strata.iter().map(of).sum::<u64>();
        Ok(Status {
            items: self.plan.frame.items,
            d0: self.plan.d0(),
            n: sum(|stratum| stratum.n),
            k: sum(|stratum| stratum.k),
            e: judge.digits(),
            decision,
            next,
            alpha: self.alpha()?,
            claim: self.plan.claim,
            procedure: self.plan.procedure,
            attempt: self.plan.attempt,
            reasons: self.reasons(decision, next, &tally),
            planted: self.planted_status(&judge, catch),
            value: (self.plan.claim.of == Measure::Value).then(|| ValueStatus {
                total: decimal_wide(self.frame.value()),
                wrong: decimal_wide(judge.wrong_value()),
            }),
            waiting: tally.waiting,
            strata: self.strata(&judge, tally),
            seed: None,
        })
    }

    /// The path of E: after each counted item of a sequential plan; of a fixed one, which is looked at once, its end.
    ///
    /// # Errors
    /// As [`Case::status`].
    pub fn path(&self) -> Result<Vec<Step>> {
        let tally = tally(self.plan, self.frame, self.order, self.verdicts);
        let mut judge = self.judge(self.catch(self.planted)?)?;
        let (mut path, mut k) = (Vec::new(), 0);
        for (n, place) in (1..).zip(&self.order.places()[..tally.counted]) {
            self.apply(&mut judge, &[*place]);
            k += u64::from(finding(verdict(self.frame, self.verdicts, *place)) != Some(Finding::Correct));
            if self.plan.procedure == Procedure::Sequential || n == tally.counted as u64 {
                path.push(Step { n, k, e: judge.digits() });
            }
        }
        Ok(path)
    }

    /// E of the same marks if they came from a process without an end: what speaks for outputs to come, as long as they
    /// are made as those of the frame were. Of several strata or of value there is none.
    pub fn process_e(&self) -> Option<String> {
        let tally = tally(self.plan, self.frame, self.order, self.verdicts);
        let [only] = &tally.strata[..] else { return None };
        let mut bets = Bets::new(self.plan.claim.below).filter(|_| self.plan.claim.of != Measure::Value)?;
        (0..only.k).for_each(|_| bets.draw(Fraction::ONE));
        (only.k..only.n).for_each(|_| bets.draw(Fraction::ZERO));
        Some(bets.evidence().digits())
    }

    fn alpha(&self) -> Result<Fraction> {
        self.plan.test_alpha().ok_or_else(unchecked)
    }

    fn judge(&self, catch: Catch) -> Result<Judge> {
        Judge::new(Terms {
            claim: self.plan.claim,
            procedure: self.plan.procedure,
            alpha: self.alpha()?,
            strata: &self.plan.strata,
            value: self.frame.value(),
            catch,
        })
    }

    /// What reviewers catch, once all planted items are marked: while they are, the bound would change with the sample.
    fn catch(&self, planted: Planted) -> Result<Catch> {
        match &self.plan.planted {
            None => Ok(Catch::All),
            Some(terms) if planted.marked < terms.items => Ok(Catch::Unknown),
            Some(terms) => {
                caught_share(terms.items, planted.caught, self.alpha()?).map(Catch::Share).ok_or_else(unchecked)
            }
        }
    }

    /// Counts the verdicts of `places`; what has none is incorrect.
    fn apply(&self, judge: &mut Judge, places: &[u32]) {
        for place in places {
            let verdict = verdict(self.frame, self.verdicts, *place);
            match self.plan.claim.of {
                Measure::Value => {
                    let weight = self.frame.weight(*place as usize);
                    judge.draw(*place, weight, wrong(verdict, weight));
                }
                _ => judge.mark(self.frame.stratum(*place as usize), finding(verdict).unwrap_or(Finding::Incorrect)),
            }
        }
    }

    /// Counts the item at `place` as correct.
    fn assume(&self, judge: &mut Judge, place: u32) {
        match self.plan.claim.of {
            Measure::Value => judge.draw(place, self.frame.weight(place as usize), 0),
            _ => judge.mark(self.frame.stratum(place as usize), Finding::Correct),
        }
    }

    /// Whether so many errors are certain that the claim is false, however the rest may be.
    fn is_false(&self, judge: &Judge, tally: &Tally) -> bool {
        let below = self.plan.claim.below;
        match self.plan.claim.of {
            Measure::Overall => {
                let settled: u64 = tally.strata.iter().map(StratumTally::settled).sum();
                settled >= below.of(self.plan.frame.items)
            }
            Measure::EachStratum => tally.strata.iter().any(|stratum| stratum.settled() >= below.of(stratum.items)),
            Measure::Value => {
                let places: BTreeSet<u32> = self.order.places()[..tally.counted].iter().copied().collect();
                let settled = places.into_iter().map(|place| {
                    let verdict = verdict(self.frame, self.verdicts, place);
                    let is_settled = verdict.is_some_and(|verdict| {
                        matches!(verdict.standing, Standing::Incorrect | Standing::WithoutEvidence)
                    });
                    u128::from(if is_settled { wrong(verdict, self.frame.weight(place as usize)) } else { 0 })
                });
                judge.is_excluded_value(settled.sum())
            }
        }
    }

    /// The least number of further marks, all correct, after which the claim is shown, and whether it is certain then.
    /// Planted items that are not marked are taken for caught.
    fn next(&self, start: &Judge, present: Judge, tally: &Tally) -> Result<Option<(u64, bool)>> {
        let Planted { caught, marked } = self.planted;
        let items = self.plan.planted.as_ref().map_or(0, |terms| terms.items);
        let best = Planted { marked: marked.max(items), caught: caught + items.saturating_sub(marked) };
        let is_unmarked = marked < items;
        let hopeful;
        let start = if is_unmarked {
            hopeful = self.judge(self.catch(best)?)?;
            &hopeful
        } else {
            start
        };
        if self.plan.procedure == Procedure::Fixed {
            return Ok(self.next_of_fixed(start));
        }
        let (counted, rest) = self.order.places().split_at(tally.counted);
        let mut judge = present;
        if is_unmarked {
            judge = start.clone();
            self.apply(&mut judge, counted);
        }
        let is_open = |place: &u32| finding(verdict(self.frame, self.verdicts, *place)).is_none();
        let mut assumed = BTreeSet::new();
        if is_unmarked && judge.is_shown() {
            return Ok(Some((0, judge.is_certain())));
        }
        for (at, place) in rest.iter().enumerate() {
            if is_open(place) {
                assumed.insert(*place);
                self.assume(&mut judge, *place);
            } else {
                self.apply(&mut judge, &[*place]);
            }
            // What is marked already would count at once.
            let is_end = rest.get(at + 1).is_none_or(|next| is_open(next) && !assumed.contains(next));
            if is_end && judge.is_shown() {
                return Ok(Some((assumed.len() as u64, judge.is_certain())));
            }
        }
        Ok(None)
    }

    /// The same of a fixed plan, whose unmarked items are incorrect until they are marked: the more of them are
    /// correct, the better.
    fn next_of_fixed(&self, start: &Judge) -> Option<(u64, bool)> {
        let places = self.order.places();
        let mut unmarked = Vec::new();
        let mut seen = BTreeSet::new();
        for place in places {
            if finding(verdict(self.frame, self.verdicts, *place)).is_none() && seen.insert(*place) {
                unmarked.push(*place);
            }
        }
        let with = |correct: usize| {
            let assumed: BTreeSet<u32> = unmarked[..correct].iter().copied().collect();
            let mut judge = start.clone();
            for place in places {
                if assumed.contains(place) {
                    self.assume(&mut judge, *place);
                } else {
                    self.apply(&mut judge, &[*place]);
                }
            }
            judge.is_shown().then(|| judge.is_certain())
        };
        let mut is_certain = with(unmarked.len())?;
        let (mut least, mut enough) = (0, unmarked.len());
        while least < enough {
            let middle = (least + enough) / 2;
            match with(middle) {
                Some(certain) => (enough, is_certain) = (middle, certain),
                None => least = middle + 1,
            }
        }
        Some((enough as u64, is_certain))
    }

    fn strata(&self, judge: &Judge, tally: Tally) -> Vec<StratumStatus> {
        let is_each = self.plan.claim.of == Measure::EachStratum;
        let status = |(place, (tally, planned)): (usize, (StratumTally, &Stratum))| StratumStatus {
            d0: is_each.then(|| self.plan.claim.below.of(tally.items)),
            e: judge.stratum_digits(place),
            is_take_all: planned.is_take_all,
            tally,
        };
        tally.strata.into_iter().zip(&self.plan.strata).enumerate().map(status).collect()
    }

    fn planted_status(&self, judge: &Judge, catch: Catch) -> Option<PlantedStatus> {
        let share = if let Catch::Share(share) = catch { Some(share) } else { None };
        let terms = self.plan.planted.as_ref()?;
        Some(PlantedStatus {
            items: terms.items,
            marked: self.planted.marked,
            caught: self.planted.caught,
            recorded_errors: share.map(|_| judge.targets().to_vec()),
            share,
        })
    }

    fn reasons(&self, decision: Decision, next: Option<u64>, tally: &Tally) -> Vec<String> {
        let sum = |of: fn(&StratumTally) -> u64| tally.strata.iter().map(of).sum::<u64>();
        let more = next.unwrap_or(0);
        let mut reasons = vec![match decision {
            Decision::Enable => "the claim is shown at its allowed error".to_owned(),
            Decision::Extend => format!("{more} more marks show it if all of them are correct"),
            Decision::Census => {
                format!("no sample shows it: {more} more marks do, all correct, by leaving no room for so many errors")
            }
            Decision::Rejected => "the errors found make the claim false, however the rest may be".to_owned(),
            Decision::Paused => {
                format!(
                    "even if all further items were correct, the {} of the plan would not show it",
                    self.plan.most_items
                )
            }
            Decision::Invalid => "what was marked is not what was planned and drawn".to_owned(),
        }];
        let open = self.plan.planted.as_ref().map_or(0, |terms| terms.items.saturating_sub(self.planted.marked));
        let counts = [
            (sum(|s| s.escalated), "escalated items count as incorrect until somebody says"),
            (sum(|s| s.without_evidence), "items count as incorrect because their evidence cannot be produced"),
            (sum(|s| s.unmarked), "items of the fixed sample are not marked and count as incorrect"),
            (sum(|s| s.cleared), "items that were called incorrect or escalated were cleared by somebody"),
            (tally.waiting, "marks wait for their turn in the order and do not count yet"),
            (open, "planted items are not marked; nothing is shown until they are"),
        ];
        reasons
            .extend(counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        reasons
    }
}

fn unchecked() -> Error {
    Error::invalid("the plan cannot be decided by; check it first")
}

/// Hundredths as a decimal number, of any size.
fn decimal_wide(hundredths: u128) -> String {
    match u64::try_from(hundredths) {
        Ok(small) => decimal(small),
        Err(_) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
    }
}
