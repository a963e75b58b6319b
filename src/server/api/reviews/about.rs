//! What the routes of reviews are about, for those who call them.
//!
//! In: nothing. Out: the parameters, bodies and answers that the OpenAPI document prints. Invariant: a name of a
//! schema is one of `schemas.json`; a test of the document holds this.

use crate::server::api::asking::{CSV, HTML, JSON, NDJSON};
use crate::server::api::reports::{AS_OF, FORMAT, WORKING, in_path, may_give};
use crate::server::route::{About, Answer, Body, Param};

const ID: Param = in_path("id", "The review.");

/// An answer of status 200 in JSON.
const fn found(schema: &'static str, note: &'static str) -> Answer {
    Answer { status: 200, types: &[JSON], schema, note }
}

/// A body in JSON.
const fn body(schema: &'static str, note: &'static str) -> Option<Body> {
    Some(Body { types: &[JSON], schema, note })
}

pub(super) const LIST: About = About {
    summary: "All reviews, the oldest first, without their marks.",
    params: &[AS_OF],
    body: None,
    answers: &[found("Reviews", "What was planned, drawn and decided of each.")],
};

pub(super) const PLAN: About = About {
    summary: "Plan a sample review of what a candidate did, before anybody can know the sample.",
    params: &[],
    body: body("ReviewTerms", "The claim, the outputs, and who may mark."),
    answers: &[Answer {
        status: 201,
        types: &[JSON],
        schema: "ReviewPlanned",
        note: "It is planned by the event `seq`, whose leaf hash is `plan_hash`.",
    }],
};

pub(super) const STATUS: About = About {
    summary: "Where a review stands by its marks, computed from the evidence.",
    params: &[ID, AS_OF],
    body: None,
    answers: &[found(
        "ReviewStatus",
        "Counts, E, the decision and what it would take, by stratum. Reviewers get it when the review is over, where known \
         errors are planted among the items; before, it is 403.",
    )],
};

pub(super) const DRAW: About = About {
    summary: "Draw the sample from the first checkpoint that was signed after the plan. Drawn once, it stays.",
    params: &[ID],
    body: body("ReviewRevealed", "What the plan promised to reveal; no body where it promised nothing."),
    answers: &[found("ReviewDrawn", "Seed, class and hash of the order; drawn by the event `seq`.")],
};

pub(super) const ITEMS: About = About {
    summary: "The items that wait for a mark by the caller, in the order of review, with what their actions did.",
    params: &[ID, may_give("limit", "int64", "Items to give, at most 1,000 [default: 20]."), FORMAT],
    body: None,
    answers: &[Answer {
        status: 200,
        types: &[JSON, CSV],
        schema: "ReviewItems",
        note: "Nothing of what anybody said of an item is in it. Send when it was opened with its mark. `next` and \
               `decision` are null until the review is over, where known errors are planted among the items. 403 for \
               who is none of its reviewers, 409 before the draw. As CSV it is a sheet to fill in, which the marks take.",
    }],
};

pub(super) const MARKS: About = About {
    summary: "Mark items as the caller judges them: all of the marks or none. A later mark supersedes an earlier one.",
    params: &[ID],
    body: Some(Body {
        types: &[JSON, CSV, NDJSON],
        schema: "ReviewMarks",
        note: "Correct, incorrect or escalate, an item each, as JSON or as a sheet of lines: item, mark, wrong_amount, \
               review_opened_at, comment. From incorrect to correct only by a second reviewer.",
    }),
    answers: &[found("ReviewMarked", "Each mark is an event; `seqs` names them in the order of the marks.")],
};

pub(super) const DECIDE: About = About {
    summary: "Sign where a review stands, as the business owner by the policy in force. ENABLE resumes the workflow.",
    params: &[ID],
    body: None,
    answers: &[found(
        "ReviewDecided",
        "It is signed by the event `seq`; `resumed_seq` is the event that resumes the workflow. An owner who is a reviewer \
         himself gets no more than that while it goes on with known errors among its items.",
    )],
};

pub(super) const VERIFY: About = About {
    summary: "Compute all that a review states again: frame, seed, order, tally, decision, signatures.",
    params: &[ID],
    body: None,
    answers: &[
        found("ReviewVerified", "Every check with its outcome; `is_ok` when none failed. 403 as for the review."),
        WORKING,
    ],
};

pub(super) const REPORT: About = About {
    summary: "The report of a review: what it shows, how it was drawn, and how anybody does it again.",
    params: &[ID, AS_OF, FORMAT],
    body: None,
    answers: &[
        Answer {
            status: 200,
            types: &[JSON, HTML],
            schema: "Review",
            note: "The review as JSON, with at most 500 items, or a page that stands alone. 403 as for the review.",
        },
        WORKING,
    ],
};
