//! `probity verify`: the store against its signed ledger, or a pack or the proof of one row against a public key.

use std::ffi::OsStr;

use serde_json::json;

use super::args::{Global, VerifyPackArgs, VerifyProofArgs, VerifyStoreArgs};
use super::output::{Bar, Output, thousands};
use super::{Answer, open};
use crate::auditor::{Asked, read_key, verify, verify_row};
use crate::error::{Error, Result};
use crate::ledger::note::Verifier;
use crate::store::Store;
use crate::store::verify::Verified;

/// Verifies the store.
///
/// # Errors
/// When the store cannot be read; what does not match makes the answer no.
pub async fn store(global: &Global, args: &VerifyStoreArgs, out: &Output) -> Result<Answer> {
    super::give_memory_back();
    let store = open(global).await?;
    let keys = keys(&store, args).await?;
    let rows = store.table().await?.size as u64;
    let waiting = (store.snapshot().await?.size as u64).saturating_sub(rows);
    if waiting > 0 {
        out.say(&format!(
            "{} events are in the journal and not folded yet; they are not looked at",
            thousands(waiting)
        ));
    }
    let bar = std::sync::Arc::new(Bar::events(out, "verifying", rows));
    let read = std::sync::atomic::AtomicU64::new(0);
    let shown = bar.clone();
    let verified = store
        .verify(&keys, move |rows| {
            let all = read.fetch_add(rows, std::sync::atomic::Ordering::Relaxed) + rows;
            shown.set(all, String::new());
        })
        .await?;
    bar.finish();
    print(&verified, rows, keys.is_empty(), out)?;
    Ok(if verified.is_ok() { Answer::Done } else { Answer::NotAll })
}

async fn keys(store: &Store, args: &VerifyStoreArgs) -> Result<Vec<Verifier>> {
    if args.vkeys.is_empty() {
        return store.keys().await;
    }
    args.vkeys.iter().map(|key| read_key(OsStr::new(key))).collect()
}

fn print(verified: &Verified, rows: u64, is_unsigned: bool, out: &Output) -> Result<()> {
    for finding in &verified.findings {
        let place = finding.seq.map(|seq| format!("seq {seq}, ")).unwrap_or_default();
        let object = finding.object.as_deref().map(|object| format!("{object}: ")).unwrap_or_default();
        out.result(&format!("{}: {place}{object}{}", finding.kind, finding.reason))?;
    }
    let more = verified.count - verified.findings.len() as u64;
    if more > 0 {
        out.result(&format!("and {} more", thousands(more)))?;
    }
    let retired = match verified.retired {
        0 => String::new(),
        n => format!(", {} more rows retired with their months", thousands(n)),
    };
    out.result(&format!(
        "{} rows in {} files{retired}, {} checkpoints, the newest over {} events; {}",
        thousands(verified.rows),
        thousands(verified.files),
        thousands(verified.checkpoints),
        thousands(verified.signed),
        verdict(verified)
    ))?;
    if !verified.gaps_judged {
        out.say("gaps in source_seq were not looked for: months are retired, or which ones cannot be told");
    }
    if verified.signed < rows {
        out.say(&format!("{} rows are signed by nobody yet", thousands(rows - verified.signed)));
    }
    if is_unsigned {
        out.say("no key was given: signatures were not checked; name it with --vkey");
    }
    let mut result =
        serde_json::to_value(verified).map_err(|e| Error::internal("cannot write the result").because(e))?;
    result["ok"] = json!(verified.is_ok());
    out.json(&result)
}

/// What the findings come to. Those about what arrived are found last: if they are all that is listed, they are all.
fn verdict(verified: &Verified) -> String {
    let is_of_arrival = |kind: &str| matches!(kind, "gap" | "ids");
    match verified.count {
        0 => "every row is the one that the ledger holds".to_owned(),
        n if verified.findings.iter().all(|finding| is_of_arrival(finding.kind)) => {
            format!("every row is the one that the ledger holds, with {} findings about what arrived", thousands(n))
        }
        n => format!("{} findings: the store is not what was signed", thousands(n)),
    }
}

/// Verifies a pack.
///
/// # Errors
/// When a file cannot be read, or is not what it is given for.
pub fn pack(args: &VerifyPackArgs, out: &Output) -> Result<Answer> {
    let verdict = verify(&Asked {
        pack: &args.pack,
        key: OsStr::new(&args.vkey),
        trust: args.trust.as_deref(),
        held: args.held.as_deref(),
        receipt: args.receipt.as_deref(),
    })?;
    out.result(verdict.to_string().trim_end())?;
    out.json(&serde_json::to_value(&verdict).map_err(|e| Error::internal("cannot write the verdict").because(e))?)?;
    Ok(if verdict.is_ok { Answer::Done } else { Answer::NotAll })
}

/// Verifies the proof of one row.
///
/// # Errors
/// When a file cannot be read, or is not what it is given for.
pub fn proof(args: &VerifyProofArgs, out: &Output) -> Result<Answer> {
    let verdict = verify_row(&args.proof, OsStr::new(&args.vkey), args.trust.as_deref())?;
    out.result(verdict.to_string().trim_end())?;
    out.json(&serde_json::to_value(&verdict).map_err(|e| Error::internal("cannot write the verdict").because(e))?)?;
    Ok(if verdict.is_ok { Answer::Done } else { Answer::NotAll })
}
