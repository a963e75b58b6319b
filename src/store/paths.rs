//! Every object path of a store, made here and nowhere else.
//!
//! ```text
//! <store>/tenants/<tenant>/
//!   journal/<first seq, 20 digits>.arrow        accepted and durable, not yet in the table
//!   events/                                     Delta table, partitioned by occurred_month
//!   projection/<id>.parquet                     folded actions, made from the evidence, rebuildable
//!   projection/actions-<covers, 20 digits>.json which of them stand for the first events
//!   index/<data file>.idx                       where a data file tells of a key, rebuildable
//!   index/<data file>.touches                   what its events write and read, in numbers, rebuildable
//!   log/checkpoint                              a hint to the newest signed checkpoint
//!   log/checkpoints/<size, 20 digits>           every signed checkpoint, never overwritten
//!   log/cosignatures/<size, 20 digits>/<key id, 8 hex>  what a witness added to it, one signature line
//!   log/handovers/<number, 20 digits>           how the log's key changed, signed by the old and the new one
//!   log/tile/...                                hashes of the ledger's tree (C2SP tlog-tiles), rebuildable
//!   log/retired/<month>/<seq, 20 digits>        the rows of a deleted month, named by the event that says so
//!   erasures/<id>.json                          an erasure that is under way, gone when it is done
//!   quarantine/<recorded_at>-<id>.ndjson        refused input, raw bytes and reason
//!   access/<id>.json                            who a token names and what it admits to; of its secret the hash
//! ```

use object_store::path::Path;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::ledger::tile::{TILE_WIDTH, Tile};
use crate::limits::TENANT_BYTES;

/// The paths of one tenant.
#[derive(Debug, Clone)]
pub struct Paths {
    root: Path,
}

impl Paths {
    /// Paths of `tenant` in the store at `base`.
    ///
    /// # Errors
    /// When the tenant's name is no plain directory name.
    pub fn new(base: &Path, tenant: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if tenant.is_empty() || tenant.len() > TENANT_BYTES || !tenant.chars().all(is_plain) {
            return Err(Error::invalid(format!(
                "tenant `{tenant}` is no plain name; use at most {TENANT_BYTES} letters, digits, - and _"
            )));
        }
        Ok(Self { root: base.clone().join("tenants").join(tenant) })
    }

