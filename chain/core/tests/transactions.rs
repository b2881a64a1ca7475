//! Transactions from begin to answer: isolation, first committer wins, conditions.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::thread;

use common::{begin_put, chain, chain_with, config, delete, put};
use proptest::prelude::*;
use tensor_chain::{
    BEGIN_WINDOW, ChainConfig, ChainError, Changeset, ChangesetError, ConflictCause, Height, Rejection,
    TensorChain, TensorStore, Transaction, TransactionError, TransactionFailure, WorkspaceState,
};

fn failure(error: ChainError) -> TransactionFailure {
    match error {
        ChainError::TransactionFailed(failure) => failure,
        other => panic!("expected a failed transaction, got {other:?}"),
    }
}

fn rejection(error: ChainError) -> Rejection {
    match failure(error) {
        TransactionFailure::Rejected(rejection) => rejection,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

#[track_caller]
fn assert_key_conflict(error: ChainError, expected: &str, height: u64) {
    match error {
        ChainError::ConflictDetected { cause: ConflictCause::Key { key }, with } => {
            assert_eq!((key.as_str(), with), (expected, Height(height)));
        }
        other => panic!("expected a conflict on {expected:?}, got {other:?}"),
    }
}

#[test]
fn a_rollback_leaves_what_others_committed() {
    let chain = chain();
    let (a, b) = (begin_put(&chain, "a", "1"), begin_put(&chain, "b", "2"));
    chain.commit(Arc::clone(&a)).unwrap();
    chain.rollback(Arc::clone(&b)).unwrap();
    assert_eq!(chain.get("a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(chain.get("b").unwrap(), None);
    assert_eq!(chain.height(), Height(1));
    assert_eq!((a.state(), b.state()), (WorkspaceState::Committed, WorkspaceState::RolledBack));
}

#[test]
fn nothing_to_commit_makes_no_block() {
    let chain = chain();
    chain.put("k", "v").unwrap();
    let (hash, height) = (chain.tip_hash(), chain.height());
    let receipt = chain.commit(chain.begin().unwrap()).unwrap();
    assert_eq!((receipt.hash, receipt.height), (hash, height));
    assert_eq!((chain.tip_hash(), chain.height()), (hash, height));
}

#[test]
fn a_workspace_is_used_once() {
    let chain = chain();
    let committed = begin_put(&chain, "k", "v");
    chain.commit(Arc::clone(&committed)).unwrap();
    for result in [
        committed.add_operation(put("k", "w")),
        chain.rollback(Arc::clone(&committed)),
        chain.commit(Arc::clone(&committed)).map(drop),
        committed.get("k").map(drop),
    ] {
        let state = WorkspaceState::Committed;
        assert_eq!(failure(result.unwrap_err()), TransactionFailure::NotActive { state });
    }
    assert_eq!(committed.state(), WorkspaceState::Committed);
    assert_eq!(chain.height(), Height(1));
}

#[test]
fn a_workspace_of_another_chain_is_refused_and_left_open() {
    let (one, other) = (chain(), chain());
    let workspace = begin_put(&one, "k", "v");
    let error = other.commit(Arc::clone(&workspace)).unwrap_err();
    assert_eq!(failure(error), TransactionFailure::OtherChain);
    one.commit(workspace).unwrap();
}

#[test]
fn limits_are_named() {
    let chain = chain();
    let too_many = chain.begin().unwrap();
    for n in 0..1_001 {
        too_many.add_operation(delete(&format!("{n}"))).unwrap();
    }
    let error = failure(chain.commit(Arc::clone(&too_many)).unwrap_err());
    assert_eq!(error, TransactionFailure::Changeset(ChangesetError::TransactionCount { got: 1_001 }));
    assert_eq!(too_many.state(), WorkspaceState::Failed);

    for max_txs_per_block in [0, 1_001, usize::MAX] {
        let config = ChainConfig { max_txs_per_block, ..config() };
        let refused = TensorChain::with_config(TensorStore::new(), config).initialize().unwrap_err();
        assert!(matches!(refused, ChainError::BlockLimit { got } if got == max_txs_per_block), "{refused}");
    }
    let few = chain_with(ChainConfig { max_txs_per_block: 2, ..config() });
    let three = few.begin().unwrap();
    for key in ["a", "b", "c"] {
        three.add_operation(delete(key)).unwrap();
    }
    let error = failure(few.commit(three).unwrap_err());
    assert_eq!(error, TransactionFailure::TooManyOperations { got: 3, limit: 2 });

    let key = |length| failure(chain.put("k".repeat(length), "").unwrap_err());
    for length in [0, 4_097] {
        let expected = ChangesetError::Transaction(TransactionError::KeyLength { got: length });
        assert_eq!(key(length), TransactionFailure::Changeset(expected));
    }
    chain.put("k".repeat(4_096), vec![7; tensor_chain::MAX_VALUE_BYTES]).unwrap();
    let huge = chain.put("k", vec![7; tensor_chain::MAX_VALUE_BYTES + 1]).unwrap_err();
    assert!(matches!(
        failure(huge),
        TransactionFailure::Changeset(ChangesetError::Transaction(TransactionError::ValueLength { .. }))
    ));
    let two = chain.begin().unwrap();
    for key in ["a", "b"] {
        two.add_operation(put(key, vec![7; 600_000])).unwrap();
    }
    let error = failure(chain.commit(two).unwrap_err());
    assert!(matches!(error, TransactionFailure::Changeset(ChangesetError::TooLarge { .. })), "{error}");
}

#[test]
fn the_second_of_two_writers_is_told() {
    let chain = chain();
    let (first, second) = (begin_put(&chain, "k", "1"), begin_put(&chain, "k", "2"));
    let receipt = chain.commit(first).unwrap();
    assert_key_conflict(chain.commit(Arc::clone(&second)).unwrap_err(), "k", receipt.height.0);
    assert_eq!(second.state(), WorkspaceState::Failed);
    assert_eq!(chain.get("k").unwrap(), Some(b"1".to_vec()));
}

#[test]
fn no_update_is_lost_between_reading_and_writing() {
    let chain = chain();
    chain.put("counter", "0").unwrap();
    let increment = || {
        let workspace = chain.begin().unwrap();
        let value: u64 =
            String::from_utf8(workspace.get("counter").unwrap().unwrap()).unwrap().parse().unwrap();
        workspace.add_operation(put("counter", (value + 1).to_string())).unwrap();
        workspace
    };
    let (first, second) = (increment(), increment());
    chain.commit(first).unwrap();
    assert_key_conflict(chain.commit(second).unwrap_err(), "counter", 2);
    chain.commit(increment()).unwrap();
    assert_eq!(chain.get("counter").unwrap(), Some(b"2".to_vec()));
}

#[test]
fn write_skew_is_caught_by_what_was_read() {
    // Two doctors on call; each may leave while the other stays.
    let chain = chain();
    chain.put("on-call:ann", "yes").unwrap();
    chain.put("on-call:bob", "yes").unwrap();
    let leave = |who: &str, other: &str| {
        let workspace = chain.begin().unwrap();
        assert!(workspace.get(other).unwrap().is_some());
        workspace.add_operation(delete(who)).unwrap();
        workspace
    };
    let (ann, bob) = (leave("on-call:ann", "on-call:bob"), leave("on-call:bob", "on-call:ann"));
    chain.commit(ann).unwrap();
    assert_key_conflict(chain.commit(bob).unwrap_err(), "on-call:ann", 3);
}

#[test]
fn a_key_that_was_looked_for_and_not_found_counts_as_read() {
    let chain = chain();
    let workspace = chain.begin().unwrap();
    assert_eq!(workspace.get("name").unwrap(), None);
    workspace.add_operation(put("greeting", "hello nobody")).unwrap();
    chain.put("name", "Ann").unwrap();
    assert_key_conflict(chain.commit(workspace).unwrap_err(), "name", 1);
}

#[test]
fn a_deletion_is_a_write_like_any_other() {
    let chain = chain();
    chain.put("k", "v").unwrap();
    let workspace = begin_put(&chain, "k", "w");
    chain.delete("k").unwrap();
    assert_key_conflict(chain.commit(workspace).unwrap_err(), "k", 2);
}

#[test]
fn a_workspace_sees_its_beginning_and_its_own_writes() {
    let chain = chain();
    chain.put("old", "before").unwrap();
    chain.put("gone", "before").unwrap();
    let workspace = chain.begin().unwrap();
    chain.put("old", "after").unwrap();
    chain.put("new", "after").unwrap();
    chain.delete("gone").unwrap();
    assert_eq!(workspace.get("old").unwrap(), Some(b"before".to_vec()));
    assert_eq!(workspace.get("gone").unwrap(), Some(b"before".to_vec()));
    assert_eq!(workspace.get("new").unwrap(), None);
    workspace.add_operation(put("own", "mine")).unwrap();
    assert_eq!(workspace.get("own").unwrap(), Some(b"mine".to_vec()));
    workspace.add_operation(delete("own")).unwrap();
    assert_eq!(workspace.get("own").unwrap(), None);
    assert_eq!(chain.get("old").unwrap(), Some(b"after".to_vec()));
}

#[test]
fn conditions_name_what_they_found() {
    let chain = chain();
    assert_eq!(rejection(chain.update("k", "v").unwrap_err()), Rejection::KeyAbsent { key: "k".to_owned() });
    let differs = |expected: Option<&str>, found: Option<&str>| {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let (expected, found) = (expected.map(bytes), found.map(bytes));
        Rejection::ValueDiffers { key: "k".to_owned(), expected, found }
    };
    let swap = |expected: Option<&str>, new: &str| {
        chain.compare_and_swap("k", expected.map(|text| text.as_bytes().to_vec()), new)
    };
    assert_eq!(rejection(swap(Some("a"), "b").unwrap_err()), differs(Some("a"), None));
    assert_eq!(chain.height(), Height(0), "what is turned down makes no block");
    swap(None, "a").unwrap();
    assert_eq!(rejection(swap(None, "b").unwrap_err()), differs(None, Some("a")));
    assert_eq!(rejection(swap(Some("x"), "b").unwrap_err()), differs(Some("x"), Some("a")));
    swap(Some("a"), "b").unwrap();
    chain.update("k", "c").unwrap();
    assert_eq!(chain.get("k").unwrap(), Some(b"c".to_vec()));
}

#[test]
fn conditions_see_earlier_operations_of_their_own_transaction() {
    let chain = chain();
    let workspace = chain.begin().unwrap();
    let swap = |expected: &str, new: &str| Transaction::CompareAndSwap {
        key: "k".to_owned(),
        expected: Some(expected.into()),
        new: new.into(),
    };
    for operation in [put("k", "1"), swap("1", "2"), swap("2", "3")] {
        workspace.add_operation(operation).unwrap();
    }
    chain.commit(workspace).unwrap();
    assert_eq!(chain.get("k").unwrap(), Some(b"3".to_vec()));

    // All or nothing: the failing second operation takes the first with it.
    let workspace = begin_put(&chain, "other", "x");
    workspace.add_operation(swap("wrong", "4")).unwrap();
    chain.commit(workspace).unwrap_err();
    assert_eq!(chain.get("other").unwrap(), None);

    // A key that the transaction has deleted is absent, whatever it held before.
    let update = Transaction::Update { key: "k".to_owned(), data: b"5".to_vec() };
    let workspace = chain.begin().unwrap();
    workspace.add_operation(delete("k")).unwrap();
    workspace.add_operation(update).unwrap();
    let error = chain.commit(workspace).unwrap_err();
    assert_eq!(rejection(error), Rejection::KeyAbsent { key: "k".to_owned() });
}

#[test]
fn a_transaction_may_be_1024_blocks_old_and_no_older() {
    let chain = chain();
    let (old, older) = (begin_put(&chain, "a", ""), begin_put(&chain, "b", ""));
    for n in 0..BEGIN_WINDOW {
        chain.put("other", n.to_le_bytes()).unwrap();
    }
    chain.commit(old).unwrap();
    let tip = Height(BEGIN_WINDOW + 1);
    let error = chain.commit(older).unwrap_err();
    assert_eq!(rejection(error), Rejection::BeginTooOld { begin: Height(0), tip });
}

#[test]
fn a_transaction_from_above_the_tip_is_refused() {
    let chain = chain();
    let changeset =
        |begin| Changeset::new(Some(Height(begin)), [].into(), vec![put("k", "v")], None).unwrap();
    let error = chain.new_block().changeset(changeset(1)).build().unwrap_err();
    assert_eq!(rejection(error), Rejection::BeginAboveTip { begin: Height(1), tip: Height(0) });
    chain.new_block().changeset(changeset(0)).build().unwrap();
}

#[test]
fn changesets_of_one_block_are_judged_one_after_the_other() {
    let chain = chain();
    let changeset = |begin: Option<u64>, reads: &[&str], operation: Transaction| {
        let reads = reads.iter().map(|&key| key.to_owned()).collect();
        Changeset::new(begin.map(Height), reads, vec![operation], None).unwrap()
    };
    let build = |first: &Changeset, second: &Changeset| {
        chain.new_block().changeset(first.clone()).changeset(second.clone()).build()
    };
    let (auto, explicit) = (changeset(None, &[], put("k", "1")), changeset(Some(0), &[], put("k", "2")));
    assert_key_conflict(build(&auto, &explicit).unwrap_err(), "k", 1);
    let reader = changeset(Some(0), &["k"], put("other", ""));
    assert_key_conflict(build(&auto, &reader).unwrap_err(), "k", 1);
    // What the later one writes, the earlier may have read; and an auto-commit follows anything.
    build(&reader, &explicit).unwrap();
    let swap =
        Transaction::CompareAndSwap { key: "k".into(), expected: Some(b"2".to_vec()), new: b"3".to_vec() };
    let block = build(&explicit, &changeset(None, &[], swap)).unwrap();
    chain.append_block(&block).unwrap();
    assert_eq!(chain.get("k").unwrap(), Some(b"3".to_vec()));
    assert_eq!(chain.history("k").unwrap().len(), 2);
    assert_eq!(chain.get_at("k", Height(1)).unwrap(), Some(b"3".to_vec()));
    chain.verify_full().unwrap();
}

#[test]
fn auto_commits_on_one_key_all_succeed_in_some_order() {
    let chain = chain();
    thread::scope(|scope| {
        for thread in 0..8 {
            let chain = &chain;
            scope.spawn(move || {
                (0..25).try_for_each(|n| chain.put("k", format!("{thread}:{n}")).map(drop)).unwrap()
            });
        }
    });
    let history = chain.history("k").unwrap();
    assert_eq!(history.len(), 200);
    assert!(history.is_sorted_by_key(|(height, _)| *height));
    // Each thread's own writes are in its own order.
    for thread in 0..8 {
        let of_thread: Vec<u32> = history
            .iter()
            .filter_map(|(_, operation)| String::from_utf8(operation.written()?.into_owned()).ok())
            .filter_map(|text| text.strip_prefix(&format!("{thread}:")).map(|n| n.parse().unwrap()))
            .collect();
        assert_eq!(of_thread, (0..25).collect::<Vec<_>>());
    }
    let last = history.last().unwrap().1.written().unwrap().into_owned();
    assert_eq!(chain.get("k").unwrap(), Some(last));
}

#[test]
fn open_transactions_are_counted_until_they_end_or_are_dropped() {
    let chain = chain();
    assert_eq!(chain.active_transactions(), 0);
    let (a, b, c) = (begin_put(&chain, "a", ""), chain.begin().unwrap(), chain.begin().unwrap());
    assert_eq!(chain.active_transactions(), 3);
    chain.commit(a).unwrap();
    chain.rollback(Arc::clone(&b)).unwrap();
    assert_eq!(chain.active_transactions(), 1);
    drop(c);
    assert_eq!(chain.active_transactions(), 0);
}

#[test]
fn nothing_works_before_initialize_and_initialize_works_twice() {
    let chain = TensorChain::new(TensorStore::new(), "node1");
    assert!(matches!(chain.begin(), Err(ChainError::NotInitialized)));
    assert!(matches!(chain.get("k"), Err(ChainError::NotInitialized)));
    assert!(matches!(chain.verify(), Err(ChainError::NotInitialized)));
    assert_eq!(chain.iter().count(), 0);
    chain.initialize().unwrap();
    chain.put("k", "v").unwrap();
    chain.initialize().unwrap();
    assert_eq!(chain.height(), Height(1));
}

#[test]
fn the_store_must_hold_the_configured_nodes_key() {
    let store = TensorStore::new();
    let node_id = store.identity().unwrap().node_id();
    let wrong = ChainConfig { node_id: Some(Default::default()), ..config() };
    let error = TensorChain::with_config(store, wrong).initialize().unwrap_err();
    assert!(matches!(error, ChainError::NodeIdMismatch { actual, .. } if actual == node_id), "{error}");
}

proptest! {
    /// Serial histories: committing explicit transactions one after the other ends in the state that applying the
    /// successful ones in commit order gives.
    #[test]
    fn what_succeeds_is_applied_in_order_and_what_fails_leaves_nothing(
        steps in proptest::collection::vec((0usize..4, 0usize..4, 0u8..5, any::<bool>()), 1..40),
    ) {
        let chain = chain();
        let mut model = std::collections::BTreeMap::<String, Vec<u8>>::new();
        let mut open: Vec<Option<Arc<tensor_chain::TransactionWorkspace>>> = vec![None; 4];
        for (n, (slot, key, kind, finish)) in steps.into_iter().enumerate() {
            let key = format!("key{key}");
            let workspace = open[slot].take().unwrap_or_else(|| chain.begin().unwrap());
            let data = vec![n as u8];
            let operation = match kind {
                0 | 1 => put(&key, data),
                2 => delete(&key),
                3 => Transaction::Update { key, data },
                _ => Transaction::CompareAndSwap { key, expected: None, new: data },
            };
            workspace.add_operation(operation).unwrap();
            if !finish {
                open[slot] = Some(workspace);
                continue;
            }
            let operations = workspace.operations();
            if chain.commit(workspace).is_ok() {
                for operation in operations {
                    match operation.written() {
                        Some(value) => drop(model.insert(operation.key().to_owned(), value.into_owned())),
                        None => drop(model.remove(operation.key())),
                    }
                }
            }
            let keys = chain.list("", None, 100).unwrap();
            prop_assert_eq!(&keys, &model.keys().cloned().collect::<Vec<_>>());
            for key in keys {
                prop_assert_eq!(&chain.get(&key).unwrap(), &model.get(&key).cloned());
            }
        }
        chain.verify_full().unwrap();
    }
}
