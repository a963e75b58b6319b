//! Fuzzing of everything in the ledger that reads what others wrote, on stable and without a fuzzer.
//!
//! Good inputs are changed at random. Nothing may panic; what is accepted must be written and read again the same; a
//! pack with a changed file must never verify. `PROBITY_FUZZ_RUNS` sets how many inputs each test makes, from the
//! seed `PROBITY_FUZZ_SEED` on; a failure prints the seed and the command that replays it.

use probity::ledger::checkpoint::Checkpoint;
use probity::ledger::cosignature::{self, cosign};
use probity::ledger::entry::{Disclosure, Entry};
use probity::ledger::handover::{Handover, Succession};
use probity::ledger::hash::{Hash, leaf_hash};
use probity::ledger::note::{Kind, Note, Verifier};
use probity::ledger::pack::format::{Consistency, EntryLine, Manifest, NodeLine, NoteLine, SIGNATURE};
use probity::ledger::pack::single;
use probity::ledger::proof::{completing_nodes, root_from, verify_consistency, verify_inclusion};
use probity::ledger::receipt::{self, Receipt};
use probity::ledger::tile::Tile;
use probity::ledger::tlog_proof::TlogProof;
use probity::ledger::tree::{Node, inclusion_ranges};
use probity::ledger::trust::Policy;
use probity::ledger::witness::{Log, Request, add_checkpoint};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::pack::{
    Draft, SIZE, checkpoint, disclosure, entry, growth, handover, later_log, line, log, root, verdict, witness,
};

/// What the formats are made of, and what their readers have to count with.
const PIECES: &str = "\n|\n\n| |\t|\r|\0|0|00|-1|+|=|— |\"|\\u0000|null|x000/|.p/1|é|9223372036854775807|\
                      18446744073709551615|18446744073709551616|1e400";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn runs() -> u64 {
    setting("PROBITY_FUZZ_RUNS", 400)
}

/// Tells how to repeat the run when it panics.
struct Replay(&'static str, u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: PROBITY_FUZZ_SEED={} PROBITY_FUZZ_RUNS=1 cargo test {}", self.1, self.0);
        }
    }
}

/// Gives `runs` changed inputs to `is_accepted`, after the good ones, which it must accept.
fn fuzz(test: &'static str, runs: u64, good: &[Vec<u8>], is_accepted: impl Fn(&[u8]) -> bool) {
    for input in good {
        assert!(is_accepted(input), "{test} refuses {}", String::from_utf8_lossy(input));
    }
    let first = setting("PROBITY_FUZZ_SEED", 1);
    for seed in first..first + runs {
        let _replay = Replay(test, seed);
        is_accepted(&changed(&mut StdRng::seed_from_u64(seed), good));
    }
}

fn changed(random: &mut StdRng, good: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = good[random.random_range(0..good.len())].clone();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=bytes.len());
        let to = random.random_range(at..=bytes.len().min(at + 50));
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1u8 << random.random_range(0..8u32),
            1 if at < bytes.len() => bytes[at] = random.random_range(0..=255u8),
            2 => bytes.drain(at..to).for_each(drop),
            3 => {
                let part = bytes[at..to].to_vec();
                let place = random.random_range(0..=bytes.len());
                bytes.splice(place..place, part).for_each(drop);
            }
            4 => bytes.truncate(at),
            5 => {
                let other = &good[random.random_range(0..good.len())];
                bytes.truncate(at);
                bytes.extend(&other[random.random_range(0..=other.len())..]);
            }
            _ => {
                let pieces: Vec<&str> = PIECES.split('|').collect();
                let piece = pieces[random.random_range(0..pieces.len())];
                bytes.splice(at..at, piece.bytes()).for_each(drop);
            }
        }
    }
    bytes
}

