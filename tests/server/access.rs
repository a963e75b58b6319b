//! Access: who is let in, by what, from where, and what is left of it.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;

use probity::server::route::{Kind, Route};
use serde_json::{Value, json};

use super::matrix::{finished, target};
use super::world::World;
use crate::support::command::run;
use crate::support::event;
use crate::support::http::Request;
use crate::support::server::{Served, Session, csrf_of, origin, parts, refused_to_serve, token, wait_for};

/// A store without a token, so that whoever is on this machine is let in.
fn local(events: i64) -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]).ended(0);
    let served = Served::start(folder.path(), &[]);
    for i in 0..events {
        let posted = Request::post("/v1/events", "application/x-ndjson", event(&i.to_string(), i));
        served.ask(&posted).is(200);
    }
    (folder, served)
}

#[test]
fn forms_of_another_session_or_another_site_are_refused() {
    let world = World::full();
    let session = Session::open(&world.served, world.token("admin"));
    assert!(session.csrf.len() >= 20, "no form of the pages has a token: {:?}", session.csrf);
    let before = world.rows("select count(*) from events where event_type <> 'evidence.queried'");
    let is_form =
        |route: &&Route| route.kind == Kind::Page && route.method.as_str() == "POST" && route.path != "/login";
    let forms: Vec<String> =
        probity::server::routes().iter().filter(is_form).map(|route| target(&world, route.path)).collect();
    assert!(forms.len() >= 5, "{forms:?}");
    let right = session.csrf.clone();
    let wrong: String = right.chars().rev().collect();
    for form in &forms {
        let post = |fields: &[(&str, &str)]| session.with_cookie(Request::form(form, fields));
        let own = |request: Request| request.with("origin", &origin(&world.served));
        for (why, request) in [
            ("without a token", own(post(&[("title", "x")]))),
            ("with a wrong token", own(post(&[("csrf", wrong.as_str())]))),
            ("with an empty token", own(post(&[("csrf", "")]))),
            ("from another site", post(&[("csrf", right.as_str())]).with("origin", "https://evil.example")),
            ("from no site", post(&[("csrf", right.as_str())]).with("origin", "null")),
            ("across sites", post(&[("csrf", right.as_str())]).with("sec-fetch-site", "cross-site")),
        ] {
            let answer = world.served.ask(&request);
            assert_eq!(answer.status, 403, "{form} {why}: {}", answer.text());
        }
    }
    // With a cookie the API wants the token in a header, which no page of another site can set.
    let question = session.with_cookie(Request::json("/v1/query", &json!({"query": "select 1"})));
    world.served.ask(&question).is(403);
    world.served.ask(&question.clone().with("x-probity-csrf", &wrong)).is(403);
    world.served.ask(&question.clone().with("x-probity-csrf", &right).with("origin", "https://evil.example")).is(403);
    world.served.ask(&question.with("x-probity-csrf", &right)).is(200);
    let after = world.rows("select count(*) from events where event_type <> 'evidence.queried'");
    assert_eq!(before, after, "something was changed");
    let other = Session::open(&world.served, world.token("responder"));
    assert_ne!(other.csrf, right);
}

