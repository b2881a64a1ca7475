//! Exact search by a certified shortlist: a cheap scan discards the rows that provably are not wanted, and the
//! exact judge ranks the few that are left.
//!
//! Two scans: [`scan`] compares signed bytes, a quarter of the memory and on processors that multiply bytes many
//! times faster, and [`float`] compares f32 rows as they lie. Which rows make the shortlist may differ from level to
//! level and with the number of threads; the answer cannot.

mod bounds;
pub(crate) mod coded;
mod dots;
mod float;
mod refine;
mod scan;
mod shortlist;

use rayon::prelude::*;

use self::coded::CodedPanels;
use self::scan::Scan;
use self::shortlist::Shortlist;
use crate::corpus::Corpus;
use crate::isa::{Isa, Level};
use crate::simd::tile::{DIM_LIMIT, SIDE};
use crate::types::{DenseView, Neighbor, SearchOptions, Wanted};

/// From so many queries on, rows that are scanned once are worth packing: coding a row takes about as long as f32
/// takes to meet this many queries.
const MANY_QUERIES: usize = 64;
/// Up to so many queries a scan waits for memory, so a quarter of the bytes is worth more than the fastest products.
const FEW_QUERIES: usize = 8;
/// Fewer rows than this fit a cache, and f32 is done before bytes have begun.
const MANY_ROWS: usize = 4_096;
/// Bytes of a corpus that are packed at a time where it is not to be kept.
const PIECE_BYTES: usize = 64 << 20;

/// The corpus made ready for many searches.
pub(crate) fn corpus(level: Level, rows: DenseView<'_>) -> Corpus<'_> {
    let packed = (rows.dim() < DIM_LIMIT).then(|| CodedPanels::pack(level, rows, 0..rows.rows()));
    Corpus::packed(rows, packed)
}

/// For each query the wanted rows of the corpus, nearest first, ties by the lower row.
/// Cost: queries × rows × dim, at the speed of multiply-adds or of reading the corpus.
pub(crate) fn search(
    level: Level,
    corpus: &Corpus<'_>,
    queries: DenseView<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let rows = corpus.rows();
    if options.wanted == Wanted::Top(0) {
        return vec![Vec::new(); queries.rows()];
    }
    if !bytes_pay(level, corpus, queries.rows()) {
        return float::search(level, rows, queries.iter().collect(), *options);
    }
    let piece = (PIECE_BYTES / rows.dim().max(1)).next_multiple_of(SIDE);
    by_bytes(level, corpus, queries, options, piece)
}

/// The scan of bytes. A corpus that is not packed is packed `piece` rows at a time, a multiple of 32.
fn by_bytes(
    level: Level,
    corpus: &Corpus<'_>,
    queries: DenseView<'_>,
    options: &SearchOptions<'_>,
    piece: usize,
) -> Vec<Vec<Neighbor>> {
    let rows = corpus.rows();
    let scan = Scan::new(level, queries, options);
    let mut known = scan.start();
    if let Some(packed) = corpus.coded() {
        known = scan.run(packed, 0, known);
    } else {
        for first in (0..rows.rows()).step_by(piece) {
            let packed = CodedPanels::pack(level, rows, first..(first + piece).min(rows.rows()));
            known = scan.run(&packed, first, known);
        }
    }
    // Queries that bytes could not decide are searched again in f32.
    let open: Vec<usize> = (0..known.len()).filter(|&query| known[query].is_none()).collect();
    let again = open.iter().map(|&query| queries.row(query)).collect();
    let nearest = |(query, shortlist): (usize, Option<Shortlist>)| {
        let found = shortlist.map(Shortlist::into_rows).unwrap_or_default();
        refine::nearest(level, rows, queries.row(query), found, options)
    };
    let mut answers: Vec<_> = known.into_par_iter().enumerate().map(nearest).collect();
    for (query, answer) in open.into_iter().zip(float::search(level, rows, again, *options)) {
        answers[query] = answer;
    }
    answers
}

/// Whether a scan of bytes is expected to be faster than one of the rows as they lie.
fn bytes_pay(level: Level, corpus: &Corpus<'_>, queries: usize) -> bool {
    let rows = corpus.rows();
    let multiplies_bytes = matches!(level.isa(), Isa::Avx512Vnni | Isa::Amx);
    match corpus.coded() {
        Some(_) => multiplies_bytes || queries <= FEW_QUERIES,
        None => {
            let many = queries >= MANY_QUERIES && rows.rows() >= MANY_ROWS;
            multiplies_bytes && many && rows.dim() < DIM_LIMIT
        }
    }
}

#[cfg(test)]
mod tests;
