//! What an operator asks: who takes part, who leads, when a snapshot is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::raft::Precondition;
use tensor_chain::NodeId;
use tokio::time::Instant;

use super::proposer::submit_error;
use super::replica::{Metrics, Replica};
use super::types::{Addresses, RaftNode, TypeConfig};
use super::voters::{self, MAX_VOTERS};
use crate::api::{AdminError, Export, Peer, Role, SubmitError};

/// How long a snapshot may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait for one before asking again.
const EXPORT_PAUSE: Duration = Duration::from_secs(1);
/// Members that a cluster may have. With addresses of any length their list stays below the megabyte that a part of a
/// snapshot may have.
const MAX_MEMBERS: usize = 1_000;

type Change = ChangeMembers<RaftNode, Addresses>;

impl Replica {
    /// Makes a new cluster of these voters, of whom this node is one. The others learn of it from the log. Returns when
    /// somebody leads, or when that takes longer than an election among voters that are there.
    ///
    /// # Errors
    /// A log that is not empty; members without this node, too many, or with addresses that no member can have.
    pub async fn initialize(&self, members: Vec<Peer>) -> Result<(), AdminError> {
        if members.len() > MAX_VOTERS {
            return Err(AdminError::TooManyVoters { limit: MAX_VOTERS });
        }
        members.iter().try_for_each(check_addresses)?;
        let members: BTreeMap<RaftNode, Addresses> =
            members.iter().map(|peer| (peer.node.into(), peer.into())).collect();
        match self.raft().initialize(members).await {
            Ok(()) => {
                // Whoever asks next is told of a cluster.
                let (mut status, elected) = (self.watch(), 2 * self.patience());
                let _ = tokio::time::timeout(elected, status.until(|status| status.leader.is_some())).await;
                Ok(())
            }
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(AdminError::AlreadyInitialized),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(AdminError::NotAMember),
            Err(RaftError::Fatal(_)) => Err(AdminError::Stopped),
        }
    }

