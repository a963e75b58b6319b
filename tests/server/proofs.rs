//! Proofs over HTTP: whoever has the key and a file believes nothing of what the server says.

use std::io::Read;

use arrow::array::Array;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use probity::event::columns::SEALED;
use probity::ledger::hash::hex;
use probity::ledger::pack::format::{ENTRIES, EntryLine, PARQUET};
use probity::ledger::tlog_proof::TlogProof;
use probity::ledger::tree::Frontier;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::world::World;
use crate::support::command::Ran;
use crate::support::event;
use crate::support::http::Request;

fn vkey(world: &World) -> String {
    world.run(&["key", "show", "--json"]).ended(0).json()["vkey"].as_str().unwrap().to_owned()
}

fn verify(world: &World, what: &str, bytes: &[u8], vkey: &str) -> Ran {
    let file = world.dir().join(format!("{what}.file"));
    std::fs::write(&file, bytes).unwrap();
    let ran = world.run(&["verify", what, file.to_str().unwrap(), "--vkey", vkey]);
    std::fs::remove_file(file).unwrap();
    ran
}

#[test]
fn the_proof_of_an_event_verifies_offline_and_a_changed_one_does_not() {
    let world = World::small(20, &[]);
    let vkey = vkey(&world);
    for seq in [0, 7, 20] {
        let request = Request::get(&format!("/v1/events/{seq}")).by(world.token("analyst"));
        let proof = world.served.ask(&request.clone().with("accept", "text/plain")).is(200).body;
        verify(&world, "proof", &proof, &vkey).ended(0);
        let text = String::from_utf8(proof).unwrap();
        let forged = text.replacen("index ", "index 1", 1);
        assert_ne!(verify(&world, "proof", forged.as_bytes(), &vkey).code, Some(0), "{forged}");
        let document = world.served.ask(&request).is(200).json();
        assert_eq!((&document["seq"], document["leaf"].as_str().unwrap().len()), (&json!(seq), 64), "{document}");
        // The document leads to the same root by the same hashes.
        let hashes = document["proof"]["hashes"].as_array().unwrap();
        let parsed = TlogProof::parse(&text).unwrap();
        let expected: Vec<Value> = parsed.proof.iter().map(|hash| json!(STANDARD.encode(hash))).collect();
        // A fold in between signs another one.
        let is_same = document["proof"]["checkpoint"] == parsed.checkpoint.as_str();
        assert!(!is_same || *hashes == expected, "{document}\n{text}");
    }
    // What was acknowledged a moment ago is proven, too.
    let answer = world.served.ingest(world.token("ingest"), &crate::support::event("new", 99)).is(200).json();
    let seq = &answer["results"][0]["seq"];
    let request = Request::get(&format!("/v1/events/{seq}")).by(world.token("analyst")).with("accept", "text/plain");
    verify(&world, "proof", &world.served.ask(&request).is(200).body, &vkey).ended(0);
    let beyond = world.served.get(world.token("analyst"), "/v1/events/1000000");
    assert_eq!(beyond.status, 404, "{}", beyond.text());
}

/// Rows of a packed pack, and the sealed values that it discloses in either of its forms.
pub fn contents(pack: &[u8]) -> (usize, usize) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(pack));
    let (mut rows, mut sealed) = (0, 0);
    for file in archive.entries().unwrap() {
        let mut file = file.unwrap();
        let name = file.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        if name.ends_with(ENTRIES) {
            let lines: Vec<EntryLine> =
                String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            rows = lines.len();
            sealed += lines.iter().map(|line| line.disclosures.len()).sum::<usize>();
        } else if name.ends_with(PARQUET) {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
            for batch in reader.build().unwrap().map(Result::unwrap) {
                let columns = SEALED.iter().filter_map(|(column, _)| batch.column_by_name(column.name()));
                sealed += columns.map(|column| column.len() - column.null_count()).sum::<usize>();
            }
        }
    }
    (rows, sealed)
}

