//! Checking proofs: that a leaf is in a tree, that a tree grew out of another, what root leaves and subtrees make.
//!
//! In: sizes, hashes and a proof as they came, none of it trusted. Out: nothing or the root, or an error that says
//! what does not fit. Invariant: a proof of another length than its sizes ask for is refused, also where its hashes
//! would fit. It must not fetch anything.

use super::hash::{Hash, node_hash, to_base64};
use super::tree::{Frontier, Node, cover_into};
use crate::error::{Error, Result};

/// Checks that `leaf` has `index` in the tree of `size` leaves with this `root`; RFC 9162 section 2.1.3.2.
///
/// # Errors
///
/// `Damaged` when it is not shown: no such index, a proof too short or too long, another root.
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<()> {
    if index >= size {
        return Err(Error::damaged(format!(
            "leaf {index} cannot be in a tree of {size} leaves; the proof is not genuine"
        )));
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length("inclusion", proof.len()));
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // The right edge has no sibling on levels where it is a left child: the hash moves up unchanged.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length("inclusion", proof.len()));
    }
    same_root(&hash, root, &format!("the inclusion proof of leaf {index} in {size} leaves"))
}

/// Checks that the tree of `new` leaves begins with the tree of `old` leaves; RFC 9162 section 2.1.4.2.
///
/// Nothing can be shown about an empty old tree, because every tree begins with it: `old` = 0 is refused, and a
/// caller that knows no earlier checkpoint needs no proof.
///
/// # Errors
///
/// `Damaged` when it is not shown: sizes that shrink, a proof too short or too long, another root.
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> Result<()> {
    if old == 0 || old > new {
        return Err(Error::damaged(format!(
            "a tree of {new} leaves cannot be shown to begin with one of {old}; the old size must be at least 1 and at \
             most the new"
        )));
    }
    if old == new {
        return match proof {
            [] => same_root(new_root, old_root, &format!("the later checkpoint of {new} leaves")),
            _ => Err(wrong_length("consistency", proof.len())),
        };
    }
    // The part of the old tree that is a subtree of the new one: the whole old tree when its size is a power of two.
    let (start, siblings) = match proof.split_first() {
        Some(_) if old.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
        None => return Err(wrong_length("consistency", 0)),
    };
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*start, *start);
    for sibling in siblings {
        if last == 0 {
            return Err(wrong_length("consistency", proof.len()));
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length("consistency", proof.len()));
    }
    let what = format!("the consistency proof from {old} to {new} leaves");
    same_root(&old_hash, old_root, &what)?;
    same_root(&new_hash, new_root, &what)
}

/// The root of a tree from some of its leaves and the complete subtrees that hold none of them.
///
/// Leaves ascend by index; nodes come in any order. Each of the `size` leaves must be covered exactly once. One pass
/// over both; nothing but the nodes is copied, to be sorted.
///
/// # Errors
///
/// `Damaged` when a leaf is covered twice or not at all, or something lies outside the tree.
pub fn root_from(size: u64, leaves: &[(u64, Hash)], nodes: &[(Node, Hash)]) -> Result<Hash> {
    let mut subtrees = Vec::with_capacity(nodes.len());
    for (node, hash) in nodes {
        match node.leaves() {
            Some(leaves) if leaves.end <= size => subtrees.push((leaves.start, node.level, hash)),
            _ => return Err(outside(node, size)),
        }
    }
    subtrees.sort_unstable_by_key(|(start, _, _)| *start);
    let mut tree = Frontier::default();
    let mut leaves = leaves.iter().peekable();
    for (start, level, hash) in subtrees {
        while let Some((index, leaf)) = leaves.next_if(|(index, _)| *index < start) {
            take(&mut tree, *index, 0, leaf)?;
        }
        take(&mut tree, start, level, hash)?;
    }
    for (index, leaf) in leaves {
        take(&mut tree, *index, 0, leaf)?;
    }
    if tree.size() != size {
        return Err(Error::damaged(format!(
            "leaves and nodes cover {} leaves, expected {size}; the set is not complete",
            tree.size()
        )));
    }
    Ok(tree.root())
}

/// The smallest set of complete subtrees that completes the tree of `size` over the given leaf indices, left to right.
///
/// Indices ascend and are below `size`.
pub fn completing_nodes(size: u64, indices: &[u64]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut next = 0;
    for index in indices {
        cover_into(next, *index, &mut nodes);
        next = index + 1;
    }
    cover_into(next, size, &mut nodes);
    nodes
}

/// Puts a subtree behind the leaves that are there, if that is its place.
fn take(tree: &mut Frontier, start: u64, level: u8, hash: &Hash) -> Result<()> {
    let next = tree.size();
    if start != next {
        let fault = if start < next { "is covered twice" } else { "follows a gap" };
        return Err(Error::damaged(format!(
            "leaf {start} {fault}: the next leaf must be {next}; each leaf must be covered exactly once, in order"
        )));
    }
    tree.push(u32::from(level), *hash);
    Ok(())
}

fn outside(node: &Node, size: u64) -> Error {
    Error::damaged(format!(
        "node of level {} and index {} is no complete subtree of {size} leaves; the set is not genuine",
        node.level, node.index
    ))
}

fn wrong_length(proof: &str, found: usize) -> Error {
    Error::damaged(format!("{proof} proof of {found} hashes has the wrong length for its sizes; it is not genuine"))
}

fn same_root(found: &Hash, expected: &Hash, what: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::damaged(format!(
        "{what} gives the root {}, expected {}; the evidence or the proof was changed",
        to_base64(found),
        to_base64(expected)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::hash::leaf_hash;

    #[test]
    fn leaves_and_nodes_must_cover_the_tree_exactly_once() {
        let leaf: Vec<Hash> = (0u8..5).map(|i| leaf_hash(&[i])).collect();
        let mut tree = Frontier::default();
        tree.append_all(&leaf);
        let pair = (Node { level: 1, index: 0 }, node_hash(&leaf[0], &leaf[1]));
        let last = (Node { level: 0, index: 4 }, leaf[4]);
        let given = [(2, leaf[2]), (3, leaf[3])];
        assert_eq!(root_from(5, &given, &[last, pair]).unwrap(), tree.root());
        assert_eq!(completing_nodes(5, &[2, 3]), [pair.0, last.0]);
        let far = (Node { level: 77, index: 1 }, leaf[0]);
        let refused = |size, leaves: &[(u64, Hash)], nodes: &[(Node, Hash)]| {
            assert!(root_from(size, leaves, nodes).is_err(), "{size}, {leaves:?}, {nodes:?}");
        };
        refused(5, &given, &[pair]);
        refused(5, &given, &[last]);
        refused(5, &given[..1], &[pair, last]);
        refused(5, &given, &[pair, pair, last]);
        refused(5, &given, &[pair, last, last]);
        refused(5, &given, &[pair, last, far]);
        refused(4, &given, &[pair, last]);
        refused(6, &given, &[pair, last]);
        refused(5, &[given[1], given[0]], &[pair, last]);
        refused(5, &[given[0], given[0], given[1]], &[pair, last]);
    }
}
