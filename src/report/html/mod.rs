//! A [`Document`] as one self-contained HTML file that reads well on a screen, a phone and paper.
//!
//! In: the plain page. Out: markup with its style sheet inside; no script, no image, no font, nothing
//! fetched, which the page's own content policy enforces. Invariant: every string of the document is
//! escaped on its way out, and the same document gives the same bytes. It must not compute, sort or
//! leave out anything: the page shows all that the document holds.
//!
//! Queries fold on screen, each and all together. Paper names each by the digest of its text and prints the texts
//! that the reader opened, or all on a tick: they are more pages than the rest of a report, a meeting needs none of
//! them, and the digest binds the paper to the file that holds them. A text stands *beside* its `<details>`, so that
//! style alone decides, the same in every browser.
//!
//! [`fragment`] is the same page without its head, for a server that frames it and serves the style sheet itself.

mod blocks;
mod cells;
mod prose;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::document::{Block, Chart, Document, Flag, Headline, Section, Tile};
use super::format;

pub use cells::{badge, kind_class};
pub use prose::prose;

/// The style sheet of every report, for who shows one inside a page of their own.
pub const STYLE: &str = include_str!("../style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// From this length on an identifier takes a line of its own: a hash in hexadecimal digits has 64.
pub const LONG_CODE: usize = 60;
/// What stands around and between the front of a page and its sections.
const OPENING: &str = "<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n";
const MAIN: &str = "<main id=\"main\">\n";
const CLOSING: &str = "</main>\n</body>\n</html>\n";

/// The page as a complete HTML document.
pub fn render(document: &Document) -> String {
    let queries = document.sections.iter().flat_map(|s| &s.blocks).filter_map(|block| match block {
        Block::Queries(queries) => Some(queries.iter().map(|query| query.name.as_str())),
        _ => None,
    });
    let numbers = document.sections.iter().enumerate().map(|(i, section)| (section.id.as_str(), number(i, section)));
    let mut page = Page { out: String::new(), queries: queries.flatten().collect(), numbers: numbers.collect() };
    page.head(document);
    page.front(document);
    page.contents(&document.sections);
    page.out += MAIN;
    for (i, section) in document.sections.iter().enumerate() {
        page.section(&number(i, section), section);
    }
    page.out += CLOSING;
    page.out
}

/// Blocks alone, to stand in a page of another kind that links [`STYLE`].
pub fn blocks(blocks: &[Block]) -> String {
    let mut page = Page { out: String::new(), numbers: BTreeMap::new(), queries: BTreeSet::new() };
    blocks.iter().for_each(|block| page.block(block));
    page.out
}

/// The inside of a finished page, to stand in the frame of another one that links [`STYLE`]: without head, style
/// sheet and skip link, its `main` a plain part. None when `page` was not made by [`render`].
pub fn fragment(page: &str) -> Option<String> {
    let (_, body) = page.split_once(OPENING)?;
    let (front, parts) = body.strip_suffix(CLOSING)?.split_once(MAIN)?;
    Some(format!("<div class=\"report\">\n{front}<div class=\"parts\">\n{parts}</div>\n</div>\n"))
}

/// `page` without its table called `caption`, for who shows the rows of it in a form of his own; as it is where there is
/// no such table.
pub fn without_table(page: &str, caption: &str) -> String {
    const END: &str = "</table>\n</div>\n";
    let start = format!("<div class=\"table\">\n{}", cells::region(&escape(caption)));
    let cut = page.split_once(&start).and_then(|(before, rest)| {
        // A note or a source may stand under the rows, and nothing in them opens a part.
        let (_, after) = rest.split_once(END)?.1.split_once("</div>\n")?;
        Some(format!("{before}{after}"))
    });
    cut.unwrap_or_else(|| page.to_owned())
}

/// Text as HTML: the five special characters escaped, and deceptive characters made visible (see
/// [`format::visible`]). Fit for element content and for quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in format::visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// What a section is called: its place, or A.
fn number(i: usize, section: &Section) -> String {
    if section.id == "appendix" { "A".to_owned() } else { (i + 1).to_string() }
}

struct Page<'a> {
    out: String,
    /// What each section is called, by its id.
    numbers: BTreeMap<&'a str, String>,
    /// Names a `source` can link to.
    queries: BTreeSet<&'a str>,
}

