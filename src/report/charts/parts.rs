//! A whole and its parts: bars beneath each other, or one bar divided.

use std::ops::Range;

use plotters::style::text_anchor::HPos;

use crate::report::canvas::{
    INK, LIMIT, LINE, LONGEST_LABEL, MUTED, PARTS, SERIES, WIDTH, bold_width, draw, flow, scale, shorten, text_width,
    widest,
};
use crate::report::document::Svg;
use crate::report::format;

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

/// Counts of kinds as horizontal bars, in the order given, with count and share at each bar's end.
pub fn bars(title: &str, bars: &[Bar]) -> Option<Svg> {
    const ROW: i32 = 32;
    if bars.is_empty() {
        return None;
    }
    let ends: Vec<String> = bars.iter().map(count_and_share).collect();
    let labels: Vec<String> = bars.iter().map(|b| shorten(&b.label, LONGEST_LABEL)).collect();
    let left = widest(&labels) + 14;
    let room = WIDTH - left - widest(&ends) - 16;
    let most = bars.iter().map(|b| b.count).max().unwrap_or(0).max(1);
    let height = bars.len() as i32 * ROW + 8;
    Some(draw(title, &describe_parts(bars, &ends), height, |canvas| {
        canvas.line(&[(left, 0), (left, height)], LIMIT, 1);
        for (i, bar) in bars.iter().enumerate() {
            let middle = i as i32 * ROW + ROW / 2 + 4;
            let length = scale(bar.count as f64 / most as f64, room).max(i32::from(bar.count > 0) * 2);
            canvas.text((left - 10, middle), &labels[i], INK, HPos::Right);
            canvas.rect((left, middle - 10), (left + length, middle + 10), SERIES);
            canvas.text((left + length + 8, middle), &ends[i], INK, HPos::Left);
        }
    }))
}

/// How a whole divides: one bar of full width, each part named beneath its segment. Six parts have a
/// look of their own; the caller joins what goes beyond.
pub fn mix(title: &str, parts: &[Bar]) -> Option<Svg> {
    const BAR: (i32, i32) = (4, 52);
    const KEY: i32 = 24;
    let total: u64 = parts.iter().map(|p| p.count).sum();
    if total == 0 {
        return None;
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
    Some(draw(title, &describe_parts(&parts, &ends), height, |canvas| {
        for (i, segment) in segments.iter().enumerate().filter(|(_, s)| !s.is_empty()) {
            canvas.patterned((segment.start, BAR.0), (segment.end, BAR.1), PARTS[i % PARTS.len()]);
        }
        for (i, (x, row)) in places.into_iter().enumerate() {
            let y = BAR.1 + 24 + row * (2 * LINE + 12);
            canvas.patterned((x, y - 7), (x + 15, y + 8), PARTS[i % PARTS.len()]);
            canvas.strong((x + KEY, y), &names[i]);
            canvas.text((x + KEY, y + LINE), &ends[i], MUTED, HPos::Left);
        }
    }))
}

fn describe_parts(bars: &[Bar], ends: &[String]) -> String {
    let items: Vec<String> = bars.iter().zip(ends).map(|(bar, end)| format!("{}: {end}", bar.label)).collect();
    format!("{}.", items.join("; "))
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
    use super::super::testing::assert_nothing_overlaps;
    use super::*;

    #[test]
    fn without_data_there_is_no_drawing() {
        assert!(bars("t", &[]).is_none() && mix("t", &[]).is_none());
        assert!(mix("t", &[Bar { label: "approved".into(), ..Bar::default() }]).is_none());
    }

    #[test]
    fn names_of_a_mix_never_overlap_even_when_parts_are_tiny() {
        let words =
            ["approved", "approved with changes", "rejected", "escalated", "expired", "withdrawn by the proposer"];
        for counts in [[1, 1, 1, 1, 1, 99_999], [99_999, 1, 1, 1, 1, 1], [5, 0, 0, 0, 0, 0], [7, 7, 7, 7, 7, 7]] {
            let parts: Vec<Bar> =
                words.iter().zip(counts).map(|(l, count)| Bar { label: (*l).into(), count, share: None }).collect();
            assert_nothing_overlaps(&mix("t", &parts).unwrap());
            let ends = segments(&parts, counts.iter().sum());
            assert_eq!(ends.last().map(|s| s.end), Some(WIDTH));
            assert!(ends.iter().zip(counts).all(|(s, count)| s.is_empty() == (count == 0)));
        }
    }
}
