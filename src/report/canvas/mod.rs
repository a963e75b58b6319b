//! The surface charts are drawn on: ink, patterns, text, legend and the frame of a plot.
//!
//! In: shapes in drawing units (pixels at full width). Out: an [`Svg`] that scales with its box, takes
//! its font and its dark colours from the page, and carries a title and a description. Invariant: text
//! is measured before it is placed, so that nothing touches and nothing leaves the drawing. It must not
//! know what the numbers mean: that is `charts`.

mod axis;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::document::Svg;
use crate::report::{format, html};

pub(super) use axis::Axis;
pub use axis::Scale;

pub(super) const WIDTH: i32 = 840;
pub(super) const FONT_SIZE: i32 = 14;
pub(super) const LINE: i32 = 20;
/// Longer names are cut; the table beside a chart has them in full.
pub(super) const LONGEST_LABEL: i32 = 250;
const PLOT_HEIGHT: i32 = 200;

// The style sheet replaces each of these by a variable, so that dark mode can differ.
pub(super) const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
pub(super) const MUTED: RGBColor = RGBColor(0x52, 0x60, 0x6d);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub(super) const SERIES: RGBColor = RGBColor(0x0b, 0x4f, 0x8a);
pub(super) const BAND: RGBColor = RGBColor(0xcf, 0xe0, 0xf0);
pub(super) const PALE: RGBColor = RGBColor(0x72, 0x9d, 0xc8);
pub(super) const LIMIT: RGBColor = RGBColor(0x7b, 0x87, 0x94);
pub(super) const ALARM: RGBColor = RGBColor(0xb8, 0x48, 0x0a);
pub(super) const AMBER: RGBColor = RGBColor(0xf2, 0xd3, 0x8f);
pub(super) const PLUM: RGBColor = RGBColor(0x7d, 0x5b, 0xa6);
pub(super) const SILVER: RGBColor = RGBColor(0xd5, 0xda, 0xe0);

/// Fill, pattern and colour of the pattern of the parts of a mix: the patterns differ so that black
/// and white is enough, the fills differ in lightness as well as in hue.
pub(super) const PARTS: [(RGBColor, Pattern, RGBColor); 6] = [
    (SERIES, Pattern::Plain, PAPER),
    (PALE, Pattern::Rising, PAPER),
    (ALARM, Pattern::Falling, PAPER),
    (AMBER, Pattern::Upright, INK),
    (PLUM, Pattern::Level, PAPER),
    (SILVER, Pattern::Crossed, INK),
];

#[derive(Clone, Copy)]
pub(super) enum Pattern {
    Plain,
    Rising,
    Falling,
    Upright,
    Level,
    Crossed,
}

/// The backend writes to a `String`, where no draw call can fail: results are dropped in this type
/// and nowhere else.
pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl Canvas<'_> {
    pub fn line(&self, path: &[(i32, i32)], colour: RGBColor, width: u32) {
        if path.len() > 1 {
            let _ = self.0.draw(&PathElement::new(path, colour.stroke_width(width)));
        }
    }

    pub fn fill(&self, outline: Vec<(i32, i32)>, colour: RGBColor) {
        let _ = self.0.draw(&Polygon::new(outline, colour));
    }

    pub fn rect(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        let _ = self.0.draw(&Rectangle::new([from, to], colour.filled()));
    }

    pub fn circle(&self, centre: (i32, i32), radius: i32, colour: RGBColor) {
        let _ = self.0.draw(&Circle::new(centre, radius, colour.filled()));
    }

    pub fn text(&self, at: (i32, i32), words: &str, colour: RGBColor, anchor: HPos) {
        self.write(at, words, colour, (anchor, FontStyle::Normal));
    }

    pub fn strong(&self, at: (i32, i32), words: &str) {
        self.write(at, words, INK, (HPos::Left, FontStyle::Bold));
    }

    pub fn strong_centred(&self, at: (i32, i32), words: &str) {
        self.write(at, words, INK, (HPos::Center, FontStyle::Bold));
    }

    /// `at` is the middle of the line's height.
    fn write(&self, at: (i32, i32), words: &str, colour: RGBColor, (anchor, weight): (HPos, FontStyle)) {
        let font = FontDesc::new(FontFamily::SansSerif, 1.24, weight);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(anchor, VPos::Center));
        let _ = self.0.draw(&Text::new(format::visible(words), at, style));
    }

    pub fn patterned(&self, from: (i32, i32), to: (i32, i32), (fill, pattern, lines): (RGBColor, Pattern, RGBColor)) {
        self.rect(from, to, fill);
        for path in hatch(from, to, pattern) {
            self.line(&path, lines, 1);
        }
        // A seam keeps neighbours apart whatever their colours.
        self.line(&[(to.0, from.1), (to.0, to.1)], PAPER, 2);
    }
}

