//! `/reviews`: the sample reviews, one review with its result, and the forms that plan, draw and decide.
//!
//! In: requests of people. Out: pages; for every form an event of the review, by the caller's name. Invariants: what is
//! shown is the account of `review::account` and the report made of it; who still marks items among which known errors
//! were planted does not see the numbers that would tell them apart.

mod form;
pub(in crate::server) mod kept;
mod list;
mod show;
mod state;

use super::layout::path;
use super::work::{asked, part, shows, takes};
use crate::access::role::May;
use crate::server::route::{Param, Route};

const ID: &[Param] = &[part("id", "the review")];
const NEW: &[Param] = &[asked("incident", "what stands in the form: the incident"), asked("workflow", "the workflow")];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    let (read, respond) = (Some(May::Read), Some(May::Respond));
    vec![
        Route::get("/reviews", read, list::list)
            .page()
            .about(shows("the sample reviews, and which of them wait for the caller", &[])),
        Route::get("/reviews/new", respond, list::blank).page().about(shows("the form that plans a review", NEW)),
        Route::post("/reviews", respond, list::plan).page().about(takes("plans a review", &[])),
        Route::get("/reviews/{id}", read, show::show)
            .page()
            .about(shows("a review: what its sample says, how it was drawn, how to do it again", ID)),
        Route::post("/reviews/{id}/draw", respond, state::draw).page().about(takes("draws the sample of a review", ID)),
        Route::post("/reviews/{id}/decide", respond, state::decide)
            .page()
            .about(takes("signs where a review stands, as its business owner", ID)),
    ]
}

/// Where a review is shown.
pub(super) fn address(id: &str) -> String {
    path(&["reviews", id])
}
