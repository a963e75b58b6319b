//! Ingest, acknowledgement, compaction: into stores in a temporary folder beside the one that is named.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use probity::clock::Clock;
use probity::ingest::{Source, ingest as run_ingest};
use probity::ledger::note::Signer;
use probity::simulate::{Plan, Simulation, write_ndjson};
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;
use serde_json::json;

use crate::Ask;
use crate::measure::{line, peak_mib};

async fn new_store(folder: &tempfile::TempDir) -> Store {
    let location = Location::open(folder.path().to_str().expect("a folder with a name")).expect("a local folder");
    let store = Store::create(location, "default", Clock::system()).await.expect("a store");
    store.signed_by(Arc::new(Signer::new("example.com/evidence", [7; 32]).expect("a signer")))
}

/// A folder beside the store that is named.
pub fn folder(ask: &Ask) -> tempfile::TempDir {
    let parent = ask.store.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    tempfile::TempDir::new_in(parent).expect("a temporary folder")
}

fn lines(events: u64, seed: u64) -> Vec<u8> {
    let mut simulation = Simulation::new(Plan { events, seed, ..Plan::default() });
    let mut text = Vec::new();
    while let Some(event) = simulation.next_event() {
        write_ndjson(&event, &mut text);
    }
    text
}

/// Writes simulated lines into a file: in memory they would be counted as the ingest's.
fn write_lines(events: u64, seed: u64, path: &Path) {
    let mut simulation = Simulation::new(Plan { events, seed, ..Plan::default() });
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let mut line = Vec::new();
    while let Some(event) = simulation.next_event() {
        line.clear();
        write_ndjson(&event, &mut line);
        file.write_all(&line).expect("a write");
    }
    file.flush().expect("a write");
}

fn stored_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return std::fs::metadata(path).map_or(0, |m| m.len()) };
    entries.flatten().map(|entry| stored_bytes(&entry.path())).sum()
}

/// A file, or simulated lines, into a new store: until durable, until everything is done.
pub async fn ingest(ask: &Ask) {
    let folder = folder(ask);
    let store = new_store(&folder).await;
    let beside = self::folder(ask);
    let (name, path) = match &ask.file {
        Some(path) => ("file", path.clone()),
        None => ("simulated", beside.path().join("events.ndjson")),
    };
    if ask.file.is_none() {
        write_lines(ask.events, 1, &path);
    }
    let bytes = std::fs::metadata(&path).expect("the file").len();
    let reader = Box::new(File::open(&path).expect("the file"));
    let start = Instant::now();
    let source = Source::Json { name: name.to_owned(), reader };
    let (report, outcome) = run_ingest(&store, source, &|_, _| {}).await;
    outcome.expect("an ingest");
    let took = start.elapsed();
    let stored = stored_bytes(folder.path());
    let more = json!({
        "events": report.counts.accepted, "bytes": bytes,
        "events_per_second": (report.counts.accepted as f64 / took.as_secs_f64()).round(),
        "stored_bytes": stored, "stored_share": (stored as f64 / bytes as f64 * 1000.0).round() / 1000.0,
        "peak_mib": peak_mib(),
    });
    line("ingest", &[took], more);
}

/// One event at a time until it is durable, beside what one fsync of the same disk takes.
pub async fn acknowledge(ask: &Ask) {
    let folder = folder(ask);
    let store = new_store(&folder).await;
    let mut file = File::create(folder.path().join("fsync")).expect("a file");
    let text = lines(ask.events.min(2_000), 7);
    let (mut acknowledged, mut synced) = (Vec::new(), Vec::new());
    let mut writer = probity::ingest::writer::Writer::new(&store);
    for event in text.split_inclusive(|byte| *byte == b'\n') {
        let reader = std::io::Cursor::new(event.to_vec());
        let mut decoder = probity::ingest::decode::JsonDecoder::new(reader, "one", Clock::system());
        let start = Instant::now();
        let incoming = decoder.next_batch().expect("an event").expect("an event");
        writer.append(incoming).await.expect("an acknowledgement");
        acknowledged.push(start.elapsed());
        file.write_all(event).expect("a write");
        let start = Instant::now();
        file.sync_all().expect("a sync");
        synced.push(start.elapsed());
    }
    let median = |times: &[std::time::Duration]| {
        let mut sorted = times.to_vec();
        sorted.sort();
        sorted[sorted.len() / 2].as_secs_f64()
    };
    let ratio = median(&acknowledged) / median(&synced);
    line("fsync", &synced, json!({}));
    line("acknowledgement", &acknowledged, json!({"fsyncs": (ratio * 100.0).round() / 100.0}));
}

/// Many small files of a simulated log merged into few.
pub async fn compact(ask: &Ask) {
    let folder = folder(ask);
    let store = new_store(&folder).await;
    let text = lines(ask.events, 3);
    for part in text.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>().chunks(20_000) {
        let reader = Box::new(std::io::Cursor::new(part.concat()));
        let (_, outcome) = run_ingest(&store, Source::Json { name: "part".to_owned(), reader }, &|_, _| {}).await;
        outcome.expect("an ingest");
        store.fold().await.expect("a fold");
    }
    let before = store.snapshot().await.expect("a snapshot").files.len();
    let start = Instant::now();
    let done = store.compact(Due::Any).await.expect("a compaction");
    let took = start.elapsed();
    let after = store.snapshot().await.expect("a snapshot").files.len();
    let per_second = (done.rows as f64 / took.as_secs_f64()).round();
    line(
        "compaction",
        &[took],
        json!({"rows": done.rows, "files_before": before, "files_after": after, "rows_per_second": per_second, "peak_mib": peak_mib()}),
    );
}
