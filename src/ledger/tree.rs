//! The Merkle tree of RFC 9162 section 2.1: which subtrees it consists of, and how it grows.
//!
//! In: leaf hashes, sizes, ranges. Out: roots, and the subtrees that a root or a proof is made from. Everything here
//! is built from *complete* subtrees, those of 2^level leaves that start at a multiple of 2^level: once full they
//! never change, whatever is appended. Invariant: a [`Frontier`] of `size` leaves holds one hash for each bit set in
//! `size`, largest subtree first. It must not know where hashes are stored.

use std::ops::Range;

use super::hash::{Hash, empty_root, node_hash};
use crate::error::{Error, Result};

/// The complete subtree over leaves [index·2^level, (index+1)·2^level).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Height above the leaves; a leaf has level 0.
    pub level: u8,
    /// Place among the subtrees of this level, from the left, 0-based.
    pub index: u64,
}

impl Node {
    /// The leaves below it; none where the node is so far out that no tree of 2^64 - 1 leaves has it.
    pub fn leaves(self) -> Option<Range<u64>> {
        let width = 1u64.checked_shl(u32::from(self.level))?;
        let start = self.index.checked_mul(width)?;
        Some(start..start.checked_add(width)?)
    }
}

/// Roots of the complete subtrees that a tree of `size` leaves is made of, largest first.
///
/// It is all that appending needs: at most 64 hashes, however large the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root: MTH of RFC 9162 section 2.1.1.
    pub fn root(&self) -> Hash {
        join(&self.hashes).unwrap_or_else(empty_root)
    }

    /// Appends one leaf; one node hash on average.
    pub fn append(&mut self, leaf: Hash) {
        self.push(0, leaf);
    }

    /// Appends `leaves` in order; the same as [`append`](Self::append) for each, and faster.
    pub fn append_all(&mut self, leaves: &[Hash]) {
        let mut rest = leaves;
        while !rest.is_empty() {
            // The largest complete subtree that may start here and that the leaves at hand fill.
            let level = self.size.trailing_zeros().min(rest.len().ilog2()).min(BLOCK_LEVEL);
            let (block, behind) = rest.split_at(1 << level);
            self.push(level, subtree_root(block));
            rest = behind;
        }
    }

    /// Which subtrees a frontier of `size` leaves holds, in the order of its hashes.
    pub fn nodes(size: u64) -> Vec<Node> {
        cover(0, size)
    }

    /// The frontier of `size` leaves from the hashes of [`nodes`](Self::nodes), in that order.
    ///
    /// # Errors
    ///
    /// `Invalid` when their number is not the number of bits set in `size`.
    pub fn from_hashes(size: u64, hashes: Vec<Hash>) -> Result<Self> {
        if hashes.len() != size.count_ones() as usize {
            return Err(Error::invalid(format!(
                "frontier of {size} leaves has {} hashes, expected {}; give one for each of its nodes",
                hashes.len(),
                size.count_ones()
            )));
        }
        Ok(Self { size, hashes })
    }

    /// Appends a complete subtree of 2^`level` leaves; the size must be a multiple of that.
    pub(super) fn push(&mut self, level: u32, mut hash: Hash) {
        debug_assert!(self.size.trailing_zeros() >= level, "a complete subtree starts at a multiple of its width");
        let mut bits = self.size >> level;
        // A bit set is a subtree as large as what is carried: both make the next larger one.
        while bits & 1 == 1
            && let Some(left) = self.hashes.pop()
        {
            hash = node_hash(&left, &hash);
            bits >>= 1;
        }
        self.hashes.push(hash);
        self.size += 1 << level;
    }
}

/// The complete subtrees that cover leaves [start, end), left to right, as few as possible; none when it is empty.
pub fn cover(start: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    cover_into(start, end, &mut nodes);
    nodes
}

