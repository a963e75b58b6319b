//! `probity export`: an evidence pack, verified before it is handed out.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, json};
use tempfile::TempDir;

use super::args::{ExportArgs, Global};
use super::output::{Output, thousands};
use super::query::{named, parse_params};
use super::{Answer, open, session, witness};
use crate::auditor::{Asked, read_held, read_policy, read_receipt, verify};
use crate::error::{Error, Result};
use crate::event::Column;
use crate::event::columns::SEALED;
use crate::ledger::handover::Handover;
use crate::ledger::note::{Kind, Signer};
use crate::ledger::pack::format::Selection;
use crate::ledger::receipt::Receipt;
use crate::query::answer::{Answer as Rows, Limits};
use crate::store::Store;
use crate::store::pack::{Order, Wanted};

/// Runs the command.
///
/// # Errors
/// When the rows cannot be told, nothing covers them, or the pack cannot be written or does not verify, with a trust
/// policy by that too.
pub async fn run(global: &Global, args: &ExportArgs, out: &Output) -> Result<Answer> {
    let target = Target::of(&args.out)?;
    let withheld = withheld(&args.withhold)?;
    let policy = args.trust.as_deref().map(read_policy).transpose()?;
    let store = open(global).await?;
    let signer = store.signer().cloned().ok_or_else(|| {
        Error::invalid("the store has no signing key here, and a pack must be signed; name the key with --key FILE")
    })?;
    store.fold().await?;
    if let Some(policy) = &policy {
        // One that does not answer may not be needed, or have cosigned already: the check of the pack decides.
        for told in witness::ask_all(&store, &witness::known(policy)).await {
            out.say(&told.line);
        }
    }
    let key = signer.verifier(Kind::Ed25519);
    let handovers: Vec<Handover> = store.handovers().await?.into_iter().map(|handed| handed.handover).collect();
    let held = args.held.as_deref().map(|file| read_held(file, &key, &handovers)).transpose()?;
    let receipt = args.receipt.as_deref().map(|file| read_receipt(file, &key, &handovers)).transpose()?;
    let (rows, selection, as_of) = selected(global, args, receipt.as_ref(), &store).await?;
    let order = Order { rows, selection, as_of, withheld, held: held.map(|checkpoint| checkpoint.size) };
    let folder = TempDir::new_in(&target.parent).map_err(|e| target.unwritable(e))?;
    let manifest = store.pack(&order, folder.path(), &signer).await?;
    check(folder.path(), &signer, args)?;
    let bytes = target.publish(folder)?;
    out.say(&format!(
        "{}: {} rows, completeness {}, {} bytes; verify it with: probity-verify {0} --key {}",
        args.out.display(),
        thousands(manifest.rows),
        serde_json::to_value(manifest.completeness).ok().and_then(|v| Some(v.as_str()?.to_owned())).unwrap_or_default(),
        thousands(bytes),
        signer.vkey(),
    ));
    out.json(&json!({
        "pack": args.out.display().to_string(), "rows": manifest.rows, "tree_size": manifest.tree_size,
        "completeness": manifest.completeness, "bytes": bytes, "vkey": signer.vkey(),
    }))?;
    Ok(Answer::Done)
}

