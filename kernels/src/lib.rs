//! Exact sparse and dense similarity, conflict, codebook, int8 and search kernels.

#![deny(unsafe_code)]

mod backend;
mod conflict_input;
mod error;
mod exact;
mod independent_set;
mod isa;
mod kernels;
mod kmeans;
mod run;
mod scalar;
mod simd;
mod types;

pub use backend::{Backend, ScalarBackend, SimdBackend};
pub use conflict_input::ConflictInput;
pub use error::KernelError;
pub use independent_set::independent_set;
pub use isa::{ISA_ENV, Isa};
pub use kernels::Kernels;
pub use kmeans::{KMeans, KMeansCodes, KMeansCodesOptions, KMeansOptions};
pub use run::{BackendKind, Run, RunInfo, Threads};
pub use types::{
    Codebook, ConflictClass, ConflictList, ConflictPair, ConsensusCodebook, Decimal, DeltaBatch, DeltaSum,
    DeltaVector, DenseView, KeySets, MAX_CODE, MAX_EXPONENT, MAX_NNZ, MIN_EXPONENT, Metric, Neighbor, Rule,
    SparseBatch, SparseVec, Thresholds, ThresholdsBuilder, Vectors, Wanted,
};
