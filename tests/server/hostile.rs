//! Strangers' SQL over HTTP: a problem in clear words, within its bounds, and the next one is answered.

use serde_json::json;

use super::world::World;
use crate::hostile::{Hostile, INTERNALS, REFUSED, entries, says};
use crate::support::http::{Answer, Request, encoded};
use crate::support::server::Session;

/// One statement of each class of the suite, and what only a server can be asked.
fn one_of_each_class() -> Vec<Hostile> {
    let classes = REFUSED.split("\n-- # ").skip(1);
    let first = |class: &'static str| entries(class).into_iter().next().unwrap();
    classes.map(first).collect()
}

fn assert_clear(hostile: &Hostile, answer: &Answer) {
    let shown: String = hostile.sql.chars().take(100).collect();
    let (why, text) = (hostile.why, answer.text());
    assert!(matches!(answer.status, 400 | 403 | 404 | 413), "{why}: {shown}: {} {text}", answer.status);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{why}: {text}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(hostile.says.iter().any(|word| says(&detail, word)), "{why}: {shown}: {detail}");
    for internal in INTERNALS {
        assert!(!detail.contains(internal) || hostile.sql.contains(internal), "{why}: {shown}: {detail}");
    }
}

#[test]
fn hostile_sql_is_a_problem_of_whoever_sends_it() {
    let world = World::small(400, &[]);
    let hostile = one_of_each_class();
    assert!(hostile.len() >= 12, "{}", hostile.len());
    for hostile in &hostile {
        let answer = world.served.post(world.token("analyst"), "/v1/query", &json!({"query": hostile.sql}));
        assert_clear(hostile, &answer);
        world.served.assert_lives(hostile.why);
    }
    // The same in the console, whose page shows the words and no more.
    let session = Session::open(&world.served, world.token("analyst"));
    for hostile in hostile.iter().filter(|hostile| hostile.sql.len() < 4_000) {
        let answer = world.served.ask(&session.get(&format!("/sql?q={}", encoded(&hostile.sql))));
        assert!(answer.status < 500, "{}: {}", hostile.why, answer.text());
        let told = answer.text();
        for internal in INTERNALS {
            assert!(!told.contains(internal) || hostile.sql.contains(internal), "{}: {internal}", hostile.why);
        }
    }
    let rows = world.served.rows(world.token("analyst"), "select count(*) from events where source = 'test'");
    assert_eq!(rows[0][0], 401, "a statement changed something");
}

#[test]
fn a_question_that_runs_too_long_ends_in_its_time_and_nothing_else_does() {
    let world = World::small(400, &[]);
    let ask = |seconds: u64, sql: &str| {
        world.served.post(world.token("analyst"), "/v1/query", &json!({"query": sql, "seconds": seconds}))
    };
    let endless = "select count(*) from evidence a, evidence b, evidence c, evidence d, evidence e where a.seq + b.seq + \
                   c.seq + d.seq + e.seq = -1";
    // As many as there are places, and one that waits for one of them.
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(|| ask(2, endless))).collect();
        world.served.get(world.token("analyst"), "/v1/records/crm/lead/r7").is(200);
        for answer in asking {
            let ended = answer.join().unwrap().is(413);
            assert_eq!(ended.header("content-type"), "application/problem+json");
            assert!(ended.text().contains("longer than 2 s"), "{}", ended.text());
        }
    });
    assert_eq!(ask(30, "select count(*) from events where source = 'test'").is(200).json()["rows"][0][0], 401);
    for seconds in [0, 301] {
        assert!(ask(seconds, "select 1").is(400).text().contains("from 1 to 300"), "{seconds}");
    }
    world.served.get(world.token("analyst"), "/v1/query/months?seconds=30").is(200);
    let told = world.rows("select count(*) from events where event_type = 'evidence.queried' and extra like '%= -1%'");
    assert!(told[0][0].as_u64() >= Some(2), "a question that ends for lack of time is on record: {told:?}");
}

#[test]
fn a_plan_tells_nothing_of_the_machine() {
    let world = World::small(400, &[]);
    world.run(&["maintain"]).ended(0);
    let folder = world.dir().file_name().unwrap().to_str().unwrap();
    for sql in [
        "explain select * from events",
        "/* why */ EXPLAIN verbose select count(*) from evidence where seq = 1",
        "explain analyze select * from evidence",
        "explain format tree select * from evidence",
    ] {
        for format in ["json", "csv"] {
            let document = json!({"query": sql, "format": format});
            let plan = world.served.post(world.token("analyst"), "/v1/query", &document).is(200).text();
            assert!(!plan.contains(folder) && !plan.contains("probity-data"), "{sql}: {plan}");
        }
    }
    let session = Session::open(&world.served, world.token("analyst"));
    let page = world.served.ask(&session.get("/sql?q=explain%20select%20*%20from%20evidence")).is(200).text();
    assert!(page.contains("file_groups") && !page.contains(folder) && !page.contains("probity-data"), "{page}");
    let plan = world.served.rows(world.token("analyst"), "explain select * from evidence");
    assert!(format!("{plan:?}").contains("events/occurred_month="), "it tells no file at all: {plan:?}");
}

