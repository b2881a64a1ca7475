//! The thresholds of conflict detection and merging.
//!
//! Whatever decides a class is an exact decimal; the sparsity threshold only prunes what merging leaves.

use tensor_kernels::{Decimal, KernelError, Thresholds, ThresholdsBuilder};

/// Thresholds of conflict detection and merging.
///
/// They must be in order: −1 ≤ opposite < 0 < orthogonal < conflict ≤ identical ≤ 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConsensusConfig {
    /// |cosine| below this is orthogonal. Default 0.1.
    pub orthogonal_threshold: Decimal,
    /// |cosine| at or above this conflicts. Default 0.7.
    pub conflict_threshold: Decimal,
    /// Cosine at or above this can be identical. Default 0.99.
    pub identical_threshold: Decimal,
    /// Cosine at or below this can be opposite. Default −0.95.
    pub opposite_threshold: Decimal,
    /// Whether deltas of transactions that share keys may be merged. Default false.
    pub allow_key_overlap_merge: bool,
    /// Jaccard index of the positions at or above this conflicts. Default 0.5.
    pub structural_conflict_threshold: Decimal,
    /// Least ratio of the magnitudes of identical deltas. Default 0.99.
    pub identical_magnitude_ratio: Decimal,
    /// Least ratio of the magnitudes of opposite deltas. Default 0.95.
    pub opposite_magnitude_ratio: Decimal,
    /// What is left of opposite deltas is dropped at or below this magnitude. Default 1e-6.
    pub sparsity_threshold: f32,
}

impl Default for ConsensusConfig {
    fn default() -> Self {
        let kernel = ThresholdsBuilder::default();
        Self {
            orthogonal_threshold: kernel.orthogonal,
            conflict_threshold: kernel.conflict,
            identical_threshold: kernel.identical,
            opposite_threshold: kernel.opposite,
            allow_key_overlap_merge: kernel.allow_key_overlap_merge,
            structural_conflict_threshold: kernel.structural,
            identical_magnitude_ratio: kernel.identical_ratio,
            opposite_magnitude_ratio: kernel.opposite_ratio,
            sparsity_threshold: 1e-6,
        }
    }
}

impl ConsensusConfig {
    /// The thresholds as the kernels take them.
    ///
    /// # Errors
    /// [`KernelError::BadThreshold`] naming the first that is out of order.
    pub fn thresholds(&self) -> Result<Thresholds, KernelError> {
        ThresholdsBuilder {
            orthogonal: self.orthogonal_threshold,
            conflict: self.conflict_threshold,
            identical: self.identical_threshold,
            opposite: self.opposite_threshold,
            structural: self.structural_conflict_threshold,
            identical_ratio: self.identical_magnitude_ratio,
            opposite_ratio: self.opposite_magnitude_ratio,
            allow_key_overlap_merge: self.allow_key_overlap_merge,
        }
        .build()
    }
}
