//! The governance review as a whole: policies over time, issued reports, batch packets, dashboards of one's own.

use std::path::Path;

use serde_json::Value;

use crate::support::command::{run, run_with};

const DAY5: &str = include_str!("fixtures/worked_example/day5.ndjson");
const DAY31: &str = include_str!("fixtures/worked_example/day31.ndjson");

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn policy(version: &str, from: &str, rest: &str) -> String {
    format!("version = \"{version}\"\neffective_from = {from}\napproval_levels = [2, 4, 5]\n{rest}")
}

#[test]
fn a_policy_is_applied_once_by_a_named_person_and_judges_from_its_date_on() {
    let dir = dir();
    write(dir.path(), "a.toml", &policy("a", "2026-01-01T00:00:00Z", ""));
    write(dir.path(), "b.toml", &policy("b", "2026-03-01T00:00:00Z", ""));
    run(dir.path(), &["init"]).ended(0);
    let shown = run(dir.path(), &["policy", "show", "--json"]).ended(0).json();
    assert_eq!((&shown["version"], &shown["is_default"]), (&"built-in".into(), &true.into()));
    let applied = run(dir.path(), &["policy", "apply", "a.toml", "--by", "head-of-revops"]).ended(0);
    assert!(
        applied.err.contains("`a` applied by head-of-revops") && applied.err.contains("days ago"),
        "{}",
        applied.err
    );
    let again = run(dir.path(), &["policy", "apply", "a.toml"]).ended(0);
    assert!(again.err.contains("was applied already"), "{}", again.err);
    run(dir.path(), &["policy", "apply", "b.toml", "--by", "head-of-revops"]).ended(0);
    let shown = run(dir.path(), &["policy", "show", "--json"]).ended(0).json();
    assert_eq!((shown["version"].as_str(), shown["applied_by"].as_str()), (Some("b"), Some("head-of-revops")));
    assert_eq!(shown["versions"], serde_json::json!(["built-in", "a", "b"]));
    let was = "select version from policies where effective_from <= timestamp '2026-02-01' and effective_to > timestamp '2026-02-01'";
    let was = run(dir.path(), &["query", was, "--json"]).ended(0).json();
    assert_eq!(was["rows"], serde_json::json!([["a"]]));
    write(dir.path(), "a.toml", &policy("a", "2026-01-01T00:00:00Z", "bulk_limit = 9\n"));
    let taken = run(dir.path(), &["policy", "apply", "a.toml"]).ended(2);
    assert!(taken.err.contains("taken by another text"), "{}", taken.err);
}

