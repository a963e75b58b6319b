//! Checkpoints: what a log says about itself, C2SP tlog-checkpoint.
//!
//! In: the text of a note, or its bytes and the key to trust. Out: origin, size and root. Invariant: three lines and
//! nothing else; extension lines are refused, because no witness vouches for them and this log never writes them. It
//! must not say whether two checkpoints agree; a consistency proof does.

use super::hash::{Hash, from_base64, to_base64};
use super::note::{Note, Verifier};
use crate::error::{Error, Result};

/// The state of a log: its name, its number of leaves, the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name; it never changes.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads origin, size and root, one line each, every line ended.
    ///
    /// # Errors
    ///
    /// `Damaged` for another number of lines, an empty origin, a size with a sign or leading zeros or past 64 bits, or
    /// a root that is not the base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, size, root, ""] = lines[..] else {
            return Err(Error::damaged(format!(
                "checkpoint has {} lines, expected 3: origin, size and root, each with a line end",
                text.lines().count()
            )));
        };
        if origin.is_empty() {
            return Err(Error::damaged("checkpoint has an empty origin"));
        }
        let size = decimal(size).ok_or_else(|| {
            Error::damaged(format!("checkpoint of `{origin}` has a size that is no decimal number of 64 bits"))
        })?;
        Ok(Self { origin: origin.to_owned(), size, root: from_base64(root)? })
    }

    /// The text that is signed: origin, size and root, one line each.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(&self.root))
    }
}

/// Opens a signed checkpoint: reads the note, verifies the log's signature, compares the origin.
///
/// # Errors
///
/// `Damaged` when the note is cut, is not signed by `key`, is no checkpoint or is of another log; `Limit` when it is
/// larger than a note may be.
pub fn open(note: &[u8], origin: &str, key: &Verifier) -> Result<Checkpoint> {
    let note = Note::parse(note)?;
    note.verify(std::slice::from_ref(key))?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    if checkpoint.origin != origin {
        return Err(Error::damaged(format!(
            "checkpoint is of the log `{}`, expected `{origin}`; ask for that of the right log",
            checkpoint.origin
        )));
    }
    Ok(checkpoint)
}

/// A decimal number of 64 bits in its one spelling: digits only, no leading zero.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::note::{Kind, Signer};

    #[test]
    fn a_checkpoint_of_another_log_or_key_does_not_open() {
        let [ours, theirs] = [[1; 32], [2; 32]].map(|seed| Signer::new("example.com/log", seed).unwrap());
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 7, root: [3; 32] };
        let note = Note::signed(&checkpoint.to_text(), &ours).unwrap().to_string();
        let key = ours.verifier(Kind::Ed25519);
        assert_eq!(open(note.as_bytes(), "example.com/log", &key).unwrap(), checkpoint);
        assert!(open(note.as_bytes(), "example.com/log2", &key).is_err());
        assert!(open(note.as_bytes(), "example.com/log", &theirs.verifier(Kind::Ed25519)).is_err());
        assert!(open(note.replace("\n7\n", "\n8\n").as_bytes(), "example.com/log", &key).is_err());
    }
}
