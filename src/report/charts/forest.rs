//! A row per thing, its value with an interval or against the range that chance gives, and lines of
//! reference: the usual picture for ratios, differences, and reviewers (a funnel on its side: sorted by
//! number, the range narrows).

use plotters::style::text_anchor::HPos;

use crate::report::canvas::{
    Axis, BAND, Canvas, GRID, INK, LIMIT, LINE, LONGEST_LABEL, Legend, MUTED, SERIES, Scale, Sign, WIDTH, draw, scale,
    shorten, text_width, widest,
};
use crate::report::document::Svg;
use crate::report::format;

/// A chart of rows.
#[derive(Clone, Debug)]
pub struct Forest {
    /// What the axis counts.
    pub scale: Scale,
    /// What a row's mark is called.
    pub noun: String,
    /// From top to bottom.
    pub rows: Vec<Stretch>,
    /// Upright lines through all rows; two have a style of their own.
    pub lines: Vec<Line>,
}

/// A row.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// What it is.
    pub label: String,
    /// Printed below its name: the counts.
    pub note: String,
    /// The value.
    pub value: Option<f64>,
    /// Said where there is none; "no data" when empty.
    pub absent: String,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// What chance alone gives.
    pub band: Option<(f64, f64)>,
    /// A reference of this row alone.
    pub reference: Option<f64>,
    /// Few things: drawn hollow.
    pub is_small: bool,
    /// Found by the query to be more than chance: marked.
    pub is_signal: bool,
    /// Printed at the end of the row.
    pub end: String,
}

impl Stretch {
    fn absence(&self) -> &str {
        if self.absent.is_empty() { format::NO_DATA } else { &self.absent }
    }
}

/// A line of reference.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Where it stands.
    pub at: f64,
    /// What it means.
    pub label: String,
}

/// Plain factors beyond this are cut off, with an arrow: one wild bound would flatten all the rest.
const FARTHEST: f64 = 2.5;
const ROW: i32 = 2 * LINE + 8;
const LONGEST_NAME: i32 = LONGEST_LABEL + 70;

/// The chart; none when no row has a value.
pub fn forest(title: &str, chart: &Forest) -> Option<Svg> {
    if chart.rows.iter().all(|r| r.value.is_none()) {
        return None;
    }
    let axis = axis(chart);
    let legend = Legend::new(entries(chart));
    let labels: Vec<String> = chart.rows.iter().map(|r| shorten(&r.label, LONGEST_NAME)).collect();
    let ends: Vec<String> = chart.rows.iter().map(|r| shorten(&r.end, LONGEST_LABEL * 3 / 4)).collect();
    let notes: Vec<String> = chart.rows.iter().map(|r| shorten(&r.note, LONGEST_NAME)).collect();
    let tick = axis.ticks().map(|t| text_width(&axis.words(t))).max().unwrap_or(0);
    let left = widest(&labels).max(widest(&notes)) + 14 + tick / 2;
    let right = WIDTH - (widest(&ends) + 14).max(tick / 2 + 2);
    let top = legend.height() + 10;
    let bottom = top + chart.rows.len() as i32 * ROW;
    Some(draw(title, &describe(chart), bottom + LINE + 12, |canvas| {
        legend.paint(canvas);
        let plot = Plot { canvas, axis: &axis, left, right, top, bottom };
        plot.grid(chart);
        for (i, row) in chart.rows.iter().enumerate() {
            let y = top + i as i32 * ROW + ROW / 2;
            let has_note = !notes[i].is_empty();
            let edge = left - 14 - tick / 2;
            canvas.text((edge, if has_note { y - LINE / 2 } else { y }), &labels[i], INK, HPos::Right);
            canvas.text((edge, y + LINE / 2), &notes[i], MUTED, HPos::Right);
            canvas.text((WIDTH - widest(&ends), y), &ends[i], INK, HPos::Left);
            plot.row(row, y);
        }
    }))
}

