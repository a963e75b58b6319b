//! `POST /v1/events`: an answer for every record, in order, after it is durable; and no more than fits.

use std::fs::File;
use std::io::Write;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use probity::limits::EVENTS_BODY_BYTES;
use serde_json::{Value, json};

use super::world::World;
use crate::support::event;
use crate::support::http::{Answer, Request};
use crate::support::server::wait_for;

const NDJSON: &str = "application/x-ndjson";

fn counts(answer: &Value) -> [u64; 5] {
    ["received", "accepted", "duplicate", "conflict", "rejected"].map(|name| answer[name].as_u64().unwrap())
}

fn outcomes(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len() as u64, counts(answer)[0], "a record has no result: {answer}");
    results.iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

/// The records of a source that are stored.
fn stored(world: &World) -> i64 {
    world.rows("select count(*) from events where source = 'test'")[0][0].as_i64().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_batch_that_is_sent_again_is_answered_in_order_and_stored_once() {
    let world = World::empty(&[]);
    let lines: Vec<String> = (0..50).rev().map(|i| event(&i.to_string(), i * 1_000)).collect();
    let first = world.served.ingest(world.token("ingest"), &lines.join("\n")).is(200).json();
    assert_eq!(counts(&first), [50, 50, 0, 0, 0]);
    for (place, result) in first["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(result["line"], place + 1);
        let seq = result["seq"].as_u64().unwrap();
        let proof = world.served.get(world.token("analyst"), &format!("/v1/events/{seq}")).is(200).json();
        let told = proof.to_string();
        assert!(told.contains(result["leaf"].as_str().unwrap()), "{result}: {told}");
        assert!(told.contains(&format!("\"{}\"", 49 - place)), "{result}: {told}");
    }
    // From the journal, and from the table.
    for _ in 0..2 {
        let again = world.served.ingest(world.token("ingest"), &lines.join("\n")).is(200).json();
        assert_eq!((counts(&again), outcomes(&again)), ([50, 0, 50, 0, 0], vec!["duplicate"; 50]));
        for (one, other) in again["results"].as_array().unwrap().iter().zip(first["results"].as_array().unwrap()) {
            assert_eq!((&one["seq"], &one["leaf"]), (&other["seq"], &other["leaf"]), "{one}");
        }
        world.run(&["maintain", "fold"]).ended(0);
    }
    assert_eq!(stored(&world), 50);
}

#[test]
fn what_is_refused_has_its_reason_and_spares_its_neighbours() {
    let world = World::empty(&[]);
    let first = event("1", 0);
    let other = first.replace("\"old_value\":\"x\"", "\"old_value\":\"y\"");
    let bad = event("3", 0).replace("action.executed", "evidence.queried");
    let claimed = event("4", 0).replace('{', "{\"seq\":7,");
    let text = [&first, &other, "not json", &first, &bad, &claimed, &event("2", 1)].map(|s| s.to_owned()).join("\n");
    let answer = world.served.ingest(world.token("ingest"), &text).is(207).json();
    let expected = ["accepted", "conflict", "rejected", "duplicate", "rejected", "rejected", "accepted"];
    assert_eq!((counts(&answer), outcomes(&answer)), ([7, 2, 1, 1, 3], expected.to_vec()));
    for (place, words) in [(2, "JSON"), (4, "event_type"), (5, "seq")] {
        let reason = answer["results"][place]["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{words}: {reason}");
    }
    assert!(!answer.to_string().contains("\"y\""), "a value of a record is repeated");
    let nothing = world.served.ingest(world.token("ingest"), "not json").is(422).json();
    assert_eq!(counts(&nothing), [1, 0, 0, 0, 1]);
    let refused = Request::post("/v1/events?results=refused", NDJSON, text).by(world.token("ingest"));
    let again = world.served.ask(&refused).is(207).json();
    assert_eq!((counts(&again), again["results"].as_array().unwrap().len()), ([7, 0, 3, 1, 3], 4), "{again}");
}

#[test]
fn a_strict_request_is_stored_as_a_whole_or_not_at_all() {
    let world = World::empty(&[]);
    let text = format!("{}\nnot json\n{}", event("1", 0), event("2", 0));
    let strict =
        |text: &str| world.served.ask(&Request::post("/v1/events?strict=true", NDJSON, text).by(world.token("ingest")));
    let refused = strict(&text);
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    assert!(refused.text().contains("JSON"), "{}", refused.text());
    assert_eq!(stored(&world), 0);
    let taken = strict(&text.replace("not json\n", "")).is(200).json();
    assert_eq!(counts(&taken), [2, 2, 0, 0, 0]);
    assert_eq!(stored(&world), 2);
}

#[test]
fn json_and_cloud_events_come_single_in_lists_and_packed() {
    let world = World::empty(&[]);
    let cloud = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "test", "type": "record.reviewed",
            "time": "2026-01-01T00:00:00Z", "data": {"workflow": "w", "system": "crm", "record_type": "lead",
            "record_id": id}})
    };
    let own = |id: &str| serde_json::from_str::<Value>(&event(id, 0)).unwrap();
    let single = "application/json";
    for (content_type, document, ids) in [
        (single, own("1"), 1),
        (single, json!([own("2"), own("3")]), 2),
        ("application/json; charset=utf-8", own("4"), 1),
        ("application/cloudevents+json", cloud("5"), 1),
        ("application/cloudevents-batch+json", json!([cloud("6"), cloud("7"), cloud("6")]), 2),
    ] {
        let request = Request::post("/v1/events", content_type, document.to_string()).by(world.token("ingest"));
        let answer = world.served.ask(&request).is(200).json();
        assert_eq!(counts(&answer)[1], ids, "{content_type}: {answer}");
    }
    let packed = gzip(format!("{}\n{}", event("8", 0), event("9", 0)).as_bytes());
    let packed = Request::post("/v1/events", NDJSON, packed).with("content-encoding", "gzip");
    assert_eq!(counts(&world.served.ask(&packed.by(world.token("ingest"))).is(200).json()), [2, 2, 0, 0, 0]);
    assert_eq!(stored(&world), 9);
}

