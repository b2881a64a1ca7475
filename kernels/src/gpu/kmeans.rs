//! k-means on integer codes: the device chooses the rows to begin with (`seeding.rs`) and finds the nearest centroids,
//! all rows with all centroids, round after round.
//!
//! Rows stay in its memory; a round of Lloyd's sends centroids there and assignments back. Means are the CPU's, and so
//! are some assignments that the device cannot foresee: those that differ give it away. Its products are covered by
//! checksums (`tile_rows.rs`).

mod seeding;

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;
use tensor_shaders::kmeans::{ASSIGN, Job, SHADER};
use tensor_shaders::kmeans_seeding::TRIALS;
use tensor_shaders::tile::SIDE;
use wgpu::BufferUsages;

use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;
use super::submit::Dispatch;
use super::tile_rows::{Secret, TileRows, WORD_BYTES, WeightedSums};
use crate::accelerator::Fallback;
use crate::isa::Level;
use crate::kmeans::{
    Clusters, CodePoints, KMeansCodes, KMeansCodesOptions, Points, nearest_code, train_codes,
};
use crate::simd::kmeans_codes::Rows as CpuRows;

/// Assignments of a round that the CPU makes again.
const SAMPLE: usize = 16;
/// More rows than these have more spans than every adapter can bind.
const MOST_ROWS: usize = 1 << 24;

/// Whether training is worth a device's time: the pairs of one round.
pub(super) fn is_for_gpu(least_pairs: u64, rows: usize, k: usize) -> Result<(), Fallback> {
    let pairs = (rows as u64).saturating_mul(k.min(rows) as u64);
    match pairs {
        _ if rows > MOST_ROWS => Err(Fallback::OutOfMemory),
        _ if pairs < least_pairs.max(1) => Err(Fallback::TooFew),
        _ => Ok(()),
    }
}

/// Clusters the rows: the answer of every backend.
pub(super) fn kmeans_codes(
    gpu: &Gpu,
    level: Level,
    points: CodePoints<'_>,
    dim: u32,
    options: &KMeansCodesOptions,
) -> Result<KMeansCodes, Fault> {
    let rows = Rows::upload(gpu, CpuRows::pack(level, points))?;
    let trained = train_codes(&rows, dim, options);
    match rows.fault.into_inner() {
        Some(fault) => Err(fault),
        // None for codes and options that were accepted.
        None => trained.map_err(|error| Fault::Refused(error.to_string())),
    }
}

struct Rows<'a> {
    gpu: &'a Gpu,
    cpu: CpuRows<'a>,
    parts: Vec<Part>,
    /// The first fault. From then on the CPU finds the nearest centroids, and nothing of it is used.
    fault: OnceLock<Fault>,
}

/// Some consecutive rows.
struct Part {
    rows: Range<usize>,
    tiles: usize,
    codes: Lease,
    infos: Lease,
    nearest: Lease,
    sums: WeightedSums,
}

impl<'a> Rows<'a> {
    fn upload(gpu: &'a Gpu, cpu: CpuRows<'a>) -> Result<Self, Fault> {
        let points = cpu.points();
        let row_bytes = row_bytes(points.dim());
        // In a round of seeding a part is no more than one submission's work.
        let most_tiles =
            (gpu.part_bytes() / (row_bytes * SIDE)).min(gpu.most_tiles(TRIALS, row_bytes)).max(1);
        let storage = BufferUsages::STORAGE;
        let mut parts = Vec::new();
        for first in (0..points.rows()).step_by(most_tiles * SIDE) {
            let rows = first..(first + most_tiles * SIDE).min(points.rows());
            let coded = tile_rows(rows.len(), points.dim(), |row| points.row(first + row));
            let upload = |bytes: &[u8]| gpu.memory().upload(gpu, bytes, storage);
            parts.push(Part {
                tiles: coded.tiles(),
                codes: upload(bytemuck::cast_slice(&coded.fours))?,
                infos: upload(bytemuck::cast_slice(&coded.infos))?,
                nearest: gpu.memory().lease(
                    gpu,
                    (coded.infos.len() * WORD_BYTES) as u64,
                    storage | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
                )?,
                sums: coded.sums(),
                rows,
            });
        }
        Ok(Self { gpu, cpu, parts, fault: OnceLock::new() })
    }

    /// What the device says, unless it has failed before or does so now.
    fn ask<T>(&self, question: impl FnOnce() -> Result<T, Fault>) -> Option<T> {
        if self.fault.get().is_some() {
            return None;
        }
        // Only the first fault counts, and there was none.
        question().map_err(|fault| _ = self.fault.set(fault)).ok()
    }

