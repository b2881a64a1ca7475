//! Tiles of pairs: what a dispatch is asked, and what its answer says if it can be right.

use std::ops::Range;

use tensor_shaders::conflict_matrix::{HEADER, Job, SIDE, TALLIES, WRITTEN};
use wgpu::BufferUsages;

use super::candidates::{Run, structural_factor};
use super::coded_rows::Layout;
use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;
use super::resident_rows::STRIP_ROWS;
use super::submit::{Dispatch, Reading};

/// Pairs of a workgroup: a list with room for them never overflows for good.
const LEAST_ENTRIES: usize = SIDE * SIDE;
/// Entries that are read together with the tallies; more need a second reading.
const FIRST_READING: usize = 1 << 16;
/// Most tiles of a submission, so that their lists are not too much memory.
const MOST_TILES: usize = 64;

/// Two checksums of a left row, and how many of its pairs are listed.
type RowTallies = [u32; TALLIES];
/// The pairs of a tile and the tallies of its rows.
pub(super) type Proposal = (Vec<(u32, u32)>, Vec<RowTallies>);

/// Left and right rows, counted in their whole batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tile {
    /// The number of its question.
    pub(super) question: usize,
    strips: (usize, usize),
    pub(super) left: Range<usize>,
    right: Range<usize>,
}

impl Tile {
    /// All tiles of a question, none of more work than one submission may make.
    pub(super) fn all(question: usize, run: &Run<'_>) -> Vec<Self> {
        let side = usize::try_from((run.gpu.work() / products(run)).isqrt()).unwrap_or(usize::MAX);
        let side = (side / SIDE * SIDE).clamp(SIDE, STRIP_ROWS);
        let mut tiles = Vec::new();
        for (l, left) in run.left.rows.strips.iter().enumerate() {
            for (r, right) in run.right().rows.strips.iter().enumerate() {
                for i in left.rows.clone().step_by(side) {
                    for j in right.rows.clone().step_by(side) {
                        // Strips and tiles of both sides begin at the same rows: below the diagonal is no pair i < j.
                        if !run.question.triangle || i <= j {
                            let (left, right) =
                                (i..(i + side).min(left.rows.end), j..(j + side).min(right.rows.end));
                            tiles.push(Self { question, strips: (l, r), left, right });
                        }
                    }
                }
            }
        }
        tiles
    }

    /// Two tiles instead of one whose list overflowed.
    pub(super) fn halves(&self) -> [Self; 2] {
        let split = |range: &Range<usize>| {
            let middle = range.start + (range.len() / 2).next_multiple_of(SIDE);
            (range.start..middle, middle..range.end)
        };
        let tile = |left, right| Self { left, right, ..*self };
        if self.left.len() > SIDE {
            let (first, second) = split(&self.left);
            [tile(first, self.right.clone()), tile(second, self.right.clone())]
        } else {
            let (first, second) = split(&self.right);
            [tile(self.left.clone(), first), tile(self.left.clone(), second)]
        }
    }
}

/// Products of 16 bytes that a pair takes.
fn products(run: &Run<'_>) -> u64 {
    let Layout { planes, code_chunks, bit_chunks } = run.layout();
    (code_chunks * planes * planes + bit_chunks).max(1) as u64
}

