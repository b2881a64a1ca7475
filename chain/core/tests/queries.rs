//! What a chain answers about its blocks, values and history, and what it proves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{HandClock, begin_put, chain, chain_with, config, delta, put};
use proptest::prelude::*;
use std::sync::Arc;
use tensor_chain::encoding::{Decode, Encode};
use tensor_chain::{
    ChainConfig, ChainError, GlobalCodebook, Height, KeyProof, StateRoot, TensorChain, Transaction,
};

fn state_root(chain: &TensorChain) -> StateRoot {
    chain.get_tip().unwrap().unwrap().header.state_root
}

#[test]
fn ranges_are_clamped() {
    let chain = chain();
    for n in 0..1_100_u32 {
        chain.put("k", n.to_le_bytes()).unwrap();
    }
    let heights = |start, end| -> Vec<u64> {
        let blocks = chain.get_blocks(Height(start), Height(end)).unwrap();
        blocks.iter().map(|block| block.header.height.0).collect()
    };
    assert_eq!(heights(3, 5), [3, 4, 5]);
    assert_eq!(heights(7, 7), [7]);
    assert_eq!(heights(5, 3), [0; 0]);
    assert_eq!(heights(0, u64::MAX).len(), 1_000);
    assert_eq!(heights(1_095, u64::MAX), [1_095, 1_096, 1_097, 1_098, 1_099, 1_100]);
    assert_eq!(heights(u64::MAX, u64::MAX), [0; 0]);
    assert_eq!(chain.iter().count(), 1_101);
    assert!(chain.get_block(Height(1_101)).unwrap().is_none());
    assert!(chain.get_block(Height(u64::MAX)).unwrap().is_none());
}

#[test]
fn the_state_root_changes_if_and_only_if_the_state_does() {
    let chain = chain();
    assert_eq!(state_root(&chain), StateRoot::default(), "nothing yet");
    chain.delete("absent").unwrap();
    assert_eq!(state_root(&chain), StateRoot::default(), "deleting an absent key changes nothing");
    chain.put("k", "v").unwrap();
    let with_k = state_root(&chain);
    assert_ne!(with_k, StateRoot::default());
    chain.delete("absent").unwrap();
    assert_eq!(state_root(&chain), with_k);
    chain.put("k", "v").unwrap();
    assert_ne!(state_root(&chain), with_k, "the height of the last write is part of the state");
    chain.delete("k").unwrap();
    assert_eq!(state_root(&chain), StateRoot::default(), "an empty state has one root");
}

#[test]
fn time_does_not_go_back() {
    let clock = Arc::new(HandClock::default());
    clock.set(5_000);
    let chain = chain_with(ChainConfig { clock: Arc::clone(&clock) as _, ..config() });
    for (now, expected) in [(6_000, 6_000), (1, 6_000), (7_000, 7_000)] {
        clock.set(now);
        chain.put("k", "v").unwrap();
        assert_eq!(chain.get_tip().unwrap().unwrap().header.timestamp_ms, expected);
    }
    assert_eq!(chain.get_genesis().unwrap().unwrap().header.timestamp_ms, 5_000);
}

#[test]
fn equal_inputs_make_equal_chains() {
    let build = || {
        let store = tensor_chain::TensorStore::with_identity(tensor_chain::Identity::from_bytes(&[7; 32]));
        let clock = Arc::new(HandClock::default());
        let chain_id = Some(tensor_chain::ChainId([1; 32]));
        let chain = TensorChain::with_config(store, ChainConfig { clock, chain_id, ..config() });
        chain.initialize().unwrap();
        chain.put("k", "v").unwrap();
        let workspace = begin_put(&chain, "l", "w");
        workspace.set_delta(delta(&[0.1, 0.2, 0.3, 0.4])).unwrap();
        chain.commit(workspace).unwrap();
        chain.tip_hash().to_string()
    };
    // Pinned: another hash means that chains written before can no longer be verified.
    assert_eq!(build(), "c2eef99579aef65461b554eb30539becfe694702a7715ad7ee4030a213f849cd");
    assert_eq!(build(), build());
}

#[test]
fn proofs_come_back_from_bytes_and_hold_against_their_block_alone() {
    let chain = chain();
    for n in 0..50 {
        chain.put(format!("key{n}"), format!("value{n}")).unwrap();
    }
    let tip = chain.tip_hash();
    for key in ["key0", "key49", "absent", ""] {
        let proof = KeyProof::from_bytes(&chain.prove(key).unwrap().to_bytes()).unwrap();
        let value = chain.get(key).unwrap();
        assert_eq!(proof.verify(&tip, key).unwrap().map(|(_, value)| value.to_vec()), value);
        assert!(proof.verify(&tip, "key7").is_err(), "not a proof of another key");
        let genesis = chain.get_genesis().unwrap().unwrap().hash();
        assert!(proof.verify(&genesis, key).is_err(), "not a proof of another block");
    }
}

