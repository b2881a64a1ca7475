//! Which entry of a consensus codebook is nearest to a delta: integers throughout.
//!
//! # Ranges
//! A codebook has at most 2^16 components and a delta of its dimension no more non-zero ones. Codes are
//! at most 127 < 2^7 and 32,639 < 2^15, so |dot| < 2^38, |entry|² < 2^30 and |delta|² < 2^46; exponents
//! lie in −64..=16, at most 80 apart.

use std::cmp::Ordering;

use super::SquaredNorm;
use super::predicates::cosine_at_least;
use crate::types::{ConsensusCodebook, Decimal, DeltaBatch, Metric, Neighbor};

/// One delta: indices and codes of its non-zero components, and its exponent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeltaRow<'a> {
    pub(crate) indices: &'a [u32],
    pub(crate) codes: &'a [i16],
    pub(crate) exponent: i8,
}

impl<'a> DeltaRow<'a> {
    pub(crate) fn of(deltas: &'a DeltaBatch, row: usize) -> Self {
        let (indices, codes) = deltas.row(row);
        Self { indices, codes, exponent: deltas.exponents()[row] }
    }

    /// Σ over the delta's components of code · entry code.
    pub(crate) fn dot(self, entry: &[i8]) -> i64 {
        let terms = self.indices.iter().zip(self.codes);
        terms.map(|(&index, &code)| i64::from(code) * i64::from(entry[index as usize])).sum()
    }

    /// Whether the cosine of the delta and entry `id` is at least the threshold. A zero vector has cosine 0.
    pub(crate) fn cosine_at_least(self, book: &ConsensusCodebook, id: usize, threshold: Decimal) -> bool {
        let (norm, entry_norm) = (SquaredNorm::of_codes(self.codes).squared, book.squared_norms()[id]);
        if norm == 0 || entry_norm == 0 {
            return threshold.ten_thousandths() <= 0;
        }
        cosine_at_least(self.dot(book.codes_of(id)), norm, u64::from(entry_norm), threshold)
    }

    /// The nearest of some entries, the lowest id among equals, given their ids, ascending, and their dot
    /// products with the delta.
    pub(crate) fn nearest(
        self,
        book: &ConsensusCodebook,
        metric: Metric,
        entries: impl Iterator<Item = (usize, i64)>,
    ) -> Option<Neighbor> {
        let met = entries.map(|(id, dot)| (id, Met { dot, norm: book.squared_norms()[id] }));
        let nearer = |a: Met, b: Met| match metric {
            Metric::Dot => a.dot.cmp(&b.dot),
            Metric::Cosine => a.compare_cosine(b),
            Metric::L2 => {
                let distance = |met: Met| met.relative_distance(book.exponent(), self.exponent);
                distance(b).cmp(&distance(a))
            }
        };
        let best = met.reduce(|best, met| if nearer(met.1, best.1).is_gt() { met } else { best });
        best.map(|(id, met)| {
            #[expect(clippy::cast_possible_truncation, reason = "a codebook has at most 65,536 entries")]
            let row = id as u32;
            Neighbor { row, score: self.score(book, id, metric, met) }
        })
    }

    /// The score as search gives it for the f32 values of both.
    fn score(self, book: &ConsensusCodebook, id: usize, metric: Metric, met: Met) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "|dot| < 2^38")]
        let dot = met.dot as f64;
        match metric {
            Metric::Dot => dot * power_of_two(book.exponent()) * power_of_two(self.exponent),
            Metric::Cosine => {
                let roots = SquaredNorm::of_codes(self.codes).root * f64::from(met.norm).sqrt();
                if roots == 0.0 { 0.0 } else { (dot / roots).clamp(-1.0, 1.0) }
            }
            Metric::L2 => self.distance(book, id),
        }
    }

    /// √Σ (delta − entry)² in ascending dimension.
    fn distance(self, book: &ConsensusCodebook, id: usize) -> f64 {
        let (own_scale, entry_scale) = (power_of_two(self.exponent), power_of_two(book.exponent()));
        let mut delta = self.indices.iter().zip(self.codes).peekable();
        let mut sum = 0.0;
        for (index, &code) in (0u32..).zip(book.codes_of(id)) {
            let own = delta.next_if(|&(&at, _)| at == index).map_or(0, |(_, &code)| code);
            let difference = f64::from(own) * own_scale - f64::from(code) * entry_scale;
            sum += difference * difference;
        }
        sum.sqrt()
    }
}

/// 2^exponent; multiplying a code or a dot product by it is exact.
fn power_of_two(exponent: i8) -> f64 {
    libm::ldexp(1.0, i32::from(exponent))
}

/// What the order of entries depends on: the dot product with the delta and the entry's squared norm.
#[derive(Debug, Clone, Copy)]
struct Met {
    dot: i64,
    norm: u32,
}

impl Met {
    /// dot/√norm against that of another; the delta's norm is common. By sign, then by square: each side
    /// is below 2^76 · 2^30. A zero entry has dot = 0.
    fn compare_cosine(self, other: Self) -> Ordering {
        let square = |a: Self, b: Self| u128::from(a.dot.unsigned_abs()).pow(2) * u128::from(b.norm);
        self.dot.signum().cmp(&other.dot.signum()).then_with(|| {
            let squares = square(self, other).cmp(&square(other, self));
            if self.dot < 0 { squares.reverse() } else { squares }
        })
    }

    /// Distance² − |delta|², for exponents e of the entry and f of the delta: n·4^e − 2·dot·2^(e+f),
    /// divided by 2^e · 2^min(e, f). That is n·2^(e−min) − dot·2^(f−min+1), of which the terms are below
    /// 2^110 and 2^119.
    fn relative_distance(self, e: i8, f: i8) -> i128 {
        let least = e.min(f);
        let (entry_shift, dot_shift) = (i32::from(e) - i32::from(least), i32::from(f) - i32::from(least));
        (i128::from(self.norm) << entry_shift) - (i128::from(self.dot) << (dot_shift + 1))
    }
}
