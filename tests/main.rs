//! The integration tests: one binary, one file per hazard.

mod support;

mod architecture;
mod blast;
mod causes;
mod commands;
mod controls;
mod crash;
mod custody;
mod governance;
mod incident;
mod ingest;
mod ledger_cli;
mod ledger_command;
mod ledger_ct_merkle;
mod ledger_fuzz;
mod ledger_pack;
mod ledger_store;
mod ledger_tree;
mod ledger_vectors;
mod metrics;
mod power;
mod presets;
mod projection;
mod proofs;
mod races;
mod real_log;
mod receipts;
mod reconcile;
mod register;
mod retention;
mod rotation;
mod s3;
mod store;
mod verify_store;
mod witness;
