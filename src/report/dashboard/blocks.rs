//! The kinds of blocks that a dashboard can show, and the keys of each.
//!
//! In: tables of TOML with `show = "<kind>"`. Out: one struct a kind. Invariant: an unknown key is an error;
//! every key that may be left out has a meaning when it is. The kinds that draw are in `charts`. Adding a kind:
//! a struct, a name in [`BlockSpec`], a function in `compose`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::charts::*;

/// Rows that are shown: per column the value, or the values, that it must have.
pub type Filter = BTreeMap<String, OneOrMany>;

/// A block as described; the key `show` names its kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "show", rename_all = "snake_case")]
pub enum BlockSpec {
    /// A paragraph.
    Text(TextSpec),
    /// The rate of the whole page, large.
    Headline(RateSpec),
    /// Rates of the whole page, small.
    Tiles(TilesSpec),
    /// Counts, small.
    Figures(FiguresSpec),
    /// Rates of the whole page as a table.
    Rates(RatesSpec),
    /// A rate over time with intervals.
    Trend(TrendSpec),
    /// A rate over time with control limits.
    ControlChart(ControlChartSpec),
    /// Monthly rates of several metrics, one small chart each.
    SmallMultiples(SmallMultiplesSpec),
    /// Parts of a query with `part`, as bars.
    Bars(PartsSpec),
    /// Parts of a query with `part`, as one bar.
    Mix(PartsSpec),
    /// Two counts over time.
    Columns(ColumnsSpec),
    /// Confidence against the share that was right, in bins.
    Reliability(ReliabilitySpec),
    /// A rate per reviewer against what chance alone would give at that number.
    Funnel(FunnelSpec),
    /// Differences or ratios with their intervals, against lines of reference.
    Intervals(IntervalsSpec),
    /// Rates by batch, workflow or any other grain.
    Scorecard(ScorecardSpec),
    /// Quantiles of a duration.
    Durations(QuerySpec),
    /// Counts of what was received.
    Health(QuerySpec),
    /// Rows of any query.
    Table(TableSpec),
    /// The first row of any query, as labels with values.
    Facts(TableSpec),
    /// Results of controls and what violates them.
    Controls(ControlsSpec),
    /// What needs a decision.
    Findings(FindingsSpec),
    /// What exists and what is missing, a column a thing.
    Checklist(ChecklistSpec),
    /// Records to discuss one by one.
    Cards(CardsSpec),
    /// Which article of which framework is served by which section.
    Crosswalk(CrosswalkSpec),
    /// Lines to sign.
    SignOff(SignOffSpec),
}

/// A value, or several of which any will do.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(Scalar),
    /// Several.
    Many(Vec<Scalar>),
}

/// A plain value of TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// Words.
    Text(String),
    /// Yes or no.
    Truth(bool),
    /// A whole number.
    Whole(i64),
}

/// Keys of `text`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// The paragraph.
    pub text: String,
}

/// A rate: its query, what it is, what is counted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSpec {
    /// Its query.
    pub query: String,
    /// What it is.
    pub label: String,
    /// What is counted: `3,740 of 8,828 <noun>`.
    #[serde(default)]
    pub noun: String,
    /// Of a query with parts, the part that is the rate; left out, the first row is it.
    pub part: Option<String>,
}

impl RateSpec {
    /// Whether a row with this part is one of the rate.
    pub fn is_of(&self, part: &str) -> bool {
        self.part.as_ref().is_none_or(|wanted| wanted == part)
    }
}

/// Keys of `tiles`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TilesSpec {
    /// The tiles.
    pub tiles: Vec<RateSpec>,
}

/// Keys of `figures`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiguresSpec {
    /// The figures.
    pub figures: Vec<FigureSpec>,
}

/// A count: the sum of a column over the rows wanted, or how many rows there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureSpec {
    /// Its query; `controls` stands for the results of all controls, one row each.
    pub query: String,
    /// What it is.
    pub label: String,
    /// What is counted.
    #[serde(default)]
    pub noun: String,
    /// The column; left out, rows are counted.
    pub column: Option<String>,
    /// Rows wanted.
    #[serde(default, rename = "where")]
    pub filter: Filter,
    /// Whether anything above zero is as it should not be.
    #[serde(default)]
    pub is_alarm: bool,
}

