//! The projection of actions: what has become of each proposed change, folded once and kept beside the evidence.
//!
//! In: the evidence. Out: segments of folded actions that cover its first events, and a manifest that names them.
//! The evidence stays the only truth: a projection is made from it at any time, may be deleted at any time, and one
//! that covers less than is asked for is completed from the events behind it. Invariant: the rows of a projection
//! that no later segment replaces are the fold of the first `covers` events, each action once.
//!
//! A manifest is put under a name that ends in what it covers; the largest is the newest. Segments that no manifest
//! names are swept once readers had time to finish.

pub mod build;
pub mod segment;

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::Store;
use super::object::{self, object_error};
use super::snapshot::Snapshot;
use crate::clock::SECOND;
use crate::error::{Error, Result};
use crate::limits::{PROJECTION_SEGMENTS, PROJECTION_SLACK_EVENTS, VACUUM_GRACE_SECONDS};
pub use segment::Segment;

/// Format of the projections that this program writes; it reads no other and makes its own instead.
const FORMAT: u32 = 1;
/// Rows of evidence folded at once; bounds the memory of a fold.
const FOLD_BUCKET_ROWS: usize = 192 * 1024;
/// Actions of one segment.
const SEGMENT_ROWS: usize = 256 * 1024;

/// Folded actions that stand for the first events of the evidence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Projection {
    /// Number of events that it stands for.
    pub covers: i64,
    /// Its files.
    pub segments: Vec<Segment>,
}

/// What a projection run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Projected {
    /// Events that the projection stands for now.
    pub covers: i64,
    /// Actions that were folded.
    pub actions: u64,
    /// Segments written.
    pub segments: usize,
}

/// How far the evidence may run ahead of its projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// Not at all.
    None,
    /// As far as a reader catches up with in no time.
    Some,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    covers: i64,
    segments: Vec<Named>,
}

#[derive(Serialize, Deserialize)]
struct Named {
    file: String,
    bytes: u64,
    rows: u64,
    /// Rows that later segments replace, a Roaring bitmap in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    replaced: String,
}

impl Projection {
    /// Rows that count.
    pub fn actions(&self) -> u64 {
        self.segments.iter().map(|s| s.rows - s.replaced.len()).sum()
    }

    /// Whether it has become so scattered that folding everything anew is cheaper than reading on.
    fn is_scattered(&self) -> bool {
        let rows: u64 = self.segments.iter().map(|s| s.rows).sum();
        self.segments.len() > PROJECTION_SEGMENTS || self.actions() * 2 < rows
    }
}

/// The newest projection in `folder` that stands for at most `size` events.
///
/// # Errors
/// When the store fails; a manifest that cannot be understood counts as none.
pub async fn newest(objects: &Arc<dyn ObjectStore>, folder: &Path, size: i64) -> Result<Option<Projection>> {
    let mut manifests: Vec<(i64, Path)> = object::list(objects, folder)
        .await?
        .into_iter()
        .filter_map(|meta| Some((covered(&meta.location)?, meta.location)))
        .filter(|(covers, _)| *covers <= size)
        .collect();
    manifests.sort_unstable();
    while let Some((_, path)) = manifests.pop() {
        let bytes = match objects.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => continue,
            Err(e) => return Err(object_error("read", &path, e)),
        };
        let bytes = bytes.map_err(|e| object_error("read", &path, e))?;
        if let Some(projection) = parse(&bytes, folder) {
            return Ok(Some(projection));
        }
    }
    Ok(None)
}

/// What the manifest at `path` covers, as its name says.
fn covered(path: &Path) -> Option<i64> {
    path.filename()?.strip_prefix("actions-")?.strip_suffix(".json")?.parse().ok()
}

fn parse(bytes: &[u8], folder: &Path) -> Option<Projection> {
    let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
    let segment = |named: Named| {
        let replaced = match named.replaced.as_str() {
            "" => RoaringBitmap::new(),
            text => RoaringBitmap::deserialize_from(BASE64.decode(text).ok()?.as_slice()).ok()?,
        };
        let path = folder.clone().join(named.file);
        Some(Segment { path, bytes: named.bytes, rows: named.rows, replaced: Arc::new(replaced) })
    };
    let segments = manifest.segments.into_iter().map(segment).collect::<Option<_>>()?;
    (manifest.format == FORMAT).then_some(Projection { covers: manifest.covers, segments })
}

