//! `probity prove`: one row as a proof that stands alone, verified before it is handed out.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde_json::json;

use super::args::{Global, ProveArgs};
use super::output::{Output, thousands};
use super::{Answer, open, session};
use crate::custody::handout::withheld;
use crate::error::{Error, Result};
use crate::ledger::note::{Kind, Verifier};
use crate::ledger::pack::single;
use crate::query::answer::Limits;
use crate::query::objects::literal;
use crate::store::Store;

/// Runs the command.
///
/// # Errors
/// When there is no such row, nothing covers it, or the proof cannot be written or does not verify.
pub async fn run(global: &Global, args: &ProveArgs, out: &Output) -> Result<Answer> {
    let withheld = withheld(&args.withhold)?;
    if let Some(file) = args.out.as_deref().filter(|file| file.exists()) {
        return Err(Error::invalid(format!("{} is there already; name another place", file.display())));
    }
    let store = open(global).await?;
    let seq = match (args.seq, &args.event) {
        (Some(seq), _) => seq,
        (None, event) => find(global, &store, event.as_deref().unwrap_or_default(), args.source.as_deref()).await?,
    };
    let is_covered = store.newest_checkpoint().await.is_ok_and(|sealed| seq < sealed.checkpoint.size);
    if !is_covered {
        store.fold().await?;
    }
    let proven = store.prove(seq, &withheld).await?;
    let key = store.signer().map(|signer| signer.verifier(Kind::Ed25519));
    check(&proven.text, key.as_ref())?;
    match &args.out {
        Some(file) => std::fs::write(file, &proven.text)
            .map_err(|e| Error::unavailable(format!("cannot write {}", file.display())).because(e))?,
        None => out.result(proven.text.trim_end())?,
    }
    let vkey = key.map(|key| key.to_string());
    out.say(&format!(
        "event {} is proven in a ledger of {} events; verify it with: probity-verify FILE.tlog-proof --key {}",
        proven.seq,
        thousands(proven.tree_size),
        vkey.as_deref().unwrap_or("VKEY"),
    ));
    out.json(&json!({
        "seq": proven.seq, "tree_size": proven.tree_size, "vkey": vkey, "proof": proven.text,
        "file": args.out.as_ref().map(|file| file.display().to_string()),
    }))?;
    Ok(Answer::Done)
}

/// The `seq` of an event by its id.
async fn find(global: &Global, store: &Store, event: &str, source: Option<&str>) -> Result<u64> {
    let of_source = source.map(|source| format!(" and source = {}", literal(source))).unwrap_or_default();
    let sql = format!("select seq from events where event_id = {}{of_source} order by seq", literal(event));
    let answer = session(global, store).await?.sql(&sql, Limits::default()).await?;
    let mut seqs = Vec::new();
    for batch in &answer.batches {
        seqs.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
    }
    match seqs[..] {
        [seq] => u64::try_from(seq).map_err(|e| Error::internal("an event has a negative seq").because(e)),
        [] => Err(Error::not_found(format!("no event has the id `{event}`; ids are case-sensitive"))),
        _ => Err(Error::invalid(format!(
            "{} events have the id `{event}`; name one with --source, or by its --seq",
            seqs.len()
        ))),
    }
}

/// Verifies the proof as its reader will, where the key is here; without it the reader does.
fn check(text: &str, key: Option<&Verifier>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let verdict = single::verify(text, key, None);
    if verdict.is_ok {
        return Ok(());
    }
    Err(Error::damaged(format!(
        "the proof does not verify, so it is not handed out: the row is not the one that was signed, or a tile was \
         changed (`probity verify store`)\n{verdict}"
    )))
}
