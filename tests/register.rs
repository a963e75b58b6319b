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

/// A bound that was wrong could be moved and never taken away; how far the spread is followed was fixed at the opening.
#[test]
fn what_bounds_a_scope_can_be_set_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let reading = |id: &str, minute: i64, record: &str| {
        let input = format!("{{\"system\":\"crm\",\"record_type\":\"lead\",\"record_id\":\"{record}\"}}");
        event(id, minute).replace("\"outcome\"", &format!("\"inputs\":[{input}],\"outcome\""))
    };
    let lines = [event("1", 0), reading("2", 1, "r1"), reading("3", 2, "r2")].join("\n");
    run_with(dir, &["ingest", "-"], lines.as_bytes()).ended(0);
    let open = ["incident", "open", "--title", "t", "--where", "action_id = 'a1'", "--to", "2026-01-01T00:00:30Z"];
    let opened = run(dir, &[&open[..], &["--by", "ann", "--json"]].concat()).ended(0).json();
    let id = id_of(&opened);
    let updated = |parts: &[&str]| {
        let update = ["incident", "update", &id, "--by", "ann", "--json"];
        run(dir, &[&update[..], parts].concat()).ended(0).json()["scope"]["records"].clone()
    };
    assert_eq!(opened["scope"]["records"], 3);
    assert_eq!(updated(&["--depth", "1"]), 2);
    assert_eq!(show(dir, &id)["selector"]["depth"], 1);
    assert_eq!(updated(&["--depth", ""]), 3);
    let empty = run(dir, &["incident", "update", &id, "--from", "2026-01-01T00:10:00Z"]).ended(2).err;
    assert!(empty.contains("holds no instant"), "{empty}");
    assert_eq!(updated(&["--from", "2026-01-01T00:10:00Z", "--to", ""]), 0);
    assert_eq!(updated(&["--from", ""]), 3);
    let selector = show(dir, &id)["selector"].clone();
    assert_eq!([&selector["from"], &selector["to"], &selector["depth"]], [&Value::Null; 3]);
    for wrong in ["-1", "two", "4294967296"] {
        let depth = format!("--depth={wrong}");
        let refused = run(dir, &["incident", "update", &id, &depth]).ended(2).err;
        assert!(refused.contains("no whole number of steps"), "{refused}");
    }
}

/// A policy with a deadline for each class: hours or days, and whom to tell.
fn apply_deadlines(dir: &Path, (version, since): (&str, &str), deadlines: &[(&str, &str, &str)]) {
    let mut text = format!("version = \"{version}\"\neffective_from = {since}\n");
    for (class, span, notify) in deadlines {
        text.push_str(&format!("[[deadline]]\nclass = \"{class}\"\n{span}\nnotify = \"{notify}\"\n"));
        text.push_str(&format!("article = \"house rule {class}\"\nasks = \"tell the {notify}\"\n"));
    }
    std::fs::write(dir.join("p.toml"), text).unwrap();
    run(dir, &["policy", "apply", "p.toml", "--by", "owner"]).ended(0);
}

#[test]
fn the_policy_in_force_at_the_detection_sets_deadlines_beside_the_law() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let set = [("personal_data", "hours = 4", "owner"), ("death", "days = 1", "authority")];
    apply_deadlines(dir, ("set", "2025-01-01T00:00:00Z"), &set);
    // What came into force after the detection judges nothing that was detected before.
    apply_deadlines(dir, ("later", "2026-01-01T01:30:00Z"), &[("personal_data", "hours = 1", "authority")]);
    let of = |class: &str| {
        let deadlines = show(dir, &id_of(&opened(dir, &["--class", class])))["deadlines"].clone();
        let facts = |d: &Value| json!([d["notify"], d["hours"], d["policy_version"], d["due_at"]]);
        deadlines.as_array().unwrap().iter().map(facts).collect::<Vec<_>>()
    };
    let law = json!(["authority", 72, null, "2026-01-04T02:00:00.000000Z"]);
    assert_eq!(of("personal_data"), [law, json!(["owner", 4, "set", "2026-01-01T06:00:00.000000Z"])]);
    assert_eq!(of("death"), [json!(["authority", 24, "set", "2026-01-02T02:00:00.000000Z"])]);
    assert_eq!(of("quality"), Vec::<Value>::new());
    let rules = "select name, principal, hours, words from policy_rules where kind = 'deadline' and version = 'set' \
                 order by position";
    assert_eq!(
        run(dir, &["query", rules, "--json"]).ended(0).json()["rows"],
        json!([
            ["personal_data", "owner", 4.0, "house rule personal_data: tell the owner"],
            ["death", "authority", 24.0, "house rule death: tell the authority"]
        ])
    );
}

