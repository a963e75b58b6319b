//! The pieces that the bodies of pages are made of: headings, tables, pairs, badges, forms.
//!
//! In: texts, and markup where a parameter says so. Out: markup. Invariant: every parameter that is not called
//! markup is escaped here; a form posts and carries the token of its session. It must not read anything: no clock,
//! no evidence. Classes are those of the reports' style sheet where it knows the thing.

use std::fmt::Write as _;

use url::form_urlencoded::Serializer;

use super::escape;
use crate::report::document::{Flag, Kind, Tone};
use crate::report::{compose, format, html};
use crate::server::caller::Caller;

/// Identifiers up to this length stay on one line.
const SHORT_CODE: usize = 14;
/// Tables up to this number of columns take the width that they need.
const NARROW_COLUMNS: usize = 4;
/// Tables with more columns than this are set smaller.
const MANY_COLUMNS: usize = 8;

/// The heading of a page and, below it, what it is about; nothing where `about` is empty.
pub fn heading(title: &str, about: &str) -> String {
    let about = if about.is_empty() { String::new() } else { format!("<p class=\"subtitle\">{}</p>\n", escape(about)) };
    format!("<div class=\"page-head\">\n<h1>{}</h1>\n{about}</div>\n", escape(title))
}

/// A part of a page under a heading of its own. `id` is a plain word; `body` is markup.
pub fn section(id: &str, title: &str, body: &str) -> String {
    let (id, title) = (escape(id), escape(title));
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
    )
}

/// Rows under named columns; each cell is markup, a row shorter than the columns is filled up with missing cells.
/// `empty` is said where there is no row.
pub fn table(caption: &str, columns: &[(&str, Kind)], rows: &[Vec<String>], empty: &str) -> String {
    grid((caption, ""), columns, rows, empty)
}

/// A table of what waits for somebody: on a narrow screen each row is read from above to below, and nothing of it lies
/// beyond the edge.
pub fn worklist(columns: &[(&str, Kind)], rows: &[Vec<String>], empty: &str) -> String {
    grid(("", " stacked"), columns, rows, empty)
}

