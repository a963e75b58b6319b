//! Every object path of a store, made here and nowhere else.
//!
//! ```text
//! <store>/tenants/<tenant>/
//!   journal/<first seq, 20 digits>.arrow        accepted and durable, not yet in the table
//!   events/                                     Delta table, partitioned by occurred_month
//!   projection/<id>.parquet                     folded actions, made from the evidence, rebuildable
//!   projection/actions-<covers, 20 digits>.json which of them stand for the first events
//!   index/<data file>.idx                       where a data file tells of a key, rebuildable
//!   log/checkpoint                              a hint to the newest signed checkpoint
//!   log/checkpoints/<size, 20 digits>           every signed checkpoint, never overwritten
//!   log/tile/...                                hashes of the ledger's tree (C2SP tlog-tiles), rebuildable
//!   quarantine/<recorded_at>-<id>.ndjson        refused input, raw bytes and reason
//! ```

use object_store::path::Path;

use crate::clock::Micros;
use crate::error::{Error, Result};
use crate::ledger::tile::{TILE_WIDTH, Tile};

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
        if tenant.is_empty() || tenant.len() > 64 || !tenant.chars().all(is_plain) {
            return Err(Error::invalid(format!(
                "tenant `{tenant}` is no plain name; use at most 64 letters, digits, - and _"
            )));
        }
        Ok(Self { root: base.clone().join("tenants").join(tenant) })
    }

    /// Everything of the tenant.
    pub fn root(&self) -> &Path {
        &self.root
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

    /// A tile of the ledger's tree.
    pub fn tile(&self, tile: Tile) -> Path {
        tile.path().split('/').fold(self.log().join("tile"), |path, part| path.join(part))
    }

    /// The folder of what was written of a tile before it was full.
    pub fn partial_tiles(&self, tile: Tile) -> Path {
        let full = self.tile(Tile { width: TILE_WIDTH as u16, ..tile });
        Path::from(format!("{full}.p"))
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
