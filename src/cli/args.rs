//! The command line as typed: names, help texts and defaults of every command and option.
//!
//! In: the arguments. Out: plain structs. It resolves nothing: files, stores and queries are the business of
//! the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod incident;
mod review;
mod serve;

pub use incident::{
    IncidentCloseArgs, IncidentCommand, IncidentFacts, IncidentGuardrailArgs, IncidentIdArgs, IncidentOpenArgs,
    IncidentPlanArgs, IncidentReconcileArgs, IncidentReportArgs, IncidentScopeArgs, IncidentUpdateArgs, WindowArgs,
};
pub use review::{
    Marked, Measured, ReviewCommand, ReviewDecideArgs, ReviewDrawArgs, ReviewIdArgs, ReviewMarkArgs, ReviewPlanArgs,
    ReviewReportArgs, ReviewVerifyArgs,
};
pub use serve::{ServeArgs, TokenCommand, TokenCreateArgs, TokenRevokeArgs};

/// The evidence engine for AI agents that change business records.
#[derive(Debug, Parser)]
#[command(name = "probity", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done; 1 it ran and the answer is no or not all; 2 it could not be done.")]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Directory or URL of the store (file://, s3://, gs://, az://) [env: PROBITY_STORE] [default: ./probity-data]
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Tenant inside the store
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub tenant: String,
    /// Print one JSON document on standard output and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Signing key of the ledger, where it does not lie in a local store [env: PROBITY_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Look at the evidence as of an instant (RFC 3339), a ledger size, or a table version (vN)
    #[arg(long, global = true, value_name = "WHEN")]
    pub as_of: Option<String>,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Global {
    /// Where the store is.
    pub fn store(&self) -> String {
        // Read here and not by the parser: `demo` must not fill the store that the environment names.
        let named = self.store.clone().or_else(|| std::env::var("PROBITY_STORE").ok().filter(|s| !s.is_empty()));
        named.unwrap_or_else(|| "./probity-data".to_owned())
    }

    /// The file of the signing key, where one is named.
    pub fn key(&self) -> Option<PathBuf> {
        self.key.clone().or_else(|| std::env::var_os("PROBITY_KEY").filter(|file| !file.is_empty()).map(PathBuf::from))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a sample store from a real ServiceNow audit log and write the review of its busiest month
    Demo(DemoArgs),
    /// Create the store and the key that signs its ledger
    Init(InitArgs),
    /// Store events: NDJSON, CloudEvents, or any CSV, Parquet or JSON through a mapping
    Ingest(IngestArgs),
    /// Run a named query or one SELECT
    Query(QueryArgs),
    /// List the named queries with their parameters
    Queries,
    /// Apply, show or check the policy that the evidence is judged by
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Write a governance report
    #[command(subcommand)]
    Report(ReportCommand),
    /// Work on an incident: what bad actions reached, how to recover from it, who has done what about it
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Review a sample of what a candidate did, before its workflow runs again or by cadence
    #[command(subcommand)]
    Review(ReviewCommand),
    /// Verify the store against its signed ledger, or an evidence pack against a public key
    #[command(subcommand)]
    Verify(VerifyCommand),
    /// Write an evidence pack that a stranger can verify offline
    Export(ExportArgs),
    /// Write the proof of one row, which stands alone (c2sp.org/tlog-proof)
    Prove(ProveArgs),
    /// Show the key that signs the ledger, or put a new one in its place
    #[command(subcommand)]
    Key(KeyCommand),
    /// Be a witness that cosigns what grows consistently, or ask witnesses to cosign this ledger
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Erase a person: the sealed values of every event about a subject; every proof stays valid
    Erase(EraseArgs),
    /// Hold evidence, so that nothing of it is erased or deleted; without options list the holds in force
    Hold(HoldArgs),
    /// Release a hold
    Release(ReleaseArgs),
    /// Fold, compact, project, checkpoint and vacuum the store
    Maintain(MaintainArgs),
    /// Serve the API and the pages: events come in, people and programs ask
    Serve(ServeArgs),
    /// Make, list or revoke the access tokens of the server
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make up a log of agents at work, with incidents planted in it: as NDJSON, or straight into the store
    Simulate(SimulateArgs),
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the report goes
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Serve the store and its pages on a loopback address until interrupted
    #[arg(long)]
    pub serve: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Name of the ledger, e.g. evidence.example.com/crm; it never changes [default: a random one]
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,
}

/// `verify`.
#[derive(Debug, Subcommand)]
pub enum VerifyCommand {
    /// Compare every row, tile and checkpoint of the store with each other
    Store(VerifyStoreArgs),
    /// Check an evidence pack: no store, no network, nothing but the public key
    Pack(VerifyPackArgs),
    /// Check the proof of one row: no store, no network, nothing but the public key
    Proof(VerifyProofArgs),
}

/// `verify store`.
#[derive(Debug, Args)]
pub struct VerifyStoreArgs {
    /// Public keys that checkpoints may be signed by, as text or file [default: that of the store's own key]
    #[arg(long = "vkey", value_name = "VKEY|FILE")]
    pub vkeys: Vec<String>,
}

/// `verify pack`.
#[derive(Debug, Args)]
pub struct VerifyPackArgs {
    /// The pack: a directory or a .tar.gz
    #[arg(value_name = "PACK")]
    pub pack: PathBuf,
    /// The log's public key from your own records, as text or in a file
    #[arg(long, value_name = "VKEY|FILE")]
    pub vkey: String,
    /// Trust policy (c2sp.org/tlog-policy): whose cosignatures you ask for
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// A signed checkpoint of the log that you saw earlier
    #[arg(long, value_name = "FILE")]
    pub held: Option<PathBuf>,
    /// A signed receipt that the log answered: the pack must hold its events
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
}

/// `verify proof`.
#[derive(Debug, Args)]
pub struct VerifyProofArgs {
    /// The proof (.tlog-proof)
    #[arg(value_name = "FILE")]
    pub proof: PathBuf,
    /// The log's public key from your own records, as text or in a file
    #[arg(long, value_name = "VKEY|FILE")]
    pub vkey: String,
    /// Trust policy (c2sp.org/tlog-policy): whose cosignatures you ask for
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
}

/// `prove`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("row").required(true).args(["seq", "event"]))]
pub struct ProveArgs {
    /// The row by its place in the ledger
    #[arg(long, value_name = "N")]
    pub seq: Option<u64>,
    /// The row by its event_id
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// The source of that event, where several have the id
    #[arg(long, value_name = "NAME", requires = "event")]
    pub source: Option<String>,
    /// Where the proof goes, a name that ends in .tlog-proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Sealed columns whose values stay out: old_value, new_value, error, comment, extra
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub withhold: Vec<String>,
}

/// `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Print the public key that signs the ledger; those before it too
    Show,
    /// Sign with a new key from now on: the old one hands over to it and is deleted; what it signed stays valid
    Rotate(KeyRotateArgs),
}

