//! Commands: what a new user types, and what goes wrong.

use std::path::Path;

use crate::support::command::{Ran, run, run_with};
use crate::support::event;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The run ended with 2 and said all of `words`; it never panicked.
fn refused(ran: Ran, words: &[&str]) {
    let ran = ran.ended(2);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in: {}", ran.err);
    }
}

#[test]
fn a_first_event_is_ingested_queried_and_reported() {
    let dir = dir();
    std::fs::write(dir.path().join("e.ndjson"), event("1", 0)).unwrap();
    let ran = run(dir.path(), &["ingest", "e.ndjson"]).ended(0);
    assert!(ran.err.contains("created file://") && ran.err.contains("1 received: 1 accepted"), "{}", ran.err);
    let answer = run(
        dir.path(),
        &["query", "select event_id, old_value, occurred_at from events where workflow = 'w'", "--json"],
    )
    .ended(0)
    .json();
    assert_eq!(answer["rows"][0], serde_json::json!(["1", "x", "2026-01-01T00:00:00.000000Z"]));
    assert_eq!(answer["as_of"]["size"], 2);
    let json = run(dir.path(), &["report", "monthly", "--month", "2026-01", "--json"]).ended(0).json();
    assert_eq!(json["metrics"]["execution_failure_rate"]["denominator"], 1);
    assert!(run(dir.path(), &["queries"]).ended(0).out.contains("routing_exception_rate"));
}

#[test]
fn refused_records_end_with_1_and_are_named() {
    let dir = dir();
    let ran = run_with(dir.path(), &["ingest", "-"], format!("{}\nnonsense\n", event("1", 0)).as_bytes()).ended(1);
    assert!(ran.err.contains("1 rejected") && ran.err.contains("standard input:2: is no JSON object"), "{}", ran.err);
    let again = run_with(dir.path(), &["ingest", "-", "--json"], event("1", 0).replace("\"x\"", "\"y\"").as_bytes())
        .ended(1)
        .json();
    assert_eq!(again["conflict"], 1);
}

#[test]
fn strict_stores_all_or_nothing() {
    let dir = dir();
    let text = format!("{}\nnonsense\n", event("1", 0));
    refused(
        run_with(dir.path(), &["ingest", "-", "--strict"], text.as_bytes()),
        &["strict: 1 of 2", "nothing was stored", "standard input:2"],
    );
    let answer = run(dir.path(), &["query", "select count(*) from events", "--json"]).ended(0).json();
    assert_eq!(answer["rows"][0][0], 0);
    run_with(dir.path(), &["ingest", "-", "--strict"], event("1", 0).as_bytes()).ended(0);
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let dir = dir();
    let at = |args: &[&str]| run(dir.path(), args);
    refused(at(&["query", "months"]), &["no evidence", "probity init"]);
    refused(at(&["ingest", "nowhere.ndjson"]), &["cannot open nowhere.ndjson"]);
    assert!(!dir.path().join("probity-data").exists(), "a misspelt file creates no store");
    refused(at(&["ingest", "."]), &["is a directory"]);
    std::fs::write(dir.path().join("x.csv"), "a\n1\n").unwrap();
    refused(at(&["ingest", "x.csv"]), &["needs a mapping", "--map"]);
    refused(at(&["ingest", "x.csv", "--map", "nope"]), &["no query `nope`"]);
    at(&["init"]).ended(0);
    refused(at(&["query", "nope"]), &["no query `nope`"]);
    refused(at(&["query", "flag_rate"]), &["period_start", "missing"]);
    refused(at(&["query", "flag_rate", "-p", "x=1"]), &["no parameter `x`"]);
    refused(at(&["query", "drop table events"]), &["SELECT"]);
    refused(at(&["report", "monthly", "--month", "2016-13"]), &["YYYY-MM"]);
    refused(at(&["report", "monthly", "--month", "2016-03", "-p", "x=1"]), &["no parameter `x`", "maturity_days"]);
    refused(at(&["query", "months", "--as-of", "yesterday"]), &["no as-of point"]);
    refused(at(&["query", "months", "--as-of", "v99"]), &["no version 99"]);
    refused(at(&["query", "months", "--as-of", "5"]), &["beyond the ledger"]);
    refused(at(&["ingest", "x.csv", "--as-of", "v1"]), &["--as-of is for commands that read"]);
    refused(at(&["init", "--tenant", "../x"]), &["no plain name"]);
    refused(at(&["init", "--store", "ftp://x/y"]), &["ftp://x/y"]);
}

