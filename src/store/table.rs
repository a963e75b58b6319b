//! The Delta table: which files hold the folded evidence, agreed on by an ACID commit log.
//!
//! In: data files already durable. Out: commits, and states that say which files make up a version. The
//! application transaction `ledger` of a commit is the number of events in the table; Delta does not compare
//! it, so it is read before a commit and again after any error. Invariant: a state with size n holds `seq`
//! 0..n, each once. This file is the home of the `deltalake` crate; scans are not its business.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, ArrayType, DataType, PrimitiveType, StructField, StructType, Transaction};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use serde::Deserialize;

use super::object::{Location, object_error};
use super::paths::Paths;
use super::snapshot::DataFile;
use crate::clock::{Clock, Micros, rfc3339};
use crate::error::{Error, ErrorKind, Result};
use crate::event::columns::{COLUMNS, Kind};
use crate::event::{Column, parse};

/// Format of the tables that this program writes, and the newest it reads.
const FORMAT: i64 = 1;
const FORMAT_KEY: &str = "probity.format";
/// Name of the application transaction that carries the table's size.
const LEDGER: &str = "ledger";

/// The table of one tenant.
#[derive(Debug, Clone)]
pub struct Table {
    log: LogStoreRef,
    root: Path,
    clock: Clock,
}

/// One version of the table.
#[derive(Debug, Clone)]
pub struct TableState {
    delta: DeltaTable,
    /// Version of the Delta table.
    pub version: i64,
    /// Number of events in it.
    pub size: i64,
    /// Its files.
    pub files: Arc<Vec<DataFile>>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is in the log.
    Done,
    /// Another commit came first; look at the table again.
    Lost,
}

impl TableState {
    fn names(&self, file: &DataFile) -> bool {
        self.files.iter().any(|named| named.path == file.path)
    }

    fn names_any(&self, files: &[DataFile]) -> bool {
        files.iter().any(|file| self.names(file))
    }

    /// Whether all of `files` are still part of the table.
    pub fn names_all(&self, files: &[DataFile]) -> bool {
        files.iter().all(|file| self.names(file))
    }
}

/// Why files take the place of others.
#[derive(Debug, Clone, Copy)]
pub enum Replacement<'a> {
    /// They hold the same rows.
    Compaction,
    /// Sealed values were erased from them.
    Erasure,
    /// They are what is left of a month.
    Retirement {
        /// The month.
        month: &'a str,
    },
}

impl Replacement<'_> {
    /// Whether readers of the table's changes have to look.
    fn changes_data(&self) -> bool {
        !matches!(self, Self::Compaction)
    }

    fn operation(&self) -> DeltaOperation {
        match self {
            Self::Compaction => DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None },
            // The log keeps what an operation says for ever: no predicate, because it would name the subject.
            Self::Erasure => DeltaOperation::Update { predicate: None },
            Self::Retirement { month } => {
                DeltaOperation::Delete { predicate: Some(format!("occurred_month = '{month}'")) }
            }
        }
    }
}

impl Table {
    /// The table at `paths` in `location`.
    ///
    /// # Errors
    /// When the path cannot be written as a URL.
    pub fn new(location: &Location, paths: &Paths, clock: Clock) -> Result<Self> {
        let root = paths.events();
        let mut url = location.url.clone();
        url.set_path(&format!("/{root}/"));
        let prefixed = Arc::new(PrefixStore::new(location.objects.clone(), root.clone()));
        let log = default_logstore(prefixed, location.objects.clone(), &url, &StorageConfig::default());
        Ok(Self { log, root, clock })
    }

    /// The newest version; none when there is no table.
    ///
    /// # Errors
    /// When the log cannot be read, or was written by a newer version of this program.
    pub async fn open(&self) -> Result<Option<TableState>> {
        let mut delta = DeltaTable::new(self.log.clone());
        let Err(failure) = delta.load().await else { return self.state(delta).await.map(Some) };
        // Whether there is a table at all takes another listing of the log, and is asked by who found none.
        match self.log.is_delta_table_location().await.map_err(|e| self.failed("open", e))? {
            true => Err(self.failed("open", failure)),
            false => Ok(None),
        }
    }

