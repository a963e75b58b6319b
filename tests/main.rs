//! The integration tests: one binary, one file per hazard.

mod support;

mod ingest;
mod races;
mod store;
