//! Dense rows in 16-bit floating point: half the bytes of f32 to store and to scan.
//!
//! Both formats denote numbers that f32 holds exactly, so arithmetic on them is arithmetic on f32 rows;
//! only the way into them rounds.

use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::dense_view::checked_len;
use super::{DenseView, first_position};
use crate::aligned::AlignedBuf;
use crate::error::KernelError;

/// A 16-bit floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HalfKind {
    /// IEEE 754 binary16: 11 significant bits, magnitudes from 2⁻²⁴ to 65,504.
    F16,
    /// bfloat16, the upper half of an f32: 8 significant bits, the range of f32.
    Bf16,
}

impl HalfKind {
    /// Both formats.
    pub const ALL: [Self; 2] = [Self::F16, Self::Bf16];

    /// The greatest finite value.
    #[must_use]
    pub fn greatest(self) -> f32 {
        match self {
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
        }
    }

    /// Whether no value is infinite or NaN.
    pub(crate) fn is_finite(self, bits: &[u16]) -> bool {
        first_non_finite(self, bits).is_none()
    }

    /// The bits of the exponent: all of them set means infinite or NaN.
    pub(crate) const fn exponent_mask(self) -> u16 {
        match self {
            Self::F16 => 0x7c00,
            Self::Bf16 => 0x7f80,
        }
    }
}

impl fmt::Display for HalfKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

/// A borrowed `rows × dim` matrix of finite f16 or bf16, row-major: the sibling of
/// [`DenseView`](crate::DenseView).
///
/// ```
/// use tensor_kernels::{HalfView, Kernels, f16};
/// let stored = [1.0, 0.5, -2.0, 65_504.0].map(f16::from_f32);
/// let rows = HalfView::f16(&stored, 2, 2)?;
/// let values = Kernels::detect()?.half_widen(rows).value;
/// assert_eq!(values[..], [1.0, 0.5, -2.0, 65_504.0]);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct HalfView<'a> {
    kind: HalfKind,
    bits: &'a [u16],
    rows: usize,
    dim: usize,
}

impl<'a> HalfView<'a> {
    /// A view of `rows × dim` contiguous f16.
    ///
    /// # Errors
    /// As [`DenseView::new`](crate::DenseView::new).
    pub fn f16(data: &'a [f16], rows: usize, dim: usize) -> Result<Self, KernelError> {
        Self::from_bits(HalfKind::F16, data.reinterpret_cast(), rows, dim)
    }

    /// A view of `rows × dim` contiguous bf16.
    ///
    /// # Errors
    /// As [`DenseView::new`](crate::DenseView::new).
    pub fn bf16(data: &'a [bf16], rows: usize, dim: usize) -> Result<Self, KernelError> {
        Self::from_bits(HalfKind::Bf16, data.reinterpret_cast(), rows, dim)
    }

    /// A view of `rows × dim` contiguous values given by their bits, as a mapped file holds them.
    ///
    /// # Errors
    /// As [`DenseView::new`](crate::DenseView::new).
    pub fn from_bits(kind: HalfKind, bits: &'a [u16], rows: usize, dim: usize) -> Result<Self, KernelError> {
        let expected = checked_len(rows, dim, dim)?;
        if bits.len() != expected {
            return Err(KernelError::LengthMismatch { what: "data", got: bits.len(), expected });
        }
        match first_non_finite(kind, bits) {
            Some(position) => Err(KernelError::NonFinite { position }),
            None => Ok(Self { kind, bits, rows, dim }),
        }
    }

    /// The format.
    #[must_use]
    pub const fn kind(&self) -> HalfKind {
        self.kind
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

    /// The bits of all components, row-major.
    #[must_use]
    pub const fn bits(&self) -> &'a [u16] {
        self.bits
    }
}

/// `rows × dim` values in 16-bit floating point, as [`Kernels::half_narrow`](crate::Kernels::half_narrow)
/// rounds them.
#[derive(Debug, Clone, PartialEq)]
pub struct HalfRows {
    kind: HalfKind,
    rows: usize,
    dim: usize,
    bits: AlignedBuf<u16>,
}

impl HalfRows {
    /// What the components of `rows` were rounded to, in their order, and whether all stayed finite.
    ///
    /// # Errors
    /// [`KernelError::MagnitudeOutOfRange`] for the first component that became infinite.
    pub(crate) fn from_rounded(
        kind: HalfKind,
        rows: DenseView<'_>,
        bits: AlignedBuf<u16>,
        all_finite: bool,
    ) -> Result<Self, KernelError> {
        let dim = rows.dim();
        if !all_finite && let Some(at) = first_non_finite(kind, &bits) {
            let (row, column) = (at / dim, at % dim);
            let (position, got) = (rows.start(row) + column, rows.row(row)[column].abs());
            return Err(KernelError::MagnitudeOutOfRange { position, got, limit: kind.greatest() });
        }
        Ok(Self { kind, rows: rows.rows(), dim, bits })
    }

    /// The rows as an input of kernels.
    #[must_use]
    pub fn view(&self) -> HalfView<'_> {
        HalfView { kind: self.kind, bits: &self.bits, rows: self.rows, dim: self.dim }
    }
}

/// The position of the first infinite or NaN value.
fn first_non_finite(kind: HalfKind, bits: &[u16]) -> Option<usize> {
    let mask = kind.exponent_mask();
    first_position(bits, |bits| bits & mask == mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_wrong_shapes_and_what_is_not_finite() {
        assert!(matches!(
            HalfView::f16(&[f16::ONE; 5], 2, 3),
            Err(KernelError::LengthMismatch { got: 5, expected: 6, .. })
        ));
        assert!(matches!(HalfView::bf16(&[], 1, 0), Err(KernelError::ZeroDimension)));
        assert!(matches!(HalfView::bf16(&[], usize::MAX, 1), Err(KernelError::TooLarge { .. })));
        for bad in [f16::NAN, f16::INFINITY, f16::NEG_INFINITY] {
            let mut data = vec![f16::MAX; 3_000];
            data[2_999] = bad;
            data[2_100] = bad;
            let got = HalfView::f16(&data, 3, 1_000).unwrap_err();
            assert_eq!(got, KernelError::NonFinite { position: 2_100 });
        }
        let infinite = [bf16::MAX, bf16::MIN, bf16::NEG_INFINITY];
        assert!(matches!(HalfView::bf16(&infinite, 3, 1), Err(KernelError::NonFinite { position: 2 })));
        assert_eq!(HalfView::bf16(&infinite[..2], 2, 1).unwrap().rows(), 2);
    }

    #[test]
    fn the_greatest_values_are_those_of_the_formats() {
        assert_eq!(HalfKind::F16.greatest().to_bits(), 65_504f32.to_bits());
        assert_eq!(HalfKind::Bf16.greatest().to_bits(), 0x7f7f_0000);
    }
}
