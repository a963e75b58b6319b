//! Rates and counts: headline, tiles, figures, tables of rates, durations, health of the log.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Page, sorted_keys, tidy};
use crate::query::objects::{Row, count, number, text};
use crate::report::dashboard::{FigureSpec, QuerySpec, RateSpec, RatesSpec, ScorecardSpec};
use crate::report::document::{Block, Cell, Column, Flag, Headline, Kind, Table, Tile, Tone};
use crate::report::format;

struct Rate {
    numerator: u64,
    denominator: u64,
    value: Option<f64>,
    interval: String,
    pending: u64,
    status: String,
    restated: String,
}

impl Rate {
    fn of(row: &Row) -> Self {
        Self {
            numerator: count(row, "numerator").unwrap_or(0),
            denominator: count(row, "denominator").unwrap_or(0),
            value: number(row, "value"),
            interval: match (number(row, "ci_low"), number(row, "ci_high")) {
                (None, None) => String::new(),
                (low, high) => format::interval(low, high),
            },
            pending: count(row, "pending").unwrap_or(0),
            status: text(row, "status").to_owned(),
            restated: restated(row),
        }
    }

    /// Counts first where the sample is small, as the words for `status` ask for.
    fn lines(&self, noun: &str) -> (String, String) {
        let (large, small) = format::rate(self.numerator, self.denominator, self.value);
        let detail = match self.denominator {
            0 => small,
            n if n < format::SMALL_SAMPLE && !noun.is_empty() => format!("{small} of the {noun}"),
            _ => format!("{small} {noun}").trim_end().to_owned(),
        };
        (large, detail)
    }

    fn note(&self) -> String {
        let pending =
            if self.pending == 0 { String::new() } else { format!("{} pending", format::count(self.pending)) };
        let notes = [pending, self.restated.clone()];
        notes.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

/// `first issued 8 of 40, 20.0 %; restated +1`: the value that an earlier report showed, beside today's.
/// Empty when no earlier report did.
fn restated(row: &Row) -> String {
    let Some(Value::Object(first)) = row.get("first_issued") else { return String::new() };
    let (numerator, denominator) = (count(first, "numerator"), count(first, "denominator"));
    let (was, of) = (numerator.unwrap_or(0), denominator.unwrap_or(0));
    let value = match of {
        0 => format::NO_DATA.to_owned(),
        _ => format!("{}, {}", format::of(was, of), format::percent(number(first, "value"))),
    };
    let day = text(first, "issued_at");
    let day = if day.is_empty() { String::new() } else { format!(" ({})", format::date(day)) };
    let moved = |column: &str, before: u64| {
        i64::try_from(count(row, column).unwrap_or(0)).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX)
    };
    let change = match (moved("numerator", was), moved("denominator", of)) {
        (0, 0) => "unchanged".to_owned(),
        (part, 0) => format!("restated {}", format::change(part)),
        (part, whole) => format!("restated {} of {}", format::change(part), format::change(whole)),
    };
    let reason = text(first, "reason");
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    format!("first issued {value}{day}; {change}{reason}")
}

impl Page<'_> {
    fn rate(&self, spec: &RateSpec) -> Option<Rate> {
        self.rate_row(spec).map(Rate::of)
    }

    fn rate_row(&self, spec: &RateSpec) -> Option<&Row> {
        self.of_page(&spec.query).into_iter().find(|row| spec.is_of(text(row, "part")))
    }

    pub(super) fn headline(&self, spec: &RateSpec) -> Block {
        let mut headline = Headline { label: spec.label.clone(), source: spec.query.clone(), ..Headline::default() };
        match self.rate(spec) {
            Some(rate) => {
                (headline.value, headline.detail) = rate.lines(&spec.noun);
                headline.status = Flag::of_status(&rate.status).filter(|_| rate.denominator > 0);
                headline.note = rate.note();
                headline.interval = rate.interval;
            }
            None => headline.value = format::NO_DATA.to_owned(),
        }
        Block::Headline(headline)
    }

