//! The order in which a sample is reviewed: one over all strata, the same for anyone who has seed and frame.
//!
//! In: plan, frame, hash of the seed. Out: places of the frame in the order of review; of a claim by value, draws, in
//! which an item may come again. Invariant: a longer order begins with a shorter one, and within a stratum items come
//! by their tickets, whatever the other strata hold. Pure.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use super::frame::Frame;
use super::plan::{Measure, Plan, turns};
use crate::analysis::sampler::{Tickets, unit};
use crate::error::{Error, Result};
use crate::ledger::hash::hex;

/// Tickets that are made in one go; a smaller frame is not worth a second thread.
const TICKETS_AT_ONCE: usize = 8 * 1024;

/// The order of a review, as long as the plan's most items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<u32>);

impl Order {
    /// Draws the order of `frame` by `plan`, which has been checked against it.
    ///
    /// In rounds, each stratum in the order of the names gives as many of its next items as its allocation says. By
    /// value, draw j takes the item that holds its unit, the items one after the other by id.
    ///
    /// # Errors
    /// `Invalid` when the plan's strata are not those of the frame.
    pub fn draw(plan: &Plan, frame: &Frame, seed_hash: &str) -> Result<Self> {
        check_strata(plan, frame)?;
        Ok(match plan.claim.of {
            Measure::Value => Self(by_value(plan, frame, seed_hash)),
            Measure::Overall | Measure::EachStratum => Self(by_ticket(plan, frame, seed_hash)),
        })
    }

    /// As many items of each stratum by their places in the frame: what a plan takes, before anybody can know which.
    ///
    /// # Errors
    /// As [`Order::draw`].
    pub fn undrawn(plan: &Plan, frame: &Frame) -> Result<Self> {
        match plan.claim.of {
            Measure::Value => Self::draw(plan, frame, ""),
            Measure::Overall | Measure::EachStratum => {
                check_strata(plan, frame)?;
                let strata = by_stratum(frame, |place| place);
                Ok(Self(in_turns(plan, strata)))
            }
        }
    }

    /// The places of the frame in the order of review.
    pub fn places(&self) -> &[u32] {
        &self.0
    }

    /// Hexadecimal SHA-256 of the ids in order, a line each.
    pub fn hash(&self, frame: &Frame) -> String {
        let mut hash = Sha256::new();
        for place in &self.0 {
            hash.update(frame.id(*place as usize).as_bytes());
            hash.update(b"\n");
        }
        hex(&hash.finalize())
    }
}

fn check_strata(plan: &Plan, frame: &Frame) -> Result<()> {
    if plan.strata.len() == frame.strata().len() {
        return Ok(());
    }
    Err(Error::invalid("the strata of the plan are not those of the frame; draw from its own frame"))
}

fn by_ticket(plan: &Plan, frame: &Frame, seed_hash: &str) -> Vec<u32> {
    let tickets = Tickets::new(seed_hash);
    let heads = heads(&tickets, frame);
    let by_head = by_stratum(frame, |place| (heads[place as usize], place));
    let compare = |a: &(u64, u32), b: &(u64, u32)| {
        let [left, right] = [a, b].map(|(_, place)| frame.id(*place as usize));
        a.0.cmp(&b.0).then_with(|| tickets.order(left, right))
    };
    let in_order = |mut stratum: Vec<(u64, u32)>| {
        // A large frame has many items that no turn comes to: they are not put in order.
        let most = most_items(plan);
        if most < stratum.len() {
            stratum.select_nth_unstable_by(most, compare);
            stratum.truncate(most);
        }
        stratum.sort_unstable_by(compare);
        stratum.into_iter().map(|(_, place)| place).collect::<Vec<u32>>()
    };
    in_turns(plan, by_head.into_iter().map(in_order).collect())
}