#[test]
fn a_session_ends_with_log_out_and_with_its_token() {
    let world = World::small(1, &[]);
    let session = Session::open(&world.served, world.token("analyst"));
    world.served.ask(&session.get("/")).is(200);
    let out = world.served.ask(&session.form(&world.served, "/logout", &[]));
    assert!(matches!(out.status, 302 | 303), "{}", out.status);
    assert_ne!(world.served.ask(&session.get("/")).status, 200);
    let session = Session::open(&world.served, world.token("analyst"));
    let list = world.run(&["token", "list", "--json"]).ended(0).json();
    let grants = list["tokens"].as_array().unwrap();
    let id = grants.iter().find(|grant| grant["name"] == "ada").unwrap()["id"].as_str().unwrap().to_owned();
    world.run(&["token", "revoke", &id, "--by", "adam"]).ended(0);
    wait_for("the end of a session whose token was revoked", || {
        (world.served.ask(&session.get("/")).status != 200).then_some(())
    });
    world.served.get(world.token("analyst"), "/v1/queries").is(401);
    world.served.get(world.token("admin"), "/v1/queries").is(200);
    let stated = world.rows(
        "select actor_id, old_value, new_value from events where event_type = 'config.changed' and field = \
         'access_token' order by seq",
    );
    assert_eq!(stated.len(), 7, "{stated:?}");
    assert_eq!((&stated[6][0], &stated[6][2]), (&json!("adam"), &json!("")));
    assert!(stated[6][1].as_str().unwrap().contains(&id), "{stated:?}");
}

#[test]
fn the_secret_of_a_token_stands_nowhere() {
    let world = World::small(1, &[]);
    for (role, _) in super::world::PEOPLE {
        world.served.ask(&Request::form("/login", &[("token", world.token(role))]));
        world.served.get(world.token(role), "/v1/events/0");
    }
    let secrets: Vec<&str> = super::world::PEOPLE.iter().map(|(role, _)| parts(world.token(role)).1).collect();
    assert!(secrets.iter().all(|secret| secret.len() >= 20), "{secrets:?}");
    let mut seen = 0;
    everything(world.dir(), &mut |path, bytes| {
        seen += 1;
        for secret in &secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "a secret stands in {}", path.display());
        }
    });
    assert!(seen > 5);
}

fn everything(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            everything(&path, look);
        } else if let Ok(bytes) = std::fs::read(&path) {
            // What a fold has just taken away holds nothing any more.
            look(&path, &bytes);
        }
    }
}

#[test]
fn without_a_token_this_machine_is_let_in_and_nobody_from_elsewhere() {
    let (folder, served) = local(3);
    let page = served.ask(&Request::get("/")).is(200).text();
    assert!(page.contains("token create"), "no banner says how to close it: {page}");
    served.ask(&Request::get("/v1/records/crm/lead/r1")).is(200);
    let port = served.address.rsplit(':').next().unwrap();
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("LOCALHOST:{port}")] {
        served.ask(&Request::get("/v1/queries").with("host", &host)).is(200);
    }
    // A name that an attacker made to lead here.
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")] {
        let answer = served.ask(&Request::get("/v1/queries").with("host", &host));
        assert!((400..500).contains(&answer.status), "{host}: {}", answer.status);
        assert!(!answer.text().contains("routing_exception_rate"));
    }
    let open = Request::json("/v1/query", &json!({"query": "select 1"}));
    for (name, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = served.ask(&open.clone().with(name, value));
        assert_eq!(answer.status, 403, "{name} {value}: {}", answer.text());
    }
    served.ask(&open.with("origin", &origin(&served))).is(200);
    // Whoever is behind a proxy may be anywhere.
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
        served.ask(&Request::get("/v1/queries").with(name, "10.0.0.7")).is(403);
    }
    // What a page of another site has a browser ask would be on record as asked by the person here.
    let foreign = |target: &str, mode: &str, dest: &str| {
        let request = Request::get(target).with("sec-fetch-site", "cross-site");
        served.ask(&request.with("sec-fetch-mode", mode).with("sec-fetch-dest", dest)).status
    };
    assert_eq!(foreign("/sql?q=select%201", "navigate", "document"), 403);
    assert_eq!(foreign("/v1/records/crm/lead/r1", "no-cors", "image"), 403);
    assert_eq!(foreign("/records/crm/lead/r1", "navigate", "iframe"), 403);
    assert_eq!(foreign("/records/crm/lead/r1", "navigate", "document"), 200);
    // The first token closes it.
    let admin = token(folder.path(), "admin", "adam", &[]);
    wait_for("the end of the local mode", || (served.ask(&Request::get("/v1/queries")).status == 401).then_some(()));
    served.get(&admin, "/v1/queries").is(200);
}

