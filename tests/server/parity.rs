//! What the command line can do, the server can as well: the same documents, from what is sent instead of files.

use serde_json::{Value, json};

use super::world::World;
use crate::support::http::Request;

/// The parts of two documents that must be the same; what is said of the moment differs, for a read is an event.
fn assert_same(one: &Value, other: &Value, parts: &[&str]) {
    for part in parts {
        assert!(!one[*part].is_null(), "{part} is missing: {one}");
        assert_eq!(one[*part], other[*part], "{part}");
    }
}

#[test]
fn a_policy_is_replayed_as_the_command_does() {
    let world = World::full();
    let text = std::fs::read_to_string(world.dir().join("p.toml")).unwrap();
    let told = world.run(&["incident", "guardrail", &world.incident, "--policy", "p.toml", "--json"]).json();
    let target = format!("/v1/incidents/{}/guardrail", world.incident);
    let ask = |document: Value| world.served.post(world.token("responder"), &target, &document);
    let found = ask(json!({"policy": text})).is(200).json();
    assert_same(
        &found,
        &told,
        &["policy", "direct", "derived", "others", "by_control", "is_complete", "missed", "hit"],
    );
    assert!(found["rule"].is_null() && found["seq"].is_null(), "{found}");
    let read = world.rows("select extra from events where event_type = 'evidence.queried' order by seq desc limit 1");
    assert!(read[0][0].as_str().unwrap().contains(told["policy"]["sha256"].as_str().unwrap()), "{read:?}");
    for bad in [json!({}), json!({"rule": "true", "policy": text}), json!({"policy": "version = 7"})] {
        ask(bad).is(400);
    }
}

#[test]
fn what_a_selector_picks_is_replayed_as_the_command_does() {
    let world = World::full();
    let text = std::fs::read_to_string(world.dir().join("p.toml")).unwrap();
    let size = world.rows("select max(seq) + 1 from events")[0][0].to_string();
    let picked = ["incident", "guardrail", "--where", "rule_version = 'r7'", "--as-of", &size, "--json"];
    let parts = ["selector", "size", "period_start", "direct", "derived", "others", "is_complete", "missed", "hit"];
    let target = format!("/v1/incidents/guardrail?as_of={size}");
    let ask = |role: &str, document: Value| world.served.post(world.token(role), &target, &document);
    for (option, value, document) in [
        ("--rule", "record_id like '%1'", json!({"rule": "record_id like '%1'"})),
        ("--policy", "p.toml", json!({"policy": text})),
    ] {
        let told = world.run(&[&picked[..], &[option, value]].concat()).json();
        let mut sent = document;
        sent["selector"] = json!({"where": "rule_version = 'r7'"});
        let found = ask("analyst", sent.clone()).is(200).json();
        assert_same(&found, &told, &parts);
        let of_command = |name: &str| found[name] == told[name];
        assert!(of_command("rule") && of_command("policy") && of_command("by_control"), "{found}: {told}");
        assert!(found.get("incident_id").is_none() && found.get("seq").is_none(), "{found}");
        // A policy is judged by what is sealed as well, and its findings say nothing of it.
        let withheld = ask("auditor", sent).is(200).json();
        assert_same(&withheld, &told, &["direct", "derived", "others", "by_control", "is_complete"]);
        let read =
            world.rows("select extra from events where event_type = 'evidence.queried' order by seq desc limit 1");
        let read = read[0][0].as_str().unwrap();
        assert!(read.contains("/v1/incidents/guardrail") && read.contains("rule_version = 'r7'"), "{read}");
    }
    for bad in
        [json!({"rule": "true"}), json!({"selector": {"where": "true"}}), json!({"selector": {}, "rule": "true"})]
    {
        ask("analyst", bad).is(400);
    }
    let stated = json!({"rule": "true", "is_stated": true});
    let target = format!("/v1/incidents/{}/guardrail?as_of={size}", world.incident);
    world.served.post(world.token("responder"), &target, &stated).is(400);
}

const HISTORY: &str = "Id,LeadId,CreatedById,CreatedDate,Field,OldValue,NewValue\n\
                       h1,L1,bot,2026-01-05T09:00:02.000+0000,Status,Open,Working\n\
                       h2,L2,bot,2026-01-05T09:30:00.000+0000,Status,Open,Closed\n";

