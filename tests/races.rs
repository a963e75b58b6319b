//! Races: several writers, folders and readers on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::memory::InMemory;
use probity::clock::Clock;
use probity::event::{Column, Rows};
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;

use crate::support::{T0, counts, event, ingest, stored, stored_ids};

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_race_store_every_event_once() {
    let objects = Arc::new(InMemory::new());
    let open = |seed| Store::create(Location::on(objects.clone()), "default", Clock::simulated(T0, seed));
    open(0).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..4u64 {
        let store = open(100 + writer).await.unwrap();
        writers.push(tokio::spawn(async move {
            let mut accepted = 0;
            for i in 0..30 {
                // Every writer sends its own events, and each of the shared ones.
                let text = format!("{}\n{}\n", event(&format!("w{writer}-{i}"), i), event(&format!("shared-{i}"), i));
                let report = ingest(&store, text).await;
                assert_eq!(report.counts.accepted + report.counts.duplicate, 2);
                accepted += report.counts.accepted;
                if i % 10 == 9 {
                    store.fold().await.unwrap();
                    store.compact(Due::Any).await.unwrap();
                }
            }
            accepted
        }));
    }
    let mut accepted = 0;
    for writer in writers {
        accepted += writer.await.unwrap();
    }
    let ids = stored_ids(&open(999).await.unwrap()).await;
    assert_eq!(accepted, 4 * 30 + 30);
    assert_eq!(ids.len(), 150);
    assert!(ids.values().all(|n| *n == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_ingest_finishes_beside_a_busy_small_writer() {
    let objects = Arc::new(InMemory::new());
    let open = |seed| Store::create(Location::on(objects.clone()), "default", Clock::simulated(T0, seed));
    let large = open(1).await.unwrap();
    let small = open(2).await.unwrap();
    let is_done = Arc::new(AtomicBool::new(false));
    let stop = is_done.clone();
    let appender = tokio::spawn(async move {
        let mut n = 0;
        while !stop.load(Ordering::SeqCst) {
            ingest(&small, event(&format!("small-{n}"), n)).await;
            n += 1;
        }
        n
    });
    let text: String = (0..60_000).map(|i| event(&format!("large-{i}"), i) + "\n").collect();
    let report = ingest(&large, text).await;
    is_done.store(true, Ordering::SeqCst);
    let small = appender.await.unwrap();
    assert_eq!(counts(&report), [60_000, 60_000, 0, 0, 0]);
    assert_eq!(stored_ids(&large).await.len() as i64, 60_000 + small);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_sees_one_prefix_while_others_write_and_fold() {
    let objects = Arc::new(InMemory::new());
    let open = |seed| Store::create(Location::on(objects.clone()), "default", Clock::simulated(T0, seed));
    let writer = open(1).await.unwrap();
    let reader = open(2).await.unwrap();
    let writing = tokio::spawn(async move {
        for i in 0..60 {
            ingest(&writer, event(&i.to_string(), i)).await;
            if i % 4 == 3 {
                writer.fold().await.unwrap();
            }
            if i % 20 == 19 {
                writer.compact(Due::Any).await.unwrap();
            }
        }
    });
    let mut last = 0;
    while !writing.is_finished() {
        let seen = stored(&reader).await;
        assert!(seen.len() >= last, "a prefix never shrinks");
        last = seen.len();
    }
    writing.await.unwrap();
    let snapshot = reader.snapshot().await.unwrap();
    let recorded: Vec<_> =
        snapshot.journal.iter().map(|b| Rows::new(b).unwrap().instant(Column::RecordedAt, 0)).collect();
    assert!(recorded.is_sorted());
}
