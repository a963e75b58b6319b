//! Probity.
#![warn(missing_docs)]
pub mod analysis;
pub mod clock;
pub mod error;
pub mod event;
pub mod limits;

#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod ingest;
#[cfg(feature = "engine")]
pub mod query;
#[cfg(feature = "engine")]
pub mod report;
#[cfg(feature = "engine")]
pub mod server;
#[cfg(feature = "engine")]
pub mod store;
