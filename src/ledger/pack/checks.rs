//! The single checks of a pack; [`verify`](super::verify) reads as their list.
//!
//! In: what was read of the pack and what the auditor trusts. Out: a check each, with everything that is wrong.
//! Invariant: a check that cannot be made, because what it rests on is missing or false, has failed. Corrects
//! nothing, and takes from the pack neither key nor policy.

use std::collections::BTreeSet;

use super::Trusted;
use super::format::{
    CHECKPOINT, CONSISTENCY, Completeness, Consistency, ENTRIES, ERASURES, HANDOVERS, MANIFEST, Manifest, NODES,
    SIGNATURE, Selection, manifest_note,
};
use super::intake::{ErasedRow, Pack};
use super::verdict::{Check, Findings};
use crate::error::{Error, Result};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::handover::{Reign, Succession, open_checkpoint, signed_by};
use crate::ledger::hash::{Hash, to_base64};
use crate::ledger::note::{Kind, Note};
use crate::ledger::proof::{completing_nodes, root_from, verify_consistency};
use crate::ledger::receipt::{self, Receipt};
use crate::ledger::tree::Node;

/// The leaves of the pack, rows and erasures, by position.
pub(super) fn leaves_by_seq(pack: &Pack) -> Vec<(u64, Hash)> {
    let mut leaves = [pack.rows.leaves.as_slice(), pack.erasures.leaves.as_slice()].concat();
    leaves.sort_unstable_by_key(|(seq, _)| *seq);
    leaves
}

/// The keys that the auditor's key vouches for, by the handovers of the pack; that key alone, and why, where they do
/// not hold together.
pub(super) fn succession(pack: &Pack, trusted: &Trusted<'_>) -> (Succession, Option<Error>) {
    match Succession::of(trusted.key, &pack.handovers.list) {
        Ok(succession) => (succession, None),
        Err(e) => (Succession::alone(trusted.key), Some(e)),
    }
}

pub(super) fn manifest(pack: &Pack, trusted: &Trusted<'_>, succession: &Succession) -> (Check, Option<Manifest>) {
    let mut findings = Findings::default();
    let parsed = match whole(pack, MANIFEST).and_then(Manifest::parse) {
        Ok(manifest) => Some(manifest),
        Err(e) => {
            findings.file(MANIFEST, e.to_string());
            None
        }
    };
    if let Err(e) = check_signature(pack, trusted, parsed.as_ref(), succession) {
        findings.file(SIGNATURE, e.to_string());
    }
    let name = trusted.key.name();
    if let Some(manifest) = parsed.as_ref().filter(|manifest| manifest.origin != name) {
        findings.file(MANIFEST, format!("is of the log `{}`, the key is of `{name}`", manifest.origin));
    }
    (Check::made("the manifest is signed by the log", "", findings), parsed)
}

fn check_signature(
    pack: &Pack,
    trusted: &Trusted<'_>,
    manifest: Option<&Manifest>,
    succession: &Succession,
) -> Result<()> {
    if trusted.key.kind() != Kind::Ed25519 {
        return Err(Error::invalid("cannot be checked with the key of a witness; give the key of the log"));
    }
    let note = Note::parse(whole(pack, SIGNATURE)?)?;
    // Without a manifest nobody knows the time of its signature: then the auditor's own key has to do.
    let own = [Reign::unbounded(trusted.key.clone())];
    match manifest {
        Some(manifest) => signed_by(&note, manifest.tree_size, succession.forward(), "manifest.sig")?,
        None => signed_by(&note, 0, &own, "manifest.sig")?,
    };
    let bytes = whole(pack, MANIFEST).map_err(|_| Error::damaged("signs a manifest that is missing"))?;
    if note.text == manifest_note(bytes) {
        return Ok(());
    }
    Err(Error::damaged("signs another text than `probity-pack/1` and the SHA-256 of manifest.json"))
}

