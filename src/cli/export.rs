//! `probity export`: an evidence pack, verified before it is handed out.
//!
//! In: which rows, what to withhold, what the auditor holds. Out: a folder or a `.tar.gz`. Invariants: a pack that does
//! not verify never gets its name; that it is handed out is in the ledger, as `evidence.exported` with its hash, before
//! it does. What is left of a failure is a temporary file that goes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Map, json};
use tempfile::{NamedTempFile, TempDir};

use super::args::{ExportArgs, Global};
use super::output::{Output, thousands};
use super::query::parse_params;
use super::{Answer, open, person, session, witness};
use crate::auditor::read_policy;
use crate::custody::exported::{Handed, exported, measured};
use crate::custody::handout::{self, Ask, Chosen, archive};
use crate::error::{Error, Result};
use crate::ingest::writer::Writer;
use crate::ledger::pack::format::MANIFEST;

/// Runs the command.
///
/// # Errors
/// When the rows cannot be told, nothing covers them, or the pack cannot be written or does not verify, with a trust
/// policy by that too.
pub async fn run(global: &Global, args: &ExportArgs, out: &Output) -> Result<Answer> {
    let target = Target::of(&args.out)?;
    let (ask, by) = (asked(args)?, person(None)?);
    let policy = args.trust.as_deref().map(read_policy).transpose()?;
    let store = open(global).await?;
    let signer = handout::signer(&store)?;
    store.fold().await?;
    if let Some(policy) = &policy {
        // One that does not answer may not be needed, or have cosigned already: the check of the pack decides.
        for told in witness::ask_all(&store, &witness::known(policy)).await {
            out.say(&told.line);
        }
    }
    let engine = session(global, &store).await?;
    let folder = TempDir::new_in(&target.parent).map_err(|e| target.unwritable(e))?;
    let manifest = handout::make(&store, &engine, &ask, folder.path()).await?;
    let pack = target.finished(folder)?;
    let handed =
        Handed { by: &by, bytes: pack.bytes, facts: Map::from_iter([(pack.hash.0.to_owned(), json!(pack.hash.1))]) };
    let event = exported(store.clock(), (&ask, &manifest), handed);
    let seq = Writer::new(&store).state(&event).await?;
    let bytes = target.publish(pack)?;
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
        "completeness": manifest.completeness, "bytes": bytes, "vkey": signer.vkey(), "seq": seq,
    }))?;
    Ok(Answer::Done)
}

/// What the arguments ask for.
fn asked(args: &ExportArgs) -> Result<Ask> {
    let chosen = match (&args.receipt, args.from.zip(args.to), &args.query, &args.subject) {
        (Some(file), ..) => Chosen::Receipt(file.clone()),
        (_, Some((from, to)), ..) => Chosen::Range(from, to),
        (_, _, Some(text), _) => Chosen::Query(text.clone(), parse_params(&args.params)?),
        (_, _, _, subject) => Chosen::Subject(subject.clone().unwrap_or_default()),
    };
    let (held, trust) = (args.held.clone(), args.trust.clone());
    Ok(Ask { chosen, withheld: handout::withheld(&args.withhold)?, held, trust })
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

    /// The pack in `folder` in the form that is asked for, under a name that goes with it.
    fn finished(&self, folder: TempDir) -> Result<Pack> {
        if !self.is_archive {
            let manifest = File::open(folder.path().join(MANIFEST)).and_then(|mut file| measured(&mut file));
            let (_, sha256) = manifest.map_err(|e| self.unwritable(e))?;
            let bytes = length_of(folder.path()).map_err(|e| self.unwritable(e))?;
            return Ok(Pack { form: Form::Folder(folder), bytes, hash: ("manifest_sha256", sha256) });
        }
        let mut packed = NamedTempFile::new_in(&self.parent).map_err(|e| self.unwritable(e))?;
        archive(folder.path(), packed.as_file()).map_err(|e| self.unwritable(e))?;
        let (bytes, sha256) = measured(packed.as_file_mut()).map_err(|e| self.unwritable(e))?;
        Ok(Pack { form: Form::Archive(packed), bytes, hash: ("sha256", sha256) })
    }

    /// Gives the finished pack its name; gives its length in bytes.
    fn publish(&self, pack: Pack) -> Result<u64> {
        match pack.form {
            Form::Folder(folder) => {
                fs::rename(folder.path(), &self.path).map_err(|e| self.unwritable(e))?;
                // There is nothing left under its old name that would have to go.
                let _ = folder.keep();
            }
            Form::Archive(packed) => drop(packed.persist(&self.path).map_err(|e| self.unwritable(e.error))?),
        }
        Ok(pack.bytes)
    }
}

/// A finished pack that nobody has yet.
struct Pack {
    form: Form,
    bytes: u64,
    /// What it is known by: the name of a hash, and the hash.
    hash: (&'static str, String),
}

enum Form {
    Folder(TempDir),
    Archive(NamedTempFile),
}

fn length_of(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
