//! Conflict classes of all pairs: sums in f32 and counts discard the pairs that are orthogonal beyond
//! doubt, sixteen at a time, and settle most of the others; what is within the error bound of a threshold is
//! judged exactly.
//!
//! Pairs that share no position have cosine and Jaccard index 0, so they are orthogonal by rule 6.

use super::all_pairs::{LANES, share};
use super::pairs::{Consumer, Index, Side, cosine_error, scan, units};
use super::variant::{Explanation, Wants};
use crate::exact::{Comparison, JudgedRows, PairView, classify};
use crate::isa::Level;
use crate::types::{ConflictClass, ConflictList, ConflictPair, KeyRelation, KeySets, Rule};
use crate::{Decimal, Thresholds};

/// The pairs that are not orthogonal. Cost: one multiply-add per pair and shared position, plus one
/// comparison per pair for rows that meet most others.
pub(crate) fn conflict_matrix<B: JudgedRows>(
    level: Level,
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictList {
    let (judge, left, right) = prepare(job, thresholds);
    let index = Index::new(level, WANTS, &left, right.as_ref());
    let start = |_, ()| Found { judge: &judge, candidates: Vec::new(), pairs: Vec::new() };
    let mut pairs = scan(level, &index, job.left.rows(), |_| (), start, Found::sorted).concat();
    let zero_rows = pairs_of_zero_rows(job);
    if !zero_rows.is_empty() {
        pairs.extend(zero_rows);
        pairs.sort_unstable();
    }
    ConflictList::new(job.left.rows(), job.right.rows(), job.pairs(), pairs)
}

/// Which variant runs, and why.
pub(crate) fn explain<B: JudgedRows>(level: Level, job: &Comparison<'_, B>) -> Explanation {
    let thresholds = Thresholds::default();
    let (_, left, right) = prepare(job, &thresholds);
    Index::explain(level, WANTS, &left, right.as_ref())
}

const WANTS: Wants = Wants { dots: true, counts: true, every_pair: false };

fn prepare<'a, B: JudgedRows>(
    job: &'a Comparison<'a, B>,
    thresholds: &'a Thresholds,
) -> (Judge<'a, B>, Side<'a>, Option<Side<'a>>) {
    let judge = Judge::new(job, thresholds);
    let side = |batch: &'a B, norms: &[B::Norm]| {
        let roots = norms.iter().map(|&norm| B::root(norm));
        let units = units(batch.indptr(), &batch.scaled_values(), roots);
        Side { indptr: batch.indptr(), indices: batch.indices(), units }
    };
    let left = side(job.left, &judge.left_norms);
    let right = (!job.triangle).then(|| side(job.right, judge.right_norms()));
    (judge, left, right)
}

/// What decides pairs.
struct Judge<'a, B: JudgedRows> {
    job: &'a Comparison<'a, B>,
    thresholds: &'a Thresholds,
    left_norms: Vec<B::Norm>,
    /// Empty in a triangle, whose right rows are the left ones.
    right_norms: Vec<B::Norm>,
    longest: usize,
    /// What each right row's length adds to the least count for a structural conflict, or a little less.
    least: Vec<f32>,
}

impl<'a, B: JudgedRows> Judge<'a, B> {
    fn new(job: &'a Comparison<'a, B>, thresholds: &'a Thresholds) -> Self {
        let norms = |batch: &B| (0..batch.rows()).map(|row| batch.norm(row)).collect();
        let left_norms = norms(job.left);
        let right_norms = if job.triangle { Vec::new() } else { norms(job.right) };
        let lens = job.right.indptr().windows(2).map(|row| row[1] - row[0]);
        let longest = lens.clone().max().unwrap_or(0);
        let least = lens.map(|len| least_shared(len, thresholds.structural)).collect();
        Self { job, thresholds, left_norms, right_norms, longest, least }
    }

    fn right_norms(&self) -> &[B::Norm] {
        if self.job.triangle { &self.left_norms } else { &self.right_norms }
    }

    /// From this |cosine| and from this count (with what the partner adds) on, row `i` needs a verdict.
    #[inline(always)]
    fn limits(&self, i: usize) -> (f32, f32) {
        let len = self.job.left.row_len(i);
        let cosine = self.thresholds.orthogonal.to_f64() - cosine_error(len.min(self.longest));
        #[expect(clippy::cast_possible_truncation, reason = "rounded down")]
        let cosine = (cosine as f32).next_down();
        (cosine, least_shared(len, self.thresholds.structural))
    }

    /// Whether a pair may be other than orthogonal. A pair is orthogonal by rule 6, and by no earlier rule, when
    /// |cos| < orthogonal and its Jaccard index is below `structural`.
    #[inline(always)]
    fn may_matter(&self, (cosine, least): (f32, f32), j: usize, dot: f32, count: u32) -> bool {
        #[expect(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "below 2^31; rounded")]
        let shared = count as i32 as f32;
        (count > 0) & ((dot.abs() >= cosine) | (shared >= least + self.least[j]))
    }

    /// The class of a pair of rows that share `count` ≥ 1 positions.
    fn verdict(&self, i: usize, j: usize, dot: f32, count: u32) -> Option<ConflictPair> {
        let job = self.job;
        let pair = Guarded { judge: self, i, j, cosine: f64::from(dot), error: cosine_error(count as usize) };
        let counts = (job.left.row_len(i), job.right.row_len(j), u64::from(count));
        let (class, rule) = classify(counts, &pair, || job.key_relation(i, j), self.thresholds);
        #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
        let (left, right) = (i as u32, j as u32);
        (class != ConflictClass::Orthogonal).then_some(ConflictPair { left, right, class, rule })
    }
}

