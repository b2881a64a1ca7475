//! What can go wrong on the way from a package to the cache.

use std::io;

use tensor_kernels::KernelError;

use crate::{CacheError, Sha256};

/// Why a data set was not fetched. The cache is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The cache cannot be read or written, or what was made is not what the list says.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of a package, or the folder it is put into, cannot be read or made.
    #[error("cannot unpack {package}: {error}")]
    Unpack {
        /// The package.
        package: String,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// A program that fetches or unpacks is not installed.
    #[error("{program} is not installed; it is needed to fetch {package}")]
    MissingProgram {
        /// The program.
        program: String,
        /// What it was to fetch.
        package: String,
    },
    /// A program that fetches or unpacks gave up; without a network they all do.
    #[error("{command} failed ({status}); is there a network? Its last words:\n{last_words}")]
    Program {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        last_words: String,
    },
    /// The client fetched no archive, or more than one.
    #[error("{package}: the client left {got} archives, expected 1")]
    ArchiveCount {
        /// The package.
        package: String,
        /// Archives found.
        got: usize,
    },
    /// A package without a file that it should ship.
    #[error("{package} does not hold {file}")]
    MissingFile {
        /// The package.
        package: String,
        /// The file.
        file: String,
    },
    /// A file that is not the one that was published.
    #[error("{package}: {file} has SHA-256 {got}, expected {expected}")]
    Hash {
        /// The package.
        package: String,
        /// The file.
        file: String,
        /// Its digest.
        got: Sha256,
        /// The digest in the list.
        expected: Sha256,
    },
    /// Content that does not have the form of its kind.
    #[error("{what}, line or item {position}: expected {expected}")]
    Content {
        /// What was being read.
        what: &'static str,
        /// Where, counted from 1.
        position: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// Fewer rows than are believed.
    #[error("{got} rows, expected {expected}; for lists of packages, try `apt-get update` first")]
    TooFewRows {
        /// Rows found.
        got: u64,
        /// Rows needed.
        expected: u64,
    },
    /// A kernel type refused the rows.
    #[error(transparent)]
    Rows(#[from] KernelError),
}

/// Content that does not have the form of its kind.
pub(super) fn content(what: &'static str, position: usize, expected: &'static str) -> FetchError {
    FetchError::Content { what, position, expected }
}
