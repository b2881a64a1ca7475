//! A device beside the CPU: what it may be asked, and what it says when the CPU has to answer instead.

use std::fmt::{self, Debug};

use crate::conflict_input::ConflictInput;
use crate::corpus::Corpus;
use crate::kmeans::{KMeansCodes, KMeansCodesOptions};
use crate::types::{
    ConflictList, CosineRows, Decimal, Neighbor, Pairs, ScoredPair, SearchOptions, SearchRows, Similarity,
    Thresholds,
};

/// A device that computes some operations, each to the bytes that every [`Backend`](crate::Backend) gives, or
/// says why it did not. [`Kernels::with_accelerator`](crate::Kernels::with_accelerator) asks it first.
pub trait Accelerator: Send + Sync + Debug {
    /// The device, in its driver's words.
    fn name(&self) -> String;

    /// As [`Kernels::conflict_matrices`](crate::Kernels::conflict_matrices).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn conflict_matrices(
        &self,
        inputs: &[ConflictInput<'_>],
        thresholds: &Thresholds,
    ) -> Result<Vec<ConflictList>, Fallback>;

    /// As [`Kernels::cosine_conflicts`](crate::Kernels::cosine_conflicts).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn cosine_conflicts(
        &self,
        rows: CosineRows<'_>,
        thresholds: &Thresholds,
    ) -> Result<ConflictList, Fallback>;

    /// As [`Kernels::search_corpus`](crate::Kernels::search_corpus).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Vec<Neighbor>>, Fallback>;

    /// As [`Kernels::kmeans_codes`](crate::Kernels::kmeans_codes).
    ///
    /// # Errors
    /// Why the CPU has to compute this, or to say what is wrong with it.
    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, Fallback>;

    /// As [`Kernels::all_pairs`](crate::Kernels::all_pairs).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn all_pairs(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
        at_least: Decimal,
    ) -> Result<Vec<ScoredPair>, Fallback>;
}

/// Why the CPU computed although there is an accelerator. The answer is the same; the time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fallback {
    /// The accelerator has no version of the operation for these inputs.
    NoVersion,
    /// Rows of more dimensions than the accelerator's dense tiles are good for.
    TooWide,
    /// So few pairs that the CPU answers before the accelerator is reached.
    TooFew,
    /// The inputs do not fit the memory that the accelerator may use.
    OutOfMemory,
    /// No answer within the time allowed.
    Timeout,
    /// The device went away.
    Lost,
    /// The driver refused what it was given.
    Refused,
    /// An answer that is not right, found by a check.
    Mismatch,
    /// An earlier fault took the device out of use for the rest of the process.
    Quarantined,
}

impl Fallback {
    /// The name used in reports, metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoVersion => "no_version",
            Self::TooWide => "too_wide",
            Self::TooFew => "too_few",
            Self::OutOfMemory => "out_of_memory",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Mismatch => "mismatch",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