#[test]
fn the_shipped_example_can_be_applied_and_judges_the_worked_example() {
    let dir = dir();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/policies/revops.toml");
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    run(dir.path(), &["policy", "apply", shipped.to_str().unwrap(), "--by", "head-of-revops"]).ended(0);
    let checked = run(dir.path(), &["policy", "check", "--json"]).ended(1).json();
    assert_eq!(checked["controls"].as_array().unwrap().len(), 26);
    let rules = checked["incident_rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["metric"] == "approval_coverage"), "{checked}");
}

#[test]
fn a_policy_that_cannot_be_judged_by_is_refused_with_the_place() {
    let dir = dir();
    write(dir.path(), "x.toml", "version = \"1\"\n\ncolour = 1\n");
    let refused = run(dir.path(), &["policy", "apply", "x.toml"]).ended(2);
    assert!(refused.err.contains("x.toml") && refused.err.contains("line 3"), "{}", refused.err);
    run(dir.path(), &["policy", "check", "x.toml"]).ended(1);
    let rule = "[[incident_rule]]\nname = \"n\"\nmetric = \"no_such\"\nabove = 0.1\nclass = \"c\"\n";
    write(dir.path(), "x.toml", &policy("1", "2026-01-01T00:00:00Z", rule));
    let refused = run(dir.path(), &["policy", "apply", "x.toml"]).ended(2);
    assert!(refused.err.contains("`no_such` does not exist"), "{}", refused.err);
    let deadline = "[[deadline]]\nclass = \"c\"\nnotify = \"owner\"\narticle = \"a\"\nasks = \"b\"\n";
    write(dir.path(), "x.toml", &policy("1", "2026-01-01T00:00:00Z", deadline));
    let refused = run(dir.path(), &["policy", "apply", "x.toml"]).ended(2);
    assert!(refused.err.contains("[[deadline]] number 1: it needs `hours` or `days`"), "{}", refused.err);
}

#[test]
fn a_check_judges_by_a_file_as_if_it_had_always_been_in_force_and_changes_nothing() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    let rule = "[[incident_rule]]\nname = \"too many\"\nmetric = \"false_discovery_rate\"\nabove = 0.1\nmin_count = 5\n\
                window_days = 36525\nclass = \"quality\"\n[[prohibited]]\nname = \"any change\"\n";
    write(dir.path(), "x.toml", &policy("strict", "2030-01-01T00:00:00Z", rule));
    let checked = run(dir.path(), &["policy", "check", "x.toml", "--json"]).ended(1).json();
    let result = |name: &str| {
        let all = checked["controls"].as_array().unwrap();
        all.iter().find(|c| c["control"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(
        (
            result("prohibited_action_executed")["result"].as_str(),
            result("prohibited_action_executed")["violations"].as_u64()
        ),
        (Some("fail"), Some(7))
    );
    assert_eq!(checked["incident_rules"][0]["fires"], true);
    assert_eq!(checked["opened"], serde_json::json!([]));
    let opened =
        run(dir.path(), &["query", "select count(*) from events where event_type = 'incident.opened'", "--json"]);
    assert_eq!(opened.ended(0).json()["rows"], serde_json::json!([[0]]));
}

#[test]
fn a_rule_that_fires_opens_one_draft_incident_and_no_second_one() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    let rule = "[[incident_rule]]\nname = \"too many\"\nmetric = \"false_discovery_rate\"\nabove = 0.1\nmin_count = 5\n\
                window_days = 36525\nclass = \"quality\"\nseverity = \"high\"\n";
    write(dir.path(), "x.toml", &policy("1", "2026-01-01T00:00:00Z", rule));
    run(dir.path(), &["policy", "apply", "x.toml", "--by", "owner"]).ended(0);
    let first = run(dir.path(), &["policy", "check", "--json"]).ended(1).json();
    assert_eq!(first["opened"].as_array().unwrap().len(), 1, "{first}");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let again = || run(dir.path(), &["policy", "check", "--json"]).ended(1).json();
            scope.spawn(move || assert_eq!(again()["opened"], serde_json::json!([])));
        }
    });
    let list = run(
        dir.path(),
        &[
            "query",
            "incidents",
            "-p",
            "period_start=2000-01-01T00:00:00Z",
            "-p",
            "period_end=2100-01-01T00:00:00Z",
            "--json",
        ],
    );
    let list = list.ended(0).json();
    let column = |name: &str| list["columns"].as_array().unwrap().iter().position(|c| c == name).unwrap();
    let row = &list["rows"][0];
    assert_eq!((row[column("state")].as_str(), row[column("severity")].as_str()), (Some("draft"), Some("high")));
    assert!(row[column("title")].as_str().unwrap().contains("2 of 10"), "{row}");
}

#[test]
fn a_later_report_shows_what_was_first_issued_beside_its_own_number() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    let month = ["report", "monthly", "--month", "2026-03"];
    let issued = run(dir.path(), &[&month[..], &["--issue", "--by", "officer"]].concat()).ended(0);
    assert!(issued.err.contains("issued by officer"), "{}", issued.err);
    run_with(dir.path(), &["ingest", "-"], DAY31.as_bytes()).ended(0);
    let later = run(dir.path(), &[&month[..], &["--json", "--out", "r"]].concat()).ended(0).json();
    let rate = &later["metrics"]["routing_exception_rate"];
    assert_eq!((rate["numerator"].as_u64(), rate["denominator"].as_u64()), (Some(9), Some(40)));
    assert_eq!(
        (rate["first_issued"]["numerator"].as_u64(), &later["first_issued"]["by"]),
        (Some(8), &"officer".into())
    );
    let page = std::fs::read_to_string(dir.path().join("r/monthly-2026-03.html")).unwrap();
    let plain = page.replace('\u{a0}', " ");
    assert!(plain.contains("first issued 8 of 40, 20.0 %") && plain.contains("restated +1"));
    // Other parameters are another question: nothing is put beside it.
    let other = run(dir.path(), &[&month[..], &["--json", "-p", "maturity_days=60"]].concat()).ended(0).json();
    assert_eq!(other["first_issued"], Value::Null);
}