/// `key rotate`.
#[derive(Debug, Args)]
pub struct KeyRotateArgs {
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `export`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("rows").required(true).args(["from", "query", "subject", "receipt"]))]
pub struct ExportArgs {
    /// First seq of a range, whose pack proves that nothing of it is missing
    #[arg(long, value_name = "SEQ", requires = "to")]
    pub from: Option<u64>,
    /// The seq after the last one of the range
    #[arg(long, value_name = "SEQ", requires = "from")]
    pub to: Option<u64>,
    /// A query that gives a column seq: its name, or the text of one SELECT
    #[arg(long, value_name = "NAME|SQL")]
    pub query: Option<String>,
    /// Every event about this person
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// The events of a signed receipt, whose pack shows that they are kept
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// A parameter of the query
    #[arg(short, long = "param", value_name = "KEY=VALUE", requires = "query")]
    pub params: Vec<String>,
    /// Where the pack goes: a directory that is not there yet, or a file .tar.gz
    #[arg(long, value_name = "PACK")]
    pub out: PathBuf,
    /// Sealed columns whose values stay out: old_value, new_value, error, comment, extra
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub withhold: Vec<String>,
    /// A signed checkpoint that the auditor holds: the pack proves that the ledger grew out of it
    #[arg(long, value_name = "FILE")]
    pub held: Option<PathBuf>,
    /// The auditor's trust policy (c2sp.org/tlog-policy): its witnesses are asked, and a pack that it does not believe
    /// is not handed out
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
}

