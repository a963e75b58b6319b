//! Signing keys: where they lie, and who may read them.
//!
//! A local store keeps the key of each tenant in `keys/<tenant>.key`, readable by its owner alone; for a remote store
//! the key lies in a file that its user names. Invariant: a key never leaves its file, but in memory of a process that
//! signs, and gives way to no other but the one that it handed the log over to. The name of the key is the origin of the
//! log, which never changes.
//!
//! A rotation lays the new key beside the old one as `<file>.next`, durable before the handover is; then it takes the
//! old one's place, which destroys that. Whoever opens the store after a crash between the two finishes it, see
//! [`promote`]. Whoever has it open meanwhile finds the new key in the file when the old one signs nothing more, see
//! `Signing`.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::Store;
use super::handovers::Handed;
use super::object::Location;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ledger::hash::hex;
use crate::ledger::note::{Kind, Signer};

/// The key that a store signs with, and those that took its place since the store was opened.
#[derive(Debug)]
pub(super) struct Signing {
    signer: Arc<Signer>,
    /// Where the key was read.
    file: Option<PathBuf>,
    /// The key that this one handed over to, once it was read.
    next: OnceLock<Box<Signing>>,
}

impl Signing {
    pub(super) fn new(signer: Arc<Signer>, file: Option<PathBuf>) -> Self {
        Self { signer, file, next: OnceLock::new() }
    }

    fn newest(&self) -> &Self {
        let mut newest = self;
        while let Some(next) = newest.next.get() {
            newest = next;
        }
        newest
    }

    /// The key that signs now.
    pub(super) fn signer(&self) -> &Arc<Signer> {
        &self.newest().signer
    }

    /// The key that lies in the file by now, where it is another one and can be read here.
    fn replaced(&self) -> Option<Signer> {
        let newest = self.newest();
        let lying = read(newest.file.as_deref()?).ok()?;
        (lying.verifier(Kind::Ed25519) != newest.signer.verifier(Kind::Ed25519)).then_some(lying)
    }

    /// Signs with `signer` from now on. Who comes second finds that done.
    fn follow(&self, signer: Signer) {
        let newest = self.newest();
        let _ = newest.next.set(Box::new(Self::new(Arc::new(signer), newest.file.clone())));
    }
}

impl Store {
    /// Takes the key that lies in the file of this store's key, if the log was handed over to it; whether it was.
    ///
    /// # Errors
    /// As [`Store::handovers`].
    pub(super) async fn renew_key(&self) -> Result<bool> {
        let Some(signing) = &self.signing else { return Ok(false) };
        let Some(lying) = signing.replaced() else { return Ok(false) };
        let is_its = |handed: Handed| handed.handover.new == lying.verifier(Kind::Ed25519);
        if !self.handovers().await?.pop().is_some_and(is_its) {
            return Ok(false);
        }
        signing.follow(lying);
        Ok(true)
    }
}

/// Where the key of `tenant` lies in a local store.
pub fn path_of(location: &Location, tenant: &str) -> Option<PathBuf> {
    Some(location.directory.as_ref()?.join("keys").join(format!("{tenant}.key")))
}

/// The key of `tenant`: from `file` where that is named, else from a local store; none where there is none.
///
/// # Errors
/// When the file cannot be read, is no key, or may be read by others than its owner.
pub fn load(location: &Location, tenant: &str, file: Option<&Path>) -> Result<Option<Signer>> {
    let (path, is_named) = match (file, path_of(location, tenant)) {
        (Some(file), _) => (file.to_owned(), true),
        (None, Some(path)) => (path, false),
        (None, None) => return Ok(None),
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // Who may not read the key reads evidence all the same.
        Err(e) if matches!(e.kind(), Io::NotFound | Io::PermissionDenied) && !is_named => return Ok(None),
        Err(e) => return Err(Error::not_found(format!("cannot read the key {}", path.display())).because(e)),
    };
    parsed(&path, &text).map(Some)
}

