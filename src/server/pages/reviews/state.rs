//! The forms of a review: the draw and the decision.
//!
//! In: forms. Out: events of the review, by the caller's name. Invariants: nothing is stated without the token of the
//! caller's session; what is decided is computed, and signed by its owner alone.

use std::sync::Arc;

use axum::Form;
use axum::extract::Path;
use serde::Deserialize;

use super::super::work::{Done, see_other};
use super::form::pairs;
use super::{address, kept};
use crate::error::Error;
use crate::review::register;
use crate::review::seed::Entropy;
use crate::server::caller::Caller;
use crate::server::problem::Reply;

/// What the plan promised.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Drawing {
    csrf: String,
    revealed: String,
}

/// Draws the sample.
pub(super) async fn draw(caller: Caller, Path(id): Path<String>, Form(drawing): Form<Drawing>) -> Reply {
    caller.check_csrf(&drawing.csrf)?;
    let revealed = pairs("what is revealed", &drawing.revealed)?;
    let revealed: Vec<Entropy> = revealed.into_iter().map(|(kind, hex)| Entropy { kind, hex }).collect();
    let engine = caller.tenant.engine().await?;
    let found = kept::account(&caller.tenant, &engine, &id).await?;
    let found = Arc::unwrap_or_clone(found);
    let account = register::draw(caller.tenant.store(), found, &revealed, &caller.name).await?;
    let lacking = || Error::internal("a sample that was drawn has no event");
    let drawn = account.review.drawn.as_ref().ok_or_else(lacking)?;
    Ok(see_other(&Done::address(&address(&id), "drawn", drawn.seq)))
}

/// What the decision carries.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deciding {
    csrf: String,
}

/// Signs where the review stands.
pub(super) async fn decide(caller: Caller, Path(id): Path<String>, Form(deciding): Form<Deciding>) -> Reply {
    caller.check_csrf(&deciding.csrf)?;
    let engine = caller.tenant.engine().await?;
    let account = kept::account(&caller.tenant, &engine, &id).await?;
    let signed = register::decide(caller.tenant.store(), &engine, &account, &caller.name).await?;
    let what = if signed.resumed.is_some() { "enabled" } else { "decided" };
    Ok(see_other(&Done::address(&address(&id), what, signed.seq)))
}
