//! `POST /v1/incidents/{id}/guardrail`: what a rule or a policy would have stopped of an incident.
//!
//! In: a condition, or the text of a policy. Out: how many of its actions it stops, and of the others. Invariants: a
//! policy judges in a session of its own, as if it had always been in force, and nobody else reads that; what is to be
//! stated is an event before it is answered, anything else a read on record.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use super::{GUARDRAIL, note, place, seen};
use crate::error::{Error, Result};
use crate::incident::guardrail::{self, Guardrail};
use crate::incident::record;
use crate::incident::{self, check_rules, register};
use crate::policy::Policy;
use crate::query::asof::AsOf;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::views::Keeping;
use crate::report::files::sha256;
use crate::server::api::asking::{Asked, Named, Sent, document};
use crate::server::api::bundle::reads;
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::state::App;

/// What is to be replayed: a rule or a policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replayed {
    /// Condition over the columns of `events`: it stops an action whose proposal it matches.
    #[serde(default)]
    rule: Option<String>,
    /// Text of a policy, TOML.
    #[serde(default)]
    policy: Option<String>,
    /// Whether the result is stated with the incident, whose report then tells it.
    #[serde(default)]
    is_stated: bool,
}

pub(super) async fn replayed(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<String>,
    asked: Asked,
    Sent(sent): Sent<Replayed>,
) -> Reply {
    let params = asked.only(&[])?;
    let judge = match (sent.rule, sent.policy) {
        (Some(rule), None) => Judge::Rule(rule),
        (None, Some(text)) => Judge::Policy(text),
        _ => return Err(Error::invalid("name one thing that could stop an action: a `rule` or a `policy`").into()),
    };
    let _place = place(&app).await?;
    let store = caller.tenant.store();
    let (engine, guardrail) = judge.session(&app, &caller).await?;
    let record = record::one(&engine, &id).await?;
    if !sent.is_stated {
        let mut said = note(&id, &params);
        match &guardrail {
            Guardrail::Rule(rule) => said["rule"] = json!(rule),
            Guardrail::Policy { version, sha256 } => said["policy"] = json!({"version": version, "sha256": sha256}),
        }
        reads(&caller, GUARDRAIL, said).await?;
    }
    let scoped = incident::scope(store, &engine, record.picking()?).await?;
    let replay = guardrail::replay(&engine, &scoped, &guardrail).await?;
    let mut told = replay.to_json();
    told["incident_id"] = id.clone().into();
    if sent.is_stated {
        let seq = register::state_replay(store, &record, &replay, &caller.name).await?;
        told["seq"] = seq.into();
    }
    Ok(document(&seen(&caller, told)))
}

/// What could stop an action.
enum Judge {
    /// A condition.
    Rule(String),
    /// The text of a policy.
    Policy(String),
}

impl Judge {
    /// The session that judges by it, and what is replayed.
    async fn session(self, app: &App, caller: &Caller) -> Result<(Arc<Engine>, Guardrail)> {
        let text = match self {
            Self::Rule(rule) => return Ok((caller.tenant.engine().await?, Guardrail::Rule(rule))),
            Self::Policy(text) => text,
        };
        let policy = Policy::parse(&text)?;
        check_rules(&policy)?;
        let catalogue = Catalogue::shipped()?.judging_by(&policy.version, &text)?;
        let snapshot = caller.tenant.snapshot().await?;
        let as_of = AsOf { size: snapshot.size, at: caller.tenant.store().clock().now() };
        let engine = Engine::open(app.query_runtime(), &snapshot, as_of, (&catalogue, Keeping::Costly)).await?;
        Ok((Arc::new(engine), Guardrail::Policy { version: policy.version, sha256: sha256(&text) }))
    }
}