/// The rows that are asked for, how the manifest says so, and as of when.
async fn selected(
    global: &Global,
    args: &ExportArgs,
    receipt: Option<&Receipt>,
    store: &Store,
) -> Result<(Wanted, Selection, Map<String, serde_json::Value>)> {
    let engine = session(global, store).await?;
    let point = engine.as_of();
    let as_of = json!({"size": point.size, "version": engine.version(), "at": crate::clock::rfc3339(point.at)});
    let as_of = as_of.as_object().cloned().unwrap_or_default();
    let all = Limits { rows: usize::MAX, ..Limits::default() };
    let range = receipt.map(|receipt| (receipt.first_seq, receipt.end())).or(args.from.zip(args.to));
    let (answer, query, params) = match (range, &args.query, &args.subject) {
        (Some((from, to)), _, _) => {
            if from >= to || to > point.size as u64 {
                return Err(Error::invalid(format!(
                    "the range {from}..{to} is not one of the {} events; --to is the seq after the last one",
                    point.size
                )));
            }
            return Ok((Wanted::Range(from..to), Selection::Range { from_seq: from, to_seq: to }, as_of));
        }
        (_, Some(text), _) => match named(text)? {
            Some(query) => {
                let params = parse_params(&args.params)?;
                let bound = engine.bind(query, &params)?;
                let values =
                    bound.values().into_iter().map(|(name, value)| (name.to_owned(), json!(value.to_string())));
                let answer = engine.stream(query, &params, all).await?.collect().await?;
                (answer, query.name.clone(), values.collect())
            }
            None => (engine.sql(text, all).await?, text.clone(), Map::new()),
        },
        (_, _, subject) => {
            let subject = subject.clone().unwrap_or_default();
            let sql = format!("select seq from events where subject_id = '{}'", subject.replace('\'', "''"));
            let params = json!({"subject_id": subject}).as_object().cloned().unwrap_or_default();
            (engine.sql(&sql, all).await?, "select seq from events where subject_id = $subject_id".to_owned(), params)
        }
    };
    if answer.is_truncated {
        return Err(Error::limit(
            "the query gives more rows than an answer may have; ask for less, a pack is never cut off",
        ));
    }
    Ok((Wanted::These(seqs_of(&answer)?), Selection::Query { query, params }, as_of))
}

fn seqs_of(answer: &Rows) -> Result<Vec<u64>> {
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

pub(super) fn withheld(names: &[String]) -> Result<Vec<Column>> {
    let column = |name: &String| {
        let found = SEALED.iter().map(|(column, _)| *column).find(|column| column.name() == name.trim());
        found.ok_or_else(|| {
            let known: Vec<&str> = SEALED.iter().map(|(column, _)| column.name()).collect();
            Error::invalid(format!("`{name}` is no sealed column; those are {}", known.join(", ")))
        })
    };
    names.iter().map(column).collect()
}

/// Verifies the pack as its reader will: one that fails is never handed out.
fn check(folder: &Path, signer: &Signer, args: &ExportArgs) -> Result<()> {
    let vkey = signer.vkey();
    let (trust, held, receipt) = (args.trust.as_deref(), args.held.as_deref(), args.receipt.as_deref());
    let verdict = verify(&Asked { pack: folder, key: OsStr::new(&vkey), trust, held, receipt })?;
    if verdict.is_ok {
        return Ok(());
    }
    Err(Error::damaged(format!("the pack does not verify, so it is not handed out: {}", verdict.sentence())))
}

/// Where the pack goes.
struct Target {
    path: PathBuf,
    parent: PathBuf,
    is_archive: bool,
}

impl Target {
    fn of(path: &Path) -> Result<Self> {
        if path.exists() {
            return Err(Error::invalid(format!("{} is there already; name another place", path.display())));
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let is_archive = name.ends_with(".tar.gz") || name.ends_with(".tgz");
        Ok(Self { path: path.to_owned(), parent: parent.to_owned(), is_archive })
    }

    fn unwritable(&self, cause: std::io::Error) -> Error {
        Error::unavailable(format!("cannot write {}", self.path.display())).because(cause)
    }

    /// Gives the finished pack its name; gives its length in bytes.
    fn publish(&self, folder: TempDir) -> Result<u64> {
        if !self.is_archive {
            let bytes = length_of(folder.path()).map_err(|e| self.unwritable(e))?;
            let kept = folder.keep();
            fs::rename(&kept, &self.path).map_err(|e| self.unwritable(e))?;
            return Ok(bytes);
        }
        let packed = tempfile::NamedTempFile::new_in(&self.parent).map_err(|e| self.unwritable(e))?;
        archive(folder.path(), packed.as_file()).map_err(|e| self.unwritable(e))?;
        let bytes = packed.as_file().metadata().map_err(|e| self.unwritable(e))?.len();
        packed.persist(&self.path).map_err(|e| self.unwritable(e.error))?;
        Ok(bytes)
    }
}

fn length_of(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// The files of `folder` as a `.tar.gz`, in the order of their names, with nothing of this machine in it.
fn archive(folder: &Path, file: &File) -> std::io::Result<()> {
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
