//! The exact sum of many deltas.

use std::collections::BTreeMap;

use super::{DeltaVector, MIN_EXPONENT, SparseVec, check_indices};
use crate::error::KernelError;

/// Dimensions up to which every component has an accumulator of its own; more would not stay in the fastest caches.
const MOST_ACCUMULATORS: u32 = 4_096;

/// The exact sum of deltas of one dimension: component `i` is `components[i] · 2^exponent`.
///
/// Every delta value is an integer multiple of 2^-64 below 2^31, so i128 holds the sum of 2^31 deltas.
/// There is one encoding per value: no component is zero and at least one is odd (the zero sum has
/// exponent [`MIN_EXPONENT`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeltaSum {
    dim: u32,
    exponent: i8,
    indices: Vec<u32>,
    components: Vec<i128>,
}

impl DeltaSum {
    /// The sum of no deltas.
    #[must_use]
    pub const fn zero(dim: u32) -> Self {
        Self { dim, exponent: MIN_EXPONENT, indices: Vec::new(), components: Vec::new() }
    }

    /// The exact sum; the order of the deltas does not matter.
    ///
    /// # Errors
    /// A delta of another dimension, or more than 2^31 deltas.
    pub fn of<'v>(dim: u32, deltas: impl IntoIterator<Item = &'v DeltaVector>) -> Result<Self, KernelError> {
        let (indices, components) = if dim <= MOST_ACCUMULATORS {
            let mut sum = vec![0_i128; dim as usize];
            // Every index is below the dimension.
            Self::add_up(dim, deltas, |index, part| {
                sum.get_mut(index as usize).into_iter().for_each(|component| *component += part);
            })?;
            (0..).zip(sum).filter(|(_, component)| *component != 0).unzip()
        } else {
            let mut sum = BTreeMap::<u32, i128>::new();
            Self::add_up(dim, deltas, |index, part| *sum.entry(index).or_default() += part)?;
            sum.into_iter().filter(|(_, component)| *component != 0).unzip()
        };
        Ok(Self::reduce(dim, indices, components))
    }

    /// Gives each component of each delta to `add`, in units of 2^-64.
    fn add_up<'v>(
        dim: u32,
        deltas: impl IntoIterator<Item = &'v DeltaVector>,
        mut add: impl FnMut(u32, i128),
    ) -> Result<(), KernelError> {
        const MOST_DELTAS: usize = 1 << 31;
        for (count, delta) in deltas.into_iter().enumerate() {
            if delta.dim() != dim {
                let (got, expected) = (delta.dim() as usize, dim as usize);
                return Err(KernelError::DimensionMismatch { got, expected });
            }
            if count >= MOST_DELTAS {
                return Err(KernelError::TooLarge {
                    what: "deltas in a sum",
                    got: count + 1,
                    limit: MOST_DELTAS,
                });
            }
            let shift = (i32::from(delta.exponent()) - i32::from(MIN_EXPONENT)).unsigned_abs();
            for (&index, &code) in delta.indices().iter().zip(delta.codes()) {
                // |code · 2^shift| < 2^95 and at most 2^31 terms: below 2^126.
                add(index, i128::from(code) << shift);
            }
        }
        Ok(())
    }

    /// Divides non-zero multiples of 2^-64 by their greatest common power of two.
    fn reduce(dim: u32, indices: Vec<u32>, mut components: Vec<i128>) -> Self {
        let Some(shift) = components.iter().map(|component| component.trailing_zeros()).min() else {
            return Self::zero(dim);
        };
        components.iter_mut().for_each(|component| *component >>= shift);
        // A component is below 2^126, so shift ≤ 126 and the exponent stays within i8.
        #[expect(clippy::cast_possible_truncation, reason = "-64 + 126 fits i8")]
        let exponent = (i32::from(MIN_EXPONENT) + shift.cast_signed()) as i8;
        Self { dim, exponent, indices, components }
    }

    /// A sum from parts that are already the one encoding of their value. Decoders use this.
    ///
    /// # Errors
    /// Lengths that differ, bad indices, and [`KernelError::NotCanonical`] for a zero component, no
    /// odd component, or an exponent out of range.
    pub fn from_canonical(
        dim: u32,
        exponent: i8,
        indices: Vec<u32>,
        components: Vec<i128>,
    ) -> Result<Self, KernelError> {
        if components.len() != indices.len() {
            let (got, expected) = (components.len(), indices.len());
            return Err(KernelError::LengthMismatch { what: "components", got, expected });
        }
        check_indices(&indices, dim, 0)?;
        if components.contains(&0) {
            return Err(KernelError::NotCanonical { what: "zero component" });
        }
        let canonical = match components.is_empty() {
            true => exponent == MIN_EXPONENT,
            false => exponent >= MIN_EXPONENT && components.iter().any(|component| component % 2 != 0),
        };
        if !canonical {
            return Err(KernelError::NotCanonical { what: "exponent not the greatest" });
        }
        // Read back on the 2^-64 grid every component must stay below 2^126, as a sum of deltas does.
        let shift = (i32::from(exponent) - i32::from(MIN_EXPONENT)).unsigned_abs();
        let fits = |component: &i128| component.unsigned_abs().leading_zeros() >= shift + 2;
        if !components.iter().all(fits) {
            return Err(KernelError::NotCanonical { what: "component out of range" });
        }
        Ok(Self { dim, exponent, indices, components })
    }

    /// Number of components, stored or not.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// The power of two that every component is multiplied by.
    #[must_use]
    pub const fn exponent(&self) -> i8 {
        self.exponent
    }

    /// Indices of the non-zero components, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The non-zero components, in the order of [`indices`](Self::indices).
    #[must_use]
    pub fn components(&self) -> &[i128] {
        &self.components
    }

    /// Whether every component is zero.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.indices.is_empty()
    }

    /// The sum with each component rounded once to f32; components that round to zero are dropped.
    ///
    /// # Errors
    /// [`KernelError::MagnitudeOutOfRange`] never for sums of fewer than 2^96 deltas: kept for decoded sums.
    pub fn to_sparse(&self) -> Result<SparseVec, KernelError> {
        let scale = libm::ldexp(1.0, i32::from(self.exponent));
        let mut dense = Vec::with_capacity(self.indices.len());
        for (position, (&index, &component)) in self.indices.iter().zip(&self.components).enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "rounding is the point"
            )]
            let value = (component as f64 * scale) as f32;
            if !value.is_finite() {
                return Err(KernelError::MagnitudeOutOfRange { position, got: value, limit: f32::MAX });
            }
            if value != 0.0 {
                dense.push((index, value));
            }
        }
        let (indices, values) = dense.into_iter().unzip();
        Ok(SparseVec::from_checked(self.dim, indices, values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(dense: &[f32]) -> DeltaVector {
        DeltaVector::from_sparse(&SparseVec::from_dense(dense).unwrap()).unwrap()
    }

    #[test]
    fn opposites_cancel_to_the_zero_sum() {
        let sum = DeltaSum::of(2, [&delta(&[1.0, 0.25]), &delta(&[-1.0, -0.25])]).unwrap();
        assert_eq!(sum, DeltaSum::zero(2));
    }

    #[test]
    fn a_tiny_delta_is_not_lost_beside_a_huge_one() {
        let (huge, tiny) = (delta(&[32_639.0 * 65_536.0]), delta(&[f32::from_bits(0x1f80_0000)]));
        let sum = DeltaSum::of(1, [&huge, &tiny, &delta(&[-32_639.0 * 65_536.0])]).unwrap();
        assert_eq!(sum, DeltaSum::of(1, [&tiny]).unwrap());
    }

    #[test]
    fn decoders_refuse_every_other_encoding() {
        assert!(DeltaSum::from_canonical(4, -3, vec![0, 2], vec![2, -3]).is_ok());
        assert!(DeltaSum::from_canonical(4, -3, vec![0, 2], vec![2, -4]).is_err(), "all even");
        assert!(DeltaSum::from_canonical(4, -3, vec![0], vec![0]).is_err(), "zero component");
        assert!(DeltaSum::from_canonical(4, -3, vec![], vec![]).is_err(), "zero sum with another exponent");
        assert!(DeltaSum::from_canonical(4, -65, vec![0], vec![1]).is_err(), "below the grid");
        assert!(DeltaSum::from_canonical(4, 62, vec![0], vec![3]).is_err(), "above 2^126 on the grid");
        assert!(DeltaSum::from_canonical(4, 0, vec![0], vec![i128::MIN + 1]).is_err());
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_the_encoding_is_canonical(
            rows in proptest::collection::vec(proptest::collection::vec(-9f32..9.0, 5), 0..12),
        ) {
            let deltas: Vec<_> = rows.iter().map(|row| delta(row)).collect();
            let forward = DeltaSum::of(5, &deltas).unwrap();
            prop_assert_eq!(&forward, &DeltaSum::of(5, deltas.iter().rev()).unwrap());
            // The same where not every component has an accumulator.
            let dim = MOST_ACCUMULATORS + 5;
            let wide = |narrow: &DeltaVector| {
                let indices = narrow.indices().iter().map(|index| index + MOST_ACCUMULATORS).collect();
                DeltaVector::from_canonical(dim, indices, narrow.codes().to_vec(), narrow.exponent()).unwrap()
            };
            let wide: Vec<_> = deltas.iter().map(wide).collect();
            let sum = DeltaSum::of(dim, &wide).unwrap();
            prop_assert_eq!(sum.components(), forward.components());
            prop_assert_eq!(sum.exponent(), forward.exponent());
            let indices: Vec<_> = forward.indices().iter().map(|index| index + MOST_ACCUMULATORS).collect();
            prop_assert_eq!(sum.indices(), indices);
            let again = DeltaSum::from_canonical(
                5, forward.exponent(), forward.indices().to_vec(), forward.components().to_vec());
            prop_assert_eq!(again.as_ref(), Ok(&forward));
            for (index, value) in forward.to_sparse().unwrap().iter() {
                let expected: f64 = deltas.iter().map(|d| f64::from(d.to_sparse().to_dense()[index as usize])).sum();
                prop_assert!((f64::from(value) - expected).abs() <= 1e-5 * expected.abs().max(1e-3));
            }
        }
    }
}
