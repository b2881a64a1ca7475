//! The delta of a transaction: a sparse vector of small integers times one power of two.
//!
//! Because every value is `code · 2^exponent` with an integer code, dot products and norms of deltas
//! are integers, and a verdict about two deltas is the same on every machine.

use super::{SparseVec, check_indices};
use crate::error::KernelError;

/// Least exponent.
pub const MIN_EXPONENT: i8 = -64;
/// Greatest exponent.
pub const MAX_EXPONENT: i8 = 16;
/// Most non-zero components; with [`DeltaVector::MAX_CODE`] it keeps every dot product below 2^50.
pub const MAX_NNZ: usize = 1 << 20;

/// A sparse vector `x[indices[i]] = codes[i] · 2^exponent`, held exactly.
///
/// There is one encoding per value: codes are never zero, and the exponent is the smallest in
/// `MIN_EXPONENT..=MAX_EXPONENT` for which all codes fit ±[`MAX_CODE`](Self::MAX_CODE) (the zero vector has
/// [`MIN_EXPONENT`]). Every value is exactly an f32.
///
/// ```
/// use tensor_kernels::{DeltaVector, SparseVec};
/// let x = SparseVec::from_dense(&[0.0, 0.1, -0.5])?;
/// let delta = DeltaVector::from_sparse(&x)?; // lossy: |error| ≤ ‖x‖∞ / 32,638 per component
/// let back = delta.to_sparse();              // exact
/// assert!((back.values()[0] - 0.1).abs() <= 0.5 / 32_638.0);
/// assert_eq!(DeltaVector::from_sparse(&back)?, delta);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeltaVector {
    dim: u32,
    indices: Vec<u32>,
    codes: Vec<i16>,
    exponent: i8,
}

impl DeltaVector {
    /// Greatest magnitude of a code; 32,639 = 256 · 127 + 127, so a code splits into two signed bytes.
    pub const MAX_CODE: i16 = 32_639;

    /// The zero delta of `dim` components.
    #[must_use]
    pub const fn zero(dim: u32) -> Self {
        Self { dim, indices: Vec::new(), codes: Vec::new(), exponent: MIN_EXPONENT }
    }

    /// A delta from codes and exponent that are already the one encoding of their value. Decoders use this.
    ///
    /// # Errors
    /// Indices as in [`SparseVec::new`]; more than [`MAX_NNZ`] codes; [`KernelError::NotCanonical`]
    /// for a zero or too large code, an exponent out of range, or one that could be smaller.
    pub fn from_canonical(
        dim: u32,
        indices: Vec<u32>,
        codes: Vec<i16>,
        exponent: i8,
    ) -> Result<Self, KernelError> {
        if codes.len() != indices.len() {
            let (got, expected) = (codes.len(), indices.len());
            return Err(KernelError::LengthMismatch { what: "codes", got, expected });
        }
        if codes.len() > MAX_NNZ {
            return Err(KernelError::TooLarge { what: "delta components", got: codes.len(), limit: MAX_NNZ });
        }
        check_indices(&indices, dim, 0)?;
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
            return Err(KernelError::NotCanonical { what: "exponent out of range" });
        }
        if codes.contains(&0) {
            return Err(KernelError::NotCanonical { what: "zero code" });
        }
        let greatest = codes.iter().map(|code| code.unsigned_abs()).max().unwrap_or(0);
        if greatest > Self::MAX_CODE.unsigned_abs() {
            return Err(KernelError::NotCanonical { what: "code out of range" });
        }
        if exponent > MIN_EXPONENT && u32::from(greatest) * 2 <= u32::from(Self::MAX_CODE.unsigned_abs()) {
            return Err(KernelError::NotCanonical { what: "exponent not the smallest" });
        }
        Ok(Self { dim, indices, codes, exponent })
    }

    /// The nearest delta to an f32 vector: every component is rounded to the nearest multiple of
    /// `2^exponent`, half to even, and a component that would vanish becomes one code of its sign.
    ///
    /// So the support, and with it the Jaccard index, is that of `x`. Where the exponent is above
    /// [`MIN_EXPONENT`], `‖x − x̂‖ ≤ √nnz · ‖x‖∞ / 16,319`.
    ///
    /// # Errors
    /// More than [`MAX_NNZ`] components, or a magnitude above `MAX_CODE · 2^MAX_EXPONENT`.
    pub fn from_sparse(x: &SparseVec) -> Result<Self, KernelError> {
        if x.nnz() > MAX_NNZ {
            return Err(KernelError::TooLarge { what: "delta components", got: x.nnz(), limit: MAX_NNZ });
        }
        let exponent = smallest_exponent(x.values(), 0)?;
        let codes = x.values().iter().map(|&value| round_code(value, exponent)).collect();
        Ok(Self { dim: x.dim(), indices: x.indices().to_vec(), codes, exponent })
    }

    /// The same values as f32, exactly.
    #[must_use]
    pub fn to_sparse(&self) -> SparseVec {
        SparseVec::from_checked(self.dim, self.indices.clone(), self.values().collect())
    }

    /// Number of components, stored or not.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Number of non-zero components.
    #[must_use]
    pub const fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Whether every component is zero.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.indices.is_empty()
    }

    /// Indices of the non-zero components, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Integer codes of the non-zero components, in the order of [`indices`](Self::indices).
    #[must_use]
    pub fn codes(&self) -> &[i16] {
        &self.codes
    }

    /// The power of two that every code is multiplied by.
    #[must_use]
    pub const fn exponent(&self) -> i8 {
        self.exponent
    }

    /// Values of the non-zero components, exactly.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        let scale = exact_power_of_two(self.exponent);
        self.codes.iter().map(move |&code| f32::from(code) * scale)
    }
}