/// Lines of a pattern, clipped to a box.
fn hatch(from: (i32, i32), to: (i32, i32), pattern: Pattern) -> Vec<[(i32, i32); 2]> {
    const GAP: usize = 6;
    let ((x0, y0), (x1, y1)) = (from, to);
    let slanted = |rises: bool| {
        let height = y1 - y0;
        let starts = (x0 - height..x1).step_by(GAP).map(move |c| (c.max(x0), (c + height).min(x1), c));
        starts.filter(|(a, b, _)| a < b).map(move |(a, b, c)| {
            let y = |x: i32| if rises { y1 - (x - c) } else { y0 + (x - c) };
            [(a, y(a)), (b, y(b))]
        })
    };
    match pattern {
        Pattern::Plain => vec![],
        Pattern::Rising => slanted(true).collect(),
        Pattern::Falling => slanted(false).collect(),
        Pattern::Crossed => slanted(true).chain(slanted(false)).collect(),
        Pattern::Upright => (x0 + 3..x1).step_by(GAP).map(|x| [(x, y0), (x, y1)]).collect(),
        Pattern::Level => (y0 + 3..y1).step_by(GAP).map(|y| [(x0, y), (x1, y)]).collect(),
    }
}

pub(super) fn draw(title: &str, description: &str, height: i32, paint: impl FnOnce(&Canvas)) -> Svg {
    let mut raw = String::new();
    paint(&Canvas(SVGBackend::with_string(&mut raw, (WIDTH as u32, height.max(1) as u32)).into_drawing_area()));
    dress(&raw, (title, description), height)
}

/// Makes the backend's output a part of a page: scales with its box, takes the page's font, has a name
/// and a description. The attributes removed cannot occur in text, where quotes are escaped.
fn dress(raw: &str, (title, description): (&str, &str), height: i32) -> Svg {
    let body = raw.split_once('>').map_or("", |(_, body)| body);
    let body = [" font-family=\"sans-serif\"", " font-size=\"1\"", " opacity=\"1\"", " stroke=\"none\""]
        .iter()
        .fold(body.to_string(), |text, attribute| text.replace(attribute, ""));
    Svg(format!(
        "<svg class=\"chart\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"100%\" font-family=\"sans-serif\" font-size=\"{FONT_SIZE}\">\n<title>{}</title>\n<desc>{}</desc>{body}",
        html::escape(title),
        html::escape(description),
    ))
}

/// What a legend or a plot shows for one thing.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    Dot,
    Hollow,
    Diamond,
    Whisker,
    /// Line of this width: 1 is drawn through, 2 dashed, 3 dotted (see the style sheet).
    Line(u32),
    /// A rising line.
    Ray,
    /// A band that lies.
    Bar,
    /// A short upright line.
    Tick,
    /// A whisker that lies.
    Reach,
    Box(RGBColor),
    Gap,
    /// An axis that does not start at zero.
    Break,
}

