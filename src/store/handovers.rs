//! Handovers at rest: which keys have signed the log, and which one signs it now.
//!
//! In: the signer of this store, another one that is to follow. Out: one object for every handover, numbered from 0,
//! never overwritten; the keys that count. Invariants: everything accepted so far is signed by the old key before a
//! handover is written; a key that handed over signs nothing more; nothing is signed on top of a checkpoint that
//! neither this key nor a predecessor signed in its time. It must not touch a key file: see [`keys`](super::keys).
//!
//! A process that lives longer than its key signs with the one that lies in its place, as soon as it has to sign.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};

use super::Store;
use super::log::Sealed;
use super::object::{self, object_error};
use super::paths::Paths;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handover::{Handover, Succession, open_checkpoint};
use crate::ledger::note::{Kind, Signer, Verifier};

/// A handover as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// What it says; both keys have signed it.
    pub handover: Handover,
    /// The whole note.
    pub note: String,
}

impl Store {
    /// All handovers of the log, oldest first.
    ///
    /// # Errors
    /// Damaged when one is missing or not signed by both of its keys; when the store fails.
    pub async fn handovers(&self) -> Result<Vec<Handed>> {
        let mut handed = Vec::new();
        for number in 0..self.count_handovers().await? {
            let path = self.paths.handover(number);
            let note = self.handover_note(&path).await?;
            let note = note.ok_or_else(|| Error::damaged(format!("{path} is missing, and later ones are there")))?;
            let opened = Handover::open(&note)
                .map_err(|e| Error::damaged(format!("{path} is no handover of the log's key")).because(e))?;
            let text = String::from_utf8_lossy(&note).into_owned();
            handed.push(Handed { handover: opened, note: text });
        }
        Ok(handed)
    }

    /// The keys whose checkpoints count: that of this store and, by the handovers, the others of the log; none where
    /// there is no key here.
    ///
    /// # Errors
    /// As [`Store::handovers`]; Damaged when they do not name the key of this store.
    pub async fn keys(&self) -> Result<Vec<Verifier>> {
        let Some(signer) = self.signer() else { return Ok(Vec::new()) };
        let succession = self.succession(signer).await?;
        Ok(succession.all().iter().map(|reign| reign.key.clone()).collect())
    }

    /// Whether the key of this store signs the log now: there is one, and it has not handed over, or the one that it
    /// handed over to lies in its place.
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub async fn has_current_key(&self) -> Result<bool> {
        let Some(signer) = self.signer() else { return Ok(false) };
        if self.succession(signer).await?.is_current() {
            return Ok(true);
        }
        self.renew_key().await
    }

    /// The key that signs on top of `newest`, where there is one: that of this store, or the one that lies in its place
    /// by now.
    ///
    /// # Errors
    /// As [`Store::keys`]; Damaged or Conflict when neither may sign.
    pub(super) async fn signer_upon(&self, newest: Option<&Sealed>) -> Result<Option<Arc<Signer>>> {
        let Some(signer) = self.signer().cloned() else { return Ok(None) };
        let checked = self.check_signer(&signer, newest).await;
        let has_handed_over = checked.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict);
        if !has_handed_over || !self.renew_key().await? {
            return checked.map(|()| Some(signer));
        }
        let Some(signer) = self.signer().cloned() else { return Ok(None) };
        self.check_signer(&signer, newest).await?;
        Ok(Some(signer))
    }

    /// The keys of the log as the owner of `signer` sees them.
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub async fn succession(&self, signer: &Signer) -> Result<Succession> {
        let handovers: Vec<Handover> = self.handovers().await?.into_iter().map(|handed| handed.handover).collect();
        Succession::of(&signer.verifier(Kind::Ed25519), &handovers)
    }

    /// Hands the log over from the key of this store to `next`, after everything accepted so far was folded and
    /// signed. When it returns, the handover is durable and the key of this store signs nothing more.
    ///
    /// # Errors
    /// Invalid when this store has no key, or `next` is no key of the same name; Conflict when the key has handed over
    /// already; when the store fails.
    pub async fn hand_over(&self, next: &Signer) -> Result<Handover> {
        let signer = self.signer().cloned().ok_or_else(|| {
            Error::invalid("the store has no signing key here that could hand over; name it with --key FILE")
        })?;
        // Nobody appends meanwhile: whatever was accepted under the old key, it signs.
        let _appending = self.queue("append").await?;
        self.fold().await?;
        let _folding = self.queue("fold").await?;
        let sealed = self.newest_checkpoint().await?;
        self.check_signer(&signer, Some(&sealed)).await?;
        let handover = Handover::between(&signer, next, sealed.checkpoint.size)?;
        let note = handover.signed(&signer, next)?;
        let path = self.paths.handover(self.count_handovers().await?);
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        if let Err(e) = self.location.objects.put_opts(&path, note.clone().into(), options).await {
            // Signatures of Ed25519 are the same each time: what is there may be this put, whose answer was lost.
            match self.handover_note(&path).await? {
                Some(there) if there == note.as_bytes() => {}
                Some(_) => {
                    return Err(Error::new(ErrorKind::Conflict, "somebody else has just handed over; look again"));
                }
                None => return Err(object_error("write", &path, e)),
            }
        }
        Ok(handover)
    }

    /// Refuses to sign with a key that handed over, and on top of a newest checkpoint that neither this key nor, in
    /// its time, a predecessor signed.
    pub(super) async fn check_signer(&self, signer: &Signer, newest: Option<&Sealed>) -> Result<()> {
        let another = |size: u64| {
            format!(
                "the newest checkpoint, over {size} events, was not signed by the key of `{}`: this is another log's \
                 key, or somebody replaced the checkpoint; nothing is signed on top of it",
                signer.name()
            )
        };
        let size = newest.map_or(0, |sealed| sealed.checkpoint.size);
        let succession = self.succession(signer).await.map_err(|e| Error::new(e.kind(), another(size)).because(e))?;
        if let Some(until) = succession.trusted().until {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the key of `{}` handed over at {until} events and signs nothing more; take the new key",
                    signer.name()
                ),
            ));
        }
        let Some(sealed) = newest else { return Ok(()) };
        open_checkpoint(&sealed.note, signer.name(), succession.all())
            .map(drop)
            .map_err(|e| Error::damaged(another(size)).because(e))
    }

    async fn handover_note(&self, path: &Path) -> Result<Option<Bytes>> {
        object::get(&self.location.objects, path).await
    }

    /// The number behind the last handover.
    async fn count_handovers(&self) -> Result<u64> {
        let listed = object::list(&self.location.objects, &self.paths.handovers()).await?;
        Ok(listed.iter().filter_map(|meta| Paths::handover_number(&meta.location)).max().map_or(0, |last| last + 1))
    }
}
