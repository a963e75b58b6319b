//! Charts: numbers in, one SVG drawing out. Four kinds, each for one question: [`trend`] (is the rate
//! moving?), [`bars`] (which kinds are frequent?), [`mix`] (how does a whole divide?), [`columns`] (how
//! much was there, and how much of it mattered?).
//!
//! In: counts and fractions with their labels. Out: an [`Svg`] with its title and a description of the
//! data, which takes font and dark colours from the page's style sheet. Invariant: what has no data is
//! a gap, never a zero, and nothing is told by colour alone. Pure; it must not compute a statistic.

use std::ops::Range;

use plotters::style::text_anchor::HPos;

use super::document::Svg;
use super::format::{self, SMALL_SAMPLE};
use canvas::{
    Axis, BAND, Canvas, Frame, INK, LIMIT, LINE, LONGEST_LABEL, Legend, MUTED, PALE, PARTS, SERIES, Sign, WIDTH,
    bold_width, draw, flow, nothing, scale, shorten, text_width, widest,
};

/// A rate in one month or week.
#[derive(Clone, Debug, Default)]
pub struct Point {
    pub label: String,
    /// Fraction; none leaves a gap.
    pub value: Option<f64>,
    /// Bounds of the 95 % interval, fractions.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub numerator: u64,
    /// Small samples are drawn hollow and say their counts.
    pub denominator: u64,
    /// Later facts may still change it: drawn hollow.
    pub is_immature: bool,
    /// Control limits of this point, fractions; a value outside them is marked.
    pub limits: Option<(f64, f64)>,
}

/// A named count with its share of whatever the caller divides by.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    pub label: String,
    pub count: u64,
    /// Fraction; [`mix`] ignores it and divides by the sum.
    pub share: Option<f64>,
}

/// A whole and a part of it in one period; none leaves a gap.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    pub label: String,
    pub counts: Option<(u64, u64)>,
}

/// More points than this have a band instead of whiskers, and only the last value in figures.
const MANY_POINTS: usize = 14;
const LONGEST_PERIOD: i32 = 120;

/// A rate over time: line and points with whiskers (few) or a band (many) for the interval, the value
/// in figures, sample sizes below, control limits as a stepped line, `centre` as a level one.
pub fn trend(title: &str, points: &[Point], centre: Option<f64>) -> Svg {
    if points.iter().all(|p| p.value.is_none()) {
        return nothing(title);
    }
    let axis = Axis::of_rates(extremes(points, centre));
    let legend = Legend::new(trend_legend(points, centre, &axis));
    let labels: Vec<String> = points.iter().map(|p| shorten(&p.label, LONGEST_PERIOD)).collect();
    let sizes: Vec<String> = points.iter().map(|p| format::count(p.denominator)).collect();
    let frame = Frame::new(&legend, &axis, &labels);
    let has_sizes = frame.every(&labels) == 1 && frame.every(&sizes) == 1;
    let height = frame.bottom + LINE + 8 + if has_sizes { LINE } else { 0 };
    draw(title, &describe_trend(points), height, |canvas| {
        legend.paint(canvas);
        frame.grid(canvas, &axis);
        frame.labels(canvas, &labels, 0);
        if has_sizes {
            canvas.text((frame.left - 10, frame.bottom + 16 + LINE), "n", MUTED, HPos::Right);
            frame.labels(canvas, &sizes, 1);
        }
        let plot = Plot { canvas, frame: &frame, axis: &axis, points };
        plot.intervals();
        plot.limits(centre);
        plot.line();
        plot.marks();
        plot.figures();
    })
}

/// Counts of kinds as horizontal bars, in the order given, with count and share at each bar's end.
pub fn bars(title: &str, bars: &[Bar]) -> Svg {
    const ROW: i32 = 32;
    if bars.is_empty() {
        return nothing(title);
    }
    let ends: Vec<String> = bars.iter().map(count_and_share).collect();
    let labels: Vec<String> = bars.iter().map(|b| shorten(&b.label, LONGEST_LABEL)).collect();
    let left = widest(&labels) + 14;
    let room = WIDTH - left - widest(&ends) - 16;
    let most = bars.iter().map(|b| b.count).max().unwrap_or(0).max(1);
    let height = bars.len() as i32 * ROW + 8;
    draw(title, &describe_parts(bars, &ends), height, |canvas| {
        canvas.line(&[(left, 0), (left, height)], LIMIT, 1);
        for (i, bar) in bars.iter().enumerate() {
            let middle = i as i32 * ROW + ROW / 2 + 4;
            let length = scale(bar.count as f64 / most as f64, room).max(i32::from(bar.count > 0) * 2);
            canvas.text((left - 10, middle), &labels[i], INK, HPos::Right);
            canvas.rect((left, middle - 10), (left + length, middle + 10), SERIES);
            canvas.text((left + length + 8, middle), &ends[i], INK, HPos::Left);
        }
    })
}

/// How a whole divides: one bar of full width, each part named beneath its segment. Six parts have a
/// look of their own; the caller joins what goes beyond.
pub fn mix(title: &str, parts: &[Bar]) -> Svg {
    const BAR: (i32, i32) = (4, 52);
    const KEY: i32 = 24;
    let total: u64 = parts.iter().map(|p| p.count).sum();
    if total == 0 {
        return nothing(title);
    }
    let parts: Vec<Bar> =
        parts.iter().map(|p| Bar { share: Some(p.count as f64 / total as f64), ..p.clone() }).collect();
    let names: Vec<String> = parts.iter().map(|p| shorten(&p.label, LONGEST_LABEL)).collect();
    let ends: Vec<String> = parts.iter().map(count_and_share).collect();
    let segments = segments(&parts, total);
    let wanted: Vec<(i32, i32)> = (0..parts.len())
        .map(|i| (segments[i].start, KEY + bold_width(&names[i]).max(text_width(&ends[i])) + 16))
        .collect();
    let places = flow(&wanted);
    let rows = places.last().map_or(1, |(_, row)| row + 1);
    let height = BAR.1 + 12 + rows * (2 * LINE + 12);
    draw(title, &describe_parts(&parts, &ends), height, |canvas| {
        for (i, segment) in segments.iter().enumerate().filter(|(_, s)| !s.is_empty()) {
            canvas.patterned((segment.start, BAR.0), (segment.end, BAR.1), PARTS[i % PARTS.len()]);
        }
        for (i, (x, row)) in places.into_iter().enumerate() {
            let y = BAR.1 + 24 + row * (2 * LINE + 12);
            canvas.patterned((x, y - 7), (x + 15, y + 8), PARTS[i % PARTS.len()]);
            canvas.strong((x + KEY, y), &names[i]);
            canvas.text((x + KEY, y + LINE), &ends[i], MUTED, HPos::Left);
        }
    })
}

