//! Import mappings: real and hand-made samples give exactly the events that plain loops say they must.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use probity::clock::Clock;
use probity::event::parse::instant;
use probity::ingest::Source;
use probity::ingest::mapping::Mapping;
use probity::ingest::spool::{Shape, Spool};
use probity::query::answer::Limits;
use probity::query::asof::AsOf;
use probity::query::catalogue::Catalogue;
use probity::query::engine::Engine;
use probity::query::functions::source_functions;
use probity::query::objects::{Row, rows};
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::store::Store;
use probity::store::object::Location;
use serde_json::{Value, json};

use crate::support::counts;

const INPUTS: [(&str, &[&str]); 7] = [
    (
        "salesforce_field_history",
        &[
            "handmade/AccountHistory.csv",
            "handmade/FieldHistoryArchive.csv",
            "handmade/Invoice__History.csv",
            "handmade/OpportunityFieldHistory.csv",
        ],
    ),
    ("salesforce_setup_audit_trail", &["appomni/salesforce_setup_audit_trail", "handmade/setup_audit_trail.ndjson"]),
    ("servicenow_sys_audit", &["appomni/servicenow_sys_audit", "handmade/sys_audit.ndjson"]),
    ("hubspot_property_history", &["handmade/contacts.ndjson"]),
    ("microsoft365_audit", &["appomni/microsoft365_audit", "handmade/microsoft365.ndjson"]),
    ("ocsf", &["handmade/ocsf.ndjson"]),
    ("otel_genai", &["otel_genai/any_agent", "otel_genai/otlp.ndjson"]),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The files below `path`, in the order of their paths.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut all: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|f| f.unwrap().path()).collect();
    all.sort();
    all.iter().flat_map(|path| files(path)).collect()
}

async fn store() -> Store {
    let now = instant("2026-11-20T00:00:00Z").unwrap();
    Store::create(Location::memory(), "default", Clock::fixed(now)).await.unwrap()
}

/// Ingests one file through a shipped mapping; gives its four counts behind what was received.
async fn ingest(store: &Store, mapping: &str, name: &str, bytes: Vec<u8>) -> ([u64; 5], Vec<String>) {
    let shape = if name.ends_with(".csv") { Shape::Csv } else { Shape::Json };
    let mut spool = Spool::read(shape, name, Box::new(Cursor::new(bytes))).unwrap();
    let refused = std::mem::take(&mut spool.refused);
    let text = &Catalogue::shipped().unwrap().get(mapping).unwrap().text;
    let rows = Mapping::parse(mapping, text).unwrap().run(spool, source_functions()).await.unwrap();
    let source = Source::Mapped { name: name.to_owned(), rows, refused };
    let (report, outcome) = probity::ingest::ingest(store, source, &|_, _| {}).await;
    outcome.unwrap();
    (counts(&report), report.reasons)
}

async fn engine(store: &Store) -> Engine {
    let snapshot = store.snapshot().await.unwrap();
    let runtime = QueryRuntime::new(&RuntimeLimits::default()).unwrap();
    let as_of = AsOf { size: snapshot.size, at: store.clock().now() };
    Engine::new(&runtime, &snapshot, as_of).await.unwrap()
}

