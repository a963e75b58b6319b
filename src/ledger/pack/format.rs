//! The files of an evidence pack: their names, their types, how they are written and read.
//!
//! In: values or bytes. Out: the text of a file or of one of its lines, or typed values. Writer and verifier share
//! these types, so that what one writes the other reads. Invariant: reading what was written gives the same value;
//! an unknown member is refused, because nobody would check it. Decides nothing about what the values prove.

use std::collections::BTreeMap;
use std::io;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::ledger::hash::{Hash, from_base64, hex, to_base64};

/// Name and version of the format.
pub const FORMAT: &str = "probity-pack/1";
/// What the pack holds; lists every other file but the signature.
pub const MANIFEST: &str = "manifest.json";
/// The signed note over the manifest.
pub const SIGNATURE: &str = "manifest.sig";
/// The signed checkpoint with its cosignatures.
pub const CHECKPOINT: &str = "checkpoint";
/// The log's key, for convenience: a verifier trusts its own copy.
pub const KEY: &str = "log.vkey";
/// The rows.
pub const ENTRIES: &str = "entries.ndjson";
/// The entries of the erasures that explain erased rows.
pub const ERASURES: &str = "erasures.ndjson";
/// The subtrees that complete the tree.
pub const NODES: &str = "nodes.ndjson";
/// The proof from a checkpoint that the auditor holds.
pub const CONSISTENCY: &str = "consistency.json";
/// The handovers of the log's keys, oldest first; only there when there are any.
pub const HANDOVERS: &str = "handovers.ndjson";
/// A copy of the rows for analysis; the entries decide.
pub const PARQUET: &str = "rows.parquet";

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The log.
    pub origin: String,
    /// Leaves of the tree that `checkpoint` signs.
    pub tree_size: u64,
    /// The root of that tree.
    pub root: Base64Hash,
    /// Which rows were asked for.
    pub selection: Selection,
    /// The point of the evidence that the rows were taken from, as the writer names it; it is not checked.
    pub as_of: Map<String, Value>,
    /// Lines of `entries.ndjson`.
    pub rows: u64,
    /// Whether the pack shows that no row of the selection is missing.
    pub completeness: Completeness,
    /// Every file but the manifest and its signature.
    #[serde(deserialize_with = "each_name_once")]
    pub files: BTreeMap<String, FileFact>,
}

/// Which rows were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Selection {
    /// The events `from_seq..to_seq`.
    Range {
        /// The first one.
        from_seq: u64,
        /// The first one that is not asked for.
        to_seq: u64,
    },
    /// The events whose `seq` a query gave.
    Query {
        /// Its name or its text.
        query: String,
        /// Its parameters.
        params: Map<String, Value>,
    },
}

/// Whether a pack shows that no row of its selection is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completeness {
    /// It does: a range with all its events.
    #[serde(rename = "proven")]
    Proven,
    /// It does not: the rows of a query are what the operator says they are.
    #[serde(rename = "not proven")]
    NotProven,
}

/// Size and hash of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFact {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes in lower-case hex.
    pub sha256: String,
}

/// A line of `entries.ndjson` and `erasures.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLine {
    /// Its position in the ledger.
    pub seq: u64,
    /// Its canonical text.
    pub entry: String,
    /// The disclosures of the sealed values that are not withheld.
    pub disclosures: Vec<String>,
    /// The `evidence.erased` event that erased its sealed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_by: Option<u64>,
}

/// A line of `nodes.ndjson`: the hash of leaves [index·2^level, (index+1)·2^level).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeLine {
    /// The height of the subtree.
    pub level: u8,
    /// Its position among the subtrees of that height.
    pub index: u64,
    /// Its root.
    pub hash: Base64Hash,
}

/// `consistency.json`: the RFC 9162 proof that an earlier tree is a prefix of the pack's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Leaves of the earlier tree.
    pub old_size: u64,
    /// Its root.
    pub old_root: Base64Hash,
    /// The hashes of the proof.
    pub proof: Vec<Base64Hash>,
}

/// A line of `handovers.ndjson`: a note that the old and the new key signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteLine {
    /// The whole note.
    pub note: String,
}

/// A hash whose JSON form is standard base64 with padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base64Hash(pub Hash);

impl Serialize for Base64Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_base64(&text).map(Self).map_err(|_| D::Error::custom("a hash is not base64 of 32 bytes"))
    }
}

impl Manifest {
    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// `Damaged` when it is no manifest of this format, or lists a name that is no plain file name of a pack.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::damaged(format!("{MANIFEST} is no manifest")).because(e))?;
        if manifest.format != FORMAT {
            let format = &manifest.format;
            return Err(Error::damaged(format!("{MANIFEST} says format `{format}`, this verifier knows `{FORMAT}`")));
        }
        match manifest.files.keys().find(|name| !is_listed_name(name)) {
            Some(name) => Err(Error::damaged(format!("{MANIFEST} lists `{name}`, which no manifest can list"))),
            None => Ok(manifest),
        }
    }

    /// The text of `manifest.json`.
    pub fn to_text(&self) -> String {
        to_line(self)
    }
}

/// The text that `manifest.sig` signs: the format and the SHA-256 of the bytes of `manifest.json`, a line each.
pub fn manifest_note(manifest: &[u8]) -> String {
    format!("{FORMAT}\n{}\n", hex(&Sha256::digest(manifest)))
}

impl EntryLine {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// `Damaged` when it is no line of `entries.ndjson`.
    pub fn parse(line: &[u8]) -> Result<Self> {
        from_line(line, "{\"seq\":…,\"entry\":…,\"disclosures\":[…]}")
    }

    /// The line with its end.
    pub fn to_line(&self) -> String {
        to_line(self)
    }
}