fn grid((caption, shape): (&str, &str), columns: &[(&str, Kind)], rows: &[Vec<String>], empty: &str) -> String {
    let name = escape(caption);
    if rows.is_empty() {
        let empty = if empty.is_empty() { format::NO_DATA } else { empty };
        let label = if caption.is_empty() { String::new() } else { format!("<h3 class=\"label\">{name}</h3>\n") };
        return format!("<div class=\"table\">\n{label}<p class=\"empty\">{}</p>\n</div>\n", escape(empty));
    }
    let width = match columns.len() {
        0..=NARROW_COLUMNS => "narrow",
        n if n > MANY_COLUMNS => "wide dense",
        _ => "wide",
    };
    let shown = if caption.is_empty() { String::new() } else { format!("<caption>{name}</caption>\n") };
    let region = if caption.is_empty() { "Table" } else { &name };
    let mut out = format!(
        "<div class=\"table\">\n<div class=\"scroll\" role=\"region\" aria-label=\"{region}\" tabindex=\"0\">\n\
         <table class=\"{width}{shape}\">\n{shown}<thead>\n<tr>\n"
    );
    for (label, kind) in columns {
        let _ = writeln!(out, "<th scope=\"col\" class=\"{}\">{}</th>", html::kind_class(*kind), escape(label));
    }
    out += "</tr>\n</thead>\n<tbody>\n";
    for row in rows {
        out += "<tr>\n";
        for (i, (label, kind)) in columns.iter().enumerate() {
            let cell = row.get(i).filter(|cell| !cell.is_empty()).map_or_else(missing, Clone::clone);
            let class = html::kind_class(*kind);
            let _ = match (i, kind) {
                (0, Kind::Text | Kind::Code | Kind::Time) => {
                    writeln!(out, "<th scope=\"row\" class=\"{class}\">{cell}</th>")
                }
                _ if shape.is_empty() => writeln!(out, "<td class=\"{class}\">{cell}</td>"),
                _ => writeln!(out, "<td class=\"{class}\" data-label=\"{}\">{cell}</td>", escape(label)),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>\n</div>\n</div>\n"
}

/// A value that is not there: a dash that reads "no data".
pub fn missing() -> String {
    format!(
        "<span class=\"missing\"><span aria-hidden=\"true\">–</span><span class=\"unseen\">{}</span></span>",
        format::NO_DATA
    )
}

/// Labels with their values; the values are markup. Pairs without a value are left out.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let one = |(label, value): &(&str, String)| format!("<div><dt>{}</dt><dd>{value}</dd></div>\n", escape(label));
    let shown: String = pairs.iter().filter(|(_, value)| !value.is_empty()).map(one).collect();
    if shown.is_empty() { shown } else { format!("<dl class=\"facts\">\n{shown}</dl>\n") }
}

/// A judgement in a word or two.
pub fn badge(tone: Tone, words: &str) -> String {
    html::badge(&Flag::new(tone, words))
}

/// A word of the data, as a judgement where it is one: `fail`, `open`, `not_testable`.
pub fn state(word: &str) -> String {
    compose::flag(word).as_ref().map_or_else(|| badge(Tone::Plain, &compose::words(word)), html::badge)
}

/// A link.
pub fn link(href: &str, words: &str) -> String {
    format!("<a href=\"{}\">{}</a>", escape(href), escape(words))
}

/// A path of these segments, each percent-encoded: `["records", "crm", "account", "a/b"]` →
/// `/records/crm/account/a%2Fb`. A browser takes a segment `.` or `..` for a place in the path, encoded or not: what
/// is called so has no address of its own.
pub fn path(segments: &[&str]) -> String {
    let mut out = String::new();
    for segment in segments {
        out.push('/');
        for byte in segment.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
                _ => {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
    }
    out
}

/// `base` with the pairs as its query; those without a value are left out.
pub fn address(base: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }
}

/// An identifier or a hash.
pub fn code(text: &str) -> String {
    let class = match text.len() {
        0..=SHORT_CODE => " class=\"short\"",
        html::LONG_CODE.. => " class=\"long\"",
        _ => "",
    };
    format!("<code{class}>{}</code>", escape(text).replace('/', "/<wbr>"))
}

/// An RFC 3339 instant to the minute, with the whole instant beside it; other text as it is.
pub fn time(instant: &str) -> String {
    let shown = format::instant(instant);
    if shown == instant {
        return escape(instant);
    }
    format!("<time datetime=\"{0}\" title=\"{0}\">{1}</time>", escape(instant), escape(&shown))
}

/// Markup that is shown on paper alone: what the page says on screen in a way that is not printed.
pub fn on_paper(markup: &str) -> String {
    if markup.is_empty() { String::new() } else { format!("<div class=\"on-paper\">\n{markup}</div>\n") }
}

/// Something that must be seen; `markup` is what it says.
pub fn notice(tone: Tone, markup: &str) -> String {
    let class = match tone {
        Tone::Good => "good",
        Tone::Watch => "watch",
        Tone::Bad => "bad",
        Tone::Absent | Tone::Plain => "plain",
    };
    format!("<div class=\"notice {class}\" role=\"note\">{markup}</div>\n")
}

/// Links or buttons, side by side; each is markup.
pub fn actions(buttons: &[String]) -> String {
    let shown: String = buttons.iter().filter(|b| !b.is_empty()).map(|b| format!("<li>{b}</li>\n")).collect();
    if shown.is_empty() { shown } else { format!("<ul class=\"actions\">\n{shown}</ul>\n") }
}

/// One of several views of the same thing.
pub struct Tab<'a> {
    /// Where it is.
    pub href: &'a str,
    /// What it is called.
    pub words: &'a str,
    /// Whether the reader is there.
    pub is_here: bool,
}

/// Views of the same thing, one beside the other; `label` says of what.
pub fn tabs(label: &str, tabs: &[Tab<'_>]) -> String {
    let one = |tab: &Tab<'_>| {
        let current = if tab.is_here { " aria-current=\"page\"" } else { "" };
        format!("<li><a href=\"{}\"{current}>{}</a></li>\n", escape(tab.href), escape(tab.words))
    };
    let shown: String = tabs.iter().map(one).collect();
    format!("<nav class=\"tabs\" aria-label=\"{}\">\n<ul>\n{shown}</ul>\n</nav>\n", escape(label))
}

/// One line to fill in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Field<'a> {
    /// What the form calls it.
    pub name: &'a str,
    /// What the page calls it.
    pub label: &'a str,
    /// `type` of the input; text where it is empty.
    pub input: &'a str,
    /// What stands in it.
    pub value: &'a str,
    /// An example shown while it is empty.
    pub example: &'a str,
    /// What to know about it.
    pub note: &'a str,
    /// Whether the form cannot be sent without it.
    pub is_required: bool,
}

