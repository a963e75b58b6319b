//! The integration tests: one binary, one file per hazard.

mod support;

mod architecture;
mod commands;
mod controls;
mod crash;
mod governance;
mod ingest;
mod metrics;
mod power;
mod presets;
mod projection;
mod races;
mod real_log;
mod s3;
mod store;