/// The smallest exponent for which every value, rounded, fits a code; `start` counts the values of the rows before.
#[inline(always)]
pub(crate) fn smallest_exponent(values: &[f32], start: usize) -> Result<i8, KernelError> {
    let greatest = values.iter().fold(0.0f32, |greatest, value| greatest.max(value.abs()));
    exponent_of(greatest).ok_or_else(|| {
        let magnitudes = (start..).zip(values.iter().map(|value| value.abs()));
        let (position, got) = magnitudes.fold((start, 0.0), |most, at| if at.1 > most.1 { at } else { most });
        let limit = f32::from(DeltaVector::MAX_CODE) * exact_power_of_two(MAX_EXPONENT);
        KernelError::MagnitudeOutOfRange { position, got, limit }
    })
}

/// The smallest exponent for which `greatest`, rounded, fits a code, if there is one.
fn exponent_of(greatest: f32) -> Option<i8> {
    let fits = |exponent: i32| {
        let scaled = libm::ldexp(f64::from(greatest), -exponent);
        round_half_even(scaled) <= f64::from(DeltaVector::MAX_CODE)
    };
    if greatest == 0.0 {
        return Some(MIN_EXPONENT);
    }
    // greatest < 2^k, so it fits 2^15 · 2^(k − 15), short of rounding past the greatest code; half that scale is
    // too small.
    let (_, k) = libm::frexp(f64::from(greatest));
    let exponent = (k - 15 + i32::from(!fits(k - 15))).max(i32::from(MIN_EXPONENT));
    i8::try_from(exponent).ok().filter(|&exponent| exponent <= MAX_EXPONENT)
}

/// One code: nearest multiple, half to even, never zero. The caller chose an exponent for which it fits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the exponent was chosen so that the rounded code fits i16"
)]
fn round_code(value: f32, exponent: i8) -> i16 {
    let code = round_half_even(libm::ldexp(f64::from(value), -i32::from(exponent))) as i16;
    match code {
        0 if value < 0.0 => -1,
        0 => 1,
        code => code,
    }
}

/// Nearest integer, half to even, from operations that are exact or correctly rounded on every machine.
fn round_half_even(x: f64) -> f64 {
    libm::rint(x)
}

