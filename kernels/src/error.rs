//! What can be wrong with an input. Every public constructor checks once, at the door; kernels
//! then work on validated views and cannot fail. Each variant carries what was got and what was expected.

use crate::isa::Isa;
use crate::types::{Decimal, Metric};

/// An input that a kernel type or a kernel refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Two inputs that must agree in dimension do not.
    #[error("dimension mismatch: got {got}, expected {expected}")]
    DimensionMismatch {
        /// Dimension of the offending input.
        got: usize,
        /// Dimension that was needed.
        expected: usize,
    },
    /// A dimension of 0 where there must be components.
    #[error("dimension is 0: must be at least 1")]
    ZeroDimension,
    /// Two slices that must agree in length do not.
    #[error("length mismatch in {what}: got {got}, expected {expected}")]
    LengthMismatch {
        /// Which slice.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that was needed.
        expected: usize,
    },
    /// A value is NaN or infinite.
    #[error("non-finite value at position {position}")]
    NonFinite {
        /// Position in the values as given.
        position: usize,
    },
    /// Indices are not strictly ascending (unsorted or duplicate).
    #[error("indices must be strictly ascending: position {position} holds {got} after {previous}")]
    UnsortedIndices {
        /// Position in the indices as given; those of several rows are counted end to end.
        position: usize,
        /// Index found there.
        got: u32,
        /// Index before it.
        previous: u32,
    },
    /// An index is not below the dimension.
    #[error("index {got} at position {position} is out of bounds for dimension {dim}")]
    IndexOutOfBounds {
        /// Position of the first such index, counted as in [`UnsortedIndices`](Self::UnsortedIndices).
        position: usize,
        /// Index found there.
        got: u32,
        /// Dimension of the vector.
        dim: u32,
    },
    /// A sparse value that is zero: zeros are not stored.
    #[error("explicit zero at position {position}")]
    ExplicitZero {
        /// Position in the values as given.
        position: usize,
    },
    /// Row pointers of a CSR batch do not start at 0, descend, or do not end at the number of values.
    #[error("row pointer {position} is {got}, expected {expected}")]
    BadRowPointer {
        /// Position in the row pointers.
        position: usize,
        /// Value found.
        got: usize,
        /// What the layout needs there (the least allowed value, or the exact one at both ends).
        expected: usize,
    },
    /// An entry that a codebook does not have.
    #[error("no entry {got} in a codebook of {entries}")]
    NoSuchEntry {
        /// The entry asked for.
        got: usize,
        /// Entries there are.
        entries: usize,
    },
    /// A factor that is not finite, or zero where it divides.
    #[error("factor {got}: must be finite, and not zero where it divides")]
    BadFactor {
        /// The factor.
        got: f64,
    },
    /// More entries than the type can hold.
    #[error("{what}: {got} exceeds the limit {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The count.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// A magnitude outside the range of the type that was to hold it.
    #[error("magnitude {got} at position {position} exceeds the range {limit}")]
    MagnitudeOutOfRange {
        /// Position in the values as given; those of several rows are counted end to end.
        position: usize,
        /// The magnitude found there.
        got: f32,
        /// The largest magnitude that can be held.
        limit: f32,
    },
    /// Codes, exponent or components that are not the one encoding of their value.
    #[error("not the canonical form: {what}")]
    NotCanonical {
        /// Which rule is broken.
        what: &'static str,
    },
    /// A row that a batch does not have.
    #[error("row {row} of a batch of {rows}")]
    NoSuchRow {
        /// The row asked for.
        row: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A number that none of the nine conflict rules has.
    #[error("no rule {got}: they are numbered 1 to 9")]
    NoSuchRule {
        /// The number asked for.
        got: u8,
    },
    /// f32 rows and deltas in one comparison.
    #[error(
        "f32 rows cannot be compared with deltas; DeltaBatch::to_sparse turns deltas into f32 rows exactly"
    )]
    MixedVectors,
    /// Thresholds whose order makes no sense.
    #[error("threshold {name} is {got}: must lie in {min}..={max}")]
    BadThreshold {
        /// Which threshold.
        name: &'static str,
        /// Its value.
        got: Decimal,
        /// Least allowed value.
        min: Decimal,
        /// Greatest allowed value.
        max: Decimal,
    },
    /// A decimal that is not a multiple of 1e-4 or not a number.
    #[error("{got:?} is not a decimal with at most four places")]
    BadDecimal {
        /// The text as given.
        got: String,
    },
    /// A metric that an operation does not define.
    #[error("{operation} is not defined for the metric {got}")]
    UnsupportedMetric {
        /// The operation.
        operation: &'static str,
        /// The metric.
        got: Metric,
    },
    /// An instruction set that this machine, or this build, does not have.
    #[error("instruction set {wanted} is not available on this machine (available: {})", list(available))]
    IsaUnavailable {
        /// The level asked for.
        wanted: Isa,
        /// Levels this machine has.
        available: Vec<Isa>,
    },
    /// An instruction set name that does not exist.
    #[error("unknown instruction set {got:?}: expected one of scalar, neon, avx2, avx512, avx512vnni, amx")]
    UnknownIsa {
        /// The text as given.
        got: String,
    },
    /// The worker threads could not be started.
    #[error("cannot start {threads} worker threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The operating system's reason.
        reason: String,
    },
}

fn list(levels: &[Isa]) -> String {
    levels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
