//! Receipts: what a writer was answered can be held against the log for ever.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use probity::clock::Clock;
use probity::ledger::note::{Kind, Note, Signer};
use probity::ledger::pack::verdict::Outcome;
use probity::ledger::pack::{Trusted, Verdict, verify};
use probity::ledger::receipt::Receipt;
use probity::store::Store;
use probity::store::object::Location;

use crate::support::command::run;
use crate::support::pack::{Draft, entry, findings, log, read, receipt};
use crate::support::{T0, event, ingest, memory, stored};

fn check(draft: &Draft, receipt: &[u8]) -> Verdict {
    let key = log().verifier(Kind::Ed25519);
    verify(&read(&draft.signed()), &Trusted { key: &key, policy: None, held: None, receipt: Some(receipt) })
}

#[test]
fn a_kept_receipt_passes_and_no_other() {
    let draft = Draft::range(3, 9);
    for (from, to) in [(3, 9), (4, 5), (3, 4)] {
        let verdict = check(&draft, receipt(from, to, &log()).as_bytes());
        assert!(verdict.is_ok && verdict.checks[12].outcome == Outcome::Passed, "{verdict}");
    }
    let stranger = Signer::new(log().name(), [9; 32]).unwrap();
    let text = Receipt { root: [7; 32], ..Receipt::over(log().name(), 3, &[[1; 32], [2; 32]]) }.to_text();
    let other_root = Note::signed(&text, &log()).unwrap().to_string();
    let text = Note::parse(receipt(3, 9, &log()).as_bytes()).unwrap().text;
    for (expected, wrong) in [
        // Event 9 is there as well: it explains the rows that it erased.
        ("the pack holds 6 of them", receipt(4, 11, &log())),
        ("the pack holds 0 of them", receipt(0, 3, &log())),
        ("covers 13", Note::signed(&text.replace("\n3\n6\n", "\n3\n60\n"), &log()).unwrap().to_string()),
        ("other events stand there now", other_root),
        ("no key that is trusted", receipt(3, 9, &stranger)),
        ("was changed", receipt(3, 9, &log()).replace("\n3\n", "\n4\n")),
        ("receipt: ", text.clone()),
        ("receipt: ", entry(3)),
        ("receipt: ", String::new()),
    ] {
        let verdict = check(&draft, wrong.as_bytes());
        let said = findings(&verdict);
        assert!(!verdict.is_ok && said.iter().any(|finding| finding.contains(expected)), "{expected}: {said:?}");
    }
    let asked = crate::support::pack::verdict(&draft.signed());
    assert_eq!(asked.checks[12].outcome, Outcome::NotAsked);
}