/// The leaf ranges whose hashes are the inclusion proof of leaf `index` in a tree of `size`, from leaf to root:
/// PATH(m, D_n) of RFC 9162 section 2.1.3.1.
///
/// # Errors
///
/// `Invalid` when the tree has no such leaf.
pub fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>> {
    if index >= size {
        return Err(Error::invalid(format!(
            "leaf {index} is not in a tree of {size} leaves; give an index below the size"
        )));
    }
    let mut siblings = Vec::new();
    let mut tree = 0..size;
    while tree.end - tree.start > 1 {
        let split = split(&tree);
        if index < split {
            siblings.push(split..tree.end);
            tree.end = split;
        } else {
            siblings.push(tree.start..split);
            tree.start = split;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// The leaf ranges whose hashes are the consistency proof from `old` to `new` leaves: PROOF(m, D_n) of RFC 9162
/// section 2.1.4.1; empty when the sizes are equal.
///
/// # Errors
///
/// `Invalid` unless 0 < `old` <= `new`.
pub fn consistency_ranges(old: u64, new: u64) -> Result<Vec<Range<u64>>> {
    if old == 0 || old > new {
        return Err(Error::invalid(format!(
            "no consistency proof leads from {old} to {new} leaves; the old size must be at least 1 and at most the new"
        )));
    }
    let mut siblings = Vec::new();
    let mut tree = 0..new;
    while tree.end != old {
        let split = split(&tree);
        if old <= split {
            siblings.push(split..tree.end);
            tree.end = split;
        } else {
            siblings.push(tree.start..split);
            tree.start = split;
        }
    }
    // The whole old tree is known to the verifier; a part of it is not.
    if tree.start > 0 {
        siblings.push(tree);
    }
    siblings.reverse();
    Ok(siblings)
}

/// The Merkle tree hash of a range, from the hashes of its [`cover`] in that order.
///
/// It is defined for the ranges that proofs are made of: those whose cover has falling levels.
///
/// # Errors
///
/// `Invalid` for an empty range, one that is not aligned, or another number of hashes.
pub fn range_hash(range: Range<u64>, cover_hashes: &[Hash]) -> Result<Hash> {
    let width = range.end.saturating_sub(range.start);
    let is_aligned = width > 0 && range.start.trailing_zeros() >= width.ilog2();
    match join(cover_hashes) {
        Some(hash) if is_aligned && cover_hashes.len() == width.count_ones() as usize => Ok(hash),
        _ => Err(Error::invalid(format!(
            "{} hashes do not make the hash of leaves {}..{}; give one for each subtree of its cover, for a range that \
             starts at a multiple of its largest subtree",
            cover_hashes.len(),
            range.start,
            range.end
        ))),
    }
}

/// The level of the largest subtree that is hashed in one go.
const BLOCK_LEVEL: u32 = 8;

/// The root over `hashes`; their number must be a power of two, at most 2^[`BLOCK_LEVEL`], which is a full tile.
pub(super) fn subtree_root(hashes: &[Hash]) -> Hash {
    if let [hash] = hashes {
        return *hash;
    }
    // Level by level: the hashes of a level do not wait for one another, so that the processor overlaps them.
    let mut level = [Hash::default(); 1 << (BLOCK_LEVEL - 1)];
    let mut width = hashes.len() / 2;
    for (parent, pair) in level.iter_mut().zip(hashes.chunks_exact(2)) {
        *parent = node_hash(&pair[0], &pair[1]);
    }
    while width > 1 {
        width /= 2;
        for i in 0..width {
            level[i] = node_hash(&level[2 * i], &level[2 * i + 1]);
        }
    }
    level[0]
}

/// Appends to `nodes` what [`cover`] returns.
pub(super) fn cover_into(start: u64, end: u64, nodes: &mut Vec<Node>) {
    let mut at = start;
    while at < end {
        let level = at.trailing_zeros().min((end - at).ilog2());
        nodes.push(Node { level: level as u8, index: at >> level });
        at += 1 << level;
    }
}

/// The root over neighbouring subtrees that get smaller from left to right; none of none.
fn join(hashes: &[Hash]) -> Option<Hash> {
    hashes.iter().copied().rev().reduce(|right, left| node_hash(&left, &right))
}

/// Where a tree of at least two leaves splits: its left part is the largest power of two that leaves something right.
fn split(tree: &Range<u64>) -> u64 {
    tree.start + (1 << (tree.end - tree.start - 1).ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hash::leaf_hash;

    #[test]
    fn a_cover_has_no_gap_and_only_complete_subtrees() {
        for (start, end) in [(0, 0), (5, 5), (0, 1), (0, 7), (3, 11), (1, 1 << 40), (u64::MAX - 5, u64::MAX)] {
            let mut at = start;
            for node in cover(start, end) {
                let leaves = node.leaves().unwrap();
                assert_eq!(leaves.start, at);
                at = leaves.end;
            }
            assert_eq!(at, end);
        }
    }

    #[test]
    fn leaves_appended_together_or_one_by_one_give_the_same_frontier() {
        let leaves: Vec<Hash> = (0u32..1_500).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut single = Frontier::default();
        leaves.iter().for_each(|leaf| single.append(*leaf));
        for pieces in [1, 3, 255, 256, 257, 1_500] {
            let mut together = Frontier::default();
            leaves.chunks(pieces).for_each(|chunk| together.append_all(chunk));
            assert_eq!(together, single, "in pieces of {pieces}");
        }
        assert_eq!(Frontier::nodes(1_500).len(), single.hashes.len());
    }

    #[test]
    fn a_node_too_far_out_has_no_leaves() {
        for (level, index) in [(64, 0), (200, 1), (63, 2), (63, 1), (1, u64::MAX), (0, u64::MAX)] {
            assert_eq!(Node { level, index }.leaves(), None, "level {level}, index {index}");
        }
        assert_eq!(Node { level: 63, index: 0 }.leaves(), Some(0..1 << 63));
    }

    #[test]
    fn only_ranges_that_are_subtrees_have_a_hash() {
        let hashes = [[7; 32]; 3];
        assert!(range_hash(4..7, &hashes[..2]).is_ok());
        for (range, count) in [(4..7, 3), (4..4, 0), (1..3, 2), (0..0, 0)] {
            assert!(range_hash(range.clone(), &hashes[..count]).is_err(), "{range:?}");
        }
    }
}