pub(super) fn files(pack: &Pack, manifest: Option<&Manifest>) -> Check {
    const NAME: &str = "every file is the one that the manifest lists, and no other is there";
    let mut findings = pack.strange.clone();
    let Some(manifest) = manifest else {
        return not_made(NAME, MANIFEST, findings);
    };
    for (name, listed) in &manifest.files {
        match pack.files.get(name) {
            None => findings.file(name, "is missing"),
            Some(found) if found.bytes != listed.bytes => {
                findings.file(name, format!("has {} bytes, the manifest lists {}", found.bytes, listed.bytes));
            }
            Some(found) if found != listed => findings.file(name, "has another SHA-256 than the manifest lists"),
            Some(_) => {}
        }
    }
    for name in pack.files.keys().filter(|name| !manifest.files.contains_key(*name)) {
        if ![MANIFEST, SIGNATURE].contains(&name.as_str()) {
            findings.file(name, "is not listed in the manifest");
        }
    }
    for name in [CHECKPOINT, ENTRIES, NODES].into_iter().filter(|name| !manifest.files.contains_key(*name)) {
        findings.file(MANIFEST, format!("does not list {name}, without which nothing can be checked"));
    }
    Check::made(NAME, format!("{} files", manifest.files.len()), findings)
}

pub(super) fn checkpoint(
    pack: &Pack,
    manifest: Option<&Manifest>,
    trusted: &Trusted<'_>,
    succession: &Succession,
) -> (Check, Option<Checkpoint>) {
    let mut findings = Findings::default();
    let opened =
        whole(pack, CHECKPOINT).and_then(|note| open_checkpoint(note, trusted.key.name(), succession.forward()));
    let (says, opened) = match opened {
        Ok((opened, _)) => (format!("{} events, root {}", opened.size, to_base64(&opened.root)), Some(opened)),
        Err(e) => {
            findings.file(CHECKPOINT, e.to_string());
            (String::new(), None)
        }
    };
    if let (Some(opened), Some(manifest)) = (&opened, manifest) {
        if opened.size != manifest.tree_size {
            let (signed, listed) = (opened.size, manifest.tree_size);
            findings.file(MANIFEST, format!("says a tree of {listed} leaves, the checkpoint signs {signed}"));
        }
        if opened.root != manifest.root.0 {
            findings.file(MANIFEST, "says another root than the checkpoint signs");
        }
    }
    (Check::made("the checkpoint is signed by the log and is the one of the manifest", says, findings), opened)
}

pub(super) fn cosignatures(pack: &Pack, trusted: &Trusted<'_>) -> Check {
    const NAME: &str = "the cosignatures of the checkpoint satisfy the trust policy";
    let Some(policy) = trusted.policy else {
        return Check::not_asked(NAME, "no policy was given, so that only the log itself vouches for its tree");
    };
    let mut findings = Findings::default();
    let satisfied = whole(pack, CHECKPOINT).and_then(Note::parse).and_then(|note| policy.satisfied_by(&note));
    let says = match satisfied {
        Ok(cosigned) if cosigned.is_empty() => "the policy asks for none".to_owned(),
        Ok(cosigned) => {
            let names: Vec<String> = cosigned.iter().map(|one| format!("{} at {}", one.witness, one.time)).collect();
            format!("cosigned by {} (seconds since 1970)", names.join(", "))
        }
        Err(e) => {
            findings.file(CHECKPOINT, e.to_string());
            String::new()
        }
    };
    Check::made(NAME, says, findings)
}

pub(super) fn form(pack: &Pack) -> Check {
    let mut findings = pack.rows.form.clone();
    findings.append(pack.erasures.form.clone());
    Check::made("every entry is in canonical form and carries its seq", "", findings)
}

pub(super) fn order(pack: &Pack, leaves: &[(u64, Hash)]) -> Check {
    let mut findings = pack.rows.order.clone();
    findings.append(pack.erasures.order.clone());
    for pair in leaves.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        findings.seq(ENTRIES, pair[0].0, "stands more than once in entries.ndjson and erasures.ndjson");
    }
    Check::made("seq ascends, each event once", "", findings)
}

