//! k-means on integer codes: every distance from tile products, exactly, in parallel over fixed tasks of rows.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::kmeans::Potentials;
use super::tile::{self, BytePanels, ByteRows, Dots, SIDE, Sink};
use crate::error::KernelError;
use crate::isa::Level;
use crate::kmeans::{
    BLOCK, Clusters, CodePoints, KMeansCodes, KMeansCodesOptions, Points, TASK, train_codes,
};

/// Panels of one task.
const PANELS_PER_TASK: usize = TASK / SIDE;

/// Clusters the rows of `dim` codes each: the answer of the scalar `kmeans_codes`.
///
/// # Errors
/// As [`CodePoints::new`].
pub(crate) fn kmeans_codes(
    level: Level,
    codes: &[i8],
    dim: u32,
    options: &KMeansCodesOptions,
) -> Result<KMeansCodes, KernelError> {
    train_codes(&Rows::pack(level, CodePoints::new(codes, dim, options)?), dim, options)
}

/// Rows of codes, packed.
pub(crate) struct Rows<'a> {
    level: Level,
    points: CodePoints<'a>,
    panels: BytePanels,
    /// ‖x‖² of the rows of each panel.
    squares: Vec<[u32; SIDE]>,
}

impl<'a> Rows<'a> {
    pub(crate) fn pack(level: Level, points: CodePoints<'a>) -> Self {
        let (rows, dim) = (points.rows(), points.dim());
        let panels = BytePanels::pack_with(rows, dim, |row, out| out.copy_from_slice(points.row(row)));
        let mut squares = vec![[0; SIDE]; panels.panels()];
        squares.par_iter_mut().enumerate().for_each(|(panel, squares)| {
            for (row, square) in (panel * SIDE..rows).zip(squares) {
                *square = squared_norm(points.row(row));
            }
        });
        Self { level, points, panels, squares }
    }

    /// The rows as they lie.
    #[cfg(feature = "gpu")]
    pub(crate) const fn points(&self) -> &CodePoints<'a> {
        &self.points
    }

    /// The products of one task's rows with `centroids`.
    fn products(&self, task: usize, centroids: &Centroids, sink: &mut impl Sink) {
        let first = task * PANELS_PER_TASK;
        let panels = first..(first + PANELS_PER_TASK).min(self.panels.panels());
        let rows = &centroids.rows;
        tile::products(self.level, rows, 0..rows.blocks(), &self.panels, panels, sink);
    }
}

/// Centroids, as the rows of a product.
struct Centroids {
    rows: ByteRows,
    /// ‖c‖² of each.
    squares: Vec<u32>,
}

impl Centroids {
    fn pack(codes: &[i8], dim: usize) -> Self {
        let squares = codes.chunks_exact(dim).map(squared_norm).collect();
        Self { rows: ByteRows::pack(codes, dim), squares }
    }

    /// ‖c‖² of the centroids of a block, each with its id and products.
    #[inline(always)]
    fn of_block<'a>(
        &'a self,
        block: usize,
        dots: &'a Dots,
    ) -> impl Iterator<Item = (usize, u32, &'a [i32; SIDE])> {
        let first = block * SIDE;
        (first..).zip(&self.squares[first..]).zip(dots).map(|((id, &square), dots)| (id, square, dots))
    }
}

/// Σ xᵢ²: at most 65,536 · 127².
fn squared_norm(codes: &[i8]) -> u32 {
    codes.iter().map(|&code| u32::from(code.unsigned_abs()).pow(2)).sum()
}

/// ‖x − c‖² = ‖x‖² + ‖c‖² − 2 x·c: below 2^32, so arithmetic modulo 2^32 is exact.
#[inline(always)]
fn distance(x: u32, c: u32, dot: i32) -> u32 {
    x.wrapping_add(c).wrapping_sub(dot.cast_unsigned() << 1)
}