    /// Adds a node that receives the log but does not vote; for one that is there already, changes its addresses.
    /// Returns when the cluster has agreed, not when the node has caught up.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn add_learner(&self, peer: Peer) -> Result<(), AdminError> {
        let seen = self.seen();
        if seen.membership_config.membership().get_node(&peer.node.into()).is_none() {
            return self.add(&seen, &peer).await;
        }
        check_addresses(&peer)?;
        let nodes = [(peer.node.into(), (&peer).into())];
        self.change(&seen, ChangeMembers::SetNodes(nodes.into()), true).await
    }

    /// Adds a node that asks for it by itself, as [`add_learner`](Self::add_learner). For a member nothing is changed:
    /// whoever may add one node may not say where others are.
    ///
    /// # Errors
    /// See [`AdminError`]; [`AlreadyAMember`](AdminError::AlreadyAMember) for a member with other addresses.
    pub async fn admit(&self, peer: Peer) -> Result<(), AdminError> {
        let seen = self.seen();
        match seen.membership_config.membership().get_node(&peer.node.into()) {
            Some(addresses) if *addresses == Addresses::from(&peer) => Ok(()),
            Some(_) => Err(AdminError::AlreadyAMember { node: peer.node }),
            None => self.add(&seen, &peer).await,
        }
    }

    async fn add(&self, seen: &Metrics, peer: &Peer) -> Result<(), AdminError> {
        check_addresses(peer)?;
        if seen.membership_config.membership().nodes().count() >= MAX_MEMBERS {
            return Err(AdminError::TooManyMembers { limit: MAX_MEMBERS });
        }
        self.change(seen, ChangeMembers::AddNodes([(peer.node.into(), peer.into())].into()), true).await
    }

    /// Lets a learner vote that has caught up: it answers and lacks fewer than 100 entries. In a cluster of three voters
    /// or more 5 minutes pass between two such changes.
    ///
    /// # Errors
    /// See [`AdminError`], which has a variant for each rule that this breaks.
    pub async fn promote(&self, node: NodeId) -> Result<(), AdminError> {
        self.promote_if(node, false).await
    }

    /// Lets a learner vote whether it has caught up or not, however short after the last change. It is refused all the
    /// same where those that answer would not be a quorum any more.
    ///
    /// # Errors
    /// As [`promote`](Self::promote).
    pub async fn promote_by_force(&self, node: NodeId) -> Result<(), AdminError> {
        self.promote_if(node, true).await
    }

    async fn promote_if(&self, node: NodeId, force: bool) -> Result<(), AdminError> {
        let since_change = self.voters_changed().map(|at| at.elapsed());
        let seen = self.seen();
        voters::check_promotion(&seen, node, since_change, self.patience(), force)?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([node.into()]));
        self.change(&seen, change, true).await?;
        self.note_change_of_voters();
        Ok(())
    }

    /// Removes a voter or a learner. A leader that is removed steps down. A voter is not removed where those that answer
    /// would not be a quorum of the others.
    ///
    /// # Errors
    /// See [`AdminError`]; [`NoVoters`](AdminError::NoVoters) for the last voter.
    pub async fn remove(&self, node: NodeId) -> Result<(), AdminError> {
        let (seen, removed) = (self.seen(), RaftNode::from(node));
        let members = seen.membership_config.membership();
        members.get_node(&removed).ok_or(AdminError::NodeNotFound { node })?;
        let voter = members.voter_ids().any(|voter| voter == removed);
        if voter {
            voters::check_removal(&seen, removed, self.patience())?;
        }
        let nodes = BTreeSet::from([removed]);
        let change =
            if voter { ChangeMembers::RemoveVoters(nodes) } else { ChangeMembers::RemoveNodes(nodes) };
        self.change(&seen, change, false).await?;
        if voter {
            self.note_change_of_voters();
        }
        Ok(())
    }

    /// Asks another voter to take over. Returns when it has been asked; the status tells when it leads.
    ///
    /// # Errors
    /// A node that is no voter; a node that does not lead.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), AdminError> {
        let status = self.status();
        if !status.leads() {
            return Err(AdminError::NotLeader { leader: status.leader });
        }
        if !status.members.iter().any(|member| member.voter && member.peer.node == to) {
            return Err(AdminError::NodeNotFound { node: to });
        }
        if to == status.node {
            // The library would end its leadership and have an election.
            return Ok(());
        }
        self.raft().trigger().transfer_leader(to.into()).await.map_err(|_| AdminError::Stopped)
    }

    /// Asks this node to make a snapshot and forget the log below it. Returns when it has been asked.
    ///
    /// # Errors
    /// A node that has stopped.
    pub async fn snapshot(&self) -> Result<(), AdminError> {
        self.raft().trigger().snapshot().await.map_err(|_| AdminError::Stopped)
    }

    /// A snapshot of everything that is applied here, and the blocks that it stands on. Needs no quorum.
    ///
    /// # Errors
    /// A chain that has not begun; a medium that fails; a node that has stopped or takes more than a minute.
    pub async fn export(&self) -> Result<Export, AdminError> {
        let failed = |reason: String| AdminError::SnapshotFailed { reason };
        let nothing = || failed("the chain has not begun".to_owned());
        let wanted = self.status().applied.ok_or_else(nothing)?;
        let deadline = Instant::now() + EXPORT_TIMEOUT;
        loop {
            // Asked again, because it is not begun while another is under way.
            self.snapshot().await?;
            let wait = self.raft().wait(Some(EXPORT_PAUSE));
            let reached = |metrics: &Metrics| {
                metrics.snapshot.as_ref().is_some_and(|snapshot| snapshot.index() >= wanted)
            };
            match wait.metrics(reached, "a snapshot of what is applied").await {
                Ok(_) => break,
                Err(_) if Instant::now() < deadline => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        let snapshots = Arc::clone(self.snapshots());
        let export = tokio::task::spawn_blocking(move || snapshots.export()).await;
        match export.map_err(|error| failed(error.to_string()))? {
            Ok(export) => export.ok_or_else(nothing),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn seen(&self) -> Metrics {
        self.raft().metrics().borrow_watched().clone()
    }

    /// Changes who takes part, if that is still as it was seen when it was decided.
    ///
    /// Voters are changed in two steps. Where a leader was lost between them, the second one comes first: otherwise the
    /// library would go on to a third membership, and may lead through two of which it is no member, which it does not
    /// survive.
    async fn change(&self, seen: &Metrics, change: Change, retain: bool) -> Result<(), AdminError> {
        let status = self.status();
        if status.leads() && status.role != Role::Leader {
            // A leader that is no member any more leads until that is agreed on. The library would take another change
            // from it, which it does not expect further on.
            return Err(AdminError::MembershipChangeInProgress { log_index: None });
        }
        let seen = &seen.membership_config;
        let half_done = seen.membership().get_joint_config().len() > 1;
        // Who is no voter any more was being removed: nothing else takes a voter away.
        let finish = (ChangeMembers::AddVoterIds(BTreeSet::new()), false);
        let (change, retain) = if half_done { finish } else { (change, retain) };
        let as_seen = Precondition::LastMembershipLogId { last_membership_log_id: *seen.log_id() };
        let changed = self.raft().change_membership_if(change, retain, [as_seen]);
        let changed = tokio::time::timeout(self.write_timeout(), changed).await;
        match changed.map_err(|_| AdminError::Unknown)? {
            Ok(done) if half_done => {
                Err(AdminError::MembershipChangeInProgress { log_index: Some(done.log_id.index()) })
            }
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::PreconditionFailed(_))) => {
                Err(AdminError::MembershipChangeInProgress { log_index: None })
            }
            Err(RaftError::Fatal(_)) => Err(AdminError::Stopped),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => Err(refused(error)),
            Err(RaftError::APIError(error)) => match submit_error(error) {
                SubmitError::NotLeader { leader } => Err(AdminError::NotLeader { leader }),
                SubmitError::Retry => Err(AdminError::NotLeader { leader: None }),
                _ => Err(AdminError::Unknown),
            },
        }
    }
}

fn check_addresses(peer: &Peer) -> Result<(), AdminError> {
    if peer.has_sound_addresses() { Ok(()) } else { Err(AdminError::Address { node: peer.node }) }
}

fn refused(
    error: ChangeMembershipError<openraft::alias::CommittedLeaderIdOf<TypeConfig>, RaftNode>,
) -> AdminError {
    match error {
        ChangeMembershipError::InProgress(progress) => AdminError::MembershipChangeInProgress {
            log_index: progress.membership_log_id.map(|id| id.index()),
        },
        ChangeMembershipError::EmptyMembership(_) => AdminError::NoVoters,
        ChangeMembershipError::LearnerNotFound(missing) => {
            AdminError::NodeNotFound { node: missing.node_id.into() }
        }
        // The leader's own first entry is not committed yet, or the change is none that one step can make.
        _ => AdminError::MembershipChangeInProgress { log_index: None },
    }
}