pub(super) fn root(pack: &Pack, leaves: &[(u64, Hash)], checkpoint: Option<&Checkpoint>) -> Check {
    const NAME: &str = "leaves and nodes give the root of the checkpoint";
    let mut findings = pack.nodes.form.clone();
    let Some(checkpoint) = checkpoint else {
        return not_made(NAME, CHECKPOINT, findings);
    };
    let size = checkpoint.size;
    for (seq, _) in leaves.iter().filter(|(seq, _)| *seq >= size) {
        findings.seq(ENTRIES, *seq, format!("lies outside the tree of {size} leaves"));
    }
    if leaves.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        findings.file(ENTRIES, "holds an event more than once, so that no root can be computed");
    }
    if !findings.is_empty() {
        return Check::made(NAME, "", findings);
    }
    let indices: Vec<u64> = leaves.iter().map(|(seq, _)| *seq).collect();
    let nodes = needed_nodes(pack, size, &indices, &mut findings);
    if findings.is_empty() {
        match root_from(size, leaves, &nodes) {
            Ok(found) if found == checkpoint.root => {}
            Ok(found) => {
                let (found, signed) = (to_base64(&found), to_base64(&checkpoint.root));
                let reason = format!("an entry or a node was changed: they give the root {found}, signed is {signed}");
                findings.file(ENTRIES, reason);
            }
            Err(e) => findings.file(NODES, e.to_string()),
        }
    }
    Check::made(NAME, format!("{} leaves and {} nodes", leaves.len(), nodes.len()), findings)
}

/// The nodes of the pack when they are exactly those that complete the tree; what differs is noted.
fn needed_nodes(pack: &Pack, size: u64, indices: &[u64], findings: &mut Findings) -> Vec<(Node, Hash)> {
    let mut given = pack.nodes.hashes.clone();
    let mut nodes = Vec::new();
    for node in completing_nodes(size, indices) {
        match given.remove(&node) {
            Some(hash) => nodes.push((node, hash)),
            None => findings.file(NODES, format!("lacks the node of level {} and index {}", node.level, node.index)),
        }
    }
    for node in given.keys() {
        let is_complete = node.leaves().is_some_and(|leaves| leaves.end <= size);
        let reason = if is_complete { "is not needed over the given leaves" } else { "is no complete subtree" };
        let Node { level, index } = node;
        findings.file(NODES, format!("node of level {level} and index {index} {reason} in a tree of {size}"));
    }
    nodes
}

pub(super) fn disclosures(pack: &Pack) -> Check {
    let mut findings = pack.rows.disclosures.clone();
    findings.append(pack.erasures.disclosures.clone());
    let says = format!("{} values of the rows are disclosed", pack.rows.values.disclosed);
    Check::made("the digest of every disclosure stands in its entry", says, findings)
}

pub(super) fn erasures(pack: &Pack) -> Check {
    let mut findings = Findings::default();
    let mut explaining = BTreeSet::new();
    for entries in [&pack.rows, &pack.erasures] {
        for row in &entries.erased {
            explaining.insert(row.erased_by);
            if row.is_disclosed {
                findings.row(entries.file, row.line, row.seq, "is said to be erased and discloses a value");
            }
            if let Some(reason) = unexplained(pack, row) {
                findings.row(entries.file, row.line, row.seq, reason);
            }
        }
    }
    for (seq, _) in &pack.erasures.leaves {
        if !pack.erasures.erasing.contains_key(seq) {
            findings.seq(ERASURES, *seq, "is no readable `evidence.erased` event");
        } else if !explaining.contains(seq) {
            findings.seq(ERASURES, *seq, "explains no erased row of the pack");
        }
    }
    let says = format!("{} values of the rows are erased", pack.rows.values.erased);
    Check::made("every erased row is explained by an erasure that is in the pack", says, findings)
}

/// Why the erasure of `row` is not explained; `None` when it is.
fn unexplained(pack: &Pack, row: &ErasedRow) -> Option<String> {
    let by = row.erased_by;
    let erasure = pack.rows.erasing.get(&by).or_else(|| pack.erasures.erasing.get(&by));
    let Some(subject_id) = erasure else {
        return Some(format!("event {by}, said to have erased it, is no `evidence.erased` event of the pack"));
    };
    if by <= row.seq {
        return Some(format!("event {by}, said to have erased it, is not later than it"));
    }
    let is_named = subject_id.is_some() && *subject_id == row.subject_id;
    (!is_named).then(|| format!("event {by}, said to have erased it, does not name its subject"))
}