struct Plot<'a, 'c> {
    canvas: &'a Canvas<'c>,
    axis: &'a Axis,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Plot<'_, '_> {
    fn x(&self, value: f64) -> i32 {
        let (low, high) = (self.axis.low, self.axis.high);
        self.left + scale((value.clamp(low, high) - low) / (high - low), self.right - self.left)
    }

    fn grid(&self, chart: &Forest) {
        let mut free = i32::MIN;
        for tick in self.axis.ticks() {
            let (x, words) = (self.x(tick), self.axis.words(tick));
            self.canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1);
            if x - text_width(&words) / 2 > free {
                self.canvas.text((x, self.bottom + 14), &words, MUTED, HPos::Center);
                free = x + text_width(&words) / 2 + 4;
            }
        }
        for (i, line) in chart.lines.iter().enumerate() {
            let x = self.x(line.at);
            self.canvas.line(&[(x, self.top), (x, self.bottom)], LIMIT, 1 + i as u32 % 2);
        }
    }

    fn row(&self, row: &Stretch, y: i32) {
        if let Some((low, high)) = row.band {
            let (from, to) = (self.x(low), self.x(high).max(self.x(low) + 1));
            self.canvas.rect((from, y - 7), (to, y + 7), BAND);
            for end in [from, to] {
                self.canvas.line(&[(end, y - 8), (end, y + 8)], LIMIT, 1);
            }
        }
        if let Some(reference) = row.reference {
            let x = self.x(reference);
            self.canvas.line(&[(x, y - 8), (x, y + 8)], INK, 1);
        }
        let Some(value) = row.value else {
            self.canvas.text((self.left + 6, y), row.absence(), MUTED, HPos::Left);
            return;
        };
        if let Some((low, high)) = row.interval {
            self.canvas.line(&[(self.x(low), y), (self.x(high), y)], SERIES, 1);
            self.end(low, -1, y);
            self.end(high, 1, y);
        }
        let sign = match (row.is_signal, row.is_small) {
            (true, _) => Sign::Diamond,
            (false, true) => Sign::Hollow,
            (false, false) => Sign::Dot,
        };
        sign.paint(self.canvas, (self.x(value), y), 4);
    }

    /// A bound within the axis ends in a stroke, one beyond it in an arrow.
    fn end(&self, bound: f64, side: i32, y: i32) {
        let x = self.x(bound);
        if bound < self.axis.low - 1e-9 || bound > self.axis.high + 1e-9 {
            self.canvas.fill(vec![(x, y), (x - 8 * side, y - 5), (x - 8 * side, y + 5)], SERIES);
        } else {
            self.canvas.line(&[(x, y - 5), (x, y + 5)], SERIES, 1);
        }
    }
}

/// Holds all that is drawn.
fn axis(chart: &Forest) -> Axis {
    let pair = |p: Option<(f64, f64)>| p.map_or([None; 2], |(low, high)| [Some(low), Some(high)]);
    let of_row = |r: &Stretch| [pair(r.interval), pair(r.band), [r.value, r.reference]];
    let all = chart.rows.iter().flat_map(of_row).flatten().flatten().chain(chart.lines.iter().map(|l| l.at));
    let (low, high) = all.filter(|v| v.is_finite()).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    match chart.scale {
        Scale::Rate => Axis::of_range((low - 0.05).max(0.0), (high + 0.02).min(1.0), Scale::Rate),
        Scale::Points => Axis::of_range(low.min(-0.05), high.max(0.05), Scale::Points),
        Scale::Plain => Axis::of_range(low.min(0.0), high.min(FARTHEST), Scale::Plain),
    }
}

