//! The monthly governance review inside the frame, and the months that there are.
//!
//! In: a month. Out: the page of `report::monthly`, the same that the command line writes, with links to its numbers;
//! the button that issues it. Invariant: page, numbers and what is issued are one report, made once for the events that
//! there are, however many look. It must not compute a number.

use axum::extract::{Form, Path, Query};
use serde::Deserialize;
use serde_json::json;

use super::layout::{self, Page, Place};
use super::work::{self, Done, Inside, Shown, asked, part, shows, takes};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::objects::{self, Row};
use crate::query::params::Params;
use crate::report::document::{Kind, Tone};
use crate::report::period::Month;
use crate::report::{format, html, issued};
use crate::server::api::bundle::Bundle;
use crate::server::api::reports;
use crate::server::cache::{self, Look};
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{Param, Route};

const MONTH: Param = part("month", "the month, YYYY-MM");
/// What the address says after a review was issued.
const ISSUED: &str = "issued";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    let review = shows(
        "the governance review of a month",
        const { &[MONTH, asked("done", "what was just done: `issued-` and the event")] },
    );
    let issue = takes("states that the review of a month was issued, with its numbers", const { &[MONTH] });
    vec![
        Route::get("/monthly", Some(May::Read), list).page().about(shows("the months that the evidence covers", &[])),
        Route::get("/monthly/{month}", Some(May::Read), review_of).page().about(review),
        Route::post("/monthly/{month}/issue", Some(May::Administer), issue_it).page().about(issue),
    ]
}

async fn list(caller: Caller) -> Reply {
    let shown = Shown { key: "months".to_owned(), title: "Monthly review", done: &Done::default() };
    let made = work::inside(&caller, shown, |_, engine| async move {
        cache::step("counting the events of each month");
        months(&engine).await
    });
    let body = match made.await? {
        Inside::Ready(body) => body,
        Inside::Wait(response) => return Ok(response),
    };
    caller.reads(Read { what: "/monthly", subject: None, extra: json!({}) }).await?;
    Ok(layout::render(&Page { title: "Monthly review", here: Place::Monthly, caller: &caller, body }))
}

async fn months(engine: &Engine) -> Result<String> {
    let answer = engine.run(Catalogue::shipped()?.get("months")?, &Params::new()).await?;
    let mut rows = objects::rows(&answer)?;
    rows.reverse();
    let issued = issues(engine).await?;
    let cells: Vec<Vec<String>> = rows.iter().map(|row| month_row(row, &issued)).collect();
    let columns = [
        ("Month", Kind::Text),
        ("Events", Kind::Count),
        ("Records reviewed", Kind::Count),
        ("Proposed", Kind::Count),
        ("Decided", Kind::Count),
        ("Executed", Kind::Count),
        ("Corrected", Kind::Count),
        ("First issued", Kind::Text),
    ];
    let head = layout::heading(
        "Monthly review",
        "The evidence month by month, the newest first. Each review is computed from the evidence as it is now; once \
         it is issued, its first numbers stand beside those of today.",
    );
    let empty = "There is no event yet; `probity ingest` or POST /v1/events brings them in.";
    Ok(head + &layout::table("", &columns, &cells, empty))
}

fn month_row(row: &Row, issued: &[Row]) -> Vec<String> {
    let month = objects::text(row, "month");
    let words = Month::parse(month).map_or_else(|_| month.to_owned(), Month::words);
    let count = |column: &str| objects::count(row, column).map_or_else(String::new, format::count);
    let is_of_month = |row: &&Row| objects::text(row, "report") == "monthly" && objects::text(row, "subject") == month;
    let first = issued.iter().find(is_of_month).map_or_else(String::new, |row| {
        let (at, by) = (objects::text(row, "issued_at"), objects::text(row, "issued_by"));
        format!("{} by {}", layout::time(at), layout::escape(by))
    });
    let mut cells = vec![layout::link(&address_of(month), &words)];
    cells.extend(["events", "reviewed", "proposed", "decided", "executed", "corrected"].map(count));
    cells.push(first);
    cells
}

