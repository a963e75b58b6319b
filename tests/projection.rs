//! The projection of actions, windows and indexes: whatever they leave out, no answer may change.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use probity::clock::Clock;
use probity::event::{Cell, Column};
use probity::ingest::Source;
use probity::ingest::writer::Writer;
use probity::query::answer::Limits;
use probity::query::asof::AsOf;
use probity::query::catalogue::Catalogue;
use probity::query::engine::Engine;
use probity::query::objects::{Row, rows};
use probity::query::params::Params;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::query::views::Keeping;
use probity::simulate::{Plan, Simulation, UNTIL, write_ndjson};
use probity::store::Store;
use probity::store::object::Location;
use probity::store::projection::{Lag, newest};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{ingest, seeded, stored_ids};

/// Lines of a simulated log of four months.
fn lines(seed: u64, events: u64) -> Vec<String> {
    let mut simulation = Simulation::new(Plan { events, seed, months: 4, ..Plan::default() });
    let mut text = Vec::new();
    while let Some(event) = simulation.next_event() {
        write_ndjson(&event, &mut text);
    }
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

async fn memory(location: &Location) -> Store {
    Store::create(location.clone(), "default", Clock::simulated(UNTIL, 7)).await.unwrap()
}

async fn session(store: &Store, size: Option<i64>, catalogue: &Catalogue, keeping: Keeping) -> Engine {
    let snapshot = store.snapshot().await.unwrap();
    let as_of = AsOf { size: size.unwrap_or(snapshot.size), at: UNTIL };
    let runtime = QueryRuntime::new(&RuntimeLimits::default()).unwrap();
    Engine::open(&runtime, &snapshot, as_of, (catalogue, keeping)).await.unwrap()
}

/// The shipped queries, and the SQL of the view `actions` under another name, so that it is run as it stands.
fn with_sql_of_actions() -> Catalogue {
    let mut catalogue = Catalogue::shipped().unwrap().clone();
    let text = catalogue.get("actions").unwrap().text.clone();
    catalogue.add("governance/actions_by_sql.sql", &text).unwrap();
    catalogue
}

fn by_action(rows: Vec<Row>) -> BTreeMap<String, Row> {
    rows.into_iter().map(|row| (row["action_id"].as_str().unwrap().to_owned(), row)).collect()
}

/// Actions by projection and by the SQL of their view, as of the first `size` events.
async fn check_actions(store: &Store, size: Option<i64>, context: &str) {
    let catalogue = with_sql_of_actions();
    let engine = session(store, size, &catalogue, Keeping::Deep).await;
    let answer = engine.sql("select * from actions", Limits::default()).await.unwrap();
    let projected = by_action(rows(&answer).unwrap());
    let answer = engine.run(catalogue.get("actions_by_sql").unwrap(), &Params::new()).await.unwrap();
    let by_sql = by_action(rows(&answer).unwrap());
    assert_eq!(projected.len(), by_sql.len(), "{context}");
    for (action, row) in &by_sql {
        assert_eq!(projected.get(action), Some(row), "{context}: {action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_projection_gives_what_the_sql_of_its_view_gives() {
    seeded(4, |seed| async move {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = memory(&Location::memory()).await;
        // Late events, other environments and actions without a proposal are in a simulated log; disorder is added.
        let mut left = lines(seed, 3_000);
        while !left.is_empty() {
            let taken = rng.random_range(1..900).min(left.len());
            let mut part: Vec<String> = left.drain(..taken).collect();
            if rng.random_bool(0.5) {
                part.reverse();
            }
            ingest(&store, part.join("\n")).await;
            if rng.random_bool(0.6) {
                store.fold().await.unwrap();
            }
            if rng.random_bool(0.5) {
                store.project(Lag::None).await.unwrap();
            }
            let size = store.head().await.unwrap().0.size;
            check_actions(&store, None, &format!("seed {seed}, {size} events")).await;
        }
        let size = store.head().await.unwrap().0.size;
        let earlier = rng.random_range(1..size);
        check_actions(&store, Some(earlier), &format!("seed {seed}, as of {earlier}")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_brought_up_piece_by_piece_and_swept_when_it_is_old() {
    let location = Location::memory();
    let store = memory(&location).await;
    let all = lines(9, 4_000);
    for part in [&all[..3_000], &all[3_000..3_300], &all[3_300..3_600], &all[3_600..]] {
        ingest(&store, part.join("\n")).await;
        store.fold().await.unwrap();
        store.project(Lag::None).await.unwrap();
    }
    let snapshot = store.snapshot().await.unwrap();
    let projection = newest(&snapshot.objects, &snapshot.projection, i64::MAX).await.unwrap().unwrap();
    assert_eq!(projection.covers, snapshot.folded);
    assert!(projection.segments.len() >= 3 && projection.segments.iter().any(|s| !s.replaced.is_empty()));
    check_actions(&store, None, "segments with replaced rows").await;
    // Whatever is found there: a projection that cannot be read is no projection.
    let manifest = Path::from(format!("{}/actions-{:020}.json", snapshot.projection, snapshot.size + 5));
    snapshot.objects.put(&manifest, "{}".into()).await.unwrap();
    check_actions(&store, None, "a broken manifest").await;
    snapshot.objects.delete(&manifest).await.unwrap();
    let listed = || async { snapshot.objects.list(Some(&snapshot.projection)).try_collect::<Vec<_>>().await.unwrap() };
    assert_eq!(listed().await.len(), projection.segments.len() + 4, "readers may still use what was replaced");
    store.clock().set(probity::clock::Clock::system().now() + probity::clock::DAY);
    store.vacuum(|_| false).await.unwrap();
    assert_eq!(listed().await.len(), projection.segments.len() + 1);
    check_actions(&store, None, "after the sweep").await;
    for meta in listed().await {
        snapshot.objects.delete(&meta.location).await.unwrap();
    }
    check_actions(&store, None, "without a projection").await;
}

/// A policy with every kind of rule, entitling the people of the simulation.
fn policy() -> String {
    let shipped = include_str!("../queries/policies/revops.toml");
    let (before, roles) = shipped.split_once("[roles]\n").unwrap();
    let after = roles.find("\n[").map_or("", |at| &roles[at..]);
    let from = "effective_from = 2026-08-15T00:00:00Z";
    let lines = before.lines().map(|line| if line.starts_with("effective_from") { from } else { line });
    format!("{}\n[roles]\n{}{after}", lines.collect::<Vec<_>>().join("\n"), probity::simulate::roles_toml())
}

async fn apply_policy(store: &Store) {
    let mut writer = Writer::new(store);
    let mut event = writer.statement("config.changed");
    event.set(Column::OccurredAt, Cell::Instant(UNTIL));
    event.set_text(Column::Field, "policy");
    event.set_text(Column::NewValue, policy());
    event.set_text(Column::PolicyVersion, "simulated");
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, "head-of-revops");
    writer.state(&event).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_changes_no_answer() {
    seeded(2, |seed| async move {
        let store = memory(&Location::memory()).await;
        ingest(&store, lines(seed + 40, 5_000).join("\n")).await;
        apply_policy(&store).await;
        store.fold().await.unwrap();
        store.project(Lag::None).await.unwrap();
        let catalogue = Catalogue::shipped().unwrap();
        for keeping in [Keeping::Deep, Keeping::Costly] {
            let windowed = session(&store, None, catalogue, keeping).await;
            let whole = session(&store, None, catalogue, Keeping::Costly).await.without_windows();
            let mut wrong = Vec::new();
            for query in catalogue.list().filter(|query| query.window.is_some()) {
                for (start, end) in [("08-01", "09-01"), ("09-10", "09-17"), ("10-15", "11-01")] {
                    let mut params = Params::new();
                    if query.param("period_start").is_some() {
                        params.insert("period_start".to_owned(), format!("2026-{start}T00:00:00Z"));
                    }
                    params.insert("period_end".to_owned(), format!("2026-{end}T00:00:00Z"));
                    let within = windowed.run(query, &params).await.unwrap();
                    let over_all = whole.run(query, &params).await.unwrap();
                    let same =
                        within.judgement == over_all.judgement && rows(&within).unwrap() == rows(&over_all).unwrap();
                    if !same {
                        wrong.push(format!("{} {start}", query.name));
                    }
                }
            }
            assert!(wrong.is_empty(), "seed {seed}: a window changes {wrong:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn judging_in_pieces_changes_no_row() {
    seeded(2, |seed| async move {
        let store = memory(&Location::memory()).await;
        ingest(&store, lines(seed + 70, 4_000).join("\n")).await;
        apply_policy(&store).await;
        store.fold().await.unwrap();
        ingest(&store, lines(seed + 80, 200).join("\n")).await;
        let snapshot = store.snapshot().await.unwrap();
        let sorted = async |piece_events: u64, view: &str| {
            let runtime = QueryRuntime::new(&RuntimeLimits { piece_events, ..RuntimeLimits::default() }).unwrap();
            let as_of = AsOf { size: snapshot.size - 20, at: UNTIL };
            let engine = Engine::new(&runtime, &snapshot, as_of).await.unwrap();
            let answer = engine.sql(&format!("select * from {view}"), Limits::default()).await.unwrap();
            let mut rows: Vec<String> =
                rows(&answer).unwrap().iter().map(|row| serde_json::to_string(row).unwrap()).collect();
            rows.sort_unstable();
            rows
        };
        for view in ["judged_actions", "decisions", "approvals", "action_evidence"] {
            let (whole, pieces) = (sorted(u64::MAX, view).await, sorted(300, view).await);
            assert!(whole.len() > 500, "{view}: {} rows", whole.len());
            assert!(whole == pieces, "seed {seed}: {view} has other rows in pieces");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_by_key_finds_what_reading_everything_finds() {
    let location = Location::memory();
    let store = memory(&location).await;
    let all = lines(5, 4_000);
    for part in all.chunks(1_300) {
        ingest(&store, part.join("\n")).await;
        store.fold().await.unwrap();
    }
    ingest(&store, lines(6, 50).join("\n")).await;
    let keys = {
        let engine = session(&store, None, Catalogue::shipped().unwrap(), Keeping::Deep).await;
        let sql = "select event_id, action_id, record_id from events where seq % 331 = 7 and action_id is not null";
        rows(&engine.sql(sql, Limits::default()).await.unwrap()).unwrap()
    };
    assert!(keys.len() >= 4);
    let check = async |store: &Store, context: &str| {
        let engine = session(store, Some(3_700), Catalogue::shipped().unwrap(), Keeping::Deep).await;
        for row in &keys {
            for column in ["event_id", "action_id", "record_id"] {
                let Some(key) = row.get(column).and_then(serde_json::Value::as_str) else { continue };
                let found = async |filter: String| {
                    let sql = format!("select * from events where {filter} order by seq");
                    rows(&engine.sql(&sql, Limits::default()).await.unwrap()).unwrap()
                };
                let by_key = found(format!("{column} = '{key}'")).await;
                assert_eq!(by_key, found(format!("concat({column}, '') = '{key}'")).await, "{context}: {column} {key}");
                let several = found(format!("{column} in ('{key}', 'nobody')")).await;
                assert_eq!(by_key, several, "{context}: {column} {key}");
            }
        }
    };
    check(&store, "with indexes").await;
    let snapshot = store.snapshot().await.unwrap();
    let first = snapshot.indexes.path_of(&snapshot.files[0].path);
    snapshot.objects.put(&first, "PRBIDX01 and then nothing".into()).await.unwrap();
    snapshot.objects.delete(&snapshot.indexes.path_of(&snapshot.files[1].path)).await.unwrap();
    let again = Store::open(location, "default", Clock::simulated(UNTIL, 8)).await.unwrap();
    check(&again, "with one broken and one missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_straight_into_a_store_is_the_same_as_its_lines() {
    let (by_lines, straight) = (memory(&Location::memory()).await, memory(&Location::memory()).await);
    ingest(&by_lines, lines(3, 1_500).join("\n")).await;
    let mut simulation = Simulation::new(Plan { events: 1_500, seed: 3, months: 4, ..Plan::default() });
    let drafts = Box::new(std::iter::from_fn(move || simulation.next_event()));
    let source = Source::Drafts { name: "simulate".to_owned(), drafts };
    let (report, outcome) = probity::ingest::ingest(&straight, source, &|_, _| {}).await;
    outcome.unwrap();
    assert_eq!(report.counts.accepted, 1_500);
    assert_eq!(stored_ids(&by_lines).await, stored_ids(&straight).await);
    let columns = "* except (seq, recorded_at, event_order)";
    let sql = format!("select {columns} from events where source <> 'probity' order by event_id");
    let all = async |store: &Store| {
        let engine = session(store, None, Catalogue::shipped().unwrap(), Keeping::Deep).await;
        rows(&engine.sql(&sql, Limits::default()).await.unwrap()).unwrap()
    };
    assert_eq!(all(&by_lines).await, all(&straight).await);
}

#[tokio::test]
async fn a_store_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Prüfung é", "100% sure", "ein+zwei#3"] {
        let path = folder.path().join(name);
        let location = Location::open(path.to_str().unwrap()).unwrap();
        let store = Store::create(location, "default", Clock::simulated(UNTIL, 7)).await.unwrap();
        ingest(&store, lines(5, 400).join("\n")).await;
        store.fold().await.unwrap();
        store.project(Lag::None).await.unwrap();
        let engine = session(&store, None, Catalogue::shipped().unwrap(), Keeping::Deep).await;
        let sql = "select count(*) as n, (select count(distinct action_id) from events where environment = 'production') \
                   as expected from actions";
        let told = rows(&engine.sql(sql, Limits::default()).await.unwrap()).unwrap();
        assert!(told[0]["n"].as_i64() > Some(0) && told[0]["n"] == told[0]["expected"], "{name}: {told:?}");
    }
}
