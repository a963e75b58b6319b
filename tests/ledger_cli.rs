//! Proof from the command line: what a new user types, and what an auditor does with what he was handed.

use std::path::Path;
use std::process::Command;

use crate::support::command::run;
use crate::support::event;

fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..300).map(|i| event(&i.to_string(), i * 200) + "\n").collect();
    std::fs::write(dir.path().join("e.ndjson"), text).unwrap();
    run(dir.path(), &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    run(dir.path(), &["ingest", "e.ndjson"]).ended(0);
    run(dir.path(), &["maintain"]).ended(0);
    dir
}

fn vkey(dir: &Path) -> String {
    run(dir, &["init", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned()
}

/// The small program: exit code and what it says.
fn audited(dir: &Path, pack: &str, vkey: &str) -> (i32, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_probity-verify")).args([pack, "--key", vkey]).current_dir(dir).output();
    let ran = ran.unwrap();
    (ran.status.code().unwrap(), String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn a_store_has_a_key_that_only_its_owner_reads_and_verifies() {
    let dir = filled();
    let key = dir.path().join("probity-data/keys/default.key");
    let text = std::fs::read_to_string(&key).unwrap();
    assert!(text.starts_with("PRIVATE+KEY+evidence.example.com/crm+"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        run(dir.path(), &["verify", "store"]).ended(2);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let found = run(dir.path(), &["verify", "store", "--json"]).ended(0).json();
    assert_eq!((found["ok"].as_bool(), found["count"].as_u64()), (Some(true), Some(0)), "{found}");
    assert_eq!(found["rows"], found["signed"]);
    run(dir.path(), &["init"]).ended(0);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text, "a key is never overwritten");
    let answer = run(dir.path(), &["query", "select count(*) as n from events", "--json"]).ended(0).json();
    assert_eq!(answer["as_of"]["root"].as_str().map(str::len), Some(64));
}

#[test]
fn packs_of_a_range_a_query_and_a_person_verify_with_the_key_alone() {
    let dir = filled();
    let vkey = vkey(dir.path());
    let sql = "select seq from events where record_id in ('r7', 'r250', 'r31') and old_value is not null";
    let packs: [(&str, &[&str], u64); 3] = [
        ("range.tar.gz", &["--from", "17", "--to", "201"], 184),
        ("rows", &["--query", sql, "--withhold", "old_value,new_value"], 3),
        // The two before are stated themselves.
        ("all.tar.gz", &["--query", "select seq from events"], 303),
    ];
    for (name, selection, rows) in packs {
        let args = [&["export", "--out", name, "--json"], selection].concat();
        let made = run(dir.path(), &args).ended(0).json();
        assert_eq!(made["rows"].as_u64(), Some(rows), "{made}");
        let (code, said) = audited(dir.path(), name, &vkey);
        assert_eq!(code, 0, "{said}");
        let verdict = run(dir.path(), &["verify", "pack", name, "--vkey", &vkey, "--json"]).ended(0).json();
        assert_eq!(
            verdict["completeness"].as_str(),
            Some(if name.starts_with("range") { "proven" } else { "not proven" })
        );
    }
    let copy = std::fs::read(dir.path().join("rows/rows.parquet")).unwrap();
    let entries = std::fs::read_to_string(dir.path().join("rows/entries.ndjson")).unwrap();
    assert!(!entries.contains("disclosures\":[\""), "{entries}");
    for hidden in ["old_value", "new_value", "salt", "_digest"] {
        assert!(!copy.windows(hidden.len()).any(|w| w == hidden.as_bytes()), "{hidden} stands in rows.parquet");
    }
    let edited = entries.replacen("\"workflow\\\":\\\"w\\\"", "\"workflow\\\":\\\"v\\\"", 1);
    assert_ne!(edited, entries);
    std::fs::write(dir.path().join("rows/entries.ndjson"), edited).unwrap();
    assert_eq!(audited(dir.path(), "rows", &vkey).0, 1);
    run(dir.path(), &["verify", "pack", "rows", "--vkey", &vkey]).ended(1);
}

#[test]
fn an_old_pack_verifies_after_the_ledger_grew_and_a_new_one_proves_that_it_grew_out_of_it() {
    let dir = filled();
    let vkey = vkey(dir.path());
    run(dir.path(), &["export", "--from", "0", "--to", "50", "--out", "old"]).ended(0);
    let held = dir.path().join("old/checkpoint").to_str().unwrap().to_owned();
    let text: String = (300..700).map(|i| event(&i.to_string(), i * 100) + "\n").collect();
    std::fs::write(dir.path().join("more.ndjson"), text).unwrap();
    run(dir.path(), &["ingest", "more.ndjson"]).ended(0);
    run(dir.path(), &["maintain"]).ended(0);
    assert_eq!(audited(dir.path(), "old", &vkey).0, 0);
    run(dir.path(), &["export", "--from", "600", "--to", "650", "--held", &held, "--out", "new"]).ended(0);
    run(dir.path(), &["verify", "pack", "new", "--vkey", &vkey, "--held", &held]).ended(0);
    assert!(dir.path().join("new/consistency.json").is_file());
}

#[test]
fn what_cannot_be_packed_is_said() {
    let dir = filled();
    let cases: [&[&str]; 6] = [
        &["--from", "0", "--to", "100000", "--out", "p"],
        &["--from", "5", "--to", "5", "--out", "p"],
        &["--query", "select event_id from events", "--out", "p"],
        &["--subject", "it's nobody", "--out", "p"],
        &["--from", "0", "--to", "5", "--withhold", "workflow", "--out", "p"],
        &["--from", "0", "--to", "5", "--out", "e.ndjson"],
    ];
    for case in cases {
        let refused = run(dir.path(), &[&["export"], case].concat()).ended(2);
        assert!(!dir.path().join("p").exists(), "{case:?}");
        drop(refused);
    }
}
