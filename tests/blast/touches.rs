//! Touches beside the data files of a store: they may be missing or damaged, and go with their files.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use probity::blast::Radius;
use probity::clock::Clock;
use probity::incident::scope;
use probity::ingest::Source;
use probity::query::asof::AsOf;
use probity::query::blast::{Selector, read_instant};
use probity::query::engine::Engine;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::simulate::{self, Planted, Simulation, UNTIL};
use probity::store::Store;
use probity::store::object::Location;
use probity::store::projection::Lag;

async fn opened(location: &Location) -> Store {
    Store::open(location.clone(), "default", Clock::simulated(UNTIL, 8)).await.unwrap()
}

/// A store of a simulated log, all of it folded, and what was planted in the log.
async fn laid_out() -> (Location, Vec<Planted>) {
    let location = Location::memory();
    let store = Store::create(location.clone(), "default", Clock::simulated(UNTIL, 7)).await.unwrap();
    let plan = simulate::Plan { events: 20_000, seed: 6, ..simulate::Plan::default() };
    let mut simulation = Simulation::new(plan);
    let drafts: Vec<_> = std::iter::from_fn(|| simulation.next_event()).collect();
    let source = Source::Drafts { name: "simulate".to_owned(), drafts: Box::new(drafts.into_iter()) };
    let (_, outcome) = probity::ingest::ingest(&store, source, &|_, _| {}).await;
    outcome.unwrap();
    store.fold().await.unwrap();
    (location, simulation.planted())
}

/// Touches by path.
async fn touches(location: &Location) -> BTreeMap<Path, Bytes> {
    let listed: Vec<Path> = location.objects.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let mut found = BTreeMap::new();
    for path in listed.into_iter().filter(|path| path.as_ref().ends_with(".touches")) {
        let bytes = location.objects.get(&path).await.unwrap().bytes().await.unwrap();
        found.insert(path, bytes);
    }
    found
}

async fn engine(store: &Store) -> Engine {
    let runtime = QueryRuntime::new(&RuntimeLimits { threads: 2, ..RuntimeLimits::default() }).unwrap();
    let snapshot = store.snapshot().await.unwrap();
    Engine::new(&runtime, &snapshot, AsOf { size: snapshot.size, at: UNTIL }).await.unwrap()
}

/// What each planted incident reached, and what its window says: by a program that has read nothing before.
async fn scoped(location: &Location, planted: &[Planted]) -> Vec<(Radius, u64, u64)> {
    let store = opened(location).await;
    let engine = engine(&store).await;
    let mut all = Vec::new();
    for incident in planted {
        let (from, to) = (read_instant(&incident.from).unwrap(), read_instant(&incident.to).unwrap());
        let asked = Selector { from: Some(from), to: Some(to), ..Selector::new(incident.predicate.clone()) };
        let found = scope(&store, &engine, &asked).await.unwrap();
        all.push((found.radius, found.late_in_window, found.source_gaps));
    }
    all
}

#[tokio::test]
async fn missing_and_damaged_touches_change_nothing() {
    let (location, planted) = laid_out().await;
    let (expected, written) = (scoped(&location, &planted).await, touches(&location).await);
    assert!(expected.iter().all(|(radius, ..)| !radius.cells.is_empty()));
    assert_eq!(written.len(), opened(&location).await.snapshot().await.unwrap().files.len());

    for (number, (path, bytes)) in written.iter().enumerate() {
        match number % 3 {
            0 => location.objects.delete(path).await.unwrap(),
            1 => {
                let cut = PutPayload::from(bytes.slice(..bytes.len() / 2));
                location.objects.put(path, cut).await.map(drop).unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(scoped(&location, &planted).await, expected);
}

#[tokio::test]
async fn a_projection_makes_missing_touches_anew_and_the_same() {
    let (location, planted) = laid_out().await;
    let (expected, written) = (scoped(&location, &planted).await, touches(&location).await);
    for path in written.keys() {
        location.objects.delete(path).await.unwrap();
    }
    assert_eq!(scoped(&location, &planted).await, expected);
    opened(&location).await.project(Lag::None).await.unwrap();
    assert_eq!(touches(&location).await, written);
}

#[tokio::test]
async fn a_projection_makes_damaged_touches_that_were_met_anew() {
    let (location, _) = laid_out().await;
    let written = touches(&location).await;
    for (path, bytes) in &written {
        let mut damaged = bytes.to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        location.objects.put(path, PutPayload::from(damaged)).await.map(drop).unwrap();
    }
    let store = opened(&location).await;
    let asked = Selector::new("true");
    assert!(!engine(&store).await.blast_radius(&asked).await.unwrap().radius.cells.is_empty());
    store.project(Lag::None).await.unwrap();
    assert_eq!(touches(&location).await, written);
}

#[tokio::test]
async fn touches_go_with_their_data_files() {
    let (location, _) = laid_out().await;
    let before = touches(&location).await;
    let store = opened(&location).await;
    let month = store.table().await.unwrap().files[0].month.clone();
    let files = store.table().await.unwrap().files.iter().filter(|file| file.month == month).cloned().collect();
    let retiring = store.retiring(files).await.unwrap();
    assert!(store.retire(&month, 0, retiring).await.unwrap());
    store.delete_retired(&month).await.unwrap();

    let files = store.table().await.unwrap().files.clone();
    let beside = |path: &Path| format!("{}.touches", path.filename().unwrap());
    let named: BTreeSet<String> = files.iter().map(|file| beside(&file.path)).collect();
    let name = |path: &Path| path.filename().unwrap().to_owned();
    assert_eq!(touches(&location).await.keys().map(name).collect::<BTreeSet<_>>(), named);
    assert!(before.keys().map(name).any(|name| !named.contains(&name)));
}
