//! Where the bytes are: the object store behind a store's URL.
//!
//! In: a directory or a URL. Out: an object store rooted at the top of its medium, and the base path inside
//! it. Invariant: whatever a put returned for is durable; on a local disk that is the work of
//! [`DurableLocal`], elsewhere the promise of the service.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use url::Url;

use super::durable::DurableLocal;
use crate::error::{Error, ErrorKind, Result};

/// An opened place for stores.
#[derive(Debug, Clone)]
pub struct Location {
    /// URL of the store, ending in `/`.
    pub url: Url,
    /// Object store rooted at the top of the medium: bucket or file system.
    pub objects: Arc<dyn ObjectStore>,
    /// Path of the store inside it.
    pub base: Path,
    /// Directory of a local store.
    pub directory: Option<PathBuf>,
}

impl Location {
    /// Opens a local directory or a `file://`, `s3://`, `gs://`, `az://` URL; credentials and endpoints come
    /// from the usual environment variables (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
    ///
    /// # Errors
    /// A URL that is malformed, of an unknown scheme, or lacks what its service needs.
    pub fn open(text: &str) -> Result<Self> {
        let Some(url) = parse_url(text)? else {
            return Self::open_directory(FilePath::new(text));
        };
        let unusable = |e: object_store::Error| {
            Error::invalid(format!(
                "cannot use store `{text}`; expected a directory, file://, s3://, gs:// or az:// URL"
            ))
            .because(e)
        };
        let scheme = ObjectStoreScheme::parse(&url).map_err(|e| unusable(e.into()))?.0;
        match scheme {
            ObjectStoreScheme::Local => {
                let path =
                    url.to_file_path().map_err(|()| Error::invalid(format!("`{text}` names no local directory")))?;
                Self::open_directory(&path)
            }
            ObjectStoreScheme::Memory => {
                Err(Error::invalid("a memory store lives in one process only; name a directory"))
            }
            _ => {
                let options = std::env::vars()
                    .map(|(k, v)| (k.to_ascii_lowercase(), v))
                    .filter(|(k, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| k.starts_with(prefix)));
                let (objects, base) = object_store::parse_url_opts(&url, options).map_err(unusable)?;
                Ok(Self { url: as_directory(url), objects: Arc::from(objects), base, directory: None })
            }
        }
    }

    fn open_directory(path: &FilePath) -> Result<Self> {
        let bad = |why: &str| Error::invalid(format!("cannot use `{}` as a store: {why}", path.display()));
        let absolute = std::path::absolute(path).map_err(|e| bad("no such path").because(e))?;
        let url = Url::from_directory_path(&absolute).map_err(|()| bad("it has no absolute form"))?;
        let base = Path::from_url_path(url.path()).map_err(|e| bad("its name cannot be a store path").because(e))?;
        Ok(Self { url, objects: Arc::new(DurableLocal::new()), base, directory: Some(absolute) })
    }

    /// The same objects, put without waiting for the disk: for what can be made again.
    pub fn unsynced(&self) -> Arc<dyn ObjectStore> {
        match self.directory {
            Some(_) => Arc::new(LocalFileSystem::new()),
            None => self.objects.clone(),
        }
    }

    /// A store that lives and dies with this process, on `objects`.
    pub fn on(objects: Arc<dyn ObjectStore>) -> Self {
        let url = Url::parse("memory:///store/").expect("a constant URL is valid");
        Self { url, objects, base: Path::from("store"), directory: None }
    }

    /// A store in memory.
    pub fn memory() -> Self {
        Self::on(Arc::new(InMemory::new()))
    }
}

/// `text` as a URL, or none where it is a file path.
fn parse_url(text: &str) -> Result<Option<Url>> {
    if !text.contains("://") {
        return Ok(None);
    }
    Url::parse(text).map(Some).map_err(|e| Error::invalid(format!("`{text}` is no URL")).because(e))
}

fn as_directory(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}

/// Says what could not be done to which object, and of what kind the failure is.
pub fn object_error(doing: &str, path: &Path, err: object_store::Error) -> Error {
    let kind = match &err {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => ErrorKind::Conflict,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {doing} {path}")).because(err)
}

/// The bytes of an object; none where it is not there.
///
/// # Errors
/// When the store fails.
pub(super) async fn get(objects: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<Bytes>> {
    let read = async { objects.get(path).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(object_error("read", path, e)),
    }
}

/// The objects below a folder; none where there is no such folder.
///
/// # Errors
/// When the store fails.
pub(super) async fn list(objects: &Arc<dyn ObjectStore>, folder: &Path) -> Result<Vec<ObjectMeta>> {
    match objects.list(Some(folder)).try_collect().await {
        Ok(listed) => Ok(listed),
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        Err(e) => Err(object_error("list", folder, e)),
    }
}

/// Deletes an object; one that is gone already is no error.
///
/// # Errors
/// When the store fails.
pub(super) async fn delete(objects: &Arc<dyn ObjectStore>, path: &Path) -> Result<()> {
    match objects.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(e) => Err(object_error("delete", path, e)),
    }
}

/// Whether the store failed, so that nothing is known of the evidence.
pub(super) fn is_of_the_store(err: &Error) -> bool {
    said(err).is_some_and(|e| !matches!(e, object_store::Error::NotFound { .. }))
}

/// Whether an object was not there.
pub(super) fn is_gone(err: &Error) -> bool {
    said(err).is_some_and(|e| matches!(e, object_store::Error::NotFound { .. }))
}

/// What the object store said, where that is why `err` came about.
fn said(err: &Error) -> Option<&object_store::Error> {
    let mut cause = std::error::Error::source(err);
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref() {
            return Some(e);
        }
        cause = e.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_urls_are_told_apart() {
        let local = Location::open("some dir/ä#1").unwrap();
        assert!(local.directory.unwrap().is_absolute());
        assert!(local.url.as_str().starts_with("file:///"));
        for text in ["ftp://x/y", "s3:///", "://", "memory:///x"] {
            let message = Location::open(text).unwrap_err().to_string();
            assert!(message.contains("store") || message.contains("URL"), "{text}: {message}");
        }
    }
}
