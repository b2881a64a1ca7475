//! Conflict classes of all pairs by inverted lists: only pairs that share a position are ever touched.
//!
//! Each dimension keeps the list of the rows that use it. A row adds its products into one
//! accumulator per partner by walking the lists of its own dimensions; pairs that meet in no list
//! share no position, so their cosine and Jaccard index are 0 and they are orthogonal by rule 6. A
//! vectorised sweep then discards the partners that are orthogonal beyond doubt, and the few that
//! are left are judged exactly.

use rayon::prelude::*;

use super::postings::Postings;
use crate::Thresholds;
use crate::exact::{Comparison, JudgedRows, classify};
use crate::isa::Level;
use crate::types::{ConflictClass, ConflictList, ConflictPair, KeyRelation, KeySets, Rule};

/// Rows of one task. Fixed, so the work is cut the same for every number of threads.
const ROWS_PER_TASK: usize = 32;

/// The pairs that are not orthogonal. Cost: one multiply-add per pair and shared position, plus one
/// comparison per pair for rows that meet most others.
pub(crate) fn conflict_matrix<B: JudgedRows>(
    level: Level,
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictList {
    let scan = Scan::new(level, job, thresholds);
    let tasks = job.left.rows().div_ceil(ROWS_PER_TASK);
    let found: Vec<Vec<ConflictPair>> = (0..tasks)
        .into_par_iter()
        .map_init(|| Row::new(job.right.rows()), |row, task| scan.task(row, task))
        .collect();
    let mut pairs = found.concat();
    let zero_rows = pairs_of_zero_rows(job);
    if !zero_rows.is_empty() {
        pairs.extend(zero_rows);
        pairs.sort_unstable();
    }
    ConflictList::new(job.left.rows(), job.right.rows(), job.pairs(), pairs)
}

/// Everything that all rows share.
struct Scan<'a, B: JudgedRows> {
    level: Level,
    job: &'a Comparison<'a, B>,
    thresholds: &'a Thresholds,
    postings: Postings,
    left_norms: Vec<B::Norm>,
    right_norms: Vec<B::Norm>,
    partners: Partners,
}

/// What the sweep reads of each right row.
struct Partners {
    roots: Vec<f64>,
    lens: Vec<u32>,
}

/// The accumulators of one left row, reused from row to row. All zero between rows.
struct Row {
    dots: Vec<f64>,
    shared: Vec<u32>,
    candidates: Vec<u32>,
}

impl Row {
    fn new(partners: usize) -> Self {
        Self { dots: vec![0.0; partners], shared: vec![0; partners], candidates: Vec::new() }
    }
}

impl<'a, B: JudgedRows> Scan<'a, B> {
    fn new(level: Level, job: &'a Comparison<'a, B>, thresholds: &'a Thresholds) -> Self {
        let norms = |batch: &B| (0..batch.rows()).into_par_iter().map(|row| batch.norm(row)).collect();
        let (left_norms, right_norms): (Vec<_>, Vec<_>) = (norms(job.left), norms(job.right));
        #[expect(clippy::cast_possible_truncation, reason = "a row has at most dim ≤ u32::MAX entries")]
        let lens = (0..job.right.rows()).map(|row| job.right.row_len(row) as u32).collect();
        let roots = right_norms.iter().map(|&norm| B::root(norm)).collect();
        let postings = Postings::new(job.left, job.right, job.triangle);
        Self { level, job, thresholds, postings, left_norms, right_norms, partners: Partners { roots, lens } }
    }

    fn task(&self, row: &mut Row, task: usize) -> Vec<ConflictPair> {
        let mut pairs = Vec::new();
        let first = task * ROWS_PER_TASK;
        for i in first..(first + ROWS_PER_TASK).min(self.job.left.rows()) {
            self.row(row, i, &mut pairs);
        }
        pairs
    }

