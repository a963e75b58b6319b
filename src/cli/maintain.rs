//! `probity init` and `probity maintain`.

use serde_json::json;

use super::args::{Global, InitArgs, MaintainArgs, RetentionArgs, Work};
use super::output::Output;
use super::{Answer, create, custody, open};
use crate::custody::hold;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::compact::Due;
use crate::store::projection::Lag;

/// Creates the store.
///
/// # Errors
/// When the place cannot be written.
pub async fn init(global: &Global, args: &InitArgs, out: &Output) -> Result<Answer> {
    let store = create(global, args.origin.as_deref()).await?;
    let size = store.head().await?.0.size;
    let vkey = store.signer().map(|signer| signer.vkey());
    out.say(&format!("{} is ready for evidence of tenant `{}`; it holds {size} events", store.url(), global.tenant));
    match &vkey {
        Some(vkey) => out.say(&format!("its ledger is signed; give auditors this key: {vkey}")),
        None => out.say("no signing key is here, so that nothing more is signed; name one with --key FILE"),
    }
    out.json(&json!({"store": store.url(), "tenant": global.tenant, "size": size, "vkey": vkey}))?;
    Ok(Answer::Done)
}

/// Runs maintenance.
///
/// # Errors
/// When the store fails.
pub async fn run(global: &Global, args: &MaintainArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let of_retention = &args.retention;
    let is_given = of_retention.keep_days.is_some() || of_retention.reason.is_some() || of_retention.by.is_some();
    if is_given && args.work != Some(Work::Retention) {
        return Err(Error::invalid("--keep-days, --reason and --by are for `probity maintain retention`"));
    }
    let is_whole = custody::resume(&store, out).await?;
    let all = [Work::Fold, Work::Compact, Work::Project, Work::Checkpoint, Work::Vacuum];
    let mut done = serde_json::Map::new();
    let asked = args.work.map_or_else(|| all.to_vec(), |work| vec![work]);
    for work in asked {
        let (name, words, result) = one(global, &store, (work, of_retention)).await?;
        out.say(&words);
        done.insert(name.to_owned(), result);
    }
    done.insert("erasures_finished".to_owned(), json!(is_whole));
    out.json(&done.into())?;
    Ok(if is_whole { Answer::Done } else { Answer::NotAll })
}

async fn one(
    global: &Global,
    store: &Store,
    (work, of_retention): (Work, &RetentionArgs),
) -> Result<(&'static str, String, serde_json::Value)> {
    Ok(match work {
        Work::Fold => {
            let folded = store.fold().await?;
            let words = format!("folded {} events into {} files", folded.events, folded.files);
            ("fold", words, json!({"events": folded.events, "files": folded.files}))
        }
        Work::Compact => {
            let done = store.compact(Due::Any).await?;
            let words = format!(
                "compacted {} files into {}; the leaf hashes of {} rows are unchanged",
                done.replaced, done.written, done.rows
            );
            ("compact", words, json!({"replaced": done.replaced, "written": done.written, "rows": done.rows}))
        }
        Work::Project => {
            let done = store.project(Lag::None).await?;
            let words = match done.segments {
                0 => format!("the projection of actions stands for all {} events", done.covers),
                _ => format!("folded {} actions; their projection stands for {} events", done.actions, done.covers),
            };
            let result = json!({"covers": done.covers, "actions": done.actions, "segments": done.segments});
            ("project", words, result)
        }
        Work::Tiles => {
            let events = store.remake_tiles().await?;
            let words = format!("made the tiles of {events} events again; their root is the one that was signed");
            ("tiles", words, json!({"events": events}))
        }
        Work::Checkpoint => {
            let version = store.checkpoint().await?;
            ("checkpoint", format!("wrote a checkpoint of table version {version}"), json!({"version": version}))
        }
        Work::Retention => {
            let (words, result) = custody::retire(global, store, of_retention).await?;
            ("retention", words, result)
        }
        Work::Vacuum => {
            let holds = hold::in_force(store).await?;
            let done = store.vacuum(|month| holds.iter().any(|hold| hold.touches(month))).await?;
            let mut words = format!(
                "deleted {} replaced data files, {} staging files, {} expired quarantine entries",
                done.files, done.staging, done.quarantine
            );
            if !holds.is_empty() {
                words += &format!("; data files of the months that {} holds may be about stay", holds.len());
            }
            let result = json!({
                "files": done.files, "staging": done.staging, "quarantine": done.quarantine, "holds": holds.len(),
            });
            ("vacuum", words, result)
        }
    })
}
