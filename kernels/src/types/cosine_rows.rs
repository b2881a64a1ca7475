//! Dense rows of any kind whose directions are compared.

use super::{ByteView, DeltaBatch, DenseView};

/// Rows to be compared by direction: each row is a vector of the real numbers it denotes.
#[derive(Debug, Clone, Copy)]
pub enum CosineRows<'a> {
    /// f32 components.
    F32(DenseView<'a>),
    /// Signed bytes; a row's scale does not matter to its direction.
    Bytes(ByteView<'a>),
    /// Deltas, expanded to all their positions.
    Deltas(&'a DeltaBatch),
}

impl CosineRows<'_> {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::F32(rows) => rows.rows(),
            Self::Bytes(rows) => rows.rows(),
            Self::Deltas(rows) => rows.rows(),
        }
    }

    /// Components of each row.
    #[must_use]
    pub fn dim(&self) -> usize {
        match self {
            Self::F32(rows) => rows.dim(),
            Self::Bytes(rows) => rows.dim(),
            Self::Deltas(rows) => rows.dim() as usize,
        }
    }
}

impl<'a> From<DenseView<'a>> for CosineRows<'a> {
    fn from(rows: DenseView<'a>) -> Self {
        Self::F32(rows)
    }
}

impl<'a> From<ByteView<'a>> for CosineRows<'a> {
    fn from(rows: ByteView<'a>) -> Self {
        Self::Bytes(rows)
    }
}

impl<'a> From<&'a DeltaBatch> for CosineRows<'a> {
    fn from(rows: &'a DeltaBatch) -> Self {
        Self::Deltas(rows)
    }
}
