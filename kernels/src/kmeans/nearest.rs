//! The nearest centroid over the real numbers that f32 rows and centroids denote.
//!
//! Three steps, each deciding what the one before could not: f64 sums with a proved bound; f64 sums in
//! which no operation rounded, as for small integers; exact binary fractions.

use crate::exact::Dyadic;

/// Partial sums of [`quick_squared_distance`].
const LANES: usize = 16;

/// The centroid of `ids` that minimises ‖x − c‖², ties to the first; 0 where there are none.
///
/// `centroids` is row-major with `x.len()` ≥ 1 components each; all values are finite.
#[inline(always)] // so that the loop is compiled for the level of the caller
pub(crate) fn nearest(x: &[f32], centroids: &[f32], ids: impl Iterator<Item = u32>) -> u32 {
    let bound = Bound::new(x.len());
    let mut best = (0, f64::INFINITY, &centroids[..0]);
    for id in ids {
        let centroid = &centroids[id as usize * x.len()..][..x.len()];
        let distance = quick_squared_distance(x, centroid);
        let nearer = bound.surely_less(distance, best.1)
            || (!bound.surely_less(best.1, distance) && exactly_nearer(x, centroid, best.2));
        if nearer {
            best = (id, distance, centroid);
        }
    }
    best.0
}

/// Σ (xᵢ − cᵢ)² in f64, in an order that suits lanes.
#[inline(always)]
fn quick_squared_distance(x: &[f32], centroid: &[f32]) -> f64 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let (centroid_chunks, centroid_rest) = centroid.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, c) in chunks.iter().zip(centroid_chunks) {
        for lane in 0..LANES {
            let difference = f64::from(x[lane]) - f64::from(c[lane]);
            sums[lane] += difference * difference;
        }
    }
    sums.into_iter().fold(squared_distance(rest, centroid_rest), |sum, lane| sum + lane)
}

/// Σ (xᵢ − cᵢ)² in f64, in ascending dimension. Never overflows: f32 differences squared stay below 2^260.
#[inline(always)]
pub(crate) fn squared_distance(x: &[f32], centroid: &[f32]) -> f64 {
    x.iter().zip(centroid).fold(0.0, |sum, (&x, &c)| {
        let difference = f64::from(x) - f64::from(c);
        sum + difference * difference
    })
}

/// How far a sum of squared differences in f64, in whatever order, can be from the real sum D: by at most γD.
///
/// With u = 2^-53, a difference carries one factor 1 + δ, |δ| ≤ u; its square carries two of those and
/// one of its own, and the sum of n non-negative terms at most n more. None underflows: the least
/// non-zero square is 2^-298. So |s − D| ≤ γ₍ₙ₊₃₎ D with γₘ = mu / (1 − mu), and s(1 + γ) < t(1 − γ)
/// proves that the real sums compare likewise. γ₍ₙ₊₈₎ leaves room for the roundings of that comparison.
struct Bound(f64);

impl Bound {
    fn new(dim: usize) -> Self {
        let mu = (dim as f64 + 8.0) * (f64::EPSILON / 2.0);
        Self(mu / (1.0 - mu))
    }

    fn surely_less(&self, a: f64, b: f64) -> bool {
        a * (1.0 + self.0) < b * (1.0 - self.0)
    }
}

/// Whether ‖x − a‖² < ‖x − b‖² as real numbers.
#[cold]
fn exactly_nearer(x: &[f32], a: &[f32], b: &[f32]) -> bool {
    if a == b {
        return false;
    }
    if let (Some(to_a), Some(to_b)) = (unrounded_squared_distance(x, a), unrounded_squared_distance(x, b)) {
        return to_a < to_b;
    }
    // ‖x − a‖² − ‖x − b‖² = a·a − b·b − 2 x·a + 2 x·b
    let terms =
        x.iter().zip(a).zip(b).flat_map(|((&x, &a), &b)| [(a, a), (-b, b), (-x, a), (-x, a), (x, b), (x, b)]);
    Dyadic::dot(terms).signum() < 0
}

