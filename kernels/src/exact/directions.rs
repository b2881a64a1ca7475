//! The judge of directions: what the cosine of two dense rows makes of them.

use std::sync::OnceLock;

use super::{CodePair, FloatPair, PairView, SquaredNorm, classify, shared_values};
use crate::Thresholds;
use crate::types::{ByteView, ConflictClass, CosineRows, DeltaBatch, DenseView, KeyRelation};

/// Dense rows whose pairs can be judged exactly. Norms are computed when a row is first asked for: behind a
/// good filter few are.
pub(crate) enum Directions<'a> {
    F32 { rows: DenseView<'a>, norms: Vec<OnceLock<SquaredNorm<f64>>>, positions: Vec<u32> },
    Bytes { rows: ByteView<'a>, norms: Vec<OnceLock<SquaredNorm<u64>>> },
    Deltas { rows: &'a DeltaBatch, norms: Vec<OnceLock<SquaredNorm<u64>>> },
}

impl<'a> Directions<'a> {
    pub(crate) fn new(rows: CosineRows<'a>) -> Self {
        fn unknown<T>(rows: usize) -> Vec<OnceLock<T>> {
            std::iter::repeat_with(OnceLock::new).take(rows).collect()
        }
        let norms = rows.rows();
        match rows {
            CosineRows::F32(rows) => {
                Self::F32 { rows, norms: unknown(norms), positions: (0..).take(rows.dim()).collect() }
            }
            CosineRows::Bytes(rows) => Self::Bytes { rows, norms: unknown(norms) },
            CosineRows::Deltas(rows) => Self::Deltas { rows, norms: unknown(norms) },
        }
    }

    /// The number of the rule that decides the pair, or 0 where it is orthogonal: rules 4, 6, 7 and 9 of
    /// [`ConflictClass`], and rule 1 for rows of zeros. The structural rules have nothing to say, since dense
    /// rows use every position.
    pub(crate) fn rule(&self, i: usize, j: usize, thresholds: &Thresholds) -> u8 {
        match self {
            Self::F32 { rows, norms, positions } => {
                let (a, b) = (rows.row(i), rows.row(j));
                let norm = |row: usize, values| *norms[row].get_or_init(|| norm_of(values));
                let (left, right) = (norm(i, a), norm(j, b));
                let zero = left.squared == 0.0 || right.squared == 0.0;
                let dot = if zero { 0.0 } else { dot(a, b) };
                let pair = FloatPair::new(dot, (left, right), (positions, a), (positions, b));
                rule_of(zero, &pair, thresholds)
            }
            Self::Bytes { rows, norms } => {
                let (a, b) = (rows.row(i), rows.row(j));
                let norm = |row: usize, codes| *norms[row].get_or_init(|| SquaredNorm::of_bytes(codes));
                let dot = a.iter().zip(b).map(|(&a, &b)| i64::from(i16::from(a) * i16::from(b))).sum();
                let pair = CodePair { dot, left: norm(i, a), right: norm(j, b), exponents: (0, 0) };
                rule_of(pair.left.squared == 0 || pair.right.squared == 0, &pair, thresholds)
            }
            Self::Deltas { rows, norms } => {
                let (a, b) = (rows.row(i), rows.row(j));
                let norm = |row: usize, codes| *norms[row].get_or_init(|| SquaredNorm::of_codes(codes));
                let dot = shared_values(a, b).map(|(a, b)| i64::from(a) * i64::from(b)).sum();
                let pair = CodePair { dot, left: norm(i, a.1), right: norm(j, b.1), exponents: (0, 0) };
                rule_of(pair.left.squared == 0 || pair.right.squared == 0, &pair, thresholds)
            }
        }
    }
}

fn rule_of(zero: bool, pair: &impl PairView, thresholds: &Thresholds) -> u8 {
    if zero {
        return 0;
    }
    // One position each, none of them shared: no structural rule can match.
    match classify((1, 1, 0), pair, || KeyRelation::Disjoint, thresholds) {
        (ConflictClass::Orthogonal, _) => 0,
        (_, rule) => rule.number(),
    }
}

/// Σ aᵢbᵢ in f64, eight sums side by side: [`FloatPair`] allows any order.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + tail
}

fn norm_of(values: &[f32]) -> SquaredNorm<f64> {
    let squared = dot(values, values);
    SquaredNorm { squared, root: squared.sqrt() }
}
