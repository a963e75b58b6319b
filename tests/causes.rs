//! Causes and guardrails of incidents: what stands out among bad actions, and what would have stopped them.
//!
//! The arithmetic is tested beside the code; here it is that planted causes are named first, that a guardrail on them
//! stops the planted actions and no other, and that the words of command and page are those of the account.

use std::path::Path;

use probity::clock::Clock;
use probity::incident::account::Account;
use probity::incident::guardrail::{Guardrail, replay};
use probity::incident::record::Record;
use probity::incident::scope;
use probity::ingest::Source;
use probity::query::asof::AsOf;
use probity::query::blast::{Selector, read_instant};
use probity::query::engine::Engine;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::simulate::{self, Planted, Simulation, UNTIL};
use probity::store::Store;
use probity::store::object::Location;
use serde_json::{Value, json};

use crate::support::command::{Ran, run, run_with};
use crate::support::{T0, event, ingest, memory};

async fn engine(store: &Store) -> Engine {
    let runtime = QueryRuntime::new(&RuntimeLimits { threads: 2, ..RuntimeLimits::default() }).unwrap();
    let snapshot = store.snapshot().await.unwrap();
    Engine::new(&runtime, &snapshot, AsOf { size: snapshot.size, at: T0 }).await.unwrap()
}

async fn account(store: &Store, engine: &Engine, selector: Selector) -> Account {
    let record = Record { incident_id: "i".to_owned(), selector: Some(selector), ..Record::default() };
    Account::of(store, engine, record).await.unwrap()
}

/// A store of a simulated log, and the incidents in it.
async fn simulated(seed: u64) -> (Store, Vec<Planted>) {
    let store = Store::create(Location::memory(), "default", Clock::simulated(UNTIL, seed)).await.unwrap();
    let mut simulation = Simulation::new(simulate::Plan { events: 20_000, seed, ..simulate::Plan::default() });
    let mut drafts = Vec::new();
    while let Some(draft) = simulation.next_event() {
        drafts.push(draft);
    }
    let source = Source::Drafts { name: "simulate".to_owned(), drafts: Box::new(drafts.into_iter()) };
    probity::ingest::ingest(&store, source, &|_, _| {}).await.1.unwrap();
    store.fold().await.unwrap();
    (store, simulation.planted())
}

/// What a planted incident was made with: column of `events` and value.
fn planted_cause(planted: &Planted) -> (String, String) {
    let (column, rest) = planted.predicate.split_once(" = '").unwrap();
    (column.to_owned(), rest.split('\'').next().unwrap().to_owned())
}

/// The actions of a planted incident, picked by their ids: no value stands out by definition.
async fn by_ids(engine: &Engine, planted: &Planted) -> Selector {
    let instant = |text: &str| Some(read_instant(text).unwrap());
    let (from, to) = (instant(&planted.from), instant(&planted.to));
    let asked = Selector { from, to, ..Selector::new(planted.predicate.clone()) };
    let found = engine.blast_radius(&asked).await.unwrap().radius;
    let direct = found.actions.iter().filter(|action| action.depth == 0);
    let ids: Vec<String> = direct.map(|action| format!("'{}'", action.action_id)).collect();
    assert_eq!(ids.len() as u64, planted.direct_actions, "{}", planted.name);
    Selector::new(format!("action_id in ({})", ids.join(", ")))
}

#[tokio::test]
async fn the_planted_cause_is_the_first_candidate() {
    for seed in [6, 7] {
        let (store, planted) = simulated(seed).await;
        let engine = engine(&store).await;
        assert_eq!(planted.len(), 4);
        for incident in &planted {
            let (column, value) = planted_cause(incident);
            let dimension = if column == "actor_id" { "agent" } else { column.as_str() };
            let found = account(&store, &engine, by_ids(&engine, incident).await).await.causes;
            let first = &found.causes[0];
            assert_eq!((first.dimension, first.value.as_str()), (dimension, value.as_str()), "{seed} {found:?}");
            assert_eq!((first.bad, found.bad), (incident.direct_actions, incident.direct_actions), "{}", incident.name);
            assert!(first.is_signal() && !first.is_selected && found.is_of_executed, "{first:?}");
            let lift = found.all as f64 / first.all as f64;
            assert!((first.lift - lift).abs() < 1e-9 && lift > 1.5, "all bad actions have it: {first:?}");
            let announced = first.change.as_ref().is_some_and(|change| change.names(dimension, &value));
            assert_eq!(announced, dimension != "agent", "nobody declared the trial agent: {first:?}");
            let by_definition = account(&store, &engine, Selector::new(incident.predicate.clone())).await.causes;
            assert!(by_definition.causes[0].is_selected, "the selector itself names it");
        }
    }
}

