//! What stops a measurement.

use std::path::PathBuf;

use tensor_chain::{ChainError, StoreError};
use tensor_datasets::OpenError;
use tensor_datasets::generate::GenerateError;
use tensor_kernels::KernelError;

use crate::cluster::ClusterError;
use crate::compare::CompareError;
use crate::peers::PeerError;
use crate::record::RecordError;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A kernel refused its input.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A generator refused its parameters.
    #[error(transparent)]
    Data(#[from] GenerateError),
    /// The user's data could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Data of the other kind than a workload takes.
    #[error("{name} holds {got} rows, this workload takes {expected} ones")]
    KindOfData {
        /// The data.
        name: String,
        /// What they are.
        got: &'static str,
        /// What is wanted.
        expected: &'static str,
    },
    /// Data for a command that makes its own.
    #[error("{command} makes its own input: --data goes with search, dense, sparse, kmeans and int8")]
    NoUseForData {
        /// The command.
        command: &'static str,
    },
    /// The chain refused an operation.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The data directory could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Two records cannot be compared, or one is slower.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The file system refused an operation.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file that was asked for could not be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// An answer differs from the oracle's: worth nothing, however fast.
    #[error(
        "{workload}, {variant}: {implementation} at {isa} with {threads} threads differs from the oracle"
    )]
    WrongAnswer {
        /// The workload.
        workload: String,
        /// The input.
        variant: String,
        /// Whose answer it is.
        implementation: String,
        /// The level.
        isa: String,
        /// Worker threads.
        threads: usize,
    },
    /// The chain does not hold what was committed.
    #[error("{workload}: the chain does not hold what was committed")]
    WrongState {
        /// The workload.
        workload: &'static str,
    },
    /// Peers could not be asked at all.
    #[error("peers: {0}")]
    Peer(#[from] PeerError),
    /// A cluster gives no figure.
    #[error("cluster: {0}")]
    Cluster(#[from] ClusterError),
    /// A committer panicked.
    #[error("a committer panicked")]
    Panicked,
    /// The GPU that was asked for cannot be used.
    #[error("device gpu: {reason}")]
    NoGpu {
        /// Why.
        reason: String,
    },
    /// A GPU for a command that has nothing for one to do.
    #[error("--device gpu goes with kernels and search")]
    NoUseForGpu,
    /// The oracle has one thread; with other thread counts alone there is nothing to run.
    #[error("the level scalar runs on one thread only: with these --threads there is nothing to run")]
    NothingToRun,
    /// A filter that fits no case.
    #[error("no case here contains {filter:?}")]
    NothingMatches {
        /// The filter.
        filter: String,
    },
}
