//! A replica of a cluster as the ledger behind the API.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tensor_chain::{Height, TensorChain};
use tensor_cluster::Replica;
use tensor_cluster::api::{AdminError, ClientId, Committed, ReadError, ReplicaStatus, SubmitError, Write};
use tokio::sync::watch;

use super::ledger::{AdminRequest, Ledger};

/// A replica, and the height of its tip as it moves.
#[derive(Debug)]
pub struct ReplicaLedger {
    replica: Replica,
    heights: watch::Receiver<Height>,
}

impl ReplicaLedger {
    /// The ledger of a replica. Follows it until it stops; to be called within a runtime.
    #[must_use]
    pub fn new(replica: Replica) -> Self {
        let (sender, heights) = watch::channel(replica.chain().height());
        let mut statuses = replica.watch();
        tokio::spawn(async move {
            while let Some(status) = statuses.changed().await {
                sender.send_if_modified(|height| std::mem::replace(height, status.height) != status.height);
                if sender.is_closed() {
                    break;
                }
            }
        });
        Self { replica, heights }
    }
}

impl Ledger for ReplicaLedger {
    fn submit(&self, write: Write) -> BoxFuture<'_, Result<Committed, SubmitError>> {
        self.replica.submit(write).boxed()
    }

    fn open_session(&self) -> BoxFuture<'_, Result<ClientId, SubmitError>> {
        self.replica.open_session().boxed()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        self.replica.read_barrier().boxed()
    }

    fn chain(&self) -> Arc<TensorChain> {
        self.replica.chain()
    }

    fn status(&self) -> ReplicaStatus {
        self.replica.status()
    }

    fn heights(&self) -> watch::Receiver<Height> {
        self.heights.clone()
    }

    fn administer(&self, change: AdminRequest) -> BoxFuture<'_, Result<(), AdminError>> {
        let replica = &self.replica;
        match change {
            AdminRequest::Initialize(members) => replica.initialize(members).boxed(),
            AdminRequest::AddLearner(peer) => replica.add_learner(peer).boxed(),
            AdminRequest::Promote(node) => replica.promote(node).boxed(),
            AdminRequest::Remove(node) => replica.remove(node).boxed(),
            AdminRequest::TransferLeader(node) => replica.transfer_leader(node).boxed(),
            AdminRequest::Snapshot => replica.snapshot().boxed(),
        }
    }
}