/// How many tiles, from the last on, are one submission's work; at least one.
pub(super) fn at_once(gpu: &Gpu, runs: &[Run<'_>], tiles: &[Tile]) -> usize {
    let mut work = 0;
    let fits = |tile: &&Tile| {
        work += (tile.left.len() * tile.right.len()) as u64 * products(&runs[tile.question]);
        work <= gpu.work()
    };
    tiles.iter().rev().take(MOST_TILES).take_while(fits).count().max(1)
}

/// The pairs of each tile and the tallies of its rows, or `None` where its list has no room for the pairs.
pub(super) fn ask(gpu: &Gpu, runs: &[Run<'_>], tiles: &[Tile]) -> Result<Vec<Option<Proposal>>, Fault> {
    let asked =
        tiles.iter().map(|tile| Asked::new(&runs[tile.question], tile)).collect::<Result<Vec<_>, _>>()?;
    let bindings: Vec<_> = asked.iter().map(Asked::bindings).collect();
    let cleared: Vec<_> = asked.iter().map(Asked::outputs).collect();
    let buffers = bindings.iter().zip(&cleared);
    let dispatches: Vec<_> = asked
        .iter()
        .zip(buffers)
        .map(|(asked, (bindings, cleared))| Dispatch {
            pipeline: &asked.run.pipeline,
            bindings,
            workgroups: asked.workgroups(),
            cleared,
        })
        .collect();
    let reads: Vec<_> = asked.iter().flat_map(Asked::reads).collect();
    let readings = gpu.submit(&dispatches, &reads)?;
    if readings.len() != reads.len() {
        return Err(Fault::Mismatch("a reading is missing"));
    }
    let mut readings = readings.into_iter();
    let each = asked.iter().map(|asked| {
        let [tallies, entries] = [readings.next(), readings.next()].map(Option::unwrap_or_default);
        asked.proposal(&tallies, entries)
    });
    each.collect()
}

/// A tile with the buffers of its own.
struct Asked<'t> {
    run: &'t Run<'t>,
    tile: &'t Tile,
    job: Lease,
    list: Lease,
    /// Entries that the list has room for.
    capacity: usize,
    tallies: Lease,
    /// Words of the tallies.
    words: usize,
}

impl<'t> Asked<'t> {
    fn new(run: &'t Run<'t>, tile: &'t Tile) -> Result<Self, Fault> {
        let (gpu, memory) = (run.gpu, run.gpu.memory());
        let capacity = gpu.options().list_entries.max(LEAST_ENTRIES).min(tile.left.len() * tile.right.len());
        let words = HEADER + TALLIES * tile.left.len();
        let output = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let job = job(run, tile, capacity);
        Ok(Self {
            run,
            tile,
            job: memory.upload(gpu, bytemuck::bytes_of(&job), BufferUsages::UNIFORM)?,
            list: memory.lease(gpu, capacity as u64 * 4, output)?,
            capacity,
            tallies: memory.lease(gpu, words as u64 * 4, output)?,
            words,
        })
    }

    fn bindings(&self) -> [&wgpu::Buffer; 7] {
        let (left, right, (l, r)) = (&self.run.left, self.run.right(), self.tile.strips);
        let codes = (&left.rows.strips[l].codes, &right.rows.strips[r].codes);
        [&self.job, codes.0, codes.1, &left.tables[l], &right.tables[r], &self.list, &self.tallies]
    }

    fn outputs(&self) -> [(&wgpu::Buffer, usize); 2] {
        [(&self.list, self.capacity), (&self.tallies, self.words)]
    }

    fn workgroups(&self) -> (u32, u32) {
        (groups(&self.tile.right), groups(&self.tile.left))
    }

    fn reads(&self) -> [Reading<'_>; 2] {
        [(&self.tallies, 0, self.words), (&self.list, 0, self.capacity.min(FIRST_READING))]
    }

    /// The pairs of the tile and the tallies of its rows, or `None` where the list has no room for the pairs.
    fn proposal(&self, tallies: &[u32], mut entries: Vec<u32>) -> Result<Option<Proposal>, Fault> {
        let (Some(&[found, done]), true) = (tallies.first_chunk::<HEADER>(), tallies.len() == self.words)
        else {
            return Err(Fault::Mismatch("a reading cut short"));
        };
        let workgroups = self.workgroups();
        if u64::from(done) != u64::from(workgroups.0) * u64::from(workgroups.1) {
            return Err(Fault::Mismatch("workgroups left undone"));
        }
        let rows = tallies[HEADER..].as_chunks::<TALLIES>().0.to_vec();
        let entries_of_rows: u64 = rows.iter().map(|&[.., entries]| u64::from(entries)).sum();
        let found = found as usize;
        // So a tile of one workgroup, whose list has room for all its pairs, is never split.
        if entries_of_rows != found as u64 || found > self.tile.left.len() * self.tile.right.len() {
            return Err(Fault::Mismatch("the number of pairs"));
        }
        if found > self.capacity {
            return Ok(None);
        }
        if found > FIRST_READING {
            let rest = self.run.gpu.submit(&[], &[(&self.list, FIRST_READING, found - FIRST_READING)])?;
            entries.extend(rest.into_iter().flatten());
        }
        let Some(entries) = entries.get(..found) else {
            return Err(Fault::Mismatch("a reading cut short"));
        };
        Ok(Some((self.pairs(entries, &rows)?, rows)))
    }

    /// The listed pairs, if each row has as many as were counted.
    fn pairs(&self, entries: &[u32], rows: &[RowTallies]) -> Result<Vec<(u32, u32)>, Fault> {
        let tile = self.tile;
        let mut counted: Vec<u32> = rows.iter().map(|&[.., entries]| entries).collect();
        let pair = |&entry: &u32| {
            let (i, j) = ((entry & !WRITTEN) >> 15, entry & 0x7FFF);
            let place = (tile.left.start + i as usize, tile.right.start + j as usize);
            let count = counted.get_mut(i as usize).filter(|count| **count > 0);
            let sound = entry & WRITTEN != 0
                && place.1 < tile.right.end
                && (!self.run.question.triangle || place.0 < place.1);
            match count {
                Some(count) if sound => *count -= 1,
                _ => return Err(Fault::Mismatch("an entry of the list")),
            }
            Ok((word(place.0), word(place.1)))
        };
        entries.iter().map(pair).collect()
    }
}

fn job(run: &Run<'_>, tile: &Tile, capacity: usize) -> Job {
    let (left, right) = (&run.left.rows.strips[tile.strips.0], &run.right().rows.strips[tile.strips.1]);
    let [mix_middle, mix_low, mix_shared] = run.mix;
    let Layout { planes, code_chunks, bit_chunks } = run.layout();
    Job {
        left_first: word(tile.left.start - left.rows.start),
        left_rows: word(tile.left.len()),
        right_first: word(tile.right.start - right.rows.start),
        right_rows: word(tile.right.len()),
        row_chunks: word(Layout::of(run.question.left).row_chunks()),
        planes: word(planes),
        code_chunks: word(code_chunks),
        bit_chunks: word(bit_chunks),
        triangle: u32::from(run.question.triangle && tile.strips.0 == tile.strips.1),
        structural_factor: structural_factor(run.question),
        capacity: word(capacity),
        mix_middle,
        mix_low,
        mix_shared,
        unused: [0; 2],
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
