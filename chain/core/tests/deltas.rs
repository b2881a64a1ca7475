//! Deltas that come with transactions: what they reject, what they never reject, and what headers say of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::thread;

use common::{begin_put, chain, chain_with, config, delta, put};
use tensor_chain::{
    AutoMergeConfig, ChainConfig, ChainError, Changeset, CommitReceipt, ConflictCause, EmbeddingError,
    Height, TensorChain, Transaction, TransactionWorkspace,
};
use tensor_kernels::DeltaSum;

fn begin_delta(chain: &TensorChain, key: &str, dense: &[f32]) -> Arc<TransactionWorkspace> {
    let workspace = begin_put(chain, key, "");
    workspace.set_delta(delta(dense)).unwrap();
    workspace
}

/// Commits all at once and waits until they share a batch.
fn commit_together(
    chain: &TensorChain,
    workspaces: Vec<Arc<TransactionWorkspace>>,
) -> Vec<Result<CommitReceipt, ChainError>> {
    thread::scope(|scope| {
        let commits: Vec<_> =
            workspaces.into_iter().map(|workspace| scope.spawn(move || chain.commit(workspace))).collect();
        commits.into_iter().map(|commit| commit.join().unwrap()).collect()
    })
}

/// A chain whose batches wait until `count` commits are there.
fn chain_of_batches(count: usize) -> TensorChain {
    let auto_merge = AutoMergeConfig::default().with_window(60_000).with_max_batch(count);
    chain_with(ChainConfig { auto_merge, ..config() })
}

/// (cos + 1) / 2 of the sums up to each height and of all.
#[test]
fn an_earlier_state_is_as_near_as_the_deltas_up_to_it_point_where_all_of_them_do() {
    let chain = chain();
    assert_eq!(chain.nearness(Height(0)).unwrap(), 0.5, "nothing was supplied");
    for (key, dense) in
        [("a", [3.0, 0.0, 0.0, 0.0]), ("b", [-4.0, 0.0, 0.0, 0.0]), ("c", [1.0, 1.0, 0.0, 0.0])]
    {
        chain.commit(begin_delta(&chain, key, &dense)).unwrap();
    }
    // The sums are (3, 0), (-1, 0) and (0, 1).
    let near = |height| chain.nearness(Height(height)).unwrap();
    assert_eq!([near(0), near(1), near(2), near(3), near(9)], [0.5, 0.5, 0.5, 1.0, 1.0]);
    chain.put("d", "nothing supplied").unwrap();
    assert_eq!([near(2), near(3), near(4)], [0.5, 1.0, 1.0]);
    chain.commit(begin_delta(&chain, "e", &[4.0, -1.0, 0.0, 0.0])).unwrap();
    // Of all it is (4, 0) now.
    assert_eq!([near(0), near(1), near(2), near(4), near(5)], [0.5, 1.0, 0.0, 0.5, 1.0]);
}

/// However many blocks are remembered, the latest 1,024 deltas count.
#[test]
fn what_was_committed_before_the_latest_deltas_has_no_part_in_nearness() {
    let chain = chain_of_batches(2);
    let commit_two = |block: u32| {
        let (a, b) = match block {
            1 => ([0.0, 9e6, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]),
            _ => ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]),
        };
        let two = [("a", a), ("b", b)];
        let two = two.map(|(key, dense)| begin_delta(&chain, &format!("{key}-{block}"), &dense));
        for outcome in commit_together(&chain, two.into()) {
            outcome.unwrap();
        }
    };
    (1..=512).for_each(commit_two);
    assert_eq!(chain.height(), Height(512));
    assert!(chain.nearness(Height(1)).unwrap() > 0.99);
    commit_two(513);
    assert_eq!(chain.nearness(Height(1)).unwrap(), 0.5);
}

