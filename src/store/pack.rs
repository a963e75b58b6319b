//! Writing an evidence pack: rows, proofs and signatures in files that a stranger checks offline.
//!
//! In: the `seq` of the rows, the newest checkpoint, the tiles. Out: a folder with the files of `ledger::pack`.
//! Invariants: rows stand in `seq` order; every row asked for is there, or there is no pack; what is withheld leaves
//! its digest and nothing else. The pack is made from the table, and proven by tiles that were signed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use ::parquet::arrow::ArrowWriter;
use arrow::record_batch::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::Map;

use super::Store;
use super::log::{HeldTiles, Sealed};
use super::parquet;
use crate::error::{Error, Result};
use crate::event::canonical::{disclosure, write_canonical};
use crate::event::columns::{SEALED, stored_schema};
use crate::event::{Column, Rows};
use crate::ledger::hash::Hash;
use crate::ledger::note::{Note, Signer};
use crate::ledger::pack::format::{
    Base64Hash, CHECKPOINT, CONSISTENCY, Completeness, Consistency, ENTRIES, ERASURES, EntryLine, FORMAT, KEY,
    MANIFEST, Manifest, NODES, NodeLine, PARQUET, SIGNATURE, Selection, Tally, manifest_note,
};
use crate::ledger::proof::completing_nodes;
use crate::ledger::tile::{Tile, node_in_tile};
use crate::ledger::tree::{Node, consistency_ranges, cover, range_hash};

/// Rows that are put in order at a time; bounds the memory of a pack.
const ROWS_AT_ONCE: usize = 100_000;

/// What a pack is to hold.
#[derive(Debug, Clone)]
pub struct Order {
    /// The rows, ascending.
    pub rows: Wanted,
    /// How the manifest says which rows were asked for.
    pub selection: Selection,
    /// The point of the evidence that they were taken from.
    pub as_of: Map<String, serde_json::Value>,
    /// Sealed columns whose values stay out.
    pub withheld: Vec<Column>,
    /// Size of a checkpoint that the auditor holds.
    pub held: Option<u64>,
}

/// Rows by `seq`.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// All of a range.
    Range(Range<u64>),
    /// These, ascending and each once.
    These(Vec<u64>),
}

impl Wanted {
    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => (range.end - range.start) as usize,
            Self::These(seqs) => seqs.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn slice(&self, from: usize, to: usize) -> Vec<u64> {
        match self {
            Self::Range(range) => (range.start + from as u64..range.start + to as u64).collect(),
            Self::These(seqs) => seqs[from..to].to_vec(),
        }
    }
}

/// A file of the pack that is being written, hashed on the way.
struct Out {
    file: BufWriter<File>,
    tally: Tally,
}

