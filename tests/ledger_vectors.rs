//! The ledger against published vectors and real logs.
//!
//! What is accepted must be accepted and what is refused must be refused: a verifier that says yes to everything
//! passes every good vector. `fixtures/ledger/README.md` names the origin of each file.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use probity::ledger::checkpoint::{Checkpoint, open};
use probity::ledger::cosignature;
use probity::ledger::hash::{Hash, empty_root, from_base64, leaf_hash, node_hash};
use probity::ledger::note::{Kind, Note, Signature, Signer, Verifier, verify_ed25519};
use probity::ledger::proof::{verify_consistency, verify_inclusion};
use probity::ledger::tile::{Tile, node_in_tile};
use probity::ledger::tlog_proof::TlogProof;
use probity::ledger::tree::{Frontier, consistency_ranges, cover, inclusion_ranges, range_hash};
use serde_json::Value;

const TESSERA_KEY: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

// Vectors.

#[test]
fn known_roots_of_rfc_6962() {
    let vectors = json("rfc6962_known_roots.json");
    let named = |name: &str| unhex_hash(&vectors["hashes"][name]);
    assert_eq!(empty_root(), named("empty_root"));
    assert_eq!(leaf_hash(b""), named("leaf_of_empty"));
    assert_eq!(leaf_hash(b"L123456"), named("leaf_of_ascii_L123456"));
    let levels = list(&vectors["node_hashes_by_level"], |level| list(level, unhex_hash));
    let leaves = list(&vectors["leaf_inputs_hex"], |input| leaf_hash(&unhex(string(input))));
    assert_eq!(leaves, levels[0]);
    for pair in levels.windows(2) {
        let parents: Vec<Hash> =
            pair[0].chunks_exact(2).map(|children| node_hash(&children[0], &children[1])).collect();
        assert_eq!(parents, pair[1]);
    }
    for (size, root) in list(&vectors["roots_by_size"], unhex_hash).into_iter().enumerate() {
        assert_eq!(root_of(&leaves[..size]), root, "{size} leaves");
    }
}

#[test]
fn inclusion_probes_are_accepted_and_refused_as_published() {
    let (mut probes, mut refused) = (0, 0);
    for (path, probe) in probes_in("transparency-dev-merkle/inclusion") {
        let (index, size) = (number(&probe["leafIdx"]), number(&probe["treeSize"]));
        // Hashes of another length cannot be passed to the verifier at all.
        let hashes = (hash(&probe["leafHash"]), proof(&probe["proof"]), hash(&probe["root"]));
        let is_accepted = match hashes {
            (Some(leaf), Some(proof), Some(root)) => verify_inclusion(leaf, index, size, &proof, &root).is_ok(),
            _ => false,
        };
        assert_eq!(is_accepted, !is_true(&probe["wantErr"]), "{}", path.display());
        probes += 1;
        refused += usize::from(!is_accepted);
    }
    assert_eq!((probes, refused), (98, 92));
}

#[test]
fn consistency_probes_are_accepted_and_refused_as_published() {
    let (mut probes, mut refused) = (0, 0);
    for (path, probe) in probes_in("transparency-dev-merkle/consistency") {
        let (old, new) = (number(&probe["size1"]), number(&probe["size2"]));
        let [old_root, new_root] = ["root1", "root2"].map(|name| padded_hash(&probe[name]));
        let is_accepted = proof(&probe["proof"])
            .is_some_and(|proof| verify_consistency(old, &old_root, new, &new_root, &proof).is_ok());
        assert_eq!(is_accepted, !is_true(&probe["wantErr"]), "{}", path.display());
        probes += 1;
        refused += usize::from(!is_accepted);
    }
    assert_eq!((probes, refused), (98, 92));
}

#[test]
fn signed_notes_are_verified_and_refused_as_published() {
    let vectors = json("signed_note.json");
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let keys = list(&case["vkeys"], |vkey| Verifier::parse(string(vkey)).unwrap());
        let note = Note::parse(string(&case["note"]).as_bytes());
        let signed = note.and_then(|note| {
            let signed = note.verify(&keys)?;
            Ok(signed.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>())
        });
        let expected = is_true(&case["ok"]).then(|| list(&case["verified"], |name| string(name).to_owned()));
        assert_eq!(signed.ok(), expected, "{}", case["name"]);
    }
    assert_eq!(cases.len(), 14);
    for vkey in vectors["bad_vkeys"].as_array().unwrap() {
        assert!(Verifier::parse(string(vkey)).is_err(), "{vkey}");
    }
}

