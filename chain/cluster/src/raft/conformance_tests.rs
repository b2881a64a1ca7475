//! The consensus library's own tests of a log and a state machine, over ours on disk.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tensor_chain::replicated::ReplicatedChain;
use tensor_chain::{ChainConfig, TensorStore};

use super::durable::Durable;
use super::failure::FirstFailure;
use super::log_store::LogStore;
use super::snapshots::Snapshots;
use super::state_machine::StateMachine;
use super::types::{RaftNode, TypeConfig};

/// The suite numbers its nodes.
impl From<u64> for RaftNode {
    fn from(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }
}

struct OnDisk;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let store = TensorStore::open_replicated(dir.path(), 0).unwrap();
        let chain = Arc::new(ReplicatedChain::open(store, ChainConfig::default()).unwrap());
        let snapshots = Arc::new(Snapshots::open(dir.path(), &chain).unwrap());
        let log = LogStore::open(&dir.path().join("raft"), Arc::default(), FirstFailure::default()).unwrap();
        // Entries that no log has are applied here.
        let durable = Durable::default();
        durable.raise(u64::MAX);
        let machine = StateMachine::new(chain, snapshots, durable, Arc::default(), FirstFailure::default());
        Ok((dir, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_log_and_state_machine_pass_the_librarys_suite() {
    Suite::test_all(OnDisk).await.unwrap();
}
