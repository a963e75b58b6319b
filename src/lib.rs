//! Probity.
#![warn(missing_docs)]
pub mod clock;
pub mod error;
pub mod event;
pub mod limits;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "engine")]
pub mod ingest;
#[cfg(feature = "engine")]
pub mod report;
