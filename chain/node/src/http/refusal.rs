//! Problems as HTTP answers, and the errors of the node as problems.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tensor_chain::{ChainError, ConflictCause, Rejection, TransactionFailure};
use tensor_client::text::Data;
use tensor_client::wire::{BatchError, Leader, Problem, ProblemBody};
use tensor_cluster::api::{AdminError, Peer, ReadError, SubmitError};

/// A problem on its way to the client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal(pub(super) Problem);

impl<E: AsProblem> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.problem())
    }
}

/// Where the leader listens: goes with an answer until the address that was asked for is at hand.
#[derive(Debug, Clone)]
struct LeaderAddress(String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let leader = match &self.0 {
            Problem::NotLeader { leader } => Some(LeaderAddress(leader.http_address.clone())),
            _ => None,
        };
        let later = matches!(
            self.0,
            Problem::Busy | Problem::DiskFull { .. } | Problem::NoLeader | Problem::NoQuorum
        );
        let mut response = (status, axum::Json(ProblemBody::from(self.0))).into_response();
        if let Some(leader) = leader {
            response.extensions_mut().insert(leader);
        }
        if later {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Sends the client on to the leader, where the answer says that it should go there: 307 keeps method and body, so
/// that `curl --location` simply works. Without an address that a header can hold the answer stays 421.
pub(super) fn redirect(mut response: Response, asked: &Uri) -> Response {
    let Some(LeaderAddress(address)) = response.extensions_mut().remove() else { return response };
    let target = asked.path_and_query().map_or("/", |target| target.as_str());
    if let Ok(location) = HeaderValue::try_from(format!("http://{address}{target}")) {
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The problem that an error of the node is for its clients. A trait of ours, because neither type is.
pub(super) trait AsProblem {
    fn problem(self) -> Problem;
}

impl AsProblem for Problem {
    fn problem(self) -> Problem {
        self
    }
}

impl AsProblem for SubmitError {
    fn problem(self) -> Problem {
        match self {
            Self::NotLeader { leader } => not_leader(leader),
            Self::Retry => Problem::NoLeader,
            Self::Unknown => Problem::UnknownOutcome,
            Self::Busy => Problem::Busy,
            Self::DiskFull { used_percent, limit_percent } => {
                Problem::DiskFull { used_percent, limit_percent }
            }
            Self::Rejected(rejection) => rejection.problem(),
            Self::SessionExpired => Problem::SessionExpired,
            Self::SequenceTooOld { oldest } => Problem::SequenceTooOld { oldest },
            Self::Stopped => Problem::Stopping,
        }
    }
}

impl AsProblem for ReadError {
    fn problem(self) -> Problem {
        match self {
            Self::NotLeader { leader } => not_leader(leader),
            Self::NoQuorum => Problem::NoQuorum,
            Self::Stopped => Problem::Stopping,
        }
    }
}

impl AsProblem for AdminError {
    fn problem(self) -> Problem {
        match self {
            Self::NotLeader { leader } => not_leader(leader),
            Self::MembershipChangeInProgress { .. } => Problem::MembershipChangeInProgress,
            Self::LearnerLagging { lag, limit, .. } => Problem::LearnerLagging { lag, limit },
            Self::LearnerUnhealthy { .. } => Problem::LearnerUnhealthy,
            Self::NotALearner { .. } => Problem::NotALearner,
            Self::QuorumAtRisk { voters, answering } => Problem::QuorumAtRisk { voters, answering },
            Self::MembershipChangeTooRecent { wait } => {
                Problem::MembershipChangeTooRecent { wait_s: wait.as_secs() }
            }
            Self::TooManyVoters { limit } => Problem::TooManyVoters { limit },
            Self::Unknown => Problem::UnknownOutcome,
            Self::Stopped => Problem::Stopping,
            refused => Problem::AdminRefused { reason: refused.to_string() },
        }
    }
}

fn not_leader(leader: Option<Peer>) -> Problem {
    leader.map_or(Problem::NoLeader, |Peer { node, http_address, .. }| Problem::NotLeader {
        leader: Leader { node: node.to_string(), http_address },
    })
}

impl AsProblem for Rejection {
    fn problem(self) -> Problem {
        match self {
            Self::Conflict { cause: ConflictCause::Key { key }, with } => {
                Problem::KeyConflict { key, with: with.0 }
            }
            Self::Conflict { cause: ConflictCause::Delta { similarity }, with } => {
                Problem::DeltaConflict { similarity, with: with.0 }
            }
            Self::BeginTooOld { begin, tip } | Self::BeginAboveTip { begin, tip } => {
                Problem::BeginOutOfRange { begin: begin.0, tip: tip.0 }
            }
            Self::KeyAbsent { key } => Problem::KeyAbsent { key },
            Self::ValueDiffers { key, expected, found } => {
                let data = |value: Option<Vec<u8>>| value.as_deref().map(Data::of);
                Problem::ValueDiffers { key, expected: data(expected), found: data(found) }
            }
            other => Problem::TransactionFailed { reason: other.to_string() },
        }
    }
}

impl AsProblem for BatchError {
    fn problem(self) -> Problem {
        Problem::TransactionFailed { reason: self.to_string() }
    }
}

impl AsProblem for ChainError {
    fn problem(self) -> Problem {
        match self {
            // A node that is new has no chain before a leader sends it one.
            Self::NotInitialized => Problem::NoLeader,
            Self::BlockNotFound(height) => Problem::NoBlock { height: height.0 },
            Self::ConflictDetected { cause, with } => Rejection::Conflict { cause, with }.problem(),
            Self::TransactionFailed(TransactionFailure::Rejected(rejection)) => rejection.problem(),
            // Vectors of another dimension, and codebooks that cannot be had.
            error @ (Self::Kernel(_) | Self::InvalidEmbedding(_) | Self::CodebookError(_)) => {
                Problem::InvalidRequest { what: "question".to_owned(), reason: error.to_string() }
            }
            error => Problem::NodeFailed { reason: error.to_string() },
        }
    }
}