    /// The table as of `version`.
    ///
    /// # Errors
    /// When there is no such version.
    pub async fn at_version(&self, version: i64) -> Result<TableState> {
        let no_such = || {
            Error::not_found(format!("the table has no version {version}; leave the as-of point out to see the newest"))
        };
        let mut delta = DeltaTable::new(self.log.clone());
        let number = u64::try_from(version).map_err(|_| no_such())?;
        if let Err(e) = delta.load_version(number).await {
            // That it is not there yet is no failure to be told of.
            let newest = self.open().await?.map_or(-1, |state| state.version);
            return Err(if version > newest { no_such() } else { no_such().because(e) });
        }
        self.state(delta).await
    }

    /// The newest version, read on from `state`.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn refresh(&self, state: &TableState) -> Result<TableState> {
        // Commits are numbered without gaps: if the next one is not there, this one is the newest.
        let next = Path::from("_delta_log").join(format!("{:020}.json", state.version + 1));
        if let Err(object_store::Error::NotFound { .. }) = self.log.object_store(None).head(&next).await {
            return Ok(state.clone());
        }
        let mut delta = state.delta.clone();
        delta.update_state().await.map_err(|e| self.failed("refresh", e))?;
        if delta.version().map(|v| v as i64) == Some(state.version) {
            return Ok(state.clone());
        }
        self.state(delta).await
    }

    /// Creates the table unless it is there.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn create(&self) -> Result<TableState> {
        if let Some(state) = self.open().await? {
            return Ok(state);
        }
        let properties = [
            (FORMAT_KEY, FORMAT.to_string()),
            ("delta.enableExpiredLogCleanup", "false".to_owned()),
            ("delta.logRetentionDuration", "interval 3650 days".to_owned()),
            ("delta.dataSkippingStatsColumns", "seq,occurred_at,recorded_at".to_owned()),
        ];
        let created = CreateBuilder::new()
            .with_log_store(self.log.clone())
            .with_table_name("events")
            .with_comment("Evidence of what AI agents did to business records; append-only")
            .with_columns(delta_columns())
            .with_partition_columns([Column::OccurredMonth.name()])
            .with_configuration(properties.map(|(k, v)| (k.to_owned(), Some(v))))
            .with_commit_properties(commit_properties().with_application_transaction(Transaction::new(LEDGER, 0)))
            .with_raise_if_key_not_exists(false)
            .await;
        // Whoever lost the race to create finds the winner's table.
        match (self.open().await?, created) {
            (Some(state), _) => Ok(state),
            (None, Err(e)) => Err(self.failed("create", e)),
            (None, Ok(_)) => {
                Err(Error::unavailable(format!("the table {} vanished after it was created", self.log.root_url())))
            }
        }
    }

    /// Commits files that extend the table from `state.size` to `size`.
    ///
    /// # Errors
    /// When the store fails and the log does not tell that the commit happened.
    pub async fn commit_fold(&self, state: &TableState, files: &[DataFile], size: i64) -> Result<Committed> {
        let adds = files.iter().map(|file| Action::Add(self.add(file, true))).collect();
        let properties = commit_properties().with_application_transaction(Transaction::new(LEDGER, size));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![Column::OccurredMonth.name().to_owned()]),
            predicate: None,
        };
        let Err(failure) = self.commit(state, properties, adds, operation).await else {
            return Ok(Committed::Done);
        };
        self.settle(state, files, failure).await
    }

    /// Commits the replacement of `old` files by `new` ones.
    ///
    /// # Errors
    /// When the store fails and the log does not tell that the commit happened.
    pub async fn commit_replacement(
        &self,
        state: &TableState,
        (old, new): (&[DataFile], &[DataFile]),
        why: &Replacement<'_>,
    ) -> Result<Committed> {
        let (removed_at, changes) = (self.clock.now() / 1000, why.changes_data());
        let removes = old.iter().map(|file| Action::Remove(self.remove(file, removed_at, changes)));
        let actions = removes.chain(new.iter().map(|file| Action::Add(self.add(file, changes)))).collect();
        let Err(failure) = self.commit(state, commit_properties(), actions, why.operation()).await else {
            return Ok(Committed::Done);
        };
        if !new.is_empty() {
            return self.settle(state, new, failure).await;
        }
        // Nothing was added that would tell: the commit is atomic, and nobody else deletes a whole month.
        let now = self.refresh(state).await?;
        match (now.names_any(old), now.version > state.version) {
            (false, _) => Ok(Committed::Done),
            (true, true) => Ok(Committed::Lost),
            (true, false) => Err(self.failed("commit to", failure)),
        }
    }

    /// What became of a commit of `files` that failed: the answer may have been lost, the table tells.
    async fn settle(&self, state: &TableState, files: &[DataFile], failure: DeltaTableError) -> Result<Committed> {
        let now = self.refresh(state).await?;
        match (self.has_committed(&now, files).await?, now.version > state.version) {
            (true, _) => Ok(Committed::Done),
            (false, true) => Ok(Committed::Lost),
            (false, false) => Err(self.failed("commit to", failure)),
        }
    }

    /// Whether a commit named `files`: it is atomic, so one of them, there or removed since, tells it.
    async fn has_committed(&self, now: &TableState, files: &[DataFile]) -> Result<bool> {
        if now.names_any(files) {
            return Ok(true);
        }
        let removed = self.removed(now).await?;
        Ok(files.iter().any(|file| removed.contains_key(&file.path)))
    }

    /// Writes a Delta checkpoint of `state`, so that opening the table replays few commits.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn checkpoint(&self, state: &TableState) -> Result<()> {
        deltalake::checkpoints::create_checkpoint(&state.delta, None).await.map_err(|e| self.failed("checkpoint", e))
    }

    /// Paths of the files that commits removed, each with the instant, microseconds.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn removed(&self, state: &TableState) -> Result<HashMap<Path, Micros>> {
        let snapshot = state.delta.snapshot().map_err(|e| self.failed("read", e))?;
        let tombstones = snapshot.all_tombstones(self.log.as_ref());
        let removed = tombstones.map_ok(|t| (self.full_path(&t.path()), t.deletion_timestamp().unwrap_or(0) * 1000));
        removed.try_collect().await.map_err(|e| self.failed("read", e))
    }

    /// Sizes that commits gave the table beyond `after`, ascending.
    ///
    /// # Errors
    /// When the log cannot be read; Damaged when a commit is no JSON.
    pub async fn sizes_after(&self, state: &TableState, after: i64) -> Result<Vec<i64>> {
        let mut sizes = Vec::new();
        for version in (0..=state.version).rev() {
            match self.size_in_commit(version).await? {
                Some(size) if size <= after => break,
                Some(size) => sizes.push(size),
                None => {}
            }
        }
        sizes.reverse();
        sizes.dedup();
        Ok(sizes)
    }

    /// The size of the table that the commit of `version` states, if it states one.
    async fn size_in_commit(&self, version: i64) -> Result<Option<i64>> {
        let path = Path::from("_delta_log").join(format!("{version:020}.json"));
        let failed = |e| object_error("read", &path, e);
        let bytes = self.log.object_store(None).get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: CommitLine = serde_json::from_slice(line)
                .map_err(|e| Error::damaged(format!("commit {version} of the table is not readable")).because(e))?;
            if let Some(txn) = action.txn.filter(|txn| txn.app_id == LEDGER) {
                return Ok(Some(txn.version));
            }
        }
        Ok(None)
    }

    async fn commit(
        &self,
        state: &TableState,
        properties: CommitProperties,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> std::result::Result<(), DeltaTableError> {
        let snapshot = state.delta.snapshot()?;
        CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), self.log.clone(), operation)
            .await?;
        Ok(())
    }

    async fn state(&self, delta: DeltaTable) -> Result<TableState> {
        let snapshot = delta.snapshot().map_err(|e| self.failed("read", e))?;
        let format = snapshot.metadata().configuration().get(FORMAT_KEY).and_then(|v| v.parse::<i64>().ok());
        match format {
            Some(format) if format > FORMAT => {
                let message = format!(
                    "the store was made by a newer version (format {format}, this one reads {FORMAT}); upgrade probity"
                );
                return Err(Error::invalid(message));
            }
            Some(_) => {}
            None => {
                return Err(Error::damaged(format!(
                    "{} is a Delta table, but no evidence of probity",
                    self.log.root_url()
                )));
            }
        }
        let size = snapshot.transaction_version(self.log.as_ref(), LEDGER).await.map_err(|e| self.failed("read", e))?;
        let views = snapshot.snapshot().file_views(self.log.as_ref(), None);
        let mut files: Vec<DataFile> = views
            .map_err(|e| self.failed("read", e))
            .and_then(|view| async move {
                let month = view.partition_values_map().remove(Column::OccurredMonth.name()).flatten();
                self.data_file(&view.path(), view.size(), month, view.stats())
            })
            .try_collect()
            .await?;
        files.sort_by(|a, b| (&a.month, a.occurred_at, a.seq).cmp(&(&b.month, b.occurred_at, b.seq)));
        let version = snapshot.version() as i64;
        Ok(TableState { version, size: size.unwrap_or(0), files: Arc::new(files), delta })
    }

    fn data_file(&self, path: &str, bytes: i64, month: Option<String>, stats: Option<String>) -> Result<DataFile> {
        let broken = || Error::damaged(format!("the log entry of data file {path} lacks its month or statistics"));
        let stats: Stats = serde_json::from_str(&stats.ok_or_else(broken)?).map_err(|e| broken().because(e))?;
        let range = |column: Column| -> Option<(i64, i64)> {
            let number = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => parse::instant(text).ok(),
                value => value.as_i64(),
            };
            Some((number(stats.min_values.get(column.name())?)?, number(stats.max_values.get(column.name())?)?))
        };
        Ok(DataFile {
            path: self.full_path(path),
            bytes: bytes as u64,
            rows: stats.num_records,
            month: month.ok_or_else(broken)?,
            seq: range(Column::Seq).ok_or_else(broken)?,
            occurred_at: range(Column::OccurredAt).ok_or_else(broken)?,
            recorded_at: range(Column::RecordedAt).ok_or_else(broken)?,
        })
    }

    fn full_path(&self, relative: &str) -> Path {
        relative.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    fn relative(&self, path: &Path) -> String {
        path.as_ref()[self.root.as_ref().len() + 1..].to_owned()
    }

    fn add(&self, file: &DataFile, data_change: bool) -> Add {
        let stats = serde_json::json!({
            "numRecords": file.rows,
            "minValues": {"seq": file.seq.0, "occurred_at": rfc3339(file.occurred_at.0), "recorded_at": rfc3339(file.recorded_at.0)},
            "maxValues": {"seq": file.seq.1, "occurred_at": rfc3339(file.occurred_at.1), "recorded_at": rfc3339(file.recorded_at.1)},
            "nullCount": {"seq": 0, "occurred_at": 0, "recorded_at": 0},
        });
        Add {
            path: self.relative(&file.path),
            partition_values: partition(&file.month),
            size: file.bytes as i64,
            modification_time: self.clock.now() / 1000,
            data_change,
            stats: Some(stats.to_string()),
            ..Default::default()
        }
    }

    fn remove(&self, file: &DataFile, removed_at_ms: i64, data_change: bool) -> deltalake::kernel::Remove {
        deltalake::kernel::Remove {
            path: self.relative(&file.path),
            data_change,
            deletion_timestamp: Some(removed_at_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(partition(&file.month)),
            size: Some(file.bytes as i64),
            ..Default::default()
        }
    }

    fn failed(&self, doing: &str, err: DeltaTableError) -> Error {
        Error::new(ErrorKind::Unavailable, format!("cannot {doing} the table {}", self.log.root_url())).because(err)
    }
}

/// A line of a commit, as far as sizes are concerned.
#[derive(Deserialize)]
struct CommitLine {
    txn: Option<Txn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    num_records: u64,
    min_values: HashMap<String, serde_json::Value>,
    max_values: HashMap<String, serde_json::Value>,
}

fn partition(month: &str) -> HashMap<String, Option<String>> {
    HashMap::from([(Column::OccurredMonth.name().to_owned(), Some(month.to_owned()))])
}

/// No retry inside Delta: it would not compare the `ledger` transaction. No checkpoint inside a commit, and no
/// clean-up of the log, which is evidence as well.
fn commit_properties() -> CommitProperties {
    CommitProperties::default().with_max_retries(0).with_create_checkpoint(false).with_cleanup_expired_logs(Some(false))
}

fn delta_columns() -> Vec<StructField> {
    COLUMNS.iter().map(|c| StructField::nullable(c.name, delta_type(c.kind))).collect()
}

fn delta_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Id | Kind::Key | Kind::Word(_) => DataType::STRING,
        Kind::Instant => DataType::TIMESTAMP,
        Kind::Int64 => DataType::LONG,
        Kind::Int32 => DataType::INTEGER,
        Kind::Int8 => DataType::BYTE,
        Kind::Amount => DataType::Primitive(PrimitiveType::decimal(18, 2).expect("18 and 2 are valid")),
        Kind::Ratio => DataType::DOUBLE,
        Kind::Bytes => DataType::BINARY,
        Kind::Inputs => {
            let parts = ["system", "record_type", "record_id", "field"];
            let entry = StructType::try_new(parts.map(|name| StructField::nullable(name, DataType::STRING)));
            let entry = entry.expect("four distinct names");
            DataType::Array(Box::new(ArrayType::new(DataType::Struct(Box::new(entry)), true)))
        }
    }
}
