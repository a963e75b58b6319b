//! The frame of every page: head, navigation, who is asking, and the policy that lets nothing foreign in.
//!
//! In: a title, the place in the navigation, the caller, markup. Out: responses. Invariant: a page works without a
//! script, without a mouse and at 360 pixels; no style and no script stands in the markup, which the content policy
//! enforces. It must not compute anything or read the evidence. [`parts`] are the pieces that bodies are made of.

pub mod parts;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::assets;
use crate::clock::rfc3339;
use crate::report::{format, html};
use crate::server::cache::Progress;
use crate::server::caller::{Caller, Via};

pub use parts::{
    Choice, Field, Tab, actions, address, badge, button_form, code, fields, form, heading, link, message, missing,
    notice, on_paper, pairs, path, section, select, sentence, state, table, tabs, text_area, time, worklist,
};

/// What a browser may load and do on a page: the server's own style sheets, scripts and forms, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Seconds after which a page of long work looks again.
const REFRESH_SECONDS: u32 = 2;

/// Where a page stands in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/`.
    Overview,
    /// `/monthly` and below.
    Monthly,
    /// `/incidents` and below.
    Incidents,
    /// `/reviews` and below.
    Reviews,
    /// The desk of a review: under Reviews, with its script of keys.
    Desk,
    /// `/query` and `/sql`.
    Query,
    /// `/health`.
    Health,
    /// Records, actions, what was found: no entry of the navigation.
    Elsewhere,
}

/// The entries of the navigation.
const ENTRIES: [(Place, &str, &str); 6] = [
    (Place::Overview, "/", "Overview"),
    (Place::Monthly, "/monthly", "Monthly"),
    (Place::Incidents, "/incidents", "Incidents"),
    (Place::Reviews, "/reviews", "Reviews"),
    (Place::Query, "/query", "Query"),
    (Place::Health, "/health", "Health"),
];

/// One page.
pub struct Page<'a> {
    /// What it is, for the title of the window; the heading stands in the body.
    pub title: &'a str,
    /// Where it stands in the navigation.
    pub here: Place,
    /// Who asks.
    pub caller: &'a Caller,
    /// Finished markup, every text in it escaped.
    pub body: String,
}

/// The whole page.
pub fn render(page: &Page<'_>) -> Response {
    respond(StatusCode::OK, &framed(page, ""))
}

/// The whole page with another status, such as that of a form sent back with what is wrong in it.
pub fn render_as(status: StatusCode, page: &Page<'_>) -> Response {
    respond(status, &framed(page, ""))
}

/// The whole page, of which a part is still being worked on: it looks again by itself, without a script.
pub fn render_unfinished(page: &Page<'_>) -> Response {
    respond(StatusCode::OK, &framed(page, &again()))
}

/// The page of long work: what runs and since when. It looks again by itself, without a script.
pub fn refresh(progress: &Progress, title: &str, caller: &Caller) -> Response {
    let body = heading(title, "") + &working(progress) + &looks_again();
    respond(StatusCode::OK, &framed(&Page { title, here: Place::Elsewhere, caller, body }, &again()))
}

/// What runs, and since when.
pub fn working(progress: &Progress) -> String {
    format!(
        "<div class=\"working\" role=\"status\">\n<p class=\"step\">{}</p>\n<p class=\"note\">Running since {}.</p>\n\
         </div>\n",
        message(&progress.step),
        time(&rfc3339(progress.since)),
    )
}

/// That a page which is at work will show its result; said once, whatever runs.
pub fn looks_again() -> String {
    format!(
        "<p class=\"note\">This page looks again every {REFRESH_SECONDS} seconds; the work goes on if you leave, and its \
         result is kept.</p>\n"
    )
}

fn again() -> String {
    format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n")
}

/// A page that says what went wrong, for anybody: it names no tenant and no caller. Its navigation leads on; who is not
/// known comes to the log-in by any of its entries.
pub fn problem(status: StatusCode, message: &str) -> Response {
    let title = match status {
        StatusCode::UNAUTHORIZED => "Please log in",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "That cannot be done",
        StatusCode::CONFLICT => "Somebody was first",
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => "Too much at once",
        StatusCode::SERVICE_UNAVAILABLE => "Not available just now",
        _ => "Something failed",
    };
    let way = match status {
        StatusCode::UNAUTHORIZED => "<a class=\"button\" href=\"/login\">Log in</a>",
        _ => "<a class=\"button\" href=\"/\">Overview</a>",
    };
    let code = status.as_u16();
    let body = format!(
        "{}<p class=\"text\">{}</p>\n<p class=\"actions\">{way}</p>\n",
        heading(title, &format!("Status {code}")),
        parts::message(message)
    );
    respond(status, &unframed(title, &navigation(Place::Elsewhere), &body))
}

/// A page outside the frame, for who is not known yet: the log-in. `body` is markup.
pub fn bare(status: StatusCode, title: &str, body: &str) -> Response {
    respond(status, &unframed(title, "", body))
}

