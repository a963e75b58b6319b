//! A rate over time, with intervals or with control limits.

use plotters::style::text_anchor::HPos;

use super::{Point, runs};
use crate::report::canvas::{
    Axis, BAND, Canvas, Frame, LIMIT, LINE, Legend, MUTED, SERIES, Sign, WIDTH, bold_width, draw, shorten,
};
use crate::report::document::Svg;
use crate::report::format;

/// More points than this have a band instead of whiskers, and only the last value in figures.
const MANY_POINTS: usize = 14;
pub(super) const LONGEST_PERIOD: i32 = 120;

/// A rate over time, called `noun`: line and points with whiskers (few) or a band (many) for the interval,
/// the value in figures, sample sizes below; centre and control limits as stepped lines, where there are any.
pub fn trend(title: &str, noun: &str, points: &[Point]) -> Option<Svg> {
    if points.iter().all(|p| p.value.is_none()) {
        return None;
    }
    let axis = Axis::of_rates(extremes(points));
    let legend = Legend::new(entries(noun, points, &axis));
    let labels: Vec<String> = points.iter().map(|p| shorten(&p.label, LONGEST_PERIOD)).collect();
    let sizes: Vec<String> = points.iter().map(|p| format::count(p.denominator)).collect();
    let frame = Frame::new(&legend, &axis, &labels);
    let has_sizes = frame.every(&labels) == 1 && frame.every(&sizes) == 1;
    let height = frame.bottom + LINE + 8 + if has_sizes { LINE } else { 0 };
    Some(draw(title, &describe(points), height, |canvas| {
        legend.paint(canvas);
        frame.grid(canvas, &axis);
        frame.labels(canvas, &labels, 0);
        if has_sizes {
            canvas.text((frame.left - 10, frame.bottom + 16 + LINE), "n", MUTED, HPos::Right);
            frame.labels(canvas, &sizes, 1);
        }
        let plot = Plot { canvas, frame: &frame, axis: &axis, points };
        plot.intervals();
        plot.limits();
        plot.line();
        plot.marks();
        plot.figures();
    }))
}

