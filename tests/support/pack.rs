//! Evidence packs made by hand: a log of thirteen events, every part of which a test can change before it is signed.

use std::collections::BTreeMap;

use probity::ledger::checkpoint::Checkpoint;
use probity::ledger::cosignature::cosign;
use probity::ledger::entry::{Disclosure, disclosure_digest};
use probity::ledger::handover::Handover;
use probity::ledger::hash::{Hash, leaf_hash};
use probity::ledger::note::{Kind, Note, Signer};
use probity::ledger::pack::format::{
    Base64Hash, CHECKPOINT, CONSISTENCY, Completeness, Consistency, ENTRIES, ERASURES, EntryLine, FORMAT, HANDOVERS,
    KEY, MANIFEST, Manifest, NODES, NodeLine, NoteLine, PARQUET, SIGNATURE, Selection, Tally, manifest_note,
};
use probity::ledger::pack::{Pack, Trusted, Verdict, verify};
use probity::ledger::proof::completing_nodes;
use probity::ledger::receipt::Receipt;
use probity::ledger::tree::{Frontier, Node, consistency_ranges};

/// Events of the log.
pub const SIZE: u64 = 13;
/// The event that erased the subject `s-1`, to whom every third event belongs.
pub const ERASURE: u64 = 9;

/// The files of a pack by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The log's signer.
pub fn log() -> Signer {
    Signer::new("example.com/acme/v1", [1; 32]).unwrap()
}

/// The witness that cosigned the checkpoint.
pub fn witness() -> Signer {
    Signer::new("example.com/witness", [2; 32]).unwrap()
}

/// The disclosure of a sealed value of event `seq`.
pub fn disclosure(seq: u64, name: &str) -> String {
    Disclosure { salt: format!("salt-{seq}-{name}"), name: name.into(), value: format!("é \"{seq}\"") }.to_text()
}

/// The canonical entry of event `seq`.
pub fn entry(seq: u64) -> String {
    let event_type = if seq == ERASURE { "evidence.erased" } else { "action.executed" };
    let subject = if seq == ERASURE || seq % 3 == 2 { "s-1" } else { "s-2" };
    let [comment, old_value] = ["comment", "old_value"].map(|name| disclosure_digest(&disclosure(seq, name)));
    format!(
        r#"{{"comment_digest":"{comment}","event_id":"e{seq}","event_type":"{event_type}","old_value_digest":"{old_value}","seq":"{seq}","subject_id":"{subject}","v":1}}"#
    )
}

/// The line of event `seq`: erased, or with one of its two values disclosed.
pub fn line(seq: u64) -> EntryLine {
    let is_erased = seq % 3 == 2 && seq < ERASURE;
    let disclosures = if is_erased { Vec::new() } else { vec![disclosure(seq, "old_value")] };
    EntryLine { seq, entry: entry(seq), disclosures, erased_by: is_erased.then_some(ERASURE) }
}

/// The log's key after `rotations` handovers.
pub fn later_log(rotations: u8) -> Signer {
    match rotations {
        0 => log(),
        n => Signer::new(log().name(), [100 + n; 32]).unwrap(),
    }
}

/// The handover from one key of the log to the next, at a tree of `size` events.
pub fn handover(rotation: u8, size: u64) -> String {
    let (old, new) = (later_log(rotation), later_log(rotation + 1));
    Handover::between(&old, &new, size).unwrap().signed(&old, &new).unwrap()
}

/// The receipt for the events `from..to`, signed by `signer`.
pub fn receipt(from: u64, to: u64, signer: &Signer) -> String {
    let leaves: Vec<Hash> = (from..to).map(|seq| leaf_hash(entry(seq).as_bytes())).collect();
    Receipt::over(log().name(), from, &leaves).signed(signer).unwrap().to_string()
}

/// The root over the events `from..to`.
pub fn root(from: u64, to: u64) -> Hash {
    let leaves: Vec<Hash> = (from..to).map(|seq| leaf_hash(entry(seq).as_bytes())).collect();
    let mut tree = Frontier::default();
    tree.append_all(&leaves);
    tree.root()
}

/// The checkpoint of the first `size` events.
pub fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: log().name().to_owned(), size, root: root(0, size) }
}

/// The proof that the log grew out of its first `old` events.
pub fn growth(old: u64) -> Consistency {
    let ranges = consistency_ranges(old, SIZE).unwrap();
    let proof = ranges.iter().map(|range| Base64Hash(root(range.start, range.end))).collect();
    Consistency { old_size: old, old_root: Base64Hash(root(0, old)), proof }
}

/// A pack before it is signed.
#[derive(Clone)]
pub struct Draft {
    pub selection: Selection,
    pub completeness: Completeness,
    pub rows: Vec<EntryLine>,
    pub erasures: Vec<EntryLine>,
    pub nodes: Vec<NodeLine>,
    pub consistency: Option<Consistency>,
    /// What the manifest says of the tree.
    pub stated: Checkpoint,
    /// How many rows the manifest says, if not as many as there are.
    pub stated_rows: Option<u64>,
}

