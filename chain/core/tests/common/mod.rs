//! What the chain's tests share.
#![allow(dead_code, reason = "every test file uses some of it")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tensor_chain::dir::DataDir;
use tensor_chain::encoding::Encode;
use tensor_chain::log::{FileLog, Frame};
use tensor_chain::{
    Block, ChainConfig, ChainParams, Clock, TensorChain, TensorStore, Transaction, TransactionWorkspace,
};
use tensor_kernels::{DeltaVector, SparseVec};

/// A new chain in memory whose deltas have four components.
pub fn chain() -> TensorChain {
    chain_with(config())
}

pub fn chain_with(config: ChainConfig) -> TensorChain {
    let chain = TensorChain::with_config(TensorStore::new(), config);
    chain.initialize().unwrap();
    chain
}

pub fn config() -> ChainConfig {
    ChainConfig { embedding_dim: 4.try_into().unwrap(), ..ChainConfig::default() }
}

pub fn put(key: &str, data: impl Into<Vec<u8>>) -> Transaction {
    Transaction::Put { key: key.to_owned(), data: data.into() }
}

pub fn delete(key: &str) -> Transaction {
    Transaction::Delete { key: key.to_owned() }
}

/// An open transaction with one put.
pub fn begin_put(chain: &TensorChain, key: &str, data: &str) -> Arc<TransactionWorkspace> {
    let workspace = chain.begin().unwrap();
    workspace.add_operation(put(key, data)).unwrap();
    workspace
}

pub fn delta(dense: &[f32]) -> DeltaVector {
    DeltaVector::from_sparse(&SparseVec::from_dense(dense).unwrap()).unwrap()
}

/// A clock that shows what it is told.
#[derive(Debug, Default)]
pub struct HandClock(pub AtomicU64);

impl HandClock {
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Makes a data directory whose log holds these blocks, whatever they say.
pub fn write_log(blocks: &[Block], params: &ChainParams, dir: &Path) {
    drop(DataDir::open(dir).unwrap());
    let frame = |block: &Block| {
        let (height, payload) = (block.header.height, block.to_bytes());
        Ok(Frame { offset: 0, end: 0, height, payload })
    };
    FileLog::create_with(dir, &params.to_bytes(), blocks.iter().map(frame)).unwrap();
}
