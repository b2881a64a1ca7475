//! One sparse f32 vector.

use super::{check_finite, check_indices, check_sparse_values};
use crate::error::KernelError;

/// A sparse vector: `dim` components, of which the listed ones are finite and not zero.
///
/// Indices are strictly ascending and below `dim`. Construction is the only place that checks.
///
/// ```
/// use tensor_kernels::SparseVec;
/// let v = SparseVec::from_dense(&[0.0, 2.0, 0.0, -1.0])?;
/// assert_eq!((v.dim(), v.nnz()), (4, 2));
/// assert_eq!(v.iter().collect::<Vec<_>>(), [(1, 2.0), (3, -1.0)]);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparseVec {
    dim: u32,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseVec {
    /// The zero vector of `dim` components.
    #[must_use]
    pub const fn zero(dim: u32) -> Self {
        Self { dim, indices: Vec::new(), values: Vec::new() }
    }

    /// A vector from its non-zero components.
    ///
    /// # Errors
    /// Lengths that differ, indices that are not strictly ascending or not below `dim`, values that
    /// are zero, NaN or infinite.
    pub fn new(dim: u32, indices: Vec<u32>, values: Vec<f32>) -> Result<Self, KernelError> {
        if indices.len() != values.len() {
            return Err(KernelError::LengthMismatch {
                what: "values",
                got: values.len(),
                expected: indices.len(),
            });
        }
        check_indices(&indices, dim, 0)?;
        check_sparse_values(&values)?;
        Ok(Self { dim, indices, values })
    }

    /// The non-zero components of a dense vector.
    ///
    /// # Errors
    /// A NaN or infinite value, or more than `u32::MAX` components.
    pub fn from_dense(dense: &[f32]) -> Result<Self, KernelError> {
        Self::from_dense_above(dense, 0.0)
    }

    /// The components of a dense vector whose magnitude is greater than `threshold`.
    ///
    /// # Errors
    /// As [`from_dense`](Self::from_dense); a NaN or negative threshold keeps every non-zero component.
    pub fn from_dense_above(dense: &[f32], threshold: f32) -> Result<Self, KernelError> {
        let dim = u32::try_from(dense.len()).map_err(|_| KernelError::TooLarge {
            what: "dimension",
            got: dense.len(),
            limit: u32::MAX as usize,
        })?;
        check_finite(dense)?;
        let kept = || (0..dim).zip(dense).filter(|(_, value)| value.abs() > threshold.max(0.0));
        Ok(Self { dim, indices: kept().map(|(i, _)| i).collect(), values: kept().map(|(_, &v)| v).collect() })
    }

    /// Builds from parts whose invariants the caller has established.
    pub(crate) fn from_checked(dim: u32, indices: Vec<u32>, values: Vec<f32>) -> Self {
        debug_assert!(check_indices(&indices, dim, 0).is_ok() && check_sparse_values(&values).is_ok());
        debug_assert_eq!(indices.len(), values.len());
        Self { dim, indices, values }
    }

    /// Becomes the vector of `entries`, ascending, each rounded once to f32; zeros are dropped. On an
    /// error it becomes the zero vector.
    pub(super) fn refill(
        &mut self,
        dim: u32,
        entries: impl Iterator<Item = (u32, f64)>,
    ) -> Result<(), KernelError> {
        self.dim = dim;
        self.indices.clear();
        self.values.clear();
        for (position, (index, value)) in entries.enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "rounding is the point")]
            let value = value as f32;
            if !value.is_finite() {
                self.indices.clear();
                self.values.clear();
                return Err(KernelError::NonFinite { position });
            }
            if value != 0.0 {
                self.indices.push(index);
                self.values.push(value);
            }
        }
        Ok(())
    }

    /// Number of components, stored or not.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Number of non-zero components.
    #[must_use]
    pub const fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Whether every component is zero.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.indices.is_empty()
    }

    /// Indices of the non-zero components, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Values of the non-zero components, in the order of [`indices`](Self::indices).
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Index and value of each non-zero component, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// All `dim` components.
    #[must_use]
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.dim as usize];
        for (index, value) in self.iter() {
            dense[index as usize] = value;
        }
        dense
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_sparse_vector() {
        let new = |indices: &[u32], values: &[f32]| SparseVec::new(4, indices.to_vec(), values.to_vec());
        assert!(matches!(new(&[0, 1], &[1.0]), Err(KernelError::LengthMismatch { got: 1, expected: 2, .. })));
        assert!(matches!(new(&[1, 1], &[1.0, 2.0]), Err(KernelError::UnsortedIndices { position: 1, .. })));
        assert!(matches!(new(&[2, 1], &[1.0, 2.0]), Err(KernelError::UnsortedIndices { .. })));
        assert!(matches!(
            new(&[0, 4, 5], &[1.0; 3]),
            Err(KernelError::IndexOutOfBounds { position: 1, got: 4, dim: 4 })
        ));
        assert!(matches!(new(&[0], &[0.0]), Err(KernelError::ExplicitZero { position: 0 })));
        assert!(matches!(new(&[0], &[-0.0]), Err(KernelError::ExplicitZero { position: 0 })));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(new(&[0], &[bad]), Err(KernelError::NonFinite { position: 0 })));
            assert!(matches!(SparseVec::from_dense(&[bad]), Err(KernelError::NonFinite { .. })));
        }
    }

    #[test]
    fn dense_round_trip_drops_zeros_and_keeps_denormals() {
        let dense = [0.0, f32::from_bits(1), -0.0, -3.5];
        let v = SparseVec::from_dense(&dense).unwrap();
        assert_eq!(v.indices(), [1, 3]);
        assert_eq!(v.to_dense(), [0.0, f32::from_bits(1), 0.0, -3.5]);
    }

    #[test]
    fn threshold_keeps_strictly_greater_magnitudes() {
        let v = SparseVec::from_dense_above(&[0.5, -0.5, 0.6, -0.7, 0.0], 0.5).unwrap();
        assert_eq!(v.indices(), [2, 3]);
    }
}
