//! The forms on the page of an incident, and the page on which one comes back that was refused.
//!
//! In: who asks, and what stands in a form. Out: markup. Invariant: a form that is refused comes back as it was filled
//! in, with what is wrong above it; nobody writes a note twice.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::layout::{self, Choice, Field, Page, Place, actions, fields, form, heading, link, select, text_area};
use super::address;
use super::list::refused;
use crate::error::{ErrorKind, Result};
use crate::incident::steps::{NOTIFY_AUTHORITY, STEPS};
use crate::server::caller::Caller;
use crate::server::problem::Reply;

/// The form that states a step, a note or both, with these in it.
pub(super) fn noting(caller: &Caller, id: &str, (step, note): (&str, &str)) -> String {
    let mut choices = vec![Choice { value: "", words: "no step, only the note" }];
    choices.extend(STEPS.iter().map(|(value, words)| Choice { value, words }));
    choices.push(Choice { value: NOTIFY_AUTHORITY, words: "notify the authority" });
    let step = Field {
        name: "step",
        label: "This is done",
        value: step,
        note: "What the log shows by itself, as a pause or a roll-back, needs no word.",
        ..Field::default()
    };
    let note = Field {
        name: "note",
        label: "Note",
        value: note,
        note: "What was done, or found; up to 4,000 characters.",
        ..Field::default()
    };
    let inside = format!("{}{}", select(&step, &choices), text_area(&note, 3));
    form(&format!("{}/note", address(id)), caller, &inside, "State it")
}

/// The form that replays a rule as a guardrail.
pub(super) fn replaying(caller: &Caller, id: &str, rule: &str) -> String {
    let rule = Field {
        name: "rule",
        label: "Condition that would stop an action",
        value: rule,
        example: "confidence < 0.9 and field = 'owner'",
        note: "Over the columns of events: it stops an action whose proposal it matches. The result is stated with the \
               incident: what it stops of the bad actions, and of the others.",
        is_required: true,
        ..Field::default()
    };
    form(&format!("{}/guardrail", address(id)), caller, &text_area(&rule, 2), "Replay and state")
}

/// The form that closes it.
pub(super) fn closing(caller: &Caller, id: &str, reason: &str) -> String {
    let reason = Field {
        name: "reason",
        label: "Why, in one line",
        value: reason,
        note: "It stays in the ledger for ever, and a closed incident takes nothing more.",
        is_required: true,
        ..Field::default()
    };
    form(&format!("{}/close", address(id)), caller, &fields(&[reason]), "Close the incident")
}

/// What `form` led to, or the form once more where what it said was refused.
///
/// # Errors
/// What no other words in the form would mend.
pub(super) fn or_again(caller: &Caller, (id, title): (&str, &str), form: &str, stated: Result<Response>) -> Reply {
    let (status, error) = match stated {
        Err(error) if error.kind() == ErrorKind::Invalid => (StatusCode::BAD_REQUEST, error),
        Err(error) if error.kind() == ErrorKind::Conflict => (StatusCode::CONFLICT, error),
        done => return Ok(done?),
    };
    let back = actions(&[link(&address(id), "Back to the incident")]);
    let body = format!("{}{back}{}{form}", heading(title, &format!("Incident {id}")), refused(&error));
    Ok(layout::render_as(status, &Page { title, here: Place::Incidents, caller, body }))
}
