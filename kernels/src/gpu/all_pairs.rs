//! Pairs of sparse rows by Jaccard index, on their supports as bits: the device compares all pairs in integers, the CPU
//! counts again what those share that were listed.
//!
//! Rows are kept in strips, and one region, a strip of either side, is asked at a time. A list that does not fit is
//! never cut short: the region is halved.

use std::ops::Range;

use rayon::prelude::*;
use tensor_shaders::all_pairs::{FOUND_HEAD, Job, PAIRS, SHADER};
use tensor_shaders::tile::SIDE;
use wgpu::BufferUsages;

use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;
use super::submit::Dispatch;
use super::tile_rows::{TileRows, WORD_BYTES};
use crate::accelerator::Fallback;
use crate::exact::jaccard_at_least;
use crate::scalar::sparse_pair::intersect;
use crate::sparse_score::score;
use crate::types::{Decimal, Measure, Pairs, ScoredPair, Similarity, SparseBatch};

/// Up to this dimension bits of all positions are compared sooner than lists of those there are.
const MOST_DIMENSIONS: u32 = 1 << 13;
/// Most tiles of a strip.
const STRIP_TILES: usize = 64;
/// Pairs that a list has room for, no fewer than a tile has.
const ROOM: usize = 1 << 16;
const _: () = assert!(ROOM >= SIDE * SIDE);

/// Whether all pairs are worth a device's time and the kernel has a version for them.
pub(super) fn is_for_gpu(
    least_pairs: u64,
    pairs: &Pairs<'_>,
    similarity: Similarity,
    at_least: Decimal,
) -> Result<(), Fallback> {
    match similarity {
        Similarity::Cosine => Err(Fallback::NoVersion),
        // Other thresholds are reached by all pairs or by those of two zero rows alone.
        _ if !(1..=10_000).contains(&at_least.ten_thousandths()) => Err(Fallback::NoVersion),
        _ if pairs.left().dim() > MOST_DIMENSIONS => Err(Fallback::TooWide),
        _ if pairs.count() < least_pairs.max(1) => Err(Fallback::TooFew),
        _ => Ok(()),
    }
}

/// The pairs whose Jaccard index is `at_least`, ascending: the answer of every backend.
pub(super) fn all_pairs(gpu: &Gpu, pairs: &Pairs<'_>, at_least: Decimal) -> Result<Vec<ScoredPair>, Fault> {
    let left = strips(gpu, pairs.left())?;
    let own_right;
    let right = if pairs.is_triangle() {
        &left
    } else {
        own_right = strips(gpu, pairs.right())?;
        &own_right
    };
    let mut found = Vec::new();
    for (i, left) in left.iter().enumerate() {
        for (j, right) in right.iter().enumerate().skip(if pairs.is_triangle() { i } else { 0 }) {
            let is_triangle = pairs.is_triangle() && i == j;
            let mut regions = vec![Region { left: 0..left.rows.tiles(), right: 0..right.rows.tiles() }];
            while let Some(region) = regions.pop() {
                match region.ask(gpu, (left, right), is_triangle, at_least)? {
                    Some(listed) => found.extend(listed),
                    None => regions.extend(region.halves()),
                }
            }
        }
    }
    found.sort_unstable();
    if !found.is_sorted_by(|a, b| a < b) {
        return Err(Fault::Mismatch("a pair listed twice"));
    }
    let judged = found.par_iter().map(|&(i, j)| judge(pairs, i, j, at_least));
    judged.collect::<Option<_>>().ok_or(Fault::Mismatch("a pair below the threshold"))
}

/// A listed pair with its score, if it is `at_least`.
fn judge(pairs: &Pairs<'_>, i: u32, j: u32, at_least: Decimal) -> Option<ScoredPair> {
    let (a, b) = (pairs.left().row(i as usize), pairs.right().row(j as usize));
    let matches = intersect(a.0, b.0);
    let shared = matches.clone().count() as u64;
    let union = (a.0.len() + b.0.len()) as u64 - shared;
    let is_pair = union == 0 || jaccard_at_least(shared, union, at_least);
    is_pair.then(|| ScoredPair { left: i, right: j, score: score(Measure::Jaccard, a, b, matches) })
}

/// Some consecutive rows in the device's memory.
struct Strip {
    first: usize,
    rows: TileRows,
    bits: Lease,
    infos: Lease,
}