#[test]
fn a_known_key_makes_the_known_signature() {
    let vectors = json("signed_note.json");
    let skey = string(&vectors["signer"]["skey"]);
    let signer = Signer::parse(skey).unwrap();
    assert_eq!(signer.skey(), skey);
    assert_eq!(signer.vkey(), string(&vectors["cases"][0]["vkeys"][0]));
    let note = Note::signed(string(&vectors["signer"]["text"]), &signer).unwrap();
    assert_eq!(note.to_string(), string(&vectors["signer"]["want_note"]));
    assert!(Signer::parse(&skey.replace("+c74f20a3+", "+c74f20a4+")).is_err());
    assert!(Signer::parse(&signer.vkey()).is_err());
    assert!(Verifier::parse(skey).is_err());
}

#[test]
fn checkpoints_of_three_lines_are_read_and_others_refused() {
    let vectors = json("checkpoints.json");
    for text in list(&vectors["good"], |text| string(text).to_owned()) {
        // Extension lines are legal and useless: no witness vouches for them, so they are refused here.
        let has_extension = text.lines().count() > 3;
        match Checkpoint::parse(&text) {
            Ok(checkpoint) => assert_eq!(checkpoint.to_text(), text),
            Err(e) => assert!(has_extension, "{text:?}: {e}"),
        }
        assert_eq!(Checkpoint::parse(&text).is_err(), has_extension);
    }
    for text in list(&vectors["bad"], |text| string(text).to_owned()) {
        for text in [text.replace("abc\ndef\n", ""), text] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }
}

#[test]
fn tile_paths_are_read_and_written_as_published() {
    let vectors = json("tile_paths.json");
    for case in vectors["go_tile_paths"].as_array().unwrap() {
        // There the path begins with the height of the tiles; C2SP fixes it to 8.
        let path = string(&case[0]).strip_prefix("tile/").unwrap().split_once('/').unwrap().1;
        let tile = Tile::parse(path).ok();
        let expected = case[1].as_array().map(|numbers| {
            let [height, level, index, width] = [0, 1, 2, 3].map(|at| number(&numbers[at]));
            let width = if width == 1 << height { 256 } else { width as u16 };
            Tile { level: level as u8, index, width }
        });
        assert_eq!(tile, expected, "{path}");
        assert_eq!(tile.map(|tile| tile.path()), expected.map(|_| path.to_owned()));
    }
    let tile = Tile { level: 0, index: 1_234_067, width: 256 };
    assert_eq!(tile.path(), format!("0/{}", string(&vectors["c2sp"]["index_1234067"])));
}

#[test]
fn a_tree_has_the_tiles_that_the_specification_counts() {
    let tiles = Tile::new_tiles(0, 70_000);
    let full = |level| tiles.iter().filter(|tile| tile.level == level && tile.width == 256).count() as u64;
    let partial =
        |level| tiles.iter().find(|tile| tile.level == level && tile.width < 256).map_or(0, |tile| tile.width);
    let expected = &json("tile_paths.json")["c2sp"]["size_70000"];
    for (name, found) in [
        ("full_l0", full(0)),
        ("partial_l0", u64::from(partial(0))),
        ("full_l1", full(1)),
        ("partial_l1", u64::from(partial(1))),
        ("partial_l2", u64::from(partial(2))),
    ] {
        assert_eq!(found, number(&expected[name]), "{name}");
    }
    assert_eq!(full(2) + full(3) + u64::from(partial(3)), 0);
    assert_eq!(Tile::new_tiles(0, 256).iter().map(Tile::path).collect::<Vec<_>>(), ["0/000", "1/000.p/1"]);
}

#[test]
fn strict_ed25519_agrees_with_wycheproof() {
    let mut count = 0;
    for group in json("wycheproof/ed25519_test.json")["testGroups"].as_array().unwrap() {
        let key = unhex(string(&group["publicKey"]["pk"]));
        for test in group["tests"].as_array().unwrap() {
            let [message, signature] = ["msg", "sig"].map(|name| unhex(string(&test[name])));
            let is_accepted = verify_ed25519(&key, &message, &signature).is_ok();
            assert_eq!(is_accepted, string(&test["result"]) == "valid", "tcId {}", test["tcId"]);
            count += 1;
        }
    }
    assert_eq!(count, 151);
}

#[test]
fn strict_ed25519_refuses_weak_keys_and_second_encodings() {
    let vectors = json("cctv-ed25519/ed25519vectors.json");
    let (mut count, mut accepted) = (0, 0);
    for vector in vectors.as_array().unwrap() {
        let [key, signature] = ["key", "sig"].map(|name| unhex(string(&vector[name])));
        let is_accepted = verify_ed25519(&key, string(&vector["msg"]).as_bytes(), &signature).is_ok();
        // A part of low order beside one of full order cannot be told from outside; everything else is refused.
        let flags = vector["flags"].as_array().cloned().unwrap_or_default();
        let is_harmless = |flag: &Value| ["low_order_component_A", "low_order_component_R"].contains(&string(flag));
        assert_eq!(is_accepted, flags.iter().all(is_harmless), "number {}", vector["number"]);
        count += 1;
        accepted += usize::from(is_accepted);
    }
    assert_eq!((count, accepted), (914, 43));
}