/// Opens the evidence of `tenant`, signing with its key: from `file` where that is named, else from a local store.
///
/// # Errors
/// NotFound when there is no such evidence; as [`load`].
pub async fn open_store(location: Location, tenant: &str, file: Option<&Path>, clock: Clock) -> Result<Store> {
    let store = Store::open(location.clone(), tenant, clock).await?;
    // A process that cannot read the key appends and folds unsigned; whoever has it signs later.
    let Some(mut signer) = load(&location, tenant, file)? else { return Ok(store) };
    let Some(file) = file_of(&location, tenant, file) else { return Ok(store.signed_by(Arc::new(signer))) };
    if let Some(next) = handed_over(&store, &file).await? {
        signer = next;
    }
    Ok(store.signed_from(Arc::new(signer), file))
}

/// Finishes a rotation that was cut off: the key beside the one in `file`, if the log was handed over to it.
async fn handed_over(store: &Store, file: &Path) -> Result<Option<Signer>> {
    let staged = next_of(file);
    if !staged.exists() {
        return Ok(None);
    }
    // Where it is gone by now, or not to be read here, somebody else is at it.
    let Ok(next) = read(&staged) else { return Ok(None) };
    let is_its = |handed: Handed| handed.handover.new == next.verifier(Kind::Ed25519);
    if !store.handovers().await?.pop().is_some_and(is_its) {
        return Ok(None);
    }
    promote(file)?;
    Ok(Some(next))
}

/// The key in `file`.
///
/// # Errors
/// When the file cannot be read, is no key, or may be read by others than its owner.
pub fn read(file: &Path) -> Result<Signer> {
    let text = fs::read_to_string(file)
        .map_err(|e| Error::not_found(format!("cannot read the key {}", file.display())).because(e))?;
    parsed(file, &text)
}

fn parsed(path: &Path, text: &str) -> Result<Signer> {
    check_mode(path)?;
    Signer::parse(text.trim_end())
        .map_err(|e| Error::invalid(format!("{} holds no signing key", path.display())).because(e))
}

/// The file of the key: the one that is named, else that of a local store.
pub fn file_of(location: &Location, tenant: &str, file: Option<&Path>) -> Option<PathBuf> {
    file.map(Path::to_owned).or_else(|| path_of(location, tenant))
}

/// Where the key lies that is to take the place of the one in `file`.
pub fn next_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Puts the key that lies beside `file` in its place; the one that was there is gone. Somebody else may have done so.
///
/// # Errors
/// When the file cannot be replaced.
pub fn promote(file: &Path) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::unavailable(format!("cannot replace the key {}", file.display())).because(e);
    match fs::rename(next_of(file), file) {
        Err(e) if e.kind() == Io::NotFound && file.exists() => {}
        renamed => renamed.map_err(failed)?,
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode()) & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::invalid(format!(
            "others may read the key {0} (mode {mode:o}); run: chmod 600 {0}",
            path.display()
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<()> {
    Ok(())
}

/// Makes a key for the log `origin` and writes it to `path`, for its owner alone.
///
/// # Errors
/// Conflict when there is a key already; when the origin is no name of a key, or the file cannot be written.
pub fn create(path: &Path, origin: &str, clock: &Clock) -> Result<Signer> {
    let signer = Signer::new(origin, clock.random::<32>())?;
    let failed = |e: std::io::Error| match e.kind() {
        Io::AlreadyExists => Error::new(
            crate::error::ErrorKind::Conflict,
            format!("there is a key already at {}; a key is never overwritten", path.display()),
        ),
        _ => Error::unavailable(format!("cannot write the key {}", path.display())).because(e),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Durable under another name before it has its own: a key that was used is not forgotten, nor is there half a one.
    let staged = path.with_extension(format!("key.{}", clock.id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&staged).map_err(failed)?;
    let written = file.write_all(format!("{}\n", signer.skey()).as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&staged, path));
    fs::remove_file(&staged).map_err(failed)?;
    linked.map_err(failed)?;
    // The parent of a plain file name is an empty path, which nothing opens.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(signer)
}

/// A name for a log that nobody named: no two are alike.
pub fn fresh_origin(tenant: &str, clock: &Clock) -> String {
    format!("probity.local/{}/{tenant}", hex(&clock.random::<8>()))
}
