//! Receipts: what the writer is answered for the events that were accepted.
//!
//! In: the outcomes of an ingest in their order. Out: one receipt for every stretch of the ledger that is its own: one
//! for a writer who was alone, more where others wrote in between or the engine stated its counts. Invariants: a
//! receipt is about events that are durable; memory is one hash for each level of the tree and stretch, whatever their
//! length. A key that handed over signs none.

use super::writer::Outcome;
use crate::event::Leaf;
use crate::ledger::receipt::Receipt;
use crate::ledger::tree::Frontier;
use crate::store::Store;

/// A receipt as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// What was accepted. Its origin is empty as long as the ledger has no name: no key, and no checkpoint.
    pub receipt: Receipt,
    /// The note; without a key here the text alone, which proves nothing; none while the ledger has no name.
    pub note: Option<String>,
    /// Whether the note is signed.
    pub is_signed: bool,
}

/// The accepted events of an ingest, in stretches without a gap.
#[derive(Debug, Default)]
pub struct Stretches(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    first_seq: u64,
    tree: Frontier,
}

impl Stretches {
    /// Takes the next outcomes.
    pub fn accept(&mut self, outcomes: &[Outcome]) {
        let accepted = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Accepted { seq, leaf } => Some((*seq as u64, *leaf)),
            _ => None,
        });
        let accepted: Vec<(u64, Leaf)> = accepted.collect();
        for part in accepted.chunk_by(|one, next| one.0 + 1 == next.0) {
            let leaves: Vec<Leaf> = part.iter().map(|(_, leaf)| *leaf).collect();
            let first_seq = part[0].0;
            match self.0.last_mut().filter(|open| open.first_seq + open.tree.size() == first_seq) {
                Some(open) => open.tree.append_all(&leaves),
                None => {
                    let mut tree = Frontier::default();
                    tree.append_all(&leaves);
                    self.0.push(Stretch { first_seq, tree });
                }
            }
        }
    }

    /// The receipts, signed where the key of `store` signs its ledger now.
    pub async fn issue(self, store: &Store) -> Vec<Issued> {
        if self.0.is_empty() {
            return Vec::new();
        }
        // Where the store cannot tell, the receipts stay unsigned: the events are accepted all the same.
        let signer = match store.has_current_key().await {
            Ok(true) => store.signer(),
            _ => None,
        };
        let origin = match signer {
            Some(signer) => signer.name().to_owned(),
            None => {
                let newest = store.log().newest().await.ok().flatten();
                newest.map(|sealed| sealed.checkpoint.origin).unwrap_or_default()
            }
        };
        let issued = self.0.into_iter().map(|stretch| {
            let (first_seq, count, root) = (stretch.first_seq, stretch.tree.size(), stretch.tree.root());
            let receipt = Receipt { origin: origin.clone(), first_seq, count, root };
            let signed = signer.and_then(|signer| receipt.signed(signer).ok()).map(|note| note.to_string());
            let is_signed = signed.is_some();
            let note = signed.or_else(|| (!origin.is_empty()).then(|| receipt.to_text()));
            Issued { receipt, note, is_signed }
        });
        issued.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hash::leaf_hash;

    fn accepted(seq: i64) -> Outcome {
        Outcome::Accepted { seq, leaf: leaf_hash(&seq.to_be_bytes()) }
    }

    #[test]
    fn events_that_lie_behind_one_another_are_one_stretch_whatever_stands_between_them_in_the_input() {
        let mut stretches = Stretches::default();
        stretches.accept(&[accepted(4), Outcome::Duplicate, accepted(5), Outcome::Conflict]);
        stretches.accept(&[accepted(6), accepted(9), accepted(10)]);
        stretches.accept(&[]);
        stretches.accept(&[accepted(12)]);
        let found: Vec<(u64, u64)> = stretches.0.iter().map(|one| (one.first_seq, one.tree.size())).collect();
        assert_eq!(found, [(4, 3), (9, 2), (12, 1)]);
        let leaves: Vec<Leaf> = (4..7i64).map(|seq| leaf_hash(&seq.to_be_bytes())).collect();
        assert_eq!(Receipt::over("o", 4, &leaves).root, stretches.0[0].tree.root());
    }
}
