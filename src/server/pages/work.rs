//! Long work of a page: its inside is computed once, kept by the size of the ledger, and waited for in the open.
//!
//! In: what is shown, who asks, how it is computed. Out: finished markup, or a page that says what runs. Invariants:
//! after somebody stated something the page is computed anew, however young the one is that is kept; so is what depends
//! on the time of day every quarter of an hour, though no event came.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::layout;
use crate::clock::{Micros, SECOND};
use crate::error::{Error, Result};
use crate::query::engine::Engine;
use crate::report::document::Tone;
use crate::report::html;
use crate::server::cache::{Look, Rendered};
use crate::server::caller::Caller;
use crate::server::route::{About, Answer, Body, Param, Place};
use crate::server::state::Tenant;

/// How long a page waits for its inside before it says that it is at work.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long what depends on the time of day may be kept.
const QUARTER: Micros = 15 * 60 * SECOND;
/// Stands between the parts of what is kept; no text can hold it, because escaping makes it visible.
const BREAK: &str = "\0";
/// What ends the front of a report.
const FRONT: &str = "</header>\n";
/// Letters of what was done, as an address names it.
const DONE_LETTERS: usize = 48;

/// What was just done, as the address says to which a form leads: `noted-4711`, a word and the event.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    done: String,
}

impl Done {
    /// The address of what a form leads to: `event` states that `what` was done.
    pub(super) fn address(base: &str, what: &str, event: i64) -> String {
        with(base, "done", &format!("{what}-{event}"))
    }

    /// The word and the event; none where nothing was done, or the address was not made here.
    pub(super) fn read(&self) -> Option<(&str, &str)> {
        let (what, event) = self.done.split_once('-')?;
        let is_word = !what.is_empty() && what.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let is_event = !event.is_empty() && event.bytes().all(|byte| byte.is_ascii_digit());
        (is_word && is_event && self.done.len() <= DONE_LETTERS).then_some((what, event))
    }

    /// What was just stated, in the words that `words` has for it, and the event that is the evidence of it; nothing
    /// where it has none.
    pub(super) fn said(&self, words: fn(&str) -> Option<&'static str>) -> String {
        let Some((words, event)) = self.read().and_then(|(what, event)| Some((words(what)?, event))) else {
            return String::new();
        };
        let event = layout::link(&format!("/v1/events/{event}"), &format!("Event {event}"));
        layout::notice(Tone::Good, &format!("<p>{words} {event} is the evidence of it.</p>"))
    }

    /// What keeps a page that shows it apart from those before.
    fn key(&self) -> &str {
        if self.read().is_some() { &self.done } else { "" }
    }
}

/// What is to be shown.
pub(super) struct Shown<'a> {
    /// What it is called among what is kept, with all that it depends on but the ledger and the time.
    pub(super) key: String,
    /// The title of the page while it waits.
    pub(super) title: &'a str,
    /// What was just done.
    pub(super) done: &'a Done,
}

/// The inside of a page, or the page that stands in for it.
pub(super) enum Inside {
    /// Finished markup.
    Ready(String),
    /// The answer as long as there is none.
    Wait(Response),
}

/// A parameter of a path.
pub(super) const fn part(name: &'static str, note: &'static str) -> Param {
    Param { name, place: Place::Path, is_required: true, schema: "string", note }
}

/// A parameter behind the question mark.
pub(super) const fn asked(name: &'static str, note: &'static str) -> Param {
    Param { name, place: Place::Query, is_required: false, schema: "string", note }
}

/// What a route that shows a page is about.
pub(super) const fn shows(summary: &'static str, params: &'static [Param]) -> About {
    const ANSWERS: &[Answer] = &[Answer { status: 200, types: &["text/html"], schema: "", note: "the page" }];
    About { summary, params, body: None, answers: ANSWERS }
}

/// What a route that takes a form of a page is about.
pub(super) const fn takes(summary: &'static str, params: &'static [Param]) -> About {
    const TYPES: &[&str] = &["application/x-www-form-urlencoded"];
    const ANSWERS: &[Answer] = &[Answer { status: 303, types: &[], schema: "", note: "done; where to look next" }];
    let body = Body { types: TYPES, schema: "", note: "the fields of the form, with its `csrf`" };
    About { summary, params, body: Some(body), answers: ANSWERS }
}

