//! The quarantine: what was refused, with its raw bytes, its place and the reason.
//!
//! One object holds the refusals of one batch as NDJSON. Invariant: nothing refused is dropped; entries expire
//! after [`QUARANTINE_DAYS`] and not before.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use super::object::{self, object_error};
use super::paths::Paths;
use crate::clock::{DAY, rfc3339};
use crate::error::{Error, Result};
use crate::limits::QUARANTINE_DAYS;

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What is told of a refused record; its bytes stay in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// When it was received, RFC 3339.
    pub received_at: String,
    /// Of which sort the refusal is.
    pub refusal: Refusal,
    /// What is wrong.
    pub reason: String,
    /// Name of the file it came from.
    pub file: String,
    /// Line, or row of a table, 1-based.
    pub line: u64,
}

/// What the quarantine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// Objects in it, each with the refusals of one batch.
    pub objects: usize,
    /// The refusals that came last, the newest batch first.
    pub newest: Vec<Told>,
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

    /// Deletes entries older than [`QUARANTINE_DAYS`] but for those that came in a month, `YYYY-MM`, that `is_held`;
    /// gives their number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn expire_quarantine(&self, is_held: impl Fn(&str) -> bool) -> Result<usize> {
        let oldest = self.clock.now() - QUARANTINE_DAYS * DAY;
        let listed = self.quarantined().await?;
        let mut expired = 0;
        let is_due =
            |path: &Path| Paths::quarantine_time(path).is_some_and(|at| at < oldest && !is_held(&rfc3339(at)[..7]));
        for path in listed.into_iter().filter(is_due) {
            self.location.objects.delete(&path).await.map_err(|e| object_error("delete", &path, e))?;
            expired += 1;
        }
        Ok(expired)
    }
}

impl Store {
    /// Deletes the entries whose raw bytes hold one of `texts`; gives their number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn erase_from_quarantine(&self, texts: &Texts) -> Result<usize> {
        let mut erased = 0;
        for path in self.quarantined().await? {
            let Some(bytes) = object::get(&self.location.objects, &path).await? else { continue };
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let kept: Vec<&[u8]> = lines.iter().copied().filter(|line| !texts.are_in_entry(line)).collect();
            if kept.len() == lines.len() {
                continue;
            }
            if !kept.is_empty() {
                // Of the same age: the rest of the entry expires when it would have.
                let at = self.paths.quarantine_entry(Paths::quarantine_time(&path).unwrap_or(0), &self.clock.id());
                let put = self.location.objects.put(&at, kept.concat().into()).await;
                put.map_err(|e| object_error("write", &at, e))?;
            }
            object::delete(&self.location.objects, &path).await?;
            erased += lines.len() - kept.len();
        }
        Ok(erased)
    }

    /// The refusals that came last, at most so many, without the records that were refused.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn newest_refusals(&self, most: usize) -> Result<Refusals> {
        let mut paths = self.quarantined().await?;
        paths.sort_by_key(|path| std::cmp::Reverse(Paths::quarantine_time(path)));
        let mut newest = Vec::new();
        for path in &paths {
            if newest.len() >= most {
                break;
            }
            let Some(bytes) = object::get(&self.location.objects, path).await? else { continue };
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            newest.extend(lines.filter_map(|line| serde_json::from_slice::<Told>(line).ok()));
        }
        newest.truncate(most);
        Ok(Refusals { objects: paths.len(), newest })
    }

    async fn quarantined(&self) -> Result<Vec<Path>> {
        let listed = object::list(&self.location.objects, &self.paths.quarantine()).await?;
        Ok(listed.into_iter().map(|meta| meta.location).collect())
    }
}

/// Texts of which nothing may be left.
#[derive(Debug, Clone, Default)]
pub struct Texts(BTreeSet<String>);

/// Characters that a text must have to be sought: a shorter one is in everything, and says nothing of a person.
const DISTINCTIVE_CHARACTERS: usize = 4;
/// Values in values that are read as JSON.
const NESTED: usize = 4;

