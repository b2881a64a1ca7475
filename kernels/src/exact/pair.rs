//! One pair of vectors, ready to be compared with thresholds: f64 first, exactly where f64 cannot tell.

use std::cell::OnceCell;

use super::Dyadic;
use super::classify::PairView;
use super::predicates::{cosine_at_least, cosine_magnitude_below, norm_ratio_at_least};
use crate::Decimal;

/// Unit roundoff of f64.
const U: f64 = 1.0 / (1u64 << 53) as f64;

/// A value known to lie within `error` of `approx`.
#[derive(Debug, Clone, Copy)]
struct Interval {
    approx: f64,
    error: f64,
}

impl Interval {
    /// Whether the value is above (`Some(true)`) or below (`Some(false)`) a threshold, if f64 can tell.
    fn above(self, t: f64) -> Option<bool> {
        let distance = self.approx - t;
        (distance.abs() > self.error).then_some(distance > 0.0)
    }
}

/// A pair of deltas: everything is an integer.
#[derive(Debug)]
pub(crate) struct CodePair {
    pub(crate) dot: i64,
    pub(crate) left: SquaredNorm<u64>,
    pub(crate) right: SquaredNorm<u64>,
    pub(crate) exponents: (i8, i8),
}

/// The squared norm of a row and its root, computed once per row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SquaredNorm<T> {
    pub(crate) squared: T,
    pub(crate) root: f64,
}

impl SquaredNorm<u64> {
    /// Of integer codes. Below 2^50, so exact; the root is correctly rounded.
    pub(crate) fn of_codes(codes: &[i16]) -> Self {
        let squared = codes.iter().map(|&code| u64::from(code.unsigned_abs()).pow(2)).sum();
        #[expect(clippy::cast_precision_loss, reason = "below 2^50")]
        let root = (squared as f64).sqrt();
        Self { squared, root }
    }

    /// Of signed bytes, fewer than 2³² of them: below 2^46.
    pub(crate) fn of_bytes(codes: &[i8]) -> Self {
        let squared = codes.iter().map(|&code| u64::from(code.unsigned_abs()).pow(2)).sum();
        #[expect(clippy::cast_precision_loss, reason = "below 2^46")]
        let root = (squared as f64).sqrt();
        Self { squared, root }
    }
}

impl SquaredNorm<f64> {
    /// Of f32 values, summed in ascending order in f64. Every square is exact in f64, so the relative
    /// error of the sum is at most γ₍ₙ₋₁₎ = (n−1)u / (1 − (n−1)u).
    pub(crate) fn of_values(values: &[f32]) -> Self {
        let squared: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        Self { squared, root: squared.sqrt() }
    }
}

impl CodePair {
    /// The cosine, within 4u: dot is exact, each root has relative error ≤ u/2 + O(u²) in the root of
    /// an exact integer (correctly rounded: u), the product of roots adds u and the division u.
    fn cosine(&self) -> Interval {
        #[expect(clippy::cast_precision_loss, reason = "|dot| < 2^50")]
        let approx = self.dot as f64 / (self.left.root * self.right.root);
        Interval { approx, error: 8.0 * U }
    }
}

impl PairView for CodePair {
    fn cosine_at_least(&self, t: Decimal) -> bool {
        self.cosine()
            .above(t.to_f64())
            .unwrap_or_else(|| cosine_at_least(self.dot, self.left.squared, self.right.squared, t))
    }

    fn cosine_magnitude_below(&self, t: Decimal) -> bool {
        let Interval { approx, error } = self.cosine();
        match (Interval { approx: approx.abs(), error }).above(t.to_f64()) {
            Some(above) => !above,
            None => cosine_magnitude_below(self.dot, self.left.squared, self.right.squared, t),
        }
    }

    fn norm_ratio_at_least(&self, t: Decimal) -> bool {
        norm_ratio_at_least((self.left.squared, self.exponents.0), (self.right.squared, self.exponents.1), t)
    }
}

/// A pair of sparse f32 rows with the f64 sum of the products of their shared positions.
///
/// Products of two f32 are exact in f64 (48 bits; exponents within −298..=256), so with m shared
/// positions |dot − exact| ≤ γ₍ₘ₋₁₎ Σ|aᵢbᵢ| ≤ γ₍ₘ₋₁₎ ‖a‖‖b‖ by Cauchy–Schwarz, in any order of summation
/// (Higham, Accuracy and Stability of Numerical Algorithms, §3.1).
#[derive(Debug)]
pub(crate) struct FloatPair<'a> {
    dot: f64,
    left: SquaredNorm<f64>,
    right: SquaredNorm<f64>,
    left_row: (&'a [u32], &'a [f32]),
    right_row: (&'a [u32], &'a [f32]),
    exact: OnceCell<ExactPair>,
}

