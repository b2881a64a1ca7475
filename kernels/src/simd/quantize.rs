//! Nearest codebook entries in lanes: one lane per entry.
//!
//! Deltas are sparse, so the codebook is transposed once per batch: a component of a delta then meets
//! the codes of all entries side by side.

use rayon::prelude::*;

use super::search::search;
use crate::exact::DeltaRow;
use crate::isa::Level;
use crate::scalar;
use crate::types::{
    Codebook, ConsensusCodebook, DeltaBatch, DenseView, Metric, Neighbor, SearchOptions, Wanted,
};

/// Deltas of one task. Fixed, so the work is cut the same for every number of threads.
const ROWS_PER_TASK: usize = 64;
/// Products that an i32 can add up: 516 · 32,639 · 127 < 2^31.
const SAFE_TERMS: usize = 516;
/// Components of a delta that meet the entries together, to spare loads and stores of the sums.
const TERMS_AT_ONCE: usize = 4;

/// The nearest entry of each row by the codebook's metric, the lowest id among equals; `row` is the
/// entry's id. `None` where the codebook is empty.
pub(crate) fn quantize(level: Level, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
    let options = SearchOptions::new(book.metric(), Wanted::Top(1));
    let nearest = search(level, &book.view().into(), rows, &options);
    nearest.into_iter().map(|found| found.first().copied()).collect()
}

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
            found.push(delta.nearest(book, metric, sums.iter().copied()));
        }
        found
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
