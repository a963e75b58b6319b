//! The life of the process: killed or asked to end under load, it keeps what it acknowledged; and what is lost below it is
//! said to be lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use super::world::World;
use crate::support::event;
use crate::support::http::{Connection, Request};
use crate::support::server::{DEADLINE, Served, wait_for};

const SENDERS: u64 = 8;
const BATCH: u64 = 20;

/// Events that were acknowledged: their place and leaf by id.
type Acknowledged = BTreeMap<String, (i64, String)>;

/// Sends batches from several connections until the server is gone; `end` ends it once enough was acknowledged.
fn under_load(world: World, round: u64, end: impl FnOnce(Served)) -> (World, Acknowledged) {
    let batches = AtomicU64::new(0);
    let (address, token) = (world.served.address.clone(), world.token("ingest").to_owned());
    let mut all = Acknowledged::new();
    let world = thread::scope(|scope| {
        let send = |sender: u64| {
            let (batches, address, token) = (&batches, &address, &token);
            scope.spawn(move || send_until_gone(address, token, (round, sender), batches))
        };
        let senders: Vec<_> = (0..SENDERS).map(send).collect();
        wait_for("acknowledged batches", || (batches.load(Ordering::SeqCst) >= 40).then_some(()));
        let world = world.again(end);
        for sender in senders {
            all.extend(sender.join().unwrap());
        }
        world
    });
    (world, all)
}

