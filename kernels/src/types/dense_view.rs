//! Dense f32 rows, borrowed.

use super::check_finite;
use crate::error::KernelError;

/// A borrowed `rows × dim` matrix of finite f32, row-major, with `stride ≥ dim` elements from row to row.
#[derive(Debug, Clone, Copy)]
pub struct DenseView<'a> {
    data: &'a [f32],
    rows: usize,
    dim: usize,
    stride: usize,
}

impl<'a> DenseView<'a> {
    /// A view of `rows × dim` contiguous values.
    ///
    /// # Errors
    /// `data.len() != rows * dim`, a dimension of 0 with rows, more than `u32::MAX` rows or
    /// components, a NaN or infinite value.
    pub fn new(data: &'a [f32], rows: usize, dim: usize) -> Result<Self, KernelError> {
        check_dense(data, rows, dim)?;
        Ok(Self::from_checked(data, rows, dim))
    }

    /// A view whose rows begin every `stride` elements; what lies between `dim` and `stride` is never read.
    ///
    /// # Errors
    /// As [`new`](Self::new), and a stride below the dimension or data that end before the last row does.
    pub fn with_stride(data: &'a [f32], rows: usize, dim: usize, stride: usize) -> Result<Self, KernelError> {
        if stride < dim {
            return Err(KernelError::LengthMismatch { what: "stride", got: stride, expected: dim });
        }
        let expected = checked_len(rows, dim, stride)?;
        if data.len() < expected {
            return Err(KernelError::LengthMismatch { what: "data", got: data.len(), expected });
        }
        for row in 0..rows {
            let start = row * stride;
            check_finite(&data[start..start + dim]).map_err(|error| match error {
                KernelError::NonFinite { position } => KernelError::NonFinite { position: start + position },
                other => other,
            })?;
        }
        Ok(Self { data, rows, dim, stride })
    }

    /// A contiguous view whose invariants the caller has established. Values are not looked at again, not
    /// even to assert: they may be a file larger than memory.
    pub(crate) fn from_checked(data: &'a [f32], rows: usize, dim: usize) -> Self {
        debug_assert_eq!(data.len(), rows * dim);
        Self { data, rows, dim, stride: dim }
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

    /// All components, row-major, where no gap lies between rows.
    pub(crate) fn contiguous(&self) -> Option<&'a [f32]> {
        (self.stride == self.dim).then(|| &self.data[..self.rows * self.dim])
    }

    /// Where row `row` begins in the data as given.
    pub(super) const fn start(&self, row: usize) -> usize {
        row * self.stride
    }

    /// The components of row `row`.
    ///
    /// # Panics
    /// Never for `row < rows()`; an out-of-range row is a bug of the caller, as for a slice.
    #[must_use]
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.data[self.start(row)..][..self.dim]
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        let view = *self;
        (0..view.rows).map(move |row| view.row(row))
    }
}

/// Checks that `data` are `rows × dim` contiguous finite values within every limit.
pub(crate) fn check_dense(data: &[f32], rows: usize, dim: usize) -> Result<(), KernelError> {
    let expected = checked_len(rows, dim, dim)?;
    if data.len() != expected {
        return Err(KernelError::LengthMismatch { what: "data", got: data.len(), expected });
    }
    check_finite(data)
}

/// Elements that `rows` rows of `dim` at `stride` reach over, with every limit checked.
pub(super) fn checked_len(rows: usize, dim: usize, stride: usize) -> Result<usize, KernelError> {
    let limit = u32::MAX as usize;
    for (what, got) in [("rows", rows), ("dimension", dim)] {
        if got > limit {
            return Err(KernelError::TooLarge { what, got, limit });
        }
    }
    if rows == 0 {
        return Ok(0);
    }
    if dim == 0 {
        return Err(KernelError::ZeroDimension);
    }
    (rows - 1).checked_mul(stride).and_then(|n| n.checked_add(dim)).ok_or(KernelError::TooLarge {
        what: "rows × stride",
        got: rows,
        limit: usize::MAX / stride,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stride_skips_the_gap_even_where_it_is_not_finite() {
        let data = [1.0, 2.0, f32::NAN, 3.0, 4.0];
        let view = DenseView::with_stride(&data, 2, 2, 3).unwrap();
        assert_eq!(view.iter().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
    }

    #[test]
    fn refuses_wrong_shapes_and_values() {
        assert!(matches!(
            DenseView::new(&[1.0; 5], 2, 3),
            Err(KernelError::LengthMismatch { got: 5, expected: 6, .. })
        ));
        assert!(matches!(DenseView::new(&[], 3, 0), Err(KernelError::ZeroDimension)));
        assert!(matches!(
            DenseView::with_stride(&[1.0; 4], 2, 2, 1),
            Err(KernelError::LengthMismatch { what: "stride", .. })
        ));
        assert!(matches!(DenseView::with_stride(&[], usize::MAX, 1, 1), Err(KernelError::TooLarge { .. })));
        assert!(matches!(
            DenseView::new(&[0.0, 1.0, 2.0, f32::NAN], 2, 2),
            Err(KernelError::NonFinite { position: 3 })
        ));
        assert_eq!(DenseView::new(&[], 0, 7).unwrap().rows(), 0);
    }
}
