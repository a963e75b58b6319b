//! Power: only what was synced survives a power cut, and a full disk is an error, not a half-written store.
//!
//! The system calls of the real process are recorded; a name may only be given to bytes that were synced before,
//! and a result may only be printed when the directory that holds the name was synced. Skipped with a word where
//! strace is missing or not allowed.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::support::command::run;
use crate::support::event;

/// The recorded calls of one ingest, in order; none where they cannot be recorded.
fn recorded(dir: &Path, args: &[&str]) -> Option<Vec<String>> {
    let log = dir.join("calls");
    let traced = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "64",
            "-e",
            "trace=write,pwrite64,fsync,fdatasync,link,linkat,rename,renameat,renameat2",
        ])
        .arg("-o")
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_probity"))
        .args(args)
        .current_dir(dir)
        .env_remove("PROBITY_STORE")
        .output();
    if !traced.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: system calls cannot be recorded; install strace to test against power cuts");
        return None;
    }
    Some(std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect())
}

/// The path behind the first file descriptor of a call, as `-y` prints it: `fsync(7</path>)`.
fn of_descriptor(call: &str) -> Option<&str> {
    let start = call.find("</")? + 1;
    let length = call[start..].find('>')?;
    Some(&call[start..start + length])
}

fn quoted(call: &str) -> Vec<&str> {
    call.split('"').skip(1).step_by(2).collect()
}

#[test]
fn a_name_stands_for_synced_bytes_and_is_synced_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..300).map(|i| event(&i.to_string(), i * 200) + "\n").collect();
    std::fs::write(dir.path().join("e.ndjson"), text).unwrap();
    run(dir.path(), &["init"]).ended(0);
    let Some(mut calls) = recorded(dir.path(), &["ingest", "e.ndjson", "--json"]) else { return };
    calls.extend(recorded(dir.path(), &["maintain", "fold", "--json"]).unwrap_or_default());
    let (mut dirty, mut unsynced_names, mut named) = (HashMap::new(), HashMap::new(), 0);
    for call in &calls {
        let name = call.split_whitespace().nth(1).and_then(|c| c.split('(').next()).unwrap_or_default();
        match name {
            "write" | "pwrite64" if call.contains("\"{") && !call.contains("probity-data") => {
                assert!(unsynced_names.is_empty(), "acknowledged before these names were synced: {unsynced_names:?}");
            }
            "write" | "pwrite64" => drop(of_descriptor(call).map(|path| dirty.insert(path.to_owned(), ()))),
            "fsync" | "fdatasync" => {
                let Some(path) = of_descriptor(call) else { continue };
                dirty.remove(path);
                unsynced_names.retain(|name: &String, ()| Path::new(name).parent() != Some(Path::new(path)));
            }
            "link" | "linkat" | "rename" | "renameat" | "renameat2" if call.ends_with("= 0") => {
                let paths = quoted(call);
                let (from, to) = (paths[0], paths[paths.len() - 1]);
                // Tiles and the hint to the newest checkpoint can be made again, and are told from torn ones.
                if to.contains("/log/tile/") || to.ends_with("/log/checkpoint") {
                    continue;
                }
                assert!(!dirty.contains_key(from), "{to} was named before its bytes were synced");
                unsynced_names.insert(to.to_owned(), ());
                named += 1;
            }
            _ => {}
        }
    }
    // Journal objects of the events and of their counts, a data file for each of three months, a commit.
    assert!(named >= 6, "{named} names were given");
    assert!(unsynced_names.is_empty(), "never synced: {unsynced_names:?}");
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..20_000).map(|i| event(&i.to_string(), i * 4) + "\n").collect();
    std::fs::write(dir.path().join("e.ndjson"), text).unwrap();
    run(dir.path(), &["init"]).ended(0);
    // A file may not grow past 100 KiB: writes fail as they do on a full disk.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" ingest e.ndjson";
    let limited = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_probity")])
        .current_dir(dir.path())
        .env_remove("PROBITY_STORE")
        .output()
        .unwrap();
    let message = String::from_utf8(limited.stderr).unwrap();
    assert_eq!(limited.status.code(), Some(2), "{message}");
    assert!(message.contains("cannot write") && !message.contains("panicked"), "{message}");
    let before =
        run(dir.path(), &["query", "select count(*), count(distinct event_id) from events", "--json"]).ended(0).json();
    assert_eq!(before["rows"][0][0], before["rows"][0][1]);
    let resent = run(dir.path(), &["ingest", "e.ndjson", "--json"]).ended(0).json();
    assert_eq!(resent["accepted"].as_u64().unwrap() + resent["duplicate"].as_u64().unwrap(), 20_000);
    let sql = "select count(*), count(distinct event_id) from events where source = 'test'";
    let after = run(dir.path(), &["query", sql, "--json"]).ended(0).json();
    assert_eq!(after["rows"][0], serde_json::json!([20_000, 20_000]));
}
