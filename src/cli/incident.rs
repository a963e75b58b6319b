//! `probity incident scope` and `probity incident plan`; the register is in `register`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value};

use super::args::{Global, IncidentPlanArgs, IncidentScopeArgs, WindowArgs};
use super::output::{Output, closed, thousands};
use super::{Answer, open, person, session};
use crate::blast::{Cell, Plan, Radius};
use crate::error::{Error, ErrorKind, Result};
use crate::incident::asked::SelectorText;
use crate::incident::plan::{Written, remedies, to_csv, to_json, to_ndjson};
use crate::incident::{self, Scoped, record, register};
use crate::query::blast::Selector;
use crate::query::objects::text;

/// Cells shown to a person; JSON and SQL have all.
const SHOWN: usize = 20;
/// Bytes printed at once.
const PRINTED_BYTES: usize = 256 * 1024;
/// Characters of a value shown in the table.
const VALUE_CHARS: usize = 24;

/// What is said of a predicate that picks nothing.
pub(super) const NOTHING_PICKED: &str =
    "the predicate picks no action; look at its window, its environment and its spelling";

/// The selector that options name.
///
/// # Errors
/// When an instant or the environment is none, or the window is empty.
pub fn selector(predicate: &str, window: &WindowArgs) -> Result<Selector> {
    let typed = SelectorText {
        predicate: predicate.to_owned(),
        from: window.from.clone(),
        to: window.to.clone(),
        environment: Some(window.environment.clone()),
        depth: window.depth,
    };
    typed.read()
}

/// Scopes an incident.
///
/// # Errors
/// When the predicate is none, a bound is met, or the store fails.
pub async fn scope(global: &Global, args: &IncidentScopeArgs, out: &Output) -> Result<Answer> {
    if let Some(id) = &args.incident {
        return freeze(global, (id.as_str(), args.by.as_deref()), out).await;
    }
    let selector = selector(args.predicate.as_deref().unwrap_or_default(), &args.window)?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let scoped = incident::scope(&store, &engine, &selector).await?;
    let mut more = Map::new();
    match &args.why {
        None => {
            tell(&scoped, out);
            show(&scoped.radius, out)?;
        }
        Some(key) => {
            let chains = incident::why(&engine, &scoped, key).await?;
            chains.iter().try_for_each(|chain| out.result(&chain_in_words(chain)))?;
            more.insert("why".to_owned(), chains.into());
        }
    }
    print_document(&scoped, more, out)?;
    Ok(Answer::Done)
}

/// Scopes an incident anew, freezes the result, and tells what has changed.
async fn freeze(global: &Global, (id, by): (&str, Option<&str>), out: &Output) -> Result<Answer> {
    if global.as_of.is_some() {
        return Err(Error::invalid("--incident freezes what is known now; leave --as-of out"));
    }
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let record = record::one(&engine, id).await?;
    let (scoped, frozen) = register::freeze(&store, &engine, &record, &person(by)?).await?;
    tell(&scoped, out);
    let stated = frozen.stated(&record);
    out.say(&format!("event {} freezes this as version {} of the scope of {id}", frozen.seq, frozen.version));
    if stated["difference"].is_object() {
        out.say(&change_in_words(&stated["difference"]));
    }
    let more = if let Value::Object(stated) = stated { stated } else { Map::new() };
    print_document(&scoped, more, out)?;
    Ok(Answer::Done)
}

/// Prints the scope with `more` where JSON was asked for, as it is made: that of a large incident is tens of megabytes.
fn print_document(scoped: &Scoped, more: Map<String, Value>, out: &Output) -> Result<()> {
    if !out.is_json {
        return Ok(());
    }
    let mut writer = BufWriter::with_capacity(PRINTED_BYTES, io::stdout().lock());
    serde_json::to_writer(&mut writer, &scoped.document(more)).map_err(|e| closed(e.into()))?;
    writer.write_all(b"\n").and_then(|()| writer.flush()).map_err(closed)
}

