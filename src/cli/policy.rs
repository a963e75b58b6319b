//! `probity policy`: apply a policy, show the one in force, check one against the evidence.

use std::path::Path;

use serde_json::{Value, json};

use super::args::{Global, PolicyApplyArgs, PolicyFileArgs};
use super::output::Output;
use super::{Answer, open, open_or_create, person, session};
use crate::clock::{Micros, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cell, Column};
use crate::incident::{self, Reading};
use crate::ingest::writer::Writer;
use crate::ledger::hash::sha256;
use crate::policy::{self, Policy};
use crate::query::answer::Limits;
use crate::query::catalogue::Catalogue;
use crate::query::engine::Engine;
use crate::query::header::Kind;
use crate::query::judgement::{Judgement, Verdict};
use crate::query::objects::{Row, rows, text};
use crate::query::params::Params;

const VERSIONS: &str = "
    select version, effective_from, effective_to, applied_at, applied_by, is_default, document,
           effective_from <= $as_of and $as_of < effective_to as is_in_force
    from policies order by effective_from";

/// The text of a policy, and the policy.
///
/// # Errors
/// NotFound when the file cannot be read; Invalid when it is no policy.
pub(super) fn read(file: &Path) -> Result<(String, Policy)> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::not_found(format!("cannot read the policy {}", file.display())).because(e))?;
    let policy =
        Policy::parse(&text).map_err(|e| Error::new(e.kind(), format!("{}: {}", file.display(), e.message())))?;
    incident::check_rules(&policy)?;
    Ok((text, policy))
}

/// Every policy that was ever applied, also one that another took the place of.
const APPLIED: &str = "
    select policy_version as version, new_value as document from events
    where event_type = 'config.changed' and field = 'policy' and source = 'probity' order by seq";

async fn versions(engine: &Engine) -> Result<Vec<Row>> {
    rows(&engine.sql(VERSIONS, Limits::default()).await?)
}

fn in_force(versions: &[Row]) -> Option<&Row> {
    versions.iter().find(|row| is(row, "is_in_force"))
}

fn is(row: &Row, column: &str) -> bool {
    row.get(column).and_then(Value::as_bool).unwrap_or(false)
}

/// Applies a policy: one `config.changed` event that holds its text.
///
/// # Errors
/// When the file is no policy, its version was applied with other content, or the store fails.
pub async fn apply(global: &Global, args: &PolicyApplyArgs, out: &Output) -> Result<Answer> {
    let (text_of_file, policy) = read(&args.file)?;
    let person = person(args.by.as_deref())?;
    let store = open_or_create(global, out).await?;
    let engine = session(global, &store).await?;
    let version = &policy.version;
    let taken =
        || Error::invalid(format!("the policy version `{version}` is taken by another text; give yours a new name"));
    let applied = rows(&engine.sql(APPLIED, Limits::default()).await?)?;
    if let Some(same) = applied.iter().find(|row| text(row, "version") == version) {
        return if text(same, "document") == text_of_file { known_already(version, out) } else { Err(taken()) };
    }
    if *version == Policy::built_in()?.version {
        return Err(taken());
    }
    let known = versions(&engine).await?;
    let before = in_force(&known).map_or("", |row| text(row, "document"));
    let now = store.clock().now();
    let from = policy.effective_from().unwrap_or(now);
    let mut writer = Writer::new(&store);
    let mut event = writer.statement("config.changed");
    event.set(Column::OccurredAt, Cell::Instant(now));
    // Two people who apply the same version at the same moment: the second finds this id taken.
    event.set_text(Column::EventId, format!("policy/{version}"));
    event.set_text(Column::Field, policy::FIELD);
    event.set_text(Column::OldValue, before.to_owned());
    event.set_text(Column::NewValue, text_of_file.clone());
    event.set_text(Column::PolicyVersion, version.clone());
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, person.clone());
    let digest = sha256(&text_of_file);
    event.set_text(Column::Extra, json!({"effective_from": rfc3339(from), "sha256": digest}).to_string());
    let seq = writer.state_once(&event).await?.ok_or_else(taken)?;
    let since = rfc3339(from);
    out.say(&format!(
        "policy `{version}` applied by {person} as event {seq}; in force from {since}{}",
        later(from, now)
    ));
    out.json(&json!({"version": version, "applied": true, "seq": seq, "effective_from": since, "sha256": digest}))?;
    Ok(Answer::Done)
}

fn known_already(version: &str, out: &Output) -> Result<Answer> {
    out.say(&format!("policy `{version}` was applied already; `probity policy show` tells which one is in force"));
    out.json(&json!({"version": version, "applied": false}))?;
    Ok(Answer::Done)
}

fn later(from: Micros, now: Micros) -> String {
    match (now - from) / crate::clock::DAY {
        days @ 1.. => format!(", {days} days ago: what happened since is judged by it from now on"),
        _ => String::new(),
    }
}

