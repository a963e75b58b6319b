//! Growth with the size of the log: lines of measurements become a plot beside them.
//!
//! Both axes are logarithmic, so that time in proportion to the log rises by one decade a decade and a look-up that
//! does not depend on it is level.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Ask;

const SIZE: (u32, u32) = (900, 560);
/// Least distance of two labels at the right, in pixels.
const LABEL_HEIGHT: i32 = 17;
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x0b, 0x4f, 0x8a),
    RGBColor(0xb8, 0x48, 0x0a),
    RGBColor(0x7d, 0x5b, 0xa6),
    RGBColor(0x2e, 0x7d, 0x4f),
    RGBColor(0x52, 0x60, 0x6d),
    RGBColor(0x9c, 0x2b, 0x5a),
];

/// Median milliseconds by number of events, of each work.
type Curves = BTreeMap<String, BTreeMap<u64, f64>>;

/// Draws the lines of `--file` that name events and a median into an SVG of the same name.
pub fn plot(ask: &Ask) {
    let Some(path) = &ask.file else { return eprintln!("name the measurements with --file") };
    let text = std::fs::read_to_string(path).expect("the measurements");
    let mut curves = Curves::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let (name, events, median) = (line["name"].as_str(), line["events"].as_u64(), line["median_ms"].as_f64());
        let (Some(name), Some(events), Some(median)) = (name, events, median) else { continue };
        if ask.wants(name) && line.get("error").is_none() {
            curves.entry(name.to_owned()).or_default().insert(events, median);
        }
    }
    let out = path.with_extension("svg");
    draw(&curves, &out).expect("a plot");
    eprintln!("{}: {} curves", out.display(), curves.len());
}

fn draw(curves: &Curves, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curves.values().flatten();
    let (least, most) = (points().map(|p| *p.0).min().unwrap_or(1), points().map(|p| *p.0).max().unwrap_or(10));
    let slowest = points().map(|p| *p.1).fold(10.0, f64::max);
    let area = SVGBackend::new(out, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let caption = "Median time by size of the log (milliseconds, both axes logarithmic)";
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(16)
        .margin_right(190)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((least as f64..most as f64).log_scale(), (1.0..slowest * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("events")
        .x_label_formatter(&|events| if events.log10().fract() == 0.0 { millions(*events) } else { String::new() })
        .y_label_formatter(&|ms| if *ms >= 1000.0 { format!("{} s", ms / 1000.0) } else { format!("{ms} ms") })
        .light_line_style(WHITE)
        .draw()?;
    let mut ends = Vec::new();
    for ((name, curve), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<(f64, f64)> = curve.iter().map(|(events, ms)| (*events as f64, *ms)).collect();
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        if let Some(last) = points.last() {
            ends.push((chart.backend_coord(last), name, *colour));
        }
    }
    label(&area, ends)?;
    area.present()?;
    Ok(())
}

fn millions(events: f64) -> String {
    if events >= 1e6 { format!("{} M", events / 1e6) } else { format!("{events}") }
}

/// Names the curves at their ends, top to bottom, none over another.
fn label(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    mut ends: Vec<((i32, i32), &String, RGBColor)>,
) -> Result<(), Box<dyn std::error::Error>> {
    ends.sort_by_key(|((_, y), _, _)| *y);
    let mut free = 0;
    for ((x, y), name, colour) in ends {
        let at = y.max(free);
        free = at + LABEL_HEIGHT;
        let style = ("sans-serif", 14).into_font().color(&colour).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.clone(), (x + 10, at), style))?;
    }
    Ok(())
}
