//! A workflow that went wrong, was paused and was changed: what there is before a review can say that it runs again.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command::{Ran, run, run_with};

/// Outputs of the new version, in the shadow: so many of each of four persons, the first five of segment `vip`.
pub const OUTPUTS: usize = 60;
/// Outputs of a version before the incident, all of them known to be wrong.
pub const KNOWN: usize = 20;

/// Who owns the workflow.
pub const POLICY: &str = "version = \"1\"\neffective_from = 2025-01-01T00:00:00Z\n[[owner]]\nworkflow = \"w\"\n\
                      business = \"olga\"\ntechnical = \"tom\"\nreview_days = 30\n";

/// The store with all that happened, in a directory of its own.
pub struct World {
    folder: TempDir,
    /// The incident, which the owner has accepted the residual of.
    pub incident: String,
}

fn line(id: &str, event_type: &str, minute: usize, more: Value) -> String {
    let mut line = json!({
        "event_id": id, "source": "test", "event_type": event_type, "workflow": "w",
        "occurred_at": format!("2026-01-01T{:02}:{:02}:00Z", minute / 60, minute % 60),
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line.to_string()
}

/// A change of an owner proposed by the agent.
fn proposal(action: &str, minute: usize, (version, value): (&str, &str), more: Value) -> String {
    let mut change = json!({
        "action_id": action, "rule_version": version, "actor_kind": "agent", "actor_id": "agent-1", "system": "crm",
        "record_type": "lead", "record_id": format!("r-{action}"), "field": "owner", "operation": "update",
        "old_value": "x", "new_value": value, "reason_code": "stale",
    });
    change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line(&format!("{action}-proposed"), "action.proposed", minute, change)
}

/// Version r6 was always wrong and nobody executed it, r7 was executed and is the incident, r8 is the fix.
pub fn history() -> String {
    let mut lines = Vec::new();
    for i in 0..KNOWN {
        lines.push(proposal(&format!("k{i}"), i, ("r6", &format!("bad {i}")), json!({})));
    }
    for i in 0..3 {
        let action = format!("b{i}");
        lines.push(proposal(&action, 60 + i, ("r7", "wrong"), json!({})));
        let decision = json!({"action_id": action, "decision": "approved", "reviewer": "rick", "actor_kind": "human",
            "actor_id": "rick"});
        lines.push(line(&format!("{action}-decided"), "action.decided", 120 + i, decision));
        let write = proposal(&action, 180 + i, ("r7", "wrong"), json!({"outcome": "succeeded"}));
        lines.push(write.replace("action.proposed", "action.executed").replace("-proposed", "-executed"));
    }
    lines.push(line("pause", "workflow.paused", 360, json!({"actor_kind": "human", "actor_id": "bob"})));
    let fix = json!({"actor_kind": "human", "actor_id": "fred", "field": "rule_version", "old_value": "r7",
        "new_value": "r8"});
    lines.push(line("fix", "config.changed", 420, fix));
    for i in 0..OUTPUTS {
        let more = json!({"environment": "shadow", "segment": if i < 5 { "vip" } else { "rest" }, "currency": "EUR",
            "amount": format!("{}.50", i + 1), "subject_id": format!("p{}", i % 4)});
        lines.push(proposal(&format!("s{i}"), 480 + i, ("r8", &format!("good {i}")), more));
    }
    lines.join("\n")
}

impl World {
    /// A store with a policy and nothing else.
    pub fn empty(policy: &str) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), incident: String::new() };
        world.run(&["init"]).ended(0);
        std::fs::write(world.dir().join("p.toml"), policy).unwrap();
        world.run(&["policy", "apply", "p.toml", "--by", "pat"]).ended(0);
        world
    }

    /// Everything that a review needs.
    pub fn new() -> Self {
        Self::of(&history())
    }

    /// The same after another history.
    pub fn of(history: &str) -> Self {
        let mut world = Self::empty(POLICY);
        run_with(world.dir(), &["ingest", "-"], history.as_bytes()).ended(0);
        world.incident = world.opened(&["--detected", "2026-01-01T05:00:00Z"]);
        let accept = ["incident", "update", &world.incident, "--step", "roll_back", "--note", "accepted"];
        world.run(&[&accept[..], &["--by", "olga"]].concat()).ended(0);
        world
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the program on it.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.dir(), args)
    }

    /// The id of another incident about the bad actions.
    pub fn opened(&self, more: &[&str]) -> String {
        let open = ["incident", "open", "--title", "t", "--where", "rule_version = 'r7'", "--workflow", "w"];
        let opened = self.run(&[&open[..], more, &["--by", "ann", "--json"]].concat()).ended(0).json();
        opened["incident_id"].as_str().unwrap().to_owned()
    }

    /// Plans a review of the fix after the incident; reviewer is rita where nobody else is named.
    pub fn try_plan(&self, more: &[&str]) -> Ran {
        let mut args = vec!["review", "plan", "--incident", &self.incident, "--by", "ann", "--json"];
        for (name, value) in [("--candidate", "rule_version = 'r8'"), ("--below", "10%"), ("--reviewer", "rita")] {
            if !more.contains(&name) {
                args.extend([name, value]);
            }
        }
        self.run(&[&args[..], more].concat())
    }

    /// The id of a planned review.
    pub fn planned(&self, more: &[&str]) -> String {
        id_of(&self.try_plan(more).ended(0).json())
    }

    /// Draws, and gives the items that wait for a mark.
    pub fn drawn(&self, id: &str, more: &[&str]) -> Vec<Value> {
        let draw = ["review", "draw", id, "--limit", "1000", "--by", "ann", "--json"];
        let drawn = self.run(&[&draw[..], more].concat()).ended(0).json();
        let items = drawn["items"].as_array().unwrap().clone();
        assert_eq!(drawn["waiting"], items.len());
        items
    }

    /// A review that is planned and drawn, with the ids of its items in their order.
    pub fn ready(&self, more: &[&str]) -> (String, Vec<String>) {
        let id = self.planned(more);
        let items = self.drawn(&id, &[]);
        (id, items.iter().map(item).collect())
    }

    /// Marks `items` by one sheet.
    pub fn try_mark(&self, id: &str, by: &str, items: &[String], word: &str) -> Ran {
        let sheet: String = items.iter().map(|item| format!("{item},{word}\n")).collect();
        let args = ["review", "mark", id, "--file", "-", "--by", by, "--json"];
        run_with(self.dir(), &args, format!("item,mark\n{sheet}").as_bytes())
    }

    /// Marks `items` by one sheet.
    pub fn mark(&self, id: &str, by: &str, items: &[String], word: &str) {
        let marked = self.try_mark(id, by, items, word).ended(0).json();
        assert_eq!(marked["marks"], items.len());
    }

    /// Where the review stands; the program ends with `code`.
    pub fn status(&self, id: &str, code: i32) -> Value {
        self.run(&["review", "status", id, "--json"]).ended(code).json()
    }

    /// Signs where it stands; the program ends with `code`.
    pub fn decided(&self, id: &str, by: &str, code: i32) -> Value {
        self.run(&["review", "decide", id, "--by", by, "--json"]).ended(code).json()
    }

    /// Computes it again; the program ends with `code`. The outcomes by the names of the checks.
    pub fn verified(&self, id: &str, code: i32) -> BTreeMap<String, String> {
        outcomes(&self.run(&["review", "verify", id, "--json"]).ended(code).json())
    }

    /// The rows that a query gives.
    pub fn rows(&self, sql: &str, more: &[&str]) -> Vec<Value> {
        let ran = self.run(&[&["query", sql, "--format", "ndjson"][..], more].concat()).ended(0);
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The id that a document names.
pub fn id_of(document: &Value) -> String {
    document["review_id"].as_str().unwrap().to_owned()
}

/// The id of an item.
pub fn item(item: &Value) -> String {
    item["item"].as_str().unwrap().to_owned()
}

/// The outcomes of checks by their names.
pub fn outcomes(document: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap();
    let outcomes = checks.iter().map(|check| (text(&check["check"]), text(&check["outcome"]))).collect();
    let is_ok = checks.iter().all(|check| check["outcome"] != "failed");
    assert_eq!(document["is_ok"], is_ok, "{document}");
    outcomes
}

/// The names of the checks that ended with `outcome`.
pub fn named<'a>(outcomes: &'a BTreeMap<String, String>, outcome: &str) -> Vec<&'a str> {
    outcomes.iter().filter(|(_, is)| *is == outcome).map(|(name, _)| name.as_str()).collect()
}
