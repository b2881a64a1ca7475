//! Dense f32 rows, owned and checked once.

use super::{DenseView, check_dense};
use crate::aligned::AlignedBuf;
use crate::error::KernelError;

/// An owned `rows × dim` matrix of finite f32, row-major, in an aligned buffer.
///
/// ```
/// use tensor_kernels::{AlignedBuf, DenseRows};
/// let mut values = AlignedBuf::zeroed(6);
/// values.copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// let rows = DenseRows::new(values, 2, 3)?;
/// assert_eq!(rows.view().row(1), [4.0, 5.0, 6.0]);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DenseRows {
    values: AlignedBuf<f32>,
    rows: usize,
    dim: usize,
}

impl DenseRows {
    /// Takes `rows × dim` contiguous values.
    ///
    /// # Errors
    /// Whatever [`DenseView::new`] refuses.
    pub fn new(values: AlignedBuf<f32>, rows: usize, dim: usize) -> Result<Self, KernelError> {
        check_dense(&values, rows, dim)?;
        Ok(Self { values, rows, dim })
    }

    /// The rows; costs nothing, the values have been checked.
    #[must_use]
    pub fn view(&self) -> DenseView<'_> {
        DenseView::from_checked(&self.values, self.rows, self.dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_view_refuses() {
        let mut values = AlignedBuf::zeroed(4);
        values[3] = f32::NAN;
        assert!(matches!(DenseRows::new(values.clone(), 2, 2), Err(KernelError::NonFinite { position: 3 })));
        values[3] = 4.0;
        assert!(matches!(DenseRows::new(values.clone(), 3, 2), Err(KernelError::LengthMismatch { .. })));
        assert_eq!(DenseRows::new(values, 2, 2).unwrap().view().row(1), [0.0, 4.0]);
    }
}
