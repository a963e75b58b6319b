//! Input files of a command: opened, unpacked, counted.
//!
//! In: paths. Out: readers of the unpacked bytes that count what they took from the file. Invariant: every
//! file is opened before the first is read, so that a misspelt name costs nothing.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};

/// An input that was opened.
pub struct Input {
    /// What to call it.
    pub name: String,
    /// The path without `.gz`, whose extension tells the shape.
    pub shape_name: PathBuf,
    /// Its bytes, unpacked.
    pub reader: Box<dyn Read + Send>,
    /// Length of the file, packed; unknown for a pipe.
    pub length: Option<u64>,
    /// Packed bytes read so far.
    pub read: Arc<AtomicU64>,
}

struct Counting<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Input {
    /// Opens `path`; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be opened or is a directory.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::of("standard input".to_owned(), path, Box::new(io::stdin()), None);
        }
        let cannot = |e: io::Error| Error::not_found(format!("cannot open {}", path.display())).because(e);
        let file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if metadata.is_dir() {
            return Err(Error::invalid(format!("{} is a directory; name its files", path.display())));
        }
        let length = metadata.is_file().then_some(metadata.len());
        Self::of(path.display().to_string(), path, Box::new(file), length)
    }

    /// An input in memory.
    pub fn of_bytes(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::of(name.to_owned(), Path::new(name), Box::new(bytes), Some(bytes.len() as u64))
    }

    fn of(name: String, path: &Path, reader: Box<dyn Read + Send>, length: Option<u64>) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut counting = BufReader::with_capacity(1 << 18, Counting { inner: reader, read: read.clone() });
        let begins = io::BufRead::fill_buf(&mut counting)
            .map_err(|e| Error::unavailable(format!("cannot read {name}")).because(e))?
            .starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read + Send> =
            if begins { Box::new(MultiGzDecoder::new(counting)) } else { Box::new(counting) };
        let is_gz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
        let shape_name = if is_gz { path.with_extension("") } else { path.to_owned() };
        Ok(Self { name, shape_name, reader, length, read })
    }
}
