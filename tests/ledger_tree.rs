//! The tree, its proofs and its tiles against the definitions of RFC 9162, written out here: slow and obviously right.
//!
//! Sizes up to 1,030 pass four powers of two and a full tile on both sides. Random choices have fixed seeds; a failure
//! names the sizes.

use std::collections::BTreeSet;
use std::ops::Range;

use probity::ledger::hash::{Hash, empty_root, leaf_hash, node_hash};
use probity::ledger::proof::{completing_nodes, root_from, verify_consistency, verify_inclusion};
use probity::ledger::tile::Tile;
use probity::ledger::tree::{Frontier, Node, consistency_ranges, cover, inclusion_ranges, range_hash};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::ledger_vectors::{range_from_tiles, root_of};

/// MTH(D_n), section 2.1.1, over leaf hashes.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// PATH(m, D_n), section 2.1.3.1.
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if m < k { (path(m, left), mth(right)) } else { (path(m - k, right), mth(left)) };
    path.push(sibling);
    path
}

/// SUBPROOF(m, D_n, b), section 2.1.4.1; PROOF(m, D_n) is the one with b = true.
fn subproof(m: usize, leaves: &[Hash], b: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if b { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) =
        if m <= k { (subproof(m, left, b), mth(right)) } else { (subproof(m - k, right, false), mth(left)) };
    proof.push(sibling);
    proof
}

fn largest_power_below(n: usize) -> usize {
    n.next_power_of_two() / 2
}

#[test]
fn every_tree_of_up_to_1030_leaves_has_the_root_of_the_definition() {
    let leaves = made_up_leaves(1_030);
    let mut single = Frontier::default();
    for size in 0..=leaves.len() {
        let root = mth(&leaves[..size]);
        assert_eq!(single.root(), root, "{size} leaves");
        assert_eq!(root_of(&leaves[..size]), root, "{size} leaves at once");
        let nodes = Frontier::nodes(size as u64);
        let hashes = nodes.iter().map(|node| mth_of(&leaves, *node)).collect();
        assert_eq!(Frontier::from_hashes(size as u64, hashes).unwrap().root(), root, "{size} leaves from its nodes");
        if let Some(leaf) = leaves.get(size) {
            single.append(*leaf);
        }
    }
    assert!(Frontier::from_hashes(3, vec![leaves[0]]).is_err());
}

#[test]
fn proofs_are_those_of_the_definition() {
    let leaves = made_up_leaves(1_030);
    let mut rng = StdRng::seed_from_u64(9162);
    for round in 0..400 {
        // All small trees, then random ones.
        let size = if round < 40 { round + 1 } else { rng.random_range(1..=1_030) };
        let (index, old) = (rng.random_range(0..size), rng.random_range(1..=size));
        let (tree, root) = (&leaves[..size], mth(&leaves[..size]));
        let (size, context) = (size as u64, format!("leaf {index}, {old} to {size}"));

        let proof = made_of(tree, &inclusion_ranges(index as u64, size).unwrap());
        assert_eq!(proof, path(index, tree), "{context}");
        verify_inclusion(leaves[index], index as u64, size, &proof, &root).unwrap();
        let verify = |proof: &[Hash]| verify_inclusion(leaves[index], index as u64, size, proof, &root).is_ok();
        assert!(!changes(&proof).iter().any(|changed| verify(changed)), "{context}");

        let old_root = mth(&tree[..old]);
        let proof = made_of(tree, &consistency_ranges(old as u64, size).unwrap());
        assert_eq!(proof, subproof(old, tree, true), "{context}");
        verify_consistency(old as u64, &old_root, size, &root, &proof).unwrap();
        let verify = |proof: &[Hash]| verify_consistency(old as u64, &old_root, size, &root, proof).is_ok();
        assert!(!changes(&proof).iter().any(|changed| verify(changed)), "{context}");
    }
    assert!(inclusion_ranges(5, 5).is_err() && inclusion_ranges(0, 0).is_err());
    assert!(consistency_ranges(0, 5).is_err() && consistency_ranges(6, 5).is_err());
}

#[test]
fn some_leaves_and_the_completing_nodes_make_the_root() {
    let leaves = made_up_leaves(1_030);
    let mut rng = StdRng::seed_from_u64(6962);
    for round in 0..200 {
        let size = rng.random_range(1..=1_030);
        let share = rng.random_range(0..=100);
        let given: Vec<(u64, Hash)> =
            (0..size).filter(|_| rng.random_range(0..100) < share).map(|i| (i as u64, leaves[i])).collect();
        let indices: Vec<u64> = given.iter().map(|(index, _)| *index).collect();
        let needed = completing_nodes(size as u64, &indices);
        let nodes: Vec<(Node, Hash)> = needed.iter().map(|node| (*node, mth_of(&leaves, *node))).collect();
        let context = format!("round {round}: {} of {size} leaves", given.len());
        assert_eq!(root_from(size as u64, &given, &nodes).unwrap(), mth(&leaves[..size]), "{context}");

        let has = |node: &Node| needed.contains(node);
        let siblings = needed.iter().any(|node| has(&Node { index: node.index ^ 1, ..*node }));
        assert!(!siblings, "{context}: two nodes could be one");
        if let Some(last) = nodes.len().checked_sub(1) {
            assert!(root_from(size as u64, &given, &nodes[..last]).is_err(), "{context}, a node less");
        }
        if let Some(last) = given.len().checked_sub(1) {
            assert!(root_from(size as u64, &given[..last], &nodes).is_err(), "{context}, a leaf less");
        }
    }
}

