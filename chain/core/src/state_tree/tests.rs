//! The tree against the plainest reading of its definition, and proofs against tampering.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::encoding::DecodeError;
use crate::index::{Index, MemoryIndex};

type State = BTreeMap<Vec<u8>, (Height, Vec<u8>)>;
/// Keys to set or to remove.
type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The root by its definition: every leaf at once, no storage, no order of arrival.
fn root_by_definition(state: &State) -> StateRoot {
    fn subtree(leaves: &[(Hash, Hash)], depth: usize) -> Hash {
        match leaves {
            [] => [0; 32],
            [(key, value)] => sha256(&[&[0], key, value]),
            _ => {
                let is_right = |leaf: &&(Hash, Hash)| leaf.0[depth / 8] >> (7 - depth % 8) & 1 == 1;
                let (right, left): (Vec<_>, Vec<_>) = leaves.iter().partition(is_right);
                sha256(&[&[1], &subtree(&left, depth + 1), &subtree(&right, depth + 1)])
            }
        }
    }
    let leaves: Vec<(Hash, Hash)> =
        state.iter().map(|(key, (height, value))| (sha256(&[key]), value_hash(*height, value))).collect();
    StateRoot(subtree(&leaves, 0))
}

/// Sets or removes values in the index and in the map.
fn change(
    cache: &mut PageCache,
    index: &MemoryIndex,
    state: &mut State,
    height: Height,
    changes: &[(Vec<u8>, Option<Vec<u8>>)],
) {
    for (key, value) in changes {
        match value {
            Some(value) => state.insert(key.clone(), (height, value.clone())),
            None => state.remove(key),
        };
    }
    let hashes = changes
        .iter()
        .map(|(key, value)| (key.as_slice(), value.as_ref().map(|value| value_hash(height, value))));
    let cold = apply(&mut PageCache::default(), index, hashes.clone()).unwrap();
    let (new, ops) = apply(cache, index, hashes).unwrap();
    assert_eq!((new, &ops), (cold.0, &cold.1), "what is at hand must not matter");
    index.write(ops).unwrap();
    assert_eq!(root(index).unwrap(), new);
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let key = (0..40_u8).prop_map(|key| vec![key]);
    let value = proptest::option::weighted(0.6, proptest::collection::vec(any::<u8>(), 0..3));
    proptest::collection::vec(proptest::collection::vec((key, value), 0..12), 1..10)
}

/// Pages of the trie over the keys: places at every fourth level with two keys or more below.
fn pages(state: &State) -> u64 {
    let hashes: Vec<Hash> = state.keys().map(|key| sha256(&[key])).collect();
    let prefixes =
        |depth: usize| hashes.iter().map(move |hash| (0..depth).map(|at| node::bit(hash, at)).collect());
    let shared = (0..256).step_by(4).map(|depth| {
        let mut counts = BTreeMap::<Vec<bool>, u32>::new();
        prefixes(depth).for_each(|prefix| *counts.entry(prefix).or_default() += 1);
        counts.values().filter(|&&count| count > 1).count() as u64
    });
    shared.take_while(|&count| count > 0).sum()
}

proptest! {
    #[test]
    fn the_root_is_that_of_the_definition_and_nothing_stale_stays(batches in batches()) {
        let (mut cache, index, mut state) = (PageCache::default(), MemoryIndex::new(), State::new());
        for (height, batch) in (0..).map(Height).zip(batches) {
            change(&mut cache, &index, &mut state, height, &batch);
            prop_assert_eq!(root(&index).unwrap(), root_by_definition(&state));
        }
        let entries = index.len(Space::Tree).unwrap();
        prop_assert!(entries <= pages(&state) + 1, "{} entries", entries);
        let everything: Vec<_> = state.keys().map(|key| (key.clone(), None)).collect();
        change(&mut cache, &index, &mut state, Height(99), &everything);
        prop_assert_eq!(root(&index).unwrap(), StateRoot([0; 32]));
        prop_assert!(index.len(Space::Tree).unwrap() <= 1);
    }

    #[test]
    fn every_key_has_a_proof_and_no_other(batches in batches(), bystander in 40..60_u8) {
        let (mut cache, index, mut state) = (PageCache::default(), MemoryIndex::new(), State::new());
        for (height, batch) in (0..).map(Height).zip(batches) {
            change(&mut cache, &index, &mut state, height, &batch);
        }
        let root = root(&index).unwrap();
        for key in (0..40).chain([bystander]).map(|key| vec![key]) {
            let present = state.get(&key).cloned();
            let proof = prove(&index, &key, present.clone()).unwrap();
            let expected = present.as_ref().map(|(height, value)| (*height, value.as_slice()));
            prop_assert_eq!(proof.verify(&root, &key).unwrap(), expected);
            prop_assert_eq!(&StateProof::from_bytes(&proof.to_bytes()).unwrap(), &proof);
            // Under another root it proves nothing, and the index contradicts another value.
            let mut other_root = root;
            other_root.0[0] ^= 1;
            prop_assert!(proof.verify(&other_root, &key).is_err());
            for other in [None, Some((Height(1), b"other".to_vec()))] {
                if other == present {
                    continue;
                }
                let contradiction = prove(&index, &key, other).is_err_and(|error| error.needs_rebuild());
                prop_assert!(contradiction);
            }
        }
    }
}

