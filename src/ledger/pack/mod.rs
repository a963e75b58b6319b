//! Evidence pack: a directory or archive that a stranger can check offline.
//!
//! In: the files of a pack, in any order, and what the auditor trusts: the log's key, and if he has them a policy
//! for cosignatures, a checkpoint that he saw earlier and a receipt that the log answered. A pack that was signed by a
//! later key of the log holds the handovers that lead to it from his. Out: a [`Verdict`], the list of checks with everything
//! that is wrong. Invariant: a pack is verified only if every check that was asked for passed; nothing in the pack
//! is believed because the pack says so. It must not look anything up: no store, no network, no configuration.
//!
//! | part | what it is |
//! |---|---|
//! | [`mod@format`] | names and types of the files, shared by writer and verifier |
//! | `intake` | reading the files once, from front to back |
//! | `checks` | the single checks |
//! | [`single`] | one row as a `.tlog-proof` that stands alone |
//! | [`verdict`] | what was found |
//!
//! Names beside those of [`mod@format`] may stand in a pack if the manifest lists them; their bytes are checked, what
//! they say is not, as that of `log.vkey` and `rows.parquet`. Unlisted are `manifest.json` and `manifest.sig` alone.

mod checks;
pub mod format;
mod intake;
pub mod single;
pub mod verdict;

pub use intake::Pack;
pub use verdict::Verdict;

use super::checkpoint::Checkpoint;
use super::note::Verifier;
use super::trust::Policy;
use verdict::Outcome;

/// What the auditor trusts, from his own copies.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a> {
    /// A key of the log; its name is the log's origin. Those count as well that it handed over to.
    pub key: &'a Verifier,
    /// Whose cosignatures the checkpoint must carry.
    pub policy: Option<&'a Policy>,
    /// A checkpoint of the log that he saw earlier, its signature checked already.
    pub held: Option<&'a Checkpoint>,
    /// A receipt that the log answered: the bytes of its note.
    pub receipt: Option<&'a [u8]>,
}

/// Checks a pack. Never fails: whatever is wrong with the pack is in the verdict.
pub fn verify(pack: &Pack, trusted: &Trusted<'_>) -> Verdict {
    let (succession, broken) = checks::succession(pack, trusted);
    let (manifest_check, manifest) = checks::manifest(pack, trusted, &succession);
    let manifest = manifest.as_ref();
    let (checkpoint_check, checkpoint) = checks::checkpoint(pack, manifest, trusted, &succession);
    let checkpoint = checkpoint.as_ref();
    let leaves = checks::leaves_by_seq(pack);
    let checks = vec![
        manifest_check,
        checks::files(pack, manifest),
        checkpoint_check,
        checks::cosignatures(pack, trusted),
        checks::form(pack),
        checks::order(pack, &leaves),
        checks::root(pack, &leaves, checkpoint),
        checks::disclosures(pack),
        checks::erasures(pack),
        checks::completeness(pack, manifest),
        checks::consistency(pack, checkpoint, trusted),
        checks::keys(pack, &succession, broken),
        checks::receipt(&leaves, checkpoint, trusted, &succession),
    ];
    let is_ok = checks.iter().all(|check| check.outcome != Outcome::Failed);
    Verdict {
        is_ok,
        origin: checkpoint.map(|checkpoint| checkpoint.origin.clone()),
        tree_size: checkpoint.map(|checkpoint| checkpoint.size),
        rows: pack.rows.lines,
        values: pack.rows.values,
        completeness: manifest.filter(|_| is_ok).map(|manifest| manifest.completeness),
        checks,
    }
}