#[test]
fn a_pack_from_the_server_verifies_offline() {
    let world = World::small(30, &[]);
    let vkey = vkey(&world);
    for (order, rows) in [
        (json!({"from_seq": 3, "to_seq": 9}), 6),
        (json!({"query": "select seq from events where record_id = 'r1'"}), 1),
        (
            json!({"query": "select seq from events where record_id = 'r-marked'", "withhold": ["old_value", "new_value", "error", "comment", "extra"]}),
            1,
        ),
    ] {
        let request = Request::json("/v1/packs", &order).by(world.token("admin"));
        let answer = world.served.ask(&request).is(200);
        assert!(answer.header("content-disposition").contains("attachment"), "{:?}", answer.headers);
        verify(&world, "pack", &answer.body, &vkey).ended(0);
        let (found, sealed) = contents(&answer.body);
        assert_eq!(found, rows, "{order}");
        assert_eq!(sealed == 0, order.get("withhold").is_some(), "{order}");
    }
    let stated = world.rows("select actor_id from events where event_type = 'evidence.exported' order by seq");
    assert_eq!(json!(stated), json!([["adam"], ["adam"], ["adam"]]));
    for (order, status) in
        [(json!({}), 400), (json!({"from_seq": 5, "to_seq": 2}), 400), (json!({"query": "drop table x"}), 400)]
    {
        let answer = world.served.post(world.token("admin"), "/v1/packs", &order);
        assert_eq!(answer.status, status, "{order}: {}", answer.text());
    }
    world.served.post(world.token("analyst"), "/v1/packs", &json!({"from_seq": 0, "to_seq": 1})).is(403);
}

#[test]
fn what_the_command_hands_out_is_stated_before_it_has_its_name() {
    let world = World::small(10, &[]);
    let export = |out: &str| world.run(&["export", "--from", "0", "--to", "5", "--out", out, "--json"]).ended(0).json();
    let seqs = [export("p.tar.gz")["seq"].clone(), export("p")["seq"].clone()];
    world.run(&["export", "--from", "5", "--to", "2", "--out", "none"]).ended(2);
    let stated =
        world.rows("select seq, actor_id, extra from events where event_type = 'evidence.exported' order by seq");
    assert_eq!(stated.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), seqs);
    let extra = |row: usize| serde_json::from_str::<Value>(stated[row][2].as_str().unwrap()).unwrap();
    let hash = |file: &str| hex(&Sha256::digest(std::fs::read(world.dir().join(file)).unwrap()));
    assert_eq!(extra(0)["sha256"], hash("p.tar.gz"));
    assert_eq!(extra(1)["manifest_sha256"], hash("p/manifest.json"));
    for row in 0..2 {
        assert_eq!((&extra(row)["rows"], &extra(row)["selection"]["to_seq"]), (&json!(5), &json!(5)), "{stated:?}");
        assert!(!stated[row][1].as_str().unwrap().is_empty(), "nobody is named: {stated:?}");
    }
}

