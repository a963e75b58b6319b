//! The command `incident` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `incident`.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// What the actions that a predicate picks have reached: records, cells and their states now; with --incident
    /// freeze that as a new version of the incident's scope
    Scope(IncidentScopeArgs),
    /// What to do about each cell, for the change path of the business system; or whether such a plan still holds
    Plan(IncidentPlanArgs),
    /// Open an incident: name what picks its bad actions, and freeze what they have reached so far
    Open(IncidentOpenArgs),
    /// State what has changed of an incident, or that a step is done; takes over a draft that a rule opened
    Update(IncidentUpdateArgs),
    /// Close an incident
    Close(IncidentCloseArgs),
    /// List the incidents
    List,
    /// Show an incident: what it reached, its seven steps, its clocks and deadlines
    Show(IncidentIdArgs),
    /// Write the report of an incident: HTML and JSON
    Report(IncidentReportArgs),
    /// Compare a field history of the system of record with the evidence: what agents wrote and nobody logged, what was
    /// logged and never landed, where values do not chain; 1 = not all is accounted for
    Reconcile(IncidentReconcileArgs),
    /// Tell which bad actions a rule or a policy would have stopped, and which others as well; 1 = not all bad ones
    Guardrail(IncidentGuardrailArgs),
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
    #[arg(long = "where", value_name = "PREDICATE", required_unless_present = "incident")]
    pub predicate: Option<String>,
    /// Where and how far it looks.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Tell why this record is in the set: system/type/id or system/type/id/field
    #[arg(long, value_name = "RECORD")]
    pub why: Option<String>,
    /// Scope this incident anew, freeze the result and tell what has changed since the last time
    #[arg(long, value_name = "ID", conflicts_with_all = ["predicate", "why", "from", "to", "environment", "depth"])]
    pub incident: Option<String>,
    /// Who freezes it [default: the user of the operating system]
    #[arg(long, value_name = "NAME", requires = "incident")]
    pub by: Option<String>,
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

/// What a person says of an incident.
#[derive(Debug, Args)]
pub struct IncidentFacts {
    /// How bad it is [default when it is opened: medium]
    #[arg(long, value_name = "S", value_parser = ["low", "medium", "high", "critical"])]
    pub severity: Option<String>,
    /// What kind it is; personal_data, serious_incident, death and widespread_infringement have deadlines of the law,
    /// and the policy in force when it is detected may set others
    #[arg(long, value_name = "C")]
    pub class: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// The workflow that it is about, whose pause contains it
    #[arg(long, value_name = "W")]
    pub workflow: Option<String>,
    /// When it was detected (RFC 3339) [default when it is opened: when it was known, else now]
    #[arg(long, value_name = "WHEN")]
    pub detected: Option<String>,
    /// Since when the organisation is aware of it, from which deadlines run (RFC 3339) [default when it is opened:
    /// when it was detected, else now]
    #[arg(long, value_name = "WHEN")]
    pub aware: Option<String>,
    /// Who states this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `incident open`.
#[derive(Debug, Args)]
pub struct IncidentOpenArgs {
    /// What happened, on one line
    #[arg(long, value_name = "TEXT")]
    pub title: String,
    /// Condition over the columns of events that picks the bad actions
    #[arg(long = "where", value_name = "PREDICATE")]
    pub predicate: String,
    /// Where and how far it looks.
    #[command(flatten)]
    pub window: WindowArgs,
    /// What else is said of it.
    #[command(flatten)]
    pub facts: IncidentFacts,
}

/// `incident update`.
#[derive(Debug, Args)]
pub struct IncidentUpdateArgs {
    /// The incident
    #[arg(value_name = "ID")]
    pub incident: String,
    /// What happened, on one line
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Condition over the columns of events that picks the bad actions; freezes a new scope, and so do the next four
    #[arg(long = "where", value_name = "PREDICATE")]
    pub predicate: Option<String>,
    /// Events from this day or instant on (RFC 3339); "" takes the bound away
    #[arg(long, value_name = "WHEN")]
    pub from: Option<String>,
    /// Events before this day or instant (RFC 3339); "" takes the bound away
    #[arg(long, value_name = "WHEN")]
    pub to: Option<String>,
    /// Events of this environment
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Stop the spread after so many steps; "" follows it to its end
    #[arg(long, value_name = "N")]
    pub depth: Option<String>,
    /// State that this step is done: pause, identify_records, roll_back, notify_owner, review_sources, add_guardrail,
    /// sample; or notify_authority, which meets a deadline of the law as notify_owner meets one of the policy
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Words about it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// What else is said of it.
    #[command(flatten)]
    pub facts: IncidentFacts,
}

/// `incident close`.
#[derive(Debug, Args)]
pub struct IncidentCloseArgs {
    /// The incident
    #[arg(value_name = "ID")]
    pub incident: String,
    /// Why, on one line; it stays in the ledger for ever
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who closes it [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `incident show`.
#[derive(Debug, Args)]
pub struct IncidentIdArgs {
    /// The incident
    #[arg(value_name = "ID")]
    pub incident: String,
}

/// `incident reconcile`.
#[derive(Debug, Args)]
pub struct IncidentReconcileArgs {
    /// The history: CSV, TSV, Parquet or JSON, also gzipped; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read it through this mapping: a shipped one by name, your own by path (.sql)
    #[arg(long, value_name = "NAME|FILE.sql")]
    pub map: String,
    /// An identity under which agents write, as the history has it; these and no others [default: those of agents in
    /// the evidence, and what the history itself calls an agent]
    #[arg(long = "agent", value_name = "ID")]
    pub agents: Vec<String>,
    /// How far the two instants of one write may lie apart, at most 24h
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub tolerance: String,
    /// The history is complete from this day or instant on (RFC 3339) [default: its first row]
    #[arg(long, value_name = "WHEN")]
    pub from: Option<String>,
    /// The history is complete until before this day or instant (RFC 3339) [default: its last row]
    #[arg(long, value_name = "WHEN")]
    pub to: Option<String>,
    /// Evidence of this environment
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Where the findings go: a CSV file for each kind, and reconciliation.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `incident report`.
#[derive(Debug, Args)]
pub struct IncidentReportArgs {
    /// The incident
    #[arg(value_name = "ID")]
    pub incident: String,
    /// Where the files go [default: ./report]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `incident guardrail`.
#[derive(Debug, Args)]
pub struct IncidentGuardrailArgs {
    /// The incident
    #[arg(
        value_name = "ID",
        required_unless_present = "predicate",
        conflicts_with_all = ["predicate", "from", "to", "environment", "depth"]
    )]
    pub incident: Option<String>,
    /// Condition over the columns of events that picks the bad actions, in the place of an incident
    #[arg(long = "where", value_name = "PREDICATE")]
    pub predicate: Option<String>,
    /// Where and how far it looks.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Replay this condition over the columns of events: it stops an action whose proposal it matches
    #[arg(long, value_name = "PREDICATE", required_unless_present = "policy", conflicts_with = "policy")]
    pub rule: Option<String>,
    /// Replay this policy (TOML), as if it had always been in force
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// State the result with the incident, whose report then tells it
    #[arg(long, requires = "incident")]
    pub state: bool,
    /// Who states it [default: the user of the operating system]
    #[arg(long, value_name = "NAME", requires = "state")]
    pub by: Option<String>,
}
