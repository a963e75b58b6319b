//! Tables, their cells, and flags.

use super::{Page, anchor, escape, prose};
use crate::report::document::{Cell, Column, Flag, Kind, Table, Tone};
use crate::report::format;

/// Tables up to this length are not divided between pages of paper.
const ROWS_KEPT_TOGETHER: usize = 12;
/// Identifiers up to this length stay on one line.
const SHORT_CODE: usize = 14;
/// Tables with more columns than this are set smaller on paper.
const MANY_COLUMNS: usize = 8;

impl Page<'_> {
    pub(super) fn table(&mut self, table: &Table) {
        self.out += "<div class=\"table\">\n";
        if table.rows.is_empty() {
            self.nothing(&table.caption, &table.empty);
        } else {
            self.grid(table);
        }
        self.sentences("p", "note", &table.note);
        self.source(&table.source);
        self.out += "</div>\n";
    }

    /// A heading, and the sentence that stands for what is not there.
    pub(super) fn nothing(&mut self, label: &str, sentence: &str) {
        self.element("h3", "label", label);
        self.sentences("p", "empty", if sentence.is_empty() { format::NO_DATA } else { sentence });
    }

    fn grid(&mut self, table: &Table) {
        let caption = escape(&table.caption);
        let has_room = table.columns.iter().any(|column| column.kind == Kind::Blank);
        let width = match table.columns.len() {
            0..=4 if !has_room => "narrow",
            n if n > MANY_COLUMNS => "wide dense",
            _ => "wide",
        };
        let length = if table.rows.len() > ROWS_KEPT_TOGETHER { "long" } else { "short" };
        self.out += &region(&caption);
        self.put(format_args!("<table class=\"{width} {length}\">\n<caption>{caption}</caption>\n<thead>\n<tr>\n"));
        for column in &table.columns {
            let class = kind_class(column.kind);
            self.put(format_args!("<th scope=\"col\" class=\"{class}\">{}</th>\n", escape(&column.label)));
        }
        self.out += "</tr>\n</thead>\n<tbody>\n";
        for row in &table.rows {
            self.row(&table.columns, row);
        }
        self.out += "</tbody>\n</table>\n</div>\n";
    }

    fn row(&mut self, columns: &[Column], row: &[Cell]) {
        if let [Cell::Group(words)] = row {
            let (span, words) = (columns.len().max(1), escape(words));
            self.put(format_args!("<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{span}\">{words}</th></tr>\n"));
            return;
        }
        self.out += "<tr>\n";
        for (i, column) in columns.iter().enumerate() {
            let text = self.cell(row.get(i).unwrap_or(&Cell::Missing), column.kind);
            let class = kind_class(column.kind);
            match (i, column.kind) {
                (0, Kind::Text | Kind::Prose | Kind::Code | Kind::Time) => {
                    self.put(format_args!("<th scope=\"row\" class=\"{class}\">{text}</th>\n"));
                }
                _ => self.put(format_args!("<td class=\"{class}\">{text}</td>\n")),
            }
        }
        self.out += "</tr>\n";
    }

    pub(super) fn cell(&self, cell: &Cell, kind: Kind) -> String {
        match (cell, kind) {
            // A path may break behind its strokes, an identifier anywhere.
            (Cell::Text(text), Kind::Code) if text.len() <= SHORT_CODE => {
                format!("<code class=\"short\">{}</code>", escape(text))
            }
            (Cell::Text(text), Kind::Code) => format!("<code>{}</code>", escape(text).replace('/', "/<wbr>")),
            (Cell::Text(text), Kind::Prose | Kind::Time) => prose(text),
            (Cell::Flag(flag), _) => badge(flag),
            (Cell::Missing, _) => format!(
                "<span class=\"missing\"><span aria-hidden=\"true\">–</span><span class=\"unseen\">{}</span></span>",
                format::NO_DATA
            ),
            (Cell::Sections(ids), _) => ids.iter().map(|id| self.reference(id)).collect::<Vec<_>>().join(", "),
            (other, kind) => escape(&other.words(kind)),
        }
    }

    /// A section by its number; by its id when the page has none of it.
    fn reference(&self, id: &str) -> String {
        match self.numbers.get(id) {
            Some(number) => format!("<a href=\"#{}\">{number}</a>", anchor("section", id)),
            None => escape(id),
        }
    }
}

/// What opens the region of a table, which scrolls sideways where it is wide; `caption` is markup.
pub(super) fn region(caption: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n")
}

/// A flag: its words, with a sign and a colour that repeat them.
pub fn badge(flag: &Flag) -> String {
    let tone = match flag.tone {
        Tone::Good => "good",
        Tone::Watch => "watch",
        Tone::Bad => "bad",
        Tone::Absent => "absent",
        Tone::Plain => "plain",
    };
    format!("<span class=\"flag {tone}\">{}</span>", escape(&flag.words))
}

/// The class of a column whose values are of `kind`.
pub fn kind_class(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Prose => "text",
        Kind::Code => "code",
        Kind::Time => "time",
        Kind::Blank => "blank",
        Kind::Count | Kind::Percent | Kind::Number | Kind::Hours | Kind::Interval | Kind::Points | Kind::Bounds => {
            "figure"
        }
    }
}
