//! Reads are evidence: who read what is in the ledger before the first row leaves, once for every read.

use probity::access::May;
use probity::server::route::{Kind, Route};
use serde_json::{Value, json};

use super::matrix::{finished, request, target};
use super::world::World;
use crate::support::http::Request;
use crate::support::server::{Session, wait_for};

/// Proofs, numbers of the process, lists of questions, blank forms and ways to elsewhere hold no record.
const NO_EVIDENCE: [&str; 9] = [
    "/v1/checkpoint",
    "/v1/tile/",
    "/metrics",
    "/v1/queries",
    "/openapi.json",
    "/query",
    "/incidents/new",
    "/reviews/new",
    "/find",
];

/// Who read, with what is told of it, in order; but for rita, who looks.
fn reads(world: &World) -> Vec<(String, Value)> {
    let sql =
        "select actor_id, extra from events where event_type = 'evidence.queried' and actor_id <> 'rita' order by seq";
    let rows = world.served.rows(world.token("reviewer"), sql);
    let read = |row: Value| {
        let extra = serde_json::from_str(row[1].as_str().unwrap()).unwrap();
        (row[0].as_str().unwrap().to_owned(), extra)
    };
    rows.into_iter().map(read).collect()
}

fn is_read(route: &Route) -> bool {
    let holds_none =
        NO_EVIDENCE.iter().any(|path| route.path == *path || route.path.starts_with(path) && path.ends_with('/'));
    route.method.as_str() == "GET" && route.needs.is_some_and(|needs| needs != May::Write) && !holds_none
}

#[test]
fn every_read_is_stated_once_with_who_and_what() {
    let world = World::full();
    let token = world.token("admin");
    let session = Session::open(&world.served, token);
    let mut asked: Vec<String> = Vec::new();
    for route in probity::server::routes().iter().filter(|route| is_read(route)) {
        let line = format!("{} {}", route.method, route.path);
        let request = match route.kind {
            Kind::Api => request(&world, route).by(token),
            Kind::Page => session.get(&target(&world, route.path)),
        };
        // What takes long is made first.
        finished(&world, &request);
        let seen = reads(&world).len();
        let answer = world.served.ask(&request);
        let stated = reads(&world);
        let new = &stated[seen..];
        match answer.status {
            200 => assert_eq!(new.len(), 1, "{line} {}: {new:?}", answer.status),
            // What is not there, or leads elsewhere, tells nothing.
            _ => assert!(new.len() <= 1, "{line} {}: {new:?}", answer.status),
        }
        for (who, extra) in new {
            assert_eq!((who.as_str(), &extra["role"]), ("adam", &json!("admin")), "{line}");
            assert!(extra["what"].as_str().is_some_and(|what| !what.is_empty()), "{line}: {extra}");
            assert!(extra["token"].is_string(), "{line}: {extra}");
        }
        asked.push(line);
    }
    assert!(asked.len() >= 25, "{asked:?}");
}

#[test]
fn the_text_of_sql_and_the_parameters_of_a_query_are_told() {
    let world = World::small(3, &[]);
    let sql = "select count(*) as n from events where record_id = 'r1'";
    world.served.post(world.token("analyst"), "/v1/query", &json!({"query": sql})).is(200);
    world.served.get(world.token("auditor"), "/v1/query/batch_records?batch_id=b-1").is(200);
    let session = Session::open(&world.served, world.token("responder"));
    let before = reads(&world).len();
    world.served.ask(&session.get("/sql?q=select%20max(seq)%20from%20events")).is(200);
    let stated = reads(&world);
    let of = |who: &str| {
        stated.iter().filter(|(name, _)| name == who).map(|(_, extra)| extra.to_string()).collect::<String>()
    };
    assert!(of("ada").contains(&json!(sql).to_string()), "{stated:?}");
    let batch = of("audrey");
    assert!(batch.contains("batch_records") && batch.contains("b-1"), "{batch}");
    assert_eq!(stated.len(), before + 1, "{stated:?}");
    assert!(of("olga").contains("select max(seq) from events"), "{stated:?}");
    world.served.get(world.token("analyst"), "/v1/records/crm/lead/r1").is(200);
    let subject = world.rows(
        "select actor_kind, system, record_type, record_id from events where event_type = 'evidence.queried' order by seq \
         desc limit 1",
    );
    assert_eq!(json!(subject), json!([["human", "crm", "lead", "r1"]]));
}

#[test]
fn a_question_that_fails_on_a_row_is_stated() {
    let world = World::small(3, &[]);
    let token = world.token("analyst");
    // Whether it fails tells of the rows as much as an answer does.
    for sql in [
        "select cast(record_id as bigint) from events",
        "select count(*) from events where cast(record_id as bigint) > 1",
        "select count(*) from blast_radius('cast(record_id as bigint) > 1')",
    ] {
        let before = reads(&world).len();
        world.served.post(token, "/v1/query", &json!({"query": sql})).is(400);
        let stated = reads(&world);
        assert_eq!(stated.len(), before + 1, "{sql}: {stated:?}");
        assert!(stated[before].1.to_string().contains("cast(record_id"), "{sql}: {stated:?}");
    }
}

#[test]
fn a_refused_request_leaves_no_read() {
    let world = World::full();
    let before = reads(&world).len();
    for route in probity::server::routes().iter().filter(|route| is_read(route)) {
        let nobody = world.served.ask(&request(&world, route));
        let ingest = world.served.ask(&request(&world, route).by(world.token("ingest")));
        for answer in [nobody, ingest] {
            assert!(matches!(answer.status, 302 | 303 | 401 | 403), "{}: {}", route.path, answer.status);
        }
    }
    assert_eq!(reads(&world).len(), before);
}

#[test]
fn a_read_is_durable_before_its_first_row_leaves() {
    let world = World::small(1_000, &[]);
    let sql = "select a.seq as one, b.seq as other, a.event_id || b.event_id as pair from events a, events b";
    let before = reads(&world).len();
    let mut connection = world.served.connection();
    let request = Request::json("/v1/query", &json!({"query": sql})).by(world.token("analyst"));
    let head = connection.begin(&request.with("accept", "application/x-ndjson")).unwrap();
    assert_eq!(head.status, 200);
    // Nothing of the body was read yet, and whatever happens to the server now does not undo the read.
    let world = world.again(|served| {
        served.signal("KILL");
        served.ended();
    });
    let reads = reads(&world);
    assert_eq!(reads.len(), before + 1);
    assert!(reads[before].1.to_string().contains("event_id || b.event_id"), "{reads:?}");
}

#[test]
fn pages_that_were_looked_at_before_are_kept_until_something_happens() {
    let world = World::small(200, &[]);
    let session = Session::open(&world.served, world.token("analyst"));
    let look = || world.served.ask(&session.get("/")).is(200).text();
    let shown = wait_for("the overview", || Some(look()).filter(|page| !page.contains("http-equiv=\"refresh\"")));
    for _ in 0..5 {
        assert_eq!(look().len(), shown.len(), "a read changed the page");
    }
    let reads = reads(&world);
    assert!(reads.len() >= 6, "a page from memory is a read, too: {}", reads.len());
    world.served.ingest(world.token("ingest"), &crate::support::event("new", 900)).is(200);
    let changed = wait_for("the new event on the overview", || Some(look()).filter(|page| *page != shown));
    assert!(!changed.is_empty());
}