fn send_until_gone(address: &str, token: &str, (round, sender): (u64, u64), batches: &AtomicU64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let Ok(mut connection) = Connection::open(address) else { return acknowledged };
    for batch in 0.. {
        let id = |i: u64| format!("{round}-{sender}-{batch}-{i}");
        let lines: Vec<String> = (0..BATCH).map(|i| event(&id(i), (batch * BATCH + i) as i64)).collect();
        let request = Request::post("/v1/events", "application/x-ndjson", lines.join("\n")).by(token);
        // What was not answered may be stored or not.
        let Ok(answer) = connection.ask(&request) else { break };
        match answer.status {
            200 => {}
            429 | 503 => continue,
            other => panic!("{other}: {}", answer.text()),
        }
        for (i, result) in answer.json()["results"].as_array().unwrap().iter().enumerate() {
            assert_eq!(result["outcome"], "accepted", "{result}");
            let leaf = result["leaf"].as_str().unwrap().to_owned();
            acknowledged.insert(id(i as u64), (result["seq"].as_i64().unwrap(), leaf));
        }
        batches.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}

/// Every acknowledged event is stored once, at its place.
fn assert_kept(world: &World, acknowledged: &Acknowledged) {
    let rows = world.rows("select event_id, seq from events where source = 'test'");
    let mut stored: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows {
        let id = row[0].as_str().unwrap().to_owned();
        assert!(stored.insert(id, row[1].as_i64().unwrap()).is_none(), "{row:?} is stored twice");
    }
    for (id, (seq, _)) in acknowledged {
        assert_eq!(stored.get(id), Some(seq), "{id} was acknowledged at {seq}");
    }
}

/// The leaf that was answered is the one that the ledger proves, for some of them.
fn assert_proven(world: &World, acknowledged: &Acknowledged) {
    for (seq, leaf) in acknowledged.values().step_by(acknowledged.len() / 5 + 1) {
        let proof = world.served.get(world.token("analyst"), &format!("/v1/events/{seq}")).is(200).text();
        assert!(proof.contains(leaf), "{seq} {leaf}: {proof}");
    }
    let verified = world.run(&["verify", "store", "--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn kill_9_under_load_loses_no_acknowledged_event() {
    let mut world = World::empty(&[]);
    let mut all = Acknowledged::new();
    for round in 0..3 {
        let kill = |served: Served| {
            served.signal("KILL");
            assert_eq!(served.ended().code(), None);
        };
        let (next, acknowledged) = under_load(world, round, kill);
        assert!(!acknowledged.is_empty());
        world = next;
        all.extend(acknowledged);
        assert_kept(&world, &all);
    }
    assert_proven(&world, &all);
    // Sent again, all of it is known.
    let lines: Vec<String> = all.keys().take(500).map(|id| event(id, minute(id))).collect();
    let answer = world.served.ingest(world.token("ingest"), &lines.join("\n")).is(200).json();
    assert_eq!((&answer["accepted"], &answer["duplicate"]), (&Value::from(0), &Value::from(lines.len())), "{answer}");
}

/// The minute at which `send_until_gone` placed the event of this id.
fn minute(id: &str) -> i64 {
    let parts: Vec<i64> = id.split('-').map(|part| part.parse().unwrap()).collect();
    parts[2] * BATCH as i64 + parts[3]
}

#[test]
fn asked_to_end_under_load_it_answers_what_it_took_and_ends_in_time() {
    let world = World::empty(&[]);
    let (world, acknowledged) = under_load(world, 0, |served| {
        let start = std::time::Instant::now();
        served.stop();
        assert!(start.elapsed() < DEADLINE / 4, "{:?}", start.elapsed());
    });
    assert_kept(&world, &acknowledged);
    assert_proven(&world, &acknowledged);
    // What was received is stated, every event of it.
    let received = world.rows(
        "select sum(cast(json_text(entry, '/accepted') as bigint)) from (select unnest(json_list(extra, '/counts')) \
         as entry from events where event_type = 'evidence.received')",
    );
    assert!(received[0][0].as_i64().is_some_and(|stated| stated >= acknowledged.len() as i64), "{received:?}");
}

#[test]
fn a_second_server_over_the_same_store_sees_what_the_first_acknowledged() {
    let world = World::empty(&[]);
    let second = Served::start(world.dir(), &[]);
    let (token, reader) = (world.token("ingest"), world.token("analyst"));
    for round in 0..5i64 {
        let (one, other) = if round % 2 == 0 { (&world.served, &second) } else { (&second, &world.served) };
        let lines: Vec<String> = (0..10).map(|i| event(&format!("{round}-{i}"), round * 10 + i)).collect();
        one.ingest(token, &lines.join("\n")).is(200);
        let again = other.ingest(token, &lines.join("\n")).is(200).json();
        assert_eq!(again["duplicate"], 10, "{again}");
        let rows = other.rows(reader, "select count(*) as n from events where source = 'test'");
        assert_eq!(rows[0][0], (round + 1) * 10);
    }
}

/// Deletes the data files below `folder`; gives how many there were.
fn delete_data_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let deleted = entries.map(|path| match path.extension() {
        _ if path.is_dir() && !path.ends_with("_delta_log") => delete_data_files(&path),
        Some(ending) if ending == "parquet" => {
            std::fs::remove_file(&path).unwrap();
            1
        }
        _ => 0,
    });
    deleted.sum()
}

/// An event whose data file somebody had deleted was answered with 404, as if nobody had ever sent it.
#[test]
fn evidence_that_is_lost_is_not_told_of_as_evidence_that_never_was() {
    let world = World::small(5, &[]);
    world.run(&["maintain"]).ended(0);
    let analyst = world.token("analyst");
    let of_event = ["/v1/events/0", "/v1/records/crm/lead/r0", "/v1/actions/a0"];
    for target in of_event {
        world.served.get(analyst, target).is(200);
    }
    let data = world.dir().join("probity-data/tenants/default");
    assert!(delete_data_files(&data.join("events")) > 0);
    for target in of_event {
        let answer = world.served.get(analyst, target).is(503);
        assert!(!answer.header("retry-after").is_empty(), "{target}");
        let told = answer.text();
        assert!(told.contains("probity verify store"), "{target}: {told}");
        assert!(!told.contains(world.dir().to_str().unwrap()), "{target}: {told}");
    }
    // What never was is told as before.
    world.served.get(analyst, "/v1/events/1000000").is(404);
    world.served.assert_lives("a data file is lost");
}
