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

pub mod decide;
pub mod design;
pub mod frame;
mod judge;
pub mod marks;
pub mod order;
pub mod plan;
pub mod seed;
pub mod tally;