#[test]
fn a_cloud_event_whose_attributes_are_headers_is_the_same_event() {
    let world = World::empty(&[]);
    let data = json!({"workflow": "w", "system": "crm", "record_type": "lead", "record_id": "r 1"});
    let send = |content_type: &str, body: String| {
        let request = Request::post("/v1/events", content_type, body).with("ce-specversion", "1.0");
        let request = request.with("ce-id", "b%20%31").with("ce-source", "test").with("ce-type", "record.reviewed");
        world.served.ask(&request.with("ce-time", "2026-01-01T00:00:00Z").by(world.token("ingest")))
    };
    let stored_now = send("application/json", data.to_string()).is(200).json();
    assert_eq!(counts(&stored_now), [1, 1, 0, 0, 0], "{stored_now}");
    let document = json!({"specversion": "1.0", "id": "b 1", "source": "test", "type": "record.reviewed",
        "time": "2026-01-01T00:00:00Z", "data": data});
    let same = Request::post("/v1/events", "application/cloudevents+json", document.to_string());
    let same = world.served.ask(&same.by(world.token("ingest"))).is(200).json();
    assert_eq!((counts(&same), &same["results"][0]["seq"]), ([1, 0, 1, 0, 0], &stored_now["results"][0]["seq"]));
    send("text/plain", "x".to_owned()).is(415);
    send("application/json", "{".to_owned()).is(400);
    let rejected = send("application/json", json!({"event_id": "other"}).to_string()).is(422).json();
    assert!(rejected["results"][0]["reason"].as_str().unwrap().contains("twice"), "{rejected}");
    assert_eq!(stored(&world), 1);
}

