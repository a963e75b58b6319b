//! `probity erase`, `probity hold`, `probity release`, `probity maintain retention`.

use serde_json::{Value, json};

use super::args::{EraseArgs, Global, HoldArgs, ReleaseArgs, RetentionArgs};
use super::output::{Output, thousands};
use super::{Answer, open, person, session};
use crate::custody::Order;
use crate::custody::erase::{self, Erased};
use crate::custody::hold::{self, Cover, Hold, Selection};
use crate::custody::retention::{self, KEEP_DAYS, KEEP_DAYS_AT_MOST};
use crate::error::{Error, Result};
use crate::query::answer::Limits;
use crate::query::objects::{number, rows};
use crate::store::Store;

/// Erases a person, or says what that would take.
///
/// # Errors
/// When nothing is about the person, a hold forbids it, or the store fails.
pub async fn erase(global: &Global, args: &EraseArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let order = Order::new(person(args.by.as_deref())?, &args.reason)?;
    if args.dry_run {
        let traces = erase::check(&store, &args.subject).await?;
        let (events, files) = (traces.len(), traces.rows.len());
        let values = traces.values()?.len();
        let siblings = store.unnamed_siblings(&store.table().await?, &traces).await?;
        out.say(&format!(
            "{} events in {files} files are about `{}`, with {} different sealed values; nothing was erased",
            thousands(events as u64),
            args.subject,
            thousands(values as u64)
        ));
        warn(siblings, out);
        out.json(&json!({
            "subject": args.subject, "events": events, "files": files, "values": values, "siblings": siblings,
            "dry_run": true,
        }))?;
        return Ok(Answer::Done);
    }
    resume(&store, out).await?;
    let done = erase::erase(&store, &args.subject, &order).await?;
    say(&done, out);
    out.json(&serde_json::to_value(&done).map_err(|e| Error::internal("cannot write the result").because(e))?)?;
    Ok(Answer::Done)
}

fn say(done: &Erased, out: &Output) {
    let event = done.event.map_or_else(|| "no event".to_owned(), |seq| format!("event {seq}"));
    out.say(&format!(
        "`{}` is erased ({event}): {} of {} events lost their sealed values, {} data files were replaced, {} older ones and {} \
         quarantine entries deleted; the root over {} events did not move",
        done.subject,
        thousands(done.erased),
        thousands(done.events),
        done.files,
        done.leftovers,
        done.quarantine,
        thousands(done.size as u64),
    ));
    warn(done.siblings, out);
}

fn warn(siblings: u64, out: &Output) {
    if siblings > 0 {
        out.say(&format!(
            "{} events of the same actions name no subject_id and keep their values; sources should send it with each event",
            thousands(siblings)
        ));
    }
}

/// Finishes what a killed process had begun; false where something of it cannot be finished now, which is said.
///
/// # Errors
/// When the store fails.
pub async fn resume(store: &Store, out: &Output) -> Result<bool> {
    let mut is_whole = true;
    for (subject, outcome) in erase::resume(store).await? {
        match outcome {
            Ok(done) => {
                out.say("an erasure that had been begun is finished:");
                say(&done, out);
            }
            Err(e) => {
                is_whole = false;
                out.say(&format!("the erasure of `{subject}` was begun and is not finished: {e}"));
            }
        }
    }
    Ok(is_whole)
}

/// Places a hold; without a selection lists those in force.
///
/// # Errors
/// When the selection is none, or the store fails.
pub async fn hold(global: &Global, args: &HoldArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let selection = Selection {
        incident: args.incident.clone(),
        workflow: args.workflow.clone(),
        subject: args.subject.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
    };
    if selection == Selection::default() && args.reason.is_none() {
        return list(&store, out).await;
    }
    let reason = args.reason.as_deref().unwrap_or_default();
    let order = Order::new(person(args.by.as_deref())?, reason)?;
    let (placed, seq) = hold::place(&store, selection, &order).await?;
    out.say(&format!("event {seq} places {}", placed.words()));
    let mut result = to_json(&placed)?;
    result["seq"] = json!(seq);
    // The hold is in force, whether or not it can be said what it is about.
    let answer = match hold::cover(&store, &placed).await {
        Ok(cover) => {
            say_cover(&placed, &cover, out);
            result["events"] = json!(cover.events);
            result["reached"] =
                json!(cover.reached.map(|(actions, records)| json!({"actions": actions, "records": records})));
            Answer::Done
        }
        Err(e) => {
            out.say(&format!("it is in force; {e}"));
            Answer::NotAll
        }
    };
    out.json(&result)?;
    Ok(answer)
}

