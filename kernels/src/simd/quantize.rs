//! Nearest codebook entries in lanes: one lane per entry.
//!
//! Deltas are sparse, so the codebook is transposed once per batch: a component of a delta then meets
//! the codes of all entries side by side.

mod dense;

use rayon::prelude::*;

use crate::exact::DeltaRow;
use crate::isa::Level;
use crate::scalar;
use crate::types::{ConsensusCodebook, DeltaBatch, Metric, Neighbor};
pub(crate) use dense::quantize;

/// Deltas of one task. Fixed, so the work is cut the same for every number of threads.
const ROWS_PER_TASK: usize = 64;
/// Products that an i32 can add up: 516 · 32,639 · 127 < 2^31.
const SAFE_TERMS: usize = 516;
/// Components of a delta that meet the entries together, to spare loads and stores of the sums.
const TERMS_AT_ONCE: usize = 4;

/// The nearest entry of each delta, the lowest id among equals. `None` where the codebook is empty.
/// Cost: one multiply-add per entry and non-zero component, and one move per code of the codebook.
pub(crate) fn quantize_deltas(
    level: Level,
    book: &ConsensusCodebook,
    deltas: &DeltaBatch,
    metric: Metric,
) -> Vec<Option<Neighbor>> {
    let dim = deltas.dim() as usize;
    // Transposing costs about as much as meeting `dim` components one by one.
    if deltas.indices().len() <= dim || book.is_empty() {
        return scalar::quantize::quantize_deltas(book, deltas, metric);
    }
    let columns = transposed(book);
    let starts: Vec<usize> = (0..deltas.rows()).step_by(ROWS_PER_TASK).collect();
    let tasks: Vec<Vec<Option<Neighbor>>> = starts
        .into_par_iter()
        .map(|first| level.dispatch(Quantize { book, columns: &columns, deltas, metric, first }))
        .collect();
    tasks.concat()
}

/// Codes by component: those of component 0 of every entry, then of component 1, …
fn transposed(book: &ConsensusCodebook) -> Vec<i8> {
    let dim = book.dim() as usize;
    let mut columns = vec![0; book.codes().len()];
    for (component, column) in columns.chunks_exact_mut(book.len()).enumerate() {
        for (code, entry) in column.iter_mut().zip(book.codes().chunks_exact(dim)) {
            *code = entry[component];
        }
    }
    columns
}

/// Quantises the deltas of one task.
struct Quantize<'a> {
    book: &'a ConsensusCodebook,
    columns: &'a [i8],
    deltas: &'a DeltaBatch,
    metric: Metric,
    first: usize,
}

impl pulp::WithSimd for Quantize<'_> {
    type Output = Vec<Option<Neighbor>>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let Self { book, columns, deltas, metric, first } = self;
        let mut sums = vec![0i64; book.len()];
        let mut safe_sums = vec![0i32; book.len()];
        let mut filter = Filter::new(book, metric);
        let mut found = Vec::with_capacity(ROWS_PER_TASK);
        for row in first..(first + ROWS_PER_TASK).min(deltas.rows()) {
            let delta = DeltaRow::of(deltas, row);
            sums.fill(0);
            for (indices, codes) in delta.indices.chunks(SAFE_TERMS).zip(delta.codes.chunks(SAFE_TERMS)) {
                safe_sums.fill(0);
                add_terms(&mut safe_sums, columns, indices, codes);
                for (sum, &safe) in sums.iter_mut().zip(&safe_sums) {
                    *sum += i64::from(safe);
                }
            }
            let least = filter.least_key(delta.exponent, &sums);
            let candidates = filter.keys.iter().zip(&sums).enumerate().filter(|(_, (key, _))| **key >= least);
            found.push(delta.nearest(book, metric, candidates.map(|(id, (_, &dot))| (id, dot))));
        }
        found
    }
}

