//! What an auditor holds and was handed: a pack, keys, a policy and checkpoints as files, read within bounds.
//!
//! In: paths. Out: the verdict of `ledger::pack`. Invariants: nothing is written or unpacked to disk, no link is
//! followed, an archive that unpacks to more than an honest one ends with an error. Shared by `probity verify pack` and
//! the small binary `probity-verify`; it knows nothing of stores.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::note::{Kind, Verifier};
use crate::ledger::pack::{self, Pack, Trusted, Verdict};
use crate::ledger::trust::Policy;

/// Bytes of a key, a policy or a checkpoint; all of them are a page of text.
const SMALL_BYTES: u64 = 1024 * 1024;
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
}

/// Verifies a pack; what is wrong with it is in the verdict.
///
/// # Errors
/// When a file cannot be read, or is not what it is given for.
pub fn verify(asked: &Asked<'_>) -> Result<Verdict> {
    let key = read_key(asked.key)?;
    let policy = asked.trust.map(|file| Policy::parse(&read_small(file)?)).transpose()?;
    let held = asked.held.map(|file| read_held(file, &key)).transpose()?;
    let pack = read_pack(asked.pack)?;
    Ok(pack::verify(&pack, &Trusted { key: &key, policy: policy.as_ref(), held: held.as_ref() }))
}

/// The log's key: the file of that name if there is one, else the text itself.
///
/// # Errors
/// Invalid when it is no key of a log.
pub fn read_key(argument: &OsStr) -> Result<Verifier> {
    let path = Path::new(argument);
    let text = if path.is_file() {
        String::from_utf8_lossy(&read_small(path)?).into_owned()
    } else {
        argument.to_string_lossy().into_owned()
    };
    let key = Verifier::parse(text.trim())
        .map_err(|e| Error::invalid("the key is neither a file with a public key nor one itself").because(e))?;
    if key.kind() != Kind::Ed25519 {
        return Err(Error::invalid("the key is that of a witness; give the log's, and witnesses in a trust policy"));
    }
    Ok(key)
}

/// A checkpoint that the auditor saw earlier, signed by the log's key.
///
/// # Errors
/// Invalid when it is not.
pub fn read_held(path: &Path, key: &Verifier) -> Result<Checkpoint> {
    checkpoint::open(&read_small(path)?, key.name(), key)
        .map_err(|e| Error::invalid("the held file is no checkpoint that the log signed with this key").because(e))
}

fn read_small(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| cannot_read(path, e))?;
    file.take(SMALL_BYTES + 1).read_to_end(&mut bytes).map_err(|e| cannot_read(path, e))?;
    if bytes.len() as u64 > SMALL_BYTES {
        return Err(Error::limit(format!("{} is larger than 1 MiB; give another file", path.display())));
    }
    Ok(bytes)
}

fn read_pack(path: &Path) -> Result<Pack> {
    let mut pack = Pack::default();
    let metadata = fs::metadata(path).map_err(|e| cannot_read(path, e))?;
    if metadata.is_dir() {
        read_directory(path, &mut pack)?;
    } else {
        read_archive(path, metadata.len(), &mut pack)?;
    }
    Ok(pack)
}

fn read_directory(path: &Path, pack: &mut Pack) -> Result<()> {
    for item in fs::read_dir(path).map_err(|e| cannot_read(path, e))? {
        let item = item.map_err(|e| cannot_read(path, e))?;
        let name = item.file_name().to_string_lossy().into_owned();
        // The type of the item itself: a link is not followed.
        if !item.file_type().map_err(|e| cannot_read(path, e))?.is_file() {
            pack.refuse(&name, "is no plain file");
            continue;
        }
        let file = File::open(item.path()).map_err(|e| cannot_read(&item.path(), e))?;
        pack.add(&name, BufReader::with_capacity(BUFFER_BYTES, file))?;
    }
    Ok(())
}

fn read_archive(path: &Path, packed_bytes: u64, pack: &mut Pack) -> Result<()> {
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
            Some(file) => pack.add(file, BufReader::with_capacity(BUFFER_BYTES, entry))?,
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