/// Keys of `rates`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatesSpec {
    /// Caption.
    pub label: String,
    /// The rows.
    pub rows: Vec<RateSpec>,
    /// What is said below.
    #[serde(default)]
    pub note: String,
}

/// Keys of `scorecard`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScorecardSpec {
    /// `batch`, `workflow` or any other grain.
    pub grain: String,
    /// Caption.
    pub label: String,
    /// Heading of the first column.
    pub key: String,
    /// Heading of the column with the first rate's denominator.
    #[serde(default = "reviewed")]
    pub base: String,
    /// A column each.
    pub columns: Vec<RateSpec>,
    /// What is said below.
    #[serde(default)]
    pub note: String,
}

/// A query and what its rows are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuerySpec {
    /// The query.
    pub query: String,
    /// Caption.
    pub label: String,
}

/// Keys of `table` and `facts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// Its query; `controls` stands for the results of all controls, one row each.
    pub query: String,
    /// Caption.
    pub label: String,
    /// From left to right.
    pub columns: Vec<ColumnSpec>,
    /// Said when there is no row.
    #[serde(default)]
    pub empty: String,
    /// Rows shown at most; the rest is counted in the note.
    pub limit: Option<usize>,
    /// What is said below.
    #[serde(default)]
    pub note: String,
    /// Rows wanted.
    #[serde(default, rename = "where")]
    pub filter: Filter,
}

/// A column of a table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// The column of the query; of pairs the first; empty for `blank`.
    #[serde(default)]
    pub name: String,
    /// The second column of a pair: the upper bound, or the denominator.
    #[serde(default)]
    pub with: String,
    /// Heading.
    pub label: String,
    /// Column with the fraction of a `share`; `value` when left out.
    pub value: Option<String>,
    /// How its values are written.
    #[serde(default)]
    pub kind: ColumnKind,
    /// What stands for a value that is null; "no data" when left out.
    #[serde(default)]
    pub missing: String,
    /// On a card: left out where it has no value.
    #[serde(default)]
    pub is_optional: bool,
}

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// As they are.
    #[default]
    Text,
    /// Words of the data, with spaces: `approved_with_changes`.
    Words,
    /// Identifiers.
    Code,
    /// Whole numbers.
    Count,
    /// Fractions as percentages.
    Percent,
    /// Numerator, with the denominator in `with` and the fraction in `value`: `20.0 % (8 of 40)`, the counts
    /// first where the sample is small.
    Share,
    /// Numerator, with the denominator in `with`: `8 of 40`.
    Of,
    /// Plain numbers.
    Number,
    /// Durations in hours.
    Hours,
    /// Durations in seconds.
    Seconds,
    /// Bounds of a fraction, the upper one in `with`.
    Interval,
    /// Bounds of a plain number, the upper one in `with`.
    Bounds,
    /// Differences of fractions.
    Points,
    /// Days.
    Date,
    /// Instants to the minute.
    Time,
    /// Yes or no.
    YesNo,
    /// Judgements: words with a sign and a colour.
    State,
    /// Room to write.
    Blank,
}

/// Keys of `controls`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlsSpec {
    /// Caption.
    pub label: String,
    /// The controls in order; their rows are the answers `control:<name>`.
    pub names: Vec<String>,
    /// Violating rows shown at most of each.
    pub limit: usize,
    /// What is said below the results.
    #[serde(default)]
    pub note: String,
}

/// Keys of `findings`: a query with severity, workflow, subject, statement, owner, advice, rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingsSpec {
    /// Its query.
    pub query: String,
    /// Caption.
    pub label: String,
    /// Said when there is none.
    #[serde(default)]
    pub empty: String,
    /// Findings shown at most.
    pub limit: Option<usize>,
    /// Rows wanted.
    #[serde(default, rename = "where")]
    pub filter: Filter,
}

