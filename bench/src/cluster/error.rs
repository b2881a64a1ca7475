//! Why a cluster gives no figure.

use std::ffi::OsString;

use tensor_client::ClientError;

/// Why a cluster gives no figure.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A program that cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The program.
        program: OsString,
        /// What the system says.
        source: std::io::Error,
    },
    /// A node that ended, or said something else than where it listens.
    #[error("a node did not begin to listen: {0}")]
    NotListening(String),
    /// Nodes that did not come to something in time.
    #[error("waited in vain until {0}")]
    Waited(&'static str),
    /// Our client's failure.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A peer's failure.
    #[error("{0}")]
    Peer(String),
    /// A key with another value than was written.
    #[error("key {key:?} does not hold what was written")]
    OtherValue {
        /// The key.
        key: String,
    },
    /// Keys that are not exactly those that were acknowledged, each written once.
    #[error("{what}: {got} keys were written once, {expected} were acknowledged")]
    OtherKeys {
        /// Which load.
        what: String,
        /// Keys that the cluster has and that were written once.
        got: u64,
        /// Keys that were acknowledged.
        expected: u64,
    },
    /// No process, no client or no node where there has to be one.
    #[error("a process or a client is gone")]
    Nobody,
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