/// The heads of the tickets of all items by their places, made on all cores: each follows from its item alone.
fn heads(tickets: &Tickets, frame: &Frame) -> Vec<u64> {
    let mut heads = vec![0; frame.items()];
    let parts = Mutex::new(heads.chunks_mut(TICKETS_AT_ONCE).enumerate());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((number, part)) = next() {
            for (place, head) in (number * TICKETS_AT_ONCE..).zip(part) {
                *head = tickets.head(frame.id(place));
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let helpers = cores.min(frame.items().div_ceil(TICKETS_AT_ONCE)) - 1;
    thread::scope(|scope| {
        for _ in 0..helpers {
            // Where no thread can be had, this one does all the work.
            let _ = thread::Builder::new().name("review-tickets".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    heads
}

/// What `of` says of each place of the frame, by strata.
fn by_stratum<T>(frame: &Frame, of: impl Fn(u32) -> T) -> Vec<Vec<T>> {
    let mut strata: Vec<Vec<T>> = frame.strata().iter().map(|(_, items)| Vec::with_capacity(*items as usize)).collect();
    for place in 0..frame.items() {
        strata[frame.stratum(place)].push(of(place as u32));
    }
    strata
}

/// The items of all strata, which take turns.
fn in_turns(plan: &Plan, strata: Vec<Vec<u32>>) -> Vec<u32> {
    let mut next: Vec<_> = strata.into_iter().map(Vec::into_iter).collect();
    turns(&plan.strata).take(most_items(plan)).filter_map(|stratum| next[stratum].next()).collect()
}

fn most_items(plan: &Plan) -> usize {
    usize::try_from(plan.most_items).unwrap_or(usize::MAX)
}

fn by_value(plan: &Plan, frame: &Frame, seed_hash: &str) -> Vec<u32> {
    let mut sum = 0_u128;
    let ends: Vec<u128> = (0..frame.items())
        .map(|place| {
            sum += u128::from(frame.weight(place));
            sum
        })
        .collect();
    let holder = |unit: u128| ends.partition_point(|end| *end <= unit) as u32;
    (1..=plan.most_items).map_while(|draw| Some(holder(unit(seed_hash, draw, sum)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::frame::Item;
    use super::super::plan::testing::{frame, plan};
    use super::*;
    use crate::analysis::sampler::{seed_hash, ticket};

    #[test]
    fn strata_take_turns_by_their_allocations() {
        let frame = frame(&[("a", 5), ("b", 2), ("c", 9)]);
        let mut plan = plan(&frame);
        (plan.strata[0].per_round, plan.strata[2].per_round) = (2, 3);
        let order = Order::draw(&plan, &frame, &seed_hash("s")).unwrap();
        let turns: String =
            order.places().iter().map(|p| frame.strata()[frame.stratum(*p as usize)].0.as_str()).collect();
        assert_eq!(turns, "aabccc".to_owned() + "aabccc" + "accc");
    }

    #[test]
    fn tickets_made_on_all_cores_are_those_of_their_items() {
        let frame = frame(&[("a", 2 * TICKETS_AT_ONCE + 9)]);
        let tickets = Tickets::new(&seed_hash("cores"));
        let alone: Vec<u64> = (0..frame.items()).map(|place| tickets.head(frame.id(place))).collect();
        assert_eq!(heads(&tickets, &frame), alone);
    }

    #[test]
    fn each_stratum_comes_in_the_order_of_its_full_tickets() {
        let frame = frame(&[("a", 300), ("b", 200)]);
        let hash = seed_hash("full");
        let order = Order::draw(&plan(&frame), &frame, &hash).unwrap();
        for stratum in 0..2 {
            let own = order.places().iter().map(|p| *p as usize).filter(|p| frame.stratum(*p) == stratum);
            let tickets: Vec<String> = own.map(|place| ticket(&hash, frame.id(place))).collect();
            assert!(tickets.is_sorted() && tickets.len() == [300, 200][stratum]);
        }
    }

    #[test]
    fn a_longer_order_begins_with_a_shorter_one() {
        let frame = frame(&[("a", 40), ("b", 60)]);
        let mut plan = plan(&frame);
        let hash = seed_hash("long");
        let whole = Order::draw(&plan, &frame, &hash).unwrap();
        for most in [1, 2, 33, 99] {
            plan.most_items = most;
            let part = Order::draw(&plan, &frame, &hash).unwrap();
            assert_eq!(part.places(), &whole.places()[..most as usize]);
        }
        let mut all = whole.places().to_vec();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
    }

    #[test]
    fn before_the_draw_as_many_of_each_stratum_have_their_turns() {
        let frame = frame(&[("a", 40), ("b", 60)]);
        let mut plan = plan(&frame);
        (plan.strata[0].per_round, plan.most_items) = (3, 47);
        let strata = |order: &Order| -> Vec<usize> {
            order.places().iter().map(|place| frame.stratum(*place as usize)).collect()
        };
        let undrawn = Order::undrawn(&plan, &frame).unwrap();
        let drawn = Order::draw(&plan, &frame, &seed_hash("turns")).unwrap();
        assert_eq!(strata(&undrawn), strata(&drawn));
        assert!(undrawn != drawn && undrawn.places().len() == 47);
        plan.strata.pop();
        assert!(Order::undrawn(&plan, &frame).is_err() && Order::draw(&plan, &frame, "").is_err());
    }

    /// The order of what remains does not depend on what else is in the frame.
    #[test]
    fn a_smaller_frame_keeps_its_order() {
        let (large, small) = (frame(&[("a", 90)]), frame(&[("a", 45)]));
        let hash = seed_hash("consistent");
        let ids = |frame: &Frame| -> Vec<String> {
            let order = Order::draw(&plan(frame), frame, &hash).unwrap();
            order.places().iter().map(|place| frame.id(*place as usize).to_owned()).collect()
        };
        let kept: Vec<String> = ids(&large).into_iter().filter(|id| small.place(id).is_some()).collect();
        assert_eq!(kept, ids(&small));
    }

    #[test]
    fn what_is_reviewed_in_full_comes_in_the_first_round() {
        let frame = frame(&[("a", 8), ("b", 3)]);
        let mut plan = plan(&frame);
        (plan.strata[1].per_round, plan.strata[1].is_take_all) = (3, true);
        let order = Order::draw(&plan, &frame, &seed_hash("all")).unwrap();
        let strata: Vec<usize> = order.places()[..5].iter().map(|place| frame.stratum(*place as usize)).collect();
        assert_eq!(strata, [0, 1, 1, 1, 0]);
    }

    #[test]
    fn draws_by_value_hit_the_item_that_holds_the_unit() {
        let item =
            |(i, weight): (usize, u64)| Item { id: format!("i{i}"), stratum: "all".into(), weight: Some(weight) };
        let frame = Frame::new([300, 1, 0, 99, 600].into_iter().enumerate().map(item)).unwrap();
        let mut plan = plan(&frame);
        plan.claim.of = Measure::Value;
        plan.most_items = 2_000;
        let hash = seed_hash("value");
        let order = Order::draw(&plan, &frame, &hash).unwrap();
        let mut hits = [0_u64; 5];
        for (draw, place) in (1..).zip(order.places()) {
            let unit = unit(&hash, draw, 1_000).unwrap();
            let expected = match unit {
                0..300 => 0,
                300 => 1,
                301..400 => 3,
                _ => 4,
            };
            assert_eq!(*place, expected);
            hits[expected as usize] += 1;
        }
        assert_eq!((order.places().len(), hits[2]), (2_000, 0));
        assert!((520..680).contains(&hits[0]) && (1_100..1_300).contains(&hits[4]), "{hits:?}");
    }

    #[test]
    fn the_hash_is_that_of_the_ids_in_order() {
        let frame = frame(&[("a", 3)]);
        let order = Order::draw(&plan(&frame), &frame, &seed_hash("h")).unwrap();
        let lines: String = order.places().iter().map(|place| format!("{}\n", frame.id(*place as usize))).collect();
        assert_eq!(order.hash(&frame), seed_hash(&lines));
    }
}
