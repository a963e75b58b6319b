//! The vocabulary of the tests: stores, events, what is stored, faults.

#![allow(dead_code)] // each test file uses its part

pub mod browser;
pub mod command;
pub mod custody;
pub mod faults;
pub mod http;
pub mod pack;
pub mod server;

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use probity::clock::Clock;
use probity::event::{COLUMNS, Column, Rows, leaves};
use probity::ingest::{Report, Source};
use probity::store::object::Location;
use probity::store::{DataFile, Store, parquet};

/// 2026-03-02T09:00:00Z in microseconds.
pub const T0: i64 = 1_772_442_000_000_000;
/// One minute in microseconds.
pub const MINUTE: i64 = 60_000_000;

/// A store in memory whose clock stands at [`T0`].
pub async fn memory() -> Store {
    Store::create(Location::memory(), "default", Clock::simulated(T0, 7)).await.unwrap()
}

/// An `action.executed` with these ids, `minute` minutes after the start of 2026.
pub fn event(id: &str, minute: i64) -> String {
    let at = probity::clock::rfc3339(1_767_225_600_000_000 + minute * MINUTE);
    format!(
        r#"{{"event_id":"{id}","source":"test","event_type":"action.executed","occurred_at":"{at}","workflow":"w","action_id":"a{id}","system":"crm","record_type":"lead","record_id":"r{id}","field":"owner","old_value":"x","new_value":"{id}","outcome":"succeeded"}}"#
    )
}

/// Ingests `text` as JSON.
pub async fn ingest(store: &Store, text: impl Into<String>) -> Report {
    let (report, outcome) = try_ingest(store, text).await;
    outcome.unwrap();
    report
}

/// Ingests `text` as JSON, with what became of it.
pub async fn try_ingest(store: &Store, text: impl Into<String>) -> (Report, probity::error::Result<()>) {
    let reader = Box::new(std::io::Cursor::new(text.into().into_bytes()));
    probity::ingest::ingest(store, Source::Json { name: "test".into(), reader }, &|_, _| {}).await
}

/// Received, accepted, duplicate, conflict, rejected.
pub fn counts(report: &Report) -> [u64; 5] {
    let c = &report.counts;
    [c.received, c.accepted, c.duplicate, c.conflict, c.rejected]
}

/// Every stored event by `seq`: its id and leaf hash; panics when a `seq` is there twice or missing.
pub async fn stored(store: &Store) -> BTreeMap<i64, (String, [u8; 32])> {
    let snapshot = store.snapshot().await.unwrap();
    let all: Vec<Column> = COLUMNS.iter().map(|c| c.column).collect();
    let mut batches = snapshot.journal.clone();
    for file in &snapshot.files {
        let rows = parquet::scan(&snapshot.objects, file, &all, None).await.unwrap();
        batches.extend(rows.try_collect::<Vec<_>>().await.unwrap());
    }
    let mut events = BTreeMap::new();
    for batch in &batches {
        let rows = Rows::new(batch).unwrap();
        for (row, leaf) in leaves(&rows).into_iter().enumerate() {
            let id = rows.text(Column::EventId, row).unwrap().to_owned();
            let seq = rows.long(Column::Seq, row).unwrap();
            assert!(events.insert(seq, (id, leaf)).is_none(), "seq {seq} is stored twice");
        }
    }
    assert_eq!(events.len() as i64, snapshot.size, "a seq is missing");
    assert!(events.keys().copied().eq(0..snapshot.size), "a seq is missing");
    events
}

/// How often each id of a source's event is stored; the engine's own events are left out.
pub async fn stored_ids(store: &Store) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for (id, _) in stored(store).await.into_values() {
        if id.len() != 32 {
            *ids.entry(id).or_default() += 1;
        }
    }
    ids
}

/// Runs `test` for seeds that the environment variable `PROBITY_SEED` may fix to one; prints each seed that
/// fails with the command that replays it.
pub async fn seeded<F: Future<Output = ()> + Send + 'static>(seeds: u64, test: fn(u64) -> F) {
    let fixed = std::env::var("PROBITY_SEED").ok().and_then(|s| s.parse().ok());
    for seed in fixed.map_or(0..seeds, |seed: u64| seed..seed + 1) {
        if let Err(e) = tokio::spawn(test(seed)).await {
            eprintln!("failed with seed {seed}; replay: PROBITY_SEED={seed} cargo test -- <name of this test>");
            std::panic::resume_unwind(e.into_panic());
        }
    }
}

/// Puts other bytes in the place of a data file, and their length into the commit log, as somebody with access to all
/// files would.
pub async fn restate(location: &Location, file: &DataFile, bytes: Vec<u8>) {
    let sizes = (format!("\"size\":{}", file.bytes), format!("\"size\":{}", bytes.len()));
    location.objects.put(&file.path, bytes.into()).await.unwrap();
    let (tenant, _) = file.path.as_ref().split_once("/events/").unwrap();
    let log = Path::from(format!("{tenant}/events/_delta_log"));
    let commits: Vec<Path> =
        location.objects.list(Some(&log)).map_ok(|meta| meta.location).try_collect().await.unwrap();
    for commit in commits {
        let text = location.objects.get(&commit).await.unwrap().bytes().await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        if text.contains(file.path.filename().unwrap()) {
            location.objects.put(&commit, text.replace(&sizes.0, &sizes.1).into()).await.unwrap();
        }
    }
}
