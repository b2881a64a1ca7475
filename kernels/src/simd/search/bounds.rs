//! How far an f32 dot product can be from the truth, and what that leaves open.
//!
//! For one query q, rows c are ordered by a *key* that grows with nearness:
//!
//! | metric | key K | what it is |
//! |---|---|---|
//! | dot | q·c | the score |
//! | cosine | q·c / ‖c‖ | ‖q‖ times the score |
//! | L2 | q·c − ‖c‖²/2 | (‖q‖² − distance²) / 2 |
//!
//! # The bound
//! With u = 2^-24, n = dim and s = the depth of the sums (the most roundings one product meets):
//!
//! * A computed dot product D̂ satisfies |D̂ − D| ≤ γₛ Σ|qᵢcᵢ| + n·2^-149, where γₛ = su/(1 − su) (Higham,
//!   Accuracy and Stability of Numerical Algorithms, §3.1) and the last term covers roundings among
//!   subnormals: each is off by at most 2^-150, and later roundings less than double it.
//! * Call a vector *ordinary* if it is zero or its norm lies within 2^-50..=2^63. For two of them nothing overflows
//!   (partial sums stay below 2^127), and where neither is zero, n·2^-149 ≤ n·2^-49·‖q‖‖c‖. By Cauchy–Schwarz
//!   |D̂ − D| ≤ η‖q‖‖c‖ with η = γₛ + n·2^-49. The same sum yields ‖c‖² within a relative η.
//! * Dot: |K̂ − K| ≤ η‖q‖‖c‖. Cosine: K̂ = D̂·fl(1/√‖c‖²) adds η/2 from the norm and 3u from root, quotient
//!   and product: |K̂ − K| ≤ (1.53η + 3.1u)‖q‖ for η ≤ 1/100. L2: the norm adds η‖c‖²/2, and the
//!   subtraction u(‖q‖‖c‖ + ‖c‖²/2)(1 + η).
//! * ε = 2(s + 8)u + n·2^-48 exceeds 1.98η + 15u, so ε‖q‖‖c‖, ε‖q‖ and ε(‖q‖‖c‖ + ‖c‖²/2), computed in f32
//!   from computed norms (low by at most η + 5u of themselves), bound these errors and also the last
//!   rounding, that of K̂ ± error.
//!
//! Rows and queries that are not ordinary, and all rows where η could pass 1/100, get an infinite error:
//! they are always left to the exact judge. (∞ times a zero norm is NaN, which is left to it too.)

use crate::exact::Sum;
use crate::types::{Decimal, Metric};

/// Unit roundoff of f32.
const U: f64 = f32::EPSILON as f64 / 2.0;
/// Least and greatest squared norm that is ordinary: half an octave or more inside the range of the
/// proof, because the norms at hand are computed.
const LEAST: f64 = 1.0 / (1u128 << 99) as f64;
const GREATEST: f64 = (1u128 << 125) as f64;

/// What a row adds to the key and error of every query: K̂ = dot·scale + offset, within slack·‖q‖ + fixed.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowTerms {
    scale: f32,
    offset: f32,
    slack: f32,
    fixed: f32,
}

impl RowTerms {
    /// Lower and upper bound of the key, given the computed dot product. Either may be NaN or
    /// infinite: then nothing is known.
    #[inline(always)]
    pub(super) fn bounds(self, dot: f32, query_norm: f32) -> (f32, f32) {
        let key = dot.mul_add(self.scale, self.offset);
        let error = self.slack.mul_add(query_norm, self.fixed);
        (key - error, key + error)
    }
}

/// ε for rows of `dim` components whose sums have this depth.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "rounded up below")]
pub(super) fn epsilon(dim: usize, depth: usize) -> f32 {
    let epsilon = 2.0 * (depth + 8) as f64 * U + dim as f64 / (1u64 << 48) as f64;
    // η is about half of ε.
    if epsilon > 0.02 { f32::INFINITY } else { (epsilon as f32).next_up() }
}

/// Whether a computed squared norm is ordinary and not zero.
#[inline(always)]
pub(super) fn is_ordinary(squared_norm: f32) -> bool {
    (LEAST..=GREATEST).contains(&f64::from(squared_norm))
}

/// The terms of a row, from its computed squared norm.
#[inline(always)]
pub(super) fn row_terms(metric: Metric, epsilon: f32, squared_norm: f32, row: &[f32]) -> RowTerms {
    if !is_ordinary(squared_norm) || epsilon == f32::INFINITY {
        let is_zero = squared_norm == 0.0 && row.iter().all(|&x| x == 0.0);
        let slack = if is_zero { 0.0 } else { f32::INFINITY };
        return RowTerms { scale: 0.0, offset: 0.0, slack, fixed: 0.0 };
    }
    let norm = squared_norm.sqrt();
    match metric {
        Metric::Dot => RowTerms { scale: 1.0, offset: 0.0, slack: epsilon * norm, fixed: 0.0 },
        Metric::Cosine => RowTerms { scale: 1.0 / norm, offset: 0.0, slack: epsilon, fixed: 0.0 },
        Metric::L2 => {
            let half = squared_norm / 2.0;
            RowTerms { scale: 1.0, offset: -half, slack: epsilon * norm, fixed: epsilon * half }
        }
    }
}

/// ‖q‖ for [`RowTerms::bounds`]: infinite unless it is ordinary.
#[expect(clippy::cast_possible_truncation, reason = "an ordinary norm is a normal f32")]
pub(super) fn query_norm(squared_norm: Sum) -> f32 {
    match squared_norm.value() {
        0.0 => 0.0,
        LEAST..=GREATEST => squared_norm.value().sqrt() as f32,
        _ => f32::INFINITY,
    }
}

/// A key that no row as near as the threshold stays below; `squared_norm` is the query's.
///
/// f64 sums of fewer than 2^32 terms and the few operations here are off by less than 2^-20 of the
/// magnitudes involved.
#[expect(clippy::cast_possible_truncation, reason = "the neighbour below the nearest f32 is no greater")]
pub(super) fn least_key(metric: Metric, threshold: Decimal, squared_norm: Sum) -> f32 {
    let (t, square) = (threshold.to_f64(), squared_norm.value());
    let (key, magnitude) = match metric {
        Metric::Dot => (t, t.abs()),
        Metric::Cosine => (t * square.sqrt(), t.abs() * square.sqrt()),
        Metric::L2 => ((square - t * t) / 2.0, (square + t * t) / 2.0),
    };
    ((key - magnitude / (1u64 << 20) as f64) as f32).next_down()
}