#[test]
fn bodies_of_another_kind_or_size_are_refused_and_nothing_is_stored() {
    let world = World::empty(&[]);
    let ask = |request: Request| world.served.ask(&request.by(world.token("ingest")));
    let is_problem = |answer: &Answer, status: &[u16]| {
        assert!(status.contains(&answer.status), "{} {}", answer.status, answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    };
    // One that never ends is left as soon as it is longer than it may be.
    let long = Request::post("/v1/events", NDJSON, vec![b' '; EVENTS_BODY_BYTES + 1]);
    let long = ask(long.with("content-length", "99999999999"));
    is_problem(&long, &[413]);
    // Its rest would be read as the next request.
    assert_eq!(long.header("connection"), "close");
    let bomb = gzip(&vec![b'\n'; 8 * EVENTS_BODY_BYTES]);
    is_problem(&ask(Request::post("/v1/events", NDJSON, bomb).with("content-encoding", "gzip")), &[413]);
    let torn = gzip(event("1", 0).as_bytes());
    let torn = Request::post("/v1/events", NDJSON, &torn[..torn.len() / 2]).with("content-encoding", "gzip");
    is_problem(&ask(torn), &[400]);
    is_problem(&ask(Request::post("/v1/events", NDJSON, "x").with("content-encoding", "br")), &[415]);
    is_problem(&ask(Request::post("/v1/events", "text/html", event("1", 0))), &[415]);
    is_problem(&ask(Request::post("/v1/events?map=nothing", NDJSON, event("1", 0))), &[404]);
    world.served.assert_lives("bodies that nobody sends");
    assert_eq!(stored(&world), 0);
}

#[test]
fn a_shipped_mapping_reads_other_shapes() {
    let world = World::empty(&[]);
    let path = "tests/fixtures/presets/handmade/contacts.ndjson";
    let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let request = Request::post("/v1/events?map=hubspot_property_history", NDJSON, text.clone());
    let answer = world.served.ask(&request.by(world.token("ingest"))).json();
    let other = World::empty(&[]);
    std::fs::write(other.dir().join("contacts.ndjson"), text).unwrap();
    let args = ["ingest", "contacts.ndjson", "--map", "hubspot_property_history", "--json"];
    let command = other.run(&args).json();
    assert_eq!(counts(&answer), counts(&command), "{answer}");
}

/// Another writer holds the journal, so that nothing becomes durable until it lets go.
fn held(world: &World) -> File {
    let lock = world.dir().join("probity-data/tenants/default/append.lock");
    let file = File::options().create(true).append(true).open(lock).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn a_full_queue_says_when_to_come_back_and_keeps_what_it_took() {
    let world = World::empty(&[]);
    let lock = held(&world);
    // More than the queue holds in bytes, each below the bound of a record.
    let wide = "x".repeat(50_000);
    let batch = |sender: usize| {
        let line = |i: usize| {
            event(&format!("{sender}-{i}"), i as i64)
                .replace("\"old_value\":\"x\"", &format!("\"old_value\":\"{wide}\""))
        };
        (0..100).map(line).collect::<Vec<String>>().join("\n")
    };
    let answers: Vec<(u16, String, u64)> = thread::scope(|scope| {
        let send = |sender: usize| {
            let (world, batch) = (&world, &batch);
            scope.spawn(move || {
                let answer = world.served.ingest(world.token("ingest"), &batch(sender));
                let accepted = if answer.status == 200 { counts(&answer.json())[1] } else { 0 };
                (answer.status, answer.header("retry-after").to_owned(), accepted)
            })
        };
        let senders: Vec<_> = (0..48).map(send).collect();
        // The refused ones are answered at once, the others wait.
        wait_for("a refusal for lack of room", || senders.iter().any(|sender| sender.is_finished()).then_some(()));
        lock.unlock().unwrap();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    let mut accepted = 0;
    for (status, retry_after, stored) in &answers {
        accepted += *stored as i64;
        match status {
            200 => assert_eq!(*stored, 100),
            429 => assert!(retry_after.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{retry_after:?}"),
            other => panic!("{other}"),
        }
    }
    assert!(answers.iter().any(|(status, ..)| *status == 429), "nobody was refused");
    assert!(accepted > 0, "nobody was taken");
    assert_eq!(stored(&world), accepted);
}
