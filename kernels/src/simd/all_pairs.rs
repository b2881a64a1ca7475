//! Pairs of sparse rows above a threshold.
//!
//! Sums in f32 and counts discard almost all pairs, sixteen at a time; what is left is decided exactly and
//! scored by the one expression that every backend uses.

use super::all_pairs_scores::{index, row_lens};
use super::pairs::{Consumer, cosine_error, scan};
use super::variant::Wants;
use crate::exact::{JudgedRows, PairView, SquaredNorm, jaccard_at_least};
use crate::isa::Level;
use crate::types::{Decimal, Pairs, ScoredPair, Similarity};

/// Pairs compared with the threshold at once.
pub(super) const LANES: usize = 16;

/// The pairs whose score is `at_least`, ascending.
pub(crate) fn all_pairs(
    level: Level,
    pairs: &Pairs<'_>,
    similarity: Similarity,
    at_least: Decimal,
) -> Vec<ScoredPair> {
    let wants = match similarity {
        Similarity::Cosine => Cosines::WANTS,
        Similarity::Jaccard => Indices::WANTS,
    };
    let index = index(level, pairs, wants);
    let rows = pairs.left().rows();
    let mut found = match similarity {
        Similarity::Cosine => {
            let cosines = Cosines::new(pairs, at_least);
            let start = |_, ()| Found::new(&cosines);
            scan(level, &index, rows, |_| (), start, Found::sorted).concat()
        }
        Similarity::Jaccard => {
            let indices = Indices::new(pairs, at_least);
            let start = |_, ()| Found::new(&indices);
            scan(level, &index, rows, |_| (), start, Found::sorted).concat()
        }
    };
    if similarity == Similarity::Jaccard {
        add_zero_rows(pairs, &mut found);
    }
    found
}

/// What a similarity brings to the search for pairs.
trait Filter: Sync {
    const WANTS: Wants;

    /// What row `i` compares its partners with.
    fn limit(&self, i: usize) -> f32;
    /// Whether a pair may be at the threshold or above.
    fn may_pass(&self, limit: f32, j: usize, dot: f32, count: u32) -> bool;
    /// The score of a pair that is.
    fn score(&self, i: usize, j: usize, count: u32) -> Option<f64>;
}

/// The pairs of one task that were found.
struct Found<'a, F> {
    filter: &'a F,
    candidates: Vec<usize>,
    pairs: Vec<ScoredPair>,
}

impl<'a, F> Found<'a, F> {
    fn new(filter: &'a F) -> Self {
        Self { filter, candidates: Vec::new(), pairs: Vec::new() }
    }

    /// Blocks come one after the other, each with all rows of the task.
    fn sorted(mut self) -> Vec<ScoredPair> {
        self.pairs.sort_by_key(|pair| (pair.left, pair.right));
        self.pairs
    }
}

impl<F: Filter> Found<'_, F> {
    #[inline(always)]
    fn judge(&mut self, i: usize, j: usize, count: u32) {
        if let Some(score) = self.filter.score(i, j, count) {
            #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
            self.pairs.push(ScoredPair { left: i as u32, right: j as u32, score });
        }
    }
}

impl<F: Filter> Consumer for Found<'_, F> {
    const WANTS: Wants = F::WANTS;

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, dots: &mut [f32], counts: &mut [u32]) {
        let limit = self.filter.limit(i);
        let len = dots.len().max(counts.len());
        let filter = self.filter;
        let may_pass = |at: usize| {
            let dot = if F::WANTS.dots { dots[at] } else { 0.0 };
            let count = if F::WANTS.counts { counts[at] } else { 0 };
            filter.may_pass(limit, first + at, dot, count)
        };
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut start = 0;
        while start < len {
            let end = (start + LANES).min(len);
            if (start..end).fold(false, |any, at| any | may_pass(at)) {
                candidates.extend((start..end).filter(|&at| may_pass(at)));
            }
            start = end;
        }
        for at in candidates.drain(..) {
            let count = counts.get(at).copied().unwrap_or(0);
            self.judge(i, first + at, count);
        }
        self.candidates = candidates;
    }

    #[inline(always)]
    fn touched(&mut self, i: usize, j: usize, dot: f32, count: u32) {
        if self.filter.may_pass(self.filter.limit(i), j, dot, count) {
            self.judge(i, j, count);
        }
    }
}

struct Cosines<'a> {
    pairs: &'a Pairs<'a>,
    at_least: Decimal,
    left_norms: Vec<SquaredNorm<f64>>,
    right_norms: Vec<SquaredNorm<f64>>,
    longest: usize,
}

