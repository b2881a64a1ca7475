//! How a request can fail, and what is known about it then.

use hyper::StatusCode;

use crate::wire::{BatchError, Kind, Problem};

/// Why a client could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An address that is not of the form `http://host:port`.
    #[error("endpoint {endpoint:?}: expected http://host:port")]
    BadEndpoint {
        /// The address.
        endpoint: String,
    },
    /// A client without any address.
    #[error("no endpoint was given")]
    NoEndpoint,
    /// A batch that cannot be sent.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The node refused, and would again: no attempt has done it.
    #[error("{0}")]
    Refused(Problem),
    /// No node did it before the deadline, and none will later: nothing was done.
    #[error("nothing was done: {last}")]
    Unavailable {
        /// What the last attempt came to.
        last: AttemptError,
    },
    /// It may have been done, or be done later.
    #[error("the outcome is unknown: {last}")]
    Unknown {
        /// What the last attempt came to.
        last: AttemptError,
    },
    /// The runtime that a blocking client needs could not be started.
    #[error("cannot start a runtime: {0}")]
    Runtime(std::io::Error),
}

/// What one attempt came to, where it has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The deadline passed before the first attempt.
    #[error("no attempt was made in time")]
    NotTried,
    /// No connection.
    #[error("cannot reach {endpoint}: {reason}")]
    NotConnected {
        /// The node.
        endpoint: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke, or the answer did not come in time.
    #[error("{endpoint} did not answer: {reason}")]
    Broken {
        /// The node.
        endpoint: String,
        /// How.
        reason: String,
    },
    /// Something else than a node of ours answered.
    #[error("{endpoint} answered {status} with what no node says: {body}")]
    Unintelligible {
        /// Where.
        endpoint: String,
        /// The status.
        status: StatusCode,
        /// The first bytes of the answer.
        body: String,
    },
    /// The node could not do it at the moment.
    #[error("{endpoint}: {problem}")]
    Problem {
        /// The node.
        endpoint: String,
        /// Why not.
        problem: Problem,
    },
}

impl AttemptError {
    /// What it means for whoever wants the request done.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::NotTried | Self::NotConnected { .. } => Kind::NothingDone,
            Self::Broken { .. } | Self::Unintelligible { .. } => Kind::Unknown,
            Self::Problem { problem, .. } => problem.kind(),
        }
    }
}

impl ClientError {
    /// Whether a write that failed so may have been applied nonetheless.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// What the node said, where it refused.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}