pub(super) fn completeness(pack: &Pack, manifest: Option<&Manifest>) -> Check {
    const NAME: &str = "the rows are as many as the manifest says, and a range has all its events";
    let mut findings = Findings::default();
    let Some(manifest) = manifest else {
        return not_made(NAME, MANIFEST, findings);
    };
    if manifest.rows != pack.rows.lines {
        findings.file(ENTRIES, format!("has {} rows, the manifest says {}", pack.rows.lines, manifest.rows));
    }
    let (says, expected) = match manifest.selection {
        Selection::Range { from_seq, to_seq } => {
            check_range(pack, from_seq, to_seq, manifest.tree_size, &mut findings);
            (format!("seq {from_seq}..{to_seq}: proven"), Completeness::Proven)
        }
        Selection::Query { .. } => ("rows of a query: not proven".to_owned(), Completeness::NotProven),
    };
    if manifest.completeness != expected {
        let reason = match expected {
            Completeness::Proven => "says `not proven` of a range, which proves its completeness",
            Completeness::NotProven => "says `proven` of a query; only a range proves that no row is missing",
        };
        findings.file(MANIFEST, reason);
    }
    Check::made(NAME, says, findings)
}

fn check_range(pack: &Pack, from_seq: u64, to_seq: u64, tree_size: u64, findings: &mut Findings) {
    if from_seq > to_seq || to_seq > tree_size {
        let reason = format!("says the range {from_seq}..{to_seq}, which is none in a tree of {tree_size} leaves");
        return findings.file(MANIFEST, reason);
    }
    let mut seqs: Vec<u64> = pack.rows.leaves.iter().map(|(seq, _)| *seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let mut next = from_seq;
    for seq in seqs {
        if !(from_seq..to_seq).contains(&seq) {
            findings.seq(ENTRIES, seq, format!("is outside the range {from_seq}..{to_seq}"));
            continue;
        }
        if seq > next {
            findings.file(ENTRIES, missing(next, seq));
        }
        next = seq + 1;
    }
    if next < to_seq {
        findings.file(ENTRIES, missing(next, to_seq));
    }
}

fn missing(from: u64, to: u64) -> String {
    match to - from {
        1 => format!("event {from} of the range is missing"),
        count => format!("{count} events of the range are missing, {from}..{to}"),
    }
}

pub(super) fn consistency(pack: &Pack, checkpoint: Option<&Checkpoint>, trusted: &Trusted<'_>) -> Check {
    const NAME: &str = "the tree grew out of the one that was seen earlier";
    let proof = pack.whole.get(CONSISTENCY).map(|bytes| Consistency::parse(bytes)).transpose();
    let mut findings = Findings::default();
    let proof = match (proof, trusted.held) {
        (Ok(None), None) => {
            return Check::not_asked(NAME, "no earlier checkpoint was given, so that a log taken back is not noticed");
        }
        (Ok(proof), _) => proof,
        (Err(e), _) => {
            findings.file(CONSISTENCY, e.to_string());
            None
        }
    };
    let Some(checkpoint) = checkpoint else {
        return not_made(NAME, CHECKPOINT, findings);
    };
    if let Some(proof) = &proof {
        let hashes: Vec<Hash> = proof.proof.iter().map(|hash| hash.0).collect();
        let (old, new) = (proof.old_size, checkpoint.size);
        if let Err(e) = verify_consistency(old, &proof.old_root.0, new, &checkpoint.root, &hashes) {
            findings.file(CONSISTENCY, e.to_string());
        }
    }
    let says = match (trusted.held, &proof) {
        (Some(held), proof) => {
            if let Some(reason) = contradiction(held, proof.as_ref(), checkpoint) {
                findings.file(CONSISTENCY, reason);
            }
            format!("it begins with the tree of {} leaves that you hold", held.size)
        }
        (None, Some(proof)) => {
            format!("it begins with a tree of {} leaves, which nobody compared with a checkpoint held", proof.old_size)
        }
        (None, None) => String::new(),
    };
    Check::made(NAME, says, findings)
}

/// Why it is not shown that the tree of `checkpoint` begins with the one `held`; the proof itself is checked apart.
fn contradiction(held: &Checkpoint, proof: Option<&Consistency>, checkpoint: &Checkpoint) -> Option<String> {
    let (old, new) = (held.size, checkpoint.size);
    if held.origin != checkpoint.origin {
        return Some(format!("the checkpoint held is of the log `{}`", held.origin));
    }
    if old > new {
        return Some(format!("you hold a tree of {old} leaves, this one has {new}: an old pack, or a log taken back"));
    }
    if old == new {
        let reason = || format!("you hold another root of {old} leaves: the log showed different events to others");
        return (held.root != checkpoint.root).then(reason);
    }
    match proof {
        // Every tree begins with the empty one.
        _ if old == 0 => None,
        Some(proof) if proof.old_size == old && proof.old_root.0 == held.root => None,
        Some(proof) => Some(format!("proves growth from another tree, of {} leaves; you hold {old}", proof.old_size)),
        None => Some(format!("is missing; ask for a pack with a proof from the tree of {old} leaves that you hold")),
    }
}

/// Whose signatures count, and by what right; the signatures themselves are checked where they stand.
pub(super) fn keys(pack: &Pack, succession: &Succession, broken: Option<Error>) -> Check {
    const NAME: &str = "the key that signed is the auditor's or one that it handed over to";
    let mut findings = pack.handovers.form.clone();
    if let Some(e) = broken {
        findings.file(HANDOVERS, e.to_string());
    }
    for file in [SIGNATURE, CHECKPOINT] {
        let is_known = whole(pack, file).and_then(Note::parse).is_ok_and(|note| {
            let is_by_any = |reign: &Reign| note.signatures.iter().any(|signature| signature.is_by(&reign.key));
            succession.forward().iter().any(is_by_any)
        });
        if !is_known {
            findings.file(file, "is signed by neither the key that was given nor one that it handed over to");
        }
    }
    let says = match succession.forward() {
        [] | [_] => "it is the one that was given".to_owned(),
        [.., last] => format!(
            "{} handovers, each signed by both keys, lead from the one that was given to {}",
            succession.forward().len() - 1,
            last.key
        ),
    };
    Check::made(NAME, says, findings)
}

/// What a receipt says against what the pack holds.
pub(super) fn receipt(
    leaves: &[(u64, Hash)],
    checkpoint: Option<&Checkpoint>,
    trusted: &Trusted<'_>,
    succession: &Succession,
) -> Check {
    const NAME: &str = "the receipt that was answered is kept";
    const FILE: &str = "receipt";
    let Some(note) = trusted.receipt else {
        return Check::not_asked(NAME, "no receipt was given, so that nobody's own record of acceptance was compared");
    };
    let mut findings = Findings::default();
    let Some(checkpoint) = checkpoint else {
        return not_made(NAME, CHECKPOINT, findings);
    };
    // The auditor kept it himself: one of an earlier key counts as well, if it handed over to his.
    let says = match receipt::open(note, succession.all()) {
        Ok(receipt) => {
            if let Some(reason) = broken_promise(&receipt, leaves, checkpoint) {
                findings.file(FILE, reason);
            }
            format!("the events {}..{} stand where it was answered", receipt.first_seq, receipt.end())
        }
        Err(e) => {
            findings.file(FILE, e.to_string());
            String::new()
        }
    };
    Check::made(NAME, says, findings)
}

/// Why the pack does not show the events of a receipt; `None` when it does.
fn broken_promise(receipt: &Receipt, leaves: &[(u64, Hash)], checkpoint: &Checkpoint) -> Option<String> {
    let (from, to) = (receipt.first_seq, receipt.end());
    if to > checkpoint.size {
        let size = checkpoint.size;
        return Some(format!("is about the events {from}..{to}, the checkpoint covers {size}; ask for a newer pack"));
    }
    let place = |seq: u64| leaves.partition_point(|(at, _)| *at < seq);
    let held = &leaves[place(from)..place(to)];
    if held.len() as u64 != receipt.count || held.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        let (count, found) = (receipt.count, held.len());
        return Some(format!(
            "is about the {count} events {from}..{to}, the pack holds {found} of them; ask for a pack of that range"
        ));
    }
    let hashes: Vec<Hash> = held.iter().map(|(_, leaf)| *leaf).collect();
    let found = Receipt::over(&receipt.origin, from, &hashes);
    (found != *receipt).then(|| {
        let (root, answered) = (to_base64(&found.root), to_base64(&receipt.root));
        format!("the events {from}..{to} give the root {root}, answered was {answered}: other events stand there now")
    })
}

fn whole<'p>(pack: &'p Pack, name: &str) -> Result<&'p [u8]> {
    pack.whole.get(name).map(Vec::as_slice).ok_or_else(|| Error::damaged("is missing"))
}

/// A check that could not be made, because `file` is not what it must be.
fn not_made(name: &'static str, file: &str, mut findings: Findings) -> Check {
    findings.file(file, "is not usable, so that this could not be checked");
    Check::made(name, "", findings)
}
