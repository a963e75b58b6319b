//! An evidence pack as a ground for a review: its entries become rows again, over which the same questions are asked.
//!
//! In: a pack, the log's key. Out: rows with the leaf hashes of their entries. Invariants: nothing is read before the
//! pack is verified; a leaf hash is that of the entry's text and never of the rows that were made of it; what
//! is withheld is not taken for erased. It knows no store.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use object_store::memory::InMemory;

use crate::auditor::{Asked, each_file, verify};
use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::event::batch::{month_of, null_column};
use crate::event::columns::{SEALED, SUPPLIED, stored_schema};
use crate::event::draft::Input;
use crate::event::{BatchBuilder, Cell, Column, Draft, Leaf, parse};
use crate::ledger::entry::{Entry, Value};
use crate::ledger::hash::{Hash, hex};
use crate::ledger::pack::format::{CONSISTENCY, Consistency, ENTRIES, EntryLine, MANIFEST, Manifest, Selection};
use crate::ledger::proof::verify_consistency;
use crate::ledger::tree::Frontier;
use crate::store::Snapshot;
use crate::store::index::Indexes;

/// Bytes of a small file of a pack; a larger one did not pass the verification.
const SMALL_BYTES: u64 = 4 * 1024 * 1024;

/// A pack that was verified.
#[derive(Debug)]
pub struct Packed {
    /// The rows in the order of the ledger, with the columns of the evidence.
    rows: RecordBatch,
    /// Their places in the ledger.
    seqs: Vec<i64>,
    /// Their leaf hashes.
    leaves: Vec<Leaf>,
    /// When they were recorded.
    recorded: Vec<Micros>,
    /// Rows that were erased, each with the event that says so.
    erased: BTreeMap<i64, i64>,
    /// What the pack says of itself.
    manifest: Manifest,
    /// The proof from an earlier checkpoint.
    consistency: Option<Consistency>,
    /// The verdict on the pack.
    pub sentence: String,
}

impl Packed {
    /// Reads and verifies the pack at `path` by the log's key, and by a trust policy where there is one.
    ///
    /// # Errors
    /// Damaged when it does not verify; when it cannot be read.
    pub fn read(path: &Path, key: &OsStr, trust: Option<&Path>) -> Result<Self> {
        let verdict = verify(&Asked { pack: path, key, trust, held: None, receipt: None })?;
        if !verdict.is_ok {
            return Err(Error::damaged(format!("the pack is {}", verdict.sentence())));
        }
        let mut gathered = Gathered::default();
        each_file(path, &mut |name, content| gathered.take(name, content))?;
        gathered.finish(verdict.sentence())
    }

    /// The evidence that the pack holds of the first `size` events of the ledger.
    ///
    /// # Errors
    /// When its rows have another form, which no verified pack's have.
    pub fn snapshot(&self, size: i64) -> Result<Snapshot> {
        let held = self.rows.slice(0, self.seqs.partition_point(|seq| *seq < size));
        Ok(Snapshot {
            objects: Arc::new(InMemory::new()),
            projection: object_store::path::Path::from("projection"),
            indexes: Indexes::new(object_store::path::Path::from("index")),
            files: Vec::new(),
            journal: vec![held],
            folded: 0,
            size,
            version: -1,
        })
    }

    /// When the last of the first `size` events that it holds was recorded.
    pub fn recorded_at(&self, size: i64) -> Micros {
        let held = self.seqs.partition_point(|seq| *seq < size);
        held.checked_sub(1).and_then(|last| self.recorded.get(last)).copied().unwrap_or(0)
    }

    /// The leaf hashes of `seqs`.
    ///
    /// # Errors
    /// Damaged when the pack lacks one.
    pub fn leaves(&self, seqs: &[i64]) -> Result<Vec<Leaf>> {
        let leaf = |seq: &i64| match self.seqs.binary_search(seq) {
            Ok(place) => Ok(self.leaves[place]),
            Err(_) => Err(Error::damaged(format!("the pack lacks event {seq}; export it with the others"))),
        };
        seqs.iter().map(leaf).collect()
    }

