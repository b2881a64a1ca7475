//! Sums, multiples, projections and measures of sparse vectors.
//!
//! Every component is computed in f64 and rounded once to f32; components that become zero are
//! dropped, ones that overflow are errors. The `_into` forms reuse the buffers of their output; where one
//! fails, the output holds a valid vector that means nothing.

use super::{Measure, SparseVec, check_finite};
use crate::error::KernelError;
use crate::scalar::sparse_pair::intersect;
use crate::sparse_score::{magnitude, score, sum};

impl SparseVec {
    /// a + b.
    ///
    /// # Errors
    /// Dimensions that differ; a component that overflows f32.
    pub fn add(&self, other: &Self) -> Result<Self, KernelError> {
        new(|out| self.add_into(other, out))
    }

    /// a + b into `out`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_into(&self, other: &Self, out: &mut Self) -> Result<(), KernelError> {
        combine(self, other, out, |a, b| a + b)
    }

    /// a − b.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn sub(&self, other: &Self) -> Result<Self, KernelError> {
        new(|out| self.sub_into(other, out))
    }

    /// a − b into `out`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn sub_into(&self, other: &Self, out: &mut Self) -> Result<(), KernelError> {
        combine(self, other, out, |a, b| a - b)
    }

    /// s · a.
    ///
    /// # Errors
    /// A factor that is not finite; a component that overflows f32.
    pub fn scale(&self, factor: f64) -> Result<Self, KernelError> {
        new(|out| self.scale_into(factor, out))
    }

    /// s · a into `out`.
    ///
    /// # Errors
    /// As [`scale`](Self::scale).
    pub fn scale_into(&self, factor: f64, out: &mut Self) -> Result<(), KernelError> {
        if !factor.is_finite() {
            return Err(KernelError::BadFactor { got: factor });
        }
        out.refill(self.dim(), self.iter().map(|(index, value)| (index, factor * f64::from(value))))
    }

    /// (w₁a + w₂b) / (w₁ + w₂).
    ///
    /// # Errors
    /// As [`add`](Self::add); weights whose sum is zero or not finite.
    pub fn weighted_average(&self, other: &Self, w1: f64, w2: f64) -> Result<Self, KernelError> {
        new(|out| self.weighted_average_into(other, w1, w2, out))
    }

    /// (w₁a + w₂b) / (w₁ + w₂) into `out`.
    ///
    /// # Errors
    /// As [`weighted_average`](Self::weighted_average).
    pub fn weighted_average_into(
        &self,
        other: &Self,
        w1: f64,
        w2: f64,
        out: &mut Self,
    ) -> Result<(), KernelError> {
        let weight = w1 + w2;
        if weight == 0.0 || !weight.is_finite() {
            return Err(KernelError::BadFactor { got: weight });
        }
        combine(self, other, out, |a, b| (w1 * a + w2 * b) / weight)
    }

    /// The part of a that is orthogonal to `direction`: a − (a·d / d·d) d. A zero direction leaves a as it is.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn project_orthogonal(&self, direction: &Self) -> Result<Self, KernelError> {
        new(|out| self.project_orthogonal_into(direction, out))
    }

    /// The part of a that is orthogonal to `direction`, into `out`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn project_orthogonal_into(&self, direction: &Self, out: &mut Self) -> Result<(), KernelError> {
        let square = direction.dot(direction)?;
        let along = if square == 0.0 { 0.0 } else { self.dot(direction)? / square };
        combine(self, direction, out, |a, d| a - along * d)
    }

    /// a / ‖a‖; the zero vector stays zero.
    ///
    /// # Errors
    /// None for a vector that a constructor accepted: no component of the result exceeds 1.
    pub fn normalize(&self) -> Result<Self, KernelError> {
        new(|out| self.normalize_into(out))
    }

    /// a / ‖a‖ into `out`.
    ///
    /// # Errors
    /// As [`normalize`](Self::normalize).
    pub fn normalize_into(&self, out: &mut Self) -> Result<(), KernelError> {
        let norm = self.magnitude();
        out.refill(self.dim(), self.iter().map(|(index, value)| (index, f64::from(value) / norm)))
    }

    /// The components whose magnitude is greater than `threshold`; all of them for a NaN or negative one.
    #[must_use]
    pub fn prune(&self, threshold: f32) -> Self {
        let (indices, values) = self.iter().filter(|(_, value)| value.abs() > threshold.max(0.0)).unzip();
        Self::from_checked(self.dim(), indices, values)
    }

    /// `after − before`, keeping the components whose magnitude is greater than `threshold`.
    ///
    /// # Errors
    /// Lengths that differ, values or differences that are not finite.
    pub fn from_diff(before: &[f32], after: &[f32], threshold: f32) -> Result<Self, KernelError> {
        Self::from_dense(after)?.sub(&Self::from_dense(before)?).map(|delta| delta.prune(threshold))
    }

    /// Σ aᵢbᵢ against a dense vector of the same dimension.
    ///
    /// # Errors
    /// A length other than the dimension; a component that meets one of this vector's and is not finite.
    pub fn dot_dense(&self, dense: &[f32]) -> Result<f64, KernelError> {
        if dense.len() != self.dim() as usize {
            return Err(KernelError::DimensionMismatch { got: dense.len(), expected: self.dim() as usize });
        }
        let dot = sum(self.iter().map(|(index, value)| f64::from(value) * f64::from(dense[index as usize])));
        // Products of finite f32 cannot overflow an f64 sum, so only such a component can have done this.
        if !dot.is_finite() {
            check_finite(dense)?;
        }
        Ok(dot)
    }

    /// ‖a‖ = √Σ aᵢ².
    #[must_use]
    pub fn magnitude(&self) -> f64 {
        magnitude(self.values())
    }

    /// Any measure of two vectors; the methods below are its short names.
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn measure(&self, other: &Self, measure: Measure) -> Result<f64, KernelError> {
        same_dim(self, other)?;
        let (a, b) = ((self.indices(), self.values()), (other.indices(), other.values()));
        Ok(score(measure, a, b, intersect(a.0, b.0)))
    }
}

