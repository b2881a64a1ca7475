//! Many sparse f32 rows in CSR form, owned or borrowed.

use std::borrow::Cow;

use super::{SparseVec, check_indices, check_sparse_values};
use crate::error::KernelError;

/// A batch of sparse rows of one dimension in compressed sparse row (CSR) form.
///
/// Row `r` holds `indices[indptr[r]..indptr[r + 1]]` and the values beside them. The parts may be
/// borrowed from the caller ([`view`](Self::view), no copy) or owned.
///
/// ```
/// use tensor_kernels::SparseBatch;
/// let (indptr, indices, values) = ([0, 2, 2, 3], [0, 3, 1], [1.0, -2.0, 0.5]);
/// let batch = SparseBatch::view(4, &indptr, &indices, &values)?;
/// assert_eq!(batch.rows(), 3);
/// assert_eq!(batch.row(0), (&[0, 3][..], &[1.0, -2.0][..]));
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparseBatch<'a> {
    dim: u32,
    indptr: Cow<'a, [usize]>,
    indices: Cow<'a, [u32]>,
    values: Cow<'a, [f32]>,
}

impl<'a> SparseBatch<'a> {
    /// A batch over the caller's CSR arrays, without copying them.
    ///
    /// # Errors
    /// Row pointers that do not ascend from 0 to the number of values, more than `u32::MAX`
    /// rows or entries, and per row whatever [`SparseVec::new`] refuses.
    pub fn view(
        dim: u32,
        indptr: &'a [usize],
        indices: &'a [u32],
        values: &'a [f32],
    ) -> Result<Self, KernelError> {
        Self::check(dim, Cow::Borrowed(indptr), Cow::Borrowed(indices), Cow::Borrowed(values))
    }

    /// A batch that owns its CSR arrays.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    pub fn new(
        dim: u32,
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<SparseBatch<'static>, KernelError> {
        SparseBatch::check(dim, Cow::Owned(indptr), Cow::Owned(indices), Cow::Owned(values))
    }

    fn check(
        dim: u32,
        indptr: Cow<'a, [usize]>,
        indices: Cow<'a, [u32]>,
        values: Cow<'a, [f32]>,
    ) -> Result<Self, KernelError> {
        if indices.len() != values.len() {
            let (got, expected) = (values.len(), indices.len());
            return Err(KernelError::LengthMismatch { what: "values", got, expected });
        }
        check_row_pointers(&indptr, indices.len())?;
        for row in indptr.windows(2) {
            check_indices(&indices[row[0]..row[1]], dim, row[0])?;
        }
        check_sparse_values(&values)?;
        Ok(Self { dim, indptr, indices, values })
    }

    /// Copies vectors of dimension `dim` into one batch.
    ///
    /// # Errors
    /// A vector of another dimension; more than `u32::MAX` rows.
    pub fn from_rows<'v>(
        dim: u32,
        rows: impl IntoIterator<Item = &'v SparseVec>,
    ) -> Result<SparseBatch<'static>, KernelError> {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in rows {
            if row.dim() != dim {
                let (got, expected) = (row.dim() as usize, dim as usize);
                return Err(KernelError::DimensionMismatch { got, expected });
            }
            indices.extend_from_slice(row.indices());
            values.extend_from_slice(row.values());
            indptr.push(indices.len());
        }
        check_row_pointers(&indptr, indices.len())?;
        Ok(Self::from_checked(dim, indptr, indices, values))
    }

    /// Builds from parts whose invariants the caller has established.
    pub(super) fn from_checked(
        dim: u32,
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> SparseBatch<'static> {
        SparseBatch {
            dim,
            indptr: Cow::Owned(indptr),
            indices: Cow::Owned(indices),
            values: Cow::Owned(values),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Dimension of every row.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Number of stored values in all rows.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Indices and values of row `row`.
    ///
    /// # Panics
    /// Never for `row < rows()`; an out-of-range row is a bug of the caller, as for a slice.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Row pointers, `rows() + 1` of them.
    #[must_use]
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Indices of all rows, end to end.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Values of all rows, end to end.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Checks CSR row pointers over `nnz` values: from 0, never descending, ending at `nnz`, both countable in u32.
pub(crate) fn check_row_pointers(indptr: &[usize], nnz: usize) -> Result<(), KernelError> {
    let (Some(&first), Some(&last)) = (indptr.first(), indptr.last()) else {
        return Err(KernelError::LengthMismatch { what: "indptr", got: 0, expected: 1 });
    };
    if first != 0 {
        return Err(KernelError::BadRowPointer { position: 0, got: first, expected: 0 });
    }
    if let Some(position) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        let (expected, got) = (indptr[position], indptr[position + 1]);
        return Err(KernelError::BadRowPointer { position: position + 1, got, expected });
    }
    if last != nnz {
        return Err(KernelError::BadRowPointer { position: indptr.len() - 1, got: last, expected: nnz });
    }
    let limit = u32::MAX as usize;
    for (what, got) in [("rows", indptr.len() - 1), ("entries", nnz)] {
        if got > limit {
            return Err(KernelError::TooLarge { what, got, limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_bad_row_pointers() {
        let (indices, values) = ([0, 1], [1.0, 2.0]);
        let view = |indptr: &'static [usize]| SparseBatch::view(2, indptr, &[0, 1], &[1.0, 2.0]).unwrap_err();
        assert!(matches!(view(&[]), KernelError::LengthMismatch { what: "indptr", .. }));
        assert!(matches!(view(&[1, 2]), KernelError::BadRowPointer { position: 0, got: 1, expected: 0 }));
        assert!(matches!(view(&[0, 2, 1, 2]), KernelError::BadRowPointer { position: 2, got: 1, .. }));
        assert!(matches!(view(&[0, 1]), KernelError::BadRowPointer { position: 1, got: 1, expected: 2 }));
        assert!(matches!(view(&[0, usize::MAX]), KernelError::BadRowPointer { .. }));
        assert!(SparseBatch::view(2, &[0, 1, 2], &indices, &values).is_ok());
    }

    #[test]
    fn rows_may_repeat_indices_of_other_rows_but_not_their_own() {
        assert!(SparseBatch::view(2, &[0, 1, 2], &[1, 1], &[1.0, 2.0]).is_ok());
        assert!(SparseBatch::view(2, &[0, 2], &[1, 1], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn what_is_wrong_in_a_row_is_found_in_the_indices_of_all() {
        let view = |indices: [u32; 4]| SparseBatch::view(3, &[0, 2, 4], &indices, &[1.0; 4]).unwrap_err();
        assert_eq!(view([0, 1, 2, 1]), KernelError::UnsortedIndices { position: 3, got: 1, previous: 2 });
        assert_eq!(view([0, 1, 3, 4]), KernelError::IndexOutOfBounds { position: 2, got: 3, dim: 3 });
    }

    #[test]
    fn from_rows_equals_view_of_the_same_parts() {
        let rows = [SparseVec::from_dense(&[1.0, 0.0]).unwrap(), SparseVec::zero(2)];
        let batch = SparseBatch::from_rows(2, &rows).unwrap();
        assert_eq!(batch, SparseBatch::view(2, &[0, 1, 1], &[0], &[1.0]).unwrap());
        let other = SparseVec::zero(3);
        assert!(matches!(
            SparseBatch::from_rows(2, [&other]),
            Err(KernelError::DimensionMismatch { got: 3, expected: 2 })
        ));
    }
}
