//! Strangers' SQL: whatever is asked, it is refused or ended by a bound in clear words, and the next one is answered.
//!
//! The statements lie in `fixtures/hostile/`, each with a word of its refusal and the reason for it. They go through
//! one engine, one after the other; after each an honest question has its answer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use probity::error::{Error, ErrorKind};
use probity::query::answer::{Answer, Limits};
use probity::query::asof::AsOf;
use probity::query::engine::Engine;
use probity::query::runtime::{QueryRuntime, RuntimeLimits};

use crate::support::command::{Ran, probity, run, run_with};
use crate::support::{T0, event, ingest, memory};

pub const REFUSED: &str = include_str!("fixtures/hostile/refused.sql");
pub const RUNAWAY: &str = include_str!("fixtures/hostile/runaway.sql");
const CONDITIONS: &str = include_str!("fixtures/hostile/conditions.sql");
/// Events of the store: a product of five is beyond every patience.
const EVENTS: i64 = 400;
/// Refusals come long before; a test on a busy machine must not take one for a runaway.
const PATIENT: Limits = Limits { rows: 100, seconds: 30 };
const SHORT: Limits = Limits { rows: 100, seconds: 2 };
/// What no message says: names of classes and files of what the program is made of.
pub const INTERNALS: [&str; 10] = [
    "DataFusion",
    "datafusion",
    "Arrow error",
    "arrow-",
    "Internal error",
    "External error",
    "Optimizer rule",
    "backtrace",
    ".rs:",
    "registry/src",
];

/// A statement and what its refusal says.
pub struct Hostile {
    /// Words, one of which the refusal says.
    pub says: Vec<&'static str>,
    /// Why it must be refused.
    pub why: &'static str,
    /// The statement, written out.
    pub sql: String,
}

/// The entries of `text`.
pub fn entries(text: &'static str) -> Vec<Hostile> {
    let entry = |entry: &'static str| {
        let (head, sql) = entry.split_once('\n').unwrap();
        let (says, why) = head.split_once(": ").unwrap();
        let sql = sql.split("\n\n").next().unwrap().trim_end_matches('\n');
        Hostile { says: says.split('/').collect(), why, sql: expanded(sql) }
    };
    text.split("\n--! ").skip(1).map(entry).collect()
}

/// `text` with «text»*n written out.
fn expanded(text: &str) -> String {
    let mut all = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('«') {
        let (copy, after) = after.split_once("»*").unwrap();
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        all.push_str(before);
        all.push_str(&copy.repeat(after[..digits].parse().unwrap()));
        rest = &after[digits..];
    }
    all + rest
}

/// A session over a small store, with little memory.
async fn engine() -> Engine {
    let store = memory().await;
    let events: Vec<String> = (0..EVENTS).map(|i| event(&i.to_string(), i)).collect();
    ingest(&store, events.join("\n")).await;
    let snapshot = store.snapshot().await.unwrap();
    let limits = RuntimeLimits {
        threads: 2,
        memory_bytes: 64 * 1024 * 1024,
        spill_bytes: 64 * 1024 * 1024,
        ..RuntimeLimits::default()
    };
    let as_of = AsOf { size: snapshot.size, at: T0 };
    Engine::new(&QueryRuntime::new(&limits).unwrap(), &snapshot, as_of).await.unwrap()
}

/// `refusal` is one for the person who asked: of a kind to act on, in the words of `hostile`, without internals.
fn assert_clear(hostile: &Hostile, refusal: &Error) {
    let shown: String = hostile.sql.chars().take(100).collect();
    let (why, text) = (hostile.why, refusal.to_string());
    let kinds = [ErrorKind::Invalid, ErrorKind::Limit, ErrorKind::Denied, ErrorKind::NotFound];
    assert!(kinds.contains(&refusal.kind()), "{why}: {shown}: {:?} {text}", refusal.kind());
    assert!(hostile.says.iter().any(|word| says(&text, word)), "{why}: {shown}: {text}");
    for internal in INTERNALS {
        assert!(!text.contains(internal) || hostile.sql.contains(internal), "{why}: {shown}: {text}");
    }
}

