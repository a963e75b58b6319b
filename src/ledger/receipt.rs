//! Receipts: what a writer was answered when its events were accepted, so that it can be held against the log later.
//!
//! In: the leaf hashes of events that lie behind one another in the log; or the text of a note. Out: origin, first
//! `seq`, count, and the root of the RFC 9162 tree over these leaves alone, as five lines that the log's key signs.
//! Invariant: what is written is read back the same, and nothing else is read. A receipt says that events were
//! accepted and durable at their place; that they are still there, a pack of that range shows. It must not say how
//! events are stored.

use super::checkpoint::decimal;
use super::handover::{Reign, signed_by};
use super::hash::{Hash, from_base64, to_base64};
use super::note::{Note, Signer};
use super::tree::Frontier;
use crate::error::{Error, Result};

/// The first line of every receipt.
const HEADER: &str = "probity-receipt/1";

/// That the log accepted the events `first_seq..first_seq + count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The log's name.
    pub origin: String,
    /// Place of the first event.
    pub first_seq: u64,
    /// Number of events, at least one.
    pub count: u64,
    /// Root of the tree over their leaves alone.
    pub root: Hash,
}

impl Receipt {
    /// The receipt for events with these leaves, which lie behind one another from `first_seq` on.
    pub fn over(origin: &str, first_seq: u64, leaves: &[Hash]) -> Self {
        let mut tree = Frontier::default();
        tree.append_all(leaves);
        Self { origin: origin.to_owned(), first_seq, count: tree.size(), root: tree.root() }
    }

    /// The `seq` after its last event.
    pub fn end(&self) -> u64 {
        // Reading refuses a range that ends past 64 bits.
        self.first_seq.saturating_add(self.count)
    }

    /// Reads header, origin, first `seq`, count and root, one line each, every line ended.
    ///
    /// # Errors
    ///
    /// `Damaged` for another form: other lines, an empty origin, a number with a sign or leading zeros, no event, a
    /// range that ends past 64 bits, or a root that is not the base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [HEADER, origin, first_seq, count, root, ""] = lines[..] else {
            return Err(Error::damaged(
                "receipt is not made of the five lines `probity-receipt/1`, origin, first seq, count and root",
            ));
        };
        let numbers = decimal(first_seq).zip(decimal(count));
        let Some((first_seq, count)) =
            numbers.filter(|(first_seq, count)| *count > 0 && first_seq.checked_add(*count).is_some())
        else {
            return Err(Error::damaged("receipt has a first seq or a count that is no decimal number of 64 bits"));
        };
        if origin.is_empty() {
            return Err(Error::damaged("receipt has an empty origin"));
        }
        Ok(Self { origin: origin.to_owned(), first_seq, count, root: from_base64(root)? })
    }

    /// The text that is signed: five lines, each ended.
    pub fn to_text(&self) -> String {
        format!("{HEADER}\n{}\n{}\n{}\n{}\n", self.origin, self.first_seq, self.count, to_base64(&self.root))
    }

    /// The receipt as a note signed by the log.
    ///
    /// # Errors
    ///
    /// `Invalid` when the origin is not the signer's name.
    pub fn signed(&self, signer: &Signer) -> Result<Note> {
        if self.origin != signer.name() {
            return Err(Error::invalid(format!(
                "receipt of the log `{}` cannot be signed by the key of `{}`",
                self.origin,
                signer.name()
            )));
        }
        Note::signed(&self.to_text(), signer)
    }
}

/// Opens a signed receipt: reads the note, finds the key that signed it, compares the origin.
///
/// A key that handed over may have signed receipts for events before its handover alone: what a retired key signs
/// afterwards counts for nothing.
///
/// # Errors
///
/// `Damaged` when the note is cut, is signed by none of these keys in its time, is no receipt or is of another log;
/// `Limit` when it is larger than a note may be.
pub fn open(note: &[u8], reigns: &[Reign]) -> Result<Receipt> {
    let note = Note::parse(note)?;
    let receipt = Receipt::parse(&note.text)?;
    let reign = signed_by(&note, receipt.end(), reigns, "receipt")?;
    if receipt.origin != reign.key.name() {
        return Err(Error::damaged(format!(
            "receipt is of the log `{}`, expected `{}`; ask for that of the right log",
            receipt.origin,
            reign.key.name()
        )));
    }
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hash::{leaf_hash, node_hash};
    use crate::ledger::note::Kind;

    fn receipt() -> Receipt {
        Receipt::over("example.com/log", 7, &[leaf_hash(b"left"), leaf_hash(b"right")])
    }

    fn always(signer: &Signer) -> [Reign; 1] {
        [Reign::unbounded(signer.verifier(Kind::Ed25519))]
    }

    #[test]
    fn a_receipt_has_the_root_of_its_own_leaves() {
        let root = node_hash(&leaf_hash(b"left"), &leaf_hash(b"right"));
        assert_eq!(receipt(), Receipt { origin: "example.com/log".into(), first_seq: 7, count: 2, root });
        assert_eq!(receipt().end(), 9);
    }

    #[test]
    fn a_receipt_is_read_back_as_written_and_in_no_other_form() {
        let text = receipt().to_text();
        assert_eq!(Receipt::parse(&text).unwrap(), receipt());
        for (from, to) in [
            ("receipt/1", "receipt/2"),
            ("example.com/log\n", "\n"),
            ("\n7\n", "\n07\n"),
            ("\n7\n", "\n+7\n"),
            ("\n7\n", "\n18446744073709551615\n"),
            ("\n2\n", "\n0\n"),
            ("\n2\n", "\n2\n2\n"),
            ("=\n", "=\n\n"),
            ("=\n", "="),
            ("=\n", "\n"),
            ("\n", "\r\n"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from:?}");
            assert!(Receipt::parse(&changed).is_err(), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_receipt_of_another_log_or_key_does_not_open() {
        let [ours, theirs] = [[1; 32], [2; 32]].map(|seed| Signer::new("example.com/log", seed).unwrap());
        let note = receipt().signed(&ours).unwrap().to_string();
        assert_eq!(open(note.as_bytes(), &always(&ours)).unwrap(), receipt());
        assert!(open(note.as_bytes(), &always(&theirs)).is_err());
        assert!(open(note.replace("\n2\n", "\n3\n").as_bytes(), &always(&ours)).is_err());
        assert!(open(receipt().to_text().as_bytes(), &always(&ours)).is_err());
        let other = Receipt { origin: "example.com/other".into(), ..receipt() };
        assert!(other.signed(&ours).is_err());
        let note = Note::signed(&other.to_text(), &ours).unwrap().to_string();
        assert!(open(note.as_bytes(), &always(&ours)).is_err());
    }

    #[test]
    fn a_retired_key_signs_no_receipt_for_later_events() {
        let ours = Signer::new("example.com/log", [1; 32]).unwrap();
        let note = receipt().signed(&ours).unwrap().to_string();
        let until = |size| [Reign { until: Some(size), ..Reign::unbounded(ours.verifier(Kind::Ed25519)) }];
        assert!(open(note.as_bytes(), &until(9)).is_ok());
        assert!(open(note.as_bytes(), &until(8)).is_err());
    }
}
