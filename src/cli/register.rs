//! `probity incident open`, `update`, `close`, `list` and `show`.

use serde_json::{Value, json};

use super::args::{Global, IncidentCloseArgs, IncidentFacts, IncidentIdArgs, IncidentOpenArgs, IncidentUpdateArgs};
use super::incident::{NOTHING_PICKED, selector};
use super::output::{Output, thousands};
use super::{Answer, person, session};
use crate::clock::{HOUR, rfc3339};
use crate::error::{Error, Result};
use crate::incident::account::Account;
use crate::incident::asked::{Said, SelectorChange};
use crate::incident::causes::{Cause, Causes};
use crate::incident::clocks::Deadline;
use crate::incident::record::{self, Record};
use crate::incident::register::{self, Stated};
use crate::incident::steps::{Progress, Step};
use crate::report::{format, incident};

/// Causes that are shown; the JSON and the report have more.
const SHOWN_CAUSES: usize = 3;
/// Plans that roll-backs name and that are shown; the JSON has all.
const SHOWN_PLANS: usize = 3;

/// The part of what is said that opening and updating share.
fn said(facts: &IncidentFacts) -> Said {
    Said {
        severity: facts.severity.clone(),
        class: facts.class.clone(),
        owner: facts.owner.clone(),
        workflow: facts.workflow.clone(),
        detected_at: facts.detected.clone(),
        aware_at: facts.aware.clone(),
        ..Said::default()
    }
}

/// Opens an incident.
///
/// # Errors
/// When something given is wrong, a bound is met, or the store fails.
pub async fn open(global: &Global, args: &IncidentOpenArgs, out: &Output) -> Result<Answer> {
    let mut change = Said { title: Some(args.title.clone()), ..said(&args.facts) }.opening()?;
    change.selector = Some(selector(&args.predicate, &args.window)?);
    let by = person(args.facts.by.as_deref())?;
    let store = super::open(global).await?;
    let engine = session(global, &store).await?;
    let stated = register::open(&store, &engine, &change, &by).await?;
    out.say(&format!("event {} opens incident {}", stated.seq, stated.incident_id));
    say_scope(&stated, out);
    let id = &stated.incident_id;
    out.say(&format!(
        "keep its evidence with: probity hold --incident {id} --reason ..., and with one for its workflow"
    ));
    out.result(id)?;
    out.json(&stated.to_json())?;
    Ok(Answer::Done)
}

fn say_scope(stated: &Stated, out: &Output) {
    let Some(frozen) = &stated.frozen else { return };
    let number = |pointer: &str| thousands(frozen.scope.pointer(pointer).and_then(Value::as_u64).unwrap_or(0));
    out.say(&format!(
        "event {} freezes version {} of its scope: {} records, {} cells, {} of them still wrong",
        frozen.seq,
        frozen.version,
        number("/records"),
        number("/cells"),
        number("/states/still_wrong")
    ));
    if frozen.scope["direct_actions"] == 0 {
        out.say(NOTHING_PICKED);
    }
}

/// States what has changed of an incident.
///
/// # Errors
/// When there is no such incident, it is closed, something given is wrong, or the store fails.
pub async fn update(global: &Global, args: &IncidentUpdateArgs, out: &Output) -> Result<Answer> {
    let by = person(args.facts.by.as_deref())?;
    let mut said = Said { selector: changed_selector(args)?, ..said(&args.facts) };
    (said.title, said.step, said.note) = (args.title.clone(), args.step.clone(), args.note.clone());
    let store = super::open(global).await?;
    let engine = session(global, &store).await?;
    let record = record::one(&engine, &args.incident).await?;
    let change = said.change(record.selector.as_ref())?;
    let stated = register::update(&store, &engine, &record, (&change, by.as_str())).await?;
    out.say(&format!("event {} states it of incident {}", stated.seq, stated.incident_id));
    say_scope(&stated, out);
    out.json(&stated.to_json())?;
    Ok(Answer::Done)
}

/// What `args` give of a selector; an empty text takes back what was said before.
fn changed_selector(args: &IncidentUpdateArgs) -> Result<SelectorChange> {
    let bound = |text: &Option<String>| text.clone().map(|text| Some(text).filter(|text| !text.is_empty()));
    let depth = |text: &String| if text.is_empty() { Ok(None) } else { read_steps(text).map(Some) };
    Ok(SelectorChange {
        predicate: args.predicate.clone(),
        from: bound(&args.from),
        to: bound(&args.to),
        environment: args.environment.clone(),
        depth: args.depth.as_ref().map(depth).transpose()?,
    })
}

fn read_steps(text: &str) -> Result<u32> {
    text.parse().map_err(|_| {
        Error::invalid(format!("--depth `{text}` is no whole number of steps; write 2, or \"\" to follow the spread"))
    })
}

/// Closes an incident.
///
/// # Errors
/// When there is no such incident, it is closed already, or the store fails.
pub async fn close(global: &Global, args: &IncidentCloseArgs, out: &Output) -> Result<Answer> {
    let by = person(args.by.as_deref())?;
    let store = super::open(global).await?;
    let engine = session(global, &store).await?;
    let record = record::one(&engine, &args.incident).await?;
    let seq = register::close(&store, &record, &args.reason, &by).await?;
    out.say(&format!("event {seq} closes incident {}", record.incident_id));
    out.json(&json!({"incident_id": record.incident_id, "seq": seq}))?;
    Ok(Answer::Done)
}