pub fn says(text: &str, word: &str) -> bool {
    text.to_lowercase().contains(&word.to_lowercase())
}

/// The engine answers as if nothing had been.
async fn assert_lives(engine: &Engine, after: &str) {
    let answer = engine.sql("select seq from evidence order by seq limit 3", PATIENT).await;
    let rows = answer.map(|answer| answer.rows()).unwrap_or_else(|err| panic!("after {after}: {err}"));
    assert_eq!(rows, 3, "after {after}");
}

fn refusal(hostile: &Hostile, answer: probity::error::Result<Answer>) -> Error {
    let shown: String = hostile.sql.chars().take(100).collect();
    match answer {
        Ok(answer) => panic!("{}: answered with {} rows: {shown}", hostile.why, answer.rows()),
        Err(refusal) => refusal,
    }
}

#[test]
fn the_suite_holds_no_statement_twice_and_at_least_150() {
    let mut all: Vec<String> = [REFUSED, RUNAWAY, CONDITIONS].into_iter().flat_map(entries).map(|h| h.sql).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a statement stands there twice");
    assert!(count >= 150, "{count}");
}

#[tokio::test]
async fn hostile_sql_is_refused_in_clear_words() {
    let engine = engine().await;
    for hostile in entries(REFUSED) {
        let answer = engine.sql(&hostile.sql, PATIENT).await;
        assert_clear(&hostile, &refusal(&hostile, answer));
        assert_lives(&engine, hostile.why).await;
    }
}

#[tokio::test]
async fn sql_without_end_is_ended_by_a_bound() {
    let engine = engine().await;
    for hostile in entries(RUNAWAY) {
        let answer = engine.sql(&hostile.sql, SHORT).await;
        let refusal = refusal(&hostile, answer);
        assert_clear(&hostile, &refusal);
        assert_eq!(refusal.kind(), ErrorKind::Limit, "{}: {refusal}", hostile.why);
        assert_lives(&engine, hostile.why).await;
    }
}

#[tokio::test]
async fn a_product_without_end_that_is_listed_is_cut_and_says_so() {
    let engine = engine().await;
    for sql in [
        "select a.seq, b.seq, c.seq, d.seq from evidence a, evidence b, evidence c, evidence d",
        "select a.seq from evidence a, evidence b, evidence c union all select a.seq from evidence a, evidence b, evidence c",
        "select unnest([1, 2, 3, 4]) from evidence a, evidence b, evidence c",
    ] {
        let answer = engine.sql(sql, PATIENT).await.unwrap();
        assert_eq!((answer.rows(), answer.is_truncated), (PATIENT.rows, true), "{sql}");
    }
}

#[tokio::test]
async fn a_hostile_condition_of_a_blast_radius_is_refused() {
    let engine = engine().await;
    for hostile in entries(CONDITIONS) {
        let sql = format!("select * from blast_radius('{}')", hostile.sql.replace('\'', "''"));
        let answer = engine.sql(&sql, PATIENT).await;
        assert_clear(&hostile, &refusal(&hostile, answer));
        assert_lives(&engine, hostile.why).await;
    }
}

