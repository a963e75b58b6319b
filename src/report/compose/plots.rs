//! Charts: which columns of an answer become which part of a drawing.

use super::{Page, words};
use crate::query::objects::{Row, count, number, text};
use crate::report::charts::{self, Bar, Bin, Forest, Pair, Point, Scale, Series, Stretch};
use crate::report::dashboard::{
    ColumnsSpec, ControlChartSpec, FunnelSpec, IntervalsSpec, PartsSpec, RateSpec, ReliabilitySpec, SmallMultiplesSpec,
    TrendSpec, Unit,
};
use crate::report::document::{Block, Chart, Svg};
use crate::report::format;

/// A drawing with more rows than this would not fit a page of paper.
const MOST_ROWS: usize = 18;

impl Page<'_> {
    pub(super) fn trend(&self, spec: &TrendSpec) -> Block {
        let point = |row: &Row| Point {
            low: number(row, "ci_low"),
            high: number(row, "ci_high"),
            ..point(row, &spec.x, "value", ["exceptions", "reviewed"])
        };
        let points: Vec<Point> = self.rows(&spec.query).iter().map(point).collect();
        chart(&spec.label, &spec.caption, charts::trend(&spec.label, "rate", &points), &spec.query)
    }

    pub(super) fn control_chart(&self, spec: &ControlChartSpec) -> Block {
        let pair = |row: &Row, [low, high]: &[String; 2]| number(row, low).zip(number(row, high));
        let counts = [spec.counts[0].as_str(), spec.counts[1].as_str()];
        let point = |row: &Row| Point {
            centre: number(row, &spec.center),
            limits: pair(row, &spec.limits),
            wide_limits: spec.wide_limits.as_ref().and_then(|limits| pair(row, limits)),
            is_signal: row.get(&spec.signal).and_then(serde_json::Value::as_bool).unwrap_or(false),
            ..point(row, &spec.x, &spec.value, counts)
        };
        let points: Vec<Point> = self.wanted(&spec.query, &spec.filter).into_iter().map(point).collect();
        chart(&spec.label, &spec.caption, charts::trend(&spec.label, &spec.noun, &points), &spec.query)
    }

    pub(super) fn small_multiples(&self, spec: &SmallMultiplesSpec) -> Block {
        let point = |row: &Row| Point {
            low: number(row, "ci_low"),
            high: number(row, "ci_high"),
            ..point(row, "month", "value", ["numerator", "denominator"])
        };
        // Some metrics have a row per grain, some none but the month.
        let is_whole = |row: &&Row| matches!(text(row, "grain"), "" | "period");
        let series = |metric: &RateSpec| {
            let rows = self.rows(&format!("trend:{}", metric.query)).iter().filter(is_whole);
            let points = rows.filter(|row| metric.is_of(text(row, "part"))).map(point).collect();
            Series { label: metric.label.clone(), points }
        };
        let series: Vec<Series> = spec.metrics.iter().map(series).collect();
        chart(&spec.label, &spec.caption, charts::multiples(&spec.label, &series), "")
    }

    pub(super) fn bars(&self, spec: &PartsSpec) -> Block {
        chart(&spec.label, &spec.caption, charts::bars(&spec.label, &self.parts(&spec.query)), &spec.query)
    }

    pub(super) fn mix(&self, spec: &PartsSpec) -> Block {
        chart(&spec.label, &spec.caption, charts::mix(&spec.label, &self.parts(&spec.query)), &spec.query)
    }

    fn parts(&self, query: &str) -> Vec<Bar> {
        let bar = |row: &&Row| Bar {
            label: words(text(row, "part")),
            count: count(row, "numerator").unwrap_or(0),
            share: number(row, "value"),
        };
        let found: Vec<Bar> = self.of_page(query).iter().map(bar).collect();
        // Nothing counted at all is no data, not a chart of zeros.
        if found.iter().all(|b| b.share.is_none()) { Vec::new() } else { found }
    }

    pub(super) fn columns(&self, spec: &ColumnsSpec) -> Block {
        let pair = |row: &Row| Pair {
            label: text(row, &spec.x).to_owned(),
            counts: count(row, &spec.whole).zip(count(row, &spec.part)),
        };
        let pairs: Vec<Pair> = self.rows(&spec.query).iter().map(pair).collect();
        let names = (words(&spec.whole), words(&spec.part));
        chart(&spec.label, &spec.caption, charts::columns(&spec.label, (&names.0, &names.1), &pairs), &spec.query)
    }

    pub(super) fn reliability(&self, spec: &ReliabilitySpec) -> Block {
        let bin = |row: &&Row| Bin {
            from: number(row, "low").unwrap_or(0.0),
            to: number(row, "high").unwrap_or(1.0),
            confidence: number(row, "mean_confidence"),
            value: number(row, "value"),
            interval: number(row, "ci_low").zip(number(row, "ci_high")),
            correct: count(row, "numerator").unwrap_or(0),
            count: count(row, "denominator").unwrap_or(0),
        };
        let bins: Vec<Bin> = self.wanted(&spec.query, &spec.filter).iter().map(bin).collect();
        chart(&spec.label, &spec.caption, charts::reliability(&spec.label, &bins), &spec.query)
    }

    /// Sorted by number, so that the range of chance narrows to the top.
    pub(super) fn funnel(&self, spec: &FunnelSpec) -> Block {
        let mut rows: Vec<&Row> = self.rows(&spec.query).iter().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(count(row, &spec.counts[1])), text(row, &spec.key).to_owned()));
        let stretch = |row: &Row| {
            let whole = count(row, &spec.counts[1]).unwrap_or(0);
            // A count's place on the axis of its own row.
            let place = |column: &str| Some(count(row, column)? as f64 / whole as f64).filter(|_| whole > 0);
            let (value, band) = (place(&spec.counts[0]), place(&spec.limits[0]).zip(place(&spec.limits[1])));
            Stretch {
                label: text(row, &spec.key).to_owned(),
                note: format!("{} {}", format::of(count(row, &spec.counts[0]).unwrap_or(0), whole), spec.noun),
                is_signal: row.get(&spec.signal).is_some_and(|signal| {
                    signal.as_bool().unwrap_or_else(|| signal.as_str().is_some_and(|words| !words.is_empty()))
                }),
                reference: number(row, &spec.reference),
                is_small: whole < format::SMALL_SAMPLE,
                value,
                band,
                ..Stretch::default()
            }
        };
        let rows: Vec<Stretch> = rows.into_iter().map(stretch).collect();
        forest(
            &spec.label,
            &spec.caption,
            &spec.query,
            Forest { scale: Scale::Rate, noun: "rate".to_owned(), rows, lines: vec![] },
        )
    }

    pub(super) fn intervals(&self, spec: &IntervalsSpec) -> Block {
        let is_named = |row: &&Row| spec.key.iter().any(|column| !text(row, column).is_empty());
        let stretch = |row: &Row| {
            let name = spec.key.first().map_or("", |column| text(row, column));
            let rest = spec.key.iter().skip(1).map(|column| match text(row, column) {
                "" => spec.missing.clone(),
                value => value.to_owned(),
            });
            let counts = spec.counts.as_ref().and_then(|[k, n]| count(row, k).zip(count(row, n)));
            let verdict = spec.verdict.as_ref().map_or("", |column| text(row, column));
            Stretch {
                label: words(name),
                note: rest
                    .chain(counts.map(|(k, n)| format::of(k, n)))
                    .filter(|n| !n.is_empty())
                    .collect::<Vec<_>>()
                    .join(" · "),
                value: number(row, &spec.value),
                interval: number(row, &spec.bounds[0]).zip(number(row, &spec.bounds[1])),
                is_small: counts.is_some_and(|(_, n)| n < format::SMALL_SAMPLE),
                absent: words(text(row, "status")),
                end: words(verdict),
                ..Stretch::default()
            }
        };
        let rows = self.wanted(&spec.query, &spec.filter).into_iter().filter(is_named).map(stretch).collect();
        let lines = spec.lines.iter().map(|l| charts::Line { at: l.at, label: l.label.clone() }).collect();
        let (scale, noun) = match spec.unit {
            Unit::Ratio => (Scale::Plain, "ratio"),
            Unit::Difference => (Scale::Points, "difference, percentage points"),
            Unit::Share => (Scale::Rate, "rate"),
        };
        forest(&spec.label, &spec.caption, &spec.query, Forest { scale, noun: noun.to_owned(), rows, lines })
    }
}