#[test]
fn a_history_is_compared_as_the_command_does_and_not_stored() {
    let world = World::empty(&[]);
    let logged = json!({
        "event_id": "e1", "source": "crm", "event_type": "action.executed", "occurred_at": "2026-01-05T09:00:00Z",
        "workflow": "lead-routing", "action_id": "a1", "actor_kind": "agent", "actor_id": "lead-agent", "system": "salesforce",
        "record_type": "Lead", "record_id": "L1", "field": "Status", "old_value": "Open", "new_value": "Working",
        "outcome": "succeeded",
    });
    world.served.ingest(world.token("ingest"), &logged.to_string()).is(200);
    std::fs::write(world.dir().join("history.csv"), HISTORY).unwrap();
    let args = ["incident", "reconcile", "history.csv", "--map", "salesforce_field_history", "--agent", "bot"];
    let told = world.run(&[&args[..], &["--json"]].concat()).ended(1).json();
    let target = "/v1/incidents/reconcile?map=salesforce_field_history&agent=bot&agent=bot-2";
    let ask =
        |role: &str, target: &str| world.served.ask(&Request::post(target, "text/csv", HISTORY).by(world.token(role)));
    let found = ask("analyst", target).is(200).json();
    assert_same(&found, &told, &["is_reconciled", "history", "evidence", "records", "not_landed", "mapping", "from"]);
    assert_eq!((&found["unlogged"][0]["record_id"], &found["is_reconciled"]), (&json!("L2"), &json!(false)));
    let table = ask("analyst", &format!("{target}&list=unlogged")).is(200);
    assert!(table.header("content-type").starts_with("text/csv") && table.text().contains("L2"), "{}", table.text());
    assert_eq!(world.rows("select count(*) from events where source = 'salesforce'")[0][0], 0);
    let reads = "select extra from events where event_type = 'evidence.queried' order by seq desc limit 1";
    let read = world.rows(reads)[0][0].as_str().unwrap().to_owned();
    assert!(read.contains("/v1/incidents/reconcile") && read.contains("bot-2"), "{read}");
    // What somebody sends would tell him which sealed values are like it.
    ask("auditor", target).is(403);
    for (target, status) in [
        ("/v1/incidents/reconcile", 400),
        ("/v1/incidents/reconcile?map=nothing", 404),
        ("/v1/incidents/reconcile?map=salesforce_field_history&tolerance=9", 400),
        ("/v1/incidents/reconcile?map=salesforce_field_history&list=nothing", 404),
    ] {
        assert_eq!(ask("analyst", target).status, status, "{target}");
    }
}

#[test]
fn a_sheet_is_taken_away_filled_in_and_sent_back() {
    let world = World::full();
    let reviewer = world.token("reviewer");
    let items = format!("/v1/reviews/{}/items?limit=2", world.review);
    let marks = format!("/v1/reviews/{}/marks", world.review);
    let sheet = world.served.get(reviewer, &format!("{items}&format=csv")).is(200);
    assert!(sheet.header("content-type").starts_with("text/csv"), "{:?}", sheet.headers);
    let listed = world.served.get(reviewer, &items).is(200).json();
    let ids: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect();
    let expected = format!("item,mark,wrong_amount,review_opened_at,comment\n{},,,,\n{},,,,\n", ids[0], ids[1]);
    assert_eq!(sheet.text(), expected);
    let send = |text: String| world.served.ask(&Request::post(&marks, "text/csv", text).by(reviewer));
    assert!(send(sheet.text()).is(400).text().contains("line 2"), "an empty sheet marks nothing");
    send(format!("item,mark,reviewer\n{},correct,rick\n", ids[0])).is(403);
    let filled = sheet.text().replace(",,,,\n", ",correct,,2026-01-02T00:00:00Z,seen\n");
    let marked = send(filled).is(200).json();
    assert_eq!((&marked["marks"], marked["seqs"].as_array().unwrap().len()), (&json!(2), 2), "{marked}");
    let by = world.rows("select distinct reviewer, comment from events where event_type = 'review.marked'");
    assert_eq!(json!(by), json!([["rita", "seen"]]));
    let lines = format!("{}\n", json!({"item": ids[0], "mark": "escalate"}));
    let lines = Request::post(&marks, "application/x-ndjson", lines).by(reviewer);
    assert_eq!(world.served.ask(&lines).is(200).json()["marks"], 1);
}
