//! How many pairs of deltas fall into each conflict class, window by window.

use std::ops::AddAssign;

use serde::Serialize;
use tensor_kernels::{
    ConflictClass, ConflictCounts, DeltaBatch, DeltaVector, KernelError, Kernels, Rule, Thresholds,
};

/// Pairs of deltas by class. Conflicting pairs are split by what they have in common: direction
/// (|cosine| at or above the threshold) or positions (Jaccard index at or above it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Classes {
    /// Pairs compared.
    pub pairs: u64,
    /// Independent directions.
    pub orthogonal: u64,
    /// Some common direction.
    pub low_conflict: u64,
    /// One direction, or its opposite.
    pub conflicting_by_cosine: u64,
    /// One set of positions.
    pub conflicting_by_overlap: u64,
}

impl Classes {
    /// Counts of pairs whose keys are taken as disjoint, so that no other class occurs.
    fn of(counts: &ConflictCounts) -> Self {
        Self {
            pairs: counts.compared(),
            orthogonal: counts.count(ConflictClass::Orthogonal),
            low_conflict: counts.count(ConflictClass::LowConflict),
            conflicting_by_cosine: counts.count_by_rule(Rule::SAME_DIRECTION)
                + counts.count_by_rule(Rule::OPPOSITE_DIRECTION),
            conflicting_by_overlap: counts.count_by_rule(Rule::STRUCTURE),
        }
    }

    /// A count as a share of all pairs, in 0..=1; 0 where there are no pairs.
    #[must_use]
    pub fn share(&self, count: u64) -> f64 {
        if self.pairs == 0 { 0.0 } else { count as f64 / self.pairs as f64 }
    }
}

impl AddAssign for Classes {
    fn add_assign(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.orthogonal += other.orthogonal;
        self.low_conflict += other.low_conflict;
        self.conflicting_by_cosine += other.conflicting_by_cosine;
        self.conflicting_by_overlap += other.conflicting_by_overlap;
    }
}

/// Rows on a side of what is compared at once: a list of all its pairs takes 13 MB, however large a window is.
const TILE: usize = if cfg!(test) { 100 } else { 1_024 };

/// The classes of all pairs inside each window of `window` consecutive deltas; the last may be shorter.
/// Keys are taken as disjoint: this is about the deltas alone.
///
/// # Errors
/// Deltas of different dimensions.
pub fn by_window(
    kernels: &Kernels,
    deltas: &[DeltaVector],
    window: usize,
    thresholds: &Thresholds,
) -> Result<Vec<Classes>, KernelError> {
    let dim = deltas.first().map_or(0, DeltaVector::dim);
    deltas.chunks(window.max(1)).map(|rows| in_window(kernels, dim, rows, thresholds)).collect()
}

/// Tile by tile, as lists: those are what a GPU makes.
fn in_window(
    kernels: &Kernels,
    dim: u32,
    rows: &[DeltaVector],
    thresholds: &Thresholds,
) -> Result<Classes, KernelError> {
    let tiles = rows.chunks(TILE).map(|tile| DeltaBatch::pack(dim, tile)).collect::<Result<Vec<_>, _>>()?;
    let mut classes = Classes::default();
    for (left, above) in tiles.iter().zip(1..) {
        let list = kernels.conflict_matrix(left.into(), None, thresholds)?.value;
        classes += Classes::of(&list.counts());
        for right in &tiles[above..] {
            let list = kernels.conflict_cross(left.into(), right.into(), None, thresholds)?.value;
            classes += Classes::of(&list.counts());
        }
    }
    Ok(classes)
}

/// The sum of several windows.
#[must_use]
pub fn total(windows: &[Classes]) -> Classes {
    windows.iter().fold(Classes::default(), |mut sum, &window| {
        sum += window;
        sum
    })
}

#[cfg(test)]
mod tests {
    use tensor_datasets::EcbFx;

    use super::*;

    /// On the f32 log returns, before they are rounded to deltas, two pairs are orthogonal that here are not.
    #[test]
    fn exchange_rates_in_windows_of_64_days() {
        let (fx, kernels) = (EcbFx::embedded().unwrap(), Kernels::detect().unwrap());
        let deltas: Vec<_> = (0..fx.dates().len())
            .map(|day| DeltaVector::from_sparse(&fx.delta(day, EcbFx::DEFAULT_THRESHOLD).unwrap()).unwrap())
            .collect();
        let windows = by_window(&kernels, &deltas, 64, &Thresholds::default()).unwrap();
        assert_eq!(windows.len(), 112);
        let all = total(&windows);
        assert_eq!(
            all,
            Classes {
                pairs: 224_007,
                orthogonal: 30_061,
                low_conflict: 92_151,
                conflicting_by_cosine: 6_656,
                conflicting_by_overlap: 95_139,
            }
        );
    }

    #[test]
    fn a_window_of_many_tiles_counts_each_pair_once() {
        let (fx, kernels) = (EcbFx::embedded().unwrap(), Kernels::detect().unwrap());
        let deltas: Vec<_> = (0..3 * TILE + 7)
            .map(|day| DeltaVector::from_sparse(&fx.delta(day, EcbFx::DEFAULT_THRESHOLD).unwrap()).unwrap())
            .collect();
        let batch = DeltaBatch::pack(deltas[0].dim(), &deltas).unwrap();
        let whole = kernels.conflict_counts((&batch).into(), None, &Thresholds::default()).unwrap().value;
        let window = by_window(&kernels, &deltas, deltas.len(), &Thresholds::default()).unwrap();
        assert_eq!(window, [Classes::of(&whole)]);
    }

    #[test]
    fn no_deltas_are_no_windows() {
        let kernels = Kernels::scalar().unwrap();
        assert_eq!(by_window(&kernels, &[], 64, &Thresholds::default()).unwrap(), []);
        assert!(total(&[]).share(0).abs() < f64::EPSILON);
    }
}
