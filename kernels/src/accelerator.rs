//! A device beside the CPU: what it may be asked, and what it says when the CPU has to answer instead.

use std::fmt::{self, Debug};
use std::time::Duration;

use crate::conflict_input::ConflictInput;
use crate::corpus::Corpus;
use crate::kmeans::{KMeansCodes, KMeansCodesOptions};
use crate::types::{
    ConflictList, CosineRows, Decimal, Neighbor, Pairs, ScoredPair, SearchOptions, SearchRows, Similarity,
    Thresholds,
};

/// A device that computes some operations, each to the bytes that every [`Backend`](crate::Backend) gives, or
/// says why it did not. [`Kernels::with_accelerator`](crate::Kernels::with_accelerator) asks it first. What it says nothing
/// of it has [no version](Fallback::NoVersion) of.
pub trait Accelerator: Send + Sync + Debug {
    /// The device, in its driver's words; or, where it could not be opened, why.
    fn name(&self) -> String;

    /// Whether there is a version of the operation for these inputs. Opens nothing and computes nothing.
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback>;

    /// Opens the device, where that has not happened, and measures the way to it.
    ///
    /// # Errors
    /// [`Fallback::Absent`] where there is none; its [name](Self::name) says why.
    fn open(&self) -> Result<Opened, Fallback>;

    /// As [`Kernels::conflict_matrices`](crate::Kernels::conflict_matrices).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn conflict_matrices(
        &self,
        inputs: &[ConflictInput<'_>],
        thresholds: &Thresholds,
    ) -> Result<Vec<ConflictList>, Fallback> {
        let _ = (inputs, thresholds);
        Err(Fallback::NoVersion)
    }

    /// As [`Kernels::cosine_conflicts`](crate::Kernels::cosine_conflicts).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn cosine_conflicts(
        &self,
        rows: CosineRows<'_>,
        thresholds: &Thresholds,
    ) -> Result<ConflictList, Fallback> {
        let _ = (rows, thresholds);
        Err(Fallback::NoVersion)
    }

    /// As [`Kernels::search_corpus`](crate::Kernels::search_corpus).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Vec<Neighbor>>, Fallback> {
        let _ = (corpus, queries, options);
        Err(Fallback::NoVersion)
    }

    /// As [`Kernels::kmeans_codes`](crate::Kernels::kmeans_codes).
    ///
    /// # Errors
    /// Why the CPU has to compute this, or to say what is wrong with it.
    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, Fallback> {
        let _ = (codes, dim, options);
        Err(Fallback::NoVersion)
    }

    /// As [`Kernels::all_pairs`](crate::Kernels::all_pairs).
    ///
    /// # Errors
    /// Why the CPU has to compute this.
    fn all_pairs(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
        at_least: Decimal,
    ) -> Result<Vec<ScoredPair>, Fallback> {
        let _ = (pairs, similarity, at_least);
        Err(Fallback::NoVersion)
    }
}

/// An operation that an accelerator may have a version of, with its inputs.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// [`Accelerator::conflict_matrices`].
    ConflictMatrices(&'a [ConflictInput<'a>], &'a Thresholds),
    /// [`Accelerator::cosine_conflicts`].
    CosineConflicts(CosineRows<'a>, &'a Thresholds),
    /// [`Accelerator::search`].
    Search(&'a Corpus<'a>, SearchRows<'a>, &'a SearchOptions<'a>),
    /// [`Accelerator::kmeans_codes`].
    KMeansCodes(&'a [i8], u32, &'a KMeansCodesOptions),
    /// [`Accelerator::all_pairs`].
    AllPairs(&'a Pairs<'a>, Similarity, Decimal),
}

impl Request<'_> {
    /// The operation's name in the [catalogue](crate::OPERATIONS).
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::ConflictMatrices(..) => "conflict_matrix",
            Self::CosineConflicts(..) => "cosine_classes",
            Self::Search(..) => "search",
            Self::KMeansCodes(..) => "kmeans",
            Self::AllPairs(..) => "all_pairs",
        }
    }
}

/// A device that was opened: which one, and how far away it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The device.
    pub adapter: String,
    /// Its driver and version.
    pub driver: String,
    /// A hash of the kernels that it runs.
    pub kernels: String,
    /// The way to it.
    pub link: Link,
}

/// What it costs to reach a device.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "gpu", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Link {
    /// Seconds from a submission without work until its end is known.
    pub round_trip_s: f64,
    /// Bytes a second to the device.
    pub up: f64,
    /// Bytes a second from the device.
    pub down: f64,
}

impl Link {
    /// The parts of a way there and back: submissions, bytes sent, bytes read.
    pub(crate) fn time(&self, round_trips: f64, up: f64, down: f64) -> [Duration; 3] {
        [round_trips * self.round_trip_s, up / self.up, down / self.down].map(seconds)
    }
}

/// Seconds that may be anything as a duration; what is no time at all is the longest.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
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
    /// The CPU is expected to be done first.
    Slower,
    /// The accelerator is being opened or measured, or not worth that yet.
    NotReady,
    /// There is no device that may be used.
    Absent,
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
            Self::Slower => "slower",
            Self::NotReady => "not_ready",
            Self::Absent => "absent",
            Self::OutOfMemory => "out_of_memory",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Mismatch => "mismatch",
            Self::Quarantined => "quarantined",
        }
    }
}

impl Fallback {
    /// The same as a sentence goes on.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NoVersion => "the GPU has no version of it",
            Self::TooWide => "rows of too many dimensions for the GPU",
            Self::TooFew => "too few pairs for the GPU",
            Self::Slower => "the CPU is expected to be done first",
            Self::NotReady => "the GPU is opened and measured once that is worth it",
            Self::Absent => "there is no GPU that may be used",
            Self::OutOfMemory => "too large for the memory that the GPU may use",
            Self::Timeout => "the GPU gave no answer in time",
            Self::Lost => "the GPU went away",
            Self::Refused => "the GPU's driver refused the work",
            Self::Mismatch => "the GPU gave a wrong answer",
            Self::Quarantined => "the GPU is out of use after a fault",
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