/// The same pair without rounding.
#[derive(Debug)]
struct ExactPair {
    dot: Dyadic,
    left: Dyadic,
    right: Dyadic,
}

impl<'a> FloatPair<'a> {
    pub(crate) fn new(
        dot: f64,
        (left, right): (SquaredNorm<f64>, SquaredNorm<f64>),
        left_row: (&'a [u32], &'a [f32]),
        right_row: (&'a [u32], &'a [f32]),
    ) -> Self {
        Self { dot, left, right, left_row, right_row, exact: OnceCell::new() }
    }

    /// The cosine. With n the longer row, the dot is off by at most γₙ‖a‖‖b‖, each norm by a relative
    /// γₙ/2 + u, and product and division add 2u: in all below (2n + 8)u for n < 2^32, since |cos| ≤ 1.
    fn cosine(&self) -> Interval {
        let longest = self.left_row.0.len().max(self.right_row.0.len());
        #[expect(clippy::cast_precision_loss, reason = "an upper bound; lengths are below 2^32")]
        let error = (2 * longest + 16) as f64 * U;
        Interval { approx: self.dot / (self.left.root * self.right.root), error }
    }

    /// The ratio of the norms, within a relative γₙ + 3u; at most 1.
    fn norm_ratio(&self) -> Interval {
        let (a, b) = (self.left.root, self.right.root);
        Interval { approx: a.min(b) / a.max(b), error: self.cosine().error }
    }

    fn exact(&self) -> &ExactPair {
        self.exact.get_or_init(|| {
            let square = |(_, values): (&[u32], &[f32])| Dyadic::dot(values.iter().map(|&v| (v, v)));
            ExactPair {
                dot: Dyadic::dot(shared_values(self.left_row, self.right_row)),
                left: square(self.left_row),
                right: square(self.right_row),
            }
        })
    }
}

/// Values of both rows at the positions they share, ascending.
pub(crate) fn shared_values<'a, V: Copy>(
    (a_indices, a_values): (&'a [u32], &'a [V]),
    (b_indices, b_values): (&'a [u32], &'a [V]),
) -> impl Iterator<Item = (V, V)> + 'a {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        while i < a_indices.len() && j < b_indices.len() {
            match a_indices[i].cmp(&b_indices[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    (i, j) = (i + 1, j + 1);
                    return Some((a_values[i - 1], b_values[j - 1]));
                }
            }
        }
        None
    })
}

impl ExactPair {
    /// dot²·10⁸ against t²·|a|²·|b|².
    fn compare_squares(&self, t: Decimal) -> std::cmp::Ordering {
        let t = i64::from(t.ten_thousandths());
        let left = self.dot.squared() * Dyadic::integer(100_000_000);
        left.cmp(&(Dyadic::integer(t * t) * self.left.clone() * self.right.clone()))
    }
}

