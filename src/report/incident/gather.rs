//! The report of an incident from a store: its account with the failed controls, and what preserves its evidence.
//!
//! In: a store, a session over its evidence, an incident. Out: page and JSON. Invariant: what is withheld from a reader
//! is taken out of the account before anything is composed from it. It computes no number and writes nothing.

use serde_json::{Value, json};

use super::report;
use crate::custody::hold;
use crate::error::Result;
use crate::incident::account::Account;
use crate::incident::record;
use crate::ledger::hash::hex;
use crate::query::engine::Engine;
use crate::report::files::Report;
use crate::report::withheld::{Sight, withhold};
use crate::store::Store;

/// For whom a report is, and as of when.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// Name of the tenant.
    pub tenant: &'a str,
    /// Whether a point of the ledger was named, which the checkpoint and the holds of now do not belong to.
    pub is_as_of: bool,
    /// Whether sealed values are in it.
    pub sight: Sight,
}

/// The report of the incident `id` as of `engine`, which sees sealed values whoever the reader is.
///
/// # Errors
/// NotFound when there is no such incident; when a bound is met or the store fails.
pub async fn gather(store: &Store, engine: &Engine, id: &str, reader: Reader<'_>) -> Result<Report> {
    let record = record::one(engine, id).await?;
    let account = Account::with_controls(store, engine, record).await?;
    told(store, &account, reader).await
}

/// The report that `account` gives, with or without the controls that list its actions.
///
/// # Errors
/// When the store fails.
pub async fn told(store: &Store, account: &Account, reader: Reader<'_>) -> Result<Report> {
    let mut account = account.with_items();
    account["report"] = "incident".into();
    account["is_as_of"] = reader.is_as_of.into();
    account["checkpoint"] = checkpoint(store).await?;
    account["holds"] = hold::in_force(store).await?.iter().map(|hold| hold.words()).collect();
    withhold(&mut account, reader.sight);
    Ok(report(&account, reader.tenant))
}

/// The newest checkpoint that was signed; null in a store without a key.
async fn checkpoint(store: &Store) -> Result<Value> {
    let sealed = store.log().newest().await?;
    Ok(sealed.map_or(Value::Null, |sealed| {
        let signed = sealed.checkpoint;
        json!({"origin": signed.origin, "size": signed.size, "root": hex(&signed.root)})
    }))
}
