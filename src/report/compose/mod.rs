//! Composing: the answers of queries become the blocks of a page, as its dashboard says.
//!
//! In: a dashboard and the rows of its queries. Out: sections of a [`Document`](super::document::Document).
//! Invariant: every number on the page is a number of an answer; nothing is computed here but sums and counts
//! of rows, and how a count differs from the one first issued. A row's name, not its place, says what it is.

mod lists;
mod plots;
mod rates;
mod tables;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;

use serde_json::Value;

use super::dashboard::{BlockSpec, Dashboard, Filter, OneOrMany, Scalar, SectionSpec};
use super::document::{Block, Cell, Column, Facts, Flag, Query, Section, Table, Tone};
use crate::query::objects::{Row, text};

pub use rates::HEALTH;

/// The rows of every query of a page, by name; the monthly rows of a metric under `trend:<metric>`; of a
/// control under `control:<name>` first its result, then the rows that violate it.
pub type Answers = BTreeMap<String, Vec<Row>>;

/// The sections of `dashboard`.
pub fn sections(dashboard: &Dashboard, answers: &Answers) -> Vec<Section> {
    let page = Page { grain: &dashboard.grain, answers, controls: control_results(dashboard, answers) };
    let section = |spec: &SectionSpec| Section {
        id: spec.id.clone(),
        title: spec.title.clone(),
        question: spec.question.clone(),
        blocks: spec.blocks.iter().flat_map(|block| page.compose(block)).collect(),
    };
    dashboard.sections.iter().map(section).collect()
}

/// What an appendix prints of the queries behind a page: parameters that all of them share once, then each.
pub fn register(queries: Vec<Query>) -> Vec<Block> {
    let all = || queries.iter().flat_map(|q| &q.parameters);
    let is_shared = |(name, value): &&(String, String)| {
        all().filter(|(n, _)| n == name).all(|(_, v)| v == value) && all().filter(|(n, _)| n == name).count() > 1
    };
    let shared: BTreeMap<String, String> = all().filter(is_shared).cloned().collect();
    let own = |query: &Query| Query {
        parameters: query.parameters.iter().filter(|(name, _)| !shared.contains_key(name)).cloned().collect(),
        ..query.clone()
    };
    let own: Vec<Query> = queries.iter().map(own).collect();
    let facts = Facts {
        label: "Parameters of all queries that know them".to_owned(),
        pairs: shared.into_iter().collect(),
        ..Facts::default()
    };
    let known = (!facts.pairs.is_empty()).then_some(Block::Facts(facts));
    known.into_iter().chain([Block::Queries(own)]).collect()
}

/// All rows of a query.
pub fn all<'a>(answers: &'a Answers, query: &str) -> &'a [Row] {
    answers.get(query).map_or(&[], Vec::as_slice)
}

/// The rows of a query for the whole period.
pub fn of_period<'a>(answers: &'a Answers, query: &str) -> Vec<&'a Row> {
    all(answers, query).iter().filter(|row| text(row, "grain") == "period").collect()
}

/// A word of the data as words for people: `approved_with_changes` → `approved with changes`.
pub fn words(name: &str) -> String {
    name.replace('_', " ").replace(" ai", " AI")
}

/// The keys of a grain that any answer names, in order.
pub fn keys_of(answers: &Answers, grain: &str) -> Vec<String> {
    sorted_keys(answers.values().flatten(), grain)
}