#[test]
fn the_same_as_of_gives_the_same_report_byte_for_byte() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    let size = run(dir.path(), &["query", "select count(*) from evidence", "--json"]).ended(0).json()["rows"][0][0]
        .to_string();
    let report = |out: &str| {
        run(dir.path(), &["report", "monthly", "--month", "2026-03", "--as-of", &size, "--out", out]).ended(0);
        std::fs::read(dir.path().join(out).join("monthly-2026-03.html")).unwrap()
    };
    let before = report("a");
    run_with(dir.path(), &["ingest", "-"], DAY31.as_bytes()).ended(0);
    run(dir.path(), &["maintain"]).ended(0);
    // The version of the table is named on the page and moves with a fold; nothing else may.
    let text = |bytes: Vec<u8>| {
        let page = String::from_utf8(bytes).unwrap().replace(">none yet<", ">v?<");
        (0..20).fold(page, |page, version| page.replace(&format!(">v{version}<"), ">v?<"))
    };
    assert!(text(before) == text(report("b")), "the report of a fixed point changed");
}

#[test]
fn a_batch_packet_holds_every_flagged_record_and_a_missing_batch_is_said() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], DAY31.as_bytes()).ended(0);
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    let batches =
        run(dir.path(), &["query", "select distinct batch_id from events where batch_id is not null", "--json"]);
    let batch = batches.ended(0).json()["rows"][0][0].as_str().unwrap().to_owned();
    let packet = run(dir.path(), &["report", "batch", "--batch", &batch, "--json", "--out", "r"]).ended(0).json();
    assert_eq!(packet["metrics"]["routing_exception_rate"]["denominator"], 40);
    let actions = packet["tables"]["batch_packet"].as_array().unwrap();
    let mut records: Vec<&str> = actions.iter().map(|row| row["record"].as_str().unwrap()).collect();
    records.sort_unstable();
    records.dedup();
    assert_eq!((actions.len(), records.len()), (14, 12));
    let page = std::fs::read_to_string(dir.path().join("r").join(format!("batch-{batch}.html"))).unwrap();
    assert!(records.iter().all(|record| page.contains(record.rsplit('/').next().unwrap())));
    let missing = run(dir.path(), &["report", "batch", "--batch", "nope"]).ended(2);
    assert!(missing.err.contains("no batch `nope`"), "{}", missing.err);
}

#[test]
fn a_dashboard_of_ones_own_adds_a_section_with_ones_own_query() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], DAY5.as_bytes()).ended(0);
    write(
        dir.path(),
        "by_field.sql",
        "-- question: Which fields were changed?\n-- grain: one row per field\n-- params: none\n-- returns: field utf8\n--          actions int64\n\n\
         select field, count(distinct action_id) as actions from events where field is not null group by field order by field\n",
    );
    write(
        dir.path(),
        "own.toml",
        "title = \"Own\"\n[[section]]\nid = \"own\"\ntitle = \"Fields of ours\"\nquestion = \"Which?\"\n[[section.block]]\nshow = \"table\"\n\
         query = \"by_field\"\nlabel = \"Changes by field\"\ncolumns = [{ name = \"field\", label = \"Field\" }, { name = \"actions\", label = \"Actions\", kind = \"count\" }]\n",
    );
    let report = ["report", "monthly", "--month", "2026-03", "--dashboard", "own.toml", "--out", "r", "--json"];
    let json = run(dir.path(), &report).ended(0).json();
    assert!(!json["tables"]["by_field"].as_array().unwrap().is_empty());
    let page = std::fs::read_to_string(dir.path().join("r/monthly-2026-03.html")).unwrap();
    assert!(page.contains("Fields of ours") && page.contains("Changes by field"));
    write(
        dir.path(),
        "own.toml",
        "title = \"Own\"\n[[section]]\nid = \"o\"\ntitle = \"t\"\nquestion = \"q\"\n[[section.block]]\nshow = \"table\"\nquery = \"nowhere\"\nlabel = \"l\"\ncolumns = []\n",
    );
    let missing = run(dir.path(), &report).ended(2);
    assert!(missing.err.contains("nowhere.sql"), "{}", missing.err);
}

#[test]
fn packet_and_review_count_later_facts_as_long_as_the_policy_says() {
    let dir = dir();
    run_with(dir.path(), &["ingest", "-"], format!("{DAY5}\n{DAY31}").as_bytes()).ended(0);
    write(dir.path(), "x.toml", &policy("1", "2026-01-01T00:00:00Z", "maturity_days = 5\n"));
    run(dir.path(), &["policy", "apply", "x.toml"]).ended(0);
    let review = run(dir.path(), &["report", "monthly", "--month", "2026-03", "--json"]).ended(0).json();
    let batch = review["batches"][0]["batch_id"].as_str().unwrap().to_owned();
    let packet = run(dir.path(), &["report", "batch", "--batch", &batch, "--json"]).ended(0).json();
    for metrics in [&review["metrics"], &review["batches"][0]["metrics"], &packet["metrics"]] {
        // The correction of day 9 comes too late.
        assert_eq!(metrics["routing_exception_rate"]["numerator"], 8);
    }
    assert_eq!(packet["params"]["maturity_days"], "5");
}

