//! The dossier of an action: what became of it, who decided, whether that was valid, what is held, and the proofs.
//!
//! In: an `action_id`. Out: the document of [`dossier`] with the place of each event in the signed tree. Invariant: the
//! read is on record before the answer leaves.

use serde_json::{Value, json};

use super::asking::{Asked, JSON, Named, document};
use crate::access::role::May;
use crate::error::{Error, Result};
use crate::query::dossier::{Dossier, dossier};
use crate::server::caller::{Caller, Read};
use crate::server::problem::Reply;
use crate::server::route::{About, Answer, Param, Place, Route};
use crate::store::prove::Inclusions;

const PARAMS: &[Param] = &[
    Param { name: "id", place: Place::Path, is_required: true, schema: "string", note: "the `action_id`" },
    Param {
        name: "as_of",
        place: Place::Query,
        is_required: false,
        schema: "string",
        note: "an RFC 3339 instant, a ledger size, or vN",
    },
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![Route::get("/v1/actions/{id}", Some(May::Read), get).about(About {
        summary: "Everything about one action: proposal, decisions, executions, evidence held, and the proof of each event.",
        params: PARAMS,
        body: None,
        answers: &[Answer {
            status: 200,
            types: &[JSON],
            schema: "ActionDossier",
            note: "`proof` of an event is null until the checkpoint covers it",
        }],
    })]
}

async fn get(caller: Caller, Named(id): Named<String>, asked: Asked) -> Reply {
    let asked = asked.only(&["as_of"])?;
    let engine = caller.engine(asked.text("as_of")).await?;
    let found = dossier(&engine, &id).await;
    let mut extra = json!({"action_id": id});
    if let Some(as_of) = asked.text("as_of") {
        extra["params"] = json!({"as_of": as_of});
    }
    let subject = found.as_ref().ok().and_then(subject);
    let subject = subject.as_ref().map(|(system, kind, id)| (system.as_str(), kind.as_str(), id.as_str()));
    caller.reads(Read { what: "action", subject, extra }).await?;
    let found = found?;
    let seqs: Vec<u64> = found.events.iter().map(|event| event.seq.unsigned_abs()).collect();
    let inclusions = caller.tenant.store().inclusions(&seqs).await?;
    Ok(document(&told(&found, inclusions)?))
}

/// The record that the action is about.
fn subject(found: &Dossier) -> Option<(String, String, String)> {
    let action = found.action.as_ref()?;
    let text = |column: &str| action.get(column).and_then(Value::as_str).map(str::to_owned);
    Some((text("system")?, text("record_type")?, text("record_id")?))
}

/// The dossier with the checkpoint, and the hashes that lead to it from each event.
fn told(found: &Dossier, inclusions: Option<Inclusions>) -> Result<Value> {
    let mut told = serde_json::to_value(found).map_err(|e| Error::internal("a dossier has no JSON form").because(e))?;
    let proofs = inclusions.as_ref().map(|known| known.proofs.clone()).unwrap_or_default();
    if let Some(events) = told["events"].as_array_mut() {
        let proofs = proofs.into_iter().chain(std::iter::repeat(None));
        events.iter_mut().zip(proofs).for_each(|(event, proof)| event["proof"] = json!(proof));
    }
    told["checkpoint"] = match inclusions {
        Some(known) => json!({
            "origin": known.origin, "tree_size": known.tree_size, "root": known.root, "note": known.checkpoint,
        }),
        None => Value::Null,
    };
    Ok(told)
}
