//! Charts: numbers in, one SVG drawing out, each kind for one question: [`trend`] (is the rate moving, and
//! more than by chance?), [`multiples`] (which of several rates is moving?), [`bars`] (which kinds are
//! frequent?), [`mix`] (how does a whole divide?), [`columns`] (how much was there, and how much of it
//! mattered?), [`reliability`] (is confidence worth its name?), [`forest`] (which value differs from the line
//! of reference by more than chance?), [`contrast`] (what is more frequent in a part than in the whole?),
//! [`evidence`] (how strong has it become, and is that enough?).
//!
//! In: counts and fractions with their labels. Out: an [`Svg`](super::document::Svg) with its title and a
//! description of the data, which takes font and dark colours from the page's style sheet; none when there is
//! nothing to draw. Invariant: what has no data is a gap, never a zero, and nothing is told by colour alone.
//! Pure; it must not compute a statistic: a division here is a place on an axis.

mod columns;
mod contrast;
mod evidence;
mod forest;
mod multiples;
mod parts;
mod reliability;
#[cfg(test)]
mod testing;
mod trend;

use std::ops::Range;

use super::format::{self, SMALL_SAMPLE};

pub use super::canvas::Scale;
pub use columns::{Pair, columns};
pub use contrast::{Contrast, contrast};
pub use evidence::{Goal, Step, evidence};
pub use forest::{Forest, Line, Stretch, forest};
pub use multiples::{Series, multiples};
pub use parts::{Bar, bars, mix};
pub use reliability::{Bin, reliability};
pub use trend::trend;

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
    /// What is expected, a fraction.
    pub centre: Option<f64>,
    /// Control limits of this point, fractions.
    pub limits: Option<(f64, f64)>,
    /// Control limits that allow for more spread between periods than chance alone gives.
    pub wide_limits: Option<(f64, f64)>,
    /// Whether the query found it to be more than chance: marked.
    pub is_signal: bool,
}

impl Point {
    fn interval(&self) -> Option<(f64, f64)> {
        self.value.and(self.low.zip(self.high))
    }

    fn is_small(&self) -> bool {
        self.denominator < SMALL_SAMPLE
    }

    fn is_hollow(&self) -> bool {
        self.is_small() || self.is_immature
    }

    /// What is written at it: the percentage, or the counts of a small sample.
    fn figure(&self) -> String {
        format::rate(self.numerator, self.denominator, self.value).0
    }
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
