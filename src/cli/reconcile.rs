//! `probity incident reconcile`: a field history of the system of record beside the evidence.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use serde_json::Value;

use super::args::{Global, IncidentReconcileArgs};
use super::incident::short;
use super::ingest::{find_mapping, source};
use super::input::Input;
use super::output::{Output, thousands};
use super::{Answer, open, session};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::incident::reconcile::{Asked, History, List, Reconciliation, read_tolerance, reconcile};
use crate::query::blast::{read_environment, read_instant};

/// Findings of each kind shown to a person; JSON and CSV have more.
const SHOWN: usize = 20;

/// Compares a field history with the evidence.
///
/// # Errors
/// When the file or its mapping does not work, a bound is met, or the store fails.
pub async fn run(global: &Global, args: &IncidentReconcileArgs, out: &Output) -> Result<Answer> {
    let asked = asked(args)?;
    let mapping = find_mapping(&args.map)?;
    let input = Input::open(&args.file)?;
    let name = input.name.clone();
    let store = open(global).await?;
    let engine = session(global, &store).await?;
    let history = History::read(source(input, Some(&mapping)).await?, store.clock()).await?;
    let found = reconcile(&store, &engine, history, &asked).await?;
    tell(&found, out);
    show(&found, out)?;
    if !out.is_json && args.out.is_none() {
        return Ok(answer(&found));
    }
    let mut document = found.to_json()?;
    document["file"] = name.into();
    document["mapping"] = args.map.clone().into();
    if let Some(directory) = &args.out {
        write(&found, &document, directory, out)?;
    }
    out.json(&document)?;
    Ok(answer(&found))
}

fn answer(found: &Reconciliation) -> Answer {
    if found.is_reconciled() { Answer::Done } else { Answer::NotAll }
}

fn asked(args: &IncidentReconcileArgs) -> Result<Asked> {
    let instant = |text: &Option<String>| text.as_deref().map(read_instant).transpose();
    let (from, to) = (instant(&args.from)?, instant(&args.to)?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Error::invalid("--from is not before --to; the window holds no instant"));
    }
    if args.agents.iter().any(|id| id.trim().is_empty()) {
        return Err(Error::invalid("--agent names nobody; write the identity as it stands in the history"));
    }
    let (tolerance, environment) = (read_tolerance(&args.tolerance)?, read_environment(&args.environment)?);
    Ok(Asked { agents: args.agents.iter().cloned().collect(), from, to, tolerance, environment })
}

/// Says what was found, most important first.
fn tell(found: &Reconciliation, out: &Output) {
    let compared = &found.compared;
    let (history, evidence) = (&compared.history, &compared.evidence);
    out.say(&headline(found));
    out.say(&format!(
        "{} history writes: {} matched, {} matched without value, {} with another value, {} by agents not logged, {} \
         by others not logged",
        thousands(history.writes),
        thousands(history.matched),
        thousands(history.matched_without_value),
        thousands(history.wrong_value),
        thousands(history.unlogged),
        thousands(history.other_writers)
    ));
    out.say(&format!(
        "{} evidence writes: {} matched, {} matched without value, {} with another value, {} landed with their \
         record, {} changed nothing, {} never landed, {} partial or unknown never landed",
        thousands(evidence.writes),
        thousands(evidence.matched),
        thousands(evidence.matched_without_value),
        thousands(evidence.wrong_value),
        thousands(evidence.landed_with_record),
        thousands(evidence.no_change),
        thousands(evidence.not_landed),
        thousands(evidence.not_landed_open)
    ));
    out.say(&basis(found));
    left_out(found).iter().for_each(|what| out.say(&format!("left out: {what}")));
    found.reasons.iter().for_each(|reason| out.say(&format!("  {reason}")));
    found.doubts().iter().for_each(|doubt| out.say(&format!("not certain: {doubt}")));
}

/// The answer in one line.
fn headline(found: &Reconciliation) -> String {
    let compared = &found.compared;
    let logged = match (compared.history.unlogged, compared.agents_writes) {
        (0, 0) => "no write in the history is an agent's".to_owned(),
        (0, all) => format!("every write by agents in the history is logged, {} of them", thousands(all)),
        (unlogged, all) => {
            format!("{} of {} writes by agents in the history were never logged", thousands(unlogged), thousands(all))
        }
    };
    let counts = [List::NotLanded, List::WrongValues, List::ChainBreaks].map(|list| found.findings(list) as u64);
    let [not_landed, wrong, breaks] = counts.map(thousands);
    let rest =
        format!("{not_landed} logged writes never landed, {wrong} landed with another value, {breaks} chain breaks");
    match found.gaps().as_slice() {
        [] if found.is_reconciled() => format!("reconciled: {logged}"),
        [] => format!("not reconciled: {logged}; {rest}"),
        gaps => format!("not reconciled: {}; {logged}; {rest}", gaps.join("; ")),
    }
}