#[test]
fn similar_blocks_and_transactions_are_found() {
    let chain = chain();
    let commit = |key: &str, dense: &[f32]| {
        let workspace = begin_put(&chain, key, "");
        workspace.set_delta(delta(dense)).unwrap();
        chain.commit(workspace).unwrap().height
    };
    let (east, north) = (commit("a", &[1.0, 0.0, 0.0, 0.0]), commit("b", &[0.0, 1.0, 0.0, 0.0]));
    let north_east = commit("c", &[1.0, 1.0, 0.0, 0.0]);
    let query = tensor_kernels::SparseVec::from_dense(&[1.0, 0.2, 0.0, 0.0]).unwrap();
    let found = chain.similar(&query, 3).unwrap();
    assert_eq!(found.iter().map(|near| near.height).collect::<Vec<_>>(), [east, north_east, north]);
    assert_eq!(found[0].hash, chain.get_block(east).unwrap().unwrap().hash());
    let transactions = chain.similar_transactions(&query, 2).unwrap();
    assert_eq!(
        transactions.iter().map(|near| (near.height, near.position)).collect::<Vec<_>>(),
        [(east, 0), (north_east, 0)]
    );
    assert!(chain.similar(&tensor_kernels::SparseVec::zero(3), 1).is_err());
}

#[test]
fn drift_is_what_the_codebook_misses() {
    let chain = chain();
    let commit = |dense: &[f32]| {
        let workspace = begin_put(&chain, "k", "");
        workspace.set_delta(delta(dense)).unwrap();
        chain.commit(workspace).unwrap().height
    };
    let codebook =
        GlobalCodebook::from_centroids(vec![vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 1.0, 0.0, 0.0]]).unwrap();
    let start = commit(&[2.0, 0.0, 0.0, 0.0]); // on an entry, at another length: nothing is missed
    let end = commit(&[3.0, 0.0, 4.0, 0.0]); // 0.8 of it off the nearest entry
    assert!(chain.drift(start, end).unwrap().blocks.is_empty(), "no codebook, no codes");
    let drift = chain.drift_from(&codebook, start, end).unwrap();
    assert_eq!(drift.blocks.iter().map(|block| block.height).collect::<Vec<_>>(), [start, end]);
    assert!(drift.blocks[0].error < 1e-9 && (drift.blocks[1].error - 0.8).abs() < 1e-3);
    assert!(
        (drift.total - 0.8).abs() < 1e-3 && (drift.mean - 0.4).abs() < 1e-3 && (drift.max - 0.8).abs() < 1e-3
    );
    assert!((drift.slope - 0.8).abs() < 1e-3, "0.8 from one block to the next");
    for (start, end) in [(start, Height(9)), (Height(9), end), (Height(9), Height(9))] {
        assert!(matches!(chain.drift(start, end), Err(ChainError::BlockNotFound(Height(9)))));
        assert!(matches!(chain.drift_from(&codebook, start, end), Err(ChainError::BlockNotFound(Height(9)))));
    }
    // Of no blocks, where the bounds are the wrong way round or nothing has a code.
    for none in [chain.drift_from(&codebook, end, start).unwrap(), chain.drift(start, end).unwrap()] {
        assert!(none.blocks.is_empty());
        let figures = [none.total, none.mean, none.max, none.slope];
        assert!(figures.iter().all(|figure| figure.to_bits() == 0.0_f64.to_bits()), "{figures:?}");
    }
}

proptest! {
    #[test]
    fn every_value_can_be_read_at_every_height(
        operations in proptest::collection::vec((0usize..5, 0u8..4), 1..60),
    ) {
        let chain = chain();
        let mut states = vec![std::collections::BTreeMap::<String, Vec<u8>>::new()];
        for (n, (key, kind)) in operations.into_iter().enumerate() {
            let (key, data) = (format!("key{key}"), vec![n as u8]);
            let mut state = states.last().unwrap().clone();
            let operation = match kind {
                0 => Transaction::Delete { key: key.clone() },
                _ => Transaction::Put { key: key.clone(), data: data.clone() },
            };
            if kind == 0 { state.remove(&key); } else { state.insert(key.clone(), data.clone()); }
            // Several operations on one key within a block: the last one counts.
            let workspace = chain.begin().unwrap();
            if kind == 3 {
                workspace.add_operation(put(&key, "overwritten")).unwrap();
            }
            workspace.add_operation(operation).unwrap();
            chain.commit(workspace).unwrap();
            states.push(state);
        }
        for (height, state) in states.iter().enumerate() {
            for key in 0..5 {
                let key = format!("key{key}");
                prop_assert_eq!(chain.get_at(&key, Height(height as u64)).unwrap(), state.get(&key).cloned());
            }
        }
        let above = Height(states.len() as u64);
        prop_assert!(matches!(chain.get_at("key0", above), Err(ChainError::BlockNotFound(_))));
    }
}
