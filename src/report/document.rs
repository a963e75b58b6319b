//! The page before it is markup: sections of headlines, tiles, charts, tables, findings, cards and queries.
//!
//! In: values and words from whoever composes a report. Out: plain structs that `html` renders.
//! Invariant: every string here is plain text, never markup; the one exception, [`Svg`], can be made
//! by `charts` alone. It must not compute a number, choose a wording or know where data came from.

use super::format;

/// A whole page.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// What the page is: "Monthly governance review".
    pub title: String,
    /// What it covers: "June 2026, tenant default".
    pub subtitle: String,
    /// The ground the numbers stand on, label and value: period, as of, ledger size, root, table
    /// version, time zone.
    pub facts: Vec<(String, String)>,
    /// Something the reader must know before any number, such as an incomplete log.
    pub banner: Option<String>,
    /// In reading order; they are numbered from 1, and one with the id `appendix` is called A.
    pub sections: Vec<Section>,
}

/// One numbered part of a page.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Anchor, unique in the document: `batch-scorecards`.
    pub id: String,
    /// Heading, without its number.
    pub title: String,
    /// One sentence: what the reader learns here.
    pub question: String,
    /// In reading order.
    pub blocks: Vec<Block>,
}

/// What a section is made of.
#[derive(Clone, Debug)]
pub enum Block {
    /// One number, set large.
    Headline(Headline),
    /// Small numbers side by side.
    Tiles(Vec<Tile>),
    /// A drawing with its words.
    Chart(Chart),
    /// Rows under named columns.
    Table(Table),
    /// A paragraph.
    Text(String),
    /// Short statements, one per line.
    List(Vec<String>),
    /// Labels with their values.
    Facts(Facts),
    /// What needs a decision, each with its owner.
    Findings(Findings),
    /// Things to discuss one by one.
    Cards(Cards),
    /// The queries of the page, printed so that anyone can recompute its numbers.
    Queries(Vec<Query>),
    /// Lines to sign on paper, one per role: name, date, signature.
    SignOff(Vec<String>),
}

/// The number a section is about, set large.
#[derive(Clone, Debug, Default)]
pub struct Headline {
    /// What is measured: "Routing exception rate".
    pub label: String,
    /// The large line: `42.4 %`, or the counts when the sample is small (see `format::rate`).
    pub value: String,
    /// The line below: `3,740 of 8,828 records`.
    pub detail: String,
    /// `[41.3, 43.4]`, or empty.
    pub interval: String,
    /// Why to read the number with care; none when it is fine.
    pub status: Option<Flag>,
    /// Anything that qualifies the number: restated since first issue, pending, left out.
    pub note: String,
    /// Name of the query behind it, or empty. Links to a [`Block::Queries`] of that name when the
    /// document holds one.
    pub source: String,
}

/// A small number among its peers.
#[derive(Clone, Debug, Default)]
pub struct Tile {
    /// What is measured.
    pub label: String,
    /// The large line, as in [`Headline`].
    pub value: String,
    /// The line below, with the counts.
    pub detail: String,
    /// Why to read the number with care; none when it is fine.
    pub status: Option<Flag>,
    /// Name of the query behind it, or empty.
    pub source: String,
}

/// A drawing with its words.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What is drawn.
    pub title: String,
    /// How to read it, or what stands out.
    pub caption: String,
    /// The drawing; none when there is nothing to draw: the page then says so in words.
    pub svg: Option<Svg>,
    /// Name of the query behind it, or empty.
    pub source: String,
}

/// A finished drawing, safe to place in a page. Only `charts` makes one, with its text escaped and its
/// description inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg(pub(super) String);

impl Svg {
    /// The markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Rows under named columns. A row shorter than the columns is filled up with missing cells.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the rows are.
    pub caption: String,
    /// From left to right.
    pub columns: Vec<Column>,
    /// Cells in the order of the columns.
    pub rows: Vec<Vec<Cell>>,
    /// Said in place of the table when it has no row; "no data" when nothing is given.
    pub empty: String,
    /// What is left out or needs explaining, such as a truncation.
    pub note: String,
    /// Name of the query behind it, or empty.
    pub source: String,
}

/// Labels with their values.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What they are about; may be empty.
    pub label: String,
    /// Label and value.
    pub pairs: Vec<(String, String)>,
    /// Said when there is none.
    pub empty: String,
    /// Name of the query behind them, or empty.
    pub source: String,
}

/// What needs a decision.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What they are; may be empty.
    pub label: String,
    /// The most urgent first.
    pub findings: Vec<Finding>,
    /// Said when there is none.
    pub empty: String,
    /// What is left out.
    pub note: String,
    /// Name of the query behind them, or empty.
    pub source: String,
}

/// One thing that needs a decision.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// How urgent it is.
    pub severity: Option<Flag>,
    /// What was found, with its counts, as a sentence.
    pub statement: String,
    /// Label and value: about what, who owns it, which rule found it.
    pub facts: Vec<(String, String)>,
    /// What to do about it.
    pub advice: String,
}

/// Things to discuss one by one.
#[derive(Clone, Debug, Default)]
pub struct Cards {
    /// What they are; may be empty.
    pub label: String,
    /// In the order of discussion.
    pub cards: Vec<Card>,
    /// Said when there is none.
    pub empty: String,
    /// What is left out.
    pub note: String,
    /// Name of the query behind them, or empty.
    pub source: String,
}

