//! What stops a measurement.

use tensor_chain::{ChainError, StoreError};
use tensor_datasets::generate::GenerateError;
use tensor_kernels::{Isa, KernelError};

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A kernel refused its input.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A generator refused its parameters.
    #[error(transparent)]
    Data(#[from] GenerateError),
    /// The chain refused an operation.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The data directory could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refused an operation.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An answer differs from the oracle's: worth nothing, however fast.
    #[error("{workload} at {isa} with {threads} threads differs from the oracle")]
    WrongAnswer {
        /// The workload.
        workload: &'static str,
        /// The level.
        isa: Isa,
        /// Worker threads.
        threads: usize,
    },
    /// The chain does not hold what was committed.
    #[error("{workload}: the chain does not hold what was committed")]
    WrongState {
        /// The workload.
        workload: &'static str,
    },
    /// A committer panicked.
    #[error("a committer panicked")]
    Panicked,
}