fn entries(chart: &Forest) -> Vec<(Sign, String)> {
    let any = |test: fn(&Stretch) -> bool| chart.rows.iter().any(|r| r.value.is_some() && test(r));
    let mut entries = vec![];
    let mut add = |applies: bool, sign: Sign, words: &str| {
        if applies {
            entries.push((sign, words.to_owned()));
        }
    };
    add(any(|r| !r.is_signal && !r.is_small), Sign::Dot, &chart.noun);
    add(any(|r| !r.is_signal && r.is_small), Sign::Hollow, &format!("{}, small sample", chart.noun));
    add(any(|r| r.is_signal), Sign::Diamond, "signal");
    add(any(|r| r.interval.is_some()), Sign::Reach, "95 % interval");
    add(any(|r| r.band.is_some()), Sign::Bar, "where chance puts 95 of 100");
    add(any(|r| r.reference.is_some()), Sign::Tick, "the others");
    for (i, line) in chart.lines.iter().enumerate() {
        add(true, Sign::Line(1 + i as u32 % 2), &line.label);
    }
    entries
}

fn describe(chart: &Forest) -> String {
    let say = |value: f64| match chart.scale {
        Scale::Rate => format::percent(Some(value)),
        Scale::Points => format::points(Some(value)),
        Scale::Plain => format::number(Some(value)),
    };
    let one = |row: &Stretch| {
        let value = row.value.map_or(row.absence().to_owned(), say);
        let range = |name: &str, pair: Option<(f64, f64)>| {
            pair.map_or(String::new(), |(low, high)| format!(", {name} {} to {}", say(low), say(high)))
        };
        let signal = if row.is_signal { ", a signal" } else { "" };
        format!("{}: {value}{}{}{signal}", row.label, range("interval", row.interval), range("chance", row.band))
    };
    format!("{}.", chart.rows.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{EVIL, assert_harmless, assert_nothing_overlaps, texts};
    use super::*;

    fn row(label: &str, value: f64, reach: f64) -> Stretch {
        let interval = Some((value - reach, value + reach));
        Stretch { label: label.into(), note: "8 of 40".into(), value: Some(value), interval, ..Stretch::default() }
    }

    fn chart(scale: Scale, rows: Vec<Stretch>) -> Forest {
        let lines = vec![Line { at: 1.0, label: "the best".into() }, Line { at: 0.8, label: "four fifths".into() }];
        Forest { scale, noun: "ratio".into(), rows, lines }
    }

    #[test]
    fn no_value_at_all_is_no_drawing_and_a_row_without_says_so() {
        assert!(forest("t", &chart(Scale::Plain, vec![Stretch::default()])).is_none());
        let svg = forest("t", &chart(Scale::Plain, vec![Stretch::default(), row("a", 0.9, 0.2)])).unwrap();
        assert!(texts(&svg).contains(&format::NO_DATA.to_string()));
    }

    #[test]
    fn text_never_overlaps_and_a_bound_beyond_the_axis_is_an_arrow() {
        let long = "a-workflow-with-a-rather-long-name, segment of small businesses";
        let rows =
            vec![row(long, 0.7, 0.2), row("b", 1.0, 40.0), Stretch { end: "adverse".into(), ..row("c", 0.5, 0.1) }];
        let svg = forest("t", &chart(Scale::Plain, rows)).unwrap();
        assert_nothing_overlaps(&svg);
        assert!(!texts(&svg).contains(&"40.0".to_string()));
        for scale in [Scale::Rate, Scale::Points] {
            let rows = vec![row("a", 0.2, 0.15), row("b", 0.9, 0.05)];
            assert_nothing_overlaps(&forest("t", &Forest { lines: vec![], ..chart(scale, rows) }).unwrap());
        }
    }

    #[test]
    fn a_signal_is_told_in_words_and_hostile_labels_stay_text() {
        let signal = Stretch { is_signal: true, band: Some((0.4, 0.6)), ..row(EVIL, 0.99, 0.0) };
        let svg = forest(EVIL, &chart(Scale::Rate, vec![signal])).unwrap();
        assert!(svg.as_str().contains(", a signal"));
        assert_harmless(&svg);
    }
}
