//! Axes: from values to round ticks, and from ticks to words.
//!
//! In: the values to be shown. Out: ends, step and words of an axis. Invariant: it holds every value, and it
//! leaves zero only where nothing could be seen otherwise, which it then says.

use crate::report::format;

/// A vertical axis whose ticks are round numbers.
pub(in crate::report) struct Axis {
    pub low: f64,
    pub high: f64,
    step: f64,
    scale: Scale,
}

/// What the ticks of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Fractions, as percentages.
    Rate,
    /// Differences of fractions, as percentage points.
    Points,
    /// Plain numbers.
    Plain,
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
        Self { low: bottom, high: top.min(1.0), step, scale: Scale::Rate }
    }

    pub fn of_counts(most: u64) -> Self {
        let most = most.max(1) as f64;
        let step = round_step(most / 5.0).max(1.0);
        Self { low: 0.0, high: (most / step).ceil() * step, step, scale: Scale::Plain }
    }

    /// From zero to one.
    pub fn whole() -> Self {
        Self { low: 0.0, high: 1.0, step: 0.2, scale: Scale::Rate }
    }

    /// From one round number to another, with `low` and `high` between them.
    pub fn of_range(low: f64, high: f64, scale: Scale) -> Self {
        let step = round_step((high - low).max(1e-6) / 6.0);
        let (bottom, top) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        Self { low: bottom, high: top.max(bottom + step), step, scale }
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
        let decimals = |step: f64| (-step.log10() - 1e-9).ceil().max(0.0) as usize;
        let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
        match self.scale {
            Scale::Plain if self.step >= 1.0 => format::count(value.round() as u64),
            Scale::Plain => format!("{value:.0$}", decimals(self.step)),
            Scale::Rate => format!("{:.1$}\u{a0}%", value * 100.0, decimals(self.step * 100.0)),
            Scale::Points if value > 0.0 => format!("+{:.1$}", value * 100.0, decimals(self.step * 100.0)),
            Scale::Points => format!("{:.1$}", value * 100.0, decimals(self.step * 100.0)).replace('-', "\u{2212}"),
        }
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= raw * (1.0 - 1e-9)).unwrap_or(10.0 * power)
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
                assert!(axis.low <= low + 1e-9 && high <= axis.high + 1e-9 && axis.high <= 1.0, "{low} to {high}");
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
    fn a_range_holds_its_ends_and_has_a_few_ticks() {
        for (low, high) in [(-0.31, 0.04), (0.0, 2.0), (0.62, 1.1), (-0.001, 0.001), (0.0, 0.0)] {
            let axis = Axis::of_range(low, high, Scale::Points);
            assert!(axis.low <= low + 1e-9 && high <= axis.high + 1e-9, "{low} to {high}");
            assert!((2..=9).contains(&axis.ticks().count()), "{} ticks for {low} to {high}", axis.ticks().count());
        }
        let axis = Axis::of_range(-0.3, 0.1, Scale::Points);
        let words: Vec<String> = axis.ticks().map(|t| axis.words(t)).collect();
        assert_eq!(words, ["\u{2212}30", "\u{2212}20", "\u{2212}10", "0", "+10"]);
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
}