#[tokio::test]
async fn what_honest_people_ask_stays_within_the_bounds() {
    let engine = engine().await;
    for sql in [
        "select record_id, string_agg(event_id, ', '), array_agg(event_id order by seq) from evidence group by record_id",
        "select b.ids, e.event_id from (select workflow, array_agg(event_id) as ids from evidence group by workflow) as b join evidence as e using (workflow)",
        "select (select string_agg(distinct source, ', ') from evidence) as sources, count(*) from evidence",
        "select source, grouping(source), array_agg(seq) from evidence group by rollup(source) order by 1",
        "select array_agg(field) from evidence having count(*) > 1",
        "select first_value(old_value || ' to ' || new_value) over (partition by record_id order by seq) from evidence",
        "select approx_percentile_cont(seq, 0.5), approx_percentile_cont(seq, 0.9, 200), approx_median(seq) from evidence",
        "select to_char(occurred_at, '%Y-%m-%d'), encode(event_id, 'hex'), rpad(event_id, 40, '.') from evidence",
        "select cast([1, 2] as bigint[]), arrow_cast(seq, 'Utf8'), repeat('-', 80) from evidence",
        "select array_replace_all([seq, 1], 1, 2), array_union([seq], [1]) from evidence",
        "select unnest(array_agg(event_id)) from evidence",
        "select count(*) from evidence where event_id ~ '^[0-9]+$' and event_id similar to '[0-9]+'",
        "select count(*) from policies",
    ] {
        let answer = engine.sql(sql, PATIENT).await;
        let rows = answer.map(|answer| answer.rows()).unwrap_or_else(|err| panic!("{sql}: {err}"));
        assert!(rows > 0, "{sql}");
    }
}

/// The review of a record of a batch.
const REVIEW: &str = r#"{"event_id":"2","source":"test","event_type":"record.reviewed","occurred_at":"2026-01-01T00:05:00Z","workflow":"w","system":"crm","record_type":"lead","record_id":"r9","batch_id":"b1"}"#;

/// A store of its own in a directory, and the evidence of another tenant beside it.
fn stores() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let secret = event("secret", 1).replace("\"w\"", "\"theirs\"");
    let own = format!("{}\n{REVIEW}", event("1", 0));
    run_with(dir.path(), &["ingest", "-"], own.as_bytes()).ended(0);
    run_with(dir.path(), &["ingest", "-", "--tenant", "other"], secret.as_bytes()).ended(0);
    dir
}

/// The run ended with 2, said `word`, and told nothing of where it ran or what it is made of.
fn assert_ended_clearly(dir: &Path, ran: Ran, word: &str) {
    let ran = ran.ended(2);
    assert!(says(&ran.err, word), "`{word}` is not in: {}", ran.err);
    for hidden in INTERNALS.into_iter().chain(["panicked", "secret", "theirs", dir.to_str().unwrap()]) {
        assert!(!ran.err.contains(hidden) && !ran.out.contains(hidden), "`{hidden}`: {ran:?}");
    }
}

#[test]
fn hostile_words_on_the_command_line_end_with_2_and_tell_nothing() {
    let dir = stores();
    let spans = ["-p", "period_end=2026-02-01T00:00:00Z", "-p"];
    let with = |value: &'static str| ["query", "approval_coverage", spans[0], spans[1], spans[2], value].to_vec();
    let cases: [(Vec<&str>, &str); 30] = [
        (vec!["query", "drop table evidence"], "only one SELECT"),
        (vec!["query", "copy evidence to 'x.parquet'"], "only one SELECT"),
        (vec!["query", "select * from '/etc/passwd'"], "no table"),
        (vec!["query", "select * from other.evidence"], "no table"),
        (vec!["query", "select * from \"other/events\""], "no table"),
        (vec!["query", "select 1; select 2"], "exactly one"),
        (vec!["query", "select repeat('a', 30000000) from evidence"], "repeat"),
        (vec!["query", "select cast(null as int[2000000000])"], "fixed size"),
        (vec!["query", "select approx_percentile_cont(seq, 0.5, 1000000000000) from evidence"], "centroids"),
        (vec!["query", "select count(*) from evidence where event_id similar to '(('"], "regular expression"),
        (vec!["query", ""], "no SQL"),
        (vec!["query", ";"], "exactly one"),
        (vec!["query", "../../etc/passwd"], "no SQL"),
        (vec!["query", "@file"], "no SQL"),
        (vec!["query", "\u{feff}select 1"], "no SQL"),
        (vec!["query", "sel\u{202e}ect 1"], "no SQL"),
        (vec!["query", "select 1\u{1}"], "no SQL"),
        (vec!["query", "select \u{201c}1\u{201d}"], "no SQL"),
        (vec!["query", "approval_coverage; drop table evidence"], "no SQL"),
        (vec!["query", "select 1", "-p", "x=1"], "named queries"),
        (with("period_start=2026-01-01'; drop table evidence --"), "no timestamp"),
        (with("period_start=(select max(occurred_at) from evidence)"), "no timestamp"),
        (with("period_start=$as_of"), "no timestamp"),
        (with("as_of=1"), "--as-of"),
        (with("'; drop table evidence --=1"), "no parameter"),
        (with("period_start"), "no `=`"),
        (vec!["query", "select 1", "--as-of", "1; drop table evidence"], "no as-of point"),
        (vec!["query", "select 1", "--tenant", "../other"], "no plain name"),
        (vec!["query", "select 1", "--tenant", "a' or '1'='1"], "no plain name"),
        (vec!["query", "select 1", "--as-of", "99999999"], "beyond the ledger"),
    ];
    for (args, word) in cases {
        assert_ended_clearly(dir.path(), run(dir.path(), &args), word);
    }
    let mut odd = probity(dir.path());
    odd.arg("query").arg(OsStr::from_bytes(b"select '\xff\xfe'"));
    assert_eq!(odd.output().unwrap().status.code(), Some(2));
}