/// A whole (pale) beside its part (dark) over time. `names` are the words for whole and part.
pub fn columns(title: &str, names: (&str, &str), pairs: &[Pair]) -> Svg {
    if pairs.iter().all(|p| p.counts.is_none()) {
        return nothing(title);
    }
    let mut entries = vec![(Sign::Box(PALE), names.0.to_string()), (Sign::Box(SERIES), names.1.to_string())];
    if pairs.iter().any(|p| p.counts.is_none()) {
        entries.push((Sign::Gap, "gap: no data".into()));
    }
    let legend = Legend::new(entries);
    let labels: Vec<String> = pairs.iter().map(|p| shorten(&p.label, LONGEST_PERIOD)).collect();
    let most = pairs.iter().filter_map(|p| p.counts).map(|(whole, part)| whole.max(part)).max().unwrap_or(0);
    let axis = Axis::of_counts(most);
    let frame = Frame::new(&legend, &axis, &labels);
    let width = scale(0.4, frame.slot() as i32).clamp(2, 44);
    let has_figures = text_width(&format::count(most)) + 4 <= scale(0.5, frame.slot() as i32);
    let gap = i32::from(width > 8);
    draw(title, &describe_pairs(names, pairs), frame.bottom + LINE + 8, |canvas| {
        legend.paint(canvas);
        frame.grid(canvas, &axis);
        frame.labels(canvas, &labels, 0);
        for (i, (whole, part)) in pairs.iter().enumerate().filter_map(|(i, p)| Some((i, p.counts?))) {
            let x = frame.x(i);
            for (value, left, colour) in [(whole, x - width - gap, PALE), (part, x + gap, SERIES)] {
                let top = frame.y(&axis, value as f64).min(frame.bottom - 1);
                canvas.rect((left, top), (left + width, frame.bottom), colour);
                if has_figures {
                    canvas.text((left + width / 2, top - 11), &format::count(value), INK, HPos::Center);
                }
            }
        }
    })
}

// ---- the parts of a trend --------------------------------------------------------------------------

struct Plot<'a, 'c> {
    canvas: &'a Canvas<'c>,
    frame: &'a Frame,
    axis: &'a Axis,
    points: &'a [Point],
}

impl Plot<'_, '_> {
    fn at(&self, i: usize, value: f64) -> (i32, i32) {
        (self.frame.x(i), self.frame.y(self.axis, value))
    }

    fn intervals(&self) {
        for run in runs(self.points, |p| interval(p).is_some()) {
            let bounds: Vec<(usize, f64, f64)> =
                run.filter_map(|i| interval(&self.points[i]).map(|(low, high)| (i, low, high))).collect();
            if self.points.len() > MANY_POINTS && bounds.len() > 1 {
                let there = bounds.iter().map(|&(i, low, _)| self.at(i, low));
                let back = bounds.iter().rev().map(|&(i, _, high)| self.at(i, high));
                self.canvas.fill(there.chain(back).collect(), BAND);
                continue;
            }
            for (i, low, high) in bounds {
                let (bottom, top) = (self.at(i, low), self.at(i, high));
                self.canvas.line(&[bottom, top], SERIES, 1);
                for (x, y) in [bottom, top] {
                    self.canvas.line(&[(x - 5, y), (x + 5, y)], SERIES, 1);
                }
            }
        }
    }

    fn limits(&self, centre: Option<f64>) {
        if let Some(centre) = centre {
            let y = self.frame.y(self.axis, centre);
            self.canvas.line(&[(self.frame.left, y), (self.frame.right, y)], LIMIT, 1);
        }
        for run in runs(self.points, |p| p.limits.is_some()) {
            for pick in [|l: (f64, f64)| l.0, |l: (f64, f64)| l.1] {
                let steps = run.clone().filter_map(|i| Some((i, pick(self.points[i].limits?))));
                let path: Vec<(i32, i32)> = steps
                    .flat_map(|(i, v)| {
                        [(self.frame.edge(i), self.at(i, v).1), (self.frame.edge(i + 1), self.at(i, v).1)]
                    })
                    .collect();
                self.canvas.line(&path, LIMIT, 2);
            }
        }
    }

    fn line(&self) {
        for run in runs(self.points, |p| p.value.is_some()) {
            let path: Vec<(i32, i32)> = run.filter_map(|i| Some(self.at(i, self.points[i].value?))).collect();
            self.canvas.line(&path, SERIES, 2);
        }
    }

    fn marks(&self) {
        let radius = if self.points.len() > MANY_POINTS { 3 } else { 4 };
        for (i, point) in self.points.iter().enumerate() {
            let Some(value) = point.value else { continue };
            let sign = match (is_outside(point), is_hollow(point)) {
                (true, _) => Sign::Diamond,
                (false, true) => Sign::Hollow,
                (false, false) => Sign::Dot,
            };
            sign.paint(self.canvas, self.at(i, value), radius);
        }
    }

