//! Blast radius: what a set of bad actions may have reached, and how to recover.
//!
//! In: the ids of the direct actions, events as Arrow batches. Out: a [`Radius`], and a [`Plan`] from it. Invariant:
//! influence only moves forward in time, so one pass in (`occurred_at`, `seq`) order is exact. Pure: no I/O, no SQL,
//! no clock; the caller reads, sorts and feeds. Checked against an independent version in `tests/blast.rs`.
//!
//! ```text
//!                 few columns, all events from the first direct one on       all columns, few events
//! direct actions ───────────────── Reach ──────────────── Needed ──────────────── Trace ─────────── Radius ─ Plan
//!                                    ↑                                              │
//!                                    └─────── Traced::Again: actions to remember ───┘
//! ```
//!
//! Two passes, because values and details of 100 million events are not worth reading for the few that matter:
//!
//! 1. [`Reach`] reads eleven columns, none of them a value, and finds the events that can matter: those of bad
//!    actions, and later writes to records that these touched. What it reads of an event can be made once and kept:
//!    [`Touches`], numbers in place of text.
//! 2. [`Trace`] reads these events in full and decides everything anew: cells, states, flags, people, amounts.
//!
//! A write may leave out its target; then an earlier event of its action has it, perhaps one from before the first
//! direct event, or one that was of no interest when it passed. The first pass does not keep the past of every action.
//! It takes what it does not know not to be there and asks for all events of such an action; the second pass sees them
//! and, where the target was there after all, gives [`Traced::Again`] with the actions to [remember](Scope). The
//! loop ends, since each round remembers at least one more action; mostly there is one round.
//!
//! ```
//! use probity::blast::{Reach, Scope, Trace, Traced};
//!
//! # fn main() -> probity::error::Result<()> {
//! # let (log, needed_events): (Vec<arrow::array::RecordBatch>, Vec<arrow::array::RecordBatch>) = Default::default();
//! let mut scope = Scope::new(vec!["a-1".to_owned()]);
//! let radius = loop {
//!     let mut reach = Reach::new(&scope);
//!     for events in &log {
//!         reach.feed(events)?;
//!     }
//!     let needed = reach.finish();
//!     // Read the events of `needed.actions` and `needed.unplaced`, by `Key::of` their ids, and those of `needed.seqs`.
//!     let mut trace = Trace::new(&scope, &needed);
//!     for events in &needed_events {
//!         trace.feed(events)?;
//!     }
//!     match trace.finish() {
//!         Traced::Radius(radius) => break radius,
//!         Traced::Again(actions) => scope.remembered.extend(actions),
//!     }
//! };
//! assert_eq!(radius.cells.len(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Readings of the specification
//!
//! - A cell needs a `record_id`; a missing system or type is a name like any other, and empty when printed.
//! - The parts of a target are taken from earlier events one by one, each the last that was set; a write has no
//!   `field` only where none of its action's earlier events has one.
//! - The depth and parent of a cell are those of its first bad write, else of the first attempt.
//! - A cell's history begins when it is first affected: no flag and no state depends on what was before.
//! - A clean write without `field` leaves an unknown value in every cell of the record, that of the whole record too.
//! - A correction outside bad actions clears unless its outcome says otherwise; partial or unknown is `uncertain`.
//! - A roll-back restores the old value captured last by an earlier event of its action that is no roll-back itself.
//! - `chain_break` needs two captured values: after a partial or unknown write, and for a field after a write to the
//!   whole record (and the other way round), nothing can be said to be missing from the log.
//! - With a depth limit an action is derived by its first event that reads a write near enough.
//! - Exposed records are named by the event itself; its action may be bad, another or none.

mod acts;
mod history;
mod keys;
pub(crate) mod names;
mod part;
mod plan;
mod radius;
mod reach;
mod result;
mod spread;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod touches;
mod trace;
pub(crate) mod view;

pub use keys::Key;
pub use plan::{Plan, PlanRow, Remedy};
pub use radius::{
    Action, Affected, Amount, Cell, Exposed, Flags, Hundredths, Parent, People, Radius, Record, Role, State, Step,
    Uncertainty,
};
pub use reach::{Asked, Needed, REACH_COLUMNS, Reach};
pub use summary::{SourceNumbers, Summary};
pub use touches::{Builder, TOUCH_COLUMNS, Touches};
pub use trace::{TRACE_COLUMNS, Trace, Traced};

/// What a blast radius is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Ids of the direct actions: those with an event in `environment` that matches selector and window.
    pub direct: Vec<String>,
    /// The environment; events of others are passed over.
    pub environment: String,
    /// Steps after which the spread stops; none: never.
    pub depth: Option<u32>,
    /// Other actions all of whose events the first pass is fed, also those before the first direct one; empty at
    /// first, then what [`Traced::Again`] gives.
    pub remembered: Vec<String>,
}

impl Scope {
    /// Everything that `direct` reached in production.
    pub fn new(direct: Vec<String>) -> Self {
        Self { direct, environment: "production".to_owned(), depth: None, remembered: Vec::new() }
    }
}