fn say_cover(hold: &Hold, cover: &Cover, out: &Output) {
    match cover.events {
        0 => out.say("no event is under it now: look whether the names are right; what comes later is held, too"),
        events => out.say(&format!("{} events are under it now", thousands(events))),
    }
    let Some(incident) = &hold.selection.incident else { return };
    out.say(&match cover.reached {
        None => format!(
            "the register knows no incident `{incident}` (`probity incident list` names all): only what names it is \
             held"
        ),
        Some((0, _)) => format!(
            "it has reached no action yet, so that only what names it is held; what picks its bad actions is given \
             with `probity incident update {incident} --where`"
        ),
        Some((actions, records)) => format!(
            "it has reached {} actions and {} records; what it reaches later is held, too",
            thousands(actions),
            thousands(records)
        ),
    });
}

async fn list(store: &Store, out: &Output) -> Result<Answer> {
    let holds = hold::in_force(store).await?;
    if holds.is_empty() {
        out.say("no hold is in force");
    }
    for hold in &holds {
        out.result(&hold.words())?;
    }
    let holds = holds.iter().map(to_json).collect::<Result<Vec<Value>>>()?;
    out.json(&json!({"holds": holds}))?;
    Ok(Answer::Done)
}

fn to_json(hold: &Hold) -> Result<Value> {
    serde_json::to_value(hold).map_err(|e| Error::internal("cannot write a hold").because(e))
}

/// Releases a hold.
///
/// # Errors
/// When no such hold is in force, or the store fails.
pub async fn release(global: &Global, args: &ReleaseArgs, out: &Output) -> Result<Answer> {
    let store = open(global).await?;
    let order = Order::new(person(args.by.as_deref())?, &args.reason)?;
    let seq = hold::release(&store, &args.hold, &order).await?;
    out.say(&format!("event {seq} releases {}", args.hold));
    out.json(&json!({"hold": args.hold, "seq": seq}))?;
    Ok(Answer::Done)
}

/// Deletes old months; gives words and result.
///
/// # Errors
/// When fewer days are asked for than must be kept, or the policy in force keeps longer; when the store fails.
pub async fn retire(global: &Global, store: &Store, args: &RetentionArgs) -> Result<(String, Value)> {
    let order = Order::new(person(args.by.as_deref())?, args.reason.as_deref().unwrap_or("retention"))?;
    let by_policy = days_of_policy(global, store).await?;
    let keep_days = args.keep_days.unwrap_or(KEEP_DAYS.max(by_policy));
    if keep_days < by_policy {
        return Err(Error::invalid(format!(
            "the policy in force keeps evidence for {by_policy} days; {keep_days} would delete what it asks for"
        )));
    }
    let months = retention::retire(store, keep_days, &order).await?;
    let mut words: Vec<String> = Vec::new();
    for month in &months {
        words.push(match (&month.kept_because, month.event) {
            (Some(why), _) => format!("{} is older than {keep_days} days and was kept: {why}", month.month),
            (None, Some(event)) => {
                format!("{}: {} events are deleted (event {event})", month.month, thousands(month.events))
            }
            (None, None) => continue,
        });
    }
    if words.is_empty() {
        words.push(format!("no month is older than {keep_days} days"));
    }
    let result = json!({"keep_days": keep_days, "months": months});
    Ok((words.join("\n"), result))
}

/// Days for which the policy in force keeps evidence; 0 when it is silent.
async fn days_of_policy(global: &Global, store: &Store) -> Result<i64> {
    const MONTHS: &str = "
        select max(number) as months from policy_rules
        where kind = 'setting' and name = 'retention_months' and effective_from <= $as_of and effective_to > $as_of";
    let engine = session(global, store).await?;
    let found = rows(&engine.sql(MONTHS, Limits::default()).await?)?;
    let months = found.first().and_then(|row| number(row, "months")).unwrap_or(0.0);
    Ok((months * 31.0).ceil().clamp(0.0, KEEP_DAYS_AT_MOST as f64) as i64)
}
