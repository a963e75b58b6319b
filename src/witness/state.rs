//! What a witness keeps: of each log the checkpoint that it cosigned last, in a file of a local directory.
//!
//! ```text
//! <directory>/lock                              held for the life of the server
//! <directory>/<SHA-256 of the origin, hex>      the signed note: the log's signature and the witness's own
//! ```
//!
//! In: notes that were accepted. Out: what was accepted last. Invariants: a note is on disk, under its name, before
//! [`Directory::keep`] returns; one server at a time has the directory. It must not take a file that it cannot read for
//! none: that would take the tree back to nothing.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind as Io, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::hash::{Hash, hex};
use crate::ledger::note::{NOTE_BYTES, Note, Verifier};

/// The directory of one witness, locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Unlocked when it is dropped.
    _lock: File,
}

impl Directory {
    /// Locks the directory, after creating it where it is not there.
    ///
    /// # Errors
    /// Conflict when another server has it; Unavailable when it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| {
            Error::unavailable(format!("cannot use {} for what the witness keeps", path.display())).because(e)
        };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::options().create(true).append(true).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "another witness has {}; two could take a tree back, so stop that one or name another directory",
                    path.display()
                ),
            )),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// The file of the log of this name.
    pub fn file(&self, origin: &str) -> PathBuf {
        let name: Hash = Sha256::digest(origin.as_bytes()).into();
        self.path.join(hex(&name))
    }

    /// The checkpoint of `log` that was kept last; none when there never was one. The witness vouches for what it kept
    /// with its own key, `own`: the log may have handed over to another one since.
    ///
    /// # Errors
    /// Damaged when the file is not one that this witness cosigned; Unavailable when it cannot be read.
    pub fn latest(&self, log: &Verifier, own: &Verifier) -> Result<Option<Checkpoint>> {
        let path = self.file(log.name());
        let mut note = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(NOTE_BYTES as u64 + 1).read_to_end(&mut note));
        match read {
            Ok(_) => {}
            Err(e) if e.kind() == Io::NotFound => return Ok(None),
            Err(e) => return Err(Error::unavailable(format!("cannot read {}", path.display())).because(e)),
        }
        checkpoint::open(&note, log.name(), own).map(Some).map_err(|e| {
            Error::damaged(format!(
                "{} is not the checkpoint of `{}` that was cosigned last; restore it, for without it nothing of this log \
                 can be cosigned",
                path.display(),
                log.name()
            ))
            .because(e)
        })
    }

    /// Keeps `note` as the last one of the log of this name; it is durable when this returns.
    ///
    /// # Errors
    /// Unavailable when it cannot be written.
    pub fn keep(&self, origin: &str, note: &Note) -> Result<()> {
        let path = self.file(origin);
        // Whoever has the lock is alone here: what lies under this name was left by a crash.
        let staged = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&staged)?;
            file.write_all(note.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&staged, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::cosignature;
    use crate::ledger::note::{Kind, Signer};

    fn note(size: u64, witness: &Signer) -> Note {
        let text = Checkpoint { origin: "example.com/log".into(), size, root: [7; 32] }.to_text();
        let log = Signer::new("example.com/log", [1; 32]).unwrap();
        let both = format!("{text}\n{}{}", log.sign(&text), cosignature::cosign(witness, 1_700_000_000, &text));
        Note::parse(both.as_bytes()).unwrap()
    }

    fn witness(seed: u8) -> Signer {
        Signer::new("example.com/witness", [seed; 32]).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_back_by_the_next_server_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let key = Signer::new("example.com/log", [1; 32]).unwrap().verifier(Kind::Ed25519);
        let own = witness(9).verifier(Kind::Cosignature);
        let first = Directory::open(&path).unwrap();
        assert_eq!(first.latest(&key, &own).unwrap(), None);
        first.keep(key.name(), &note(3, &witness(9))).unwrap();
        first.keep(key.name(), &note(5, &witness(9))).unwrap();
        assert_eq!(Directory::open(&path).unwrap_err().kind(), ErrorKind::Conflict);
        drop(first);
        let second = Directory::open(&path).unwrap();
        assert_eq!(second.latest(&key, &own).unwrap().unwrap().size, 5);
        // The log's next key follows on what was cosigned under the one before.
        let next = Signer::new("example.com/log", [2; 32]).unwrap().verifier(Kind::Ed25519);
        assert_eq!(second.latest(&next, &own).unwrap().unwrap().size, 5);
    }

    #[test]
    fn a_file_that_this_witness_did_not_cosign_is_never_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let key = Signer::new("example.com/log", [1; 32]).unwrap().verifier(Kind::Ed25519);
        let own = witness(9).verifier(Kind::Cosignature);
        let good = note(3, &witness(9)).to_string();
        let foreign = note(3, &witness(8)).to_string();
        for text in ["", &good[..good.len() / 2], &good.replace("\n3\n", "\n2\n"), &foreign] {
            fs::write(directory.file(key.name()), text).unwrap();
            assert_eq!(directory.latest(&key, &own).unwrap_err().kind(), ErrorKind::Damaged, "{text}");
        }
    }
}
