//! Cosignatures at rest: what witnesses added to the signed checkpoints.
//!
//! In: a checkpoint, witnesses to ask. Out: the checkpoint with every cosignature that is stored of it. A cosignature
//! lies beside its checkpoint, one object a witness, so that checkpoints are never written again; a later one of the
//! same witness takes the place of the earlier. Invariant: only what [`witness::client`](crate::witness::client) has
//! verified is stored. It must not judge which witnesses are enough; a trust policy does.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::Store;
use super::log::Sealed;
use super::object::object_error;
use super::pack::as_text;
use crate::error::{Error, Result};
use crate::ledger::hash::Hash;
use crate::ledger::note::{Note, Signature};
use crate::witness::client::Client;

/// What a witness vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witnessed {
    /// Events of the checkpoint.
    pub size: u64,
    /// When the witness saw it, in seconds since 1970.
    pub time: u64,
}

impl Store {
    /// The note of a checkpoint with the stored cosignatures behind its own lines, in the order of their key ids.
    ///
    /// # Errors
    /// Damaged when a cosignature is no signature line; when the store fails.
    pub async fn cosigned(&self, sealed: &Sealed) -> Result<String> {
        let mut note = Note::parse(&sealed.note)?;
        let folder = self.paths.cosignatures(sealed.checkpoint.size);
        let listed = self.location.objects.list(Some(&folder)).map_ok(|meta| meta.location);
        let mut paths: Vec<Path> = listed.try_collect().await.map_err(|e| object_error("list", &folder, e))?;
        paths.sort_unstable();
        for path in paths {
            let found = self.location.objects.get(&path).await.map_err(|e| object_error("read", &path, e))?;
            let line = found.bytes().await.map_err(|e| object_error("read", &path, e))?;
            let line = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix('\n'));
            let signature = line.and_then(|line| Signature::parse(line).ok()).ok_or_else(|| {
                Error::damaged(format!("{path} is no signature line; delete it and ask the witness again"))
            })?;
            if !note.signatures.contains(&signature) {
                note.signatures.push(signature);
            }
        }
        Ok(note.to_string())
    }

    /// Has the newest checkpoint cosigned by `witness`, and stores what it says.
    ///
    /// # Errors
    /// Invalid when nothing was signed yet; Damaged when a tile is missing; as [`Client::cosign`]; when the store fails.
    pub async fn ask_witness(&self, witness: &Client) -> Result<Witnessed> {
        let sealed = self.newest_checkpoint().await?;
        let size = sealed.checkpoint.size;
        let given = witness.cosign(&as_text(&sealed.note)?, |old| self.consistency_proof(old, size)).await?;
        let path = self.paths.cosignature(size, given.signature.id);
        let line = format!("{}\n", given.signature);
        self.location.objects.put(&path, line.into()).await.map_err(|e| object_error("write", &path, e))?;
        Ok(Witnessed { size, time: given.time })
    }

    /// The hashes which prove that the tree of `size` leaves grew out of its first `old` ones; none from no leaves.
    pub(super) async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>> {
        if old == 0 {
            return Ok(Vec::new());
        }
        Ok(self.growth(old, size).await?.proof.into_iter().map(|hash| hash.0).collect())
    }
}