/// Lists the incidents.
///
/// # Errors
/// When the store fails.
pub async fn list(global: &Global, out: &Output) -> Result<Answer> {
    let store = super::open(global).await?;
    let engine = session(global, &store).await?;
    let records = record::list(&engine).await?;
    if records.is_empty() {
        out.say("there is no incident");
    }
    for record in &records {
        let title = record.title.as_deref().unwrap_or_default();
        let severity = record.severity.as_deref().unwrap_or("no severity");
        let (state, at) = (record.state.name(), rfc3339(record.opened_at));
        out.result(&format!("{}  {state:6}  {severity:8}  {at}  {title}", record.incident_id))?;
    }
    out.json(&json!({"incidents": records.iter().map(Record::to_json).collect::<Vec<_>>()}))?;
    Ok(Answer::Done)
}

/// Shows an incident: what it reached, how far its steps are, its clocks and deadlines.
///
/// # Errors
/// When there is no such incident, a bound is met, or the store fails.
pub async fn show(global: &Global, args: &IncidentIdArgs, out: &Output) -> Result<Answer> {
    let store = super::open(global).await?;
    let engine = session(global, &store).await?;
    let record = record::one(&engine, &args.incident).await?;
    let account = Account::of(&store, &engine, record).await?;
    let document = account.to_json();
    if !out.is_json {
        tell(&account, &incident::headline(&document), out)?;
    }
    out.json(&document)?;
    Ok(Answer::Done)
}

fn tell(account: &Account, headline: &str, out: &Output) -> Result<()> {
    out.result(headline)?;
    if let Some(title) = &account.record.title {
        out.result(title)?;
    }
    tell_causes(&account.causes, out)?;
    account.steps.iter().try_for_each(|step| out.result(&step_in_words(step)))?;
    let mut plans: Vec<(&String, &u64)> = account.seen.roll_backs_by_plan.iter().collect();
    plans.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (plan, roll_backs) in plans.iter().take(SHOWN_PLANS) {
        out.result(&format!("{} roll-backs name the plan {plan}", thousands(**roll_backs)))?;
    }
    if plans.len() > SHOWN_PLANS {
        out.say(&format!("and roll-backs name {} more plans; --json has all", plans.len() - SHOWN_PLANS));
    }
    match (account.is_paused(), account.seen.cells_after_pause) {
        (Some(_), Some(cells @ 1..)) => {
            out.result(&format!("{} cells were written wrongly after the pause", thousands(cells)))?;
        }
        (Some(false), _) => out.result("the workflow was resumed since")?,
        _ => {}
    }
    for clock in &account.clocks {
        let hours = if clock.is_early() { incident::EARLY.to_owned() } else { format::hours(clock.hours()) };
        out.result(&format!("{:8} {hours} ({})", clock.clock, clock.title))?;
    }
    account.deadlines.iter().try_for_each(|deadline| out.result(&deadline_in_words(deadline)))
}

/// Names the first candidates, or says why there is none.
fn tell_causes(causes: &Causes, out: &Output) -> Result<()> {
    if let Some(lack) = causes.lack {
        out.say(&format!("no cause is named: {lack}"));
    }
    let shown = causes.causes.iter().take(SHOWN_CAUSES);
    shown.map(|cause| cause_in_words(cause, causes)).try_for_each(|words| out.result(&words))
}

fn cause_in_words(cause: &Cause, causes: &Causes) -> String {
    let kind = cause.dimension.replace('_', " ");
    let (bad, all) = (format::of(cause.bad, causes.bad), format::of(cause.all, causes.all));
    let lift = format::number(Some(cause.lift));
    let value = &cause.value;
    let mut words = format!("candidate cause: {kind} `{value}`, in {bad} bad actions and {all} compared, lift {lift}");
    if !cause.is_signal() {
        words.push_str(", which may be chance");
    }
    if cause.is_selected {
        words.push_str("; the selector names it");
    }
    if let Some(change) = &cause.change {
        let (what, by) =
            (change.what.as_deref().unwrap_or("a setting"), change.by.as_deref().unwrap_or("nobody named"));
        let hours = format::hours(Some((cause.first_bad_at - change.at) as f64 / HOUR as f64));
        words.push_str(&format!("; {hours} before, event {} changed {what} (by {by})", change.seq));
    }
    words
}

fn step_in_words(step: &Step) -> String {
    let mark = match step.state {
        Progress::Done => "✓",
        Progress::Open => "·",
        Progress::NotKnown => "?",
    };
    let mut words = format!("{mark} {}", step.title);
    if let Some(evidence) = &step.evidence {
        let by = evidence.by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
        words.push_str(&format!(" (event {}{by} at {})", evidence.seq, rfc3339(evidence.at)));
    }
    if let Some(note) = &step.note {
        words.push_str(&format!(": {note}"));
    }
    words
}

fn deadline_in_words(deadline: &Deadline) -> String {
    let (article, asks) = (&deadline.article, &deadline.asks);
    let set = deadline.policy_version.as_ref().map_or_else(String::new, |version| format!(" (policy `{version}`)"));
    let due = deadline.due_at.map_or_else(|| "not known since when".to_owned(), |due| format!("due {}", rfc3339(due)));
    let state = match (deadline.notified_at, deadline.has_passed) {
        (Some(_), false) => "told in time",
        (Some(_), true) => "told late",
        (None, true) => "PASSED",
        (None, false) => "running",
    };
    format!("{article}{set}: {asks}; {due}, {state}")
}
