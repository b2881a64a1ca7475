//! The second filter: f32 dot products of the few rows that bytes could not leave out, then the judge.

use rayon::prelude::*;

use super::bounds;
use super::dots;
use super::shortlist::Shortlist;
use crate::exact::{Judge, Sum};
use crate::isa::Level;
use crate::types::{DenseView, Metric, Neighbor, SearchOptions, Wanted};

/// Candidates worth a task of their own.
const LEAST_JUDGED: usize = 256;
/// Rows that the query meets at a time.
const ROWS_AT_ONCE: usize = 8;

/// The wanted ones of `rows`, which hold every row that could be wanted, nearest first.
pub(super) fn nearest(
    level: Level,
    corpus: DenseView<'_>,
    query: &[f32],
    mut rows: Vec<u32>,
    options: &SearchOptions<'_>,
) -> Vec<Neighbor> {
    let SearchOptions { metric, wanted, .. } = *options;
    // In the order in which they lie.
    rows.sort_unstable();
    let judge = Judge::new(metric, corpus, query);
    let rows = level.dispatch(Refine { corpus, query, rows: &rows, metric, wanted });
    let candidates = rows.par_iter().with_min_len(LEAST_JUDGED).map(|&row| judge.candidate(row));
    judge.nearest(candidates.collect(), wanted)
}

/// Leaves out the rows that f32 can tell are not wanted.
struct Refine<'a> {
    corpus: DenseView<'a>,
    query: &'a [f32],
    rows: &'a [u32],
    metric: Metric,
    wanted: Wanted,
}

impl pulp::WithSimd for Refine<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> Vec<u32> {
        let Self { corpus, query, rows, metric, wanted } = self;
        let square = Sum::dot(query, query);
        let norm = bounds::query_norm(square);
        let floor = match wanted {
            Wanted::Top(_) => f32::NEG_INFINITY,
            Wanted::Within(threshold) => bounds::least_key(metric, threshold, square),
        };
        let epsilon = bounds::epsilon(corpus.dim(), dots::depth(corpus.dim(), S::F32_LANES));
        let mut shortlist = Shortlist::new(wanted, floor);
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let mut tile: [&[f32]; ROWS_AT_ONCE] = [&[]; ROWS_AT_ONCE];
            for (r, slot) in tile.iter_mut().enumerate() {
                // Past the end the last row again.
                *slot = corpus.row(rows[r.min(rows.len() - 1)] as usize);
            }
            let dots = dots::dots_of_rows(simd, tile, query);
            for (r, &row) in rows.iter().enumerate() {
                let squared_norm = dots::squared_norm(simd, tile[r]);
                let terms = bounds::row_terms(metric, epsilon, squared_norm, tile[r]);
                shortlist.offer(row, terms.bounds(dots[r], norm));
            }
        }
        shortlist.into_rows()
    }
}
