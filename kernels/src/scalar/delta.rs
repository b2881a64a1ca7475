//! Nearest deltas of f32 rows, one row and one value at a time.

use crate::error::KernelError;
use crate::types::{DeltaBatch, DeltaVector, SparseBatch, SparseVec};

/// The nearest delta of each row.
pub(crate) fn delta(rows: &SparseBatch<'_>) -> Result<DeltaBatch, KernelError> {
    let encode = |row| {
        let (indices, values) = rows.row(row);
        DeltaVector::from_sparse(&SparseVec::from_checked(rows.dim(), indices.to_vec(), values.to_vec()))
    };
    let deltas: Vec<_> = (0..rows.rows()).map(encode).collect::<Result<_, _>>()?;
    DeltaBatch::pack(rows.dim(), &deltas)
}
