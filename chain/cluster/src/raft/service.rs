//! What a replica answers other nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Raft, ReadPolicy};
use tensor_chain::NodeId;
use tensor_chain::replicated::ReplicatedEntry;
use tracing::Instrument;

use super::blocking::blocking;
use super::checkpoints::append;
use super::condition::Watched;
use super::messages::{ChunkBytes, Request, Response, decode, encode};
use super::snapshots::Snapshots;
use super::state_machine::{StateMachine, describe};
use super::types::{LogId, RaftNode, TypeConfig, Vote};
use super::validation::is_snapshot;
use crate::link::PeerService;

/// Answers by asking the consensus library.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) watched: Arc<Watched>,
    /// How long an entry may take that is proposed for another node.
    pub(super) deadline: Duration,
}

/// Whether a node speaks for itself: nobody else may use its vote.
fn speaks_for_itself(from: NodeId, vote: &Vote) -> bool {
    vote.leader_id.voted_for == RaftNode::from(from)
}

/// Whether an entry is a vote on a checkpoint and of this node. All else that is proposed comes from clients.
fn is_vote_of(from: NodeId, entry: &ReplicatedEntry) -> bool {
    matches!(entry, ReplicatedEntry::Vote(vote) if vote.claimed_signer() == Some(from))
}

/// What a frame asks, if a node in this one's term can be asked that.
fn question(raft: &Raft<TypeConfig, StateMachine>, from: NodeId, frame: &[u8]) -> Option<Request> {
    let request: Request = decode(frame)?;
    let sound = request.is_sound(raft.metrics().borrow_watched().current_term);
    if !sound {
        tracing::warn!(%from, "an impossible request was refused");
    }
    sound.then_some(request)
}

impl Service {
    /// The answer; `None` where the question makes no sense or this node has stopped.
    async fn answer(&self, from: NodeId, request: Request) -> Option<Response> {
        match request {
            Request::Append(request) if speaks_for_itself(from, &request.vote) => {
                self.raft.append_entries(request).await.ok().map(Response::Append)
            }
            Request::Vote(request) if speaks_for_itself(from, &request.vote) => {
                self.raft.vote(request).await.ok().map(Response::Vote)
            }
            Request::PreVote(request) if speaks_for_itself(from, &request.vote) => {
                self.raft.pre_vote(request).await.ok().map(Response::Vote)
            }
            Request::TransferLeader(request) if speaks_for_itself(from, request.from_leader()) => {
                self.raft.handle_transfer_leader(request).await.ok().map(Response::TransferLeader)
            }
            Request::ReadIndex => {
                let index = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await.ok();
                Some(Response::ReadIndex(index.map(|(read, _)| read.index())))
            }
            Request::Propose(command) if is_vote_of(from, command.entry()) => {
                Some(Response::Proposed(append(&self.raft, command, self.deadline).await))
            }
            Request::Condition => Some(Response::Condition(self.watched.condition(&self.raft))),
            Request::Members => {
                let metrics = self.raft.metrics();
                let seen = metrics.borrow_watched();
                let seen = &seen.membership_config;
                let members = seen.membership().nodes().map(|(node, _)| *node).collect();
                Some(Response::Members { since: seen.log_id().as_ref().map(LogId::index), members })
            }
            Request::Offer { digest } => {
                let snapshots = Arc::clone(&self.snapshots);
                let offered = move || snapshots.offered(from, &digest);
                let held = blocking(offered).await.ok()?;
                held.inspect_err(|error| tracing::warn!(%error, %from, "a snapshot was not taken"))
                    .ok()
                    .map(Response::Offer)
            }
            Request::Chunk { part, offset, bytes: ChunkBytes(bytes) } => {
                let snapshots = Arc::clone(&self.snapshots);
                let write = move || snapshots.receive(from, part, offset, &bytes);
                match blocking(write).await.ok()? {
                    Ok(()) => Some(Response::Chunk),
                    Err(error) => {
                        tracing::warn!(%error, %from, "a part of a snapshot was not taken");
                        None
                    }
                }
            }
            Request::Install { vote } if speaks_for_itself(from, &vote) => self.install(from, vote).await,
            _ => {
                tracing::warn!(%from, "a request in the name of another node was refused");
                None
            }
        }
    }

    async fn install(&self, from: NodeId, vote: Vote) -> Option<Response> {
        let snapshots = Arc::clone(&self.snapshots);
        let receive = move || snapshots.received(from).and_then(describe);
        let snapshot = match blocking(receive).await.ok()? {
            Ok(snapshot) if is_snapshot(&snapshot.meta, &vote) => snapshot,
            Ok(_) => {
                tracing::warn!(%from, "an impossible snapshot was refused");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, %from, "a snapshot was not received whole");
                return None;
            }
        };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.ok()?;
        Some(Response::Install { vote: answer.vote })
    }
}

impl PeerService for Service {
    fn call(&self, from: NodeId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let service = self.clone();
        Box::pin(async move {
            let request = question(&service.raft, from, &request)?;
            let span = tracing::debug_span!("answer", %from, request = request.name());
            let answer = service.answer(from, request).instrument(span).await?;
            encode(&answer).ok()
        })
    }

    fn stream(&self, from: NodeId, requests: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
        // No more of this node than that: a stream may outlast it.
        let raft = self.raft.clone();
        // Of what the library does with them it has spans of its own.
        let span = tracing::debug_span!("follow", %from);
        let appends = requests
            .map(move |frame| match span.in_scope(|| question(&raft, from, &frame)) {
                Some(Request::Append(request)) if speaks_for_itself(from, &request.vote) => Some(request),
                _ => None,
            })
            .take_while(|request| std::future::ready(request.is_some()))
            .filter_map(std::future::ready);
        let answers = self.raft.stream_append(appends.boxed());
        answers
            .map(|answer| encode(&Response::Streamed(answer.ok()?)).ok())
            .take_while(|frame| std::future::ready(frame.is_some()))
            .filter_map(std::future::ready)
            .boxed()
    }
}