#[test]
fn a_deadline_for_the_owner_is_met_by_the_step_that_tells_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let set = [("quality", "days = 36525", "owner"), ("operation", "hours = 1", "owner")];
    apply_deadlines(dir, ("set", "2025-01-01T00:00:00Z"), &set);
    let [slow, fast] = ["quality", "operation"].map(|class| id_of(&opened(dir, &["--class", class])));
    let words = |id: &str| run(dir, &["incident", "show", id]).ended(0).out;
    assert!(words(&slow).contains("house rule quality (policy `set`): tell the owner; due 2126-"), "{}", words(&slow));
    assert!(words(&slow).contains(", running") && words(&fast).contains(", PASSED"));
    for id in [&slow, &fast] {
        run(dir, &["incident", "update", id, "--step", "notify_authority", "--by", "cy"]).ended(0);
        assert_eq!(show(dir, id)["deadlines"][0]["notified_at"], Value::Null, "the authority is not the owner");
        run(dir, &["incident", "update", id, "--step", "notify_owner", "--by", "cy"]).ended(0);
    }
    assert!(words(&slow).contains(", told in time") && words(&fast).contains(", told late"));
    run(dir, &["incident", "report", &fast, "--out", "out"]).ended(0);
    let html = std::fs::read_to_string(dir.join("out").join(format!("incident-{fast}.html"))).unwrap();
    for expected in ["house rule operation, policy set", "tell the owner", "told late", "A deadline has passed"] {
        assert!(html.contains(expected), "the page lacks {expected}");
    }
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
fn roll_backs_are_counted_by_the_plan_that_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    store(dir);
    let id = id_of(&opened(dir, &[]));
    assert_eq!((&show(dir, &id)["roll_backs"], &show(dir, &id)["roll_backs_by_plan"]), (&0.into(), &json!({})));
    let plan = ["incident", "plan", "--where", "action_id in ('a1', 'a2')", "--json"];
    let plan = run(dir, &plan).ended(0).json()["plan_sha256"].as_str().unwrap().to_owned();
    let by = |reference: &str, event: String| {
        event.replace("\"outcome\"", &format!("\"rollback_ref\":\"{reference}\",\"outcome\""))
    };
    // Words on how to undo something are no plan, and what rolls back another action is not about this incident.
    let lines = [by(&plan, undone("1", 240)), by("undo by hand", undone("2", 300)), by(&plan, undone("3", 300))];
    run_with(dir, &["ingest", "-"], lines.join("\n").as_bytes()).ended(0);
    let account = show(dir, &id);
    assert_eq!((&account["roll_backs"], &account["roll_backs_by_plan"]), (&2.into(), &json!({ plan.as_str(): 1 })));
    assert_eq!(step(&account, "roll_back")["note"], "1 of 2 roll-backs name a recovery plan");
    let words = run(dir, &["incident", "show", &id]).ended(0).out;
    assert!(words.contains(&format!("1 roll-backs name the plan {plan}")), "{words}");
    run(dir, &["incident", "report", &id, "--out", "out"]).ended(0);
    let html = std::fs::read_to_string(dir.join("out").join(format!("incident-{id}.html"))).unwrap();
    assert!(html.replace('\u{a0}', " ").contains(&format!("1 of 2 roll-backs name {plan}")));
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
