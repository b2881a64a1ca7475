//! Exact numbers of the form m · 2^e, for the rare decisions that need them.

use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

use num_bigint::{BigInt, Sign};

/// An exact binary fraction `mantissa · 2^exponent`. Every finite f32 and f64 is one, and so are
/// all sums, differences and products of them.
#[derive(Debug, Clone)]
pub(crate) struct Dyadic {
    mantissa: BigInt,
    exponent: i64,
}

impl Dyadic {
    /// The integer `n`.
    pub(crate) fn integer(n: impl Into<BigInt>) -> Self {
        Self { mantissa: n.into(), exponent: 0 }
    }

    /// The value of a finite f32.
    pub(crate) fn from_f32(x: f32) -> Self {
        // IEEE 754 binary32: 23 fraction bits; biased exponents 0 and 1 share the scale 2^-149.
        let bits = x.to_bits();
        let biased = (bits >> 23) & 0xff;
        let fraction = bits & 0x007f_ffff;
        let magnitude = if biased == 0 { fraction } else { fraction | 0x0080_0000 };
        let exponent = i64::from(biased.max(1)) - 150;
        let mantissa = BigInt::from(magnitude);
        Self { mantissa: if x.is_sign_negative() { -mantissa } else { mantissa }, exponent }
    }

    /// The value of a finite f64.
    pub(crate) fn from_f64(x: f64) -> Self {
        // IEEE 754 binary64: 52 fraction bits; biased exponents 0 and 1 share the scale 2^-1074.
        let bits = x.to_bits();
        let biased = (bits >> 52) & 0x7ff;
        let fraction = bits & ((1 << 52) - 1);
        let magnitude = if biased == 0 { fraction } else { fraction | 1 << 52 };
        let exponent = biased.max(1).cast_signed() - 1_075;
        let mantissa = BigInt::from(magnitude);
        Self { mantissa: if x.is_sign_negative() { -mantissa } else { mantissa }, exponent }
    }

    /// Σ aᵢbᵢ, exactly.
    pub(crate) fn dot(terms: impl Iterator<Item = (f32, f32)>) -> Self {
        terms.map(|(a, b)| Self::from_f32(a) * Self::from_f32(b)).sum()
    }

    /// −1, 0 or 1.
    pub(crate) fn signum(&self) -> i32 {
        match self.mantissa.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        }
    }

    /// The square.
    pub(crate) fn squared(&self) -> Self {
        self.clone() * self.clone()
    }

    /// Both mantissas over the lower of the two exponents.
    fn aligned(self, other: Self) -> (BigInt, BigInt, i64) {
        let exponent = self.exponent.min(other.exponent);
        // Differences of finite f32 exponents and their products stay far below u32::MAX.
        let shift = |from: i64| (from - exponent).unsigned_abs();
        (self.mantissa << shift(self.exponent), other.mantissa << shift(other.exponent), exponent)
    }
}

impl Add for Dyadic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (a, b, exponent) = self.aligned(other);
        Self { mantissa: a + b, exponent }
    }
}

impl Neg for Dyadic {
    type Output = Self;

    fn neg(self) -> Self {
        Self { mantissa: -self.mantissa, exponent: self.exponent }
    }
}

impl Sub for Dyadic {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Dyadic {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self { mantissa: self.mantissa * other.mantissa, exponent: self.exponent + other.exponent }
    }
}

impl Sum for Dyadic {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::integer(0), Add::add)
    }
}

impl PartialEq for Dyadic {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Dyadic {}

impl PartialOrd for Dyadic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Dyadic {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b, _) = self.clone().aligned(other.clone());
        a.cmp(&b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_least_and_the_greatest_f32_add_up_exactly() {
        let (least, greatest) = (Dyadic::from_f32(f32::from_bits(1)), Dyadic::from_f32(f32::MAX));
        let sum = least.clone() + greatest.clone();
        assert!(sum > greatest);
        assert_eq!(sum - greatest, least);
        assert_eq!(Dyadic::from_f32(-0.0), Dyadic::integer(0));
    }

    proptest! {
        #[test]
        fn agrees_with_f64_where_f64_is_exact(a in any::<f32>(), b in any::<f32>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert_eq!(Dyadic::from_f64(f64::from(a)), Dyadic::from_f32(a));
            prop_assert_eq!(Dyadic::from_f32(a).cmp(&Dyadic::from_f32(b)), a.partial_cmp(&b).unwrap());
            // Small integers: sums and products are exact in f64 too.
            let (x, y) = ((a.to_bits() >> 12).cast_signed(), (b.to_bits() >> 12).cast_signed());
            #[expect(clippy::cast_precision_loss, reason = "20-bit integers are exact in f32")]
            let (fx, fy) = (Dyadic::from_f32(x as f32), Dyadic::from_f32(y as f32));
            prop_assert_eq!(fx.clone() * fy.clone(), Dyadic::integer(i64::from(x) * i64::from(y)));
            prop_assert_eq!(fx - fy, Dyadic::integer(x - y));
        }
    }
}
