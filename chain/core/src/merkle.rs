//! Merkle trees over lists, as RFC 6962 defines them.
//!
//! Leaves and branches are hashed with different tags and no leaf is ever duplicated, so that no two lists have
//! the same root. With `‖` for one after the other: leaf = SHA-256(0x00 ‖ bytes), branch =
//! SHA-256(0x01 ‖ left ‖ right), the tree of no leaves = SHA-256 of nothing; the left side of a branch holds
//! the largest power of two of leaves that leaves the right side some.

use crate::hash::{Hash, sha256, sha256_of_pair};

/// Root of the tree over `leaves`.
#[must_use]
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash {
    root_of_hashes(leaf_hashes(leaves))
}

/// As [`root`], of leaves that are hashed already.
pub(crate) fn root_of_hashes(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = next_level(&level);
    }
    level.first().copied().unwrap_or_else(|| sha256(&[]))
}

/// Proof that the leaf at `index` is in the tree over `leaves`: the hashes beside its way to the root, from the
/// leaf upwards. `None` where there is no such leaf.
#[must_use]
pub fn prove<L: AsRef<[u8]>>(leaves: &[L], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut level, mut index, mut proof) = (leaf_hashes(leaves), index, Vec::new());
    while level.len() > 1 {
        proof.extend(level.get(index ^ 1));
        level = next_level(&level);
        index /= 2;
    }
    Some(proof)
}

/// Whether `proof` proves that the tree of `count` leaves with this root holds `leaf` at `index`.
#[must_use]
pub fn verify(root: &Hash, leaf: &[u8], index: usize, count: usize, proof: &[Hash]) -> bool {
    if index >= count {
        return false;
    }
    let (mut index, mut last, mut hash) = (index, count - 1, leaf_hash(leaf));
    let mut siblings = proof.iter();
    while last > 0 {
        // The last node of a level of odd length has no sibling and moves up as it is.
        if index % 2 == 1 || index < last {
            let Some(sibling) = siblings.next() else { return false };
            hash = if index % 2 == 1 { branch_hash(sibling, &hash) } else { branch_hash(&hash, sibling) };
        }
        index /= 2;
        last /= 2;
    }
    siblings.next().is_none() && hash == *root
}

fn leaf_hashes<L: AsRef<[u8]>>(leaves: &[L]) -> Vec<Hash> {
    leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect()
}

fn next_level(level: &[Hash]) -> Vec<Hash> {
    let parent = |pair: &[Hash]| match pair {
        [left, right] => branch_hash(left, right),
        odd => odd.first().copied().unwrap_or_default(), // chunks are never empty
    };
    level.chunks(2).map(parent).collect()
}

pub(crate) fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0x00], leaf])
}

fn branch_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_of_pair(0x01, left, right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of RFC 6962, section 2.1, word for word.
    fn root_by_definition(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [leaf] => sha256(&[&[0], leaf]),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                sha256(&[&[1], &root_by_definition(left), &root_by_definition(right)])
            }
        }
    }

    /// The leaves and roots of the reference implementation's tests of RFC 6962.
    #[test]
    fn the_known_roots() {
        let from_hex = |text: &str| -> Vec<u8> {
            let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
        };
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ]
        .map(from_hex);
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, expected) in roots.iter().enumerate() {
            assert_eq!(root(&leaves[..count]).to_vec(), from_hex(expected), "{count} leaves");
        }
    }

    proptest! {
        #[test]
        fn roots_and_proofs_are_those_of_the_definition(
            leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..70)
        ) {
            let root = root(&leaves);
            prop_assert_eq!(root, root_by_definition(&leaves));
            prop_assert_eq!(prove(&leaves, leaves.len()), None);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = prove(&leaves, index).unwrap();
                prop_assert!(verify(&root, leaf, index, leaves.len(), &proof));
            }
        }

        #[test]
        fn a_tampered_proof_proves_nothing(
            leaves in proptest::collection::vec(any::<[u8; 2]>(), 1..40),
            pick: prop::sample::Index,
            bit in 0..256_usize,
        ) {
            let (index, count, root) = (pick.index(leaves.len()), leaves.len(), root(&leaves));
            let (leaf, proof) = (leaves[index], prove(&leaves, index).unwrap());
            for hash in 0..proof.len() {
                let mut tampered = proof.clone();
                tampered[hash][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!verify(&root, &leaf, index, count, &tampered));
            }
            let mut other = leaf;
            other[0] ^= 1;
            prop_assert!(!verify(&root, &other, index, count, &proof));
            for wrong in (0..count + 2).filter(|&wrong| wrong != index && leaves.get(wrong) != Some(&leaf)) {
                prop_assert!(!verify(&root, &leaf, wrong, count, &proof));
            }
            let longer = [&proof[..], &[[0; 32]]].concat();
            prop_assert!(!verify(&root, &leaf, index, count, &longer));
            if let Some((_, shorter)) = proof.split_last() {
                prop_assert!(!verify(&root, &leaf, index, count, shorter));
            }
        }
    }
}
