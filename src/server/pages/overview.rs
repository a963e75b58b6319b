//! The overview: what needs somebody now, the newest month in numbers, whether the evidence is in order.
//!
//! In: who asks. Out: one page. Invariants: what is cheap is looked up at once, what is not is kept for the events that
//! there are and never waited for: its place says what runs. A part that fails says so and takes no other with it. It
//! must not compute a number.

mod find;
mod numbers;
mod state;
mod waiting;

use std::time::Duration;

use axum::response::Response;
use serde_json::json;

use super::layout::{self, Page, Place};
use super::work::shows;
use crate::access::role::May;
use crate::clock::{DAY, Micros, SECOND};
use crate::error::{Error, ErrorKind, Result};
use crate::report::document::Tone;
use crate::server::api::bundle;
use crate::server::cache::{Look, Rendered};
use crate::server::caller::{Caller, Read};
use crate::server::problem::{Reply, unplaced};
use crate::server::route::Route;
use crate::store::object::Location;

/// How long the page waits for its parts.
const PATIENCE: Duration = Duration::from_millis(600);
/// How long deadlines and ages may be kept.
const QUARTER: Micros = 15 * 60 * SECOND;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/", Some(May::Read), overview)
            .page()
            .about(shows("what needs somebody now, the newest month in numbers, the state of the evidence", &[])),
        find::route(),
    ]
}

/// A part of the page.
enum Part {
    /// Finished markup.
    Ready(String),
    /// What stands in its place.
    Unfinished(String),
}

impl Part {
    fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    fn markup(&self) -> &str {
        match self {
            Self::Ready(markup) | Self::Unfinished(markup) => markup,
        }
    }
}

async fn overview(caller: Caller) -> Reply {
    let tenant = caller.tenant.clone();
    let condition = tenant.store().condition().await?;
    let (size, now) = (tenant.content_size().await?, tenant.store().clock().now());
    let waits = tenant.clone();
    let sight = bundle::sight(&caller);
    let waiting = part(
        &caller,
        (format!("overview:waiting:{sight:?}@{}", now.div_euclid(QUARTER)), size, "What needs somebody"),
        async move {
            let engine = waits.engine().await?;
            waiting::markup(&engine, sight).await
        },
    );
    let evidence = state::markup(tenant.store(), &condition, now);
    let (waiting, numbers, evidence) = tokio::join!(waiting, Numbers::of(&caller, size, now), evidence);
    let evidence = evidence?;
    caller.reads(Read { what: "/", subject: None, extra: json!({}) }).await?;
    let about = format!("Tenant {}", tenant.name());
    let is_finished = waiting.is_ready() && numbers.is_ready();
    let mut body = layout::heading("Overview", &about);
    if !is_finished {
        body += &layout::looks_again();
    }
    let in_numbers = numbers.markup();
    // The ledger itself is never empty: who makes a token or looks at this page is in it.
    if in_numbers.is_empty() {
        body += &beginning();
    }
    body += waiting.markup();
    body += &in_numbers;
    body += &evidence;
    Ok(rendered(&caller, body, is_finished))
}

/// The numbers, each part kept for itself: what is ready is read while the rest is being asked for.
struct Numbers {
    rates: Part,
    before: Part,
    controls: Part,
}

impl Numbers {
    async fn of(caller: &Caller, size: i64, now: Micros) -> Self {
        // Whether a number is mature yet changes with the day.
        let key = |name: &str| format!("overview:{name}@{}", now.div_euclid(DAY));
        let [first, second, third] = [(); 3].map(|()| caller.tenant.clone());
        let rates = part(caller, (key("rates"), size, "The newest month"), async move {
            let engine = first.reporting().await?;
            numbers::rates(&engine).await
        });
        let before = part(caller, (key("before"), size, "The month before"), async move {
            let engine = second.reporting().await?;
            numbers::before(&engine).await
        });
        let controls = part(caller, (key("controls"), size, "Controls that fail"), async move {
            let engine = third.reporting().await?;
            numbers::controls(&engine).await
        });
        let (rates, before, controls) = tokio::join!(rates, before, controls);
        Self { rates, before, controls }
    }