macro_rules! measures {
    ($($name:ident $measure:ident $says:literal)*) => {
        impl SparseVec {$(
            #[doc = concat!($says, " See [`Measure::", stringify!($measure), "`].")]
            ///
            /// # Errors
            /// Dimensions that differ.
            pub fn $name(&self, other: &Self) -> Result<f64, KernelError> {
                self.measure(other, Measure::$measure)
            }
        )*}
    };
}

measures! {
    dot Dot "Σ aᵢbᵢ."
    cosine_similarity Cosine "The cosine, 0 where either vector is zero."
    angular_distance Angular "The angle in radians."
    jaccard_index Jaccard "Shared positions over positions of either."
    weighted_jaccard WeightedJaccard "The Jaccard index of magnitudes."
    overlap_coefficient Overlap "Shared positions over positions of the smaller."
    euclidean_distance Euclidean "√Σ (aᵢ − bᵢ)²."
    manhattan_distance Manhattan "Σ |aᵢ − bᵢ|."
}

/// Runs an `_into` form on a fresh vector.
fn new(fill: impl FnOnce(&mut SparseVec) -> Result<(), KernelError>) -> Result<SparseVec, KernelError> {
    let mut out = SparseVec::zero(0);
    fill(&mut out)?;
    Ok(out)
}

fn same_dim(a: &SparseVec, b: &SparseVec) -> Result<(), KernelError> {
    if a.dim() == b.dim() {
        return Ok(());
    }
    Err(KernelError::DimensionMismatch { got: b.dim() as usize, expected: a.dim() as usize })
}