fn print(projection: &Projection) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::internal("cannot write a manifest").because(e);
    let mut segments = Vec::with_capacity(projection.segments.len());
    for segment in &projection.segments {
        let mut replaced = Vec::new();
        if !segment.replaced.is_empty() {
            segment.replaced.serialize_into(&mut replaced).map_err(failed)?;
        }
        segments.push(Named {
            file: segment.path.filename().unwrap_or_default().to_owned(),
            bytes: segment.bytes,
            rows: segment.rows,
            replaced: BASE64.encode(replaced),
        });
    }
    serde_json::to_vec(&Manifest { format: FORMAT, covers: projection.covers, segments })
        .map_err(|e| Error::internal("cannot write a manifest").because(e))
}

impl Store {
    /// Brings the projection up to the folded evidence, unless it lags by no more than `lag` allows; makes the touches
    /// of data files that lack them.
    ///
    /// # Errors
    /// When the store fails; the projection before stays in use then.
    pub async fn project(&self, lag: Lag) -> Result<Projected> {
        let _queued = self.queue("project").await?;
        let mut snapshot = self.snapshot().await?;
        snapshot.journal.clear();
        snapshot.size = snapshot.folded;
        self.complete_touches(&snapshot.files).await?;
        let (objects, folder) = (&self.location.objects, self.paths.projection());
        let before = newest(objects, &folder, snapshot.size).await?.unwrap_or_default();
        let behind = snapshot.size - before.covers;
        let allowed = match lag {
            Lag::None => 0,
            Lag::Some => PROJECTION_SLACK_EVENTS.max(before.covers / 64),
        };
        if behind <= allowed {
            return Ok(Projected { covers: before.covers, ..Projected::default() });
        }
        let is_anew = before.segments.is_empty() || before.is_scattered() || behind > before.covers / 4;
        let (after, written) = match is_anew {
            true => self.project_anew(&snapshot).await?,
            false => self.project_touched(&snapshot, before).await?,
        };
        let done = Projected {
            covers: after.covers,
            actions: after.segments.iter().rev().take(written).map(|s| s.rows).sum(),
            segments: written,
        };
        self.publish(&after).await?;
        self.sweep_projection().await?;
        Ok(done)
    }

    async fn project_anew(&self, snapshot: &Snapshot) -> Result<(Projection, usize)> {
        let target = (&self.location.objects, &self.paths.projection(), &self.clock);
        let segments = build::everything(snapshot, snapshot.size, target).await?;
        let written = segments.len();
        Ok((Projection { covers: snapshot.size, segments }, written))
    }

    async fn project_touched(&self, snapshot: &Snapshot, before: Projection) -> Result<(Projection, usize)> {
        let objects = &self.location.objects;
        let touched = build::touched(snapshot, snapshot.size, objects, before).await?;
        let mut segments = touched.before.segments;
        let written = usize::from(touched.actions.num_rows() > 0);
        if written > 0 {
            let path = build::new_path(&self.paths.projection(), &self.clock);
            segments.push(segment::write(objects, path, vec![touched.actions]).await?);
        }
        Ok((Projection { covers: snapshot.size, segments }, written))
    }

    async fn publish(&self, projection: &Projection) -> Result<()> {
        let path = self.paths.projection_manifest(projection.covers);
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        match self.location.objects.put_opts(&path, print(projection)?.into(), options).await {
            // Somebody projected the same events beside us: one manifest is as good as the other.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
            Err(e) => Err(object_error("write", &path, e)),
        }
    }

    /// Deletes manifests but the newest, and segments that it does not name, when it is older than the grace of
    /// readers; gives the number of objects.
    pub(super) async fn sweep_projection(&self) -> Result<usize> {
        let (objects, folder) = (&self.location.objects, self.paths.projection());
        let listed = object::list(objects, &folder).await?;
        let newest = listed.iter().filter_map(|meta| Some((covered(&meta.location)?, meta))).max_by_key(|(n, _)| *n);
        let Some((covers, manifest)) = newest else { return Ok(0) };
        let Some(kept) = self::newest(objects, &folder, covers).await? else { return Ok(0) };
        let is_settled = |meta: &ObjectMeta| {
            meta.last_modified.timestamp_micros() + VACUUM_GRACE_SECONDS * SECOND < self.clock.now()
        };
        if !is_settled(manifest) {
            return Ok(0);
        }
        let named: HashSet<&Path> = kept.segments.iter().map(|s| &s.path).chain([&manifest.location]).collect();
        // What is younger than the manifest belongs to a run that has not published yet.
        let is_old = |meta: &&ObjectMeta| meta.last_modified <= manifest.last_modified;
        let unused = listed.iter().filter(is_old).filter(|meta| !named.contains(&meta.location));
        let mut swept = 0;
        for meta in unused {
            objects.delete(&meta.location).await.map_err(|e| object_error("delete", &meta.location, e))?;
            swept += 1;
        }
        Ok(swept)
    }
}