/// A forest of as many rows as fit on paper.
fn forest(label: &str, caption: &str, query: &str, mut all: Forest) -> Block {
    let number = all.rows.len();
    all.rows.truncate(MOST_ROWS);
    let caption = match number > MOST_ROWS {
        true => format!("The first {MOST_ROWS} of {}. {caption}", format::count(number as u64)),
        false => caption.to_owned(),
    };
    chart(label, &caption, charts::forest(label, &all), query)
}

fn point(row: &Row, x: &str, value: &str, [numerator, denominator]: [&str; 2]) -> Point {
    Point {
        label: text(row, x).to_owned(),
        value: number(row, value),
        numerator: count(row, numerator).unwrap_or(0),
        denominator: count(row, denominator).unwrap_or(0),
        is_immature: text(row, "status") == "immature",
        ..Point::default()
    }
}

fn chart(label: &str, caption: &str, svg: Option<Svg>, query: &str) -> Block {
    // How to read a drawing is of no use where there is none.
    let caption = if svg.is_some() { caption } else { "" }.to_owned();
    Block::Chart(Chart { title: label.to_owned(), caption, svg, source: query.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answers, page, spec};
    use super::*;

    fn drawing(block: Block) -> Option<String> {
        let Block::Chart(chart) = block else { panic!() };
        chart.svg.map(|svg| svg.as_str().replace('\u{a0}', " "))
    }

    #[test]
    fn a_funnel_marks_a_reviewer_whom_the_query_names() {
        let answers = answers(&[(
            "q",
            r#"[{"who":"ann","decided":40,"approved":40,"lo":28,"hi":38,"peer_rate":0.8,"signals":"approves more"},
                {"who":"bob","decided":60,"approved":50,"lo":41,"hi":56,"peer_rate":0.9}]"#,
        )]);
        let keys = "query='q'\nlabel='l'\ncaption='c'\nkey='who'\ncounts=['approved','decided']\nlimits=['lo','hi']\n\
                    reference='peer_rate'\nsignal='signals'\nnoun='decided'";
        let svg = drawing(page(&answers).funnel(&spec(keys))).unwrap();
        assert!(svg.contains("ann: 100.0 %, chance 70.0 % to 95.0 %, a signal"), "{svg}");
        assert!(svg.find("bob").unwrap() < svg.find("ann").unwrap(), "the larger number stands first");
    }

    #[test]
    fn a_control_chart_shows_the_signals_of_the_query() {
        let row = |signal: bool| {
            format!(
                r#"{{"week_start":"2026-03-02","value":0.5,"exceptions":50,"reviewed":100,"center":0.2,"limit_low":0.1,
                "limit_high":0.3,"is_signal":{signal}}}"#
            )
        };
        let keys = "query='q'\nlabel='l'\nx='week_start'\ncaption='c'";
        for signal in [true, false] {
            let answers = answers(&[("q", &format!("[{}]", row(signal)))]);
            let svg = drawing(page(&answers).control_chart(&spec(keys))).unwrap();
            assert_eq!(svg.contains("1 marked as a signal"), signal);
        }
    }

    #[test]
    fn monthly_rows_of_a_metric_become_a_small_chart_of_the_whole_period() {
        let rows = r#"[{"month":"2026-02","grain":"period","numerator":3,"denominator":40,"value":0.075},
                       {"month":"2026-02","grain":"workflow","key":"w","numerator":1,"denominator":2,"value":0.5}]"#;
        let answers = answers(&[("trend:q", rows)]);
        let keys = "label='l'\ncaption='c'\nmetrics=[{query='q',label='rate of q'}]";
        let svg = drawing(page(&answers).small_multiples(&spec(keys))).unwrap();
        assert!(svg.contains("rate of q: 2026-02 7.5 %."), "{svg}");
    }

    #[test]
    fn a_suppressed_row_of_intervals_has_no_value_and_no_counts() {
        let rows = r#"[{"segment":"smb","ratio":null,"numerator":null,"status":"suppressed"},
                       {"segment":"mid","ratio":0.9,"lo":0.7,"hi":1.2,"numerator":9,"denominator":40}]"#;
        let keys = "query='q'\nlabel='l'\ncaption='c'\nkey=['segment']\nvalue='ratio'\nbounds=['lo','hi']\nunit='ratio'\n\
                    counts=['numerator','denominator']\nverdict='verdict'\nlines=[{at=0.8,label='four fifths'}]";
        let answers = answers(&[("q", rows)]);
        let svg = drawing(page(&answers).intervals(&spec(keys))).unwrap();
        assert!(svg.contains("smb: suppressed; mid: 0.9, interval 0.7 to 1.2."), "{svg}");
        assert!(svg.contains("four fifths"));
    }
}
