//! The evidence of a review after each of its items: how strong has it become, and is that enough?

use plotters::style::text_anchor::HPos;

use crate::report::canvas::{
    Axis, Canvas, GRID, LIMIT, LINE, Legend, MUTED, SERIES, Sign, WIDTH, bold_width, draw, scale, shorten, widest,
};
use crate::report::document::Svg;
use crate::report::format;

/// What an item left the review with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Items so far.
    pub n: u64,
    /// Of them wrong.
    pub k: u64,
    /// The evidence; infinite when the claim is certain.
    pub e: f64,
}

/// What has to be reached, and what was.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// The evidence that it takes, a positive number.
    pub threshold: f64,
    /// The evidence at the end, as it is to be read.
    pub reached: String,
}

const HEIGHT: i32 = 220;
/// Powers of ten that are named at most.
const MOST_TICKS: i32 = 7;
/// Marks nearer to each other than this many units are one.
const APART: i32 = 4;
const LONGEST_FIGURE: i32 = 160;
/// From the end of the path to the middle of what was reached.
const FIGURE: i32 = 15;

/// The path of E over the items reviewed, on a logarithmic scale, with what has to be reached; wrong items are marked.
/// None without items or without anything to reach.
pub fn evidence(title: &str, goal: &Goal, steps: &[Step]) -> Option<Svg> {
    let last = steps.last()?;
    if !(goal.threshold.is_finite() && goal.threshold > 0.0) {
        return None;
    }
    let (powers, axis) = (Powers::of(goal.threshold, steps), Axis::of_counts(last.n));
    let legend = Legend::new(entries(goal, steps));
    let words: Vec<String> = powers.ticks().map(power).collect();
    let counts: Vec<String> = axis.ticks().map(|tick| axis.words(tick)).collect();
    let top = legend.height() + 30;
    let plot = Plot {
        powers,
        axis,
        left: widest(&words).max(widest(&counts) / 2) + 14,
        right: WIDTH - widest(&counts) / 2 - 6,
        top,
        bottom: top + HEIGHT,
    };
    Some(draw(title, &describe(goal, steps), plot.bottom + 2 * LINE + 12, |canvas| {
        legend.paint(canvas);
        plot.grid(canvas);
        let level = plot.y(goal.threshold);
        canvas.line(&[(plot.left, level), (plot.right, level)], LIMIT, 2);
        plot.path(canvas, steps);
        plot.figure(canvas, (steps, &shorten(&goal.reached, LONGEST_FIGURE)));
    }))
}

/// The powers of ten that an axis goes from and to, and those between two that are named.
#[derive(Clone, Copy, Debug)]
struct Powers {
    low: i32,
    high: i32,
    step: i32,
}

impl Powers {
    /// Holds 1, where nothing is shown, what is to be reached, and all finite evidence; above it room for certainty.
    fn of(threshold: f64, steps: &[Step]) -> Self {
        let known = steps.iter().map(|step| step.e).chain([1.0, threshold]).filter(|e| e.is_finite() && *e > 0.0);
        let (low, high) = known.map(f64::log10).fold((0.0_f64, 0.0_f64), |(l, h), power| (l.min(power), h.max(power)));
        let (low, high) = (low.floor() as i32, high.ceil() as i32);
        let high = if steps.iter().any(|step| step.e == f64::INFINITY) { high + 1 } else { high.max(low + 1) };
        let step = (high - low + MOST_TICKS - 1) / MOST_TICKS;
        Self { low: low.div_euclid(step) * step, high: -(-high).div_euclid(step) * step, step }
    }

    fn ticks(self) -> impl Iterator<Item = i32> {
        (0..=(self.high - self.low) / self.step).map(move |i| self.low + i * self.step)
    }
}

/// A power of ten in words.
fn power(power: i32) -> String {
    match power {
        0..=4 => format::count(10_u64.pow(power.unsigned_abs())),
        -3..=-1 => format!("{:.1$}", 10_f64.powi(power), power.unsigned_abs() as usize),
        _ => format!("10{}", power.to_string().chars().map(raised).collect::<String>()),
    }
}

fn raised(digit: char) -> char {
    match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => digit.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(digit),
    }
}

