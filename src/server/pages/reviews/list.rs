//! The reviews as a page, and the form that plans one.
//!
//! In: requests. Out: the list, with what waits for whom; a plan in the ledger. Invariant: the list reads no marks, so
//! that it stays quick; a form that is refused comes back as it was filled in.

use axum::Form;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::super::layout::parts::badge;
use super::super::layout::{
    self, Page, Place, actions, counted, escape, heading, link, notice, section, state, time, worklist,
};
use super::super::work::{Done, see_other};
use super::super::{desk, incident};
use super::address;
use super::form::Planning;
use crate::access::role::May;
use crate::analysis::fraction::Fraction;
use crate::clock::rfc3339;
use crate::error::{ErrorKind, Result};
use crate::report::document::{Kind, Tone};
use crate::review::proposal;
use crate::review::record::{self, Review};
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;

/// Reviews that are over on the page, the newest first; the API has all.
const OVER: usize = 100;

/// The reviews.
pub(super) async fn list(caller: Caller) -> Reply {
    let engine = caller.tenant.engine().await?;
    let reviews = record::list(&engine).await?;
    caller.reads(Read { what: "/reviews", subject: None, extra: json!({}) }).await?;
    let (over, open): (Vec<&Review>, Vec<&Review>) = reviews.iter().rev().partition(|review| is_over(review));
    let plan = match caller.may(May::Respond) {
        true => "<a class=\"button main\" href=\"/reviews/new\">Plan a review</a>".to_owned(),
        false => String::new(),
    };
    let columns = [
        ("Review", Kind::Code),
        ("Workflow", Kind::Text),
        ("For", Kind::Text),
        ("State", Kind::Text),
        ("Claim", Kind::Text),
        ("Planned", Kind::Time),
        ("Waits for", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = open.iter().map(|review| open_row(review, &caller)).collect();
    let waiting = section("open", "Open", &worklist(&columns, &rows, "No review is open."));
    let columns = [
        ("Review", Kind::Code),
        ("Workflow", Kind::Text),
        ("For", Kind::Text),
        ("Decision", Kind::Text),
        ("Signed by", Kind::Text),
        ("At", Kind::Time),
        ("Runs again", Kind::Text),
    ];
    let rows: Vec<Vec<String>> = over.iter().take(OVER).map(|review| over_row(review)).collect();
    let mut done = worklist(&columns, &rows, "No review is over.");
    if over.len() > OVER {
        done.push_str(&format!("<p class=\"note\">The newest {OVER} of {}; the JSON has all.</p>\n", over.len()));
    }
    let about = "Samples that show whether the work is right, before a workflow runs again or from time to time.";
    let body = format!(
        "{}{}{waiting}{}",
        heading("Sample reviews", about),
        actions(&[plan, link("/v1/reviews", "JSON")]),
        section("over", "Over", &done)
    );
    Ok(layout::render(&Page { title: "Sample reviews", here: Place::Reviews, caller: &caller, body }))
}

fn is_over(review: &Review) -> bool {
    review.end().is_some() && !review.is_to_resume()
}

fn id_of(review: &Review) -> String {
    format!(
        "<a href=\"{}\"><code class=\"short\">{}</code></a>",
        escape(&address(&review.review_id)),
        escape(&review.review_id)
    )
}

fn purpose(review: &Review) -> String {
    let words = escape(review.planned.what.purpose.words());
    match &review.incident_id {
        Some(id) => format!("{words} {}", incident::link_to(id)),
        None => words,
    }
}

fn open_row(review: &Review, caller: &Caller) -> Vec<String> {
    vec![
        id_of(review),
        escape(&review.workflow),
        purpose(review),
        escape(review.state()),
        format!("errors below {}", share(review.plan().claim.below)),
        time(&rfc3339(review.planned.at)),
        waits_for(review, caller),
    ]
}

/// A claim as it was written, where it is whole percent; else the exact fraction.
fn share(of: Fraction) -> String {
    let percent = u128::from(of.numerator()) * 100;
    let whole = u128::from(of.denominator());
    if percent.is_multiple_of(whole) { format!("{}\u{a0}%", percent / whole) } else { of.to_string() }
}

/// Who has to do something now, and who after him.
fn waits_for(review: &Review, caller: &Caller) -> String {
    let plan = review.plan();
    let is_mine = plan.reviewers.contains(&caller.name);
    let owner = match plan.owner == caller.name {
        true => badge(Tone::Watch, "you sign"),
        false => format!("{} signs", escape(&plan.owner)),
    };
    if review.is_to_resume() {
        return format!("{owner} once more: ENABLE is signed, and the workflow does not run yet");
    }
    let waits = match (&review.drawn, is_mine) {
        (None, _) => "the draw".to_owned(),
        (Some(_), true) if caller.may(May::Mark) => {
            format!("{} {}", badge(Tone::Watch, "you"), link(&desk::address(&review.review_id), "Open the desk"))
        }
        (Some(_), _) => escape(&plan.reviewers.join(", ")),
    };
    format!("{waits}, then {owner}")
}

fn over_row(review: &Review) -> Vec<String> {
    let last = review.last();
    let decision = last.map(|last| state(last.what.status.decision.name())).unwrap_or_default();
    let unheard = match review.unheard {
        0 => String::new(),
        n => format!("<br>{}", badge(Tone::Bad, &format!("{} not counted", counted(n, "mark is", "marks are")))),
    };
    vec![
        id_of(review),
        escape(&review.workflow),
        purpose(review),
        format!("{decision}{unheard}"),
        last.map(|last| escape(&last.by)).unwrap_or_default(),
        last.map(|last| time(&rfc3339(last.at))).unwrap_or_default(),
        review.resumed.as_ref().map(|resumed| time(&rfc3339(resumed.at))).unwrap_or_default(),
    ]
}

/// What the form of a new review is filled in with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    incident: String,
    workflow: String,
}

/// The form that plans a review.
pub(super) async fn blank(caller: Caller, Query(Given { incident, workflow }): Query<Given>) -> Reply {
    let planning = Planning { incident, workflow, ..Planning::default() };
    Ok(page(&caller, &planning, (StatusCode::OK, String::new())))
}

fn page(caller: &Caller, planning: &Planning, (status, above): (StatusCode, String)) -> Response {
    let about = "The plan is in the ledger before anybody can know the sample; nothing of it changes afterwards.";
    let form = layout::form("/reviews", caller, &planning.markup(), "Plan the review");
    let body = format!("{}{above}{form}", heading("Plan a sample review", about));
    layout::render_as(status, &Page { title: "Plan a sample review", here: Place::Reviews, caller, body })
}

/// Plans a review.
pub(super) async fn plan(caller: Caller, Form(planning): Form<Planning>) -> Reply {
    caller.check_csrf(&planning.csrf)?;
    match planned(&caller, &planning).await {
        Ok(response) => Ok(response),
        Err(e) if e.kind() == ErrorKind::Invalid => {
            let said = notice(Tone::Bad, &format!("<p>{}</p>", layout::message(&e.to_string())));
            Ok(page(&caller, &planning, (StatusCode::BAD_REQUEST, said)))
        }
        Err(e) => Err(e.into()),
    }
}

async fn planned(caller: &Caller, planning: &Planning) -> Result<Response> {
    let proposal = planning.terms()?.proposal()?;
    let engine = caller.tenant.engine().await?;
    let logged = proposal::plan(caller.tenant.store(), &engine, &proposal, &caller.name).await?;
    Ok(see_other(&Done::address(&address(&logged.review_id), "planned", logged.seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_in_percent_where_that_is_exact() {
        let shown = ["1/5", "0.05", "1/3", "0.125"].map(|text| share(Fraction::parse(text).unwrap()));
        assert_eq!(shown, ["20\u{a0}%", "5\u{a0}%", "1/3", "1/8"]);
    }
}