/// The signed and cosigned checkpoint of the first `size` events.
fn signed(size: u64) -> String {
    let text = checkpoint(size).to_text();
    format!("{}{}", Note::signed(&text, &log()).unwrap(), cosign(&witness(), 7, &text))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[test]
fn fuzz_notes() {
    let keys = [log().verifier(Kind::Ed25519), witness().verifier(Kind::Cosignature)];
    fuzz("fuzz_notes", runs(), &[signed(3).into_bytes(), signed(8).into_bytes()], |input| {
        let Ok(note) = Note::parse(input) else { return false };
        assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
        // A changed note may still verify: who adds a line of an unknown key changes nothing that counts.
        note.verify(&keys).is_ok() && checkpoint_agrees(&note)
    });
}

/// Whether the note's text is one of the two that were signed.
fn checkpoint_agrees(note: &Note) -> bool {
    let is_signed = [3, 8].map(|size| checkpoint(size).to_text()).contains(&note.text);
    assert!(is_signed, "a text was taken for signed that never was: {:?}", note.text);
    is_signed
}

#[test]
fn fuzz_checkpoints() {
    let good = [3, 8, 0].map(|size| checkpoint(size).to_text().into_bytes());
    fuzz("fuzz_checkpoints", runs(), &good, |input| {
        let Some(Ok(checkpoint)) = text(input).map(Checkpoint::parse) else { return false };
        assert_eq!(checkpoint.to_text().as_bytes(), input);
        true
    });
}

#[test]
fn fuzz_keys() {
    let good = [log().vkey().into_bytes(), cosignature::vkey(&witness()).into_bytes()];
    fuzz("fuzz_keys", runs(), &good, |input| {
        let Some(Ok(key)) = text(input).map(Verifier::parse) else { return false };
        assert_eq!(Verifier::parse(&key.to_string()).unwrap(), key);
        true
    });
}

#[test]
fn fuzz_tile_paths() {
    let good = ["0/000", "1/x001/234", "0/x001/x234/067.p/5"].map(|path| path.as_bytes().to_vec());
    fuzz("fuzz_tile_paths", runs(), &good, |input| {
        let Some(Ok(tile)) = text(input).map(Tile::parse) else { return false };
        assert_eq!(tile.path().as_bytes(), input);
        true
    });
}

#[test]
fn fuzz_tlog_proofs() {
    let proof = |index| {
        let ranges = inclusion_ranges(index, SIZE).unwrap();
        let proof = ranges.iter().map(|range| root(range.start, range.end)).collect();
        let extra = (index == 3).then(|| b"more".to_vec());
        TlogProof { extra, index, proof, checkpoint: signed(SIZE) }.to_string().into_bytes()
    };
    let (origin, key) = (log().name().to_owned(), log().verifier(Kind::Ed25519));
    fuzz("fuzz_tlog_proofs", runs(), &[proof(3), proof(12)], |input| {
        let Some(Ok(proof)) = text(input).map(TlogProof::parse) else { return false };
        assert_eq!(TlogProof::parse(&proof.to_string()).unwrap(), proof);
        let holds = |seq: u64| proof.verify(leaf_hash(entry(seq).as_bytes()), &origin, &key).is_ok();
        let held: Vec<u64> = [3, 12, 5].into_iter().filter(|seq| holds(*seq)).collect();
        assert!(held.is_empty() || held == [proof.index], "a proof of {} holds for {held:?}", proof.index);
        !held.is_empty()
    });
}

#[test]
fn fuzz_receipts() {
    let kept = [(3, 9), (0, 13)].map(|(from, to)| crate::support::pack::receipt(from, to, &log()));
    let texts = kept.clone().map(|note| Note::parse(note.as_bytes()).unwrap().text);
    let reigns = Succession::alone(&log().verifier(Kind::Ed25519));
    fuzz("fuzz_receipts", runs(), &kept.map(String::into_bytes), |input| {
        if let Some(Ok(receipt)) = text(input).map(Receipt::parse) {
            assert_eq!(receipt.to_text().as_bytes(), input);
        }
        let Ok(opened) = receipt::open(input, reigns.all()) else { return false };
        assert!(texts.contains(&opened.to_text()), "a receipt was taken for signed that never was: {opened:?}");
        true
    });
}

#[test]
fn fuzz_handovers() {
    let signed = [handover(0, 5), handover(1, 9)];
    let texts = signed.clone().map(|note| Note::parse(note.as_bytes()).unwrap().text);
    fuzz("fuzz_handovers", runs(), &signed.map(String::into_bytes), |input| {
        if let Some(Ok(handover)) = text(input).map(Handover::parse) {
            assert_eq!(handover.to_text().as_bytes(), input);
        }
        let Ok(opened) = Handover::open(input) else { return false };
        assert!(texts.contains(&opened.to_text()), "a handover was taken for signed that never was: {opened:?}");
        assert!(Succession::of(&later_log(1).verifier(Kind::Ed25519), &[opened]).is_ok());
        true
    });
}

#[test]
fn fuzz_proofs_of_rows() {
    let row = |seq: u64, notes: &[String]| {
        let ranges = inclusion_ranges(seq, SIZE).unwrap();
        let proof = ranges.iter().map(|range| root(range.start, range.end)).collect();
        let extra = single::extra(&line(seq), notes.iter().map(String::as_str));
        let checkpoint = signed(SIZE);
        TlogProof { extra: Some(extra.into_bytes()), index: seq, proof, checkpoint }.to_string().into_bytes()
    };
    let key = log().verifier(Kind::Ed25519);
    fuzz("fuzz_proofs_of_rows", runs(), &[row(3, &[]), row(5, &[]), row(12, &[handover(0, SIZE)])], |input| {
        let Some(proof) = text(input) else { return false };
        let verdict = single::verify(proof, &key, None);
        if let Some(shown) = &verdict.entry {
            assert_eq!(*shown, entry(verdict.seq.unwrap()), "a row was taken for proven that is not in the log");
        }
        verdict.is_ok
    });
}

#[test]
fn fuzz_entries_and_disclosures() {
    let inputs = r#"{"a":9,"b":true,"inputs":[{"field":"f","system":"s"},{}],"seq":"4","t":"\u0001\"\\é","v":1}"#;
    let good = [entry(3).into_bytes(), entry(5).into_bytes(), inputs.as_bytes().to_vec()];
    fuzz("fuzz_entries", runs(), &good, |input| {
        let Some(Ok(entry)) = text(input).map(Entry::parse) else { return false };
        assert_eq!(entry.to_text().as_bytes(), input);
        true
    });
    let own = entry(3);
    let own = Entry::parse(&own).unwrap();
    let good = ["comment", "old_value"].map(|name| disclosure(3, name).into_bytes());
    fuzz("fuzz_entries_and_disclosures", runs(), &good, |input| {
        let Some(Ok(told)) = text(input).map(Disclosure::parse) else { return false };
        assert_eq!(Disclosure::parse(&told.to_text()).unwrap(), told);
        let is_own = own.disclosed(text(input).unwrap()).is_ok();
        assert_eq!(is_own, good.iter().any(|text| text == input));
        is_own
    });
}

#[test]
fn fuzz_trust_policies() {
    let (log, witness) = (log().vkey(), cosignature::vkey(&witness()));
    let good = [
        format!("log {log} https://example.com\nwitness w\t{witness}\n# why\ngroup g any w\ngroup h all g\nquorum h\n"),
        format!("witness w {witness}\nquorum w\n"),
        "quorum none\n".into(),
    ]
    .map(String::into_bytes);
    let note = Note::parse(signed(3).as_bytes()).unwrap();
    fuzz("fuzz_trust_policies", runs(), &good, |input| {
        let Ok(policy) = Policy::parse(input) else { return false };
        assert_eq!(Policy::parse(&policy.to_text()).unwrap(), policy);
        policy.satisfied_by(&note).is_ok()
    });
}

#[test]
fn fuzz_witness_requests() {
    let proof: Vec<Hash> = growth(5).proof.iter().map(|hash| hash.0).collect();
    let good = [
        Request { old: 5, proof, checkpoint: signed(SIZE) }.to_text().into_bytes(),
        Request { old: 5, proof: Vec::new(), checkpoint: signed(5) }.to_text().into_bytes(),
    ];
    let logs = [Log { key: log().verifier(Kind::Ed25519), latest: Some(checkpoint(5)) }];
    fuzz("fuzz_witness_requests", runs(), &good, |input| {
        if let Ok(request) = Request::parse(input) {
            assert_eq!(request.to_text().as_bytes(), input);
        }
        let answer = add_checkpoint(input, &logs, &witness(), 7);
        assert!([200, 400, 403, 404, 409, 422].contains(&answer.status));
        let is_known = answer.accepted.as_ref().is_none_or(|new| *new == checkpoint(new.size));
        assert!(is_known, "a tree was cosigned that the log never signed");
        answer.accepted.is_some()
    });
}

#[test]
fn fuzz_files_of_a_pack() {
    let mut draft = Draft::query(&[2, 6]);
    draft.consistency = Some(growth(5));
    let files = draft.signed_by(&later_log(2), &[handover(0, 5), handover(1, 9)]);
    for (name, good) in &files {
        fuzz("fuzz_files_of_a_pack", runs() / 20, std::slice::from_ref(good), |input| {
            read_again(input);
            let mut changed = files.clone();
            changed.insert(name.clone(), input.to_vec());
            let verdict = verdict(&changed);
            let is_same = input == good || name == SIGNATURE && has_more_signatures(good, input);
            assert!(is_same || !verdict.is_ok, "{name} was changed: {}", String::from_utf8_lossy(input));
            verdict.is_ok
        });
    }
}

/// Whether `input` is the note `good` with further signatures; of whatever keys, they change nothing that counts.
fn has_more_signatures(good: &[u8], input: &[u8]) -> bool {
    let good = Note::parse(good).unwrap();
    Note::parse(input).is_ok_and(|note| note.text == good.text && note.signatures.contains(&good.signatures[0]))
}

fn read_again(input: &[u8]) {
    if let Ok(manifest) = Manifest::parse(input) {
        assert_eq!(Manifest::parse(manifest.to_text().as_bytes()).unwrap(), manifest);
    }
    if let Ok(proof) = Consistency::parse(input) {
        assert_eq!(Consistency::parse(proof.to_text().as_bytes()).unwrap(), proof);
    }
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(line) = EntryLine::parse(line) {
            assert_eq!(EntryLine::parse(line.to_line().as_bytes()).unwrap(), line);
        }
        if let Ok(line) = NoteLine::parse(line) {
            assert_eq!(NoteLine::parse(line.to_line().as_bytes()).unwrap(), line);
        }
        if let Ok(line) = NodeLine::parse(line) {
            assert_eq!(NodeLine::parse(line.to_line().as_bytes()).unwrap(), line);
        }
    }
}