#[test]
fn beyond_this_machine_it_starts_with_tls_and_a_token_only() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]).ended(0);
    let (certificate, key) = (fixture("server.pem"), fixture("server.key"));
    let tls = ["--tls-cert", certificate.as_str(), "--tls-key", key.as_str()];
    let everywhere = ["--listen", "0.0.0.0:0"];
    let plain = refused_to_serve(folder.path(), &everywhere);
    assert!(plain.contains("--tls-cert"), "{plain}");
    let nobody = refused_to_serve(folder.path(), &[&everywhere[..], &tls].concat());
    assert!(nobody.contains("token create"), "{nobody}");
    token(folder.path(), "admin", "adam", &[]);
    let still_plain = refused_to_serve(folder.path(), &everywhere);
    assert!(still_plain.contains("--tls-cert"), "{still_plain}");
    let half = refused_to_serve(folder.path(), &["--listen", "127.0.0.1:0", "--tls-cert", &certificate]);
    assert!(half.contains("tls-key"), "{half}");
    let torn = refused_to_serve(folder.path(), &["--listen", "127.0.0.1:0", "--tls-cert", &key, "--tls-key", &key]);
    assert!(torn.contains("certificate"), "{torn}");
    assert!(!torn.contains("PRIVATE KEY"), "{torn}");
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_who_trusts_the_certificate_and_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]).ended(0);
    let admin = token(folder.path(), "admin", "adam", &[]);
    let (certificate, key) = (fixture("server.pem"), fixture("server.key"));
    let served = Served::start(folder.path(), &["--tls-cert", &certificate, "--tls-key", &key]);
    assert_eq!(served.scheme, "https");
    // Connections that never say a word must not keep others out.
    let idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&served.address).unwrap()).collect();
    let root = reqwest::Certificate::from_pem(&std::fs::read(fixture("ca.pem")).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let url = |target: &str| format!("https://{}{target}", served.address);
    let health = client.get(url("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let queries = client.get(url("/v1/queries")).bearer_auth(&admin).send().await.unwrap();
    assert_eq!(queries.status(), 200);
    assert_eq!(client.get(url("/v1/queries")).send().await.unwrap().status(), 401);
    let form = client.post(url("/login")).header("content-type", "application/x-www-form-urlencoded");
    let form = form.header("origin", url("")).body(format!("token={admin}"));
    let answer = form.send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(word), "{word}: {cookie}");
    }
    let mut plain = TcpStream::connect(&served.address).unwrap();
    std::io::Write::write_all(&mut plain, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 200"), "it speaks without TLS, too");
    drop(idle);
}

#[test]
fn credentials_that_can_be_read_in_two_ways_admit_nobody() {
    let world = World::small(1, &[]);
    let (analyst, admin) = (world.token("analyst"), world.token("admin"));
    world.served.ask(&Request::get("/v1/queries").by(analyst)).is(200);
    world.served.ask(&Request::get("/v1/queries").by(analyst).by(admin)).is(401);
    world.served.ask(&Request::get("/metrics").by(admin).by(admin)).is(401);
    let session = Session::open(&world.served, admin);
    // A token that admits nobody is not made good by a cookie.
    world.served.ask(&session.get("/v1/queries").by("probity_x")).is(401);
    let (tenant, id) = ("t".repeat(300_000), "0".repeat(32));
    let long = format!("probity_{tenant}_{id}_{}", "A".repeat(43));
    world.served.ask(&Request::get("/v1/queries").by(&long)).is(401);
    let (before, _) = world.served.memory_mib();
    for i in 0..200 {
        let long = format!("probity_{i:03}{tenant}_{id}_{}", "A".repeat(43));
        world.served.ask(&Request::get("/v1/queries").by(&long)).is(401);
    }
    let (after, _) = world.served.memory_mib();
    assert!(after < before + 30, "names of tenants that do not exist are remembered: {before} MiB, then {after} MiB");
}

#[test]
fn who_speaks_http_2_is_not_answered() {
    let world = World::small(1, &[]);
    let mut stream = TcpStream::connect(&world.served.address).unwrap();
    std::io::Write::write_all(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty(), "{said:?}");
    world.served.assert_lives("HTTP/2");
}

#[test]
fn guessing_tokens_is_slowed_down_and_does_not_lock_others_out() {
    let world = World::small(1, &[]);
    let guess = |i: usize| {
        let token = format!("probity_default_{i:032x}_{}", "A".repeat(43));
        world.served.ask(&Request::form("/login", &[("token", &token)]).with("origin", &origin(&world.served)))
    };
    let refused = (0..200).map(guess).find(|answer| answer.status == 429);
    let refused = refused.expect("two hundred guesses were heard");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
    world.served.get(world.token("analyst"), "/v1/queries").is(200);
}

#[test]
fn pages_carry_a_strict_policy_and_no_page_is_kept() {
    let world = World::full();
    // Whoever looked first must not have left his token on a page that is kept.
    let first = Session::open(&world.served, world.token("responder"));
    let session = Session::open(&world.served, world.token("admin"));
    for route in probity::server::routes() {
        let is_plain = route.path.starts_with("/assets") || route.path == "/login";
        if route.kind != Kind::Page || route.method.as_str() != "GET" || is_plain {
            continue;
        }
        let place = target(&world, route.path);
        finished(&world, &first.get(&place));
        let answer = finished(&world, &session.get(&place));
        if !answer.header("content-type").starts_with("text/html") {
            continue;
        }
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "form-action 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{}: {part}: {policy}", route.path);
        }
        assert!(!policy.contains("unsafe"), "{}: {policy}", route.path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{} {name}", route.path);
        }
        assert!(answer.header("cache-control").contains("no-store"), "{}", route.path);
        let page = answer.text();
        for part in [" style=\"", "<style", " onclick=", "javascript:", "<script>"] {
            assert!(!page.contains(part), "{}: {part}", route.path);
        }
        for outside in ["src=\"http", "href=\"http:", "@import"] {
            assert!(!page.contains(outside), "{}: {outside}", route.path);
        }
        let forms = page.matches("<form").count() - page.matches("method=\"get\"").count();
        let tokens = page.matches("name=\"csrf\"").count();
        assert_eq!(forms, tokens, "{}: a form without a token", route.path);
        assert!(forms == 0 || csrf_of(&page) == session.csrf, "{}", route.path);
        assert!(!page.contains(&first.csrf), "{}: the token of another session", route.path);
    }
}

#[test]
fn the_log_tells_of_every_request_and_of_no_record() {
    let world = World::small(2, &[]);
    world.served.ingest(world.token("ingest"), &event("secret-event", 1)).is(200);
    world.served.get(world.token("analyst"), "/v1/records/crm/lead/rsecret-event").is(200);
    world.served.get(world.token("analyst"), "/v1/query/months?period_start=secret-value");
    let sql = json!({"query": "select 'secret-literal' as x"});
    world.served.post(world.token("analyst"), "/v1/query", &sql).is(200);
    world.served.ask(&Request::form("/login", &[("token", "probity_default_secret_secret")]));
    let log = wait_for("the lines of five requests", || {
        let log = world.served.log();
        (log.lines().filter(|line| line.starts_with('{')).count() >= 5).then_some(log)
    });
    assert!(!log.contains("secret"), "{log}");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_record = |line: &&Value| line["route"] == "/v1/records/{system}/{type}/{id}";
    let record = lines.iter().find(is_record).unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&record["method"], &record["status"], &record["caller"]), (&json!("GET"), &json!(200), &json!("ada")));
    assert!(record["ms"].is_number() && record["request"].is_string(), "{record}");
}
