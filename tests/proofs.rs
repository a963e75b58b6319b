//! One row as a proof that stands alone: a good one verifies with the key alone, whatever is changed in one is noticed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use probity::clock::Clock;
use probity::event::Column;
use probity::ledger::note::{Kind, Signer};
use probity::ledger::pack::single::verify;
use probity::ledger::tlog_proof::TlogProof;
use probity::store::Store;
use probity::store::compact::Due;
use probity::store::object::Location;

use crate::support::command::run;
use crate::support::{T0, event, ingest, stored};

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new("example.com/evidence", [7; 32]).unwrap())
}

async fn empty() -> Store {
    let store = Store::create(Location::memory(), "default", Clock::simulated(T0, 7)).await.unwrap();
    store.signed_by(signer())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_folded_and_compacted_ledger_is_proven() {
    let store = empty().await;
    for part in 0..4 {
        let events = (part * 90..part * 90 + 90).map(|i| event(&i.to_string(), (i * 7919) % 85_000) + "\n");
        ingest(&store, events.collect::<String>()).await;
        store.fold().await.unwrap();
    }
    let key = signer().verifier(Kind::Ed25519);
    let leaves = stored(&store).await;
    for is_compacted in [false, true] {
        if is_compacted {
            store.compact(Due::Any).await.unwrap();
        }
        for (seq, (id, leaf)) in &leaves {
            let proven = store.prove(*seq as u64, &[]).await.unwrap();
            let verdict = verify(&proven.text, &key, None);
            assert!(verdict.is_ok && verdict.seq == Some(*seq as u64), "{verdict}");
            assert!(verdict.entry.unwrap().contains(id.as_str()));
            let proof = TlogProof::parse(&proven.text).unwrap();
            assert!(proof.verify(*leaf, "example.com/evidence", &key).is_ok(), "any reader of the format verifies it");
        }
    }
    assert!(store.prove(leaves.len() as u64, &[]).await.unwrap_err().to_string().contains("fold first"));
}

/// Rows lie in several pages here: those are passed over that cannot hold the row.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_found_among_the_pages_of_a_large_file() {
    let store = empty().await;
    let events: String = (0..30_000).map(|i| event(&i.to_string(), i) + "\n").collect();
    ingest(&store, events).await;
    store.fold().await.unwrap();
    let files = store.snapshot().await.unwrap().files;
    assert!(files.iter().any(|file| file.rows > 20_000), "{files:?}");
    let key = signer().verifier(Kind::Ed25519);
    for seq in [0, 1, 8_191, 8_192, 16_384, 24_577, 29_999, 30_000] {
        let verdict = verify(&store.prove(seq, &[]).await.unwrap().text, &key, None);
        assert!(verdict.is_ok && verdict.seq == Some(seq), "{seq}: {verdict}");
    }
    let leaves = stored(&store).await;
    for seq in [0, 8_192, 29_999] {
        assert_eq!(store.leaf_in_table(seq).await.unwrap(), Some(leaves[&seq].1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_is_not_in_the_proof_and_it_verifies_all_the_same() {
    let store = empty().await;
    ingest(&store, event("secret-7", 7)).await;
    store.fold().await.unwrap();
    let key = signer().verifier(Kind::Ed25519);
    let open = verify(&store.prove(0, &[]).await.unwrap().text, &key, None);
    assert_eq!(open.disclosed.get("new_value").map(String::as_str), Some("secret-7"));
    let closed = verify(&store.prove(0, &[Column::OldValue, Column::NewValue]).await.unwrap().text, &key, None);
    assert!(closed.is_ok && closed.disclosed.is_empty(), "{closed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_proof_matters() {
    let store = empty().await;
    ingest(&store, (0..20).map(|i| event(&i.to_string(), i) + "\n").collect::<String>()).await;
    store.fold().await.unwrap();
    let good = store.prove(5, &[]).await.unwrap().text;
    let key = signer().verifier(Kind::Ed25519);
    assert!(verify(&good, &key, None).is_ok);
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(!verify(&changed, &key, None).is_ok, "byte {at}");
    }
    for at in [0, good.len() / 2, good.len() - 1] {
        let Some(cut) = good.get(..at) else { continue };
        assert!(!verify(cut, &key, None).is_ok, "cut at {at}");
    }
    let stranger = Signer::new("example.com/evidence", [8; 32]).unwrap().verifier(Kind::Ed25519);
    assert!(!verify(&good, &stranger, None).is_ok);
    // The row of another place does not fit to this place.
    let (five, six) = (TlogProof::parse(&good).unwrap(), store.prove(6, &[]).await.unwrap().text);
    let mixed = TlogProof { extra: TlogProof::parse(&six).unwrap().extra, ..five };
    assert!(!verify(&mixed.to_string(), &key, None).is_ok);
}

fn audited(dir: &Path, words: &[&str]) -> Option<i32> {
    Command::new(env!("CARGO_BIN_EXE_probity-verify")).args(words).current_dir(dir).output().unwrap().status.code()
}

#[test]
fn a_row_is_proven_and_verified_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text: String = (0..50).map(|i| event(&i.to_string(), i * 200) + "\n").collect();
    fs::write(dir.join("e.ndjson"), text).unwrap();
    run(dir, &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    run(dir, &["ingest", "e.ndjson"]).ended(0);
    let vkey = run(dir, &["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    let made =
        run(dir, &["prove", "--event", "7", "--source", "test", "--out", "7.tlog-proof", "--json"]).ended(0).json();
    assert_eq!(made["seq"].as_u64(), Some(7), "{made}");
    assert_eq!(audited(dir, &["7.tlog-proof", "--key", &vkey]), Some(0));
    let said = run(dir, &["verify", "proof", "7.tlog-proof", "--vkey", &vkey]).ended(0);
    assert!(said.out.contains("verified: the row stands unaltered as event 7"), "{said:?}");
    let changed = fs::read_to_string(dir.join("7.tlog-proof")).unwrap().replace("index 7", "index 8");
    fs::write(dir.join("8.tlog-proof"), changed).unwrap();
    run(dir, &["verify", "proof", "8.tlog-proof", "--vkey", &vkey]).ended(1);
    assert_eq!(audited(dir, &["8.tlog-proof", "--key", &vkey]), Some(1));
    run(dir, &["prove", "--event", "none"]).ended(2);
    run(dir, &["prove", "--seq", "5000"]).ended(2);
    run(dir, &["prove"]).ended(2);
    // A proof made after a change of the key verifies with the key of before.
    run(dir, &["key", "rotate", "--by", "ada"]).ended(0);
    run(dir, &["prove", "--seq", "7", "--out", "later.tlog-proof"]).ended(0);
    assert_eq!(audited(dir, &["later.tlog-proof", "--key", &vkey]), Some(0));
    assert_eq!(audited(dir, &["7.tlog-proof", "--key", &vkey]), Some(0));
}

#[test]
fn an_erased_row_is_shown_with_the_event_that_erased_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let about =
        |id: i64| event(&id.to_string(), id * 200).replace("\"workflow\"", "\"subject_id\":\"p-1\",\"workflow\"");
    let text: String = (0..20).map(|i| if i == 7 { about(i) } else { event(&i.to_string(), i * 200) } + "\n").collect();
    fs::write(dir.join("e.ndjson"), text).unwrap();
    run(dir, &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    run(dir, &["ingest", "e.ndjson"]).ended(0);
    run(dir, &["erase", "--subject", "p-1", "--reason", "request 1", "--by", "ada"]).ended(0);
    let vkey = run(dir, &["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned();
    run(dir, &["prove", "--seq", "7", "--out", "7.tlog-proof"]).ended(0);
    let verdict = run(dir, &["verify", "proof", "7.tlog-proof", "--vkey", &vkey, "--json"]).ended(0).json();
    let by = verdict["erased_by"].as_u64().unwrap();
    assert!(by > 7 && verdict["disclosed"].as_object().unwrap().is_empty(), "{verdict}");
    let packs: [(&str, &[&str]); 3] = [
        ("range", &["--from", "5", "--to", "9"]),
        ("query", &["--query", "select seq from events where seq in (3, 7)"]),
        ("with", &["--query", "select seq from events where seq = 7 or event_type = 'evidence.erased'"]),
    ];
    for (name, selection) in packs {
        run(dir, &[&["export", "--out", name], selection].concat()).ended(0);
        assert_eq!(audited(dir, &[name, "--key", &vkey]), Some(0), "{name}");
        let entries = fs::read_to_string(dir.join(name).join("entries.ndjson")).unwrap();
        assert!(entries.contains(&format!("\"erased_by\":{by}")), "{name}: {entries}");
        // An erasure that is a row of the pack does not stand there twice.
        let erasures = fs::read_to_string(dir.join(name).join("erasures.ndjson")).unwrap();
        assert_eq!(erasures.lines().count(), usize::from(name != "with"), "{name}");
    }
}
