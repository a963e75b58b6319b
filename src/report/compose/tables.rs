//! Tables of any query's rows, facts, checklists, controls and the cross-walk.

use serde_json::Value;

use super::{Page, all, flag, tidy, with_rest, words};
use crate::query::objects::{Row, count, number, text};
use crate::report::dashboard::{
    ArticleSpec, ChecklistSpec, ColumnKind, ColumnSpec, ControlsSpec, CrosswalkSpec, ItemSpec, TableSpec,
};
use crate::report::document::{Block, Cell, Column, Facts, Flag, Kind, Table, Tone};
use crate::report::format;

/// More things than this side by side do not fit on paper.
const THINGS_ACROSS: usize = 5;

impl Page<'_> {
    pub(super) fn table(&self, spec: &TableSpec) -> Block {
        let rows = self.wanted(&spec.query, &spec.filter);
        let shown = spec.limit.unwrap_or(usize::MAX).min(rows.len());
        let cells = |row: &&Row| spec.columns.iter().map(|column| cell(row, column)).collect();
        tidy(Table {
            caption: spec.label.clone(),
            columns: spec.columns.iter().map(|c| Column::new(c.label.as_str(), kind(c.kind))).collect(),
            rows: rows[..shown].iter().map(cells).collect(),
            empty: spec.empty.clone(),
            note: with_rest(shown, rows.len(), &spec.note),
            source: source(&spec.query),
        })
    }

    pub(super) fn facts(&self, spec: &TableSpec) -> Block {
        let rows = self.wanted(&spec.query, &spec.filter);
        let pair = |row: &Row, column: &ColumnSpec| (column.label.clone(), cell(row, column).words(kind(column.kind)));
        let pairs = rows.first().map_or(Vec::new(), |row| spec.columns.iter().map(|c| pair(row, c)).collect());
        Block::Facts(Facts { label: spec.label.clone(), pairs, empty: spec.empty.clone(), source: source(&spec.query) })
    }

    /// Things beside each other, a line for each of what they may have; several tables when there are many.
    pub(super) fn checklist(&self, spec: &ChecklistSpec) -> Vec<Block> {
        let rows = self.rows(&spec.query);
        let table = |things: &[Row]| {
            let mut columns = vec![Column::new("", Kind::Text)];
            columns.extend(things.iter().map(|row| Column::new(text(row, &spec.key), Kind::Text)));
            let mut lines = Vec::new();
            let mut group = "";
            for item in &spec.items {
                if item.group != group {
                    group = &item.group;
                    lines.push(vec![Cell::Group(group.to_owned())]);
                }
                lines.push(line(item, things));
            }
            let lines = if things.is_empty() { Vec::new() } else { lines };
            Block::Table(Table {
                caption: spec.label.clone(),
                columns,
                rows: lines,
                empty: spec.empty.clone(),
                source: spec.query.clone(),
                ..Table::default()
            })
        };
        if rows.is_empty() { vec![table(&[])] } else { rows.chunks(THINGS_ACROSS).map(table).collect() }
    }

    /// The result of every control, then what violates each that failed.
    pub(super) fn control_tables(&self, spec: &ControlsSpec) -> Vec<Block> {
        let result = |name: &String| self.controls.iter().find(|row| text(row, "control") == name);
        let line = |name: &String| -> Vec<Cell> {
            let row = result(name).cloned().unwrap_or_default();
            let verdict = if row.is_empty() { "not_run" } else { text(&row, "result") };
            vec![
                words(name).into(),
                text(&row, "question").into(),
                flag(verdict).map_or_else(|| verdict.into(), Cell::Flag),
                count(&row, "population").into(),
                count(&row, "violations").into(),
                count(&row, "untestable").into(),
            ]
        };
        let heads = [
            ("Control", Kind::Text),
            ("Question", Kind::Text),
            ("Result", Kind::Text),
            ("Judged", Kind::Count),
            ("Violations", Kind::Count),
            ("Untestable", Kind::Count),
        ];
        let results = Block::Table(Table {
            caption: spec.label.clone(),
            columns: heads.map(|(name, kind)| Column::new(name, kind)).to_vec(),
            rows: spec.names.iter().map(line).collect(),
            note: spec.note.clone(),
            ..Table::default()
        });
        let failed = spec.names.iter().filter(|name| result(name).is_some_and(|row| text(row, "result") == "fail"));
        std::iter::once(results).chain(failed.map(|name| self.violations(name, spec.limit))).collect()
    }

    fn violations(&self, name: &str, limit: usize) -> Block {
        let rows = all(self.answers, &format!("control:{name}"));
        let (found, rows) = (rows.first().and_then(|row| count(row, "violations")), rows.get(1..).unwrap_or_default());
        let shown = limit.min(rows.len());
        let line = |row: &Row| -> Vec<Cell> {
            vec![
                text(row, "detail").into(),
                instant(text(row, "occurred_at")),
                words_or_missing(text(row, "workflow")),
                place(row),
                words_or_missing(text(row, "actor")),
                words_or_missing(text(row, "action_id")),
            ]
        };
        let heads = [
            ("What was found", Kind::Text),
            ("When", Kind::Time),
            ("Workflow", Kind::Text),
            ("Where", Kind::Code),
            ("Who", Kind::Text),
            ("Action", Kind::Code),
        ];
        let total = found.map_or(rows.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
        Block::Table(Table {
            caption: format!("Violations: {}", words(name)),
            columns: heads.map(|(name, kind)| Column::new(name, kind)).to_vec(),
            rows: rows[..shown].iter().map(line).collect(),
            note: with_rest(shown, total, ""),
            source: name.to_owned(),
            ..Table::default()
        })
    }
}