/// Leaves out entries that are surely not nearest, so that exact comparisons, in numbers of 128 bits, are few.
///
/// Each entry has a key in f64, greater for a nearer one: the dot product; dot · (1 / √norm); or, as distance²
/// less what all entries share, dot · 2^(f + 1) − norm · 2^e for exponents e of the codebook and f of the
/// delta. With u = 2⁻⁵³ a key is within 3.1u of its real value, relatively: integers below 2³⁸ and their
/// products with powers of two are exact, nothing overflows or underflows, and a root, a quotient, a product
/// or a difference rounds once.
///
/// Let K be the greatest key, k its entry's real value, and m ≥ k the greatest real value, of key M ≤ K. Then
/// M ≥ m − 3.1u|m| ≥ k − 3.1u|m| ≥ K − 3.1u(|k| + |m|). From k ≥ K − 3.1u|k| and m ≤ K + 3.1u|m| both |k|
/// and |m| are below 1.01|K|, so M ≥ K − 8u|K|: the nearest entry and its equals are never left out.
struct Filter<'a> {
    book: &'a ConsensusCodebook,
    metric: Metric,
    /// 1 / √norm of each entry; 0 for a zero entry, whose dot products are 0.
    inverse_roots: Vec<f64>,
    keys: Vec<f64>,
}

impl<'a> Filter<'a> {
    fn new(book: &'a ConsensusCodebook, metric: Metric) -> Self {
        let inverse_root = |&norm: &u32| if norm == 0 { 0.0 } else { 1.0 / f64::from(norm).sqrt() };
        let inverse_roots = match metric {
            Metric::Cosine => book.squared_norms().iter().map(inverse_root).collect(),
            Metric::Dot | Metric::L2 => Vec::new(),
        };
        Self { book, metric, inverse_roots, keys: vec![0.0; book.len()] }
    }

    /// Fills the keys and returns the least that the nearest entry can have.
    #[inline(always)]
    fn least_key(&mut self, exponent: i8, dots: &[i64]) -> f64 {
        let keys = self.keys.iter_mut().zip(dots);
        match self.metric {
            Metric::Dot => keys.for_each(|(key, &dot)| *key = dot as f64),
            Metric::Cosine => {
                keys.zip(&self.inverse_roots).for_each(|((key, &dot), root)| *key = dot as f64 * root);
            }
            Metric::L2 => {
                let dot_scale = libm::ldexp(1.0, i32::from(exponent) + 1);
                let norm_scale = libm::ldexp(1.0, i32::from(self.book.exponent()));
                keys.zip(self.book.squared_norms()).for_each(|((key, &dot), &norm)| {
                    *key = dot as f64 * dot_scale - f64::from(norm) * norm_scale;
                });
            }
        }
        let greatest = self.keys.iter().fold(f64::NEG_INFINITY, |a, &b| if a > b { a } else { b });
        greatest - greatest.abs() * (4.0 * f64::EPSILON)
    }
}

/// Adds code · column to the sums for each component of a delta.
#[inline(always)]
fn add_terms(sums: &mut [i32], columns: &[i8], indices: &[u32], codes: &[i16]) {
    let len = sums.len();
    let column = |index: u32| &columns[index as usize * len..][..len];
    let (fours, rest) = indices.as_chunks::<TERMS_AT_ONCE>();
    let (four_codes, rest_codes) = codes.as_chunks::<TERMS_AT_ONCE>();
    for (indices, codes) in fours.iter().zip(four_codes) {
        let [a, b, c, d] = indices.map(column);
        let [p, q, r, s] = codes.map(i32::from);
        for ((((sum, &a), &b), &c), &d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += p * i32::from(a) + q * i32::from(b) + r * i32::from(c) + s * i32::from(d);
        }
    }
    for (&index, &code) in rest.iter().zip(rest_codes) {
        for (sum, &entry) in sums.iter_mut().zip(column(index)) {
            *sum += i32::from(code) * i32::from(entry);
        }
    }
}

#[cfg(test)]
mod tests;
