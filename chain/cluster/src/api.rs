//! What a replica is asked and what it answers: plain data, so that whoever serves clients or moves bytes between
//! nodes needs to know nothing of the consensus library behind it.

use std::fmt;

use tensor_chain::{BlockHash, Changeset, Height, NodeId, Rejection, StateRoot};

/// A node of the cluster and where it listens. The node's id is the hash of its public key, so whoever knows the id
/// can tell the node from an impostor at any address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The hash of its public key.
    pub node: NodeId,
    /// Where it listens for other nodes, as `host:port`.
    pub peer_address: String,
    /// Where it listens for clients, as `host:port`.
    pub http_address: String,
}

/// A node of the cluster and what it counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub peer: Peer,
    /// Whether it votes; a learner only receives the log.
    pub voter: bool,
}

/// Issued by the cluster to a client that wants its writes to be applied exactly once. Never issued twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One write of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Operations that are applied together or not at all.
    pub changeset: Changeset,
    /// Who asks, and which of its requests this is. The same two are applied once however often they are sent.
    /// A write without them must not be sent again when its outcome is unknown.
    pub session: Option<(ClientId, u64)>,
}

/// Where a write went. It is on the disks of a majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Height of the block that holds it.
    pub height: Height,
    /// That block's hash.
    pub block_hash: BlockHash,
    /// Index of the log entry that held it. A read at an applied index that is not below sees the write.
    pub log_index: u64,
}

/// Why a write has no block. What is known about it, and so what the client may do, differs with each.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// Nothing was appended; ask the leader.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who does, where that is known.
        leader: Option<Peer>,
    },
    /// Nothing was appended; ask here again: this node leads or will soon know who does.
    #[error("the leader is not ready yet")]
    Retry,
    /// It may have been applied, or be applied later.
    #[error("the outcome is unknown")]
    Unknown,
    /// Nothing was appended: too many writes wait already.
    #[error("too many writes wait")]
    Busy,
    /// Nothing was appended: the disk is so full that the log might not fit. Writes are taken again when there is room.
    #[error("the disk is {used_percent} % full: at {limit_percent} % no writes are taken")]
    DiskFull {
        /// How much of it is in use.
        used_percent: u8,
        /// From how much on writes are refused.
        limit_percent: u8,
    },
    /// It was judged and turned down. Sending it again changes nothing.
    #[error(transparent)]
    Rejected(Rejection),
    /// The cluster does not know the client id: never issued, or forgotten because so many others came after it.
    #[error("the session has expired")]
    SessionExpired,
    /// The sequence number is so far below the client's highest that its outcome is no longer remembered.
    #[error("the request is no longer remembered, the oldest that is has number {oldest}")]
    SequenceTooOld {
        /// The lowest number that is still accepted.
        oldest: u64,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// Why a read was not answered with the newest state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Ask the leader.
    #[error("this node does not lead the cluster and cannot reach who does")]
    NotLeader {
        /// Who does, where that is known.
        leader: Option<Peer>,
    },
    /// The leader could not learn from a majority in time that it still leads.
    #[error("no quorum confirmed the leader in time")]
    NoQuorum,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// Why the cluster was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Ask the leader.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who does, where that is known.
        leader: Option<Peer>,
    },
    /// Members are changed one at a time, and an earlier change is still going on.
    #[error("another membership change is in progress, at log index {log_index:?}")]
    MembershipChangeInProgress {
        /// Index of the log entry that began it, where that is known.
        log_index: Option<u64>,
    },
    /// The cluster has no such member, or not one that this can be asked of.
    #[error("node {node} is no such member")]
    NodeNotFound {
        /// The node.
        node: NodeId,
    },
    /// The log is not empty.
    #[error("the cluster has been initialized already")]
    AlreadyInitialized,
    /// A cluster needs a voter.
    #[error("this would leave the cluster without voters")]
    NoVoters,
    /// The initial members must include the node that is asked.
    #[error("the initial members do not include this node")]
    NotAMember,
    /// A ticket could not be made.
    #[error("no ticket: {reason}")]
    TicketFailed {
        /// Why.
        reason: String,
    },
    /// The ticket admits nobody.
    #[error("the ticket was not issued by this node, or was used, or has expired")]
    TicketRefused,
    /// It was not finished in time and may be later.
    #[error("the outcome is unknown")]
    Unknown,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// What a node is to the cluster at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes writes.
    Leader,
    /// Receives the log and votes.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Receives the log.
    Learner,
    /// Takes part no more.
    Stopped,
}

/// How a node sees itself and the cluster. Indices are of log entries; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// This node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads, where that is known.
    pub leader: Option<Peer>,
    /// The last entry of its log.
    pub last_log: Option<u64>,
    /// The last entry that it knows to be committed.
    pub committed: Option<u64>,
    /// The last entry that it has applied.
    pub applied: Option<u64>,
    /// Height of its tip.
    pub height: Height,
    /// Hash of its tip; all zeros before the chain begins.
    pub tip_hash: BlockHash,
    /// Root of its state at the tip; all zeros before the chain begins.
    pub state_hash: StateRoot,
    /// Every member, by node id.
    pub members: Vec<Member>,
}
