//! Probity: the evidence engine for AI agents that change business records.
//!
//! # What it is
//!
//! Audit events go in, durable and in order; answers that anyone can recompute come out. An *event* is one
//! immutable statement about an agent's work on a business record. The *ledger* is all events of a tenant in
//! `seq` order, 0-based and gap-free; each has a *leaf hash* over its canonical form. The evidence table is the
//! only truth: everything else is computed from it as of a point that can be named again.
//!
//! # Ordered goals
//!
//! 1. Evidence is never lost, altered or overstated.
//! 2. Every number is right, reproducible, and says what it leaves out.
//! 3. A stranger finds the place to change in five minutes.
//! 4. Speed.
//!
//! When two collide, the earlier wins.
//!
//! # Data flow
//!
//! ```text
//! file, stream, mapping ─ decode ─ dedupe ─ journal ─ receipt        the put into the journal is the
//!                          │                   │                     acknowledgement
//!                      quarantine             fold ─ Parquet, index ─ Delta commit ─ tiles, signed checkpoint
//!                                              │                          │                      │
//!                                              │                projection of actions     pack ─ auditor
//!            snapshot = table + journal ───────┴─ query ──────────────────┘
//!                                                   └ report ─ command line, page
//! ```
//!
//! # Rooms
//!
//! A room imports only from the lines above its own; a test reads the `use` lines and keeps this true.
//!
//! | room | what it is for | what it must not do |
//! |---|---|---|
//! | [`error`], [`limits`], [`clock`] | the error type; every bound; the only reader of time and randomness | – |
//! | [`ledger`] | why it can be believed: tree, tiles, notes, checkpoints, the checks of an evidence pack | no I/O, knows no event |
//! | [`event`] | columns, strict decoding, validation, canonical form, leaf hash | no I/O, no clock |
//! | [`analysis`] | arithmetic that SQL cannot state well: intervals, charts, agreement, calibration, fairness, sampling | no I/O, knows no event |
//! | [`auditor`] | packs, keys and checkpoints read from files, for who verifies | knows no store |
//! | [`blast`] | blast radius of bad actions, the states of the cells they reached, the recovery plan | no I/O, no SQL |
//! | [`simulate`] | a made-up log of agents at work with planted incidents, the same for the same seed | no I/O, no clock |
//! | [`witness`] | an auditor's cosigner over HTTP, and whoever asks it | sees of a log name, size and root only |
//! | [`policy`] | what agents may do and who approves it: one document, flat rules | no I/O, decides nothing |
//! | [`store`] | paths, durable objects, journal, Delta table, fold, compaction, projection, indexes, quarantine | no SQL |
//! | [`ingest`] | framing, mappings, duplicate detection, the writer, counts | no queries |
//! | [`query`] | the catalogue of `queries/`, the table provider, guarded SQL, functions, output | writes nothing |
//! | [`custody`] | packs handed out, erasure of a person, holds, retention: an event first, then the removal | decides nothing for a person |
//! | [`incident`] | the rules of a policy that open draft incidents, the scope of an incident, its candidate causes, guardrail replays, recovery plans, the register with its steps and deadlines, reconciliation with the history of a system of record | decides nothing for a person, undoes nothing |
//! | [`review`] | sample reviews: frame, plan, seed, order, marks, the decision and what anybody can verify of it | believes nothing that it can compute, signs for nobody |
//! | [`access`] | roles, and the tokens that say who somebody is | knows nothing of HTTP, keeps no secret |
//! | [`report`] | dashboards and answers become pages, JSON, CSV | computes no number |
//! | [`server`] | the API and the pages over HTTP: the guard that every request passes, one writer a tenant, kept sessions and pages | no computation, no way past the guard |
//! | [`cli`] | one file per verb; words, results, exit codes | no computation |
//!
//! Foreign crates have one home: `deltalake` in `store::table`, `datafusion` in `query` and `ingest::mapping`,
//! `axum` in `server` and `witness::server`, `tokio-rustls` in `server`, `reqwest` in `witness::client`, `clap` in `cli`, `plotters` in `report`. Arrow is the common currency.
//!
//! SQL lives in `queries/`, one file a question, with a parsed header; `dashboards/` says which questions a page
//! answers. A control gives one row per item that it judges; the engine counts them, so that missing data never
//! passes. A policy is a `config.changed` event of the engine's own source: SQL reads it through the views
//! `policies` and `policy_rules`, and judges every event by the policy in force at its time. Views that are read
//! many times over are computed once a session (`query::views`). Adding a metric is a file in `queries/metrics/`, a line in `query::shipped` and, to show it, a
//! block in `dashboards/`.
//!
//! # Speed
//!
//! Nothing that makes a question fast is a second truth: all of it is made from the evidence at any time, may be
//! deleted, and is completed or passed over where it is missing or behind.
//!
//! - The *projection of actions* (`store::projection`, folded by `event::actions`): one row per proposed change, in
//!   segments. A reader folds the actions that newer events touch and replaces their rows. `queries/views/actions.sql`
//!   defines it; a test compares the two.
//! - The *index* of a data file (`store::index`): the pages that tell of an event, an action or a record.
//! - The *touches* of a data file (`store::touches`): what its events write and read, in numbers, so that a blast radius
//!   reads text of the events that matter only.
//! - A *window* (`query::window`): a query whose header says `window:` reads what belongs to its period only. A test
//!   compares every such query with its answer over everything.
//!
//! # Invariants, and what holds them
//!
//! - An acknowledged event is stored exactly once after any crash: the journal object is put if absent with a
//!   random writer id, so that a lost response can be told from a lost race; recovery is the fold, no other code.
//! - `seq` has no gap and no repeat under concurrent writers: a put that lost its race starts again from the
//!   duplicate check; a put that came too late, below the table's size, is deleted.
//! - Every reader sees one prefix: the journal is listed before the table is loaded.
//! - accepted + duplicate + conflict + rejected = received, checked for every batch.
//! - Nothing is signed before it is durable: a checkpoint follows its commit. A table shorter than what was signed, or
//!   with another root, is refused; tiles are made again from the rows.
//! - Compaction keeps every leaf: new files are read back and their leaf hashes compared before the commit.
//! - What was proven stays proven when the log changes its key: the old and the new key sign a *handover*, and packs
//!   hold it; a key that handed over signs nothing more.
//! - What the server answers about evidence is itself evidence, durable before the first row leaves; requests that come
//!   together are made durable by one put, and none is answered before it.
//! - The same `as_of` gives the same numbers: `now()` in SQL is the as-of instant.
//!
//! # Not here
//!
//! No ETL framework, no dashboard editor, no plugin system, no second query language, no executor of
//! roll-backs, no second table format.
//!
//! Without the default feature `engine` the library builds without DataFusion, Delta and axum: with `events` it has
//! `blast`, `clock`, `event` and `simulate`, with `verify` what the small binary `probity-verify` needs, and no Arrow.
#![warn(missing_docs)]

pub mod analysis;
#[cfg(feature = "verify")]
pub mod auditor;
pub mod error;
pub mod ledger;
pub mod limits;

#[cfg(feature = "events")]
pub mod blast;
#[cfg(feature = "events")]
pub mod clock;
#[cfg(feature = "events")]
pub mod event;
#[cfg(feature = "events")]
pub mod simulate;

#[cfg(feature = "engine")]
pub mod access;
#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod custody;
#[cfg(feature = "engine")]
pub mod incident;
#[cfg(feature = "engine")]
pub mod ingest;
#[cfg(feature = "engine")]
pub mod policy;
#[cfg(feature = "engine")]
pub mod query;
#[cfg(feature = "engine")]
pub mod report;
#[cfg(feature = "engine")]
pub mod review;
#[cfg(feature = "engine")]
pub mod server;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "engine")]
pub mod witness;
