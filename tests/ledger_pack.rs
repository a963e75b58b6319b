//! Packs: a good one passes, and whatever is changed in one is noticed and named, also when the log itself lies.

use probity::ledger::checkpoint::Checkpoint;
use probity::ledger::cosignature;
use probity::ledger::note::{Kind, Note, Signature, Signer, Verifier};
use probity::ledger::pack::format::{
    Base64Hash, CHECKPOINT, Completeness, MANIFEST, NODES, NodeLine, SIGNATURE, Selection,
};
use probity::ledger::pack::verdict::{Outcome, Values};
use probity::ledger::pack::{Pack, Trusted, Verdict, verify};
use probity::ledger::trust::Policy;
use probity::ledger::witness::{Log, add_checkpoint};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::pack::{
    Draft, ERASURE, Files, SIZE, checkpoint, disclosure, entry, findings, growth, line, log, read, verdict, witness,
};

#[test]
fn a_good_pack_passes_and_says_what_it_proves() {
    for (draft, completeness, rows) in [
        (Draft::range(0, SIZE), Completeness::Proven, 13),
        (Draft::range(3, 9), Completeness::Proven, 6),
        (Draft::range(12, 13), Completeness::Proven, 1),
        (Draft::range(4, 4), Completeness::Proven, 0),
        (Draft::query(&[2, 6, 11]), Completeness::NotProven, 3),
        (Draft::query(&[]), Completeness::NotProven, 0),
    ] {
        let verdict = verdict(&draft.signed());
        assert!(verdict.is_ok, "{verdict}");
        assert_eq!((verdict.completeness, verdict.rows), (Some(completeness), rows));
        assert_eq!((verdict.origin.as_deref(), verdict.tree_size), (Some("example.com/acme/v1"), Some(SIZE)));
        let is_said = verdict.sentence().contains("not proven");
        assert_eq!(is_said, completeness == Completeness::NotProven, "{verdict}");
    }
    let whole = verdict(&Draft::range(0, SIZE).signed());
    assert_eq!(whole.values, Values { disclosed: 10, withheld: 10, erased: 6 });
}

#[test]
fn files_may_come_in_any_order() {
    let files = Draft::query(&[2, 6]).signed();
    let mut pack = Pack::default();
    for (name, bytes) in files.iter().rev() {
        pack.add(name, bytes.as_slice()).unwrap();
    }
    let key = log().verifier(Kind::Ed25519);
    assert_eq!(verify(&pack, &Trusted { key: &key, policy: None, held: None, receipt: None }), verdict(&files));
}

#[test]
fn every_byte_of_every_file_matters() {
    let mut draft = Draft::query(&[2]);
    draft.consistency = Some(growth(5));
    let good = draft.signed();
    assert!(verdict(&good).is_ok);
    for (name, bytes) in &good {
        for at in 0..bytes.len() {
            let mut changed = good.clone();
            changed.get_mut(name).unwrap()[at] ^= 1;
            let verdict = verdict(&changed);
            assert!(!verdict.is_ok, "byte {at} of {name}");
            let own = [name.as_str(), if name == MANIFEST { SIGNATURE } else { name.as_str() }];
            let is_named = verdict.failed().flat_map(|check| &check.findings.list).any(|one| own.contains(&&*one.file));
            assert!(is_named, "byte {at} of {name}: {verdict}");
        }
    }
}

