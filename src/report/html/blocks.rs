//! Facts, findings, cards, queries and the lines to sign.

use super::{Page, anchor, escape};
use crate::report::document::{Card, Cards, Entry, Facts, Finding, Findings, Query, Side};
use crate::report::format;
use crate::report::html::cells::badge;

impl Page<'_> {
    pub(super) fn facts(&mut self, facts: &Facts) {
        self.out += "<div class=\"about\">\n";
        if facts.pairs.is_empty() {
            self.nothing(&facts.label, &facts.empty);
        } else {
            self.element("h3", "label", &facts.label);
            self.pairs("facts", &facts.pairs);
        }
        self.source(&facts.source);
        self.out += "</div>\n";
    }

    pub(super) fn findings(&mut self, list: &Findings) {
        self.out += "<div class=\"findings\">\n";
        if list.findings.is_empty() {
            self.nothing(&list.label, &list.empty);
        } else {
            self.element("h3", "label", &list.label);
            self.out += "<ol>\n";
            for finding in &list.findings {
                self.finding(finding);
            }
            self.out += "</ol>\n";
        }
        self.sentences("p", "note", &list.note);
        self.source(&list.source);
        self.out += "</div>\n";
    }

    fn finding(&mut self, finding: &Finding) {
        self.out += "<li>\n";
        self.flag_line(finding.severity.as_ref());
        self.sentences("p", "statement", &finding.statement);
        self.sentences("p", "advice", &finding.advice);
        self.pairs("traits", &finding.facts);
        self.out += "</li>\n";
    }

    pub(super) fn cards(&mut self, list: &Cards) {
        self.out += "<div class=\"cards\">\n";
        if list.cards.is_empty() {
            self.nothing(&list.label, &list.empty);
        } else {
            self.element("h3", "label", &list.label);
        }
        for card in &list.cards {
            self.card(card);
        }
        self.sentences("p", "note", &list.note);
        self.source(&list.source);
        self.out += "</div>\n";
    }

    fn card(&mut self, card: &Card) {
        self.out += "<article class=\"card\">\n";
        self.element("h4", "title", &card.title);
        for entry in &card.entries {
            self.entry(entry);
        }
        self.out += "</article>\n";
    }

    fn entry(&mut self, entry: &Entry) {
        self.out += "<div class=\"entry\">\n";
        let state = entry.state.as_ref().map_or(String::new(), badge);
        self.put(format_args!("<p class=\"about\"><strong>{}</strong> {state}</p>\n", escape(&entry.title)));
        if let Some((old, new)) = &entry.change {
            let side = |value: &Option<String>| match value.as_deref() {
                None => "<span class=\"missing\">not captured</span>".to_owned(),
                Some("") => "<span class=\"missing\">empty</span>".to_owned(),
                Some(value) => format!("<code>{}</code>", escape(value)),
            };
            let (old, new) = (side(old), side(new));
            self.put(format_args!(
                "<p class=\"change\"><span class=\"old\"><span class=\"unseen\">from </span>{old}</span> \
                 <span aria-hidden=\"true\">→</span> <span class=\"new\"><span class=\"unseen\">to </span>{new}</span></p>\n"
            ));
        }
        self.out += "<div class=\"sides\">\n";
        for side in &entry.sides {
            self.side(side);
        }
        self.out += "</div>\n</div>\n";
    }

    fn side(&mut self, side: &Side) {
        self.out += "<div class=\"side\">\n";
        self.element("p", "label", &side.label);
        if side.values.is_empty() {
            self.element("p", "missing", format::NO_DATA);
        } else {
            self.out += "<dl>\n";
            for (name, value, kind) in &side.values {
                let value = self.cell(value, *kind);
                self.put(format_args!("<div><dt>{}</dt><dd>{value}</dd></div>\n", escape(name)));
            }
            self.out += "</dl>\n";
        }
        self.out += "</div>\n";
    }

    /// Each query with what it asks, its own parameters, its digest and, folded, its text.
    pub(super) fn query_texts(&mut self, queries: &[Query]) {
        if queries.is_empty() {
            return;
        }
        self.out += "<div class=\"queries\">\n<h3 class=\"label\">Queries</h3>\n\
                     <p class=\"note\">On paper each is named by the SHA-256 of its text; the text itself is in this \
                     file, and a text opened on screen is printed.</p>\n\
                     <p class=\"choice\"><label><input type=\"checkbox\" class=\"with-texts\"> Print all texts \
                     too</label></p>\n";
        // Beside the list, as a text stands beside its own: the style shows the list for who comes from a number.
        let all = if let [_] = queries { "The query".to_owned() } else { format!("All {} queries", queries.len()) };
        self.put(format_args!(
            "<details><summary>{all}: question, parameters, SQL</summary></details>\n<div class=\"flow\">\n"
        ));
        for query in queries {
            self.query(query);
        }
        self.out += "</div>\n</div>\n";
    }

    fn query(&mut self, query: &Query) {
        let name = escape(&query.name);
        self.put(format_args!("<article class=\"query\" id=\"{}\">\n", anchor("query", &query.name)));
        self.put(format_args!("<h4><code>{name}</code></h4>\n"));
        self.element("p", "asks", &query.question);
        let own: Vec<String> = query.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        self.element("p", "own", &own.join(", "));
        self.element("p", "digest", &query.digest);
        self.put(format_args!(
            "<details><summary>SQL of <code>{name}</code></summary></details>\n<pre><code>{}</code></pre>\n</article>\n",
            escape(query.sql.trim_end())
        ));
    }

    pub(super) fn sign_off(&mut self, roles: &[String]) {
        self.out +=
            "<div class=\"table sign-off\">\n<table class=\"wide\">\n<caption>Sign-off</caption>\n<thead>\n<tr>";
        for label in ["Role", "Name", "Date", "Signature"] {
            self.put(format_args!("<th scope=\"col\" class=\"text\">{label}</th>"));
        }
        self.out += "</tr>\n</thead>\n<tbody>\n";
        for role in roles {
            self.put(format_args!(
                "<tr><th scope=\"row\" class=\"text\">{}</th><td></td><td></td><td></td></tr>\n",
                escape(role)
            ));
        }
        self.out += "</tbody>\n</table>\n</div>\n";
    }
}
