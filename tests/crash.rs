//! Crash: the real process is killed at random moments; what it acknowledged is there, once.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::command::{probity, run, run_with};
use crate::support::event;

fn count(dir: &Path, what: &str) -> i64 {
    let sql = format!("select {what} from events where source = 'test'");
    run(dir, &["query", &sql, "--format", "csv"]).ended(0).out.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn kill_9_loses_no_acknowledged_event_and_repeats_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(11);
    run(dir.path(), &["init"]).ended(0);
    let mut acknowledged = 0u64;
    let mut next = 0i64;
    for round in 0..12 {
        // Small files one after the other, so that the process dies in every phase: journal, fold, commit.
        let script = format!(
            "for f in $(ls {round}-*.ndjson | sort -V); do \"$0\" ingest $f --json || exit 2; done; \"$0\" maintain"
        );
        for part in 0..6 {
            let text: String = (0..200).map(|i| event(&(next + i).to_string(), (next + i) * 13) + "\n").collect();
            next += 200;
            std::fs::write(dir.path().join(format!("{round}-{part}.ndjson")), text).unwrap();
        }
        let mut child = std::process::Command::new("sh");
        child.args(["-c", &script, env!("CARGO_BIN_EXE_probity")]).current_dir(dir.path()).env_remove("PROBITY_STORE");
        std::os::unix::process::CommandExt::process_group(&mut child, 0);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let group = child.id();
        let output = BufReader::new(child.stdout.take().unwrap());
        let delay = std::time::Duration::from_millis(random.random_range(20..1_500));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            // Without `--` some versions of kill take the first digit of a negative number for all of it: -1.
            let _ = std::process::Command::new("kill").args(["-9", "--", &format!("-{group}")]).status();
        });
        for line in output.lines().map_while(Result::ok) {
            if let Ok(answer) = serde_json::from_str::<serde_json::Value>(&line) {
                acknowledged += answer["accepted"].as_u64().unwrap_or(0);
            }
        }
        killer.join().unwrap();
        let _ = child.wait();
        let (stored, distinct) = (count(dir.path(), "count(*)"), count(dir.path(), "count(distinct event_id)"));
        assert_eq!(stored, distinct, "round {round}: an event is stored twice");
        assert!(stored as u64 >= acknowledged, "round {round}: {acknowledged} were acknowledged, {stored} are stored");
    }
    let all: String = (0..next).map(|i| event(&i.to_string(), i * 13) + "\n").collect();
    let resent = run_with(dir.path(), &["ingest", "-", "--json"], all.as_bytes()).ended(0).json();
    let (accepted, duplicate) = (resent["accepted"].as_u64().unwrap(), resent["duplicate"].as_u64().unwrap());
    assert_eq!((accepted + duplicate) as i64, next);
    assert!(duplicate >= acknowledged);
    assert_eq!(count(dir.path(), "count(distinct event_id)"), next);
    run(dir.path(), &["maintain"]).ended(0);
    assert_eq!(count(dir.path(), "count(*)"), next);
}

#[test]
fn two_processes_ingest_the_same_file_at_once_and_store_it_once() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init"]).ended(0);
    let text: String = (0..3_000).map(|i| event(&i.to_string(), i * 13) + "\n").collect();
    let start = || {
        let mut child = probity(dir.path());
        let mut child =
            child.args(["ingest", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, text) = (child.stdin.take().unwrap(), text.clone());
        std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        child
    };
    let children = [start(), start(), start()];
    let sum: u64 = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["accepted"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(sum, 3_000);
    assert_eq!(count(dir.path(), "count(*)"), 3_000);
}