/// A name and what it does to a pack.
type Change<T> = (&'static str, fn(&mut T));

/// What a log could sign although it does not hold together, with what must be said of it.
const LIES: &[Change<Draft>] = &[
    ("event 5 of the range is missing", |draft| {
        draft.rows.remove(2);
        draft.complete();
    }),
    ("lacks the node of level 0 and index 5", |draft| {
        draft.rows.remove(2);
    }),
    ("line 2 (seq 3): does not ascend", |draft| draft.rows.swap(0, 1)),
    ("more than once", |draft| draft.rows.insert(2, line(4))),
    ("(seq 8): is outside the range 3..8", |draft| draft.selection = Selection::Range { from_seq: 3, to_seq: 8 }),
    ("event 2 of the range is missing", |draft| draft.selection = Selection::Range { from_seq: 2, to_seq: 9 }),
    ("are missing, 9..11", |draft| draft.selection = Selection::Range { from_seq: 3, to_seq: 11 }),
    ("none in a tree of 13", |draft| draft.selection = Selection::Range { from_seq: 3, to_seq: 14 }),
    ("says the range 9..3", |draft| draft.selection = Selection::Range { from_seq: 9, to_seq: 3 }),
    ("lacks the node of level 1 and index 0", |draft| {
        draft.nodes.remove(0);
    }),
    ("node of level 0 and index 3 is not needed", |draft| draft.nodes.push(node(0, 3))),
    ("node of level 3 and index 1 is no complete subtree", |draft| draft.nodes.push(node(3, 1))),
    ("node of level 200 and index 1 is no complete subtree", |draft| draft.nodes.push(node(200, 1))),
    ("line 5: repeats the node of level 1 and index 0", |draft| draft.nodes.push(node(1, 0))),
    ("they give the root", |draft| draft.nodes[0].hash = Base64Hash([7; 32])),
    ("they give the root", |draft| draft.rows[0].entry = entry(3).replace("\"e3\"", "\"e4\"")),
    ("line 1 (seq 3): entry is not in canonical form", |draft| {
        draft.rows[0].entry = entry(3).replace("\"v\":1", "\"v\": 1");
    }),
    ("line 1 (seq 3): its entry carries seq 4", |draft| draft.rows[0].entry = entry(4)),
    ("`old_value_digest` of the entry is not", |draft| draft.rows[0].disclosures = line(4).disclosures),
    ("discloses `old_value` twice", |draft| draft.rows[0].disclosures.push(disclosure(3, "old_value"))),
    ("has no `error_digest`", |draft| draft.rows[0].disclosures.push(disclosure(3, "error"))),
    ("a disclosure is not base64url", |draft| draft.rows[0].disclosures.push("?".into())),
    ("has 6 rows, the manifest says 7", |draft| draft.stated_rows = Some(7)),
    ("says `not proven` of a range", |draft| draft.completeness = Completeness::NotProven),
    ("event 9, said to have erased it, is no `evidence.erased` event", |draft| {
        draft.erasures.clear();
        draft.complete();
    }),
    ("event 9, said to have erased it, does not name its subject", |draft| {
        draft.rows[3].erased_by = Some(ERASURE);
        draft.rows[3].disclosures.clear();
    }),
    ("is said to be erased and discloses a value", |draft| {
        draft.rows[2].disclosures.push(disclosure(5, "comment"));
    }),
    ("(seq 9): explains no erased row", |draft| draft.rows.iter_mut().for_each(|row| row.erased_by = None)),
    ("(seq 10): is no readable `evidence.erased` event", |draft| {
        draft.erasures.push(line(10));
        draft.complete();
    }),
    ("says a tree of 14 leaves", |draft| draft.stated.size = 14),
    ("says another root", |draft| draft.stated.root = [7; 32]),
    ("is of the log `example.com/other`", |draft| draft.stated.origin = "example.com/other".into()),
    ("consistency.json", |draft| {
        let mut proof = growth(5);
        proof.proof.pop();
        draft.consistency = Some(proof);
    }),
];

#[test]
fn a_log_that_lies_is_found_out_and_the_lie_is_named() {
    for (expected, lie) in LIES {
        let mut draft = Draft::range(3, 9);
        lie(&mut draft);
        assert_refused(&verdict(&draft.signed()), expected);
    }
    let mut query = Draft::query(&[2, 6]);
    query.completeness = Completeness::Proven;
    assert_refused(&verdict(&query.signed()), "says `proven` of a query");
    let mut later = Draft::range(0, SIZE);
    later.rows[11].erased_by = Some(ERASURE);
    later.rows[11].disclosures.clear();
    assert_refused(&verdict(&later.signed()), "(seq 11): event 9, said to have erased it, is not later than it");
}

fn node(level: u8, index: u64) -> NodeLine {
    NodeLine { level, index, hash: Base64Hash([7; 32]) }
}

fn assert_refused(verdict: &Verdict, expected: &str) {
    let is_named = findings(verdict).iter().any(|finding| finding.contains(expected));
    assert!(!verdict.is_ok && is_named && verdict.completeness.is_none(), "expected: {expected}\n{verdict}");
}

#[test]
fn files_changed_behind_the_signature_are_named() {
    let good = Draft::query(&[2, 6]).signed();
    let changes: &[Change<Files>] = &[
        ("nodes.ndjson: is missing", |files| {
            files.remove(NODES);
        }),
        ("manifest.json: is missing", |files| {
            files.remove(MANIFEST);
        }),
        ("manifest.sig: is missing", |files| {
            files.remove(SIGNATURE);
        }),
        ("checkpoint: is missing", |files| {
            files.remove(CHECKPOINT);
        }),
        ("notes.txt: is not listed", |files| {
            files.insert("notes.txt".into(), b"x".to_vec());
        }),
        ("rows.parquet: has another SHA-256", |files| {
            files.insert("rows.parquet".into(), b"PAR2".to_vec());
        }),
        ("rows.parquet: has 5 bytes, the manifest lists 4", |files| {
            files.insert("rows.parquet".into(), b"PAR11".to_vec());
        }),
        ("has no line end", |files| {
            files.get_mut("entries.ndjson").unwrap().pop();
        }),
        ("signs another text", |files| {
            let other = Draft::query(&[2]).signed();
            files.insert(SIGNATURE.into(), other[SIGNATURE].clone());
        }),
    ];
    for (expected, change) in changes {
        let mut files = good.clone();
        change(&mut files);
        assert_refused(&verdict(&files), expected);
    }
    let mut pack = read(&good);
    pack.add(NODES, &b""[..]).unwrap();
    pack.refuse("link", "is no plain file");
    let key = log().verifier(Kind::Ed25519);
    let verdict = verify(&pack, &Trusted { key: &key, policy: None, held: None, receipt: None });
    assert_refused(&verdict, "nodes.ndjson: stands twice");
    assert_refused(&verdict, "link: is no plain file");
}

#[test]
fn only_the_key_that_the_auditor_holds_counts() {
    let files = Draft::range(3, 9).signed();
    let same_name = Signer::new(log().name(), [9; 32]).unwrap().verifier(Kind::Ed25519);
    for key in [same_name, witness().verifier(Kind::Ed25519), log().verifier(Kind::Cosignature)] {
        let verdict = verify(&read(&files), &Trusted { key: &key, policy: None, held: None, receipt: None });
        let failed: Vec<&str> = verdict.failed().map(|check| check.name).collect();
        assert!(failed.len() >= 3 && verdict.origin.is_none(), "{key}: {verdict}");
    }
}

#[test]
fn a_policy_asks_for_cosignatures() {
    let pack = read(&Draft::range(3, 9).signed());
    let key = log().verifier(Kind::Ed25519);
    let with = |policy: &str| {
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        verify(&pack, &Trusted { key: &key, policy: Some(&policy), held: None, receipt: None })
    };
    let known = format!("witness w {}\nquorum w\n", cosignature::vkey(&witness()));
    let verdict = with(&known);
    assert!(verdict.is_ok && verdict.checks[3].says.contains("w at 1700000000"), "{verdict}");
    assert!(with(&format!("log {key}\n{known}")).is_ok);
    assert!(with("quorum none\n").is_ok);
    let unknown = Signer::new("example.com/other", [3; 32]).unwrap();
    assert_refused(&with(&format!("witness w {}\nquorum w\n", cosignature::vkey(&unknown))), "quorum `w`");
    assert_refused(&with(&format!("log {}\n{known}", unknown.vkey())), "no key that is trusted");
}

#[test]
fn a_tree_must_have_grown_out_of_the_one_held() {
    let other_root = |size| Checkpoint { root: [7; 32], ..checkpoint(size) };
    let other_log = Checkpoint { origin: "example.com/other".into(), ..checkpoint(5) };
    let cases: [(Option<u64>, Option<Checkpoint>, &str); 10] = [
        (None, None, ""),
        (Some(5), None, ""),
        (Some(5), Some(checkpoint(5)), ""),
        (None, Some(checkpoint(SIZE)), ""),
        (None, Some(checkpoint(0)), ""),
        (None, Some(checkpoint(5)), "consistency.json: is missing; ask for a pack"),
        (Some(4), Some(checkpoint(5)), "proves growth from another tree, of 4 leaves"),
        (Some(5), Some(other_root(5)), "proves growth from another tree"),
        (None, Some(other_root(SIZE)), "you hold another root of 13 leaves"),
        (Some(5), Some(other_log), "the checkpoint held is of the log"),
    ];
    let key = log().verifier(Kind::Ed25519);
    for (proof, held, expected) in cases {
        let mut draft = Draft::range(3, 9);
        draft.consistency = proof.map(growth);
        let verdict =
            verify(&read(&draft.signed()), &Trusted { key: &key, policy: None, held: held.as_ref(), receipt: None });
        match expected {
            "" => assert!(verdict.is_ok, "{proof:?}, {held:?}: {verdict}"),
            _ => assert_refused(&verdict, expected),
        }
        let is_asked = proof.is_some() || held.is_some();
        assert_eq!(verdict.checks[10].outcome == Outcome::NotAsked, !is_asked);
    }
    let newer = Checkpoint { size: SIZE + 1, ..checkpoint(SIZE) };
    let pack = read(&Draft::range(3, 9).signed());
    let verdict = verify(&pack, &Trusted { key: &key, policy: None, held: Some(&newer), receipt: None });
    assert_refused(&verdict, "an old pack, or a log taken back");
}

#[test]
fn a_verdict_is_json_with_its_findings() {
    let mut draft = Draft::range(3, 9);
    draft.rows.swap(0, 1);
    let json = serde_json::to_value(verdict(&draft.signed())).unwrap();
    assert_eq!((&json["is_ok"], &json["checks"][0]["outcome"]), (&Value::from(false), &Value::from("passed")));
    assert_eq!(json["checks"][10]["outcome"], "not_asked");
    assert_eq!(json["checks"][5]["findings"][0]["seq"], 3);
    assert_eq!(json["checks"][5]["more_findings"], 0);
}

/// A fixture of `tests/fixtures/ledger`.
fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/ledger/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    assert_eq!(hex.len(), 2 * N);
    std::array::from_fn(byte)
}