fn strips(gpu: &Gpu, batch: &SparseBatch<'_>) -> Result<Vec<Strip>, Fault> {
    let dim = batch.dim() as usize;
    let row_bytes = WORD_BYTES * TileRows::words_of_bits(dim);
    // As many tiles on each side as one submission may have products for.
    let tiles = (1..=STRIP_TILES).rev().find(|&tiles| tiles <= gpu.most_tiles(tiles * SIDE, row_bytes));
    let most = tiles.unwrap_or(1) * SIDE;
    let strip = |first: usize| {
        let count = (batch.rows() - first).min(most);
        let rows = TileRows::bits(count, dim, |row| batch.row(first + row).0);
        let upload = |bytes: &[u8]| gpu.memory().upload(gpu, bytes, BufferUsages::STORAGE);
        let bits = upload(bytemuck::cast_slice(&rows.fours))?;
        let infos = upload(bytemuck::cast_slice(&rows.infos))?;
        Ok(Strip { first, rows, bits, infos })
    };
    (0..batch.rows()).step_by(most).map(strip).collect()
}

/// Tiles of two strips.
struct Region {
    left: Range<usize>,
    right: Range<usize>,
}

impl Region {
    /// The pairs that are at the threshold or above, or `None` where there are more than a list has room for.
    fn ask(
        &self,
        gpu: &Gpu,
        (left, right): (&Strip, &Strip),
        is_triangle: bool,
        at_least: Decimal,
    ) -> Result<Option<Vec<(u32, u32)>>, Fault> {
        // Tiles and rows of a strip are few, and the threshold is positive.
        let job = Job {
            words: left.rows.words() as u32,
            left_count: left.rows.rows() as u32,
            right_count: right.rows.rows() as u32,
            at_least: at_least.ten_thousandths().unsigned_abs(),
            is_triangle: u32::from(is_triangle),
            first_left: self.left.start as u32,
            first_right: self.right.start as u32,
            capacity: ROOM as u32,
        };
        let words = FOUND_HEAD + 2 * ROOM;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let found = gpu.memory().lease(gpu, (WORD_BYTES * words) as u64, usage)?;
        let job = gpu.memory().upload(gpu, bytemuck::bytes_of(&job), BufferUsages::UNIFORM)?;
        let dispatch = Dispatch {
            pipeline: &gpu.pipelines().get(gpu, &SHADER, PAIRS)?,
            bindings: &[&job, &left.bits, &right.bits, &left.infos, &right.infos, &found],
            workgroups: (self.right.len() as u32, self.left.len() as u32),
            cleared: &[(&found, words)],
        };
        let readings = gpu.submit(&[dispatch], &[(&found, 0, words)])?;
        let found = readings.first().filter(|found| found.len() == words);
        let (head, listed) = found.ok_or(Fault::Mismatch("a reading cut short"))?.split_at(FOUND_HEAD);
        let sums = (left.rows.sums_of(self.left.clone()), right.rows.sums_of(self.right.clone()));
        if head[..2] != sums.0.checksums(&sums.1) {
            return Err(Fault::Mismatch("the shared positions of pairs"));
        }
        let count = head[2] as usize;
        if count > self.left.len() * self.right.len() * SIDE * SIDE {
            return Err(Fault::Mismatch("more pairs than there are"));
        }
        let Some(listed) = listed.get(..2 * count) else { return Ok(None) };
        // Rows count from 1; 0 is a place that nobody wrote.
        let (listed, _) = listed.as_chunks::<2>();
        let pairs: Vec<_> = listed.iter().map(|pair| pair.map(|row| row.wrapping_sub(1))).collect();
        let is_there = |&[i, j]: &[u32; 2]| {
            let is_pair = !is_triangle || i < j;
            is_pair && (i as usize) < left.rows.rows() && (j as usize) < right.rows.rows()
        };
        if !pairs.iter().all(is_there) {
            return Err(Fault::Mismatch("a pair that is not there"));
        }
        let place = |&[i, j]: &[u32; 2]| (left.first as u32 + i, right.first as u32 + j);
        Ok(Some(pairs.iter().map(place).collect()))
    }

    /// Both halves of the longer side. One tile's pairs always fit a list, so there are two.
    fn halves(self) -> [Self; 2] {
        let Self { left, right } = self;
        if left.len() > right.len() {
            let middle = left.start + left.len() / 2;
            [Self { left: left.start..middle, right: right.clone() }, Self { left: middle..left.end, right }]
        } else {
            let middle = right.start + right.len() / 2;
            [Self { left: left.clone(), right: right.start..middle }, Self { left, right: middle..right.end }]
        }
    }
}
