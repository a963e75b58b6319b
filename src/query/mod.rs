//! The read path: a snapshot of the evidence as tables, named queries and guarded SQL.
//!
//! In: a [`Snapshot`](crate::store::snapshot::Snapshot) and an as-of point. Out: answers as Arrow batches and
//! their text forms. Invariant: nothing here writes evidence. DataFusion lives here and nowhere else.

mod actions;
pub mod answer;
pub mod asof;
pub mod blast;
pub mod capped;
pub mod catalogue;
mod checked;
mod condensed;
mod condition;
pub mod dossier;
pub mod engine;
pub mod failure;
pub mod files;
pub mod functions;
pub mod growth;
pub mod guard;
pub mod header;
pub mod judgement;
pub mod keep_order;
mod kept;
pub mod listing;
pub mod objects;
pub mod output;
pub mod params;
mod passing;
mod pieces;
mod pool;
pub mod provider;
pub mod rows;
pub mod runtime;
mod session;
pub mod shipped;
mod spill;
mod sums;
pub mod types;
mod unsealed;
pub mod views;
mod watch;
mod window;
pub mod yielding;

#[cfg(test)]
mod testing;
