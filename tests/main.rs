//! The integration tests: one binary, one file per hazard.

mod support;

mod architecture;
mod commands;
mod crash;
mod ingest;
mod metrics;
mod power;
mod races;
mod real_log;
mod s3;
mod store;
