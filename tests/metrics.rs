//! Metrics: the worked example at day 5 and day 31, and every query on little, no, doubled and shuffled data.

use std::collections::BTreeMap;

use probity::clock::{Clock, DAY};
use probity::event::parse::instant;
use probity::query::asof::{AsOf, AsOfText};
use probity::query::catalogue::Catalogue;
use probity::query::engine::{Engine, resolve};
use probity::query::header::{Kind, NamedQuery};
use probity::query::objects::{Row, rows};
use probity::query::params::Params;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::query::views::Keeping;
use probity::store::Store;
use probity::store::object::Location;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::Value;

use crate::support::{counts, ingest, memory};

const DAY5: &str = include_str!("fixtures/worked_example/day5.ndjson");
const DAY31: &str = include_str!("fixtures/worked_example/day31.ndjson");
const EXPECTED: &str = include_str!("fixtures/worked_example/expected.json");

async fn engine(store: &Store, text: AsOfText, now: i64) -> Engine {
    let snapshot = store.snapshot().await.unwrap();
    let runtime = QueryRuntime::new(&RuntimeLimits::default()).unwrap();
    let as_of = resolve(&runtime, &snapshot, text, now, None).await.unwrap();
    Engine::open(&runtime, &snapshot, as_of, (Catalogue::shipped().unwrap(), Keeping::Costly)).await.unwrap()
}

/// The standard parameters that `query` takes.
fn params(query: &NamedQuery, start: &str, end: &str) -> Params {
    let given = [("period_start", start), ("period_end", end), ("batch_id", "weekly-2026-10")];
    let taken = given.into_iter().filter(|(name, _)| query.params.iter().any(|p| p.name == *name));
    taken.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn period_rows(engine: &Engine, name: &str, expected: &Value) -> Vec<Row> {
    let query = Catalogue::shipped().unwrap().get(name).unwrap();
    let start = expected["period_start"].as_str().unwrap();
    let params = params(query, start, expected["period_end"].as_str().unwrap());
    let mut all = rows(&engine.run(query, &params).await.unwrap()).unwrap();
    all.retain(|row| row.get("grain").and_then(Value::as_str).unwrap_or("period") == "period");
    all
}

fn assert_row(name: &str, expected: &Value, found: &Row) {
    for (column, value) in expected.as_object().unwrap() {
        let got = &found[column];
        let is_equal = match (value.as_f64(), got.as_f64()) {
            (Some(a), Some(b)) if value.is_f64() => (a - b).abs() < 0.000_051,
            _ => value == got,
        };
        assert!(is_equal, "{name}.{column}: expected {value}, found {got} in {found:?}");
    }
}

async fn assert_day(engine: &Engine, expected: &Value, day: &str) {
    for (name, wanted) in expected["as_of"][day]["metrics"].as_object().unwrap() {
        let found = period_rows(engine, name, expected).await;
        let wanted = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
        for row in &wanted {
            let part = row.get("part");
            let found = found.iter().find(|f| part.is_none() || f.get("part") == part);
            assert_row(&format!("{day} {name}"), row, found.unwrap_or_else(|| panic!("{name} has no row {part:?}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_gives_its_numbers_at_day_5_and_at_day_31() {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    let at = |day: &str| instant(expected["as_of"][day]["as_of"].as_str().unwrap()).unwrap();
    let clock = Clock::simulated(at("day5"), 1);
    let store = Store::create(Location::memory(), "default", clock.clone()).await.unwrap();
    assert_eq!(ingest(&store, DAY5).await.counts.rejected, 0);
    store.fold().await.unwrap();
    clock.set(at("day31") - DAY);
    assert_eq!(ingest(&store, DAY31).await.counts.rejected, 0);
    let now = at("day31") + 300 * DAY;
    assert_day(&engine(&store, AsOfText::At(at("day5")), now).await, &expected, "day5").await;
    assert_day(&engine(&store, AsOfText::At(at("day31")), now).await, &expected, "day31").await;
    // A table version is the prefix that it held.
    let folded = store.snapshot().await.unwrap().folded;
    let first = engine(&store, AsOfText::Size(folded), now).await;
    assert_eq!(first.as_of(), AsOf { size: folded, at: at("day5") });
    assert_day(&first, &expected, "day5").await;
}

/// Every shipped query that can be run, with its answer as text.
async fn answers(store: &Store, start: &str, end: &str) -> BTreeMap<String, String> {
    let engine = engine(store, AsOfText::Head, instant("2026-12-01T00:00:00Z").unwrap()).await;
    let mut answers = BTreeMap::new();
    for query in Catalogue::shipped().unwrap().list() {
        let answer = match query.kind {
            Kind::Mapping => continue,
            Kind::View => engine.sql(&format!("select * from {}", query.name), Default::default()).await.unwrap(),
            _ => engine.run(query, &params(query, start, end)).await.unwrap(),
        };
        answers.insert(query.name.clone(), format!("{:?}", rows(&answer).unwrap()));
    }
    answers
}

fn metrics_of(answers: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let is_metric = |name: &str| {
        let kind = Catalogue::shipped().unwrap().get(name).unwrap().kind;
        // Places in the ledger and the ledger's own extent differ with the order of arrival.
        let is_table = kind == Kind::Governance
            && !["changes", "change_effects", "retention", "rollout", "findings"].contains(&name);
        // Both say something of the arrival itself: what came twice, what was recorded too late.
        is_table || kind == Kind::Metric && name != "log_health" && name != "approval_coverage"
    };
    answers.iter().filter(|(name, _)| is_metric(name)).map(|(n, a)| (n.as_str(), a.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_answers_on_an_empty_store_and_on_one_event() {
    let store = memory().await;
    let (start, end) = ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
    for (name, answer) in metrics_of(&answers(&store, start, end).await) {
        let is_table = Catalogue::shipped().unwrap().get(name).unwrap().kind == Kind::Governance;
        assert!(is_table || answer.contains("no_data") || answer == "[]", "{name}: {answer}");
    }
    for line in DAY5.lines().take(3).chain(DAY5.lines().rev().take(3)) {
        let store = memory().await;
        ingest(&store, line).await;
        answers(&store, start, end).await;
        store.fold().await.unwrap();
        answers(&store, start, end).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_and_shuffled_input_gives_the_same_metrics() {
    let now = Clock::simulated(instant("2026-06-01T00:00:00Z").unwrap(), 3);
    let (start, end) = ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
    let open = || Store::create(Location::memory(), "default", now.clone());
    let text = format!("{DAY5}\n{DAY31}");
    let once = open().await.unwrap();
    ingest(&once, &text).await;
    let expected = answers(&once, start, end).await;
    let doubled = open().await.unwrap();
    let lines = text.lines().filter(|l| !l.is_empty()).count() as u64;
    assert_eq!(counts(&ingest(&doubled, format!("{text}\n{text}")).await), [2 * lines, lines, lines, 0, 0]);
    assert_eq!(metrics_of(&answers(&doubled, start, end).await), metrics_of(&expected));
    for seed in 0..3 {
        let mut shuffled: Vec<&str> = text.lines().collect();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        let store = open().await.unwrap();
        for part in shuffled.chunks(17) {
            ingest(&store, part.join("\n")).await;
            store.fold().await.unwrap();
        }
        assert_eq!(metrics_of(&answers(&store, start, end).await), metrics_of(&expected), "seed {seed}");
    }
}
