//! Known answers of the operations that are tested when they are first asked for, so that a device opens quickly.
//!
//! As in `known_answers.rs`: the kernels of production, the extreme codes in every place, rows that fill no tile.

use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};

use super::device::Gpu;
use super::fault::Fault;
use super::{all_pairs, kmeans, search};
use crate::KernelError;
use crate::corpus::Corpus;
use crate::isa::Level;
use crate::kmeans::{CodePoints, KMeansCodesOptions};
use crate::scalar;
use crate::types::{
    ByteView, Decimal, Metric, Pairs, SearchOptions, SearchRows, Similarity, SparseBatch, Wanted,
};

/// Rows and dimensions: less than a tile, a row more than one, and sums above 2²⁴.
const SHAPES: [(usize, usize); 3] = [(3, 1), (65, 67), (200, 1_100)];

/// Which operations have passed.
#[derive(Debug, Default)]
pub(super) struct FirstUse {
    pub(super) search: Once,
    pub(super) kmeans: Once,
    pub(super) all_pairs: Once,
}

/// Whether one operation has passed.
#[derive(Debug, Default)]
pub(super) struct Once(AtomicBool);

impl Once {
    /// Makes the test unless it has been passed before.
    pub(super) fn pass(&self, test: impl FnOnce() -> Result<bool, Fault>) -> Result<(), Fault> {
        if !self.0.load(Acquire) {
            test()?.then_some(()).ok_or(Fault::Mismatch("a known answer"))?;
            self.0.store(true, Release);
        }
        Ok(())
    }
}

/// Searches bytes, where integers alone decide, and their cosines.
pub(super) fn search(gpu: &Gpu, level: Level) -> Result<bool, Fault> {
    for (rows, dim) in SHAPES {
        let codes = codes(rows, dim, -128);
        let view = SearchRows::Bytes(ByteView::new(&codes, rows, dim).map_err(refused)?);
        for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
            for wanted in [Wanted::Top(2), Wanted::Within(Decimal::from_ten_thousandths(7_000))] {
                let options = SearchOptions::new(metric, wanted);
                let found = search::search(gpu, level, &Corpus::unpacked(view), view, &options)?;
                if found != scalar::search::search(view, view, &options) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Clusters codes.
pub(super) fn kmeans_codes(gpu: &Gpu, level: Level) -> Result<bool, Fault> {
    for (rows, dim) in SHAPES {
        let (codes, dim) = (codes(rows, dim, -127), dim as u32);
        let k = rows * 2 / 3;
        let options = KMeansCodesOptions { k, max_iterations: 2, seed: 1, exponent: 0, epoch: 0 };
        let points = CodePoints::new(&codes, dim, &options).map_err(refused)?;
        let found = kmeans::kmeans_codes(gpu, level, points, dim, &options)?;
        if found != scalar::kmeans_codes::kmeans_codes(&codes, dim, &options).map_err(refused)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares supports, among them empty and full ones.
pub(super) fn all_pairs(gpu: &Gpu) -> Result<bool, Fault> {
    for (rows, dim) in SHAPES {
        let (mut indptr, mut indices) = (vec![0], Vec::new());
        for row in 0..rows {
            // One row in seven is empty and one in seven is full.
            let is_set =
                |at: usize| row % 7 == 1 || (row % 7 > 1 && !(at * 7 + row * row).is_multiple_of(row % 7));
            indices.extend((0..dim).filter(|&at| is_set(at)).map(|at| at as u32));
            indptr.push(indices.len());
        }
        let values = vec![1.0; indices.len()];
        let batch = SparseBatch::new(dim as u32, indptr, indices, values).map_err(refused)?;
        let at_least = Decimal::from_ten_thousandths(7_000);
        for pairs in [Pairs::of(&batch), Pairs::between(&batch, &batch).map_err(refused)?] {
            let found = all_pairs::all_pairs(gpu, &pairs, at_least)?;
            if found != scalar::all_pairs::all_pairs(&pairs, Similarity::Jaccard, at_least) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// None for inputs that are right by construction.
fn refused(error: KernelError) -> Fault {
    Fault::Refused(error.to_string())
}

/// Rows of `least` alone, of 127 alone, and of everything between.
fn codes(rows: usize, dim: usize, least: i8) -> Vec<i8> {
    let code = |(row, at): (usize, usize)| match row % 5 {
        0 => least,
        1 => 127,
        // Any byte but −128, in an order that differs from row to row.
        _ => (((row * 31 + at * (2 * row + 1)) % 255) as u8).cast_signed(),
    };
    let any = (0..rows).flat_map(|row| (0..dim).map(move |at| (row, at))).map(code);
    any.map(|code| code.max(least)).collect()
}
