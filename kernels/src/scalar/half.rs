//! f32 to 16-bit floating point and back, one value at a time.

use half::{bf16, f16};

use crate::aligned::AlignedBuf;
use crate::error::KernelError;
use crate::types::{DenseView, HalfKind, HalfRows, HalfView};

/// The values of all rows, row-major; every one is exact.
pub(crate) fn widen(rows: HalfView<'_>, out: &mut [f32]) {
    for (out, &bits) in out.iter_mut().zip(rows.bits()) {
        *out = match rows.kind() {
            HalfKind::F16 => f16::from_bits(bits).to_f32(),
            HalfKind::Bf16 => bf16::from_bits(bits).to_f32(),
        };
    }
}

/// The nearest value of each component, half to even.
///
/// # Errors
/// [`KernelError::MagnitudeOutOfRange`] for the first component that would become infinite.
pub(crate) fn narrow(rows: DenseView<'_>, kind: HalfKind) -> Result<HalfRows, KernelError> {
    let mut bits = AlignedBuf::zeroed(rows.rows() * rows.dim());
    for (bits, &x) in bits.iter_mut().zip(rows.iter().flatten()) {
        *bits = match kind {
            HalfKind::F16 => f16::from_f32(x).to_bits(),
            HalfKind::Bf16 => bf16::from_f32(x).to_bits(),
        };
    }
    let all_finite = kind.is_finite(&bits);
    HalfRows::from_rounded(kind, rows, bits, all_finite)
}