    fn nearest(&self, centroids: &[i8]) -> Result<Vec<u32>, Fault> {
        let (gpu, dim) = (self.gpu, self.cpu.points().dim());
        let count = centroids.len() / dim;
        let coded = tile_rows(count, dim, |id| &centroids[id * dim..(id + 1) * dim]);
        let sums = coded.sums();
        let upload = |bytes: &[u8], usage| gpu.memory().upload(gpu, bytes, usage);
        let storage = BufferUsages::STORAGE;
        let codes = upload(bytemuck::cast_slice(&coded.fours), storage)?;
        let infos = upload(bytemuck::cast_slice(&coded.infos), storage)?;
        let read = BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let checksums = gpu.memory().lease(gpu, 8, storage | read)?;
        let pipeline = gpu.pipelines().get(gpu, &SHADER, ASSIGN)?;
        let most_tiles = gpu.most_tiles(coded.infos.len(), row_bytes(dim)).max(1);
        let mut nearest = Vec::with_capacity(self.cpu.rows());
        for part in &self.parts {
            let mut readings = Vec::new();
            for first in (0..part.tiles).step_by(most_tiles) {
                let tiles = most_tiles.min(part.tiles - first);
                // A codebook has at most 2^16 entries of 2^16 components, a part at most 2^15 tiles.
                let job =
                    Job { words: coded.words() as u32, centroids: count as u32, first_tile: first as u32 };
                let job = upload(bytemuck::bytes_of(&job), BufferUsages::UNIFORM)?;
                let dispatch = Dispatch {
                    pipeline: &pipeline,
                    bindings: &[&job, &part.codes, &codes, &part.infos, &infos, &part.nearest, &checksums],
                    workgroups: (tiles as u32, 1),
                    cleared: if first == 0 { &[(&checksums, 2)] } else { &[] },
                };
                let is_last = first + tiles == part.tiles;
                let reads = [(&*checksums, 0, 2), (&*part.nearest, 0, part.rows.len())];
                readings = gpu.submit(&[dispatch], if is_last { &reads } else { &reads[..1] })?;
            }
            let [found, ids] = &readings[..] else { return Err(Fault::Mismatch("a reading is missing")) };
            if found[..] != part.sums.checksums(&sums) {
                return Err(Fault::Mismatch("the products of rows and centroids"));
            }
            if ids.len() != part.rows.len() || ids.iter().any(|&id| id as usize >= count) {
                return Err(Fault::Mismatch("a centroid that is not there"));
            }
            nearest.extend_from_slice(ids);
        }
        let (points, secret) = (self.cpu.points(), Secret::new());
        let is_nearest = |draw: usize| {
            let row = secret.weights(draw)[0] as usize % nearest.len();
            nearest[row] == nearest_code(points.row(row), centroids)
        };
        if (0..SAMPLE).into_par_iter().all(is_nearest) {
            Ok(nearest)
        } else {
            Err(Fault::Mismatch("a nearest centroid"))
        }
    }
}

/// Bytes of a row on the device.
const fn row_bytes(dim: usize) -> usize {
    WORD_BYTES * TileRows::words_of_bytes(dim)
}

/// Rows of codes, with their squared norms: at most 2^16 · 127².
fn tile_rows<'a>(rows: usize, dim: usize, row: impl Fn(usize) -> &'a [i8] + Sync) -> TileRows {
    TileRows::bytes(rows, dim, 1, |index, codes| {
        codes.copy_from_slice(row(index));
        codes.iter().map(|&code| i32::from(code).pow(2)).sum()
    })
}

impl Points for Rows<'_> {
    type Value = i8;
    type Weight = u32;
    type Deviation = u32;

    fn rows(&self) -> usize {
        self.cpu.rows()
    }

    fn row(&self, row: usize) -> &[i8] {
        self.cpu.row(row)
    }

    fn seeds(&self, k: usize, seed: u64) -> Vec<usize> {
        self.ask(|| seeding::seeds(self, k, seed)).unwrap_or_else(|| self.cpu.seeds(k, seed))
    }

    fn distances(&self, candidates: &[usize], nearest: &[u32], out: &mut [u32], sums: &mut [u64]) {
        self.cpu.distances(candidates, nearest, out, sums);
    }

    fn assign(&self, centroids: &[i8]) -> Vec<u32> {
        self.ask(|| self.nearest(centroids)).unwrap_or_else(|| self.cpu.assign(centroids))
    }

    fn update(&self, clusters: &Clusters, changed: &[bool], centroids: &mut [i8]) {
        self.cpu.update(clusters, changed, centroids);
    }

    fn deviations(&self, centroids: &[i8], assignments: &[u32]) -> Vec<u32> {
        self.cpu.deviations(centroids, assignments)
    }
}
