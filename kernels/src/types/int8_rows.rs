//! Dense rows as signed bytes under one scale a row.

use crate::aligned::AlignedBuf;
use crate::error::KernelError;

/// How a row is mapped to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Int8Mode {
    /// `x ≈ code · scale`, scale = max|x| / 127, codes in −127..=127.
    Symmetric,
    /// `x ≈ offset + (code + 128) · scale`, offset = min x, scale = (max x − min x) / 255.
    MinMax,
}

/// The scale and offset of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Int8Scale {
    /// What one code step is worth; 0 for a row without extent.
    pub scale: f32,
    /// The value of the least code in [`Int8Mode::MinMax`]; 0 in [`Int8Mode::Symmetric`].
    pub offset: f32,
}

/// `rows × dim` signed bytes and the scale of each row.
///
/// Every component comes back within max|x| / 254 (symmetric) or (max x − min x) / 510 (min–max) of
/// its row, plus one unit in the last place of the row's greatest magnitude: half a step, the rounding
/// of the scale to f32 (at most 2⁻²⁴ of half a step, or 2⁻¹⁵⁰ where the scale is denormal) and the
/// rounding of the value to f32 (half a unit). The relative error of a small component is not bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Rows {
    mode: Int8Mode,
    dim: usize,
    codes: AlignedBuf<i8>,
    scales: Vec<Int8Scale>,
}

impl Int8Rows {
    /// Rows of zeros under scales of 0: memory for
    /// [`Kernels::int8_quantize_into`](crate::Kernels::int8_quantize_into).
    ///
    /// # Errors
    /// More than `u32::MAX` rows or components, or more codes than memory can address.
    pub fn zeroed(mode: Int8Mode, rows: usize, dim: usize) -> Result<Self, KernelError> {
        let limit = u32::MAX as usize;
        for (what, got) in [("rows", rows), ("dimension", dim)] {
            if got > limit {
                return Err(KernelError::TooLarge { what, got, limit });
            }
        }
        let limit = isize::MAX.unsigned_abs();
        match rows.checked_mul(dim) {
            Some(codes) if codes <= limit => Ok(Self::zeroed_like(mode, rows, dim)),
            _ => Err(KernelError::TooLarge { what: "rows × dimension", got: rows, limit: limit / dim }),
        }
    }

    /// The same for the shape of rows that exist.
    pub(crate) fn zeroed_like(mode: Int8Mode, rows: usize, dim: usize) -> Self {
        let codes = AlignedBuf::zeroed(rows * dim);
        Self { mode, dim, codes, scales: vec![Int8Scale { scale: 0.0, offset: 0.0 }; rows] }
    }

    /// Rows from their parts.
    ///
    /// # Errors
    /// Codes that do not fill `scales.len()` rows of `dim`; a scale or offset that is not finite; a negative
    /// scale, and in [`Int8Mode::Symmetric`] an offset that is not 0 or a code −128, as not canonical.
    pub fn new(
        mode: Int8Mode,
        dim: usize,
        codes: &[i8],
        scales: Vec<Int8Scale>,
    ) -> Result<Self, KernelError> {
        if Some(codes.len()) != scales.len().checked_mul(dim) {
            let expected = scales.len().saturating_mul(dim);
            return Err(KernelError::LengthMismatch { what: "codes", got: codes.len(), expected });
        }
        if let Some(position) = scales.iter().position(|s| !s.scale.is_finite() || !s.offset.is_finite()) {
            return Err(KernelError::NonFinite { position });
        }
        if scales.iter().any(|s| s.scale < 0.0) {
            return Err(KernelError::NotCanonical { what: "a scale is negative" });
        }
        if mode == Int8Mode::Symmetric {
            if scales.iter().any(|s| s.offset != 0.0) {
                return Err(KernelError::NotCanonical { what: "a symmetric row has an offset" });
            }
            if codes.contains(&i8::MIN) {
                return Err(KernelError::NotCanonical { what: "a symmetric code is -128" });
            }
        }
        let mut rows = Self { mode, dim, codes: AlignedBuf::zeroed(codes.len()), scales };
        rows.codes.copy_from_slice(codes);
        Ok(rows)
    }

    /// Codes and scales, for a kernel to fill.
    pub(crate) fn parts_mut(&mut self) -> (&mut [i8], &mut [Int8Scale]) {
        (&mut self.codes, &mut self.scales)
    }

