//! One row that stands alone: a `.tlog-proof` whose `extra` holds the row itself, and the list of its checks.
//!
//! In: the text of the proof, the key of the log that the auditor trusts, a policy if he has one. Out: a
//! [`RowVerdict`]. `extra` is the row's line as in `entries.ndjson`, and behind it, as in `handovers.ndjson`, the
//! handovers of the log's keys. Invariant: of what `extra` says nothing is believed but what the signed checkpoint
//! covers: the entry is hashed again, a disclosure must have its digest in the entry, a handover both signatures. It
//! cannot show that no other row is missing, nor the event that erased a value.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::format::{EntryLine, NoteLine};
use super::verdict::{Check, Findings, Outcome, printable};
use crate::error::{Error, Result};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::Entry;
use crate::ledger::handover::{HANDOVERS, Handover, Succession, open_checkpoint};
use crate::ledger::note::{Note, Verifier};
use crate::ledger::proof::verify_inclusion;
use crate::ledger::tlog_proof::TlogProof;
use crate::ledger::trust::Policy;

/// What a finding names as its file.
const FILE: &str = "proof";

/// What a proof of one row shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowVerdict {
    /// Whether every check that was asked for passed.
    pub is_ok: bool,
    /// The log of the checkpoint; absent when it could not be trusted.
    pub origin: Option<String>,
    /// The size of its tree.
    pub tree_size: Option<u64>,
    /// The row's place; absent unless `is_ok`, like what follows.
    pub seq: Option<u64>,
    /// The canonical text of the row.
    pub entry: Option<String>,
    /// The sealed values that are disclosed.
    pub disclosed: BTreeMap<String, String>,
    /// The event that is said to have erased the others; the proof does not show it.
    pub erased_by: Option<u64>,
    /// The checks.
    pub checks: Vec<Check>,
}

/// The text of `extra`: the row, and the handovers of the log's keys.
pub fn extra<'a>(line: &EntryLine, handovers: impl Iterator<Item = &'a str>) -> String {
    let notes = handovers.map(|note| NoteLine { note: note.to_owned() }.to_line());
    std::iter::once(line.to_line()).chain(notes).collect()
}

/// Checks a proof. Never fails: whatever is wrong with it is in the verdict.
pub fn verify(text: &str, key: &Verifier, policy: Option<&Policy>) -> RowVerdict {
    let (form, parts) = form(text);
    let Some(Parts { proof, line, handovers }) = parts else {
        return refused(form);
    };
    let (keys, succession) = keys(key, &handovers);
    let (signed, checkpoint) = checkpoint(&proof, &succession);
    let entry = Entry::parse(&line.entry);
    let (sealed, disclosed) = disclosures(&line, entry.as_ref().ok());
    let checks = vec![
        form,
        signed,
        cosignatures(&proof, policy),
        canonical(&proof, &line, &entry),
        inclusion(&proof, entry.as_ref().ok(), checkpoint.as_ref()),
        sealed,
        keys,
    ];
    let is_ok = checks.iter().all(|check| check.outcome != Outcome::Failed);
    RowVerdict {
        is_ok,
        origin: checkpoint.as_ref().map(|checkpoint| checkpoint.origin.clone()),
        tree_size: checkpoint.as_ref().map(|checkpoint| checkpoint.size),
        seq: is_ok.then_some(line.seq),
        disclosed: if is_ok { disclosed } else { BTreeMap::new() },
        erased_by: line.erased_by.filter(|_| is_ok),
        entry: is_ok.then_some(line.entry),
        checks,
    }
}

/// What a proof is made of, nothing of it verified.
struct Parts {
    proof: TlogProof,
    line: EntryLine,
    handovers: Vec<Handover>,
}

fn form(text: &str) -> (Check, Option<Parts>) {
    let mut findings = Findings::default();
    let parts = match read(text) {
        Ok(parts) => Some(parts),
        Err(e) => {
            findings.file(FILE, e.to_string());
            None
        }
    };
    (Check::made("the file is a tlog-proof with the row that it is about", "", findings), parts)
}

fn read(text: &str) -> Result<Parts> {
    let proof = TlogProof::parse(text)?;
    let lacking = || Error::damaged("`extra` does not hold the row; ask for a proof made by `probity prove`");
    let extra = proof.extra.as_deref().and_then(|extra| extra.strip_suffix(b"\n")).ok_or_else(lacking)?;
    let mut lines = extra.split(|byte| *byte == b'\n');
    let line = EntryLine::parse(lines.next().ok_or_else(lacking)?)?;
    let open = |line: &[u8]| NoteLine::parse(line).and_then(|line| Handover::open(line.note.as_bytes()));
    let handovers = lines.take(HANDOVERS + 1).map(open).collect::<Result<Vec<_>>>()?;
    Ok(Parts { proof, line, handovers })
}

fn refused(form: Check) -> RowVerdict {
    RowVerdict {
        is_ok: false,
        origin: None,
        tree_size: None,
        seq: None,
        entry: None,
        disclosed: BTreeMap::new(),
        erased_by: None,
        checks: vec![form],
    }
}

