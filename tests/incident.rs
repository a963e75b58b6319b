//! Incidents: what bad actions reached, found through the store, and the plans that are made from it.
//!
//! The rules of the blast radius are tested in `tests/blast.rs`; here it is that a store feeds them everything that
//! matters, however its events lie, that a predicate can do no more than pick, and that a plan grows stale.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use probity::blast::{Needed, Radius, Scope, Trace, Traced};
use probity::clock::Clock;
use probity::event::{Column, Rows};
use probity::incident::scope;
use probity::ingest::Source;
use probity::query::answer::Limits;
use probity::query::asof::AsOf;
use probity::query::blast::{Selector, read_instant};
use probity::query::engine::Engine;
use probity::query::objects::{count, rows, text};
use probity::query::runtime::{QueryRuntime, RuntimeLimits};
use probity::simulate::{self, Simulation, UNTIL};
use probity::store::compact::Due;
use probity::store::object::Location;
use probity::store::projection::Lag;
use probity::store::{Store, parquet};
use serde_json::Value;

use crate::blast::world::{World, json_of, sorted, taken, world};
use crate::real_log::demo;
use crate::support::command::{run, run_with};
use crate::support::{T0, counts, event, ingest, memory, seeded};

const AFFECTED: &str = "4023c24f334f9cf7707f6ba061185caf58c01225db556a635d698f47c3b41fdc";
const MAY: [&str; 4] = ["--from", "2016-05-01", "--to", "2016-06-01"];

/// A session over the first `size` events of `store`, or all of them.
async fn engine(store: &Store, size: Option<i64>) -> Engine {
    let runtime = QueryRuntime::new(&RuntimeLimits { threads: 2, ..RuntimeLimits::default() }).unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let as_of = AsOf { size: size.unwrap_or(snapshot.size), at: T0 };
    Engine::new(&runtime, &snapshot, as_of).await.unwrap()
}

fn selector(predicate: &str, from: &str, to: &str) -> Selector {
    let instant = |text: &str| Some(read_instant(text).unwrap());
    Selector { from: instant(from), to: instant(to), ..Selector::new(predicate) }
}

#[tokio::test]
async fn the_known_incident_of_the_real_log_is_found_by_the_library() {
    let url = demo().join("probity-demo").display().to_string();
    let store = Store::open(Location::open(&url).unwrap(), "default", Clock::system()).await.unwrap();
    let engine = engine(&store, None).await;
    let asked = selector("actor_id = 'Updated by 44'", "2016-05-01", "2016-06-01");
    let found = scope(&store, &engine, &asked).await.unwrap();
    let radius = &found.radius;
    assert_eq!((radius.direct_actions, radius.derived_actions), (3_609, 0));
    assert_eq!((radius.cells.len() as u64, radius.affected().records), (3_548, 1_536));
    assert_eq!(radius.affected_sha256(), AFFECTED);
    assert_eq!(found.size, engine.as_of().size);
    // A log of 2016 that was recorded today: more of that month may come yet.
    assert_eq!(found.certainty(), "at least");
}

#[test]
fn the_known_incident_of_the_real_log_is_found_by_the_command_and_by_sql() {
    let store = ["--store", "probity-demo", "--json"];
    let scope = ["incident", "scope", "--where", "actor_id = 'Updated by 44'"];
    let found = run(demo(), &[&scope[..], &MAY, &store].concat()).ended(0).json();
    let number = |name: &str| found[name].as_u64().unwrap();
    assert_eq!([number("direct_actions"), number("cells"), number("records")], [3_609, 3_548, 1_536]);
    let states = &found["states"];
    assert_eq!([&states["still_wrong"], &states["overwritten"], &states["restored"]], [2_026, 1_502, 20]);
    assert_eq!(found["affected_sha256"], AFFECTED);
    assert_eq!(found["items"].as_array().unwrap().len(), 3_548);

    let sql = "select state, count(*) as n from blast_radius('actor_id = ''Updated by 44''', \
               '2016-05-01T00:00:00Z', '2016-06-01T00:00:00Z') group by state order by state";
    let answer = run(demo(), &[&["query", sql][..], &store].concat()).ended(0).json();
    assert_eq!(answer["rows"], serde_json::json!([["overwritten", 1_502], ["restored", 20], ["still_wrong", 2_026]]));
    let joined = "select count(distinct e.seq) as n from blast_radius('actor_id = ''Updated by 44''', '2016-05-01', \
                  '2016-06-01') as b inner join events as e on e.seq = b.first_bad_seq where e.record_id = b.record_id";
    let answer = run(demo(), &[&["query", joined][..], &store].concat()).ended(0).json();
    assert_eq!(answer["rows"][0][0], 3_548);
}

