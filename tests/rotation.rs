//! A log changes its key: whoever trusts one of its keys still verifies what comes later and what came before, and a
//! crash between any two steps leaves a ledger that signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use probity::ledger::handover::Handover;
use probity::ledger::note::{Kind, Note, Signer};
use probity::ledger::pack::format::{HANDOVERS, NoteLine};
use probity::ledger::pack::{Trusted, Verdict, verify};

use crate::support::command::run;
use crate::support::event;
use crate::support::pack::{Draft, SIZE, checkpoint, findings, growth, handover, later_log, read, receipt};

fn by(rotations: u8, draft: &Draft, handovers: &[String], trusted: u8) -> Verdict {
    let key = later_log(trusted).verifier(Kind::Ed25519);
    let files = draft.signed_by(&later_log(rotations), handovers);
    verify(&read(&files), &Trusted { key: &key, policy: None, held: None, receipt: None })
}

#[test]
fn a_pack_of_a_later_key_verifies_for_who_holds_an_earlier_one() {
    let draft = Draft::range(3, 9);
    let chain = [handover(0, 5), handover(1, 9)];
    for trusted in [0, 1, 2] {
        let verdict = by(2, &draft, &chain, trusted);
        assert!(verdict.is_ok, "key {trusted}: {verdict}");
    }
    let alone = by(2, &draft, &[], 2);
    assert!(alone.is_ok && alone.checks[11].says.contains("the one that was given"), "{alone}");
    assert!(!by(2, &draft, &[], 0).is_ok, "nothing leads from one key to the other");
    assert!(!by(2, &draft, &chain[..1], 0).is_ok, "half of the way is none");
    assert!(!by(2, &draft, &chain[1..], 0).is_ok, "half of the way is none");
}

#[test]
fn a_key_that_handed_over_signs_nothing_more() {
    let draft = Draft::range(3, 9);
    for trusted in [0, 1] {
        let verdict = by(0, &draft, &[handover(0, SIZE - 1)], trusted);
        assert!(!verdict.is_ok, "key {trusted}: {verdict}");
        assert!(findings(&verdict).iter().any(|finding| finding.contains("handed over") || trusted == 1), "{verdict}");
    }
    assert!(by(0, &draft, &[handover(0, SIZE)], 0).is_ok, "the last checkpoint is its own");
    assert!(!by(0, &draft, &[handover(0, SIZE)], 1).is_ok, "those before are trusted for what was held alone");
}

#[test]
fn a_handover_that_only_one_key_signed_leads_nowhere() {
    let draft = Draft::range(3, 9);
    let (old, new) = (later_log(0), later_log(1));
    let text = Handover::between(&old, &new, 5).unwrap().to_text();
    for signer in [old, new] {
        let verdict = by(1, &draft, &[Note::signed(&text, &signer).unwrap().to_string()], 0);
        assert!(!verdict.is_ok);
        let said = findings(&verdict);
        assert!(
            said.iter().any(|finding| finding.starts_with(HANDOVERS) && finding.contains("not signed by")),
            "{said:?}"
        );
    }
}

#[test]
fn every_byte_of_the_handovers_matters() {
    let draft = Draft::query(&[2]);
    let good = draft.signed_by(&later_log(2), &[handover(0, 5), handover(1, 9)]);
    let key = later_log(0).verifier(Kind::Ed25519);
    for at in 0..good[HANDOVERS].len() {
        let mut changed = good.clone();
        changed.get_mut(HANDOVERS).unwrap()[at] ^= 1;
        let verdict = verify(&read(&changed), &Trusted { key: &key, policy: None, held: None, receipt: None });
        assert!(!verdict.is_ok, "byte {at}");
    }
}

#[test]
fn what_the_auditor_held_counts_across_a_handover_in_both_directions() {
    let mut draft = Draft::range(3, 9);
    draft.consistency = Some(growth(5));
    let chain = [handover(0, 6)];
    let pack = read(&draft.signed_by(&later_log(1), &chain));
    let held = checkpoint(5);
    for trusted in [0, 1] {
        let key = later_log(trusted).verifier(Kind::Ed25519);
        let old_receipt = receipt(3, 6, &later_log(0));
        let trust = Trusted { key: &key, policy: None, held: Some(&held), receipt: Some(old_receipt.as_bytes()) };
        let verdict = verify(&pack, &trust);
        assert!(verdict.is_ok, "{verdict}");
        // The old key handed over at six events: later receipts of it are worth nothing.
        let late = receipt(3, 7, &later_log(0));
        let verdict = verify(&pack, &Trusted { receipt: Some(late.as_bytes()), ..trust });
        assert!(!verdict.is_ok, "{verdict}");
    }
}

