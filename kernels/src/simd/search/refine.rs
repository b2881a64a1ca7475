//! The second filter: f32 dot products of the few rows that bytes could not leave out, most promising
//! first; then the judge.

use rayon::prelude::*;

use super::bounds;
use super::dots;
use super::shortlist::{self, Shortlist};
use crate::exact::Judge;
use crate::isa::Level;
use crate::types::{DenseView, Neighbor, SearchOptions, SearchRows, Wanted};

/// Candidates worth a task of their own.
const LEAST_JUDGED: usize = 256;
/// Rows that the query meets at a time.
const ROWS_AT_ONCE: usize = 8;

/// The wanted ones of a shortlist that holds every row that could be wanted, nearest first. A query comes with its
/// norm ([`bounds::query_norm`]).
pub(super) fn nearest(
    level: Level,
    corpus: SearchRows<'_>,
    (query, norm): (&[f32], f32),
    shortlist: Shortlist,
    options: &SearchOptions<'_>,
) -> Vec<Neighbor> {
    let shortlist = match corpus {
        // Their codes leave nothing out: the bounds of f32 would be no tighter.
        SearchRows::Bytes(_) => shortlist,
        _ => tighten(level, corpus, (query, norm), shortlist, options),
    };
    let mut rows = shortlist.into_rows();
    if let SearchRows::F32(corpus) = corpus {
        return judge(corpus, query, &rows, options);
    }
    // Ascending, so that the lower of two copies is the lower of two rows.
    rows.sort_unstable();
    let values = corpus.gather(rows.iter().map(|&row| row as usize));
    let copies: Vec<u32> = (0..).take(rows.len()).collect();
    let mut found = judge(corpus.view_of(&values), query, &copies, options);
    for near in &mut found {
        near.row = rows[near.row as usize];
    }
    found
}

fn judge(corpus: DenseView<'_>, query: &[f32], rows: &[u32], options: &SearchOptions<'_>) -> Vec<Neighbor> {
    let judge = Judge::new(options.metric, corpus, query);
    let candidates = rows.par_iter().with_min_len(LEAST_JUDGED).map(|&row| judge.candidate(row));
    judge.nearest(candidates.collect(), options.wanted)
}

/// The same shortlist with the bounds that f32 gives, and so with fewer rows and a higher floor.
pub(super) fn tighten(
    level: Level,
    corpus: SearchRows<'_>,
    (query, norm): (&[f32], f32),
    shortlist: Shortlist,
    options: &SearchOptions<'_>,
) -> Shortlist {
    level.dispatch(Tighten { corpus, query, norm, shortlist, options })
}

struct Tighten<'a> {
    corpus: SearchRows<'a>,
    query: &'a [f32],
    norm: f32,
    shortlist: Shortlist,
    options: &'a SearchOptions<'a>,
}

impl pulp::WithSimd for Tighten<'_> {
    type Output = Shortlist;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> Shortlist {
        let Self { corpus, query, norm, shortlist, options } = self;
        let epsilon = bounds::epsilon(corpus.dim(), dots::depth(corpus.dim(), S::F32_LANES));
        let dim = corpus.dim().max(1);
        let mut room = vec![0.0; ROWS_AT_ONCE * dim];
        let mut tight = Shortlist::new(options.wanted, shortlist.floor());
        // Rows in the order of their upper bounds: as soon as one is below the floor all others are.
        let ranked = shortlist.into_ranked();
        let step = match options.wanted {
            Wanted::Top(k) => (k / 4).max(ROWS_AT_ONCE),
            Wanted::Within(_) => usize::MAX,
        };
        for some in ranked.chunks(step) {
            tight.compact();
            if shortlist::below(some[0].upper, tight.floor()) {
                break;
            }
            for entries in some.chunks(ROWS_AT_ONCE) {
                let mut tile: [&[f32]; ROWS_AT_ONCE] = [&[]; ROWS_AT_ONCE];
                for (r, (slot, room)) in tile.iter_mut().zip(room.chunks_exact_mut(dim)).enumerate() {
                    // Past the end the last row again.
                    *slot = corpus.row(entries[r.min(entries.len() - 1)].row as usize, room);
                }
                let dots = dots::dots_of_rows(simd, tile, query);
                for (r, entry) in entries.iter().enumerate() {
                    let squared_norm = dots::squared_norm(simd, tile[r]);
                    let terms = bounds::row_terms(options.metric, epsilon, squared_norm, tile[r]);
                    tight.offer(entry.row, terms.bounds(dots[r], norm));
                }
            }
        }
        tight
    }
}