#[test]
fn a_delta_like_one_committed_since_begin_is_rejected_with_their_similarity() {
    let chain = chain();
    let late = begin_delta(&chain, "b", &[3.0, 4.0, 0.0, 0.0]);
    chain.commit(begin_delta(&chain, "a", &[4.0, 3.0, 0.0, 0.0])).unwrap();
    match chain.commit(late).unwrap_err() {
        ChainError::ConflictDetected { cause: ConflictCause::Delta { similarity }, with } => {
            assert_eq!(with, Height(1));
            assert!((similarity - 0.96).abs() < 1e-3, "{similarity}");
        }
        other => panic!("{other:?}"),
    }
    // Begun after that commit, the same delta stands.
    chain.commit(begin_delta(&chain, "b", &[3.0, 4.0, 0.0, 0.0])).unwrap();
}

#[test]
fn the_threshold_is_exact_and_inclusive() {
    // On one position of two: cos = 0.7 exactly where 49 = 0.7² · (49 + 51).
    for (threshold, conflicts) in [(7_000, true), (7_001, false)] {
        let chain = chain_with(ChainConfig {
            conflict_threshold: tensor_kernels::Decimal::from_ten_thousandths(threshold),
            structural_threshold: tensor_kernels::Decimal::from_ten_thousandths(10_000),
            ..config()
        });
        // (7, 1, 1, 7)·(1, 0, 0, 0) = 7 of norms 10 and 1.
        let late = begin_delta(&chain, "b", &[7.0, 1.0, 1.0, 7.0]);
        chain.commit(begin_delta(&chain, "a", &[1.0, 0.0, 0.0, 0.0])).unwrap();
        assert_eq!(chain.commit(late).is_err(), conflicts, "threshold {threshold}");
    }
}

#[test]
fn deltas_from_before_begin_and_orthogonal_ones_do_not_matter() {
    let chain = chain();
    chain.commit(begin_delta(&chain, "a", &[1.0, 0.0, 0.0, 0.0])).unwrap();
    let (same, other) =
        (begin_delta(&chain, "b", &[1.0, 0.0, 0.0, 0.0]), begin_delta(&chain, "c", &[0.0, 1.0, 0.0, 0.0]));
    chain.commit(same).unwrap();
    chain.commit(other).unwrap();
    assert_eq!(chain.height(), Height(3));
}

#[test]
fn orthogonal_deltas_share_a_block_and_both_get_its_hash() {
    let chain = chain_of_batches(2);
    let pair = vec![
        begin_delta(&chain, "a", &[1.0, 0.0, 0.0, 0.0]),
        begin_delta(&chain, "b", &[0.0, 2.0, 0.0, 0.0]),
    ];
    let receipts: Vec<_> = commit_together(&chain, pair).into_iter().map(Result::unwrap).collect();
    assert_eq!(receipts[0], receipts[1]);
    assert_eq!((receipts[0].height, receipts[0].hash), (Height(1), chain.tip_hash()));
    let block = chain.get_tip().unwrap().unwrap();
    assert_eq!(block.changesets.len(), 2);
    assert_eq!(block.header.delta, DeltaSum::of(4, &[delta(&[1.0, 2.0, 0.0, 0.0])]).unwrap());
}

#[test]
fn of_two_clashing_deltas_that_arrive_together_one_stands_and_the_other_is_told() {
    let chain = chain_of_batches(3);
    let three = vec![
        begin_delta(&chain, "a", &[1.0, 0.0, 0.0, 0.0]),
        begin_delta(&chain, "b", &[2.0, 0.1, 0.0, 0.0]),
        begin_delta(&chain, "c", &[0.0, 0.0, 1.0, 0.0]),
    ];
    let mut outcomes = commit_together(&chain, three);
    let c = outcomes.pop().unwrap().unwrap();
    assert_eq!(c.height, Height(1), "a rejected neighbour does not concern it");
    let [rejected] = &outcomes.into_iter().filter_map(Result::err).collect::<Vec<_>>()[..] else {
        panic!("one of the two stands");
    };
    let ChainError::ConflictDetected { cause: ConflictCause::Delta { .. }, with: Height(1) } = rejected
    else {
        panic!("{rejected:?}");
    };
    assert_eq!(chain.height(), Height(1), "the loser is judged against the winner, and makes no block");
    chain.verify_full().unwrap();
}

