//! A local directory as an object store whose puts survive a power cut.
//!
//! `LocalFileSystem` never calls fsync. Here every put writes a staging file, syncs it, gives it its name and
//! syncs the directory, in this order: a name never stands for bytes that are not on the disk, and a put
//! that returned is not forgotten. Reading, listing and deleting are left to `LocalFileSystem`, which hides
//! staging files (`name#digits`) from listings.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::clock::Clock;

/// The file system, rooted at `/`, with durable puts.
#[derive(Debug)]
pub struct DurableLocal {
    inner: LocalFileSystem,
}

impl DurableLocal {
    /// The whole file system.
    pub fn new() -> Self {
        Self { inner: LocalFileSystem::new() }
    }
}

impl Default for DurableLocal {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableLocal(/)")
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let is_create = match opts.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(unsupported("conditional update")),
        };
        blocking(move || {
            let mut staged = Staged::create(&path).map_err(|e| failed(&path, e))?;
            let written = payload.iter().try_for_each(|chunk| staged.file.write_all(chunk));
            written.and_then(|()| staged.publish(is_create)).map_err(|e| failed(&path, e))
        })
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let staged = blocking(move || Staged::create(&path).map_err(|e| failed(&path, e))).await?;
        Ok(Box::new(LocalUpload { staged: Some(Arc::new(staged)), offset: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            // Before every acknowledgement it is asked whether there is another commit, and nearly always there is none:
            // one look tells that sooner than another thread wakes up.
            let path = self.inner.path_to_filesystem(location)?;
            if let Err(e) = fs::metadata(&path) {
                return Err(failed(&path, e));
            }
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        // A copy is a put of what was read, so that it is as durable as one.
        let bytes = self.inner.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put_opts(to, bytes.into(), PutOptions { mode, ..Default::default() }).await.map(|_| ())
    }
}

/// A file under its staging name; dropped unpublished it is removed.
#[derive(Debug)]
struct Staged {
    file: File,
    staging: PathBuf,
    path: PathBuf,
}

impl Staged {
    fn create(path: &FilePath) -> io::Result<Self> {
        let parent = path.parent().unwrap_or(FilePath::new("/"));
        create_dirs(parent)?;
        let suffix = u64::from_le_bytes(Clock::system().random::<8>());
        let staging = PathBuf::from(format!("{}#{suffix}", path.display()));
        let file = OpenOptions::new().write(true).create_new(true).open(&staging)?;
        Ok(Self { file, staging, path: path.to_owned() })
    }

    /// Syncs the bytes, gives them their name, syncs the directory.
    fn publish(&self, is_create: bool) -> io::Result<PutResult> {
        self.file.sync_all()?;
        let named = if is_create {
            let linked = fs::hard_link(&self.staging, &self.path);
            let _ = fs::remove_file(&self.staging);
            linked
        } else {
            fs::rename(&self.staging, &self.path)
        };
        // Also before "already exists" is answered: that answer proves durability to whoever put the name.
        sync_dir(self.path.parent().unwrap_or(FilePath::new("/")))?;
        named?;
        Ok(PutResult { e_tag: None, version: None })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.staging);
    }
}

/// Creates `dir` and what is missing above it, each entry synced into its parent.
pub fn create_dirs(dir: &FilePath) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(FilePath::new("/"));
    create_dirs(parent)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => sync_dir(parent),
    }
}

fn sync_dir(dir: &FilePath) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes staging files below `dir` that no put has touched for `age`: those of killed processes.
///
/// # Errors
/// When a directory cannot be read.
pub fn sweep_staging(dir: &FilePath, age: Duration) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            swept += sweep_staging(&entry.path(), age)?;
            continue;
        }
        let name = entry.file_name();
        let is_staging = name
            .to_string_lossy()
            .rsplit_once('#')
            .is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()));
        let touched = entry.metadata()?.modified()?;
        if is_staging && touched.elapsed().unwrap_or_default() > age {
            fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

#[derive(Debug)]
struct LocalUpload {
    staged: Option<Arc<Staged>>,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let staged = self.staged.clone();
        let mut offset = self.offset;
        self.offset += data.content_length() as u64;
        Box::pin(blocking(move || {
            let staged = staged.ok_or_else(|| unsupported("a part after the end of an upload"))?;
            data.iter()
                .try_for_each(|chunk| {
                    let at = offset;
                    offset += chunk.len() as u64;
                    staged.file.write_all_at(chunk, at)
                })
                .map_err(|e| failed(&staged.path, e))
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or_else(|| unsupported("a second end of an upload"))?;
        blocking(move || staged.publish(false).map_err(|e| failed(&staged.path, e))).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn failed(path: &FilePath, source: io::Error) -> object_store::Error {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: source.into() },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            object_store::Error::PermissionDenied { path, source: source.into() }
        }
        _ => object_store::Error::Generic { store: "local", source: format!("{path}: {source}").into() },
    }
}

fn unsupported(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.into(), implementer: "DurableLocal".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    fn at(dir: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(dir.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn a_name_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableLocal::new();
        let path = at(&dir, "a/b/c.arrow");
        let create = || PutOptions { mode: PutMode::Create, ..Default::default() };
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let err = store.put_opts(&path, "two".into(), create()).await.unwrap_err();
        assert!(matches!(err, object_store::Error::AlreadyExists { .. }), "{err}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&path, "three".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1, "no staging file stays");
    }

    #[tokio::test]
    async fn a_look_tells_what_is_there_and_what_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableLocal::new();
        store.put(&at(&dir, "there"), "four".into()).await.unwrap();
        assert_eq!(store.head(&at(&dir, "there")).await.unwrap().size, 4);
        for missing in ["not-there", "no/such/folder"] {
            let err = store.head(&at(&dir, missing)).await.unwrap_err();
            assert!(matches!(err, object_store::Error::NotFound { .. }), "{err}");
        }
    }

    #[tokio::test]
    async fn an_upload_is_visible_only_when_complete() {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableLocal::new();
        let path = at(&dir, "big");
        let mut upload = store.put_multipart(&path).await.unwrap();
        let (first, second) = (upload.put_part("ab".into()), upload.put_part("cd".into()));
        second.await.unwrap();
        first.await.unwrap();
        assert!(store.head(&path).await.is_err());
        let base = Path::from_absolute_path(dir.path()).unwrap();
        assert_eq!(store.list(Some(&base)).try_collect::<Vec<_>>().await.unwrap(), vec![]);
        upload.complete().await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "abcd");
    }

    #[tokio::test]
    async fn staging_files_of_killed_processes_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.arrow#123"), "half").unwrap();
        fs::write(dir.path().join("kept#name"), "whole").unwrap();
        assert_eq!(sweep_staging(dir.path(), Duration::from_secs(3600)).unwrap(), 0);
        assert_eq!(sweep_staging(dir.path(), Duration::ZERO).unwrap(), 1);
        assert!(dir.path().join("kept#name").exists());
    }
}
