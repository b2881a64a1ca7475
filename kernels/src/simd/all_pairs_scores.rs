//! Scores of all pairs of sparse rows, into a place of the caller's.
//!
//! Cosines are the accumulators themselves, so only their bound is promised. A Jaccard index is a quotient
//! of two counts, rounded correctly.

use std::ops::Range;

use super::pairs::{Consumer, Index, Side, scan, units};
use super::variant::Wants;
use crate::exact::SquaredNorm;
use crate::isa::Level;
use crate::types::{Pairs, Similarity, SparseBatch};

/// Counts up to this are exact in f32, and so is the rounding of their quotient.
const EXACT_IN_F32: usize = 1 << 24;

/// Writes the score of every pair to its place.
pub(crate) fn all_pairs_scores(level: Level, pairs: &Pairs<'_>, similarity: Similarity, scores: &mut [f32]) {
    let wants = match similarity {
        Similarity::Cosine => Cosines::WANTS,
        Similarity::Jaccard => Indices::WANTS,
    };
    let index = index(level, pairs, wants);
    let rows = pairs.left().rows();
    let mut rest = scores;
    #[expect(clippy::cast_possible_truncation, reason = "places of a slice")]
    let parts = |range: Range<usize>| {
        let len = (pairs.before(range.end) - pairs.before(range.start)) as usize;
        let (part, after) = std::mem::take(&mut rest).split_at_mut(len);
        rest = after;
        part
    };
    match similarity {
        Similarity::Cosine => {
            let start =
                |range: Range<usize>, scores| Cosines { place: Place { pairs, first: range.start, scores } };
            scan(level, &index, rows, parts, start, drop);
        }
        Similarity::Jaccard => {
            let lens = row_lens(pairs.right());
            let start = |range: Range<usize>, scores| Indices {
                lens: &lens,
                left: pairs.left(),
                place: Place { pairs, first: range.start, scores },
            };
            scan(level, &index, rows, parts, start, drop);
        }
    }
}

/// The index of all pairs, for what is wanted of them.
pub(super) fn index(level: Level, pairs: &Pairs<'_>, wants: Wants) -> Index {
    let (left, right) = sides(pairs, wants);
    Index::new(level, wants, &left, right.as_ref())
}

fn sides<'a>(pairs: &Pairs<'a>, wants: Wants) -> (Side<'a>, Option<Side<'a>>) {
    let side = |batch: &'a SparseBatch<'a>| {
        let roots = (0..batch.rows()).map(|row| SquaredNorm::of_values(batch.row(row).1).root);
        let units = if wants.dots { units(batch.indptr(), batch.values(), roots) } else { Vec::new() };
        Side { indptr: batch.indptr(), indices: batch.indices(), units }
    };
    (side(pairs.left()), (!pairs.is_triangle()).then(|| side(pairs.right())))
}

/// Lengths of the rows of a batch.
pub(super) fn row_lens(batch: &SparseBatch<'_>) -> Vec<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX entries")]
    batch.indptr().windows(2).map(|row| (row[1] - row[0]) as u32).collect()
}

/// The scores of consecutive left rows.
struct Place<'a> {
    pairs: &'a Pairs<'a>,
    /// The first of the rows.
    first: usize,
    scores: &'a mut [f32],
}

impl Place<'_> {
    /// The place of the scores of row `i` with the `len` rows from `j` on.
    #[inline(always)]
    fn of(&mut self, i: usize, j: usize, len: usize) -> &mut [f32] {
        let row = self.pairs.before(i) - self.pairs.before(self.first);
        #[expect(clippy::cast_possible_truncation, reason = "a place in a slice")]
        let at = row as usize + j - self.pairs.first_partner(i);
        &mut self.scores[at..at + len]
    }
}

struct Cosines<'a> {
    place: Place<'a>,
}

impl Consumer for Cosines<'_> {
    const WANTS: Wants = Wants { dots: true, counts: false, every_pair: true };

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, dots: &mut [f32], _: &mut [u32]) {
        let place = self.place.of(i, first, dots.len());
        for (place, dot) in place.iter_mut().zip(dots) {
            *place = dot.clamp(-1.0, 1.0);
        }
    }
}

struct Indices<'a> {
    lens: &'a [u32],
    left: &'a SparseBatch<'a>,
    place: Place<'a>,
}

impl Consumer for Indices<'_> {
    const WANTS: Wants = Wants { dots: false, counts: true, every_pair: true };

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, _: &mut [f32], counts: &mut [u32]) {
        let len = self.left.row(i).0.len();
        let lens = &self.lens[first..first + counts.len()];
        let place = self.place.of(i, first, counts.len());
        let longest = len + lens.iter().fold(0, |most, &len| most.max(len)) as usize;
        if longest < EXACT_IN_F32 {
            #[expect(clippy::cast_precision_loss, reason = "below 2^24")]
            let len = len as f32;
            for ((place, &shared), &partner) in place.iter_mut().zip(&*counts).zip(lens) {
                #[expect(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "below 2^24")]
                let (shared, partner) = (shared as i32 as f32, partner as i32 as f32);
                let union = len + partner - shared;
                *place = if union == 0.0 { 1.0 } else { shared / union };
            }
        } else {
            for ((place, &shared), &partner) in place.iter_mut().zip(&*counts).zip(lens) {
                *place = jaccard(len, partner, shared);
            }
        }
    }
}

/// The index of two rows of these lengths, rounded from f64.
fn jaccard(len: usize, partner: u32, shared: u32) -> f32 {
    let union = len as u64 + u64::from(partner) - u64::from(shared);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "below 2^53; rounded once"
    )]
    let index = if union == 0 { 1.0 } else { (f64::from(shared) / union as f64) as f32 };
    index
}
