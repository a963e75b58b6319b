//! Store: what is folded, compacted and interrupted is the same evidence.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity::clock::Clock;
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;

use crate::support::faults::Faulty;
use crate::support::{T0, event, ingest, memory, seeded, stored, stored_ids, try_ingest};

fn events(range: std::ops::Range<i64>) -> String {
    // Several months, out of order, so that files overlap.
    range.map(|i| event(&i.to_string(), (i * 7919) % 85_000) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fold_and_compaction_change_neither_seq_nor_leaf() {
    let store = memory().await;
    for part in 0..5 {
        ingest(&store, events(part * 100..part * 100 + 100)).await;
        let before = stored(&store).await;
        let folded = store.fold().await.unwrap();
        assert!(folded.events > 100 && folded.files >= 3, "{folded:?}");
        assert_eq!(stored(&store).await, before);
    }
    let before = stored(&store).await;
    let done = store.compact(Due::Any).await.unwrap();
    assert_eq!(done.rows, before.len() as u64);
    assert_eq!(stored(&store).await, before);
    let snapshot = store.snapshot().await.unwrap();
    let months: std::collections::BTreeSet<_> = snapshot.files.iter().map(|f| &f.month).collect();
    assert_eq!(months.len(), snapshot.files.len(), "one file a month is left");
    assert_eq!(store.compact(Due::Any).await.unwrap().replaced, 0, "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_spares_files_that_queries_may_still_read() {
    let clock = Clock::simulated(T0, 7);
    let store = Store::create(Location::memory(), "default", clock.clone()).await.unwrap();
    for part in 0..3 {
        ingest(&store, events(part * 50..part * 50 + 50)).await;
        store.fold().await.unwrap();
    }
    let old = store.snapshot().await.unwrap();
    store.compact(Due::Any).await.unwrap();
    assert_eq!(store.vacuum(|_| false).await.unwrap().files, 0, "replaced just now");
    clock.set(T0 + 601_000_000);
    let deleted = store.vacuum(|_| false).await.unwrap().files;
    let new = store.snapshot().await.unwrap();
    let replaced = old.files.iter().filter(|f| !new.files.contains(f)).count();
    assert_eq!(deleted, replaced);
    assert_eq!(stored_ids(&store).await.len(), 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_the_log_keeps_bounds_to_the_microsecond() {
    let store = memory().await;
    ingest(&store, events(0..50).replace(":00.000000Z", ":00.123457Z")).await;
    store.fold().await.unwrap();
    let before = store.snapshot().await.unwrap().files;
    store.checkpoint().await.unwrap();
    let again = store.share();
    ingest(&again, events(50..60)).await;
    again.fold().await.unwrap();
    let after = again.snapshot().await.unwrap().files;
    assert!(before.iter().all(|f| after.contains(f)), "{before:?}\n{after:?}");
}

/// Kills the process between any two changes of the store during ingest, fold and compaction, then recovers.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_loses_and_repeats_nothing() {
    for step in 0..60 {
        let objects = Arc::new(Faulty::new(step, 0));
        let clock = Clock::simulated(T0, step);
        let store = Store::create(Location::on(objects.clone()), "default", clock.clone()).await.unwrap();
        objects.die_after(Some(step));
        let mut acknowledged = BTreeMap::new();
        for part in 0..4 {
            let (report, outcome) = try_ingest(&store, events(part * 20..part * 20 + 20)).await;
            if report.counts.accepted == 20 {
                acknowledged.extend((part * 20..part * 20 + 20).map(|i| (i.to_string(), 1)));
            }
            let folded = store.fold().await;
            if outcome.is_err() || folded.is_err() || store.compact(Due::Any).await.is_err() {
                break;
            }
        }
        objects.die_after(None);
        let store = Store::open(Location::on(objects.clone()), "default", clock).await.unwrap();
        store.fold().await.unwrap();
        store.compact(Due::Any).await.unwrap();
        let ids = stored_ids(&store).await;
        assert!(ids.values().all(|n| *n == 1), "step {step}: an event is stored twice");
        assert!(acknowledged.keys().all(|id| ids.contains_key(id)), "step {step}: an acknowledged event is lost");
        let report = ingest(&store, events(0..80)).await;
        assert_eq!(report.counts.accepted as usize, 80 - ids.len(), "step {step}: a resend finds what is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_timed_out_conflicting_and_torn_puts_lose_and_repeat_nothing() {
    seeded(30, |seed| async move {
        let objects = Arc::new(Faulty::new(seed, 0));
        let clock = Clock::simulated(T0, seed);
        let store = Store::create(Location::on(objects.clone()), "default", clock.clone()).await.unwrap();
        let objects_rate = Arc::new(Faulty::with(&objects, seed, 12));
        let store = {
            drop(store);
            Store::open(Location::on(objects_rate.clone()), "default", clock.clone()).await
        };
        let Ok(store) = store else { return };
        let mut acknowledged = BTreeMap::new();
        for part in 0..12 {
            let range = part * 10..part * 10 + 10;
            let (report, _) = try_ingest(&store, events(range.clone())).await;
            if report.counts.accepted + report.counts.duplicate == 10 {
                acknowledged.extend(range.map(|i| (i.to_string(), 1)));
            }
            if part % 3 == 2 {
                let _ = store.fold().await;
            }
            if part % 5 == 4 {
                let _ = store.compact(Due::Any).await;
            }
        }
        objects_rate.calm(true);
        let store = Store::open(Location::on(objects_rate.clone()), "default", clock).await.unwrap();
        store.fold().await.unwrap();
        let ids = stored_ids(&store).await;
        assert!(ids.values().all(|n| *n == 1), "an event is stored twice");
        assert!(acknowledged.keys().all(|id| ids.contains_key(id)), "an acknowledged event is lost");
        let report = ingest(&store, events(0..120)).await;
        assert_eq!(report.counts.accepted as usize, 120 - ids.len());
    })
    .await;
}
