//! Guardrails over HTTP: what a rule or a policy would have stopped, of an incident or of what a selector picks.
//!
//! In: a condition, or the text of a policy. Out: how many of the bad actions it stops, and of the others. Invariants: a
//! policy judges in a session of its own, as if it had always been in force, and nobody else reads that; what is to be
//! stated is an event before it is answered, anything else a read on record before it is tried; a condition over values
//! that the caller may not see is refused.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GUARDRAIL, REPLAY, note, place, seen};
use crate::error::{Error, Result};
use crate::incident::asked::SelectorText;
use crate::incident::guardrail::{self, Guardrail};
use crate::incident::record;
use crate::incident::{self, register};
use crate::query::engine::Engine;
use crate::server::api::asking::{Asked, Named, Sent, document};
use crate::server::api::bundle::reads;
use crate::server::caller::Caller;
use crate::server::problem::Reply;
use crate::server::state::App;

/// What is to be replayed of an incident: a rule or a policy.
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

/// The same where a selector takes the place of an incident.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Picked {
    /// What picks the bad actions.
    selector: SelectorText,
    /// As in [`Replayed`].
    #[serde(default)]
    rule: Option<String>,
    /// As in [`Replayed`].
    #[serde(default)]
    policy: Option<String>,
}

pub(super) async fn replayed(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<String>,
    asked: Asked,
    Sent(sent): Sent<Replayed>,
) -> Reply {
    let params = asked.only(&["as_of"])?;
    let as_of = params.text("as_of");
    if sent.is_stated && as_of.is_some() {
        return Err(Error::invalid("`is_stated` states what is known now; leave `as_of` out").into());
    }
    let judge = Judge::of(sent.rule, sent.policy)?;
    let _place = place(&app).await?;
    let store = caller.tenant.store();
    let (engine, guardrail) = judge.session(&caller, as_of).await?;
    let record = record::one(&engine, &id).await?;
    if !sent.is_stated {
        reads(&caller, GUARDRAIL, noted(note(&id, &params), &guardrail)).await?;
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

pub(super) async fn picked(State(app): State<App>, caller: Caller, asked: Asked, Sent(sent): Sent<Picked>) -> Reply {
    let params = asked.only(&["as_of"])?;
    let selector = sent.selector.read()?;
    let judge = Judge::of(sent.rule, sent.policy)?;
    let _place = place(&app).await?;
    let (engine, guardrail) = judge.session(&caller, params.text("as_of")).await?;
    let said = json!({"params": params.0, "selector": record::selector_as_json(&selector)});
    reads(&caller, REPLAY, noted(said, &guardrail)).await?;
    let scoped = incident::scope(caller.tenant.store(), &engine, &selector).await?;
    let replay = guardrail::replay(&engine, &scoped, &guardrail).await?;
    Ok(document(&seen(&caller, replay.to_json())))
}

/// `said` of a read, with what was replayed.
fn noted(mut said: Value, guardrail: &Guardrail) -> Value {
    match guardrail {
        Guardrail::Rule(rule) => said["rule"] = json!(rule),
        Guardrail::Policy { version, sha256 } => said["policy"] = json!({"version": version, "sha256": sha256}),
    }
    said
}

/// What could stop an action.
enum Judge {
    /// A condition.
    Rule(String),
    /// The text of a policy.
    Policy(String),
}

impl Judge {
    /// The one that is given.
    fn of(rule: Option<String>, policy: Option<String>) -> Result<Self> {
        match (rule, policy) {
            (Some(rule), None) => Ok(Self::Rule(rule)),
            (None, Some(text)) => Ok(Self::Policy(text)),
            _ => Err(Error::invalid("name one thing that could stop an action: a `rule` or a `policy`")),
        }
    }

    /// The caller's session that judges by it, and what is replayed.
    async fn session(self, caller: &Caller, as_of: Option<&str>) -> Result<(Arc<Engine>, Guardrail)> {
        let text = match self {
            Self::Rule(rule) => return Ok((caller.engine(as_of).await?, Guardrail::Rule(rule))),
            Self::Policy(text) => text,
        };
        let (guardrail, catalogue) = guardrail::judging(&text)?;
        let whole = caller.tenant.judging(&catalogue, as_of).await?;
        let engine = if caller.sees_sealed { whole } else { whole.without_sealed()? };
        Ok((Arc::new(engine), guardrail))
    }
}
