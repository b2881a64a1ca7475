//! Many committers at once: batches form, everyone is served, and failures reach everyone they concern.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use common::{begin_put, chain, chain_with, config};
use proptest::prelude::*;
use tensor_chain::{AutoMergeConfig, ChainConfig, ChainError, Height, TensorChain, TensorStore};

#[test]
fn sixty_four_committers_share_blocks_and_every_write_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TensorChain::with_config(TensorStore::open(dir.path()).unwrap(), config());
    chain.initialize().unwrap();
    let barrier = Barrier::new(64);
    thread::scope(|scope| {
        for committer in 0..64 {
            let (chain, barrier) = (&chain, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..8 {
                    let key = format!("{committer}:{n}");
                    let receipt = match committer % 2 {
                        0 => chain.put(key.as_str(), "v").unwrap(),
                        _ => chain.commit(begin_put(chain, &key, "v")).unwrap(),
                    };
                    // What was answered can be read.
                    assert_eq!(chain.get(&key).unwrap(), Some(b"v".to_vec()));
                    assert_eq!(chain.history(&key).unwrap()[0].0, receipt.height);
                }
            });
        }
    });
    let (commits, blocks) = (64 * 8, chain.height().0);
    assert!(blocks < commits, "{blocks} blocks for {commits} commits");
    assert_eq!(chain.list("", None, 1_000).unwrap().len(), 512);
    chain.verify_full().unwrap();
}

#[test]
fn without_auto_merge_every_commit_has_a_block_of_its_own() {
    let chain = chain_with(ChainConfig { auto_merge: AutoMergeConfig::disabled(), ..config() });
    thread::scope(|scope| {
        for committer in 0..16 {
            let chain = &chain;
            scope.spawn(move || chain.put(format!("{committer}"), "").unwrap());
        }
    });
    assert_eq!(chain.height(), Height(16));
}

#[test]
fn commits_of_one_batch_have_one_hash() {
    let auto_merge = AutoMergeConfig::default().with_window(60_000).with_max_batch(10);
    let chain = chain_with(ChainConfig { auto_merge, ..config() });
    let receipts: BTreeSet<_> = thread::scope(|scope| {
        let commits: Vec<_> = (0..10)
            .map(|n| {
                let chain = &chain;
                scope.spawn(move || chain.put(format!("{n}"), "").unwrap())
            })
            .collect();
        commits.into_iter().map(|commit| commit.join().unwrap()).map(|r| (r.height, r.hash)).collect()
    });
    assert_eq!(receipts.into_iter().collect::<Vec<_>>(), [(Height(1), chain.tip_hash())]);
}

#[test]
fn a_rejected_commit_does_not_concern_the_others_of_its_batch() {
    let auto_merge = AutoMergeConfig::default().with_window(60_000).with_max_batch(3);
    let chain = chain_with(ChainConfig { auto_merge, ..config() });
    let outcomes = thread::scope(|scope| {
        let (a, b, c) = (
            scope.spawn(|| chain.put("a", "")),
            scope.spawn(|| chain.update("absent", "")),
            scope.spawn(|| chain.put("c", "")),
        );
        [a, b, c].map(|commit| commit.join().unwrap())
    });
    assert!(matches!(outcomes, [Ok(a), Err(ChainError::TransactionFailed(_)), Ok(c)] if a == c));
    assert_eq!(chain.get_tip().unwrap().unwrap().changesets.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// However commits interleave, the sum of all successful increments is the value in the end.
    #[test]
    fn concurrent_increments_are_never_lost(threads in 2usize..5, each in 1usize..8) {
        let chain = chain();
        chain.put("counter", "0").unwrap();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..each).for_each(|_| increment(&chain)));
            }
        });
        let value = String::from_utf8(chain.get("counter").unwrap().unwrap()).unwrap();
        prop_assert_eq!(value, (threads * each).to_string());
        chain.verify_full().unwrap();
    }
}

/// Reads, adds one and writes, until nobody came between.
fn increment(chain: &TensorChain) {
    loop {
        let workspace = chain.begin().unwrap();
        let value = String::from_utf8(workspace.get("counter").unwrap().unwrap()).unwrap();
        workspace
            .add_operation(common::put("counter", (value.parse::<u64>().unwrap() + 1).to_string()))
            .unwrap();
        match chain.commit(workspace) {
            Ok(_) => return,
            Err(ChainError::ConflictDetected { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
