//! Pairs that may matter: the device's proposal, tile by tile, none of it used before all of it is checked.

use std::ops::Range;

use rayon::prelude::*;
use tensor_shaders::conflict_matrix::{HEADER, Job, LIST, MOST_ROWS, Row, SHADER, SIDE, TALLIES, WRITTEN};

use super::checksum::{Weights, expected};
use super::coded_rows::{CodedRows, Layout};
use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;
use super::submit::Dispatch;
use crate::Decimal;

/// Rows that are kept in one buffer.
const STRIP_ROWS: usize = 1 << 13;
const _: () = assert!(STRIP_ROWS <= MOST_ROWS && STRIP_ROWS.is_multiple_of(SIDE));
/// Pairs of a workgroup: a list with room for them never overflows for good.
const LEAST_ENTRIES: usize = SIDE * SIDE;
/// Entries that are read together with the tallies; more need a second reading.
const FIRST_READING: usize = 1 << 16;

/// Which pairs are asked for.
pub(super) struct Question<'a> {
    pub(super) left: CodedRows<'a>,
    /// The left rows again in a triangle, where only pairs i < j count.
    pub(super) right: CodedRows<'a>,
    pub(super) triangle: bool,
    /// Pairs of which |cos| is below this …
    pub(super) orthogonal: Decimal,
    /// … and whose index of shared positions is below this, if it matters, are left out.
    pub(super) structural: Option<Decimal>,
}

/// The pairs that may be other than orthogonal, ascending: all that are, and few others. Pairs with a zero row
/// are left out.
///
/// With a and b the norms of two rows of codes, a pair that is not orthogonal has |dot| ≥ t·a·b. The kernel leaves a
/// pair out only if |dot| · 2¹³ < ⌊t·a·2⁷⌋ · ⌊b·2⁶⌋ ≤ t·a·b · 2¹³, so it never leaves out one that is not. The index
/// of shared positions is compared exactly: shared / union < s ⟺ shared · (10⁴ + s) < s · (left + right), s in 10⁻⁴.
pub(super) fn candidates(gpu: &Gpu, question: &Question<'_>) -> Result<Vec<(u32, u32)>, Fault> {
    let run = Run::new(gpu, question)?;
    let mut tiles = run.tiles();
    let mut found = Vec::new();
    let mut checksums = vec![[0u32; 2]; question.left.rows()];
    while let Some(tile) = tiles.pop() {
        let Some((pairs, of_rows)) = run.tile(&tile)? else {
            tiles.extend(tile.halves());
            continue;
        };
        found.extend(pairs);
        for (sums, &[a, b, _]) in checksums[tile.left].iter_mut().zip(&of_rows) {
            *sums = [sums[0].wrapping_add(a), sums[1].wrapping_add(b)];
        }
    }
    // Every row has met each of its columns in just one tile.
    let Question { left, right, triangle, structural, .. } = *question;
    if checksums != expected(left, right, triangle, structural.is_some(), &run.weights) {
        return Err(Fault::Mismatch("a row's checksum"));
    }
    found.par_sort_unstable();
    if found.is_sorted_by(|a, b| a < b) { Ok(found) } else { Err(Fault::Mismatch("a pair listed twice")) }
}

/// A row as the kernel decides by it, weights left out.
pub(super) fn decisive(rows: CodedRows<'_>, row: usize, question: &Question<'_>) -> Row {
    let squared = rows.squared_norm(row);
    if squared == 0 {
        // A zero row is orthogonal to all: 0 < 2³²−1 times anything but 0, and 0 < 1.
        return Row { reach: u32::MAX, root: u32::MAX, positions: 1, weights: [0; 2] };
    }
    let t = u128::from(question.orthogonal.ten_thousandths().unsigned_abs());
    // The squared norm is below 2^43, so reach and root are below 2^29 and 2^28.
    #[expect(clippy::cast_possible_truncation, reason = "below 2^29 and 2^28")]
    let (reach, root) = (
        (((u128::from(squared) * t * t) << 14) / 100_000_000).isqrt() as u32,
        (squared << 12).isqrt() as u32,
    );
    // At most 10⁴ · 2¹³. Without a threshold no pair reaches 0 shared positions out of 2.
    #[expect(clippy::cast_possible_truncation, reason = "at most 2¹³ positions")]
    let positions =
        question.structural.map_or(1, |s| s.ten_thousandths().unsigned_abs() * rows.positions(row) as u32);
    Row { reach, root, positions, weights: [0; 2] }
}

/// What the kernel multiplies shared positions by.
pub(super) fn structural_factor(question: &Question<'_>) -> u32 {
    10_000 + question.structural.map_or(0, |s| s.ten_thousandths().unsigned_abs())
}

