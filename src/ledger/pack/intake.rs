//! Reading a pack: its files in any order, each once, from front to back.
//!
//! In: the files of a pack as readers. Out: a [`Pack`]: length and hash of each file, the small files whole, and of
//! each row what the checks need. Invariant: memory grows by 40 bytes a row and not by its text, so that a
//! pack of a million rows streams out of its archive; what is wrong with a line is noted while the line is at hand.
//! Opens nothing, and decides nothing: that a signature or a root is right is for the checks.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use super::format::{
    CHECKPOINT, CONSISTENCY, ENTRIES, ERASURES, EntryLine, FileFact, HANDOVERS, MANIFEST, NODES, NodeLine, NoteLine,
    SIGNATURE, Tally,
};
use super::verdict::{Findings, Values};
use crate::error::{Error, Result};
use crate::ledger::entry::Entry;
use crate::ledger::handover::{self, Handover};
use crate::ledger::hash::{Hash, leaf_hash};
use crate::ledger::tree::Node;

/// Files of a pack: a pack has ten, and an archive of a million names is no pack.
const FILES: usize = 64;
/// Bytes of a file that is read whole; the manifest, with the parameters of its query, is the largest.
const WHOLE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of a line: a record of 64 KiB, or a policy of 256 KiB, escaped and in base64, fits many times.
const LINE_BYTES: u64 = 16 * 1024 * 1024;
/// The type of the event that explains an erasure.
const ERASED_TYPE: &str = "evidence.erased";

/// What was read of a pack; give it to [`verify`](super::verify).
#[derive(Debug)]
pub struct Pack {
    /// Length and hash of every file.
    pub(super) files: BTreeMap<String, FileFact>,
    /// The files that are read whole, as far as they are there.
    pub(super) whole: BTreeMap<String, Vec<u8>>,
    /// What cannot be part of a pack.
    pub(super) strange: Findings,
    /// `entries.ndjson`.
    pub(super) rows: Entries,
    /// `erasures.ndjson`.
    pub(super) erasures: Entries,
    /// `nodes.ndjson`.
    pub(super) nodes: Nodes,
    /// `handovers.ndjson`.
    pub(super) handovers: Handovers,
}

impl Default for Pack {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            whole: BTreeMap::new(),
            strange: Findings::default(),
            rows: Entries::of(ENTRIES),
            erasures: Entries::of(ERASURES),
            nodes: Nodes::default(),
            handovers: Handovers::default(),
        }
    }
}

impl Pack {
    /// Reads the file `name` of the pack to its end. Whatever is wrong with it is kept for the verdict.
    ///
    /// # Errors
    /// `Unavailable` when `content` fails to give its bytes.
    pub fn add(&mut self, name: &str, content: impl BufRead) -> Result<()> {
        if self.files.contains_key(name) {
            self.refuse(name, "stands twice in the pack; readers differ in which one they take");
            return Ok(());
        }
        if self.files.len() >= FILES {
            self.refuse(name, "is one file too many for a pack");
            return Ok(());
        }
        let fact =
            self.read(name, content).map_err(|e| Error::unavailable(format!("cannot read {name}")).because(e))?;
        self.files.insert(name.to_owned(), fact);
        Ok(())
    }

    /// Notes that the pack holds something under `name` that is no file of a pack, such as a link.
    pub fn refuse(&mut self, name: &str, reason: &str) {
        self.strange.file(name, reason);
    }

    /// The handovers that it holds, each signed by both of its keys; whether they lead from a key that somebody
    /// trusts is not said by that.
    pub fn handovers(&self) -> &[Handover] {
        &self.handovers.list
    }

    fn read(&mut self, name: &str, content: impl BufRead) -> io::Result<FileFact> {
        let mut source = Source { content, tally: Tally::default() };
        let torn = match name {
            MANIFEST | SIGNATURE | CHECKPOINT | CONSISTENCY => {
                let bytes = source.whole()?;
                if bytes.len() as u64 == WHOLE_BYTES {
                    self.refuse(name, "is longer than 4 MiB; the rest was not read");
                }
                self.whole.insert(name.to_owned(), bytes);
                None
            }
            ENTRIES => source.each_line(|number, line| self.rows.take(number, line))?,
            ERASURES => source.each_line(|number, line| self.erasures.take(number, line))?,
            NODES => source.each_line(|number, line| self.nodes.take(number, line))?,
            HANDOVERS => source.each_line(|number, line| self.handovers.take(number, line))?,
            _ => None,
        };
        if let Some((number, reason)) = torn {
            self.strange.line(name, number, reason);
        }
        source.rest()
    }
}