impl Draft {
    /// A good pack of the events `from..to`.
    pub fn range(from: u64, to: u64) -> Self {
        let selection = Selection::Range { from_seq: from, to_seq: to };
        Self::of((from..to).collect(), selection, Completeness::Proven)
    }

    /// A good pack of events that a query gave.
    pub fn query(seqs: &[u64]) -> Self {
        let selection = Selection::Query { query: "select seq".into(), params: serde_json::Map::new() };
        Self::of(seqs.to_vec(), selection, Completeness::NotProven)
    }

    fn of(seqs: Vec<u64>, selection: Selection, completeness: Completeness) -> Self {
        let rows: Vec<EntryLine> = seqs.iter().map(|seq| line(*seq)).collect();
        let is_needed = rows.iter().any(|row| row.erased_by.is_some()) && !seqs.contains(&ERASURE);
        let erasures = if is_needed { vec![line(ERASURE)] } else { Vec::new() };
        let (stated, stated_rows) = (checkpoint(SIZE), None);
        let nodes = Vec::new();
        let consistency = None;
        let mut draft = Self { selection, completeness, rows, erasures, nodes, consistency, stated, stated_rows };
        draft.complete();
        draft
    }

    /// Makes the nodes fit to the leaves.
    pub fn complete(&mut self) {
        let mut seqs: Vec<u64> = self.rows.iter().chain(&self.erasures).map(|line| line.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let node = |node: Node| {
            let leaves = node.leaves().unwrap();
            NodeLine { level: node.level, index: node.index, hash: Base64Hash(root(leaves.start, leaves.end)) }
        };
        self.nodes = completing_nodes(SIZE, &seqs).into_iter().map(node).collect();
    }

    /// The files of the pack, signed by the log whatever they say.
    pub fn signed(&self) -> Files {
        self.signed_by(&log(), &[])
    }

    /// The files of the pack, signed by a later key of the log, with handovers.
    pub fn signed_by(&self, signer: &Signer, handovers: &[String]) -> Files {
        let note = Note::signed(&checkpoint(SIZE).to_text(), signer).unwrap();
        let cosignature = cosign(&witness(), 1_700_000_000, &note.text);
        let text = |lines: Vec<String>| lines.concat().into_bytes();
        let mut files = Files::from([
            (CHECKPOINT.to_owned(), format!("{note}{cosignature}").into_bytes()),
            (KEY.to_owned(), format!("{}\n", signer.vkey()).into_bytes()),
            (ENTRIES.to_owned(), text(self.rows.iter().map(EntryLine::to_line).collect())),
            (ERASURES.to_owned(), text(self.erasures.iter().map(EntryLine::to_line).collect())),
            (NODES.to_owned(), text(self.nodes.iter().map(NodeLine::to_line).collect())),
            (PARQUET.to_owned(), b"PAR1".to_vec()),
        ]);
        if let Some(consistency) = &self.consistency {
            files.insert(CONSISTENCY.to_owned(), consistency.to_text().into_bytes());
        }
        if !handovers.is_empty() {
            let lines = handovers.iter().map(|note| NoteLine { note: note.clone() }.to_line()).collect();
            files.insert(HANDOVERS.to_owned(), text(lines));
        }
        let manifest = self.manifest(&files).to_text();
        let signature = Note::signed(&manifest_note(manifest.as_bytes()), signer).unwrap();
        files.insert(MANIFEST.to_owned(), manifest.into_bytes());
        files.insert(SIGNATURE.to_owned(), signature.to_string().into_bytes());
        files
    }

    fn manifest(&self, files: &Files) -> Manifest {
        let fact = |bytes: &Vec<u8>| {
            let mut tally = Tally::default();
            tally.add(bytes);
            tally.fact()
        };
        Manifest {
            format: FORMAT.to_owned(),
            origin: self.stated.origin.clone(),
            tree_size: self.stated.size,
            root: Base64Hash(self.stated.root),
            selection: self.selection.clone(),
            as_of: serde_json::Map::from_iter([("seq".to_owned(), SIZE.into())]),
            rows: self.stated_rows.unwrap_or(self.rows.len() as u64),
            completeness: self.completeness,
            files: files.iter().map(|(name, bytes)| (name.clone(), fact(bytes))).collect(),
        }
    }
}

/// Reads a pack.
pub fn read(files: &Files) -> Pack {
    let mut pack = Pack::default();
    for (name, bytes) in files {
        pack.add(name, bytes.as_slice()).unwrap();
    }
    pack
}

/// Verifies a pack with the log's key and nothing else.
pub fn verdict(files: &Files) -> Verdict {
    let key = log().verifier(Kind::Ed25519);
    verify(&read(files), &Trusted { key: &key, policy: None, held: None, receipt: None })
}

/// Everything that is wrong, in words.
pub fn findings(verdict: &Verdict) -> Vec<String> {
    verdict.checks.iter().flat_map(|check| &check.findings.list).map(ToString::to_string).collect()
}
