//! Which pairs of sparse rows are scored, and what a pair that was found looks like.

use std::fmt;

use super::{Measure, SparseBatch};
use crate::error::KernelError;

/// A measure that all pairs of sparse rows can be scored by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Similarity {
    /// Σ aᵢbᵢ / (‖a‖ ‖b‖), in −1..=1; 0 where either row is zero.
    Cosine,
    /// Shared positions / positions of either, in 0..=1; 1 for two zero rows.
    Jaccard,
}

impl From<Similarity> for Measure {
    fn from(similarity: Similarity) -> Self {
        match similarity {
            Similarity::Cosine => Self::Cosine,
            Similarity::Jaccard => Self::Jaccard,
        }
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Measure::from(*self).fmt(f)
    }
}

/// All pairs of one batch, each once, or all pairs of a row of one batch and a row of another.
///
/// ```
/// use tensor_kernels::{Pairs, SparseBatch};
/// let batch = SparseBatch::view(2, &[0, 1, 2, 3], &[0, 0, 1], &[1.0, 2.0, 3.0])?;
/// let pairs = Pairs::of(&batch); // (0, 1), (0, 2), (1, 2)
/// assert_eq!((pairs.count(), pairs.place(1, 2), pairs.place(2, 1)), (3, Some(2), None));
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    left: &'a SparseBatch<'a>,
    right: &'a SparseBatch<'a>,
    triangle: bool,
}

impl<'a> Pairs<'a> {
    /// The pairs (i, j) with i < j of one batch.
    #[must_use]
    pub const fn of(batch: &'a SparseBatch<'a>) -> Self {
        Self { left: batch, right: batch, triangle: true }
    }

    /// The pairs of row i of `left` and row j of `right`.
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn between(left: &'a SparseBatch<'a>, right: &'a SparseBatch<'a>) -> Result<Self, KernelError> {
        if left.dim() != right.dim() {
            let (got, expected) = (right.dim() as usize, left.dim() as usize);
            return Err(KernelError::DimensionMismatch { got, expected });
        }
        Ok(Self { left, right, triangle: false })
    }

    /// The batch of the first rows of the pairs.
    #[must_use]
    pub const fn left(&self) -> &'a SparseBatch<'a> {
        self.left
    }

    /// The batch of the second rows; the same batch where all pairs of one batch are meant.
    #[must_use]
    pub const fn right(&self) -> &'a SparseBatch<'a> {
        self.right
    }

    /// Whether these are the pairs i < j of one batch.
    #[must_use]
    pub const fn is_triangle(&self) -> bool {
        self.triangle
    }

    /// Number of pairs. Rows number at most `u32::MAX`, so it fits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.before(self.left.rows())
    }

    /// Where the score of pair (i, j) stands among all of them, which are in ascending order of (i, j):
    /// the rows of the upper triangle end to end, or a row-major matrix. `None` where there is no such pair.
    #[must_use]
    pub fn place(&self, i: usize, j: usize) -> Option<u64> {
        let first = self.first_partner(i);
        let exists = i < self.left.rows() && (first..self.right.rows()).contains(&j);
        exists.then(|| self.before(i) + (j - first) as u64)
    }

    /// Left rows, and entries of all rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        let right = if self.triangle { 0 } else { self.right.nnz() };
        (self.left.rows(), self.left.nnz() + right)
    }

    /// The first row that row i is paired with.
    pub(crate) const fn first_partner(&self, i: usize) -> usize {
        if self.triangle { i + 1 } else { 0 }
    }

    /// Number of pairs of the rows before row `i` ≤ rows.
    pub(crate) fn before(&self, i: usize) -> u64 {
        let (i, width) = (i as u64, self.right.rows() as u64);
        if self.triangle { i * width - i * (i + 1) / 2 } else { i * width }
    }
}

/// A pair of rows and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPair {
    /// Row of the left batch; for all pairs of one batch, the lower row.
    pub left: u32,
    /// Row of the right batch; for all pairs of one batch, the higher row.
    pub right: u32,
    /// The score, one f64 expression in ascending position.
    pub score: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_number_the_pairs_in_order_without_a_gap() {
        let batch = SparseBatch::new(1, vec![0; 6], vec![], vec![]).unwrap();
        let other = SparseBatch::new(1, vec![0; 4], vec![], vec![]).unwrap();
        for pairs in [Pairs::of(&batch), Pairs::between(&batch, &other).unwrap()] {
            let places: Vec<u64> =
                (0..7).flat_map(|i| (0..7).filter_map(move |j| pairs.place(i, j))).collect();
            assert_eq!(places, (0..pairs.count()).collect::<Vec<_>>());
        }
        let empty = SparseBatch::new(1, vec![0], vec![], vec![]).unwrap();
        assert_eq!((Pairs::of(&empty).count(), Pairs::of(&empty).place(0, 0)), (0, None));
        let narrow = SparseBatch::new(2, vec![0], vec![], vec![]).unwrap();
        assert!(Pairs::between(&batch, &narrow).is_err());
    }
}
