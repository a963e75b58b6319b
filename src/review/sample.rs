//! A sample with its marks: what a review's events come to, given the frame.
//!
//! In: a review, the frame that its plan names, what is known of single items. Out: order, verdicts, status. Invariant:
//! the same for whoever has the events and the frame, from the evidence or from a pack. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Case, Decision, Planted, Status, Step};
use super::frame::Frame;
use super::marks::verdicts;
use super::order::Order;
use super::plan::Plan;
use super::record::Review;
use super::tally::Verdicts;
use crate::error::{Error, Result};

/// What is given beside a review's events.
#[derive(Debug, Clone)]
pub struct Given {
    /// The frame.
    pub frame: Frame,
    /// Ids of the planted items.
    pub planted: BTreeSet<String>,
    /// Items whose evidence cannot be produced any more, each with the event since which it is so.
    pub without_evidence: BTreeMap<String, i64>,
}

impl Given {
    /// What the items come to by what the ledger holds within its first `size` events.
    fn verdicts(&self, review: &Review, size: i64) -> Verdicts {
        // Before the draw nothing has its turn, not even what is lost.
        let is_lost = |since: i64| review.drawn.is_some() && since < size;
        let lost = self.without_evidence.iter().filter(|(_, since)| is_lost(**since)).map(|(item, _)| item.clone());
        verdicts(&review.marked(size), review.plan().reviewers_per_item, &lost.collect())
    }
}

/// A sample with its marks.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What is given.
    pub given: Given,
    /// The order of review.
    pub order: Order,
    /// What each marked item comes to.
    pub verdicts: Verdicts,
}

impl Sample {
    /// The sample of `review` with the marks that the ledger holds within its first `size` events.
    ///
    /// # Errors
    /// Invalid when the frame is not the one that was planned.
    pub fn of(review: &Review, given: Given, size: i64) -> Result<Self> {
        let plan = review.plan();
        plan.check(&given.frame)?;
        let order = match &review.drawn {
            Some(drawn) => Order::draw(plan, &given.frame, &drawn.what.seed_hash)?,
            None => Order::undrawn(plan, &given.frame)?,
        };
        let verdicts = given.verdicts(review, size);
        Ok(Self { given, order, verdicts })
    }

    /// What `plan` decides by.
    pub fn case<'a>(&'a self, plan: &'a Plan) -> Case<'a> {
        self.case_of(plan, &self.verdicts)
    }

    fn case_of<'a>(&'a self, plan: &'a Plan, verdicts: &'a Verdicts) -> Case<'a> {
        let planted = Planted::of(&self.given.planted, verdicts);
        Case { plan, frame: &self.given.frame, order: &self.order, verdicts, planted }
    }

    /// Where `review` stands by this sample.
    ///
    /// # Errors
    /// Invalid for a plan that its check refuses.
    pub fn status(&self, review: &Review) -> Result<Status> {
        self.status_of(review, &self.verdicts)
    }

    /// Where `review` stood by the marks within the first `size` events of the ledger.
    ///
    /// # Errors
    /// As [`Sample::status`].
    pub fn status_at(&self, review: &Review, size: i64) -> Result<Status> {
        self.status_of(review, &self.given.verdicts(review, size))
    }

    fn status_of(&self, review: &Review, verdicts: &Verdicts) -> Result<Status> {
        let seed = review.drawn.as_ref().map(|drawn| drawn.what.clone());
        Ok(Status { seed, ..self.case_of(review.plan(), verdicts).status()? })
    }

    /// The path of E.
    ///
    /// # Errors
    /// As [`Sample::status`].
    pub fn path(&self, plan: &Plan) -> Result<Vec<Step>> {
        self.case(plan).path()
    }

    /// The ids of the items in the order of review.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.order.places().iter().map(|place| self.given.frame.id(*place as usize))
    }
}

/// The status of a review whose sample cannot be made again.
///
/// # Errors
/// Invalid for a plan that its check refuses.
pub fn without_sample(review: &Review, reasons: Vec<String>) -> Result<Status> {
    let plan = review.plan();
    let lacking = || Error::invalid("the plan has no allowed error of its own; it cannot be decided by");
    let status = Status {
        items: plan.frame.items,
        d0: plan.d0(),
        n: 0,
        k: 0,
        e: "0".to_owned(),
        decision: Decision::Invalid,
        next: None,
        alpha: plan.test_alpha().ok_or_else(lacking)?,
        claim: plan.claim,
        procedure: plan.procedure,
        attempt: plan.attempt,
        strata: Vec::new(),
        waiting: 0,
        planted: None,
        value: None,
        reasons,
        seed: review.drawn.as_ref().map(|drawn| drawn.what.clone()),
    };
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::super::plan::testing::frame;
    use super::super::record::testing::{event, planned};
    use super::super::record::{DRAWN, PLANNED};
    use super::super::seed::{Class, Drawn, Seed};
    use super::*;

    /// A draw of a review by hand.
    fn drawn() -> Drawn {
        let digits = "0".repeat(64);
        let seed = Seed {
            origin: "log".to_owned(),
            size: 2,
            root: digits.clone(),
            frame_hash: planned().plan.frame.frame_hash,
            plan_hash: digits,
            attempt: 1,
            entropy: Vec::new(),
        };
        Drawn { seed_hash: seed.hash(), seed, class: Class::D, items: 10, order_hash: String::new() }
    }

    #[test]
    fn what_is_lost_counts_from_the_draw_on_and_not_before_it_was() {
        let mut events = vec![event(1, PLANNED, &serde_json::to_value(planned()).unwrap())];
        let counted = |events: &[super::super::record::Event], size: i64| {
            let review = Review::of(events).unwrap().unwrap();
            let frame = frame(&[("all", 10)]);
            let without_evidence = (0..10).map(|place| (frame.id(place).to_owned(), 5)).collect();
            let given = Given { frame, planted: BTreeSet::new(), without_evidence };
            let status = Sample::of(&review, given, size).unwrap().status(&review).unwrap();
            (status.n, status.k)
        };
        assert_eq!(counted(&events, 9), (0, 0));
        events.push(event(3, DRAWN, &serde_json::to_value(drawn()).unwrap()));
        assert_eq!((counted(&events, 5), counted(&events, 6)), ((0, 0), (10, 10)));
    }
}