/// Lines to fill in, each with its label.
pub fn fields(fields: &[Field<'_>]) -> String {
    fields.iter().map(field).collect()
}

fn field(field: &Field<'_>) -> String {
    let id = format!("f-{}", field.name);
    let (name, input) = (escape(field.name), if field.input.is_empty() { "text" } else { field.input });
    let mut attributes = String::new();
    if !field.example.is_empty() {
        let _ = write!(attributes, " placeholder=\"{}\"", escape(field.example));
    }
    if field.is_required {
        attributes += " required";
    }
    let control = format!(
        "<input id=\"{}\" name=\"{name}\" type=\"{}\" value=\"{}\" autocomplete=\"off\"{attributes}{}>",
        escape(&id),
        escape(input),
        escape(field.value),
        described(&id, field.note)
    );
    labelled(&id, field.label, &control, field.note)
}

/// Several lines to fill in.
pub fn text_area(field: &Field<'_>, rows: u32) -> String {
    let id = format!("f-{}", field.name);
    let required = if field.is_required { " required" } else { "" };
    // A line feed right behind the opening tag is swallowed by the parser; one more keeps what was written.
    let control = format!(
        "<textarea id=\"{}\" name=\"{}\" rows=\"{rows}\" spellcheck=\"false\" placeholder=\"{}\"{required}{}>\n{}\
         </textarea>",
        escape(&id),
        escape(field.name),
        escape(field.example),
        described(&id, field.note),
        escape(field.value)
    );
    labelled(&id, field.label, &control, field.note)
}

/// One of the things to choose from.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// What the form sends.
    pub value: &'a str,
    /// What the page calls it.
    pub words: &'a str,
}

/// Choices, of which `field.value` is taken.
pub fn select(field: &Field<'_>, choices: &[Choice<'_>]) -> String {
    let id = format!("f-{}", field.name);
    let option = |choice: &Choice<'_>| {
        let selected = if choice.value == field.value { " selected" } else { "" };
        format!("<option value=\"{}\"{selected}>{}</option>\n", escape(choice.value), escape(choice.words))
    };
    let options: String = choices.iter().map(option).collect();
    let required = if field.is_required { " required" } else { "" };
    let control = format!(
        "<select id=\"{}\" name=\"{}\"{required}{}>\n{options}</select>",
        escape(&id),
        escape(field.name),
        described(&id, field.note)
    );
    labelled(&id, field.label, &control, field.note)
}

fn described(id: &str, note: &str) -> String {
    if note.is_empty() { String::new() } else { format!(" aria-describedby=\"{}-note\"", escape(id)) }
}

fn labelled(id: &str, label: &str, control: &str, note: &str) -> String {
    let (id, label) = (escape(id), escape(label));
    let note = match note {
        "" => String::new(),
        note => format!("<p class=\"hint\" id=\"{id}-note\">{}</p>\n", escape(note)),
    };
    format!("<div class=\"field\">\n<label for=\"{id}\">{label}</label>\n{control}\n{note}</div>\n")
}

/// A form that posts `inside`, which is markup, with the token of the caller's session.
pub fn form(action: &str, caller: &Caller, inside: &str, submit: &str) -> String {
    format!(
        "<form class=\"form\" method=\"post\" action=\"{}\">\n{}{inside}<p class=\"submit\"><button>{}</button></p>\n\
         </form>\n",
        escape(action),
        hidden("csrf", &caller.csrf),
        escape(submit)
    )
}

/// A button that posts, with the token of the caller's session and what else is sent with it.
pub fn button_form(action: &str, caller: &Caller, words: &str, sent: &[(&str, &str)]) -> String {
    let sent: String = sent.iter().map(|(name, value)| hidden(name, value)).collect();
    format!(
        "<form class=\"inline\" method=\"post\" action=\"{}\">\n{}{sent}<button>{}</button>\n</form>\n",
        escape(action),
        hidden("csrf", &caller.csrf),
        escape(words)
    )
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value))
}