impl Page<'_> {
    /// Writing to a `String` cannot fail.
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }

    /// An element around escaped text; nothing at all when the text is empty.
    fn element(&mut self, tag: &str, class: &str, text: &str) {
        if !text.is_empty() {
            self.put(format_args!("<{tag} class=\"{class}\">{}</{tag}>\n", escape(text)));
        }
    }

    /// An element around sentences; nothing at all when there is none.
    fn sentences(&mut self, tag: &str, class: &str, text: &str) {
        if !text.is_empty() {
            self.put(format_args!("<{tag} class=\"{class}\">{}</{tag}>\n", prose(text)));
        }
    }

    fn head(&mut self, document: &Document) {
        let running = [document.title.as_str(), document.subtitle.as_str()].join(" · ");
        self.put(format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <style>\n{STYLE}@page {{ @top-left {{ content: \"{}\"; }} }}\n</style>\n</head>\n",
            escape(running.trim_end_matches([' ', '·'])),
            css_string(running.trim_end_matches([' ', '·'])),
        ));
    }

    fn front(&mut self, document: &Document) {
        self.out += OPENING;
        self.out += "<header class=\"front\">\n";
        self.put(format_args!("<h1>{}</h1>\n", escape(&document.title)));
        self.element("p", "subtitle", &document.subtitle);
        if let Some(banner) = &document.banner {
            self.put(format_args!(
                "<p class=\"banner\" role=\"note\"><strong>Read this first.</strong> {}</p>\n",
                prose(banner)
            ));
        }
        self.pairs("facts", &document.facts);
        self.out += "</header>\n";
    }

    fn pairs(&mut self, class: &str, pairs: &[(String, String)]) {
        if pairs.is_empty() {
            return;
        }
        self.put(format_args!("<dl class=\"{class}\">\n"));
        for (label, value) in pairs {
            // A hash or an identifier: equal-width letters, and more room.
            let is_code = value.len() >= 32 && !value.contains(' ');
            let class = if value.len() >= LONG_CODE { " class=\"long\"" } else { "" };
            let value = if is_code { format!("<code{class}>{}</code>", escape(value)) } else { prose(value) };
            self.put(format_args!("<div><dt>{}</dt><dd>{value}</dd></div>\n", escape(label)));
        }
        self.out += "</dl>\n";
    }

    fn contents(&mut self, sections: &[Section]) {
        if sections.is_empty() {
            return;
        }
        self.out += "<nav class=\"contents\" aria-labelledby=\"contents\">\n<h2 id=\"contents\">Contents</h2>\n<ol>\n";
        for (i, section) in sections.iter().enumerate() {
            let (id, title, number) = (anchor("section", &section.id), escape(&section.title), number(i, section));
            self.put(format_args!("<li><span class=\"number\">{number}</span><a href=\"#{id}\">{title}</a></li>\n"));
        }
        self.out += "</ol>\n</nav>\n";
    }

    fn section(&mut self, number: &str, section: &Section) {
        let id = anchor("section", &section.id);
        self.put(format_args!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n\
             <h2 id=\"{id}-title\"><span class=\"number\">{number}</span> {}</h2>\n",
            escape(&section.title),
        ));
        self.element("p", "question", &section.question);
        for block in &section.blocks {
            self.block(block);
        }
        self.out += "</section>\n";
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Headline(headline) => self.headline(headline),
            Block::Tiles(tiles) => self.tiles(tiles),
            Block::Chart(chart) => self.chart(chart),
            Block::Table(table) => self.table(table),
            Block::Text(text) => self.sentences("p", "text", text),
            Block::List(items) => self.list(items),
            Block::Facts(facts) => self.facts(facts),
            Block::Findings(findings) => self.findings(findings),
            Block::Cards(cards) => self.cards(cards),
            Block::Queries(queries) => self.query_texts(queries),
            Block::SignOff(roles) => self.sign_off(roles),
        }
    }

    fn headline(&mut self, headline: &Headline) {
        self.out += "<div class=\"headline\">\n";
        self.element("h3", "label", &headline.label);
        self.element("p", "value", &headline.value);
        self.out += "<div class=\"beside\">\n";
        self.element("p", "detail", &headline.detail);
        if !headline.interval.is_empty() {
            self.put(format_args!("<p class=\"interval\">95&nbsp;% interval {}</p>\n", escape(&headline.interval)));
        }
        self.flag_line(headline.status.as_ref());
        self.out += "</div>\n";
        self.sentences("p", "note", &headline.note);
        self.source(&headline.source);
        self.out += "</div>\n";
    }

    fn tiles(&mut self, tiles: &[Tile]) {
        if tiles.is_empty() {
            return;
        }
        self.out += "<ul class=\"tiles\">\n";
        for tile in tiles {
            self.out += "<li>\n";
            self.element("p", "label", &tile.label);
            self.element("p", "value", &tile.value);
            self.element("p", "detail", &tile.detail);
            self.flag_line(tile.status.as_ref());
            self.source(&tile.source);
            self.out += "</li>\n";
        }
        self.out += "</ul>\n";
    }

    fn chart(&mut self, chart: &Chart) {
        self.out += "<figure>\n<figcaption>\n";
        self.element("h3", "title", &chart.title);
        self.sentences("p", "caption", &chart.caption);
        self.out += "</figcaption>\n";
        match &chart.svg {
            Some(svg) => self.put(format_args!("<div class=\"scroll\">\n{}</div>\n", svg.as_str())),
            None => self.element("p", "empty", "There is nothing to draw."),
        }
        self.source(&chart.source);
        self.out += "</figure>\n";
    }

    fn list(&mut self, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.out += "<ul class=\"list\">\n";
        for item in items {
            self.put(format_args!("<li>{}</li>\n", prose(item)));
        }
        self.out += "</ul>\n";
    }

    fn flag_line(&mut self, flag: Option<&Flag>) {
        if let Some(flag) = flag {
            self.put(format_args!("<p class=\"status\">{}</p>\n", badge(flag)));
        }
    }

    /// A link to the query when this document prints it, its bare name otherwise.
    fn source(&mut self, name: &str) {
        if name.is_empty() {
            return;
        }
        let text = escape(name);
        if self.queries.contains(name) {
            let id = anchor("query", name);
            self.put(format_args!("<p class=\"source\">Query <a href=\"#{id}\"><code>{text}</code></a></p>\n"));
        } else {
            self.put(format_args!("<p class=\"source\">Query <code>{text}</code></p>\n"));
        }
    }
}

