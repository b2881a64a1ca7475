//! What replicas say to each other, in frames.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::snapshots::{Held, Part, SnapshotDigest};
use super::types::{Command, TypeConfig, Vote};

/// A question. In a stream all are `Append`.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// Which entry a read must not miss.
    ReadIndex,
    /// Put the vote of the node that asks into the log.
    Propose(Command),
    /// What the node has received of the snapshot with this digest, which is about to be sent.
    Offer {
        digest: SnapshotDigest,
    },
    /// A part of a snapshot.
    Chunk {
        part: Part,
        offset: u64,
        bytes: ChunkBytes,
    },
    /// Install the snapshot whose parts were sent.
    Install {
        vote: Vote,
    },
}

/// The answer to a question; of those in a stream all are `Streamed`.
#[derive(Serialize, Deserialize)]
pub(super) enum Response {
    Append(AppendEntriesResponse<TypeConfig>),
    Streamed(StreamAppendResult<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    TransferLeader(TransferLeaderResponse<TypeConfig>),
    /// The index; `None` where this node could not make sure that it leads.
    ReadIndex(Option<u64>),
    /// Whether it is there.
    Proposed(bool),
    Offer(Held),
    Chunk,
    Install {
        vote: Vote,
    },
}

/// Bytes that are encoded as one piece.
pub(super) struct ChunkBytes(pub(super) Vec<u8>);

impl Serialize for ChunkBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChunkBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Self(bytes.to_vec()))
    }
}

/// A frame.
pub(super) fn encode(message: &impl Serialize) -> Result<Bytes, postcard::Error> {
    postcard::to_stdvec(message).map(Bytes::from)
}

/// What a frame says; `None` where it makes no sense or has more bytes than it should.
pub(super) fn decode<M: DeserializeOwned>(frame: &[u8]) -> Option<M> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}