// Real logs.

#[test]
fn a_real_log_is_rebuilt_from_its_entries() {
    let key = Verifier::parse(TESSERA_KEY).unwrap();
    let entries = bundle(&tessera("tile/entries/000.p/15"));
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(leaves.len(), 15);
    for size in 0..=15 {
        let checkpoint = open(&tessera(&format!("checkpoint.{size}")), "example.com/log/testdata", &key).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (size as u64, root_of(&leaves[..size])));
        for tile in Tile::new_tiles(0, size as u64) {
            assert_eq!(tessera(&format!("tile/{}", tile.path())), leaves[..size].as_flattened(), "{}", tile.path());
            assert_eq!(bundle(&tessera(&format!("tile/entries/000.p/{size}"))), entries[..size]);
        }
    }
    assert_eq!(tessera("checkpoint"), tessera("checkpoint.15"));
}

#[test]
fn proofs_from_the_tiles_of_a_real_log_lead_from_checkpoint_to_checkpoint() {
    let key = Verifier::parse(TESSERA_KEY).unwrap();
    let root =
        |size: u64| open(&tessera(&format!("checkpoint.{size}")), "example.com/log/testdata", &key).unwrap().root;
    for new in 1..=15 {
        let hash = |range| range_from_tiles(new, range, &|tile| tessera(&format!("tile/{}", tile.path())));
        for old in 1..=new {
            let proof: Vec<Hash> = consistency_ranges(old, new).unwrap().into_iter().map(hash).collect();
            verify_consistency(old, &root(old), new, &root(new), &proof).unwrap();
            assert!(old == new || verify_consistency(old, &root(old - 1), new, &root(new), &proof).is_err());
        }
        for index in 0..new {
            let proof: Vec<Hash> = inclusion_ranges(index, new).unwrap().into_iter().map(hash).collect();
            verify_inclusion(hash(index..index + 1), index, new, &proof, &root(new)).unwrap();
            assert!(verify_inclusion(hash(index..index + 1), index + 1, new, &proof, &root(new)).is_err());
        }
    }
}

#[test]
fn a_checkpoint_with_one_byte_changed_or_cut_does_not_open() {
    let key = Verifier::parse(TESSERA_KEY).unwrap();
    let note = tessera("checkpoint.15");
    for at in 0..note.len() {
        assert!(open(&note[..at], "example.com/log/testdata", &key).is_err(), "cut at byte {at}");
        for bit in 0..8 {
            let mut changed = note.clone();
            changed[at] ^= 1 << bit;
            assert!(open(&changed, "example.com/log/testdata", &key).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn proofs_of_a_certificate_log_of_a_thousand_million_leaves_verify() {
    let file = |name: &str| json(&format!("azul-ct-http/{name}.json"));
    let head = file("get-sth");
    let (size, root) = (number(&head["tree_size"]), hash(&head["sha256_root_hash"]).unwrap());
    let entry = BASE64.decode(string(&file("get-entries")["entries"][0]["leaf_input"])).unwrap();
    let inclusion = proof(&file("get-proof-by-hash")["audit_path"]).unwrap();
    verify_inclusion(leaf_hash(&entry), 10_000, size, &inclusion, &root).unwrap();
    assert!(verify_inclusion(leaf_hash(&entry), 10_001, size, &inclusion, &root).is_err());
    let consistency = proof(&file("get-sth-consistency")["consistency"]).unwrap();
    let old_root = from_base64("AuIZ5V6sDUj1vn3Y1K85oOaQ7y+FJJKtyRTl1edIKBQ=").unwrap();
    verify_consistency(3_654_490, &old_root, size, &root, &consistency).unwrap();
    assert!(verify_consistency(3_654_491, &old_root, size, &root, &consistency).is_err());
    // Size and index fix the length of a proof.
    assert_eq!(inclusion_ranges(10_000, size).unwrap().len(), inclusion.len());
    assert_eq!(consistency_ranges(3_654_490, size).unwrap().len(), consistency.len());
}

#[test]
fn a_real_checkpoint_carries_eight_cosignatures() {
    let vectors = json("sigsum_cosigned_proof.json");
    let (note, keys) = cosigned_note(&vectors);
    let signed: Vec<&str> = note.verify(&keys).unwrap().into_iter().map(Verifier::name).collect();
    assert_eq!(signed, keys.iter().map(Verifier::name).collect::<Vec<_>>());
    assert_eq!(signed.len(), 1 + 8);
    for (key, signature) in keys.iter().zip(&note.signatures).skip(1) {
        assert_eq!(cosignature::verify(key, &note.text, signature).unwrap(), 1_770_193_051, "{}", key.name());
        assert!(cosignature::verify(key, &note.text.replace("381382", "381383"), signature).is_err());
    }
    let mut early = note.clone();
    early.signatures[3].bytes[7] ^= 1;
    assert!(early.verify(&keys).is_err(), "another time is another statement");
}

#[test]
fn a_real_leaf_is_proven_by_one_text() {
    let vectors = json("sigsum_cosigned_proof.json");
    let (mut note, keys) = cosigned_note(&vectors);
    let leaf = leaf_hash(&unhex(string(&vectors["leaf_entry_hex"])));
    let (index, proof) = (number(&vectors["leaf_index"]), list(&vectors["inclusion_proof"], unhex_hash));
    let origin = keys[0].name();
    let text = TlogProof { extra: None, index, proof: proof.clone(), checkpoint: note.to_string() }.to_string();
    assert_eq!(TlogProof::parse(&text).unwrap().verify(leaf, origin, &keys[0]).unwrap().size, 381_382);
    assert!(TlogProof::parse(&text).unwrap().verify(leaf_hash(b"another"), origin, &keys[0]).is_err());

    // With the log's signature alone no byte of the text is free.
    note.signatures.truncate(1);
    let text = TlogProof { extra: None, index, proof, checkpoint: note.to_string() }.to_string();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).ok();
        let opened = changed.and_then(|text| TlogProof::parse(&text).ok()?.verify(leaf, origin, &keys[0]).ok());
        assert_eq!(opened, None, "byte {at}");
    }
}

// Vocabulary.

fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ledger")).join(path)
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(path)).unwrap()).unwrap()
}

