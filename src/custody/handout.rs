//! Handing evidence out: a pack of chosen rows, verified as its reader will verify it.
//!
//! In: which rows, what to withhold, what the auditor holds. Out: a folder with the files of a pack, or one archive of
//! them. Invariants: a pack that does not verify is never handed out; it is never cut off silently; the archive says
//! nothing of the machine that made it. What is asked of a session is told by that session: the point that it stands at
//! is the one that the pack names. It does not say to whom the pack goes, nor state that in the ledger.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use crate::auditor::{Asked, read_held, read_receipt, verify};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::columns::SEALED;
use crate::ledger::handover::Handover;
use crate::ledger::note::{Kind, Signer};
use crate::ledger::pack::format::{Manifest, Selection};
use crate::query::answer::{Answer, Limits};
use crate::query::engine::Engine;
use crate::query::listing::named;
use crate::query::objects::literal;
use crate::query::params::Params;
use crate::store::Store;
use crate::store::pack::{Order, Wanted};

/// The rows that a pack is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All of a range, the end exclusive: the pack proves that none of it is missing.
    Range(u64, u64),
    /// Those of the column `seq` that a query gives: its name, or the text of one SELECT.
    Query(String, Params),
    /// All that are about a person.
    Subject(String),
    /// Those of a signed receipt, in this file.
    Receipt(PathBuf),
}

/// What is to be handed out.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The rows.
    pub chosen: Chosen,
    /// Sealed columns whose values stay out.
    pub withheld: Vec<Column>,
    /// A signed checkpoint that the auditor holds, in this file.
    pub held: Option<PathBuf>,
    /// The auditor's trust policy, in this file; the pack must satisfy it.
    pub trust: Option<PathBuf>,
}

/// Writes the pack of `ask` into the empty folder `folder` and verifies it; the rows are told by `engine`. Fold before:
/// a pack holds what the newest checkpoint covers.
///
/// # Errors
/// When the rows cannot be told, nothing covers them, or the pack cannot be written or does not verify.
pub async fn make(store: &Store, engine: &Engine, ask: &Ask, folder: &Path) -> Result<Manifest> {
    let signer = signer(store)?;
    let key = signer.verifier(Kind::Ed25519);
    let handovers: Vec<Handover> = store.handovers().await?.into_iter().map(|handed| handed.handover).collect();
    let held = ask.held.as_deref().map(|file| read_held(file, &key, &handovers)).transpose()?;
    let (rows, selection) = match &ask.chosen {
        Chosen::Range(from, to) => range(engine, *from, *to)?,
        Chosen::Receipt(file) => {
            let receipt = read_receipt(file, &key, &handovers)?;
            range(engine, receipt.first_seq, receipt.end())?
        }
        Chosen::Query(text, params) => of_query(engine, text, params).await?,
        Chosen::Subject(subject) => of_subject(engine, subject).await?,
    };
    let point = engine.as_of();
    let as_of = json!({"size": point.size, "version": engine.version(), "at": rfc3339(point.at)});
    let as_of = as_of.as_object().cloned().unwrap_or_default();
    let withheld = ask.withheld.clone();
    let order = Order { rows, selection, as_of, withheld, held: held.map(|checkpoint| checkpoint.size) };
    let manifest = store.pack(&order, folder, signer).await?;
    check(folder, signer, ask).await?;
    Ok(manifest)
}

/// Who signs what `store` hands out.
///
/// # Errors
/// Invalid when the key is not here.
pub fn signer(store: &Store) -> Result<&Signer> {
    let missing = "the store has no signing key here, and a pack must be signed; name the key with --key FILE";
    store.signer().map(AsRef::as_ref).ok_or_else(|| Error::invalid(missing))
}

/// The sealed columns with these names.
///
/// # Errors
/// Invalid for a name that is none.
pub fn withheld(names: &[String]) -> Result<Vec<Column>> {
    let column = |name: &String| {
        let found = SEALED.iter().map(|(column, _)| *column).find(|column| column.name() == name.trim());
        found.ok_or_else(|| {
            let known: Vec<&str> = SEALED.iter().map(|(column, _)| column.name()).collect();
            Error::invalid(format!("`{}` is no sealed column; those are {}", name.escape_debug(), known.join(", ")))
        })
    };
    names.iter().map(column).collect()
}

/// Writes the files of `folder` to `file` as a `.tar.gz`, in the order of their names, with nothing of this machine in
/// it.
///
/// # Errors
/// When a file cannot be read or the archive not written.
pub fn archive(folder: &Path, file: &File) -> std::io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.file_name())).collect::<std::io::Result<_>>()?;
    names.sort_unstable();
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for name in names {
        let content = File::open(folder.join(&name))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.metadata()?.len());
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content)?;
    }
    tar.into_inner()?.finish()?.sync_all()
}

