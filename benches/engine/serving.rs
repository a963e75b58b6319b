//! The server under load: events in, pages and histories out, over real connections to the real program.
//!
//! What the clients ask and when is fixed beforehand: a request that waits for its turn counts from the moment at which
//! it was due, so that a server that stalls is seen in every request that it kept waiting. Clients and server share the
//! cores. Works: `batches`, `singles`, `flood` write into a store in a temporary folder; `pages` and `readers` ask the
//! store that is named, and leave their reads and events there. Where that store has tokens, `PROBITY_TOKEN` names one
//! of an admin.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use probity::simulate::{Plan, Simulation, write_ndjson};
use serde_json::{Value, json};

use self::http::{Connection, Request, encoded};
use crate::Ask;
use crate::measure::line;
use crate::writing::folder;

#[allow(dead_code)] // the tests use the rest
#[path = "../../tests/support/http.rs"]
mod http;

const NDJSON: &str = "application/x-ndjson";
/// Events of a batch.
const BATCH: usize = 100;
/// Batches a second: 20,000 events.
const BATCHES_PER_SECOND: u64 = 200;
/// Connections that send batches.
const SENDERS: u64 = 8;
/// Requests with one event a second, and the connections that send them.
const SINGLES_PER_SECOND: u64 = 2_000;
const SINGLE_SENDERS: u64 = 64;
/// Readers at a time, and what each asks for.
const READERS: usize = 100;
const LOOKS: usize = 20;
/// Looks at a page that is kept.
const KEPT_LOOKS: usize = 50;

/// Runs the works that are asked for.
pub fn serve(ask: &Ask) {
    for (name, work) in [
        ("batches", batches as fn(&Ask)),
        ("singles", singles),
        ("flood", flood),
        ("pages", pages),
        ("readers", readers),
    ] {
        if ask.wants(name) {
            work(ask);
        }
    }
}

/// The server, and a token where it needs one.
struct Served {
    child: Child,
    address: String,
    token: Option<String>,
}

impl Served {
    /// Serves the store in `path`.
    fn over(path: &Path, token: Option<String>) -> Self {
        let mut command = program(path);
        let args = ["serve", "--listen", "127.0.0.1:0", "--json", "--quiet"];
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server");
        let mut told = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut told).expect("where it listens");
        let told: Value = serde_json::from_str(&told).expect("where it listens");
        let url = told["url"].as_str().expect("a url");
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { child, address, token }
    }

    /// A request as the holder of the token sends it.
    fn by(&self, request: Request) -> Request {
        match &self.token {
            Some(token) => request.by(token),
            None => request,
        }
    }

    fn connection(&self) -> Connection {
        Connection::open(&self.address).expect("a connection")
    }

    /// MiB that it holds now, and at most so far.
    fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
    command.arg("--store").arg(store).env_remove("PROBITY_STORE").stdin(Stdio::null());
    command
}

/// A server over a new store, with the token of a producer.
fn producers(folder: &Path) -> Served {
    let store = folder.join("store");
    let made = program(&store).arg("init").output().expect("a store");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let args = ["token", "create", "--role", "ingest", "--name", "bench", "--json"];
    let told = program(&store).args(args).output().expect("a token").stdout;
    let told: Value = serde_json::from_slice(&told).expect("a token");
    Served::over(&store, Some(told["token"].as_str().expect("a token").to_owned()))
}

/// A simulated log in bodies of so many events.
fn bodies(events: u64, batch: usize) -> Vec<Vec<u8>> {
    let mut simulation = Simulation::new(Plan { events, seed: 5, ..Plan::default() });
    let (mut all, mut body, mut held) = (Vec::new(), Vec::new(), 0);
    while let Some(event) = simulation.next_event() {
        write_ndjson(&event, &mut body);
        held += 1;
        if held == batch {
            all.push(std::mem::take(&mut body));
            held = 0;
        }
    }
    all
}

/// What came of a load.
#[derive(Default)]
struct Told {
    times: Vec<Duration>,
    /// Answers other than 200.
    refused: u64,
    took: Duration,
}

