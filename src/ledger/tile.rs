//! The tree as files: tiles of 256 hashes, named and filled as C2SP tlog-tiles says.
//!
//! In: tree sizes, nodes, bytes of tiles. Out: which tiles there are, their paths below `tile/`, the hashes in them.
//! Level 0 holds leaf hashes; every hash of a level above is the root over one full tile below. A tile with fewer
//! than 256 hashes is *partial* and has a path of its own, so that what stands under a path never changes.
//! Invariant: a tile has one path, and its bytes are exactly as many hashes as the path says. It must not read or
//! write a file.

use std::ops::Range;

use super::hash::Hash;
use super::tree::{Node, subtree_root};
use crate::error::{Error, Result};

/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 256;
/// The same where hashes of a whole level are counted.
const WIDTH: u64 = TILE_WIDTH as u64;
/// Levels of the tree between two levels of tiles.
const TILE_HEIGHT: u8 = 8;
/// Levels of tiles that a tree of at most 2^64 - 1 leaves can have.
const TILE_LEVELS: u8 = 8;

/// The name of a tile: hashes [index·256, index·256 + width) of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Level of tiles; its hashes are nodes of level 8·`level`.
    pub level: u8,
    /// Place among the tiles of this level, from the left, 0-based.
    pub index: u64,
    /// Hashes in it, 1..=256; 256 is a full tile.
    pub width: u16,
}

impl Tile {
    /// Its path below `tile/`: level, index in groups of three digits, and the width when it is partial, such as
    /// `0/x001/x234/067.p/5`; C2SP tlog-tiles, Merkle Tree.
    pub fn path(&self) -> String {
        let mut index = format!("{:03}", self.index % 1_000);
        let mut rest = self.index / 1_000;
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1_000);
            rest /= 1_000;
        }
        match usize::from(self.width) {
            TILE_WIDTH => format!("{}/{index}", self.level),
            width => format!("{}/{index}.p/{width}", self.level),
        }
    }

    /// The tile with this path.
    ///
    /// # Errors
    ///
    /// `Invalid` for everything that [`path`](Self::path) does not write: a tile has one name.
    pub fn parse(path: &str) -> Result<Self> {
        read_path(path)
            .filter(|tile| tile.level < 64 && tile.width > 0 && tile.path() == path)
            .ok_or_else(|| Error::invalid(format!("`{path}` is no path of a tile; write it like 0/x001/x234/067.p/5")))
    }

    /// The tile that holds a node of the tree of `size` leaves, and the hashes in it whose root is the node: one on
    /// the levels of tiles, 2, 4 … 128 in between.
    ///
    /// The node must be complete in that tree; of any other the width tells nothing.
    pub fn holding(node: Node, size: u64) -> (Self, Range<usize>) {
        let (level, height) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
        let first = node.index << height;
        let index = first / WIDTH;
        let start = (first % WIDTH) as usize;
        let tile = Self { level, index, width: width_of(index, hashes_at(level, size)) };
        (tile, start..start + (1 << height))
    }

    /// The tiles that growing from `old` to `new` leaves makes, partial ones included, from level 0 upwards and left
    /// to right; none when the tree does not grow.
    pub fn new_tiles(old: u64, new: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        for level in 0..TILE_LEVELS {
            let (had, has) = (hashes_at(level, old), hashes_at(level, new));
            if has <= had {
                break;
            }
            let indices = had / WIDTH..has.div_ceil(WIDTH);
            tiles.extend(indices.map(|index| Self { level, index, width: width_of(index, has) }));
        }
        tiles
    }

    /// The hashes in the bytes of this tile.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bytes are not `width` hashes.
    pub fn hashes<'a>(&self, bytes: &'a [u8]) -> Result<&'a [Hash]> {
        match bytes.as_chunks::<32>() {
            (hashes, []) if hashes.len() == usize::from(self.width) => Ok(hashes),
            _ => Err(Error::damaged(format!(
                "tile {} has {} bytes, expected {}; make it again from the leaves",
                self.path(),
                bytes.len(),
                32 * usize::from(self.width)
            ))),
        }
    }
}

/// The hash of a node from the bytes of a tile that holds it, see [`Tile::holding`]; a wider tile of the same place
/// serves as well.
///
/// # Errors
///
/// `Damaged` when the bytes are not those of such a tile, `Invalid` when the tile does not hold the node.
pub fn node_in_tile(node: Node, tile: &Tile, bytes: &[u8]) -> Result<Hash> {
    let hashes = tile.hashes(bytes)?;
    let (place, range) = Tile::holding(node, u64::MAX);
    if (place.level, place.index) != (tile.level, tile.index) || range.end > hashes.len() {
        return Err(Error::invalid(format!(
            "tile {} does not hold the node of level {} and index {}; read tile {} at least {} hashes wide",
            tile.path(),
            node.level,
            node.index,
            place.path(),
            range.end
        )));
    }
    Ok(subtree_root(&hashes[range]))
}

/// Hashes that the tiles of `level` hold in a tree of `size` leaves.
fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level)).unwrap_or(0)
}

/// The width of tile `index` where its level holds `hashes`.
fn width_of(index: u64, hashes: u64) -> u16 {
    hashes.saturating_sub(index * WIDTH).min(WIDTH) as u16
}

/// Reads a path leniently; [`Tile::parse`] compares the spelling.
fn read_path(path: &str) -> Option<Tile> {
    let (level, rest) = path.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok()?),
        None => (rest, WIDTH as u16),
    };
    let mut number = 0u64;
    for group in index.split('/') {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        number = number.checked_mul(1_000)?.checked_add(group)?;
    }
    Some(Tile { level: level.parse().ok()?, index: number, width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_path() {
        for path in ["0/000", "0/x001/x234/067.p/5", "63/999.p/255", "7/x018/x446/x744/x073/x709/x551/615"] {
            assert_eq!(Tile::parse(path).unwrap().path(), path);
        }
        let wrong = "|0|0/|/000|00/000|0/0|0/0000|0/1000|0/000.p/0|0/000.p/256|0/000.p/05|0/000.p/|0/x000/001|\
                     0/001/002|0/x001|0/xx01/002|64/000|-1/000|0/+01|0/000/|tile/0/000|\
                     0/x018/x446/x744/x073/x709/x551/616|0/x999/x999/x999/x999/x999/x999/x999/999";
        for path in wrong.split('|') {
            assert!(Tile::parse(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_tile_of_another_length_is_damaged() {
        let tile = Tile::parse("0/000.p/2").unwrap();
        let node = Node { level: 1, index: 0 };
        assert!(node_in_tile(node, &tile, &[1; 64]).is_ok());
        for length in [0, 32, 63, 65, 96] {
            assert!(node_in_tile(node, &tile, &vec![1; length]).is_err(), "{length} bytes");
        }
        for (level, index) in [(0, 2), (1, 1), (2, 0), (8, 0), (255, u64::MAX)] {
            assert!(node_in_tile(Node { level, index }, &tile, &[1; 64]).is_err(), "level {level}, index {index}");
        }
    }
}