/// Two checksums of a left row, and how many of its pairs are listed.
type RowTallies = [u32; TALLIES];
/// The pairs of a tile and the tallies of its rows.
type Proposal = (Vec<(u32, u32)>, Vec<RowTallies>);

/// Rows of one side that lie in one buffer.
struct Strip {
    rows: Range<usize>,
    codes: Lease,
    table: Lease,
}

/// Left and right rows, counted in their whole batches.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tile {
    strips: (usize, usize),
    left: Range<usize>,
    right: Range<usize>,
}

impl Tile {
    /// Two tiles instead of one whose list overflowed.
    fn halves(&self) -> [Self; 2] {
        let split = |range: &Range<usize>| {
            let middle = range.start + (range.len() / 2).next_multiple_of(SIDE);
            (range.start..middle, middle..range.end)
        };
        let tile = |left, right| Self { strips: self.strips, left, right };
        if self.left.len() > SIDE {
            let (first, second) = split(&self.left);
            [tile(first, self.right.clone()), tile(second, self.right.clone())]
        } else {
            let (first, second) = split(&self.right);
            [tile(self.left.clone(), first), tile(self.left.clone(), second)]
        }
    }
}

/// Everything that is on the device for one question.
struct Run<'a> {
    gpu: &'a Gpu,
    question: &'a Question<'a>,
    layout: Layout,
    weights: Weights,
    pipeline: wgpu::ComputePipeline,
    left: Vec<Strip>,
    /// Empty in a triangle.
    right: Vec<Strip>,
}

impl<'a> Run<'a> {
    fn new(gpu: &'a Gpu, question: &'a Question<'a>) -> Result<Self, Fault> {
        let layout = Layout::new(question.left, question.structural.is_some());
        let weights = Weights::draw(question.right.rows());
        let pipeline = gpu.pipelines().get(gpu, &SHADER, LIST)?;
        let mut run = Self { gpu, question, layout, weights, pipeline, left: Vec::new(), right: Vec::new() };
        // In a triangle the left rows are right rows too, and have their weights.
        run.left = run.upload(question.left, question.triangle)?;
        if !question.triangle {
            run.right = run.upload(question.right, true)?;
        }
        Ok(run)
    }

    fn upload(&self, rows: CodedRows<'_>, weighted: bool) -> Result<Vec<Strip>, Fault> {
        let fitting =
            usize::try_from(self.gpu.most_bytes()).unwrap_or(usize::MAX) / self.layout.row_bytes().max(1);
        let strip_rows = (fitting / SIDE * SIDE).clamp(SIDE, STRIP_ROWS);
        let starts = (0..rows.rows()).step_by(strip_rows);
        starts
            .map(|first| {
                let range = first..(first + strip_rows).min(rows.rows());
                let row = |row: usize| {
                    let weights = if weighted { self.weights.columns[row] } else { [0; 2] };
                    Row { weights, ..decisive(rows, row, self.question) }
                };
                let table: Vec<_> = range.clone().map(row).collect();
                let upload =
                    |bytes: &[u8]| self.gpu.memory().upload(self.gpu, bytes, wgpu::BufferUsages::STORAGE);
                let codes = upload(&self.layout.pack(rows, range.clone()))?;
                Ok(Strip { rows: range, codes, table: upload(bytemuck::cast_slice(&table))? })
            })
            .collect()
    }

    fn right(&self) -> &[Strip] {
        if self.question.triangle { &self.left } else { &self.right }
    }

    /// All tiles, none of more work than one submission may make.
    fn tiles(&self) -> Vec<Tile> {
        let Layout { planes, code_chunks, bit_chunks } = self.layout;
        let products = (code_chunks * planes * planes + bit_chunks).max(1) as u64;
        let side = usize::try_from((self.gpu.work() / products).isqrt()).unwrap_or(usize::MAX);
        let side = (side / SIDE * SIDE).clamp(SIDE, STRIP_ROWS);
        let mut tiles = Vec::new();
        for (l, left) in self.left.iter().enumerate() {
            for (r, right) in self.right().iter().enumerate() {
                for i in left.rows.clone().step_by(side) {
                    for j in right.rows.clone().step_by(side) {
                        // Strips and tiles of both sides begin at the same rows: below the diagonal is no pair i < j.
                        if !self.question.triangle || i <= j {
                            let (left, right) =
                                (i..(i + side).min(left.rows.end), j..(j + side).min(right.rows.end));
                            tiles.push(Tile { strips: (l, r), left, right });
                        }
                    }
                }
            }
        }
        tiles
    }