/// What the pure core makes of the first `size` events of `store`, all held in memory.
async fn in_memory(store: &Store, world: &World, size: i64) -> Radius {
    let snapshot = store.snapshot().await.unwrap();
    let mut batches: Vec<RecordBatch> = snapshot.journal.clone();
    for file in &snapshot.files {
        let rows = parquet::scan(&snapshot.objects, file, &Column::all(), None).await.unwrap();
        batches.extend(rows.try_collect::<Vec<_>>().await.unwrap());
    }
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let rows = Rows::new(&all).unwrap();
    let counted = (0..rows.len()).filter(|row| rows.long(Column::Seq, *row).unwrap() < size);
    let events = sorted(&taken(&all, counted.map(|row| row as u32).collect()));
    let direct = world.direct.iter().map(|id| (*id).to_owned()).collect();
    let scope = Scope { environment: world.environment.to_owned(), depth: world.depth, ..Scope::new(direct) };
    let mut trace = Trace::new(&scope, &Needed::default());
    trace.feed(&events).unwrap();
    match trace.finish() {
        Traced::Radius(radius) => *radius,
        Traced::Again(actions) => panic!("nothing was assumed, yet {actions:?} surprise"),
    }
}

/// A store of the world's events: some in the journal, most in files that overlap, compacted in every other world.
async fn laid_out(world: &World, seed: u64) -> Store {
    let store = memory().await;
    let step = world.facts.len().div_ceil(4).max(1);
    let chunks: Vec<_> = world.facts.chunks(step).collect();
    for (i, facts) in chunks.iter().enumerate() {
        let lines: Vec<String> = facts.iter().map(json_of).collect();
        let report = ingest(&store, lines.join("\n")).await;
        assert_eq!(counts(&report)[1], facts.len() as u64, "{report:?}");
        if i + 1 < chunks.len() || seed.is_multiple_of(5) {
            store.fold().await.unwrap();
        }
        if i == 2 && seed.is_multiple_of(2) {
            store.compact(Due::Any).await.unwrap();
        }
        if i == 1 && seed.is_multiple_of(3) {
            store.project(Lag::None).await.unwrap();
        }
    }
    store
}

#[tokio::test]
async fn a_store_gives_what_all_events_in_memory_give() {
    seeded(60, |seed| async move {
        let world = world(seed);
        let store = laid_out(&world, seed).await;
        let whole = store.snapshot().await.unwrap().size;
        for size in [whole, whole * 2 / 3] {
            let ids: Vec<String> = world.direct.iter().map(|id| format!("'{id}'")).collect();
            let asked = Selector {
                environment: world.environment.to_owned(),
                depth: world.depth,
                ..Selector::new(format!("action_id in ({})", ids.join(", ")))
            };
            let found = engine(&store, Some(size)).await.blast_radius(&asked).await.unwrap();
            let expected = in_memory(&store, &world, size).await;
            assert_eq!(found.radius, expected, "the first {size} of {whole} events");
        }
    })
    .await;
}

#[tokio::test]
async fn planted_incidents_are_found_through_a_store() {
    let store = Store::create(Location::memory(), "default", Clock::simulated(UNTIL, 7)).await.unwrap();
    let mut simulation = Simulation::new(simulate::Plan { events: 20_000, seed: 6, ..simulate::Plan::default() });
    let mut drafts = Vec::new();
    while let Some(draft) = simulation.next_event() {
        drafts.push(draft);
    }
    let source = Source::Drafts { name: "simulate".to_owned(), drafts: Box::new(drafts.into_iter()) };
    let (_, outcome) = probity::ingest::ingest(&store, source, &|_, _| {}).await;
    outcome.unwrap();
    store.fold().await.unwrap();
    let engine = engine(&store, None).await;
    let planted = simulation.planted();
    assert_eq!(planted.len(), 4);
    for incident in &planted {
        let asked = selector(&incident.predicate, &incident.from, &incident.to);
        let found = engine.blast_radius(&asked).await.unwrap().radius;
        let writes = |is_direct: bool| -> u64 {
            found.actions.iter().filter(|a| (a.depth == 0) == is_direct).map(|a| a.bad_writes).sum()
        };
        let counts = [found.direct_actions, found.derived_actions, writes(true), writes(false)];
        let known = [incident.direct_actions, incident.readers, incident.direct_writes, incident.derived_writes];
        assert_eq!(counts, known, "{}", incident.name);
    }
}

