//! The worked examples of the published chain documentation, as tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use tensor_chain::{
    AutoMergeConfig, ChainConfig, CodebookConfig, GlobalCodebook, Height, TensorChain, TensorStore,
    Transaction, ValidationConfig, WorkspaceState,
};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[test]
fn quick_start() -> Result {
    let chain = TensorChain::new(TensorStore::new(), "node1");
    chain.initialize()?;
    let tx = chain.begin()?;
    let put = Transaction::Put { key: "users:123".to_string(), data: vec![1, 2, 3, 4] };
    tx.add_operation(put.clone())?;
    let receipt = chain.commit(tx)?;
    assert_eq!(receipt.hash, chain.tip_hash());
    assert_eq!(chain.history("users:123")?, [(Height(1), put)]);
    Ok(())
}

#[test]
fn transaction_workflow() -> Result {
    let chain = TensorChain::new(TensorStore::new(), "node1");
    chain.initialize()?;
    chain.put("users:456", "to be deleted")?;

    let tx = chain.begin()?;
    assert_eq!(tx.state(), WorkspaceState::Active);
    tx.add_operation(Transaction::Put { key: "users:123".to_string(), data: b"serialized".to_vec() })?;
    tx.add_operation(Transaction::Delete { key: "users:456".to_string() })?;
    assert_eq!(tx.affected_keys().into_iter().collect::<Vec<_>>(), ["users:123", "users:456"]);
    chain.commit(Arc::clone(&tx))?;
    assert_eq!(tx.state(), WorkspaceState::Committed);
    assert_eq!(chain.list("users:", None, 10)?, ["users:123"]);

    let tx = chain.begin()?;
    tx.add_operation(Transaction::Delete { key: "users:123".to_string() })?;
    chain.rollback(Arc::clone(&tx))?;
    assert_eq!(tx.state(), WorkspaceState::RolledBack);
    assert_eq!((chain.height(), chain.get("users:123")?), (Height(2), Some(b"serialized".to_vec())));
    Ok(())
}

