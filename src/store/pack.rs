//! Writing an evidence pack: rows, proofs and signatures in files that a stranger checks offline.
//!
//! In: the `seq` of the rows, the newest checkpoint, the tiles. Out: a folder with the files of `ledger::pack`.
//! Invariants: rows stand in `seq` order; every row asked for is there, or there is no pack; what is withheld leaves
//! its digest and nothing else; what was erased is shown with the event that says so. The pack is made from the table,
//! and proven by tiles that were signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use ::parquet::arrow::ArrowWriter;
use arrow::record_batch::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use serde_json::Map;

use super::Store;
use super::handovers::Handed;
use super::log::{HeldTiles, Sealed};
use super::parquet;
use super::removals::Removals;
use super::snapshot::DataFile;
use crate::error::{Error, Result};
use crate::event::canonical::{disclosure, write_canonical};
use crate::event::columns::{SEALED, stored_schema};
use crate::event::erase::is_erased;
use crate::event::{Column, Rows};
use crate::ledger::hash::Hash;
use crate::ledger::note::{Note, Signer};
use crate::ledger::pack::format::{
    Base64Hash, CHECKPOINT, CONSISTENCY, Completeness, Consistency, ENTRIES, ERASURES, EntryLine, FORMAT, HANDOVERS,
    KEY, MANIFEST, Manifest, NODES, NodeLine, NoteLine, PARQUET, SIGNATURE, Selection, Tally, manifest_note,
};
use crate::ledger::tile::{Tile, node_in_tile};
use crate::ledger::tree::{Node, consistency_ranges, cover, range_hash};