    fn is_ready(&self) -> bool {
        [&self.rates, &self.before, &self.controls].into_iter().all(Part::is_ready)
    }

    /// Nothing where no source has sent an event.
    fn markup(&self) -> String {
        let [rates, before, controls] = [&self.rates, &self.before, &self.controls].map(Part::markup);
        if rates.is_empty() {
            return String::new();
        }
        format!("<div class=\"columns\">\n{rates}{before}</div>\n{controls}")
    }
}

fn rendered(caller: &Caller, body: String, is_finished: bool) -> Response {
    let page = Page { title: "Overview", here: Place::Overview, caller, body };
    if is_finished { layout::render(&page) } else { layout::render_unfinished(&page) }
}

/// A part that is kept, or what runs in its place; `title` heads it while there is nothing else to head it.
async fn part<F>(caller: &Caller, (key, size, title): (String, i64, &str), work: F) -> Part
where
    F: Future<Output = Result<String>> + Send + 'static,
{
    let made = async move {
        let markup = work.await?;
        Ok(Rendered { content_type: "text/html; charset=utf-8", body: markup.into() })
    };
    let found = match caller.tenant.pages().look(key, size, PATIENCE, made).await {
        Ok(Look::Ready(rendered)) => std::str::from_utf8(&rendered.body)
            .map(|markup| Part::Ready(markup.to_owned()))
            .map_err(|e| Error::internal("a part that was kept is no text").because(e)),
        Ok(Look::Working(progress)) => {
            Ok(Part::Unfinished(layout::section(&place_of(title), title, &layout::working(&progress))))
        }
        Err(error) => Err(error),
    };
    found.unwrap_or_else(|error| Part::Ready(failed(title, &error, caller.tenant.store().location())))
}

/// An anchor made of a title: `The newest month` → `the-newest-month`.
fn place_of(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

/// A part that failed; as in a problem, a path begins within the store.
fn failed(title: &str, error: &Error, store: &Location) -> String {
    let words = match error.kind() {
        ErrorKind::Internal => "this part failed by a defect; the log of the server tells more".to_owned(),
        _ => unplaced(&error.to_string(), store),
    };
    let words = format!("<p>{}</p>", layout::message(&words));
    layout::section(&place_of(title), title, &layout::notice(Tone::Bad, &words))
}

/// Said while no source has sent anything.
fn beginning() -> String {
    let words = "<p><strong>No source has sent an event yet.</strong> Send some with <code>POST /v1/events</code>, or \
                 from a file with <code>probity ingest FILE</code>; <code>probity simulate --events 1000 --seed \
                 1</code> makes a log up.</p>";
    layout::notice(Tone::Plain, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_shown_while_the_rest_is_asked_for() {
        let part = |rates: &str| Numbers {
            rates: Part::Ready(rates.to_owned()),
            before: Part::Ready("<p>before</p>".to_owned()),
            controls: Part::Unfinished("<p>at work</p>".to_owned()),
        };
        let numbers = part("<p>rates</p>");
        assert!(!numbers.is_ready());
        for shown in ["<p>rates</p>", "<p>before</p>", "<p>at work</p>"] {
            assert!(numbers.markup().contains(shown), "{shown}");
        }
        assert_eq!(part("").markup(), "");
    }

    #[test]
    fn a_part_that_failed_says_why_and_hides_what_a_defect_tells() {
        let store = Location::memory();
        let told = failed("The newest month", &Error::limit("the query needs <more> memory"), &store);
        assert!(told.contains("The query needs &lt;more&gt; memory.") && told.contains("id=\"the-newest-month\""));
        assert!(!failed("x", &Error::internal("/home/somebody"), &store).contains("somebody"));
        let store = Location::open("/home/somebody/evidence").unwrap();
        let gone = Error::unavailable("cannot read /home/somebody/evidence/tenants/default/events/a.parquet");
        let told = failed("x", &gone, &store);
        assert!(told.contains("tenants/default/events/a.parquet") && !told.contains("somebody"), "{told}");
    }
}
