//! How anybody proves the events of an action without trusting this server.
//!
//! In: a dossier, the signed tree. Out: leaf hashes, the way from each to the root, and one whole proof on demand.
//! Invariants: what no checkpoint covers yet is said not to be proven; a proof for a caller who may not see sealed
//! values withholds them, and proves the same.

use super::super::layout::parts::{address as with_query, badge};
use super::super::layout::{code, escape, link, notice, pairs, section, table};
use super::address;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Column;
use crate::event::columns::SEALED;
use crate::ledger::note::Kind as KeyKind;
use crate::query::dossier::{Dossier, Event};
use crate::query::objects::text;
use crate::report::document::{Kind, Tone};
use crate::report::format;
use crate::server::caller::Caller;

/// The section about proofs; `asked` is the event whose proof is shown, empty for none.
pub(super) async fn section_of(caller: &Caller, dossier: &Dossier, asked: &str) -> Result<String> {
    let store = caller.tenant.store();
    let seqs: Vec<u64> = dossier.events.iter().filter_map(|event| u64::try_from(event.seq).ok()).collect();
    let Some(signed) = store.inclusions(&seqs).await? else {
        let words =
            "<p>This ledger is not signed: its events have leaf hashes, and nothing that proves them to others.</p>";
        return Ok(section("proof", "Proof", &notice(Tone::Watch, words)));
    };
    let row = |(event, proof): (&Event, &Option<Vec<String>>)| {
        let seq = event.seq.to_string();
        let own = with_query(&address(&dossier.action_id), &[("proof", seq.as_str())]);
        let way = match proof {
            Some(hashes) => format!("{} hashes to the root", hashes.len()),
            None => badge(Tone::Watch, "not covered by a checkpoint yet"),
        };
        vec![
            seq,
            escape(text(&event.event, "event_type")),
            code(&event.leaf),
            way,
            if proof.is_some() { link(&format!("{own}#proof"), "Show the proof") } else { String::new() },
        ]
    };
    let rows: Vec<Vec<String>> = dossier.events.iter().zip(&signed.proofs).map(row).collect();
    let columns = [
        ("Event", Kind::Count),
        ("Type", Kind::Text),
        ("Leaf hash", Kind::Code),
        ("In the tree", Kind::Text),
        ("", Kind::Text),
    ];
    let key = store.signer().map(|signer| signer.verifier(KeyKind::Ed25519).to_string());
    let facts = pairs(&[
        ("Log", escape(&signed.origin)),
        ("Checkpoint", format!("{} events", format::count(signed.tree_size))),
        ("Its root", code(&signed.root)),
        ("Key of the log", key.as_deref().map(code).unwrap_or_default()),
    ]);
    let checkpoint = format!(
        "<details><summary>The signed checkpoint</summary>\n<pre>{}</pre></details>\n",
        escape(&signed.checkpoint)
    );
    let shown = match asked {
        "" => String::new(),
        seq => whole(caller, dossier, seq).await?,
    };
    let how = how(key.as_deref().unwrap_or("VKEY"));
    let table = table("", &columns, &rows, "");
    Ok(section("proof", "Proof", &format!("{facts}{shown}{table}{checkpoint}{how}")))
}

/// The whole proof of one event.
async fn whole(caller: &Caller, dossier: &Dossier, asked: &str) -> Result<String> {
    let seq = dossier.events.iter().map(|event| event.seq).find(|seq| seq.to_string() == asked);
    let Some(seq) = seq.and_then(|seq| u64::try_from(seq).ok()) else {
        return Err(Error::invalid(
            "the proof is asked for of an event that is none of this action's; choose one below",
        ));
    };
    let withheld: Vec<Column> = match caller.sees_sealed {
        true => Vec::new(),
        false => SEALED.iter().map(|(value, _)| *value).collect(),
    };
    match caller.tenant.store().prove(seq, &withheld).await {
        Ok(proven) => Ok(format!(
            "<h3 class=\"label\">Proof of event {seq}</h3>\n\
             <p class=\"text\">Save this as <code>{seq}.tlog-proof</code>. It holds the event, the way to the root and \
             the signed checkpoint.</p>\n<pre>{}</pre>\n",
            escape(&proven.text)
        )),
        Err(e) if e.kind() == ErrorKind::Invalid => {
            Ok(notice(Tone::Watch, &format!("<p>{}</p>", escape(&e.to_string()))))
        }
        Err(e) => Err(e),
    }
}

/// How it is verified offline.
fn how(key: &str) -> String {
    let key = escape(key);
    format!(
        "<p class=\"text\">Verify it anywhere, without this server and without a network; take the key of the log from \
         your own records:</p>\n<pre>probity-verify SEQ.tlog-proof --key '{key}'</pre>\n\
         <p class=\"note\">The same proof comes from <code>probity prove --seq SEQ --out SEQ.tlog-proof</code>.</p>\n"
    )
}