#[test]
fn every_node_is_found_in_its_tile() {
    let mut levels = vec![made_up_leaves(70_000)];
    while levels[levels.len() - 1].len() >= 256 {
        let above = levels[levels.len() - 1].chunks_exact(256).map(mth).collect();
        levels.push(above);
    }
    let read = |tile: &Tile| {
        let start = tile.index as usize * 256;
        levels[usize::from(tile.level)][start..start + usize::from(tile.width)].as_flattened().to_vec()
    };
    let mut rng = StdRng::seed_from_u64(256);
    for size in [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 65_792, 70_000] {
        let root = root_of(&levels[0][..size as usize]);
        assert_eq!(range_from_tiles(size, 0..size, &read), root, "{size} leaves");
        let tiles: BTreeSet<Tile> = Tile::new_tiles(0, size).into_iter().collect();
        for _ in 0..10 {
            let index = rng.random_range(0..size);
            let ranges = inclusion_ranges(index, size).unwrap();
            let used = ranges.iter().flat_map(|range| cover(range.start, range.end));
            assert!(used.map(|node| Tile::holding(node, size).0).all(|tile| tiles.contains(&tile)));
            let proof: Vec<Hash> = ranges.into_iter().map(|range| range_from_tiles(size, range, &read)).collect();
            verify_inclusion(levels[0][index as usize], index, size, &proof, &root).unwrap();
        }
    }
}

#[test]
fn growing_makes_the_tiles_that_were_not_there() {
    let mut rng = StdRng::seed_from_u64(8);
    for _ in 0..200 {
        let new = rng.random_range(0..200_000);
        let old = rng.random_range(0..=new);
        let tiles = Tile::new_tiles(old, new);
        let made: BTreeSet<Tile> = tiles.iter().copied().collect();
        assert_eq!(made.len(), tiles.len(), "{old} to {new}: a tile twice");
        assert_eq!(made, &tiles_of(new) - &tiles_of(old), "{old} to {new}");
    }
    assert!(Tile::new_tiles(300, 299).is_empty());
    assert!(Tile::new_tiles(u64::MAX - 1, u64::MAX).iter().all(|tile| Tile::parse(&tile.path()).is_ok()));
}

/// The tiles of a tree: at level l there are floor(size / 256^l) hashes; C2SP tlog-tiles, Partial Tiles.
fn tiles_of(size: u64) -> BTreeSet<Tile> {
    let mut tiles = BTreeSet::new();
    for level in 0..4 {
        let hashes = size / 256u64.pow(level);
        let mut add = |index, width| tiles.insert(Tile { level: level as u8, index, width });
        (0..hashes / 256).for_each(|index| _ = add(index, 256));
        if !hashes.is_multiple_of(256) {
            add(hashes / 256, (hashes % 256) as u16);
        }
    }
    tiles
}

fn made_up_leaves(count: u32) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn mth_of(leaves: &[Hash], node: Node) -> Hash {
    let range = node.leaves().unwrap();
    mth(&leaves[range.start as usize..range.end as usize])
}

/// The hashes of ranges, each from the subtrees of its cover.
fn made_of(leaves: &[Hash], ranges: &[Range<u64>]) -> Vec<Hash> {
    let hash = |range: &Range<u64>| {
        let hashes: Vec<Hash> = cover(range.start, range.end).into_iter().map(|node| mth_of(leaves, node)).collect();
        range_hash(range.clone(), &hashes).unwrap()
    };
    ranges.iter().map(hash).collect()
}

/// A proof with one thing wrong: a bit, a hash less, a hash more in front or behind.
fn changes(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut changed: Vec<Vec<Hash>> = Vec::new();
    for at in 0..proof.len() {
        let mut one = proof.to_vec();
        one[at][at % 32] ^= 1;
        changed.push(one);
    }
    if let (Some(first), Some(last)) = (proof.first(), proof.last()) {
        changed.push(proof[1..].to_vec());
        changed.push(proof[..proof.len() - 1].to_vec());
        changed.push([[*first].as_slice(), proof].concat());
        changed.push([proof, [*last].as_slice()].concat());
    }
    changed.push([proof, [Hash::default()].as_slice()].concat());
    changed
}