#[test]
fn hostile_conditions_of_incidents_end_with_2_and_tell_nothing() {
    let dir = stores();
    let refused_unseen = [
        ("true) or (true", "no SQL"),
        ("true; drop table evidence", "no SQL"),
        ("seq in (select seq from other.evidence)", "sub-query"),
        ("length(repeat('a', 4000000000)) > 5", "repeat"),
        ("cast(null as int[2000000000]) is null", "fixed size"),
    ];
    let refused_on_events =
        [("length(repeat(event_id, 100000000)) > 5", "repeat"), ("event_id similar to '(('", "regular expression")];
    for (condition, word) in refused_unseen.into_iter().chain(refused_on_events) {
        let scope = run(dir.path(), &["incident", "scope", "--where", condition]);
        assert_ended_clearly(dir.path(), scope, word);
        let replayed = run(dir.path(), &["incident", "guardrail", "--where", condition, "--rule", "true"]);
        assert_ended_clearly(dir.path(), replayed, word);
    }
    for (rule, word) in refused_unseen {
        let replayed = run(dir.path(), &["incident", "guardrail", "--where", "true", "--rule", rule]);
        assert_ended_clearly(dir.path(), replayed, word);
    }
}

#[test]
fn a_value_wider_than_any_terminal_is_printed() {
    let dir = stores();
    let ran = run(dir.path(), &["query", "select repeat(event_id, 70000) as wide, 1 as n from events"]).ended(0);
    assert!(ran.out.contains(&"1".repeat(70_000)) && ran.out.contains(&"2".repeat(70_000)), "{}", ran.out.len());
}

#[test]
fn a_value_that_looks_like_sql_is_a_value() {
    let dir = stores();
    let rows = |batch: &str| {
        let batch = format!("batch_id={batch}");
        run(dir.path(), &["query", "batch_records", "-p", &batch, "--json"]).ended(0).json()["rows"].clone()
    };
    let none = rows("no batch");
    assert_ne!(rows("b1"), none);
    for batch in ["' or '1'='1", "x'; drop table evidence; --", "$as_of", "(select batch_id from evidence)", "b%"] {
        assert_eq!(rows(batch), none, "{batch}");
    }
    let elsewhere = ["incident", "scope", "--where", "true", "--json", "--environment", "x' or '1'='1"];
    assert!(run(dir.path(), &elsewhere).ended(2).err.contains("is none of production, shadow, sandbox"));
    // Nothing was dropped, and nobody else's evidence came in.
    let count = run(
        dir.path(),
        &["query", "select count(*), min(workflow), max(workflow) from events where workflow is not null", "--json"],
    );
    assert_eq!(count.ended(0).json()["rows"], serde_json::json!([[2, "w", "w"]]));
}