#[test]
fn a_receipt_counts_in_a_query_pack_that_holds_its_events() {
    let verdict = check(&Draft::query(&[1, 3, 4, 5, 7]), receipt(3, 6, &log()).as_bytes());
    assert!(verdict.is_ok, "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_has_the_leaves_that_are_stored() {
    let signer = Arc::new(Signer::new("example.com/evidence", [7; 32]).unwrap());
    let store = Store::create(Location::memory(), "default", Clock::simulated(T0, 7)).await.unwrap();
    let store = store.signed_by(signer.clone());
    let first = ingest(&store, (0..40).map(|i| event(&i.to_string(), i) + "\n").collect::<String>()).await;
    let second = ingest(&store, (30..50).map(|i| event(&i.to_string(), i) + "\n").collect::<String>()).await;
    let leaves: Vec<_> = stored(&store).await.into_values().map(|(_, leaf)| leaf).collect();
    for (report, first_seq, count) in [(first, 0, 40), (second, 41, 10)] {
        let [issued] = &report.receipts[..] else { panic!("{:?}", report.receipts) };
        let range = first_seq as usize..first_seq as usize + count;
        assert_eq!(issued.receipt, Receipt::over("example.com/evidence", first_seq, &leaves[range]));
        let note = Note::parse(issued.note.as_ref().unwrap().as_bytes()).unwrap();
        note.verify(&[signer.verifier(Kind::Ed25519)]).unwrap();
        assert_eq!(note.text, issued.receipt.to_text());
    }
    let nothing = ingest(&store, event("3", 3)).await;
    assert!(nothing.receipts.is_empty(), "nothing was accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_a_receipt_says_what_was_accepted_and_is_not_signed() {
    let report = ingest(&memory().await, event("1", 1)).await;
    let [issued] = &report.receipts[..] else { panic!("{:?}", report.receipts) };
    assert_eq!((issued.receipt.count, issued.is_signed, issued.note.as_deref()), (1, false, None));
}

/// A folder with events and a signed store of the first half of them.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, from) in [("a.ndjson", 0), ("b.ndjson", 100)] {
        let text: String = (from..from + 100).map(|i| event(&i.to_string(), i * 200) + "\n").collect();
        fs::write(dir.path().join(name), text).unwrap();
    }
    run(dir.path(), &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    dir
}

fn audited(dir: &Path, words: &[&str]) -> Option<i32> {
    Command::new(env!("CARGO_BIN_EXE_probity-verify")).args(words).current_dir(dir).output().unwrap().status.code()
}

#[test]
fn what_was_answered_is_proven_later() {
    let dir = folder();
    let dir = dir.path();
    let answer = run(dir, &["ingest", "a.ndjson", "b.ndjson", "--receipt", "r", "--json"]).ended(0).json();
    let receipts = answer["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 2, "one for each file: {answer}");
    assert_eq!((receipts[0]["first_seq"].as_u64(), receipts[0]["count"].as_u64()), (Some(0), Some(100)));
    assert_eq!(receipts[0]["note"].as_str().unwrap(), fs::read_to_string(dir.join("r")).unwrap());
    assert_eq!(receipts[1]["note"].as_str().unwrap(), fs::read_to_string(dir.join("r.2")).unwrap());
    let vkey = run(dir, &["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    for (receipt, pack) in [("r", "one"), ("r.2", "two.tar.gz")] {
        run(dir, &["export", "--receipt", receipt, "--out", pack]).ended(0);
        run(dir, &["verify", "pack", pack, "--vkey", &vkey, "--receipt", receipt]).ended(0);
        assert_eq!(audited(dir, &[pack, "--key", &vkey, "--receipt", receipt]), Some(0));
    }
    assert_eq!(audited(dir, &["one", "--key", &vkey, "--receipt", "r.2"]), Some(1), "of other events");
    let changed = fs::read_to_string(dir.join("r")).unwrap().replace("\n100\n", "\n99\n");
    fs::write(dir.join("changed"), changed).unwrap();
    assert_eq!(audited(dir, &["one", "--key", &vkey, "--receipt", "changed"]), Some(1));
    run(dir, &["export", "--receipt", "changed", "--out", "three"]).ended(2);
    run(dir, &["ingest", "a.ndjson", "--receipt", "r"]).ended(2);
}

#[test]
fn every_record_is_acknowledged_with_its_place_and_leaf() {
    let dir = folder();
    let dir = dir.path();
    run(dir, &["ingest", "a.ndjson"]).ended(0);
    let again = fs::read_to_string(dir.join("a.ndjson")).unwrap();
    let conflict = event("7", 7 * 200).replace("\"new_value\":\"7\"", "\"new_value\":\"other\"");
    let text = format!("{}\n{conflict}\nno json\n{}", again.lines().next().unwrap(), event("900", 900));
    fs::write(dir.join("mixed.ndjson"), text).unwrap();
    run(dir, &["ingest", "mixed.ndjson", "--acknowledge", "told.ndjson"]).ended(1);
    let told: Vec<serde_json::Value> = fs::read_to_string(dir.join("told.ndjson"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcomes: Vec<&str> = told.iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["duplicate", "conflict", "accepted"], "a record that did not decode is in the quarantine");
    assert_eq!((told[2]["line"].as_u64(), told[2]["file"].as_str()), (Some(4), Some("mixed.ndjson")));
    let seq = told[2]["seq"].as_u64().unwrap().to_string();
    run(dir, &["prove", "--seq", &seq, "--out", "row.tlog-proof"]).ended(0);
    let vkey = run(dir, &["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    let verdict = run(dir, &["verify", "proof", "row.tlog-proof", "--vkey", &vkey, "--json"]).ended(0).json();
    let entry = verdict["entry"].as_str().unwrap();
    let leaf = probity::ledger::hash::hex(&probity::ledger::hash::leaf_hash(entry.as_bytes()));
    assert_eq!(told[2]["leaf"].as_str(), Some(leaf.as_str()));
}
