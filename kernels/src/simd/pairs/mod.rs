//! All pairs of sparse rows: what `all_pairs`, `all_pairs_scores` and `conflict_matrix` share.
//!
//! `index.rs` prepares the right rows once; `sums.rs` computes dot products and shared positions of one
//! left row with a block of right rows; `walk.rs` walks the left rows and hands what was computed to a
//! [`Consumer`]. Sums are in f32 and only ever a filter, or a score with a stated bound; counts are exact.

mod columns;
mod direct;
mod index;
mod lists;
mod sums;
mod walk;

pub(crate) use index::{Index, Side};
pub(crate) use walk::{Consumer, is_small, scan};

use crate::simd::variant::Wants;

/// Right rows whose accumulators are filled together, from registers.
const CHUNK: usize = 64;
/// Dimensions in a word of a mask.
const WORD: usize = 64;

/// Unit roundoff of f32.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

/// A bound on |computed − exact| for a cosine computed from `shared` positions at most.
///
/// With x̂, ŷ the rows divided by their norms and rounded to f32, each component has a relative error of
/// at most (1 + 2⁻²⁰)u (the norm, its reciprocal and the product, in f64, add far less than 2⁻²⁰u to the rounding u = 2⁻²⁴) or,
/// where it underflows, an absolute one of 2⁻¹⁵⁰. The sum of m products in any order, fused or not, is off by
/// at most γₘ Σ|x̂ᵢŷᵢ| plus m·2⁻¹⁵⁰ for products that underflow, γₘ = mu/(1 − mu) (Higham, Accuracy and Stability
/// of Numerical Algorithms, §3.1). By Cauchy–Schwarz Σ|xᵢyᵢ| ≤ ‖x‖‖y‖, so all of this is below
/// γₘ(1 + 3u) + 3u + 2m·2⁻¹⁴⁹ ≤ γₘ₊₄. Infinite from 2²³ positions on: nothing is known then.
pub(crate) fn cosine_error(shared: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "below 2^23 + 4 where it is used")]
    let n = (shared.min(1 << 23) + 4) as f64 * UNIT;
    if shared < 1 << 23 { n / (1.0 - n) } else { f64::INFINITY }
}

/// Each row times the reciprocal of its norm, in f64, rounded once.
pub(crate) fn units(indptr: &[usize], values: &[f32], roots: impl IntoIterator<Item = f64>) -> Vec<f32> {
    let mut units = Vec::with_capacity(values.len());
    for (row, root) in indptr.windows(2).zip(roots) {
        let factor = 1.0 / root;
        #[expect(clippy::cast_possible_truncation, reason = "at most 1 in magnitude, to be rounded")]
        units.extend(values[row[0]..row[1]].iter().map(|&value| (f64::from(value) * factor) as f32));
    }
    units
}

/// Pairs decided at once.
pub(crate) const LANES: usize = 16;

/// The next values, filled up with zeros.
#[inline(always)]
pub(crate) fn take<T: Copy + Default>(rest: &mut &[T]) -> [T; LANES] {
    if let Some((group, after)) = rest.split_first_chunk() {
        *rest = after;
        return *group;
    }
    let mut group = [T::default(); LANES];
    group[..rest.len()].copy_from_slice(rest);
    *rest = &[];
    group
}
