//! Many deltas packed end to end, the layout that batch kernels read.

use super::delta_vector::exact_power_of_two;
use super::sparse_batch::check_row_pointers;
use super::{DeltaVector, SparseBatch};
use crate::error::KernelError;

/// A batch of [`DeltaVector`]s of one dimension: CSR over integer codes, one exponent a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaBatch {
    dim: u32,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    codes: Vec<i16>,
    exponents: Vec<i8>,
    #[cfg(feature = "gpu")]
    residence: crate::gpu::Residence,
}

impl DeltaBatch {
    /// Packs deltas of dimension `dim`.
    ///
    /// # Errors
    /// A delta of another dimension; more than `u32::MAX` deltas.
    pub fn pack<'v>(
        dim: u32,
        deltas: impl IntoIterator<Item = &'v DeltaVector>,
    ) -> Result<Self, KernelError> {
        let (mut indptr, mut indices) = (vec![0], Vec::new());
        let (mut codes, mut exponents) = (Vec::new(), Vec::new());
        for delta in deltas {
            if delta.dim() != dim {
                let (got, expected) = (delta.dim() as usize, dim as usize);
                return Err(KernelError::DimensionMismatch { got, expected });
            }
            indices.extend_from_slice(delta.indices());
            codes.extend_from_slice(delta.codes());
            exponents.push(delta.exponent());
            indptr.push(indices.len());
        }
        check_row_pointers(&indptr, indices.len())?;
        Ok(Self::new(dim, indptr, indices, codes, exponents))
    }

    fn new(dim: u32, indptr: Vec<usize>, indices: Vec<u32>, codes: Vec<i16>, exponents: Vec<i8>) -> Self {
        Self {
            dim,
            indptr,
            indices,
            codes,
            exponents,
            #[cfg(feature = "gpu")]
            residence: crate::gpu::Residence::default(),
        }
    }

    /// What a device keeps of the batch, from the first comparison there on.
    #[cfg(feature = "gpu")]
    pub(crate) const fn residence(&self) -> &crate::gpu::Residence {
        &self.residence
    }

    /// Packs codes that the caller has made canonical, in the layout of the f32 rows they come from.
    pub(crate) fn from_encoded(rows: &SparseBatch<'_>, codes: Vec<i16>, exponents: Vec<i8>) -> Self {
        debug_assert!(codes.len() == rows.nnz() && exponents.len() == rows.rows());
        let (indptr, indices) = (rows.indptr().to_vec(), rows.indices().to_vec());
        Self::new(rows.dim(), indptr, indices, codes, exponents)
    }

    /// The same deltas as f32 rows, exactly.
    #[must_use]
    pub fn to_sparse(&self) -> SparseBatch<'static> {
        let scale = |row: usize| exact_power_of_two(self.exponents[row]);
        let value = |row: usize| self.row(row).1.iter().map(move |&code| f32::from(code) * scale(row));
        let values = (0..self.rows()).flat_map(value).collect();
        SparseBatch::from_checked(self.dim, self.indptr.clone(), self.indices.clone(), values)
    }

    /// Delta `row` by itself, if there is one.
    #[must_use]
    pub fn delta(&self, row: usize) -> Option<DeltaVector> {
        let exponent = *self.exponents.get(row)?;
        let (indices, codes) = self.row(row);
        DeltaVector::from_canonical(self.dim, indices.to_vec(), codes.to_vec(), exponent).ok()
    }

    /// Number of deltas.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.exponents.len()
    }

    /// Dimension of every delta.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Indices and codes of delta `row`.
    ///
    /// # Panics
    /// Never for `row < rows()`; an out-of-range row is a bug of the caller, as for a slice.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[i16]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[range.clone()], &self.codes[range])
    }

    /// The exponent of each delta.
    #[must_use]
    pub fn exponents(&self) -> &[i8] {
        &self.exponents
    }

    /// Row pointers, `rows() + 1` of them.
    #[must_use]
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Indices of all deltas, end to end.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Codes of all deltas, end to end.
    #[must_use]
    pub fn codes(&self) -> &[i16] {
        &self.codes
    }
}
