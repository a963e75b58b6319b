//! What an auditor holds and was handed: packs, proofs, keys, a policy, checkpoints and receipts as files, read within
//! bounds.
//!
//! In: paths. Out: the verdicts of `ledger::pack`. Invariants: nothing is written or unpacked to disk, no link is
//! followed, an archive that unpacks to more than an honest one ends with an error. Shared by `probity verify pack|proof`
//! and the small binary `probity-verify`; it knows nothing of stores.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::handover::{Handover, Succession, open_checkpoint};
use crate::ledger::note::{Kind, NOTE_BYTES, Verifier};
use crate::ledger::pack::single::{self, RowVerdict};
use crate::ledger::pack::{self, Pack, Trusted, Verdict};
use crate::ledger::receipt::{self, Receipt};
use crate::ledger::trust::Policy;

/// Bytes of a key, a policy, a checkpoint or a receipt; all of them are a page of text.
const SMALL_BYTES: u64 = 1024 * 1024;
/// Bytes of the proof of one row, as many as its reader takes.
const PROOF_BYTES: u64 = 2 * NOTE_BYTES as u64;
/// Bytes that any archive may unpack to,
const UNPACKED_BYTES: u64 = 64 * 1024 * 1024;
/// and bytes that each of its own bytes may unpack to: text of hashes does not shrink a hundredfold, bombs do.
const UNPACKED_RATIO: u64 = 100;
/// Bytes read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// What an auditor asks.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The pack: a directory or a `.tar.gz`.
    pub pack: &'a Path,
    /// The log's public key, as text or in a file.
    pub key: &'a OsStr,
    /// A trust policy.
    pub trust: Option<&'a Path>,
    /// A checkpoint seen earlier.
    pub held: Option<&'a Path>,
    /// A receipt that the log answered.
    pub receipt: Option<&'a Path>,
}

/// Verifies a pack; what is wrong with it is in the verdict.
///
/// # Errors
/// When a file cannot be read, or is not what it is given for.
pub fn verify(asked: &Asked<'_>) -> Result<Verdict> {
    let key = read_key(asked.key)?;
    let policy = asked.trust.map(read_policy).transpose()?;
    let receipt = asked.receipt.map(read_small).transpose()?;
    let pack = read_pack(asked.pack)?;
    let held = asked.held.map(|file| read_held(file, &key, pack.handovers())).transpose()?;
    let trusted = Trusted { key: &key, policy: policy.as_ref(), held: held.as_ref(), receipt: receipt.as_deref() };
    Ok(pack::verify(&pack, &trusted))
}

/// Verifies the proof of one row; what is wrong with it is in the verdict.
///
/// # Errors
/// When a file cannot be read, or is not what it is given for.
pub fn verify_row(proof: &Path, key: &OsStr, trust: Option<&Path>) -> Result<RowVerdict> {
    let key = read_key(key)?;
    let policy = trust.map(read_policy).transpose()?;
    let text = String::from_utf8(read_bounded(proof, PROOF_BYTES)?)
        .map_err(|e| Error::invalid(format!("{} is no text and no proof", proof.display())).because(e))?;
    Ok(single::verify(&text, &key, policy.as_ref()))
}

/// The log's key: the file of that name if there is one, else the text itself.
///
/// # Errors
/// Invalid when it is no key of a log.
pub fn read_key(argument: &OsStr) -> Result<Verifier> {
    let key = read_any_key(argument)?;
    if key.kind() != Kind::Ed25519 {
        return Err(Error::invalid("the key is that of a witness; give the log's, and witnesses in a trust policy"));
    }
    Ok(key)
}

/// A witness's key: the file of that name if there is one, else the text itself.
///
/// # Errors
/// Invalid when it is no key of a witness.
pub fn read_witness_key(argument: &OsStr) -> Result<Verifier> {
    let key = read_any_key(argument)?;
    if key.kind() != Kind::Cosignature {
        return Err(Error::invalid(
            "the key is that of a log; give the witness's, as `probity witness init` printed it",
        ));
    }
    Ok(key)
}

/// A trust policy in a file.
///
/// # Errors
/// Invalid when it is none.
pub fn read_policy(path: &Path) -> Result<Policy> {
    Policy::parse(&read_small(path)?)
}

fn read_any_key(argument: &OsStr) -> Result<Verifier> {
    let path = Path::new(argument);
    let text = if path.is_file() {
        String::from_utf8_lossy(&read_small(path)?).into_owned()
    } else {
        argument.to_string_lossy().into_owned()
    };
    Verifier::parse(text.trim())
        .map_err(|e| Error::invalid("the key is neither a file with a public key nor one itself").because(e))
}

/// A checkpoint that the auditor saw earlier, signed by the log: with the key that he trusts, or with one that leads
/// to or from it by these handovers.
///
/// # Errors
/// Invalid when it is not.
pub fn read_held(path: &Path, key: &Verifier, handovers: &[Handover]) -> Result<Checkpoint> {
    let succession = succession(key, handovers);
    let opened = open_checkpoint(&read_small(path)?, key.name(), succession.all());
    opened
        .map(|(checkpoint, _)| checkpoint)
        .map_err(|e| Error::invalid("the held file is no checkpoint that the log signed with this key").because(e))
}

/// A receipt that the log answered, signed as [`read_held`] says.
///
/// # Errors
/// Invalid when it is not.
pub fn read_receipt(path: &Path, key: &Verifier, handovers: &[Handover]) -> Result<Receipt> {
    receipt::open(&read_small(path)?, succession(key, handovers).all())
        .map_err(|e| Error::invalid(format!("{} is no receipt that the log signed", path.display())).because(e))
}

