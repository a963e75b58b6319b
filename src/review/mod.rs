//! Sample reviews: whether a workflow may run again, from a sample that nobody could pick.
//!
//! In: the outputs of a candidate as a frame, a plan that was logged before any seed existed, a signed checkpoint after
//! it, the marks of reviewers. Out: one order of the frame, the counts that stand, a decision with the reasons for it.
//! The promise of every review: if at least D0 of the N outputs in the frame were wrong, the chance that this
//! procedure ever says ENABLE is at most alpha, given that the marks are right. Invariant: all of it follows from the
//! log by SHA-256 and whole numbers, so that an outsider gets the same order and the same decision
//! (`tests/oracle/review_draw.py` does); a worse mark never helps.
//!
//! | step | event | `extra` | file |
//! |---|---|---|---|
//! | frame, plan | `review.planned` | `{"plan": Plan, …}` | [`frame`], [`plan`], [`design`] |
//! | seed, order | `review.drawn` | [`seed::Drawn`] | [`seed`], [`order`] |
//! | marks | `review.marked`, one an item and reviewer | [`marks::Mark`] | [`marks`], [`tally`] |
//! | decision | `review.decided` | `{"status": Status, …}` | [`decide`] |
//!
//! The rest is where these meet the evidence: [`outputs`] picks the frame over a [`ground`] (the store, or a pack:
//! [`packed`]), [`record`] reads the events and [`register`] and [`proposal`] write them, [`account`] puts one review
//! together with its [`checks`], [`verify`] computes all of it again, [`document`] and [`answers`] tell it; [`terms`]
//! reads what people ask, [`desk`] shows them what they judge.

pub mod account;
pub mod answers;
pub mod checkpoint;
pub mod checks;
pub mod decide;
pub mod design;
pub mod desk;
pub mod document;
pub mod frame;
pub mod ground;
pub mod items;
mod judge;
pub mod leaf;
pub mod marks;
pub mod order;
pub mod outputs;
pub mod owner;
pub mod packed;
pub mod plan;
pub mod preconditions;
pub mod proposal;
pub mod record;
pub mod register;
pub mod sample;
pub mod seed;
pub mod sheet;
pub mod tally;
pub mod terms;
pub mod verify;
