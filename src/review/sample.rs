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
use crate::analysis::sampler::seed_hash;
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
        let lost = self.without_evidence.iter().filter(|(_, since)| **since < size).map(|(item, _)| item.clone());
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
        // Before the draw there is no order and no mark: in any order nothing counts.
        let undrawn = || seed_hash(&review.review_id);
        let seed = review.drawn.as_ref().map_or_else(undrawn, |drawn| drawn.what.seed_hash.clone());
        let order = Order::draw(plan, &given.frame, &seed)?;
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
