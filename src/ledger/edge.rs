//! The growing edge of a tree: all that has to be known of it to append leaves, write tiles and tell the root.
//!
//! In: leaf hashes in order. Out: tiles as they become full, the incomplete ones, the root. Invariant: the hashes
//! of level L are those of the incomplete tile of that level, 255 at most, so that an edge is a few kilobytes
//! whatever the size of the tree. It must not read or write anything itself.

use super::hash::{Hash, empty_root, node_hash};
use super::tile::{TILE_WIDTH, Tile};
use super::tree::subtree_root;
use crate::error::{Error, Result};

/// The edge of a tree of some size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends `leaf`; tells `full` of every tile that this completes, lowest first.
    pub fn append(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let (mut hash, mut level) = (leaf, 0);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < TILE_WIDTH {
                return;
            }
            full(tile(self.size - 1, level, TILE_WIDTH), &self.levels[level]);
            hash = subtree_root(&self.levels[level]);
            self.levels[level].clear();
            level += 1;
        }
    }

    /// The incomplete tiles, lowest first.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let all = self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty());
        all.map(|(level, hashes)| (tile(self.size, level, hashes.len()), hashes.as_slice()))
    }

    /// The incomplete tiles of a tree of `size` leaves, lowest first: an edge is read from these.
    pub fn tiles(size: u64) -> Vec<Tile> {
        let levels = (0..8).map(|level| (level, width_at(size, level)));
        levels.filter(|(_, width)| *width > 0).map(|(level, width)| tile(size, level, width)).collect()
    }

    /// The edge of a tree of `size` leaves from the hashes of its incomplete tiles, in the order of [`Edge::tiles`].
    ///
    /// # Errors
    /// Damaged when a tile has not as many hashes as a tree of that size puts there.
    pub fn from_tiles(size: u64, tiles: Vec<Vec<Hash>>) -> Result<Self> {
        let mut tiles = tiles.into_iter();
        let mut levels = Vec::new();
        for level in 0..8 {
            let hashes = match width_at(size, level) {
                0 => Vec::new(),
                width => tiles.next().filter(|hashes| hashes.len() == width).ok_or_else(|| {
                    Error::damaged(format!(
                        "the tile of level {level} at the end of {size} leaves has not {width} hashes"
                    ))
                })?,
            };
            levels.push(hashes);
        }
        while levels.last().is_some_and(Vec::is_empty) {
            levels.pop();
        }
        Ok(Self { size, levels })
    }

    /// The root of the tree; RFC 6962 section 2.1.
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.levels {
            // The largest complete subtrees of a level, joined from the right with what stands right of them.
            for subtree in complete_subtrees(hashes).into_iter().rev() {
                root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

/// The tile of `level` that the leaf at `index` falls into.
fn tile(index: u64, level: usize, width: usize) -> Tile {
    let leaves = 8 * (level as u32 + 1);
    Tile { level: level as u8, index: index.checked_shr(leaves).unwrap_or(0), width: width as u16 }
}

/// Hashes in the incomplete tile of `level` of a tree of `size` leaves.
fn width_at(size: u64, level: usize) -> usize {
    (size >> (8 * level)) as usize % TILE_WIDTH
}

/// The hashes of the complete subtrees that `hashes` are made of, largest first.
fn complete_subtrees(mut hashes: &[Hash]) -> Vec<Hash> {
    let mut subtrees = Vec::new();
    while !hashes.is_empty() {
        let largest = 1 << hashes.len().ilog2();
        let (left, right) = hashes.split_at(largest);
        subtrees.push(subtree_root(left));
        hashes = right;
    }
    subtrees
}

#[cfg(test)]
mod tests {
    use super::super::hash::leaf_hash;
    use super::super::tree::Frontier;
    use super::*;

    #[test]
    fn an_edge_has_the_root_of_the_tree_and_can_be_read_back_at_every_size() {
        let (mut edge, mut frontier) = (Edge::default(), Frontier::default());
        let mut full = 0;
        for n in 0..70_000u64 {
            let leaf = leaf_hash(&n.to_be_bytes());
            edge.append(leaf, |_, hashes| full += usize::from(hashes.len() == TILE_WIDTH));
            frontier.append(leaf);
            if n % 977 < 3 || n > 65_530 && n < 65_545 {
                assert_eq!(edge.root(), frontier.root(), "{n}");
                let (tiles, hashes): (Vec<Tile>, Vec<_>) = edge.partial().map(|(t, h)| (t, h.to_vec())).unzip();
                assert_eq!(tiles, Edge::tiles(edge.size()));
                assert_eq!(Edge::from_tiles(edge.size(), hashes).unwrap().root(), edge.root());
            }
        }
        assert_eq!(full, 70_000 / 256 + 1);
    }
}
