//! Witness: what a cosigner answers to a new checkpoint, C2SP tlog-witness.
//!
//! In: the body of an `add-checkpoint` request, the logs with the checkpoint that was cosigned last of each, a key
//! and the time. Out: status and body of the answer, and the new checkpoint to keep. Invariant: of each log only a
//! consistent line of trees is cosigned, each at least as large as the one before. It must not keep anything itself:
//! the caller reads the state, asks, and writes the new state durably *before* it sends the answer, with no other
//! request between, because two requests at once could otherwise take a tree back.

use super::checkpoint::{Checkpoint, decimal};
use super::cosignature;
use super::hash::{Hash, empty_root, from_base64, to_base64};
use super::note::{Note, Signer, Verifier};
use super::proof::verify_consistency;
use crate::error::{Error, Result};

/// Hashes of a consistency proof at most.
const PROOF_HASHES: usize = 63;
/// What a size is answered as.
pub const SIZE_TYPE: &str = "text/x.tlog.size";
/// What everything else is answered as.
pub const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// The body of an `add-checkpoint` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The size of the tree that the witness is thought to have cosigned last; 0 for none.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl Request {
    /// Reads the body of a request; the checkpoint is not looked into.
    ///
    /// # Errors
    ///
    /// `Invalid` for anything but a line `old N`, at most 63 lines of base64, a blank line and more text.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let malformed = || Error::invalid("request is not `old N`, proof lines, a blank line and a checkpoint");
        let body = std::str::from_utf8(body).map_err(|_| malformed())?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or_else(malformed)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal).ok_or_else(malformed)?;
        let proof = lines.map(from_base64).collect::<Result<Vec<_>>>().map_err(|_| malformed())?;
        if proof.len() > PROOF_HASHES || checkpoint.is_empty() {
            return Err(malformed());
        }
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }

    /// The body as [`parse`](Self::parse) reads it.
    pub fn to_text(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| to_base64(hash) + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old, self.checkpoint)
    }
}

/// A log that the witness follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its key; the key's name is the log's origin.
    pub key: Verifier,
    /// The checkpoint that was cosigned last; none at first.
    pub latest: Option<Checkpoint>,
}

/// What the witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// The new `latest` of the log of that origin, to be durable before the answer is sent; none unless 200.
    pub accepted: Option<Checkpoint>,
}

/// Decides about an `add-checkpoint` request with this body, at `time` in seconds since 1970.
///
/// 200 with the cosignature; 400 for a request that is malformed or goes back in size; 403 for a checkpoint that is
/// no note signed by the log; 404 for an unknown log; 409 with the size cosigned last when the request starts from
/// another one, and for a second root of the same size; 422 for a consistency proof that does not verify.
pub fn add_checkpoint(body: &[u8], logs: &[Log], witness: &Signer, time: u64) -> Answer {
    match decide(body, logs) {
        Err(refused) => refused,
        Ok(accepted) => {
            let body = cosignature::cosign(witness, time, &accepted.to_text());
            Answer { status: 200, content_type: TEXT_TYPE, body, accepted: Some(accepted) }
        }
    }
}

fn decide(body: &[u8], logs: &[Log]) -> std::result::Result<Checkpoint, Answer> {
    let request = Request::parse(body).map_err(|e| refuse(400, e))?;
    let not_signed = |e: Error| refuse(403, format!("invalid signature: {e}"));
    let note = Note::parse(request.checkpoint.as_bytes()).map_err(not_signed)?;
    let new = Checkpoint::parse(&note.text).map_err(|e| refuse(400, e))?;
    let log = logs
        .iter()
        .find(|log| log.key.name() == new.origin)
        .ok_or_else(|| refuse(404, format!("unknown log `{}`", new.origin)))?;
    note.verify(std::slice::from_ref(&log.key)).map_err(not_signed)?;
    if request.old > new.size {
        return Err(refuse(400, format!("old size {} is larger than {} of the checkpoint", request.old, new.size)));
    }
    let size = log.latest.as_ref().map_or(0, |latest| latest.size);
    if request.old != size {
        return Err(Answer { status: 409, content_type: SIZE_TYPE, body: format!("{size}\n"), accepted: None });
    }
    check_growth(log.latest.as_ref(), &request.proof, &new)?;
    Ok(new)
}