    fn row(&self, row: &mut Row, i: usize, pairs: &mut Vec<ConflictPair>) {
        let first = if self.job.triangle { i + 1 } else { 0 };
        let partners = self.job.right.rows() - first;
        // Sweeping a partner costs far less than noting that it was touched.
        let sweep = self.postings.meetings(i) * 8 >= partners;
        if sweep {
            self.postings.accumulate(i, |j, product| {
                row.dots[j as usize] += product;
                row.shared[j as usize] += 1;
            });
            self.level.dispatch(Sweep { scan: self, row, i, first });
        } else {
            self.postings.accumulate(i, |j, product| {
                if row.shared[j as usize] == 0 {
                    row.candidates.push(j);
                }
                row.dots[j as usize] += product;
                row.shared[j as usize] += 1;
            });
            row.candidates.sort_unstable();
        }
        for &j in &row.candidates {
            pairs.extend(self.judge(i, j, row.dots[j as usize], row.shared[j as usize]));
        }
        if sweep {
            row.dots[first..].fill(0.0);
            row.shared[first..].fill(0);
        } else {
            for &j in &row.candidates {
                row.dots[j as usize] = 0.0;
                row.shared[j as usize] = 0;
            }
        }
        row.candidates.clear();
    }

    fn judge(&self, i: usize, right: u32, dot: f64, shared: u32) -> Option<ConflictPair> {
        let j = right as usize;
        let job = self.job;
        let pair = job.left.pair((i, self.left_norms[i]), job.right, (j, self.right_norms[j]), dot);
        let counts = (job.left.row_len(i), job.right.row_len(j), u64::from(shared));
        let (class, rule) = classify(counts, &pair, || job.key_relation(i, j), self.thresholds);
        #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
        let left = i as u32;
        (class != ConflictClass::Orthogonal).then_some(ConflictPair { left, right, class, rule })
    }
}

/// Lists the partners of row `i` that are not orthogonal beyond doubt.
struct Sweep<'a, B: JudgedRows> {
    scan: &'a Scan<'a, B>,
    row: &'a mut Row,
    i: usize,
    first: usize,
}

impl<B: JudgedRows> pulp::WithSimd for Sweep<'_, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        const LANES: usize = 16;
        let Self { scan, row, i, first } = self;
        let Row { dots, shared, candidates } = row;
        let thresholds = scan.thresholds;
        // A pair is orthogonal by rule 6, and by no earlier rule, when |cos| < orthogonal and its
        // Jaccard index is below `structural`. The computed cosine is off by less than 2^-20 even for
        // rows of 2^31 entries, and counts times 10⁴ are exact in f64.
        let root = B::root(scan.left_norms[i]);
        let limit = (thresholds.orthogonal.to_f64() - 2f64.powi(-20)) * root;
        let structural = f64::from(thresholds.structural.ten_thousandths());
        let len = scan.job.left.row_len(i);
        #[expect(clippy::cast_precision_loss, reason = "a row has fewer than 2^32 entries")]
        let len = len as f64;
        let undecided = |dot: f64, shared: u32, root: f64, partner_len: u32| {
            let shared = f64::from(shared);
            let union = len + f64::from(partner_len) - shared;
            // `!(a < b)` would let a NaN through; there is none: roots and dots are finite.
            (dot.abs() >= limit * root) | (shared * 1e4 >= structural * union)
        };
        let (roots, lens) = (&scan.partners.roots[first..], &scan.partners.lens[first..]);
        let (dots, shared) = (&dots[first..], &shared[first..]);
        let mut start = 0;
        while start < dots.len() {
            let end = (start + LANES).min(dots.len());
            let lanes = || {
                let (dots, shared) = (&dots[start..end], &shared[start..end]);
                dots.iter().zip(shared).zip(&roots[start..end]).zip(&lens[start..end])
            };
            let any = lanes().fold(false, |any, (((&d, &s), &r), &l)| any | undecided(d, s, r, l));
            if any {
                for (lane, (((&d, &s), &r), &l)) in lanes().enumerate() {
                    // A partner that shares nothing has cos = 0 and needs no judge.
                    if s > 0 && undecided(d, s, r, l) {
                        #[expect(
                            clippy::cast_possible_truncation,
                            reason = "batches have at most u32::MAX rows"
                        )]
                        candidates.push((first + start + lane) as u32);
                    }
                }
            }
            start = end;
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
