//! One consistent prefix of the evidence: the folded table plus the journal behind it.
//!
//! Invariant: rows `seq` 0..`size`, each exactly once, whatever writers and folds do meanwhile. Data files
//! named here stay readable for [`VACUUM_GRACE_SECONDS`](crate::limits::VACUUM_GRACE_SECONDS).

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use object_store::ObjectStore;
use object_store::path::Path;

use super::index::Indexes;
use crate::clock::Micros;

/// What a reader sees.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The object store that holds the data files.
    pub objects: Arc<dyn ObjectStore>,
    /// Folder of the projection of actions inside it.
    pub projection: Path,
    /// Indexes of the data files.
    pub indexes: Indexes,
    /// Data files of the folded table.
    pub files: Vec<DataFile>,
    /// Rows `folded..size` in `seq` order, in [`stored_schema`](crate::event::columns::stored_schema).
    pub journal: Vec<RecordBatch>,
    /// Rows in the folded table: `seq` 0..folded.
    pub folded: i64,
    /// Rows in all: the size of the ledger.
    pub size: i64,
    /// Version of the Delta table; -1 when nothing was folded yet.
    pub version: i64,
}

/// One Parquet file of the table, sorted by (`occurred_at`, `seq`), all of one month.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Path inside [`Snapshot::objects`].
    pub path: Path,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// Value of the partition column `occurred_month`.
    pub month: String,
    /// Smallest and largest `seq`.
    pub seq: (i64, i64),
    /// Smallest and largest `occurred_at`, microseconds.
    pub occurred_at: (Micros, Micros),
    /// Smallest and largest `recorded_at`, microseconds.
    pub recorded_at: (Micros, Micros),
}
