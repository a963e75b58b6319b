//! The real server on a free port of this machine, with tokens made by the real command.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command::{probity, run};
use super::http::{Answer, Connection, Request};

/// Longer than anything takes that a test waits for.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// A server; it is killed where nothing else ended it.
pub struct Served {
    child: Child,
    /// Host and port.
    pub address: String,
    /// `http` or `https`.
    pub scheme: String,
    log: PathBuf,
    // A closed pipe would end whoever writes to it.
    _out: BufReader<ChildStdout>,
}

impl Served {
    /// Starts `probity serve` in `dir` on a port that is free, and waits until it says where it listens.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let log = dir.join("serve.log");
        let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = probity(dir);
        command.args(["serve", "--listen", "127.0.0.1:0", "--json"]).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("it does not say where it listens: {line:?}\n{}", std::fs::read_to_string(&log).unwrap())
        });
        let url = told["url"].as_str().unwrap_or_else(|| panic!("no url: {told}"));
        let (scheme, rest) = url.split_once("://").unwrap();
        let (scheme, address) = (scheme.to_owned(), rest.trim_end_matches('/').to_owned());
        Self { child, address, scheme, log, _out: out }
    }

    /// A connection of one's own.
    pub fn connection(&self) -> Connection {
        Connection::open(&self.address).unwrap_or_else(|e| panic!("{e}; the log ends with:\n{}", self.log_end()))
    }

    /// The answer to `request` on a connection of its own.
    pub fn ask(&self, request: &Request) -> Answer {
        let answer = self.connection().ask(request);
        answer.unwrap_or_else(|e| panic!("{}: {e}; the log ends with:\n{}", request.line(), self.log_end()))
    }

    /// What `GET target` answers to the holder of `token`.
    pub fn get(&self, token: &str, target: &str) -> Answer {
        self.ask(&Request::get(target).by(token))
    }

    /// What `POST target` of a JSON document answers to the holder of `token`.
    pub fn post(&self, token: &str, target: &str, document: &Value) -> Answer {
        self.ask(&Request::json(target, document).by(token))
    }

    /// What `POST /v1/events` of lines answers to the holder of `token`.
    pub fn ingest(&self, token: &str, lines: &str) -> Answer {
        self.ask(&Request::post("/v1/events", "application/x-ndjson", lines).by(token))
    }

    /// The rows that SQL gives to the holder of `token`.
    pub fn rows(&self, token: &str, sql: &str) -> Vec<Value> {
        let answer = self.post(token, "/v1/query", &json!({"query": sql})).is(200).json();
        answer["rows"].as_array().unwrap_or_else(|| panic!("no rows: {answer}")).clone()
    }

    /// It still answers.
    pub fn assert_lives(&self, after: &str) {
        let health = self.ask(&Request::get("/healthz"));
        assert_eq!(health.status, 200, "after {after}: {}", health.text());
    }

    /// All that it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Memory that it holds now, and at most so far, in MiB.
    pub fn memory_mib(&self) -> (u64, u64) {
        memory_mib(self.child.id())
    }

    /// Seconds of processor time that it used so far.
    pub fn processor_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program stands in brackets and may hold spaces; user and system time are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap();
        (ticks(14) + ticks(15)) / 100.0
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        wait_for("the end of the server", || self.child.try_wait().unwrap())
    }

    /// Asks it to end, and waits until it did.
    pub fn stop(self) {
        self.signal("TERM");
        let log = self.log.clone();
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", std::fs::read_to_string(log).unwrap());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory that a process holds now, and at most so far, in MiB; zero where the system does not tell.
pub fn memory_mib(process: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
}

/// What `look` finds in the end; panics when it finds nothing in time.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A token of this role for this person, by `probity token create`.
pub fn token(dir: &Path, role: &str, name: &str, more: &[&str]) -> String {
    let args = [&["token", "create", "--role", role, "--name", name, "--by", "pat", "--json"][..], more].concat();
    let made = run(dir, &args).ended(0).json();
    made["token"].as_str().unwrap_or_else(|| panic!("no token: {made}")).to_owned()
}

/// The id and the secret of a token, both of a fixed length.
pub fn parts(token: &str) -> (&str, &str) {
    let (rest, secret) = token.split_at(token.len() - 43);
    (&rest[rest.len() - 33..rest.len() - 1], secret)
}

/// Runs `probity serve` that must refuse to start; gives what it said.
pub fn refused_to_serve(dir: &Path, args: &[&str]) -> String {
    let log = dir.join("refused.log");
    let mut command = probity(dir);
    command.arg("serve").args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > DEADLINE => {
                let _ = child.kill();
                panic!("it started: {args:?}");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    said
}

/// A page's session: what a browser keeps after the log-in.
pub struct Session {
    cookie: String,
    /// What a form of this session has to say.
    pub csrf: String,
}

impl Session {
    /// Logs in by the form.
    pub fn open(served: &Served, token: &str) -> Self {
        let answer = served.ask(&Request::form("/login", &[("token", token)]).with("origin", &origin(served)));
        assert!(matches!(answer.status, 302 | 303), "{} {}", answer.status, answer.text());
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let session = Self { cookie, csrf: String::new() };
        let page = served.ask(&session.get("/incidents")).text();
        Self { csrf: csrf_of(&page), ..session }
    }

    /// `GET target` as the browser sends it.
    pub fn get(&self, target: &str) -> Request {
        self.with_cookie(Request::get(target))
    }

    /// A form as the browser sends it.
    pub fn form(&self, served: &Served, target: &str, fields: &[(&str, &str)]) -> Request {
        let fields = [fields, &[("csrf", self.csrf.as_str())]].concat();
        self.with_cookie(Request::form(target, &fields)).with("origin", &origin(served))
    }

    /// A request with the cookie, and nothing else.
    pub fn with_cookie(&self, request: Request) -> Request {
        request.with("cookie", &self.cookie)
    }
}

/// The origin of the server's own pages.
pub fn origin(served: &Served) -> String {
    format!("{}://{}", served.scheme, served.address)
}

/// The token of the forms of a page; empty when it has no form.
pub fn csrf_of(page: &str) -> String {
    let field = page.split("<input").find(|field| field.contains("name=\"csrf\""));
    let value = field.and_then(|field| field.split("value=\"").nth(1)?.split('"').next());
    value.unwrap_or_default().to_owned()
}
