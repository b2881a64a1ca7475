//! Why a request was not answered as asked. One type for the node that says it and the client that hears it:
//! the code, the HTTP status and the data that belong together are written down once.

use serde::{Deserialize, Serialize};

use super::node::Leader;
use crate::text::Data;

/// A refusal with its data. As JSON `{"error": {"code": "value_differs", "message": …, "key": …, …}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Problem {
    /// A header, a query or a body that says something else than is understood.
    #[error("{what}: {reason}")]
    InvalidRequest {
        /// Which part of the request.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such address.
    #[error("there is nothing at this address")]
    NoSuchRoute,
    /// The address exists, the method does not.
    #[error("this address has no such method")]
    MethodNotAllowed,
    /// More bytes than are accepted.
    #[error("{what} of more than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {limit_ms} ms")]
    BodyTimeout {
        /// The limit.
        limit_ms: u64,
    },
    /// An admin request without the right token.
    #[error("the admin token is missing or wrong")]
    Unauthorized,
    /// This node was given no admin token, so it takes no admin requests.
    #[error("this node takes no admin requests: it was given no token")]
    AdminDisabled,
    /// Too many requests of this kind are being served. Nothing was done.
    #[error("too many requests wait: try again later")]
    Busy,
    /// More connections than the node holds.
    #[error("too many connections: try again later")]
    TooManyConnections,
    /// The key has no value.
    #[error("{key:?} has no value at height {height}")]
    NoValue {
        /// The key.
        key: String,
        /// Height of the state that was read.
        height: u64,
    },
    /// A height above the tip.
    #[error("there is no block at height {height}")]
    NoBlock {
        /// The height.
        height: u64,
    },
    /// A key that the transaction read or wrote was written since it began. Begin again.
    #[error("conflict with the block at height {with}: key {key:?} was written since the transaction began")]
    KeyConflict {
        /// The key.
        key: String,
        /// The block that wrote it.
        with: u64,
    },
    /// The change is too like one that was committed since the transaction began. Begin again.
    #[error("conflict with the block at height {with}: the deltas conflict (similarity {similarity:.4})")]
    DeltaConflict {
        /// Cosine of the two.
        similarity: f64,
        /// The block that holds the other.
        with: u64,
    },
    /// The transaction began too long ago, or above the tip. Begin again.
    #[error("transaction began at height {begin}, which cannot be judged at the tip {tip}")]
    BeginOutOfRange {
        /// Where it began.
        begin: u64,
        /// The tip.
        tip: u64,
    },
    /// An update of a key without a value.
    #[error("transaction failed: update of key {key:?}, which is absent")]
    KeyAbsent {
        /// The key.
        key: String,
    },
    /// A compare-and-swap that found another value.
    #[error("transaction failed: key {key:?} holds {}, expected {}", shown(found), shown(expected))]
    ValueDiffers {
        /// The key.
        key: String,
        /// The value it should have; left out for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Data>,
        /// The value it has; left out for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<Data>,
    },
    /// The operations can be part of no block of this chain.
    #[error("transaction failed: {reason}")]
    TransactionFailed {
        /// Why.
        reason: String,
    },
    /// Members are changed one at a time.
    #[error("another membership change is in progress")]
    MembershipChangeInProgress,
    /// A learner that would hold up every write if it voted. Ask again when it has caught up.
    #[error("the node lacks {lag} log entries, a voter may lack fewer than {limit}")]
    LearnerLagging {
        /// Entries that it lacks.
        lag: u64,
        /// As many are too many.
        limit: u64,
    },
    /// A learner that the leader has not heard of lately.
    #[error("the node does not answer the leader")]
    LearnerUnhealthy,
    /// A node that votes already.
    #[error("the node is no learner")]
    NotALearner,
    /// A change after which those that answer would not be a majority of the voters.
    #[error("of {voters} voters {answering} would answer, which is no quorum")]
    QuorumAtRisk {
        /// Voters after the change.
        voters: usize,
        /// Those of them that answer.
        answering: usize,
    },
    /// Voters are not changed so often.
    #[error("the voters were changed lately, the next change may come in {wait_s} s")]
    MembershipChangeTooRecent {
        /// Seconds to wait.
        wait_s: u64,
    },
    /// More voters than a cluster may have.
    #[error("a cluster has at most {limit} voters")]
    TooManyVoters {
        /// The limit.
        limit: usize,
    },
    /// An admin request that cannot be carried out as the cluster is.
    #[error("{reason}")]
    AdminRefused {
        /// Why.
        reason: String,
    },
    /// The session was never issued, or has been forgotten. Open another.
    #[error("the session has expired")]
    SessionExpired,
    /// A number of a write so old that its outcome is no longer remembered.
    #[error("the request is no longer remembered, the oldest that is has number {oldest}")]
    SequenceTooOld {
        /// The lowest that is accepted.
        oldest: u64,
    },
    /// The disk of the node is so full that it takes no writes. Nothing was done; it takes them again when there is room.
    #[error("the disk is {used_percent} % full: at {limit_percent} % no writes are taken")]
    DiskFull {
        /// How much of it is in use.
        used_percent: u8,
        /// From how much on writes are refused.
        limit_percent: u8,
    },
    /// Another node leads, and this one has not done anything. The answer also has a `location` header.
    #[error("this node does not lead; the leader is {leader}")]
    NotLeader {
        /// Who leads.
        leader: Leader,
    },
    /// Nobody leads, or not yet. Nothing was done.
    #[error("no leader is ready")]
    NoLeader,
    /// The leader could not confirm with a majority that it still leads. Nothing was read.
    #[error("no quorum confirmed the leader in time")]
    NoQuorum,
    /// The write may have been applied, or be applied later.
    #[error("the outcome is unknown")]
    UnknownOutcome,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The node cannot read its data or could not compute the answer.
    #[error("the node failed: {reason}")]
    NodeFailed {
        /// Why.
        reason: String,
    },
}