/// The height of a line at a point.
type Level = fn(&Point) -> Option<f64>;

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
        for run in runs(self.points, |p| p.interval().is_some()) {
            let bounds: Vec<(usize, f64, f64)> =
                run.filter_map(|i| self.points[i].interval().map(|(low, high)| (i, low, high))).collect();
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

    /// Centre and limits, each a stepped line in a style of its own.
    fn limits(&self) {
        let levels: [(u32, Level); 5] = [
            (1, |p| p.centre),
            (2, |p| p.limits.map(|l| l.0)),
            (2, |p| p.limits.map(|l| l.1)),
            (3, |p| p.wide_limits.map(|l| l.0)),
            (3, |p| p.wide_limits.map(|l| l.1)),
        ];
        for (width, level) in levels {
            for run in runs(self.points, |p| level(p).is_some()) {
                let steps = run.filter_map(|i| Some((i, self.at(i, level(&self.points[i])?).1)));
                let path = steps.flat_map(|(i, y)| [(self.frame.edge(i), y), (self.frame.edge(i + 1), y)]);
                self.canvas.line(&path.collect::<Vec<_>>(), LIMIT, width);
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
            let sign = match (point.is_signal, point.is_hollow()) {
                (true, _) => Sign::Diamond,
                (false, true) => Sign::Hollow,
                (false, false) => Sign::Dot,
            };
            sign.paint(self.canvas, self.at(i, value), radius);
        }
    }

    /// Every value when there is room, else the last.
    fn figures(&self) {
        let figures: Vec<String> = self.points.iter().map(Point::figure).collect();
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

/// Everything the axis must hold.
fn extremes(points: &[Point]) -> impl Iterator<Item = f64> {
    let each = |p: &Point| {
        let limits =
            [p.limits, p.wide_limits].map(|pair| pair.map_or([None; 2], |(low, high)| [Some(low), Some(high)]));
        [[p.value, p.centre], [p.low, p.high], limits[0], limits[1]]
    };
    points.iter().filter(|p| p.value.is_some()).flat_map(each).flatten().flatten()
}

fn entries(noun: &str, points: &[Point], axis: &Axis) -> Vec<(Sign, String)> {
    let any = |test: fn(&Point) -> bool| points.iter().any(test);
    let shown = |test: fn(&Point) -> bool| points.iter().any(|p| p.value.is_some() && !p.is_signal && test(p));
    let few = points.len() <= MANY_POINTS;
    let mut entries = vec![];
    let mut add = |applies: bool, sign: Sign, words: &str| {
        if applies {
            entries.push((sign, words.to_string()));
        }
    };
    add(shown(|p| !p.is_hollow()), Sign::Dot, noun);
    add(any(|p| p.interval().is_some()) && few, Sign::Whisker, "95 % interval");
    add(any(|p| p.interval().is_some()) && !few, Sign::Box(BAND), "95 % interval");
    let small = shown(|p| p.is_small());
    let immature = shown(|p| !p.is_small() && p.is_immature);
    let words = match (small, immature) {
        (true, true) => "small sample or not yet mature",
        (true, false) => "small sample (n under 30)",
        _ => "not yet mature",
    };
    add(small || immature, Sign::Hollow, words);
    let centre = points.iter().rev().find_map(|p| p.centre);
    let is_level = points.iter().filter_map(|p| p.centre).all(|c| Some(c) == centre);
    let words = if is_level { format!("centre {}", format::percent(centre)) } else { "centre".to_owned() };
    add(centre.is_some(), Sign::Line(1), &words);
    add(any(|p| p.limits.is_some()), Sign::Line(2), "control limits");
    add(any(|p| p.wide_limits.is_some()), Sign::Line(3), "limits allowing for other spread");
    add(any(|p| p.is_signal && p.value.is_some()), Sign::Diamond, "signal: more than chance");
    add(any(|p| p.value.is_none()), Sign::Gap, "gap: no data");
    add(axis.is_cut(), Sign::Break, &format!("axis starts at {}", axis.words(axis.low)));
    entries
}

fn describe(points: &[Point]) -> String {
    let known: Vec<(&str, f64)> = points.iter().filter_map(|p| Some((p.label.as_str(), p.value?))).collect();
    let say = |(label, value): (&str, f64)| format!("{} in {label}", format::percent(Some(value)));
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return format::NO_DATA.into() };
    let lowest = known.iter().copied().fold(first, |a, b| if b.1 < a.1 { b } else { a });
    let highest = known.iter().copied().fold(first, |a, b| if b.1 > a.1 { b } else { a });
    let mut out = format!("Line chart, {} periods. First {}, last {}", points.len(), say(first), say(last));
    out += &format!("; lowest {}, highest {}.", say(lowest), say(highest));
    for (number, words) in [
        (points.len() - known.len(), "without data"),
        (points.iter().filter(|p| p.value.is_some() && p.is_hollow()).count(), "of a small sample or not yet mature"),
        (points.iter().filter(|p| p.is_signal).count(), "marked as a signal"),
    ] {
        if number > 0 {
            out += &format!(" {number} {words}.");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_nothing_overlaps, many, point, texts};
    use super::*;

    fn texts_of(points: &[Point]) -> Vec<String> {
        texts(&trend("t", "rate", points).unwrap())
    }

    #[test]
    fn without_data_there_is_no_drawing() {
        assert!(trend("t", "rate", &[]).is_none() && trend("t", "rate", &[Point::default()]).is_none());
    }

    #[test]
    fn text_never_overlaps_whatever_the_number_of_points() {
        for count in [1, 2, 6, 12, 13, 14, 15, 26, 60, 200] {
            assert_nothing_overlaps(&trend("t", "rate", &many(count)).unwrap());
        }
    }

    #[test]
    fn a_period_without_data_is_a_gap_in_the_line() {
        let mut points = many(6);
        points[2].value = None;
        let lengths: Vec<usize> = runs(&points, |p| p.value.is_some()).iter().map(ExactSizeIterator::len).collect();
        assert_eq!(lengths, [2, 3]);
        assert!(texts_of(&points).contains(&"gap: no data".to_string()));
    }

    #[test]
    fn small_and_immature_points_are_hollow_and_named_so() {
        let mut points = many(6);
        points[1].denominator = format::SMALL_SAMPLE - 1;
        assert!(texts_of(&points).contains(&"small sample (n under 30)".to_string()));
        assert!(texts_of(&points).iter().any(|t| t.ends_with("of\u{a0}29")), "a small sample says its counts");
        points[5].is_immature = true;
        assert!(texts_of(&points).contains(&"small sample or not yet mature".to_string()));
    }

    #[test]
    fn a_signal_has_a_shape_of_its_own_and_is_what_the_query_says() {
        let mut points = many(20);
        for p in &mut points {
            (p.centre, p.limits, p.wide_limits) = (Some(0.3), Some((0.2, 0.31)), Some((0.15, 0.45)));
        }
        assert!(!texts_of(&points).contains(&"signal: more than chance".to_string()));
        points[4].is_signal = true;
        let svg = trend("t", "rate", &points).unwrap();
        assert!(texts(&svg).contains(&"signal: more than chance".to_string()));
        assert!(svg.as_str().contains("1 marked as a signal"));
        assert_nothing_overlaps(&svg);
    }

    #[test]
    fn a_drawing_scales_and_names_itself() {
        let svg = trend("Exception rate", "rate", &[point("a", 0.3, 90), point("b", 0.4, 90)]).unwrap();
        assert!(svg.as_str().starts_with("<svg class=\"chart\" role=\"img\""));
        assert!(svg.as_str().contains("<title>Exception rate</title>\n<desc>Line chart, 2 periods."));
        assert!(svg.as_str().contains("width=\"100%\"") && svg.as_str().trim_end().ends_with("</svg>"));
        assert_eq!(svg.as_str().matches("font-size").count(), 1);
    }
}
