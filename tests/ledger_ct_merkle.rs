//! The tree and its proofs against another implementation, the crate `ct-merkle`: every size up to 1,030.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use probity::ledger::hash::{Hash, leaf_hash};
use probity::ledger::tree::{Frontier, consistency_ranges, inclusion_ranges};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::Sha256;

#[test]
fn roots_and_proofs_are_those_of_another_implementation() {
    let mut theirs = MemoryBackedTree::<Sha256, [u8; 4]>::new();
    let mut ours = Frontier::default();
    let mut leaves: Vec<Hash> = Vec::new();
    let mut rng = StdRng::seed_from_u64(1_030);
    for entry in 0u32..1_030 {
        theirs.push(entry.to_be_bytes());
        leaves.push(leaf_hash(&entry.to_be_bytes()));
        ours.append(leaf_hash(&entry.to_be_bytes()));
        let size = leaves.len();
        assert_eq!(ours.root().as_slice(), theirs.root().as_bytes().as_slice(), "{size} leaves");
        // A proof is made of roots over ranges of leaves.
        let hash = |range: &std::ops::Range<u64>| {
            let mut part = Frontier::default();
            part.append_all(&leaves[range.start as usize..range.end as usize]);
            part.root()
        };
        let (index, old) = (rng.random_range(0..size), rng.random_range(1..=size));
        let inclusion: Vec<Hash> = inclusion_ranges(index as u64, size as u64).unwrap().iter().map(hash).collect();
        assert_eq!(inclusion.as_flattened(), theirs.prove_inclusion(index).as_bytes(), "leaf {index} of {size}");
        let consistency: Vec<Hash> = consistency_ranges(old as u64, size as u64).unwrap().iter().map(hash).collect();
        assert_eq!(consistency.as_flattened(), theirs.prove_consistency(size - old).as_bytes(), "{old} to {size}");
    }
}