    /// Every value when there is room, else the last.
    fn figures(&self) {
        let figures: Vec<String> = self.points.iter().map(figure).collect();
        let is_banded = self.points.len() > MANY_POINTS;
        let has_all = !is_banded && self.frame.every(&figures) == 1;
        let last = self.points.iter().rposition(|p| p.value.is_some());
        for (i, point) in self.points.iter().enumerate().filter(|(i, _)| has_all || Some(*i) == last) {
            let Some(value) = point.value else { continue };
            let top = if is_banded { value } else { point.high.unwrap_or(value).max(value) };
            let (x, y) = self.at(i, top);
            let x = x.min(WIDTH - bold_width(&figures[i]) / 2);
            self.canvas.strong_centred((x, y - 13), &figures[i]);
        }
    }
}

/// What is written at a point: the percentage, or the counts of a small sample.
fn figure(point: &Point) -> String {
    format::rate(point.numerator, point.denominator, point.value).0
}

/// Everything the axis must hold.
fn extremes(points: &[Point], centre: Option<f64>) -> impl Iterator<Item = f64> {
    let each = |p: &Point| [p.value, p.low, p.high, p.limits.map(|l| l.0), p.limits.map(|l| l.1)];
    points.iter().filter(|p| p.value.is_some()).flat_map(each).chain([centre]).flatten()
}

fn interval(point: &Point) -> Option<(f64, f64)> {
    point.value.and(point.low.zip(point.high))
}

fn is_hollow(point: &Point) -> bool {
    point.denominator < SMALL_SAMPLE || point.is_immature
}

fn is_outside(point: &Point) -> bool {
    matches!((point.value, point.limits), (Some(v), Some((low, high))) if v < low || v > high)
}

fn trend_legend(points: &[Point], centre: Option<f64>, axis: &Axis) -> Vec<(Sign, String)> {
    let any = |test: fn(&Point) -> bool| points.iter().any(test);
    let shown = |test: fn(&Point) -> bool| points.iter().any(|p| p.value.is_some() && !is_outside(p) && test(p));
    let few = points.len() <= MANY_POINTS;
    let mut entries = vec![];
    let mut add = |applies: bool, sign: Sign, words: &str| {
        if applies {
            entries.push((sign, words.to_string()));
        }
    };
    add(shown(|p| !is_hollow(p)), Sign::Dot, "rate");
    add(any(|p| interval(p).is_some()) && few, Sign::Whisker, "95 % interval");
    add(any(|p| interval(p).is_some()) && !few, Sign::Box(BAND), "95 % interval");
    let small = shown(|p| p.denominator < SMALL_SAMPLE);
    let immature = shown(|p| p.denominator >= SMALL_SAMPLE && p.is_immature);
    let words = match (small, immature) {
        (true, true) => "small sample or not yet mature",
        (true, false) => "small sample (n under 30)",
        _ => "not yet mature",
    };
    add(small || immature, Sign::Hollow, words);
    add(centre.is_some(), Sign::Line(1), &format!("centre {}", format::percent(centre)));
    add(any(|p| p.limits.is_some()), Sign::Line(2), "control limits");
    add(any(is_outside), Sign::Diamond, "outside the limits");
    add(any(|p| p.value.is_none()), Sign::Gap, "gap: no data");
    add(axis.is_cut(), Sign::Break, &format!("axis starts at {}", axis.words(axis.low)));
    entries
}

/// Maximal ranges of neighbours for which `holds`.
fn runs(points: &[Point], holds: impl Fn(&Point) -> bool) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = vec![];
    for i in (0..points.len()).filter(|&i| holds(&points[i])) {
        match out.last_mut() {
            Some(run) if run.end == i => run.end = i + 1,
            _ => out.push(i..i + 1),
        }
    }
    out
}

// ---- words for those who cannot see the drawing ----------------------------------------------------

fn describe_trend(points: &[Point]) -> String {
    let known: Vec<(&str, f64)> = points.iter().filter_map(|p| Some((p.label.as_str(), p.value?))).collect();
    let say = |(label, value): (&str, f64)| format!("{} in {label}", format::percent(Some(value)));
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return format::NO_DATA.into() };
    let lowest = known.iter().copied().fold(first, |a, b| if b.1 < a.1 { b } else { a });
    let highest = known.iter().copied().fold(first, |a, b| if b.1 > a.1 { b } else { a });
    let mut out = format!("Line chart, {} periods. First {}, last {}", points.len(), say(first), say(last));
    out += &format!("; lowest {}, highest {}.", say(lowest), say(highest));
    for (number, words) in [
        (points.len() - known.len(), "without data"),
        (
            points.iter().filter(|p| p.value.is_some() && is_hollow(p)).count(),
            "of a small sample or not yet mature",
        ),
        (points.iter().filter(|p| is_outside(p)).count(), "outside the control limits"),
    ] {
        if number > 0 {
            out += &format!(" {number} {words}.");
        }
    }
    out
}

fn describe_parts(bars: &[Bar], ends: &[String]) -> String {
    let items: Vec<String> = bars.iter().zip(ends).map(|(bar, end)| format!("{}: {end}", bar.label)).collect();
    format!("{}.", items.join("; "))
}

fn describe_pairs(names: (&str, &str), pairs: &[Pair]) -> String {
    let item = |pair: &Pair| match pair.counts {
        Some((whole, part)) => {
            format!("{}: {} {}, {} {}", pair.label, format::count(whole), names.0, format::count(part), names.1)
        }
        None => format!("{}: {}", pair.label, format::NO_DATA),
    };
    format!("{}.", pairs.iter().map(item).collect::<Vec<_>>().join("; "))
}

fn count_and_share(bar: &Bar) -> String {
    match bar.share {
        Some(share) => format!("{} · {}", format::count(bar.count), format::percent(Some(share))),
        None => format::count(bar.count),
    }
}