/// Prints the policy in force, or the rules of a file.
///
/// # Errors
/// When there is no store, or the file is no policy.
pub async fn show(global: &Global, args: &PolicyFileArgs, out: &Output) -> Result<Answer> {
    if let Some(file) = &args.file {
        let (document, policy) = read(file)?;
        out.print(&document)?;
        out.json(&json!({"version": policy.version, "document": document, "rules": rules(&policy)}))?;
        return Ok(Answer::Done);
    }
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let known = versions(&engine).await?;
    let row = in_force(&known).ok_or_else(|| Error::internal("no policy is in force"))?;
    for row in &known {
        let mark = if is(row, "is_in_force") { "in force " } else { "" };
        let by = match text(row, "applied_by") {
            "" => "built in".to_owned(),
            who => format!("applied by {who} at {}", text(row, "applied_at")),
        };
        out.say(&format!("{mark}`{}` from {}, {by}", text(row, "version"), text(row, "effective_from")));
    }
    out.print(text(row, "document"))?;
    let policy = Policy::parse(text(row, "document"))?;
    out.json(&json!({
        "version": row.get("version"), "effective_from": row.get("effective_from"), "effective_to": row.get("effective_to"),
        "applied_at": row.get("applied_at"), "applied_by": row.get("applied_by"), "is_default": row.get("is_default"),
        "document": row.get("document"), "rules": rules(&policy),
        "versions": known.iter().map(|row| row.get("version")).collect::<Vec<_>>(),
    }))?;
    Ok(Answer::Done)
}

fn rules(policy: &Policy) -> Vec<Value> {
    let rule = |rule: policy::Rule| {
        let scope = rule.scope;
        let mut value = json!({
            "kind": rule.kind, "name": rule.name, "workflow": scope.workflow, "area": scope.area,
            "system": scope.system, "record_type": scope.record_type, "field": scope.field,
            "operation": scope.operation, "issue_type": scope.issue_type, "level": rule.level,
            "principal": rule.principal, "amount": rule.amount.map(|cents| cents as f64 / 100.0),
            "currency": rule.currency, "number": rule.number, "hours": rule.hours, "days": rule.days, "words": rule.words,
        });
        if let Some(object) = value.as_object_mut() {
            object.retain(|_, v| !v.is_null());
        }
        value
    };
    policy.rules().into_iter().map(rule).collect()
}

/// Judges the evidence: by a file as if it had always been in force, or by the policy in force.
///
/// With the policy in force, incident rules that fire open draft incidents.
///
/// # Errors
/// When the store fails; a file that is no policy is the answer no.
pub async fn check(global: &Global, args: &PolicyFileArgs, out: &Output) -> Result<Answer> {
    let proposed = match args.file.as_deref().map(read).transpose() {
        Err(e) if matches!(e.kind(), ErrorKind::Invalid | ErrorKind::Limit) => {
            out.say(&e.to_string());
            out.json(&json!({"valid": false, "reason": e.to_string()}))?;
            return Ok(Answer::NotAll);
        }
        read => read?,
    };
    let store = match open(global).await {
        Err(e) if e.kind() == ErrorKind::NotFound && proposed.is_some() => {
            out.say("the policy is valid; there is no store to judge by it");
            out.json(&json!({"valid": true}))?;
            return Ok(Answer::Done);
        }
        opened => opened?,
    };
    let catalogue = match &proposed {
        Some((document, policy)) => Catalogue::shipped()?.judging_by(&policy.version, document)?,
        None => Catalogue::shipped()?.clone(),
    };
    let engine = super::judging_session(global, &store, &catalogue).await?;
    let controls = judge(&engine, &catalogue).await?;
    let policy = match &proposed {
        Some((_, policy)) => policy.clone(),
        None => {
            let known = versions(&engine).await?;
            Policy::parse(in_force(&known).map_or("", |row| text(row, "document")))?
        }
    };
    let readings = incident::readings(&engine, &policy).await?;
    let opened = match proposed {
        None if global.as_of.is_none() => incident::open_drafts(&store, &engine, &policy, &readings).await?,
        _ => Vec::new(),
    };
    report(&policy, &controls, (&readings, &opened), out)
}

async fn judge(engine: &Engine, catalogue: &Catalogue) -> Result<Vec<(String, Judgement)>> {
    let mut found = Vec::new();
    for control in catalogue.list().filter(|q| q.kind == Kind::Control) {
        let limits = Limits { rows: 0, ..Limits::default() };
        let answer = engine.stream(control, &Params::new(), limits).await?.collect().await?;
        found.push((control.name.clone(), answer.judgement.unwrap_or_default()));
    }
    Ok(found)
}

fn report(
    policy: &Policy,
    controls: &[(String, Judgement)],
    (readings, opened): (&[Reading], &[String]),
    out: &Output,
) -> Result<Answer> {
    let version = &policy.version;
    out.say(&format!("judged by policy `{version}`:"));
    let width = controls.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, judged) in controls {
        let verdict = judged.verdict().word().replace('_', " ");
        let lack = if judged.untestable > 0 { format!(", {} untestable", judged.untestable) } else { String::new() };
        out.say(&format!("  {name:width$}  {verdict:12}  {} of {}{lack}", judged.violations, judged.population));
    }
    for reading in readings {
        let mark = if reading.fires() { "fires" } else { "quiet" };
        out.say(&format!("  {mark}  {}", reading.words()));
    }
    opened.iter().for_each(|id| out.say(&format!("opened draft incident {id}")));
    let failed = controls.iter().any(|(_, judged)| judged.verdict() == Verdict::Fail);
    let fired = readings.iter().any(Reading::fires);
    out.json(&json!({
        "valid": true,
        "version": version,
        "controls": controls.iter().map(|(name, judged)| json!({
            "control": name, "result": judged.verdict().word(), "population": judged.population,
            "violations": judged.violations, "untestable": judged.untestable,
        })).collect::<Vec<_>>(),
        "incident_rules": readings.iter().map(|r| json!({
            "rule": r.rule.name, "metric": r.rule.metric, "workflow": r.rule.workflow, "numerator": r.numerator,
            "denominator": r.denominator, "value": r.value, "fires": r.fires(),
        })).collect::<Vec<_>>(),
        "opened": opened,
    }))?;
    Ok(if failed || fired { Answer::NotAll } else { Answer::Done })
}