/// The keys that count with `key`. Handovers that do not hold together are a finding of the pack, and none here.
fn succession(key: &Verifier, handovers: &[Handover]) -> Succession {
    Succession::of(key, handovers).unwrap_or_else(|_| Succession::alone(key))
}

fn read_small(path: &Path) -> Result<Vec<u8>> {
    read_bounded(path, SMALL_BYTES)
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| cannot_read(path, e))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| cannot_read(path, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::limit(format!("{} is larger than {limit} bytes; give another file", path.display())));
    }
    Ok(bytes)
}

/// Calls `each` with the name and the content of every file of the pack at `path`, for who reads what was verified.
///
/// # Errors
/// When the pack cannot be read, or `each` fails.
pub fn each_file(path: &Path, each: &mut dyn FnMut(&str, &mut dyn BufRead) -> Result<()>) -> Result<()> {
    read_files(path, &mut Each(each))
}

/// Who takes the files of a pack.
trait Taker {
    fn take(&mut self, name: &str, content: &mut dyn BufRead) -> Result<()>;
    fn refuse(&mut self, name: &str, reason: &str);
}

impl Taker for Pack {
    fn take(&mut self, name: &str, content: &mut dyn BufRead) -> Result<()> {
        self.add(name, content)
    }

    fn refuse(&mut self, name: &str, reason: &str) {
        Self::refuse(self, name, reason);
    }
}

struct Each<'f>(&'f mut dyn FnMut(&str, &mut dyn BufRead) -> Result<()>);

impl Taker for Each<'_> {
    fn take(&mut self, name: &str, content: &mut dyn BufRead) -> Result<()> {
        (self.0)(name, content)
    }

    /// What is no file of a pack is a finding of its verdict; here it is passed over.
    fn refuse(&mut self, _: &str, _: &str) {}
}

fn read_pack(path: &Path) -> Result<Pack> {
    let mut pack = Pack::default();
    read_files(path, &mut pack)?;
    Ok(pack)
}

fn read_files(path: &Path, pack: &mut dyn Taker) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|e| cannot_read(path, e))?;
    if metadata.is_dir() { read_directory(path, pack) } else { read_archive(path, metadata.len(), pack) }
}

fn read_directory(path: &Path, pack: &mut dyn Taker) -> Result<()> {
    for item in fs::read_dir(path).map_err(|e| cannot_read(path, e))? {
        let item = item.map_err(|e| cannot_read(path, e))?;
        let name = item.file_name().to_string_lossy().into_owned();
        // The type of the item itself: a link is not followed.
        if !item.file_type().map_err(|e| cannot_read(path, e))?.is_file() {
            pack.refuse(&name, "is no plain file");
            continue;
        }
        let file = File::open(item.path()).map_err(|e| cannot_read(&item.path(), e))?;
        pack.take(&name, &mut BufReader::with_capacity(BUFFER_BYTES, file))?;
    }
    Ok(())
}

fn read_archive(path: &Path, packed_bytes: u64, pack: &mut dyn Taker) -> Result<()> {
    let file = File::open(path).map_err(|e| cannot_read(path, e))?;
    let content = MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file));
    let left = UNPACKED_BYTES.saturating_add(packed_bytes.saturating_mul(UNPACKED_RATIO));
    let mut archive = tar::Archive::new(Bounded { content, left });
    let mut folder = None;
    for entry in archive.entries().map_err(|e| cannot_read(path, e))? {
        let entry = entry.map_err(|e| cannot_read(path, e))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        match name_in_pack(&name, &mut folder) {
            Some(_) if !kind.is_file() => pack.refuse(&name, "is no plain file"),
            Some(file) => pack.take(file, &mut BufReader::with_capacity(BUFFER_BYTES, entry))?,
            None => pack.refuse(&name, "is neither at the top of the archive nor in its one folder"),
        }
    }
    // Reading on checks the archive's own checksum, and that no other reader finds more in it.
    let mut rest = archive.into_inner();
    let mut bytes = vec![0; BUFFER_BYTES];
    loop {
        match rest.read(&mut bytes).map_err(|e| cannot_read(path, e))? {
            0 => return Ok(()),
            read if bytes[..read].iter().any(|byte| *byte != 0) => {
                pack.refuse("archive", "holds something behind its end");
                return Ok(());
            }
            _ => {}
        }
    }
}

/// The file's name in the pack, if it stands at the top of the archive or, as all others, in one folder there.
fn name_in_pack<'n>(path: &'n str, folder: &mut Option<String>) -> Option<&'n str> {
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let (found, name) = match parts[..] {
        [name] => ("", name),
        [found, name] if !["", ".."].contains(&found) => (found, name),
        _ => return None,
    };
    let is_same = folder.get_or_insert_with(|| found.to_owned()).as_str() == found;
    (is_same && !["", ".."].contains(&name)).then_some(name)
}

/// A reader that fails when more comes out of it than an honest archive holds.
struct Bounded<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(bytes)?;
        let too_much = || io::Error::other("it unpacks to more than a hundred times its size; unpack it and look");
        self.left = self.left.checked_sub(read as u64).ok_or_else(too_much)?;
        Ok(read)
    }
}

fn cannot_read(path: &Path, cause: io::Error) -> Error {
    Error::unavailable(format!("cannot read {}", path.display())).because(cause)
}
