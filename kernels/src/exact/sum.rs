//! f64 sums that know how far off they can be.
//!
//! The bound is measured, not assumed: where nothing was rounded (integers, one-hot rows, zeros) it is
//! zero and the sum is exact, so data full of ties still need no big integers.

use super::Dyadic;

/// A sum in f64, and the total magnitude of what its roundings lost.
///
/// TwoSum (Knuth) yields the rounding error eᵢ of every addition exactly, so |exact − value| ≤ Σ|eᵢ|
/// plus the errors of the terms themselves. Terms here are products of two f32 or squares of their
/// differences: zero or of magnitude 2^-298 to 2^258, so fewer than 2^32 of them neither overflow nor
/// underflow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    value: f64,
    lost: f64,
}

impl Sum {
    /// Σ aᵢbᵢ in ascending order. Products of two f32 are exact in f64.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> Self {
        let mut sum = Self::default();
        for (&a, &b) in a.iter().zip(b) {
            sum.add(f64::from(a) * f64::from(b));
        }
        sum
    }

    /// Σ (aᵢ − bᵢ)² in ascending order.
    ///
    /// A difference that was not rounded and still fits an f32 has an exact square. Any other term has
    /// three roundings, (1 + δ)² of the difference and 1 + δ of the square, so it is off by less than
    /// 4u of itself.
    pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> Self {
        let mut sum = Self::default();
        for (&a, &b) in a.iter().zip(b) {
            let (difference, error) = two_sum(f64::from(a), -f64::from(b));
            let square = difference * difference;
            #[expect(clippy::cast_possible_truncation, reason = "asks whether anything would be lost")]
            let fits_f32 = f64::from(difference as f32) == difference;
            sum.lost += if error == 0.0 && fits_f32 { 0.0 } else { 2.0 * f64::EPSILON * square };
            sum.add(square);
        }
        sum
    }

    fn add(&mut self, term: f64) {
        let (value, error) = two_sum(self.value, term);
        self.value = value;
        self.lost += error.abs();
    }

    /// The sum as f64 holds it.
    pub(crate) const fn value(self) -> f64 {
        self.value
    }

    /// No less than |exact − value|: `lost` is itself a sum of fewer than 2^33 rounded non-negative
    /// terms, low by a relative 2^-19 at most.
    pub(crate) fn bound(self) -> f64 {
        self.lost * 2.0
    }

    /// The exact sum, if nothing was rounded.
    pub(crate) fn exact(self) -> Option<Dyadic> {
        (self.lost == 0.0).then(|| Dyadic::from_f64(self.value))
    }
}

/// a + b rounded, and the rounding error, exactly.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dyadic_distance(a: &[f32], b: &[f32]) -> Dyadic {
        a.iter().zip(b).map(|(&a, &b)| (Dyadic::from_f32(a) - Dyadic::from_f32(b)).squared()).sum()
    }

    fn assert_bounded(sum: Sum, exact: Dyadic) {
        let off = exact - Dyadic::from_f64(sum.value());
        let off = if off.signum() < 0 { -off } else { off };
        assert!(off <= Dyadic::from_f64(sum.bound()), "{sum:?}");
    }

    #[test]
    fn integers_and_equal_rows_are_exact() {
        let (a, b) = ([3.0, -255.0, 1e6], [127.0, 2.0, -4e6]);
        assert_eq!(Sum::dot(&a, &b).exact(), Some(Dyadic::integer(-4_000_000_000_129i64)));
        assert_eq!(Sum::squared_distance(&a, &b).exact(), Some(Dyadic::integer(25_000_000_081_425i64)));
        assert_eq!(Sum::squared_distance(&[0.1; 9], &[0.1; 9]).exact(), Some(Dyadic::integer(0)));
    }

    #[test]
    fn a_difference_rounded_to_a_short_number_is_not_called_exact() {
        // 2^60 − 2^-60 rounds to 2^60, which would fit an f32.
        let (a, b) = ([2f32.powi(60)], [2f32.powi(-60)]);
        let sum = Sum::squared_distance(&a, &b);
        assert_eq!(sum.exact(), None);
        assert_bounded(sum, dyadic_distance(&a, &b));
    }

    proptest! {
        #[test]
        fn the_exact_sum_lies_within_the_bound(
            rows in proptest::collection::vec((any::<i32>(), -149i32..100, any::<i32>(), -149i32..100), 1..20),
        ) {
            #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what makes the value")]
            let value = |m: i32, e: i32| libm::ldexp(f64::from(m), e - 4) as f32;
            let a: Vec<f32> = rows.iter().map(|r| value(r.0, r.1)).collect();
            let b: Vec<f32> = rows.iter().map(|r| value(r.2, r.3)).collect();
            assert_bounded(Sum::dot(&a, &b), Dyadic::dot(a.iter().copied().zip(b.iter().copied())));
            assert_bounded(Sum::squared_distance(&a, &b), dyadic_distance(&a, &b));
        }
    }
}