/// `2^exponent` as f32; exact for every delta exponent.
pub(crate) fn exact_power_of_two(exponent: i8) -> f32 {
    // |exponent| ≤ 64, so the biased exponent lies in 63..=191: always a normal f32.
    f32::from_bits(((127 + i32::from(exponent)).unsigned_abs()) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(dense: &[f32]) -> DeltaVector {
        DeltaVector::from_sparse(&SparseVec::from_dense(dense).unwrap()).unwrap()
    }

    #[test]
    fn small_integers_scale_up_to_the_smallest_exponent() {
        let d = delta(&[1.0, -2.0]);
        // 2 · 2^13 = 16,384 fits, 2 · 2^14 = 32,768 does not.
        assert_eq!((d.codes(), d.exponent()), (&[8_192, -16_384][..], -13));
    }

    #[test]
    fn rounding_is_half_to_even_and_support_is_kept() {
        // The greatest value fixes the exponent at 0; the others are halves and far below half a code.
        let d = delta(&[32_639.0, 0.5, 1.5, 2.5, -0.5, 1e-6, -1e-6]);
        assert_eq!(d.codes(), [32_639, 1, 2, 2, -1, 1, -1]);
        assert_eq!(d.exponent(), 0);
    }

    #[test]
    fn the_exponent_grows_exactly_when_the_rounded_code_no_longer_fits() {
        assert_eq!(delta(&[32_639.5]).exponent(), 1); // rounds half to even to 32,640
        assert_eq!(delta(&[32_639.49]).exponent(), 0);
    }

    #[test]
    fn range_ends() {
        let top = f32::from(DeltaVector::MAX_CODE) * 65_536.0;
        assert_eq!(delta(&[top]).codes(), [DeltaVector::MAX_CODE]);
        let x = SparseVec::from_dense(&[1.0, -f32::MAX, f32::MAX]).unwrap();
        let out_of_range = KernelError::MagnitudeOutOfRange { position: 1, got: f32::MAX, limit: top };
        assert_eq!(DeltaVector::from_sparse(&x), Err(out_of_range));
        let tiny = delta(&[f32::from_bits(1)]);
        assert_eq!((tiny.codes(), tiny.exponent()), (&[1][..], MIN_EXPONENT));
        assert_eq!(delta(&[0.0]).exponent(), MIN_EXPONENT);
    }

    #[test]
    fn decoders_refuse_every_other_encoding() {
        let make = |codes: &[i16], exponent| {
            DeltaVector::from_canonical(8, (0..8).take(codes.len()).collect(), codes.to_vec(), exponent)
        };
        assert!(make(&[16_320, -5], 3).is_ok());
        assert!(make(&[5], MIN_EXPONENT).is_ok());
        let what = |result: Result<DeltaVector, KernelError>| match result {
            Err(KernelError::NotCanonical { what }) => what,
            other => panic!("expected NotCanonical, got {other:?}"),
        };
        assert_eq!(what(make(&[16_319], 3)), "exponent not the smallest");
        assert_eq!(what(make(&[], 0)), "exponent not the smallest");
        assert_eq!(what(make(&[0], MIN_EXPONENT)), "zero code");
        assert_eq!(what(make(&[i16::MIN], 0)), "code out of range");
        assert_eq!(what(make(&[32_640], 0)), "code out of range");
        assert_eq!(what(make(&[32_639], 17)), "exponent out of range");
        assert_eq!(what(make(&[32_639], -65)), "exponent out of range");
    }

    proptest! {
        #[test]
        fn encoding_is_canonical_bounded_and_idempotent(
            values in proptest::collection::vec(-1e6f32..1e6, 1..40), shrink in -40i32..1,
        ) {
            let scale = 2f32.powi(shrink);
            let x = SparseVec::from_dense(&values.iter().map(|v| v * scale).collect::<Vec<_>>()).unwrap();
            let d = DeltaVector::from_sparse(&x).unwrap();
            prop_assert!(DeltaVector::from_canonical(d.dim(), d.indices().to_vec(), d.codes().to_vec(), d.exponent()).is_ok());
            prop_assert_eq!(d.indices(), x.indices());
            let back = d.to_sparse();
            prop_assert_eq!(&DeltaVector::from_sparse(&back).unwrap(), &d);
            let greatest = x.values().iter().fold(0.0f64, |m, &v| m.max(f64::from(v.abs())));
            let error = x.values().iter().zip(back.values()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt();
            prop_assert!(error <= (x.nnz() as f64).sqrt() * greatest / 16_319.0, "error {} of {}", error, greatest);
        }
    }
}