/// What a problem means for whoever wants the request done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It will fail in the same way however often it is sent.
    Final,
    /// Nothing was done: it may be sent again, here or elsewhere.
    NothingDone,
    /// It may have been done.
    Unknown,
}

impl Problem {
    /// The status of an answer with this problem.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidRequest { .. } | Self::TransactionFailed { .. } => 400,
            Self::Unauthorized => 401,
            Self::AdminDisabled => 403,
            Self::NoSuchRoute | Self::NoValue { .. } | Self::NoBlock { .. } => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout { .. } => 408,
            Self::KeyConflict { .. }
            | Self::DeltaConflict { .. }
            | Self::BeginOutOfRange { .. }
            | Self::KeyAbsent { .. }
            | Self::ValueDiffers { .. }
            | Self::MembershipChangeInProgress
            | Self::LearnerLagging { .. }
            | Self::LearnerUnhealthy
            | Self::NotALearner
            | Self::QuorumAtRisk { .. }
            | Self::MembershipChangeTooRecent { .. }
            | Self::TooManyVoters { .. }
            | Self::AdminRefused { .. }
            | Self::SequenceTooOld { .. } => 409,
            Self::SessionExpired => 410,
            Self::TooLarge { .. } => 413,
            Self::NotLeader { .. } => 421,
            Self::Busy => 429,
            Self::NodeFailed { .. } => 500,
            Self::TooManyConnections
            | Self::NoLeader
            | Self::NoQuorum
            | Self::UnknownOutcome
            | Self::Stopping => 503,
            Self::DiskFull { .. } => 507,
        }
    }

    /// What it means for whoever wants the request done.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NotLeader { .. }
            | Self::NoLeader
            | Self::NoQuorum
            | Self::Busy
            | Self::DiskFull { .. }
            | Self::TooManyConnections
            | Self::Stopping
            | Self::BodyTimeout { .. }
            | Self::MembershipChangeInProgress => Kind::NothingDone,
            Self::UnknownOutcome => Kind::Unknown,
            _ => Kind::Final,
        }
    }

    /// Whether a write was judged, in its place among all others, and turned down. In a session that is what its number
    /// is answered with from then on; any other refusal says nothing about an attempt before it.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        matches!(
            self,
            Self::KeyConflict { .. }
                | Self::DeltaConflict { .. }
                | Self::BeginOutOfRange { .. }
                | Self::KeyAbsent { .. }
                | Self::ValueDiffers { .. }
                | Self::TransactionFailed { .. }
        )
    }
}

/// The body of every answer that is a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemBody {
    /// The problem, and in words.
    pub error: ProblemDetail,
}

/// A problem, and in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemDetail {
    /// The problem for people.
    pub message: String,
    /// Its code and data.
    #[serde(flatten)]
    pub problem: Problem,
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        Self { error: ProblemDetail { message: problem.to_string(), problem } }
    }
}

fn shown(value: &Option<Data>) -> String {
    value.as_ref().map_or("nothing".to_owned(), |value| match value {
        Data::Text(text) if text.len() <= 64 => format!("{text:?}"),
        Data::Hex(hex) if hex.len() <= 64 => format!("0x{hex}"),
        Data::Text(text) => format!("{} bytes", text.len()),
        Data::Hex(hex) => format!("{} bytes", hex.len() / 2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_comes_back_from_its_json_with_its_code_beside_its_data() {
        let leader = Leader { node: "ab".into(), http_address: "127.0.0.1:1".into() };
        let value = Some(Data::Hex("ff".into()));
        for problem in [
            Problem::ValueDiffers { key: "k".into(), expected: None, found: value },
            Problem::NotLeader { leader },
            Problem::DeltaConflict { similarity: 0.75, with: u64::MAX },
            Problem::NoQuorum,
        ] {
            let text = serde_json::to_string(&ProblemBody::from(problem.clone())).unwrap();
            let body: ProblemBody = serde_json::from_str(&text).unwrap();
            assert_eq!(body.error.problem, problem, "{text}");
        }
        let text = serde_json::to_string(&ProblemBody::from(Problem::Busy)).unwrap();
        assert_eq!(text, r#"{"error":{"message":"too many requests wait: try again later","code":"busy"}}"#);
    }
}