fn change_in_words(difference: &Value) -> String {
    let counts = difference["counts"].as_object().into_iter().chain(difference["states"].as_object()).flatten();
    let moved = counts.filter_map(|(name, n)| Some((name, n.as_i64().filter(|n| *n != 0)?)));
    let moved: Vec<String> = moved.map(|(name, n)| format!("{} {n:+}", name.replace('_', " "))).collect();
    let set = if difference["is_affected_changed"] == true {
        "the affected records are others"
    } else {
        "the affected records are the same"
    };
    let counts = if moved.is_empty() { "no count has changed".to_owned() } else { moved.join(", ") };
    format!("since version {}: {set}; {counts}", difference["since_version"])
}

/// Says what was found, most important first.
fn tell(scoped: &Scoped, out: &Output) {
    if out.is_quiet {
        return;
    }
    let radius = &scoped.radius;
    let affected = radius.affected();
    if radius.direct_actions == 0 {
        out.say(NOTHING_PICKED);
        return;
    }
    let number = |n: usize| thousands(n as u64);
    out.say(&format!(
        "{} {} records are affected, {} cells, by {} actions that the predicate picks and {} that read what they wrote",
        scoped.certainty(),
        thousands(affected.records),
        number(radius.cells.len()),
        thousands(radius.direct_actions),
        thousands(radius.derived_actions)
    ));
    let states = radius.states().into_iter().filter(|(_, n)| *n > 0);
    let states: Vec<String> =
        states.map(|(state, n)| format!("{} {}", thousands(n), state.name().replace('_', " "))).collect();
    if !states.is_empty() {
        out.say(&format!("cells: {}", states.join(", ")));
    }
    let (external, people) = (radius.external().count(), &radius.people);
    out.say(&format!(
        "{} further records exposed; {} actions with external effects; {} persons, {} approvers, {} segments \
         concerned; the spread went {} steps",
        number(radius.exposed.len()),
        number(external),
        number(people.subjects.len()),
        number(people.approvers.len()),
        number(people.segments.len()),
        radius.max_depth
    ));
    for amount in &radius.amounts {
        let currency = amount.currency.as_deref().unwrap_or("without currency");
        let (total, applied, actions) = (&amount.total, &amount.applied, thousands(amount.actions));
        out.say(&format!("amounts: {total} {currency} in {actions} actions, {applied} of it applied"));
    }
    for doubt in scoped.doubts() {
        out.say(&format!("not certain: {doubt}"));
    }
    out.say(&format!("affected records SHA-256 {} over {} events", affected.sha256, scoped.size));
}