impl Texts {
    /// `texts`, and of those that are JSON the strings and numbers in them, but for what is too short to tell anything.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut all = BTreeSet::new();
        for text in texts {
            leaves_of(text, NESTED, &mut |leaf| {
                all.insert(leaf.to_lowercase());
            });
            all.insert(text.to_lowercase());
        }
        all.retain(|text| text.trim().chars().nth(DISTINCTIVE_CHARACTERS - 1).is_some());
        Self(all)
    }

    /// Whether one of them is in `text`, in whatever case.
    pub fn are_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.iter().any(|sought| text.contains(sought.as_str()))
    }

    fn are_in_entry(&self, line: &[u8]) -> bool {
        // What cannot be read may hold anything.
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { return true };
        let bytes = entry["raw_base64"].as_str().map(|text| BASE64.decode(text).unwrap_or_default());
        let raw = match (entry["raw"].as_str(), &bytes) {
            (Some(raw), _) => raw.to_owned(),
            (None, Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            (None, None) => return true,
        };
        // What is no UTF-8 is mostly of a spreadsheet with a Western code page, whose letters are those of Latin-1.
        let western = bytes.map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect::<String>());
        let doubled = raw.contains("\"\"").then(|| raw.replace("\"\"", "\""));
        let spelled = [Some(&raw), western.as_ref(), doubled.as_ref()];
        if entry["file"].as_str().is_some_and(|file| self.are_in(file))
            || spelled.into_iter().flatten().any(|text| self.are_in(text))
        {
            return true;
        }
        // JSON may spell a text with escapes.
        let mut is_in = false;
        leaves_of(&raw, NESTED, &mut |leaf| is_in |= self.are_in(leaf));
        is_in
    }
}

/// The strings and numbers in a text that is JSON, and in those of them that are again.
fn leaves_of(text: &str, nested: usize, found: &mut dyn FnMut(&str)) {
    if nested > 0
        && let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
    {
        collect(&value, nested - 1, found);
    }
}

fn collect(value: &Value, nested: usize, found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => {
            found(text);
            leaves_of(text, nested, found);
        }
        Value::Number(number) => found(&number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, nested, found)),
        Value::Object(members) => members.values().for_each(|value| collect(value, nested, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[derive(Serialize)]
struct Line<'a> {
    received_at: String,
    #[serde(flatten)]
    entry: &'a Refused,
}

#[cfg(test)]
mod tests {
    use super::super::object::Location;
    use super::*;
    use crate::clock::Clock;

    fn refused(line: u64) -> Refused {
        Refused {
            refusal: Refusal::Rejected,
            reason: "no `event_id`".to_owned(),
            file: "a.ndjson".to_owned(),
            line,
            raw_bytes: 6,
            raw_sha256: String::new(),
            raw: Raw::of(b"secret"),
            source: None,
            day: None,
        }
    }

    #[tokio::test]
    async fn the_newest_refusals_are_told_without_the_records() {
        let store = Store::create(Location::memory(), "default", Clock::simulated(DAY, 7)).await.unwrap();
        store.quarantine(&[refused(1), refused(2)]).await.unwrap();
        store.clock().set(2 * DAY);
        store.quarantine(&[refused(3)]).await.unwrap();
        let found = store.newest_refusals(2).await.unwrap();
        assert_eq!(found.objects, 2);
        assert_eq!(found.newest.iter().map(|told| told.line).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(found.newest[0].received_at, rfc3339(2 * DAY));
        assert!(!format!("{found:?}").contains("secret"));
        assert!(store.newest_refusals(0).await.unwrap().newest.is_empty());
    }

    #[test]
    fn texts_are_found_in_every_spelling() {
        let texts = Texts::new(["Müller", "7", "", r#"{"phone":"+49 30","born":1985}"#]);
        let is_in = |raw: Raw| {
            let (text, base64) = match &raw {
                Raw::Raw(text) => (Some(text), None),
                Raw::RawBase64(text) => (None, Some(text)),
            };
            let entry = serde_json::json!({"reason": "x", "file": "a.csv", "raw": text, "raw_base64": base64});
            texts.are_in_entry(&serde_json::to_vec(&entry).unwrap())
        };
        let nested = r#"{"payload":"{\"who\":\"M\\u00fcller\"}"}"#;
        for held in
            [r#"{"a":"Frau M\u00fcller"}"#, "a,\"MÜLLER\",b", r#"{"p":"+49 30"}"#, r#"{"y":1985}"#, "x 1985", nested]
        {
            assert!(is_in(Raw::Raw(held.to_owned())), "{held}");
        }
        for free in [r#"{"a":"Muller"}"#, r#"{"a":7}"#, r#"{"phone":"+48"}"#, "198", ""] {
            assert!(!is_in(Raw::Raw(free.to_owned())), "{free}");
        }
        assert!(is_in(Raw::of(&[b"\xff ".as_slice(), "Müller".as_bytes()].concat())));
        assert!(is_in(Raw::of(b"name;M\xfcller")), "Latin-1");
        assert!(texts.are_in_entry(b"half a line"), "what cannot be read may hold it");
        assert!(texts.are_in_entry(r#"{"file":"Müller.csv","raw":""}"#.as_bytes()));
    }
}
