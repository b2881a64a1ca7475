//! Transactions from begin to answer: isolation, conditions, first committer wins.

use std::sync::Arc;

use tensor_chain::{
    ChainConfig, ChainError, ConflictCause, Height, Rejection, TensorChain, TensorStore, Transaction,
    TransactionFailure, WorkspaceState,
};

fn chain() -> TensorChain {
    let chain = TensorChain::with_config(TensorStore::new(), ChainConfig::default());
    chain.initialize().unwrap();
    chain
}

fn put(key: &str, data: &[u8]) -> Transaction {
    Transaction::Put { key: key.to_owned(), data: data.to_vec() }
}

#[test]
fn a_rollback_leaves_what_others_committed() {
    let chain = chain();
    let (a, b) = (chain.begin().unwrap(), chain.begin().unwrap());
    a.add_operation(put("a", b"1")).unwrap();
    b.add_operation(put("b", b"2")).unwrap();
    chain.commit(Arc::clone(&a)).unwrap();
    chain.rollback(Arc::clone(&b)).unwrap();
    assert_eq!(chain.get("a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(chain.get("b").unwrap(), None);
    assert_eq!(chain.height(), Height(1));
    assert_eq!((a.state(), b.state()), (WorkspaceState::Committed, WorkspaceState::RolledBack));
}