#[test]
fn a_receipt_is_answered_and_a_pack_keeps_its_promise() {
    let world = World::empty(&[]);
    let send = |target: &str, ids: std::ops::Range<i64>| {
        let lines: Vec<String> = ids.map(|id| event(&id.to_string(), id)).collect();
        let request = Request::post(target, "application/x-ndjson", lines.join("\n")).by(world.token("ingest"));
        world.served.ask(&request).is(200).json()
    };
    assert!(send("/v1/events", 0..3).get("receipts").is_none());
    let answer = send("/v1/events?receipt=true", 2..8);
    let [receipt] = &answer["receipts"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!((&receipt["count"], &receipt["signed"]), (&json!(5), &json!(true)), "{answer}");
    assert_eq!(receipt["first_seq"], answer["results"][1]["seq"]);
    assert_eq!(send("/v1/events?receipt=true", 0..3)["receipts"], json!([]));
    let note = receipt["note"].as_str().unwrap();
    let pack = world.served.post(world.token("admin"), "/v1/packs", &json!({"receipt": note})).is(200);
    std::fs::write(world.dir().join("r"), note).unwrap();
    std::fs::write(world.dir().join("p.tar.gz"), &pack.body).unwrap();
    world.run(&["verify", "pack", "p.tar.gz", "--vkey", &vkey(&world), "--receipt", "r"]).ended(0);
}

#[test]
fn a_key_that_is_rotated_while_the_server_runs_signs_from_then_on() {
    let world = World::small(10, &[]);
    let before = vkey(&world);
    world.run(&["key", "rotate", "--by", "pat"]).ended(0);
    let now = vkey(&world);
    assert_ne!(before, now);
    let lines = Request::post("/v1/events?receipt=true", "application/x-ndjson", event("later", 99));
    let answer = world.served.ask(&lines.by(world.token("ingest"))).is(200).json();
    assert_eq!(answer["receipts"][0]["signed"], true, "{answer}");
    let pack = world.served.post(world.token("admin"), "/v1/packs", &json!({"from_seq": 0, "to_seq": 5})).is(200);
    let seq = &answer["results"][0]["seq"];
    let proof = Request::get(&format!("/v1/events/{seq}")).by(world.token("analyst")).with("accept", "text/plain");
    let proof = world.served.ask(&proof).is(200).body;
    // A fold has signed it, with the key that lies in the file of the old one.
    verify(&world, "proof", &proof, &now).ended(0);
    for trusted in [before, now] {
        verify(&world, "pack", &pack.body, &trusted).ended(0);
    }
    world.run(&["verify", "store"]).ended(0);
}

#[test]
fn a_pack_satisfies_the_policy_of_who_orders_it_or_there_is_none() {
    let world = World::small(10, &[]);
    let made =
        world.run(&["witness", "init", "--witness-key", "w.key", "--name", "a.example.com/w", "--json"]).ended(0);
    let (log, witness) = (vkey(&world), made.json()["vkey"].as_str().unwrap().to_owned());
    let order = |role: &str, trust: &str| {
        world.served.post(world.token(role), "/v1/packs", &json!({"from_seq": 0, "to_seq": 5, "trust": trust}))
    };
    for role in ["auditor", "admin"] {
        let trusted = order(role, &format!("log {log}\nquorum none\n")).is(200);
        verify(&world, "pack", &trusted.body, &log).ended(0);
        let asks = format!("log {log}\nwitness w {witness} http://127.0.0.1:1\nquorum w\n");
        let refused = order(role, &asks).is(409).text();
        assert!(refused.contains("probity witness ask") && !refused.contains("127.0.0.1"), "{refused}");
        order(role, "quorum nobody\n").is(400);
    }
    let stated = world.rows("select count(*) from events where event_type = 'evidence.exported'");
    assert_eq!(stated[0][0], 2, "what was not handed out is not stated");
}

#[test]
fn checkpoint_and_tiles_are_those_of_the_ledger() {
    let world = World::small(600, &[]);
    world.run(&["maintain"]).ended(0);
    let checkpoint = world.served.get(world.token("auditor"), "/v1/checkpoint").is(200);
    assert!(checkpoint.header("content-type").starts_with("text/plain"));
    let text = checkpoint.text();
    let size: u64 = text.lines().nth(1).unwrap().parse().unwrap();
    assert!(size >= 600, "{text}");
    let mut leaves = Vec::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let tile = world.served.get(world.token("auditor"), &format!("/v1/tile/0/{index:03}{partial}")).is(200);
        assert_eq!(tile.body.len() as u64, width * 32);
        if width == 256 {
            assert!(tile.header("cache-control").contains("immutable"), "{:?}", tile.headers);
        }
        leaves.extend(tile.body.chunks(32).map(|hash| <[u8; 32]>::try_from(hash).unwrap()));
    }
    let mut tree = Frontier::default();
    tree.append_all(&leaves);
    assert_eq!(text.lines().nth(2).unwrap(), STANDARD.encode(tree.root()));
    for target in ["/v1/tile/0/999", "/v1/tile/0/000.p/999", "/v1/tile/x/000", "/v1/tile/0/000.p/0"] {
        let answer = world.served.get(world.token("auditor"), target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
    }
}

#[test]
fn the_documents_are_those_of_the_command_line() {
    let world = World::full();
    let token = world.token("analyst");
    let same = |document: &Value, command: &[&str], parts: &[&str]| {
        let told = world.run(&[command, &["--json"]].concat()).json();
        for part in parts {
            assert_eq!(document[*part], told[*part], "{command:?} {part}");
        }
    };
    let status = world.served.get(token, &format!("/v1/reviews/{}", world.review)).is(200).json();
    same(&status, &["review", "status", &world.review], &["N", "D0", "n", "k", "e", "decision", "next"]);
    let scope = world.served.get(token, &format!("/v1/incidents/{}/scope", world.incident)).is(200).json();
    let parts = ["direct_actions", "records", "cells", "states", "affected_sha256"];
    same(&scope, &["incident", "scope", "--where", "rule_version = 'r7'"], &parts);
    let incident = world.served.get(token, &format!("/v1/incidents/{}", world.incident)).is(200).json();
    same(&incident, &["incident", "show", &world.incident], &["incident_id", "is_paused", "steps"]);
}