    pub(super) fn tile(&self, spec: &RateSpec) -> Tile {
        let mut tile = Tile { label: spec.label.clone(), source: spec.query.clone(), ..Tile::default() };
        match self.rate(spec) {
            Some(rate) => {
                let (value, detail) = rate.lines(&spec.noun);
                let lines = [detail, rate.note()].into_iter().filter(|line| !line.is_empty());
                (tile.value, tile.detail) = (value, lines.collect::<Vec<_>>().join("; "));
                tile.status = Flag::of_status(&rate.status).filter(|_| rate.denominator > 0);
            }
            None => tile.value = format::NO_DATA.to_owned(),
        }
        tile
    }

    /// A sum over the rows wanted, or their number. A query that was not asked has no data; one that
    /// answered without rows has none of them.
    pub(super) fn figure(&self, spec: &FigureSpec) -> Tile {
        let rows = self.wanted(&spec.query, &spec.filter);
        let is_asked = spec.query == "controls" && !self.controls.is_empty() || self.answers.contains_key(&spec.query);
        let found = match &spec.column {
            None => is_asked.then_some(rows.len() as u64),
            Some(column) => rows.iter().filter_map(|row| count(row, column)).reduce(|a, b| a + b),
        };
        let is_alarm = spec.is_alarm && found.is_some_and(|n| n > 0);
        Tile {
            label: spec.label.clone(),
            value: found.map_or(format::NO_DATA.to_owned(), format::count),
            detail: spec.noun.clone(),
            status: is_alarm.then(|| Flag::new(Tone::Bad, "look into this")),
            source: if spec.query == "controls" { String::new() } else { spec.query.clone() },
        }
    }

    pub(super) fn rates(&self, spec: &RatesSpec) -> Block {
        let has_restated = spec.rows.iter().any(|r| self.rate(r).is_some_and(|rate| !rate.restated.is_empty()));
        let mut columns = [
            ("Rate", Kind::Text),
            ("Count", Kind::Count),
            ("Of", Kind::Count),
            ("Share", Kind::Percent),
            ("95 %", Kind::Interval),
            ("Pending", Kind::Count),
            ("", Kind::Text),
        ]
        .map(|(name, kind)| Column::new(name, kind))
        .to_vec();
        if has_restated {
            columns.push(Column::new("First issued", Kind::Text));
        }
        tidy(Table {
            caption: spec.label.clone(),
            columns,
            rows: spec.rows.iter().map(|rate| self.rate_cells(rate, has_restated)).collect(),
            note: spec.note.clone(),
            ..Table::default()
        })
    }

    fn rate_cells(&self, spec: &RateSpec, has_restated: bool) -> Vec<Cell> {
        let found = self.rate_row(spec).cloned().unwrap_or_default();
        let bounds = number(&found, "ci_low").zip(number(&found, "ci_high"));
        let status = if found.is_empty() { "no_data" } else { text(&found, "status") };
        let mut cells = vec![
            spec.label.as_str().into(),
            count(&found, "numerator").into(),
            count(&found, "denominator").into(),
            number(&found, "value").into(),
            bounds.map_or(Cell::Missing, |(low, high)| Cell::Range(low, high)),
            count(&found, "pending").into(),
            status_cell(status),
        ];
        if has_restated {
            cells.push(restated(&found).trim_start_matches("first issued ").into());
        }
        cells
    }