impl Sign {
    pub fn paint(self, canvas: &Canvas, (x, y): (i32, i32), radius: i32) {
        match self {
            Sign::Dot => canvas.circle((x, y), radius, SERIES),
            Sign::Hollow => {
                canvas.circle((x, y), radius + 1, SERIES);
                canvas.circle((x, y), radius - 1, PAPER);
            }
            Sign::Diamond => {
                let r = radius + 3;
                canvas.fill(vec![(x - r, y), (x, y - r), (x + r, y), (x, y + r)], ALARM);
            }
            Sign::Whisker => {
                canvas.line(&[(x, y - 7), (x, y + 7)], SERIES, 1);
                for end in [y - 7, y + 7] {
                    canvas.line(&[(x - 4, end), (x + 4, end)], SERIES, 1);
                }
            }
            Sign::Line(width) => canvas.line(&[(x - 9, y), (x + 9, y)], LIMIT, width),
            Sign::Ray => canvas.line(&[(x - 9, y + 6), (x + 9, y - 6)], LIMIT, 2),
            Sign::Bar => {
                canvas.rect((x - 10, y - 4), (x + 10, y + 4), BAND);
                for end in [x - 10, x + 10] {
                    canvas.line(&[(end, y - 5), (end, y + 5)], LIMIT, 1);
                }
            }
            Sign::Tick => canvas.line(&[(x, y - 8), (x, y + 8)], INK, 1),
            Sign::Reach => {
                canvas.line(&[(x - 9, y), (x + 9, y)], SERIES, 1);
                for end in [x - 9, x + 9] {
                    canvas.line(&[(end, y - 4), (end, y + 4)], SERIES, 1);
                }
            }
            Sign::Box(colour) => canvas.rect((x - 8, y - 6), (x + 8, y + 6), colour),
            Sign::Break => {
                let steps = [(0, 8), (0, 4), (-4, 2), (4, -2), (0, -4), (0, -8)];
                canvas.line(&steps.map(|(dx, dy)| (x + dx, y + dy)), MUTED, 1);
            }
            Sign::Gap => canvas.text((x, y), "–", MUTED, HPos::Center),
        }
    }
}

pub(super) struct Legend {
    entries: Vec<(Sign, String)>,
    places: Vec<(i32, i32)>,
}

impl Legend {
    const SIGN: i32 = 26;

    pub fn new(entries: Vec<(Sign, String)>) -> Self {
        let entries: Vec<_> = entries.into_iter().map(|(sign, words)| (sign, shorten(&words, LONGEST_LABEL))).collect();
        let boxes: Vec<(i32, i32)> =
            entries.iter().map(|(_, words)| (0, Self::SIGN + text_width(words) + 18)).collect();
        Self { places: flow(&boxes), entries }
    }

    pub fn height(&self) -> i32 {
        self.places.last().map_or(0, |(_, row)| (row + 1) * (LINE + 2))
    }

    pub fn paint(&self, canvas: &Canvas) {
        for ((sign, words), (x, row)) in self.entries.iter().zip(&self.places) {
            let y = row * (LINE + 2) + 11;
            sign.paint(canvas, (x + 10, y), 4);
            canvas.text((x + Self::SIGN, y), words, MUTED, HPos::Left);
        }
    }
}

/// Where the plot lies and how it divides into periods.
pub(super) struct Frame {
    pub left: i32,
    pub right: i32,
    pub top: i32,
    pub bottom: i32,
    slots: usize,
}

impl Frame {
    /// Leaves room for the legend, the words of the axis, labels that overhang their period at either
    /// end, and a figure above the highest value.
    pub fn new(legend: &Legend, axis: &Axis, labels: &[String]) -> Self {
        let ticks: Vec<String> = axis.ticks().map(|tick| axis.words(tick)).collect();
        let gutter = widest(&ticks) + 14;
        let slots = labels.len().max(1);
        let overhang = (widest(labels) - (WIDTH - gutter) / slots as i32) / 2;
        let top = legend.height() + 30;
        let (left, right) = (gutter.max(overhang), WIDTH - 6 - overhang.max(0));
        Self { left, right, top, bottom: top + PLOT_HEIGHT, slots }
    }

    pub fn slot(&self) -> f64 {
        f64::from(self.right - self.left) / self.slots as f64
    }

    /// The left edge of a period.
    pub fn edge(&self, i: usize) -> i32 {
        self.left + (i as f64 * self.slot()).round() as i32
    }

    /// The middle of a period.
    pub fn x(&self, i: usize) -> i32 {
        self.left + ((i as f64 + 0.5) * self.slot()).round() as i32
    }

    pub fn y(&self, axis: &Axis, value: f64) -> i32 {
        let share = (value.clamp(axis.low, axis.high) - axis.low) / (axis.high - axis.low);
        self.bottom - scale(share, self.bottom - self.top)
    }

    /// Every how many-th label fits without touching its neighbour.
    pub fn every(&self, labels: &[String]) -> usize {
        (f64::from(widest(labels) + 6) / self.slot()).ceil().max(1.0) as usize
    }