impl Out {
    fn create(folder: &Path, name: &str) -> Result<Self> {
        let file = File::create(folder.join(name)).map_err(|e| unwritable(name, e))?;
        Ok(Self { file: BufWriter::new(file), tally: Tally::default() })
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.write_all(text.as_bytes()).map_err(|e| unwritable("a file of the pack", e))
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.tally.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn unwritable(name: &str, cause: std::io::Error) -> Error {
    Error::unavailable(format!("cannot write {name}")).because(cause)
}

impl Store {
    /// Writes the pack of `order` into the empty folder `folder`.
    ///
    /// # Errors
    /// Invalid when nothing is signed yet or a row is not covered by the newest checkpoint; Damaged when a row is
    /// missing; when the store or the folder fails.
    pub async fn pack(&self, order: &Order, folder: &Path, signer: &Signer) -> Result<Manifest> {
        let sealed = self.newest_checkpoint().await?;
        let size = sealed.checkpoint.size;
        check_covered(&order.rows, size)?;
        let mut manifest = Manifest {
            format: FORMAT.to_owned(),
            origin: sealed.checkpoint.origin.clone(),
            tree_size: size,
            root: Base64Hash(sealed.checkpoint.root),
            selection: order.selection.clone(),
            as_of: order.as_of.clone(),
            rows: order.rows.len() as u64,
            completeness: match order.rows {
                Wanted::Range(_) => Completeness::Proven,
                Wanted::These(_) => Completeness::NotProven,
            },
            files: std::collections::BTreeMap::new(),
        };
        let mut finish = |name: &str, mut out: Out| -> Result<()> {
            out.flush().map_err(|e| unwritable(name, e))?;
            manifest.files.insert(name.to_owned(), out.tally.fact());
            Ok(())
        };
        let texts =
            [(CHECKPOINT, as_text(&sealed.note)?), (KEY, format!("{}\n", signer.vkey())), (ERASURES, String::new())];
        for (name, text) in texts {
            let mut out = Out::create(folder, name)?;
            out.text(&text)?;
            finish(name, out)?;
        }
        let (entries, copy) = self.write_rows(order, folder).await?;
        finish(ENTRIES, entries)?;
        finish(PARQUET, copy)?;
        finish(NODES, self.write_nodes(order, size, folder).await?)?;
        if let Some(held) = order.held {
            let mut out = Out::create(folder, CONSISTENCY)?;
            out.text(&self.growth(held, size).await?.to_text())?;
            finish(CONSISTENCY, out)?;
        }
        let text = manifest.to_text();
        let note = Note::signed(&manifest_note(text.as_bytes()), signer)?;
        for (name, text) in [(MANIFEST, text), (SIGNATURE, note.to_string())] {
            std::fs::write(folder.join(name), text).map_err(|e| unwritable(name, e))?;
        }
        Ok(manifest)
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// Invalid when nothing was signed yet.
    pub async fn newest_checkpoint(&self) -> Result<Sealed> {
        self.log.newest().await?.ok_or_else(|| {
            Error::invalid("nothing of this ledger is signed yet; give it a key with `probity init`, then fold")
        })
    }

    /// Writes entries and the copy for analysis.
    async fn write_rows(&self, order: &Order, folder: &Path) -> Result<(Out, Out)> {
        let mut entries = Out::create(folder, ENTRIES)?;
        let none = shown_columns(&RecordBatch::new_empty(stored_schema()), &order.withheld)?;
        let copy = Out::create(folder, PARQUET)?;
        let mut copy = ArrowWriter::try_new(copy, none.schema(), None).map_err(not_copied)?;
        for from in (0..order.rows.len()).step_by(ROWS_AT_ONCE) {
            let to = order.rows.len().min(from + ROWS_AT_ONCE);
            let rows = self.rows_in_order(&order.rows.slice(from, to)).await?;
            write_entries(&rows, &order.withheld, &mut entries)?;
            copy.write(&shown_columns(&rows, &order.withheld)?).map_err(not_copied)?;
        }
        Ok((entries, copy.into_inner().map_err(not_copied)?))
    }

    /// These rows of the table, in the order given, which ascends.
    async fn rows_in_order(&self, seqs: &[u64]) -> Result<RecordBatch> {
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
            return Ok(RecordBatch::new_empty(stored_schema()));
        };
        let (first, last) = (*first as i64, *last as i64);
        let all = Column::all();
        let is_range = seqs.len() as i64 == last - first + 1;
        let filter = match is_range {
            true => parquet::RowsWith::seq_range(first..last + 1),
            false => parquet::RowsWith::seqs(seqs.iter().map(|seq| *seq as i64).collect()),
        };
        let mut found = Vec::new();
        for file in self.table().await?.files.iter().filter(|f| f.seq.0 <= last && f.seq.1 >= first) {
            let rows = parquet::scan(&self.location.objects, file, &all, Some(filter.clone())).await?;
            found.extend(rows.try_filter(|b| std::future::ready(b.num_rows() > 0)).try_collect::<Vec<_>>().await?);
        }
        let rows = parquet::sort_by_seq(&found)?;
        let view = Rows::new(&rows)?;
        let at = (0..seqs.len())
            .find(|row| *row >= view.len() || view.long(Column::Seq, *row) != seqs.get(*row).map(|seq| *seq as i64));
        match at {
            None if view.len() == seqs.len() => Ok(rows),
            _ => Err(Error::damaged(format!(
                "the table lacks the row of seq {}, or holds it twice; `probity verify store` says more",
                at.map_or(last, |row| seqs[row] as i64)
            ))),
        }
    }

    /// Writes the subtrees that complete the tree over the rows.
    async fn write_nodes(&self, order: &Order, size: u64, folder: &Path) -> Result<Out> {
        let needed = match &order.rows {
            Wanted::Range(range) => [cover(0, range.start), cover(range.end, size)].concat(),
            Wanted::These(seqs) => completing_nodes(size, seqs),
        };
        let mut out = Out::create(folder, NODES)?;
        let mut nodes = Nodes { tiles: HeldTiles::new(&self.log), size };
        for node in needed {
            let hash = Base64Hash(nodes.hash(node).await?);
            out.text(&NodeLine { level: node.level, index: node.index, hash }.to_line())?;
        }
        Ok(out)
    }

    /// The proof that the tree of `size` leaves grew out of its first `old` ones.
    async fn growth(&self, old: u64, size: u64) -> Result<Consistency> {
        let mut nodes = Nodes { tiles: HeldTiles::new(&self.log), size };
        let mut proof = Vec::new();
        for range in consistency_ranges(old, size)? {
            proof.push(Base64Hash(nodes.range(range).await?));
        }
        Ok(Consistency { old_size: old, old_root: Base64Hash(nodes.range(0..old).await?), proof })
    }
}

fn as_text(note: &Bytes) -> Result<String> {
    String::from_utf8(note.to_vec()).map_err(|e| Error::damaged("the checkpoint is no text").because(e))
}

fn not_copied(cause: ::parquet::errors::ParquetError) -> Error {
    Error::unavailable(format!("cannot write {PARQUET}")).because(cause)
}

fn check_covered(rows: &Wanted, size: u64) -> Result<()> {
    let end = match rows {
        Wanted::Range(range) => range.end,
        Wanted::These(seqs) => seqs.last().map_or(0, |last| last + 1),
    };
    if end > size {
        return Err(Error::invalid(format!(
            "the newest checkpoint covers {size} events, and rows up to seq {} are asked for; fold first",
            end - 1
        )));
    }
    Ok(())
}

fn write_entries(rows: &RecordBatch, withheld: &[Column], out: &mut Out) -> Result<()> {
    let view = Rows::new(rows)?;
    let mut entry = String::new();
    for row in 0..view.len() {
        write_canonical(&view, row, &mut entry);
        let disclosures = SEALED.iter().filter(|(column, _)| !withheld.contains(column)).filter_map(|(column, _)| {
            let (salt, value) = (view.salt(row)?, view.text(*column, row)?);
            Some(BASE64URL.encode(disclosure(salt, *column, value)))
        });
        let seq = view.long(Column::Seq, row).unwrap_or_default() as u64;
        let line = EntryLine { seq, entry: entry.clone(), disclosures: disclosures.collect(), erased_by: None };
        out.text(&line.to_line())?;
    }
    Ok(())
}

/// The columns of the copy for analysis: no salt, no digest, nothing withheld.
fn shown_columns(rows: &RecordBatch, withheld: &[Column]) -> Result<RecordBatch> {
    let hidden = |name: &str| {
        name == Column::Salt.name()
            || SEALED
                .iter()
                .any(|(value, kept)| kept.name() == name || value.name() == name && withheld.contains(value))
    };
    let shown: Vec<usize> =
        rows.schema().fields().iter().enumerate().filter(|(_, f)| !hidden(f.name())).map(|(i, _)| i).collect();
    rows.project(&shown).map_err(|e| Error::internal("cannot select the columns of a pack").because(e))
}

/// Nodes of the tree of `size` leaves.
struct Nodes<'a> {
    tiles: HeldTiles<'a>,
    size: u64,
}

impl Nodes<'_> {
    async fn hash(&mut self, node: Node) -> Result<Hash> {
        let (tile, _) = Tile::holding(node, self.size);
        let bytes = self.tiles.get(tile).await?.ok_or_else(|| {
            Error::damaged(format!(
                "tile {} of the ledger is missing; make it again with `probity maintain tiles`",
                tile.path()
            ))
        })?;
        node_in_tile(node, &tile, &bytes)
    }

    async fn range(&mut self, range: Range<u64>) -> Result<Hash> {
        let mut hashes = Vec::new();
        for node in cover(range.start, range.end) {
            hashes.push(self.hash(node).await?);
        }
        range_hash(range, &hashes)
    }
}