fn unframed(title: &str, navigation: &str, body: &str) -> String {
    let head = head(title, "", false);
    format!(
        "{head}<body class=\"app bare\">\n<header class=\"site\">\n<p class=\"brand\"><a href=\"/\">Probity</a></p>\n\
         {navigation}</header>\n<main id=\"main\">\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Text as markup: as [`html::escape`].
pub fn escape(text: &str) -> String {
    html::escape(text)
}

fn framed(page: &Page<'_>, extra: &str) -> String {
    let mut out = head(page.title, extra, page.here == Place::Desk);
    let class = if page.here == Place::Desk { "app at-desk" } else { "app" };
    out += &format!(
        "<body class=\"{class}\">\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
         <header class=\"site\">\n<p class=\"brand\"><a href=\"/\">Probity</a></p>\n"
    );
    out += &navigation(page.here);
    out += SEARCH;
    out += &who(page.caller);
    out += "</header>\n";
    out += &said_first(page.caller);
    out += "<main id=\"main\" tabindex=\"-1\">\n";
    out += &page.body;
    out += &on_paper(&made_for(page.caller));
    out += "</main>\n<footer class=\"site\">\n<p>Times are UTC. Every read of evidence is itself evidence. \
            <a href=\"/openapi.json\">API</a></p>\n</footer>\n</body>\n</html>\n";
    out
}

fn head(title: &str, extra: &str, has_script: bool) -> String {
    let title = if title.is_empty() { "Probity".to_owned() } else { format!("{} · Probity", escape(title)) };
    let [report, own, icon] = ["report.css", "probity.css", "icon.svg"].map(assets::address);
    let script = match has_script {
        true => format!("<script src=\"{}\" defer></script>\n", assets::address("desk.js")),
        false => String::new(),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n{extra}<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{report}\">\n<link rel=\"stylesheet\" href=\"{own}\">\n\
         <link rel=\"icon\" type=\"image/svg+xml\" href=\"{icon}\">\n{script}</head>\n"
    )
}

fn navigation(here: Place) -> String {
    let here = if here == Place::Desk { Place::Reviews } else { here };
    let entry = |(place, href, words): &(Place, &str, &str)| {
        let current = if *place == here { " aria-current=\"page\"" } else { "" };
        format!("<li><a href=\"{href}\"{current}>{words}</a></li>\n")
    };
    let entries: String = ENTRIES.iter().map(entry).collect();
    format!("<nav class=\"places\" aria-label=\"Pages\">\n<ul>\n{entries}</ul>\n</nav>\n")
}

/// The box that goes to a record, an action or an event.
const SEARCH: &str = "<form class=\"search\" role=\"search\" method=\"get\" action=\"/find\">\n\
    <label class=\"unseen\" for=\"find\">Record, action or event number</label>\n\
    <input id=\"find\" name=\"q\" type=\"search\" placeholder=\"Record or action\" maxlength=\"512\" \
    autocomplete=\"off\" spellcheck=\"false\" required>\n<button>Find</button>\n</form>\n";

fn who(caller: &Caller) -> String {
    let (name, role, tenant) = (escape(&caller.name), caller.role.word(), escape(caller.tenant.name()));
    let out = match caller.via {
        Via::Session => button_form("/logout", caller, "Log out", &[]),
        Via::Token | Via::Local => String::new(),
    };
    format!(
        "<div class=\"who\">\n<p><span class=\"name\">{name}</span> <span class=\"role\">{role}</span> \
         <span class=\"tenant\">tenant {tenant}</span></p>\n{out}</div>\n"
    )
}

/// For whom a page was made, and when: the head of the page is not printed.
fn made_for(caller: &Caller) -> String {
    let (name, role, tenant) = (escape(&caller.name), caller.role.word(), escape(caller.tenant.name()));
    let now = time(&rfc3339(caller.tenant.store().clock().now()));
    format!("<p class=\"note\">Tenant {tenant}, shown to {name} ({role}) at {now} UTC.</p>\n")
}

/// What holds for every page of this caller and must be known before anything is read.
fn said_first(caller: &Caller) -> String {
    let mut out = String::new();
    if caller.via == Via::Local {
        out += "<p class=\"strip local\" role=\"note\"><strong>Local mode.</strong> No access token exists, so everybody on \
                this machine is an administrator here. <code>probity token create</code> ends it.</p>\n";
    }
    if !caller.sees_sealed {
        out += "<p class=\"strip\" role=\"note\"><strong>Sealed values are withheld.</strong> Old and new values, \
                comments, errors and extra data of events are not part of this session.</p>\n";
    }
    out
}

/// A count of things in words: `1 event`, `8,828 events`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", format::count(count), if count == 1 { one } else { many })
}

fn respond(status: StatusCode, page: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (status, headers, page.to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_forbids_what_is_not_the_servers_own() {
        let response = problem(StatusCode::NOT_FOUND, "there is no page `/x`");
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap_or_default().to_owned());
        assert_eq!(header("content-security-policy").as_deref(), Some(POLICY));
        assert!(!POLICY.contains("unsafe"));
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(header("referrer-policy").as_deref(), Some("same-origin"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(header("cross-origin-opener-policy").as_deref(), Some("same-origin"));
    }

    #[test]
    fn the_navigation_marks_where_the_reader_is() {
        let marked = |here: Place| navigation(here).matches("aria-current").count();
        assert_eq!(ENTRIES.map(|(place, ..)| marked(place)), [1; 6]);
        assert!(navigation(Place::Desk).contains("href=\"/reviews\" aria-current=\"page\""));
        assert_eq!(marked(Place::Elsewhere), 0);
    }

    #[test]
    fn the_script_is_on_the_desk_alone() {
        assert!(!head("a", "", false).contains("<script") && head("a", "", true).contains("/assets/desk.js"));
        assert!(!head("a", "", true).contains("<style"));
    }
}
