//! Proofs that stand alone: one leaf's place in a signed tree as one text, C2SP tlog-proof.
//!
//! In: the text, the leaf hash, the log's name and key. Out: the checkpoint that holds the leaf. Invariant: what is
//! written is read back the same, and nothing else is read. `extra` is signed by nobody and must not be trusted.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::{Checkpoint, decimal, open};
use super::hash::{Hash, from_base64, to_base64};
use super::note::{NOTE_BYTES, Verifier};
use super::proof::verify_inclusion;
use crate::error::{Error, Result};

/// The first line of every proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of an inclusion proof at most: the height of a tree of 2^64 leaves.
const PROOF_HASHES: usize = 64;

/// A leaf's index and inclusion proof with the signed checkpoint that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Whatever the application put there; not authenticated.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf.
    pub index: u64,
    /// Inclusion proof, from leaf to root.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, cosignatures included, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// Reads a proof; nothing is verified.
    ///
    /// # Errors
    ///
    /// `Damaged` when lines are missing, out of place or not written as the format says; `Limit` when the text is
    /// larger than a note and 64 hashes can be.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > 2 * NOTE_BYTES {
            return Err(Error::limit(format!("proof has {} bytes, the limit is {}", text.len(), 2 * NOTE_BYTES)));
        }
        // The lines above the checkpoint are not empty: the first blank line ends them.
        let Some((head, checkpoint)) = text.split_once("\n\n") else {
            return Err(malformed("a blank line and a checkpoint below the proof"));
        };
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed("the first line c2sp.org/tlog-proof@v1"));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(BASE64.decode(&line["extra ".len()..]).map_err(|_| malformed("base64 behind `extra`"))?),
            None => None,
        };
        let index = lines
            .next()
            .and_then(|line| decimal(line.strip_prefix("index ")?))
            .ok_or_else(|| malformed("a line `index N` with a decimal number"))?;
        let proof = lines.map(from_base64).collect::<Result<Vec<_>>>()?;
        if proof.len() > PROOF_HASHES {
            return Err(malformed("at most 64 hashes"));
        }
        Ok(Self { extra, index, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Checks the proof for the leaf with this hash and returns the checkpoint whose tree holds it.
    ///
    /// # Errors
    ///
    /// `Damaged` when the checkpoint does not open with the log's `key` and `origin`, or the leaf is not shown to have
    /// the index in its tree.
    pub fn verify(&self, leaf: Hash, origin: &str, key: &Verifier) -> Result<Checkpoint> {
        let checkpoint = open(self.checkpoint.as_bytes(), origin, key)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.proof, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    /// The text of a `.tlog-proof` file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", to_base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn malformed(expected: &str) -> Error {
    Error::damaged(format!("proof is not a tlog-proof of version 1: expected {expected}; ask for it again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hash::{leaf_hash, node_hash};
    use crate::ledger::note::{Kind, Note, Signer};

    #[test]
    fn a_proof_is_read_back_as_written_and_in_no_other_form() {
        let signer = Signer::new("example.com/log", [7; 32]).unwrap();
        let [left, right] = [leaf_hash(b"left"), leaf_hash(b"right")];
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 2, root: node_hash(&left, &right) };
        let note = Note::signed(&checkpoint.to_text(), &signer).unwrap().to_string();
        let proof = TlogProof { extra: Some(b"more".into()), index: 1, proof: vec![left], checkpoint: note };
        let key = signer.verifier(Kind::Ed25519);
        assert_eq!(proof.verify(right, "example.com/log", &key).unwrap(), checkpoint);
        assert!(proof.verify(left, "example.com/log", &key).is_err());
        let text = proof.to_string();
        assert_eq!(TlogProof::parse(&text).unwrap(), proof);
        for (from, to) in [
            ("@v1", "@v2"),
            ("extra ", "extra  "),
            ("index 1", "index 01"),
            ("index 1", "index +1"),
            ("index 1\n", ""),
            ("index 1", "index 1\nindex 1"),
            ("=\n\n", "=\n"),
            ("\n", "\r\n"),
        ] {
            assert!(TlogProof::parse(&text.replacen(from, to, 1)).is_err(), "{from:?} to {to:?}");
        }
    }
}