#[test]
fn the_witness_answers_as_another_one_does() {
    let recorded: Value = serde_json::from_str(&fixture("tlog_witness_exchanges.json")).unwrap();
    let exchanges = recorded["exchanges"].as_array().unwrap();
    let origin = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    let key = bytes("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f");
    let mut logs = [Log { key: Verifier::new(origin, Kind::Ed25519, key).unwrap(), latest: None }];
    let witness = witness();
    assert_eq!(exchanges.len(), 9);
    for (number, exchange) in exchanges.iter().enumerate() {
        let body = exchange["body"].as_str().unwrap();
        let answer = add_checkpoint(body.as_bytes(), &logs, &witness, 1_700_000_000);
        // The recorded witness says 403 for a log that it does not know; the specification says 404.
        let status = if number == 2 { 404 } else { exchange["status"].as_u64().unwrap() };
        assert_eq!(u64::from(answer.status), status, "exchange {number}: {}", answer.body);
        for asserted in exchange["asserts"].as_array().unwrap() {
            let expected = asserted.as_str().unwrap().replace("\\n", "\n");
            let words = expected.split('"').nth(1).unwrap();
            let is_so = if expected.contains("==") { answer.body == words } else { answer.body.contains(words) };
            assert!(is_so, "exchange {number}: {expected}: {}", answer.body);
        }
        if let Some(accepted) = answer.accepted {
            let note = Note::parse(format!("{}\n{}", accepted.to_text(), answer.body).as_bytes()).unwrap();
            assert!(note.verify(&[witness.verifier(Kind::Cosignature)]).is_ok());
            logs[0].latest = Some(accepted);
        }
    }
    assert_eq!(logs[0].latest.as_ref().unwrap().size, 5);
}

