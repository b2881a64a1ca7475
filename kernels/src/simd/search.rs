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
mod terms;

use std::ops::Range;

use rayon::prelude::*;

use self::coded::CodedPanels;
use self::scan::{Piece, Scan};
use self::shortlist::Shortlist;
use crate::corpus::Corpus;
#[cfg(feature = "gpu")]
use crate::exact::Sum;
use crate::isa::{Isa, Level};
use crate::simd::tile::{DIM_LIMIT, SIDE};
use crate::types::{DenseView, Neighbor, SearchOptions, SearchRows, Wanted};

/// From so many queries on, rows that are scanned once are worth packing: coding a row takes about as long as f32
/// takes to meet this many queries.
const MANY_QUERIES: usize = 64;
/// Up to so many queries a scan waits for memory, so a quarter of the bytes is worth more than the fastest products.
const FEW_QUERIES: usize = 8;
/// Fewer rows than this fit a cache, and f32 is done before bytes have begun.
const MANY_ROWS: usize = 4_096;
/// Rows that are scanned before the floors are raised by f32: few enough to stay in cache for all queries.
const FIRST_ROWS: usize = 1_024;
/// Bytes of a corpus that are packed at a time where it is not to be kept.
const PIECE_BYTES: usize = 64 << 20;

/// The corpus made ready for many searches.
pub(crate) fn corpus(level: Level, rows: SearchRows<'_>) -> Corpus<'_> {
    let packed = (rows.dim() < DIM_LIMIT).then(|| CodedPanels::pack(level, rows, 0..rows.rows()));
    Corpus::packed(rows, packed)
}

/// For each query the wanted rows of the corpus, nearest first, ties by the lower row.
/// Cost: queries × rows × dim, at the speed of multiply-adds or of reading the corpus.
pub(crate) fn search(
    level: Level,
    corpus: &Corpus<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    if options.wanted == Wanted::Top(0) || queries.rows() == 0 {
        return vec![Vec::new(); queries.rows()];
    }
    let piece = (PIECE_BYTES / queries.dim().max(1)).next_multiple_of(SIDE);
    in_f32(queries, |asked| {
        if bytes_pay(level, corpus, queries.rows()) {
            by_bytes(level, corpus, queries, asked, options, piece)
        } else {
            in_f32(corpus.rows(), |rows| float::search(level, rows, asked.iter().collect(), *options))
        }
    })
}

/// What `action` makes of the rows in f32, which they are or are widened to.
fn in_f32<T>(rows: SearchRows<'_>, action: impl FnOnce(DenseView<'_>) -> T) -> T {
    match rows {
        SearchRows::F32(rows) => action(rows),
        _ => action(rows.view_of(&rows.gather(0..rows.rows()))),
    }
}

/// The scan of bytes. A corpus that is not packed is packed `piece` rows at a time, a multiple of 32. `asked` are the
/// queries in f32.
fn by_bytes(
    level: Level,
    corpus: &Corpus<'_>,
    queries: SearchRows<'_>,
    asked: DenseView<'_>,
    options: &SearchOptions<'_>,
    piece: usize,
) -> Vec<Vec<Neighbor>> {
    let rows = corpus.rows();
    let scan = Scan::new(level, queries, asked, options);
    let ask = |query: usize| (asked.row(query), scan.norm(query));
    let raise_floors = matches!(options.wanted, Wanted::Top(_))
        && !matches!((rows, queries), (SearchRows::Bytes(_), SearchRows::Bytes(_)));
    let mut known = scan.start();
    for range in pieces(rows.rows(), if corpus.coded().is_some() { usize::MAX } else { piece }) {
        if raise_floors && range.start == FIRST_ROWS {
            // What the first rows say in f32 is a floor that spares most of the later ones.
            let tighten = |query: usize, known| refine::tighten(level, rows, ask(query), known, options);
            let tightened = known.into_par_iter().enumerate();
            known = tightened.map(|(query, known)| known.map(|known| tighten(query, known))).collect();
        }
        if let Some(packed) = corpus.coded() {
            let panels = range.start / SIDE..range.end.div_ceil(SIDE);
            known = Piece::new(&scan, packed, 0).scan(panels, known);
        } else {
            let packed = CodedPanels::pack(level, rows, range.clone());
            known = Piece::new(&scan, &packed, range.start).scan(0..range.len().div_ceil(SIDE), known);
        }
    }
    decide(level, rows, asked, |query| scan.norm(query), known, options)
}

/// The answers, given for each query the rows that may be wanted, or `None` where there are too many: it is searched for in
/// f32. Queries have norms ([`bounds::query_norm`]).
fn decide(
    level: Level,
    rows: SearchRows<'_>,
    asked: DenseView<'_>,
    norm: impl Fn(usize) -> f32 + Sync,
    known: Vec<Option<Shortlist>>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let ask = |query: usize| (asked.row(query), norm(query));
    let open: Vec<usize> = (0..known.len()).filter(|&query| known[query].is_none()).collect();
    let nearest = |(query, known): (usize, Option<Shortlist>)| {
        known.map(|known| refine::nearest(level, rows, ask(query), known, options)).unwrap_or_default()
    };
    let mut answers: Vec<_> = known.into_par_iter().enumerate().map(nearest).collect();
    if !open.is_empty() {
        let again = open.iter().map(|&query| asked.row(query)).collect();
        let found = in_f32(rows, |rows| float::search(level, rows, again, *options));
        for (query, answer) in open.into_iter().zip(found) {
            answers[query] = answer;
        }
    }
    answers
}

/// The answers, given for each query all rows that may be wanted, by whoever knows; `None` where they are not known.
#[cfg(feature = "gpu")]
pub(crate) fn among(
    level: Level,
    rows: SearchRows<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
    candidates: Vec<Option<Vec<u32>>>,
) -> Vec<Vec<Neighbor>> {
    in_f32(queries, |asked| {
        let norm = |query| bounds::query_norm(Sum::dot(asked.row(query), asked.row(query)));
        let shortlist = |rows| Shortlist::of(options.wanted, rows);
        let known = candidates.into_iter().map(|rows| rows.map(shortlist)).collect();
        decide(level, rows, asked, norm, known, options)
    })
}

/// The rows in pieces of at most `most`, the first one small.
fn pieces(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0usize;
    std::iter::from_fn(move || {
        let len = if start == 0 { FIRST_ROWS.min(most) } else { most };
        let piece = start..start.saturating_add(len).min(rows);
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Whether a scan of bytes is expected to be faster than one of the rows as they lie.
fn bytes_pay(level: Level, corpus: &Corpus<'_>, queries: usize) -> bool {
    let rows = corpus.rows();
    let multiplies_bytes = matches!(level.isa(), Isa::Avx512Vnni | Isa::Amx);
    match (corpus.coded(), rows) {
        _ if rows.dim() >= DIM_LIMIT => false,
        (Some(_), SearchRows::F32(_)) => multiplies_bytes || queries <= FEW_QUERIES,
        (None, SearchRows::F32(_)) => multiplies_bytes && queries >= MANY_QUERIES && rows.rows() >= MANY_ROWS,
        // Shorter rows than f32 are read as they are.
        (_, SearchRows::Half(_) | SearchRows::Bytes(_)) => true,
    }
}

#[cfg(test)]
mod tests;
