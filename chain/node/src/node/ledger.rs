//! The replica as the HTTP API sees it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tensor_chain::{ChainId, Height, TensorChain};
use tensor_cluster::Replica;
use tensor_cluster::api::{
    AdminError, ClientId, Committed, Export, Peer, ReadError, ReplicaStatistics, ReplicaStatus, SubmitError,
    Write,
};
use tensor_cluster::ticket::Ticket;
use tokio::sync::watch;

use super::tickets::Tickets;
use crate::http::ledger::{AdminRequest, Ledger};

/// The replica of this node.
#[derive(Debug)]
pub(super) struct ReplicaLedger {
    replica: Replica,
    me: Peer,
    cluster: ChainId,
    heights: watch::Sender<Height>,
    tickets: Tickets,
}

impl ReplicaLedger {
    pub(super) fn new(replica: Replica, me: Peer, cluster: ChainId) -> Self {
        let heights = watch::Sender::new(replica.chain().height());
        Self { replica, me, cluster, heights, tickets: Tickets::default() }
    }

    /// The status, if this node leads.
    fn leads(&self) -> Result<ReplicaStatus, AdminError> {
        let status = self.replica.status();
        if status.leads() { Ok(status) } else { Err(AdminError::NotLeader { leader: status.leader }) }
    }

    /// Whether a node may join with a ticket. One that is a member needs none: it may not have heard that it has joined.
    fn admits(&self, ticket: &Ticket, peer: &Peer) -> bool {
        let is_member = || self.replica.status().members.iter().any(|member| member.peer == *peer);
        is_member() || self.tickets.show(ticket, peer.node)
    }
}

/// Passes the height on whenever it moves, until the replica stops.
pub(super) async fn show_heights(ledger: Arc<ReplicaLedger>) {
    let mut heights = ledger.replica.heights();
    while let Some(now) = heights.next().await {
        ledger.heights.send_if_modified(|height| std::mem::replace(height, now) != now);
    }
}

impl Ledger for ReplicaLedger {
    fn submit(&self, write: Write) -> BoxFuture<'_, Result<Committed, SubmitError>> {
        Box::pin(self.replica.submit(write))
    }

    fn submit_many(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Result<Committed, SubmitError>>> {
        Box::pin(self.replica.submit_many(writes))
    }

    fn open_session(&self) -> BoxFuture<'_, Result<ClientId, SubmitError>> {
        Box::pin(self.replica.open_session())
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(self.replica.read_barrier())
    }

    fn chain(&self) -> Arc<TensorChain> {
        self.replica.chain()
    }

    fn status(&self) -> ReplicaStatus {
        self.replica.status()
    }

    fn statistics(&self) -> ReplicaStatistics {
        self.replica.statistics()
    }

    fn heights(&self) -> watch::Receiver<Height> {
        self.heights.subscribe()
    }

    fn issue_ticket(&self, valid_for: Duration) -> Result<String, AdminError> {
        let ReplicaStatus { node, members, .. } = self.leads()?;
        // The one that issues it first: it is the one to ask.
        let others = members.into_iter().map(|member| member.peer).filter(|peer| peer.node != node);
        let peers = [self.me.clone()].into_iter().chain(others).collect();
        let issued = self.tickets.issue(self.cluster, peers, valid_for);
        issued.map_err(|error| AdminError::TicketFailed { reason: error.to_string() })
    }

    fn export(&self) -> BoxFuture<'_, Result<Export, AdminError>> {
        Box::pin(self.replica.export())
    }

    fn administer(&self, change: AdminRequest) -> BoxFuture<'_, Result<(), AdminError>> {
        Box::pin(async move {
            match change {
                AdminRequest::Initialize(members) if members.is_empty() => {
                    self.replica.initialize(vec![self.me.clone()]).await
                }
                AdminRequest::Initialize(members) => self.replica.initialize(members).await,
                AdminRequest::Join { ticket, peer } => {
                    // Only the leader knows its tickets and who is a member now.
                    self.leads()?;
                    if ticket.cluster != self.cluster || !self.admits(&ticket, &peer) {
                        return Err(AdminError::TicketRefused);
                    }
                    self.replica.admit(peer).await?;
                    self.tickets.spend(&ticket);
                    Ok(())
                }
                AdminRequest::AddLearner(peer) => self.replica.add_learner(peer).await,
                AdminRequest::Promote { node, force: false } => self.replica.promote(node).await,
                AdminRequest::Promote { node, force: true } => self.replica.promote_by_force(node).await,
                AdminRequest::Remove(node) => self.replica.remove(node).await,
                AdminRequest::TransferLeader(node) => self.replica.transfer_leader(node).await,
                AdminRequest::Snapshot => self.replica.snapshot().await,
            }
        })
    }
}
