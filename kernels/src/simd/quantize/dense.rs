//! Nearest codebook entries of f32 rows: by bytes where they can tell, else by the exact judge among what
//! they leave. Rows to which they leave many are searched for in f32.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::corpus::Corpus;
use crate::exact::Judge;
use crate::isa::Level;
use crate::kmeans::nearest;
use crate::simd::lanes::ROWS;
use crate::simd::nearest::{ByteCentroids, BytePoints, Candidates, Filter, Found, Frame, unit_exponent};
use crate::simd::scores::scores;
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
    let room = || BytePoints::with_room(ROWS_PER_TASK.min(rows.rows()), dim);
    let tasks = (0..rows.rows().div_ceil(ROWS_PER_TASK)).into_par_iter().map_init(room, |points, task| {
        let first = task * ROWS_PER_TASK;
        let task = first..(first + ROWS_PER_TASK).min(rows.rows());
        points.refill(level, &frame, task.clone(), |row| rows.row(row));
        let mut filter = Filter::new(level, &centroids);
        let mut ids = vec![0; task.len()];
        let mut hard = Vec::new();
        for (panel, ids) in ids.chunks_mut(SIDE).enumerate() {
            let found = filter.candidates(points, panel);
            let first = first + panel * SIDE;
            level.dispatch(Decide { book, rows, first, found, hard: &mut hard, ids });
        }
        let mut nearest = level.dispatch(Score { level, book, rows, first, ids: &ids });
        let hard_rows: Vec<f32> = hard.iter().flat_map(|&row| rows.row(row)).copied().collect();
        let found = searched(level, book, DenseView::from_checked(&hard_rows, hard.len(), dim));
        for (row, found) in hard.into_iter().zip(found) {
            nearest[row - first] = found;
        }
        nearest
    });
    tasks.collect::<Vec<_>>().concat()
}

/// Decides the rows of one panel but for the `hard` ones.
struct Decide<'a> {
    book: &'a Codebook,
    rows: DenseView<'a>,
    first: usize,
    found: &'a Candidates,
    hard: &'a mut Vec<usize>,
    ids: &'a mut [u32],
}

impl WithSimd for Decide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (lane, out) in self.ids.iter_mut().enumerate() {
            let row = self.rows.row(self.first + lane);
            let ids = self.found.ids(lane);
            match self.found.of(lane) {
                Found::Decided(id) => *out = id,
                Found::OneOf(many) if many >= MANY => self.hard.push(self.first + lane),
                Found::OneOf(_) if self.book.metric() == Metric::L2 => {
                    *out = nearest(row, self.book.centroids(), ids);
                }
                Found::OneOf(_) => {
                    let judge = Judge::new(self.book.metric(), self.book.view(), row);
                    let candidates = ids.map(|id| judge.candidate(id)).collect();
                    let nearest = judge.nearest(candidates, Wanted::Top(1));
                    *out = nearest.first().map_or(0, |nearest| nearest.row);
                }
            }
        }
    }
}

/// The scores of rows and their entries.
struct Score<'a> {
    level: Level,
    book: &'a Codebook,
    rows: DenseView<'a>,
    first: usize,
    ids: &'a [u32],
}

impl WithSimd for Score<'_> {
    type Output = Vec<Option<Neighbor>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { level, book, rows, first, ids } = self;
        let entries = book.view();
        let mut nearest = Vec::with_capacity(ids.len());
        for at in (0..ids.len()).step_by(ROWS) {
            let pairs = std::array::from_fn(|lane| {
                // Behind the last row it again.
                let row = (at + lane).min(ids.len() - 1);
                (rows.row(first + row), entries.row(ids[row] as usize))
            });
            let scores = scores(level, book.metric(), &pairs);
            let found = ids[at..].iter().zip(scores);
            nearest.extend(found.map(|(&row, score)| Some(Neighbor { row, score })));
        }
        nearest
    }
}

/// The same by search.
fn searched(level: Level, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
    let nearest = search(
        level,
        &Corpus::unpacked(book.view()),
        rows.into(),
        &SearchOptions::new(book.metric(), Wanted::Top(1)),
    );
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