/// An id safe in an attribute and in a link. Letters, digits and `_.-` stay, other characters become
/// their code point, so that different names never share an anchor.
fn anchor(prefix: &str, name: &str) -> String {
    let mut out = format!("{prefix}-");
    for c in name.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "_.-".contains(c) => out.push(c),
            c => out.push_str(&format!("~{:x}~", c as u32)),
        }
    }
    out
}

/// The inside of a CSS string: everything but ASCII letters and digits as a code point, so that it can
/// close neither the string nor the style element.
fn css_string(text: &str) -> String {
    let mut out = String::new();
    for c in format::visible(text).chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == ' ' => out.push(c),
            c => out.push_str(&format!("\\{:06x} ", c as u32)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::charts;
    use super::super::document::{
        Card, Cards, Cell, Column, Entry, Facts, Finding, Findings, Kind, Query, Side, Table, Tone,
    };
    use super::*;

    const EVIL: &str = "\"><script>alert('x')</script><img src=x onerror=alert(1)></style>&amp;\u{202e}\0";

    /// One of everything, with `text` wherever text can stand.
    fn full(text: &str) -> Document {
        let t = || text.to_string();
        let flag = Some(Flag::new(Tone::Bad, text));
        let pairs = vec![(t(), t())];
        let bar = charts::Bar { label: t(), count: 3, share: None };
        let blocks = vec![
            Block::Headline(Headline {
                label: t(),
                value: t(),
                detail: t(),
                interval: t(),
                status: flag.clone(),
                note: t(),
                source: t(),
            }),
            Block::Tiles(vec![Tile { label: t(), value: t(), detail: t(), status: flag.clone(), source: t() }]),
            Block::Chart(Chart { title: t(), caption: t(), svg: charts::bars(text, &[bar]), source: t() }),
            Block::Facts(Facts { label: t(), pairs: pairs.clone(), empty: t(), source: t() }),
            Block::Findings(findings(text)),
            Block::Cards(cards(text)),
            Block::Table(Table {
                caption: t(),
                columns: vec![
                    Column::new(text, Kind::Text),
                    Column::new(text, Kind::Code),
                    Column::new("n", Kind::Count),
                ],
                rows: vec![vec![text.into(), text.into(), flag.into()]],
                note: t(),
                source: t(),
                ..Table::default()
            }),
            Block::Text(t()),
            Block::List(vec![t()]),
            Block::SignOff(vec![t()]),
            Block::Queries(vec![Query { name: t(), question: t(), parameters: pairs.clone(), sql: t(), digest: t() }]),
        ];
        let section = Section { id: t(), title: t(), question: t(), blocks };
        Document { title: t(), subtitle: t(), facts: pairs, banner: Some(t()), sections: vec![section] }
    }

    fn findings(text: &str) -> Findings {
        let t = || text.to_string();
        let severity = Some(Flag::new(Tone::Bad, text));
        let finding = Finding { severity, statement: t(), facts: vec![(t(), t())], advice: t() };
        Findings { label: t(), findings: vec![finding], empty: t(), note: t(), source: t() }
    }

    fn cards(text: &str) -> Cards {
        let t = || text.to_string();
        let entry = Entry {
            title: t(),
            state: Some(Flag::new(Tone::Plain, text)),
            change: Some((Some(t()), Some(t()))),
            sides: vec![Side { label: t(), values: vec![(t(), text.into(), Kind::Text)] }],
        };
        let card = Card { title: t(), entries: vec![entry] };
        Cards { label: t(), cards: vec![card], empty: t(), note: t(), source: t() }
    }

    fn table(columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> String {
        let blocks = vec![Block::Table(Table { columns, rows, ..Table::default() })];
        let sections = vec![Section { blocks, ..Section::default() }];
        render(&Document { sections, ..Document::default() }).replace('\u{a0}', " ")
    }

    #[test]
    fn hostile_text_is_text_wherever_it_stands() {
        let page = render(&full(EVIL));
        assert!(!page.contains("<script") && !page.contains("<img"));
        assert!(!page.contains('\u{202e}') && !page.contains('\0'));
        assert_eq!(page.matches("</style>").count(), 1);
        assert_eq!(page.matches("<style").count(), 1);
        assert!(!page.contains("\"\">"), "an attribute ended early");
    }

    #[test]
    fn all_text_of_the_document_is_on_the_page() {
        let (page, once) = (render(&full("WORD")), "WORD");
        // The places of the document, once more in the title, the contents, the region's name, the drawing's
        // title and description, the summary, and where an anchor is made of it.
        assert!(page.matches(once).count() >= 55, "{}", page.matches(once).count());
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        let page = render(&full("plain"));
        for needle in ["<script", "src=", "@import", "url(", "<link", "javascript:"] {
            assert!(!page.contains(needle), "{needle} in the page");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_fragment_holds_all_that_a_page_shows_and_no_style() {
        for text in ["plain", EVIL] {
            let page = render(&full(text));
            let inside = fragment(&page).unwrap();
            for needle in ["<style", "style=", "<main", "<body", "<html", "class=\"skip\""] {
                assert!(!inside.contains(needle), "{needle}");
            }
            let shown = page.split_once(OPENING).unwrap().1.len() - MAIN.len() - CLOSING.len();
            assert!(inside.len() > shown && inside.contains("<svg") && inside.contains("<h1>"));
            assert_eq!(inside.matches("<div").count(), inside.matches("</div>").count());
        }
        assert_eq!(fragment("<html></html>"), None);
    }

    #[test]
    fn a_table_can_be_left_out_and_nothing_else_goes_with_it() {
        for text in ["plain", EVIL] {
            let page = render(&full(text));
            let less = without_table(&page, text);
            assert_eq!((page.matches("<table").count(), less.matches("<table").count()), (2, 1));
            assert_eq!(less.matches("<div").count(), less.matches("</div>").count());
            assert!(less.contains("sign-off") && less.contains("class=\"queries\""));
            assert_eq!(without_table(&page, "no such table"), page);
        }
    }

    #[test]
    fn the_same_document_gives_the_same_bytes() {
        assert_eq!(render(&full("plain")), render(&full("plain")));
    }

    #[test]
    fn every_element_that_opens_also_closes() {
        let page = render(&full(EVIL));
        let body = page.split_once("<body>").map_or("", |(_, body)| body);
        for tag in
            ["section", "table", "tr", "td", "th", "div", "p", "ul", "li", "dl", "figure", "svg", "article", "details"]
        {
            let opened = body.matches(&format!("<{tag} ")).count() + body.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, body.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn every_link_of_a_page_has_its_target() {
        for text in ["plain", EVIL, "two words"] {
            let page = render(&full(text));
            for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(page.contains(&format!("id=\"{target}\"")), "no target for {target}");
            }
        }
    }

    #[test]
    fn a_source_the_document_does_not_print_is_named_without_a_link() {
        let blocks = vec![Block::Tiles(vec![Tile { source: "flag_rate".into(), ..Tile::default() }])];
        let page =
            render(&Document { sections: vec![Section { blocks, ..Section::default() }], ..Document::default() });
        assert!(page.contains("Query <code>flag_rate</code>") && !page.contains("#query-"));
    }

    #[test]
    fn different_names_never_share_an_anchor() {
        let names = ["a b", "a-b", "a~20~b", "a_b", "a.b", "ab", ""];
        let anchors: BTreeSet<String> = names.iter().map(|n| anchor("query", n)).collect();
        assert_eq!(anchors.len(), names.len());
    }

    #[test]
    fn figures_are_written_as_their_column_says() {
        let columns =
            [Kind::Percent, Kind::Hours, Kind::Number, Kind::Interval, Kind::Count].map(|k| Column::new("c", k));
        let row = vec![0.424.into(), 122.4.into(), 0.18.into(), Cell::Range(0.413, 0.434), Cell::Count(8_828)];
        let page = table(columns.to_vec(), vec![row]);
        for text in ["42.4 %", "5.1 d", "0.18", "[41.3, 43.4]", "8,828"] {
            assert!(page.contains(&format!("<td class=\"figure\">{text}</td>")), "{text}");
        }
    }

    #[test]
    fn a_short_row_is_filled_with_no_data_and_an_empty_table_says_so() {
        let columns = vec![Column::new("batch", Kind::Text), Column::new("n", Kind::Count)];
        assert!(table(columns.clone(), vec![vec!["b-1".into()]]).contains("<span class=\"unseen\">no data</span>"));
        assert!(table(columns, vec![]).contains("<p class=\"empty\">no data</p>"));
    }

    #[test]
    fn the_first_words_of_a_row_head_it() {
        let page = table(vec![Column::new("batch", Kind::Text)], vec![vec!["b-1".into()]]);
        assert!(page.contains("<th scope=\"row\" class=\"text\">b-1</th>"));
    }

    #[test]
    fn a_chart_without_data_is_words_and_no_drawing() {
        let blocks = vec![Block::Chart(Chart { title: "t".into(), caption: "".into(), svg: None, source: "".into() })];
        let page =
            render(&Document { sections: vec![Section { blocks, ..Section::default() }], ..Document::default() });
        assert!(page.contains("There is nothing to draw.") && !page.contains("<svg"));
    }

    #[test]
    fn the_appendix_is_called_a_and_references_name_sections_by_number() {
        let columns = vec![Column::new("c", Kind::Text), Column::new("s", Kind::Text)];
        let rows = vec![vec!["x".into(), Cell::Sections(vec!["first".into(), "appendix".into()])]];
        let blocks = vec![Block::Table(Table { columns, rows, ..Table::default() })];
        let section = |id: &str, blocks| Section { id: id.into(), blocks, ..Section::default() };
        let sections = vec![section("first", blocks), section("appendix", vec![])];
        let page = render(&Document { sections, ..Document::default() });
        assert!(page.contains("<a href=\"#section-first\">1</a>, <a href=\"#section-appendix\">A</a>"), "{page}");
    }

    #[test]
    fn a_query_is_named_by_its_digest_on_paper_and_its_text_is_a_tick_away() {
        let page = render(&full("plain"));
        assert!(page.contains("<p class=\"digest\">plain</p>") && page.contains("</summary></details>\n<pre>"));
        assert!(page.contains("SQL</summary></details>\n<div class=\"flow\">"));
        assert!(STYLE.contains(".queries > details:not([open]) + .flow:not(:has(:target))"));
        let on_paper = STYLE.split_once("@media print").map_or("", |(_, rules)| rules);
        assert!(on_paper.contains("body:has(.with-texts:checked) .query pre"));
        assert!(on_paper.contains(".query details[open] + pre"));
    }
}
