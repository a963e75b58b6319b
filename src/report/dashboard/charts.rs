//! The kinds of blocks that draw, and the keys of each.
//!
//! In: tables of TOML. Out: one struct a kind, which names the columns that a drawing takes. Invariant: as in
//! `blocks`.

use serde::Deserialize;

use super::blocks::{Filter, RateSpec};

/// Keys of `trend`: a query with reviewed, exceptions, value, ci_low, ci_high, status.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrendSpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// Column with the time.
    pub x: String,
    /// How to read it.
    pub caption: String,
}

/// Keys of `control_chart`; the defaults are the columns of `trend_routing_exceptions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlChartSpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// Column with the time.
    pub x: String,
    /// How to read it.
    pub caption: String,
    /// Column with the rate.
    #[serde(default = "value")]
    pub value: String,
    /// Columns with numerator and denominator.
    #[serde(default = "exceptions_reviewed")]
    pub counts: [String; 2],
    /// Column with the centre line.
    #[serde(default = "center")]
    pub center: String,
    /// Columns with the limits.
    #[serde(default = "limits")]
    pub limits: [String; 2],
    /// Columns with limits that allow for more spread than chance; left out, they are not drawn.
    pub wide_limits: Option<[String; 2]>,
    /// Column that says whether a point is a signal.
    #[serde(default = "is_signal")]
    pub signal: String,
    /// What the line is called.
    #[serde(default = "rate")]
    pub noun: String,
    /// Rows wanted.
    #[serde(default, rename = "where")]
    pub filter: Filter,
}

/// Keys of `small_multiples`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallMultiplesSpec {
    /// Title.
    pub label: String,
    /// How to read it.
    pub caption: String,
    /// A small chart each; the rows are the answers `trend:<query>`.
    pub metrics: Vec<RateSpec>,
}

/// Keys of `bars` and `mix`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartsSpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// How to read it.
    pub caption: String,
}

/// Keys of `columns`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnsSpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// Column with the time.
    pub x: String,
    /// Column with the whole.
    pub whole: String,
    /// Column with the part.
    pub part: String,
    /// How to read it.
    pub caption: String,
}

/// Keys of `reliability`: a query with low, high, numerator, denominator, value, ci_low, ci_high,
/// mean_confidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilitySpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// How to read it.
    pub caption: String,
    /// Rows wanted.
    #[serde(default, rename = "where")]
    pub filter: Filter,
}

/// Keys of `funnel`; the defaults are the columns of `reviewer_patterns`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunnelSpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// How to read it.
    pub caption: String,
    /// Column with the name.
    pub key: String,
    /// Columns with numerator and denominator.
    pub counts: [String; 2],
    /// Columns with the least and the greatest numerator that chance gives.
    pub limits: [String; 2],
    /// Column with the rate of the others.
    pub reference: String,
    /// Column that says, in words or as true, that the reviewer stands out.
    pub signal: String,
    /// What one of the denominator is called.
    pub noun: String,
}

/// Keys of `intervals`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntervalsSpec {
    /// Its query.
    pub query: String,
    /// Title.
    pub label: String,
    /// How to read it.
    pub caption: String,
    /// Columns whose values name a row: the first above, the others, with the counts, below.
    pub key: Vec<String>,
    /// Column with the value.
    pub value: String,
    /// Columns with the bounds.
    pub bounds: [String; 2],
    /// Columns with numerator and denominator, printed beside the name.
    pub counts: Option<[String; 2]>,
    /// How values are written.
    pub unit: Unit,
    /// Vertical lines.
    #[serde(default)]
    pub lines: Vec<LineSpec>,
    /// What stands in a name for a value that is null; nothing when left out.
    #[serde(default)]
    pub missing: String,
    /// Column with a judgement, printed at the end of the row.
    pub verdict: Option<String>,
    /// Rows wanted.
    #[serde(default, rename = "where")]
    pub filter: Filter,
}

/// What the values of `intervals` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Plain factors: 1 means the same.
    Ratio,
    /// Differences of fractions: 0 means the same.
    Difference,
    /// Fractions.
    Share,
}

/// A line of reference.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSpec {
    /// Where it stands.
    pub at: f64,
    /// What it means.
    pub label: String,
}

fn value() -> String {
    "value".to_owned()
}

fn exceptions_reviewed() -> [String; 2] {
    ["exceptions".to_owned(), "reviewed".to_owned()]
}

fn center() -> String {
    "center".to_owned()
}

fn limits() -> [String; 2] {
    ["limit_low".to_owned(), "limit_high".to_owned()]
}

fn is_signal() -> String {
    "is_signal".to_owned()
}

fn rate() -> String {
    "rate".to_owned()
}
