//! Which rows are nearest to one query: the score that is returned, and the exact order behind it.
//!
//! Every backend ends here. A backend may leave rows out that provably cannot be wanted; whichever it
//! keeps, the answer is the same bytes, because scores and order come from this file alone.

use std::cell::OnceCell;
use std::cmp::Ordering;

use super::{Dyadic, Sum};
use crate::types::{Decimal, DenseView, Metric, Neighbor, Wanted};

/// Unit roundoff of f64.
const U: f64 = f64::EPSILON / 2.0;

/// The judge of one query over one corpus.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    metric: Metric,
    corpus: DenseView<'a>,
    query: &'a [f32],
    query_norm: Sum,
}

/// A row with its score, ready to be compared.
#[derive(Debug)]
pub(crate) struct Candidate {
    row: u32,
    /// What is ordered: the dot product, the cosine or the squared distance.
    key: Interval,
    /// Dot product, or squared distance for `L2`.
    sum: Sum,
    /// |row|², for `Cosine` only.
    norm: Sum,
    exact: OnceCell<Box<Exact>>,
}

/// A real number known to lie within `bound` of `value`.
#[derive(Debug, Clone, Copy)]
struct Interval {
    value: f64,
    bound: f64,
}

/// `sum` and `norm` of a candidate without rounding.
#[derive(Debug)]
struct Exact {
    sum: Dyadic,
    norm: Dyadic,
}

impl Interval {
    /// How the two numbers stand, if f64 can tell. The subtraction rounds by a relative u, which the
    /// bounds, generous by more than that, cover.
    fn compare(self, other: Self) -> Option<Ordering> {
        let bound = self.bound + other.bound;
        let apart = (self.value - other.value).abs() > bound;
        if apart || bound == 0.0 { self.value.partial_cmp(&other.value) } else { None }
    }
}

impl<'a> Judge<'a> {
    pub(crate) fn new(metric: Metric, corpus: DenseView<'a>, query: &'a [f32]) -> Self {
        let query_norm = if metric == Metric::Cosine { Sum::dot(query, query) } else { Sum::default() };
        Self { metric, corpus, query, query_norm }
    }

    /// The row with its score, in O(dim).
    ///
    /// For the cosine, with exact D and norms N, M behind the sums D̂, N̂, M̂ and their bounds d, n, m:
    /// D̂/√(N̂M̂) differs from D/√(NM) by at most d/√(N̂M̂) plus the relative error (n/N̂ + m/M̂)/2 of
    /// the roots, times what second-order terms add; three roundings, one per root and one for the
    /// product, and the division add 4u. Twice that is a bound with room to spare: n/N̂ and m/M̂ are
    /// below 2^-19.
    pub(crate) fn candidate(&self, row: u32) -> Candidate {
        let values = self.corpus.row(row as usize);
        let (sum, norm) = match self.metric {
            Metric::Dot => (Sum::dot(self.query, values), Sum::default()),
            Metric::Cosine => (Sum::dot(self.query, values), Sum::dot(values, values)),
            Metric::L2 => (Sum::squared_distance(self.query, values), Sum::default()),
        };
        let key = match self.metric {
            Metric::Dot | Metric::L2 => Interval { value: sum.value(), bound: sum.bound() },
            Metric::Cosine => cosine(sum, self.query_norm, norm),
        };
        Candidate { row, key, sum, norm, exact: OnceCell::new() }
    }

    /// The wanted ones of `candidates`, nearest first, ties by the lower row.
    pub(crate) fn nearest(&self, mut candidates: Vec<Candidate>, wanted: Wanted) -> Vec<Neighbor> {
        let nearer = |a: &Candidate, b: &Candidate| self.compare(a, b);
        match wanted {
            Wanted::Top(0) => candidates.clear(),
            Wanted::Top(k) if k < candidates.len() => {
                candidates.select_nth_unstable_by(k - 1, nearer);
                candidates.truncate(k);
            }
            Wanted::Top(_) => {}
            Wanted::Within(threshold) => candidates.retain(|candidate| self.is_within(candidate, threshold)),
        }
        candidates.sort_unstable_by(nearer);
        candidates.iter().map(|c| Neighbor { row: c.row, score: self.score(c) }).collect()
    }

    fn score(&self, candidate: &Candidate) -> f64 {
        match self.metric {
            Metric::Dot | Metric::Cosine => candidate.key.value,
            Metric::L2 => candidate.key.value.sqrt(),
        }
    }

