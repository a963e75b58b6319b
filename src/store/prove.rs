//! One row as a proof that stands alone, C2SP tlog-proof.
//!
//! In: the `seq` of a row, sealed columns to withhold. Out: the text of a `.tlog-proof` that leads from the row to the
//! newest checkpoint with its cosignatures, the row itself in `extra`. Invariant: a proof is made only of a row that
//! the checkpoint covers, and of tiles that were signed. It reads one page of one data file and a hash for each level
//! of the tree, so that it is quick whatever the size of the ledger. It verifies nothing: its reader does.

use super::Store;
use super::log::HeldTiles;
use super::pack::{Nodes, Wanted, check_covered};
use crate::error::Result;
use crate::event::{Column, Rows};
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

impl Store {
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
