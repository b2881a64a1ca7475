//! Codebooks: a vocabulary of known-good states.
//!
//! The *global* codebook is fixed and shared by all nodes; its integer form alone decides anything nodes
//! must agree on. A *local* codebook per domain learns, on one node, the residuals that the global one
//! leaves; it refines what that node sees and never decides consensus.

mod consensus;
mod global;
mod local;
mod manager;
mod nearest;
mod pruning;
mod record;

pub use global::{CodebookEntry, GlobalCodebook};
pub use local::{LocalCodebook, LocalCodebookStats};
pub use manager::{CodebookConfig, CodebookManager, HierarchicalQuantization};
pub use pruning::PruningStrategy;

pub(crate) use nearest::{cosine, distance, distance_within};

use tensor_kernels::{Decimal, KernelError};

/// What a codebook refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CodebookError {
    /// A codebook without entries has no nearest one.
    #[error("the codebook is empty")]
    Empty,
    /// A vector of another dimension than the codebook.
    #[error("dimension mismatch: got {got}, the codebook has {expected}")]
    DimensionMismatch {
        /// Components of the vector.
        got: usize,
        /// Components of the codebook's entries.
        expected: usize,
    },
    /// A number of labels other than the number of centroids.
    #[error("{got} labels for {expected} centroids")]
    LabelCount {
        /// Labels given.
        got: usize,
        /// Centroids given.
        expected: usize,
    },
    /// More entries than ids, which are 16 bits wide.
    #[error("{got} entries exceed the limit of {limit}")]
    TooManyEntries {
        /// Entries given.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// No entry of this id, or none any more.
    #[error("no entry {id} in the local codebook")]
    UnknownEntry {
        /// The id as given.
        id: u64,
    },
    /// The zero vector has no direction to learn.
    #[error("the zero vector has no direction to learn")]
    ZeroObservation,
    /// A local codebook that could hold nothing.
    #[error("a local codebook needs room for at least one entry")]
    ZeroCapacity,
    /// A weight of new observations outside 0.0001..=1.
    #[error("EMA weight {got} must lie above 0 and be at most 1")]
    BadAlpha {
        /// The weight as given.
        got: Decimal,
    },
    /// Values that no kernel accepts.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

fn check_dimension(got: usize, expected: usize) -> Result<(), CodebookError> {
    if got == expected { Ok(()) } else { Err(CodebookError::DimensionMismatch { got, expected }) }
}
