//! Two counts over time, next to each other.

use plotters::style::text_anchor::HPos;

use super::trend::LONGEST_PERIOD;
use crate::report::canvas::{Axis, Frame, INK, LINE, Legend, PALE, SERIES, Sign, draw, scale, shorten, text_width};
use crate::report::document::Svg;
use crate::report::format;

/// A whole and a part of it in one period; none leaves a gap.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// The period, as the axis prints it.
    pub label: String,
    /// The whole, then the part.
    pub counts: Option<(u64, u64)>,
}

/// A whole (pale) beside its part (dark) over time. `names` are the words for whole and part.
pub fn columns(title: &str, names: (&str, &str), pairs: &[Pair]) -> Option<Svg> {
    if pairs.iter().all(|p| p.counts.is_none()) {
        return None;
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
    Some(draw(title, &describe(names, pairs), frame.bottom + LINE + 8, |canvas| {
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
    }))
}

fn describe(names: (&str, &str), pairs: &[Pair]) -> String {
    let item = |pair: &Pair| match pair.counts {
        Some((whole, part)) => {
            format!("{}: {} {}, {} {}", pair.label, format::count(whole), names.0, format::count(part), names.1)
        }
        None => format!("{}: {}", pair.label, format::NO_DATA),
    };
    format!("{}.", pairs.iter().map(item).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_nothing_overlaps;
    use super::*;

    #[test]
    fn without_data_there_is_no_drawing() {
        assert!(columns("t", ("a", "b"), &[]).is_none() && columns("t", ("a", "b"), &[Pair::default()]).is_none());
    }

    #[test]
    fn text_never_overlaps_whatever_the_number_of_periods() {
        for count in [1, 6, 14, 60, 200] {
            let pairs: Vec<Pair> =
                (0..count).map(|i| Pair { label: format!("2026-W{i:02}"), counts: Some((12_345, 999)) }).collect();
            assert_nothing_overlaps(&columns("t", ("reviewed", "with exception"), &pairs).unwrap());
        }
    }
}
