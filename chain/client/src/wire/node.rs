//! What a node says of itself and of its cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `GET /status`: the node and the cluster as it sees it. Log indices are left out where there is no entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The node's id: the hash of its public key.
    pub node: String,
    /// leader, follower, candidate, learner or stopped.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// Who leads, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
    /// Last entry of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_log: Option<u64>,
    /// Last entry that it knows to be on the disks of a majority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// Last entry that it has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// Height of its tip.
    pub height: u64,
    /// Hash of its tip.
    pub tip_hash: String,
    /// Root of the state at that height: equal on all nodes.
    pub state_hash: String,
    /// The highest block that a quorum of the voters has signed: no node has another there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized: Option<Finalized>,
    /// Members of the cluster, by id.
    pub members: Vec<Member>,
    /// How often it, leading and not well, asked a better voter to lead.
    #[serde(default)]
    pub handovers: u64,
    /// Version of the program.
    pub version: String,
    /// Instruction set that computes.
    pub isa: String,
    /// Device beside it that is asked first; `cpu` where there is none.
    pub device: String,
    /// Milliseconds since it began to listen.
    pub uptime_ms: u64,
    /// How well it is.
    pub health: Health,
}

/// A block that a quorum of the voters has signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finalized {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub block_hash: String,
}

/// A ticket with which a node may join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuedTicket {
    /// A line of text. Whoever reads it can join.
    pub ticket: String,
}

/// A node and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its id.
    pub node: String,
    /// Where it listens for other nodes, as `host:port`.
    pub peer_address: String,
    /// Where it listens for clients, as `host:port`.
    pub http_address: String,
}

/// The leader of the cluster, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Leader {
    /// Its id.
    pub node: String,
    /// Where it listens for clients, as `host:port`.
    pub http_address: String,
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its id.
    pub node: String,
    /// Where it listens for other nodes, as `host:port`.
    pub peer_address: String,
    /// Where it listens for clients, as `host:port`.
    pub http_address: String,
    /// Whether it votes; a learner only receives the log.
    pub voter: bool,
}

/// `GET /health`: the worst of the checks, and each of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// The worst band of all checks.
    pub status: Band,
    /// The checks, by name.
    pub checks: Vec<Check>,
}

/// One value that is watched, and what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Name of the value.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// The value.
    pub value: f64,
    /// The band it lies in.
    pub band: Band,
    /// From which value on someone should look at it; none where no value is that bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// From which value on clients are not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
}

/// How bad a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Band {
    /// As it should be.
    Healthy,
    /// Someone should look at it.
    Warning,
    /// Clients are not served.
    Critical,
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// Why a value is not as it should be, in a line.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what, value, band, warning, critical } = self;
        write!(f, "{band}: {name} is {value} ({what}")?;
        match if *band == Band::Critical { critical } else { warning } {
            Some(bound) => write!(f, "; {band} from {bound})"),
            None => f.write_str(")"),
        }
    }
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.node, self.http_address)
    }
}