#[test]
fn embeddings_inside_a_transaction() -> Result {
    let chain = common::chain();
    let tx = chain.begin()?;
    tx.set_before_embedding([0.0, 1.0, 0.0, 0.0])?;
    assert!(!tx.has_delta() && tx.delta().is_none());
    tx.add_operation(Transaction::Put { key: "k1".to_string(), data: vec![1, 2, 3] })?;
    tx.set_after_embedding([3.0, 1.0, 4.0, 0.0])?;
    assert!(tx.has_delta());
    assert_eq!(tx.delta().map(|delta| delta.to_dense()), Some(vec![3.0, 0.0, 4.0, 0.0]));
    let delta_vector = tx.to_delta_vector();
    assert!((delta_vector.magnitude() - 5.0).abs() < 1e-6);
    assert_eq!((delta_vector.affected_keys().len(), delta_vector.tx_id()), (1, tx.id()));

    // The same with the delta computed in one call; a new state after replaces the old one.
    assert_eq!(tx.compute_delta([0.0, 2.0, 0.0, 0.0])?.to_dense(), [0.0, 1.0, 0.0, 0.0]);
    chain.commit(tx)?;
    let header = chain.get_tip()?.ok_or("no tip")?.header;
    assert_eq!(header.delta.to_sparse()?.to_dense(), [0.0, 1.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn chain_operations() -> Result {
    let chain = TensorChain::new(TensorStore::new(), "node1");
    chain.initialize()?;
    for n in 0..50_u8 {
        chain.put("users:123", [n])?;
    }
    assert_eq!(chain.height(), Height(50));
    let tip = chain.get_tip()?.ok_or("no tip")?;
    let genesis = chain.get_genesis()?.ok_or("no genesis")?;
    assert_eq!((tip.hash(), genesis.header.height), (chain.tip_hash(), Height(0)));
    let block = chain.get_block(Height(42))?.ok_or("no block")?;
    assert_eq!(chain.get_blocks(Height(10), Height(20))?.len(), 11);
    let mut previous = genesis.header.prev_hash;
    for other in chain.iter() {
        let other = other?;
        assert_eq!(other.header.prev_hash, previous);
        previous = other.hash();
    }
    let history = chain.history("users:123")?;
    assert_eq!((history.len(), &history[41].1), (50, &block.changesets[0].transactions()[0]));
    chain.verify()?;
    chain.verify_full()?;
    Ok(())
}

#[test]
fn codebook_persistence() -> Result {
    let dir = tempfile::tempdir()?;
    let config = || ChainConfig { embedding_dim: 2.try_into().unwrap(), ..ChainConfig::new("node1") };

    // Recommended: load what is there, or start with an empty one.
    let chain = TensorChain::load_or_create(TensorStore::open(dir.path())?, config())?;
    assert!(chain.codebook_manager()?.global().is_empty());
    assert!(chain.load_global_codebook()?.is_none());
    chain.close()?;

    // By hand.
    let codebook = GlobalCodebook::from_centroids(vec![vec![1.0, 0.0], vec![0.0, 1.0]])?;
    let (cb_config, val_config) = (CodebookConfig::default(), ValidationConfig::default());
    let store = TensorStore::open(dir.path())?;
    let chain = TensorChain::with_codebook(store, config(), codebook, cb_config, val_config);
    chain.initialize()?;
    assert_eq!(chain.save_global_codebook()?, 2);
    let loaded = chain.load_global_codebook()?.ok_or("no codebook")?;
    assert_eq!((loaded.len(), loaded.epoch()), (2, 1));
    assert_eq!(chain.save_global_codebook()?, 2);
    let saved = chain.load_global_codebook()?.ok_or("no codebook")?;
    assert_eq!(saved.epoch(), 2, "each save is an epoch of its own");
    chain.close()?;

    let chain = TensorChain::load_or_create(TensorStore::open(dir.path())?, config())?;
    let manager = chain.codebook_manager()?;
    assert_eq!((manager.global().dimension(), manager.global().hash()), (2, saved.hash()));
    let validator = chain.transition_validator()?;
    assert!(validator.validate_transition("domain", &[1.0, 0.0], &[0.9, 0.1])?.is_valid);
    chain.verify_full()?;
    Ok(())
}

#[test]
fn a_chain_with_a_codebook_refuses_steps_that_it_does_not_know() -> Result {
    let codebook = GlobalCodebook::from_centroids(vec![vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 1.0, 0.0, 0.0]])?;
    let store = TensorStore::new();
    let chain =
        TensorChain::with_codebook(store, common::config(), codebook, Default::default(), Default::default());
    chain.initialize()?;
    let commit = |from: [f32; 4], to: [f32; 4]| {
        let tx = common::begin_put(&chain, "k", "v");
        tx.set_before_embedding(from)?;
        tx.set_after_embedding(to)?;
        chain.commit(tx)
    };
    commit([1.0, 0.0, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0])?;
    // A local codebook that was taught a state knows it, and decides nothing.
    let state = [0.6, 0.0, 0.8, 0.0];
    let validator = chain.transition_validator()?;
    for taught in [false, true] {
        if taught {
            for domain in ["chain", "k"] {
                validator.learn_from_states(domain, &[state])?;
                assert!(validator.validate_state(domain, &state)?);
            }
        }
        let unknown = commit([1.0, 0.0, 0.0, 0.0], state).unwrap_err();
        assert!(matches!(unknown, tensor_chain::ChainError::InvalidTransition { .. }), "{unknown}");
    }
    let too_far = commit([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]).unwrap_err();
    assert!(matches!(too_far, tensor_chain::ChainError::InvalidTransition { .. }), "{too_far}");
    // Without embeddings there is nothing to hold against it.
    chain.put("k", "v")?;
    assert_eq!(chain.height(), Height(2));
    Ok(())
}

#[test]
fn auto_merge() -> Result {
    let config = ChainConfig {
        auto_merge: AutoMergeConfig {
            enabled: true,
            orthogonal_threshold: "0.1".parse()?, // |cos| < 0.1 = orthogonal
            max_merge_batch: 2,
            merge_window_ms: 60_000,
        },
        ..common::config()
    };
    let chain = TensorChain::with_config(TensorStore::new(), config);
    chain.initialize()?;
    let begin = |key: &str, dense: [f32; 4]| {
        let tx = common::begin_put(&chain, key, "");
        tx.compute_delta(dense).map(|_| tx)
    };
    let (a, b) = (begin("a", [1.0, 0.0, 0.0, 0.0])?, begin("b", [0.05, 1.0, 1.0, 0.0])?);
    let (like_a, unknown) = (begin("c", [2.0, 0.0, 0.0, 0.0])?, common::begin_put(&chain, "d", ""));

    // What could share a block with `a`.
    let manager = chain.transaction_manager()?;
    let candidates = manager.find_merge_candidates(&a, "0.1".parse()?)?;
    assert_eq!(candidates.len(), 1, "not itself, not one like it, not one whose delta is unknown");
    assert_eq!(candidates[0].workspace.id(), b.id());
    assert!((candidates[0].similarity - 0.035).abs() < 1e-3);
    drop((like_a, unknown));

    // Both have asked to be committed: they share a block and get one hash.
    let (first, second) = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(|| chain.commit(a)), scope.spawn(|| chain.commit(b)));
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!(first?, second?);
    assert_eq!(chain.height(), Height(1));
    Ok(())
}
