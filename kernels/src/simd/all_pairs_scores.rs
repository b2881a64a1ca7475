//! Scores of all pairs of sparse rows, into a place of the caller's.
//!
//! Cosines are the accumulators themselves, so only their bound is promised. A Jaccard index is a quotient
//! of two counts, rounded correctly.

use std::convert::Infallible;
use std::ops::Range;

use super::pairs::{Consumer, Index, Side, scan, units};
use super::stream;
use super::variant::Wants;
use crate::exact::SquaredNorm;
use crate::isa::Level;
use crate::types::{Pairs, Similarity, SparseBatch};

/// From this many scores on they are written past the caches.
const STREAMED: usize = 1 << 20;
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
    let streams = scores.len() >= STREAMED;
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
            let start = |range: Range<usize>, scores| Cosines {
                place: Place { pairs, first: range.start, streams, scores },
            };
            let Ok(_) = scan(level, &index, rows, parts, start, done);
        }
        Similarity::Jaccard => {
            let lens = row_lens(pairs.right());
            let start = |range: Range<usize>, scores| Indices {
                lens: &lens,
                left: pairs.left(),
                place: Place { pairs, first: range.start, streams, scores },
            };
            let Ok(_) = scan(level, &index, rows, parts, start, done);
        }
    }
}

/// A consumer that has written everything leaves nothing.
fn done<C>(_: C) -> Result<(), Infallible> {
    stream::finish();
    Ok(())
}

/// The index of all pairs, for what is wanted of them.
pub(super) fn index(level: Level, pairs: &Pairs<'_>, wants: Wants) -> Index {
    let (left, right) = sides(pairs, wants);
    Index::new(level, wants, &left, right.as_ref())
}

pub(super) fn sides<'a>(pairs: &Pairs<'a>, wants: Wants) -> (Side<'a>, Option<Side<'a>>) {
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
    /// Whether the scores are too many for the caches.
    streams: bool,
    scores: &'a mut [f32],
}

impl Place<'_> {
    /// Writes the scores of row `i` with the rows from `j` on.
    #[inline(always)]
    fn put(&mut self, i: usize, j: usize, scores: &[f32]) {
        let row = self.pairs.before(i) - self.pairs.before(self.first);
        #[expect(clippy::cast_possible_truncation, reason = "a place in a slice")]
        let at = row as usize + j - self.pairs.first_partner(i);
        let place = &mut self.scores[at..at + scores.len()];
        if self.streams {
            stream::copy(bytemuck::cast_slice(scores), bytemuck::cast_slice_mut(place));
        } else {
            place.copy_from_slice(scores);
        }
    }
}

struct Cosines<'a> {
    place: Place<'a>,
}

impl Consumer for Cosines<'_> {
    const WANTS: Wants = Wants { dots: true, counts: false, every_pair: true };

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, dots: &mut [f32], _: &mut [u32]) {
        for dot in &mut *dots {
            *dot = dot.clamp(-1.0, 1.0);
        }
        self.place.put(i, first, dots);
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
        let longest = len + lens.iter().fold(0, |most, &len| most.max(len)) as usize;
        if longest < EXACT_IN_F32 {
            #[expect(clippy::cast_precision_loss, reason = "below 2^24")]
            let len = len as f32;
            for (shared, &partner) in counts.iter_mut().zip(lens) {
                #[expect(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "below 2^24")]
                let (both, partner) = (*shared as i32 as f32, partner as i32 as f32);
                let union = len + partner - both;
                *shared = if union == 0.0 { 1.0 } else { both / union }.to_bits();
            }
        } else {
            for (shared, &partner) in counts.iter_mut().zip(lens) {
                *shared = jaccard(len, partner, *shared).to_bits();
            }
        }
        // The counts have become the bits of their scores.
        self.place.put(i, first, bytemuck::cast_slice(counts));
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