/// A number that a careless reader miscounts with.
fn number(random: &mut StdRng) -> u64 {
    let small = random.random_range(0..40u64);
    match random.random_range(0..5) {
        0 => u64::MAX - small,
        1 => (1u64 << random.random_range(0..64u32)).wrapping_sub(small),
        _ => small,
    }
}

#[test]
fn fuzz_proofs_of_any_numbers() {
    let first = setting("PROBITY_FUZZ_SEED", 1);
    for seed in first..first + runs() {
        let _replay = Replay("fuzz_proofs_of_any_numbers", seed);
        let mut random = StdRng::seed_from_u64(seed);
        let hashes: Vec<Hash> = (0..random.random_range(0..70u8)).map(|n| [n; 32]).collect();
        let (a, b) = (number(&mut random), number(&mut random));
        // Nothing hashes to these roots, so that no proof can hold.
        let is_shown = verify_inclusion([1; 32], a, b, &hashes, &[2; 32]).is_ok();
        assert!(!is_shown, "leaf {a} of {b}");
        let is_shown = verify_consistency(a, &[1; 32], b, &[2; 32], &hashes).is_ok();
        assert!(!is_shown, "{a} to {b}");
        let mut indices: Vec<u64> = (0..9).map(|_| number(&mut random)).filter(|index| *index < a).collect();
        indices.sort_unstable();
        indices.dedup();
        let leaves: Vec<(u64, Hash)> = indices.iter().map(|index| (*index, [3; 32])).collect();
        let mut nodes: Vec<(Node, Hash)> =
            completing_nodes(a, &indices).into_iter().map(|node| (node, [4; 32])).collect();
        assert!(root_from(a, &leaves, &nodes).is_ok(), "{a}, {indices:?}");
        let level = random.random_range(0..=255u8);
        nodes.push((Node { level, index: b }, [5; 32]));
        assert!(root_from(a, &leaves, &nodes).is_err(), "{a}, {indices:?}, level {level}, index {b}");
    }
}