#[test]
fn two_who_apply_the_same_version_at_once_apply_it_once() {
    let dir = dir();
    run(dir.path(), &["init"]).ended(0);
    let texts: Vec<String> =
        (0..4).map(|i| policy("same", "2026-01-01T00:00:00Z", &format!("bulk_limit = {i}\n"))).collect();
    std::thread::scope(|scope| {
        for (i, text) in texts.iter().enumerate() {
            write(dir.path(), &format!("{i}.toml"), text);
            let dir = dir.path();
            scope.spawn(move || run(dir, &["policy", "apply", &format!("{i}.toml")]));
        }
    });
    let applied = "select count(*) from events where event_type = 'config.changed'";
    assert_eq!(run(dir.path(), &["query", applied, "--json"]).ended(0).json()["rows"], serde_json::json!([[1]]));
}

#[test]
fn month_borders_follow_the_time_zone_of_the_policy() {
    let dir = dir();
    let at = |id: &str, at: &str| {
        format!(
            "{{\"event_id\":\"{id}\",\"source\":\"s\",\"event_type\":\"record.reviewed\",\"occurred_at\":\"{at}\",\"workflow\":\"w\",\
             \"system\":\"crm\",\"record_type\":\"lead\",\"record_id\":\"{id}\"}}\n"
        )
    };
    let log = at("1", "2026-02-28T22:59:59Z") + &at("2", "2026-02-28T23:00:00Z") + &at("3", "2026-03-31T22:00:00Z");
    run_with(dir.path(), &["ingest", "-"], log.as_bytes()).ended(0);
    let reviewed = || {
        let report = run(dir.path(), &["report", "monthly", "--month", "2026-03", "--json"]).ended(0).json();
        (report["metrics"]["routing_exception_rate"]["denominator"].as_u64(), report["period"]["start"].clone())
    };
    assert_eq!(reviewed(), (Some(1), "2026-03-01T00:00:00.000000Z".into()));
    write(dir.path(), "x.toml", &policy("1", "2026-01-01T00:00:00Z", "time_zone = \"Europe/Berlin\"\n"));
    run(dir.path(), &["policy", "apply", "x.toml"]).ended(0);
    assert_eq!(reviewed(), (Some(1), "2026-02-28T23:00:00.000000Z".into()));
}

#[test]
fn a_permission_that_any_attempt_used_in_the_period_is_not_unused() {
    let dir = dir();
    let at = |id: &str, rest: &str, at: &str| {
        format!(
            "{{\"event_id\":\"{id}\",\"source\":\"s\",\"event_type\":\"action.{rest},\"occurred_at\":\"{at}\",\"workflow\":\"w\",\
             \"action_id\":\"a\",\"permission_area\":\"crm_fields\",\"operation\":\"update\"}}\n"
        )
    };
    let tried = "executed\",\"outcome\":\"failed\"";
    let log = at("1", "proposed\"", "2026-01-10T00:00:00Z")
        + &at("2", tried, "2026-01-20T00:00:00Z")
        + &at("3", tried, "2026-02-10T00:00:00Z")
        + &at("4", tried, "2026-03-20T00:00:00Z");
    run_with(dir.path(), &["ingest", "--strict", "-"], log.as_bytes()).ended(0);
    write(
        dir.path(),
        "x.toml",
        &policy("1", "2026-01-01T00:00:00Z", "[[permission]]\narea = \"crm_fields\"\nlevel = 3\n"),
    );
    run(dir.path(), &["policy", "apply", "x.toml"]).ended(0);
    let unused = |from: &str, to: &str| {
        let [from, to] =
            [("period_start", from), ("period_end", to)].map(|(name, at)| format!("{name}={at}T00:00:00Z"));
        let asked = ["query", "permissions_unused", "-p", &from, "-p", &to, "--json"];
        run(dir.path(), &asked).ended(0).json()["rows"].clone()
    };
    for (from, to) in [("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-04-01")] {
        assert_eq!(unused(from, to), serde_json::json!([]), "from {from}");
    }
    for (from, to, last) in [("2026-01-21", "2026-02-01", "2026-01-20"), ("2026-02-11", "2026-03-01", "2026-02-10")] {
        assert_eq!(unused(from, to)[0][7], format!("{last}T00:00:00.000000Z"), "from {from}");
    }
}
