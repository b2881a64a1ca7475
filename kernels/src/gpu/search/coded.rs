//! Rows and queries as signed bytes under one scale each, and how far that can put a key wrong.
//!
//! A search orders rows by a *key*: q·x for the dot product, q·x / ‖x‖ for the cosine, q·x − ‖x‖² / 2 for the distance. So
//! what is coded of a row is y = x / ‖x‖ for the cosine and else y = x.
//!
//! # The bound
//! With a and b the inverse scales of corpus and queries, a·y = c + r and b·q = d + e, codes c and d and what they leave
//! out, and a·b as the unit of keys,
//!
//! (b·q)·(a·y) − d·c = d·r + e·(a·y), so |a·b·q·y − d·c| ≤ ‖d‖·ρ + ‖e‖·ν,
//!
//! where ρ is the greatest ‖r‖ of the corpus and ν its greatest ‖a·y‖. For the distance b is a / 2^k and what is taken off
//! is ⌊o / 2^k⌋, o the integer nearest to a²‖x‖² / 2, which is within 1.5 of a·b‖x‖² / 2. All of this is computed in f64
//! from sums of at most 2^16 terms, within 2^−36 of ‖d‖·ν ≤ 2^30, of ρ and of ‖e‖. So
//! E = (‖d‖·ρ + ‖e‖·ν)(1 + 2^−20) + 2 is an upper bound of what any key of a query is off by.
//!
//! Of k rows whose integer keys reach some floor, the true keys reach floor − E. A row whose integer key is below
//! floor − 2E has a lower true key than these, and is not among the k nearest. Likewise a row whose integer key is below
//! the integer under a threshold, less E, has a true key below the threshold.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rayon::prelude::*;
use tensor_shaders::search::Query;

use super::super::tile_rows::TileRows;
use crate::types::{DenseView, Metric, SearchRows, Wanted};

/// The greatest magnitude of a code. Bytes that are coded as themselves may also be −128.
const MOST_CODE: f64 = 127.0;
/// Queries are coded at a scale of at most 2^this times the corpus'.
const MOST_SHIFT: u32 = 31;
/// The offset plays no part: it is below 2^this.
const NO_OFFSET: u32 = 31;

/// How the rows of a corpus are coded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding {
    is_normalised: bool,
    /// a: codes of a unit.
    inverse: f64,
}

/// What is known of coded rows: the ρ and ν of the bound.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Worst {
    rest: f64,
    norm: f64,
}

impl Worst {
    pub(super) fn join(self, other: Self) -> Self {
        Self { rest: self.rest.max(other.rest), norm: self.norm.max(other.norm) }
    }
}

impl Coding {
    /// Whether rows are coded the same for both metrics.
    pub(super) fn is_normalised(metric: Metric) -> bool {
        metric == Metric::Cosine
    }

    /// The scale at which the greatest component just fits.
    pub(super) fn of(rows: SearchRows<'_>, is_normalised: bool) -> Self {
        if let (SearchRows::Bytes(_), false) = (rows, is_normalised) {
            return Self { is_normalised, inverse: 1.0 };
        }
        let row_greatest = |room: &mut Vec<f32>, row: usize| {
            room.resize(rows.dim(), 0.0);
            let row = rows.row(row, room);
            greatest(row) * if is_normalised { inverse_norm(row) } else { 1.0 }
        };
        let all = (0..rows.rows()).into_par_iter().map_init(Vec::new, row_greatest);
        Self { is_normalised, inverse: inverse_scale(all.reduce(|| 0.0, f64::max)) }
    }

    /// The rows of `range`, filled up to a multiple of so many tiles. The value of a row is its offset.
    pub(super) fn code(
        self,
        rows: SearchRows<'_>,
        range: Range<usize>,
        multiple: usize,
    ) -> (TileRows, Worst) {
        let (rest, norm) = (AtomicU64::new(0), AtomicU64::new(0));
        let coded = TileRows::bytes(range.len(), rows.dim(), multiple, |row, codes| {
            let mut room = vec![0.0; rows.dim()];
            let row = rows.row(range.start + row, &mut room);
            let factor = self.inverse * if self.is_normalised { inverse_norm(row) } else { 1.0 };
            let coded = encode(row, factor, codes);
            // The bits of numbers that are not negative are ordered as they are.
            rest.fetch_max(coded.rest.to_bits(), Relaxed);
            norm.fetch_max(coded.norm.to_bits(), Relaxed);
            // At most 2^29: half of 2^16 squares of at most 128.
            (coded.norm * coded.norm / 2.0).round_ties_even() as i32
        });
        let worst =
            Worst { rest: f64::from_bits(rest.into_inner()), norm: f64::from_bits(norm.into_inner()) };
        (coded, worst)
    }
}

