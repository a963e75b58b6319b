//! That evidence was handed out, as the ledger tells it.
//!
//! In: what was asked for, what the pack holds, who takes it away. Out: the event `evidence.exported`, which names the
//! pack by a hash, so that whoever shows one later can be asked whether it is the one that was handed out. Invariant:
//! server and command line state the same. It hands nothing out and stores nothing: who hands a pack out stores the
//! event before.

use std::io::{Read, Seek, SeekFrom};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::handout::{Ask, Chosen};
use crate::clock::Clock;
use crate::event::{Column, Draft};
use crate::ingest::writer::statement;
use crate::ledger::hash::hex;
use crate::ledger::pack::format::Manifest;

/// Bytes that are hashed at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// A finished pack, and who takes it away.
#[derive(Debug)]
pub struct Handed<'a> {
    /// The person.
    pub by: &'a str,
    /// Bytes of the pack.
    pub bytes: u64,
    /// What names the pack: `sha256` of an archive, `manifest_sha256` of a folder; and how the person came to it.
    pub facts: Map<String, Value>,
}

/// The event that says that the pack of `ask` was handed out.
pub fn exported(clock: &Clock, (ask, manifest): (&Ask, &Manifest), handed: Handed<'_>) -> Draft<'static> {
    let withheld: Vec<&str> = ask.withheld.iter().map(|column| column.name()).collect();
    let mut extra = handed.facts;
    for (name, value) in [
        ("selection", json!(manifest.selection)),
        ("rows", json!(manifest.rows)),
        ("tree_size", json!(manifest.tree_size)),
        ("withheld", json!(withheld)),
        ("bytes", json!(handed.bytes)),
    ] {
        extra.insert(name.to_owned(), value);
    }
    let mut event = statement(clock, "evidence.exported");
    event.set_text(Column::ActorKind, "human");
    event.set_text(Column::ActorId, handed.by.to_owned());
    if let Chosen::Subject(subject) = &ask.chosen {
        event.set_text(Column::SubjectId, subject.clone());
    }
    event.set_text(Column::Extra, Value::Object(extra).to_string());
    event
}

/// Length and SHA-256 in hex of all that `file` holds; it stands at its start afterwards.
///
/// # Errors
/// When it cannot be read.
pub fn measured(file: &mut (impl Read + Seek)) -> std::io::Result<(u64, String)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hash, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => {
                hash.update(&chunk[..read]);
                bytes += read as u64;
            }
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok((bytes, hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_file_is_measured_whole_and_left_at_its_start() {
        let mut file = Cursor::new(b"abc".repeat(CHUNK_BYTES));
        file.set_position(7);
        let (bytes, sha256) = measured(&mut file).unwrap();
        assert_eq!((bytes, file.position()), (3 * CHUNK_BYTES as u64, 0));
        assert_eq!(sha256, hex(&Sha256::digest(b"abc".repeat(CHUNK_BYTES))));
    }
}