impl Points for Rows<'_> {
    type Value = i8;
    type Weight = u32;
    type Deviation = u32;

    fn rows(&self) -> usize {
        self.points.rows()
    }

    fn row(&self, row: usize) -> &[i8] {
        self.points.row(row)
    }

    fn distances(&self, candidates: &[usize], nearest: &[u32], out: &mut [u32], sums: &mut [u64]) {
        let codes: Vec<i8> = candidates.iter().flat_map(|&row| self.row(row)).copied().collect();
        let centroids = Centroids::pack(&codes, self.points.dim());
        let trials = candidates.len();
        let tasks = nearest.par_chunks(TASK).zip(out.par_chunks_mut(TASK * trials));
        let tasks = tasks.zip(sums.par_chunks_exact_mut(trials)).enumerate();
        tasks.for_each(|(task, ((nearest, out), sums))| {
            let mut sink = Distances { rows: self, centroids: &centroids, task, out };
            self.products(task, &centroids, &mut sink);
            self.level.dispatch(Potentials { nearest, distances: out, sums });
        });
    }

    fn assign(&self, centroids: &[i8]) -> Vec<u32> {
        let centroids = Centroids::pack(centroids, self.points.dim());
        let mut assignments = vec![[0; SIDE]; self.panels.panels()];
        let tasks = assignments.par_chunks_mut(PANELS_PER_TASK).enumerate();
        tasks.for_each(|(task, out)| {
            let least = vec![[u32::MAX; SIDE]; out.len()];
            let mut sink = Nearest { rows: self, centroids: &centroids, task, least, out };
            self.products(task, &centroids, &mut sink);
        });
        let mut assignments = assignments.into_flattened();
        assignments.truncate(self.rows());
        assignments
    }

    fn update(&self, clusters: &Clusters, changed: &[bool], centroids: &mut [i8]) {
        let dim = self.points.dim();
        let centroids = centroids.par_chunks_exact_mut(dim).enumerate();
        centroids.filter(|&(id, _)| changed[id]).for_each_init(
            || vec![0; dim],
            |sums, (id, centroid)| {
                let members = clusters.members(id);
                self.level.dispatch(Mean { points: &self.points, members, sums, centroid });
            },
        );
    }

    fn deviations(&self, centroids: &[i8], assignments: &[u32]) -> Vec<u32> {
        let rows = assignments.par_iter().enumerate();
        rows.map(|(row, &id)| self.points.deviation(row, id, centroids)).collect()
    }
}

/// Writes distances to the blocks of one task.
struct Distances<'a> {
    rows: &'a Rows<'a>,
    centroids: &'a Centroids,
    task: usize,
    out: &'a mut [u32],
}

impl Sink for Distances<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, panel: usize, dots: &Dots) {
        let squares = &self.rows.squares[panel];
        let trials = self.centroids.squares.len();
        let blocks_per_panel = SIDE / BLOCK;
        let first = (panel - self.task * PANELS_PER_TASK) * blocks_per_panel;
        let (out, _) = self.out.as_chunks_mut::<BLOCK>();
        for (trial, square, dots) in self.centroids.of_block(block, dots) {
            for part in 0..blocks_per_panel {
                // The last panel may be longer than what is left of the rows.
                let Some(out) = out.get_mut((first + part) * trials + trial) else { break };
                for (lane, out) in out.iter_mut().enumerate() {
                    *out = distance(squares[part * BLOCK + lane], square, dots[part * BLOCK + lane]);
                }
            }
        }
    }
}

/// Keeps the least distance of each row of one task; ids ascend, so the first of equals stays.
struct Nearest<'a> {
    rows: &'a Rows<'a>,
    centroids: &'a Centroids,
    task: usize,
    least: Vec<[u32; SIDE]>,
    out: &'a mut [[u32; SIDE]],
}

impl Sink for Nearest<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, panel: usize, dots: &Dots) {
        let squares = &self.rows.squares[panel];
        let panel = panel - self.task * PANELS_PER_TASK;
        let (mut least, mut nearest) = (self.least[panel], self.out[panel]);
        for (id, square, dots) in self.centroids.of_block(block, dots) {
            for lane in 0..SIDE {
                let distance = distance(squares[lane], square, dots[lane]);
                let nearer = distance < least[lane];
                least[lane] = if nearer { distance } else { least[lane] };
                nearest[lane] = if nearer { id as u32 } else { nearest[lane] };
            }
        }
        (self.least[panel], self.out[panel]) = (least, nearest);
    }
}

struct Mean<'a> {
    points: &'a CodePoints<'a>,
    members: &'a [u32],
    sums: &'a mut [i64],
    centroid: &'a mut [i8],
}

impl WithSimd for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.points.mean(self.members, self.sums, self.centroid);
    }
}
