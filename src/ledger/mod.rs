//! Ledger: why the evidence can be believed.
//!
//! All events of a tenant in `seq` order are the leaves of a Merkle tree. Whoever holds a signed *checkpoint* (name
//! of the log, number of leaves, root) can tell whether any event was later changed, removed, inserted or moved,
//! trusting neither the operator nor this program: the formats are published ones and small enough to be checked
//! with a page of code.
//!
//! | module | what it holds | published as |
//! |---|---|---|
//! | [`hash`] | hashes of leaves and nodes, base64 | RFC 9162 section 2.1.1 |
//! | [`tree`] | subtrees, the frontier that grows, which subtrees a proof needs | RFC 9162 section 2.1 |
//! | [`proof`] | checking inclusion, consistency, a tree made of leaves and subtrees | RFC 9162 section 2.1 |
//! | [`tile`] | the tree as files of 256 hashes | C2SP tlog-tiles |
//! | [`edge`] | what must be known of a tree to let it grow | – |
//! | [`note`] | keys, signed text | C2SP signed-note |
//! | [`checkpoint`] | origin, size and root as signed text | C2SP tlog-checkpoint |
//! | [`cosignature`] | what a witness adds to a checkpoint | C2SP tlog-cosignature |
//! | [`tlog_proof`] | one leaf with everything needed to check it, in one text | C2SP tlog-proof |
//! | [`receipt`] | what a writer was answered, as signed text | – |
//! | [`handover`] | how a log changes its key: signed by the old and the new one | – |
//! | [`trust`] | whose signatures an auditor asks for | C2SP tlog-policy |
//! | [`witness`] | what a witness answers to a checkpoint | C2SP tlog-witness |
//! | [`entry`] | canonical text of an event and its disclosures, read strictly | RFC 8785, RFC 9901 |
//! | [`pack`] | the evidence pack and the list of its checks | – |
//!
//! Pure: bytes in, bytes or a verdict out; no I/O, no clock, no randomness, no Arrow. Evidence that is damaged or
//! false is [`Damaged`](crate::error::ErrorKind::Damaged), an argument badly written is
//! [`Invalid`](crate::error::ErrorKind::Invalid). Nothing that comes from outside makes this room panic.
//!
//! Tamper-evident, not tamper-proof: what never arrived, what was false at its source, and what was edited before
//! anybody outside saw a checkpoint, no tree can show.

pub mod checkpoint;
pub mod cosignature;
pub mod edge;
pub mod entry;
pub mod handover;
pub mod hash;
pub mod note;
pub mod pack;
pub mod proof;
pub mod receipt;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod trust;
pub mod witness;
