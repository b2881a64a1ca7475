//! Thresholds of the conflict rules: exact decimals, checked once.

use std::fmt;
use std::str::FromStr;

use crate::error::KernelError;

/// A decimal with four places, held as an integer count of 1e-4, so that comparing against it is exact.
///
/// ```
/// use tensor_kernels::Decimal;
/// assert_eq!("0.7".parse::<Decimal>()?, Decimal::from_ten_thousandths(7_000));
/// assert!("0.70001".parse::<Decimal>().is_err());
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i32);

impl Decimal {
    /// The value `n · 1e-4`.
    #[must_use]
    pub const fn from_ten_thousandths(n: i32) -> Self {
        Self(n)
    }

    /// How many ten-thousandths this is.
    #[must_use]
    pub const fn ten_thousandths(self) -> i32 {
        self.0
    }

    /// The nearest f64: for printing, and for filters whose bound covers its rounding.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 1e4
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, magnitude) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let text = format!("{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Decimal {
    type Err = KernelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || KernelError::BadDecimal { got: text.to_owned() };
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || places.len() > 4 || !digits(whole) || !digits(places) {
            return Err(bad());
        }
        let magnitude: i32 = format!("{whole}{places:0<4}").parse().map_err(|_| bad())?;
        Ok(Self(if unsigned.len() == text.len() { magnitude } else { -magnitude }))
    }
}

/// Thresholds of the nine conflict rules (see [`ConflictClass`](crate::ConflictClass)), validated.
///
/// The order −1 ≤ opposite < 0 < orthogonal < conflict ≤ identical ≤ 1 always holds, and every
/// Jaccard or ratio threshold lies in 0.0001..=1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thresholds {
    // The defaults satisfy `build`; a test holds them to it.
    values: ThresholdsBuilder,
}

/// The same thresholds before validation. Every field has the default of [`Thresholds::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThresholdsBuilder {
    /// |cosine| below this is orthogonal. Default 0.1.
    pub orthogonal: Decimal,
    /// |cosine| at or above this conflicts. Default 0.7.
    pub conflict: Decimal,
    /// Cosine at or above this, on equal keys and positions, can be identical. Default 0.99.
    pub identical: Decimal,
    /// Cosine at or below this, on equal keys and positions, can be opposite. Default −0.95.
    pub opposite: Decimal,
    /// Jaccard index of the positions at or above this conflicts. Default 0.5.
    pub structural: Decimal,
    /// Least ratio of the norms for identical deltas. Default 0.99.
    pub identical_ratio: Decimal,
    /// Least ratio of the norms for opposite deltas. Default 0.95.
    pub opposite_ratio: Decimal,
    /// Whether deltas that share keys may still be of low conflict. Default false.
    pub allow_key_overlap_merge: bool,
}

impl Default for ThresholdsBuilder {
    fn default() -> Self {
        Self {
            orthogonal: Decimal(1_000),
            conflict: Decimal(7_000),
            identical: Decimal(9_900),
            opposite: Decimal(-9_500),
            structural: Decimal(5_000),
            identical_ratio: Decimal(9_900),
            opposite_ratio: Decimal(9_500),
            allow_key_overlap_merge: false,
        }
    }
}

impl ThresholdsBuilder {
    /// Checks the order of the thresholds.
    ///
    /// # Errors
    /// [`KernelError::BadThreshold`] naming the first that is out of place and the range it must lie in.
    pub fn build(self) -> Result<Thresholds, KernelError> {
        let check = |name, got: Decimal, min: i32, max: i32| {
            let (min, max) = (Decimal(min), Decimal(max));
            if (min..=max).contains(&got) {
                Ok(())
            } else {
                Err(KernelError::BadThreshold { name, got, min, max })
            }
        };
        check("opposite", self.opposite, -10_000, -1)?;
        check("identical", self.identical, 1, 10_000)?;
        check("conflict", self.conflict, 1, self.identical.0)?;
        check("orthogonal", self.orthogonal, 1, self.conflict.0 - 1)?;
        check("structural", self.structural, 1, 10_000)?;
        check("identical_ratio", self.identical_ratio, 1, 10_000)?;
        check("opposite_ratio", self.opposite_ratio, 1, 10_000)?;
        Ok(Thresholds { values: self })
    }
}

impl std::ops::Deref for Thresholds {
    type Target = ThresholdsBuilder;

    fn deref(&self) -> &ThresholdsBuilder {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_parse_exactly_or_not_at_all() {
        for (text, n) in
            [("0", 0), ("1", 10_000), ("0.1", 1_000), ("-0.95", -9_500), ("0.0001", 1), ("12.5", 125_000)]
        {
            assert_eq!(text.parse(), Ok(Decimal(n)), "{text}");
            assert_eq!(Decimal(n).to_string(), text);
        }
        for text in
            ["", "-", ".", ".5", "0.12345", "1e-1", "+1", "nan", "0x1", "--1", "99999999", " 1", "0.1 "]
        {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
        assert_eq!("1.".parse(), Ok(Decimal(10_000)));
    }

    #[test]
    fn defaults_are_valid_and_disorder_is_named() {
        assert_eq!(ThresholdsBuilder::default().build(), Ok(Thresholds::default()));
        let build = |edit: fn(&mut ThresholdsBuilder)| {
            let mut builder = ThresholdsBuilder::default();
            edit(&mut builder);
            builder.build().unwrap_err()
        };
        assert!(matches!(
            build(|b| b.opposite = Decimal(0)),
            KernelError::BadThreshold { name: "opposite", .. }
        ));
        assert!(matches!(
            build(|b| b.orthogonal = Decimal(7_000)),
            KernelError::BadThreshold { name: "orthogonal", max: Decimal(6_999), .. }
        ));
        assert!(matches!(
            build(|b| b.conflict = Decimal(9_901)),
            KernelError::BadThreshold { name: "conflict", .. }
        ));
        assert!(matches!(
            build(|b| b.identical = Decimal(10_001)),
            KernelError::BadThreshold { name: "identical", .. }
        ));
        assert!(matches!(
            build(|b| b.structural = Decimal(0)),
            KernelError::BadThreshold { name: "structural", .. }
        ));
        assert_eq!(
            build(|b| b.structural = Decimal(0)).to_string(),
            "threshold structural is 0: must lie in 0.0001..=1"
        );
    }
}
