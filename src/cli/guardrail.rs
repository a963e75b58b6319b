//! `probity incident guardrail`: what a rule or a policy would have stopped.

use std::path::Path;

use super::args::{Global, IncidentGuardrailArgs};
use super::incident::selector;
use super::output::{Output, thousands};
use super::{Answer, judging_session, open, person, policy, session};
use crate::error::{Error, Result};
use crate::incident::guardrail::{self, Guardrail, Replay, Stopped};
use crate::incident::record;
use crate::incident::{self, register};
use crate::query::engine::Engine;
use crate::report::format;
use crate::store::Store;

/// Replays a guardrail: the answer is yes when it would have stopped every bad action.
///
/// # Errors
/// When there is no such incident, a predicate or the policy is none, a bound is met, or the store fails.
pub async fn run(global: &Global, args: &IncidentGuardrailArgs, out: &Output) -> Result<Answer> {
    if args.state && global.as_of.is_some() {
        return Err(Error::invalid("--state states what is known now; leave --as-of out"));
    }
    let asked = selector(args.predicate.as_deref().unwrap_or_default(), &args.window)?;
    let store = open(global).await?;
    let (engine, guardrail) = judge(global, &store, args).await?;
    let record = match &args.incident {
        Some(id) => Some(record::one(&engine, id).await?),
        None => None,
    };
    let selector = record.as_ref().map_or(Ok(&asked), |record| record.picking())?;
    let scoped = incident::scope(&store, &engine, selector).await?;
    let replay = guardrail::replay(&engine, &scoped, &guardrail).await?;
    tell(&replay, out)?;
    let mut document = replay.to_json();
    if let Some(record) = record.filter(|_| args.state) {
        let seq = register::state_replay(&store, &record, &replay, &person(args.by.as_deref())?).await?;
        out.say(&format!("event {seq} states this of incident {}", record.incident_id));
        document["incident_id"] = record.incident_id.into();
        document["seq"] = seq.into();
    }
    out.json(&document)?;
    Ok(if replay.is_complete() { Answer::Done } else { Answer::NotAll })
}

/// The session, which judges by the policy that is replayed, and what is replayed.
async fn judge(global: &Global, store: &Store, args: &IncidentGuardrailArgs) -> Result<(Engine, Guardrail)> {
    match (&args.rule, &args.policy) {
        (Some(rule), _) => Ok((session(global, store).await?, Guardrail::Rule(rule.clone()))),
        (None, Some(file)) => by_policy(global, store, file).await,
        (None, None) => Err(Error::invalid("nothing is given that could stop an action; name a --rule or a --policy")),
    }
}

async fn by_policy(global: &Global, store: &Store, file: &Path) -> Result<(Engine, Guardrail)> {
    let (document, _) = policy::read(file)?;
    let (guardrail, catalogue) = guardrail::judging(&document)?;
    Ok((judging_session(global, store, &catalogue).await?, guardrail))
}

/// Says what is stopped, the bad actions first.
fn tell(replay: &Replay, out: &Output) -> Result<()> {
    let name = match &replay.guardrail {
        Guardrail::Rule(_) => "the rule".to_owned(),
        Guardrail::Policy { version, .. } => format!("the policy `{version}`"),
    };
    out.result(&format!("{name} stops {} that the selector picks", counted(replay.direct)))?;
    for (control, actions) in &replay.by_control {
        out.result(&format!("  {} by {control}", thousands(*actions)))?;
    }
    if replay.not_executed > 0 {
        out.say(&format!("{} more never took effect: there is nothing to stop", thousands(replay.not_executed)));
    }
    if replay.derived.actions > 0 {
        out.result(&format!("it stops {} that read what those wrote", counted(replay.derived)))?;
    }
    let share = |share: f64| {
        let (low, high) = replay.others.bounds().unzip();
        format!(": {} {}", format::percent(Some(share)), format::interval(low, high))
    };
    let beside = replay.others.share().map_or_else(String::new, share);
    out.result(&format!("it stops {} of the same workflows in the period{beside}", counted(replay.others)))?;
    for (ids, what) in [(&replay.missed, "not stopped"), (&replay.hit, "stopped as well")] {
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            out.say(&format!("{what}: {}", ids.join(", ")));
        }
    }
    Ok(())
}

fn counted(stopped: Stopped) -> String {
    format!("{} of {} actions", thousands(stopped.stopped), thousands(stopped.actions))
}
