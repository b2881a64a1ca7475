//! Pairs of sparse rows above a threshold.
//!
//! Sums in f32 and counts discard almost all pairs, sixteen at a time; what is left is decided exactly and
//! scored by the one expression that every backend uses.

use std::convert::Infallible;

use super::all_pairs_scores::{index, row_lens, sides};
use super::pairs::{Consumer, Index, LANES, cosine_error, scan, take};
use super::variant::{Explanation, Wants};
use crate::exact::{JudgedRows, PairView, SquaredNorm, jaccard_at_least};
use crate::isa::Level;
use crate::types::{Decimal, Pairs, ScoredPair, Similarity, SparseBatch};

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
            let Ok(found) = scan(level, &index, rows, |_| (), start, Found::sorted);
            found.concat()
        }
        Similarity::Jaccard => {
            let indices = Indices::new(pairs, at_least);
            let start = |_, ()| Found::new(&indices);
            let Ok(found) = scan(level, &index, rows, |_| (), start, Found::sorted);
            found.concat()
        }
    };
    if similarity == Similarity::Jaccard {
        add_zero_rows(pairs, &mut found);
    }
    found
}

/// Which variant finds pairs, and why.
pub(crate) fn explain(level: Level, pairs: &Pairs<'_>, similarity: Similarity) -> Explanation {
    let wants = match similarity {
        Similarity::Cosine => Cosines::WANTS,
        Similarity::Jaccard => Indices::WANTS,
    };
    let (left, right) = sides(pairs, wants);
    Index::explain(level, wants, &left, right.as_ref())
}

/// What a similarity brings to the search for pairs.
trait Filter: Sync {
    const WANTS: Wants;

    /// What row `i` compares its partners with.
    fn limit(&self, i: usize) -> f32;
    /// What the right rows from `first` on bring to it; empty where they bring nothing.
    fn least(&self, first: usize) -> &[f32];
    /// Whether a pair may be at the threshold or above.
    fn may_pass(limit: f32, least: f32, dot: f32, count: u32) -> bool;
    /// The score of a pair that is.
    fn score(&self, spread: &mut Spread, i: usize, j: usize, count: u32) -> Option<f64>;
}

/// One left row by position, for dot products with many others.
#[derive(Default)]
struct Spread {
    row: Option<usize>,
    values: Vec<f32>,
}

/// The largest dimension that is spread out: 1 MiB, a share of one core's cache.
const MAX_SPREAD: u32 = 1 << 18;

impl Spread {
    /// The f64 sum, in ascending position, of products of row `i` of `left` and row `j` of `right`. Positions of `right`
    /// alone add a zero, which changes no sum.
    fn dot(&mut self, left: &SparseBatch<'_>, i: usize, right: &SparseBatch<'_>, j: usize) -> f64 {
        if left.dim() > MAX_SPREAD {
            return left.dot(i, right, j);
        }
        if self.row != Some(i) {
            self.values.resize(left.dim() as usize, 0.0);
            for &index in self.row.map_or(&[][..], |row| left.row(row).0) {
                self.values[index as usize] = 0.0;
            }
            let (indices, values) = left.row(i);
            for (&index, &value) in indices.iter().zip(values) {
                self.values[index as usize] = value;
            }
            self.row = Some(i);
        }
        let (indices, values) = right.row(j);
        let terms = indices.iter().zip(values);
        terms.fold(0.0, |sum, (&index, &value)| {
            sum + f64::from(self.values[index as usize]) * f64::from(value)
        })
    }
}

/// The pairs of one task that were found.
struct Found<'a, F> {
    filter: &'a F,
    spread: Spread,
    candidates: Vec<usize>,
    pairs: Vec<ScoredPair>,
}

impl<'a, F> Found<'a, F> {
    fn new(filter: &'a F) -> Self {
        Self { filter, spread: Spread::default(), candidates: Vec::new(), pairs: Vec::new() }
    }

    /// Blocks come one after the other, each with all rows of the task.
    fn sorted(mut self) -> Result<Vec<ScoredPair>, Infallible> {
        self.pairs.sort_by_key(|pair| (pair.left, pair.right));
        Ok(self.pairs)
    }
}

impl<F: Filter> Found<'_, F> {
    #[inline(always)]
    fn judge(&mut self, i: usize, j: usize, count: u32) {
        if let Some(score) = self.filter.score(&mut self.spread, i, j, count) {
            #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
            self.pairs.push(ScoredPair { left: i as u32, right: j as u32, score });
        }
    }
}

impl<F: Filter> Consumer for Found<'_, F> {
    const WANTS: Wants = F::WANTS;

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, dots: &mut [f32], counts: &mut [u32]) {
        let filter = self.filter;
        let limit = filter.limit(i);
        let mut least = filter.least(first);
        let (mut dots, mut rest) = (&dots[..], &counts[..]);
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut at = 0;
        while !dots.is_empty() || !rest.is_empty() {
            // A last group that is not full is filled up with pairs that share nothing and never pass.
            let (dots, counts, least) = (take(&mut dots), take(&mut rest), take(&mut least));
            let mut passes = [false; LANES];
            for lane in 0..LANES {
                passes[lane] = F::may_pass(limit, least[lane], dots[lane], counts[lane]);
            }
            if passes.iter().fold(false, |any, &one| any | one) {
                candidates.extend((at..).zip(passes).filter(|&(_, passes)| passes).map(|(at, _)| at));
            }
            at += LANES;
        }
        for at in candidates.drain(..) {
            let count = counts.get(at).copied().unwrap_or(0);
            self.judge(i, first + at, count);
        }
        self.candidates = candidates;
    }

    #[inline(always)]
    fn touched(&mut self, i: usize, j: usize, dot: f32, count: u32) {
        let least = self.filter.least(j).first().copied().unwrap_or(0.0);
        if F::may_pass(self.filter.limit(i), least, dot, count) {
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
        let norms = |batch: &SparseBatch<'_>| {
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
    fn least(&self, _: usize) -> &[f32] {
        &[]
    }

    #[inline(always)]
    fn may_pass(limit: f32, _: f32, dot: f32, _: u32) -> bool {
        dot >= limit
    }

    fn score(&self, spread: &mut Spread, i: usize, j: usize, _: u32) -> Option<f64> {
        let (left, right) = (self.pairs.left(), self.pairs.right());
        let norms = (self.left_norms[i], self.right_norms[j]);
        if norms.0.squared == 0.0 || norms.1.squared == 0.0 {
            return None;
        }
        let dot = spread.dot(left, i, right, j);
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
fn share(t: Decimal) -> f64 {
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
    fn least(&self, first: usize) -> &[f32] {
        &self.least[first..]
    }

    #[inline(always)]
    fn may_pass(limit: f32, least: f32, _: f32, count: u32) -> bool {
        #[expect(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "below 2^31; rounded")]
        let shared = count as i32 as f32;
        (count > 0) & (shared >= limit + least)
    }

    fn score(&self, _: &mut Spread, i: usize, j: usize, count: u32) -> Option<f64> {
        let (shared, lens) =
            (u64::from(count), (self.pairs.left().row_len(i) as u64, u64::from(self.lens[j])));
        let union = lens.0 + lens.1 - shared;
        #[expect(clippy::cast_precision_loss, reason = "below 2^34")]
        jaccard_at_least(shared, union, self.at_least).then(|| shared as f64 / union as f64)
    }
}

/// Two zero rows have the Jaccard index 1, though they meet nowhere.
fn add_zero_rows(pairs: &Pairs<'_>, found: &mut Vec<ScoredPair>) {
    let zero_rows = |batch: &SparseBatch<'_>| -> Vec<u32> {
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
