//! What can go wrong where a chain lives.

use std::path::PathBuf;

use crate::dir::DirError;
use crate::encoding::DecodeError;
use crate::identity::IdentityError;
use crate::ids::{BlockHash, Height};
use crate::index::IndexError;
use crate::log::LogError;

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory could not be opened.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The node's key could not be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The block log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The record of a key's value cannot be read. The index must be rebuilt.
    #[error("state of key {key:?}: {source}")]
    State {
        /// The key.
        key: String,
        /// What is wrong with the record.
        source: DecodeError,
    },
    /// A value that the log holds is not the one that was written. Log or index are damaged.
    #[error("value of key {key:?}, written at height {height}: it does not have its checksum")]
    Value {
        /// The key.
        key: String,
        /// The block that holds the value.
        height: Height,
    },
    /// The bytes of a sound frame are no block.
    #[error("block at height {height}: {source}")]
    Block {
        /// The frame's height.
        height: Height,
        /// What is wrong with the bytes.
        source: DecodeError,
    },
    /// The index names a block that is not there. The index must be rebuilt.
    #[error("the index names no block of height {height} where it should")]
    Misplaced {
        /// The block's height.
        height: Height,
    },
    /// The parameters at the head of the log cannot be read.
    #[error("chain parameters: {0}")]
    Params(DecodeError),
    /// The log ends with another block than it did before.
    #[error("the log ends with block {actual}, expected {expected}")]
    OtherTip {
        /// The block that was written last.
        expected: BlockHash,
        /// The block that is there.
        actual: BlockHash,
    },
    /// The chain has not been made yet.
    #[error("the store has no block log yet")]
    NoLog,
    /// The directory holds a chain of its own, not a cluster's.
    #[error("{} holds a chain that is not replicated", dir.display())]
    NotReplicated {
        /// The directory.
        dir: PathBuf,
    },
    /// The replicated log leads to another block than the one that is there.
    #[error("the log holds another block of height {height} than the one that was applied")]
    OtherBlock {
        /// The block's height.
        height: Height,
    },
    /// The directory holds a chain that is not the cluster's.
    #[error("{} is in quarantine: {reason}", dir.display())]
    Quarantined {
        /// The directory.
        dir: PathBuf,
        /// What is known of it and what to do.
        reason: String,
    },
    /// What the index says about what is final cannot be read.
    #[error("record of finality: {0}")]
    Finality(DecodeError),
    /// What the index says about a client of a replicated chain cannot be read.
    #[error("session record: {0}")]
    Session(DecodeError),
    /// What the index says about its place in the replicated log cannot be read.
    #[error("record of the applied entry: {0}")]
    Applied(DecodeError),
}
