//! Conflict classes of all pairs: sums in f32 and counts settle sixteen pairs at a time; what is within the
//! error bound of a threshold is judged exactly.
//!
//! Pairs that share no position have cosine and Jaccard index 0, so they are orthogonal by rule 6.

use std::convert::Infallible;
use std::ops::ControlFlow;

use super::pairs::{Consumer, Index, LANES, Side, cosine_error, scan, take, units};
use super::variant::{Explanation, Wants};
use crate::exact::{Comparison, JudgedRows, PairView, classify};
use crate::isa::Level;
use crate::types::{ConflictClass, ConflictCounts, ConflictList, ConflictPair, KeyRelation, KeySets, Rule};
use crate::{Decimal, Thresholds};

const WANTS: Wants = Wants { dots: true, counts: true, every_pair: false };

/// The pairs that are not orthogonal. Cost: one multiply-add per pair and shared position, plus one
/// comparison per pair for rows that meet most others.
pub(crate) fn conflict_matrix<B: JudgedRows>(
    level: Level,
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictList {
    let Ok(found) = run::<B, true, _, Infallible>(level, job, thresholds, |found| Ok(found.sorted()));
    let mut pairs = found.concat();
    let zero_rows = pairs_of_zero_rows(job);
    if !zero_rows.is_empty() {
        pairs.extend(zero_rows);
        pairs.sort_unstable();
    }
    job.list(pairs)
}

/// How many pairs there are of each class and rule.
pub(crate) fn conflict_counts<B: JudgedRows>(
    level: Level,
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictCounts {
    let Ok(found) = run::<B, false, _, Infallible>(level, job, thresholds, |found| Ok(found.counts));
    let mut counts = ConflictCounts::new(job.pairs());
    counts.extend(&pairs_of_zero_rows(job));
    found.iter().fold(counts, ConflictCounts::plus)
}

/// Hands on the pairs that are not orthogonal, task by task, until the sink breaks off.
pub(crate) fn conflict_rows<B: JudgedRows>(
    level: Level,
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
    sink: &(dyn Fn(&[ConflictPair]) -> ControlFlow<()> + Sync),
) -> ControlFlow<()> {
    let give =
        |pairs: &[ConflictPair]| if pairs.is_empty() { ControlFlow::Continue(()) } else { sink(pairs) };
    give(&pairs_of_zero_rows(job))?;
    let finish = |found: Found<'_, B, true>| match give(&found.sorted()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(()),
    };
    match run::<B, true, _, ()>(level, job, thresholds, finish) {
        Ok(_) => ControlFlow::Continue(()),
        Err(()) => ControlFlow::Break(()),
    }
}

/// Which variant runs, and why.
pub(crate) fn explain<B: JudgedRows>(level: Level, job: &Comparison<'_, B>) -> Explanation {
    let thresholds = Thresholds::default();
    let judge = Judge::new(job, &thresholds);
    let (left, right) = judge.sides();
    Index::explain(level, WANTS, &left, right.as_ref())
}

fn run<B: JudgedRows, const LISTS: bool, R: Send, E: Send>(
    level: Level,
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
    finish: impl Fn(Found<'_, B, LISTS>) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let judge = Judge::new(job, thresholds);
    let (left, right) = judge.sides();
    let index = Index::new(level, WANTS, &left, right.as_ref());
    scan(level, &index, job.left.rows(), |_| (), |_, ()| Found::new(&judge), finish)
}

/// What decides pairs.
struct Judge<'a, B: JudgedRows> {
    job: &'a Comparison<'a, B>,
    thresholds: &'a Thresholds,
    left_norms: Vec<B::Norm>,
    /// Empty in a triangle, whose right rows are the left ones.
    right_norms: Vec<B::Norm>,
    longest: usize,
    /// Structural threshold in 10⁻⁴ times the length of each right row; empty where that may not fit.
    structural: Vec<u32>,
}

/// The longest rows of which 10⁴ · (union of positions) fits 32 bits, twice over.
const LONGEST_IN_U32: usize = 100_000;

impl<'a, B: JudgedRows> Judge<'a, B> {
    fn new(job: &'a Comparison<'a, B>, thresholds: &'a Thresholds) -> Self {
        let norms = |batch: &B| (0..batch.rows()).map(|row| batch.norm(row)).collect();
        let left_norms = norms(job.left);
        let right_norms = if job.triangle { Vec::new() } else { norms(job.right) };
        let lens = |batch: &'a B| batch.indptr().windows(2).map(|row| row[1] - row[0]);
        let longest = lens(job.left).chain(lens(job.right)).max().unwrap_or(0);
        let t = thresholds.structural.ten_thousandths().unsigned_abs();
        #[expect(clippy::cast_possible_truncation, reason = "at most 10⁵")]
        let scaled = |len: usize| len as u32 * t;
        let structural =
            if longest <= LONGEST_IN_U32 { lens(job.right).map(scaled).collect() } else { Vec::new() };
        Self { job, thresholds, left_norms, right_norms, longest, structural }
    }

    fn right_norms(&self) -> &[B::Norm] {
        if self.job.triangle { &self.left_norms } else { &self.right_norms }
    }

    fn sides(&self) -> (Side<'a>, Option<Side<'a>>) {
        let side = |batch: &'a B, norms: &[B::Norm]| {
            let roots = norms.iter().map(|&norm| B::root(norm));
            let units = units(batch.indptr(), &batch.scaled_values(), roots);
            Side { indptr: batch.indptr(), indices: batch.indices(), units }
        };
        let left = side(self.job.left, &self.left_norms);
        (left, (!self.job.triangle).then(|| side(self.job.right, self.right_norms())))
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
    fn cosine_at_least(&self, t: Decimal) -> bool {
        let distance = self.cosine - t.to_f64();
        if distance.abs() > self.error { distance > 0.0 } else { self.exact().cosine_at_least(t) }
    }

    fn cosine_magnitude_below(&self, t: Decimal) -> bool {
        let distance = self.cosine.abs() - t.to_f64();
        if distance.abs() > self.error { distance < 0.0 } else { self.exact().cosine_magnitude_below(t) }
    }

    fn norm_ratio_at_least(&self, t: Decimal) -> bool {
        self.exact().norm_ratio_at_least(t)
    }
}

/// The pairs of one task that are not orthogonal, listed or only counted.
struct Found<'a, B: JudgedRows, const LISTS: bool> {
    judge: &'a Judge<'a, B>,
    pairs: Vec<ConflictPair>,
    counts: ConflictCounts,
}

