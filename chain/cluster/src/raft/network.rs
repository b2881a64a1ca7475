//! How the consensus library reaches other nodes: its calls as frames on the links.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use tracing::Instrument;

use super::blocking::blocking;
use super::messages::{ChunkBytes, Request, Response, decode, encode};
use super::snapshots::{Part, SnapshotFiles};
use super::state_machine::ChainSnapshot;
use super::types::{Addresses, RaftNode, TypeConfig, Vote, peer};
use crate::api::Peer;
use crate::link::{Answers, Channel, LinkError, PeerLink};

/// How long a part of a snapshot may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to install a snapshot: it applies every block that it does not have.
pub(super) const INSTALL_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Pause before the next attempt to reach a node that could not be.
const PAUSE: Duration = Duration::from_millis(100);

type RpcError = RPCError<TypeConfig>;

/// Makes a connection to each peer.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) link: Arc<dyn PeerLink>,
    pub(super) node: RaftNode,
    /// How long a follower may be silent while it owes an answer.
    pub(super) patience: Duration,
}

/// The way to one peer.
pub(super) struct Connection {
    network: Network,
    target: RaftNode,
    peer: Peer,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("node", &self.node).finish_non_exhaustive()
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: RaftNode, node: &Addresses) -> Connection {
        Connection { network: self.clone(), target, peer: peer(target, node) }
    }
}

/// One question and its answer, in time.
pub(super) async fn ask(
    link: &dyn PeerLink,
    to: &Peer,
    channel: Channel,
    request: &Request,
    deadline: Duration,
) -> Result<Response, AskError> {
    let frame = encode(request).map_err(|_| AskError::Encoding)?;
    let span = tracing::debug_span!("ask", to = %to.node, request = request.name());
    let answer = tokio::time::timeout(deadline, link.call(to, channel, frame)).instrument(span).await;
    let answer = answer.map_err(|_| AskError::Timeout)??;
    sound(&answer, request.term())
}

/// What a frame answers to who asked in a term, if it makes sense.
fn sound(frame: &[u8], term: u64) -> Result<Response, AskError> {
    decode(frame).filter(|answer: &Response| answer.is_sound(term)).ok_or(AskError::Answer)
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("no answer in time")]
    Timeout,
    #[error("the question cannot be encoded")]
    Encoding,
    #[error("an answer to another question, or an impossible one")]
    Answer,
}

impl Connection {
    async fn ask(
        &self,
        action: RPCTypes,
        request: Request,
        option: &RPCOption,
    ) -> Result<Response, RpcError> {
        let deadline = option.soft_ttl();
        let answer = ask(&*self.network.link, &self.peer, Channel::Urgent, &request, deadline).await;
        answer.map_err(|error| self.error(action, deadline, &error))
    }

    fn error(&self, action: RPCTypes, timeout: Duration, error: &AskError) -> RpcError {
        match error {
            AskError::Timeout => self.timeout(action, timeout).into(),
            AskError::Link(LinkError::Unreachable { .. }) => Unreachable::new(error).into(),
            _ => NetworkError::new(error).into(),
        }
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Timeout<TypeConfig> {
        Timeout { action, id: self.network.node, target: self.target, timeout }
    }

    /// Sends both parts of a snapshot, a piece at a time, and has it installed. What arrived before a connection broke is
    /// not sent again.
    async fn send_snapshot(&self, vote: Vote, files: SnapshotFiles) -> Result<Vote, RpcError> {
        let files = Arc::new(files);
        let digest = read(&files, SnapshotFiles::digest).await?;
        let Response::Offer(held) = self.ask_bulk(&Request::Offer { digest }, CHUNK_TIMEOUT).await? else {
            return Err(other_answer());
        };
        for (part, mut offset) in [(Part::State, held.state), (Part::Blocks, held.blocks)] {
            loop {
                let bytes = read(&files, move |files| files.chunk(part, offset)).await?;
                if bytes.is_empty() {
                    break;
                }
                let next = offset + bytes.len() as u64;
                let request = Request::Chunk { part, offset, bytes: ChunkBytes(bytes) };
                match self.ask_bulk(&request, CHUNK_TIMEOUT).await? {
                    Response::Chunk => offset = next,
                    _ => return Err(other_answer()),
                }
            }
        }
        match self.ask_bulk(&Request::Install { vote }, INSTALL_TIMEOUT).await? {
            Response::Install { vote } => Ok(vote),
            _ => Err(other_answer()),
        }
    }

    async fn ask_bulk(&self, request: &Request, deadline: Duration) -> Result<Response, RpcError> {
        let answer = ask(&*self.network.link, &self.peer, Channel::Bulk, request, deadline).await;
        answer.map_err(|error| self.error(RPCTypes::InstallSnapshot, deadline, &error))
    }
}

/// Reads of a snapshot, away from the threads of the runtime.
async fn read<T: Send + 'static>(
    files: &Arc<SnapshotFiles>,
    what: impl FnOnce(&SnapshotFiles) -> io::Result<T> + Send + 'static,
) -> Result<T, RpcError> {
    let files = Arc::clone(files);
    let done = blocking(move || what(&files)).await.map_err(io::Error::other);
    done.and_then(|read| read).map_err(|error| NetworkError::new(&error).into())
}

