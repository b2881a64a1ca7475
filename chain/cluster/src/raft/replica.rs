//! One node of a cluster: what its clients, its operator and the other nodes ask of it.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{Fatal, LinearizableReadError, RaftError};
use openraft::{Raft, ReadPolicy, ServerState};
use tensor_chain::replicated::{EntryOutcome, ReplicatedChain, ReplicatedEntry};
use tensor_chain::{ChainError, NodeId, StoreError, TensorChain, TensorStore};
use tokio::task::JoinSet;

use super::blocking::blocking;
use super::checkpoints::Voter;
use super::condition::Watched;
use super::config::ReplicaConfig;
use super::disk_guard::DiskGuard;
use super::failure::{FirstFailure, ReplicaError};
use super::handover::Handover;
use super::log_store::{Hold, LogFigures, LogStore};
use super::messages::{Request, Response};
use super::network::{self, Network};
use super::proposer::{self, Queue, submit_error};
use super::service::Service;
use super::snapshots::Snapshots;
use super::state_machine::StateMachine;
use super::statistics::{Counted, count_leaders};
use super::types::{Addresses, Command, LogId, RaftNode, TypeConfig, peer};
use crate::api::{ClientId, Committed, Member, ReadError, ReplicaStatus, Role, SubmitError, Write};
use crate::link::{Channel, PeerLink, PeerService};

/// How long the tasks of the library may take to end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Between attempts of a leader to begin the chain.
const BEGIN_PAUSE: Duration = Duration::from_millis(10);

pub(super) type Metrics = openraft::RaftMetrics<TypeConfig>;

/// A handle to the replica of this process; clones are handles to the same one.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    config: ReplicaConfig,
    raft: Raft<TypeConfig, StateMachine>,
    chain: Arc<ReplicatedChain>,
    snapshots: Arc<Snapshots>,
    link: Arc<dyn PeerLink>,
    log: Hold,
    queue: Queue,
    counted: Arc<Counted>,
    watched: Arc<Watched>,
    /// When this node, leading, changed the voters last.
    voters_changed: Mutex<Option<tokio::time::Instant>>,
    disk: Arc<DiskGuard>,
    failure: FirstFailure,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

impl Replica {
    /// Opens what the directory holds and takes part in the cluster again, or waits to be made part of one.
    ///
    /// # Errors
    /// A directory that is in use or damaged; a configuration that makes no sense.
    pub async fn start(config: ReplicaConfig, link: Arc<dyn PeerLink>) -> Result<Self, ReplicaError> {
        let raft_config = config.raft().map_err(ReplicaError::Config)?;
        let (counted, failure) = (Arc::<Counted>::default(), FirstFailure::default());
        let (opening, counting, first_failure) = (config.clone(), Arc::clone(&counted), failure.clone());
        let open = move || -> Result<_, ReplicaError> {
            let synced_len = Snapshots::synced_len(&opening.dir).map_err(ReplicaError::Snapshot)?;
            let store = open_store(&opening, synced_len).map_err(ChainError::from)?;
            let node = store.identity().map_err(ChainError::from)?.node_id();
            let chain = Arc::new(ReplicatedChain::open(store, opening.chain)?);
            let snapshots = Snapshots::open(&opening.dir, &chain).map_err(|error| {
                match chain.chain().store().divergence() {
                    Some(&divergence) => ReplicaError::Chain(divergence.into()),
                    None => ReplicaError::Snapshot(error),
                }
            })?;
            let log = LogStore::open(&opening.dir.join("raft"), counting, first_failure);
            let log = log.map_err(ReplicaError::Log)?;
            #[cfg(feature = "simulation")]
            let log = log.on(opening.simulated.map(|simulated| simulated.disk));
            Ok((node, chain, Arc::new(snapshots), log))
        };
        let (node, chain, snapshots, log) =
            blocking(open).await.map_err(|error| ReplicaError::Raft(error.to_string()))??;
        let patience = config.timing.patience();
        let (hold, durable) = (log.hold(), log.durable());
        let network = Network { link: Arc::clone(&link), node: node.into(), patience };
        let machine = StateMachine::new(
            Arc::clone(&chain),
            Arc::clone(&snapshots),
            durable.clone(),
            Arc::clone(&counted),
            failure.clone(),
        );
        let raft = Raft::new(node.into(), raft_config, network, log, machine)
            .await
            .map_err(|error: Fatal<_>| failure.at_the_start(&error))?;
        let (queue, end) = Queue::new();
        let mut tasks = JoinSet::new();
        let proposing = proposer::run(end, raft.clone(), Arc::clone(&chain));
        tasks.spawn(stop_on_panic("proposer", proposing, raft.clone()));
        let beginning = begin_chain(raft.clone(), Arc::clone(&chain));
        tasks.spawn(stop_on_panic("begin_chain", beginning, raft.clone()));
        let voter = Voter {
            raft: raft.clone(),
            chain: Arc::clone(&chain),
            link: Arc::clone(&link),
            every: config.checkpoint_every,
            deadline: config.write_timeout,
        };
        tasks.spawn(stop_on_panic("voter", voter.run(), raft.clone()));
        tasks.spawn(count_leaders(raft.clone(), Arc::clone(&counted)));
        let disk = Arc::new(DiskGuard::new(&config));
        let guard = Arc::clone(&disk);
        tasks.spawn(stop_on_panic("disk_guard", async move { guard.watch().await }, raft.clone()));
        let watched = Arc::new(Watched::new(
            Arc::clone(&chain),
            Arc::clone(&disk),
            Arc::clone(&counted),
            durable,
            config.look_every,
        ));
        let handover =
            Handover { raft: raft.clone(), link: Arc::clone(&link), watched: Arc::clone(&watched) };
        tasks.spawn(stop_on_panic("handover", handover.run(), raft.clone()));
        let tasks = tokio::sync::Mutex::new(tasks);
        Ok(Self {
            inner: Arc::new(Inner {
                node,
                config,
                raft,
                chain,
                snapshots,
                link,
                log: hold,
                queue,
                counted,
                watched,
                voters_changed: Mutex::default(),
                disk,
                failure,
                tasks,
            }),
        })
    }

