//! `probity incident report`: the account of an incident as a page that stands alone.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::{Global, IncidentReportArgs};
use super::output::Output;
use super::{Answer, judging_session, open};
use crate::custody::hold;
use crate::error::Result;
use crate::incident::account::Account;
use crate::incident::record;
use crate::ledger::hash::hex;
use crate::query::catalogue::Catalogue;
use crate::report::incident;
use crate::store::Store;

/// Writes the report of an incident.
///
/// # Errors
/// When there is no such incident, a bound is met, or the files cannot be written.
pub async fn run(global: &Global, args: &IncidentReportArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let engine = judging_session(global, &store, Catalogue::shipped()?).await?;
    let record = record::one(&engine, &args.incident).await?;
    let mut account = Account::with_controls(&store, &engine, record).await?.with_items();
    account["report"] = "incident".into();
    account["is_as_of"] = global.as_of.is_some().into();
    account["checkpoint"] = checkpoint(&store).await?;
    account["holds"] = hold::in_force(&store).await?.iter().map(|hold| hold.words()).collect();
    let report = incident::report(&account, &global.tenant);
    out.say(&report.headline);
    // With --json the document is on standard output; files are written where they were asked for.
    if !out.is_json || args.out.is_some() {
        let directory = args.out.clone().unwrap_or_else(|| PathBuf::from("report"));
        let page = super::report::write(&report, &directory)?;
        out.print(&page.display().to_string())?;
    }
    out.json(&report.json)?;
    Ok(Answer::Done)
}

/// The newest checkpoint that was signed; null in a store without a key.
async fn checkpoint(store: &Store) -> Result<Value> {
    let sealed = store.log().newest().await?;
    Ok(sealed.map_or(Value::Null, |sealed| {
        let signed = sealed.checkpoint;
        json!({"origin": signed.origin, "size": signed.size, "root": hex(&signed.root)})
    }))
}