fn check_growth(latest: Option<&Checkpoint>, proof: &[Hash], new: &Checkpoint) -> std::result::Result<(), Answer> {
    let Some(old) = latest.filter(|latest| latest.size > 0) else {
        // Every tree grew out of the empty one, and there is nothing to prove.
        let is_consistent = proof.is_empty() && (new.size > 0 || new.root == empty_root());
        return if is_consistent {
            Ok(())
        } else {
            Err(refuse(422, "consistency proof from size 0 must be empty, and the root of no leaves that of RFC 6962"))
        };
    };
    if old.size == new.size && old.root != new.root {
        return Err(refuse(409, format!("another root was cosigned at size {}: the log signed two trees", new.size)));
    }
    verify_consistency(old.size, &old.root, new.size, &new.root, proof)
        .map_err(|e| refuse(422, format!("consistency proof does not verify: {e}")))
}

fn refuse(status: u16, reason: impl std::fmt::Display) -> Answer {
    Answer { status, content_type: TEXT_TYPE, body: format!("{reason}\n"), accepted: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hash::{leaf_hash, node_hash};
    use crate::ledger::note::Kind;

    fn log_signer() -> Signer {
        Signer::new("example.com/log", [1; 32]).unwrap()
    }

    fn ask(old: u64, proof: Vec<Hash>, new: (u64, Hash), latest: Option<(u64, Hash)>) -> Answer {
        let checkpoint = |(size, root)| Checkpoint { origin: "example.com/log".into(), size, root };
        let note = Note::signed(&checkpoint(new).to_text(), &log_signer()).unwrap().to_string();
        let request = Request { old, proof, checkpoint: note };
        assert_eq!(Request::parse(request.to_text().as_bytes()).unwrap(), request);
        let log = Log { key: log_signer().verifier(Kind::Ed25519), latest: latest.map(checkpoint) };
        let witness = Signer::new("example.com/witness", [2; 32]).unwrap();
        let answer = add_checkpoint(request.to_text().as_bytes(), &[log], &witness, 1_700_000_000);
        assert_eq!(answer.accepted, (answer.status == 200).then(|| checkpoint(new)));
        answer
    }

    #[test]
    fn only_a_consistent_successor_of_the_known_tree_is_cosigned() {
        let [a, b, c] = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")];
        let two = (2, node_hash(&a, &b));
        let three = (3, node_hash(&two.1, &c));
        for (old, proof, new, latest, status) in [
            (0, vec![], two, None, 200),
            (0, vec![], (0, empty_root()), None, 200),
            (0, vec![], three, Some((0, empty_root())), 200),
            (2, vec![c], three, Some(two), 200),
            (2, vec![], two, Some(two), 200),
            (0, vec![c], two, None, 422),
            (0, vec![], (0, c), None, 422),
            (2, vec![a], three, Some(two), 422),
            (2, vec![], three, Some(two), 422),
            (2, vec![c], two, Some(two), 422),
            (2, vec![], (2, c), Some(two), 409),
            (0, vec![], three, Some(two), 409),
            (3, vec![], two, Some(two), 400),
            (3, vec![], two, Some(three), 400),
        ] {
            let answer = ask(old, proof.clone(), new, latest);
            assert_eq!(answer.status, status, "{old}, {proof:?}, {new:?}, {latest:?}: {}", answer.body);
        }
        let behind = ask(0, vec![], three, Some(two));
        assert_eq!((behind.content_type, behind.body.as_str()), (SIZE_TYPE, "2\n"));
    }

    #[test]
    fn a_request_has_one_form() {
        let hash = to_base64(&[7; 32]);
        let good = format!("old 3\n{hash}\n\nanything");
        assert!(Request::parse(good.as_bytes()).is_ok());
        let many = format!("old 3\n{}\nanything", format!("{hash}\n").repeat(64));
        for wrong in [
            String::new(),
            good.replace("old 3", "old 03"),
            good.replace("old 3", "old"),
            good.replace("old 3", "new 3"),
            good.replace('=', ""),
            good.replace("\n\nanything", "\n\n"),
            good.replace("\n\n", "\n"),
            many,
        ] {
            assert!(Request::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Request::parse(b"old 3\n\n\xff").is_err());
    }
}
