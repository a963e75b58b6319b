//! Every route with every role and with none: what is answered is what the table of roles says, and nothing else.

use std::collections::BTreeSet;

use probity::access::May;
use probity::server::route::{Kind, Route};
use serde_json::{Value, json};

use super::world::{MARK, PEOPLE, THEIRS, World};
use crate::support::http::{Answer, Request};
use crate::support::server::{Session, parts, token, wait_for};

/// What each role may; written here a second time, so that a slip in the program's table is seen.
const MAY: [(&str, &[May]); 6] = [
    ("ingest", &[May::Write]),
    ("analyst", &[May::Read]),
    ("reviewer", &[May::Read, May::Mark]),
    ("responder", &[May::Read, May::Respond]),
    ("auditor", &[May::Read, May::Export]),
    ("admin", &[May::Write, May::Read, May::Mark, May::Respond, May::Export, May::Administer]),
];
/// What is open to everybody, and holds no evidence.
const OPEN: [&str; 6] = ["/healthz", "/readyz", "/login", "/logout", "/assets/", "/openapi.json"];
/// Questions of readers that need a body.
const POSTS_OF_READERS: [&str; 4] =
    ["/v1/query", "/v1/incidents/scope", "/v1/incidents/guardrail", "/v1/incidents/reconcile"];

/// What the plan of a review says who may do it.
const PERSONAL: [&str; 4] = ["/decide", "/items", "/marks", "/desk"];

/// The path of a route with its parameters filled in so that something is there.
pub fn target(world: &World, path: &str) -> String {
    let id = match path {
        _ if path.contains("/records/") => "r-marked",
        _ if path.contains("/actions/") => "b0",
        _ if path.contains("/incidents/") => world.incident.as_str(),
        _ if path.contains("/reviews/") => world.review.as_str(),
        _ => "b-1",
    };
    let item = "0".repeat(64);
    let values = [
        ("seq", "0"),
        ("system", "crm"),
        ("type", "lead"),
        ("month", "2026-01"),
        ("name", "months"),
        ("level", "0"),
        ("index", "000.p/1"),
        ("item", item.as_str()),
        ("format", "csv"),
        ("id", id),
    ];
    let mut target = path.to_owned();
    for (name, value) in values {
        target = target.replace(&format!("{{{name}}}"), value).replace(&format!("{{*{name}}}"), value);
    }
    assert!(!target.contains('{'), "the test knows no value for a parameter of {path}");
    // A page with a question in its address; without one it shows the form alone.
    let question = match path {
        "/find" => "?q=r-marked",
        "/query/{name}" => "?as_of=",
        "/sql" | "/sql/{format}" => "?q=select%20max(seq)%20from%20events",
        _ => "",
    };
    target + question
}

/// Asks until work in the background is done.
pub fn finished(world: &World, request: &Request) -> Answer {
    wait_for(&request.line(), || {
        let answer = world.served.ask(request);
        let is_working = answer.status == 202 || answer.text().contains("http-equiv=\"refresh\"");
        (!is_working).then_some(answer)
    })
}

/// A request to a route: of a document without anything in it, or of an empty form.
pub fn request(world: &World, route: &Route) -> Request {
    let target = target(world, route.path);
    match (route.method.as_str(), route.kind) {
        ("GET", _) => Request::get(&target),
        ("POST", Kind::Api) if route.path.ends_with("/events") => Request::post(&target, "application/x-ndjson", ""),
        ("POST", Kind::Api) => Request::json(&target, &json!({})),
        ("POST", Kind::Page) => Request::form(&target, &[]),
        (other, _) => panic!("the test sends no {other}"),
    }
}

/// What signs a person in: a header for programs, the session of a browser for pages. Who has no pages has no session.
struct Key {
    role: &'static str,
    token: String,
    session: Option<Session>,
}

impl Key {
    fn ask(&self, world: &World, route: &Route) -> Answer {
        let target = target(world, route.path);
        let request = match (&self.session, route.kind, route.method.as_str()) {
            (Some(session), Kind::Page, "GET") => session.get(&target),
            (Some(session), Kind::Page, _) => session.form(&world.served, &target, &[]),
            _ => request(world, route).by(&self.token),
        };
        world.served.ask(&request)
    }
}

