//! One row as a proof that stands alone, C2SP tlog-proof; and the places of several rows in one signed tree.
//!
//! In: the `seq` of a row, sealed columns to withhold. Out: the text of a `.tlog-proof` that leads from the row to the
//! newest checkpoint with its cosignatures, the row itself in `extra`; or the hashes alone that do so. Invariant: a proof is made only of a row that
//! the checkpoint covers, and of tiles that were signed. It reads one page of one data file and a hash for each level
//! of the tree, so that it is quick whatever the size of the ledger. It verifies nothing: its reader does.

use serde::Serialize;

use super::Store;
use super::log::HeldTiles;
use super::pack::{Nodes, Wanted, check_covered};
use crate::error::Result;
use crate::event::{Column, Rows};
use crate::ledger::hash::to_base64;
use crate::ledger::pack::single;
use crate::ledger::tlog_proof::TlogProof;
use crate::ledger::tree::inclusion_ranges;

/// The proof of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The row's place.
    pub seq: u64,
    /// Events of the checkpoint.
    pub tree_size: u64,
    /// The text of the `.tlog-proof`.
    pub text: String,
}

/// Where some rows stand in the tree of the newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inclusions {
    /// The log.
    pub origin: String,
    /// Events of the checkpoint.
    pub tree_size: u64,
    /// Its root, base64.
    pub root: String,
    /// The signed checkpoint with its cosignatures.
    pub checkpoint: String,
    /// For each row, in the order asked for, the hashes that lead from its leaf to the root, base64; none for a row
    /// that the checkpoint does not cover yet.
    pub proofs: Vec<Option<Vec<String>>>,
}

impl Store {
    /// Where the rows `seqs` stand in the tree of the newest checkpoint; none where nothing is signed yet. No row is
    /// read: the tiles tell.
    ///
    /// # Errors
    /// Damaged when a tile is missing; when the store fails.
    pub async fn inclusions(&self, seqs: &[u64]) -> Result<Option<Inclusions>> {
        let Some(sealed) = self.log.newest().await? else { return Ok(None) };
        let size = sealed.checkpoint.size;
        let mut nodes = Nodes { tiles: HeldTiles::new(&self.log), size };
        let mut proofs = Vec::with_capacity(seqs.len());
        for seq in seqs {
            if *seq >= size {
                proofs.push(None);
                continue;
            }
            let mut proof = Vec::new();
            for range in inclusion_ranges(*seq, size)? {
                proof.push(to_base64(&nodes.range(range).await?));
            }
            proofs.push(Some(proof));
        }
        let (origin, root) = (sealed.checkpoint.origin.clone(), to_base64(&sealed.checkpoint.root));
        let checkpoint = self.cosigned(&sealed).await?;
        Ok(Some(Inclusions { origin, tree_size: size, root, checkpoint, proofs }))
    }

    /// The proof that the event `seq` is in the ledger, as of the newest checkpoint.
    ///
    /// # Errors
    /// Invalid when nothing is signed yet, the row is not covered by the newest checkpoint or was retired; Damaged
    /// when it is missing, erased without an event that says so, or a tile is missing; when the store fails.
    pub async fn prove(&self, seq: u64, withheld: &[Column]) -> Result<Proven> {
        let sealed = self.newest_checkpoint().await?;
        let size = sealed.checkpoint.size;
        check_covered(&Wanted::These(vec![seq]), size)?;
        let rows = self.rows_in_order(&[seq]).await?;
        let lines = self.entry_lines(&Rows::new(&rows)?, withheld, size, &mut None).await?;
        let line = lines.first().ok_or_else(|| crate::error::Error::internal("no row was read"))?;
        let mut nodes = Nodes { tiles: HeldTiles::new(&self.log), size };
        let mut proof = Vec::new();
        for range in inclusion_ranges(seq, size)? {
            proof.push(nodes.range(range).await?);
        }
        let handed = self.handovers().await?;
        let extra = single::extra(line, handed.iter().map(|handed| handed.note.as_str()));
        let checkpoint = self.cosigned(&sealed).await?;
        let text = TlogProof { extra: Some(extra.into_bytes()), index: seq, proof, checkpoint }.to_string();
        Ok(Proven { seq, tree_size: size, text })
    }
}