/// The events that were sent, with the columns that are set.
async fn events(store: &Store) -> Vec<Row> {
    let sql = "select * from events where source <> 'probity' order by seq";
    let mut events = rows(&engine(store).await.sql(sql, Limits::default()).await.unwrap()).unwrap();
    for event in &mut events {
        for assigned in ["seq", "recorded_at", "occurred_month", "event_order"] {
            event.remove(assigned);
        }
        event.retain(|_, value| !value.is_null());
        for inputs in event.get_mut("inputs").and_then(Value::as_array_mut).into_iter().flatten() {
            inputs.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
    }
    events
}

/// One form for equal values: instants in microseconds, decimals as text.
fn plain(mut event: Row) -> Row {
    for (name, value) in &mut event {
        *value = match &*value {
            Value::String(text) if name.ends_with("_at") => json!(instant(text).unwrap()),
            Value::Number(number) if name == "amount" => json!(format!("{:.2}", number.as_f64().unwrap())),
            other => other.clone(),
        };
    }
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_give_exactly_the_events_of_the_plain_loops() {
    let base = folder("presets");
    for (mapping, inputs) in INPUTS {
        let text = std::fs::read_to_string(base.join(format!("expected/{mapping}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let (store, mut totals, mut reasons) = (store().await, [0; 5], Vec::new());
        for path in inputs.iter().flat_map(|input| files(&base.join(input))) {
            let name = path.strip_prefix(&base).unwrap().display().to_string();
            let (counted, why) = ingest(&store, mapping, &name, std::fs::read(&path).unwrap()).await;
            totals.iter_mut().zip(counted).for_each(|(total, n)| *total += n);
            reasons.extend(why);
        }
        let count = |name: &str| expected[name].as_u64().unwrap();
        assert_eq!(
            totals,
            ["received", "accepted", "duplicate", "conflict", "rejected"].map(count),
            "{mapping}: {reasons:?}"
        );
        for refused in expected["refused"].as_array().unwrap() {
            let place = format!("{}:{}: ", refused["file"].as_str().unwrap(), refused["row"]);
            let column = format!("`{}`", refused["column"].as_str().unwrap());
            let is_told = |reason: &String| reason.starts_with(&place) && reason.contains(&column);
            assert!(reasons.iter().any(is_told), "{mapping}: {place}{column} is not in {reasons:?}");
        }
        let found = events(&store).await;
        let wanted = expected["events"].as_array().unwrap();
        assert_eq!(found.len(), wanted.len(), "{mapping}");
        for (found, wanted) in found.into_iter().zip(wanted) {
            let (found, mut wanted) = (plain(found), plain(wanted.as_object().unwrap().clone()));
            wanted.entry("environment").or_insert(json!("production"));
            if wanted["event_type"] == "action.executed" {
                wanted.entry("attempt").or_insert(json!(1));
            }
            assert_eq!(json!(found), json!(wanted), "{mapping}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_seven_agent_frameworks_are_stored_once_however_often_they_are_sent() {
    let base = folder("presets/otel_genai/any_agent");
    let store = store().await;
    for round in ["first", "again"] {
        for (name, all) in [
            ("AGNO", 6),
            ("GOOGLE", 6),
            ("LANGCHAIN", 7),
            ("LLAMA_INDEX", 8),
            ("OPENAI", 6),
            ("SMOLAGENTS", 6),
            ("TINYAGENT", 7),
        ] {
            let bytes = std::fs::read(base.join(format!("{name}_trace.json"))).unwrap();
            let (counted, reasons) = ingest(&store, "otel_genai", name, bytes).await;
            let accepted = if round == "first" { all } else { 0 };
            assert_eq!(counted, [all, accepted, all - accepted, 0, 0], "{name} {round}: {reasons:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_log_of_an_agent_says_how_often_it_was_wrong_and_at_what() {
    let base = folder("tau_bench_airline");
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(base.join("expected.json")).unwrap()).unwrap();
    let packed = std::fs::read(base.join("gpt-4o-airline.json.gz")).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut bytes).unwrap();
    let store = store().await;
    let (counted, reasons) = ingest(&store, "tau_bench_airline", "gpt-4o-airline.json", bytes).await;
    let all = expected["events"].as_u64().unwrap();
    assert_eq!(counted, [all, all, 0, 0, 0], "{reasons:?}");
    let mut by_type = serde_json::Map::new();
    for event in events(&store).await {
        let count = by_type.entry(event["event_type"].as_str().unwrap()).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap() + 1);
    }
    assert_eq!(Value::Object(by_type), expected["by_type"]);
    let engine = engine(&store).await;
    for (metric, wanted) in expected["metrics"].as_object().unwrap() {
        let query = Catalogue::shipped().unwrap().get(metric).unwrap();
        let params = [("period_start", "2024-05-01T00:00:00Z"), ("period_end", "2024-06-01T00:00:00Z")];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found = rows(&engine.run(query, &params).await.unwrap()).unwrap();
        let period = found.iter().find(|row| row["grain"] == "period").unwrap();
        assert_eq!(
            (&period["numerator"], &period["denominator"]),
            (&wanted["numerator"], &wanted["denominator"]),
            "{metric}"
        );
    }
}