/// 64 keys in one batch: a state deep enough that proofs have every part.
fn sample() -> (MemoryIndex, State) {
    let (mut cache, index, mut state) = (PageCache::default(), MemoryIndex::new(), State::new());
    let batch: Vec<_> = (0..64).map(|key| (vec![key], Some(vec![key; 5]))).collect();
    change(&mut cache, &index, &mut state, Height(3), &batch);
    (index, state)
}

#[test]
fn every_flipped_bit_of_a_proof_is_found() {
    let (index, state) = sample();
    let root = root(&index).unwrap();
    // A present key, and absent ones whose ways end in nothing and in another key.
    let mut kinds = [0; 3];
    for key in (60..100).map(|key| vec![key]) {
        let bytes = prove(&index, &key, state.get(&key).cloned()).unwrap().to_bytes();
        kinds[usize::from(bytes[0])] += 1;
        for bit in 0..bytes.len() * 8 {
            let mut tampered = bytes.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            if let Ok(proof) = StateProof::from_bytes(&tampered) {
                assert_eq!(proof.to_bytes(), tampered);
                assert!(proof.verify(&root, &key).is_err(), "key {key:?} bit {bit}");
            }
        }
        for len in 0..bytes.len() {
            assert!(StateProof::from_bytes(&bytes[..len]).is_err());
        }
    }
    assert!(kinds.iter().all(|&count| count > 0), "{kinds:?}");
}

#[test]
fn a_proof_is_for_its_key_alone() {
    let (index, state) = sample();
    let root = root(&index).unwrap();
    for proven in (0..80).map(|key| vec![key]) {
        let proof = prove(&index, &proven, state.get(&proven).cloned()).unwrap();
        for asked in (0..80).map(|key| vec![key]).filter(|asked| *asked != proven) {
            // A proof of absence may hold for a neighbour as well, but then the neighbour is absent.
            if let Ok(answer) = proof.verify(&root, &asked) {
                assert_eq!((answer, state.get(&asked)), (None, None), "{proven:?} for {asked:?}");
            }
        }
    }
}

#[test]
fn the_present_key_itself_is_no_proof_of_absence() {
    let (index, state) = sample();
    let (key, (height, value)) = state.first_key_value().unwrap();
    let proof = prove(&index, key, Some((*height, value.clone()))).unwrap().to_bytes();
    // The same siblings, but behind the claim that another key is there, which is this very key.
    let siblings = &proof[2 + 1 + value.len()..];
    let forged = [&[1], &sha256(&[key])[..], &value_hash(*height, value), siblings].concat();
    let forged = StateProof::from_bytes(&forged).unwrap();
    assert_eq!(forged.verify(&root(&index).unwrap(), key), Err(ProofError::SameKey));
}

#[test]
fn more_siblings_than_bits_are_refused() {
    let mut bytes = vec![0];
    bytes.extend([0x81, 2]); // 257
    bytes.extend([0; 257 * 32]);
    let refused = DecodeError::Invalid { what: "number of siblings" };
    assert_eq!(StateProof::from_bytes(&bytes), Err(refused));
}

#[test]
fn a_missing_or_unreadable_or_other_page_is_named() {
    let (index, _) = sample();
    let below_the_first_page =
        [true, false, true, true].into_iter().fold(Path::ROOT, |path, bit| path.child(bit));
    let key = below_the_first_page.to_key();
    let sound = index.get(Space::Tree, &key).unwrap().unwrap();
    let other = index.get(Space::Tree, &Path::ROOT.to_key()).unwrap().unwrap();
    assert_ne!(sound, other);
    for op in [
        IndexOp::put(Space::Tree, key.clone(), other),
        IndexOp::put(Space::Tree, key.clone(), vec![3]),
        IndexOp::put(Space::Tree, key.clone(), vec![]),
        IndexOp::delete(Space::Tree, key.clone()),
    ] {
        index.write(vec![op]).unwrap();
        let everything: Vec<[u8; 1]> = (0..64).map(|key| [key]).collect();
        let changes = everything.iter().map(|key| (key.as_slice(), None));
        let error = apply(&mut PageCache::default(), &index, changes).unwrap_err();
        assert!(matches!(error, IndexError::Corrupt { space: Space::Tree, key: named } if named == key));
    }
}

#[test]
fn a_value_hash_binds_value_and_height() {
    assert_ne!(value_hash(Height(1), b"v"), value_hash(Height(2), b"v"));
    assert_ne!(value_hash(Height(1), b"v"), value_hash(Height(1), b"w"));
}