fn keys(key: &Verifier, handovers: &[Handover]) -> (Check, Succession) {
    let mut findings = Findings::default();
    let succession = Succession::of(key, handovers).unwrap_or_else(|e| {
        findings.file(FILE, e.to_string());
        Succession::alone(key)
    });
    let says = match succession.forward().len() {
        0 | 1 => "it is the one that was given".to_owned(),
        keys => format!("{} handovers lead from the one that was given to it", keys - 1),
    };
    (Check::made("the key that signs is the auditor's or one that it handed over to", says, findings), succession)
}

fn checkpoint(proof: &TlogProof, succession: &Succession) -> (Check, Option<Checkpoint>) {
    let mut findings = Findings::default();
    let origin = succession.trusted().key.name();
    let opened = match open_checkpoint(proof.checkpoint.as_bytes(), origin, succession.forward()) {
        Ok((opened, _)) => Some(opened),
        Err(e) => {
            findings.file(FILE, e.to_string());
            None
        }
    };
    let says = opened.as_ref().map_or_else(String::new, |opened| format!("{} events", opened.size));
    (Check::made("the checkpoint is signed by the log", says, findings), opened)
}

fn cosignatures(proof: &TlogProof, policy: Option<&Policy>) -> Check {
    const NAME: &str = "the cosignatures of the checkpoint satisfy the trust policy";
    let Some(policy) = policy else {
        return Check::not_asked(NAME, "no policy was given, so that only the log itself vouches for its tree");
    };
    let mut findings = Findings::default();
    let satisfied = Note::parse(proof.checkpoint.as_bytes()).and_then(|note| policy.satisfied_by(&note));
    let says = match satisfied {
        Ok(cosigned) => format!("{} witnesses cosigned it", cosigned.len()),
        Err(e) => {
            findings.file(FILE, e.to_string());
            String::new()
        }
    };
    Check::made(NAME, says, findings)
}

fn canonical(proof: &TlogProof, line: &EntryLine, entry: &Result<Entry<'_>>) -> Check {
    let mut findings = Findings::default();
    match entry {
        Err(e) => findings.file(FILE, e.message()),
        Ok(entry) if entry.seq() != proof.index || line.seq != proof.index => {
            let (seq, index) = (entry.seq(), proof.index);
            findings.file(FILE, format!("is of index {index}, its row says seq {}, its entry seq {seq}", line.seq));
        }
        Ok(_) => {}
    }
    Check::made("the entry is in canonical form and carries its seq", format!("seq {}", proof.index), findings)
}

fn inclusion(proof: &TlogProof, entry: Option<&Entry<'_>>, checkpoint: Option<&Checkpoint>) -> Check {
    let mut findings = Findings::default();
    match (entry, checkpoint) {
        (Some(entry), Some(checkpoint)) => {
            let shown = verify_inclusion(entry.leaf(), proof.index, checkpoint.size, &proof.proof, &checkpoint.root);
            if let Err(e) = shown {
                findings.file(FILE, e.to_string());
            }
        }
        _ => findings.file(FILE, "has no usable entry or checkpoint, so that this could not be checked"),
    }
    let says = format!("{} hashes lead from it to the root", proof.proof.len());
    Check::made("the leaf of the entry is in the tree of the checkpoint", says, findings)
}

fn disclosures(line: &EntryLine, entry: Option<&Entry<'_>>) -> (Check, BTreeMap<String, String>) {
    let mut findings = Findings::default();
    let mut told = BTreeMap::new();
    let Some(entry) = entry else {
        findings.file(FILE, "has no usable entry, so that this could not be checked");
        return (Check::made(DISCLOSURES, "", findings), told);
    };
    for disclosure in &line.disclosures {
        match entry.disclosed(disclosure) {
            Err(e) => findings.file(FILE, e.message()),
            Ok(one) => {
                if told.insert(one.name.clone(), one.value).is_some() {
                    findings.file(FILE, format!("discloses `{}` twice", one.name));
                }
            }
        }
    }
    if line.erased_by.is_some() && !line.disclosures.is_empty() {
        findings.file(FILE, "is said to be erased and discloses a value");
    }
    let sealed = entry.members().filter(|(name, _)| name.ends_with("_digest")).count();
    let says = match line.erased_by {
        Some(by) => format!("{sealed} sealed values, said to be erased by event {by}, which this does not show"),
        None => format!("{} of {sealed} sealed values are disclosed", told.len()),
    };
    (Check::made(DISCLOSURES, says, findings), told)
}

const DISCLOSURES: &str = "the digest of every disclosure stands in its entry";

impl RowVerdict {
    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        match (self.seq, &self.origin, self.tree_size) {
            (Some(seq), Some(origin), Some(size)) => {
                format!("verified: the row stands unaltered as event {seq} of the log {origin} of {size} events")
            }
            _ => "not verified: do not rely on this proof".to_owned(),
        }
    }
}

impl fmt::Display for RowVerdict {
    /// The checks with what is wrong, the row, the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::verdict::write_checks(&self.checks, f)?;
        if let Some(entry) = &self.entry {
            writeln!(f, "{}", printable(entry))?;
        }
        for (name, value) in &self.disclosed {
            writeln!(f, "{}: {}", printable(name), printable(value))?;
        }
        writeln!(f, "{}", printable(&self.sentence()))
    }
}
