//! Comparisons of cosines and norms of integer codes with decimal thresholds, in integers throughout.
//!
//! With `dot`, `a = |x|²` and `b = |y|²` in code units (exponents cancel in a cosine), cos = dot/√(ab)
//! and a threshold t · 10⁻⁴, squaring away the root gives `dot²·10⁸ ⋛ t²·a·b`. For deltas
//! |dot|, a, b < 2^50 and |t| ≤ 10⁴, so both sides stay below 2^128.
//!
//! Callers handle zero norms first; here a and b are positive.

use crate::Decimal;

/// cos ≥ t.
pub(crate) fn cosine_at_least(dot: i64, a: u64, b: u64, t: Decimal) -> bool {
    match t.ten_thousandths() {
        10_001.. => false,
        ..-10_000 => true,
        0 => dot >= 0,
        t if t > 0 => dot > 0 && scaled_square(dot) >= scaled_product(a, b, t),
        t => dot >= 0 || scaled_square(dot) <= scaled_product(a, b, t),
    }
}

/// |cos| < t, for t ≥ 0.
pub(crate) fn cosine_magnitude_below(dot: i64, a: u64, b: u64, t: Decimal) -> bool {
    t.ten_thousandths() > 10_000 || scaled_square(dot) < scaled_product(a, b, t.ten_thousandths())
}

/// shared / union ≥ t for counts of positions, of which `union` is positive.
pub(crate) fn jaccard_at_least(shared: u64, union: u64, t: Decimal) -> bool {
    i128::from(shared) * 10_000 >= i128::from(t.ten_thousandths()) * i128::from(union)
}

/// min/max of two norms ≥ t, where a norm is √n · 2^e given as (n, e) with n > 0.
pub(crate) fn norm_ratio_at_least((n, e): (u64, i8), (m, f): (u64, i8), t: Decimal) -> bool {
    // Compare squares n·4^e and m·4^f. Dividing both by 4^min(e, f) leaves one shift of at most 160.
    let shift = 2 * (i32::from(e) - i32::from(f));
    let (low, high) = match shift {
        0.. => (u128::from(m), shifted(n, shift)),
        _ => (u128::from(n), shifted(m, -shift)),
    };
    let Some(high) = high else {
        // One square is at least 2^100 and the other below 2^50: the ratio of the norms is below 2^-25,
        // under every threshold but 0.
        return t.ten_thousandths() <= 0;
    };
    let (least, greatest) = (low.min(high), low.max(high));
    let t = u128::from(t.ten_thousandths().max(0).unsigned_abs());
    // least, greatest < 2^100 and both factors are at most 10⁸ < 2^27.
    least * 100_000_000 >= t * t * greatest
}

/// n · 2^shift, or `None` from 2^100 on.
fn shifted(n: u64, shift: i32) -> Option<u128> {
    let shift = shift.unsigned_abs();
    (shift < 100 && u128::from(n).leading_zeros() >= shift + 28).then(|| u128::from(n) << shift)
}

fn scaled_square(dot: i64) -> u128 {
    u128::from(dot.unsigned_abs()).pow(2) * 100_000_000
}

fn scaled_product(a: u64, b: u64, t: i32) -> u128 {
    let t = u128::from(t.unsigned_abs());
    t * t * u128::from(a) * u128::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    fn decimal(n: i32) -> Decimal {
        Decimal::from_ten_thousandths(n)
    }

    #[test]
    fn equality_at_the_threshold_counts_as_at_least_and_not_as_below() {
        // cos = 7/10 exactly: dot 7, norms² 10 and 10.
        assert!(cosine_at_least(7, 10, 10, decimal(7_000)));
        assert!(!cosine_at_least(7, 10, 10, decimal(7_001)));
        assert!(!cosine_magnitude_below(-7, 10, 10, decimal(7_000)));
        assert!(cosine_at_least(-7, 10, 10, decimal(-7_000)));
        assert!(!cosine_at_least(-7, 10, 10, decimal(-6_999)));
        assert!(cosine_at_least(0, 1, 1, decimal(0)) && !cosine_at_least(-1, 1, 1, decimal(0)));
    }

    #[test]
    fn the_greatest_operands_do_not_overflow() {
        let greatest = 32_639i64.pow(2) << 20;
        let norm = greatest.unsigned_abs();
        assert!(cosine_at_least(greatest, norm, norm, decimal(10_000)));
        assert!(!cosine_at_least(greatest - 1, norm, norm, decimal(10_000)));
        assert!(cosine_at_least(-greatest, norm, norm, decimal(-10_000)));
        assert!(norm_ratio_at_least((norm, 16), (norm, 16), decimal(10_000)));
        assert!(!norm_ratio_at_least((norm, 16), (1, -64), decimal(1)));
        assert!(!norm_ratio_at_least((1, -64), (norm, 16), decimal(1)));
        assert!(norm_ratio_at_least((1, -64), (norm, 16), decimal(0)));
    }

    #[test]
    fn jaccard_is_a_ratio_of_integers() {
        assert!(jaccard_at_least(1, 2, decimal(5_000)) && !jaccard_at_least(1, 2, decimal(5_001)));
        assert!(jaccard_at_least(u64::from(u32::MAX), u64::from(u32::MAX), decimal(10_000)));
    }

    proptest! {
        #[test]
        fn norm_ratio_agrees_with_big_integers(
            n in 1u64..1 << 50, m in 1u64..1 << 50, e in -64i8..=16, f in -64i8..=16, t in 0i32..=10_000,
        ) {
            let side = |n: u64, e: i8| BigInt::from(n) << (2 * (i32::from(e) + 64)).unsigned_abs();
            let (x, y) = (side(n, e), side(m, f));
            let expected = x.clone().min(y.clone()) * 100_000_000u64 >= BigInt::from(t) * t * x.max(y);
            prop_assert_eq!(norm_ratio_at_least((n, e), (m, f), decimal(t)), expected);
        }
    }
}
