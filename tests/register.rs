//! The register of incidents: what persons state and what the log shows come together in one account.
//!
//! Here it is that steps are read off the log and never off a word that the log contradicts, that a closed incident
//! stays closed, and that the report says what the account says.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::command::{run, run_with};
use crate::support::event;

const OPEN: [&str; 15] = [
    "incident",
    "open",
    "--title",
    "Owners <lost>",
    "--where",
    "action_id in ('a1', 'a2')",
    "--workflow",
    "w",
    "--detected",
    "2026-01-01T01:00:00Z",
    "--aware",
    "2026-01-01T02:00:00Z",
    "--by",
    "ann",
    "--json",
];

fn store(dir: &Path) {
    let lines = [event("1", 0), event("2", 1), event("3", 2)].join("\n");
    run_with(dir, &["ingest", "-"], lines.as_bytes()).ended(0);
}

fn opened(dir: &Path, more: &[&str]) -> Value {
    run(dir, &[&OPEN[..], more].concat()).ended(0).json()
}

fn id_of(opened: &Value) -> String {
    opened["incident_id"].as_str().unwrap().to_owned()
}

fn show(dir: &Path, id: &str) -> Value {
    run(dir, &["incident", "show", id, "--json"]).ended(0).json()
}

fn step(account: &Value, name: &str) -> Value {
    let steps = account["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {account}")).clone()
}

fn clock(account: &Value, name: &str) -> Value {
    let clocks = account["clocks"].as_array().unwrap();
    clocks.iter().find(|clock| clock["clock"] == name).unwrap_or_else(|| panic!("no {name}: {account}"))["hours"]
        .clone()
}

fn signal(id: &str, event_type: &str, hour: u32) -> String {
    format!(
        r#"{{"event_id":"{id}","source":"test","event_type":"{event_type}","occurred_at":"2026-01-01T{hour:02}:00:00Z","workflow":"w","actor_kind":"human","actor_id":"bob"}}"#
    )
}

/// The roll-back of the write `id`, `minute` minutes after the start of 2026.
fn undone(id: &str, minute: i64) -> String {
    event(id, minute)
        .replace(&format!("\"event_id\":\"{id}\""), &format!("\"event_id\":\"undo-{id}\""))
        .replace("action.executed", "action.rolled_back")
        .replace(&format!("\"new_value\":\"{id}\""), "\"new_value\":\"x\"")
        .replace("\"old_value\":\"x\"", &format!("\"old_value\":\"{id}\""))
}

#[test]
fn an_incident_runs_from_its_opening_to_its_closing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let first = opened(dir, &["--class", "personal_data", "--severity", "high", "--owner", "revops"]);
    assert_eq!((&first["scope"]["records"], &first["scope"]["states"]["still_wrong"]), (&2.into(), &2.into()));
    let id = id_of(&first);
    let account = show(dir, &id);
    assert_eq!(
        (&account["state"], &account["severity"], &account["owner"]),
        (&"open".into(), &"high".into(), &"revops".into())
    );
    assert_eq!((&step(&account, "pause")["state"], &account["is_paused"]), (&"open".into(), &Value::Null));
    assert_eq!(step(&account, "identify_records")["by"], "ann");
    assert_eq!((clock(&account, "detect"), clock(&account, "contain")), (json!(1.0), Value::Null));

    run_with(dir, &["ingest", "-"], signal("p", "workflow.paused", 3).as_bytes()).ended(0);
    let account = show(dir, &id);
    assert_eq!((&step(&account, "pause")["by"], &step(&account, "pause")["is_stated"]), (&"bob".into(), &false.into()));
    assert_eq!((clock(&account, "contain"), &account["cells_after_pause"]), (json!(2.0), &0.into()));
    assert_eq!(account["is_paused"], true);

    run_with(dir, &["ingest", "-"], undone("1", 240).as_bytes()).ended(0);
    let again = run(dir, &["incident", "scope", "--incident", &id, "--by", "ann", "--json"]).ended(0).json();
    assert_eq!((&again["scope_version"], &again["difference"]["states"]["still_wrong"]), (&2.into(), &(-1).into()));
    assert_eq!(
        (&again["difference"]["states"]["restored"], &again["difference"]["is_affected_changed"]),
        (&1.into(), &false.into())
    );
    run(dir, &["incident", "update", &id, "--step", "roll_back", "--by", "ann"]).ended(0);
    let account = show(dir, &id);
    assert_eq!(step(&account, "roll_back")["state"], "open", "one cell is wrong, whatever is stated");
    assert_eq!(clock(&account, "recover"), Value::Null);

    run_with(dir, &["ingest", "-"], undone("2", 300).as_bytes()).ended(0);
    run(dir, &["incident", "update", &id, "--step", "notify_owner", "--note", "called", "--by", "cy"]).ended(0);
    let account = show(dir, &id);
    assert_eq!((&step(&account, "roll_back")["state"], &account["roll_backs"]), (&"done".into(), &2.into()));
    assert_eq!(clock(&account, "recover"), json!(4.0));
    let notified = step(&account, "notify_owner");
    assert_eq!(
        (&notified["by"], &notified["is_stated"], &notified["note"]),
        (&"cy".into(), &true.into(), &"called".into())
    );
    assert_eq!((&account["scope"]["states"]["restored"], account["scopes"].as_array().unwrap().len()), (&2.into(), 2));

    run(dir, &["incident", "close", &id, "--reason", "case 7", "--by", "ann"]).ended(0);
    let account = show(dir, &id);
    assert_eq!((&account["state"], &account["close_reason"]), (&"closed".into(), &"case 7".into()));
    for refused in [
        &["incident", "close", &id, "--reason", "again"][..],
        &["incident", "update", &id, "--owner", "x"],
        &["incident", "scope", "--incident", &id],
    ] {
        assert!(run(dir, refused).ended(2).err.contains("closed already"), "{refused:?}");
    }
    let list = run(dir, &["incident", "list", "--json"]).ended(0).json();
    assert_eq!((list["incidents"].as_array().unwrap().len(), &list["incidents"][0]["state"]), (1, &"closed".into()));
}