    /// What answers the other nodes: to be handed everything that arrives from them.
    #[must_use]
    pub fn service(&self) -> Arc<dyn PeerService> {
        let Inner { raft, snapshots, watched, config, .. } = &*self.inner;
        Arc::new(Service {
            raft: raft.clone(),
            snapshots: Arc::clone(snapshots),
            watched: Arc::clone(watched),
            deadline: config.write_timeout,
        })
    }

    /// The hash of this node's public key.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// The chain as far as it is applied here, for reading. It reflects every write that was acknowledged before only
    /// after a [`read_barrier`](Self::read_barrier).
    #[must_use]
    pub fn chain(&self) -> Arc<TensorChain> {
        Arc::clone(self.inner.chain.chain())
    }

    /// Has the cluster apply a write. When this returns `Ok`, it is on the disks of a majority and applied here.
    ///
    /// # Errors
    /// See [`SubmitError`] for what is known about the write with each.
    pub async fn submit(&self, write: Write) -> Result<Committed, SubmitError> {
        self.check_room()?;
        let outcome = self.inner.queue.push(write)?;
        match tokio::time::timeout(self.inner.config.write_timeout, outcome).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(SubmitError::Unknown),
        }
    }

    /// Has the cluster apply many writes, each with its own outcome, in the order of the writes. Those on the same keys
    /// are applied in that order.
    pub async fn submit_many(&self, writes: Vec<Write>) -> Vec<Result<Committed, SubmitError>> {
        let waiting: Vec<_> = writes
            .into_iter()
            .map(|write| self.check_room().and_then(|()| self.inner.queue.push(write)))
            .collect();
        let deadline = tokio::time::Instant::now() + self.inner.config.write_timeout;
        let mut outcomes = Vec::with_capacity(waiting.len());
        for outcome in waiting {
            outcomes.push(match outcome {
                Ok(outcome) => match tokio::time::timeout_at(deadline, outcome).await {
                    Ok(Ok(outcome)) => outcome,
                    _ => Err(SubmitError::Unknown),
                },
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    /// Has the cluster issue a client id. Asking twice issues two.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn open_session(&self) -> Result<ClientId, SubmitError> {
        self.check_room()?;
        let asked = self.inner.raft.client_write(Command::new(ReplicatedEntry::Session));
        match tokio::time::timeout(self.inner.config.write_timeout, asked).await {
            Ok(Ok(response)) => match response.data.outcome {
                Some(EntryOutcome::Session { client }) => Ok(ClientId(client)),
                _ => Err(SubmitError::Unknown),
            },
            Ok(Err(RaftError::APIError(error))) => Err(submit_error(error)),
            Ok(Err(RaftError::Fatal(_))) => Err(SubmitError::Stopped),
            Err(_) => Err(SubmitError::Unknown),
        }
    }

    /// Returns when the chain here reflects every write that was acknowledged anywhere before this was called, with the
    /// index that is applied at least. A majority has confirmed the leader meanwhile.
    ///
    /// # Errors
    /// No leader within reach, or none that a quorum confirms in time.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        let deadline = self.inner.config.read_timeout;
        let index =
            tokio::time::timeout(deadline, self.read_index()).await.map_err(|_| ReadError::NoQuorum)??;
        let mut applied = self.inner.raft.watch_apply_progress();
        let reached = applied.wait_until(|applied| applied.as_ref().is_some_and(|id| id.index() >= index));
        match tokio::time::timeout(deadline, reached).await {
            Ok(Ok(_)) => Ok(index),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// The index that a read must not miss, from the leader.
    async fn read_index(&self) -> Result<u64, ReadError> {
        #[cfg(feature = "simulation")]
        if let Some(index) = self.index_without_quorum() {
            return Ok(index);
        }
        let error = match self.inner.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => return Ok(read.index()),
            Err(error) => error,
        };
        let forward = match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => forward,
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => {
                return Err(ReadError::NoQuorum);
            }
            RaftError::Fatal(_) => return Err(ReadError::Stopped),
        };
        let leader = forward.leader_id.zip(forward.leader_node);
        let leader = leader.filter(|(node, _)| NodeId::from(*node) != self.inner.node);
        let Some(leader) = leader.map(|(node, at)| peer(node, &at)) else {
            return Err(ReadError::NotLeader { leader: None });
        };
        let question = network::ask(
            &*self.inner.link,
            &leader,
            Channel::Urgent,
            &Request::ReadIndex,
            self.inner.config.read_timeout,
        );
        match question.await {
            Ok(Response::ReadIndex(Some(index))) => Ok(index),
            Ok(Response::ReadIndex(None)) => Err(ReadError::NoQuorum),
            _ => Err(ReadError::NotLeader { leader: Some(leader) }),
        }
    }

    /// Who takes part, as the members say that know of a later change than this node's log; nobody where none does.
    pub async fn members_elsewhere(&self) -> BTreeSet<NodeId> {
        let own = *self.inner.raft.metrics().borrow_watched().membership_config.log_id();
        let own = own.as_ref().map(LogId::index);
        let others = self.status().members.into_iter().filter(|member| member.peer.node != self.inner.node);
        let (link, patience) = (&*self.inner.link, self.patience());
        let told = join_all(others.map(|member| async move {
            network::ask(link, &member.peer, Channel::Urgent, &Request::Members, patience).await
        }));
        let members = told.await.into_iter().filter_map(|answer| match answer {
            Ok(Response::Members { since, members }) if since > own => Some(members),
            _ => None,
        });
        members.flatten().map(NodeId::from).collect()
    }

    /// Whether the leader's disk has room for a write. Another node says who leads, however full its own is.
    fn check_room(&self) -> Result<(), SubmitError> {
        let leads = || self.inner.raft.metrics().borrow_watched().state == ServerState::Leader;
        self.inner.disk.check().or_else(|full| if leads() { Err(full) } else { Ok(()) })
    }

    /// What ended this replica, where that was its storage.
    #[must_use]
    pub fn failure(&self) -> Option<&ReplicaError> {
        self.inner.failure.get()
    }

    /// How this node sees itself and the cluster at the moment.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.status_of(&self.inner.raft.metrics().borrow_watched())
    }

    pub(super) fn status_of(&self, metrics: &Metrics) -> ReplicaStatus {
        let tip = self.inner.chain.chain().tip();
        let members = metrics.membership_config.membership();
        let role = match (&metrics.running_state, metrics.state) {
            (Err(_), _) | (Ok(()), ServerState::Shutdown) => Role::Stopped,
            (Ok(()), ServerState::Leader) => Role::Leader,
            (Ok(()), ServerState::Follower) => Role::Follower,
            (Ok(()), ServerState::Candidate) => Role::Candidate,
            (Ok(()), ServerState::Learner) => Role::Learner,
        };
        ReplicaStatus {
            node: self.inner.node,
            role,
            term: metrics.current_term,
            leader: metrics.current_leader.and_then(|node| Some(peer(node, members.get_node(&node)?))),
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.as_ref().map(|id| id.index()),
            applied: metrics.last_applied.as_ref().map(|id| id.index()),
            height: tip.height,
            tip_hash: tip.hash,
            state_hash: tip.state_root,
            finalized: self.inner.chain.finalized(),
            members: members_of(members),
        }
    }

    /// Takes part no more, and leaves the data in good order. Writes under way have an unknown outcome.
    ///
    /// # Errors
    /// A medium that cannot be written; what was acknowledged is durable all the same.
    pub async fn shutdown(&self) -> Result<(), ChainError> {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::error!(%error, "the consensus task ended with a panic");
        }
        self.inner.tasks.lock().await.shutdown().await;
        if tokio::time::timeout(RELEASE_TIMEOUT, self.inner.log.released()).await.is_err() {
            tracing::warn!("the Raft log is still open: its directory stays locked until this process ends");
        }
        let chain = Arc::clone(&self.inner.chain);
        blocking(move || chain.close()).await.unwrap_or(Ok(()))
    }

    pub(super) fn raft(&self) -> &Raft<TypeConfig, StateMachine> {
        &self.inner.raft
    }

    pub(super) fn snapshots(&self) -> &Arc<Snapshots> {
        &self.inner.snapshots
    }

    pub(super) fn counted(&self) -> &Counted {
        &self.inner.counted
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(super) fn log_figures(&self) -> LogFigures {
        self.inner.log.figures()
    }

    pub(super) fn patience(&self) -> Duration {
        self.inner.config.timing.patience()
    }

    /// Since when the voters are as this node, leading, has made them.
    pub(super) fn voters_changed(&self) -> Option<tokio::time::Instant> {
        *self.inner.voters_changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_change_of_voters(&self) {
        *self.inner.voters_changed.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(tokio::time::Instant::now());
    }

    #[cfg(feature = "simulation")]
    pub(super) fn log(&self) -> &Hold {
        &self.inner.log
    }

    #[cfg(feature = "simulation")]
    pub(super) fn config(&self) -> &ReplicaConfig {
        &self.inner.config
    }

    pub(super) fn write_timeout(&self) -> Duration {
        self.inner.config.write_timeout
    }
}

/// Who takes part.
pub(super) fn members_of(membership: &openraft::Membership<RaftNode, Addresses>) -> Vec<Member> {
    let voters: BTreeSet<RaftNode> = membership.voter_ids().collect();
    let member = |(node, addresses): (&RaftNode, &Addresses)| Member {
        peer: peer(*node, addresses),
        voter: voters.contains(node),
    };
    membership.nodes().map(member).collect()
}

/// Runs a task that nobody could do without: where it panics, the replica stops and says so instead of taking writes
/// that go nowhere.
async fn stop_on_panic(task: &str, run: impl Future<Output = ()>, raft: Raft<TypeConfig, StateMachine>) {
    if AssertUnwindSafe(run).catch_unwind().await.is_err() {
        tracing::error!(task, "a task panicked: the replica stops");
        // An error says that it has stopped already.
        let _ = raft.shutdown().await;
    }
}

fn open_store(config: &ReplicaConfig, synced_len: u64) -> Result<TensorStore, StoreError> {
    #[cfg(feature = "simulation")]
    if let Some(simulated) = &config.simulated {
        return TensorStore::open_replicated_over(&config.dir, synced_len, simulated.disk.index());
    }
    TensorStore::open_replicated(&config.dir, synced_len)
}

/// Whoever leads a cluster whose chain has not begun begins it.
async fn begin_chain(raft: Raft<TypeConfig, StateMachine>, chain: Arc<ReplicatedChain>) {
    let mut metrics = raft.metrics();
    while !chain.has_begun() {
        let leads = metrics.borrow_and_update().state == ServerState::Leader;
        if leads {
            match chain.genesis_entry() {
                // Where this fails, another leader begins it, or this one later. Asking is a change by itself: without
                // the pause a leader that is not ready would be asked all the time.
                Ok(entry) => {
                    if raft.client_write(Command::new(entry)).await.is_err() {
                        tokio::time::sleep(BEGIN_PAUSE).await;
                    }
                }
                Err(error) => return tracing::error!(%error, "this node cannot begin the chain"),
            }
        }
        if !chain.has_begun() && metrics.changed().await.is_err() {
            return;
        }
    }
}