fn range(engine: &Engine, from: u64, to: u64) -> Result<(Wanted, Selection)> {
    let size = engine.as_of().size;
    if from >= to || to > size as u64 {
        return Err(Error::invalid(format!(
            "the range {from}..{to} is not one of the {size} events; its end is the seq after the last one"
        )));
    }
    Ok((Wanted::Range(from..to), Selection::Range { from_seq: from, to_seq: to }))
}

/// Without a row limit.
fn all() -> Limits {
    Limits { rows: usize::MAX, ..Limits::default() }
}

async fn of_query(engine: &Engine, text: &str, params: &Params) -> Result<(Wanted, Selection)> {
    let (answer, query, params) = match named(text)? {
        Some(query) => {
            let bound = engine.bind(query, params)?;
            let values = bound.values().into_iter().map(|(name, value)| (name.to_owned(), json!(value.to_string())));
            (engine.stream(query, params, all()).await?.collect().await?, query.name.clone(), values.collect())
        }
        None if !params.is_empty() => {
            return Err(Error::invalid("parameters are those of named queries; write values into the SQL instead"));
        }
        None => (engine.sql(text, all()).await?, text.to_owned(), Map::new()),
    };
    chosen_by(&answer, query, params)
}

async fn of_subject(engine: &Engine, subject: &str) -> Result<(Wanted, Selection)> {
    let sql = format!("select seq from events where subject_id = {}", literal(subject));
    let params = json!({"subject_id": subject}).as_object().cloned().unwrap_or_default();
    let query = "select seq from events where subject_id = $subject_id".to_owned();
    chosen_by(&engine.sql(&sql, all()).await?, query, params)
}

fn chosen_by(answer: &Answer, query: String, params: Map<String, Value>) -> Result<(Wanted, Selection)> {
    if answer.is_truncated {
        return Err(Error::limit(
            "the query gives more rows than an answer may have; ask for less, a pack is never cut off",
        ));
    }
    Ok((Wanted::These(seqs_of(answer)?), Selection::Query { query, params }))
}

fn seqs_of(answer: &Answer) -> Result<Vec<u64>> {
    let lacking = || Error::invalid("the query gives no column `seq` of integers; a pack needs it to know the rows");
    let column = answer.columns().iter().position(|name| *name == "seq").ok_or_else(lacking)?;
    let mut seqs = BTreeSet::new();
    for batch in &answer.batches {
        let values = batch.column(column).as_primitive_opt::<Int64Type>().ok_or_else(lacking)?;
        for seq in values {
            let seq = seq.and_then(|seq| u64::try_from(seq).ok());
            seqs.insert(
                seq.ok_or_else(|| Error::invalid("the query gives a null or negative `seq`; no event has one"))?,
            );
        }
    }
    if seqs.is_empty() {
        return Err(Error::invalid("no event was found; there is nothing to pack"));
    }
    Ok(seqs.into_iter().collect())
}

/// Verifies the pack as its reader will: one that fails is never handed out.
async fn check(folder: &Path, signer: &Signer, ask: &Ask) -> Result<()> {
    let receipt = match &ask.chosen {
        Chosen::Receipt(file) => Some(file.clone()),
        _ => None,
    };
    let (pack, vkey) = (folder.to_owned(), OsString::from(signer.vkey()));
    let (trust, held) = (ask.trust.clone(), ask.held.clone());
    let verifying = tokio::task::spawn_blocking(move || {
        let (trust, held, receipt) = (trust.as_deref(), held.as_deref(), receipt.as_deref());
        verify(&Asked { pack: &pack, key: &vkey, trust, held, receipt })
    });
    let verdict = verifying.await.map_err(|e| Error::internal("the verification died").because(e))??;
    if verdict.is_ok {
        return Ok(());
    }
    Err(Error::damaged(format!("the pack does not verify, so it is not handed out: {}", verdict.sentence())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sealed_columns_can_be_withheld() {
        let names = |given: &[&str]| given.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(withheld(&names(&["comment", " extra"])).unwrap(), [Column::Comment, Column::Extra]);
        assert!(withheld(&names(&["workflow"])).unwrap_err().to_string().contains("old_value"));
    }

    #[test]
    fn an_archive_holds_the_files_and_nothing_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.ndjson", "second"), ("a.json", "first")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let made = || {
            let file = tempfile::NamedTempFile::new().unwrap();
            archive(folder.path(), file.as_file()).unwrap();
            fs::read(file.path()).unwrap()
        };
        let bytes = made();
        assert_eq!(bytes, made());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let (path, header) = (entry.path().unwrap().display().to_string(), entry.header());
            (path, header.uid().unwrap_or_default(), header.mtime().unwrap_or_default())
        });
        assert_eq!(entries.collect::<Vec<_>>(), [("a.json".to_owned(), 0, 0), ("b.ndjson".to_owned(), 0, 0)]);
    }
}