/// `f(aᵢ, bᵢ)` wherever either vector has a component.
fn combine(
    a: &SparseVec,
    b: &SparseVec,
    out: &mut SparseVec,
    f: impl Fn(f64, f64) -> f64,
) -> Result<(), KernelError> {
    same_dim(a, b)?;
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let merged = std::iter::from_fn(|| {
        let index = match (left.peek(), right.peek()) {
            (Some(&(i, _)), Some(&(j, _))) => i.min(j),
            (Some(&(i, _)), None) => i,
            (None, Some(&(j, _))) => j,
            (None, None) => return None,
        };
        let x = left.next_if(|&(i, _)| i == index).map_or(0.0, |(_, value)| f64::from(value));
        let y = right.next_if(|&(j, _)| j == index).map_or(0.0, |(_, value)| f64::from(value));
        Some((index, f(x, y)))
    });
    out.refill(a.dim(), merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v(dense: &[f32]) -> SparseVec {
        SparseVec::from_dense(dense).unwrap()
    }

    #[test]
    fn sums_drop_what_cancels_and_refuse_what_overflows() {
        assert_eq!(v(&[1.0, 2.0, 0.0]).add(&v(&[-1.0, 0.0, 3.0])).unwrap(), v(&[0.0, 2.0, 3.0]));
        assert_eq!(v(&[1.0, 2.0]).sub(&v(&[1.0, 2.0])).unwrap(), SparseVec::zero(2));
        assert!(matches!(v(&[f32::MAX]).add(&v(&[f32::MAX])), Err(KernelError::NonFinite { .. })));
        assert!(matches!(
            v(&[1.0]).add(&v(&[1.0, 2.0])),
            Err(KernelError::DimensionMismatch { got: 2, expected: 1 })
        ));
        for x in [v(&[1.0]), SparseVec::zero(1)] {
            assert!(matches!(x.scale(f64::NAN), Err(KernelError::BadFactor { .. })));
        }
        assert_eq!(v(&[1.0]).scale(0.0).unwrap(), SparseVec::zero(1));
    }

    #[test]
    fn a_failed_into_leaves_a_valid_zero_vector() {
        let mut out = v(&[5.0, 6.0]);
        assert!(v(&[1.0, f32::MAX]).add_into(&v(&[1.0, f32::MAX]), &mut out).is_err());
        assert_eq!(out, SparseVec::zero(2));
    }

    #[test]
    fn weighted_average_is_literal_and_zero_weights_are_an_error() {
        assert_eq!(v(&[4.0, 0.0]).weighted_average(&v(&[0.0, 4.0]), 1.0, 3.0).unwrap(), v(&[1.0, 3.0]));
        for (w1, w2) in [(1.0, -1.0), (f64::NAN, 1.0), (f64::MAX, f64::MAX)] {
            for x in [v(&[1.0]), SparseVec::zero(1)] {
                assert!(matches!(x.weighted_average(&x, w1, w2), Err(KernelError::BadFactor { .. })));
            }
        }
    }

    #[test]
    fn known_scores() {
        let (a, b) = (v(&[3.0, 4.0, 0.0, 0.0]), v(&[0.0, 2.0, -1.0, 0.0]));
        let close = |x: f64, y: f64| (x - y).abs() < 1e-12;
        assert!(close(a.dot(&b).unwrap(), 8.0));
        assert!(close(a.cosine_similarity(&b).unwrap(), 8.0 / (5.0 * 5f64.sqrt())));
        assert!(close(a.jaccard_index(&b).unwrap(), 1.0 / 3.0));
        assert!(close(a.overlap_coefficient(&b).unwrap(), 0.5));
        assert!(close(a.weighted_jaccard(&b).unwrap(), 2.0 / 8.0));
        assert!(close(a.euclidean_distance(&b).unwrap(), 14f64.sqrt()));
        assert!(close(a.manhattan_distance(&b).unwrap(), 6.0));
        assert!(close(a.angular_distance(&a.scale(-2.0).unwrap()).unwrap(), std::f64::consts::PI));
        assert!(close(v(&[1.0]).weighted_jaccard(&v(&[-1.0])).unwrap(), 0.0));
        assert!(close(a.dot_dense(&[1.0, 1.0, 9.0, 9.0]).unwrap(), 7.0));
        let refused = a.dot_dense(&[1.0, f32::INFINITY, 9.0, 9.0]);
        assert!(matches!(refused, Err(KernelError::NonFinite { position: 1 })));
    }

    #[test]
    fn conventions_for_zero_vectors() {
        let (zero, x) = (SparseVec::zero(2), v(&[1.0, 0.0]));
        let of = |a: &SparseVec, b: &SparseVec, m| a.measure(b, m).unwrap();
        for measure in [Measure::Jaccard, Measure::WeightedJaccard, Measure::Overlap] {
            assert!((of(&zero, &zero, measure) - 1.0).abs() < 1e-12 && of(&zero, &x, measure).abs() < 1e-12);
        }
        assert!(
            of(&zero, &x, Measure::Cosine).abs() < 1e-12 && of(&zero, &zero, Measure::Cosine).abs() < 1e-12
        );
        assert_eq!(zero.normalize().unwrap(), zero);
    }

    #[test]
    fn norms_of_any_size_become_one_and_pruning_is_strict() {
        for value in [f32::from_bits(1), 1.0, f32::MAX] {
            let unit = v(&[value, -value]).normalize().unwrap();
            assert!((unit.magnitude() - 1.0).abs() < 1e-7, "{value:e}");
        }
        let x = v(&[0.5, -0.5, 0.6, 0.0]);
        assert_eq!(x.prune(0.5), v(&[0.0, 0.0, 0.6, 0.0]));
        assert!(x.prune(f32::NAN) == x && x.prune(-1.0) == x && x.prune(f32::INFINITY).is_zero());
    }

    #[test]
    fn from_diff_keeps_only_what_moved_enough() {
        let delta = SparseVec::from_diff(&[1.0, 2.0, 3.0], &[1.5, 2.0, 3.01], 0.1).unwrap();
        assert_eq!(delta, v(&[0.5, 0.0, 0.0]));
    }

    /// The formulas over all components of two dense vectors.
    fn by_definition(a: &[f32], b: &[f32], measure: Measure) -> f64 {
        let over = |f: fn(f64, f64) -> f64| -> f64 {
            a.iter().zip(b).map(|(&x, &y)| f(x.into(), y.into())).fold(0.0, |sum, term| sum + term)
        };
        let ratio = |x: f64, y: f64, otherwise| if y == 0.0 { otherwise } else { x / y };
        let count = |x: f64| f64::from(u8::from(x != 0.0));
        let shared = over(|x, y| f64::from(u8::from(x != 0.0 && y != 0.0)));
        let (of_a, of_b) =
            (a.iter().map(|&x| count(x.into())).sum(), b.iter().map(|&y| count(y.into())).sum());
        let norms = (over(|x, _| x * x) * over(|_, y| y * y)).sqrt();
        match measure {
            Measure::Dot => over(|x, y| x * y),
            Measure::Cosine => ratio(over(|x, y| x * y), norms, 0.0),
            Measure::Angular => ratio(over(|x, y| x * y), norms, 0.0).clamp(-1.0, 1.0).acos(),
            Measure::Jaccard => ratio(shared, over(|x, y| f64::from(u8::from(x != 0.0 || y != 0.0))), 1.0),
            Measure::WeightedJaccard => ratio(
                over(|x, y| if x * y > 0.0 { x.abs().min(y.abs()) } else { 0.0 }),
                over(|x, y| if x * y < 0.0 { x.abs() + y.abs() } else { x.abs().max(y.abs()) }),
                1.0,
            ),
            Measure::Overlap => ratio(shared, f64::min(of_a, of_b), if of_a == of_b { 1.0 } else { 0.0 }),
            Measure::Euclidean => over(|x, y| (x - y) * (x - y)).sqrt(),
            Measure::Manhattan => over(|x, y| (x - y).abs()),
        }
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_dense_arithmetic(
            a in proptest::collection::vec(prop_oneof![Just(0.0f32), -9f32..9.0], 33),
            b in proptest::collection::vec(prop_oneof![Just(0.0f32), -9f32..9.0], 33),
        ) {
            let (x, y) = (v(&a), v(&b));
            let sum: Vec<f32> = a.iter().zip(&b).map(|(p, q)| p + q).collect();
            prop_assert_eq!(x.add(&y).unwrap(), v(&sum));
            let rest = x.project_orthogonal(&y).unwrap();
            prop_assert!(rest.dot(&y).unwrap().abs() <= 1e-4);
            for measure in Measure::ALL {
                let (got, expected) = (x.measure(&y, measure).unwrap(), by_definition(&a, &b, measure));
                prop_assert!((got - expected).abs() <= 1e-7 * expected.abs().max(1.0), "{}: {} {}", measure, got, expected);
                let (forth, back) = (x.measure(&y, measure).unwrap(), y.measure(&x, measure).unwrap());
                prop_assert!((forth - back).abs() <= 1e-9, "{} is symmetric", measure);
            }
        }
    }
}