/// Keys of `checklist`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChecklistSpec {
    /// Its query: one row a thing.
    pub query: String,
    /// Caption.
    pub label: String,
    /// Column that names the thing.
    pub key: String,
    /// Rows of the list: a column of the query each; `group` is printed once.
    pub items: Vec<ItemSpec>,
    /// Said when there is nothing.
    #[serde(default)]
    pub empty: String,
}

/// A row of a checklist.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSpec {
    /// The column.
    pub name: String,
    /// What it is.
    pub label: String,
    /// What it belongs to: "Week 1".
    #[serde(default)]
    pub group: String,
    /// How its values are written.
    #[serde(default = "yes_no")]
    pub kind: ColumnKind,
}

/// Keys of `cards`: rows with the same value of `group` share a card.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardsSpec {
    /// Its query.
    pub query: String,
    /// Caption.
    pub label: String,
    /// Column whose value makes a card.
    pub group: String,
    /// Columns whose values title an entry.
    pub title: Vec<String>,
    /// Column with the judgement of an entry.
    pub state: String,
    /// Columns with the value before and after.
    pub change: [String; 2],
    /// The sides of an entry.
    pub sides: Vec<SideSpec>,
    /// Said when there is no row.
    #[serde(default)]
    pub empty: String,
    /// Cards shown at most.
    pub limit: Option<usize>,
}

/// A side of an entry: what is read together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideSpec {
    /// Heading.
    pub label: String,
    /// Its values.
    pub columns: Vec<ColumnSpec>,
}

/// Keys of `crosswalk`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrosswalkSpec {
    /// Caption.
    pub label: String,
    /// What is said below.
    #[serde(default)]
    pub note: String,
    /// An article each.
    pub rows: Vec<ArticleSpec>,
}

/// An article and what serves it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArticleSpec {
    /// The framework.
    pub framework: String,
    /// The article or control.
    pub article: String,
    /// What it asks for.
    pub asks: String,
    /// What of this page answers it, and what does not.
    pub answer: String,
    /// Ids of the sections that do.
    #[serde(default)]
    pub sections: Vec<String>,
}

/// Keys of `sign_off`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOffSpec {
    /// A line each.
    pub roles: Vec<String>,
}

impl BlockSpec {
    /// The queries whose rows it shows. `controls` is no query: see [`super::Dashboard::controls`].
    pub(super) fn queries(&self) -> Vec<&str> {
        let all = match self {
            Self::Headline(RateSpec { query, .. })
            | Self::Trend(TrendSpec { query, .. })
            | Self::ControlChart(ControlChartSpec { query, .. })
            | Self::Bars(PartsSpec { query, .. })
            | Self::Mix(PartsSpec { query, .. })
            | Self::Columns(ColumnsSpec { query, .. })
            | Self::Reliability(ReliabilitySpec { query, .. })
            | Self::Funnel(FunnelSpec { query, .. })
            | Self::Intervals(IntervalsSpec { query, .. })
            | Self::Durations(QuerySpec { query, .. })
            | Self::Health(QuerySpec { query, .. })
            | Self::Table(TableSpec { query, .. })
            | Self::Facts(TableSpec { query, .. })
            | Self::Findings(FindingsSpec { query, .. })
            | Self::Checklist(ChecklistSpec { query, .. })
            | Self::Cards(CardsSpec { query, .. }) => vec![query.as_str()],
            Self::Tiles(TilesSpec { tiles: rates })
            | Self::Rates(RatesSpec { rows: rates, .. })
            | Self::Scorecard(ScorecardSpec { columns: rates, .. }) => rates.iter().map(|r| r.query.as_str()).collect(),
            Self::Figures(spec) => spec.figures.iter().map(|f| f.query.as_str()).collect(),
            Self::Text(_) | Self::SmallMultiples(_) | Self::Controls(_) | Self::Crosswalk(_) | Self::SignOff(_) => {
                Vec::new()
            }
        };
        all.into_iter().filter(|name| *name != "controls").collect()
    }
}

fn reviewed() -> String {
    "Reviewed".to_owned()
}

fn yes_no() -> ColumnKind {
    ColumnKind::YesNo
}