    /// The pairs of a tile and the tallies of its rows, or `None` where the list has no room for the pairs.
    fn tile(&self, tile: &Tile) -> Result<Option<Proposal>, Fault> {
        use wgpu::BufferUsages as Usage;
        let (gpu, memory) = (self.gpu, self.gpu.memory());
        let (left, right) = (&self.left[tile.strips.0], &self.right()[tile.strips.1]);
        let pairs = tile.left.len() * tile.right.len();
        let capacity = gpu.options().list_entries.max(LEAST_ENTRIES).min(pairs);
        let job = self.job(tile, capacity);
        let output = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let words = HEADER + TALLIES * tile.left.len();
        let job = memory.upload(gpu, bytemuck::bytes_of(&job), Usage::UNIFORM)?;
        let list = memory.lease(gpu, capacity as u64 * 4, output)?;
        let tallies = memory.lease(gpu, words as u64 * 4, output)?;

        let workgroups = (groups(&tile.right), groups(&tile.left));
        let dispatch = Dispatch {
            pipeline: &self.pipeline,
            bindings: &[&job, &left.codes, &right.codes, &left.table, &right.table, &list, &tallies],
            workgroups,
            cleared: &[(&list, capacity), (&tallies, words)],
        };
        let first = capacity.min(FIRST_READING);
        let readings = gpu.submit(&[dispatch], &[(&tallies, 0, words), (&list, 0, first)])?;
        let [tallies, entries] = <[Vec<u32>; 2]>::try_from(readings).unwrap_or_default();
        let (Some(&[found, done]), true) = (tallies.first_chunk::<HEADER>(), tallies.len() == words) else {
            return Err(Fault::Mismatch("a reading cut short"));
        };
        if u64::from(done) != u64::from(workgroups.0) * u64::from(workgroups.1) {
            return Err(Fault::Mismatch("workgroups left undone"));
        }
        let rows = tallies[HEADER..].as_chunks::<TALLIES>().0.to_vec();
        let entries_of_rows: u64 = rows.iter().map(|&[.., entries]| u64::from(entries)).sum();
        let found = found as usize;
        // So a tile of one workgroup, whose list has room for all its pairs, is never split.
        if entries_of_rows != found as u64 || found > pairs {
            return Err(Fault::Mismatch("the number of pairs"));
        }
        if found > capacity {
            return Ok(None);
        }
        let mut entries = entries;
        if found > first {
            let rest = gpu.submit(&[], &[(&list, first, found - first)])?;
            entries.extend(rest.into_iter().flatten());
        }
        let Some(entries) = entries.get(..found) else {
            return Err(Fault::Mismatch("a reading cut short"));
        };
        Ok(Some((self.pairs(tile, entries, &rows)?, rows)))
    }

    fn job(&self, tile: &Tile, capacity: usize) -> Job {
        let (left, right) = (&self.left[tile.strips.0], &self.right()[tile.strips.1]);
        let [mix_middle, mix_low, mix_shared] = self.weights.mix;
        let Layout { planes, code_chunks, bit_chunks } = self.layout;
        Job {
            left_first: word(tile.left.start - left.rows.start),
            left_rows: word(tile.left.len()),
            right_first: word(tile.right.start - right.rows.start),
            right_rows: word(tile.right.len()),
            row_chunks: word(self.layout.row_chunks()),
            planes: word(planes),
            code_chunks: word(code_chunks),
            bit_chunks: word(bit_chunks),
            triangle: u32::from(self.question.triangle && tile.strips.0 == tile.strips.1),
            structural_factor: structural_factor(self.question),
            capacity: word(capacity),
            mix_middle,
            mix_low,
            mix_shared,
            unused: [0; 2],
        }
    }

    /// The listed pairs, if each row has as many as were counted.
    fn pairs(&self, tile: &Tile, entries: &[u32], rows: &[RowTallies]) -> Result<Vec<(u32, u32)>, Fault> {
        let mut counted: Vec<u32> = rows.iter().map(|&[.., entries]| entries).collect();
        let pair = |&entry: &u32| {
            let (i, j) = ((entry & !WRITTEN) >> 15, entry & 0x7FFF);
            let place = (tile.left.start + i as usize, tile.right.start + j as usize);
            let count = counted.get_mut(i as usize).filter(|count| **count > 0);
            let sound = entry & WRITTEN != 0
                && place.1 < tile.right.end
                && (!self.question.triangle || place.0 < place.1);
            match count {
                Some(count) if sound => *count -= 1,
                _ => return Err(Fault::Mismatch("an entry of the list")),
            }
            Ok((word(place.0), word(place.1)))
        };
        entries.iter().map(pair).collect()
    }
}

/// Workgroups that so many rows take: at most 2⁸.
fn groups(rows: &Range<usize>) -> u32 {
    word(rows.len().div_ceil(SIDE))
}

/// Rows, chunks and entries are all fewer than 2³².
#[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows, tiles 2²⁶ pairs")]
const fn word(n: usize) -> u32 {
    n as u32
}