/// What a row's length adds to the least count that makes the Jaccard index `t`, or a little less.
fn least_shared(len: usize, t: Decimal) -> f32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "rounded")]
    let least = (len as f64 * share(t)) as f32;
    least
}

/// A pair whose cosine is known within a bound; asked nearer than that, it is computed exactly.
struct Guarded<'a, B: JudgedRows> {
    judge: &'a Judge<'a, B>,
    i: usize,
    j: usize,
    cosine: f64,
    error: f64,
}

impl<B: JudgedRows> Guarded<'_, B> {
    fn exact(&self) -> impl PairView {
        let Comparison { left, right, .. } = *self.judge.job;
        let dot = left.dot(self.i, right, self.j);
        let norms = (self.judge.left_norms[self.i], self.judge.right_norms()[self.j]);
        left.pair((self.i, norms.0), right, (self.j, norms.1), dot)
    }
}

impl<B: JudgedRows> PairView for Guarded<'_, B> {
    #[inline(always)]
    fn cosine_at_least(&self, t: Decimal) -> bool {
        let distance = self.cosine - t.to_f64();
        if distance.abs() > self.error { distance > 0.0 } else { self.exact().cosine_at_least(t) }
    }

    #[inline(always)]
    fn cosine_magnitude_below(&self, t: Decimal) -> bool {
        let distance = self.cosine.abs() - t.to_f64();
        if distance.abs() > self.error { distance < 0.0 } else { self.exact().cosine_magnitude_below(t) }
    }

    fn norm_ratio_at_least(&self, t: Decimal) -> bool {
        self.exact().norm_ratio_at_least(t)
    }
}

/// The pairs of one task that are not orthogonal.
struct Found<'a, B: JudgedRows> {
    judge: &'a Judge<'a, B>,
    candidates: Vec<usize>,
    pairs: Vec<ConflictPair>,
}

impl<B: JudgedRows> Found<'_, B> {
    /// Blocks come one after the other, each with all rows of the task.
    fn sorted(mut self) -> Vec<ConflictPair> {
        self.pairs.sort_by_key(|pair| (pair.left, pair.right));
        self.pairs
    }
}

impl<B: JudgedRows> Consumer for Found<'_, B> {
    const WANTS: Wants = WANTS;

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, dots: &mut [f32], counts: &mut [u32]) {
        let judge = self.judge;
        let limits = judge.limits(i);
        let mut candidates = std::mem::take(&mut self.candidates);
        let may_matter = |at: usize| judge.may_matter(limits, first + at, dots[at], counts[at]);
        let mut start = 0;
        while start < dots.len() {
            let end = (start + LANES).min(dots.len());
            if (start..end).fold(false, |any, at| any | may_matter(at)) {
                candidates.extend((start..end).filter(|&at| may_matter(at)));
            }
            start = end;
        }
        for at in candidates.drain(..) {
            self.pairs.extend(judge.verdict(i, first + at, dots[at], counts[at]));
        }
        self.candidates = candidates;
    }

    #[inline(always)]
    fn touched(&mut self, i: usize, j: usize, dot: f32, count: u32) {
        if self.judge.may_matter(self.judge.limits(i), j, dot, count) {
            self.pairs.extend(self.judge.verdict(i, j, dot, count));
        }
    }
}
/// Pairs with a zero row are decided by their keys alone; only those that share a key can matter.
fn pairs_of_zero_rows<B: JudgedRows>(job: &Comparison<'_, B>) -> Vec<ConflictPair> {
    let Some((left_keys, right_keys)) = job.keys else { return Vec::new() };
    let zero_rows =
        |batch: &B| -> Vec<usize> { (0..batch.rows()).filter(|&row| batch.row_len(row) == 0).collect() };
    let (left_zero, right_zero) = (zero_rows(job.left), zero_rows(job.right));

    let mut pairs = Vec::new();
    let mut decide = |i: usize, j: usize| {
        let both_zero = job.left.row_len(i) == 0 && job.right.row_len(j) == 0;
        let (class, rule) = match (job.key_relation(i, j), both_zero) {
            (KeyRelation::Disjoint, _) => return,
            (KeyRelation::Equal, true) => (ConflictClass::Identical, Rule::new(1)),
            _ => (ConflictClass::Ambiguous, Rule::new(1)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
        pairs.push(ConflictPair { left: i as u32, right: j as u32, class, rule });
    };
    let by_key = KeyIndex::new(right_keys);
    for &i in &left_zero {
        for j in by_key.rows_sharing(left_keys.row(i)) {
            if !job.triangle || i < j {
                decide(i, j);
            }
        }
    }
    let by_key = KeyIndex::new(left_keys);
    for &j in &right_zero {
        for i in by_key.rows_sharing(right_keys.row(j)) {
            // A zero left row has met this one above.
            if job.left.row_len(i) > 0 && (!job.triangle || i < j) {
                decide(i, j);
            }
        }
    }
    pairs
}

/// (key, row) ascending: which rows hold a key.
struct KeyIndex(Vec<(u32, usize)>);

impl KeyIndex {
    fn new(keys: &KeySets) -> Self {
        let mut entries: Vec<_> =
            (0..keys.rows()).flat_map(|row| keys.row(row).iter().map(move |&id| (id, row))).collect();
        entries.sort_unstable();
        Self(entries)
    }

    /// Rows that hold any of `ids`, ascending, each once.
    fn rows_sharing(&self, ids: &[u32]) -> Vec<usize> {
        let mut rows: Vec<_> = ids
            .iter()
            .flat_map(|&id| {
                let from = self.0.partition_point(|&(key, _)| key < id);
                self.0[from..].iter().take_while(move |&&(key, _)| key == id).map(|&(_, row)| row)
            })
            .collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}
