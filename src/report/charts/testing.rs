//! What the tests of the charts share: points, and the search for text that touches.

use super::Point;
use crate::report::canvas::{FONT_SIZE, WIDTH, text_width};
use crate::report::document::Svg;

pub(super) fn point(label: &str, value: f64, denominator: u64) -> Point {
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

pub(super) fn many(count: usize) -> Vec<Point> {
    (0..count).map(|i| point(&format!("2026-W{i:02}"), 0.3 + 0.01 * (i % 7) as f64, 200)).collect()
}

pub(super) fn texts(svg: &Svg) -> Vec<String> {
    let inside = svg.as_str().split("<text").skip(1);
    inside.filter_map(|t| Some(t.split_once('>')?.1.split_once("</text>")?.0.trim().to_string())).collect()
}

/// Centre, line and text of everything written, to find what touches.
fn boxes(svg: &Svg) -> Vec<(i32, i32, i32)> {
    let attribute = |tag: &str, name: &str| -> i32 {
        tag.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split('"').next()?.parse().ok()).unwrap_or(0)
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

pub(super) fn assert_nothing_overlaps(svg: &Svg) {
    let boxes = boxes(svg);
    for (i, a) in boxes.iter().enumerate() {
        assert!(a.0 >= 0 && a.1 <= WIDTH + 1, "text leaves the drawing: {:?}", texts(svg)[i]);
        for (j, b) in boxes.iter().enumerate().skip(i + 1) {
            let apart = a.1 <= b.0 || b.1 <= a.0 || (a.2 - b.2).abs() >= FONT_SIZE;
            assert!(apart, "{:?} touches {:?}", texts(svg)[i], texts(svg)[j]);
        }
    }
}

/// Text that tries to be markup, or to deceive.
pub(super) const EVIL: &str = "</text><script>alert(1)</script>\" font-size=\"1\" \u{202e}";

pub(super) fn assert_harmless(svg: &Svg) {
    assert!(!svg.as_str().contains("<script") && !svg.as_str().contains('\u{202e}'));
}

#[test]
fn hostile_labels_stay_text() {
    let bar = super::Bar { label: EVIL.into(), count: 3, share: Some(0.5) };
    let pair = super::Pair { label: EVIL.into(), counts: Some((1, 1)) };
    let points = vec![point(EVIL, 0.5, 99)];
    let series = super::Series { label: EVIL.into(), points: points.clone() };
    for svg in [
        super::bars(EVIL, std::slice::from_ref(&bar)),
        super::mix(EVIL, &[bar]),
        super::columns(EVIL, (EVIL, EVIL), &[pair]),
        super::trend(EVIL, EVIL, &points),
        super::multiples(EVIL, &[series]),
    ] {
        assert_harmless(&svg.unwrap());
    }
}
