//! Exact sparse and dense similarity, conflict, codebook, int8 and search kernels.

#![deny(unsafe_code)]

mod error;
mod isa;
mod run;
mod types;

pub use error::KernelError;
pub use isa::{ISA_ENV, Isa};
pub use run::{BackendKind, Run, RunInfo, Threads};
pub use types::{
    Codebook, ConflictClass, ConflictList, ConflictPair, ConsensusCodebook, Decimal, DeltaBatch, DeltaSum,
    DeltaVector, DenseView, KeySets, MAX_CODE, MAX_EXPONENT, MAX_NNZ, MIN_EXPONENT, Metric, Neighbor, Rule,
    SparseBatch, SparseVec, Thresholds, ThresholdsBuilder, Wanted,
};