/// The rows of `entries.ndjson` or `erasures.ndjson`, and what is wrong with single ones.
#[derive(Debug)]
pub(super) struct Entries {
    /// The file.
    pub file: &'static str,
    /// Its lines.
    pub lines: u64,
    /// Leaf hashes by position, in the order of the file.
    pub leaves: Vec<(u64, Hash)>,
    /// Rows that are said to be erased.
    pub erased: Vec<ErasedRow>,
    /// The `evidence.erased` events among the rows, with the subject that each names.
    pub erasing: BTreeMap<u64, Option<String>>,
    /// The states of sealed values.
    pub values: Values,
    /// Lines that are not what they should be.
    pub form: Findings,
    /// Lines whose `seq` does not ascend.
    pub order: Findings,
    /// Disclosures that do not belong to their entry.
    pub disclosures: Findings,
    last: Option<u64>,
}

/// A row that is said to be erased.
#[derive(Debug)]
pub(super) struct ErasedRow {
    /// Its line.
    pub line: u64,
    /// Its position.
    pub seq: u64,
    /// The event that is said to have erased it.
    pub erased_by: u64,
    /// The person whom it concerns.
    pub subject_id: Option<String>,
    /// Whether it discloses a value all the same.
    pub is_disclosed: bool,
}

impl Entries {
    fn of(file: &'static str) -> Self {
        Self {
            file,
            lines: 0,
            leaves: Vec::new(),
            erased: Vec::new(),
            erasing: BTreeMap::new(),
            values: Values::default(),
            form: Findings::default(),
            order: Findings::default(),
            disclosures: Findings::default(),
            last: None,
        }
    }

    fn take(&mut self, number: u64, text: &[u8]) {
        self.lines += 1;
        let line = match EntryLine::parse(text) {
            Ok(line) => line,
            Err(e) => return self.form.line(self.file, number, e.message()),
        };
        if let Some(last) = self.last.filter(|last| line.seq <= *last) {
            self.order.row(self.file, number, line.seq, format!("does not ascend: the line before has seq {last}"));
        }
        self.last = Some(line.seq);
        // The ledger hashed these bytes, whether they are canonical or not.
        self.leaves.push((line.seq, leaf_hash(line.entry.as_bytes())));
        match Entry::parse(&line.entry) {
            Err(e) => self.form.row(self.file, number, line.seq, e.message()),
            Ok(entry) if entry.seq() != line.seq => {
                self.form.row(self.file, number, line.seq, format!("its entry carries seq {}", entry.seq()));
            }
            Ok(entry) => self.take_entry(number, &line, &entry),
        }
    }

    fn take_entry(&mut self, number: u64, line: &EntryLine, entry: &Entry<'_>) {
        let subject_id = || entry.text("subject_id").map(str::to_owned);
        if entry.text("event_type") == Some(ERASED_TYPE) {
            self.erasing.insert(line.seq, subject_id());
        }
        let disclosed = self.take_disclosures(number, line, entry);
        let sealed = entry.members().filter(|(name, _)| name.ends_with("_digest")).count() as u64;
        let Some(erased_by) = line.erased_by else {
            self.values.disclosed += disclosed;
            self.values.withheld += sealed.saturating_sub(disclosed);
            return;
        };
        self.values.erased += sealed;
        let is_disclosed = !line.disclosures.is_empty();
        self.erased.push(ErasedRow { line: number, seq: line.seq, erased_by, subject_id: subject_id(), is_disclosed });
    }

    /// How many values the line discloses.
    fn take_disclosures(&mut self, number: u64, line: &EntryLine, entry: &Entry<'_>) -> u64 {
        let mut names: Vec<String> = Vec::new();
        for disclosure in &line.disclosures {
            let wrong = match entry.disclosed(disclosure) {
                Err(e) => e.message().to_owned(),
                Ok(told) if names.contains(&told.name) => format!("discloses `{}` twice", told.name),
                Ok(told) => {
                    names.push(told.name);
                    continue;
                }
            };
            self.disclosures.row(self.file, number, line.seq, wrong);
        }
        names.len() as u64
    }
}