fn keys(world: &World) -> Vec<Key> {
    let key = |(role, _): (&'static str, _)| {
        let token = world.token(role).to_owned();
        let session = (role != "ingest").then(|| Session::open(&world.served, &token));
        Key { role, session, token }
    };
    PEOPLE.into_iter().map(key).collect()
}

/// Whether a person without a key was turned away.
fn is_turned_away(answer: &Answer, kind: Kind) -> bool {
    match answer.status {
        401 => kind == Kind::Page || answer.header("www-authenticate").starts_with("Bearer"),
        302 | 303 => kind == Kind::Page && answer.header("location").starts_with("/login"),
        _ => false,
    }
}

fn routes() -> Vec<Route> {
    // Last of all, so that the sessions of the test live on.
    let mut routes = probity::server::routes();
    routes.sort_by_key(|route| route.path == "/logout");
    routes
}

#[test]
fn the_routes_that_need_nothing_are_these_and_no_reader_writes() {
    for route in routes() {
        let is_open =
            OPEN.iter().any(|open| route.path == *open || open.ends_with('/') && route.path.starts_with(open));
        assert!(route.needs.is_some() || is_open, "{} is open to everybody", route.path);
        let is_write = route.method.as_str() == "POST" && route.needs == Some(May::Read);
        assert!(!is_write || POSTS_OF_READERS.contains(&route.path), "{} is a write of readers", route.path);
    }
    let expected: BTreeSet<_> = [
        "/v1/events",
        "/v1/traces",
        "/v1/events/{seq}",
        "/v1/records/{system}/{type}/{id}",
        "/v1/actions/{id}",
        "/v1/queries",
        "/v1/query",
        "/v1/reports",
        "/v1/reports/monthly/{month}",
        "/v1/incidents",
        "/v1/incidents/{id}/scope",
        "/v1/reviews",
        "/v1/reviews/{id}/marks",
        "/v1/packs",
        "/v1/checkpoint",
        "/metrics",
        "/",
        "/incidents",
        "/incidents/{id}",
        "/reviews",
        "/reviews/{id}",
        "/reviews/{id}/desk",
        "/records/{system}/{type}/{id}",
        "/actions/{id}",
        "/query",
        "/query/{name}",
        "/sql",
        "/health",
        "/monthly/{month}",
    ]
    .into();
    let found: BTreeSet<_> = routes().iter().map(|route| route.path).collect();
    assert!(expected.is_subset(&found), "{:?} are missing", expected.difference(&found));
}

#[test]
fn every_route_answers_every_role_as_the_table_says() {
    let world = World::full();
    let keys = keys(&world);
    for route in routes() {
        let Some(needs) = route.needs else { continue };
        for key in &keys {
            let role = key.role;
            let answer = key.ask(&world, &route);
            let place = format!("{role} {} {}", route.method, route.path);
            let may = MAY.iter().find(|(name, _)| *name == role).unwrap().1.contains(&needs);
            if may {
                assert!(answer.status < 500 && answer.status != 401, "{place}: {} {}", answer.status, answer.text());
                // Who may decide or mark in general may still not be the owner or a reviewer of this one.
                let is_others = PERSONAL.iter().any(|end| route.path.ends_with(end)) && role == "admin";
                assert!(answer.status != 403 || is_others, "{place}: {}", answer.text());
            } else {
                assert_eq!(answer.status, 403, "{place}: {}", answer.text());
            }
        }
    }
    world.served.assert_lives("every route");
}

