//! The two kinds of sparse rows that conflict kernels read.

use super::{DeltaBatch, SparseBatch};

/// A batch of sparse rows: f32 values, or the integer codes of deltas.
#[derive(Debug, Clone, Copy)]
pub enum Vectors<'a> {
    /// f32 rows.
    Sparse(&'a SparseBatch<'a>),
    /// Deltas.
    Deltas(&'a DeltaBatch),
}

impl Vectors<'_> {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Sparse(batch) => batch.rows(),
            Self::Deltas(batch) => batch.rows(),
        }
    }

    /// Dimension of every row.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        match self {
            Self::Sparse(batch) => batch.dim(),
            Self::Deltas(batch) => batch.dim(),
        }
    }
}

impl<'a> From<&'a SparseBatch<'a>> for Vectors<'a> {
    fn from(batch: &'a SparseBatch<'a>) -> Self {
        Self::Sparse(batch)
    }
}

impl<'a> From<&'a DeltaBatch> for Vectors<'a> {
    fn from(batch: &'a DeltaBatch) -> Self {
        Self::Deltas(batch)
    }
}
