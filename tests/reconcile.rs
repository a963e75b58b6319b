//! Reconciliation: what a history shows and the log does not, and the other way round.
//!
//! Random worlds against a slow look at them; the real log against itself with rows taken out, changed and added; and
//! exports in the shape that systems give them, with one planted hazard each.

mod world;

use std::collections::BTreeSet;
use std::path::Path;

use probity::incident::reconcile::{List, Reconciliation};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use self::world::{Sort, World, broken, compared, most_pairs, numbers, world};
use crate::real_log::demo;
use crate::support::command::{Ran, run, run_with};
use crate::support::seeded;

/// Checks that the counts of both sides add up.
fn adds_up(document: &Value) {
    let count = |side: &str, name: &str| document[side][name].as_u64().unwrap();
    let sum = |side: &str, names: &[&str]| names.iter().map(|name| count(side, name)).sum::<u64>();
    let pairs = ["matched", "matched_without_value", "wrong_value"];
    let rows = [&pairs[..], &["unlogged", "other_writers"]].concat();
    assert_eq!(count("history", "writes"), sum("history", &rows), "{document}");
    let all = ["refused", "duplicates", "not_writes", "without_record", "outside_span", "writes"];
    assert_eq!(count("history", "rows"), sum("history", &all), "{document}");
    let writes = [&pairs[..], &["landed_with_record", "no_change", "not_landed", "not_landed_open"]].concat();
    assert_eq!(count("evidence", "writes"), sum("evidence", &writes), "{document}");
    for pair in pairs {
        assert_eq!(count("history", pair), count("evidence", pair), "{pair}: {document}");
    }
    let length = |list: &str| document[list].as_array().unwrap().len() as u64;
    assert_eq!(length("unlogged"), count("history", "unlogged"));
    assert_eq!(length("wrong_values"), count("history", "wrong_value"));
    assert_eq!(length("not_landed"), sum("evidence", &["not_landed", "not_landed_open"]));
}

fn in_order(world: &World) -> Reconciliation {
    compared(world, &(0..world.evidence.len()).collect::<Vec<_>>())
}

