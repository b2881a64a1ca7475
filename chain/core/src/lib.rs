//! The embedded chain: blocks, workspaces, conflict rules, codebooks, history and proofs.
//!
//! Synchronous and usable inside any program: no network, no async runtime. The append-only block log is
//! the truth; everything else is an index over it that can be rebuilt.
#![forbid(unsafe_code)]

pub mod atomic_io;
pub mod dir;
pub mod encoding;
pub mod hash;
pub mod identity;
pub mod ids;
pub mod index;
pub mod log;
pub mod merkle;
pub mod state_tree;

mod codebook;
mod consensus;
mod consensus_config;
mod embedding;
mod encoder;
mod keyed_delta;
mod merge;
mod shared_kernels;
mod validation;

pub use codebook::{
    CodebookConfig, CodebookEntry, CodebookError, CodebookManager, GlobalCodebook, HierarchicalQuantization,
    LocalCodebook, LocalCodebookStats, PruningStrategy,
};
pub use consensus::{BatchConflict, ConflictResult, ConsensusError, ConsensusManager, MergeAction};
pub use consensus_config::ConsensusConfig;
pub use embedding::{Computed, EmbeddingError, EmbeddingState, Initial, Stage};
pub use encoder::{DEFAULT_EMBEDDING_DIM, OperationEncoder};
pub use keyed_delta::KeyedDelta;
pub use merge::{MergeRejection, MergeResult, RejectedPair};
pub use tensor_kernels::ConflictClass;
pub use validation::{
    PathError, RejectionReason, TransitionValidation, TransitionValidator, ValidationConfig,
};