impl PairView for FloatPair<'_> {
    fn cosine_at_least(&self, t: Decimal) -> bool {
        self.cosine().above(t.to_f64()).unwrap_or_else(|| {
            let exact = self.exact();
            match t.ten_thousandths() {
                0 => exact.dot.signum() >= 0,
                1.. => exact.dot.signum() > 0 && exact.compare_squares(t).is_ge(),
                _ => exact.dot.signum() >= 0 || exact.compare_squares(t).is_le(),
            }
        })
    }

    fn cosine_magnitude_below(&self, t: Decimal) -> bool {
        let Interval { approx, error } = self.cosine();
        match (Interval { approx: approx.abs(), error }).above(t.to_f64()) {
            Some(above) => !above,
            None => self.exact().compare_squares(t).is_lt(),
        }
    }

    fn norm_ratio_at_least(&self, t: Decimal) -> bool {
        self.norm_ratio().above(t.to_f64()).unwrap_or_else(|| {
            let ExactPair { left, right, .. } = self.exact();
            let t = i64::from(t.ten_thousandths());
            left.min(right).clone() * Dyadic::integer(100_000_000)
                >= Dyadic::integer(t * t) * left.max(right).clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every predicate of an f32 pair with f64 never consulted.
    struct AlwaysExact<'a>(FloatPair<'a>);

    impl AlwaysExact<'_> {
        fn cosine_at_least(&self, t: Decimal) -> bool {
            let exact = self.0.exact();
            let squares = exact.compare_squares(t);
            match t.ten_thousandths() {
                0.. => exact.dot.signum() >= 0 && squares.is_ge(),
                _ => exact.dot.signum() >= 0 || squares.is_le(),
            }
        }
    }

    fn pair<'a>(indices: &'a [u32], a: &'a [f32], b: &'a [f32]) -> FloatPair<'a> {
        let dot = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        let norms = (SquaredNorm::of_values(a), SquaredNorm::of_values(b));
        FloatPair::new(dot, norms, (indices, a), (indices, b))
    }

    #[test]
    fn three_four_five_lies_exactly_on_its_threshold_at_every_scale() {
        let t = |n| Decimal::from_ten_thousandths(n);
        for scale in [1.0f32, 1e-38, 3e-39, 1e37, f32::from_bits(1)] {
            let (a, b) = ([3.0 * scale, 4.0 * scale], [scale, scale * 0.0 + scale]);
            // cos = 7 / (5 √2) ≈ 0.98995: between the ten-thousandths.
            let p = pair(&[0, 1], &a, &b);
            assert!(p.cosine_at_least(t(9_899)) && !p.cosine_at_least(t(9_900)), "scale {scale:e}");
        }
        // [3,4]·[1,0] / 5 = 0.6 exactly; one position is not shared.
        let p = FloatPair::new(
            3.0,
            (SquaredNorm::of_values(&[3.0, 4.0]), SquaredNorm::of_values(&[1.0])),
            (&[0, 1], &[3.0, 4.0]),
            (&[0], &[1.0]),
        );
        assert!(p.cosine_at_least(t(6_000)) && !p.cosine_at_least(t(6_001)));
        assert!(!p.cosine_magnitude_below(t(6_000)) && p.cosine_magnitude_below(t(6_001)));
        assert!(p.exact.get().is_some(), "0.6 is inside the guard band, so the exact judge was asked");
        assert!(p.norm_ratio_at_least(t(2_000)) && !p.norm_ratio_at_least(t(2_001)));
    }

    #[test]
    fn one_ulp_beside_the_threshold_is_told_apart() {
        let t = Decimal::from_ten_thousandths(6_000);
        let four = 4.0f32;
        for (y, expected) in [(four, true), (four.next_up(), false), (four.next_down(), true)] {
            let values = [3.0, y];
            let p = FloatPair::new(
                3.0,
                (SquaredNorm::of_values(&values), SquaredNorm::of_values(&[1.0])),
                (&[0, 1], &values),
                (&[0], &[1.0]),
            );
            assert_eq!(p.cosine_at_least(t), expected, "{y}");
        }
    }

    proptest! {
        #[test]
        fn the_filter_never_contradicts_the_exact_judge(
            values in proptest::collection::vec((-9i32..10, -9i32..10), 1..12),
            t in prop_oneof![Just(1_000), Just(7_000), Just(-7_000), Just(9_900), -10_000i32..10_001],
            scale in -120i32..120,
        ) {
            #[expect(clippy::cast_possible_truncation, reason = "small test values")]
            let row = |pick: fn(&(i32, i32)) -> i32| -> Vec<f32> {
                values.iter().map(|pair| libm::ldexp(f64::from(pick(pair)) + 0.5, scale) as f32).collect()
            };
            let (a, b) = (row(|p| p.0), row(|p| p.1));
            let indices: Vec<u32> = (0..).take(a.len()).collect();
            let t = Decimal::from_ten_thousandths(t);
            let expected = AlwaysExact(pair(&indices, &a, &b)).cosine_at_least(t);
            prop_assert_eq!(pair(&indices, &a, &b).cosine_at_least(t), expected);
        }

        #[test]
        fn codes_and_big_integers_agree(
            dot in -(1i64 << 49)..1 << 49, a in 1u64..1 << 50, b in 1u64..1 << 50, t in -10_000i32..=10_000,
        ) {
            prop_assume!(i128::from(dot).pow(2) <= i128::from(a) * i128::from(b));
            let t = Decimal::from_ten_thousandths(t);
            #[expect(clippy::cast_precision_loss, reason = "below 2^50")]
            let norm = |n: u64| SquaredNorm { squared: n, root: (n as f64).sqrt() };
            let p = CodePair { dot, left: norm(a), right: norm(b), exponents: (0, 0) };
            prop_assert_eq!(p.cosine_at_least(t), cosine_at_least(dot, a, b, t));
            let magnitude = Decimal::from_ten_thousandths(t.ten_thousandths().abs());
            prop_assert_eq!(
                p.cosine_magnitude_below(magnitude),
                cosine_magnitude_below(dot, a, b, magnitude)
            );
        }
    }
}