/// `witness`.
#[derive(Debug, Subcommand)]
pub enum WitnessCommand {
    /// Make the key of a witness and print its public half
    Init(WitnessInitArgs),
    /// Cosign checkpoints over HTTP until interrupted (c2sp.org/tlog-witness)
    Serve(WitnessServeArgs),
    /// Have the newest checkpoint of the store cosigned, for the packs to come
    Ask(WitnessAskArgs),
}

/// `witness init`.
#[derive(Debug, Args)]
pub struct WitnessInitArgs {
    /// Where the secret key goes; a key is never overwritten
    #[arg(long, value_name = "FILE")]
    pub witness_key: PathBuf,
    /// Name of the witness, e.g. auditor.example.com/witness; it never changes
    #[arg(long, value_name = "NAME")]
    pub name: String,
}

/// `witness serve`.
#[derive(Debug, Args)]
pub struct WitnessServeArgs {
    /// The secret key of the witness
    #[arg(long, value_name = "FILE")]
    pub witness_key: PathBuf,
    /// Public key of a log to follow, as text or file
    #[arg(long = "log", value_name = "VKEY|FILE", required = true)]
    pub logs: Vec<String>,
    /// Directory of the checkpoints cosigned last; without it the witness forgets what it has seen, so keep it
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Address to listen on; put TLS before it where others than this machine are to reach it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7391")]
    pub listen: std::net::SocketAddr,
}

/// `witness ask`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).args(["trust", "url"]))]
pub struct WitnessAskArgs {
    /// Ask every witness of this trust policy (c2sp.org/tlog-policy) that has a URL
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Ask the witness at this URL
    #[arg(long, value_name = "URL", requires = "vkey")]
    pub url: Option<String>,
    /// Its public key, as text or file
    #[arg(long, value_name = "VKEY|FILE", requires = "url")]
    pub vkey: Option<String>,
}

/// `ingest`.
#[derive(Debug, Args)]
pub struct IngestArgs {
    /// Files, also gzipped; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Read the files through this mapping: a shipped one by name, your own by path (.sql)
    #[arg(long, value_name = "NAME|FILE.sql")]
    pub map: Option<String>,
    /// Store nothing unless every record is fit to be stored
    #[arg(long)]
    pub strict: bool,
    /// Write the signed receipt to this file; where others wrote in between, the further ones to FILE.2, FILE.3 ...
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Write a line for every record that was accepted, a duplicate or in conflict, with seq and leaf hash (NDJSON)
    #[arg(long, value_name = "FILE")]
    pub acknowledge: Option<PathBuf>,
}