    /// Rows that were erased, each with the event that says so.
    pub fn erased(&self) -> &BTreeMap<i64, i64> {
        &self.erased
    }

    /// Events of the ledger that the pack was made of.
    pub fn size(&self) -> i64 {
        i64::try_from(self.manifest.tree_size).unwrap_or(i64::MAX)
    }

    /// Whether it holds every event before the `end`th, which its verification has shown.
    pub fn is_whole(&self, end: i64) -> bool {
        match self.manifest.selection {
            Selection::Range { from_seq, to_seq } => from_seq == 0 && i64::try_from(to_seq).is_ok_and(|to| to >= end),
            Selection::Query { .. } => false,
        }
    }

    /// Whether the ledger of the pack grew out of one of `size` events with that root, in hexadecimal digits; none where
    /// the pack does not tell.
    pub fn grew_from(&self, size: u64, root: &str) -> Option<bool> {
        let is_root = |hash: &Hash| hex(hash) == root;
        if size == self.manifest.tree_size {
            return Some(is_root(&self.manifest.root.0));
        }
        if self.is_whole(i64::try_from(size).ok()?) {
            let mut tree = Frontier::default();
            tree.append_all(&self.leaves[..usize::try_from(size).ok()?]);
            return Some(is_root(&tree.root()));
        }
        let known = self.consistency.as_ref().filter(|known| known.old_size == size)?;
        let proof: Vec<Hash> = known.proof.iter().map(|hash| hash.0).collect();
        let (new, new_root) = (self.manifest.tree_size, self.manifest.root.0);
        let is_proven = verify_consistency(size, &known.old_root.0, new, &new_root, &proof).is_ok();
        Some(is_proven && is_root(&known.old_root.0))
    }
}

/// What is read of a pack.
#[derive(Default)]
struct Gathered {
    builder: BatchBuilder,
    seqs: Vec<i64>,
    leaves: Vec<Leaf>,
    recorded: Vec<Micros>,
    occurred: Vec<Micros>,
    /// Digests of the sealed values that are not disclosed, by the place of the column.
    digests: BTreeMap<usize, Vec<(usize, String)>>,
    erased: BTreeMap<i64, i64>,
    manifest: Option<Manifest>,
    consistency: Option<Consistency>,
}

