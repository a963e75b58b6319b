//! Doing it again: from the store, from a pack alone, by a script that shares nothing, on a log whose truth is known.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{AsArray, StringViewArray};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use probity::clock::Clock;
use probity::event::Column;
use probity::review::account::Account;
use probity::review::ground::Ground;
use probity::review::leaf::Source;
use probity::review::{record, register};
use probity::store::object::Location;
use probity::store::{Store, parquet};
use serde_json::{Value, json};

use super::world::{World, id_of, item as item_id, named, outcomes};
use crate::support::command::run;
use crate::support::restate;

/// A review that ended with ENABLE, after one wrong item.
fn enabled() -> (World, String, Vec<String>) {
    let world = World::new();
    let (id, items) = world.ready(&[]);
    world.mark(&id, "rita", &items[..1], "incorrect");
    world.mark(&id, "rita", &items[1..44], "correct");
    assert_eq!(world.decided(&id, "olga", 0)["decision"], "ENABLE");
    (world, id, items)
}

#[test]
fn a_pack_alone_is_enough_to_verify_a_review() {
    let (world, id, _) = enabled();
    let vkey = world.run(&["init", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    world.run(&["review", "draw", &id, "--checkpoint", "seed.checkpoint", "--by", "ann"]).ended(0);
    let size = world.rows("select count(*) as n from events", &[])[0]["n"].to_string();
    world.run(&["export", "--from", "0", "--to", &size, "--out", "whole.tar.gz"]).ended(0);
    let elsewhere = tempfile::tempdir().unwrap();
    let again = |pack: &str, code: i32| {
        let pack = world.dir().join(pack);
        let args = ["review", "verify", &id, "--pack", pack.to_str().unwrap(), "--vkey", &vkey, "--json"];
        outcomes(&run(elsewhere.path(), &args).ended(code).json())
    };
    let whole = again("whole.tar.gz", 0);
    assert_eq!(named(&whole, "not_checked"), ["preconditions"], "{whole:?}");

    let of = format!("review_id = '{id}'");
    let mark = format!("select min(seq) as n from events where {of} and event_type = 'review.marked'");
    let mark = world.rows(&mark, &[])[0]["n"].to_string();
    let parts = [
        ("rows", format!("{of} or environment = 'shadow'"), 0, &[][..]),
        ("without-output", format!("{of} or (environment = 'shadow' and action_id <> 's7')"), 1, &["frame"][..]),
        ("without-mark", format!("({of} and seq <> {mark}) or environment = 'shadow'"), 1, &["decision"][..]),
    ];
    for (name, condition, code, failed) in parts {
        let sql = format!("select seq from events where {condition}");
        world.run(&["export", "--query", &sql, "--held", "seed.checkpoint", "--out", name]).ended(0);
        let outcomes = again(name, code);
        assert_eq!(named(&outcomes, "failed"), failed, "{name}");
        assert!(named(&outcomes, "not_checked").contains(&"owner"), "{name}: {outcomes:?}");
    }
    let other = World::new();
    let stranger = other.run(&["init", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    let pack = world.dir().join("whole.tar.gz");
    let args = ["review", "verify", &id, "--pack", pack.to_str().unwrap(), "--vkey", &stranger];
    run(elsewhere.path(), &args).ended(2);
}

#[test]
fn a_review_is_verified_by_all_that_there_is() {
    let (world, id, _) = enabled();
    let size = world.rows("select count(*) as n from events", &[])[0]["n"].as_i64().unwrap();
    // Before the decision and the resumption that follows it.
    let before = (size - 2).to_string();
    let status = world.run(&["--as-of", &before, "review", "status", &id, "--json"]).ended(0).json();
    assert_eq!(status["state"], "drawn");
    let refused = world.run(&["--as-of", &before, "review", "verify", &id]).ended(2).err;
    assert!(refused.contains("by all that there is"), "{refused}");
}

/// The store of a world.
async fn opened(dir: &Path) -> (Location, Store) {
    let location = Location::open(dir.join("probity-data").to_str().unwrap()).unwrap();
    let store = Store::open(location.clone(), "default", Clock::system()).await.unwrap();
    (location, store)
}

/// The owner looks at 29 correct marks; before he has signed ENABLE, one of them is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_comes_while_enable_is_signed_keeps_the_workflow_paused() {
    let world = World::new();
    let (id, items) = world.ready(&[]);
    world.mark(&id, "rita", &items[..29], "correct");
    let (_, store) = opened(world.dir()).await;
    let ground = Ground::Evidence(&store);
    let size = store.snapshot().await.unwrap().size;
    let engine = ground.session(size).await.unwrap();
    let review = record::one(&engine, &id).await.unwrap();
    let account = Account::of(ground, review, size, Source::Tiles).await.unwrap();
    world.mark(&id, "rita", &items[..1], "incorrect");
    let refused = register::decide(&store, &engine, &account, "olga").await.unwrap_err().to_string();
    assert!(refused.contains("1 marks of") && refused.contains("stays paused"), "{refused}");
    let again = world.run(&["review", "decide", &id, "--by", "olga"]).ended(2).err;
    assert!(again.contains("stays paused"), "{again}");
    let resumed = world.rows("select count(*) as n from events where event_type = 'workflow.resumed'", &[]);
    assert_eq!(resumed, [json!({"n": 0})]);
    assert_eq!(named(&world.verified(&id, 1), "failed"), ["decision"]);

    // Such an ENABLE is no sample of the incident, and the next plan is no first attempt.
    let shown = world.run(&["incident", "show", &world.incident, "--json"]).ended(0).json();
    let sample = shown["steps"].as_array().unwrap().iter().find(|step| step["step"] == "sample").unwrap();
    assert_eq!(sample["state"], "open", "{sample}");
    let (next, items) = world.ready(&[]);
    assert_eq!(world.status(&next, 1)["attempt"], 2);
    world.mark(&next, "rita", &items, "correct");
    assert_eq!(world.decided(&next, "olga", 0)["decision"], "ENABLE");
    let shown = world.run(&["incident", "show", &world.incident, "--json"]).ended(0).json();
    let sample = shown["steps"].as_array().unwrap().iter().find(|step| step["step"] == "sample").unwrap();
    assert_eq!((&sample["state"], &sample["by"]), (&json!("done"), &json!("olga")));
}

/// Replaces `from` by `to` in what events state, as somebody with access to all files would.
async fn tampered(dir: &Path, (from, to): (&str, &str)) {
    let (location, store) = opened(dir).await;
    let mut is_found = false;
    for file in &store.snapshot().await.unwrap().files {
        let rows = parquet::scan(&location.objects, file, &Column::all(), None).await.unwrap();
        let rows = parquet::sort(&rows.try_collect::<Vec<_>>().await.unwrap()).unwrap();
        let mut columns = rows.columns().to_vec();
        let extra = columns[Column::Extra as usize].as_string_view();
        if !extra.iter().flatten().any(|text| text.contains(from)) {
            continue;
        }
        is_found = true;
        let edited: StringViewArray = extra.iter().map(|text| text.map(|text| text.replace(from, to))).collect();
        columns[Column::Extra as usize] = Arc::new(edited);
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        let bytes = parquet::encode(&[rows], parquet::Effort::Compact).unwrap();
        restate(&location, file, bytes.to_vec()).await;
    }
    assert!(is_found, "no event states {from}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_edited_afterwards_is_found() {
    let (world, id, items) = enabled();
    // Everything goes from the journal into the table.
    world.run(&["export", "--from", "0", "--to", "10", "--out", "folded"]).ended(0);
    let order = world.status(&id, 0)["seed"]["order_hash"].as_str().unwrap().to_owned();
    let mark = |word: &str| format!(r#""item":"{}","mark":"{word}""#, items[0]);
    let edits = [
        (mark("incorrect"), mark("correct"), "decision"),
        (r#""below":"1/10""#.to_owned(), r#""below":"1/5""#.to_owned(), "seed"),
        (r#""reviewers":["rita"]"#.to_owned(), r#""reviewers":["ruth"]"#.to_owned(), "marks"),
        (r#""owner":"olga""#.to_owned(), r#""owner":"otto""#.to_owned(), "decision"),
        (r#""class":"D""#.to_owned(), r#""class":"C""#.to_owned(), "seed"),
        (format!(r#""order_hash":"{order}""#), format!(r#""order_hash":"{}""#, "0".repeat(64)), "order"),
        (r#""is_met":true"#.to_owned(), r#""is_met":false"#.to_owned(), "seed"),
    ];
    for (from, to, failed) in edits {
        tampered(world.dir(), (from.as_str(), to.as_str())).await;
        let outcomes = world.verified(&id, 1);
        assert!(named(&outcomes, "failed").contains(&failed), "{from}: {outcomes:?}");
        tampered(world.dir(), (to.as_str(), from.as_str())).await;
    }
    assert!(world.verified(&id, 0).values().all(|outcome| outcome == "passed"), "the edits were undone");
}

/// The Python that there is.
fn python() -> Option<String> {
    let python = std::env::var("PROBITY_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: there is no {python}; set PROBITY_PYTHON to repeat a review by tests/oracle/review_draw.py");
    None
}

/// What the script makes of what anybody can export, beside what the program says.
fn repeated(python: &str, world: &World, id: &str) -> (Value, Value) {
    let ours = world.run(&["review", "verify", id, "--export", "export.json", "--json"]).ended(0).json();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/review_draw.py");
    let out = Command::new(python).args(["-B", script]).arg(world.dir().join("export.json")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    (serde_json::from_slice(&out.stdout).unwrap(), ours)
}

#[test]
fn a_script_that_shares_nothing_draws_the_same_items_and_decides_the_same() {
    let Some(python) = python() else { return };
    let world = World::new();
    let two = ["--reviewer", "rita", "--reviewer", "ron", "--reviewers-per-item", "2"];
    let forms: [&[&str]; 5] = [
        &[],
        &["--stratum", "segment", "--take-all", "vip"],
        &["--of", "value", "--below", "20%"],
        &["--planted-where", "rule_version = 'r6'", "--below", "30%"],
        &["--fixed", "--errors", "1", two[0], two[1], two[2], two[3], two[4], two[5]],
    ];
    for form in forms {
        let (id, items) = world.ready(form);
        world.mark(&id, "rita", &items[..2], "incorrect");
        world.mark(&id, "rita", &items[2..items.len().min(40)], "correct");
        if form.contains(&"ron") {
            world.mark(&id, "ron", &items[1..20], "correct");
            world.mark(&id, "ron", &items[20..22], "escalate");
        }
        let (theirs, ours) = repeated(&python, &world, &id);
        for part in ["N", "D0", "n", "k", "e", "decision", "next"] {
            assert_eq!(theirs[part], ours[part], "{part} of {form:?}");
        }
        let (seed, hashes) = (&ours["seed"], ["seed_hash", "order_hash"]);
        assert!(hashes.iter().all(|hash| theirs[*hash] == seed[*hash]), "{theirs}");
        assert_eq!(theirs["frame_hash"], seed["seed"]["frame_hash"]);
        // By value an item may be drawn again, and is shown once; planted ones are shown and not drawn.
        let mut order: Vec<&str> = Vec::new();
        for id in theirs["order"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()) {
            if !order.contains(&id) {
                order.push(id);
            }
        }
        let shown: Vec<&str> = items.iter().map(String::as_str).filter(|id| order.contains(id)).collect();
        assert_eq!(shown, order, "{form:?}");
    }
}

/// A log of an agent whose errors are known, and the verdict on each of its actions.
fn airline() -> (World, BTreeMap<String, bool>) {
    let world = World::empty(
        "version = \"1\"\neffective_from = 2024-01-01T00:00:00Z\n[[owner]]\nworkflow = \"airline-service\"\nbusiness = \
         \"olga\"\n",
    );
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tau_bench_airline/gpt-4o-airline.json.gz");
    world.run(&["ingest", "--map", "tau_bench_airline", log]).ended(0);
    let labels = world.rows("select action_id, label from events where event_type = 'action.labeled'", &[]);
    let label = |row: &Value| {
        let is_right = row["label"] == "true_positive";
        (row["action_id"].as_str().unwrap().to_owned(), is_right)
    };
    let truth = labels.iter().map(label).collect();
    (world, truth)
}

#[test]
fn on_a_log_whose_errors_are_known_every_review_ends_as_it_must() {
    let (world, truth) = airline();
    assert_eq!((truth.len(), truth.values().filter(|is_right| !**is_right).count()), (177, 88));
    // 88 of 177 are wrong: what is claimed below that is false, by however little.
    for (below, decision, attempt) in
        [("5%", "REJECTED", 1), ("88/177", "REJECTED", 2), ("3/4", "ENABLE", 3), ("89/177", "ENABLE", 1)]
    {
        let args = ["review", "plan", "--without-incident", "--candidate", "model_version = 'gpt-4o'", "--where"];
        let more = ["outcome = 'succeeded'", "--environment", "production", "--below", below, "--most", "177"];
        let last = ["--errors", "0", "--reviewer", "judge", "--by", "ann", "--json"];
        let planned = world.run(&[&args[..], &more, &last].concat()).ended(0).json();
        let (id, plan) = (id_of(&planned), &planned["planned"]["plan"]);
        assert_eq!((&plan["attempt"], &plan["frame"]["items"]), (&attempt.into(), &177.into()), "{below}");
        assert_eq!(plan["frame"]["left_out"], 73, "the writes that failed");
        let items = world.drawn(&id, &[]);
        assert!(items.len() == 177 && items.iter().all(|item| item.get("label").is_none()));
        let is_right = |item: &Value| truth[item["action_id"].as_str().unwrap()];
        for (word, wanted) in [("correct", true), ("incorrect", false)] {
            let marked: Vec<String> = items.iter().filter(|item| is_right(item) == wanted).map(item_id).collect();
            world.mark(&id, "judge", &marked, word);
        }
        let code = if decision == "ENABLE" { 0 } else { 1 };
        let status = world.decided(&id, "olga", code);
        let found = (&status["decision"], &status["n"], &status["k"]);
        assert_eq!(found, (&decision.into(), &177.into(), &88.into()), "{below}");
        if below == "3/4" {
            let report = world.run(&["review", "report", &id, "--json"]).ended(0).json();
            let threshold = report["threshold"].as_f64().unwrap();
            let is_enough = |step: &Value| step["e"].as_str().unwrap().parse::<f64>().unwrap() >= threshold;
            let stopped = report["path"].as_array().unwrap().iter().position(is_enough).unwrap() + 1;
            assert!(stopped < 120, "a sequential review ends early, not after {stopped}");
        }
    }
}