/// Queries that are asked together.
pub(super) struct CodedQueries {
    pub(super) rows: TileRows,
    /// One for every row of `rows`, those that fill up included.
    pub(super) queries: Vec<Query>,
    /// What offsets are shifted by.
    pub(super) shift: u32,
}

impl CodedQueries {
    /// Codes the rows of `asked`; `is_bytes` says that they are bytes.
    pub(super) fn new(
        (corpus, worst): (Coding, Worst),
        asked: DenseView<'_>,
        is_bytes: bool,
        metric: Metric,
        wanted: Wanted,
    ) -> Self {
        let shift = match metric {
            Metric::Dot | Metric::Cosine => NO_OFFSET,
            Metric::L2 => {
                let most = asked.iter().map(greatest).fold(0.0, f64::max) * corpus.inverse;
                let fits = |&shift: &u32| {
                    is_bytes && shift == 0 && corpus.inverse == 1.0
                        || most <= MOST_CODE * f64::from(1u32 << shift)
                };
                (0..MOST_SHIFT).find(fits).unwrap_or(MOST_SHIFT)
            }
        };
        let inverse = |query: &[f32]| match metric {
            Metric::Dot | Metric::Cosine if is_bytes => 1.0,
            Metric::Dot | Metric::Cosine => inverse_scale(greatest(query)),
            Metric::L2 => corpus.inverse / f64::from(1u32 << shift),
        };
        let rows = TileRows::bytes(asked.rows(), asked.dim(), 1, |row, codes| {
            encode(asked.row(row), inverse(asked.row(row)), codes);
            0
        });
        let mut codes = vec![0; asked.dim()];
        let queries = rows.infos.iter().enumerate().map(|(row, info)| {
            let mut query = Query { floor: i32::MAX, reach: 0, weights: info.weights };
            if row < asked.rows() {
                let (row, inverse) = (asked.row(row), inverse(asked.row(row)));
                let coded = encode(row, inverse, &mut codes);
                let own = codes.iter().map(|&code| f64::from(code).powi(2)).sum::<f64>().sqrt();
                let error =
                    (own * worst.rest + coded.rest * worst.norm) * (1.0 + 1.0 / (1 << 20) as f64) + 2.0;
                // Saturating casts: a reach beyond its range lets every row through, and so does a floor above all keys
                // with such a reach; without one it lets none through, as it should.
                (query.floor, query.reach) = match wanted {
                    Wanted::Top(_) => (0, (2.0 * error).ceil() as u32),
                    Wanted::Within(near) => {
                        let unit = corpus.inverse * inverse;
                        (least_key(metric, near.to_f64(), row, unit), error.ceil() as u32)
                    }
                };
            }
            query
        });
        let queries = queries.collect();
        Self { rows, queries, shift }
    }
}

/// An integer that no integer key of a row as near as the threshold, were keys not off, stays below.
///
/// f64 sums of at most 2^16 terms and the few operations here are off by less than 2^−30 of the magnitudes involved.
fn least_key(metric: Metric, threshold: f64, query: &[f32], unit: f64) -> i32 {
    let square: f64 = query.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let (key, magnitude) = match metric {
        Metric::Dot => (threshold, threshold.abs()),
        Metric::Cosine => (threshold * square.sqrt(), threshold.abs() * square.sqrt()),
        Metric::L2 => ((square - threshold * threshold) / 2.0, (square + threshold * threshold) / 2.0),
    };
    ((key - magnitude / (1 << 30) as f64) * unit).floor() as i32
}

/// What an encoded row leaves out, and its length, in codes.
struct Encoded {
    rest: f64,
    norm: f64,
}

