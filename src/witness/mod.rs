//! The witness over HTTP: an auditor's own cosigner, and the operator's side that asks it. C2SP tlog-witness.
//!
//! Requests → the decision of [`ledger::witness`](crate::ledger::witness) → a durable file → the answer. Invariant: no
//! cosignature leaves before the tree that it speaks of is on disk, so that no crash and no second server takes a tree
//! back. It must not look into evidence: of a log it sees name, size and root.

pub mod client;
pub mod server;
pub mod state;