fn sorted_keys<'a>(rows: impl Iterator<Item = &'a Row>, grain: &str) -> Vec<String> {
    let of_grain = rows.filter(|row| text(row, "grain") == grain);
    let mut keys: Vec<String> = of_grain.map(|row| text(row, "key").to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The first row of each control, with its name, in the order of the dashboard.
fn control_results(dashboard: &Dashboard, answers: &Answers) -> Vec<Row> {
    let result = |name: &&str| {
        let mut row = all(answers, &format!("control:{name}")).first()?.clone();
        row.insert("control".to_owned(), (*name).into());
        Some(row)
    };
    dashboard.controls().iter().filter_map(result).collect()
}

/// Leaves out columns without a heading in which no row says anything, and the note where there is no row.
fn tidy(mut table: Table) -> Block {
    if table.rows.is_empty() {
        table.note = String::new();
    }
    let is_said =
        |cell: Option<&Cell>| !matches!(cell, None | Some(Cell::Missing)) && cell != Some(&Cell::Text(String::new()));
    let is_kept =
        |(i, column): (usize, &Column)| !column.label.is_empty() || table.rows.iter().any(|r| is_said(r.get(i)));
    let kept: Vec<bool> = table.columns.iter().enumerate().map(is_kept).collect();
    let mut place = kept.iter();
    table.columns.retain(|_| *place.next().unwrap_or(&true));
    for row in &mut table.rows {
        let mut place = kept.iter();
        row.retain(|_| *place.next().unwrap_or(&true));
    }
    Block::Table(table)
}

/// What the blocks of a page are made from.
struct Page<'a> {
    grain: &'a str,
    answers: &'a Answers,
    controls: Vec<Row>,
}

impl Page<'_> {
    fn compose(&self, block: &BlockSpec) -> Vec<Block> {
        match block {
            BlockSpec::Text(spec) => vec![Block::Text(spec.text.clone())],
            BlockSpec::Headline(spec) => vec![self.headline(spec)],
            BlockSpec::Tiles(spec) => vec![Block::Tiles(spec.tiles.iter().map(|tile| self.tile(tile)).collect())],
            BlockSpec::Figures(spec) => vec![Block::Tiles(spec.figures.iter().map(|f| self.figure(f)).collect())],
            BlockSpec::Rates(spec) => vec![self.rates(spec)],
            BlockSpec::Trend(spec) => vec![self.trend(spec)],
            BlockSpec::ControlChart(spec) => vec![self.control_chart(spec)],
            BlockSpec::SmallMultiples(spec) => vec![self.small_multiples(spec)],
            BlockSpec::Bars(spec) => vec![self.bars(spec)],
            BlockSpec::Mix(spec) => vec![self.mix(spec)],
            BlockSpec::Columns(spec) => vec![self.columns(spec)],
            BlockSpec::Reliability(spec) => vec![self.reliability(spec)],
            BlockSpec::Funnel(spec) => vec![self.funnel(spec)],
            BlockSpec::Intervals(spec) => vec![self.intervals(spec)],
            BlockSpec::Scorecard(spec) => vec![self.scorecard(spec)],
            BlockSpec::Durations(spec) => vec![self.durations(spec)],
            BlockSpec::Health(spec) => vec![self.health(spec)],
            BlockSpec::Table(spec) => vec![self.table(spec)],
            BlockSpec::Facts(spec) => vec![self.facts(spec)],
            BlockSpec::Controls(spec) => self.control_tables(spec),
            BlockSpec::Findings(spec) => vec![self.findings(spec)],
            BlockSpec::Checklist(spec) => self.checklist(spec),
            BlockSpec::Cards(spec) => vec![self.cards(spec)],
            BlockSpec::Crosswalk(spec) => vec![tables::crosswalk(spec)],
            BlockSpec::SignOff(spec) => vec![Block::SignOff(spec.roles.clone())],
        }
    }

    /// All rows of a query; of `controls` the results.
    fn rows(&self, query: &str) -> &[Row] {
        if query == "controls" { &self.controls } else { all(self.answers, query) }
    }

    /// The rows for the whole page.
    fn of_page(&self, query: &str) -> Vec<&Row> {
        self.rows(query).iter().filter(|row| text(row, "grain") == self.grain).collect()
    }

    /// The rows a block wants.
    fn wanted(&self, query: &str, filter: &Filter) -> Vec<&Row> {
        let fits = |row: &&Row| filter.iter().all(|(column, wanted)| is_any(row.get(column), wanted));
        self.rows(query).iter().filter(fits).collect()
    }
}

fn is_any(value: Option<&Value>, wanted: &OneOrMany) -> bool {
    let is = |scalar: &Scalar| match (value, scalar) {
        (Some(Value::String(text)), Scalar::Text(wanted)) => text == wanted,
        (Some(Value::Bool(truth)), Scalar::Truth(wanted)) => truth == wanted,
        (Some(Value::Number(number)), Scalar::Whole(wanted)) => number.as_i64() == Some(*wanted),
        _ => false,
    };
    match wanted {
        OneOrMany::One(scalar) => is(scalar),
        OneOrMany::Many(scalars) => scalars.iter().any(is),
    }
}