/// The subtrees of `nodes.ndjson`, and what is wrong with single ones.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Their hashes.
    pub hashes: BTreeMap<Node, Hash>,
    /// Lines that are not what they should be.
    pub form: Findings,
}

impl Nodes {
    fn take(&mut self, number: u64, text: &[u8]) {
        match NodeLine::parse(text) {
            Err(e) => self.form.line(NODES, number, e.message()),
            Ok(NodeLine { level, index, hash }) => {
                if self.hashes.insert(Node { level, index }, hash.0).is_some() {
                    self.form.line(NODES, number, format!("repeats the node of level {level} and index {index}"));
                }
            }
        }
    }
}

/// The handovers of `handovers.ndjson`, and what is wrong with single ones.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    /// Those that both of their keys signed, in the order of the file.
    pub list: Vec<Handover>,
    /// Lines that are not what they should be.
    pub form: Findings,
}

impl Handovers {
    fn take(&mut self, number: u64, text: &[u8]) {
        if self.list.len() >= handover::HANDOVERS {
            return self.form.line(HANDOVERS, number, "is one too many; a log hands over a thousand times at most");
        }
        match NoteLine::parse(text).and_then(|line| Handover::open(line.note.as_bytes())) {
            Ok(handover) => self.list.push(handover),
            Err(e) => self.form.line(HANDOVERS, number, e.message()),
        }
    }
}

/// A file while it is read: all its bytes are counted and hashed.
struct Source<R> {
    content: R,
    tally: Tally,
}

impl<R: BufRead> Source<R> {
    /// The file, cut at [`WHOLE_BYTES`].
    fn whole(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.content.by_ref().take(WHOLE_BYTES).read_to_end(&mut bytes)?;
        self.tally.add(&bytes);
        Ok(bytes)
    }

    /// Hands every line, 1-based and without its end, to `take`. Gives the line where reading had to stop, if any.
    fn each_line(&mut self, mut take: impl FnMut(u64, &[u8])) -> io::Result<Option<(u64, &'static str)>> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            self.content.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)?;
            self.tally.add(&line);
            match line.split_last() {
                None => break,
                Some((b'\n', text)) => take(number, text),
                Some(_) if line.len() as u64 == LINE_BYTES => {
                    return Ok(Some((number, "is longer than 16 MiB; it and what follows were not read")));
                }
                Some(_) => return Ok(Some((number, "has no line end: the file is cut off"))),
            }
        }
        Ok(None)
    }

    /// Takes what is left.
    fn rest(mut self) -> io::Result<FileFact> {
        io::copy(&mut self.content, &mut self.tally)?;
        Ok(self.tally.fact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_counted_and_hashed_to_its_end() {
        let mut pack = Pack::default();
        pack.add("rows.parquet", &b"abc"[..]).unwrap();
        pack.add(NODES, &b"no json\nno end"[..]).unwrap();
        pack.add(ENTRIES, &b"\n"[..]).unwrap();
        pack.add(ENTRIES, &b"again"[..]).unwrap();
        assert!(pack.files["rows.parquet"].sha256.starts_with("ba7816bf"));
        assert_eq!(pack.files[NODES].bytes, 14);
        assert_eq!(pack.nodes.form.list[0].line, Some(1));
        assert_eq!(pack.strange.list[0].to_string(), "nodes.ndjson line 2: has no line end: the file is cut off");
        assert!(pack.strange.list[1].reason.contains("twice"));
        assert_eq!((pack.rows.lines, pack.rows.form.list.len()), (1, 1));
    }

    #[test]
    fn a_file_too_long_is_hashed_and_not_kept() {
        let mut pack = Pack::default();
        pack.add(MANIFEST, io::BufReader::new(io::repeat(b' ').take(2 * WHOLE_BYTES))).unwrap();
        assert_eq!(pack.files[MANIFEST].bytes, 2 * WHOLE_BYTES);
        assert_eq!(pack.whole[MANIFEST].len() as u64, WHOLE_BYTES);
        pack.add(ENTRIES, io::BufReader::new(io::repeat(b' ').take(2 * LINE_BYTES))).unwrap();
        assert!(pack.strange.list.iter().all(|finding| finding.reason.contains("longer")));
        assert_eq!(pack.strange.list.len(), 2);
    }
}
