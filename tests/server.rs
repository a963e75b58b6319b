//! The server as its callers meet it: the real program, over real connections.
//!
//! Here it is that nobody reads or writes without being allowed to and without a trace, that what was acknowledged
//! is kept whatever happens to the process, and that every way to the evidence gives the same evidence.

mod access;
mod blind;
mod formats;
mod hostile;
mod ingest;
mod life;
mod matrix;
mod openapi;
mod otlp;
mod parity;
mod proofs;
mod protobuf;
mod readers;
mod reads;
mod sealed;
pub mod world;
