//! Nearest deltas of f32 rows, one row and one value at a time.

use crate::error::KernelError;
use crate::types::{DeltaBatch, DeltaVector, SparseBatch, SparseVec};

/// The nearest delta of each row.
pub(crate) fn delta(rows: &SparseBatch<'_>) -> Result<DeltaBatch, KernelError> {
    let encode = |row| {
        let (indices, values) = rows.row(row);
        let vector = SparseVec::from_checked(rows.dim(), indices.to_vec(), values.to_vec());
        DeltaVector::from_sparse(&vector).map_err(|error| match error {
            KernelError::MagnitudeOutOfRange { position, got, limit } => {
                KernelError::MagnitudeOutOfRange { position: rows.indptr()[row] + position, got, limit }
            }
            other => other,
        })
    };
    let deltas: Vec<_> = (0..rows.rows()).map(encode).collect::<Result<_, _>>()?;
    DeltaBatch::pack(rows.dim(), &deltas)
}
