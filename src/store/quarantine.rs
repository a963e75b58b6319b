//! The quarantine: what was refused, with its raw bytes, its place and the reason.
//!
//! One object holds the refusals of one batch as NDJSON. Invariant: nothing refused is dropped; entries expire
//! after [`QUARANTINE_DAYS`] and not before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::Serialize;

use super::Store;
use super::object::object_error;
use super::paths::Paths;
use crate::clock::{DAY, rfc3339};
use crate::error::{Error, Result};
use crate::limits::QUARANTINE_DAYS;

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It does not parse or validate.
    Rejected,
    /// An event with the same ids and month, but other content, is there already.
    Conflict,
}

/// A refused record.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// Of which sort the refusal is.
    pub refusal: Refusal,
    /// What is wrong; never the content.
    pub reason: String,
    /// Name of the file it came from.
    pub file: String,
    /// Line, or row of a table, 1-based.
    pub line: u64,
    /// Length of the record in bytes.
    pub raw_bytes: u64,
    /// SHA-256 of the whole record, hexadecimal.
    pub raw_sha256: String,
    /// The record, at most [`QUARANTINE_RAW_BYTES`](crate::limits::QUARANTINE_RAW_BYTES) of it.
    #[serde(flatten)]
    pub raw: Raw,
    /// Source that it names, as far as it could be read.
    #[serde(skip)]
    pub source: Option<String>,
    /// UTC day of `occurred_at`, as far as it could be read.
    #[serde(skip)]
    pub day: Option<String>,
}

/// Raw bytes, as text where they are text.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Raw {
    /// UTF-8.
    Raw(String),
    /// Anything else.
    RawBase64(String),
}

impl Raw {
    /// The first bytes of a record.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Raw::Raw(text.to_owned()),
            Err(_) => Raw::RawBase64(BASE64.encode(bytes)),
        }
    }
}

impl Store {
    /// Stores refused records durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn quarantine(&self, refused: &[Refused]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut lines = Vec::new();
        for entry in refused {
            let line = Line { received_at: rfc3339(now), entry };
            serde_json::to_writer(&mut lines, &line)
                .map_err(|e| Error::internal("cannot write a quarantine entry").because(e))?;
            lines.push(b'\n');
        }
        let path = self.paths.quarantine_entry(now.max(0), &self.clock.id());
        let length = lines.len() as u64;
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        match self.location.objects.put_opts(&path, lines.into(), options).await {
            Ok(_) => Ok(()),
            Err(e) => match self.location.objects.head(&path).await {
                Ok(meta) if meta.size == length => Ok(()),
                _ => Err(object_error("write", &path, e)),
            },
        }
    }

    /// Deletes entries older than [`QUARANTINE_DAYS`]; gives their number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn expire_quarantine(&self) -> Result<usize> {
        let folder = self.paths.quarantine();
        let oldest = self.clock.now() - QUARANTINE_DAYS * DAY;
        let listed: Vec<Path> =
            match self.location.objects.list(Some(&folder)).map_ok(|m| m.location).try_collect().await {
                Err(object_store::Error::NotFound { .. }) => Vec::new(),
                listed => listed.map_err(|e| object_error("list", &folder, e))?,
            };
        let mut expired = 0;
        for path in listed.into_iter().filter(|p| Paths::quarantine_time(p).is_some_and(|at| at < oldest)) {
            self.location.objects.delete(&path).await.map_err(|e| object_error("delete", &path, e))?;
            expired += 1;
        }
        Ok(expired)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    received_at: String,
    #[serde(flatten)]
    entry: &'a Refused,
}