    /// `Less` for the one that comes first.
    fn compare(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let ascending = a.key.compare(b.key).unwrap_or_else(|| self.compare_exactly(a, b));
        let nearest_first = if self.metric == Metric::L2 { ascending } else { ascending.reverse() };
        nearest_first.then(a.row.cmp(&b.row))
    }

    fn compare_exactly(&self, a: &Candidate, b: &Candidate) -> Ordering {
        if self.corpus.row(a.row as usize) == self.corpus.row(b.row as usize) {
            return Ordering::Equal;
        }
        let (a, b) = (self.exact(a), self.exact(b));
        match self.metric {
            Metric::Dot | Metric::L2 => a.sum.cmp(&b.sum),
            // The query's norm is common: compare dot/|row|, by sign and then by square. The dot
            // product of a zero row has sign 0.
            Metric::Cosine => a.sum.signum().cmp(&b.sum.signum()).then_with(|| {
                let scaled = |x: &Exact, y: &Exact| x.sum.squared() * y.norm.clone();
                let squares = scaled(a, b).cmp(&scaled(b, a));
                if a.sum.signum() < 0 { squares.reverse() } else { squares }
            }),
        }
    }

    /// Whether the row is at least as near as the threshold, which counts as near.
    fn is_within(&self, candidate: &Candidate, threshold: Decimal) -> bool {
        let t = threshold.ten_thousandths();
        let t_squared = || Dyadic::integer(i64::from(t).pow(2));
        let l2 = self.metric == Metric::L2;
        if l2 && t < 0 {
            return false;
        }
        // The threshold is rounded once, and for L2 once more as it is squared.
        let value = if l2 { threshold.to_f64() * threshold.to_f64() } else { threshold.to_f64() };
        let limit = Interval { value, bound: value.abs() * 8.0 * U };
        let ascending = candidate.key.compare(limit).unwrap_or_else(|| {
            let Exact { sum, norm } = self.exact(candidate);
            match self.metric {
                Metric::Dot => (sum.clone() * Dyadic::integer(10_000)).cmp(&Dyadic::integer(t)),
                Metric::L2 => (sum.clone() * Dyadic::integer(100_000_000)).cmp(&t_squared()),
                Metric::Cosine => {
                    // A zero vector has dot = 0 and a norm of 0: signs decide, or 0 equals 0.
                    let signs = sum.signum().cmp(&t.signum());
                    signs.then_with(|| {
                        let norms = norm.clone() * self.exact_query_norm();
                        let squares =
                            (sum.squared() * Dyadic::integer(100_000_000)).cmp(&(t_squared() * norms));
                        if t < 0 { squares.reverse() } else { squares }
                    })
                }
            }
        });
        if l2 { ascending.is_le() } else { ascending.is_ge() }
    }

    fn exact<'c>(&self, candidate: &'c Candidate) -> &'c Exact {
        candidate.exact.get_or_init(|| {
            let values = self.corpus.row(candidate.row as usize);
            let pairs = || self.query.iter().copied().zip(values.iter().copied());
            let sum = candidate.sum.exact().unwrap_or_else(|| match self.metric {
                Metric::Dot | Metric::Cosine => Dyadic::dot(pairs()),
                Metric::L2 => {
                    pairs().map(|(a, b)| (Dyadic::from_f32(a) - Dyadic::from_f32(b)).squared()).sum()
                }
            });
            let norm = candidate.norm.exact().unwrap_or_else(|| square(values));
            Box::new(Exact { sum, norm })
        })
    }

    fn exact_query_norm(&self) -> Dyadic {
        self.query_norm.exact().unwrap_or_else(|| square(self.query))
    }
}

/// dot / √(a·b), or 0 where either is zero; see [`Judge::candidate`] for the bound.
fn cosine(dot: Sum, a: Sum, b: Sum) -> Interval {
    // A sum of squares is zero only where every square is.
    if a.value() == 0.0 || b.value() == 0.0 {
        return Interval { value: 0.0, bound: 0.0 };
    }
    let roots = a.value().sqrt() * b.value().sqrt();
    // Rounding can step over ±1, never the truth.
    let value = (dot.value() / roots).clamp(-1.0, 1.0);
    let relative = a.bound() / a.value() + b.bound() / b.value() + 8.0 * U;
    Interval { value, bound: value.abs() * relative + 2.0 * dot.bound() / roots }
}

/// Σ xᵢ², exactly.
fn square(values: &[f32]) -> Dyadic {
    Dyadic::dot(values.iter().map(|&x| (x, x)))
}