    /// Everything of the tenant.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        self.root.filename().unwrap_or_default()
    }

    /// Grants of access.
    pub fn access(&self) -> Path {
        self.root.clone().join("access")
    }

    /// The grant of the token with this id.
    pub fn grant(&self, id: &str) -> Path {
        self.access().join(format!("{id}.json"))
    }

    /// The id of the token whose grant is at `path`, if it is one.
    pub fn grant_id(path: &Path) -> Option<&str> {
        path.filename()?.strip_suffix(".json")
    }

    /// The Delta table.
    pub fn events(&self) -> Path {
        self.root.clone().join("events")
    }

    /// The folder of a month's data files.
    pub fn month(&self, month: &str) -> Path {
        self.events().join(format!("occurred_month={month}"))
    }

    /// A data file that holds `seq` from `first` to `last`.
    pub fn data_file(&self, month: &str, first: i64, last: i64, id: &str) -> Path {
        self.month(month).join(format!("part-{first:020}-{last:020}-{id}.parquet"))
    }

    /// The month of the data file at `path`, if it is one.
    pub fn month_of_file(path: &Path) -> Option<&str> {
        let (folder, name) = path.as_ref().rsplit_once('/')?;
        let is_data = name.starts_with("part-") && name.ends_with(".parquet");
        folder.rsplit_once('/')?.1.strip_prefix("occurred_month=").filter(|_| is_data)
    }

    /// The journal.
    pub fn journal(&self) -> Path {
        self.root.clone().join("journal")
    }

    /// The journal object whose first event has `first_seq`.
    pub fn journal_object(&self, first_seq: i64) -> Path {
        self.journal().join(format!("{first_seq:020}.arrow"))
    }

    /// The first `seq` of the journal object at `path`, if it is one.
    pub fn journal_seq(path: &Path) -> Option<i64> {
        let digits = path.filename()?.strip_suffix(".arrow")?;
        (digits.len() == 20).then(|| digits.parse().ok())?
    }

    /// The projection of actions.
    pub fn projection(&self) -> Path {
        self.root.clone().join("projection")
    }

    /// The manifest of a projection that stands for `covers` events.
    pub fn projection_manifest(&self, covers: i64) -> Path {
        self.projection().join(format!("actions-{covers:020}.json"))
    }

    /// The indexes of the data files.
    pub fn index(&self) -> Path {
        self.root.clone().join("index")
    }

    fn log(&self) -> Path {
        self.root.clone().join("log")
    }

    /// The hint to the newest signed checkpoint.
    pub fn checkpoint_hint(&self) -> Path {
        self.log().join("checkpoint")
    }

    /// All signed checkpoints.
    pub fn checkpoints(&self) -> Path {
        self.log().join("checkpoints")
    }

    /// The signed checkpoint over the first `size` events.
    pub fn checkpoint(&self, size: u64) -> Path {
        self.checkpoints().join(format!("{size:020}"))
    }

    /// The size of the checkpoint at `path`, if it is one.
    pub fn checkpoint_size(path: &Path) -> Option<u64> {
        let digits = path.filename()?;
        (digits.len() == 20).then(|| digits.parse().ok())?
    }

    /// What witnesses added to the checkpoint over the first `size` events.
    pub fn cosignatures(&self, size: u64) -> Path {
        self.log().join("cosignatures").join(format!("{size:020}"))
    }

    /// What the witness whose key has this id added to it.
    pub fn cosignature(&self, size: u64, key_id: u32) -> Path {
        self.cosignatures(size).join(format!("{key_id:08x}"))
    }

    /// All handovers of the log's key.
    pub fn handovers(&self) -> Path {
        self.log().join("handovers")
    }

    /// A handover; the first one has number 0.
    pub fn handover(&self, number: u64) -> Path {
        self.handovers().join(format!("{number:020}"))
    }

    /// The number of the handover at `path`, if it is one.
    pub fn handover_number(path: &Path) -> Option<u64> {
        let digits = path.filename()?;
        (digits.len() == 20).then(|| digits.parse().ok())?
    }

    /// A tile of the ledger's tree.
    pub fn tile(&self, tile: Tile) -> Path {
        tile.path().split('/').fold(self.log().join("tile"), |path, part| path.join(part))
    }

    /// The folder of what was written of a tile before it was full.
    pub fn partial_tiles(&self, tile: Tile) -> Path {
        let full = self.tile(Tile { width: TILE_WIDTH as u16, ..tile });
        // Not `from`, which encodes a part that is encoded already once more.
        Path::parse(format!("{full}.p")).unwrap_or(full)
    }

    /// The seq sets of all months that were deleted.
    pub fn all_retired(&self) -> Path {
        self.log().join("retired")
    }

    /// The seq set of a month whose deletion the event at `seq` states.
    pub fn retired(&self, month: &str, seq: i64) -> Path {
        self.all_retired().join(month).join(format!("{seq:020}"))
    }

    /// Erasures that are under way.
    pub fn erasures(&self) -> Path {
        self.root.clone().join("erasures")
    }

    /// What says that the erasure `id` is under way.
    pub fn erasure(&self, id: &str) -> Path {
        self.erasures().join(format!("{id}.json"))
    }

    /// The quarantine.
    pub fn quarantine(&self) -> Path {
        self.root.clone().join("quarantine")
    }

    /// A quarantine entry made at `recorded_at`; names sort by time.
    pub fn quarantine_entry(&self, recorded_at: Micros, id: &str) -> Path {
        self.quarantine().join(format!("{recorded_at:020}-{id}.ndjson"))
    }

    /// When the quarantine entry at `path` was made.
    pub fn quarantine_time(path: &Path) -> Option<Micros> {
        path.filename()?.split('-').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_leave_its_directory() {
        for tenant in ["", "..", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(Paths::new(&Path::from("s"), tenant).is_err(), "{tenant}");
        }
    }

    #[test]
    fn journal_names_are_read_back() {
        let paths = Paths::new(&Path::from("s"), "default").unwrap();
        let path = paths.journal_object(42);
        assert_eq!(path.as_ref(), "s/tenants/default/journal/00000000000000000042.arrow");
        assert_eq!(Paths::journal_seq(&path), Some(42));
        assert_eq!(Paths::journal_seq(&Path::from("journal/x.arrow")), None);
    }
}
