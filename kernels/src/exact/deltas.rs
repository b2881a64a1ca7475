//! Two deltas alone, compared exactly.

use super::classify::PairView;
use super::{CodePair, SquaredNorm, shared_values};
use crate::error::KernelError;
use crate::{Decimal, DeltaVector};

impl DeltaVector {
    /// Whether |cos| with another delta is below `t`, decided exactly. A zero delta has the cosine 0.
    ///
    /// ```
    /// use tensor_kernels::{DeltaVector, SparseVec};
    /// let delta = |dense: &[f32]| DeltaVector::from_sparse(&SparseVec::from_dense(dense)?);
    /// let (a, b) = (delta(&[1.0, 0.0])?, delta(&[-3.0, 4.0])?); // cos = -0.6
    /// assert!(!a.cosine_magnitude_below(&b, "0.6".parse()?)?);
    /// assert!(a.cosine_magnitude_below(&b, "0.6001".parse()?)?);
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    ///
    /// # Errors
    /// Another dimension.
    pub fn cosine_magnitude_below(&self, other: &Self, t: Decimal) -> Result<bool, KernelError> {
        if other.dim() != self.dim() {
            let (got, expected) = (other.dim() as usize, self.dim() as usize);
            return Err(KernelError::DimensionMismatch { got, expected });
        }
        if t.ten_thousandths() <= 0 || self.is_zero() || other.is_zero() {
            return Ok(t.ten_thousandths() > 0);
        }
        let shared = shared_values((self.indices(), self.codes()), (other.indices(), other.codes()));
        let pair = CodePair {
            dot: shared.map(|(a, b)| i64::from(a) * i64::from(b)).sum(),
            left: SquaredNorm::of_codes(self.codes()),
            right: SquaredNorm::of_codes(other.codes()),
            exponents: (self.exponent(), other.exponent()),
        };
        Ok(pair.cosine_magnitude_below(t))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SparseVec;

    fn delta(dense: &[f32]) -> DeltaVector {
        DeltaVector::from_sparse(&SparseVec::from_dense(dense).unwrap()).unwrap()
    }

    #[test]
    fn a_cosine_at_the_threshold_is_not_below_it() {
        let below = |a: &[f32], b: &[f32], t| {
            delta(a).cosine_magnitude_below(&delta(b), Decimal::from_ten_thousandths(t)).unwrap()
        };
        // ±1/10: |b|² = 1 + 81 + 9 + 9.
        for b in [[1.0, 9.0, 3.0, 3.0], [-1.0, 9.0, 3.0, 3.0]] {
            assert!(!below(&[1.0, 0.0, 0.0, 0.0], &b, 1_000));
            assert!(below(&[1.0, 0.0, 0.0, 0.0], &b, 1_001));
        }
        assert!(below(&[1.0, 0.0, 0.0, 0.0], &[1.0, 9.0, 3.0, 4.0], 1_000));
        // No magnitude is below 0, every one is below what is above 1.
        assert!(!below(&[1.0, 0.0], &[0.0, 1.0], 0) && !below(&[1.0, 0.0], &[0.0, 1.0], -1));
        assert!(below(&[1.0, 0.0], &[0.0, 1.0], 1) && below(&[0.0, 0.0], &[0.0, 1.0], 1));
        assert!(!below(&[0.0, 0.0], &[0.0, 1.0], 0));
        assert!(!below(&[2.0, 0.0], &[-1.0, 0.0], 10_000) && below(&[2.0, 0.0], &[-1.0, 0.0], 10_001));
    }

    #[test]
    fn another_dimension_is_refused() {
        let error =
            delta(&[1.0]).cosine_magnitude_below(&delta(&[1.0, 2.0]), Decimal::from_ten_thousandths(1));
        assert_eq!(error, Err(KernelError::DimensionMismatch { got: 2, expected: 1 }));
    }
}
