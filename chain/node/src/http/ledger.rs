//! What the HTTP API needs of the node behind it. A replica of a cluster is one; tests bring a chain in memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tensor_chain::{Height, NodeId, TensorChain};
use tensor_cluster::api::{
    AdminError, ClientId, Committed, Export, Peer, ReadError, ReplicaStatistics, ReplicaStatus, SubmitError,
    Write,
};
use tensor_cluster::ticket::Ticket;
use tokio::sync::watch;

/// A ledger that writes go to and that reads come from.
pub trait Ledger: Send + Sync + 'static {
    /// Commits a write. `Ok` means that it is durable.
    fn submit(&self, write: Write) -> BoxFuture<'_, Result<Committed, SubmitError>>;

    /// Commits writes, each with its own outcome, in their order. Those on the same keys are applied in that order.
    fn submit_many(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Result<Committed, SubmitError>>>;

    /// Issues a client id.
    fn open_session(&self) -> BoxFuture<'_, Result<ClientId, SubmitError>>;

    /// Waits until reads of [`chain`](Self::chain) see everything that was committed before this call, and
    /// returns the index of the last log entry applied.
    fn read_barrier(&self) -> BoxFuture<'_, Result<u64, ReadError>>;

    /// The chain as far as this node has applied it.
    fn chain(&self) -> Arc<TensorChain>;

    /// How the node sees itself and the cluster.
    fn status(&self) -> ReplicaStatus;

    /// What the node has counted, and how its parts do.
    fn statistics(&self) -> ReplicaStatistics;

    /// The height of the tip, whenever it moves.
    fn heights(&self) -> watch::Receiver<Height>;

    /// A ticket with which one node may join within the time, as text. Only the leader issues any.
    ///
    /// # Errors
    /// As [`administer`](Self::administer).
    fn issue_ticket(&self, valid_for: Duration) -> Result<String, AdminError>;

    /// A snapshot of everything that is applied here, and the blocks that it stands on.
    fn export(&self) -> BoxFuture<'_, Result<Export, AdminError>>;

    /// Changes the cluster.
    fn administer(&self, change: AdminRequest) -> BoxFuture<'_, Result<(), AdminError>>;
}

/// What an operator may ask of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminRequest {
    /// Makes the cluster, with these voters; of the node that is asked alone, where none are named.
    Initialize(Vec<Peer>),
    /// Adds a node that shows a ticket.
    Join {
        /// The ticket.
        ticket: Ticket,
        /// The node.
        peer: Peer,
    },
    /// Adds a node that receives the log and does not vote.
    AddLearner(Peer),
    /// Gives a learner a vote.
    Promote {
        /// The learner.
        node: NodeId,
        /// Whether it has caught up or not.
        force: bool,
    },
    /// Removes a member.
    Remove(NodeId),
    /// Makes another voter lead.
    TransferLeader(NodeId),
    /// Writes a snapshot now.
    Snapshot,
}