/// Widths of the parts from the running total, so that they end exactly at the right edge. A part
/// that exists is at least two units wide, at the expense of its neighbour.
fn segments(parts: &[Bar], total: u64) -> Vec<Range<i32>> {
    let (mut sum, mut left) = (0, 0);
    let mut out = vec![];
    for (i, part) in parts.iter().enumerate() {
        sum += part.count;
        let rest = parts[i + 1..].iter().filter(|p| p.count > 0).count() as i32 * 4;
        let least = if part.count > 0 { left + 4 } else { left };
        let right = scale(sum as f64 / total as f64, WIDTH).min(WIDTH - rest).max(least);
        out.push(left..right);
        left = right;
    }
    out
}

// Kept inline; fit to become a file of its own, as it stands, when the charts grow.
mod canvas {
    //! The surface charts are drawn on: ink, patterns, text, legend, axes and the frame of a plot.
    //!
    //! In: shapes in drawing units (pixels at full width). Out: an [`Svg`] that scales with its box, takes
    //! its font and its dark colours from the page, and carries a title and a description. Invariant: text
    //! is measured before it is placed, so that nothing touches and nothing leaves the drawing. It must not
    //! know what the numbers mean: that is `charts`.

    use plotters::coord::Shift;
    use plotters::prelude::*;
    use plotters::style::text_anchor::{HPos, Pos, VPos};

    use crate::report::document::Svg;
    use crate::report::{format, html};

    pub(super) const WIDTH: i32 = 840;
    pub(super) const FONT_SIZE: i32 = 14;
    pub(super) const LINE: i32 = 20;
    /// Longer names are cut; the table beside a chart has them in full.
    pub(super) const LONGEST_LABEL: i32 = 250;
    const PLOT_HEIGHT: i32 = 200;

    // The style sheet replaces each of these by a variable, so that dark mode can differ.
    pub(super) const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
    pub(super) const MUTED: RGBColor = RGBColor(0x52, 0x60, 0x6d);
    pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
    pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
    pub(super) const SERIES: RGBColor = RGBColor(0x0b, 0x4f, 0x8a);
    pub(super) const BAND: RGBColor = RGBColor(0xcf, 0xe0, 0xf0);
    pub(super) const PALE: RGBColor = RGBColor(0x72, 0x9d, 0xc8);
    pub(super) const LIMIT: RGBColor = RGBColor(0x7b, 0x87, 0x94);
    pub(super) const ALARM: RGBColor = RGBColor(0xb8, 0x48, 0x0a);
    pub(super) const AMBER: RGBColor = RGBColor(0xf2, 0xd3, 0x8f);
    pub(super) const PLUM: RGBColor = RGBColor(0x7d, 0x5b, 0xa6);
    pub(super) const SILVER: RGBColor = RGBColor(0xd5, 0xda, 0xe0);

    /// Fill, pattern and colour of the pattern of the parts of a mix: the patterns differ so that black
    /// and white is enough, the fills differ in lightness as well as in hue.
    pub(super) const PARTS: [(RGBColor, Pattern, RGBColor); 6] = [
        (SERIES, Pattern::Plain, PAPER),
        (PALE, Pattern::Rising, PAPER),
        (ALARM, Pattern::Falling, PAPER),
        (AMBER, Pattern::Upright, INK),
        (PLUM, Pattern::Level, PAPER),
        (SILVER, Pattern::Crossed, INK),
    ];

    #[derive(Clone, Copy)]
    pub(super) enum Pattern {
        Plain,
        Rising,
        Falling,
        Upright,
        Level,
        Crossed,
    }

    /// The backend writes to a `String`, where no draw call can fail: results are dropped in this type
    /// and nowhere else.
    pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

    impl Canvas<'_> {
        pub fn line(&self, path: &[(i32, i32)], colour: RGBColor, width: u32) {
            if path.len() > 1 {
                let _ = self.0.draw(&PathElement::new(path, colour.stroke_width(width)));
            }
        }

        pub fn fill(&self, outline: Vec<(i32, i32)>, colour: RGBColor) {
            let _ = self.0.draw(&Polygon::new(outline, colour));
        }

        pub fn rect(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
            let _ = self.0.draw(&Rectangle::new([from, to], colour.filled()));
        }

        pub fn circle(&self, centre: (i32, i32), radius: i32, colour: RGBColor) {
            let _ = self.0.draw(&Circle::new(centre, radius, colour.filled()));
        }

        pub fn text(&self, at: (i32, i32), words: &str, colour: RGBColor, anchor: HPos) {
            self.write(at, words, colour, (anchor, FontStyle::Normal));
        }

        pub fn strong(&self, at: (i32, i32), words: &str) {
            self.write(at, words, INK, (HPos::Left, FontStyle::Bold));
        }

        pub fn strong_centred(&self, at: (i32, i32), words: &str) {
            self.write(at, words, INK, (HPos::Center, FontStyle::Bold));
        }

        /// `at` is the middle of the line's height.
        fn write(&self, at: (i32, i32), words: &str, colour: RGBColor, (anchor, weight): (HPos, FontStyle)) {
            let font = FontDesc::new(FontFamily::SansSerif, 1.24, weight);
            let style = TextStyle::from(font).color(&colour).pos(Pos::new(anchor, VPos::Center));
            let _ = self.0.draw(&Text::new(format::visible(words), at, style));
        }