/// Rows that are put in order at a time; bounds the memory of a pack.
const ROWS_AT_ONCE: usize = 100_000;
/// Rows that become text at a time.
const LINES_AT_ONCE: usize = 4_096;

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

    fn contains(&self, seq: u64) -> bool {
        match self {
            Self::Range(range) => range.contains(&seq),
            Self::These(seqs) => seqs.binary_search(&seq).is_ok(),
        }
    }

    /// These rows and others beside them, as ranges that ascend.
    fn with(&self, others: &BTreeSet<u64>) -> Vec<Range<u64>> {
        let mut all: Vec<Range<u64>> = others.iter().map(|seq| *seq..seq + 1).collect();
        match self {
            Self::Range(range) => all.push(range.clone()),
            Self::These(seqs) => all.extend(seqs.iter().map(|seq| *seq..seq + 1)),
        }
        all.sort_unstable_by_key(|range| range.start);
        all
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

/// What was written of the rows.
struct Written {
    entries: Out,
    copy: Out,
    /// The events that erased some of them.
    erased_by: BTreeSet<u64>,
    /// What was removed from the evidence, if anybody had to know.
    removals: Option<Removals>,
}

fn unwritable(name: &str, cause: std::io::Error) -> Error {
    Error::unavailable(format!("cannot write {name}")).because(cause)
}

impl Store {
    /// Writes the pack of `order` into the empty folder `folder`.
    ///
    /// # Errors
    /// Invalid when nothing is signed yet, a row is not covered by the newest checkpoint or was deleted with its month;
    /// Damaged when a row is missing, or was erased and no event says so; when the store or the folder fails.
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
            files: BTreeMap::new(),
        };
        let mut finish = |name: &str, mut out: Out| -> Result<()> {
            out.flush().map_err(|e| unwritable(name, e))?;
            manifest.files.insert(name.to_owned(), out.tally.fact());
            Ok(())
        };
        let texts = [(CHECKPOINT, self.cosigned(&sealed).await?), (KEY, format!("{}\n", signer.vkey()))];
        for (name, text) in texts {
            let mut out = Out::create(folder, name)?;
            out.text(&text)?;
            finish(name, out)?;
        }
        let handed = self.handovers().await?;
        if !handed.is_empty() {
            let mut out = Out::create(folder, HANDOVERS)?;
            for Handed { note, .. } in handed {
                out.text(&NoteLine { note }.to_line())?;
            }
            finish(HANDOVERS, out)?;
        }
        let written = self.write_rows(order, size, folder).await?;
        finish(ENTRIES, written.entries)?;
        finish(PARQUET, written.copy)?;
        let (out, erasures) = self.write_erasures(order, size, (written.erased_by, written.removals), folder).await?;
        finish(ERASURES, out)?;
        finish(NODES, self.write_nodes(order, size, &erasures, folder).await?)?;
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
    async fn write_rows(&self, order: &Order, size: u64, folder: &Path) -> Result<Written> {
        let mut entries = Out::create(folder, ENTRIES)?;
        let none = shown_columns(&RecordBatch::new_empty(stored_schema()), &order.withheld)?;
        let copy = Out::create(folder, PARQUET)?;
        let mut copy = ArrowWriter::try_new(copy, none.schema(), None).map_err(not_copied)?;
        let (mut erased_by, mut removals) = (BTreeSet::new(), None);
        for from in (0..order.rows.len()).step_by(ROWS_AT_ONCE) {
            let to = order.rows.len().min(from + ROWS_AT_ONCE);
            let rows = self.rows_in_order(&order.rows.slice(from, to)).await?;
            for at in (0..rows.num_rows()).step_by(LINES_AT_ONCE) {
                let part = rows.slice(at, LINES_AT_ONCE.min(rows.num_rows() - at));
                let lines = self.entry_lines(&Rows::new(&part)?, &order.withheld, size, &mut removals).await?;
                for line in lines {
                    entries.text(&line.to_line())?;
                    erased_by.extend(line.erased_by);
                }
            }
            copy.write(&shown_columns(&rows, &order.withheld)?).map_err(not_copied)?;
        }
        Ok(Written { entries, copy: copy.into_inner().map_err(not_copied)?, erased_by, removals })
    }

    /// Writes the entries of the events that erased rows of the pack and are no rows of it; gives their `seq`.
    async fn write_erasures(
        &self,
        order: &Order,
        size: u64,
        (mut wanted, mut removals): (BTreeSet<u64>, Option<Removals>),
        folder: &Path,
    ) -> Result<(Out, BTreeSet<u64>)> {
        let mut lines: BTreeMap<u64, EntryLine> = BTreeMap::new();
        // An erasure may have been erased by a later one, which is needed then as well.
        loop {
            let next = wanted.iter().filter(|seq| !order.rows.contains(**seq) && !lines.contains_key(*seq));
            let next: Vec<u64> = next.take(ROWS_AT_ONCE).copied().collect();
            if next.is_empty() {
                break;
            }
            let rows = self.rows_in_order(&next).await?;
            let found = self.entry_lines(&Rows::new(&rows)?, &order.withheld, size, &mut removals).await?;
            for line in found {
                wanted.extend(line.erased_by);
                lines.insert(line.seq, line);
            }
        }
        let mut out = Out::create(folder, ERASURES)?;
        for line in lines.values() {
            out.text(&line.to_line())?;
        }
        Ok((out, lines.into_keys().collect()))
    }

    /// The lines of these rows. What was removed from the evidence is looked up when the first erased row is met.
    pub(super) async fn entry_lines(
        &self,
        view: &Rows<'_>,
        withheld: &[Column],
        size: u64,
        removals: &mut Option<Removals>,
    ) -> Result<Vec<EntryLine>> {
        let mut lines = Vec::with_capacity(view.len());
        let mut entry = String::new();
        for row in 0..view.len() {
            write_canonical(view, row, &mut entry);
            let disclosures =
                SEALED.iter().filter(|(column, _)| !withheld.contains(column)).filter_map(|(column, _)| {
                    let (salt, value) = (view.salt(row)?, view.text(*column, row)?);
                    Some(BASE64URL.encode(disclosure(salt, *column, value)))
                });
            let disclosures = disclosures.collect();
            let seq = view.long(Column::Seq, row).unwrap_or_default() as u64;
            let erased_by = match is_erased(view, row) {
                true => Some(self.erased_by(view, row, size, removals).await?),
                false => None,
            };
            lines.push(EntryLine { seq, entry: entry.clone(), disclosures, erased_by });
        }
        Ok(lines)
    }

    /// The event that erased a row.
    async fn erased_by(&self, view: &Rows<'_>, row: usize, size: u64, removals: &mut Option<Removals>) -> Result<u64> {
        let seq = view.long(Column::Seq, row).unwrap_or_default();
        let known = match removals {
            Some(known) => known,
            None => removals.insert(self.removals(&self.table().await?).await?),
        };
        let by = view.text(Column::SubjectId, row).and_then(|subject| known.erasure_of(subject, seq));
        let by = by.ok_or_else(|| {
            Error::damaged(format!(
                "values of the row of seq {seq} are gone, and no `evidence.erased` event says why; \
                 `probity verify store` says more"
            ))
        })? as u64;
        if by >= size {
            return Err(Error::invalid(format!(
                "event {by}, which erased the row of seq {seq}, is not covered by the newest checkpoint of {size} \
                 events; fold first"
            )));
        }
        Ok(by)
    }

    /// These rows of the table, in the order given, which ascends.
    pub(super) async fn rows_in_order(&self, seqs: &[u64]) -> Result<RecordBatch> {
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
            return Ok(RecordBatch::new_empty(stored_schema()));
        };
        let (first, last) = (*first as i64, *last as i64);
        let is_range = seqs.len() as i64 == last - first + 1;
        let filter = match is_range {
            true => parquet::RowsWith::seq_range(first..last + 1),
            false => parquet::RowsWith::seqs(seqs.iter().map(|seq| *seq as i64).collect()),
        };
        let mut found: Vec<RecordBatch> = Vec::new();
        let state = self.table().await?;
        let mut files: Vec<&DataFile> = state.files.iter().filter(|f| f.seq.0 <= last && f.seq.1 >= first).collect();
        // Late events widen what a file may hold: where few rows are asked for, the narrowest has them most likely.
        files.sort_by_key(|file| file.seq.1 - file.seq.0);
        for file in files {
            if found.iter().map(RecordBatch::num_rows).sum::<usize>() == seqs.len() {
                break;
            }
            found.extend(parquet::matching(&self.location.objects, file, &filter).await?);
        }
        let rows = parquet::sort_by_seq(&found)?;
        let view = Rows::new(&rows)?;
        let at = (0..seqs.len())
            .find(|row| *row >= view.len() || view.long(Column::Seq, *row) != seqs.get(*row).map(|seq| *seq as i64));
        match at {
            None if view.len() == seqs.len() => Ok(rows),
            _ => Err(self.why_missing(at.map_or(last as u64, |row| seqs[row])).await),
        }
    }

    /// What to say of a row that is not there once.
    async fn why_missing(&self, seq: u64) -> Error {
        let removals = match self.table().await {
            Ok(state) => self.removals(&state).await,
            Err(e) => Err(e),
        };
        match removals.as_ref().map(|removals| removals.retired_with(seq)) {
            Ok(Some(retired)) => Error::invalid(format!(
                "the row of seq {seq} was deleted with the month {}, as event {} says; ask for a range without it",
                retired.month, retired.stated_by
            )),
            _ => Error::damaged(format!(
                "the table lacks the row of seq {seq}, or holds it twice; `probity verify store` says more"
            )),
        }
    }

    /// Writes the subtrees that complete the tree over the rows and the erasures beside them.
    async fn write_nodes(&self, order: &Order, size: u64, erasures: &BTreeSet<u64>, folder: &Path) -> Result<Out> {
        let mut needed = Vec::new();
        let mut next = 0;
        for leaves in order.rows.with(erasures) {
            needed.extend(cover(next, leaves.start));
            next = leaves.end;
        }
        needed.extend(cover(next, size));
        let mut out = Out::create(folder, NODES)?;
        let mut nodes = Nodes { tiles: HeldTiles::new(&self.log), size };
        for node in needed {
            let hash = Base64Hash(nodes.hash(node).await?);
            out.text(&NodeLine { level: node.level, index: node.index, hash }.to_line())?;
        }
        Ok(out)
    }

    /// The proof that the tree of `size` leaves grew out of its first `old` ones.
    pub(super) async fn growth(&self, old: u64, size: u64) -> Result<Consistency> {
        let mut nodes = Nodes { tiles: HeldTiles::new(&self.log), size };
        let mut proof = Vec::new();
        for range in consistency_ranges(old, size)? {
            proof.push(Base64Hash(nodes.range(range).await?));
        }
        Ok(Consistency { old_size: old, old_root: Base64Hash(nodes.range(0..old).await?), proof })
    }
}

pub(super) fn as_text(note: &Bytes) -> Result<String> {
    String::from_utf8(note.to_vec()).map_err(|e| Error::damaged("the checkpoint is no text").because(e))
}

fn not_copied(cause: ::parquet::errors::ParquetError) -> Error {
    Error::unavailable(format!("cannot write {PARQUET}")).because(cause)
}

pub(super) fn check_covered(rows: &Wanted, size: u64) -> Result<()> {
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
pub(super) struct Nodes<'a> {
    pub(super) tiles: HeldTiles<'a>,
    pub(super) size: u64,
}

impl Nodes<'_> {
    async fn hash(&mut self, node: Node) -> Result<Hash> {
        let (tile, _) = Tile::holding(node, self.size);
        let bytes = self.tiles.needed(tile).await?;
        node_in_tile(node, &tile, &bytes)
    }

    pub(super) async fn range(&mut self, range: Range<u64>) -> Result<Hash> {
        let mut hashes = Vec::new();
        for node in cover(range.start, range.end) {
            hashes.push(self.hash(node).await?);
        }
        range_hash(range, &hashes)
    }
}