impl Gathered {
    fn take(&mut self, name: &str, content: &mut dyn BufRead) -> Result<()> {
        let unreadable = |e: std::io::Error| Error::unavailable(format!("cannot read {name}")).because(e);
        let mut bytes = Vec::new();
        match name {
            ENTRIES => loop {
                bytes.clear();
                if content.read_until(b'\n', &mut bytes).map_err(unreadable)? == 0 {
                    return Ok(());
                }
                self.add(bytes.strip_suffix(b"\n").unwrap_or(&bytes))?;
            },
            MANIFEST | CONSISTENCY => {
                content.take(SMALL_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
                if name == MANIFEST {
                    self.manifest = Some(Manifest::parse(&bytes)?);
                } else {
                    self.consistency = Some(Consistency::parse(&bytes)?);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, line: &[u8]) -> Result<()> {
        let line = EntryLine::parse(line)?;
        let entry = Entry::parse(&line.entry)?;
        let place = self.seqs.len();
        let mut draft = Draft::default();
        for (name, value) in entry.members() {
            let Some(column) = Column::named(name) else { continue };
            if (column as usize) < SUPPLIED {
                set(&mut draft, column, value)?;
            } else if let Some((sealed, kept)) = SEALED.iter().find(|(_, kept)| *kept == column) {
                let is_shown = line.disclosures.iter().any(|shown| shows(&entry, shown, *sealed, &mut draft));
                // What is withheld is somewhere else; what was erased is nowhere.
                let is_lost = !is_shown && line.erased_by.is_some();
                if let (true, Value::Text(digest)) = (is_lost, value) {
                    self.digests.entry(*kept as usize).or_default().push((place, digest.clone().into_owned()));
                }
            }
        }
        let instant = |column: Column| entry.text(column.name()).and_then(|text| parse::instant(text).ok());
        self.recorded.push(instant(Column::RecordedAt).unwrap_or_default());
        self.occurred.push(instant(Column::OccurredAt).unwrap_or_default());
        self.seqs.push(i64::try_from(entry.seq()).unwrap_or(i64::MAX));
        self.leaves.push(entry.leaf());
        if let Some(erased_by) = line.erased_by {
            self.erased.insert(self.seqs[place], i64::try_from(erased_by).unwrap_or(i64::MAX));
        }
        self.builder.append(&draft);
        Ok(())
    }

    fn finish(mut self, sentence: String) -> Result<Packed> {
        let manifest = self.manifest.take().ok_or_else(|| Error::damaged("the pack has no manifest"))?;
        let len = self.seqs.len();
        let supplied = self.builder.finish();
        let schema = stored_schema();
        let months = self.occurred.iter().map(|at| month_of(*at));
        let mut columns: Vec<ArrayRef> = supplied.columns().to_vec();
        for (place, field) in schema.fields().iter().enumerate().skip(SUPPLIED) {
            let column: ArrayRef = if place == Column::Seq as usize {
                Arc::new(Int64Array::from(self.seqs.clone()))
            } else if place == Column::RecordedAt as usize {
                Arc::new(TimestampMicrosecondArray::from(self.recorded.clone()).with_timezone("UTC"))
            } else if place == Column::OccurredMonth as usize {
                Arc::new(StringViewArray::from_iter_values(months.clone()))
            } else {
                match self.digests.remove(&place) {
                    Some(digests) => spread(digests, len),
                    None => null_column(field.data_type(), len),
                }
            };
            columns.push(column);
        }
        let rows = RecordBatch::try_new(schema, columns)
            .map_err(|e| Error::internal("the entries of a pack make no rows").because(e))?;
        let Self { seqs, leaves, recorded, erased, consistency, .. } = self;
        Ok(Packed { rows, seqs, leaves, recorded, erased, manifest, consistency, sentence })
    }
}

/// Takes the value of `sealed` over, where `disclosure` shows it.
fn shows(entry: &Entry<'_>, disclosure: &str, sealed: Column, draft: &mut Draft<'static>) -> bool {
    match entry.disclosed(disclosure) {
        Ok(shown) if shown.name == sealed.name() => {
            draft.set_text(sealed, shown.value);
            true
        }
        _ => false,
    }
}

/// A column of `len` texts of which a few are there.
fn spread(texts: Vec<(usize, String)>, len: usize) -> ArrayRef {
    let mut all: Vec<Option<String>> = vec![None; len];
    for (place, text) in texts {
        all[place] = Some(text);
    }
    Arc::new(StringViewArray::from_iter(all))
}

/// Sets `column` to what an entry says.
fn set(draft: &mut Draft<'static>, column: Column, value: &Value<'_>) -> Result<()> {
    let wrong = |why: String| Error::damaged(format!("an entry of the pack has a column of another form: {why}"));
    match value {
        Value::Text(text) => draft.read(column, text.clone().into_owned().into()).map_err(wrong)?,
        Value::Integer(number) => draft.set(column, Cell::Integer(*number)),
        Value::Inputs(inputs) => draft.set(column, Cell::Inputs(inputs.iter().map(|parts| input(parts)).collect())),
        Value::Boolean(_) => return Err(wrong(format!("`{}` is no truth value", column.name()))),
    }
    Ok(())
}

fn input(parts: &[(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)]) -> Input {
    let part = |name: &str| parts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone().into_owned());
    Input {
        system: part("system"),
        record_type: part("record_type"),
        record_id: part("record_id"),
        field: part("field"),
    }
}