/// Predicates that are none, with a word of the reason.
const REFUSED: [(&str, &str); 17] = [
    ("random() < 0.5", "another value each time"),
    ("", "empty"),
    ("seq in (select seq from evidence)", "sub-query"),
    ("exists (select 1)", "sub-query"),
    ("(select true)", "sub-query"),
    ("true; drop table evidence", "no SQL"),
    ("1=1) union select (1", "no SQL"),
    ("1=1 union select 1", "no SQL"),
    ("select true", "predicate"),
    ("true as x", "AS"),
    ("count(*) > 1", "count"),
    ("row_number() over (order by seq) = 1", "window"),
    ("nothing = 1", "nothing"),
    ("actions.workflow = 'x'", "actions"),
    ("salt is null", "salt"),
    ("$secret = 1", "no value"),
    ("seq", "boolean"),
];

#[tokio::test]
async fn a_predicate_can_do_nothing_but_pick() {
    let store = memory().await;
    ingest(&store, event("1", 0)).await;
    let engine = engine(&store, None).await;
    for (predicate, why) in REFUSED {
        let err = engine.blast_radius(&Selector::new(predicate)).await.map(drop).expect_err(predicate).to_string();
        assert!(err.contains(why), "{predicate}: {err}");
        let sql = format!("select * from blast_radius('{}')", predicate.replace('\'', "''"));
        let err = engine.sql(&sql, Limits::default()).await.map(drop).expect_err(predicate).to_string();
        assert!(err.contains(why), "{sql}: {err}");
    }
    let grown = engine.blast_radius(&Selector::new("array_length(range(0, 1000000000)) > 0")).await;
    assert!(grown.map(drop).unwrap_err().to_string().contains("range"), "a stranger's functions only");
    for honest in
        ["true", "events.workflow = 'w'", "occurred_at < $as_of", "new_value = '1' -- sealed", "event_order > 0"]
    {
        let found = engine.blast_radius(&Selector::new(honest)).await.unwrap();
        assert_eq!((found.radius.direct_actions, found.radius.cells.len()), (1, 1), "{honest}");
        assert_eq!(found.sources, ["test"]);
    }
}

#[tokio::test]
async fn cells_join_with_everything_else() {
    let store = memory().await;
    ingest(&store, format!("{}\n{}", event("1", 0), event("2", 5))).await;
    let engine = engine(&store, None).await;
    let sql = "with b as (select * from blast_radius('action_id = ''a2''', null, '2026-02-01')) \
               select b.record_id, b.old_value, b.bad_value, cardinality(b.flags) as flags, a.workflow, o.n \
               from b inner join actions as a on a.action_id = b.via_action cross join (select count(*) as n from b) as o";
    let found = rows(&engine.sql(sql, Limits::default()).await.unwrap()).unwrap();
    assert_eq!(found.len(), 1);
    let row = &found[0];
    let words = ["record_id", "old_value", "bad_value", "workflow"].map(|name| text(row, name));
    assert_eq!((words, count(row, "flags"), count(row, "n")), (["r2", "x", "2", "w"], Some(0), Some(1)));
    let none = "select * from blast_radius('action_id = ''a2''', '2026-02-01')";
    assert_eq!(engine.sql(none, Limits::default()).await.unwrap().rows(), 0);
}