fn other_answer() -> RpcError {
    NetworkError::new(&AskError::Answer).into()
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = SnapshotFiles;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::AppendEntries, Request::Append(rpc), &option).await? {
            Response::Append(answer) => Ok(answer),
            _ => Err(other_answer()),
        }
    }

    /// Requests go out as they come, and answers come back in the same order: many are under way at once. The answers
    /// end when the requests do.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let asked = Arc::<Asked>::default();
            let (in_term, count) = (Arc::clone(&asked), Arc::clone(&asked));
            let frames = input
                .map(move |request| {
                    let request = Request::Append(request);
                    in_term.term.fetch_max(request.term(), Ordering::Relaxed);
                    encode(&request).ok()
                })
                .take_while(|frame| std::future::ready(frame.is_some()))
                .filter_map(std::future::ready)
                .inspect(move |_: &Bytes| {
                    count.owed.fetch_add(1, Ordering::Relaxed);
                });
            let opening = self.network.link.stream(&self.peer, Channel::Urgent, frames.boxed());
            let patience = self.network.patience;
            // One for all requests of the stream: many are under way at once.
            let span = tracing::debug_span!("replicate", to = %self.peer.node);
            let answers = tokio::time::timeout(patience, opening).instrument(span.clone()).await;
            let answers =
                answers.map_err(|_| AskError::Timeout).and_then(|opened| opened.map_err(AskError::from));
            let answers = match answers {
                Ok(answers) => answers,
                Err(error) => {
                    // The library waits between attempts only where requests have been asked for.
                    tokio::time::sleep(PAUSE).await;
                    return Err(self.error(RPCTypes::AppendEntries, patience, &error));
                }
            };
            let connection = &*self;
            let results = stream::unfold(Some((answers, asked, span)), move |state| async move {
                let (mut answers, asked, span) = state?;
                let answer = next_answer(&mut answers, &asked, patience).instrument(span.clone());
                let result = match answer.await? {
                    Ok(Response::Streamed(result)) => Ok(result),
                    Ok(_) => Err(other_answer()),
                    Err(error) => Err(connection.error(RPCTypes::AppendEntries, patience, &error)),
                };
                // Nothing can follow an error.
                let goes_on = matches!(result, Ok(Ok(_)));
                Some((result, goes_on.then_some((answers, asked, span))))
            });
            Ok(Box::pin(results) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::Vote, Request::Vote(rpc), &option).await? {
            Response::Vote(answer) => Ok(answer),
            _ => Err(other_answer()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::Vote, Request::PreVote(rpc), &option).await? {
            Response::Vote(answer) => Ok(answer),
            _ => Err(other_answer()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: ChainSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot.snapshot) => Ok(SnapshotResponse::new(sent?)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::TransferLeader, Request::TransferLeader(request), &option).await? {
            Response::TransferLeader(answer) => Ok(answer),
            _ => Err(other_answer()),
        }
    }
}

/// What a stream has been asked.
#[derive(Default)]
struct Asked {
    /// Requests without an answer yet.
    owed: AtomicUsize,
    /// The term of the newest request.
    term: AtomicU64,
}

/// The next answer of a stream; `None` at its end. A follower that owes no answer may be silent for as long as it likes.
async fn next_answer(
    answers: &mut Answers,
    asked: &Asked,
    patience: Duration,
) -> Option<Result<Response, AskError>> {
    loop {
        match tokio::time::timeout(patience, answers.next()).await {
            Ok(Some(Ok(frame))) => {
                asked.owed.fetch_sub(1, Ordering::Relaxed);
                return Some(sound(&frame, asked.term.load(Ordering::Relaxed)));
            }
            Ok(Some(Err(error))) => return Some(Err(error.into())),
            Ok(None) => return None,
            Err(_) if asked.owed.load(Ordering::Relaxed) == 0 => {}
            Err(_) => return Some(Err(AskError::Timeout)),
        }
    }
}