/// Σ (xᵢ − cᵢ)², or `None` where an operation in f64 rounded.
#[expect(clippy::float_cmp, reason = "asks whether results are exact")]
fn unrounded_squared_distance(x: &[f32], centroid: &[f32]) -> Option<f64> {
    let mut sum = 0.0;
    for (&x, &c) in x.iter().zip(centroid) {
        let (x, c) = (f64::from(x), f64::from(c));
        let difference = x - c;
        // Knuth's two-sum: the error of `difference` is the sum of these two, each exact where it is 0.
        let back = x - difference;
        let error = (x - (difference + back)) + (back - c);
        // The square of a 24-bit number is exact.
        let short = f64::from(difference as f32) == difference;
        let square = difference * difference;
        let next = sum + square;
        if error != 0.0 || !short || next - sum != square || next - square != sum {
            return None;
        }
        sum = next;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nearest_of_all(x: &[f32], centroids: &[f32]) -> u32 {
        nearest(x, centroids, (0..).take(centroids.len() / x.len()))
    }

    /// By binary fractions alone.
    fn oracle(x: &[f32], centroids: &[f32]) -> u32 {
        let distance = |c: &[f32]| -> Dyadic {
            x.iter().zip(c).map(|(&x, &c)| (Dyadic::from_f32(x) - Dyadic::from_f32(c)).squared()).sum()
        };
        (0..).zip(centroids.chunks(x.len())).min_by_key(|(_, c)| distance(c)).map_or(0, |(id, _)| id)
    }

    #[test]
    fn ties_fall_to_the_lowest_even_where_one_ulp_would_decide() {
        assert_eq!(nearest_of_all(&[0.0], &[]), 0);
        assert_eq!(nearest_of_all(&[0.0], &[1.0, -1.0]), 0);
        assert_eq!(nearest_of_all(&[0.0], &[1.0, -1.0f32.next_down()]), 1);
        assert_eq!(nearest_of_all(&[0.5], &[2.0, -1.0, 2.0]), 0);
        // The tiny components vanish in every f64 sum beside the great ones, yet they decide.
        assert_eq!(nearest_of_all(&[1e30, 0.0], &[-1e30, 2e-30, -1e30, 1e-30]), 1);
        assert_eq!(nearest_of_all(&[f32::MAX], &[f32::MIN, f32::from_bits(1), -0.0]), 1);
    }

    #[test]
    fn exactness_is_noticed() {
        assert_eq!(unrounded_squared_distance(&[3.0, 4.0], &[0.0, 0.0]), Some(25.0));
        for (x, c) in [(1.0, 1e-20), (1e-20, -1.0), (-1.0, 1e-20), (1.0 + f32::EPSILON, -1.5 * f32::EPSILON)]
        {
            assert_eq!(unrounded_squared_distance(&[x], &[c]), None, "{x} {c}");
        }
        assert_eq!(unrounded_squared_distance(&[1.0, 2f32.powi(-30)], &[0.0, 0.0]), None);
        assert_eq!(unrounded_squared_distance(&[2f32.powi(-30), 1.0], &[0.0, 0.0]), None);
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![
            (-3i8..=3).prop_map(f32::from),
            prop_oneof![
                Just(1.0f32.next_up()),
                Just(1.0f32.next_down()),
                Just(f32::MAX),
                Just(f32::MIN),
                Just(f32::from_bits(1))
            ],
            any::<f32>().prop_filter("finite", |x| x.is_finite()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]
        #[test]
        fn equals_the_oracle((dim, values) in prop_oneof![1usize..4, 15usize..19].prop_flat_map(|dim| (Just(dim), proptest::collection::vec(value(), dim * 5)))) {
            let (x, centroids) = values.split_at(dim);
            prop_assert_eq!(nearest_of_all(x, centroids), oracle(x, centroids));
        }
    }
}
