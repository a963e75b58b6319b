//! Two shares of each thing on one line: how much more frequent is it in a part than in the whole?

use plotters::style::text_anchor::HPos;

use crate::report::canvas::{
    Axis, BAND, GRID, INK, LINE, LONGEST_LABEL, Legend, MUTED, Sign, WIDTH, draw, scale, shorten, text_width, widest,
};
use crate::report::document::Svg;
use crate::report::format;

/// A thing, and how frequent it is.
#[derive(Clone, Debug, Default)]
pub struct Contrast {
    /// What it is.
    pub label: String,
    /// Printed below its name.
    pub note: String,
    /// Its share in the part, a fraction.
    pub part: f64,
    /// Its share in the whole, a fraction.
    pub whole: f64,
    /// The difference may be chance: drawn hollow.
    pub is_doubtful: bool,
    /// Printed at the end of the row.
    pub end: String,
}

const ROW: i32 = 2 * LINE + 8;
const LONGEST_NAME: i32 = LONGEST_LABEL + 40;

/// A row per thing from its share in the whole (a stroke) to that in the part (a dot). `names` are the words for part
/// and whole. None without rows.
pub fn contrast(title: &str, names: (&str, &str), rows: &[Contrast]) -> Option<Svg> {
    if rows.is_empty() {
        return None;
    }
    let axis = Axis::whole();
    let legend = Legend::new(entries(names, rows));
    let labels: Vec<String> = rows.iter().map(|r| shorten(&r.label, LONGEST_NAME)).collect();
    let notes: Vec<String> = rows.iter().map(|r| shorten(&r.note, LONGEST_NAME)).collect();
    let ends: Vec<String> = rows.iter().map(|r| shorten(&r.end, LONGEST_LABEL / 2)).collect();
    let tick = axis.ticks().map(|t| text_width(&axis.words(t))).max().unwrap_or(0);
    let edge = widest(&labels).max(widest(&notes));
    let (left, right) = (edge + 14 + tick / 2, WIDTH - (widest(&ends) + 14).max(tick / 2 + 2));
    let top = legend.height() + 10;
    let bottom = top + rows.len() as i32 * ROW;
    let x = |share: f64| left + scale(share.clamp(0.0, 1.0), right - left);
    Some(draw(title, &describe(names, rows), bottom + LINE + 12, |canvas| {
        legend.paint(canvas);
        for share in axis.ticks() {
            canvas.line(&[(x(share), top), (x(share), bottom)], GRID, 1);
            canvas.text((x(share), bottom + 14), &axis.words(share), MUTED, HPos::Center);
        }
        for (i, row) in rows.iter().enumerate() {
            let y = top + i as i32 * ROW + ROW / 2;
            canvas.text((edge, y - LINE / 2), &labels[i], INK, HPos::Right);
            canvas.text((edge, y + LINE / 2), &notes[i], MUTED, HPos::Right);
            // A font wider than the one that was measured grows into the gap, and is not cut off.
            canvas.text((WIDTH, y), &ends[i], INK, HPos::Right);
            let (from, to) = (x(row.whole.min(row.part)), x(row.whole.max(row.part)));
            canvas.rect((from, y - 3), (to.max(from + 1), y + 3), BAND);
            Sign::Tick.paint(canvas, (x(row.whole), y), 4);
            let dot = if row.is_doubtful { Sign::Hollow } else { Sign::Dot };
            dot.paint(canvas, (x(row.part), y), 5);
        }
    }))
}

fn entries((part, whole): (&str, &str), rows: &[Contrast]) -> Vec<(Sign, String)> {
    let mut entries = Vec::new();
    if rows.iter().any(|r| !r.is_doubtful) {
        entries.push((Sign::Dot, part.to_owned()));
    }
    if rows.iter().any(|r| r.is_doubtful) {
        entries.push((Sign::Hollow, format!("{part}, may be chance")));
    }
    entries.push((Sign::Tick, whole.to_owned()));
    entries
}

fn describe((part, whole): (&str, &str), rows: &[Contrast]) -> String {
    let one = |row: &Contrast| {
        let share = |share: f64| format::percent(Some(share));
        let doubt = if row.is_doubtful { ", may be chance" } else { "" };
        format!("{} ({}): {} {part}, {} {whole}{doubt}", row.label, row.note, share(row.part), share(row.whole))
    };
    format!("{}.", rows.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{EVIL, assert_harmless, assert_nothing_overlaps, texts};
    use super::*;

    const NAMES: (&str, &str) = ("among the bad actions", "among all");

    fn row(label: &str, part: f64, whole: f64) -> Contrast {
        Contrast {
            label: label.into(),
            note: "rule version".into(),
            part,
            whole,
            end: "× 12.5".into(),
            ..Contrast::default()
        }
    }

    #[test]
    fn without_rows_there_is_no_drawing() {
        assert!(contrast("t", NAMES, &[]).is_none());
    }

    #[test]
    fn text_never_overlaps_however_long_the_names_are() {
        let long = "a-version-with-a-rather-long-name-that-nobody-would-give-to-a-version";
        for rows in [vec![row("a", 1.0, 0.0)], vec![row(long, 0.02, 0.01), row("b", 1.0, 1.0), row("", 0.0, 0.0)]] {
            assert_nothing_overlaps(&contrast("t", NAMES, &rows).unwrap());
        }
    }

    #[test]
    fn a_doubt_is_told_in_words_and_hostile_labels_stay_text() {
        let sure = contrast("t", NAMES, &[row("a", 0.5, 0.1)]).unwrap();
        assert!(!texts(&sure).iter().any(|text| text.contains("chance")));
        let doubtful = Contrast { is_doubtful: true, ..row(EVIL, 0.5, 0.1) };
        let svg = contrast(EVIL, (EVIL, EVIL), &[doubtful]).unwrap();
        assert!(svg.as_str().contains("50.0") && svg.as_str().contains("may be chance"));
        assert_harmless(&svg);
    }
}