/// `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Name of a query, or the text of one SELECT
    #[arg(value_name = "NAME|SQL")]
    pub query: String,
    /// A parameter of the query
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Rows to print at most
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Output formats of `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
    /// A Parquet file
    Parquet,
}

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Put a policy in force, from the instant that it names
    Apply(PolicyApplyArgs),
    /// Print the policy in force, or a file as it is understood
    Show(PolicyFileArgs),
    /// Judge the evidence by a file as if it had always been in force, or by the policy in force
    Check(PolicyFileArgs),
}

/// `policy apply`.
#[derive(Debug, Args)]
pub struct PolicyApplyArgs {
    /// The policy (.toml)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `policy show` and `policy check`.
#[derive(Debug, Args)]
pub struct PolicyFileArgs {
    /// A policy (.toml); left out: the one in force
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// The review of one month: HTML, JSON and CSV
    Monthly(MonthlyArgs),
    /// The packet of one batch, every flagged record with its evidence: HTML, JSON and CSV
    Batch(BatchArgs),
}

/// Options of every report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Where the files go [default: ./report]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// A parameter of the metrics, e.g. maturity_days=3650
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// Add the sections of a dashboard of your own (.toml; its queries lie beside it as .sql)
    #[arg(long = "dashboard", value_name = "FILE")]
    pub dashboards: Vec<PathBuf>,
    /// State in the evidence that this report was issued, so that later ones show its numbers beside theirs
    #[arg(long)]
    pub issue: bool,
    /// Who issues it [default: the user of the operating system]
    #[arg(long, value_name = "NAME", requires = "issue")]
    pub by: Option<String>,
}

/// `report monthly`.
#[derive(Debug, Args)]
pub struct MonthlyArgs {
    /// The month, YYYY-MM
    #[arg(long, value_name = "YYYY-MM")]
    pub month: String,
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `report batch`.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// The batch, as the events name it
    #[arg(long, value_name = "ID")]
    pub batch: String,
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Number of events
    #[arg(long, value_name = "N")]
    pub events: u64,
    /// The same seed gives the same events
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Months that they are spread over, up to 2026-11-01
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub months: u32,
    /// Write NDJSON to this file instead of into the store; - is standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `maintain`.
#[derive(Debug, Args)]
pub struct MaintainArgs {
    /// What to do; all of it but tiles and retention, in this order, when left out
    #[arg(value_enum)]
    pub work: Option<Work>,
    /// What retention takes.
    #[command(flatten)]
    pub retention: RetentionArgs,
}

/// `maintain retention`.
#[derive(Debug, Args)]
pub struct RetentionArgs {
    /// Of retention: keep events for so many days, at least 183 [default: 400, or longer where the policy asks for it]
    #[arg(long, value_name = "DAYS")]
    pub keep_days: Option<i64>,
    /// Of retention: why, on one line [default: retention]
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Of retention: who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// The person, as the events name it in subject_id
    #[arg(long, value_name = "ID")]
    pub subject: String,
    /// Why, on one line; it stays in the ledger for ever, so name a case rather than a person
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Only say what would be erased, and which hold forbids it
    #[arg(long)]
    pub dry_run: bool,
}

/// `hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// Events that name this incident, and those of the actions and records that it reached; given alone
    #[arg(long, value_name = "ID", requires = "reason")]
    pub incident: Option<String>,
    /// Events of this workflow
    #[arg(long, value_name = "NAME", requires = "reason")]
    pub workflow: Option<String>,
    /// Events about this person
    #[arg(long, value_name = "ID", requires = "reason")]
    pub subject: Option<String>,
    /// Events from this day or instant on (RFC 3339)
    #[arg(long, value_name = "WHEN", requires = "reason")]
    pub from: Option<String>,
    /// Events before this day or instant (RFC 3339)
    #[arg(long, value_name = "WHEN", requires = "reason")]
    pub to: Option<String>,
    /// Why, on one line; it stays in the ledger for ever
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The hold, as `probity hold` names it
    #[arg(value_name = "HOLD")]
    pub hold: String,
    /// Why, on one line; it stays in the ledger for ever
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who decides this [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Kinds of maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Turn the journal into Parquet
    Fold,
    /// Merge small files of a month, proving that every leaf hash is kept
    Compact,
    /// Fold the actions of newer events into their projection, so that questions need not
    Project,
    /// Make the tiles of the ledger again from the rows, if these give the root that was signed; only when asked for
    Tiles,
    /// Write a checkpoint of the table's log, so that opening stays fast
    Checkpoint,
    /// Delete the months that are older than they must be kept, but for what the engine stated; only when asked for
    Retention,
    /// Delete replaced files and expired quarantine entries, but for what a hold needs
    Vacuum,
}
