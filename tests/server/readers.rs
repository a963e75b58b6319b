//! Many at once: readers of pages, histories and dossiers while events come in, and no error.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use super::world::World;
use crate::support::event;
use crate::support::http::Request;
use crate::support::server::Session;

const READERS: usize = 16;
const LOOKS: usize = 6;

#[test]
fn sixteen_readers_and_two_writers_meet_no_error_and_every_reader_sees_one_prefix() {
    let world = World::small(300, &[]);
    let session = Session::open(&world.served, world.token("analyst"));
    let (is_over, acknowledged) = (AtomicBool::new(false), AtomicI64::new(0));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (world, is_over, acknowledged) = (&world, &is_over, &acknowledged);
                scope.spawn(move || write(world, writer, is_over, acknowledged))
            })
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (world, session, acknowledged) = (&world, &session, &acknowledged);
                scope.spawn(move || {
                    for look in 0..LOOKS {
                        read(world, session, reader + look, acknowledged);
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        for outcome in outcomes.into_iter().chain(writers.into_iter().map(|writer| writer.join())) {
            if let Err(e) = outcome {
                std::panic::resume_unwind(e);
            }
        }
    });
    let stored = world.rows("select count(*) from events where source = 'test'")[0][0].as_i64().unwrap();
    assert_eq!(stored, 301 + acknowledged.load(Ordering::SeqCst));
}

/// Sends batches until it is over.
fn write(world: &World, writer: i64, is_over: &AtomicBool, acknowledged: &AtomicI64) {
    let mut connection = world.served.connection();
    let mut batch = 0;
    while !is_over.load(Ordering::SeqCst) {
        let line = |i: i64| event(&format!("{writer}-{batch}-{i}"), batch * 20 + i);
        let lines: Vec<String> = (0..20).map(line).collect();
        let request = Request::post("/v1/events", "application/x-ndjson", lines.join("\n")).by(world.token("ingest"));
        let answer = connection.ask(&request).unwrap().is(200).json();
        assert_eq!(answer["accepted"], 20, "{answer}");
        acknowledged.fetch_add(20, Ordering::SeqCst);
        batch += 1;
    }
}

/// One look at something; which, is up to `turn`.
fn read(world: &World, session: &Session, turn: usize, acknowledged: &AtomicI64) {
    let token = world.token("analyst");
    let pages = ["/", "/records/crm/lead/r7", "/actions/a7", "/health", "/query", "/incidents"];
    match turn % 4 {
        0 => {
            let target = pages[turn / 4 % pages.len()];
            world.served.ask(&session.get(target)).is(200);
        }
        1 => drop(world.served.get(token, "/v1/records/crm/lead/r7").is(200)),
        2 => drop(world.served.get(token, "/v1/actions/a7").is(200)),
        _ => {
            // All that was acknowledged before the question is in the answer.
            let before = acknowledged.load(Ordering::SeqCst);
            let rows = world.served.rows(token, "select count(*) from events where source = 'test'");
            assert!(rows[0][0].as_i64().unwrap() >= 301 + before, "{rows:?}, {before} were acknowledged before");
        }
    }
}