        pub fn patterned(
            &self,
            from: (i32, i32),
            to: (i32, i32),
            (fill, pattern, lines): (RGBColor, Pattern, RGBColor),
        ) {
            self.rect(from, to, fill);
            for path in hatch(from, to, pattern) {
                self.line(&path, lines, 1);
            }
            // A seam keeps neighbours apart whatever their colours.
            self.line(&[(to.0, from.1), (to.0, to.1)], PAPER, 2);
        }
    }

    /// Lines of a pattern, clipped to a box.
    fn hatch(from: (i32, i32), to: (i32, i32), pattern: Pattern) -> Vec<[(i32, i32); 2]> {
        const GAP: usize = 6;
        let ((x0, y0), (x1, y1)) = (from, to);
        let slanted = |rises: bool| {
            let height = y1 - y0;
            let starts = (x0 - height..x1).step_by(GAP).map(move |c| (c.max(x0), (c + height).min(x1), c));
            starts.filter(|(a, b, _)| a < b).map(move |(a, b, c)| {
                let y = |x: i32| if rises { y1 - (x - c) } else { y0 + (x - c) };
                [(a, y(a)), (b, y(b))]
            })
        };
        match pattern {
            Pattern::Plain => vec![],
            Pattern::Rising => slanted(true).collect(),
            Pattern::Falling => slanted(false).collect(),
            Pattern::Crossed => slanted(true).chain(slanted(false)).collect(),
            Pattern::Upright => (x0 + 3..x1).step_by(GAP).map(|x| [(x, y0), (x, y1)]).collect(),
            Pattern::Level => (y0 + 3..y1).step_by(GAP).map(|y| [(x0, y), (x1, y)]).collect(),
        }
    }

    pub(super) fn nothing(title: &str) -> Svg {
        draw(title, format::NO_DATA, 72, |canvas| {
            for (from, to) in [((0, 1), (WIDTH, 1)), ((0, 71), (WIDTH, 71))] {
                canvas.line(&[from, to], GRID, 1);
            }
            canvas.text((WIDTH / 2, 36), format::NO_DATA, MUTED, HPos::Center);
        })
    }

    pub(super) fn draw(title: &str, description: &str, height: i32, paint: impl FnOnce(&Canvas)) -> Svg {
        let mut raw = String::new();
        paint(&Canvas(SVGBackend::with_string(&mut raw, (WIDTH as u32, height.max(1) as u32)).into_drawing_area()));
        dress(&raw, (title, description), height)
    }

    /// Makes the backend's output a part of a page: scales with its box, takes the page's font, has a name
    /// and a description. The attributes removed cannot occur in text, where quotes are escaped.
    fn dress(raw: &str, (title, description): (&str, &str), height: i32) -> Svg {
        let body = raw.split_once('>').map_or("", |(_, body)| body);
        let body = [" font-family=\"sans-serif\"", " font-size=\"1\"", " opacity=\"1\"", " stroke=\"none\""]
            .iter()
            .fold(body.to_string(), |text, attribute| text.replace(attribute, ""));
        Svg(format!(
            "<svg class=\"chart\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"100%\" font-family=\"sans-serif\" font-size=\"{FONT_SIZE}\">\n<title>{}</title>\n<desc>{}</desc>{body}",
            html::escape(title),
            html::escape(description),
        ))
    }

    /// What a legend or a plot shows for one thing.
    #[derive(Clone, Copy)]
    pub(super) enum Sign {
        Dot,
        Hollow,
        Diamond,
        Whisker,
        /// Line of this width.
        Line(u32),
        Box(RGBColor),
        Gap,
        /// An axis that does not start at zero.
        Break,
    }

    impl Sign {
        pub fn paint(self, canvas: &Canvas, (x, y): (i32, i32), radius: i32) {
            match self {
                Sign::Dot => canvas.circle((x, y), radius, SERIES),
                Sign::Hollow => {
                    canvas.circle((x, y), radius + 1, SERIES);
                    canvas.circle((x, y), radius - 1, PAPER);
                }
                Sign::Diamond => {
                    let r = radius + 3;
                    canvas.fill(vec![(x - r, y), (x, y - r), (x + r, y), (x, y + r)], ALARM);
                }
                Sign::Whisker => {
                    canvas.line(&[(x, y - 7), (x, y + 7)], SERIES, 1);
                    for end in [y - 7, y + 7] {
                        canvas.line(&[(x - 4, end), (x + 4, end)], SERIES, 1);
                    }
                }
                Sign::Line(width) => canvas.line(&[(x - 9, y), (x + 9, y)], LIMIT, width),
                Sign::Box(colour) => canvas.rect((x - 8, y - 6), (x + 8, y + 6), colour),
                Sign::Break => {
                    let steps = [(0, 8), (0, 4), (-4, 2), (4, -2), (0, -4), (0, -8)];
                    canvas.line(&steps.map(|(dx, dy)| (x + dx, y + dy)), MUTED, 1);
                }
                Sign::Gap => canvas.text((x, y), "–", MUTED, HPos::Center),
            }
        }
    }

    pub(super) struct Legend {
        entries: Vec<(Sign, String)>,
        places: Vec<(i32, i32)>,
    }

    impl Legend {
        const SIGN: i32 = 26;

        pub fn new(entries: Vec<(Sign, String)>) -> Self {
            let entries: Vec<_> =
                entries.into_iter().map(|(sign, words)| (sign, shorten(&words, LONGEST_LABEL))).collect();
            let boxes: Vec<(i32, i32)> =
                entries.iter().map(|(_, words)| (0, Self::SIGN + text_width(words) + 18)).collect();
            Self { places: flow(&boxes), entries }
        }

        pub fn height(&self) -> i32 {
            self.places.last().map_or(0, |(_, row)| (row + 1) * (LINE + 2))
        }

        pub fn paint(&self, canvas: &Canvas) {
            for ((sign, words), (x, row)) in self.entries.iter().zip(&self.places) {
                let y = row * (LINE + 2) + 11;
                sign.paint(canvas, (x + 10, y), 4);
                canvas.text((x + Self::SIGN, y), words, MUTED, HPos::Left);
            }
        }
    }

    /// Where the plot lies and how it divides into periods.
    pub(super) struct Frame {
        pub left: i32,
        pub right: i32,
        pub top: i32,
        pub bottom: i32,
        slots: usize,
    }

    impl Frame {
        /// Leaves room for the legend, the words of the axis, labels that overhang their period at either
        /// end, and a figure above the highest value.
        pub fn new(legend: &Legend, axis: &Axis, labels: &[String]) -> Self {
            let ticks: Vec<String> = axis.ticks().map(|tick| axis.words(tick)).collect();
            let gutter = widest(&ticks) + 14;
            let slots = labels.len().max(1);
            let overhang = (widest(labels) - (WIDTH - gutter) / slots as i32) / 2;
            let top = legend.height() + 30;
            let (left, right) = (gutter.max(overhang), WIDTH - 6 - overhang.max(0));
            Self { left, right, top, bottom: top + PLOT_HEIGHT, slots }
        }

        pub fn slot(&self) -> f64 {
            f64::from(self.right - self.left) / self.slots as f64
        }

        /// The left edge of a period.
        pub fn edge(&self, i: usize) -> i32 {
            self.left + (i as f64 * self.slot()).round() as i32
        }

        /// The middle of a period.
        pub fn x(&self, i: usize) -> i32 {
            self.left + ((i as f64 + 0.5) * self.slot()).round() as i32
        }

        pub fn y(&self, axis: &Axis, value: f64) -> i32 {
            let share = (value.clamp(axis.low, axis.high) - axis.low) / (axis.high - axis.low);
            self.bottom - scale(share, self.bottom - self.top)
        }

        /// Every how many-th label fits without touching its neighbour.
        pub fn every(&self, labels: &[String]) -> usize {
            (f64::from(widest(labels) + 6) / self.slot()).ceil().max(1.0) as usize
        }

        pub fn grid(&self, canvas: &Canvas, axis: &Axis) {
            for tick in axis.ticks() {
                let y = self.y(axis, tick);
                let colour = if tick == 0.0 { LIMIT } else { GRID };
                canvas.line(&[(self.left, y), (self.right, y)], colour, 1);
                canvas.text((self.left - 10, y), &axis.words(tick), MUTED, HPos::Right);
            }
            if axis.is_cut() {
                Sign::Break.paint(canvas, (self.left, self.bottom - 12), 4);
            }
        }

        /// Labels below the plot in line `row`, counted from the last, which is always there.
        pub fn labels(&self, canvas: &Canvas, labels: &[String], row: i32) {
            let every = self.every(labels);
            for (i, label) in
                labels.iter().enumerate().filter(|(i, _)| (labels.len() - 1 - i).is_multiple_of(every))
            {
                canvas.text((self.x(i), self.bottom + 16 + row * LINE), label, MUTED, HPos::Center);
            }
        }
    }

    /// A vertical axis whose ticks are round numbers.
    pub(super) struct Axis {
        pub low: f64,
        pub high: f64,
        step: f64,
        is_rate: bool,
    }

    impl Axis {
        /// Starts at zero, unless the values lie so close together and so high that their movement could
        /// not be seen; then it shows at least 20 percentage points, so that noise does not look like a
        /// cliff. Ends at 100 % at most.
        pub fn of_rates(values: impl Iterator<Item = f64>) -> Self {
            let known = values.filter(|v| v.is_finite());
            let (low, high) = known.fold((1.0_f64, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
            let window = (2.0 * (high - low)).max(0.2);
            let is_cut = window < 0.75 * high;
            let floor = if is_cut { ((low + high - window) / 2.0).min(1.0 - window) } else { 0.0 };
            let span = if is_cut { window } else { high.max(0.01) };
            let step = round_step(span / 5.0);
            let bottom = (floor / step + 1e-9).floor() * step;
            let top = (high.max(bottom + span) / step - 1e-9).ceil() * step;
            Self { low: bottom, high: top.min(1.0), step, is_rate: true }
        }

        pub fn of_counts(most: u64) -> Self {
            let most = most.max(1) as f64;
            let step = round_step(most / 5.0).max(1.0);
            Self { low: 0.0, high: (most / step).ceil() * step, step, is_rate: false }
        }

        /// Whether it starts above zero, which the reader must be told.
        pub fn is_cut(&self) -> bool {
            self.low > 0.0
        }

        pub fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
            let steps = ((self.high - self.low) / self.step + 1e-9).floor() as usize;
            (0..=steps).map(|i| self.low + i as f64 * self.step)
        }

        pub fn words(&self, value: f64) -> String {
            if !self.is_rate {
                return format::count(value.round() as u64);
            }
            let decimals = (-(self.step * 100.0).log10() - 1e-9).ceil().max(0.0) as usize;
            format!("{:.decimals$}\u{a0}%", value * 100.0)
        }
    }

    /// The smallest of 1, 2, 5 times a power of ten that is not below `raw`.
    fn round_step(raw: f64) -> f64 {
        let power = 10_f64.powf(raw.log10().floor());
        let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
        steps.into_iter().find(|step| *step >= raw * (1.0 - 1e-9)).unwrap_or(10.0 * power)
    }

    /// Places boxes (wanted left edge, width) in rows of full width, in order and without overlap, each as
    /// near to where it wants to be as its neighbours allow. Gives left edge and row.
    pub(super) fn flow(boxes: &[(i32, i32)]) -> Vec<(i32, i32)> {
        let mut out: Vec<(i32, i32)> = vec![];
        let (mut start, mut row) = (0, 0);
        while start < boxes.len() {
            let mut filled = 0;
            let fits = boxes[start..].iter().take_while(|(_, width)| {
                filled += width;
                filled <= WIDTH
            });
            let end = start + fits.count().max(1);
            let mut cursor = 0;
            for &(wanted, width) in &boxes[start..end] {
                out.push((wanted.max(cursor), row));
                cursor = wanted.max(cursor) + width;
            }
            let mut limit = WIDTH;
            for i in (start..end).rev() {
                out[i].0 = out[i].0.min(limit - boxes[i].1).max(0);
                limit = out[i].0;
            }
            (start, row) = (end, row + 1);
        }
        out
    }

    pub(super) fn scale(share: f64, length: i32) -> i32 {
        (share * f64::from(length)).round() as i32
    }

    /// A generous estimate: the page's font is not known here.
    pub(super) fn text_width(text: &str) -> i32 {
        let em: f64 = text
            .chars()
            .map(|c| match c {
                'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '\u{a0}' => 0.33,
                '-' => 0.42,
                'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.92,
                'A'..='Z' => 0.70,
                c if c as u32 >= 0x2e80 => 1.0,
                _ => 0.61,
            })
            .sum();
        (em * f64::from(FONT_SIZE)).ceil() as i32
    }

    pub(super) fn bold_width(text: &str) -> i32 {
        text_width(text) * 11 / 10
    }

    pub(super) fn widest<S: AsRef<str>>(texts: &[S]) -> i32 {
        texts.iter().map(|t| text_width(t.as_ref())).max().unwrap_or(0)
    }

    pub(super) fn shorten(text: &str, width: i32) -> String {
        let mut out = format::visible(text).replace(['\n', '\t'], " ");
        if text_width(&out) > width {
            while text_width(&out) + FONT_SIZE > width && out.pop().is_some() {}
            out.truncate(out.trim_end().len());
            out.push('…');
        }
        out
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn axes_have_a_few_round_ticks_and_hold_every_value() {
            for high in [0.0, 0.0001, 0.004, 0.013, 0.05, 0.09, 0.21, 0.5, 0.77, 1.0] {
                for low in [0.0, 0.5, 0.95, 1.0].map(|share| share * high) {
                    let axis = Axis::of_rates([low, high].into_iter());
                    let ticks = axis.ticks().count();
                    assert!(
                        axis.low <= low + 1e-9 && high <= axis.high + 1e-9 && axis.high <= 1.0,
                        "{low} to {high}"
                    );
                    assert!((3..=7).contains(&ticks), "{ticks} ticks for {low} to {high}");
                }
            }
            for most in [0, 1, 3, 7, 99, 1_000, 2_086, 8_828, 1_000_000] {
                let axis = Axis::of_counts(most);
                assert!(axis.high >= most as f64 && axis.ticks().all(|t| t.fract() == 0.0), "{most}");
                assert!((2..=6).contains(&axis.ticks().count()), "{most}");
            }
        }

        #[test]
        fn an_axis_leaves_zero_only_for_high_and_close_values_and_never_zooms_in_on_noise() {
            let axis = |low, high| Axis::of_rates([low, high].into_iter());
            assert!(!axis(0.0, 0.6).is_cut() && !axis(0.02, 0.05).is_cut());
            for close in [axis(0.42, 0.45), axis(0.97, 0.99), axis(1.0, 1.0)] {
                assert!(close.is_cut() && close.high - close.low >= 0.2 - 1e-9);
            }
        }

        #[test]
        fn words_of_an_axis_tell_its_ticks_apart() {
            for high in [0.0001, 0.004, 0.013, 0.09, 0.5, 1.0] {
                let axis = Axis::of_rates([0.0, high].into_iter());
                let mut words: Vec<String> = axis.ticks().map(|t| axis.words(t)).collect();
                words.dedup();
                assert_eq!(words.len(), axis.ticks().count());
            }
        }

        #[test]
        fn boxes_keep_their_order_and_never_overlap() {
            let boxes = [(0, 150), (507, 215), (598, 140), (820, 120), (0, 400), (830, 500), (0, 2_000), (3, 10)];
            let places = flow(&boxes);
            assert_eq!(places[..4].iter().map(|p| p.1).collect::<Vec<_>>(), [0, 0, 0, 0]);
            for (i, pair) in places.windows(2).enumerate() {
                let ((x, row), (next, next_row)) = (pair[0], pair[1]);
                assert!(next_row > row || x + boxes[i].1 <= next);
            }
        }

        #[test]
        fn every_colour_of_a_chart_can_be_replaced_by_the_page() {
            let css = include_str!("style.css");
            for RGBColor(r, g, b) in
                [INK, MUTED, GRID, PAPER, SERIES, BAND, PALE, LIMIT, ALARM, AMBER, PLUM, SILVER]
            {
                let hex = format!("\"#{r:02X}{g:02X}{b:02X}\"");
                assert!(css.contains(&hex), "style.css has no rule for {hex}");
            }
        }

        #[test]
        fn a_pattern_never_leaves_its_box() {
            for pattern in [Pattern::Rising, Pattern::Falling, Pattern::Upright, Pattern::Level, Pattern::Crossed] {
                for to in [(14, 40), (60, 20), (300, 62)] {
                    for (x, y) in hatch((10, 12), to, pattern).into_iter().flatten() {
                        assert!((10..=to.0).contains(&x) && (12..=to.1).contains(&y));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::canvas::FONT_SIZE;
    use super::*;

    fn point(label: &str, value: f64, denominator: u64) -> Point {
        let numerator = (value * denominator as f64).round() as u64;
        let (low, high) = ((value - 0.05).max(0.0), (value + 0.05).min(1.0));
        Point {
            label: label.into(),
            value: Some(value),
            low: Some(low),
            high: Some(high),
            numerator,
            denominator,
            ..Point::default()
        }
    }

    fn many(count: usize) -> Vec<Point> {
        (0..count).map(|i| point(&format!("2026-W{i:02}"), 0.3 + 0.01 * (i % 7) as f64, 200)).collect()
    }

    fn texts(svg: &Svg) -> Vec<String> {
        let inside = svg.as_str().split("<text").skip(1);
        inside.filter_map(|t| Some(t.split_once('>')?.1.split_once("</text>")?.0.trim().to_string())).collect()
    }

    /// Centre, line and text of everything written, to find what touches.
    fn boxes(svg: &Svg) -> Vec<(i32, i32, i32)> {
        let attribute = |tag: &str, name: &str| -> i32 {
            tag.split_once(&format!(" {name}=\""))
                .and_then(|(_, rest)| rest.split('"').next()?.parse().ok())
                .unwrap_or(0)
        };
        let each = svg.as_str().split("<text").skip(1).filter_map(|t| t.split_once('>'));
        each.map(|(tag, rest)| {
            let words = rest.split_once("</text>").map_or("", |(words, _)| words.trim());
            let width = text_width(&words.replace("&lt;", "<").replace("&gt;", ">"));
            let x = attribute(tag, "x");
            let left = if tag.contains("middle") {
                x - width / 2
            } else if tag.contains("end") {
                x - width
            } else {
                x
            };
            (left, left + width, attribute(tag, "y"))
        })
        .collect()
    }

    fn assert_nothing_overlaps(svg: &Svg) {
        let boxes = boxes(svg);
        for (i, a) in boxes.iter().enumerate() {
            assert!(a.0 >= 0 && a.1 <= WIDTH + 1, "text leaves the drawing: {:?}", texts(svg)[i]);
            for (j, b) in boxes.iter().enumerate().skip(i + 1) {
                let apart = a.1 <= b.0 || b.1 <= a.0 || (a.2 - b.2).abs() >= FONT_SIZE;
                assert!(apart, "{:?} touches {:?}", texts(svg)[i], texts(svg)[j]);
            }
        }
    }

    #[test]
    fn every_chart_without_data_says_so() {
        let empty = [trend("t", &[], None), bars("t", &[]), mix("t", &[]), columns("t", ("a", "b"), &[])];
        let gaps = [
            trend("t", &[Point::default()], Some(0.1)),
            mix("t", &[Bar { label: "approved".into(), ..Bar::default() }]),
            columns("t", ("a", "b"), &[Pair::default()]),
        ];
        for svg in empty.iter().chain(&gaps) {
            assert_eq!(texts(svg), ["no data"]);
        }
    }

    #[test]
    fn text_never_overlaps_whatever_the_number_of_points() {
        for count in [1, 2, 6, 12, 13, 14, 15, 26, 60, 200] {
            assert_nothing_overlaps(&trend("t", &many(count), None));
            let pairs: Vec<Pair> =
                (0..count).map(|i| Pair { label: format!("2026-W{i:02}"), counts: Some((12_345, 999)) }).collect();
            assert_nothing_overlaps(&columns("t", ("reviewed", "with exception"), &pairs));
        }
    }

    #[test]
    fn names_of_a_mix_never_overlap_even_when_parts_are_tiny() {
        let words =
            ["approved", "approved with changes", "rejected", "escalated", "expired", "withdrawn by the proposer"];
        for counts in [[1, 1, 1, 1, 1, 99_999], [99_999, 1, 1, 1, 1, 1], [5, 0, 0, 0, 0, 0], [7, 7, 7, 7, 7, 7]] {
            let parts: Vec<Bar> =
                words.iter().zip(counts).map(|(l, count)| Bar { label: (*l).into(), count, share: None }).collect();
            let svg = mix("t", &parts);
            assert_nothing_overlaps(&svg);
            let ends = segments(&parts, counts.iter().sum());
            assert_eq!(ends.last().map(|s| s.end), Some(WIDTH));
            assert!(ends.iter().zip(counts).all(|(s, count)| s.is_empty() == (count == 0)));
        }
    }

    #[test]
    fn a_period_without_data_is_a_gap_in_the_line() {
        let mut points = many(6);
        points[2].value = None;
        let lengths: Vec<usize> = runs(&points, |p| p.value.is_some()).iter().map(ExactSizeIterator::len).collect();
        assert_eq!(lengths, [2, 3]);
        assert!(texts(&trend("t", &points, None)).contains(&"gap: no data".to_string()));
    }

    #[test]
    fn small_and_immature_points_are_hollow_and_named_so() {
        let mut points = many(6);
        points[1].denominator = SMALL_SAMPLE - 1;
        let svg = trend("t", &points, None);
        assert!(texts(&svg).contains(&"small sample (n under 30)".to_string()));
        assert!(texts(&svg).iter().any(|t| t.ends_with("of\u{a0}29")), "a small sample says its counts");
        points[5].is_immature = true;
        assert!(texts(&trend("t", &points, None)).contains(&"small sample or not yet mature".to_string()));
    }

    #[test]
    fn a_value_outside_its_control_limits_has_a_shape_of_its_own() {
        let mut points = many(20);
        for p in &mut points {
            p.limits = Some((0.2, 0.35));
        }
        let svg = trend("t", &points, Some(0.3));
        assert!(texts(&svg).contains(&"outside the limits".to_string()));
        assert!(svg.as_str().contains("outside the control limits"));
    }

    #[test]
    fn hostile_labels_stay_text() {
        let evil = "</text><script>alert(1)</script>\" font-size=\"1\" \u{202e}";
        let bar = Bar { label: evil.into(), count: 3, share: Some(0.5) };
        let pair = Pair { label: evil.into(), counts: Some((1, 1)) };
        for svg in [
            bars(evil, std::slice::from_ref(&bar)),
            mix(evil, &[bar]),
            columns(evil, (evil, evil), &[pair]),
            trend(evil, &[point(evil, 0.5, 99)], None),
        ] {
            assert!(!svg.as_str().contains("<script") && !svg.as_str().contains('\u{202e}'));
        }
    }

    #[test]
    fn a_drawing_scales_and_names_itself() {
        let svg = trend("Exception rate", &many(6), None);
        assert!(svg.as_str().starts_with("<svg class=\"chart\" role=\"img\""));
        assert!(svg.as_str().contains("<title>Exception rate</title>\n<desc>Line chart, 6 periods."));
        assert!(svg.as_str().contains("width=\"100%\"") && svg.as_str().trim_end().ends_with("</svg>"));
        assert_eq!(svg.as_str().matches("font-size").count(), 1);
    }
}