#[tokio::test]
async fn sql_names_environment_and_depth_of_a_blast_radius() {
    let store = memory().await;
    let sandbox = event("4", 3).replace("\"workflow\"", "\"environment\":\"sandbox\",\"workflow\"");
    let lines =
        [event("1", 0), reading(&event("2", 1), "r1", None), reading(&event("3", 2), "r2", Some("owner")), sandbox];
    ingest(&store, lines.join("\n")).await;
    let engine = engine(&store, None).await;
    let cells = async |more: &str| {
        let sql =
            format!("select record_id from blast_radius('action_id in (''a1'', ''a4'')'{more}) order by record_id");
        let found = rows(&engine.sql(&sql, Limits::default()).await.unwrap()).unwrap();
        found.iter().map(|row| text(row, "record_id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cells("").await, ["r1", "r2", "r3"]);
    assert_eq!(cells(", null, null, null, null").await, ["r1", "r2", "r3"]);
    assert_eq!(cells(", null, null, 'production', 1").await, ["r1", "r2"]);
    assert_eq!(cells(", null, '2026-02-01', null, 0").await, ["r1"]);
    assert_eq!(cells(", null, null, 'sandbox'").await, ["r4"]);
    for (more, why) in [
        (", null, null, 'prod'", "production, shadow, sandbox"),
        (", null, null, 1", "takes constants"),
        (", null, null, null, '1'", "no whole number"),
        (", null, null, null, 4294967296", "no whole number"),
        (", null, null, null, 1, 1", "takes constants"),
    ] {
        let sql = format!("select * from blast_radius('true'{more})");
        let err = engine.sql(&sql, Limits::default()).await.map(drop).expect_err(more).to_string();
        assert!(err.contains(why), "{more}: {err}");
    }
}

/// `event` that read the record `crm/lead/{record}`, or its `field`.
fn reading(event: &str, record: &str, field: Option<&str>) -> String {
    let field = field.map_or_else(String::new, |field| format!(",\"field\":\"{field}\""));
    let input = format!("{{\"system\":\"crm\",\"record_type\":\"lead\",\"record_id\":\"{record}\"{field}}}");
    event.replace("\"outcome\"", &format!("\"inputs\":[{input}],\"outcome\""))
}

/// A bad source record is a selector as any other: what read it is direct, whatever wrote it.
#[test]
fn a_record_that_was_read_picks_the_actions_that_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let lines = [
        event("1", 0),
        reading(&event("2", 1), "L-1", None),
        reading(&event("3", 2), "L-1", Some("owner")),
        reading(&event("4", 3), "L-2", Some("owner")),
    ];
    run_with(dir, &["ingest", "-"], lines.join("\n").as_bytes()).ended(0);
    let records = |predicate: &str| {
        let found = run(dir, &["incident", "scope", "--where", predicate, "--json"]).ended(0).json();
        let items = found["items"].as_array().unwrap();
        let mut ids: Vec<String> = items.iter().map(|item| item["record_id"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(records("reads(inputs, 'crm', 'lead', 'L-1')"), ["r2", "r3"]);
    assert_eq!(records("reads(inputs, 'crm', 'lead', 'L-1', 'phone')"), ["r2"]);
    assert_eq!(records("reads(inputs, null, null, 'L-2')"), ["r4"]);
    let unread = "select record_id from events where record_id is not null and not reads(inputs, null, null, null)";
    let unread = run(dir, &["query", unread, "--json"]).ended(0).json();
    assert_eq!(unread["rows"], serde_json::json!([["r1"]]), "without inputs it is false, not unknown");
    assert!(run(dir, &["queries"]).ended(0).out.contains("reads(inputs, system, record_type, record_id [, field])"));
    let typed = run(dir, &["incident", "scope", "--where", "reads(inputs, 'crm', 'lead', 1)"]).ended(2).err;
    assert!(typed.contains("expected text"), "{typed}");
}

fn scoped(dir: &Path) -> Value {
    run(dir, &["incident", "scope", "--where", "action_id = 'a1'", "--json"]).ended(0).json()
}

#[test]
fn a_roll_back_shrinks_the_residual_and_makes_the_plan_stale() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    run_with(dir, &["ingest", "-"], event("1", 0).as_bytes()).ended(0);
    let before = scoped(dir);
    assert_eq!((&before["states"]["still_wrong"], &before["records"]), (&1.into(), &1.into()));
    let plan = ["incident", "plan", "--where", "action_id = 'a1'"];
    run(dir, &[&plan[..], &["--out", "plan.json"]].concat()).ended(0);
    run(dir, &[&plan[..], &["--out", "recovery"]].concat()).ended(0);
    let update = std::fs::read_to_string(dir.join("recovery/crm-lead.csv")).unwrap();
    assert_eq!(update, "id,owner\nr1,x\n");
    run(dir, &["incident", "plan", "--check", "plan.json"]).ended(0);

    let undone = event("1", 1)
        .replace("\"event_id\":\"1\"", "\"event_id\":\"undo\"")
        .replace("action.executed", "action.rolled_back")
        .replace("\"new_value\":\"1\"", "\"new_value\":\"x\"")
        .replace("\"old_value\":\"x\"", "\"old_value\":\"1\"");
    run_with(dir, &["ingest", "-"], undone.as_bytes()).ended(0);
    let stale = run(dir, &["incident", "plan", "--check", "plan.json"]).ended(1);
    assert!(stale.err.contains("stale") && stale.out.trim() == "crm/lead/r1/owner", "{stale:?}");
    let after = scoped(dir);
    assert_eq!((&after["states"]["still_wrong"], &after["states"]["restored"]), (&0.into(), &1.into()));
    assert_eq!(after["affected_sha256"], before["affected_sha256"]);
    // Nothing is left to restore; the update of the older plan would still lie there to be applied.
    let second = run(dir, &[&plan[..], &["--out", "recovery"]].concat()).ended(2);
    assert!(second.err.contains("crm-lead.csv") && second.err.contains("another folder"), "{second:?}");
    assert!(std::fs::read_to_string(dir.join("recovery/plan.json")).unwrap().contains("\"restore\""));
}

/// Gaps are counted by a join of which no column is asked for. Once such joins failed, and whoever had lost an event
/// could not scope an incident at all.
#[test]
fn a_gap_in_the_numbers_of_a_source_is_counted_and_makes_the_scope_a_lower_bound() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let numbered = |id: &str, number: u32| {
        event(id, i64::from(number)).replace("\"workflow\"", &format!("\"source_seq\":{number},\"workflow\""))
    };
    let lines = [numbered("1", 1), numbered("2", 2), numbered("3", 4)].join("\n");
    run_with(dir, &["ingest", "-"], lines.as_bytes()).ended(0);
    let found = run(dir, &["incident", "scope", "--where", "event_type = 'action.executed'", "--json"]).ended(0).json();
    assert_eq!((&found["records"], &found["certainty"]), (&3.into(), &"at least".into()));
    assert_eq!(found["uncertainty"]["source_gaps"], 1);
    let window = ["--to", "2026-01-01T00:03:00Z"];
    let before = [&["incident", "scope", "--where", "event_type = 'action.executed'", "--json"][..], &window].concat();
    assert_eq!(run(dir, &before).ended(0).json()["uncertainty"]["source_gaps"], 0);

    // A number that was given twice does not make up for the one that is missing.
    run_with(dir, &["ingest", "-"], numbered("4", 2).as_bytes()).ended(0);
    let again = run(dir, &["incident", "scope", "--where", "event_type = 'action.executed'", "--json"]).ended(0).json();
    assert_eq!((&again["records"], &again["uncertainty"]["source_gaps"]), (&4.into(), &1.into()));
}

#[test]
fn a_key_in_the_table_is_whole_so_that_it_can_be_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let id = "0065g00000XyZzAAK-opportunity";
    run_with(dir, &["ingest", "-"], event(id, 0).as_bytes()).ended(0);
    let picked = format!("action_id = 'a{id}'");
    let scope = ["incident", "scope", "--where", &picked];
    let key = format!("crm/lead/r{id}");
    assert!(run(dir, &scope).ended(0).out.contains(&key));
    run(dir, &[&scope[..], &["--why", &key]].concat()).ended(0);
}

#[test]
fn why_prints_the_events_and_mistakes_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    run_with(dir, &["ingest", "-"], event("1", 0).as_bytes()).ended(0);
    let scope = ["incident", "scope", "--where", "action_id = 'a1'"];
    let why = run(dir, &[&scope[..], &["--why", "crm/lead/r1/owner"]].concat()).ended(0).out;
    assert!(why.contains("write action.executed") && why.contains("`x` became `1`"), "{why}");
    for (more, word) in [
        (["--why", "crm/lead/other"], "not in the set"),
        (["--why", "r1"], "system/type/id"),
        (["--from", "yesterday"], "no instant"),
        (["--environment", "prod"], "production, shadow, sandbox"),
    ] {
        let ran = run(dir, &[&scope[..], &more].concat()).ended(2);
        assert!(ran.err.contains(word), "{}", ran.err);
    }
    let nobody = run(dir, &["incident", "scope", "--where", "action_id = 'nobody'"]).ended(0);
    assert!(nobody.err.contains("picks no action"), "{}", nobody.err);
    let nothing = run(dir, &["incident", "plan", "--where", "action_id = 'nobody'"]).ended(0);
    assert!(nothing.err.contains("picks no action"), "{}", nothing.err);
    let cut = run(dir, &[&scope[..], &["--depth", "0"]].concat()).ended(0);
    assert!(cut.err.contains("followed for 0 steps only"), "{}", cut.err);
    std::fs::write(dir.join("x.json"), "{}").unwrap();
    assert!(run(dir, &["incident", "plan", "--check", "x.json"]).ended(2).err.contains("no recovery plan"));
}
