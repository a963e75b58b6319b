//! Confidence against the share that was right: on the rising line, confidence is worth its name.

use plotters::style::text_anchor::HPos;

use crate::report::canvas::{Axis, Frame, INK, LIMIT, LINE, Legend, MUTED, SERIES, Sign, draw, scale};
use crate::report::document::Svg;
use crate::report::format::{self, SMALL_SAMPLE};

/// The answers of one range of confidence.
#[derive(Clone, Debug, Default)]
pub struct Bin {
    /// Where the range begins, a fraction.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Mean confidence of the answers in it; none when it is empty.
    pub confidence: Option<f64>,
    /// Share that was right; none when it is empty.
    pub value: Option<f64>,
    /// 95 % interval of that share.
    pub interval: Option<(f64, f64)>,
    /// How many were right.
    pub correct: u64,
    /// How many there are.
    pub count: u64,
}

/// A point per range at its mean confidence, with its interval and, below, how many answers it rests on.
pub fn reliability(title: &str, bins: &[Bin]) -> Option<Svg> {
    if bins.iter().all(|b| b.value.is_none()) {
        return None;
    }
    let axis = Axis::whole();
    let small = |b: &Bin| b.value.is_some() && b.count < SMALL_SAMPLE;
    let mut entries = vec![
        (Sign::Dot, "share that was right".to_owned()),
        (Sign::Whisker, "95 % interval".to_owned()),
        (Sign::Ray, "right as often as confident".to_owned()),
    ];
    if bins.iter().any(small) {
        entries.insert(1, (Sign::Hollow, "small sample (n under 30)".to_owned()));
    }
    let legend = Legend::new(entries);
    let labels: Vec<String> = bins.iter().map(|b| format!("{:.0}–{:.0}", b.from * 100.0, b.to * 100.0)).collect();
    let sizes: Vec<String> = bins.iter().map(|b| format::count(b.count)).collect();
    let mut frame = Frame::new(&legend, &axis, &labels);
    frame.bottom += 80;
    let x = |confidence: f64| frame.left + scale(confidence.clamp(0.0, 1.0), frame.right - frame.left);
    Some(draw(title, &describe(bins), frame.bottom + 3 * LINE + 10, |canvas| {
        legend.paint(canvas);
        frame.grid(canvas, &axis);
        canvas.line(&[(frame.left, frame.bottom), (frame.right, frame.y(&axis, 1.0))], LIMIT, 2);
        frame.labels(canvas, &labels, 0);
        frame.labels(canvas, &sizes, 1);
        canvas.text((frame.left - 10, frame.bottom + 16 + LINE), "n", MUTED, HPos::Right);
        let middle = (frame.left + frame.right) / 2;
        canvas.text((middle, frame.bottom + 18 + 2 * LINE), "confidence given by the agent, %", MUTED, HPos::Center);
        for bin in bins {
            let Some((confidence, value)) = bin.confidence.zip(bin.value) else { continue };
            let at = (x(confidence), frame.y(&axis, value));
            if let Some((low, high)) = bin.interval {
                let ends = [low, high].map(|bound| (at.0, frame.y(&axis, bound)));
                canvas.line(&ends, SERIES, 1);
                for (x, y) in ends {
                    canvas.line(&[(x - 5, y), (x + 5, y)], SERIES, 1);
                }
            }
            let sign = if small(bin) { Sign::Hollow } else { Sign::Dot };
            sign.paint(canvas, at, 4);
            if small(bin) {
                canvas.text((at.0 + 9, at.1), &format!("{}/{}", bin.correct, bin.count), INK, HPos::Left);
            }
        }
    }))
}

fn describe(bins: &[Bin]) -> String {
    let one = |b: &Bin| {
        let range = format!("confidence {:.0} to {:.0} %", b.from * 100.0, b.to * 100.0);
        match b.value {
            Some(_) => format!("{range}: {} right, {}", format::of(b.correct, b.count), format::percent(b.value)),
            None => format!("{range}: {}", format::NO_DATA),
        }
    };
    format!("{}.", bins.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_nothing_overlaps, texts};
    use super::*;

    fn bins(counts: [u64; 10]) -> Vec<Bin> {
        let bin = |(i, count): (usize, u64)| {
            let (from, share) = (i as f64 / 10.0, (i as f64 + 0.3) / 10.0);
            let known = (count > 0).then_some(share);
            let interval = known.map(|v| (v - 0.1, v + 0.1));
            let correct = (share * count as f64).round() as u64;
            Bin { from, to: from + 0.1, confidence: known.map(|v| v + 0.02), value: known, interval, correct, count }
        };
        counts.into_iter().enumerate().map(bin).collect()
    }

    #[test]
    fn empty_ranges_are_gaps_and_only_empty_ones_no_drawing() {
        assert!(reliability("t", &bins([0; 10])).is_none() && reliability("t", &[]).is_none());
        let svg = reliability("t", &bins([0, 0, 0, 0, 0, 3, 40, 90, 900, 12_345])).unwrap();
        assert!(svg.as_str().contains("confidence 0 to 10 %: no data"));
        assert!(texts(&svg).contains(&"small sample (n under 30)".to_string()));
        assert_nothing_overlaps(&svg);
    }
}