/// One thing to discuss: a record with all that was proposed for it.
#[derive(Clone, Debug, Default)]
pub struct Card {
    /// Which one.
    pub title: String,
    /// What is on it, one entry each.
    pub entries: Vec<Entry>,
}

/// One proposal on a card.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What it is about.
    pub title: String,
    /// Where it stands.
    pub state: Option<Flag>,
    /// The value before and the value proposed; none when nothing is changed.
    pub change: Option<(Option<String>, Option<String>)>,
    /// Next to each other.
    pub sides: Vec<Side>,
}

/// What is read together on a card: the evidence, the decision.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// What it is.
    pub label: String,
    /// Label, value, and how the value is set.
    pub values: Vec<(String, Cell, Kind)>,
}

/// A column's heading and how its values are set.
#[derive(Clone, Debug)]
pub struct Column {
    /// The heading.
    pub label: String,
    /// How its values are written and aligned.
    pub kind: Kind,
}

impl Column {
    /// A column.
    pub fn new(label: impl Into<String>, kind: Kind) -> Self {
        Self { label: label.into(), kind }
    }
}

/// How the values of a column are written and aligned. Everything but `Text` and `Code` is set right,
/// in figures of equal width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words, set left.
    Text,
    /// Sentences of this program, in which names stand between backticks and instants in full.
    Prose,
    /// Identifiers and hashes: equal-width letters, may break anywhere.
    Code,
    /// Whole numbers with thousands separators.
    Count,
    /// Fractions, printed as percentages.
    Percent,
    /// Plain numbers with at most three decimals.
    Number,
    /// Durations given in hours.
    Hours,
    /// Pairs of fractions, printed as percentages.
    Interval,
    /// Differences of fractions, printed as percentage points with a sign.
    Points,
    /// Pairs of plain numbers.
    Bounds,
    /// Days and instants: words that stay on one line.
    Time,
    /// Room to write on paper.
    Blank,
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words or an identifier.
    Text(String),
    /// How many.
    Count(u64),
    /// Written as the column's kind says.
    Value(f64),
    /// Lower and upper bound.
    Range(f64, f64),
    /// A judgement in words.
    Flag(Flag),
    /// Ids of sections of the same page, shown as their numbers.
    Sections(Vec<String>),
    /// Room to write on paper.
    Blank,
    /// Heads the rows below it.
    Group(String),
    /// No value: printed as a dash that reads "no data".
    Missing,
}

impl Cell {
    /// The value as its column's kind writes it; sections by their ids, which only a page can number.
    pub fn words(&self, kind: Kind) -> String {
        match self {
            Self::Text(text) | Self::Group(text) => text.clone(),
            Self::Count(count) => format::count(*count),
            Self::Value(value) => match kind {
                Kind::Percent => format::percent(Some(*value)),
                Kind::Hours => format::hours(Some(*value)),
                Kind::Points => format::points(Some(*value)),
                _ => format::number(Some(*value)),
            },
            Self::Range(low, high) if kind == Kind::Bounds => format::bounds(Some(*low), Some(*high)),
            Self::Range(low, high) => format::interval(Some(*low), Some(*high)),
            Self::Flag(flag) => flag.words.clone(),
            Self::Sections(ids) => ids.join(", "),
            Self::Blank => String::new(),
            Self::Missing => format::NO_DATA.to_owned(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

impl From<Flag> for Cell {
    fn from(flag: Flag) -> Self {
        Self::Flag(flag)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

/// A judgement in a word or two. Words carry it; shape and colour only repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The judgement: "small sample".
    pub words: String,
    /// How to take it.
    pub tone: Tone,
}

impl Flag {
    /// A flag.
    pub fn new(tone: Tone, words: impl Into<String>) -> Self {
        Self { words: words.into(), tone }
    }

    /// The flag of a metric's status; none for `ok`.
    pub fn of_status(status: &str) -> Option<Self> {
        let tone = if status == "no_data" { Tone::Absent } else { Tone::Watch };
        format::status(status).map(|words| Self::new(tone, words))
    }
}

/// How a reader should take a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Read with care.
    Watch,
    /// Not as it should be.
    Bad,
    /// Nothing to judge by: no data, not testable.
    Absent,
    /// A state that is neither good nor bad.
    Plain,
}

/// A query as the appendix prints it.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Unique in the document; what `source` refers to.
    pub name: String,
    /// What the query asks, from its header.
    pub question: String,
    /// Name and value.
    pub parameters: Vec<(String, String)>,
    /// The text of the query.
    pub sql: String,
    /// SHA-256 of that text in hex: it names the text where the text itself is not at hand.
    pub digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_value_becomes_a_missing_cell_not_a_zero() {
        assert_eq!(Cell::from(None::<u64>), Cell::Missing);
        assert_eq!(Cell::from(Some(0u64)), Cell::Count(0));
    }

    #[test]
    fn a_metric_that_is_fine_carries_no_flag() {
        assert_eq!(Flag::of_status("ok"), None);
        assert_eq!(Flag::of_status("no_data"), Some(Flag::new(Tone::Absent, "no data")));
    }
}
