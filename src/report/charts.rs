//! Charts: numbers in, one SVG drawing out. Four kinds, each for one question: [`trend`] (is the rate
//! moving?), [`bars`] (which kinds are frequent?), [`mix`] (how does a whole divide?), [`columns`] (how
//! much was there, and how much of it mattered?).
//!
//! In: counts and fractions with their labels. Out: an [`Svg`] with its title and a description of the
//! data, which takes font and dark colours from the page's style sheet. Invariant: what has no data is
//! a gap, never a zero, and nothing is told by colour alone. Pure; it must not compute a statistic.

use std::ops::Range;

use plotters::style::text_anchor::HPos;

use super::canvas::{
    Axis, BAND, Canvas, Frame, INK, LIMIT, LINE, LONGEST_LABEL, Legend, MUTED, PALE, PARTS, SERIES, Sign, WIDTH,
    bold_width, draw, flow, nothing, scale, shorten, text_width, widest,
};
use super::document::Svg;
use super::format::{self, SMALL_SAMPLE};

/// A rate in one month or week.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// The month or week, as the axis prints it.
    pub label: String,
    /// Fraction; none leaves a gap.
    pub value: Option<f64>,
    /// Bounds of the 95 % interval, fractions.
    pub low: Option<f64>,
    /// Upper bound; both bounds or neither.
    pub high: Option<f64>,
    /// Count of the part; printed for small samples.
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
    /// The part, in the words of the page.
    pub label: String,
    /// How many; gives the length of the bar.
    pub count: u64,
    /// Fraction; [`mix`] ignores it and divides by the sum.
    pub share: Option<f64>,
}

/// A whole and a part of it in one period; none leaves a gap.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// The period, as the axis prints it.
    pub label: String,
    /// The whole, then the part.
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
        (points.iter().filter(|p| p.value.is_some() && is_hollow(p)).count(), "of a small sample or not yet mature"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::canvas::FONT_SIZE;

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