/// What was compared by what.
fn basis(found: &Reconciliation) -> String {
    let agents: Vec<String> = found.compared.agents.iter().map(|(id, n)| format!("{id} ({})", thousands(*n))).collect();
    let more = if agents.len() > SHOWN { " and others" } else { "" };
    let agents =
        if agents.is_empty() { "none by name".to_owned() } else { agents[..agents.len().min(SHOWN)].join(", ") };
    let (rules, records) = (&found.rules, found.compared.records);
    let span = if rules.from < rules.to {
        format!("from {} to {}", rfc3339(rules.from), rfc3339(rules.to))
    } else {
        "no span of time".to_owned()
    };
    format!(
        "{span}; records on both sides {}, in the history only {}, in the evidence only {}; identities of agents and \
         their writes in the history: {agents}{more}",
        thousands(records.both),
        thousands(records.only_history),
        thousands(records.only_evidence)
    )
}

/// What was not compared, in words.
fn left_out(found: &Reconciliation) -> Vec<String> {
    let (read, evidence) = (&found.read, &found.left_out);
    let names = |names: &BTreeMap<String, u64>| -> String {
        let first = names.keys().take(SHOWN).map(|name| one_line(name));
        first.collect::<Vec<_>>().join(", ") + if names.len() > SHOWN { " and others" } else { "" }
    };
    let all = [
        (read.refused, "rows of the history that do not decode".to_owned()),
        (read.duplicates, "rows of the history that are there twice".to_owned()),
        (read.not_writes, "rows of the history that wrote nothing".to_owned()),
        (read.without_record, "rows of the history without a record".to_owned()),
        (found.history_outside(), "rows of the history outside of the span".to_owned()),
        (evidence.outside_span, "writes of the evidence outside of the span".to_owned()),
        (
            evidence.other_types,
            format!("writes of the evidence to types not in the history: {}", names(&evidence.types)),
        ),
        (
            evidence.other_fields,
            format!("writes of the evidence to fields not in the history: {}", names(&evidence.fields)),
        ),
        (evidence.without_record, "writes of the evidence without a record".to_owned()),
    ];
    all.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", thousands(n))).collect()
}

/// The first findings as a table.
fn show(found: &Reconciliation, out: &Output) -> Result<()> {
    let head = ["finding", "at", "record", "field", "by", "old", "new", "history", "where"].map(str::to_owned);
    let mut lines = vec![head];
    for list in List::ALL {
        lines.extend(found.rows(list).take(SHOWN).map(|row| line(list, &row)));
    }
    if lines.len() > 1 {
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 9] = std::array::from_fn(width);
        for line in &lines {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            out.result(cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
    }
    for list in List::ALL {
        let more = found.findings(list).saturating_sub(SHOWN);
        if more > 0 {
            out.say(&format!("and {} more {}; --out DIR writes all", thousands(more as u64), name(list)));
        }
    }
    Ok(())
}

/// The name of a list for people.
fn name(list: List) -> String {
    list.name().replace('_', " ")
}

/// `text` on one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn line(list: List, row: &[Value]) -> [String; 9] {
    let text = |name: &str| {
        let place = list.columns().iter().position(|column| *column == name);
        match place.and_then(|place| row.get(place)) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        }
    };
    let part = |name: &str| text(name).map_or_else(String::new, |text| one_line(&text));
    let value = |name: &str| text(name).map_or_else(|| "?".to_owned(), |text| short(&text));
    let operation = || text("operation").map_or_else(String::new, |operation| format!("({})", one_line(&operation)));
    let place = match text("seq") {
        Some(seq) => format!("event {seq}"),
        None => format!("{}:{}", part("file"), part("line")),
    };
    let history = if list == List::Unlogged { String::new() } else { value("history_value") };
    [
        name(list),
        part("occurred_at"),
        ["system", "record_type", "record_id"].map(part).join("/"),
        text("field").map_or_else(operation, |field| one_line(&field)),
        part("actor_id"),
        value("old_value"),
        value("new_value"),
        history,
        place,
    ]
}

/// Writes every finding as CSV, and the document.
fn write(found: &Reconciliation, document: &Value, directory: &Path, out: &Output) -> Result<()> {
    fs::create_dir_all(directory)
        .map_err(|e| Error::unavailable(format!("cannot make the folder {}", directory.display())).because(e))?;
    for list in List::ALL {
        let path = directory.join(format!("{}.csv", list.name()));
        let written = File::create(&path).and_then(|file| found.write_csv(list, &mut BufWriter::new(file)));
        written.map_err(|e| cannot_write(&path, e))?;
        out.say(&format!("wrote {}", path.display()));
    }
    let path = directory.join("reconciliation.json");
    fs::write(&path, format!("{document}\n")).map_err(|e| cannot_write(&path, e))?;
    out.say(&format!("wrote {}", path.display()));
    Ok(())
}

fn cannot_write(path: &Path, cause: std::io::Error) -> Error {
    Error::unavailable(format!("cannot write {}", path.display())).because(cause)
}
