//! The checkpoint that a seed is made from: the first one that was signed after the plan.
//!
//! In: the place of a plan in the ledger. Out: that checkpoint, and how many others vouch for it. Invariant: the first
//! one counts and no later one, or whoever signs could wait for a sample that pleases. It signs nothing itself.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::ledger::note::{Note, Signature};
use crate::store::Store;
use crate::store::log::Sealed;

/// Bytes of a cosignature: its time and an Ed25519 signature; the log's own has no time.
const COSIGNATURE_BYTES: usize = 72;

/// The first signed checkpoint that covers the event `seq`; none where none was signed since.
///
/// # Errors
/// When the store fails; Damaged when it is no checkpoint.
pub async fn first_after(store: &Store, seq: i64) -> Result<Option<Sealed>> {
    let sizes = store.log().sizes().await?;
    let Some(size) = sizes.into_iter().find(|size| covers(*size, seq)) else { return Ok(None) };
    store.log().checkpoint(size).await
}

/// Whether a ledger of `size` events holds the event `seq`.
pub fn covers(size: u64, seq: i64) -> bool {
    i64::try_from(size).is_ok_and(|size| size > seq)
}

/// The independent keys that cosigned `sealed`, as far as the store holds what they say.
///
/// # Errors
/// When the store fails; Damaged when a cosignature is none.
pub async fn cosignatures(store: &Store, sealed: &Sealed) -> Result<usize> {
    let note = Note::parse(store.cosigned(sealed).await?.as_bytes())?;
    Ok(independent(&note.signatures, &sealed.checkpoint.origin))
}

fn independent(signatures: &[Signature], origin: &str) -> usize {
    let is_other = |signature: &&Signature| signature.bytes.len() == COSIGNATURE_BYTES && signature.name != origin;
    let keys = signatures.iter().filter(is_other).map(|signature| (&signature.name, signature.id));
    keys.collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_covers_a_plan_that_is_in_its_tree() {
        assert!(!covers(0, 0) && covers(1, 0) && !covers(7, 7) && covers(8, 7) && !covers(u64::MAX, 0));
    }

    #[test]
    fn the_logs_own_signature_vouches_for_nothing() {
        let signature = |name: &str, id: u32, bytes: usize| Signature { name: name.into(), id, bytes: vec![0; bytes] };
        let all = [
            signature("log", 1, 64),
            signature("log", 2, 72),
            signature("a", 3, 72),
            signature("a", 3, 72),
            signature("b", 4, 72),
        ];
        assert_eq!((independent(&all, "log"), independent(&all[..2], "log")), (2, 0));
    }
}
