//! Nearest codebook entries of f32 rows: by bytes where they can tell, else by the exact judge among what
//! they leave. Rows to which they leave many are searched for in f32.

use rayon::prelude::*;

use crate::exact::Judge;
use crate::isa::Level;
use crate::simd::nearest::{ByteCentroids, BytePoints, Filter, Found, Frame, unit_exponent};
use crate::simd::search::search;
use crate::simd::tile::{DIM_LIMIT, SIDE};
use crate::types::{Codebook, DenseView, Metric, Neighbor, SearchOptions, Wanted};

/// Rows of one task.
const ROWS_PER_TASK: usize = 1024;
/// From this many candidates on a row is cheaper to search for.
const MANY: u32 = 16;

/// The nearest entry of each row by the codebook's metric, the lowest id among equals; `row` is the
/// entry's id. `None` where the codebook is empty.
pub(crate) fn quantize(level: Level, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
    let dim = rows.dim();
    if book.is_empty() || dim >= DIM_LIMIT {
        return searched(level, book, rows);
    }
    let (frame, centroids) = centroids(book);
    let tasks = (0..rows.rows().div_ceil(ROWS_PER_TASK)).into_par_iter().map(|task| {
        let first = task * ROWS_PER_TASK;
        let task = first..(first + ROWS_PER_TASK).min(rows.rows());
        let points = BytePoints::round(level, &frame, task.clone(), |row| rows.row(row));
        let mut filter = Filter::new(level, &centroids);
        let mut nearest = vec![None; task.len()];
        let (mut hard, mut hard_rows) = (Vec::new(), Vec::new());
        for (panel, nearest) in nearest.chunks_mut(SIDE).enumerate() {
            let found = filter.candidates(&points, panel);
            for (lane, nearest) in nearest.iter_mut().enumerate() {
                let row = rows.row(first + panel * SIDE + lane);
                let judge = Judge::new(book.metric(), book.view(), row);
                *nearest = match found.of(lane) {
                    Found::Decided(id) => Some(judge.neighbor(id)),
                    Found::OneOf(many) if many >= MANY => {
                        hard.push(panel * SIDE + lane);
                        hard_rows.extend_from_slice(row);
                        None
                    }
                    Found::OneOf(_) => {
                        let candidates = found.ids(lane).map(|id| judge.candidate(id)).collect();
                        judge.nearest(candidates, Wanted::Top(1)).first().copied()
                    }
                };
            }
        }
        let found = searched(level, book, DenseView::from_checked(&hard_rows, hard.len(), dim));
        for (at, found) in hard.into_iter().zip(found) {
            nearest[at] = found;
        }
        nearest
    });
    tasks.collect::<Vec<_>>().concat()
}

/// The same by search.
fn searched(level: Level, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
    let nearest =
        search(level, &book.view().into(), rows, &SearchOptions::new(book.metric(), Wanted::Top(1)));
    nearest.into_iter().map(|found| found.first().copied()).collect()
}

/// The entries in a frame that suits the metric. Only for L2 may it have a centre, only for cosine do
/// lengths not count.
fn centroids(book: &Codebook) -> (Frame, ByteCentroids) {
    let dim = book.dim();
    let entries = book.centroids();
    match book.metric() {
        Metric::L2 => {
            let frame = Frame::new(dim, unit_exponent(entries), entries.chunks_exact(dim));
            let centroids = ByteCentroids::round(&frame, true, entries.chunks_exact(dim));
            (frame, centroids)
        }
        Metric::Dot => {
            let frame = Frame::new(dim, unit_exponent(entries), [].into_iter());
            let centroids = ByteCentroids::round(&frame, false, entries.chunks_exact(dim));
            (frame, centroids)
        }
        Metric::Cosine => {
            let directions: Vec<f32> = entries.chunks_exact(dim).flat_map(direction).collect();
            let frame = Frame::new(dim, 0, [].into_iter());
            let centroids = ByteCentroids::round(&frame, false, directions.chunks_exact(dim));
            (frame, centroids)
        }
    }
}

/// An entry divided by its norm, each component off by at most 1.1 of the unit roundoff of f32; zero where
/// the entry is.
fn direction(entry: &[f32]) -> impl Iterator<Item = f32> {
    let norm = entry.iter().fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x)).sqrt();
    entry.iter().map(move |&x| if norm > 0.0 { (f64::from(x) / norm) as f32 } else { 0.0 })
}
