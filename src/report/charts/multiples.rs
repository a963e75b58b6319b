//! Several rates over the same months, a small chart each: which of them is moving?

use plotters::style::text_anchor::HPos;

use super::{Point, runs};
use crate::report::canvas::{
    Axis, Canvas, FONT_SIZE, GRID, INK, LINE, Legend, MUTED, SERIES, Sign, WIDTH, draw, scale, shorten, widest,
};
use crate::report::document::Svg;
use crate::report::format;

/// One rate over time.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What it is.
    pub label: String,
    /// The same months in every series of a chart.
    pub points: Vec<Point>,
}

const ACROSS: usize = 3;
const GAP: i32 = 30;
const PLOT: i32 = 76;
/// Name, latest figure, plot, months, room.
const HEIGHT: i32 = 2 * LINE + PLOT + LINE + 34;

/// Small charts in rows of three, each with a scale of its own, its latest value in figures. A series without
/// data says so in its place.
pub fn multiples(title: &str, series: &[Series]) -> Option<Svg> {
    let points = || series.iter().flat_map(|s| &s.points);
    if points().all(|p| p.value.is_none()) {
        return None;
    }
    let mut entries = vec![(Sign::Dot, "rate".to_owned()), (Sign::Whisker, "95 % interval".to_owned())];
    if points().any(|p| p.value.is_some() && p.is_hollow()) {
        entries.push((Sign::Hollow, "small sample or not yet mature".to_owned()));
    }
    if points().any(|p| p.value.is_none()) {
        entries.push((Sign::Gap, "gap: no data".to_owned()));
    }
    let legend = Legend::new(entries);
    let rows = series.len().div_ceil(ACROSS) as i32;
    let top = legend.height() + 14;
    Some(draw(title, &describe(series), top + rows * HEIGHT - 6, |canvas| {
        legend.paint(canvas);
        let width = (WIDTH - GAP * (ACROSS as i32 - 1)) / ACROSS as i32;
        for (i, one) in series.iter().enumerate() {
            let left = (i % ACROSS) as i32 * (width + GAP);
            Small { canvas, left, top: top + (i / ACROSS) as i32 * HEIGHT, width, series: one }.paint();
        }
    }))
}

struct Small<'a, 'c> {
    canvas: &'a Canvas<'c>,
    left: i32,
    top: i32,
    width: i32,
    series: &'a Series,
}

impl Small<'_, '_> {
    fn paint(&self) {
        let (x, y) = (self.left, self.top + LINE / 2);
        // Bold is wider than measured.
        self.canvas.strong((x, y), &shorten(&self.series.label, self.width * 10 / 11));
        let Some(last) = self.series.points.iter().rfind(|p| p.value.is_some()) else {
            self.canvas.text((x, y + LINE), format::NO_DATA, MUTED, HPos::Left);
            return;
        };
        let words = format!("{} in {}", last.figure(), last.label);
        self.canvas.text((x, y + LINE), &shorten(&words, self.width), INK, HPos::Left);
        self.plot();
    }

    fn plot(&self) {
        let points = &self.series.points;
        let known = points.iter().filter(|p| p.value.is_some());
        let axis = Axis::of_rates(known.flat_map(|p| [p.value, p.low, p.high]).flatten());
        let ends = [axis.low, axis.high].map(|tick| axis.words(tick));
        let (top, bottom) = (self.top + 2 * LINE + 14, self.top + 2 * LINE + 14 + PLOT);
        let (left, right) = (self.left + widest(&ends) + 10, self.left + self.width);
        let y = |v: f64| bottom - scale((v.clamp(axis.low, axis.high) - axis.low) / (axis.high - axis.low), PLOT);
        let slot = f64::from(right - left) / points.len().max(1) as f64;
        let x = |i: usize| left + ((i as f64 + 0.5) * slot).round() as i32;
        for (level, words) in [(bottom, &ends[0]), (top, &ends[1])] {
            self.canvas.line(&[(left, level), (right, level)], GRID, 1);
            self.canvas.text((left - 8, level), words, MUTED, HPos::Right);
        }
        if axis.is_cut() {
            Sign::Break.paint(self.canvas, (left, bottom - 12), 4);
        }
        for (i, (low, high)) in points.iter().enumerate().filter_map(|(i, p)| Some((i, p.interval()?))) {
            self.canvas.line(&[(x(i), y(low)), (x(i), y(high))], SERIES, 1);
        }
        for run in runs(points, |p| p.value.is_some()) {
            let path = run.filter_map(|i| Some((x(i), y(points[i].value?))));
            self.canvas.line(&path.collect::<Vec<_>>(), SERIES, 2);
        }
        for (i, point) in points.iter().enumerate() {
            match point.value {
                Some(value) if point.is_hollow() => Sign::Hollow.paint(self.canvas, (x(i), y(value)), 3),
                Some(value) => Sign::Dot.paint(self.canvas, (x(i), y(value)), 3),
                None => Sign::Gap.paint(self.canvas, (x(i), bottom - 8), 3),
            }
        }
        self.months(left, right, bottom + 4 + FONT_SIZE);
    }

    /// The first and the last month; the first alone where both do not fit.
    fn months(&self, left: i32, right: i32, y: i32) {
        let labels: Vec<String> =
            self.series.points.iter().map(|p| shorten(&p.label, (right - left) / 2 - 8)).collect();
        if let [first, .., last] = labels.as_slice() {
            self.canvas.text((left, y), first, MUTED, HPos::Left);
            self.canvas.text((right, y), last, MUTED, HPos::Right);
        } else if let [only] = labels.as_slice() {
            self.canvas.text(((left + right) / 2, y), only, MUTED, HPos::Center);
        }
    }
}

fn describe(series: &[Series]) -> String {
    let one = |s: &Series| {
        let values: Vec<String> =
            s.points.iter().map(|p| format!("{} {}", p.label, format::percent(p.value))).collect();
        format!("{}: {}", s.label, values.join(", "))
    };
    format!("{}.", series.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_nothing_overlaps, many, texts};
    use super::*;

    #[test]
    fn a_series_without_data_says_so_and_none_at_all_is_no_drawing() {
        let empty = Series { label: "flag rate".into(), points: vec![Point::default(); 6] };
        assert!(multiples("t", std::slice::from_ref(&empty)).is_none());
        let svg = multiples("t", &[empty, Series { label: "b".into(), points: many(6) }]).unwrap();
        assert!(texts(&svg).contains(&format::NO_DATA.to_string()));
    }

    #[test]
    fn text_never_overlaps() {
        let label = "false positives among actions with a verdict, all workflows".to_owned();
        for count in [1, 2, 5, 9] {
            let series = vec![Series { label: label.clone(), points: many(6) }; count];
            assert_nothing_overlaps(&multiples("t", &series).unwrap());
        }
    }
}
