//! What a chain answers when it cannot do what was asked.

use std::sync::Arc;

use tensor_kernels::KernelError;

use crate::apply::ApplyError;
use crate::block_check::BlockFault;
use crate::changeset::{ChangesetError, MAX_BLOCK_TRANSACTIONS};
use crate::codebook::CodebookError;
use crate::embedding::EmbeddingError;
use crate::identity::IdentityError;
use crate::ids::{Height, NodeId};
use crate::index::IndexError;
use crate::quarantine::Divergence;
use crate::rejection::{ConflictCause, Rejection};
use crate::store::StoreError;
use crate::validation::RejectionReason;
use crate::workspace::WorkspaceState;

/// An error of [`TensorChain`](crate::TensorChain) and its workspaces. Cheap to clone: every committer of a
/// batch that could not be written gets the same one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChainError {
    /// The chain has no genesis block yet: call `initialize` first.
    #[error("the chain is not initialized")]
    NotInitialized,
    /// The chain belongs to a cluster and grows by what the cluster decides.
    #[error("the chain is replicated: it takes no writes of its own")]
    Replicated,
    /// Somebody else committed first, and both cannot stand. Begin again and retry.
    #[error("conflict with the block at height {with}: {cause}")]
    ConflictDetected {
        /// What the two commits have in common.
        cause: ConflictCause,
        /// The block that holds the other commit.
        with: Height,
    },
    /// The transaction cannot be committed as it is.
    #[error("transaction failed: {0}")]
    TransactionFailed(TransactionFailure),
    /// The codebook does not know the states that the transaction leads from or to.
    #[error("invalid transition: {reason}")]
    InvalidTransition {
        /// What the validator says.
        reason: RejectionReason,
    },
    /// An embedding or delta that is no valid vector, or of another dimension than the chain's.
    #[error("invalid embedding: {0}")]
    InvalidEmbedding(#[from] EmbeddingError),
    /// A block that does not belong at its place in the chain.
    #[error("block at height {height}: {fault}")]
    ValidationFailed {
        /// The block's place.
        height: Height,
        /// What is wrong with it.
        fault: BlockFault,
    },
    /// A height above the tip.
    #[error("there is no block at height {0}")]
    BlockNotFound(Height),
    /// A log without even a genesis block.
    #[error("the chain has no blocks")]
    EmptyChain,
    /// A codebook refused what was asked of it.
    #[error(transparent)]
    CodebookError(#[from] CodebookError),
    /// The data could not be read or written. After a failed commit the outcome is unknown until the chain
    /// is opened anew; nothing further is accepted until then.
    #[error("storage: {0}")]
    StorageError(Arc<StoreError>),
    /// A configured number of operations that no block may have at most.
    #[error("max_txs_per_block is {got}: expected 1 to {MAX_BLOCK_TRANSACTIONS}")]
    BlockLimit {
        /// The configured number.
        got: usize,
    },
    /// The store holds the key of another node than the configured one.
    #[error("the store belongs to node {actual}, the configuration says {expected}")]
    NodeIdMismatch {
        /// The configured node.
        expected: NodeId,
        /// The node whose key the store holds.
        actual: NodeId,
    },
    /// The voters of the cluster have signed another block than the one that is here. The store takes no more entries.
    #[error(transparent)]
    Diverged(#[from] Divergence),
    /// The kernels refused their input or could not be started.
    #[error("kernels: {0}")]
    Kernel(#[from] KernelError),
}

/// Why a transaction cannot be committed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TransactionFailure {
    /// The workspace has been committed or rolled back already.
    #[error("not active: the workspace is {state}")]
    NotActive {
        /// What it is instead.
        state: WorkspaceState,
    },
    /// The workspace belongs to another chain.
    #[error("the workspace was begun on another chain")]
    OtherChain,
    /// More operations than this node puts into a block.
    #[error("{got} operations: this node puts at most {limit} into a block")]
    TooManyOperations {
        /// How many.
        got: usize,
        /// The limit of this node.
        limit: usize,
    },
    /// Operations that no block may hold together.
    #[error(transparent)]
    Changeset(#[from] ChangesetError),
    /// A verdict of `apply`, other than a conflict.
    #[error(transparent)]
    Rejected(Rejection),
    /// The chain has as many blocks as can be counted.
    #[error("no height is left above the tip")]
    HeightExhausted,
    /// The thread that wrote this batch for all its committers ended before it was done.
    #[error("the writer of the batch was lost")]
    WriterLost,
}

impl From<StoreError> for ChainError {
    fn from(error: StoreError) -> Self {
        Self::StorageError(Arc::new(error))
    }
}

impl From<IdentityError> for ChainError {
    fn from(error: IdentityError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<ApplyError> for ChainError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => error.into(),
            ApplyError::Kernel(error) => error.into(),
            ApplyError::HeightExhausted => TransactionFailure::HeightExhausted.into(),
        }
    }
}

impl From<TransactionFailure> for ChainError {
    fn from(failure: TransactionFailure) -> Self {
        Self::TransactionFailed(failure)
    }
}

impl From<ChangesetError> for ChainError {
    fn from(error: ChangesetError) -> Self {
        Self::TransactionFailed(error.into())
    }
}

impl From<Rejection> for ChainError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Conflict { cause, with } => Self::ConflictDetected { cause, with },
            other => Self::TransactionFailed(TransactionFailure::Rejected(other)),
        }
    }
}

impl From<IndexError> for ChainError {
    fn from(error: IndexError) -> Self {
        StoreError::from(error).into()
    }
}