    /// How rows are mapped to bytes.
    #[must_use]
    pub const fn mode(&self) -> Int8Mode {
        self.mode
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Components of each row.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// Codes of all rows, row-major.
    #[must_use]
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// Scale and offset of each row.
    #[must_use]
    pub fn scales(&self) -> &[Int8Scale] {
        &self.scales
    }
}

const TWO_TO_20: f64 = 1_048_576.0;
const TWO_TO_MINUS_20: f64 = 1.0 / TWO_TO_20;

/// One row's mapping, in f64, so that products of f32 lose nothing that matters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping {
    scale: f64,
    /// 1 / scale; 0 for a row without extent, so that everything lies at position 0.
    inverse: f64,
    offset: f64,
    /// The code of position 0.
    least: f64,
}

impl Mapping {
    pub(crate) fn new(mode: Int8Mode, scale: Int8Scale) -> Self {
        let (scale, offset) = (f64::from(scale.scale), f64::from(scale.offset));
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let least = match mode {
            Int8Mode::Symmetric => 0.0,
            Int8Mode::MinMax => -128.0,
        };
        Self { scale, inverse, offset, least }
    }

    /// Steps from the least code (min–max) or from code 0 (symmetric), before rounding.
    #[inline(always)]
    pub(crate) fn position(self, x: f32) -> f64 {
        (f64::from(x) - self.offset) * self.inverse
    }

    /// The code of a rounded position.
    #[expect(clippy::cast_possible_truncation, reason = "scales are chosen so that positions fit a byte")]
    pub(crate) fn code(self, rounded: f64) -> i8 {
        (rounded + self.least) as i8
    }

    /// [`code`](Self::code) of a position that is not rounded yet, without a conversion that lanes lack.
    ///
    /// At 1.5 · 2⁵² the unit in the last place of an f64 is 1, so the sum rounds the position to an
    /// integer, half to even, and holds its two's complement in its low bits.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low byte is the code")]
    pub(crate) fn code_by_bits(self, position: f64) -> i8 {
        const LAST_PLACE_IS_1: f64 = 6_755_399_441_055_744.0;
        (position + (LAST_PLACE_IS_1 + self.least)).to_bits() as i8
    }

    /// Scale, offset and least code as f32, where one fused multiply-add of these gives [`value`](Self::value).
    ///
    /// `value` rounds twice: offset + (code − least) · scale to f64, then to f32. The product has at most
    /// 32 significant bits, from the last place of the scale, 2⁻²³ of its leading bit, up to 2⁸ times the leading bit.
    /// With an offset of 0, or between 2⁻²⁰ and 2²⁰ times the scale, no bit of either lies 2⁵² below the
    /// leading bit of the sum, so the sum is exact in f64 and is rounded only once. Where the greatest
    /// magnitude stays below f32::MAX, nothing is clamped; a scale of 0 is left to `value` for its signs of zero.
    pub(crate) fn in_f32(self) -> Option<(f32, f32, f32)> {
        let offset = self.offset.abs();
        let near = offset == 0.0 || (self.scale * TWO_TO_MINUS_20..=self.scale * TWO_TO_20).contains(&offset);
        let fits = self.scale > 0.0 && offset + 256.0 * self.scale < f64::from(f32::MAX);
        (near && fits).then_some((self.scale as f32, self.offset as f32, self.least as f32))
    }

    /// The value of a code.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the point")]
    pub(crate) fn value(self, code: i8) -> f32 {
        let value = self.offset + (f64::from(code) - self.least) * self.scale;
        // A scale rounded up may carry the extreme of a row of f32::MAX one step past it.
        value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }
}

/// The scale of a row whose extremes are `min` and `max`.
pub(crate) fn scale_of(mode: Int8Mode, min: f32, max: f32) -> Int8Scale {
    let (extent, steps, offset) = match mode {
        Int8Mode::Symmetric => (f64::from(min.abs().max(max.abs())), 127.0, 0.0),
        Int8Mode::MinMax => (f64::from(max) - f64::from(min), 255.0, min),
    };
    #[expect(clippy::cast_possible_truncation, reason = "extents are below 2^129, so a step fits f32")]
    let mut scale = (extent / steps) as f32;
    // Rounded down to a coarse denormal, the scale could push the extreme past its last code.
    if f64::from(scale) * (steps + 0.499) < extent {
        scale = scale.next_up();
    }
    Int8Scale { scale, offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_nobody_has_is_an_error() {
        for (rows, dim) in [(usize::MAX, 2), (2, usize::MAX), (u32::MAX as usize, u32::MAX as usize)] {
            assert!(matches!(
                Int8Rows::zeroed(Int8Mode::MinMax, rows, dim),
                Err(KernelError::TooLarge { .. })
            ));
        }
        assert_eq!(Int8Rows::zeroed(Int8Mode::MinMax, 3, 0).unwrap().dim(), 0);
    }
}