impl<'a, B: JudgedRows, const LISTS: bool> Found<'a, B, LISTS> {
    fn new(judge: &'a Judge<'a, B>) -> Self {
        Self { judge, pairs: Vec::new(), counts: ConflictCounts::new(0) }
    }

    /// Blocks come one after the other, each with all rows of the task.
    fn sorted(mut self) -> Vec<ConflictPair> {
        if !self.pairs.is_sorted() {
            self.pairs.sort();
        }
        self.pairs
    }

    fn take(&mut self, pair: Option<ConflictPair>) {
        match pair {
            Some(pair) if LISTS => self.pairs.push(pair),
            Some(pair) => self.counts.extend(&[pair]),
            None => {}
        }
    }
}

impl<B: JudgedRows, const LISTS: bool> Consumer for Found<'_, B, LISTS> {
    const WANTS: Wants = WANTS;

    #[inline(always)]
    fn segment<S: pulp::Simd>(&mut self, _: S, i: usize, first: usize, dots: &mut [f32], counts: &mut [u32]) {
        let judge = self.judge;
        let rules = Rules::of(judge, i);
        let mut tally = [[0u32; LANES]; Code::DECIDED.len()];
        let (mut dots, mut counts) = (&dots[..], &counts[..]);
        let mut structural = judge.structural.get(first..).unwrap_or_default();
        let mut j = first;
        while !dots.is_empty() {
            // A last group that is not full is filled up with pairs that share nothing.
            let (d, c, s) = (take(&mut dots), take(&mut counts), take(&mut structural));
            let codes = rules.codes(&d, &c, &s);
            if codes.iter().fold(0, |any, code| any | code) != 0 {
                if LISTS {
                    for lane in 0..LANES {
                        if codes[lane] != Code::ORTHOGONAL {
                            self.take(match Code::pair(codes[lane], i, j + lane) {
                                None => judge.verdict(i, j + lane, d[lane], c[lane]),
                                decided => decided,
                            });
                        }
                    }
                } else {
                    for (tally, code) in tally.iter_mut().zip(Code::DECIDED) {
                        for lane in 0..LANES {
                            tally[lane] += u32::from(codes[lane] == code);
                        }
                    }
                    if codes.iter().fold(0, |most, &code| most.max(code)) == Code::UNDECIDED {
                        for lane in (0..LANES).filter(|&lane| codes[lane] == Code::UNDECIDED) {
                            self.take(judge.verdict(i, j + lane, d[lane], c[lane]));
                        }
                    }
                }
            }
            j += LANES;
        }
        if !LISTS {
            for (tally, code) in tally.iter().zip(Code::DECIDED) {
                if let Some(pair) = Code::pair(code, 0, 0) {
                    self.counts.add(pair.class, pair.rule, tally.iter().map(|&n| u64::from(n)).sum());
                }
            }
        }
    }

    #[inline(always)]
    fn touched(&mut self, i: usize, j: usize, dot: f32, count: u32) {
        let structural = self.judge.structural.get(j).copied().unwrap_or(0);
        let code = Rules::of(self.judge, i).code(dot, count, structural);
        if code != Code::ORTHOGONAL {
            self.take(match Code::pair(code, i, j) {
                None => self.judge.verdict(i, j, dot, count),
                decided => decided,
            });
        }
    }
}

/// What lanes say of a pair: the rule that decides it.
struct Code;

impl Code {
    const ORTHOGONAL: u32 = 0;
    const UNDECIDED: u32 = 255;
    const DECIDED: [u32; 4] = [4, 5, 7, 9];

