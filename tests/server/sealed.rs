//! Sealed values: who may not see them finds them nowhere, in no document, page, list, query or SQL.

use probity::server::route::Kind;
use serde_json::{Value, json};

use super::matrix::{finished, request, target};
use super::proofs::contents;
use super::world::{MARK, World};
use crate::support::http::{Answer, Request, encoded};
use crate::support::server::{Session, token};

const MONTH: &str = "period_start=2026-01-01T00:00:00Z&period_end=2026-02-01T00:00:00Z";

fn assert_unseen(answer: &Answer, place: &str) {
    assert!(answer.status < 500, "{place}: {}", answer.text());
    // A compressed file is looked at by the test of packs.
    assert!(!answer.text().contains(MARK), "{place} {} tells a sealed value: {}", answer.status, answer.text());
    assert!(!answer.headers.iter().any(|(_, value)| value.contains(MARK)), "{place}: {:?}", answer.headers);
}

#[test]
fn an_auditor_without_the_grant_finds_no_sealed_value_on_any_route() {
    let world = World::full();
    let (auditor, analyst) = (world.token("auditor"), world.token("analyst"));
    let session = Session::open(&world.served, auditor);
    let seeing = Session::open(&world.served, analyst);
    let mut looked = 0;
    for route in probity::server::routes().iter().filter(|route| route.path != "/logout") {
        let place = format!("{} {}", route.method, route.path);
        let (target, is_get) = (target(&world, route.path), route.method.as_str() == "GET");
        let requests = match (route.kind, is_get) {
            (Kind::Page, true) => vec![session.get(&target)],
            (Kind::Page, false) => vec![session.form(&world.served, &target, &[])],
            (Kind::Api, false) => vec![request(&world, route).by(auditor)],
            (Kind::Api, true) => ["application/json", "text/html", "text/csv", "application/x-ndjson", "text/plain"]
                .iter()
                .map(|accept| Request::get(&target).by(auditor).with("accept", accept))
                .collect(),
        };
        // What is kept for who may see them must not be given to who may not.
        match (route.kind, is_get) {
            (Kind::Page, true) => drop(finished(&world, &seeing.get(&target))),
            (Kind::Api, true) => drop(finished(&world, &Request::get(&target).by(analyst))),
            (_, false) => {}
        }
        for request in requests {
            assert_unseen(&finished(&world, &request), &place);
            looked += 1;
        }
    }
    assert!(looked > 40, "{looked}");
    // Whoever may see them does, or the test would prove nothing.
    for place in ["/v1/records/crm/lead/r-marked", "/v1/actions/a-marked", "/v1/events/0"] {
        let place = place.replace("events/0", &format!("events/{}", seq_of_marked(&world)));
        assert_unseen(&world.served.get(auditor, &place), &place);
        let seen = world.served.get(world.token("analyst"), &place).is(200);
        assert!(seen.text().contains(MARK), "{place}: {}", seen.text());
    }
    for place in ["/records/crm/lead/r-marked", "/actions/a-marked"] {
        assert_unseen(&world.served.ask(&session.get(place)), place);
        let analyst = Session::open(&world.served, world.token("analyst"));
        assert!(world.served.ask(&analyst.get(place)).is(200).text().contains(MARK), "{place}");
    }
}

fn seq_of_marked(world: &World) -> i64 {
    world.rows("select seq from events where event_id = '-marked'")[0][0].as_i64().unwrap()
}