#[test]
fn each_class_has_its_deadline_from_when_the_organisation_was_aware() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    for (class, due) in [
        ("personal_data", "2026-01-04T02:00:00.000000Z"),
        ("serious_incident", "2026-01-16T02:00:00.000000Z"),
        ("death", "2026-01-11T02:00:00.000000Z"),
        ("widespread_infringement", "2026-01-03T02:00:00.000000Z"),
    ] {
        let id = id_of(&opened(dir, &["--class", class]));
        let deadlines = show(dir, &id)["deadlines"].clone();
        assert_eq!((&deadlines[0]["due_at"], &deadlines[0]["has_passed"]), (&due.into(), &true.into()), "{class}");
    }
    let id = id_of(&opened(dir, &["--class", "quality"]));
    assert_eq!(show(dir, &id)["deadlines"], json!([]));
}

#[test]
fn writes_after_the_pause_are_told_whatever_the_end_of_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let id = id_of(&opened(dir, &["--to", "2026-01-01T00:30:00Z"]));
    let lines =
        [signal("p", "workflow.paused", 3), event("1", 200).replace("\"event_id\":\"1\"", "\"event_id\":\"1b\"")];
    run_with(dir, &["ingest", "-"], lines.join("\n").as_bytes()).ended(0);
    assert_eq!(show(dir, &id)["cells_after_pause"], 1);
    run_with(dir, &["ingest", "-"], signal("q", "workflow.resumed", 4).as_bytes()).ended(0);
    assert_eq!(show(dir, &id)["is_paused"], false);
    let words = run(dir, &["incident", "show", &id]).ended(0).out;
    assert!(words.contains("✓ pause the workflow") && words.contains("1 cells were written wrongly after"), "{words}");
}

/// A breaker stops a workflow, and then a person opens the incident: the page said that nobody had paused it.
#[test]
fn a_pause_before_the_detection_counts_while_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let id = id_of(&opened(dir, &[]));
    let elsewhere =
        signal("s", "workflow.paused", 3).replace("\"workflow\"", "\"environment\":\"sandbox\",\"workflow\"");
    run_with(dir, &["ingest", "-"], elsewhere.as_bytes()).ended(0);
    assert_eq!(show(dir, &id)["is_paused"], Value::Null, "a pause of another environment stops nothing");

    run_with(dir, &["ingest", "-"], signal("p", "workflow.paused", 0).as_bytes()).ended(0);
    let account = show(dir, &id);
    assert_eq!((&account["is_paused"], &step(&account, "pause")["by"]), (&true.into(), &"bob".into()));
    assert_eq!((clock(&account, "contain"), &account["cells_after_pause"]), (Value::Null, &1.into()));
    let words = run(dir, &["incident", "show", &id]).ended(0).out;
    assert!(words.contains("contain  already before"), "{words}");

    let over = signal("q", "workflow.resumed", 0).replace("T00:00:00Z", "T00:30:00Z");
    run_with(dir, &["ingest", "-"], over.as_bytes()).ended(0);
    let account = show(dir, &id);
    assert_eq!((&account["is_paused"], &step(&account, "pause")["state"]), (&Value::Null, &"open".into()));
}

#[test]
fn nothing_is_rolled_back_while_a_cell_is_deleted_or_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let deleted = event("1", 0).replace("\"outcome\"", "\"operation\":\"delete\",\"outcome\"");
    let unknown = event("2", 1).replace("succeeded", "unknown");
    run_with(dir, &["ingest", "-"], [deleted, unknown].join("\n").as_bytes()).ended(0);
    let id = id_of(&opened(dir, &[]));
    let account = show(dir, &id);
    let states = &account["scope"]["states"];
    assert_eq!((&states["still_wrong"], &states["deleted"], &states["unknown"]), (&0.into(), &1.into(), &1.into()));
    let told = step(&account, "roll_back");
    assert_eq!((&told["state"], clock(&account, "recover")), (&"open".into(), Value::Null));
    assert_eq!(told["note"], "1 cells are deleted; 1 cells are not known to be right");

    run_with(dir, &["ingest", "-"], [undone("1", 240), undone("2", 300)].join("\n").as_bytes()).ended(0);
    let account = show(dir, &id);
    assert_eq!((&step(&account, "roll_back")["state"], clock(&account, "recover")), (&"done".into(), json!(4.0)));
}

