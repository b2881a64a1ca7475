//! NumKong, which leaves threads and top-k to its caller.

use std::cell::RefCell;
use std::rc::Rc;

use numkong::{
    Dot, EachScale, PackedMatrix, ReduceMinMax, SparseDot, SparseIntersect, Tensor, cast, configure_thread,
};
use tensor_kernels::SparseBatch;

use super::super::int8::{Direction, Int8Work};
use super::super::search::K;
use super::super::sparse::Score;
use super::super::workload::Linked;
use super::blocks::{spread, top};
use super::boxed;

/// Queries of one packed product.
const BLOCK: usize = 100;

/// The nearest rows of one query, one call a row.
pub fn one_query(corpus: &[f32], query: &[f32], threads: usize) -> Vec<u32> {
    let dim = query.len();
    let scores = spread(corpus, dim, threads, |share| {
        configure_thread();
        share.chunks_exact(dim).map(|row| f32::dot(row, query).unwrap_or(f64::NAN)).collect()
    });
    top(&scores, K)
}

/// The nearest rows of every query by one packed product a block; `None` if the corpus cannot be packed.
pub fn search_codes(
    corpus: &[i8],
    queries: &[i8],
    dim: usize,
    threads: usize,
) -> Option<impl FnMut() -> Vec<u32> + use<>> {
    configure_thread();
    let rows = corpus.len() / dim;
    let packed = PackedMatrix::try_pack(&Tensor::<i8>::try_from_slice(corpus, &[rows, dim]).ok()?).ok()?;
    let blocks: Vec<Tensor<i8>> = queries
        .chunks(BLOCK * dim)
        .map(|part| Tensor::try_from_slice(part, &[part.len() / dim, dim]).ok())
        .collect::<Option<_>>()?;
    Some(move || {
        spread(&blocks, 1, threads, |share| {
            configure_thread();
            let mut found = Vec::new();
            let mut out: Option<Tensor<i32>> = None;
            for block in share {
                let shape = [block.shape()[0], rows];
                if out.as_ref().is_none_or(|out| out.shape() != shape) {
                    out = Tensor::try_full(&shape, 0).ok();
                }
                if let Some(out) = &mut out
                    && block.try_dots_packed_into(&packed, out).is_ok()
                {
                    out.as_slice().chunks_exact(rows).for_each(|scores| found.extend(top(scores, K)));
                }
            }
            found
        })
    })
}

/// Scores of all pairs, one call a pair; only the part right of the diagonal is filled.
pub fn all_pairs(rows: &SparseBatch<'_>, score: Score, threads: usize) -> Vec<f32> {
    let count = rows.rows();
    let mut square = vec![0.0f32; count * count];
    let mut hands: Vec<Vec<(usize, &mut [f32])>> = (0..threads).map(|_| Vec::new()).collect();
    for (row, line) in square.chunks_exact_mut(count).enumerate() {
        hands[row % threads].push((row, line));
    }
    std::thread::scope(|scope| {
        for hand in hands {
            scope.spawn(|| {
                for (left, line) in hand {
                    let (i, v) = rows.row(left);
                    for (right, out) in line.iter_mut().enumerate().skip(left + 1) {
                        let (j, w) = rows.row(right);
                        *out = match score {
                            Score::Cosine => u32::sparse_dot(i, j, v, w) as f32,
                            Score::Jaccard => jaccard(i, j) as f32,
                        };
                    }
                }
            });
        }
    });
    square
}

fn jaccard(left: &[u32], right: &[u32]) -> f64 {
    let shared = u32::sparse_intersection_size(left, right) as f64;
    shared / ((left.len() + right.len()) as f64 - shared)
}

/// Cosine and Jaccard of neighbouring rows.
pub fn pairs(rows: &SparseBatch<'_>) -> Vec<f64> {
    let mut scores = Vec::with_capacity(rows.rows());
    for left in (0..rows.rows() / 2 * 2).step_by(2) {
        let ((i, v), (j, w)) = (rows.row(left), rows.row(left + 1));
        scores.extend([u32::sparse_dot(i, j, v, w), jaccard(i, j)]);
    }
    scores
}

/// Codes by the least and greatest value, a scaling and a cast of each row; and the way back. The output is
/// allocated once, so that no run pays for fresh pages.
pub fn int8(work: &Int8Work, threads: usize) -> Vec<Linked<'_>> {
    let dim = work.rows.dim();
    let expected = &work.codes;
    match work.direction {
        Direction::Quantize => {
            let codes = Rc::new(RefCell::new(vec![0i8; expected.codes().len()]));
            let written = Rc::clone(&codes);
            let run = move || quantize_rows(work.rows.values(), &mut codes.borrow_mut(), dim, threads);
            let answer =
                move |scales: &Vec<f32>| Int8Work::sampled_codes(&written.borrow(), scales.iter().copied());
            vec![("numkong linked 7.8, min-max, scale, cast", boxed(run, answer))]
        }
        Direction::Dequantize => {
            let values = Rc::new(RefCell::new(vec![0f32; expected.codes().len()]));
            let written = Rc::clone(&values);
            let scales: Vec<f32> = expected.scales().iter().map(|scale| scale.scale).collect();
            let run =
                move || dequantize_rows(expected.codes(), &mut values.borrow_mut(), &scales, dim, threads);
            let answer = move |&(): &()| Int8Work::sampled_values(&written.borrow());
            vec![("numkong linked 7.8, cast, scale", boxed(run, answer))]
        }
    }
}

/// Every row to codes, rows shared by the threads; the scales.
fn quantize_rows(values: &[f32], codes: &mut [i8], dim: usize, threads: usize) -> Vec<f32> {
    let share = (values.len() / dim).div_ceil(threads) * dim;
    std::thread::scope(|scope| {
        let parts = values.chunks(share).zip(codes.chunks_mut(share));
        let running: Vec<_> = parts
            .map(|(values, codes)| {
                scope.spawn(move || {
                    let mut scaled = vec![0.0; dim];
                    let rows = values.chunks_exact(dim).zip(codes.chunks_exact_mut(dim));
                    rows.map(|(values, codes)| quantize(values, &mut scaled, codes)).collect::<Vec<f32>>()
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

fn quantize(values: &[f32], scaled: &mut [f32], codes: &mut [i8]) -> f32 {
    let (least, _, most, _) = f32::reduce_minmax(values, size_of::<f32>()).unwrap_or_default();
    let scale = least.abs().max(most.abs()) / 127.0;
    let _ = f32::each_scale(values, 1.0 / scale, 0.0, scaled).and_then(|()| cast(scaled, codes));
    scale
}

/// Every row back to values, rows shared by the threads.
fn dequantize_rows(codes: &[i8], values: &mut [f32], scales: &[f32], dim: usize, threads: usize) {
    let share = scales.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let parts = codes.chunks(share * dim).zip(values.chunks_mut(share * dim));
        for ((codes, values), scales) in parts.zip(scales.chunks(share)) {
            scope.spawn(move || {
                let mut wide = vec![0f32; dim];
                let rows = codes.chunks_exact(dim).zip(values.chunks_exact_mut(dim));
                for ((codes, values), &scale) in rows.zip(scales) {
                    let _ = cast(codes, &mut wide).and_then(|()| f32::each_scale(&wide, scale, 0.0, values));
                }
            });
        }
    });
}