#[test]
fn mappings_refuse_bad_rows_and_explain_bad_mappings() {
    let dir = dir();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("x.csv", "id,at\n1,2026-01-01T00:00:00Z\n2,never\n3\n");
    let select = "select id as event_id, 'crm' as source, 'data.accessed' as event_type, at as occurred_at";
    write("good.sql", &format!("{select} from source"));
    let ran = run(dir.path(), &["ingest", "x.csv", "--map", "good.sql"]).ended(1);
    assert!(ran.err.contains("3 received: 1 accepted, 0 duplicate, 0 conflict, 2 rejected"), "{}", ran.err);
    assert!(ran.err.contains("x.csv:2: `occurred_at` is no RFC 3339 instant"), "{}", ran.err);
    for (name, text, word) in [
        ("unknown.sql", format!("{select}, 1 as colour from source"), "`colour`"),
        ("zone.sql", select.replace("at as", "cast(at as timestamp) as") + " from source where id = '1'", "zone"),
        ("two.sql", format!("{select} from source; {select} from source"), "one SELECT"),
        ("broken.sql", "selec id from source".to_owned(), "no valid SQL"),
    ] {
        write(name, &text);
        refused(run(dir.path(), &["ingest", "x.csv", "--map", name]), &[word]);
    }
}

#[test]
fn damaged_foreign_and_newer_stores_are_refused_with_the_reason() {
    let dir = dir();
    let data = dir.path().join("probity-data/tenants/default");
    run_with(dir.path(), &["ingest", "-"], event("1", 0).as_bytes()).ended(0);
    let journal = data.join("journal");
    let object = first_file(&journal);
    let whole = std::fs::read(&object).unwrap();
    std::fs::write(&object, &whole[..whole.len() / 2]).unwrap();
    refused(run(dir.path(), &["query", "months"]), &["journal object", "backup"]);
    refused(run_with(dir.path(), &["ingest", "-"], event("2", 0).as_bytes()), &["journal object"]);
    std::fs::remove_file(&object).unwrap();
    refused(run(dir.path(), &["query", "months"]), &["acknowledged events are missing"]);
    std::fs::write(&object, &whole).unwrap();
    run(dir.path(), &["query", "months"]).ended(0);
    let log = data.join("events/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("\"probity.format\":\"1\"", "\"probity.format\":\"2\"")).unwrap();
    refused(run(dir.path(), &["query", "months"]), &["newer version", "upgrade"]);
}

fn first_file(dir: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files.swap_remove(0)
}

#[test]
fn one_line_of_a_gibibyte_costs_no_memory() {
    let dir = dir();
    let store = dir.path().join("probity-data");
    run(dir.path(), &["init"]).ended(0);
    let script = format!(
        "ulimit -v 6000000; (head -c 1073741824 /dev/zero | tr '\\0' 'x'; echo; cat) | \"$0\" ingest - --json --store {}",
        store.display()
    );
    let mut child = std::process::Command::new("sh");
    let mut child = child
        .args(["-c", &script, env!("CARGO_BIN_EXE_probity")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), event("1", 0).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["accepted"].as_u64(), answer["rejected"].as_u64()), (Some(1), Some(1)));
    assert!(answer["quarantine"][0].as_str().unwrap().contains("1073741824 bytes"));
}

#[test]
fn a_truncated_archive_keeps_what_came_before_and_says_so() {
    let dir = dir();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let text: String = (0..2_000).map(|i| event(&i.to_string(), i) + "\n").collect();
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(dir.path().join("e.ndjson.gz"), &packed[..packed.len() / 2]).unwrap();
    refused(
        run(dir.path(), &["ingest", "e.ndjson.gz"]),
        &["cannot read e.ndjson.gz", "records read before are stored"],
    );
    std::fs::write(dir.path().join("e.ndjson.gz"), &packed).unwrap();
    let ran = run(dir.path(), &["ingest", "e.ndjson.gz", "--json"]).ended(0).json();
    assert_eq!(ran["accepted"].as_u64().unwrap() + ran["duplicate"].as_u64().unwrap(), 2_000);
}