/// Sends every body, the n-th at n / `per_second` seconds, from `senders` connections in turns; without a rate as soon as
/// its connection is free.
fn send(served: &Served, bodies: &[Vec<u8>], senders: u64, per_second: Option<u64>) -> Told {
    let start = Instant::now();
    let refused = AtomicU64::new(0);
    let one = |sender: u64| {
        let mut connection = served.connection();
        let mut times = Vec::new();
        for (place, body) in bodies.iter().enumerate().skip(sender as usize).step_by(senders as usize) {
            let request = served.by(Request::post("/v1/events", NDJSON, body.clone()));
            let due = match per_second {
                Some(rate) => start + Duration::from_nanos(place as u64 * 1_000_000_000 / rate),
                None => Instant::now(),
            };
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = connection.ask(&request).expect("an answer");
            times.push(due.elapsed());
            if answer.status != 200 {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        times
    };
    let one = &one;
    let times = std::thread::scope(|scope| {
        let all: Vec<_> = (0..senders).map(|sender| scope.spawn(move || one(sender))).collect();
        all.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect()
    });
    Told { times, refused: refused.into_inner(), took: start.elapsed() }
}

fn tell(name: &str, told: &Told, batch: usize, served: &Served, more: Value) {
    let events = (told.times.len() as u64 - told.refused) * batch as u64;
    let (now, most) = served.memory();
    let mut all = json!({
        "events": events, "refused_requests": told.refused,
        "events_per_second": (events as f64 / told.took.as_secs_f64()).round(), "server_mib": now, "server_peak_mib": most,
    });
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    line(name, &told.times, all);
}

/// 20,000 events a second in batches of 100.
fn batches(ask: &Ask) {
    let folder = folder(ask);
    let served = producers(folder.path());
    let bodies = bodies(ask.events, BATCH);
    let told = send(&served, &bodies, SENDERS, Some(BATCHES_PER_SECOND));
    tell("serve_batches", &told, BATCH, &served, json!({"batch": BATCH, "connections": SENDERS}));
}

/// 2,000 requests a second with one event each from 64 connections.
fn singles(ask: &Ask) {
    let folder = folder(ask);
    let served = producers(folder.path());
    let bodies = bodies(ask.events.min(60_000), 1);
    let told = send(&served, &bodies, SINGLE_SENDERS, Some(SINGLES_PER_SECOND));
    tell("serve_singles", &told, 1, &served, json!({"connections": SINGLE_SENDERS}));
}

/// As many batches as it takes.
fn flood(ask: &Ask) {
    let folder = folder(ask);
    let served = producers(folder.path());
    let bodies = bodies(ask.events, BATCH);
    let told = send(&served, &bodies, 2 * SENDERS, None);
    tell("serve_flood", &told, BATCH, &served, json!({"batch": BATCH, "connections": 2 * SENDERS}));
}

/// A server over the store that is named.
fn named(ask: &Ask) -> Served {
    Served::over(&ask.store, std::env::var("PROBITY_TOKEN").ok())
}

/// Asks until work in the background is done; gives the body's length.
fn look(served: &Served, connection: &mut Connection, target: &str) -> usize {
    let request = served.by(Request::get(target));
    loop {
        let answer = connection.ask(&request).expect("a page");
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        if !answer.text().contains("http-equiv=\"refresh\"") {
            return answer.body.len();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Records and actions spread over the log.
fn keys(served: &Served) -> Vec<String> {
    let sql = "select system, record_type, record_id, action_id from events where action_id is not null and record_id is \
               not null and seq % 9973 = 17 order by seq limit 200";
    let request = served.by(Request::json("/v1/query", &json!({"query": sql})));
    let answer = served.connection().ask(&request).expect("keys");
    let rows: Vec<Vec<String>> = serde_json::from_value(answer.json()["rows"].clone()).expect("keys");
    let targets = |row: Vec<String>| {
        let [system, kind, id, action] = [0, 1, 2, 3].map(|part| encoded(&row[part]));
        [format!("/records/{system}/{kind}/{id}"), format!("/actions/{action}")]
    };
    rows.into_iter().flat_map(targets).collect()
}

/// Each page the first time, and again while nothing but reads happens.
fn pages(ask: &Ask) {
    let served = named(ask);
    let mut connection = served.connection();
    let monthly = format!("/monthly/{}", &ask.period.0[..7]);
    let keys = keys(&served);
    let mut targets = vec!["/", "/health", "/query", "/incidents", "/reviews", monthly.as_str()];
    targets.extend(keys.iter().take(2).map(String::as_str));
    for target in targets {
        let start = Instant::now();
        let bytes = look(&served, &mut connection, target);
        let first = start.elapsed();
        let again: Vec<Duration> = (0..KEPT_LOOKS)
            .map(|_| {
                let start = Instant::now();
                look(&served, &mut connection, target);
                start.elapsed()
            })
            .collect();
        let (now, most) = served.memory();
        let uncached = (first.as_secs_f64() * 1e6).round() / 1e3;
        line(
            "serve_page",
            &again,
            json!({"page": target, "uncached_ms": uncached, "bytes": bytes, "server_mib": now, "server_peak_mib": most}),
        );
    }
}

/// 100 readers of pages, histories and dossiers while 2,000 events a second come in.
fn readers(ask: &Ask) {
    let served = named(ask);
    let keys = keys(&served);
    assert!(!keys.is_empty(), "the store holds no action; name one with --store");
    let pages = ["/", "/health", "/incidents", "/reviews", "/query"];
    let (is_over, errors, written) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    // Ids of their own: the store may hold those of the simulation already.
    let mark = std::process::id();
    let write = || {
        let mut connection = served.connection();
        let start = Instant::now();
        for batch in 0u32.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let due = start + Duration::from_millis(50) * batch;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = served.by(Request::post("/v1/events", NDJSON, fresh(mark, batch)));
            match connection.ask(&request) {
                Ok(answer) if answer.status == 200 => written.fetch_add(BATCH as u64, Ordering::Relaxed),
                _ => errors.fetch_add(1, Ordering::Relaxed),
            };
        }
    };
    let read = |reader: usize| {
        let mut connection = served.connection();
        let mut times = Vec::new();
        for look in 0..LOOKS {
            let turn = reader * LOOKS + look;
            let target =
                if turn.is_multiple_of(5) { pages[turn / 5 % pages.len()] } else { keys[turn % keys.len()].as_str() };
            let start = Instant::now();
            match connection.ask(&served.by(Request::get(target))) {
                Ok(answer) if answer.status == 200 => times.push(start.elapsed()),
                outcome => {
                    eprintln!("{target}: {:?}", outcome.map(|answer| (answer.status, answer.text())));
                    errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        times
    };
    let start = Instant::now();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let writer = scope.spawn(write);
        let read = &read;
        let all: Vec<_> = (0..READERS).map(|reader| scope.spawn(move || read(reader))).collect();
        let times = all.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect();
        is_over.store(true, Ordering::Relaxed);
        writer.join().expect("the writer");
        times
    });
    let (now, most) = served.memory();
    let per_second = |count: usize| (count as f64 / start.elapsed().as_secs_f64()).round();
    line(
        "serve_readers",
        &times,
        json!({
            "readers": READERS, "errors": errors.into_inner(), "looks_per_second": per_second(times.len()),
            "events_per_second": per_second(written.into_inner() as usize), "server_mib": now, "server_peak_mib": most,
        }),
    );
}

/// A batch of events with ids that nobody else has.
fn fresh(mark: u32, batch: u32) -> String {
    let now = probity::clock::rfc3339(probity::clock::Clock::system().now());
    let one = |i: usize| {
        json!({
            "event_id": format!("{mark}-{batch}-{i}"), "source": "bench", "event_type": "record.reviewed",
            "occurred_at": now, "workflow": "bench", "system": "crm", "record_type": "lead", "record_id": format!("b-{i}"),
        })
        .to_string()
    };
    (0..BATCH).map(one).collect::<Vec<String>>().join("\n")
}
