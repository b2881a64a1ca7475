//! Scores of two sparse rows, given where their positions meet.
//!
//! Backends differ only in how they find the meeting positions. The arithmetic is this one expression
//! for all of them, so the scores are the same everywhere: f64 sums in ascending position, first over
//! the positions of both rows, then over those of one row alone.

use crate::types::{Measure, PairScores, PreparedSparse};

/// Indices and values of one sparse row.
pub(crate) type Row<'a> = (&'a [u32], &'a [f32]);

/// Where two rows meet: entry number in the first and in the second, ascending. Cloned to walk it again.
pub(crate) trait Matches: Iterator<Item = (u32, u32)> + Clone {}

impl<M: Iterator<Item = (u32, u32)> + Clone> Matches for M {}

/// The score of rows `a` and `b` that meet at `matches`.
#[inline(always)]
pub(crate) fn score(measure: Measure, a: Row<'_>, b: Row<'_>, matches: impl Matches) -> f64 {
    let (a_len, b_len) = (a.0.len(), b.0.len());
    match measure {
        Measure::Dot => dot(a, b, matches),
        Measure::Cosine => cosine(a, b, matches),
        Measure::Angular => libm::acos(cosine(a, b, matches)),
        Measure::Jaccard => jaccard(matches.count(), a_len, b_len),
        Measure::Overlap if a_len + b_len == 0 => 1.0,
        Measure::Overlap => matches.count() as f64 / a_len.min(b_len).max(1) as f64,
        Measure::WeightedJaccard if a_len + b_len == 0 => 1.0,
        Measure::WeightedJaccard => {
            let least = |x: f64, y: f64| if x * y > 0.0 { x.abs().min(y.abs()) } else { 0.0 };
            let most = |x: f64, y: f64| if x * y < 0.0 { x.abs() + y.abs() } else { x.abs().max(y.abs()) };
            over_matches(a, b, matches.clone(), least) / over_all(a, b, matches, most)
        }
        Measure::Euclidean => over_all(a, b, matches, |x, y| (x - y) * (x - y)).sqrt(),
        Measure::Manhattan => over_all(a, b, matches, |x, y| (x - y).abs()),
    }
}

#[inline(always)]
fn dot(a: Row<'_>, b: Row<'_>, matches: impl Matches) -> f64 {
    over_matches(a, b, matches, |x, y| x * y)
}

#[inline(always)]
fn cosine(a: Row<'_>, b: Row<'_>, matches: impl Matches) -> f64 {
    cosine_of(dot(a, b, matches), magnitude(a.1) * magnitude(b.1))
}

#[inline(always)]
fn cosine_of(dot: f64, magnitudes: f64) -> f64 {
    if magnitudes == 0.0 { 0.0 } else { (dot / magnitudes).clamp(-1.0, 1.0) }
}

#[inline(always)]
fn jaccard(shared: usize, a_len: usize, b_len: usize) -> f64 {
    let either = a_len + b_len - shared;
    if either == 0 { 1.0 } else { shared as f64 / either as f64 }
}

/// What two rows share so far: positions, and the sum of their products in ascending position.
#[derive(Debug, Default)]
pub(crate) struct Meeting {
    shared: usize,
    dot: f64,
}

impl Meeting {
    /// Adds the next position that both rows have.
    #[inline(always)]
    pub(crate) fn add(&mut self, x: f32, y: f32) {
        self.shared += 1;
        self.dot += f64::from(x) * f64::from(y);
    }
}

/// The scores of two vectors that share `meeting`: those of [`score`].
#[inline(always)]
pub(crate) fn scores(a: &PreparedSparse, b: &PreparedSparse, meeting: Meeting) -> PairScores {
    let Meeting { shared, dot } = meeting;
    PairScores {
        shared,
        dot,
        cosine: cosine_of(dot, a.magnitude() * b.magnitude()),
        jaccard: jaccard(shared, a.vector().nnz(), b.vector().nnz()),
    }
}

/// √Σ xᵢ².
pub(crate) fn magnitude(values: &[f32]) -> f64 {
    sum(values.iter().map(|&x| f64::from(x) * f64::from(x))).sqrt()
}

/// The sum in order, from +0: the standard library's sum of nothing is −0.
pub(crate) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    terms.fold(0.0, |sum, term| sum + term)
}

/// Σ of `term` over the positions that both rows have.
#[inline(always)]
fn over_matches(a: Row<'_>, b: Row<'_>, matches: impl Matches, term: impl Fn(f64, f64) -> f64) -> f64 {
    sum(matches.map(|(i, j)| term(f64::from(a.1[i as usize]), f64::from(b.1[j as usize]))))
}

/// Σ of `term` over the positions that either row has: those of both, then those of `a`, then those of `b` alone.
#[inline(always)]
fn over_all(a: Row<'_>, b: Row<'_>, matches: impl Matches, term: impl Fn(f64, f64) -> f64) -> f64 {
    let (mut both, mut only_a, mut only_b) = (0.0, 0.0, 0.0);
    let (mut rest_a, mut rest_b) = (a.1, b.1);
    let mut next = (0, 0);
    for (i, j) in matches {
        let (alone_a, from_a) = rest_a.split_at((i - next.0) as usize);
        let (alone_b, from_b) = rest_b.split_at((j - next.1) as usize);
        only_a = alone_a.iter().fold(only_a, |sum, &x| sum + term(f64::from(x), 0.0));
        only_b = alone_b.iter().fold(only_b, |sum, &y| sum + term(0.0, f64::from(y)));
        both += term(f64::from(from_a[0]), f64::from(from_b[0]));
        (rest_a, rest_b) = (&from_a[1..], &from_b[1..]);
        next = (i + 1, j + 1);
    }
    only_a = rest_a.iter().fold(only_a, |sum, &x| sum + term(f64::from(x), 0.0));
    only_b = rest_b.iter().fold(only_b, |sum, &y| sum + term(0.0, f64::from(y)));
    both + (only_a + only_b)
}
