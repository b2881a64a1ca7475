//! A voter says of each checkpoint which block it has there: an entry of the log, proposed by the leader for it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use tensor_chain::Height;
use tensor_chain::replicated::{CheckpointVote, ReplicatedChain, ReplicatedEntry};

use super::messages::{Request, Response};
use super::network;
use super::state_machine::StateMachine;
use super::types::{Command, TypeConfig, peer};
use crate::link::{Channel, PeerLink};

/// Pause before a vote is proposed again that no leader took.
const PAUSE: Duration = Duration::from_secs(1);

/// What voting needs.
pub(super) struct Voter {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) chain: Arc<ReplicatedChain>,
    pub(super) link: Arc<dyn PeerLink>,
    /// Heights that this divides are voted on.
    pub(super) every: NonZeroU64,
    /// How long a proposal may take.
    pub(super) deadline: Duration,
}

impl Voter {
    /// Votes whenever this node has applied a checkpoint, until it stops.
    pub(super) async fn run(self) {
        let mut applied = self.raft.watch_apply_progress();
        // What was proposed is not proposed again, whether it counted or came too late.
        let mut voted = Height::GENESIS;
        while self.raft.metrics().borrow_watched().running_state.is_ok() {
            match self.chain.next_vote(self.every, voted) {
                Ok(Some(vote)) => {
                    let height = vote.checkpoint().height;
                    match self.propose(vote).await {
                        true => voted = height,
                        false => tokio::time::sleep(PAUSE).await,
                    }
                }
                Ok(None) if applied.changed().await.is_ok() => {}
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "this node cannot vote on checkpoints"),
            }
        }
    }

    /// Whether the vote is in the log.
    async fn propose(&self, vote: CheckpointVote) -> bool {
        let command = Command::new(ReplicatedEntry::Vote(vote));
        let metrics = self.raft.metrics().borrow_watched().clone();
        let Some(leader) = metrics.current_leader else { return false };
        if leader == metrics.id {
            return append(&self.raft, command, self.deadline).await;
        }
        let Some(at) = metrics.membership_config.membership().get_node(&leader) else { return false };
        let (leader, request) = (peer(leader, at), Request::Propose(command));
        let asked = network::ask(&*self.link, &leader, Channel::Urgent, &request, self.deadline);
        matches!(asked.await, Ok(Response::Proposed(true)))
    }
}

/// Whether an entry is applied here: only a leader can bring that about.
pub(super) async fn append(
    raft: &Raft<TypeConfig, StateMachine>,
    command: Command,
    deadline: Duration,
) -> bool {
    let appended = tokio::time::timeout(deadline, raft.client_write(command)).await;
    appended.is_ok_and(|appended| appended.is_ok())
}