#[tokio::test]
async fn a_guardrail_on_the_planted_cause_stops_the_planted_actions_and_no_other() {
    let (store, planted) = simulated(6).await;
    let engine = engine(&store).await;
    let mut others = 0;
    for incident in &planted {
        let scoped = scope(&store, &engine, &by_ids(&engine, incident).await).await.unwrap();
        let (column, value) = planted_cause(incident);
        let rule = Guardrail::Rule;
        let found = replay(&engine, &scoped, &rule(format!("{column} = '{value}'"))).await.unwrap();
        assert!(found.is_complete() && found.missed.is_empty(), "{found:?}");
        assert_eq!(found.direct.actions + found.not_executed, incident.direct_actions, "{}", incident.name);
        assert_eq!((found.others.stopped, found.hit.len()), (0, 0), "{found:?}");
        others += found.others.actions;
        let none = replay(&engine, &scoped, &rule("workflow = 'nobody'".to_owned())).await.unwrap();
        assert_eq!((none.direct.stopped, none.direct.actions), (0, found.direct.actions));
        assert!(!none.is_complete() && none.missed.len() == 20, "{none:?}");
        let all = replay(&engine, &scoped, &rule("true".to_owned())).await.unwrap();
        assert_eq!((all.direct, all.derived.stopped), (found.direct, all.derived.actions));
        assert_eq!((all.others.stopped, all.others.actions), (all.others.actions, found.others.actions));
    }
    assert!(others > 0, "there is something to spare");
}