/// The first cells as a table.
fn show(radius: &Radius, out: &Output) -> Result<()> {
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "?".to_owned(), short);
    let line = |cell: &Cell| {
        [
            // Whole, so that it can be given to --why.
            cell.record.key(),
            cell.field.as_deref().map_or_else(String::new, short),
            cell.state.name().to_owned(),
            cell.depth.to_string(),
            value(&cell.old_value),
            value(&cell.bad_value),
            value(&cell.current_value),
            cell.flags.names().join(" "),
        ]
    };
    if radius.cells.is_empty() {
        return Ok(());
    }
    let head = ["record", "field", "state", "depth", "old", "bad", "now", "flags"].map(str::to_owned);
    let lines: Vec<[String; 8]> = std::iter::once(head).chain(radius.cells.iter().take(SHOWN).map(line)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        out.result(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    if radius.cells.len() > SHOWN {
        let more = thousands((radius.cells.len() - SHOWN) as u64);
        out.say(&format!("and {more} more cells; --json has all, and so has select * from blast_radius('...')"));
    }
    Ok(())
}

/// `text` on one line and not too long.
pub(super) fn short(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = chars.by_ref().take(VALUE_CHARS).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn chain_in_words(chain: &Value) -> String {
    let word = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let field = chain.get("field").and_then(Value::as_str).map_or_else(String::new, |field| format!(" {field}"));
    let mut words = format!("{}{field}", word(chain, "record"));
    for step in chain.get("steps").and_then(Value::as_array).into_iter().flatten() {
        let Some(event) = step.get("event").and_then(Value::as_object) else { continue };
        let part = |name: &str| text(event, name);
        words.push_str(&format!(
            "\n  {} {} {} at {} by {}: {} of {}/{}/{} {}",
            step["seq"],
            word(step, "role"),
            part("event_type"),
            part("occurred_at"),
            if part("actor_id").is_empty() { "?" } else { part("actor_id") },
            word(step, "action_id"),
            part("system"),
            part("record_type"),
            part("record_id"),
            part("field")
        ));
        if !(part("old_value").is_empty() && part("new_value").is_empty()) {
            words.push_str(&format!(", `{}` became `{}`", short(part("old_value")), short(part("new_value"))));
        }
    }
    words
}

/// Makes a recovery plan, or checks one.
///
/// # Errors
/// When the predicate is none, a bound is met, the file cannot be read or written, or the store fails.
pub async fn plan(global: &Global, args: &IncidentPlanArgs, out: &Output) -> Result<Answer> {
    if let Some(file) = &args.check {
        return check(global, file, out).await;
    }
    let selector = selector(args.predicate.as_deref().unwrap_or_default(), &args.window)?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let scoped = incident::scope(&store, &engine, &selector).await?;
    let plan = Plan::of(&scoped.radius);
    let document = to_json(&scoped, &plan)?;
    let remedies: Vec<String> =
        remedies(&plan).into_iter().map(|(remedy, n)| format!("{} {}", thousands(n), remedy.name())).collect();
    let certainty = scoped.certainty();
    let is_of_something = scoped.radius.direct_actions > 0;
    let rows = thousands(plan.rows.len() as u64);
    let found = format!("{certainty} {rows} cells: {}", remedies.join(", "));
    out.say(if is_of_something { found.as_str() } else { NOTHING_PICKED });
    out.say(&format!("plan SHA-256 {}; check it before you apply it: probity incident plan --check", plan.plan_sha256));
    if let Some(target) = &args.out {
        write(target, &plan, &document, out)?;
    }
    out.json(&document)?;
    Ok(Answer::Done)
}

fn write(target: &Path, plan: &Plan, document: &Value, out: &Output) -> Result<()> {
    let put = |path: &Path, text: &str| {
        fs::write(path, text)
            .map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))
            .map(|()| out.say(&format!("wrote {}", path.display())))
    };
    match target.extension().and_then(|extension| extension.to_str()) {
        Some("json") => return put(target, &format!("{document}\n")),
        Some("ndjson") => return put(target, &to_ndjson(plan)?),
        _ => {}
    }
    fs::create_dir_all(target)
        .map_err(|e| Error::unavailable(format!("cannot make the folder {}", target.display())).because(e))?;
    let updates = to_csv(plan);
    check_own(target, &updates)?;
    put(&target.join("plan.json"), &format!("{document}\n"))?;
    updates.iter().try_for_each(|(name, text)| put(&target.join(name), text))
}

/// Refuses a folder with bulk updates that this plan does not write over: whoever applies the folder would apply them.
fn check_own(target: &Path, updates: &BTreeMap<String, String>) -> Result<()> {
    let unreadable =
        |e: std::io::Error| Error::unavailable(format!("cannot list the folder {}", target.display())).because(e);
    for entry in fs::read_dir(target).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "csv") && !updates.contains_key(name) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} is no part of this plan, perhaps of an older one; remove it or name another folder",
                    path.display()
                ),
            ));
        }
    }
    Ok(())
}

/// Says whether the plan in `file` still holds.
async fn check(global: &Global, file: &Path, out: &Output) -> Result<Answer> {
    let text = fs::read_to_string(file)
        .map_err(|e| Error::not_found(format!("cannot read the plan {}", file.display())).because(e))?;
    let written = Written::parse(&text)?;
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let scoped = incident::scope(&store, &engine, &written.selector()?).await?;
    let now = Plan::of(&scoped.radius);
    let verdict = written.verdict(&now)?;
    let is_stale = verdict["is_stale"] == true;
    let changed = verdict["changed"].as_array().map(Vec::as_slice).unwrap_or_default();
    if is_stale {
        let n = thousands(changed.len() as u64);
        let what = if changed.is_empty() {
            "the hash of the plan is not that of its rows".to_owned()
        } else {
            format!("{n} cells are not as the plan says")
        };
        out.say(&format!("stale: {what}; make a new one"));
        changed.iter().filter_map(Value::as_str).take(SHOWN).try_for_each(|key| out.result(key))?;
        if changed.len() > SHOWN {
            out.say("and more; --json names all");
        }
    } else {
        out.say(&format!("the plan holds: its {} cells are as it says", thousands(now.rows.len() as u64)));
    }
    out.json(&verdict)?;
    Ok(if is_stale { Answer::NotAll } else { Answer::Done })
}
