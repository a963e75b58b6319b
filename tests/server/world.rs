//! A store that a server serves, with a token of every role, and the evidence of another tenant beside it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::review::world as review;
use crate::support::command::{Ran, run, run_with};
use crate::support::event;
use crate::support::server::{Served, token};

/// Stands in every sealed column of the default tenant, and nowhere else.
pub const MARK: &str = "zq7-sealed-zq7";
/// Stands in the evidence of the other tenant, and nowhere else.
pub const THEIRS: &str = "kx4-theirs-kx4";
/// Every role, and the person that has it.
pub const PEOPLE: [(&str, &str); 6] = [
    ("ingest", "ingo"),
    ("analyst", "ada"),
    ("reviewer", "rita"),
    ("responder", "olga"),
    ("auditor", "audrey"),
    ("admin", "adam"),
];

/// A store in a folder of its own, and the server over it.
pub struct World {
    /// The server; it ends before its folder goes.
    pub served: Served,
    folder: Folder,
    tokens: BTreeMap<&'static str, String>,
    /// An incident, where there is one.
    pub incident: String,
    /// A review that was drawn, where there is one.
    pub review: String,
}

/// Where a store lies.
enum Folder {
    Plain(TempDir),
    Review(review::World),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Plain(folder) => folder.path(),
            Self::Review(world) => world.dir(),
        }
    }
}

/// An execution with [`MARK`] in every sealed column.
pub fn marked() -> String {
    let mut marked: Value = serde_json::from_str(&event("-marked", 700)).unwrap();
    for column in ["old_value", "new_value", "error", "comment", "unknown"] {
        marked[column] = json!(format!("{MARK} {column}"));
    }
    marked["batch_id"] = json!("b-1");
    marked.to_string()
}

impl World {
    /// `events` events of `support::event` beside the marked one; started with these arguments.
    pub fn small(events: i64, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["init"]).ended(0);
        let lines: Vec<String> = (0..events).map(|i| event(&i.to_string(), i)).chain([marked()]).collect();
        run_with(folder.path(), &["ingest", "-"], lines.join("\n").as_bytes()).ended(0);
        Self::over(Folder::Plain(folder), more)
    }

    /// A store without an event.
    pub fn empty(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["init"]).ended(0);
        Self::over(Folder::Plain(folder), more)
    }

    /// An incident whose scope is known and a review that was drawn, with [`MARK`] in their values.
    pub fn full() -> Self {
        let history = review::history().replace("\"wrong\"", &format!("\"wrong {MARK}\""));
        let history = history.replace("\"good ", &format!("\"good {MARK} "));
        let world = review::World::of(&format!("{history}\n{}", marked()));
        let (review, _) = world.ready(&[]);
        let incident = world.incident.clone();
        let other = event("theirs", 3).replace("\"owner\"", &format!("\"{THEIRS}\""));
        run_with(world.dir(), &["ingest", "-", "--tenant", "other"], other.as_bytes()).ended(0);
        Self { incident, review, ..Self::over(Folder::Review(world), &[]) }
    }

    /// A review that was drawn, with known errors among the items that rita marks.
    pub fn planted() -> Self {
        let world = review::World::new();
        let (review, _) = world.ready(&["--planted-where", "rule_version = 'r6'", "--below", "20%"]);
        let incident = world.incident.clone();
        Self { incident, review, ..Self::over(Folder::Review(world), &[]) }
    }

    /// A review that was planned and not drawn.
    pub fn planned() -> Self {
        let world = review::World::new();
        let (review, incident) = (world.planned(&[]), world.incident.clone());
        Self { incident, review, ..Self::over(Folder::Review(world), &[]) }
    }

    fn over(folder: Folder, more: &[&str]) -> Self {
        let dir = folder.path();
        let tokens = PEOPLE.map(|(role, name)| (role, token(dir, role, name, &[]))).into();
        let served = Served::start(dir, more);
        Self { served, folder, tokens, incident: String::new(), review: String::new() }
    }

    /// Where the store is.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The token of a role.
    pub fn token(&self, role: &str) -> &str {
        &self.tokens[role]
    }

    /// Runs the program beside the server.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.dir(), args)
    }

    /// The same store, served anew after `end` ended the server.
    pub fn again(self, end: impl FnOnce(Served)) -> Self {
        let Self { served, folder, tokens, incident, review } = self;
        end(served);
        let served = Served::start(folder.path(), &[]);
        Self { served, folder, tokens, incident, review }
    }

    /// The rows of a query by the command, which leaves no trace of its own.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let answer = self.run(&["query", sql, "--json"]).ended(0).json();
        serde_json::from_value(answer["rows"].clone()).unwrap()
    }
}