    pub(super) fn scorecard(&self, spec: &ScorecardSpec) -> Block {
        let rows = spec.columns.iter().flat_map(|column| self.rows(&column.query));
        let keys = sorted_keys(rows, &spec.grain);
        let mut heads = vec![Column::new(spec.key.as_str(), Kind::Text), Column::new(spec.base.as_str(), Kind::Count)];
        heads.extend(spec.columns.iter().map(|column| Column::new(column.label.as_str(), Kind::Percent)));
        heads.push(Column::new("", Kind::Text));
        let find = |column: &RateSpec, key: &str| {
            let is_wanted = |row: &&Row| text(row, "grain") == spec.grain && text(row, "key") == key;
            self.rows(&column.query).iter().filter(is_wanted).find(|row| column.is_of(text(row, "part")))
        };
        let row = |key: &String| -> Vec<Cell> {
            let first = spec.columns.first().and_then(|column| find(column, key));
            let mut cells: Vec<Cell> = vec![key.as_str().into(), first.and_then(|r| count(r, "denominator")).into()];
            cells.extend(spec.columns.iter().map(|column| find(column, key).map_or(Cell::Missing, share)));
            cells.push(first.map_or(Cell::Text(String::new()), |r| status_cell(text(r, "status"))));
            cells
        };
        tidy(Table {
            caption: spec.label.clone(),
            columns: heads,
            rows: keys.iter().map(row).collect(),
            empty: format!("No {} in this period.", super::words(&spec.grain)),
            note: spec.note.clone(),
            source: spec.columns.first().map_or(String::new(), |column| column.query.clone()),
        })
    }

    pub(super) fn durations(&self, spec: &QuerySpec) -> Block {
        let heads = [
            ("Decided", Kind::Count),
            ("Half within", Kind::Hours),
            ("Nine of ten within", Kind::Hours),
            ("Longest", Kind::Hours),
            ("Pending", Kind::Count),
            ("Oldest pending", Kind::Hours),
            ("", Kind::Text),
        ];
        let row = |row: &&Row| -> Vec<Cell> {
            vec![
                count(row, "denominator").into(),
                number(row, "p50_hours").into(),
                number(row, "p90_hours").into(),
                number(row, "max_hours").into(),
                count(row, "pending").into(),
                number(row, "pending_age_hours").into(),
                status_cell(text(row, "status")),
            ]
        };
        tidy(Table {
            caption: spec.label.clone(),
            columns: heads.map(|(name, kind)| Column::new(name, kind)).to_vec(),
            rows: self.of_page(&spec.query).iter().map(row).collect(),
            source: spec.query.clone(),
            ..Table::default()
        })
    }

    pub(super) fn health(&self, spec: &QuerySpec) -> Block {
        let mut sources: BTreeMap<&str, [u64; 7]> = BTreeMap::new();
        for row in self.rows(&spec.query) {
            let sums = sources.entry(text(row, "source")).or_default();
            for (sum, column) in sums.iter_mut().zip(HEALTH) {
                *sum += count(row, column).unwrap_or(0);
            }
        }
        let mut heads = vec![Column::new("Source", Kind::Code)];
        heads.extend(HEALTH.map(|name| Column::new(super::first_upper(name), Kind::Count)));
        let row = |(source, sums): (&&str, &[u64; 7])| -> Vec<Cell> {
            let name = if source.is_empty() { "not readable" } else { source };
            std::iter::once(Cell::from(name)).chain(sums.iter().map(|n| Cell::from(*n))).collect()
        };
        Block::Table(Table {
            caption: spec.label.clone(),
            columns: heads,
            rows: sources.iter().map(row).collect(),
            empty: "Nothing was received for this period.".to_owned(),
            note: "Late: recorded more than 24 hours after it happened. Gaps: numbers missing in the source's own \
                   count. By day: the CSV beside this page."
                .to_owned(),
            source: spec.query.clone(),
        })
    }
}

/// What is shown of the log's health, column by column.
pub const HEALTH: [&str; 7] = ["received", "accepted", "duplicate", "conflict", "rejected", "late", "gaps"];

fn status_cell(status: &str) -> Cell {
    Flag::of_status(status).map_or(Cell::Text(String::new()), Cell::Flag)
}

