//! What planning, deciding and verifying a review answer, as JSON.
//!
//! In: what was logged, signed or checked. Out: documents, the same on the command line and over HTTP. Invariant: they
//! say what the events state and where the review stands by them, and nothing else. They judge nothing.

use serde_json::{Value, json};

use super::account::Account;
use super::checks::{Check, Outcome};
use super::document;
use super::proposal::Logged;
use super::register::Signed;
use crate::error::Result;

/// The plan that is in the ledger.
pub fn planned(logged: &Logged) -> Value {
    json!({
        "review_id": logged.review_id, "workflow": logged.workflow, "seq": logged.seq, "plan_hash": logged.plan_hash,
        "promise": logged.planned.plan.promise(), "planned": logged.planned,
    })
}

/// The sample that is drawn: its seed, and what it takes.
pub fn drawn(account: &Account) -> Value {
    let drawn = account.review.drawn.as_ref();
    json!({
        "review_id": account.review.review_id, "seq": drawn.map(|drawn| drawn.seq),
        "seed": drawn.map(|drawn| &drawn.what), "next": account.status.next, "decision": account.status.decision,
    })
}

/// The decision about `account` that is signed.
///
/// # Errors
/// When it cannot be written, which no status is.
pub fn signed(account: &Account, signed: &Signed) -> Result<Value> {
    let mut answer = document::status(account)?;
    answer["status"] = json!(signed.decided.status);
    answer["seq"] = signed.seq.into();
    answer["resumed_seq"] = signed.resumed.into();
    Ok(answer)
}

/// What was checked of `account`, and whether all that could be checked is as stated.
///
/// # Errors
/// When it cannot be written, which no status is.
pub fn verified(account: &Account, checks: &[Check]) -> Result<Value> {
    let mut answer = document::status(account)?;
    answer["is_ok"] = is_as_stated(checks).into();
    answer["checks"] = checks.iter().map(Check::to_json).collect();
    Ok(answer)
}

/// Whether no check failed.
pub fn is_as_stated(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.outcome != Outcome::Failed)
}
