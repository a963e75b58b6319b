//! `probity simulate`: a log of agents at work that nobody has to be careful with, with incidents planted in it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::args::{Global, SimulateArgs};
use super::output::{Bar, Output, closed, thousands};
use super::{Answer, open_or_create};
use crate::error::{Error, Result};
use crate::ingest::counts::Counts;
use crate::ingest::{Source, ingest};
use crate::simulate::{Plan, Planted, Simulation, write_ndjson};

/// Bytes of text gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Writes simulated events as NDJSON or stores them, and names the incidents.
///
/// # Errors
/// When the file or the store cannot be written.
pub async fn run(global: &Global, args: &SimulateArgs, out: &Output) -> Result<Answer> {
    let plan = Plan { events: args.events, seed: args.seed, months: args.months, ..Plan::default() };
    let planted = match args.out.as_deref() {
        Some(path) => write(plan, path, out)?,
        None => store(global, plan, out).await?,
    };
    tell(&planted, out);
    let target = args.out.as_ref().map_or_else(|| global.store(), |path| path.display().to_string());
    let incidents = serde_json::to_value(&planted).map_err(|e| Error::internal("cannot name incidents").because(e))?;
    out.json(&json!({"events": args.events, "seed": args.seed, "written_to": target, "incidents": incidents}))?;
    Ok(Answer::Done)
}

fn tell(planted: &[Planted], out: &Output) {
    for incident in planted {
        out.say(&format!(
            "planted {}: {} ({} to {}): {} actions where {}",
            incident.name,
            incident.cause,
            incident.from,
            incident.to,
            thousands(incident.direct_actions),
            incident.predicate
        ));
    }
}

/// Writes lines to the file `path`; `-` is standard output.
fn write(plan: Plan, path: &Path, out: &Output) -> Result<Vec<Planted>> {
    if path == Path::new("-") && out.is_json {
        return Err(Error::invalid("--json and --out - both want standard output; name a file for the events"));
    }
    let failed = |e: std::io::Error| Error::unavailable(format!("cannot write {}", path.display())).because(e);
    let mut target: Box<dyn Write> = match path == Path::new("-") {
        true => Box::new(std::io::stdout()),
        false => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
    };
    let mut simulation = Simulation::new(plan);
    let mut text = Vec::with_capacity(2 * WRITE_BYTES);
    while let Some(event) = simulation.next_event() {
        write_ndjson(&event, &mut text);
        if text.len() >= WRITE_BYTES {
            target.write_all(&text).map_err(closed)?;
            text.clear();
        }
    }
    target.write_all(&text).and_then(|()| target.flush()).map_err(closed)?;
    Ok(simulation.planted().to_vec())
}

/// Stores events as an ingest would, without the text between.
async fn store(global: &Global, plan: Plan, out: &Output) -> Result<Vec<Planted>> {
    let store = open_or_create(global, out).await?;
    let events = plan.events;
    let bar = Bar::events(out, "simulated", events);
    let simulation = Arc::new(Mutex::new(Simulation::new(plan)));
    let drawn = simulation.clone();
    let drafts = std::iter::from_fn(move || drawn.lock().unwrap_or_else(|e| e.into_inner()).next_event());
    let source = Source::Drafts { name: "simulate".to_owned(), drafts: Box::new(drafts) };
    let progress = |_: u64, counts: &Counts| bar.set(counts.received, String::new());
    let (report, outcome) = ingest(&store, source, &progress).await;
    bar.finish();
    outcome?;
    let Counts { accepted, duplicate, conflict, rejected, .. } = report.counts;
    out.say(&format!(
        "{} events stored, {} known already, {} refused; the ledger has {}",
        thousands(accepted),
        thousands(duplicate),
        thousands(conflict + rejected),
        thousands(report.size as u64)
    ));
    let planted = simulation.lock().unwrap_or_else(|e| e.into_inner()).planted().to_vec();
    Ok(planted)
}
