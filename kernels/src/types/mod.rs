//! The vocabulary of the kernels: validated inputs and compact outputs.
//!
//! Fields are private and constructors check everything once, so no kernel repeats a check and no
//! kernel can be reached with data it would misread.

mod byte_view;
mod class_matrix;
mod codebook;
mod conflict;
mod consensus_codebook;
mod cosine_rows;
mod delta_batch;
mod delta_sum;
mod delta_vector;
mod dense_rows;
mod dense_view;
mod half_view;
mod int8_rows;
mod key_sets;
mod measure;
mod neighbor;
mod pairs;
mod prepared_sparse;
mod row_mask;
mod search_options;
mod search_rows;
mod sparse_algebra;
mod sparse_batch;
mod sparse_vec;
mod thresholds;
mod vectors;

pub use byte_view::ByteView;
pub use class_matrix::ClassMatrix;
#[cfg(feature = "gpu")]
pub(crate) use class_matrix::class_of_rule;
pub(crate) use class_matrix::{BLOCK as CLASS_BLOCK, Shape as ClassShape};
pub use codebook::Codebook;
pub use conflict::{ConflictClass, ConflictCounts, ConflictList, ConflictPair, Rule};
pub use consensus_codebook::ConsensusCodebook;
pub(crate) use consensus_codebook::MAX_ENTRIES;
pub use cosine_rows::CosineRows;
pub use delta_batch::DeltaBatch;
pub use delta_sum::DeltaSum;
pub use delta_vector::{DeltaVector, MAX_EXPONENT, MAX_NNZ, MIN_EXPONENT};
pub(crate) use delta_vector::{exact_power_of_two, smallest_exponent};
pub use dense_rows::DenseRows;
pub use dense_view::DenseView;
pub(crate) use dense_view::check_dense;
pub use half_view::{HalfKind, HalfRows, HalfView};
pub use int8_rows::{Int8Mode, Int8Rows, Int8Scale};
pub(crate) use int8_rows::{Mapping, scale_of};
pub use key_sets::KeySets;
pub(crate) use key_sets::{KeyRelation, relation};
pub use measure::Measure;
pub use neighbor::{Metric, Neighbor, Wanted};
pub use pairs::{Pairs, ScoredPair, Similarity};
pub(crate) use prepared_sparse::GROUP;
pub use prepared_sparse::{PairScores, PreparedSparse};
pub use row_mask::RowMask;
pub use search_options::SearchOptions;
pub use search_rows::SearchRows;
pub use sparse_batch::SparseBatch;
pub use sparse_vec::SparseVec;
pub use thresholds::{Decimal, Thresholds, ThresholdsBuilder};
pub use vectors::Vectors;

use crate::error::KernelError;

/// Checks one row of strictly ascending indices below `dim`; `start` counts the indices of the rows before it.
pub(crate) fn check_indices(indices: &[u32], dim: u32, start: usize) -> Result<(), KernelError> {
    for (position, pair) in (start + 1..).zip(indices.windows(2)) {
        if pair[0] >= pair[1] {
            let (previous, got) = (pair[0], pair[1]);
            return Err(KernelError::UnsortedIndices { position, got, previous });
        }
    }
    let within = indices.partition_point(|&index| index < dim);
    match indices.get(within) {
        Some(&got) => Err(KernelError::IndexOutOfBounds { position: start + within, got, dim }),
        None => Ok(()),
    }
}

/// Checks that every value is finite.
pub(crate) fn check_finite(values: &[f32]) -> Result<(), KernelError> {
    const EXPONENT: u32 = 0x7f80_0000;
    match first_position(values, |x| x.to_bits() & EXPONENT == EXPONENT) {
        Some(position) => Err(KernelError::NonFinite { position }),
        None => Ok(()),
    }
}

/// The position of the first value that `is_bad`, looked for as fast as memory delivers where there is
/// none: within a block nothing branches, so lanes do the work.
pub(crate) fn first_position<T: Copy>(values: &[T], is_bad: impl Fn(T) -> bool) -> Option<usize> {
    const BLOCK: usize = 1_024;
    let holds_one = |block: &[T]| block.iter().fold(false, |found, &value| found | is_bad(value));
    let start = BLOCK * values.chunks(BLOCK).position(holds_one)?;
    values[start..].iter().position(|&value| is_bad(value)).map(|position| start + position)
}

/// Checks that every value is finite and not zero.
pub(crate) fn check_sparse_values(values: &[f32]) -> Result<(), KernelError> {
    check_finite(values)?;
    match values.iter().position(|&value| value == 0.0) {
        Some(position) => Err(KernelError::ExplicitZero { position }),
        None => Ok(()),
    }
}