#[tokio::test]
async fn no_other_pairing_accounts_for_more_writes() {
    seeded(3_000, |seed| async move {
        let world = world(Sort::Values, seed);
        let found = in_order(&world);
        adds_up(&found.to_json().unwrap());
        assert_eq!(found.compared.history.matched, most_pairs(&world) as u64, "{world:?}");
        let (rows, writes) = (numbers(&found, List::Unlogged, "line"), numbers(&found, List::NotLanded, "seq"));
        for (row, write) in rows.iter().flat_map(|row| writes.iter().map(move |write| (row, write))) {
            assert!(!world.history[*row].is_near(&world.evidence[*write]), "{row} and {write} are left of {world:?}");
        }
        let wrong =
            numbers(&found, List::WrongValues, "line").into_iter().zip(numbers(&found, List::WrongValues, "seq"));
        let mut used: (BTreeSet<usize>, BTreeSet<usize>) = (rows.into_iter().collect(), writes.into_iter().collect());
        for (row, write) in wrong {
            let (told, logged) = (&world.history[row], &world.evidence[write]);
            assert!(told.is_near(logged) && told.new != logged.new, "{told:?} is not {logged:?}");
            assert!(used.0.insert(row) && used.1.insert(write), "{row} or {write} is used twice: {world:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn writes_that_can_be_told_apart_are_judged_as_a_plain_loop_does() {
    seeded(3_000, |seed| async move {
        let world = world(Sort::Distinct, seed);
        let found = in_order(&world);
        let near = |row: &usize| world.evidence.iter().position(|write| world.history[*row].is_near(write));
        let (paired, alone): (Vec<usize>, Vec<usize>) =
            (0..world.history.len()).partition(|row: &usize| near(row).is_some());
        let is_right = |row: &&usize| near(row).is_some_and(|w| world.evidence[w].new == world.history[**row].new);
        let right = paired.iter().filter(is_right).count();
        let counts = found.compared.history;
        let expected = (right as u64, (paired.len() - right) as u64, alone.len() as u64);
        assert_eq!((counts.matched, counts.wrong_value, counts.unlogged), expected, "{world:?}");
        assert_eq!(found.compared.evidence.not_landed, (world.evidence.len() - paired.len()) as u64, "{world:?}");
        let (rows, writes) = broken(&world);
        let lines: BTreeSet<usize> = numbers(&found, List::ChainBreaks, "line").into_iter().collect();
        let seqs: BTreeSet<usize> = numbers(&found, List::ChainBreaks, "seq").into_iter().collect();
        assert_eq!((lines, seqs), (rows, writes), "{world:?}");
    })
    .await;
}

#[tokio::test]
async fn whatever_is_missing_the_counts_add_up_and_nothing_that_fits_is_left() {
    seeded(3_000, |seed| async move {
        let world = world(Sort::Anything, seed);
        let found = in_order(&world);
        let document = found.to_json().unwrap();
        adds_up(&document);
        for row in numbers(&found, List::Unlogged, "line") {
            for write in numbers(&found, List::NotLanded, "seq") {
                let (row, write) = (&world.history[row], &world.evidence[write]);
                let is_same = row.new == write.new || row.new.is_none() || write.new.is_none();
                assert!(!row.is_near(write) || !is_same && write.actor != "bot", "{row:?} and {write:?} of {world:?}");
            }
        }
        let mut order: Vec<usize> = (0..world.evidence.len()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        assert_eq!(compared(&world, &order).to_json().unwrap(), document, "the order of the log matters: {world:?}");
    })
    .await;
}

/// Reads events that a query gave as a history.
const LOG: &str = "select event_id, source, 'action.executed' as event_type, occurred_at, 'log' as workflow, \
                   event_id as action_id, actor_id, system, record_type, record_id, field, old_value, new_value, \
                   'succeeded' as outcome from source";

#[test]
fn the_real_log_differs_from_itself_by_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "select event_id, source, occurred_at, actor_id, system, record_type, record_id, field, old_value, \
               new_value from events where event_type in ('action.executed', 'record.corrected') \
               order by occurred_at, seq";
    let all = run(demo(), &["query", sql, "--store", "probity-demo", "--format", "ndjson"]).ended(0).out;
    std::fs::write(folder.path().join("log.sql"), LOG).unwrap();
    let mapping = folder.path().join("log.sql").display().to_string();
    let compare = |name: &str, text: &str, code: i32| -> Value {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let args = ["incident", "reconcile", &file.display().to_string(), "--map", &mapping, "--agent", "bot"];
        let ran = run(demo(), &[&args[..], &["--store", "probity-demo", "--json"]].concat()).ended(code);
        adds_up(&ran.json());
        ran.json()
    };
    let same = compare("same.ndjson", &all, 0);
    assert_eq!((&same["history"]["matched"], &same["evidence"]["matched"]), (&json!(157_664), &json!(157_664)));

    let (mut text, mut taken, mut changed, mut added) = (String::new(), 0, 0, 0);
    for (number, line) in all.lines().enumerate() {
        if number % 997 == 0 {
            taken += 1;
            continue;
        }
        let mut row: Value = serde_json::from_str(line).unwrap();
        if number % 1_499 == 0 {
            added += 1;
            let mut more = row.clone();
            more["event_id"] = format!("bot-{number}").into();
            more["record_id"] = format!("X-{number}").into();
            more["actor_id"] = "bot".into();
            text.push_str(&format!("{more}\n"));
        }
        if number % 1_009 == 0 {
            changed += 1;
            row["new_value"] = "?".into();
        }
        text.push_str(&format!("{row}\n"));
    }
    let found = compare("changed.ndjson", &text, 1);
    let counts = [&found["history"]["unlogged"], &found["evidence"]["not_landed"], &found["history"]["wrong_value"]];
    assert_eq!(counts, [&json!(added), &json!(taken), &json!(changed)]);
    assert_eq!(found["agents"], json!([{"actor_id": "bot", "writes": added}]));
    assert!(found["chain_breaks"].as_array().unwrap().iter().any(|row| row["side"] == "history"));
}

/// The agent's identity in Salesforce, and a person's.
const BOT: &str = "0055g00000BotAAA";
const ANN: &str = "0055g00000AnnAAA";
const HEAD: &str = "Id,LeadId,CreatedById,CreatedDate,Field,OldValue,NewValue\n";

/// A write of a field of a lead as the agent logs it, with `more` in place of what it mostly says.
fn logged(at: &str, [record, field, old, new]: [&str; 4], more: Value) -> Value {
    let id = format!("{at}/{record}/{field}");
    let mut event = json!({
        "event_id": id, "source": "crm://agent", "event_type": "action.executed",
        "occurred_at": format!("2026-01-05T{at}Z"), "workflow": "routing", "action_id": format!("act/{id}"),
        "actor_kind": "agent", "actor_id": "lead-agent", "system": "salesforce", "record_type": "Lead",
        "record_id": record, "field": field, "old_value": old, "new_value": new, "outcome": "succeeded",
    });
    // A value that is null is the empty text; one that is left out was not captured.
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(event.as_object_mut().unwrap().remove(name)),
            _ => event[name] = value.clone(),
        }
    }
    event
}

/// The same write as Salesforce exports it, a few seconds later.
fn row(at: &str, [record, field, old, new]: [&str; 4], by: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let (old, new) = (quoted(old), quoted(new));
    format!("h/{at}/{record}/{field},{record},{by},2026-01-05T{at}.000+0000,{field},{old},{new}\n")
}

/// A folder with a store of `events` and `rows` in `LeadHistory.csv`.
fn folder(events: &[Value], rows: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    run_with(folder.path(), &["ingest", "-"], lines.join("\n").as_bytes()).ended(0);
    std::fs::write(folder.path().join("LeadHistory.csv"), HEAD.to_owned() + &rows.concat()).unwrap();
    folder
}

fn reconcile(dir: &Path, more: &[&str]) -> Ran {
    let args = ["incident", "reconcile", "LeadHistory.csv", "--map", "salesforce_field_history"];
    run(dir, &[&args[..], more].concat())
}

/// The document of a reconciliation that ends with `code`.
fn document(dir: &Path, more: &[&str], code: i32) -> Value {
    let document = reconcile(dir, &[more, &["--json"]].concat()).ended(code).json();
    adds_up(&document);
    document
}

/// One hazard of each kind among writes that both sides tell of.
fn planted() -> tempfile::TempDir {
    let text = "a, \"b\"\nc";
    let open = ["Open", "Working"];
    let write = |at: &str, record: &str, [old, new]: [&str; 2]| logged(at, [record, "Status", old, new], json!({}));
    let events = [
        write("09:00:00", "L1", open),
        write("09:10:00", "L1", ["Working", "Qualified"]),
        write("09:20:00", "L2", open),
        write("09:40:00", "L4", open),
        write("10:00:00", "L5", ["Open", "Open"]),
        logged("10:10:00", ["L6", "Description", "", text], json!({})),
        write("10:20:00", "L7", open),
        write("10:22:00", "L7", open),
        logged("11:00:00", ["L8", "Status", "Open", "Working"], json!({"occurred_at": "2026-01-05T16:30:00+05:30"})),
        logged("10:30:00", ["L9", "Status", "Open", "Lost"], json!({"outcome": "failed"})),
        logged("10:31:00", ["L9", "Status", "Open", "Lost"], json!({"environment": "shadow"})),
    ];
    let change = |at: &str, record: &str, [old, new]: [&str; 2]| row(at, [record, "Status", old, new], BOT);
    let rows = [
        change("09:00:02", "L1", open),
        change("09:20:01", "L2", ["Open", "Nurturing"]),
        change("09:30:00", "L3", ["Open", "Closed"]),
        change("09:40:05", "L4", open),
        row("09:50:00", ["L4", "Status", "Parked", "Closed"], ANN),
        row("10:10:01", ["L6", "Description", "", text], BOT),
        change("10:20:03", "L7", open),
        row("10:21:00", ["L7", "Status", "Working", "Open"], ANN),
        change("10:22:03", "L7", open),
        change("11:00:00", "L8", open).replace("T11:00:00.000+0000", "T12:00:00.000+0100"),
    ];
    folder(&events, &rows)
}

#[test]
fn each_planted_hazard_is_found_and_nothing_else() {
    let folder = planted();
    let found = document(folder.path(), &["--agent", BOT], 1);
    let of = |list: &str, names: &[&str]| -> Vec<Value> {
        let rows = found[list].as_array().unwrap().iter();
        rows.map(|row| names.iter().map(|name| row[*name].clone()).collect()).collect()
    };
    assert_eq!(of("unlogged", &["record_id", "actor_id", "file", "line"]), [json!(["L3", BOT, "LeadHistory.csv", 3])]);
    assert_eq!(
        of("not_landed", &["record_id", "new_value", "outcome", "history_value"]),
        [json!(["L1", "Qualified", "succeeded", "Working"])]
    );
    let wrong = ["record_id", "new_value", "history_value", "history_at", "line"];
    assert_eq!(of("wrong_values", &wrong), [json!(["L2", "Working", "Nurturing", "2026-01-05T09:20:01.000000Z", 2])]);
    let breaks = ["side", "record_id", "actor_id", "old_value", "history_value", "line", "history_line"];
    assert_eq!(of("chain_breaks", &breaks), [json!(["history", "L4", ANN, "Parked", "Working", 5, 4])]);
    assert_eq!((&found["history"]["matched"], &found["history"]["other_writers"]), (&json!(6), &json!(2)));
    assert_eq!((&found["evidence"]["matched"], &found["evidence"]["no_change"]), (&json!(6), &json!(1)));
    assert_eq!(found["records"], json!({"both": 6, "only_history": 1, "only_evidence": 1}));
    assert_eq!((&found["agents_writes"], &found["is_reconciled"]), (&json!(8), &json!(false)));
}

#[test]
fn findings_are_told_and_written() {
    let folder = planted();
    let ran = reconcile(folder.path(), &["--agent", BOT, "--out", "found"]).ended(1);
    let told = "not reconciled: 1 of 8 writes by agents in the history were never logged; 1 logged writes never landed, \
                1 landed with another value, 1 chain breaks";
    assert!(ran.err.contains(told), "{}", ran.err);
    let firsts: Vec<&str> = ran.out.lines().skip(1).filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(firsts, ["unlogged", "not landed", "wrong values", "chain breaks"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join("found").join(name)).unwrap();
    assert_eq!(
        read("unlogged.csv"),
        format!(
            "occurred_at,system,record_type,record_id,field,operation,actor_id,old_value,new_value,file,line\n\
             2026-01-05T09:30:00.000000Z,salesforce,Lead,L3,Status,,{BOT},Open,Closed,LeadHistory.csv,3\n"
        )
    );
    for list in List::ALL {
        assert_eq!(read(&format!("{}.csv", list.name())).lines().count(), 2, "{}", list.name());
    }
    let written: Value = serde_json::from_str(&read("reconciliation.json")).unwrap();
    assert_eq!(written, document(folder.path(), &["--agent", BOT], 1));
    let named = (&written["file"], &written["mapping"]);
    assert_eq!(named, (&json!("LeadHistory.csv"), &json!("salesforce_field_history")));
}

#[test]
fn values_are_compared_and_written_as_they_are() {
    let values = ["", " ", "a,b", "\"", "x\ny", "Ünï", "1.0", "1"];
    let (mut events, mut rows) = (Vec::new(), Vec::new());
    for (number, two) in values.windows(2).enumerate() {
        let at = format!("09:{:02}:00", number * 6);
        events.push(logged(&at, ["L1", "Note", two[0], two[1]], json!({"actor_id": BOT})));
        rows.push(row(&at, ["L1", "Note", two[0], two[1]], BOT));
    }
    let found = document(folder(&events, &rows).path(), &[], 0);
    assert_eq!((&found["history"]["matched"], &found["are_agents_named"]), (&json!(7), &json!(false)));
    rows[2] = rows[2].replace("a,b", "a, b");
    rows[6] = rows[6].replace("\"1\"", "\"1 \"");
    let folder = folder(&events, &rows);
    let found = document(folder.path(), &["--out", "."], 1);
    assert_eq!((&found["history"]["wrong_value"], &found["history"]["matched"]), (&json!(1), &json!(6)));
    assert_eq!(found["chain_breaks"].as_array().unwrap().len(), 2, "both sides see that `a, b` was never left");
    let breaks = std::fs::read_to_string(folder.path().join("chain_breaks.csv")).unwrap();
    assert!(breaks.contains(",\"a,b\",\"\"\"\","), "{breaks}");
}

#[test]
fn who_the_agents_are_is_said_or_asked() {
    let status = ["L1", "Status", "Open", "Working"];
    let rows = [row("09:00:02", status, BOT)];
    let strange = folder(&[logged("09:00:00", status, json!({}))], &rows);
    let found = document(strange.path(), &[], 1);
    assert_eq!(found["agents"], json!([{"actor_id": "lead-agent", "writes": 0}]));
    assert_eq!((&found["history"]["matched"], &found["other_identities"]), (&json!(1), &json!({BOT: 1})));
    let ran = reconcile(strange.path(), &[]).ended(1);
    assert!(ran.err.contains("no identity of an agent wrote") && ran.err.contains(BOT), "{}", ran.err);
    assert!(reconcile(strange.path(), &["--agent", BOT]).ended(0).err.starts_with("reconciled: every write by agents"));
    let other = reconcile(strange.path(), &["--agent", "nobody"]).ended(1).err;
    assert!(other.contains("no identity of an agent wrote") && other.contains("spelled"), "{other}");
    let person = json!({"actor_kind": "human", "actor_id": "ann"});
    let nobody = folder(&[logged("09:00:00", status, person)], &rows);
    assert!(reconcile(nobody.path(), &[]).ended(2).err.contains("--agent ID"));
    document(nobody.path(), &["--agent", BOT], 0);
}

#[test]
fn only_what_the_history_can_show_is_compared_and_the_rest_is_counted() {
    let rows = [row("09:00:00", ["L1", "Status", "Open", "A"], BOT), row("10:00:00", ["L1", "Status", "A", "B"], BOT)];
    let at = |at: &str, new: &str| logged(at, ["L1", "Status", "", new], json!({"old_value": null}));
    let events = [
        at("08:59:58", "A"),
        at("10:00:03", "B"),
        at("08:00:00", "Z"),
        at("08:58:00", "Y"),
        logged("09:30:00", ["L1", "Rating", "1", "2"], json!({})),
        logged("09:30:00", ["C1", "Status", "1", "2"], json!({"record_type": "Contact"})),
        logged("09:31:00", ["", "Status", "1", "2"], json!({"record_id": null})),
    ];
    let folder = folder(&events, &rows);
    let found = document(folder.path(), &["--agent", BOT], 0);
    let evidence = &found["evidence"];
    let names = ["writes", "matched", "outside_span", "other_types", "other_fields", "without_record"];
    assert_eq!(names.map(|name| evidence[name].as_u64().unwrap()), [2, 2, 2, 1, 1, 1], "{evidence}");
    let left_out = (&evidence["types_left_out"], &evidence["fields_left_out"]);
    assert_eq!(left_out, (&json!({"salesforce/Contact": 1}), &json!({"salesforce/Lead/Rating": 1})));
    let wider = document(folder.path(), &["--agent", BOT, "--from", "2026-01-05"], 1);
    assert_eq!((&wider["evidence"]["not_landed"], &wider["evidence"]["outside_span"]), (&json!(2), &json!(0)));
    let window = ["--agent", BOT, "--from", "2026-01-05T09:30:00Z", "--to", "2026-01-05T10:00:00Z"];
    let narrow = document(folder.path(), &window, 1);
    assert_eq!((&narrow["history"]["writes"], &narrow["history"]["outside_span"]), (&json!(0), &json!(2)));
    assert_eq!(narrow["gaps"], json!(["the history has no write to compare"]));
    let shadow = document(folder.path(), &["--agent", BOT, "--environment", "shadow"], 1);
    assert_eq!((&shadow["history"]["unlogged"], &shadow["evidence"]["writes"]), (&json!(2), &json!(0)));
}

#[test]
fn what_a_write_leaves_out_is_taken_from_its_action() {
    let events = [
        logged("08:00:00", ["L1", "Status", "", "A"], json!({"event_type": "action.proposed", "action_id": "a"})),
        logged("09:00:00", ["", "", "Open", "A"], json!({"action_id": "a", "record_id": null, "field": null})),
        logged(
            "09:10:00",
            ["", "", "A", ""],
            json!({
                "event_type": "action.rolled_back", "action_id": "a", "record_id": null, "field": null, "new_value": null
            }),
        ),
    ];
    let rows =
        [row("09:00:01", ["L1", "Status", "Open", "A"], BOT), row("09:10:01", ["L1", "Status", "A", "Open"], BOT)];
    let found = document(folder(&events, &rows).path(), &["--agent", BOT], 0);
    assert_eq!((&found["evidence"]["matched"], &found["history"]["matched"]), (&json!(2), &json!(2)));
}

#[test]
fn rows_of_whole_records_are_matched_by_what_was_done() {
    let create = |field: &str, new: &str| logged("09:00:00", ["L1", field, "", new], json!({"operation": "create"}));
    let whole = |at: &str, operation: &str| {
        let more = json!({"operation": operation, "field": null, "old_value": null, "new_value": null});
        logged(at, ["L1", operation, "", ""], more)
    };
    let events = [
        create("Status", "Open"),
        create("Note", "new"),
        whole("09:30:00", "lock"),
        whole("09:40:00", "send"),
        logged("09:50:00", ["L1", "Status", "Open", "Won"], json!({"outcome": "partial"})),
    ];
    let rows = [
        row("09:00:01", ["L1", "created", "", ""], BOT),
        row("09:20:00", ["L1", "Note", "new", "old"], ANN),
        row("09:30:01", ["L1", "locked", "", ""], BOT),
        row("09:41:00", ["L1", "unlocked", "", ""], BOT),
        row("10:00:00", ["L1", "Status", "Open", "Lost"], ANN),
    ];
    let found = document(folder(&events, &rows).path(), &["--agent", BOT], 1);
    let evidence = ["matched_without_value", "landed_with_record", "not_landed", "not_landed_open", "other_fields"];
    assert_eq!(evidence.map(|name| found["evidence"][name].as_u64().unwrap()), [2, 1, 0, 1, 1], "{found}");
    let unlogged = &found["unlogged"][0];
    assert_eq!((&unlogged["operation"], &unlogged["field"]), (&json!("unlock"), &Value::Null));
    assert_eq!(found["evidence"]["fields_left_out"], json!({"salesforce/Lead (send)": 1}));
    assert_eq!(found["not_landed"][0]["outcome"], "partial");
}

#[test]
fn what_cannot_be_compared_is_never_reconciled() {
    let status = ["L1", "Status", "Open", "Working"];
    let good = row("09:00:02", status, BOT);
    let folder = folder(&[logged("09:00:00", status, json!({}))], &[]);
    let dir = folder.path();
    let history = |text: &str| std::fs::write(dir.join("LeadHistory.csv"), text).unwrap();
    let empty = document(dir, &["--agent", BOT], 1);
    assert_eq!((&empty["gaps"], &empty["from"]), (&json!(["the history has no row"]), &Value::Null));
    assert_eq!(empty["evidence"]["outside_span"], 1);
    // A page that overlaps the one before has a row twice; a row that cannot be read may be anything.
    history(&format!("{HEAD}{good}{good}"));
    assert_eq!(document(dir, &["--agent", BOT], 0)["history"]["duplicates"], 1);
    history(&format!("{HEAD}{good}h2,L1,{BOT},soon,Status,Working,Lost\n"));
    let found = document(dir, &["--agent", BOT], 1);
    assert_eq!((&found["history"]["matched"], &found["history"]["refused"]), (&json!(1), &json!(1)));
    assert!(found["reasons"][0].as_str().unwrap().contains("LeadHistory.csv:2: `occurred_at`"), "{found}");
    history("");
    assert!(reconcile(dir, &["--agent", BOT]).ended(2).err.contains("header line"));
}

#[test]
fn mistakes_say_what_to_do() {
    let status = ["L1", "Status", "Open", "Working"];
    let folder = folder(&[logged("09:00:00", status, json!({}))], &[row("09:00:02", status, BOT)]);
    let cases: [(&[&str], &str); 6] = [
        (&["--environment", "prod"], "production, shadow, sandbox"),
        (&["--tolerance", "soon"], "90s, 5m or 2h"),
        (&["--tolerance", "25h"], "the limit is 24h"),
        (&["--from", "yesterday"], "no instant"),
        (&["--from", "2026-02-01", "--to", "2026-01-01"], "not before --to"),
        (&["--agent", " "], "--agent names nobody"),
    ];
    for (more, word) in cases {
        let ran = reconcile(folder.path(), more).ended(2);
        assert!(ran.err.contains(word), "{more:?}: {}", ran.err);
    }
    std::fs::write(folder.path().join("broken.sql"), "select nope as event_id from source").unwrap();
    for (file, map, word) in [
        ("LeadHistory.csv", "nowhere.sql", "cannot read mapping"),
        ("LeadHistory.csv", "broken.sql", "does not work on this source"),
        ("LeadHistory.csv", "self_approval", "no mapping"),
        ("nowhere.csv", "salesforce_field_history", "cannot open nowhere.csv"),
    ] {
        let ran = run(folder.path(), &["incident", "reconcile", file, "--map", map]).ended(2);
        assert!(ran.err.contains(word) && !ran.err.contains("panicked"), "{file} {map}: {}", ran.err);
    }
}