/// A word that judges, as a flag; none for a word that does not.
pub fn flag(word: &str) -> Option<Flag> {
    let tone = match word {
        "pass" | "done" | "closed" | "valid" | "succeeded" | "held" | "no_evidence" | "true_positive" | "applied" => {
            Tone::Good
        }
        "fail" | "failed" | "overdue" | "never" | "open" | "high" | "adverse" | "missing" | "not_approved"
        | "false_positive" | "unprovable" | "execution failed" => Tone::Bad,
        "medium"
        | "inconclusive"
        | "draft"
        | "contained"
        | "partial"
        | "unknown"
        | "recorded_late"
        | "immature"
        | "small_sample"
        | "pending"
        | "escalated"
        | "escalated, open"
        | "approved, not executed"
        | "rolled back"
        | "execution partial"
        | "execution unknown" => Tone::Watch,
        "low" | "no_data" | "not_testable" | "not_run" | "suppressed" => Tone::Absent,
        _ => return None,
    };
    Some(Flag::new(tone, if word == "immature" { "not yet mature".to_owned() } else { words(word) }))
}

/// A name of the data as the beginning of a heading: `maturity_days` → `Maturity days`.
pub fn first_upper(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map_or(String::new(), |first| first.to_uppercase().collect());
    first + &letters.as_str().replace('_', " ")
}

/// Rows of a list that a report holds at most; the count beside it is always whole.
pub const LISTED: usize = 10_000;

/// `first 20 of 135`, before what else is said; nothing when all are shown.
fn with_rest(shown: usize, all: usize, note: &str) -> String {
    if shown >= all {
        return note.to_owned();
    }
    let listed =
        if all > LISTED { format!("the first {}", super::format::count(LISTED as u64)) } else { "all".to_owned() };
    let (shown, all) = (super::format::count(shown as u64), super::format::count(all as u64));
    format!("The first {shown} of {all}; {listed} are in the CSV beside this page. {note}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::document::Kind;
    use super::testing::{answers, page, with_controls};
    use super::*;

    #[test]
    fn rows_are_wanted_by_the_values_of_their_columns() {
        let answers =
            answers(&[("q", r#"[{"part":"a","n":1,"is":true},{"part":"b","n":2,"is":false},{"part":null}]"#)]);
        let page = page(&answers);
        let count = |filter: &str| page.wanted("q", &toml::from_str(filter).unwrap()).len();
        assert_eq!(
            [count("part = 'a'"), count("part = ['a', 'b', 'c']"), count("n = 2"), count("is = true")],
            [1, 2, 1, 1]
        );
        assert_eq!([count(""), count("part = 'x'"), count("absent = 'x'")], [3, 0, 0]);
    }

    #[test]
    fn parameters_that_all_queries_share_are_printed_once() {
        let query = |name: &str, days: &str| Query {
            name: name.into(),
            parameters: vec![("as_of".into(), "noon".into()), ("days".into(), days.into())],
            ..Query::default()
        };
        let blocks = register(vec![query("a", "30"), query("b", "14")]);
        let [Block::Facts(facts), Block::Queries(queries)] = blocks.as_slice() else { panic!("{blocks:?}") };
        assert_eq!(facts.pairs, [("as_of".to_owned(), "noon".to_owned())]);
        assert_eq!(queries[1].parameters, [("days".to_owned(), "14".to_owned())]);
    }

    #[test]
    fn the_results_of_controls_are_rows_of_their_own() {
        let answers = answers(&[("control:a_b", r#"[{"result":"fail","violations":1},{"seq":7}]"#), ("q", "[{}]")]);
        let page = with_controls(&answers);
        assert_eq!(page.rows("controls").len(), 1);
        assert_eq!(text(&page.rows("controls")[0], "control"), "a_b");
    }

    #[test]
    fn a_column_without_heading_stays_only_where_it_says_something() {
        let columns = ["a", ""].map(|label| Column::new(label, Kind::Text)).to_vec();
        let table = |said: &str| Table {
            columns: columns.clone(),
            rows: vec![vec!["x".into(), said.into()]],
            ..Table::default()
        };
        for (said, expected) in [("", 1), ("small sample", 2)] {
            let Block::Table(table) = tidy(table(said)) else { panic!() };
            assert_eq!((table.columns.len(), table.rows[0].len()), (expected, expected));
        }
    }

    #[test]
    fn judgements_are_flags_and_other_words_are_not() {
        assert_eq!(flag("fail"), Some(Flag::new(Tone::Bad, "fail")));
        assert_eq!(flag("not_testable"), Some(Flag::new(Tone::Absent, "not testable")));
        assert_eq!(flag("immature"), Some(Flag::new(Tone::Watch, "not yet mature")));
        assert_eq!(flag("approved"), None);
    }
}
