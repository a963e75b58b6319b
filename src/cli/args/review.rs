//! The command `review` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `review`.
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// Plan a sample review of what a candidate did: the plan is in the ledger before anybody can know the sample
    Plan(Box<ReviewPlanArgs>),
    /// Draw the sample from the first checkpoint signed after the plan, and print the items that wait for a mark
    Draw(ReviewDrawArgs),
    /// Mark items: one, or those of a file
    Mark(ReviewMarkArgs),
    /// Tell where a review stands by its marks; 1 = not ENABLE
    Status(ReviewIdArgs),
    /// Sign where a review stands, as the business owner of the area; ENABLE resumes the workflow; 1 = not ENABLE
    Decide(ReviewDecideArgs),
    /// Compute all that a review states again, from the evidence or from a pack alone; 1 = something is not as stated
    Verify(ReviewVerifyArgs),
    /// Write the report of a review: HTML and JSON
    Report(ReviewReportArgs),
    /// List the reviews
    List,
}

/// `review plan`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("occasion").required(true).args(["incident", "without_incident"]))]
pub struct ReviewPlanArgs {
    /// The incident whose workflow is to run again
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
    /// A review by cadence: it shows how good the work is, and lets nothing run again
    #[arg(long)]
    pub without_incident: bool,
    /// Condition over the columns of events that picks everything the candidate versions did, e.g. "rule_version = 'r8'"
    #[arg(long, value_name = "PREDICATE")]
    pub candidate: String,
    /// Condition that narrows it to what is judged; what it leaves out is counted
    #[arg(long = "where", value_name = "PREDICATE", default_value = "true")]
    pub predicate: String,
    /// Outputs of this environment: shadow or production
    #[arg(long, value_name = "NAME", default_value = "shadow")]
    pub environment: String,
    /// The workflow, which the outputs must be of [default: what they say]
    #[arg(long, value_name = "W")]
    pub workflow: Option<String>,
    /// Claim that the error rate is below this: 5%, 0.05 or 1/20
    #[arg(long, value_name = "RATE")]
    pub below: String,
    /// What it is the rate of
    #[arg(long, value_enum, default_value_t = Measured::Overall)]
    pub of: Measured,
    /// The error that all attempts together are allowed
    #[arg(long, value_name = "RATE", default_value = "0.05")]
    pub alpha: String,
    /// A fixed sample: smaller, decided once, never extended
    #[arg(long)]
    pub fixed: bool,
    /// Errors that the review should survive [default: 2, or as many as the claim allows]
    #[arg(long, value_name = "N")]
    pub errors: Option<u64>,
    /// Items, or draws by value, that may be reviewed [default: what the claim takes with so many errors]
    #[arg(long, value_name = "N")]
    pub most: Option<u64>,
    /// Column whose values are the strata, e.g. segment
    #[arg(long, value_name = "COLUMN")]
    pub stratum: Option<String>,
    /// Review this stratum in full
    #[arg(long, value_name = "NAME", requires = "stratum")]
    pub take_all: Vec<String>,
    /// Items that all strata together give a round, about
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub round: u64,
    /// Plant outputs that are known to be wrong among the items: those that this condition picks
    #[arg(long, value_name = "PREDICATE")]
    pub planted_where: Option<String>,
    /// The environment of the planted outputs
    #[arg(long, value_name = "NAME", default_value = "production", requires = "planted_where")]
    pub planted_environment: String,
    /// Who may mark; neither an author of the fix nor an approver of the bad actions
    #[arg(long = "reviewer", value_name = "NAME", required = true)]
    pub reviewers: Vec<String>,
    /// How many of them mark each item
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=2))]
    pub reviewers_per_item: u64,
    /// Somebody who made the fix and is not named by a config.changed event
    #[arg(long = "author", value_name = "NAME")]
    pub authors: Vec<String>,
    /// A public beacon and its round, named before it exists, e.g. drand=4711
    #[arg(long = "beacon", value_name = "KIND=ROUND")]
    pub beacons: Vec<String>,
    /// SHA-256 of bytes that a reviewer keeps to himself until the checkpoint is signed, e.g. ann=9f86…
    #[arg(long = "commitment", value_name = "KIND=SHA256")]
    pub commitments: Vec<String>,
    /// Who plans [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// What a rate of errors is a rate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measured {
    /// All outputs of the frame
    Overall,
    /// The outputs of each stratum
    EachStratum,
    /// The value at stake
    Value,
}

/// `review draw`.
#[derive(Debug, Args)]
pub struct ReviewDrawArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub review: String,
    /// What the plan promised, once the checkpoint is signed: the beacon's output or the bytes of a commitment
    #[arg(long = "reveal", value_name = "KIND=HEX")]
    pub revealed: Vec<String>,
    /// Print the items that this person has not marked [default: those that nobody has]
    #[arg(long, value_name = "NAME")]
    pub reviewer: Option<String>,
    /// Items to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Write the signed checkpoint that the seed is made from, e.g. for export --held
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Who draws [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `review mark`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["item", "file"]))]
pub struct ReviewMarkArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub review: String,
    /// The item: its id, or the beginning of it
    #[arg(long, value_name = "ITEM", requires = "mark")]
    pub item: Option<String>,
    /// What the reviewer says of it
    #[arg(long = "as", value_enum, value_name = "MARK", requires = "item")]
    pub mark: Option<Marked>,
    /// By value: how much of the item's value is wrong [default: all]
    #[arg(long, value_name = "AMOUNT", requires = "item")]
    pub wrong_amount: Option<String>,
    /// Words about it
    #[arg(long, value_name = "TEXT", requires = "item")]
    pub comment: Option<String>,
    /// When the reviewer opened the item (RFC 3339)
    #[arg(long, value_name = "WHEN", requires = "item")]
    pub opened: Option<String>,
    /// Marks in a file, CSV or a JSON object a line: item, mark, wrong_amount, reviewer, review_opened_at, comment; - is
    /// standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The reviewer [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// What a reviewer says of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Marked {
    /// It is right
    Correct,
    /// It is wrong
    Incorrect,
    /// Somebody else has to say
    Escalate,
}

/// `review status`.
#[derive(Debug, Args)]
pub struct ReviewIdArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub review: String,
}

/// `review decide`.
#[derive(Debug, Args)]
pub struct ReviewDecideArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub review: String,
    /// Who signs: the business owner by the policy in force [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `review verify`.
#[derive(Debug, Args)]
pub struct ReviewVerifyArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub review: String,
    /// Verify from this evidence pack alone, a directory or a .tar.gz; no store is read
    #[arg(long, value_name = "PACK", requires = "vkey")]
    pub pack: Option<PathBuf>,
    /// The log's public key from your own records, as text or in a file
    #[arg(long, value_name = "VKEY|FILE", requires = "pack")]
    pub vkey: Option<String>,
    /// Trust policy (c2sp.org/tlog-policy): whose cosignatures you ask for
    #[arg(long, value_name = "FILE", requires = "pack")]
    pub trust: Option<PathBuf>,
    /// Write what it takes to repeat the review without this program: frame, plan, seed, marks (JSON)
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
}

/// `review report`.
#[derive(Debug, Args)]
pub struct ReviewReportArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub review: String,
    /// Where the files go [default: ./report]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
