//! The report of a review from its account: the document with the items that count, and the page from it.
//!
//! In: an account, a session over the evidence. Out: page and JSON. Invariant: what is withheld from a reader is taken
//! out of the document before anything is composed from it. It computes no number and writes nothing.

use super::report;
use crate::error::Result;
use crate::query::engine::Engine;
use crate::report::files::Report;
use crate::report::withheld::{Sight, withhold};
use crate::review::account::Account;
use crate::review::document;

/// Items in the report.
const REPORTED_ITEMS: usize = 500;

/// The report of the review that `account` tells of, for a reader of `tenant`; `engine` sees sealed values.
///
/// # Errors
/// Invalid for a plan that its check refuses; when a query fails or a bound is met.
pub async fn gather(engine: &Engine, account: &Account, tenant: &str, sight: Sight) -> Result<Report> {
    let mut document = document::of(account)?;
    document["items"] = document::items(engine, account, REPORTED_ITEMS).await?.into();
    document["headline"] = document::headline(&account.review, &account.status).into();
    withhold(&mut document, sight);
    Ok(report(&document, tenant))
}