impl<'a> Cosines<'a> {
    fn new(pairs: &'a Pairs<'a>, at_least: Decimal) -> Self {
        let norms = |batch: &crate::SparseBatch<'_>| {
            (0..batch.rows()).map(|row| SquaredNorm::of_values(batch.row(row).1)).collect()
        };
        let longest = pairs.right().indptr().windows(2).map(|row| row[1] - row[0]).max().unwrap_or(0);
        let (left_norms, right_norms) = (norms(pairs.left()), norms(pairs.right()));
        Self { pairs, at_least, left_norms, right_norms, longest }
    }
}

impl Filter for Cosines<'_> {
    const WANTS: Wants = Wants { dots: true, counts: false, every_pair: false };

    #[inline(always)]
    fn limit(&self, i: usize) -> f32 {
        let shared = self.pairs.left().row_len(i).min(self.longest);
        let limit = self.at_least.to_f64() - cosine_error(shared);
        #[expect(clippy::cast_possible_truncation, reason = "rounded down")]
        let limit = (limit as f32).next_down();
        limit
    }

    #[inline(always)]
    fn may_pass(&self, limit: f32, _: usize, dot: f32, _: u32) -> bool {
        dot >= limit
    }

    fn score(&self, i: usize, j: usize, _: u32) -> Option<f64> {
        let (left, right) = (self.pairs.left(), self.pairs.right());
        let norms = (self.left_norms[i], self.right_norms[j]);
        if norms.0.squared == 0.0 || norms.1.squared == 0.0 {
            return None;
        }
        let dot = left.dot(i, right, j);
        let passes = left.pair((i, norms.0), right, (j, norms.1), dot).cosine_at_least(self.at_least);
        passes.then(|| (dot / (norms.0.root * norms.1.root)).clamp(-1.0, 1.0))
    }
}

struct Indices<'a> {
    pairs: &'a Pairs<'a>,
    at_least: Decimal,
    lens: Vec<u32>,
    /// What each right row's length adds to the least count times 10⁴, nearly: below the exact one.
    least: Vec<f32>,
}

/// Shrinks a bound by more than two roundings in f32 can have raised it.
const SLACK: f64 = 1.0 - 1.0 / (1u64 << 20) as f64;

impl<'a> Indices<'a> {
    fn new(pairs: &'a Pairs<'a>, at_least: Decimal) -> Self {
        let lens = row_lens(pairs.right());
        #[expect(clippy::cast_possible_truncation, reason = "rounded")]
        let least = lens.iter().map(|&len| (f64::from(len) * share(at_least)) as f32).collect();
        Self { pairs, at_least, lens, least }
    }
}

/// shared / (a + b − shared) ≥ t is shared ≥ (a + b)·t/(1 + t): the factor of the lengths, made smaller.
pub(super) fn share(t: Decimal) -> f64 {
    SLACK * t.to_f64() / (1.0 + t.to_f64())
}

impl Filter for Indices<'_> {
    const WANTS: Wants = Wants { dots: false, counts: true, every_pair: false };

    #[inline(always)]
    fn limit(&self, i: usize) -> f32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "rounded")]
        let limit = (self.pairs.left().row_len(i) as f64 * share(self.at_least)) as f32;
        limit
    }

    #[inline(always)]
    fn may_pass(&self, limit: f32, j: usize, _: f32, count: u32) -> bool {
        #[expect(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "below 2^31; rounded")]
        let shared = count as i32 as f32;
        (count > 0) & (shared >= limit + self.least[j])
    }

    fn score(&self, i: usize, j: usize, count: u32) -> Option<f64> {
        let (shared, lens) =
            (u64::from(count), (self.pairs.left().row_len(i) as u64, u64::from(self.lens[j])));
        let union = lens.0 + lens.1 - shared;
        #[expect(clippy::cast_precision_loss, reason = "below 2^34")]
        jaccard_at_least(shared, union, self.at_least).then(|| shared as f64 / union as f64)
    }
}

/// Two zero rows have the Jaccard index 1, though they meet nowhere.
fn add_zero_rows(pairs: &Pairs<'_>, found: &mut Vec<ScoredPair>) {
    let zero_rows = |batch: &crate::SparseBatch<'_>| -> Vec<u32> {
        (0..).zip(batch.indptr().windows(2)).filter(|(_, row)| row[0] == row[1]).map(|(row, _)| row).collect()
    };
    let (left, right) = (zero_rows(pairs.left()), zero_rows(pairs.right()));
    let before = found.len();
    for &i in &left {
        let later = right.iter().filter(|&&j| j as usize >= pairs.first_partner(i as usize));
        found.extend(later.map(|&j| ScoredPair { left: i, right: j, score: 1.0 }));
    }
    if found.len() > before {
        found.sort_by_key(|pair| (pair.left, pair.right));
    }
}
