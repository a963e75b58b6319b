//! What counts of a review so far.
//!
//! In: plan, frame, order, verdicts. Out: the counted items of the order with the finding of each, and the numbers by
//! stratum. Invariant: a sequential plan counts the longest beginning of the order of which every item has a verdict, a
//! fixed plan all of its items, unmarked ones as incorrect; nothing that was marked out of turn counts. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::marks::{Standing, Verdict};
use super::order::Order;
use super::plan::{Plan, Procedure};
use crate::analysis::eprocess::Finding;

/// The verdict of each item by its id.
pub type Verdicts = BTreeMap<String, Verdict>;

/// The counts of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Items of the order that count, from its beginning.
    pub counted: usize,
    /// The counts of each stratum of the plan.
    pub strata: Vec<StratumTally>,
    /// Places of the order past the counted ones whose items have a verdict.
    pub waiting: u64,
}

/// The counts of a stratum; of a claim by value draws are counted, items as often as they were drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StratumTally {
    /// Its name.
    pub stratum: String,
    /// Its items in the frame.
    #[serde(rename = "N")]
    pub items: u64,
    /// Counted.
    pub n: u64,
    /// Of them incorrect, whatever makes them so.
    pub k: u64,
    /// Of the incorrect ones: escalated, until somebody says.
    pub escalated: u64,
    /// Of the incorrect ones: without evidence.
    pub without_evidence: u64,
    /// Of the incorrect ones: not marked, in a fixed plan.
    pub unmarked: u64,
    /// Correct ones that somebody had called incorrect or escalated.
    pub cleared: u64,
}

impl StratumTally {
    /// Errors that no later mark of an item that is unmarked or escalated can take away.
    pub fn settled(&self) -> u64 {
        self.k - self.escalated - self.unmarked
    }
}

/// Counts by `plan`.
pub fn tally(plan: &Plan, frame: &Frame, order: &Order, verdicts: &Verdicts) -> Tally {
    let is_marked = |place: &u32| finding(verdict(frame, verdicts, *place)).is_some();
    let counted = match plan.procedure {
        Procedure::Sequential => order.places().iter().take_while(|place| is_marked(place)).count(),
        Procedure::Fixed => order.places().len(),
    };
    let name = |(stratum, items): &(String, u64)| StratumTally {
        stratum: stratum.clone(),
        items: *items,
        ..StratumTally::default()
    };
    let mut strata: Vec<StratumTally> = frame.strata().iter().map(name).collect();
    for place in &order.places()[..counted] {
        strata[frame.stratum(*place as usize)].count(verdict(frame, verdicts, *place));
    }
    let waiting = order.places()[counted..].iter().filter(|place| is_marked(place)).count() as u64;
    Tally { counted, strata, waiting }
}

impl StratumTally {
    fn count(&mut self, verdict: Option<&Verdict>) {
        self.n += 1;
        self.k += u64::from(finding(verdict) != Some(Finding::Correct));
        match verdict.map_or(Standing::Open, |verdict| verdict.standing) {
            Standing::Open => self.unmarked += 1,
            Standing::Escalated => self.escalated += 1,
            Standing::WithoutEvidence => self.without_evidence += 1,
            Standing::Correct => self.cleared += u64::from(verdict.is_some_and(|verdict| verdict.cleared_by.is_some())),
            Standing::Incorrect => {}
        }
    }
}

/// The verdict of the item at `place` of the frame.
pub(super) fn verdict<'a>(frame: &Frame, verdicts: &'a Verdicts, place: u32) -> Option<&'a Verdict> {
    verdicts.get(frame.id(place as usize))
}

/// What a verdict counts as; none when it is still open.
pub(super) fn finding(verdict: Option<&Verdict>) -> Option<Finding> {
    match verdict?.standing {
        Standing::Open => None,
        Standing::Correct => Some(Finding::Correct),
        Standing::Incorrect | Standing::Escalated | Standing::WithoutEvidence => Some(Finding::Incorrect),
    }
}

/// Of an item that weighs `weight` hundredths, how much is wrong.
pub(super) fn wrong(verdict: Option<&Verdict>, weight: u64) -> u64 {
    match verdict {
        Some(verdict) if verdict.standing == Standing::Correct => 0,
        Some(verdict) => verdict.wrong_amount.unwrap_or(weight).min(weight),
        None => weight,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::testing::{frame, plan};
    use super::*;
    use crate::analysis::sampler::seed_hash;

    fn verdict_of(standing: Standing) -> Verdict {
        let cleared_by = (standing == Standing::Correct).then(|| "bob".to_owned());
        Verdict { standing, reviewers: vec!["ann".to_owned()], cleared_by, refused: 0, wrong_amount: None }
    }

    /// Ten items of two strata, and verdicts of the items at some places of their order.
    fn case(marks: &[(usize, Standing)]) -> (Plan, Frame, Order, Verdicts) {
        let frame = frame(&[("a", 5), ("b", 5)]);
        let plan = plan(&frame);
        let order = Order::draw(&plan, &frame, &seed_hash("tally")).unwrap();
        let id = |at: usize| frame.id(order.places()[at] as usize).to_owned();
        let verdicts = marks.iter().map(|(at, standing)| (id(*at), verdict_of(*standing))).collect();
        (plan, frame, order, verdicts)
    }

    #[test]
    fn a_sequential_plan_counts_up_to_the_first_item_without_a_verdict() {
        let marks = [
            (0, Standing::Correct),
            (1, Standing::Incorrect),
            (2, Standing::Escalated),
            (3, Standing::WithoutEvidence),
            (4, Standing::Open),
            (5, Standing::Correct),
            (9, Standing::Incorrect),
        ];
        let (plan, frame, order, verdicts) = case(&marks);
        let tally = tally(&plan, &frame, &order, &verdicts);
        assert_eq!((tally.counted, tally.waiting), (4, 2));
        let [a, b] = &tally.strata[..] else { panic!("two strata") };
        assert_eq!((a.n, a.k, a.escalated, a.cleared, a.settled()), (2, 1, 1, 1, 0));
        assert_eq!((b.n, b.k, b.without_evidence, b.settled()), (2, 2, 1, 2));
    }

    #[test]
    fn a_fixed_plan_counts_all_its_items_and_unmarked_ones_as_incorrect() {
        let (mut plan, frame, order, verdicts) = case(&[(0, Standing::Correct), (7, Standing::Correct)]);
        plan.procedure = Procedure::Fixed;
        let tally = tally(&plan, &frame, &order, &verdicts);
        let sum = |of: fn(&StratumTally) -> u64| tally.strata.iter().map(of).sum::<u64>();
        assert_eq!((tally.counted, sum(|s| s.n), sum(|s| s.k), sum(|s| s.unmarked)), (10, 10, 8, 8));
        assert_eq!((sum(StratumTally::settled), tally.waiting), (0, 0));
    }

    #[test]
    fn what_is_not_correct_is_wrong_in_full_unless_an_amount_is_given() {
        let part = Verdict { wrong_amount: Some(30), ..verdict_of(Standing::Incorrect) };
        let amounts = [Standing::Correct, Standing::Escalated, Standing::Incorrect].map(verdict_of);
        assert_eq!(amounts.each_ref().map(|verdict| wrong(Some(verdict), 70)), [0, 70, 70]);
        assert_eq!((wrong(Some(&part), 70), wrong(Some(&part), 20), wrong(None, 70)), (30, 20, 70));
    }
}
