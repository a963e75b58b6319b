//! Controls: every one finds its violation and passes its near miss; missing data never passes.

use std::path::Path;

use probity::clock::Clock;
use probity::event::parse::instant;
use probity::event::{Cell, Column};
use probity::ingest::writer::Writer;
use probity::query::answer::Limits;
use probity::query::asof::AsOf;
use probity::query::catalogue::Catalogue;
use probity::query::engine::Engine;
use probity::query::header::{Kind, NamedQuery};
use probity::query::judgement::{Judgement, Verdict};
use probity::query::objects::{Row, rows};
use probity::query::params::Params;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::query::views::Keeping;
use probity::store::Store;
use probity::store::object::Location;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use crate::support::{counts, ingest};

const JUDGED_AT: &str = "2026-03-25T00:00:00Z";

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/controls");
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// States an event of the engine as its line says: the way a policy is applied.
async fn state(store: &Store, line: &Value) {
    let mut writer = Writer::new(store);
    let mut event = writer.statement(line["event_type"].as_str().unwrap());
    event.set(Column::OccurredAt, Cell::Instant(instant(line["occurred_at"].as_str().unwrap()).unwrap()));
    for column in [Column::ActorKind, Column::ActorId, Column::Field, Column::NewValue, Column::PolicyVersion] {
        if let Some(text) = line[column.name()].as_str() {
            event.set_text(column, text.to_owned());
        }
    }
    writer.state(&event).await.unwrap();
}

/// A store of the lines of `log`: policies first, then everything else in the order given.
async fn store_of(log: &[Value]) -> Store {
    let clock = Clock::fixed(instant(JUDGED_AT).unwrap());
    let store = Store::create(Location::memory(), "default", clock).await.unwrap();
    let (own, sent): (Vec<_>, Vec<_>) = log.iter().partition(|line| line["source"] == "probity");
    for line in own {
        state(&store, line).await;
    }
    let text: String = sent.iter().map(|line| format!("{line}\n")).collect();
    let report = ingest(&store, text).await;
    assert_eq!(counts(&report)[1], sent.len() as u64, "{:?}", report.reasons);
    store
}

async fn engine(store: &Store) -> Engine {
    let snapshot = store.snapshot().await.unwrap();
    let runtime = QueryRuntime::new(&RuntimeLimits::default()).unwrap();
    let as_of = AsOf { size: snapshot.size, at: instant(JUDGED_AT).unwrap() };
    let catalogue = Catalogue::shipped().unwrap();
    Engine::open(&runtime, &snapshot, as_of, (catalogue, Keeping::Costly)).await.unwrap()
}

fn controls() -> Vec<&'static NamedQuery> {
    Catalogue::shipped().unwrap().list().filter(|query| query.kind == Kind::Control).collect()
}

async fn judge(engine: &Engine, control: &NamedQuery) -> (Judgement, Vec<Row>) {
    let answer = engine.stream(control, &Params::new(), Limits::default()).await.unwrap().collect().await.unwrap();
    (answer.judgement.unwrap(), rows(&answer).unwrap())
}

/// Action and place of each violation, in order.
fn found(rows: &[Row]) -> Vec<Value> {
    let mut found: Vec<Value> = rows.iter().map(|r| json!({"action_id": r["action_id"], "seq": r["seq"]})).collect();
    found.sort_by_key(Value::to_string);
    found
}

fn log(name: &str) -> Vec<Value> {
    fixture(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_finds_its_violation_and_passes_its_near_miss() {
    let expected: Value = serde_json::from_str(&fixture("expected.json")).unwrap();
    assert_eq!(expected.as_object().unwrap().len(), controls().len());
    for own in controls() {
        let expected = &expected[&own.name];
        let engine = engine(&store_of(&log(&format!("{}.ndjson", own.name))).await).await;
        for control in controls() {
            let (judged, violations) = judge(&engine, control).await;
            let mut wanted = expected["violations"][&control.name].as_array().cloned().unwrap_or_default();
            wanted.sort_by_key(Value::to_string);
            assert_eq!(found(&violations), wanted, "{} on the log of {}: {violations:?}", control.name, own.name);
            if control.name == own.name {
                assert_eq!(judged.verdict().word(), expected["status"], "{}", own.name);
                assert!(judged.population > judged.violations, "{}: no near miss in {judged:?}", own.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_arrival_of_other_actions_changes_no_verdict() {
    for (seed, own) in controls().into_iter().enumerate() {
        // What a control says of arrival and of counters is about the order itself.
        if ["source_seq_gaps", "executed_without_valid_approval", "chain_break"].contains(&own.name.as_str()) {
            continue;
        }
        let mut events = log(&format!("{}.ndjson", own.name));
        let before = judge(&engine(&store_of(&events).await).await, own).await.0;
        events.sort_by_key(|e| e["action_id"].to_string());
        let mut groups: Vec<Vec<Value>> =
            events.chunk_by(|a, b| a["action_id"] == b["action_id"]).map(<[_]>::to_vec).collect();
        groups.shuffle(&mut StdRng::seed_from_u64(seed as u64));
        let after = judge(&engine(&store_of(&groups.concat()).await).await, own).await.0;
        assert_eq!(before, after, "{}, seed {seed}", own.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_judge_passes_with_a_population_of_zero() {
    let clock = Clock::fixed(instant(JUDGED_AT).unwrap());
    let store = Store::create(Location::memory(), "default", clock).await.unwrap();
    let engine = engine(&store).await;
    for control in controls() {
        let (judged, violations) = judge(&engine, control).await;
        assert_eq!((judged, violations.len()), (Judgement::default(), 0), "{}", control.name);
        assert_eq!(judged.verdict(), Verdict::Pass);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lacks_the_needed_column_is_not_testable() {
    let cases: Value = serde_json::from_str(&fixture("untestable.json")).unwrap();
    let mut tested = 0;
    for control in controls() {
        let case = &cases[&control.name];
        assert!(case["why"].is_string(), "{}: say what it lacks, or why it cannot lack anything", control.name);
        let events = case["events"].as_array().unwrap();
        if !events.is_empty() {
            let (judged, _) = judge(&engine(&store_of(events).await).await, control).await;
            assert_eq!(judged.verdict(), Verdict::NotTestable, "{}: {judged:?}, {}", control.name, case["why"]);
            tested += 1;
        }
    }
    assert!(tested >= 15, "only {tested} of {} controls have such a case", controls().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_sent_by_a_producer_judges_nothing() {
    let clock = Clock::fixed(instant(JUDGED_AT).unwrap());
    let store = Store::create(Location::memory(), "default", clock).await.unwrap();
    let line = |source: &str| {
        let event = json!({
            "event_id": "1", "source": source, "event_type": "config.changed", "occurred_at": "2026-03-02T09:00:00Z",
            "actor_kind": "human", "actor_id": "x", "field": "policy", "policy_version": "mine",
            "new_value": "version = \"mine\"\neffective_from = 2026-01-01T00:00:00Z\n",
        });
        format!("{event}\n")
    };
    let report = ingest(&store, line("agent") + &line("probity")).await;
    assert_eq!(counts(&report), [2, 1, 0, 0, 1]);
    assert!(report.reasons[0].contains("the engine's own"), "{:?}", report.reasons);
    let versions = engine(&store).await.sql("select version from policies", Limits::default()).await.unwrap();
    assert_eq!(rows(&versions).unwrap().iter().map(|r| r["version"].clone()).collect::<Vec<_>>(), ["built-in"]);
}