#[tokio::test]
async fn a_guardrail_sees_the_proposal_and_nothing_that_came_later() {
    let store = memory().await;
    let proposed = event("1", 0).replace("action.executed", "action.proposed").replace(r#","outcome":"succeeded""#, "");
    let executed = event("1", 5).replace(r#""event_id":"1""#, r#""event_id":"1x""#);
    ingest(&store, [proposed, executed, event("2", 6)].join("\n")).await;
    let engine = engine(&store).await;
    let scoped = scope(&store, &engine, &Selector::new("true")).await.unwrap();
    for (rule, stopped) in [("outcome = 'succeeded'", 1), ("event_type = 'action.proposed'", 1), ("field = 'owner'", 2)]
    {
        let found = replay(&engine, &scoped, &Guardrail::Rule(rule.to_owned())).await.unwrap();
        // An action without a proposal is judged by its first event.
        assert_eq!((found.direct.stopped, found.direct.actions), (stopped, 2), "{rule}");
    }
    let refused = replay(&engine, &scoped, &Guardrail::Rule("seq in (select 1)".to_owned())).await.unwrap_err();
    assert!(refused.to_string().contains("sub-query"), "{refused}");
}

/// `event` with more columns.
fn with(event: &str, more: &[(&str, &str)]) -> String {
    let columns: Vec<String> = more.iter().map(|(name, value)| format!(r#""{name}":"{value}","#)).collect();
    event.replacen('{', &format!("{{{}", columns.concat()), 1)
}

/// Thirty actions of an old rule and model, then a change of the model, then ten bad actions of new ones.
fn changed() -> Vec<String> {
    let old = |i: i64| with(&event(&i.to_string(), i), &[("rule_version", "r1"), ("model_version", "m1")]);
    let new = |i: i64| with(&event(&i.to_string(), i + 100), &[("rule_version", "r2"), ("model_version", "m2")]);
    let change = r#"{"event_id":"c","source":"ops","event_type":"config.changed","occurred_at":"2026-01-01T02:00:00Z","workflow":"w","actor_kind":"human","actor_id":"bob","field":"model_version","old_value":"m1","new_value":"m2"}"#;
    // Every third old action lacks both versions.
    let bare = |i: i64| if i % 3 == 0 { event(&i.to_string(), i) } else { old(i) };
    (0..30).map(bare).chain([change.to_owned()]).chain((30..40).map(new)).collect()
}

const BAD: &str = "occurred_at >= timestamp '2026-01-01T02:05:00Z' and action_id is not null";

#[tokio::test]
async fn of_two_values_alike_the_announced_one_goes_first_and_nulls_are_no_value() {
    let store = memory().await;
    ingest(&store, changed().join("\n")).await;
    let engine = engine(&store).await;
    let found = account(&store, &engine, Selector::new(BAD)).await.causes;
    let names: Vec<(&str, &str)> = found.causes.iter().map(|cause| (cause.dimension, cause.value.as_str())).collect();
    assert_eq!(names, [("model_version", "m2"), ("rule_version", "r2")]);
    assert_eq!((found.bad, found.all, found.causes[0].all), (10, 40, 10));
    let change = found.causes[0].change.as_ref().unwrap();
    let words = (change.by.as_deref(), change.from.as_deref(), change.to.as_deref());
    assert_eq!(words, (Some("bob"), Some("m1"), Some("m2")));
    let concerned = found.causes[1].change.as_ref().unwrap();
    assert!(concerned.seq == change.seq && !concerned.names("rule_version", "r2"), "of the same workflow, no more");
}

#[tokio::test]
async fn where_nothing_can_be_compared_the_reason_is_told() {
    let store = memory().await;
    ingest(&store, changed().join("\n")).await;
    let engine = engine(&store).await;
    let shadow = Selector { environment: "shadow".to_owned(), ..Selector::new("true") };
    for (selector, why) in [
        (Selector::new("action_id = 'nobody'"), "picks no action"),
        (Selector::new("true"), "every action of the period is bad"),
        (Selector::new("action_id = 'a3'"), "stands out"),
        (shadow, "production alone"),
    ] {
        let found = account(&store, &engine, selector).await.causes;
        assert!(found.causes.is_empty() && found.lack.is_some_and(|lack| lack.contains(why)), "{why}: {found:?}");
    }
    let record = Record { incident_id: "i".to_owned(), ..Record::default() };
    let unscoped = Account::of(&store, &engine, record).await.unwrap();
    assert!(unscoped.causes.lack.is_some() && unscoped.to_json()["scope"].is_null());
}

#[tokio::test]
async fn a_source_and_a_record_that_was_read_are_candidates() {
    let store = memory().await;
    let input = r#""inputs":[{"system":"crm","record_type":"list","record_id":"L/9","field":"owner"},{"system":"crm","record_type":"list","record_id":"L/9","field":"name"}],"#;
    let bad = |i: i64| {
        let event = event(&i.to_string(), i).replace(r#""source":"test""#, r#""source":"import""#);
        event.replacen('{', &format!("{{{input}"), 1)
    };
    let good = (0..20).map(|i: i64| event(&i.to_string(), i));
    ingest(&store, good.chain((20..26).map(bad)).collect::<Vec<_>>().join("\n")).await;
    let engine = engine(&store).await;
    let found = account(&store, &engine, Selector::new("source = 'import'")).await.causes;
    let named = |dimension: &str| found.causes.iter().find(|cause| cause.dimension == dimension).unwrap();
    let (source, record) = (named("source"), named("source_record"));
    assert_eq!((source.value.as_str(), source.bad, source.all, source.is_selected), ("import", 6, 6, true));
    assert_eq!(
        (record.value.as_str(), record.bad, record.all),
        ("crm/list/L%2F9", 6, 6),
        "twice in one action is once"
    );
}

#[tokio::test]
async fn controls_that_list_bad_actions_are_counted_and_those_that_were_not_run_are_named() {
    let store = memory().await;
    ingest(&store, changed().join("\n")).await;
    let engine = engine(&store).await;
    let record = Record { selector: Some(Selector::new(BAD)), ..Record::default() };
    let found = Account::with_controls(&store, &engine, record).await.unwrap().failed_controls.unwrap();
    let one = found.failed.iter().find(|failed| failed.control == "executed_without_proposal").unwrap();
    assert_eq!((one.actions, one.judgement.violations, one.judgement.population), (10, 40, 40));
    assert!(found.failed.iter().all(|failed| failed.control != "duplicate_side_effect") && found.ran > 20, "{found:?}");
    assert!(found.not_run.contains_key("chain_break") && !found.not_run.contains_key("not_in_policy"));
    let month = |text: &str| read_instant(text).unwrap();
    assert_eq!(found.period, Some((month("2026-01-01"), month("2026-02-01"))));
}

const OPEN: [&str; 10] = [
    "incident",
    "open",
    "--title",
    "Owners lost",
    "--workflow",
    "w",
    "--by",
    "ann",
    "--where",
    "action_id in ('a1', 'a2')",
];

fn opened(dir: &Path) -> String {
    let lines = [event("3", 0), event("1", 1), event("2", 2)].join("\n");
    run_with(dir, &["ingest", "-"], lines.as_bytes()).ended(0);
    run(dir, &OPEN).ended(0).out.trim().to_owned()
}

fn guardrail(dir: &Path, args: &[&str]) -> Ran {
    run(dir, &[&["incident", "guardrail"][..], args].concat())
}

#[test]
fn a_replay_answers_by_its_exit_code_and_is_stated_with_the_incident() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let id = opened(dir);
    let all = guardrail(dir, &[&id, "--rule", "record_id in ('r1', 'r2')", "--json"]).ended(0).json();
    assert_eq!((&all["direct"]["stopped"], &all["others"]["stopped"]), (&2.into(), &0.into()));
    assert_eq!(
        (&all["direct"]["share"], &all["others"]["actions"], &all["is_complete"]),
        (&json!(1.0), &1.into(), &true.into())
    );
    let some = guardrail(dir, &["--where", "action_id in ('a1', 'a2')", "--rule", "record_id = 'r1'"]).ended(1);
    assert!(some.out.contains("1 of 2 actions") && some.err.contains("not stopped: a2"), "{some:?}");
    let before = run(dir, &["incident", "show", &id, "--json"]).ended(0).json();
    assert!(before["guardrail"].is_null(), "a question states nothing: {before}");

    guardrail(dir, &[&id, "--rule", "field = 'owner'", "--state", "--by", "cy"]).ended(0);
    let shown = run(dir, &["incident", "show", &id, "--json"]).ended(0).json();
    let replay = &shown["guardrail"]["replay"];
    assert_eq!((&shown["guardrail"]["by"], &replay["rule"]), (&"cy".into(), &"field = 'owner'".into()));
    assert_eq!((&replay["hit"], &replay["others"]["share"]), (&json!(["a3"]), &json!(1.0)));
    let step = shown["steps"].as_array().unwrap().iter().find(|step| step["step"] == "add_guardrail").unwrap();
    assert!(step["state"] == "open" && step["note"].as_str().unwrap().contains("2 of 2 bad actions and 1 of 1 others"));

    run(dir, &["incident", "report", &id, "--out", "out"]).ended(0);
    let html = std::fs::read_to_string(dir.join("out").join(format!("incident-{id}.html"))).unwrap();
    for expected in ["The causes", "stands out", "executed_without_proposal", "Guardrail replay", "a3", "by cy"] {
        assert!(html.contains(expected), "the page lacks {expected}");
    }
    run(dir, &["incident", "close", &id, "--reason", "case 7", "--by", "ann"]).ended(0);
    let closed = guardrail(dir, &[&id, "--rule", "true", "--state", "--by", "cy"]).ended(2);
    assert!(closed.err.contains("closed already"), "{}", closed.err);
}

#[test]
fn a_policy_stops_what_it_prohibits_blocks_or_wants_approved() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let id = opened(dir);
    let stopped = |rules: &str| -> (Option<i32>, Value) {
        std::fs::write(dir.join("g.toml"), format!("version = \"g\"\n{rules}")).unwrap();
        let ran = guardrail(dir, &[&id, "--policy", "g.toml", "--json"]);
        (ran.code, ran.json())
    };
    let of = |found: &Value| ["direct", "others"].map(|kind| found[kind]["stopped"].as_u64().unwrap());
    let prohibited = "[[prohibited]]\nname = \"owners\"\nsystem = \"crm\"\nfield = \"owner\"\n";
    let (code, found) = stopped(prohibited);
    assert_eq!((code, of(&found), &found["by_control"]["prohibited_action_executed"]), (Some(0), [2, 1], &2.into()));
    assert_eq!((&found["policy"]["version"], &found["rule"]), (&"g".into(), &Value::Null));
    let (code, found) = stopped(&prohibited.replace("owner\"\n", "stage\"\n"));
    assert_eq!((code, of(&found), &found["missed"]), (Some(1), [0, 0], &json!(["a1", "a2"])));
    let (code, found) = stopped("[[approval_required]]\nname = \"owners\"\nfield = \"owner\"\n");
    assert_eq!((code, &found["by_control"]["approval_missing"]), (Some(0), &2.into()));
    let (code, found) = stopped("[[workflow]]\nname = \"w\"\nblocked_fields = [\"crm/lead/owner\"]\n");
    assert_eq!((code, &found["by_control"]), (Some(0), &json!({"blocked_field_touched": 2})));
    let (code, found) = stopped("[[workflow]]\nname = \"other\"\n");
    assert_eq!((code, of(&found), &found["by_control"]), (Some(0), [2, 1], &json!({"not_in_policy": 2})));
}

#[test]
fn mistakes_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let id = opened(dir);
    std::fs::write(dir.join("bad.toml"), "colour = 3\n").unwrap();
    let id = id.as_str();
    for (args, word) in [
        (&[id, "--rule", "count(*) > 1"][..], "aggregate"),
        (&[id, "--policy", "bad.toml"][..], "unknown field"),
        (&[id, "--policy", "none.toml"][..], "cannot read the policy"),
        (&["inc-1", "--rule", "true"][..], "incident list"),
        (&["--where", "action_id = 'nobody'", "--rule", "true"][..], "picks no action"),
        (&["--where", "true", "--environment", "shadow", "--rule", "true"][..], "production"),
        (&[id][..], "--rule"),
        (&[id, "--rule", "true", "--state", "--as-of", "2"][..], "--as-of"),
    ] {
        let ran = guardrail(dir, args).ended(2);
        assert!(ran.err.contains(word), "{args:?}: {}", ran.err);
    }
}
