//! What a replica is asked and what it answers: plain data, so that whoever serves clients or moves bytes between
//! nodes needs to know nothing of the consensus library behind it.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use tensor_chain::replicated::Checkpoint;
use tensor_chain::{BlockHash, Changeset, Height, NodeId, Rejection, StateRoot};

use crate::histogram::Distribution;

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

/// The longest `host:port` in bytes: a domain name has at most 253 characters.
pub const MAX_ADDRESS_BYTES: usize = 260;

impl Peer {
    /// Whether both addresses are such as a member may have: neither empty nor longer than [`MAX_ADDRESS_BYTES`].
    #[must_use]
    pub fn has_sound_addresses(&self) -> bool {
        [&self.peer_address, &self.http_address]
            .iter()
            .all(|address| (1..=MAX_ADDRESS_BYTES).contains(&address.len()))
    }
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
    /// It is a member already, with other addresses. Only an operator changes those.
    #[error("node {node} is a member already, with other addresses")]
    AlreadyAMember {
        /// The node.
        node: NodeId,
    },
    /// An address that no member can have.
    #[error("node {node}: an address has 1 to {MAX_ADDRESS_BYTES} bytes")]
    Address {
        /// The node.
        node: NodeId,
    },
    /// A cluster has no more members.
    #[error("a cluster has at most {limit} members, voters and learners")]
    TooManyMembers {
        /// The limit.
        limit: usize,
    },
    /// It votes already.
    #[error("node {node} is no learner")]
    NotALearner {
        /// The node.
        node: NodeId,
    },
    /// As a voter it would hold up every write until it has caught up.
    #[error("node {node} lacks {lag} log entries, a voter may lack fewer than {limit}")]
    LearnerLagging {
        /// The node.
        node: NodeId,
        /// Entries that it lacks.
        lag: u64,
        /// As many are too many.
        limit: u64,
    },
    /// The leader has not heard of it lately.
    #[error("node {node} does not answer the leader")]
    LearnerUnhealthy {
        /// The node.
        node: NodeId,
    },
    /// Those that answer would not be a majority of the voters any more.
    #[error("of {voters} voters {answering} would answer, which is no quorum")]
    QuorumAtRisk {
        /// Voters after the change.
        voters: usize,
        /// Those of them that answer.
        answering: usize,
    },
    /// The voters were changed a short time ago.
    #[error("the voters were changed lately, the next change may come in {} s", wait.as_secs())]
    MembershipChangeTooRecent {
        /// How long it must wait.
        wait: Duration,
    },
    /// A cluster has no more voters.
    #[error("a cluster has at most {limit} voters")]
    TooManyVoters {
        /// The limit.
        limit: usize,
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
    /// There is no snapshot to be had.
    #[error("no snapshot: {reason}")]
    SnapshotFailed {
        /// Why.
        reason: String,
    },
    /// A ticket could not be made.
    #[error("no ticket: {reason}")]
    TicketFailed {
        /// Why.
        reason: String,
    },
    /// The ticket admits nobody.
    #[error("the ticket was not issued by this node, or another node has shown it first, or it has expired")]
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
    /// The highest block that a quorum of the voters has signed.
    pub finalized: Option<Checkpoint>,
    /// Every member, by node id.
    pub members: Vec<Member>,
}

impl ReplicaStatus {
    /// Whether this node leads, as far as it knows.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.node == self.node)
    }
}

/// A snapshot and the blocks it stands on, in one: what a new cluster can be begun with.
pub struct Export {
    /// Index of the last log entry that it reflects.
    pub log_index: u64,
    /// Height of its tip.
    pub height: Height,
    /// Number of its bytes.
    pub len: u64,
    /// Its bytes. Reading them takes nothing from the cluster.
    pub bytes: Box<dyn Read + Send>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("log_index", &self.log_index).field("len", &self.len).finish()
    }
}

/// What a replica has counted since it started, and how its parts do at the moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplicaStatistics {
    /// How often it saw another leader than the one before.
    pub leader_changes: u64,
    /// How often it, leading and not well, asked a voter to lead that was.
    pub handovers: u64,
    /// Writes that wait to be proposed or for their outcome.
    pub writes_waiting: u64,
    /// Share of the room for such writes that is taken.
    pub write_room_used: f64,
    /// Writes that were proposed together, each batch.
    pub batch_writes: Distribution,
    /// Seconds from a change of the log until it was on disk, the wait for others' included.
    pub log_sync: Distribution,
    /// Syncs of the log.
    pub log_syncs: u64,
    /// Bytes of the log's files.
    pub log_bytes: u64,
    /// Seconds that it took to apply an entry.
    pub apply: Distribution,
    /// The log entry that the newest snapshot reaches to.
    pub snapshot: Option<u64>,
    /// How long ago that snapshot was made, as far as its file says.
    pub snapshot_age: Option<Duration>,
    /// The last entry that the log has forgotten.
    pub purged: Option<u64>,
    /// How long ago a quorum confirmed that this node leads; only while it does.
    pub quorum_acked: Option<Duration>,
    /// The other members as the leader sees them; empty on any other node.
    pub followers: Vec<Follower>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// The member.
    pub node: NodeId,
    /// Log entries that it is not known to have.
    pub lag: u64,
    /// How long ago it answered; `None` where it has not yet.
    pub last_contact: Option<Duration>,
}
