//! The command `incident` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `incident`.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// What the actions that a predicate picks have reached: records, cells and their states now
    Scope(IncidentScopeArgs),
    /// What to do about each cell, for the change path of the business system; or whether such a plan still holds
    Plan(IncidentPlanArgs),
}

/// Where and how far a predicate looks.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// Events from this day or instant on (RFC 3339)
    #[arg(long, value_name = "WHEN")]
    pub from: Option<String>,
    /// Events before this day or instant (RFC 3339)
    #[arg(long, value_name = "WHEN")]
    pub to: Option<String>,
    /// Events of this environment
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Stop the spread after so many steps [default: follow it to its end]
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,
}

/// `incident scope`.
#[derive(Debug, Args)]
pub struct IncidentScopeArgs {
    /// Condition over the columns of events that picks the bad actions, e.g. "rule_version = 'r7'"
    #[arg(long = "where", value_name = "PREDICATE")]
    pub predicate: String,
    /// Where and how far it looks.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Tell why this record is in the set: system/type/id or system/type/id/field
    #[arg(long, value_name = "RECORD")]
    pub why: Option<String>,
}

/// `incident plan`.
#[derive(Debug, Args)]
pub struct IncidentPlanArgs {
    /// Condition over the columns of events that picks the bad actions
    #[arg(long = "where", value_name = "PREDICATE", required_unless_present = "check")]
    pub predicate: Option<String>,
    /// Where and how far it looks.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Where the plan goes: FILE.json, FILE.ndjson, or a directory for CSV in the shape of a bulk update
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Compare this plan (.json) with the evidence as it is now, and refuse it when a cell has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["predicate", "out", "from", "to", "environment", "depth"])]
    pub check: Option<PathBuf>,
}
