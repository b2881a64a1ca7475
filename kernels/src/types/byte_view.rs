//! Rows of signed bytes, borrowed.

use super::Int8Rows;
use crate::error::KernelError;

/// A borrowed `rows × dim` matrix of signed bytes, row-major: integer codes without a scale, such as those
/// of [`Int8Rows`]. A factor common to a row cancels in a cosine.
#[derive(Debug, Clone, Copy)]
pub struct ByteView<'a> {
    codes: &'a [i8],
    rows: usize,
    dim: usize,
}

impl<'a> ByteView<'a> {
    /// A view of `rows × dim` codes.
    ///
    /// # Errors
    /// `codes.len() != rows * dim`, a dimension of 0 with rows, more than `u32::MAX` rows or components.
    pub fn new(codes: &'a [i8], rows: usize, dim: usize) -> Result<Self, KernelError> {
        let limit = u32::MAX as usize;
        for (what, got) in [("rows", rows), ("dimension", dim)] {
            if got > limit {
                return Err(KernelError::TooLarge { what, got, limit });
            }
        }
        if rows > 0 && dim == 0 {
            return Err(KernelError::ZeroDimension);
        }
        // Both factors are below 2³².
        let expected = rows.saturating_mul(dim);
        if codes.len() != expected {
            return Err(KernelError::LengthMismatch { what: "codes", got: codes.len(), expected });
        }
        Ok(Self { codes, rows, dim })
    }

    /// Codes whose length the caller has checked.
    pub(crate) fn from_checked(codes: &'a [i8], rows: usize, dim: usize) -> Self {
        debug_assert_eq!(codes.len(), rows * dim);
        Self { codes, rows, dim }
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Components of each row.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// All codes, row-major.
    #[must_use]
    pub const fn codes(&self) -> &'a [i8] {
        self.codes
    }

    /// The codes of row `row`.
    ///
    /// # Panics
    /// Never for `row < rows()`; an out-of-range row is a bug of the caller, as for a slice.
    #[must_use]
    pub fn row(&self, row: usize) -> &'a [i8] {
        &self.codes[row * self.dim..][..self.dim]
    }
}

impl<'a> TryFrom<&'a Int8Rows> for ByteView<'a> {
    type Error = KernelError;

    /// The codes of rows under a symmetric scale.
    ///
    /// # Errors
    /// Rows with offsets ([`Int8Mode::MinMax`](super::Int8Mode::MinMax)): their codes point elsewhere than
    /// the values do.
    fn try_from(rows: &'a Int8Rows) -> Result<Self, KernelError> {
        match rows.mode() {
            super::Int8Mode::Symmetric => Self::new(rows.codes(), rows.rows(), rows.dim()),
            super::Int8Mode::MinMax => Err(KernelError::NotCanonical { what: "codes with an offset" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Int8Mode, Int8Scale};

    #[test]
    fn refuses_wrong_shapes_and_codes_with_an_offset() {
        assert!(matches!(
            ByteView::new(&[1; 5], 2, 3),
            Err(KernelError::LengthMismatch { got: 5, expected: 6, .. })
        ));
        assert!(matches!(ByteView::new(&[], 3, 0), Err(KernelError::ZeroDimension)));
        assert!(matches!(ByteView::new(&[], usize::MAX, 1), Err(KernelError::TooLarge { .. })));
        let limit = u32::MAX as usize;
        assert!(matches!(ByteView::new(&[], limit, limit), Err(KernelError::LengthMismatch { .. })));
        let scales = vec![Int8Scale { scale: 1.0, offset: 2.0 }];
        let rows = Int8Rows::new(Int8Mode::MinMax, 2, &[3, 4], scales).unwrap();
        assert!(matches!(ByteView::try_from(&rows), Err(KernelError::NotCanonical { .. })));
        let scales = vec![Int8Scale { scale: 1.0, offset: 0.0 }];
        let rows = Int8Rows::new(Int8Mode::Symmetric, 2, &[3, 4], scales).unwrap();
        assert_eq!(ByteView::try_from(&rows).unwrap().row(0), [3, 4]);
    }
}