/// A message as a sentence: it begins with a capital and ends with a full stop.
pub fn sentence(message: &str) -> String {
    let mut letters = message.trim().chars();
    let Some(first) = letters.next() else { return String::new() };
    let text = first.to_uppercase().collect::<String>() + letters.as_str();
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}

/// A message as a sentence, in markup: the names in it are set as code.
pub fn message(text: &str) -> String {
    html::prose(&sentence(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "\"><script>alert('x')</script>\u{202e}";

    #[test]
    fn hostile_text_is_text_in_every_part() {
        let field =
            Field { name: EVIL, label: EVIL, input: EVIL, value: EVIL, example: EVIL, note: EVIL, is_required: true };
        let choice = Choice { value: EVIL, words: EVIL };
        let made = [
            heading(EVIL, EVIL),
            section(EVIL, EVIL, ""),
            table(EVIL, &[(EVIL, Kind::Text)], &[vec![escape(EVIL)]], ""),
            table(EVIL, &[], &[], EVIL),
            worklist(&[(EVIL, Kind::Text), (EVIL, Kind::Text)], &[vec![escape(EVIL), escape(EVIL)]], EVIL),
            pairs(&[(EVIL, escape(EVIL))]),
            state(EVIL),
            link(EVIL, EVIL),
            code(EVIL),
            time(EVIL),
            time(&format!("2026-03-02T14:05{EVIL}")),
            tabs(EVIL, &[Tab { href: EVIL, words: EVIL, is_here: true }]),
            fields(&[field]),
            text_area(&field, 3),
            select(&field, &[choice]),
        ];
        for markup in made {
            assert!(
                !markup.contains("<script") && !markup.contains("\"\">") && !markup.contains('\u{202e}'),
                "{markup}"
            );
        }
    }

    #[test]
    fn a_path_leads_to_the_thing_whatever_it_is_called() {
        assert_eq!(path(&["records", "crm", "account", "a/b c"]), "/records/crm/account/a%2Fb%20c");
        assert_eq!(path(&["actions", "ü?#%"]), "/actions/%C3%BC%3F%23%25");
        assert_eq!(address("/query/x", &[("a", "1 & 2"), ("b", "")]), "/query/x?a=1+%26+2");
        assert_eq!(address("/query/x", &[]), "/query/x");
    }

    #[test]
    fn a_short_row_is_filled_and_an_empty_table_says_so() {
        let columns = [("batch", Kind::Text), ("n", Kind::Count)];
        assert!(table("t", &columns, &[vec!["b".to_owned()]], "").contains("<span class=\"unseen\">no data</span>"));
        assert!(table("t", &columns, &[], "nothing waits").contains("<p class=\"empty\">nothing waits</p>"));
    }

    #[test]
    fn a_cell_of_a_worklist_carries_its_heading() {
        let columns = [("Review", Kind::Text), ("Waits for", Kind::Text)];
        let made = worklist(&columns, &[vec!["r".to_owned(), "ann".to_owned()]], "nothing waits");
        assert!(made.contains("stacked") && made.contains("<td class=\"text\" data-label=\"Waits for\">ann</td>"));
        assert!(worklist(&columns, &[], "nothing waits").contains("nothing waits"));
    }

    #[test]
    fn every_field_has_a_label_and_its_note_is_read_with_it() {
        let made = fields(&[Field { name: "title", label: "Title", note: "one line", ..Field::default() }]);
        assert!(made.contains("<label for=\"f-title\">Title</label>") && made.contains("id=\"f-title\""));
        assert!(made.contains("aria-describedby=\"f-title-note\"") && made.contains("id=\"f-title-note\""));
    }

    #[test]
    fn a_message_becomes_a_sentence() {
        assert_eq!(sentence("there is no batch `b`"), "There is no batch `b`.");
        assert_eq!([sentence("ok."), sentence("  ")], ["Ok.", ""]);
        assert_eq!(message("no batch `b<`"), "No batch <code>b&lt;</code>.");
    }
}
