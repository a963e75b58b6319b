//! What happened: one immutable statement about an agent's work on a business record.
//!
//! In: bytes of one record in an input format. Out: rows of Arrow batches, their canonical bytes and leaf
//! hashes, or reasons for refusal. Pure: no I/O, no clock; the present comes in as a parameter.

pub mod actions;
pub mod batch;
pub mod canonical;
pub mod columns;
pub mod draft;
pub mod erase;
pub mod jcs;
pub mod json;
pub mod parse;
mod plain;

pub use batch::{BatchBuilder, Rows};
pub use canonical::{Leaf, leaves};
pub use columns::{COLUMNS, Column, ENGINE_SOURCE};
pub use draft::{Cell, Draft};

/// A reason for refusing a record, in words that name the column and never repeat its content.
pub use parse::Reason;