    pub fn grid(&self, canvas: &Canvas, axis: &Axis) {
        for tick in axis.ticks() {
            let y = self.y(axis, tick);
            let colour = if tick == 0.0 { LIMIT } else { GRID };
            canvas.line(&[(self.left, y), (self.right, y)], colour, 1);
            canvas.text((self.left - 10, y), &axis.words(tick), MUTED, HPos::Right);
        }
        if axis.is_cut() {
            Sign::Break.paint(canvas, (self.left, self.bottom - 12), 4);
        }
    }

    /// Labels below the plot in line `row`, counted from the last, which is always there.
    pub fn labels(&self, canvas: &Canvas, labels: &[String], row: i32) {
        let every = self.every(labels);
        for (i, label) in labels.iter().enumerate().filter(|(i, _)| (labels.len() - 1 - i).is_multiple_of(every)) {
            canvas.text((self.x(i), self.bottom + 16 + row * LINE), label, MUTED, HPos::Center);
        }
    }
}

/// Places boxes (wanted left edge, width) in rows of full width, in order and without overlap, each as
/// near to where it wants to be as its neighbours allow. Gives left edge and row.
pub(super) fn flow(boxes: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut out: Vec<(i32, i32)> = vec![];
    let (mut start, mut row) = (0, 0);
    while start < boxes.len() {
        let mut filled = 0;
        let fits = boxes[start..].iter().take_while(|(_, width)| {
            filled += width;
            filled <= WIDTH
        });
        let end = start + fits.count().max(1);
        let mut cursor = 0;
        for &(wanted, width) in &boxes[start..end] {
            out.push((wanted.max(cursor), row));
            cursor = wanted.max(cursor) + width;
        }
        let mut limit = WIDTH;
        for i in (start..end).rev() {
            out[i].0 = out[i].0.min(limit - boxes[i].1).max(0);
            limit = out[i].0;
        }
        (start, row) = (end, row + 1);
    }
    out
}

pub(super) fn scale(share: f64, length: i32) -> i32 {
    (share * f64::from(length)).round() as i32
}

/// A generous estimate: the page's font is not known here.
pub(super) fn text_width(text: &str) -> i32 {
    let em: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '\u{a0}' => 0.33,
            '-' => 0.42,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.92,
            'A'..='Z' => 0.70,
            c if c as u32 >= 0x2e80 => 1.0,
            _ => 0.61,
        })
        .sum();
    (em * f64::from(FONT_SIZE)).ceil() as i32
}

pub(super) fn bold_width(text: &str) -> i32 {
    text_width(text) * 11 / 10
}

pub(super) fn widest<S: AsRef<str>>(texts: &[S]) -> i32 {
    texts.iter().map(|t| text_width(t.as_ref())).max().unwrap_or(0)
}

pub(super) fn shorten(text: &str, width: i32) -> String {
    let mut out = format::visible(text).replace(['\n', '\t'], " ");
    if text_width(&out) > width {
        while text_width(&out) + FONT_SIZE > width && out.pop().is_some() {}
        out.truncate(out.trim_end().len());
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_keep_their_order_and_never_overlap() {
        let boxes = [(0, 150), (507, 215), (598, 140), (820, 120), (0, 400), (830, 500), (0, 2_000), (3, 10)];
        let places = flow(&boxes);
        assert_eq!(places[..4].iter().map(|p| p.1).collect::<Vec<_>>(), [0, 0, 0, 0]);
        for (i, pair) in places.windows(2).enumerate() {
            let ((x, row), (next, next_row)) = (pair[0], pair[1]);
            assert!(next_row > row || x + boxes[i].1 <= next);
        }
    }

    #[test]
    fn every_colour_of_a_chart_can_be_replaced_by_the_page() {
        let css = include_str!("../style.css");
        for RGBColor(r, g, b) in [INK, MUTED, GRID, PAPER, SERIES, BAND, PALE, LIMIT, ALARM, AMBER, PLUM, SILVER] {
            let hex = format!("\"#{r:02X}{g:02X}{b:02X}\"");
            assert!(css.contains(&hex), "style.css has no rule for {hex}");
        }
    }

    #[test]
    fn a_pattern_never_leaves_its_box() {
        for pattern in [Pattern::Rising, Pattern::Falling, Pattern::Upright, Pattern::Level, Pattern::Crossed] {
            for to in [(14, 40), (60, 20), (300, 62)] {
                for (x, y) in hatch((10, 12), to, pattern).into_iter().flatten() {
                    assert!((10..=to.0).contains(&x) && (12..=to.1).contains(&y));
                }
            }
        }
    }
}
