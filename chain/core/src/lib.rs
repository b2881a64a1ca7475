//! The embedded chain: blocks, workspaces, conflict rules, codebooks, history and proofs.
//!
//! Synchronous and usable inside any program: no network, no async runtime. The append-only block log is
//! the truth; everything else is an index over it that can be rebuilt.
//!
//! Begin with [`TensorChain`]. To follow one transaction through the source, read
//!
//! 1. `workspace.rs`: what a client collects between `begin` and `commit`,
//! 2. `committer.rs` and `batch.rs`: how commits that arrive together come to share a block,
//! 3. `ledger.rs`: the one place where blocks are written,
//! 4. `apply.rs`: which changesets stand, and what block they make,
//! 5. `block.rs`: what a block says and how it is named,
//! 6. `store/`: how it becomes durable and readable.
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
pub mod replicated;
pub mod state_tree;

mod apply;
mod backup;
mod batch;
mod block;
mod block_check;
mod block_places;
mod builder;
mod chain;
mod changeset;
mod clashes;
mod codebook;
mod codebooks;
mod codes;
mod committer;
mod config;
mod consensus;
mod consensus_config;
mod drift;
mod effects;
mod embedding;
mod encoder;
mod error;
mod genesis;
mod head;
mod history;
#[cfg(test)]
mod index_probe;
mod index_tip;
mod kernel_span;
mod keyed_delta;
mod ledger;
mod merge;
mod nearness;
mod opening;
mod proof;
mod quarantine;
mod queries;
mod recent;
mod rejection;
mod replay;
mod shared_kernels;
mod similar;
mod state;
mod store;
mod transaction;
mod transaction_manager;
mod validation;
mod vector_encoding;
mod verdicts;
mod verifier;
mod verify;
mod workspace;

pub use apply::ApplyError;
pub use block::{BLOCK_VERSION, Block, BlockHeader, Omitted, Stamp, ValidatorSignature};
pub use block_check::BlockFault;
pub use builder::BlockBuilder;
pub use chain::TensorChain;
pub use changeset::{Changeset, ChangesetError, MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS};
pub use codebook::{
    CodebookConfig, CodebookEntry, CodebookError, CodebookManager, GlobalCodebook, HierarchicalQuantization,
    LocalCodebook, LocalCodebookStats, PruningStrategy,
};
pub use codes::CODEBOOK_KEY;
pub use committer::CommitReceipt;
pub use config::{AutoMergeConfig, ChainConfig, Clock, SystemClock};
pub use consensus::{BatchConflict, ConflictResult, ConsensusError, ConsensusManager, MergeAction};
pub use consensus_config::ConsensusConfig;
pub use drift::{BlockDrift, Drift};
pub use embedding::{Computed, EmbeddingError, EmbeddingState, Initial, Stage};
pub use encoder::{DEFAULT_EMBEDDING_DIM, OperationEncoder};
pub use error::{ChainError, TransactionFailure};
pub use genesis::{ChainParams, MAX_EMBEDDING_DIM};
pub use head::Tip;
pub use identity::{Identity, PublicIdentity};
pub use ids::{BlockHash, ChainId, Height, NodeId, StateRoot, TxRoot};
pub use keyed_delta::KeyedDelta;
pub use merge::{MergeRejection, MergeResult, RejectedPair};
pub use proof::{KeyProof, KeyProofError};
pub use quarantine::Divergence;
pub use queries::{ChainIterator, HistoryPage, MAX_BLOCKS_PER_CALL, MAX_HISTORY_PER_CALL};
pub use recent::BEGIN_WINDOW;
pub use rejection::{CodebookFault, ConflictCause, Rejection};
pub use similar::{SimilarBlock, SimilarTransaction};
pub use store::{StoreError, TensorStore};
pub use tensor_kernels::ConflictClass;
pub use transaction::{MAX_EMBED_DIM, MAX_KEY_BYTES, MAX_VALUE_BYTES, Transaction, TransactionError};
pub use transaction_manager::{MergeCandidate, TransactionManager};
pub use validation::{
    PathError, RejectionReason, TransitionValidation, TransitionValidator, ValidationConfig,
};
pub use verify::{VerifyDepth, VerifyReport, dump_dir, verify_dir, verify_dir_with};
pub use workspace::{TransactionWorkspace, WorkspaceState};