#[test]
fn nobody_is_let_in_without_a_token_that_holds() {
    let world = World::full();
    let revoked = token(world.dir(), "admin", "revoked", &[]);
    let expired = token(world.dir(), "admin", "expired", &["--expires-days", "1"]);
    let grant = format!("probity-data/tenants/default/access/{}.json", parts(&expired).0);
    let kept = std::fs::read_to_string(world.dir().join(&grant)).unwrap();
    let end = serde_json::from_str::<Value>(&kept).unwrap()["expires_at"].as_str().unwrap().to_owned();
    std::fs::write(world.dir().join(grant), kept.replace(&end, "2020-01-01T00:00:00.000000Z")).unwrap();
    let (id, _) = parts(&revoked);
    world.served.get(&revoked, "/v1/queries").is(200);
    world.run(&["token", "revoke", id, "--by", "adam"]).ended(0);
    wait_for("the end of a token", || (world.served.get(&revoked, "/v1/queries").status == 401).then_some(()));
    let right = world.token("admin").to_owned();
    let (_, secret) = parts(&right);
    let other_secret = right.replace(secret, &secret.chars().rev().collect::<String>());
    let elsewhere = right.replacen("_default_", "_other_", 1);
    let nowhere = right.replacen("_default_", "_nothing_", 1);
    let upwards = right.replacen("_default_", "_../default_", 1);
    for route in routes().into_iter().filter(|route| route.needs.is_some()) {
        let plain = world.served.ask(&request(&world, &route));
        assert!(is_turned_away(&plain, route.kind), "nobody {} {}: {}", route.method, route.path, plain.status);
        let cookie =
            world.served.ask(&request(&world, &route).with("cookie", "session=x; probity=x; probity_session=x"));
        assert!(is_turned_away(&cookie, route.kind), "{} {}: {}", route.method, route.path, cookie.status);
        for (why, token) in [
            ("revoked", revoked.as_str()),
            ("expired", expired.as_str()),
            ("another secret", &other_secret),
            ("a shorter secret", &right[..right.len() - 1]),
            ("no secret", right.trim_end_matches(secret)),
            ("another tenant's name", &elsewhere),
            ("a tenant that is not there", &nowhere),
            ("a path", &upwards),
            ("nothing", ""),
        ] {
            let answer = world.served.ask(&request(&world, &route).by(token));
            let place = format!("{why} {} {}: {}", route.method, route.path, answer.status);
            assert!(is_turned_away(&answer, route.kind), "{place}");
            for word in [MARK, THEIRS, secret] {
                assert!(!answer.text().contains(word), "{place} tells {word}");
            }
        }
    }
    for scheme in ["Basic YTpi", "bearer", "Bearer", "Token x"] {
        let answer = world.served.ask(&Request::get("/v1/queries").with("authorization", scheme));
        assert_eq!(answer.status, 401, "{scheme}");
    }
}

#[test]
fn another_tenant_sees_nothing_of_this_one() {
    let world = World::full();
    let theirs = token(world.dir(), "admin", "eve", &["--tenant", "other"]);
    let eve = Key { role: "admin", session: Some(Session::open(&world.served, &theirs)), token: theirs };
    for route in routes() {
        let answer = eve.ask(&world, &route);
        assert!(answer.status < 500, "{} {}: {}", route.method, route.path, answer.text());
        for ours in [MARK, "rule_version = 'r7'", "agent-1", "olga"] {
            assert!(!answer.text().contains(ours), "{} {} tells {ours}", route.method, route.path);
        }
    }
    let own =
        world.served.rows(&eve.token, "select distinct old_value, field, record_id from events where seq < 1000000");
    assert!(format!("{own:?}").contains(THEIRS), "they do not see their own: {own:?}");
    for sql in ["select * from \"default\".events", "select * from \"tenants/default/events\""] {
        let answer = world.served.post(&eve.token, "/v1/query", &json!({"query": sql}));
        assert_eq!(answer.status, 400, "{sql}: {}", answer.text());
    }
    // Nor does a parameter, a header or a name lead there.
    for request in [
        Request::get("/v1/query/months?tenant=default").by(&eve.token),
        Request::get("/v1/records/crm/lead/r-marked").by(&eve.token).with("x-tenant", "default"),
        Request::get("/v1/records/..%2F..%2Fdefault/lead/r-marked").by(&eve.token),
    ] {
        let answer = world.served.ask(&request);
        assert!(answer.status < 500 && !answer.text().contains(MARK), "{}: {}", request.line(), answer.text());
    }
    let rows = world.served.rows(world.token("admin"), "select count(*) from events where record_id = 'rtheirs'");
    assert_eq!(rows[0][0], 0, "their events are among ours");
}
