//! Exact sparse and dense similarity, conflict, codebook, int8 and search kernels.
//!
//! Every operation gives the same answer, byte for byte, on the scalar oracle and on every SIMD level,
//! for any number of threads; only the cosines of [`Kernels::all_pairs_scores`] may differ, within the
//! bound that it states. Low precision and reordered sums are only ever filters with a proved
//! error bound; what falls inside the bound is decided exactly.
//!
//! ```
//! use tensor_kernels::{DenseView, Kernels, Metric, Wanted};
//! let corpus = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
//! let run = Kernels::detect()?.search(
//!     DenseView::new(&corpus, 3, 2)?, DenseView::new(&[0.0, 2.0], 1, 2)?, Metric::Cosine, Wanted::Top(2))?;
//! assert_eq!(run.value[0].iter().map(|near| near.row).collect::<Vec<_>>(), [1, 2]);
//! println!("{}", run.info); // e.g. simd (avx512, 2 threads) in 21.3µs
//! # Ok::<(), tensor_kernels::KernelError>(())
//! ```
//!
//! Where to look: [`Kernels`] is the front door, [`OPERATIONS`] the list of what there is, the types
//! ([`SparseVec`], [`SparseBatch`], [`DenseView`], [`DeltaVector`], …) say what their constructors check;
//! [`wire`] is how a vector travels. With the feature `gpu` there is a module of that name: an [`Accelerator`] that
//! proposes while the CPU decides; a [`Selector`] knows which of the two is faster.

#![deny(unsafe_code)]

mod accelerated;
mod accelerator;
mod aligned;
mod backend;
mod catalog;
mod conflict_input;
mod corpus;
mod error;
mod exact;
#[cfg(feature = "gpu")]
pub mod gpu;
mod independent_set;
mod isa;
mod kernels;
mod kmeans;
mod kmeans_stream;
mod mapped;
mod quantize;
mod run;
mod scalar;
mod selector;
mod simd;
mod sparse_score;
mod together;
mod types;
pub mod wire;

/// What the benchmark runner measures the machine with.
#[doc(hidden)]
pub mod roofs {
    pub use crate::simd::roofs::{Unit, arithmetic, common_bits, copy, read};
}

pub use accelerator::{Accelerator, Fallback, Link, Opened, Request};
pub use aligned::AlignedBuf;
pub use backend::{Backend, ScalarBackend, SimdBackend};
pub use catalog::{Agreement, OPERATIONS, Operation};
pub use conflict_input::ConflictInput;
pub use corpus::Corpus;
pub use error::KernelError;
pub use half::{bf16, f16};
pub use independent_set::independent_set;
pub use isa::{ISA_ENV, Isa};
pub use kernels::Kernels;
pub use kmeans::{KMeans, KMeansCodes, KMeansCodesOptions, KMeansOptions};
pub use kmeans_stream::{KMeansStream, StreamRate};
pub use mapped::{MapError, MappedRows};
pub use quantize::{HierarchicalCodes, entry_is_within, residual};
pub use run::{BackendKind, Run, RunInfo, Threads};
pub use selector::{Calibration, Choice, Class, Key, Line, Rates, Selector, Work};
pub use simd::variant::{Explanation, Variant};
pub use types::{
    ByteView, ClassMatrix, Codebook, ConflictClass, ConflictCounts, ConflictList, ConflictPair,
    ConsensusCodebook, CosineRows, Decimal, DeltaBatch, DeltaSum, DeltaVector, DenseRows, DenseView,
    HalfKind, HalfRows, HalfView, Int8Mode, Int8Rows, Int8Scale, KeySets, MAX_EXPONENT, MAX_NNZ,
    MIN_EXPONENT, Measure, Metric, Neighbor, PairScores, Pairs, PreparedSparse, RowMask, Rule, ScoredPair,
    SearchOptions, SearchRows, Similarity, SparseBatch, SparseVec, Thresholds, ThresholdsBuilder, Vectors,
    Wanted,
};

/// The README's example compiles and holds.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