/// A policy whose keys are bare hex, with its keys as vkeys.
fn with_vkeys(policy: &str) -> String {
    let vkey = |name: &str, kind, hex: &str| Verifier::new(name, kind, bytes(hex)).unwrap().to_string();
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["log", key, url] => {
            let hash: String = Sha256::digest(bytes::<32>(key)).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("log {} {url}\n", vkey(&format!("sigsum.org/v1/tree/{hash}"), Kind::Ed25519, key))
        }
        ["witness", name, key] => format!("witness {name}\t{}\n", vkey(name, Kind::Cosignature, key)),
        _ => format!("{line}\n"),
    };
    policy.lines().map(line).collect()
}

#[test]
fn a_real_checkpoint_satisfies_the_real_policy_until_cosignatures_are_taken_away() {
    let policy = Policy::parse(with_vkeys(&fixture("sigsum/sigsum-test-2025-3.builtin-policy")).as_bytes()).unwrap();
    let proof: Value = serde_json::from_str(&fixture("sigsum_cosigned_proof.json")).unwrap();
    let text = proof["checkpoint_body"].as_str().unwrap().to_owned();
    let origin = text.lines().next().unwrap();
    let key = Verifier::new(origin, Kind::Ed25519, bytes(proof["log_pubkey"].as_str().unwrap())).unwrap();
    let signature: [u8; 64] = bytes(proof["log_sig"].as_str().unwrap());
    let mut signatures = vec![Signature { name: origin.to_owned(), id: key.id(), bytes: signature.to_vec() }];
    for one in proof["cosignatures"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        let key = Verifier::new(name, Kind::Cosignature, bytes(one["pubkey"].as_str().unwrap())).unwrap();
        let time = one["time"].as_u64().unwrap().to_be_bytes();
        let ed25519: [u8; 64] = bytes(one["sig"].as_str().unwrap());
        signatures.push(Signature { name: name.to_owned(), id: key.id(), bytes: [&time[..], &ed25519[..]].concat() });
    }
    let mut note = Note { text, signatures };
    assert_eq!(policy.satisfied_by(&note).unwrap().len(), 8);
    // Four of six are asked for, three witnesses of one operator being one of the six.
    note.signatures.truncate(1 + 6);
    assert!(policy.satisfied_by(&note).is_ok());
    note.signatures.retain(|signature| signature.name != "remora.n621.de");
    note.signatures.retain(|signature| signature.name != "witness.stagemole.eu");
    let error = policy.satisfied_by(&note).unwrap_err().to_string();
    assert!(error.contains("quorum `quorum-rule`") && error.contains("poc.sigsum.org/nisse"), "{error}");
    let other = Policy::parse(with_vkeys(&fixture("sigsum/sigsum-generic-2025-1.builtin-policy")).as_bytes()).unwrap();
    assert!(other.satisfied_by(&note).is_err());
    assert_eq!(Policy::parse(&other.to_text()).unwrap(), other);
}