    /// A pair that a rule decided; `None` where none has yet.
    #[inline(always)]
    fn pair(code: u32, i: usize, j: usize) -> Option<ConflictPair> {
        let class = match code {
            Self::UNDECIDED => return None,
            9 => ConflictClass::LowConflict,
            _ => ConflictClass::Conflicting,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most u32::MAX rows, and nine rules")]
        Some(ConflictPair { left: i as u32, right: j as u32, class, rule: Rule::new(code as u8) })
    }
}

/// The rules for one left row, for lanes: thresholds moved by the error bound to either side.
///
/// Rules 2, 3 and 8 ask for keys, and 1 for zero rows, which never get here: without keys rules 4, 5, 6, 7 and 9
/// are all there is, and with keys whatever is not orthogonal is left to the judge. A pair that rule 2 or 3
/// could decide has the Jaccard index 1 ≥ structural and is not orthogonal by rule 6.
struct Rules {
    /// Certainly below the threshold: under the first; certainly at or above it: from the second on.
    orthogonal: (f32, f32),
    conflict: (f32, f32),
    /// Structural threshold in 10⁻⁴ times the length of the row.
    structural: u32,
    /// shared · 10⁴ ≥ t · (a + b − shared) is shared · (10⁴ + t) ≥ t · (a + b).
    factor: u32,
    /// Whether lanes may decide anything but orthogonal pairs.
    decides: bool,
    /// Whether lanes may compare counts.
    counts: bool,
}

impl Rules {
    #[inline(always)]
    fn of<B: JudgedRows>(judge: &Judge<'_, B>, i: usize) -> Self {
        let len = judge.job.left.row_len(i);
        let error = cosine_error(len.min(judge.longest));
        #[expect(clippy::cast_possible_truncation, reason = "rounded away from the threshold")]
        let around =
            |t: Decimal| (((t.to_f64() - error) as f32).next_down(), ((t.to_f64() + error) as f32).next_up());
        let t = judge.thresholds.structural.ten_thousandths().unsigned_abs();
        let counts = judge.longest <= LONGEST_IN_U32;
        #[expect(clippy::cast_possible_truncation, reason = "at most 10⁵ where it is used")]
        let structural = if counts { len as u32 * t } else { 0 };
        Self {
            orthogonal: around(judge.thresholds.orthogonal),
            conflict: around(judge.thresholds.conflict),
            structural,
            factor: 10_000 + t,
            decides: judge.job.keys.is_none() && counts,
            counts,
        }
    }

    #[inline(always)]
    fn code(&self, dot: f32, count: u32, structural: u32) -> u32 {
        let magnitude = dot.abs();
        let same = dot >= self.conflict.1;
        let not_same = dot < self.conflict.0;
        let structural = count.wrapping_mul(self.factor) >= self.structural.wrapping_add(structural);
        let structural = structural | !self.counts;
        let orthogonal = magnitude < self.orthogonal.0;
        let not_orthogonal = magnitude >= self.orthogonal.1;
        let mirrored = dot <= -self.conflict.1;
        let not_mirrored = dot > -self.conflict.0;
        // From the last rule to the first, each overruling those after it.
        let mut code = if not_mirrored { 9 } else { Code::UNDECIDED };
        code = if mirrored { 7 } else { code };
        code = if not_orthogonal { code } else { Code::UNDECIDED };
        code = if orthogonal { Code::ORTHOGONAL } else { code };
        code = if structural { 5 } else { code };
        code = if not_same { code } else { Code::UNDECIDED };
        code = if same { 4 } else { code };
        code = if self.decides | (code == Code::ORTHOGONAL) { code } else { Code::UNDECIDED };
        if count == 0 { Code::ORTHOGONAL } else { code }
    }

    #[inline(always)]
    fn codes(&self, dots: &[f32; LANES], counts: &[u32; LANES], structural: &[u32; LANES]) -> [u32; LANES] {
        let mut codes = [0; LANES];
        for lane in 0..LANES {
            codes[lane] = self.code(dots[lane], counts[lane], structural[lane]);
        }
        codes
    }
}

/// Pairs with a zero row are decided by their keys alone; only those that share a key can matter.
pub(crate) fn pairs_of_zero_rows<B: JudgedRows>(job: &Comparison<'_, B>) -> Vec<ConflictPair> {
    let Some((left_keys, right_keys)) = job.keys else { return Vec::new() };
    let zero_rows =
        |batch: &B| -> Vec<usize> { (0..batch.rows()).filter(|&row| batch.row_len(row) == 0).collect() };
    let (left_zero, right_zero) = (zero_rows(job.left), zero_rows(job.right));

    let mut pairs = Vec::new();
    let mut decide = |i: usize, j: usize| {
        let both_zero = job.left.row_len(i) == 0 && job.right.row_len(j) == 0;
        let (class, rule) = match (job.key_relation(i, j), both_zero) {
            (KeyRelation::Disjoint, _) => return,
            (KeyRelation::Equal, true) => (ConflictClass::Identical, Rule::ZERO),
            _ => (ConflictClass::Ambiguous, Rule::ZERO),
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
    pairs.sort_unstable();
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