fn tessera(path: &str) -> Vec<u8> {
    fs::read(fixture("tessera-testdata/log").join(path)).unwrap()
}

/// Every probe below a folder, with its path.
fn probes_in(folder: &str) -> Vec<(PathBuf, Value)> {
    let mut folders = vec![fixture(folder)];
    let mut probes = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let probe = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                probes.push((path, probe));
            }
        }
    }
    probes
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap()
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(of).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn unhex_hash(value: &Value) -> Hash {
    unhex(string(value)).try_into().unwrap()
}

/// A hash in base64; none where the probe has other bytes.
fn hash(value: &Value) -> Option<Hash> {
    from_base64(string(value)).ok()
}

/// The hashes of a proof, where an absent one is empty; none where one of them is no hash.
fn proof(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

/// The root of a consistency probe; some have a phrase instead, which stands for any hash.
fn padded_hash(value: &Value) -> Hash {
    let mut bytes = BASE64.decode(string(value)).unwrap();
    bytes.resize(32, 0);
    bytes.try_into().unwrap()
}

/// The entries of a bundle: each has its length before it, 16 bits, big-endian; C2SP tlog-tiles.
fn bundle(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (entry, behind) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bytes = behind;
    }
    entries
}

/// The note and the keys of its signatures, in their order: the log, then its witnesses.
fn cosigned_note(vectors: &Value) -> (Note, Vec<Verifier>) {
    let text = string(&vectors["checkpoint_body"]);
    let key = |name: &str, kind, key: &Value| Verifier::new(name, kind, unhex_hash(key)).unwrap();
    let line = |key: &Verifier, bytes| Signature { name: key.name().to_owned(), id: key.id(), bytes }.to_string();
    let log = key(text.lines().next().unwrap(), Kind::Ed25519, &vectors["log_pubkey"]);
    let mut note = format!("{text}\n{}\n", line(&log, unhex(string(&vectors["log_sig"]))));
    let mut keys = vec![log];
    for one in vectors["cosignatures"].as_array().unwrap() {
        let witness = key(string(&one["name"]), Kind::Cosignature, &one["pubkey"]);
        let time = number(&one["time"]).to_be_bytes();
        let bytes = [time.as_slice(), unhex(string(&one["sig"])).as_slice()].concat();
        note.push_str(&format!("{}\n", line(&witness, bytes)));
        keys.push(witness);
    }
    (Note::parse(note.as_bytes()).unwrap(), keys)
}

/// The root over leaf hashes, appended at once.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    frontier.append_all(leaves);
    frontier.root()
}

/// The hash of a range of leaves from the tiles of a tree of `size` leaves.
pub fn range_from_tiles(size: u64, range: Range<u64>, read: &dyn Fn(&Tile) -> Vec<u8>) -> Hash {
    let of_node = |node| {
        let (tile, _) = Tile::holding(node, size);
        node_in_tile(node, &tile, &read(&tile)).unwrap()
    };
    let hashes: Vec<Hash> = cover(range.start, range.end).into_iter().map(of_node).collect();
    range_hash(range, &hashes).unwrap()
}