/// A share; the counts instead where they are too small for a percentage to mean much.
fn share(row: &Row) -> Cell {
    match (count(row, "numerator"), count(row, "denominator")) {
        (Some(numerator), Some(denominator)) if (1..format::SMALL_SAMPLE).contains(&denominator) => {
            Cell::Text(format::of(numerator, denominator))
        }
        _ => number(row, "value").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answers, page, spec};
    use super::*;

    fn plain(text: &str) -> String {
        text.replace('\u{a0}', " ").replace('\u{2011}', "-")
    }

    fn tile(row: &str) -> Tile {
        let answers = answers(&[("q", row)]);
        page(&answers).tile(&spec("query = 'q'\nlabel = 'l'\nnoun = 'records'"))
    }

    #[test]
    fn a_restated_rate_shows_what_was_first_issued_and_how_it_moved() {
        let row = |first: &str| {
            format!(
                r#"[{{"grain":"period","numerator":9,"denominator":40,"value":0.225,"status":"ok","first_issued":{first}}}]"#
            )
        };
        let detail = |first: &str| plain(&tile(&row(first)).detail);
        let first = r#"{"numerator":8,"denominator":40,"value":0.2}"#;
        assert!(detail(first).ends_with("first issued 8 of 40, 20.0 %; restated +1"), "{}", detail(first));
        let first =
            r#"{"numerator":10,"denominator":38,"value":0.263,"issued_at":"2026-03-06T01:00:00Z","reason":"erasure"}"#;
        assert!(
            detail(first).ends_with("first issued 10 of 38, 26.3 % (2026-03-06); restated \u{2212}1 of +2 (erasure)")
        );
        let first = r#"{"numerator":9,"denominator":40,"value":0.225}"#;
        assert!(detail(first).ends_with("; unchanged"));
        assert!(
            detail(r#"{"numerator":0,"denominator":0,"value":null}"#)
                .contains("first issued no data; restated +9 of +40")
        );
    }

    #[test]
    fn a_small_sample_leads_with_its_counts_and_no_data_is_said_once() {
        let small =
            tile(r#"[{"grain":"period","numerator":2,"denominator":11,"value":0.1818,"status":"small_sample"}]"#);
        assert_eq!((plain(&small.value).as_str(), plain(&small.detail).as_str()), ("2 of 11", "18.2 % of the records"));
        let none = tile(r#"[{"grain":"period","numerator":0,"denominator":0,"value":null,"status":"no_data"}]"#);
        assert_eq!((none.value.as_str(), none.detail.as_str(), none.status), (format::NO_DATA, "", None));
    }

    #[test]
    fn a_figure_sums_a_column_or_counts_rows_and_knows_an_answer_from_none() {
        let answers = answers(&[("q", r#"[{"part":"a","n":2},{"part":"b","n":40}]"#), ("none", "[]")]);
        let value = |keys: &str| page(&answers).figure(&spec(&format!("label = 'l'\n{keys}"))).value;
        assert_eq!(value("query = 'q'\ncolumn = 'n'"), "42");
        assert_eq!(value("query = 'q'\nwhere = { part = 'b' }"), "1");
        assert_eq!(value("query = 'none'"), "0");
        assert_eq!(value("query = 'never asked'"), format::NO_DATA);
        assert_eq!(value("query = 'none'\ncolumn = 'n'"), format::NO_DATA);
    }

    #[test]
    fn a_scorecard_lists_the_keys_of_its_own_queries() {
        let answers = answers(&[
            ("q", r#"[{"grain":"batch","key":"b-1","numerator":1,"denominator":40,"value":0.025,"status":"ok"}]"#),
            ("other", r#"[{"grain":"batch","key":"b-2"}]"#),
        ]);
        let keys = "grain = 'batch'\nlabel = 'l'\nkey = 'Batch'\ncolumns = [{ query = 'q', label = 'r' }]";
        let Block::Table(table) = page(&answers).scorecard(&spec(keys)) else { panic!() };
        assert_eq!(table.rows.len(), 1);
    }
}