/// What reads a data file names it by its whole path; in an answer that told where on the machine the store lies.
#[test]
fn a_data_file_that_is_gone_is_told_without_the_place_of_the_store() {
    let world = World::small(40, &[]);
    world.run(&["maintain"]).ended(0);
    for month in std::fs::read_dir(world.dir().join("probity-data/tenants/default/events")).unwrap() {
        let month = month.unwrap().path();
        if month.file_name().unwrap().to_str().unwrap().starts_with("occurred_month=") {
            std::fs::remove_dir_all(month).unwrap();
        }
    }
    let sql = "select count(*) from evidence where source = 'test'";
    let lost = world.served.post(world.token("analyst"), "/v1/query", &json!({"query": sql}));
    let told = lost.text();
    assert!(lost.status >= 500 && told.contains("tenants/default/events/occurred_month="), "{}: {told}", lost.status);
    let folder = world.dir().file_name().unwrap().to_str().unwrap();
    assert!(!told.contains(folder) && !told.contains("probity-data"), "{told}");
}

#[test]
fn names_and_numbers_in_addresses_are_values() {
    let world = World::small(3, &[]);
    let token = world.token("analyst");
    for target in [
        "/v1/events/-1",
        "/v1/events/99999999999999999999",
        "/v1/events/1%20or%201=1",
        "/v1/events/9223372036854775807",
        "/v1/records/crm/lead/'%20or%20'1'='1",
        "/v1/records/crm/lead/%00",
        "/v1/records/%ff/lead/x",
        "/v1/records/..%2f..%2f/etc/passwd",
        "/v1/actions/a1'--",
        "/v1/query/..%2f..%2fmonths",
        "/v1/query/months%27",
        "/v1/query/batch_records?batch_id=x%27%20or%20%271%27=%271",
        "/v1/query/batch_records?batch_id=a&batch_id=b",
        "/v1/query/batch_records?nothing=x",
        "/v1/reports/monthly/2026-13",
        "/v1/reports/monthly/..%2f..%2fx",
        "/v1/incidents/..%2fx",
        "/v1/incidents/nothing",
        "/v1/incidents/nothing/scope",
        "/v1/reviews/nothing",
        "/v1/reviews/nothing/items",
        "/v1/tile/0/..%2f..%2fkeys%2fdefault.key",
        "/v1/tile/0/../../../keys/default.key",
        "/v1/tile/9/000",
        "/v1/tile/0/x001/000",
        "/v1/nothing",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/../../etc/passwd",
    ] {
        let answer = world.served.get(token, target);
        assert!(answer.status < 500, "{target}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("PRIVATE KEY") && !answer.text().contains("root:"), "{target}");
        assert!(!answer.text().contains("\"r1\""), "{target} tells of another record: {}", answer.text());
    }
    let long = format!("/v1/records/crm/lead/{}", "x".repeat(200_000));
    // Whether it answers or hangs up, the next one is served.
    let _ = world.served.connection().ask(&Request::get(&long).by(token));
    world.served.assert_lives("odd addresses");
}

#[test]
fn documents_of_another_shape_are_refused_in_clear_words() {
    let world = World::small(3, &[]);
    for document in [
        json!({}),
        json!([]),
        json!("select 1"),
        json!({"query": 7}),
        json!({"query": ["select 1"]}),
        json!({"query": "select 1", "limit": -1}),
        json!({"query": "select 1", "limit": "all"}),
        json!({"query": "select 1", "as_of": {}}),
        json!({"query": "select 1", "params": ["x"]}),
        json!({"query": "select 1", "params": {"x": "1"}}),
        json!({"query": "months", "unknown": true}),
        json!({"query": "x".repeat(70_000)}),
    ] {
        let answer = world.served.post(world.token("analyst"), "/v1/query", &document);
        let shown: String = document.to_string().chars().take(80).collect();
        assert!(matches!(answer.status, 400 | 404 | 413 | 422), "{shown}: {} {}", answer.status, answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{shown}: {}", answer.text());
    }
    for body in ["", "{", "null", "\u{0}", &"[".repeat(100_000)] {
        let request = Request::post("/v1/query", "application/json", body).by(world.token("analyst"));
        let answer = world.served.ask(&request);
        assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    world.served.assert_lives("odd documents");
}