fn text_of(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// A folder with a signed store of some events.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init", "--origin", "evidence.example.com/crm"]).ended(0);
    more(dir.path(), 0);
    dir
}

/// Stores a hundred events more and folds.
fn more(dir: &Path, from: i64) {
    let text: String = (from..from + 100).map(|i| event(&i.to_string(), i * 200) + "\n").collect();
    fs::write(dir.join("e.ndjson"), text).unwrap();
    run(dir, &["ingest", "e.ndjson"]).ended(0);
    run(dir, &["maintain", "fold"]).ended(0);
}

fn vkey(dir: &Path) -> String {
    run(dir, &["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned()
}

fn rotate(dir: &Path) -> String {
    run(dir, &["key", "rotate", "--by", "ada", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned()
}

fn export(dir: &Path, out: &str, more: &[&str]) {
    run(dir, &[&["export", "--from", "0", "--to", "50", "--out", out], more].concat()).ended(0);
}

fn is_verified(dir: &Path, pack: &str, vkey: &str, more: &[&str]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity-verify"));
    let output = command.args([pack, "--key", vkey]).args(more).current_dir(dir).output().unwrap();
    match output.status.code() {
        Some(0) => true,
        Some(1) => false,
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn key_file(dir: &Path) -> PathBuf {
    dir.join("probity-data/keys/default.key")
}

#[test]
fn packs_of_before_between_and_after_two_rotations_verify_with_every_key_that_may() {
    let dir = filled();
    let dir = dir.path();
    let mut keys = vec![vkey(dir)];
    export(dir, "pack0", &[]);
    for n in 1..3 {
        let secret = text_of(key_file(dir));
        keys.push(rotate(dir));
        assert_ne!(text_of(key_file(dir)), secret);
        let names: Vec<_> =
            fs::read_dir(dir.join("probity-data/keys")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["default.key"], "the retired secret key is gone");
        more(dir, n * 100);
        export(dir, &format!("pack{n}"), &["--held", "pack0/checkpoint"]);
    }
    for (pack, held) in [("pack0", None), ("pack1", Some("pack0/checkpoint")), ("pack2", Some("pack0/checkpoint"))] {
        let number = pack[4..].parse::<usize>().unwrap();
        let more: Vec<&str> = held.map(|held| vec!["--held", held]).unwrap_or_default();
        for (of, key) in keys.iter().enumerate() {
            // A key vouches for those after it, not for those before.
            if of <= number {
                assert!(is_verified(dir, pack, key, &more), "{pack} with key {of}");
            } else {
                assert!(!is_verified(dir, pack, key, &[]), "{pack} with key {of}");
            }
        }
    }
    let found = run(dir, &["verify", "store", "--json"]).ended(0).json();
    assert_eq!(found["count"], 0, "{found}");
    let shown = run(dir, &["key", "show", "--json"]).ended(0).json();
    assert_eq!(shown["former"].as_array().unwrap().len(), 2, "{shown}");
    let sql = "select seq, new_value, actor_id from events where field = 'ledger.key' order by seq";
    let rows = run(dir, &["query", sql, "--json"]).ended(0).json()["rows"].clone();
    let told: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row[1].as_str().unwrap()).collect();
    assert_eq!(told, keys[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(rows[0][2], "ada");
}

#[test]
fn a_rotation_cut_off_before_the_handover_leaves_the_old_key_and_is_resumed() {
    let dir = filled();
    let dir = dir.path();
    let old = vkey(dir);
    // The crash came when the new key was durable, and nothing more.
    let staged = Signer::new("evidence.example.com/crm", [9; 32]).unwrap();
    write_secret(&key_file(dir).with_extension("key.next"), &staged);
    assert_eq!(vkey(dir), old);
    more(dir, 100);
    assert_eq!(rotate(dir), staged.vkey(), "the key that lies there is taken");
    run(dir, &["verify", "store"]).ended(0);
}

fn write_secret(path: &Path, signer: &Signer) {
    fs::write(path, format!("{}\n", signer.skey())).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_rotation_cut_off_after_the_handover_is_finished_by_whoever_opens_the_store() {
    for opened_by in [vec!["verify", "store"], vec!["key", "rotate", "--by", "ada"], vec!["maintain", "fold"]] {
        let dir = filled();
        let dir = dir.path();
        let old = Signer::parse(text_of(key_file(dir)).trim_end()).unwrap();
        let next = Signer::new(old.name(), [9; 32]).unwrap();
        let tenant = dir.join("probity-data/tenants/default/log");
        let newest = fs::read_dir(tenant.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).max().unwrap();
        let size = newest.to_str().unwrap().parse().unwrap();
        let note = Handover::between(&old, &next, size).unwrap().signed(&old, &next).unwrap();
        fs::create_dir_all(tenant.join("handovers")).unwrap();
        fs::write(tenant.join("handovers/00000000000000000000"), note).unwrap();
        write_secret(&key_file(dir).with_extension("key.next"), &next);
        run(dir, &opened_by).ended(0);
        assert_eq!(vkey(dir), next.vkey(), "{opened_by:?}");
        assert!(!key_file(dir).with_extension("key.next").exists());
        more(dir, 100);
        run(dir, &["verify", "store"]).ended(0);
        export(dir, "pack", &[]);
        assert!(is_verified(dir, "pack", &old.vkey(), &[]), "{opened_by:?}");
        let told = "select count(*) as n from events where field = 'ledger.key'";
        let told = run(dir, &["query", told, "--json"]).ended(0).json()["rows"][0][0].clone();
        assert_eq!(told, i64::from(opened_by.contains(&"rotate")), "{opened_by:?}");
    }
}

#[test]
fn the_old_key_and_a_strangers_sign_nothing_after_a_rotation() {
    let dir = filled();
    let dir = dir.path();
    let old = Signer::parse(text_of(key_file(dir)).trim_end()).unwrap();
    rotate(dir);
    let stranger = Signer::new(old.name(), [8; 32]).unwrap();
    for (signer, expected) in [(old, "handed over"), (stranger, "nothing is signed on top of it")] {
        write_secret(&dir.join("other.key"), &signer);
        fs::write(dir.join("e.ndjson"), event("later", 5)).unwrap();
        let before = run(dir, &["--key", "other.key", "ingest", "e.ndjson", "--receipt", "r"]);
        assert_eq!(before.code, Some(2), "{before:?}");
        let refused = run(dir, &["--key", "other.key", "maintain", "fold"]).ended(2);
        assert!(refused.err.contains(expected), "{refused:?}");
    }
    run(dir, &["verify", "store"]).ended(0);
}

#[test]
fn a_handover_signed_by_one_key_alone_is_refused_in_the_store() {
    let dir = filled();
    let dir = dir.path();
    let old = Signer::parse(text_of(key_file(dir)).trim_end()).unwrap();
    let next = Signer::new(old.name(), [9; 32]).unwrap();
    let text = Handover::between(&old, &next, 1).unwrap().to_text();
    let folder = dir.join("probity-data/tenants/default/log/handovers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("00000000000000000000"), Note::signed(&text, &old).unwrap().to_string()).unwrap();
    let refused = run(dir, &["verify", "store"]).ended(2);
    assert!(refused.err.contains("is no handover"), "{refused:?}");
    run(dir, &["maintain", "fold"]).ended(2);
}

#[test]
fn the_handovers_of_a_pack_are_those_of_the_store() {
    let dir = filled();
    let dir = dir.path();
    export(dir, "before", &[]);
    assert!(!dir.join("before").join(HANDOVERS).exists());
    rotate(dir);
    export(dir, "after", &[]);
    let line = text_of(dir.join("after").join(HANDOVERS));
    let note = NoteLine::parse(line.trim_end().as_bytes()).unwrap().note;
    assert_eq!(note, text_of(dir.join("probity-data/tenants/default/log/handovers/00000000000000000000")));
}