/// The reports that were issued, the oldest first.
async fn issues(engine: &Engine) -> Result<Vec<Row>> {
    let answer = engine.run(Catalogue::shipped()?.get("issued_reports")?, &Params::new()).await?;
    objects::rows(&answer)
}

fn address_of(month: &str) -> String {
    layout::path(&["monthly", month])
}

async fn review_of(caller: Caller, Path(month): Path<String>, Query(done): Query<Done>) -> Reply {
    let month = Month::parse(&month)?;
    let (name, title) = (month.to_string(), format!("Review of {}", month.words()));
    let report = match reports::review(&caller, &name).await? {
        Look::Ready(kept) => Bundle::read(&kept)?.report()?,
        Look::Working(progress) => return Ok(layout::refresh(&progress, &title, &caller)),
    };
    let inside = html::fragment(&report.html).ok_or_else(|| Error::internal("a report has no inside"))?;
    let extra = json!({"params": {"month": name}});
    caller.reads(Read { what: "/monthly/{month}", subject: None, extra }).await?;
    let body = told(&done) + &ways(&caller, &name) + &inside;
    Ok(layout::render(&Page { title: &title, here: Place::Monthly, caller: &caller, body }))
}

/// What was just done, where something was.
fn told(done: &Done) -> String {
    let Some((ISSUED, event)) = done.read() else { return String::new() };
    let words = format!(
        "<p>Event {} states that this review was issued. Later reviews of the month show these numbers beside their \
         own.</p>",
        layout::escape(event)
    );
    layout::notice(Tone::Good, &words)
}

/// What can be done with the review: its numbers taken away, and issued.
fn ways(caller: &Caller, month: &str) -> String {
    let report = layout::path(&["v1", "reports", "monthly", month]);
    let form = |name: &str, value: &str, words: &str| layout::link(&layout::address(&report, &[(name, value)]), words);
    let mut ways = vec![
        layout::link("/monthly", "All months"),
        form("format", "html", "Standalone page"),
        form("format", "json", "JSON"),
        form("table", "metrics", "Metrics as CSV"),
        form("table", "controls", "Controls as CSV"),
        form("table", "violations", "Violations as CSV"),
    ];
    if caller.may(May::Administer) {
        let address = format!("{}/issue", address_of(month));
        ways.push(layout::button_form(&address, caller, "Issue this review", &[]));
    }
    layout::actions(&ways)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Issue {
    csrf: String,
}

/// States that the review was issued; while it is still being made, nothing is stated and the page shows how far it is.
async fn issue_it(caller: Caller, Path(month): Path<String>, Form(form): Form<Issue>) -> Reply {
    caller.check_csrf(&form.csrf)?;
    let month = Month::parse(&month)?.to_string();
    let Look::Ready(kept) = reports::review(&caller, &month).await? else {
        return Ok(work::see_other(&address_of(&month)));
    };
    let report = Bundle::read(&kept)?.report()?;
    let seq = issued::state(caller.tenant.store(), &report, &caller.name).await?;
    Ok(work::see_other(&Done::address(&address_of(&month), ISSUED, seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_month_leads_to_its_review_and_says_when_it_was_issued_first() {
        let issued = [
            row(r#"{"report":"monthly","subject":"2016-03","issued_at":"2016-04-02T09:00:00Z","issued_by":"ada"}"#),
            row(r#"{"report":"monthly","subject":"2016-03","issued_at":"2016-05-02T09:00:00Z","issued_by":"bob"}"#),
        ];
        let cells = month_row(&row(r#"{"month":"2016-03","events":1200,"reviewed":null}"#), &issued);
        assert_eq!(cells.len(), 8);
        assert!(
            cells[0].contains("href=\"/monthly/2016-03\">March 2016<") && cells[1] == "1,200" && cells[2].is_empty()
        );
        assert!(cells[7].ends_with("by ada"));
    }
}
