//! Scores of two sparse rows, given where their positions meet.
//!
//! Backends differ only in how they find the meeting positions. The arithmetic is this one expression
//! for all of them: f64 sums in ascending position, so the scores are the same everywhere.

use crate::types::Measure;

/// Indices and values of one sparse row.
pub(crate) type Row<'a> = (&'a [u32], &'a [f32]);

/// Where two rows meet: entry number in the first and in the second, ascending.
pub(crate) type Matches = Vec<(u32, u32)>;

/// The score of rows `a` and `b` that meet at `matches`.
pub(crate) fn score(measure: Measure, a: Row<'_>, b: Row<'_>, matches: &[(u32, u32)]) -> f64 {
    let (a_len, b_len, shared) = (a.0.len(), b.0.len(), matches.len());
    match measure {
        Measure::Dot => dot(a, b, matches),
        Measure::Cosine => cosine(a, b, matches),
        Measure::Angular => libm::acos(cosine(a, b, matches)),
        Measure::Jaccard if a_len + b_len == 0 => 1.0,
        Measure::Jaccard => shared as f64 / (a_len + b_len - shared) as f64,
        Measure::Overlap if a_len + b_len == 0 => 1.0,
        Measure::Overlap => shared as f64 / a_len.min(b_len).max(1) as f64,
        Measure::WeightedJaccard if a_len + b_len == 0 => 1.0,
        Measure::WeightedJaccard => {
            let least =
                over_matches(a, b, matches, |x, y| if x * y > 0.0 { x.abs().min(y.abs()) } else { 0.0 });
            let most =
                over_all(
                    a,
                    b,
                    matches,
                    |x, y| if x * y < 0.0 { x.abs() + y.abs() } else { x.abs().max(y.abs()) },
                );
            least / most
        }
        Measure::Euclidean => over_all(a, b, matches, |x, y| (x - y) * (x - y)).sqrt(),
        Measure::Manhattan => over_all(a, b, matches, |x, y| (x - y).abs()),
    }
}

fn dot(a: Row<'_>, b: Row<'_>, matches: &[(u32, u32)]) -> f64 {
    over_matches(a, b, matches, |x, y| x * y)
}

fn cosine(a: Row<'_>, b: Row<'_>, matches: &[(u32, u32)]) -> f64 {
    let norms = magnitude(a.1) * magnitude(b.1);
    if norms == 0.0 { 0.0 } else { (dot(a, b, matches) / norms).clamp(-1.0, 1.0) }
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
fn over_matches(a: Row<'_>, b: Row<'_>, matches: &[(u32, u32)], term: impl Fn(f64, f64) -> f64) -> f64 {
    sum(matches.iter().map(|&(i, j)| term(f64::from(a.1[i as usize]), f64::from(b.1[j as usize]))))
}

/// Σ of `term` over the positions that either row has: those of both, then those of `a`, then those of `b` alone.
fn over_all(a: Row<'_>, b: Row<'_>, matches: &[(u32, u32)], term: impl Fn(f64, f64) -> f64) -> f64 {
    let both = over_matches(a, b, matches, &term);
    let only_a = sum(alone(a.1, matches.iter().map(|&(i, _)| i)).map(|x| term(x, 0.0)));
    let only_b = sum(alone(b.1, matches.iter().map(|&(_, j)| j)).map(|y| term(0.0, y)));
    both + (only_a + only_b)
}

/// The values whose entry number is not among the ascending `matched`.
fn alone(values: &[f32], matched: impl Iterator<Item = u32>) -> impl Iterator<Item = f64> {
    let mut matched = matched.peekable();
    (0u32..).zip(values).filter_map(move |(entry, &value)| {
        let meets = matched.next_if_eq(&entry).is_some();
        (!meets).then(|| f64::from(value))
    })
}
