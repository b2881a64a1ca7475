//! How replicas reach each other: opaque frames, one at a time or in ordered streams.
//!
//! A replica asks through a [`PeerLink`] and answers through a [`PeerService`]. What the frames say is the business
//! of the replicas alone; that a frame comes from the node that it is said to come from is the business of the link.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tensor_chain::NodeId;

use crate::api::Peer;

/// Most bytes of a frame that a replica sends.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Which way a frame goes, so that a large transfer never delays a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// The log, votes, heartbeats, questions.
    Urgent,
    /// Snapshots.
    Bulk,
}

/// Why frames did not arrive, or their answers did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No connection: the request was not sent.
    #[error("node {node} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        node: NodeId,
        /// What the transport says.
        reason: String,
    },
    /// The connection ended before the answer: the request may have arrived.
    #[error("the connection to node {node} was lost: {reason}")]
    Lost {
        /// The node.
        node: NodeId,
        /// What the transport says.
        reason: String,
    },
    /// The other side could not make sense of the request, or had no answer to it.
    #[error("node {node} refused the request")]
    Refused {
        /// The node.
        node: NodeId,
    },
}

/// Answers to the frames of a stream, in their order. Ends when the requests have ended and all are answered, or
/// after an error.
pub type Answers = BoxStream<'static, Result<Bytes, LinkError>>;

/// Asks other nodes. Frames of one stream arrive in order; nothing else is promised about order.
///
/// Deadlines are the replica's: it drops a future or a stream that has taken too long, and the link gives up the
/// request then.
pub trait PeerLink: Send + Sync + 'static {
    /// Sends one frame and waits for the answer.
    fn call(
        &self,
        to: &Peer,
        channel: Channel,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// Sends frames as they come, without waiting for the answers to those before.
    fn stream(
        &self,
        to: &Peer,
        channel: Channel,
        requests: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Answers, LinkError>>;
}

/// Answers other nodes. The link calls it with what has arrived and the node that it has arrived from.
pub trait PeerService: Send + Sync + 'static {
    /// The answer to one frame; `None` where it makes no sense.
    fn call(&self, from: NodeId, request: Bytes) -> BoxFuture<'static, Option<Bytes>>;

    /// The answers to a stream of frames, in their order. It ends early after a frame that makes no sense and when
    /// no further answer can follow; the link then ends the stream for the other side.
    fn stream(&self, from: NodeId, requests: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes>;
}