#[test]
fn a_delta_of_the_encoder_never_rejects() {
    let chain = chain();
    // Equal operations have equal encoded deltas; on different keys, nearly equal ones.
    let all: Vec<_> = (0..20).map(|n| begin_put(&chain, &format!("same:{n}"), "same value")).collect();
    for workspace in all {
        assert!(!workspace.has_delta());
        chain.commit(workspace).unwrap();
    }
    let late = begin_delta(&chain, "x", &[1.0, 1.0, 1.0, 1.0]);
    chain.put("y", "encoded deltas are not looked at").unwrap();
    chain.commit(late).unwrap();
}

#[test]
fn auto_commits_are_never_in_conflict() {
    let chain = chain();
    let changeset = |key: &str| {
        let delta = Some(delta(&[1.0, 0.0, 0.0, 0.0]));
        Changeset::new(None, [].into(), vec![put(key, "")], delta).unwrap()
    };
    for key in ["a", "b"] {
        let block = chain.new_block().changeset(changeset(key)).build().unwrap();
        chain.append_block(&block).unwrap();
    }
    let together = chain.new_block().changeset(changeset("c")).changeset(changeset("d")).build().unwrap();
    chain.append_block(&together).unwrap();
    assert_eq!(chain.height(), Height(3));
}

#[test]
fn the_header_holds_the_exact_sum_of_supplied_and_encoded_deltas() {
    let chain = chain();
    let supplied = delta(&[0.1, -0.25, 0.0, 3.0e-5]);
    let mixed = chain
        .new_block()
        .changeset(Changeset::new(None, [].into(), vec![put("a", "1")], Some(supplied.clone())).unwrap())
        .changeset(Changeset::single(put("b", "2")).unwrap())
        .build()
        .unwrap();
    let encoded =
        tensor_chain::OperationEncoder::new(4.try_into().unwrap()).encode([("b", &b"2"[..])]).unwrap();
    assert_eq!(mixed.header.delta, DeltaSum::of(4, [&supplied, &encoded]).unwrap());
}

#[test]
fn a_changeset_goes_to_chains_of_any_dimension() {
    let changeset = Changeset::single(put("a", "1")).unwrap();
    for dim in [4, 8] {
        let embedding_dim = dim.try_into().unwrap();
        let chain = chain_with(ChainConfig { embedding_dim, ..config() });
        let height = chain.commit_changeset(changeset.clone()).unwrap().height;
        let encoded = tensor_chain::OperationEncoder::new(embedding_dim).encode([("a", &b"1"[..])]).unwrap();
        let block = chain.get_block(height).unwrap().unwrap();
        assert_eq!(block.header.delta, DeltaSum::of(dim, [&encoded]).unwrap());
    }
}

#[test]
fn another_dimension_is_refused_at_the_door() {
    let chain = chain();
    let workspace = chain.begin().unwrap();
    let is_dimension = |error| {
        matches!(
            error,
            ChainError::InvalidEmbedding(EmbeddingError::DimensionMismatch { before: 4, after: 3 })
        )
    };
    assert!(is_dimension(workspace.set_delta(delta(&[1.0, 2.0, 3.0])).unwrap_err()));
    assert!(is_dimension(workspace.set_before_embedding([1.0, 2.0, 3.0]).unwrap_err()));
    assert!(is_dimension(workspace.compute_delta([1.0, 2.0, 3.0]).unwrap_err()));
    assert!(workspace.set_after_embedding([f32::NAN; 4]).is_err());
    assert!(!workspace.has_delta());
    let changeset = Changeset::new(None, [].into(), vec![put("k", "")], Some(delta(&[1.0]))).unwrap();
    assert!(chain.new_block().changeset(changeset).build().is_err());
}

#[test]
fn an_embedded_vector_is_the_keys_value() {
    let chain = chain();
    let vector = delta(&[0.5, 0.0, -2.0, 0.0, 7.0, 1.0, 9.0]);
    chain.auto_commit(Transaction::Embed { key: "v".into(), vector: vector.clone() }).unwrap();
    assert_eq!(chain.get_embedding("v").unwrap(), Some(vector));
    chain.put("v", "bytes").unwrap();
    assert_eq!(chain.get_embedding("v").unwrap(), None);
    assert_eq!(chain.get("v").unwrap(), Some(b"bytes".to_vec()));
    chain.verify_full().unwrap();
}
