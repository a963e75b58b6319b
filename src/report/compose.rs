//! Composing: the answers of queries become the blocks of a page, as its dashboard says.
//!
//! In: a dashboard and the rows of its queries. Out: sections of a [`Document`](super::document::Document).
//! Invariant: every number on the page is a number of an answer; nothing is computed here but sums over rows
//! that the same table shows.

use std::collections::BTreeMap;

use super::charts::{self, Bar, Pair, Point};
use super::dashboard::{BlockSpec, Dashboard, RateSpec};
use super::document::{Block, Cell, Chart, Column, Flag, Headline, Kind, Section, Table, Tile};
use super::format;
use super::rows::{Row, count, number, text};

/// The rows of every query of a page, by name.
pub type Answers = BTreeMap<String, Vec<Row>>;

/// The sections of `dashboard`.
pub fn sections(dashboard: &Dashboard, answers: &Answers) -> Vec<Section> {
    let section = |spec: &super::dashboard::SectionSpec| Section {
        id: spec.id.clone(),
        title: spec.title.clone(),
        question: spec.question.clone(),
        blocks: spec.blocks.iter().map(|block| compose(block, answers)).collect(),
    };
    dashboard.sections.iter().map(section).collect()
}

fn compose(block: &BlockSpec, answers: &Answers) -> Block {
    match block {
        BlockSpec::Headline { query, label, noun } => headline(answers, query, label, noun),
        BlockSpec::Tiles { tiles } => Block::Tiles(tiles.iter().map(|spec| tile(answers, spec)).collect()),
        BlockSpec::Rates { label, rows } => rates(answers, label, rows),
        BlockSpec::Trend { query, label, x, caption } => {
            let points: Vec<Point> = all(answers, query).iter().map(|row| point(row, x)).collect();
            chart(label, caption, charts::trend(label, &points, None), query)
        }
        BlockSpec::Bars { query, label, caption } => {
            chart(label, caption, charts::bars(label, &parts(answers, query)), query)
        }
        BlockSpec::Mix { query, label, caption } => {
            let mut parts = parts(answers, query);
            let whole: u64 = parts.iter().map(|p| p.count).sum();
            parts.iter_mut().for_each(|p| p.share = (whole > 0).then(|| p.count as f64 / whole as f64));
            chart(label, caption, charts::mix(label, &parts), query)
        }
        BlockSpec::Columns { query, label, x, whole, part, caption } => {
            let pair =
                |row: &Row| Pair { label: text(row, x).to_owned(), counts: count(row, whole).zip(count(row, part)) };
            let pairs: Vec<Pair> = all(answers, query).iter().map(pair).collect();
            chart(label, caption, charts::columns(label, (&words(whole), &words(part)), &pairs), query)
        }
        BlockSpec::Scorecard { grain, label, key, columns } => scorecard(answers, grain, label, (key, columns)),
        BlockSpec::Durations { query, label } => durations(answers, query, label),
        BlockSpec::Health { query, label } => health(answers, query, label),
    }
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

struct Rate {
    numerator: u64,
    denominator: u64,
    value: Option<f64>,
    interval: String,
    pending: u64,
    status: String,
}

impl Rate {
    fn of(row: &Row) -> Self {
        Self {
            numerator: count(row, "numerator").unwrap_or(0),
            denominator: count(row, "denominator").unwrap_or(0),
            value: number(row, "value"),
            interval: format::interval(number(row, "ci_low"), number(row, "ci_high")),
            pending: count(row, "pending").unwrap_or(0),
            status: text(row, "status").to_owned(),
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
        if self.pending == 0 { String::new() } else { format!("{} pending", format::count(self.pending)) }
    }
}

fn period_rate(answers: &Answers, query: &str) -> Option<Rate> {
    of_period(answers, query).first().map(|row| Rate::of(row))
}

fn headline(answers: &Answers, query: &str, label: &str, noun: &str) -> Block {
    let mut headline = Headline { label: label.to_owned(), source: query.to_owned(), ..Default::default() };
    match period_rate(answers, query) {
        Some(rate) => {
            (headline.value, headline.detail) = rate.lines(noun);
            headline.status = Flag::of_status(&rate.status);
            headline.note = rate.note();
            headline.interval = rate.interval;
        }
        None => headline.value = format::NO_DATA.to_owned(),
    }
    Block::Headline(headline)
}

fn tile(answers: &Answers, spec: &RateSpec) -> Tile {
    let mut tile = Tile { label: spec.label.clone(), source: spec.query.clone(), ..Default::default() };
    match period_rate(answers, &spec.query) {
        Some(rate) => {
            (tile.value, tile.detail) = rate.lines(&spec.noun);
            if rate.pending > 0 {
                tile.detail = format!("{}; {}", tile.detail, rate.note());
            }
            tile.status = Flag::of_status(&rate.status);
        }
        None => tile.value = format::NO_DATA.to_owned(),
    }
    tile
}

fn rates(answers: &Answers, label: &str, rows: &[RateSpec]) -> Block {
    let columns = [
        ("Rate", Kind::Text),
        ("Count", Kind::Count),
        ("Of", Kind::Count),
        ("Share", Kind::Percent),
        ("95 %", Kind::Interval),
        ("Pending", Kind::Count),
        ("", Kind::Text),
    ];
    let row = |spec: &RateSpec| -> Vec<Cell> {
        let found = of_period(answers, &spec.query).first().copied().cloned().unwrap_or_default();
        let interval = number(&found, "ci_low")
            .zip(number(&found, "ci_high"))
            .map_or(Cell::Missing, |(low, high)| Cell::Range(low, high));
        vec![
            spec.label.as_str().into(),
            count(&found, "numerator").into(),
            count(&found, "denominator").into(),
            number(&found, "value").into(),
            interval,
            count(&found, "pending").into(),
            Flag::of_status(text(&found, "status")).map_or(Cell::Text(String::new()), Cell::Flag),
        ]
    };
    Block::Table(Table {
        caption: label.to_owned(),
        columns: columns.map(|(name, kind)| Column::new(name, kind)).to_vec(),
        rows: rows.iter().map(row).collect(),
        ..Default::default()
    })
}

fn point(row: &Row, x: &str) -> Point {
    Point {
        label: text(row, x).to_owned(),
        value: number(row, "value"),
        low: number(row, "ci_low"),
        high: number(row, "ci_high"),
        numerator: count(row, "exceptions").unwrap_or(0),
        denominator: count(row, "reviewed").unwrap_or(0),
        is_immature: text(row, "status") == "immature",
        limits: None,
    }
}

fn parts(answers: &Answers, query: &str) -> Vec<Bar> {
    let bar = |row: &&Row| Bar {
        label: words(text(row, "part")),
        count: count(row, "numerator").unwrap_or(0),
        share: number(row, "value"),
    };
    let found: Vec<Bar> = of_period(answers, query).iter().map(bar).collect();
    // Nothing counted at all is no data, not a chart of zeros.
    if found.iter().all(|b| b.share.is_none()) { Vec::new() } else { found }
}

fn chart(label: &str, caption: &str, svg: super::document::Svg, query: &str) -> Block {
    Block::Chart(Chart { title: label.to_owned(), caption: caption.to_owned(), svg, source: query.to_owned() })
}

fn scorecard(answers: &Answers, grain: &str, label: &str, (key, columns): (&str, &[RateSpec])) -> Block {
    let keys = keys_of(answers, grain);
    let mut heads = vec![Column::new(key, Kind::Text), Column::new("Reviewed", Kind::Count)];
    heads.extend(columns.iter().map(|spec| Column::new(spec.label.as_str(), Kind::Percent)));
    heads.push(Column::new("", Kind::Text));
    let find = |query: &str, key: &str| {
        all(answers, query).iter().find(|row| text(row, "grain") == grain && text(row, "key") == key)
    };
    let row = |key: &String| -> Vec<Cell> {
        let first = columns.first().and_then(|spec| find(&spec.query, key));
        let mut cells: Vec<Cell> = vec![key.as_str().into(), first.and_then(|row| count(row, "denominator")).into()];
        cells.extend(columns.iter().map(|spec| find(&spec.query, key).map_or(Cell::Missing, share)));
        let flag = first.and_then(|row| Flag::of_status(text(row, "status")));
        cells.push(flag.map_or(Cell::Text(String::new()), Cell::Flag));
        cells
    };
    let source = columns.first().map_or(String::new(), |spec| spec.query.clone());
    let note = if keys.is_empty() { format!("No {grain} was reviewed.") } else { String::new() };
    Block::Table(Table {
        caption: label.to_owned(),
        columns: heads,
        rows: keys.iter().map(row).collect(),
        note,
        source,
    })
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

/// The batches or workflows that any answer names, in order.
pub fn keys_of(answers: &Answers, grain: &str) -> Vec<String> {
    let mut keys: Vec<String> = answers
        .values()
        .flatten()
        .filter(|row| text(row, "grain") == grain)
        .map(|row| text(row, "key").to_owned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

fn durations(answers: &Answers, query: &str, label: &str) -> Block {
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
            Flag::of_status(text(row, "status")).map_or(Cell::Text(String::new()), Cell::Flag),
        ]
    };
    Block::Table(Table {
        caption: label.to_owned(),
        columns: heads.map(|(name, kind)| Column::new(name, kind)).to_vec(),
        rows: of_period(answers, query).iter().map(row).collect(),
        source: query.to_owned(),
        ..Default::default()
    })
}

/// What is shown of the log's health, column by column.
pub const HEALTH: [&str; 7] = ["received", "accepted", "duplicate", "conflict", "rejected", "late", "gaps"];

fn health(answers: &Answers, query: &str, label: &str) -> Block {
    let mut sources: BTreeMap<&str, [u64; 7]> = BTreeMap::new();
    for row in all(answers, query) {
        let sums = sources.entry(text(row, "source")).or_default();
        for (sum, column) in sums.iter_mut().zip(HEALTH) {
            *sum += count(row, column).unwrap_or(0);
        }
    }
    let mut heads = vec![Column::new("Source", Kind::Code)];
    heads.extend(HEALTH.map(|name| Column::new(first_upper(name), Kind::Count)));
    let row = |(source, sums): (&&str, &[u64; 7])| -> Vec<Cell> {
        let name = if source.is_empty() { "not readable" } else { source };
        std::iter::once(Cell::from(name)).chain(sums.iter().map(|n| Cell::from(*n))).collect()
    };
    let note = if sources.is_empty() {
        "Nothing was received for this month."
    } else {
        "Late: recorded more than 24 hours after it happened. Gaps: numbers missing in the source's own count. By day: the CSV beside this page."
    };
    Block::Table(Table {
        caption: label.to_owned(),
        columns: heads,
        rows: sources.iter().map(row).collect(),
        note: note.to_owned(),
        source: query.to_owned(),
    })
}

fn first_upper(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
