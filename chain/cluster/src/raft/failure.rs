//! Why a replica did not start, or what ended it.
//!
//! The consensus library stops a node when its storage fails, but hands on only the text of the error. What an operator
//! has to do depends on more than the text, so the first failure is kept here as it was met.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, OnceLock};

use tensor_chain::ChainError;

/// Why a replica did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The chain could not be opened, or an entry could not be applied.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The Raft log could not be opened or read; the message names the damage.
    #[error("Raft log: {0}")]
    Log(io::Error),
    /// The Raft log could not be written or synced. Nothing that was not synced has been acknowledged.
    #[error("the Raft log could not be written: {0}")]
    LogWrite(io::Error),
    /// A snapshot could not be read, written or installed.
    #[error("snapshot: {0}")]
    Snapshot(io::Error),
    /// A configuration that makes no sense.
    #[error("configuration: {0}")]
    Config(openraft::ConfigError),
    /// What the disk holds does not fit together.
    #[error("{0}")]
    Raft(String),
    /// What the storage failed of while the log was applied at the start.
    #[error(transparent)]
    Start(Arc<ReplicaError>),
}

/// The first failure of a replica's storage. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstFailure(Arc<OnceLock<Arc<ReplicaError>>>);

impl FirstFailure {
    /// Keeps a failure, unless there was one before, and returns what the library is told of it.
    pub(super) fn keep(&self, error: ReplicaError) -> io::Error {
        let told = io::Error::other(error.to_string());
        // Those that follow only say that something failed before.
        let _ = self.0.set(Arc::new(error));
        told
    }

    /// The failure, if there was one.
    pub(super) fn get(&self) -> Option<&ReplicaError> {
        self.0.get().map(AsRef::as_ref)
    }

    /// Why a replica did not start: this failure, or else what the library says.
    pub(super) fn at_the_start(&self, library: &impl Display) -> ReplicaError {
        let first = self.0.get().map(Arc::clone);
        first.map_or_else(|| ReplicaError::Raft(library.to_string()), ReplicaError::Start)
    }
}