#[test]
fn a_draft_of_a_rule_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let policy = "version = \"1\"\neffective_from = 2025-01-01T00:00:00Z\n[[incident_rule]]\nname = \"few\"\n\
                  metric = \"rollback_rate\"\nbelow = 0.5\nmin_count = 1\nwindow_days = 36525\nclass = \"quality\"\n\
                  severity = \"low\"\n";
    std::fs::write(dir.join("p.toml"), policy).unwrap();
    run(dir, &["policy", "apply", "p.toml", "--by", "owner"]).ended(0);
    let checked = run(dir, &["policy", "check", "--json"]).ended(1).json();
    let id = checked["opened"][0].as_str().unwrap().to_owned();
    let draft = show(dir, &id);
    assert_eq!((&draft["state"], &draft["aware_at"], &draft["scope"]), (&"draft".into(), &Value::Null, &Value::Null));
    assert_eq!(step(&draft, "roll_back")["state"], "not_known");
    let update = ["incident", "update", &id, "--where", "action_id = 'a3'", "--workflow", "w", "--by", "ann"];
    run(dir, &update).ended(0);
    let taken = show(dir, &id);
    assert_eq!(
        (&taken["state"], &taken["class"], &taken["severity"]),
        (&"open".into(), &"quality".into(), &"low".into())
    );
    assert_eq!((&taken["title"], &taken["scope"]["records"]), (&draft["title"], &1.into()));
    assert!(taken["aware_at"].is_string() && taken["scopes"].as_array().unwrap().len() == 1, "{taken}");
    let nothing = run(dir, &["incident", "update", &id, "--by", "ann"]).ended(2);
    assert!(nothing.err.contains("nothing is given"), "{}", nothing.err);
}

#[test]
fn the_report_says_what_the_account_says() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let id = id_of(&opened(dir, &["--class", "personal_data"]));
    run(dir, &["hold", "--incident", &id, "--reason", "case 7", "--by", "ann"]).ended(0);
    run(dir, &["incident", "report", &id, "--out", "out"]).ended(0);
    let name = |extension: &str| dir.join("out").join(format!("incident-{id}.{extension}"));
    let written: Value = serde_json::from_str(&std::fs::read_to_string(name("json")).unwrap()).unwrap();
    assert_eq!((&written["scope"]["records"], written["scope"]["items"].as_array().unwrap().len()), (&2.into(), 2));
    assert_eq!((&written["days"][0]["cells"], &written["days"][0]["still_wrong"]), (&2.into(), &2.into()));
    assert_eq!(written["holds"].as_array().unwrap().len(), 1);
    let html = std::fs::read_to_string(name("html")).unwrap();
    let hash = written["scope"]["affected_sha256"].as_str().unwrap();
    for expected in [
        "Owners &lt;lost&gt;",
        "at least 2",
        "crm/lead/r1",
        "crm/lead/r2",
        "GDPR article 33(1)",
        "No pause of the workflow is in the log.",
        "Held: hold-",
        hash,
    ] {
        assert!(html.contains(expected), "the page lacks {expected}");
    }
    assert!(!html.contains("crm/lead/r3") && !html.contains("<lost>"));
}

#[test]
fn mistakes_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    for (more, word) in [
        (["--detected", "2026-01-02", "--aware", "2026-01-01"], "nobody is aware"),
        (["--detected", "yesterday", "--owner", "x"], "no instant"),
        (["--severity", "bananas", "--owner", "x"], "critical"),
        (["--environment", "prod", "--owner", "x"], "production, shadow, sandbox"),
    ] {
        let ran = run(dir, &[&["incident", "open", "--title", "t", "--where", "true"][..], &more].concat()).ended(2);
        assert!(ran.err.contains(word), "{more:?}: {}", ran.err);
    }
    let unknown = run(dir, &["incident", "show", "inc-1"]).ended(2).err;
    assert!(unknown.contains("incident list"), "{unknown}");
    let count = ["query", "select count(*) from events where event_type like 'incident.%'", "--json"];
    assert_eq!(run(dir, &count).ended(0).json()["rows"], json!([[0]]));
    let nobody = ["incident", "open", "--title", "t", "--where", "action_id = 'nobody'", "--by", "ann"];
    let ran = run(dir, &nobody).ended(0);
    assert!(ran.err.contains("picks no action"), "{}", ran.err);
    let typed = run(dir, &["incident", "update", ran.out.trim(), "--environment", "prod"]).ended(2).err;
    assert!(typed.contains("production, shadow, sandbox"), "{typed}");
}