/// What is kept for `shown`, or made by `work`, which gets all that is known. The session is a whole one: where sealed
/// values are withheld, the key says so and the work leaves them out.
///
/// # Errors
/// When the work fails, or the store does.
pub(super) async fn inside<W, F>(caller: &Caller, shown: Shown<'_>, work: W) -> Result<Inside>
where
    W: FnOnce(Arc<Tenant>, Arc<Engine>) -> F + Send + 'static,
    F: Future<Output = Result<String>> + Send + 'static,
{
    let tenant = caller.tenant.clone();
    let quarter = tenant.store().clock().now().div_euclid(QUARTER);
    let key = format!("{}@{quarter}:{}", shown.key, shown.done.key());
    let size = tenant.content_size().await?;
    let worker = tenant.clone();
    let made = async move {
        let engine = worker.engine().await?;
        let markup = work(worker, engine).await?;
        Ok(Rendered { content_type: "text/html; charset=utf-8", body: markup.into() })
    };
    match tenant.pages().look(key, size, PATIENCE, made).await? {
        Look::Ready(rendered) => {
            let text = std::str::from_utf8(&rendered.body)
                .map_err(|e| Error::internal("a page that was kept is no text").because(e))?;
            Ok(Inside::Ready(text.to_owned()))
        }
        Look::Working(progress) => Ok(Inside::Wait(layout::refresh(&progress, shown.title, caller))),
    }
}

/// The inside of a finished report in two parts, so that a page can put its own between: the front with the title, and
/// the rest.
///
/// # Errors
/// Internal when the page is none of a report.
pub(super) fn in_two(report: &str) -> Result<[String; 2]> {
    let missing = || Error::internal("a report has no inside that a page could show");
    let fragment = html::fragment(report).ok_or_else(missing)?;
    let (front, rest) = fragment.split_once(FRONT).ok_or_else(missing)?;
    Ok([format!("{front}{FRONT}</div>\n"), format!("<div class=\"report\">\n{rest}")])
}

/// Parts as one text, for keeping.
pub(super) fn joined(parts: &[String]) -> String {
    parts.join(BREAK)
}

/// The parts of what was kept.
///
/// # Errors
/// Internal when they are not as many.
pub(super) fn apart<const N: usize>(kept: &str) -> Result<[&str; N]> {
    let parts: Vec<&str> = kept.split(BREAK).collect();
    parts.try_into().map_err(|_| Error::internal("a page that was kept has other parts than it is made of"))
}

/// Up to which event a page tells.
pub(super) fn up_to(engine: &Engine) -> String {
    let size = u64::try_from(engine.as_of().size).unwrap_or_default();
    format!("<p class=\"note\">As of the first {}.</p>\n", layout::counted(size, "event", "events"))
}

/// Sends the browser to `address` with a `GET`, after a form was posted.
pub(super) fn see_other(address: &str) -> Response {
    let headers = [(header::LOCATION, address.to_owned()), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// `address` with one more pair in its query.
pub(super) fn with(address: &str, name: &str, value: &str) -> String {
    let pair = layout::parts::address("", &[(name, value)]);
    match (pair.strip_prefix('?'), address.contains('?')) {
        (Some(pair), true) => format!("{address}&{pair}"),
        (Some(pair), false) => format!("{address}?{pair}"),
        (None, _) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_read_back_and_anything_else_is_passed_over() {
        let read = |done: &str| Done { done: done.to_owned() }.read().map(|(what, seq)| format!("{what} {seq}"));
        assert_eq!(Done::address("/a", "noted", 7), "/a?done=noted-7");
        assert_eq!(read("noted-7").as_deref(), Some("noted 7"));
        for text in ["", "noted", "noted-", "-7", "<b>-7", "noted-7x", "a-1-2"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&format!("noted-{}", "7".repeat(60))), None);
    }

    #[test]
    fn only_what_a_page_has_words_for_is_said_to_be_done() {
        let said = |done: &str| {
            Done { done: done.to_owned() }.said(|what| (what == "drawn").then_some("The sample is drawn."))
        };
        assert!(said("drawn-7").contains("The sample is drawn. <a href=\"/v1/events/7\">"));
        assert_eq!([said(""), said("praised-7")], ["", ""]);
    }

    #[test]
    fn parts_come_apart_as_they_were_joined_and_a_report_in_two() {
        let kept = joined(&["a".to_owned(), String::new(), "b".to_owned()]);
        assert_eq!(apart::<3>(&kept).unwrap(), ["a", "", "b"]);
        assert!(apart::<2>(&kept).is_err() && in_two("<p>").is_err());
        let page = html::render(&crate::report::document::Document { title: "T".to_owned(), ..Default::default() });
        let [front, rest] = in_two(&page).unwrap();
        for part in [&front, &rest] {
            assert_eq!(part.matches("<div").count(), part.matches("</div>").count(), "{part}");
        }
        assert!(front.contains("<h1>T</h1>") && !rest.contains("<h1>"));
    }

    #[test]
    fn a_pair_is_added_to_an_address_with_or_without_others() {
        assert_eq!(with("/a", "b", "1 &"), "/a?b=1+%26");
        assert_eq!(with("/a?x=1", "b", "2"), "/a?x=1&b=2");
        assert_eq!(with("/a", "b", ""), "/a");
    }
}
