//! f32 dot products: one query along the dimension, or a panel of queries side by side.
//!
//! Both are filters. What matters of their rounding is the *depth*: the most additions any one product
//! passes through on its way into the sum.

use pulp::Simd;

/// Queries of a panel. Their components lie side by side, so one component of a row meets all of them.
pub(super) const PANEL: usize = 32;
/// Dimensions that a panel sums before it adds to the total: bounds the depth, and a panel's slice stays in L1.
const CHUNK: usize = 128;

/// The depth of every sum in this file, for rows of `dim` components on `lanes` lanes.
pub(super) fn depth(dim: usize, lanes: usize) -> usize {
    let panel = dim.min(CHUNK) + dim.div_ceil(CHUNK);
    // One term of each vector and of the tail, two steps to join four sums, log₂(lanes) ≤ 4 to add the lanes.
    let row = dim / lanes + 1 + 2 + 4;
    panel.max(row)
}

/// Σ xᵢ² of a row.
#[inline(always)]
pub(super) fn squared_norm<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (vectors, tail) = S::as_simd_f32s(row);
    let tail = simd.partial_load_f32s(tail);
    let mut sums = [simd.mul_f32s(tail, tail); 4];
    sums[1..].fill(simd.splat_f32s(0.0));
    // Four sums at once: one alone would wait for each addition before the next.
    let (fours, rest) = vectors.as_chunks::<4>();
    for four in fours {
        for i in 0..4 {
            sums[i] = simd.mul_add_f32s(four[i], four[i], sums[i]);
        }
    }
    for &x in rest {
        sums[0] = simd.mul_add_f32s(x, x, sums[0]);
    }
    let [a, b, c, d] = sums;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

/// Dot products of one query with `R` rows of its length.
#[inline(always)]
pub(super) fn dots_of_rows<S: Simd, const R: usize>(simd: S, rows: [&[f32]; R], query: &[f32]) -> [f32; R] {
    let (query, query_tail) = S::as_simd_f32s(query);
    let query_tail = simd.partial_load_f32s(query_tail);
    let mut sums = [simd.splat_f32s(0.0); R];
    let mut vectors: [&[S::f32s]; R] = [&[]; R];
    // Loops, not closures: lane code inside a closure may be compiled without the level.
    for r in 0..R {
        let (row, tail) = S::as_simd_f32s(rows[r]);
        vectors[r] = &row[..query.len()];
        sums[r] = simd.mul_f32s(query_tail, simd.partial_load_f32s(tail));
    }
    for (k, &q) in query.iter().enumerate() {
        for r in 0..R {
            sums[r] = simd.mul_add_f32s(q, vectors[r][k], sums[r]);
        }
    }
    let mut dots = [0.0; R];
    for r in 0..R {
        dots[r] = simd.reduce_sum_f32s(sums[r]);
    }
    dots
}

/// Dot products of a panel of queries (`panel[k]` holds component k of each) with `R` rows.
/// `V` vectors of the level make a panel.
#[inline(always)]
pub(super) fn dots_of_panel<S: Simd, const V: usize, const R: usize>(
    simd: S,
    panel: &[[f32; PANEL]],
    rows: [&[f32]; R],
) -> [[f32; PANEL]; R] {
    let mut dots = [[0.0; PANEL]; R];
    for (chunk, part) in panel.chunks(CHUNK).enumerate() {
        let start = chunk * CHUNK;
        let rows = rows.map(|row| &row[start..start + part.len()]);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (k, queries) in part.iter().enumerate() {
            let (queries, _) = S::as_simd_f32s(queries);
            for r in 0..R {
                let component = simd.splat_f32s(rows[r][k]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_f32s(component, queries[v], sums[r][v]);
                }
            }
        }
        for (dots, sums) in dots.iter_mut().zip(&sums) {
            let (dots, _) = S::as_mut_simd_f32s(dots);
            for (dot, &sum) in dots.iter_mut().zip(sums) {
                *dot = simd.add_f32s(*dot, sum);
            }
        }
    }
    dots
}