/// Writes the codes nearest to `row` · `factor`.
fn encode(row: &[f32], factor: f64, codes: &mut [i8]) -> Encoded {
    let (mut rest, mut square) = (0.0, 0.0);
    for (&x, code) in row.iter().zip(codes) {
        let y = f64::from(x) * factor;
        // Saturates: whatever the code, what it leaves out is measured.
        *code = y.round_ties_even() as i8;
        let left_out = y - f64::from(*code);
        rest += left_out * left_out;
        square += y * y;
    }
    Encoded { rest: rest.sqrt(), norm: square.sqrt() }
}

fn greatest(row: &[f32]) -> f64 {
    f64::from(row.iter().fold(0f32, |greatest, x| greatest.max(x.abs())))
}

/// 1 / ‖x‖, or 0 for zero. In f64 no square of an f32 overflows or vanishes.
fn inverse_norm(row: &[f32]) -> f64 {
    let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if square == 0.0 { 0.0 } else { 1.0 / square.sqrt() }
}

/// Codes of a unit where the greatest magnitude is this.
fn inverse_scale(greatest: f64) -> f64 {
    if greatest == 0.0 { 1.0 } else { MOST_CODE / greatest }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Components of one or of very different magnitudes.
    fn rows(dim: usize) -> impl Strategy<Value = Vec<f32>> {
        let scale = prop_oneof![3 => Just(1.0f32), 1 => Just(1e-30), 1 => Just(1e20), 1 => Just(37.0)];
        let row = (scale, prop::collection::vec(-1.0f32..1.0, dim));
        prop::collection::vec(row, 1..20).prop_map(|rows| {
            rows.into_iter().flat_map(|(s, row)| row.into_iter().map(move |x| x * s)).collect()
        })
    }

    fn key(metric: Metric, query: &[f32], row: &[f32]) -> f64 {
        let dot: f64 = query.iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        match metric {
            Metric::Dot => dot,
            Metric::Cosine => dot * inverse_norm(row),
            Metric::L2 => dot - square / 2.0,
        }
    }

    proptest! {
        #[test]
        fn no_key_is_further_off_than_the_bound(
            (dim, corpus, queries) in (1usize..40).prop_flat_map(|dim| (Just(dim), rows(dim), rows(dim))),
            metric in prop::sample::select(&[Metric::Dot, Metric::Cosine, Metric::L2][..]),
        ) {
            let view = DenseView::new(&corpus, corpus.len() / dim, dim).unwrap();
            let asked = DenseView::new(&queries, queries.len() / dim, dim).unwrap();
            let coding = Coding::of(view.into(), Coding::is_normalised(metric));
            let (coded, worst) = coding.code(view.into(), 0..view.rows(), 4);
            let asking = CodedQueries::new((coding, worst), asked, false, metric, Wanted::Top(1));
            let byte = |rows: &TileRows, row: usize, at: usize| {
                rows.fours[row / 4 * rows.words() + at / 4][row % 4].to_le_bytes()[at % 4].cast_signed()
            };
            for i in 0..asked.rows() {
                let inverse = match metric {
                    Metric::L2 => coding.inverse / f64::from(1u32 << asking.shift),
                    _ => inverse_scale(greatest(asked.row(i))),
                };
                for j in 0..view.rows() {
                    let product: i32 = (0..dim)
                        .map(|at| i32::from(byte(&asking.rows, i, at)) * i32::from(byte(&coded, j, at)))
                        .sum();
                    let integer = f64::from(product - (coded.infos[j].value >> asking.shift));
                    let truth = key(metric, asked.row(i), view.row(j)) * coding.inverse * inverse;
                    let off = (integer - truth).abs();
                    let reach = asking.queries[i].reach;
                    prop_assert!(reach == u32::MAX || 2.0 * off <= f64::from(reach), "{} off by {}", truth, off);
                }
            }
        }
    }

    #[test]
    fn bytes_are_coded_as_themselves() {
        let codes: Vec<i8> = vec![-128, 127, 3, 0];
        let view = crate::types::ByteView::new(&codes, 2, 2).unwrap();
        let (coded, worst) = Coding::of(view.into(), false).code(view.into(), 0..2, 4);
        assert_eq!(worst.rest, 0.0);
        assert_eq!(coded.fours[0][0].to_le_bytes()[..2], [128, 127]);
        assert_eq!(coded.infos[0].value, (128 * 128 + 127 * 127) / 2);
    }
}