fn source(query: &str) -> String {
    if query == "controls" { String::new() } else { query.to_owned() }
}

fn line(item: &ItemSpec, things: &[Row]) -> Vec<Cell> {
    let column = ColumnSpec { name: item.name.clone(), kind: item.kind, ..ColumnSpec::default() };
    let value = |row: &Row| match (item.kind, row.get(&item.name)) {
        // Here yes and no are judgements: what is missing stands out.
        (ColumnKind::YesNo, Some(Value::Bool(true))) => Cell::Flag(Flag::new(Tone::Good, "yes")),
        (ColumnKind::YesNo, Some(Value::Bool(false))) => Cell::Flag(Flag::new(Tone::Bad, "no")),
        _ => match cell(row, &column) {
            // The column is set as words: its values are of several kinds.
            Cell::Missing => Cell::Missing,
            Cell::Flag(flag) => Cell::Flag(flag),
            other => Cell::Text(other.words(kind(item.kind))),
        },
    };
    std::iter::once(Cell::from(item.label.as_str())).chain(things.iter().map(value)).collect()
}

/// `salesforce/Lead/00Q1/OwnerId`, as far as it is known.
fn place(row: &Row) -> Cell {
    let parts = ["system", "record_type", "record_id", "field"].map(|column| text(row, column));
    words_or_missing(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

fn words_or_missing(words: &str) -> Cell {
    if words.is_empty() { Cell::Missing } else { words.into() }
}

fn instant(text: &str) -> Cell {
    if text.is_empty() { Cell::Missing } else { Cell::Text(format::instant(text)) }
}

/// The value of a column as its kind says.
pub(super) fn cell(row: &Row, column: &ColumnSpec) -> Cell {
    let value = row.get(&column.name).unwrap_or(&Value::Null);
    if column.kind == ColumnKind::Blank {
        return Cell::Blank;
    }
    if value.is_null() {
        return words_or_missing(&column.missing);
    }
    let range = || {
        let upper = number(row, &column.with);
        number(row, &column.name).zip(upper).map_or(Cell::Missing, |(low, high)| Cell::Range(low, high))
    };
    let counts = || count(row, &column.name).zip(count(row, &column.with));
    match column.kind {
        ColumnKind::Count => whole(value),
        ColumnKind::Percent | ColumnKind::Number | ColumnKind::Hours | ColumnKind::Points => value.as_f64().into(),
        ColumnKind::Seconds => value.as_f64().map(|seconds| seconds / 3600.0).into(),
        ColumnKind::Interval | ColumnKind::Bounds => range(),
        ColumnKind::Of => counts().map(|(k, n)| format::of(k, n)).into(),
        ColumnKind::Share => counts()
            .map(|(k, n)| {
                let value = number(row, column.value.as_deref().unwrap_or("value"));
                match format::rate(k, n, value) {
                    (large, small) if small.is_empty() => large,
                    (large, small) => format!("{large} ({small})"),
                }
            })
            .into(),
        ColumnKind::Date => format::date(&plain(value)).into(),
        ColumnKind::Time => format::instant(&plain(value)).into(),
        ColumnKind::YesNo => match value {
            Value::Bool(true) => "yes".into(),
            Value::Bool(false) => "no".into(),
            other => plain(other).into(),
        },
        ColumnKind::State => match plain(value) {
            word if word.is_empty() => Cell::Missing,
            word if word == "ok" => Cell::Text(String::new()),
            word => flag(&word).map_or_else(|| words(&word).into(), Cell::Flag),
        },
        ColumnKind::Words => words(&plain(value)).into(),
        ColumnKind::Text | ColumnKind::Code | ColumnKind::Blank => plain(value).into(),
    }
}

/// Counts are never negative; anything else is printed as the number it is.
fn whole(value: &Value) -> Cell {
    value.as_u64().map_or_else(|| value.as_f64().into(), Cell::Count)
}

/// A value as words: lists with commas, other structures as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Number(number) => number.as_f64().map_or(number.to_string(), |n| format::number(Some(n))),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How the cells of a kind of column are set.
pub(super) fn kind(kind: ColumnKind) -> Kind {
    match kind {
        ColumnKind::Text | ColumnKind::Words | ColumnKind::YesNo | ColumnKind::State => Kind::Text,
        ColumnKind::Blank => Kind::Blank,
        ColumnKind::Date | ColumnKind::Time => Kind::Time,
        ColumnKind::Code => Kind::Code,
        ColumnKind::Count | ColumnKind::Of | ColumnKind::Share => Kind::Count,
        ColumnKind::Percent => Kind::Percent,
        ColumnKind::Number => Kind::Number,
        ColumnKind::Hours | ColumnKind::Seconds => Kind::Hours,
        ColumnKind::Interval => Kind::Interval,
        ColumnKind::Bounds => Kind::Bounds,
        ColumnKind::Points => Kind::Points,
    }
}

/// Which article is served by which section.
pub(super) fn crosswalk(spec: &CrosswalkSpec) -> Block {
    let row = |article: &ArticleSpec| -> Vec<Cell> {
        vec![
            format!("{} {}", article.framework, article.article).into(),
            article.asks.as_str().into(),
            article.answer.as_str().into(),
            Cell::Sections(article.sections.clone()),
        ]
    };
    let heads = ["Article", "Asks for", "What this report shows, and what it does not", "Sections"];
    Block::Table(Table {
        caption: spec.label.clone(),
        columns: heads.map(|head| Column::new(head, Kind::Text)).to_vec(),
        rows: spec.rows.iter().map(row).collect(),
        note: spec.note.clone(),
        ..Table::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answers, page, spec, with_controls};
    use super::*;

    fn value(json: &str, keys: &str) -> String {
        let row: Row = serde_json::from_str(json).unwrap();
        let column: ColumnSpec = spec(&format!("label = 'l'\n{keys}"));
        cell(&row, &column).words(kind(column.kind)).replace('\u{a0}', " ").replace('\u{2011}', "-")
    }

    #[test]
    fn a_cell_is_written_as_its_column_says() {
        let row = r#"{"k":8,"n":40,"value":0.2,"s":36.0,"w":"not_testable","at":"2026-03-02T14:05:00Z","d":-0.05,"l":["a","b"],"is":true}"#;
        let cases = [
            ("name='k'\nwith='n'\nkind='share'", "20.0 % (8 of 40)"),
            ("name='k'\nwith='n'\nkind='of'", "8 of 40"),
            ("name='s'\nkind='seconds'", "36 s"),
            ("name='w'\nkind='state'", "not testable"),
            ("name='w'\nkind='words'", "not testable"),
            ("name='at'\nkind='time'", "2026-03-02 14:05"),
            ("name='at'\nkind='date'", "2026-03-02"),
            ("name='d'\nkind='points'", "\u{2212}5.0 pp"),
            ("name='value'\nwith='n'\nkind='bounds'", "[0.2, 40]"),
            ("name='l'", "a, b"),
            ("name='is'\nkind='yes_no'", "yes"),
            ("name='absent'\nkind='count'", "no data"),
            ("kind='blank'", ""),
            ("name='absent'\nmissing='all'", "all"),
        ];
        for (keys, expected) in cases {
            assert_eq!(value(row, keys), expected, "{keys}");
        }
        assert_eq!(value(r#"{"k":3,"n":11,"value":0.2727}"#, "name='k'\nwith='n'\nkind='share'"), "3 of 11 (27.3 %)");
    }

    #[test]
    fn a_table_says_how_many_rows_it_leaves_out() {
        let answers = answers(&[("q", r#"[{"a":1},{"a":2},{"a":3}]"#)]);
        let keys = "query='q'\nlabel='l'\nlimit=2\ncolumns=[{name='a',label='A',kind='count'}]";
        let Block::Table(table) = page(&answers).table(&spec(keys)) else { panic!() };
        assert_eq!((table.rows.len(), table.note.starts_with("The first 2 of 3;")), (2, true));
    }

    #[test]
    fn every_control_has_a_result_and_a_failed_one_lists_its_violations() {
        let answers = answers(&[
            (
                "control:a",
                r#"[{"result":"fail","population":9,"violations":2,"untestable":0,"question":"q?"},
                             {"detail":"no approval","system":"crm","record_type":"Lead","record_id":"7"},{"detail":"x"}]"#,
            ),
            ("control:b", r#"[{"result":"pass","population":0,"violations":0,"untestable":0}]"#),
        ]);
        let blocks = with_controls(&answers).control_tables(&spec("label='l'\nnames=['a','b','c']\nlimit=1"));
        let [Block::Table(results), Block::Table(violations)] = blocks.as_slice() else { panic!() };
        let flags: Vec<&Cell> = results.rows.iter().map(|row| &row[2]).collect();
        let expected = [(Tone::Bad, "fail"), (Tone::Good, "pass"), (Tone::Absent, "not run")];
        assert_eq!(flags, expected.map(|(tone, words)| Cell::Flag(Flag::new(tone, words))).iter().collect::<Vec<_>>());
        assert_eq!(violations.rows.len(), 1);
        assert!(violations.note.starts_with("The first 1 of 2;"), "{}", violations.note);
        assert_eq!(violations.rows[0][3], "crm/Lead/7".into());
    }

    #[test]
    fn a_checklist_tells_missing_from_unknown_and_splits_when_it_is_wide() {
        let rows =
            format!("[{}]", [r#"{"w":"a","has_x":true,"n":0.5},{"w":"b","has_x":false},{"w":"c"}"#; 3].join(","));
        let answers = answers(&[("q", &rows), ("none", "[]")]);
        let keys = "label='l'\nkey='w'\nempty='none'\nitems=[{name='has_x',label='X',group='Week 1'},{name='n',label='N',kind='percent'}]";
        let blocks = page(&answers).checklist(&spec(&format!("query='q'\n{keys}")));
        assert_eq!(blocks.len(), 2);
        let Block::Table(table) = &blocks[0] else { panic!() };
        assert_eq!(table.rows[1][1], Cell::Flag(Flag::new(Tone::Good, "yes")));
        assert_eq!(table.rows[1][2], Cell::Flag(Flag::new(Tone::Bad, "no")));
        assert_eq!(table.rows[1][3], Cell::Missing);
        let Block::Table(empty) = &page(&answers).checklist(&spec(&format!("query='none'\n{keys}")))[0] else {
            panic!()
        };
        assert!(empty.rows.is_empty());
    }
}