#[test]
fn an_auditor_without_the_grant_finds_no_sealed_value_by_any_question() {
    let world = World::full();
    let auditor = world.token("auditor");
    let session = Session::open(&world.served, auditor);
    for query in world.served.get(auditor, "/v1/queries").is(200).json().as_array().unwrap() {
        let name = query["name"].as_str().unwrap();
        let request = Request::get(&format!("/v1/query/{name}?{}", params(&world, query))).by(auditor);
        assert_unseen(&finished(&world, &request), name);
    }
    for sql in [
        "select * from events",
        "select * from evidence",
        "select * from actions",
        "select old_value from events",
        "select e.new_value from events as e",
        "select count(*) from events where old_value like 'zq7%'",
        "select count(*) from evidence where starts_with(comment, 'zq7')",
        "select record_id from events order by extra",
        "select max(error) from evidence",
        "select * from (select * from events) as inner_one",
        "with own as (select * from events) select * from own",
        "select * from events natural join evidence",
        "select events from events",
        "select to_json(events) from events",
        "select * from blast_radius('rule_version = ''r7''')",
        "select * from blast_radius('old_value = ''x''')",
        "select * from information_schema.columns",
        "select column_name from information_schema.columns where column_name like '%value'",
        "select salt from evidence",
        "select * from policies",
        "select * from policy_rules",
    ] {
        assert_unseen(&world.served.post(auditor, "/v1/query", &json!({"query": sql})), sql);
        assert_unseen(&world.served.ask(&session.get(&format!("/sql?q={}", encoded(sql)))), sql);
    }
    let named = world.served.post(auditor, "/v1/query", &json!({"query": "select old_value from events"}));
    assert_eq!(named.status, 400, "the column is not absent: {}", named.text());
    // A condition over values that are not seen would tell what they are by what it picks.
    for (target, document) in [
        ("/v1/incidents/scope", json!({"where": "new_value like 'wrong%'"})),
        (
            "/v1/incidents/guardrail",
            json!({"selector": {"where": "rule_version = 'r7'"}, "rule": "new_value like 'wrong%'"}),
        ),
        ("/v1/incidents/guardrail", json!({"selector": {"where": "new_value like 'wrong%'"}, "rule": "true"})),
        ("/v1/packs", json!({"query": "select seq from events where old_value = 'x'"})),
        ("/v1/query", json!({"query": "select * from blast_radius('new_value like ''wrong%''')"})),
    ] {
        let answer = world.served.post(auditor, target, &document);
        assert_eq!(answer.status, 400, "{target} {document}: {}", answer.text());
    }
    for (accept, sql) in [("text/csv", "select * from events"), ("application/x-ndjson", "select * from actions")] {
        let request = Request::json("/v1/query", &json!({"query": sql})).by(auditor).with("accept", accept);
        assert_unseen(&world.served.ask(&request).is(200), sql);
    }
}

/// Values for the parameters of a query, as its page would fill them in.
fn params(world: &World, query: &Value) -> String {
    let mut parts = Vec::new();
    for param in query["params"].as_array().into_iter().flatten() {
        let name = param["name"].as_str().unwrap();
        match name {
            "period_start" => parts.push(MONTH.split('&').next().unwrap().to_owned()),
            "period_end" => parts.push(MONTH.split('&').nth(1).unwrap().to_owned()),
            "batch_id" => parts.push("batch_id=b-1".to_owned()),
            "incident_id" => parts.push(format!("incident_id={}", world.incident)),
            "review_id" => parts.push(format!("review_id={}", world.review)),
            _ => {}
        }
    }
    parts.join("&")
}

#[test]
fn an_auditor_with_the_grant_sees_them() {
    let world = World::small(1, &[]);
    let granted = token(world.dir(), "auditor", "grace", &["--sealed"]);
    let seen = world.served.get(&granted, "/v1/records/crm/lead/r-marked").is(200);
    assert!(seen.text().contains(MARK), "{}", seen.text());
    let rows = world.served.rows(&granted, "select old_value from events where record_id = 'r-marked'");
    assert!(rows[0][0].as_str().unwrap().contains(MARK));
}

#[test]
fn a_pack_for_an_auditor_without_the_grant_withholds_them() {
    let world = World::small(1, &[]);
    let order = json!({"from_seq": 0, "to_seq": 3});
    let answer = world.served.post(world.token("auditor"), "/v1/packs", &order).is(200);
    assert_eq!(contents(&answer.body), (3, 0), "the pack discloses a sealed value");
    let whole = world.served.post(world.token("admin"), "/v1/packs", &order).is(200);
    assert!(contents(&whole.body).1 >= 5, "nothing is sealed in what is to be withheld");
    std::fs::write(world.dir().join("withheld.tar.gz"), &answer.body).unwrap();
    let vkey = world.run(&["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    world.run(&["verify", "pack", "withheld.tar.gz", "--vkey", &vkey]).ended(0);
}
