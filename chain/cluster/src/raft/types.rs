//! What the consensus library is told to work with: node ids, addresses, what an entry holds and what applying it
//! answers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tensor_chain::NodeId;
use tensor_chain::encoding::{Decode, Encode};
use tensor_chain::replicated::{EntryOutcome, LogPosition, ReplicatedEntry};

use crate::api::Peer;

openraft::declare_raft_types!(
    /// The types of this cluster.
    pub(super) TypeConfig:
        D = Command,
        R = Answer,
        NodeId = RaftNode,
        Node = Addresses,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
        AsyncRuntime = Runtime,
);

/// What runs the tasks of the library and draws its random numbers.
#[cfg(not(feature = "simulation"))]
pub(super) type Runtime = openraft_rt_tokio::TokioRuntime;
#[cfg(feature = "simulation")]
pub(super) type Runtime =
    openraft_rt::deterministic_rng::DeterministicRng<super::ordered_runtime::OrderedRuntime>;

pub(super) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(super) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(super) type Payload = openraft::alias::PayloadOf<TypeConfig>;
pub(super) type Membership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// A node id as the library wants it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub(super) struct RaftNode(pub(super) [u8; 32]);

impl From<NodeId> for RaftNode {
    fn from(NodeId(bytes): NodeId) -> Self {
        Self(bytes)
    }
}

impl From<RaftNode> for NodeId {
    fn from(RaftNode(bytes): RaftNode) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for RaftNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NodeId::from(*self).fmt(f)
    }
}

impl fmt::Debug for RaftNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell the nodes of a log line apart.
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Addresses {
    pub(super) peer: String,
    pub(super) http: String,
}

/// A peer from the two halves that the library keeps of it.
pub(super) fn peer(node: RaftNode, addresses: &Addresses) -> Peer {
    let Addresses { peer, http } = addresses.clone();
    Peer { node: node.into(), peer_address: peer, http_address: http }
}

impl From<&Peer> for Addresses {
    fn from(peer: &Peer) -> Self {
        Self { peer: peer.peer_address.clone(), http: peer.http_address.clone() }
    }
}

/// What an entry holds: the chain's entry and its canonical bytes, encoded once for the log and all peers.
#[derive(Debug, Clone)]
pub(super) struct Command(Arc<CommandParts>);

#[derive(Debug)]
struct CommandParts {
    entry: ReplicatedEntry,
    bytes: Vec<u8>,
}

impl Command {
    pub(super) fn new(entry: ReplicatedEntry) -> Self {
        let bytes = entry.to_bytes();
        Self(Arc::new(CommandParts { entry, bytes }))
    }

    pub(super) fn entry(&self) -> &ReplicatedEntry {
        &self.0.entry
    }

    pub(super) fn len(&self) -> usize {
        self.0.bytes.len()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            ReplicatedEntry::Genesis { .. } => f.write_str("genesis"),
            ReplicatedEntry::Session => f.write_str("session"),
            ReplicatedEntry::Batch(batch) => write!(f, "batch of {}", batch.writes().len()),
            ReplicatedEntry::Vote(vote) => write!(f, "vote on {}", vote.checkpoint().height),
        }
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.bytes)
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Bytes without a copy more than the one that is kept.
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Command;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of an entry")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Command, E> {
                let entry = ReplicatedEntry::from_bytes(bytes).map_err(E::custom)?;
                Ok(Command(Arc::new(CommandParts { entry, bytes: bytes.to_vec() })))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// What applying an entry answers to whoever proposed it here; nothing for entries of the library's own. It never
/// leaves the node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    #[serde(skip)]
    pub(super) outcome: Option<EntryOutcome>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.outcome)
    }
}

/// A position in the log as the chain keeps it, without the leader's name: a term has one leader.
pub(super) fn position(log_id: &LogId) -> LogPosition {
    LogPosition { term: **log_id.committed_leader_id(), index: log_id.index() }
}

pub(super) fn log_id(LogPosition { term, index }: LogPosition) -> LogId {
    LogId::new_term_index(term, index)
}