struct Plot {
    powers: Powers,
    axis: Axis,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Plot {
    fn x(&self, n: f64) -> i32 {
        self.left + scale((n / self.axis.high).clamp(0.0, 1.0), self.right - self.left)
    }

    /// No evidence at all lies at the bottom, certainty at the top.
    fn y(&self, e: f64) -> i32 {
        let (low, high) = (f64::from(self.powers.low), f64::from(self.powers.high));
        self.bottom - scale((e.log10().clamp(low, high) - low) / (high - low), self.bottom - self.top)
    }

    fn at(&self, step: &Step) -> (i32, i32) {
        (self.x(step.n as f64), self.y(step.e))
    }

    fn grid(&self, canvas: &Canvas) {
        for tick in self.powers.ticks() {
            let y = self.y(10_f64.powi(tick));
            let colour = if tick == 0 { LIMIT } else { GRID };
            canvas.line(&[(self.left, y), (self.right, y)], colour, 1);
            canvas.text((self.left - 10, y), &power(tick), MUTED, HPos::Right);
        }
        for tick in self.axis.ticks() {
            canvas.text((self.x(tick), self.bottom + 16), &self.axis.words(tick), MUTED, HPos::Center);
        }
        let middle = (self.left + self.right) / 2;
        canvas.text((middle, self.bottom + 16 + LINE), "items reviewed", MUTED, HPos::Center);
    }

    fn path(&self, canvas: &Canvas, steps: &[Step]) {
        let points: Vec<(i32, i32)> = steps.iter().map(|step| self.at(step)).collect();
        canvas.line(&thinned(&points), SERIES, 2);
        if let [only] = points[..] {
            Sign::Dot.paint(canvas, only, 4);
            return;
        }
        let mut free = i32::MIN;
        for wrong in wrong(steps) {
            let (x, y) = self.at(wrong);
            if x >= free {
                Sign::Diamond.paint(canvas, (x, y), 2);
                free = x + APART;
            }
        }
    }

    /// What was reached, at the end of the path.
    fn figure(&self, canvas: &Canvas, (steps, words): (&[Step], &str)) {
        let Some((x, y)) = self.clear_of(steps) else { return };
        let half = bold_width(words) / 2;
        canvas.strong_centred((x.clamp(self.left + half, WIDTH - half), y), words);
    }

    /// Above the end of a path; below it where the path comes down to its end and there is room.
    fn clear_of(&self, steps: &[Step]) -> Option<(i32, i32)> {
        let (last, rest) = steps.split_last()?;
        let (x, y) = self.at(last);
        let is_fallen = rest.last().is_some_and(|before| self.at(before).1 < y - FIGURE / 2);
        let is_free = y + FIGURE <= self.bottom - FIGURE / 2;
        Some((x, if is_fallen && is_free { y + FIGURE } else { y - FIGURE }))
    }
}

/// The same drawing with at most four points above each other: where it enters, how low and high it goes, where it
/// leaves.
fn thinned(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut out: Vec<(i32, i32)> = vec![];
    for column in points.chunk_by(|a, b| a.0 == b.0) {
        let heights = || column.iter().map(|point| point.1);
        let ends = [column.first().map(|p| p.1), heights().min(), heights().max(), column.last().map(|p| p.1)];
        for point in column.first().map(|p| p.0).into_iter().flat_map(|x| ends.map(|y| y.map(|y| (x, y)))).flatten() {
            if out.last() != Some(&point) {
                out.push(point);
            }
        }
    }
    out
}

/// The steps whose item is wrong.
fn wrong(steps: &[Step]) -> impl Iterator<Item = &Step> {
    let before = std::iter::once(0).chain(steps.iter().map(|step| step.k));
    steps.iter().zip(before).filter(|(step, before)| step.k > *before).map(|(step, _)| step)
}

fn entries(goal: &Goal, steps: &[Step]) -> Vec<(Sign, String)> {
    let is_path = steps.len() > 1;
    let noun = if is_path { "E after each item, logarithmic" } else { "E at the end, logarithmic" };
    let mut entries = vec![(if is_path { Sign::Box(SERIES) } else { Sign::Dot }, noun.to_owned())];
    entries.push((Sign::Line(2), format!("1/alpha = {}", format::number(Some(goal.threshold)))));
    if is_path && wrong(steps).next().is_some() {
        entries.push((Sign::Diamond, "an item that is wrong".to_owned()));
    }
    entries
}

fn describe(goal: &Goal, steps: &[Step]) -> String {
    let Some(last) = steps.last() else { return format::NO_DATA.into() };
    format!(
        "Line chart on a logarithmic scale. After {} items, {} of them wrong, E is {}; it takes {}.",
        format::count(last.n),
        format::count(last.k),
        goal.reached,
        format::number(Some(goal.threshold))
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{EVIL, assert_harmless, assert_nothing_overlaps, texts};
    use super::*;

    fn goal(reached: &str) -> Goal {
        Goal { threshold: 40.0, reached: reached.into() }
    }

    /// A path of `n` items that grows by a twentieth an item and falls with every tenth.
    fn path(n: u64) -> Vec<Step> {
        let e = |n: u64| (n as f64 * 1.05_f64.ln() + (n / 10) as f64 * 0.3_f64.ln()).exp();
        (1..=n).map(|n| Step { n, k: n / 10, e: e(n) }).collect()
    }

    #[test]
    fn without_items_or_a_goal_there_is_no_drawing() {
        assert!(evidence("t", &goal("0"), &[]).is_none());
        assert!(evidence("t", &Goal::default(), &path(3)).is_none());
    }

    #[test]
    fn text_never_overlaps_however_long_or_low_the_path_is() {
        for n in [1, 2, 9, 11, 56, 800, 20_000] {
            assert_nothing_overlaps(&evidence("t", &goal("1.23456e-9"), &path(n)).unwrap());
        }
        let certain = [Step { n: 1_234_567, k: 0, e: f64::INFINITY }];
        assert_nothing_overlaps(&evidence("t", &goal("certain"), &certain).unwrap());
    }

    #[test]
    fn the_figure_stands_clear_of_a_path_that_falls_at_its_end() {
        let below = |steps: &[Step]| {
            let (powers, axis) = (Powers::of(40.0, steps), Axis::of_counts(20));
            let plot = Plot { powers, axis, left: 40, right: 600, top: 50, bottom: 50 + HEIGHT };
            plot.clear_of(steps).unwrap().1 - plot.at(steps.last().unwrap()).1
        };
        assert_eq!((below(&path(20)), below(&path(19)), below(&path(1))), (FIGURE, -FIGURE, -FIGURE));
        let nothing = [Step { n: 1, k: 0, e: 1.1 }, Step { n: 2, k: 2, e: 0.0 }];
        assert_eq!(below(&nothing), -FIGURE, "at the bottom there is the axis");
    }

    #[test]
    fn a_long_path_draws_a_few_points_for_each_place_and_keeps_its_extremes() {
        let points: Vec<(i32, i32)> = (0..1_000).map(|i| (i / 100, (i * 37) % 101)).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= 40);
        for x in 0..10 {
            let range = |all: &[(i32, i32)]| {
                let heights = || all.iter().filter(|p| p.0 == x).map(|p| p.1);
                (heights().min(), heights().max())
            };
            assert_eq!(range(&thin), range(&points));
        }
    }

    #[test]
    fn the_scale_holds_nothing_and_certainty() {
        let steps = [Step { n: 1, k: 1, e: 0.0 }, Step { n: 2, k: 1, e: f64::INFINITY }];
        let powers = Powers::of(40.0, &steps);
        assert_eq!((powers.low, powers.high, powers.ticks().count()), (0, 3, 4));
        let low = Powers::of(40.0, &[Step { n: 1, k: 1, e: 1e-45 }]);
        assert!(low.low <= -45 && low.high >= 2 && low.ticks().any(|tick| tick == 0));
        assert_eq!([-12, -2, 0, 4, 15].map(power), ["10⁻¹²", "0.01", "1", "10,000", "10¹⁵"]);
    }

    #[test]
    fn wrong_items_are_marked_and_hostile_words_stay_text() {
        let words = |n: u64| texts(&evidence("t", &goal("2"), &path(n)).unwrap());
        assert!(words(10).contains(&"an item that is wrong".to_string()));
        assert!(!words(9).contains(&"an item that is wrong".to_string()));
        let svg = evidence(EVIL, &goal(EVIL), &path(12)).unwrap();
        assert!(svg.as_str().contains("After 12 items, 1 of them wrong"));
        assert_harmless(&svg);
    }
}