impl NodeLine {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// `Damaged` when it is no line of `nodes.ndjson`.
    pub fn parse(line: &[u8]) -> Result<Self> {
        from_line(line, "{\"level\":…,\"index\":…,\"hash\":…}")
    }

    /// The line with its end.
    pub fn to_line(&self) -> String {
        to_line(self)
    }
}

impl NoteLine {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// `Damaged` when it is no line of `handovers.ndjson`.
    pub fn parse(line: &[u8]) -> Result<Self> {
        from_line(line, "{\"note\":…}")
    }

    /// The line with its end.
    pub fn to_line(&self) -> String {
        to_line(self)
    }
}

impl Consistency {
    /// Reads `consistency.json`.
    ///
    /// # Errors
    /// `Damaged` when it is no such file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        from_line(bytes, "{\"old_size\":…,\"old_root\":…,\"proof\":[…]}")
    }

    /// The text of `consistency.json`.
    pub fn to_text(&self) -> String {
        to_line(self)
    }
}

/// Counts and hashes the bytes of a file while they are written or read.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    /// Takes the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// What the manifest says of the file.
    pub fn fact(self) -> FileFact {
        FileFact { bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}

impl io::Write for Tally {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a manifest may list the file: a plain name, and not one of the two that nothing can hash before.
fn is_listed_name(name: &str) -> bool {
    let is_plain = !name.is_empty() && !name.contains(['/', '\\']) && !name.chars().any(char::is_control);
    is_plain && ![".", "..", MANIFEST, SIGNATURE].contains(&name)
}

fn from_line<T: DeserializeOwned>(line: &[u8], form: &str) -> Result<T> {
    // The parser's own words would repeat the value that it did not expect.
    serde_json::from_slice(line).map_err(|e| Error::damaged(format!("is not of the form {form} (byte {})", e.column())))
}

fn to_line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).expect("maps of text keys, numbers and text are JSON");
    text.push('\n');
    text
}

/// A map that names a file twice would say two things of it, and readers differ in which one they believe.
fn each_name_once<'de, D>(deserializer: D) -> std::result::Result<BTreeMap<String, FileFact>, D::Error>
where
    D: Deserializer<'de>,
{
    struct FilesVisitor;
    impl<'de> Visitor<'de> for FilesVisitor {
        type Value = BTreeMap<String, FileFact>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of file names")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut files = BTreeMap::new();
            while let Some((name, fact)) = map.next_entry::<String, FileFact>()? {
                if files.insert(name, fact).is_some() {
                    return Err(A::Error::custom("a file is listed twice"));
                }
            }
            Ok(files)
        }
    }
    deserializer.deserialize_map(FilesVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(selection: Selection) -> Manifest {
        Manifest {
            format: FORMAT.into(),
            origin: "example.com/log".into(),
            tree_size: 8,
            root: Base64Hash([7; 32]),
            selection,
            as_of: Map::new(),
            rows: 2,
            completeness: Completeness::NotProven,
            files: BTreeMap::from([("checkpoint".into(), Tally::default().fact())]),
        }
    }

    #[test]
    fn what_is_written_is_read_the_same() {
        let query = Selection::Query { query: "agents".into(), params: Map::from_iter([("n".into(), Value::from(3))]) };
        for selection in [Selection::Range { from_seq: 3, to_seq: 5 }, query] {
            let written = manifest(selection);
            assert_eq!(Manifest::parse(written.to_text().as_bytes()).unwrap(), written);
        }
        let line = EntryLine { seq: 3, entry: "{\"a\":1}".into(), disclosures: vec!["x".into()], erased_by: None };
        assert_eq!(line.to_line(), "{\"seq\":3,\"entry\":\"{\\\"a\\\":1}\",\"disclosures\":[\"x\"]}\n");
        for line in [EntryLine { erased_by: Some(9), ..line.clone() }, line] {
            assert_eq!(EntryLine::parse(line.to_line().trim_end().as_bytes()).unwrap(), line);
        }
        let node = NodeLine { level: 3, index: 4, hash: Base64Hash([9; 32]) };
        assert_eq!(NodeLine::parse(node.to_line().as_bytes()).unwrap(), node);
        let note = NoteLine { note: "text\n\n— signed\n".into() };
        assert_eq!(NoteLine::parse(note.to_line().as_bytes()).unwrap(), note);
        let proof = Consistency { old_size: 3, old_root: Base64Hash([1; 32]), proof: vec![Base64Hash([2; 32])] };
        assert_eq!(Consistency::parse(proof.to_text().as_bytes()).unwrap(), proof);
    }

    #[test]
    fn a_manifest_is_read_strictly() {
        let good = manifest(Selection::Range { from_seq: 3, to_seq: 5 }).to_text();
        let fact = r#""checkpoint":{"bytes":0,"sha256":"#;
        for (from, to) in [
            ("probity-pack/1", "probity-pack/2"),
            ("\"rows\":2", "\"rows\":2,\"rows\":2"),
            ("\"rows\":2", "\"rows\":2,\"more\":2"),
            ("\"rows\":2", "\"rows\":-2"),
            ("\"to_seq\":5", "\"to_seq\":5,\"query\":\"x\""),
            ("not proven", "likely"),
            ("checkpoint", "manifest.sig"),
            ("checkpoint", "../checkpoint"),
            (fact, format!("\"checkpoint\":{{\"bytes\":0,\"sha256\":\"\"}},{fact}").as_str()),
        ] {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good, "{from}");
            assert!(Manifest::parse(changed.as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_tally_knows_length_and_hash() {
        let mut tally = Tally::default();
        tally.add(b"ab");
        tally.add(b"c");
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        assert_eq!(tally.fact(), FileFact { bytes: 3, sha256 });
    }
}
