//! Search by a certified shortlist: the device lists the rows that may be wanted, the CPU decides among them.
//!
//! `search/coded.rs` proves that no wanted row is left out. A query with more such rows than there is room for is not
//! cut short: the CPU searches for it.

mod coded;
mod resident;

use tensor_shaders::search::{CHOOSE, FOUND_HEAD, Job, LIST, SCAN, SHADER};
use wgpu::BufferUsages;

use self::coded::CodedQueries;
pub(crate) use self::resident::Resident;
use self::resident::{Part, ResidentRows, STRIP_TILES, allowed};
use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;
use super::submit::Dispatch;
use crate::accelerator::Fallback;
use crate::corpus::Corpus;
use crate::isa::Level;
use crate::simd;
use crate::types::{DenseView, Neighbor, SearchOptions, SearchRows, Wanted};

/// The greatest dimension: products stay within ±2³⁰.
const MOST_DIMENSIONS: usize = 1 << 16;
/// More wanted rows than these are not few beside what a strip discards.
const MOST_WANTED: usize = 256;
/// More rows than these have more strips than every adapter can bind for all queries.
const MOST_ROWS: usize = 1 << 24;
/// A corpus that is not kept is coded for one search. Meanwhile a CPU answers so many queries.
const FEW_QUERIES: usize = 64;
/// Queries that are asked together.
const MOST_QUERIES: usize = 256;
/// Rows from which strips are long: there are enough strips all the same.
const MANY_ROWS: usize = 1 << 16;
/// Room in a query's list, at least, and for a threshold.
const LEAST_ROOM: usize = 512;
const ROOM_WITHIN: usize = 4_096;
/// Bytes of a row that meet as many of another in one step of `gpu.work()`.
const WORK_BYTES: u64 = 16;

/// Whether a search is worth a device's time.
pub(super) fn is_for_gpu(
    least_pairs: u64,
    corpus: &Corpus<'_>,
    queries: SearchRows<'_>,
    wanted: Wanted,
) -> Result<(), Fallback> {
    let rows = corpus.rows();
    match wanted {
        _ if rows.dim() > MOST_DIMENSIONS => Err(Fallback::TooWide),
        _ if rows.rows() > MOST_ROWS => Err(Fallback::OutOfMemory),
        Wanted::Top(k) if k > MOST_WANTED => Err(Fallback::NoVersion),
        _ if wanted == Wanted::Top(0) || rows.dim() == 0 => Err(Fallback::TooFew),
        _ if ((rows.rows() * queries.rows()) as u64) < least_pairs.max(1) => Err(Fallback::TooFew),
        _ if corpus.coded().is_none() && queries.rows() < FEW_QUERIES => Err(Fallback::TooFew),
        _ => Ok(()),
    }
}

/// For each query the wanted rows, nearest first: the answer of every backend.
pub(super) fn search(
    gpu: &Gpu,
    level: Level,
    corpus: &Corpus<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
) -> Result<Vec<Vec<Neighbor>>, Fault> {
    let work_bytes = usize::try_from(gpu.work().saturating_mul(WORK_BYTES)).unwrap_or(usize::MAX);
    // A part of the corpus and all queries that are asked together are one submission's work.
    let resident = corpus.resident().get(gpu, corpus.rows(), options.metric, work_bytes / MOST_QUERIES)?;
    let rows = corpus.rows().rows();
    let findable = options.only.map_or(rows, |mask| (0..rows).filter(|&row| mask.allows(row)).count());
    let masks = masks(gpu, &resident, options)?;
    let values = queries.gather(0..queries.rows());
    let asked = queries.view_of(&values);
    let mut candidates = Vec::with_capacity(queries.rows());
    for first in (0..asked.rows()).step_by(MOST_QUERIES) {
        let range = first..(first + MOST_QUERIES).min(asked.rows());
        let some = queries.view_of(&values[range.start * asked.dim()..range.end * asked.dim()]);
        let is_bytes = matches!(queries, SearchRows::Bytes(_));
        let question = Question { gpu, resident: &resident, masks: &masks, options, rows, findable };
        candidates.extend(question.ask(some, is_bytes)?);
    }
    Ok(simd::search::among(level, corpus.rows(), queries, options, candidates))
}

/// Which rows of each part may be found, if not all.
fn masks(
    gpu: &Gpu,
    resident: &ResidentRows,
    options: &SearchOptions<'_>,
) -> Result<Option<Vec<Lease>>, Fault> {
    let Some(mask) = options.only else { return Ok(None) };
    let upload = |part: &Part| {
        let words = allowed(&part.rows, part.tiles, Some(mask));
        gpu.memory().upload(gpu, bytemuck::cast_slice(&words), BufferUsages::STORAGE)
    };
    resident.parts.iter().map(upload).collect::<Result<_, _>>().map(Some)
}

/// What is asked of the device for a few queries at a time.
struct Question<'a> {
    gpu: &'a Gpu,
    resident: &'a ResidentRows,
    masks: &'a Option<Vec<Lease>>,
    options: &'a SearchOptions<'a>,
    /// Rows of the corpus, and how many of them may be found.
    rows: usize,
    findable: usize,
}

impl Question<'_> {
    /// For each query the rows that may be wanted, ascending, or `None` where there are too many.
    fn ask(&self, asked: DenseView<'_>, is_bytes: bool) -> Result<Vec<Option<Vec<u32>>>, Fault> {
        let Self { gpu, resident, options, .. } = *self;
        let (memory, storage) = (gpu.memory(), BufferUsages::STORAGE);
        let corpus = (resident.coding, resident.worst);
        let coded = CodedQueries::new(corpus, asked, is_bytes, options.metric, options.wanted);
        let left = memory.upload(gpu, bytemuck::cast_slice(&coded.rows.fours), storage)?;
        let queries = memory.upload(gpu, bytemuck::cast_slice(&coded.queries), storage)?;
        let strips = memory.lease(gpu, 4 * (coded.queries.len() * self.strips()) as u64, storage)?;
        let found_words = FOUND_HEAD + asked.rows() * (1 + self.room());
        let read = BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let found = memory.lease(gpu, 4 * found_words as u64, storage | read)?;
        let jobs = self.jobs(&coded)?;
        let bindings = |i: usize| {
            let part = &resident.parts[i];
            let allowed = self.masks.as_ref().map_or(&part.all, |masks| &masks[i]);
            [&*jobs[i], &left, &part.codes, &part.infos, allowed, &strips, &queries, &found]
        };
        let bindings: Vec<[&wgpu::Buffer; 8]> = (0..jobs.len()).map(bindings).collect();

        let kernel = |entry| gpu.pipelines().get(gpu, &SHADER, entry);
        let (scan, choose, list) = (kernel(SCAN)?, kernel(CHOOSE)?, kernel(LIST)?);
        for (i, bindings) in bindings.iter().enumerate() {
            let workgroups = (self.strips_of(i), coded.rows.tiles() as u32);
            let cleared: &[_] = if i == 0 { &[(&*found, found_words)] } else { &[] };
            let dispatch = Dispatch { pipeline: &scan, bindings, workgroups, cleared };
            gpu.submit(&[dispatch], &[(&found, 0, FOUND_HEAD)])?;
        }
        let asked_rows = asked.rows() as u32;
        let mut last = Vec::with_capacity(1 + bindings.len());
        if let Wanted::Top(_) = options.wanted {
            let workgroups = (asked_rows, 1);
            last.push(Dispatch { pipeline: &choose, bindings: &bindings[0], workgroups, cleared: &[] });
        }
        for (i, bindings) in bindings.iter().enumerate() {
            let workgroups = (self.strips_of(i), asked_rows);
            last.push(Dispatch { pipeline: &list, bindings, workgroups, cleared: &[] });
        }
        let readings = gpu.submit(&last, &[(&found, 0, found_words)])?;
        let found = readings.first().filter(|found| found.len() == found_words);
        let found = found.ok_or(Fault::Mismatch("a reading cut short"))?;

        let (head, lists) = found.split_at(FOUND_HEAD);
        if head != coded.rows.sums().checksums(&resident.sums) {
            return Err(Fault::Mismatch("the products of a search"));
        }
        let (counts, lists) = lists.split_at(asked.rows());
        let lists = counts.iter().zip(lists.chunks_exact(self.room()));
        lists.map(|(&count, list)| self.checked(list, count as usize)).collect()
    }

    /// One for each part. Counts of rows, and of what is fewer than rows, fit 32 bits.
    fn jobs(&self, coded: &CodedQueries) -> Result<Vec<Lease>, Fault> {
        let mut first_strip = 0;
        let job = |(i, part): (usize, &Part)| {
            let job = Job {
                words: self.resident.words as u32,
                queries: coded.rows.rows() as u32,
                strip_tiles: self.strip_tiles() as u32,
                strips: self.strips() as u32,
                first_strip,
                first_row: part.rows.start as u32,
                wanted: self.least() as u32,
                capacity: self.room() as u32,
                shift: coded.shift,
            };
            first_strip += self.strips_of(i);
            self.gpu.memory().upload(self.gpu, bytemuck::bytes_of(&job), BufferUsages::UNIFORM)
        };
        self.resident.parts.iter().enumerate().map(job).collect()
    }

    fn strip_tiles(&self) -> usize {
        if self.rows >= MANY_ROWS { STRIP_TILES } else { 1 }
    }

    /// Strips of a part: at most 2^27 bytes of codes, 2^12 a tile.
    fn strips_of(&self, part: usize) -> u32 {
        (self.resident.parts[part].tiles / self.strip_tiles()) as u32
    }

    fn strips(&self) -> usize {
        (0..self.resident.parts.len()).map(|part| self.strips_of(part) as usize).sum()
    }

    /// Rows that a query's list has room for.
    fn room(&self) -> usize {
        match self.options.wanted {
            Wanted::Top(k) => (16 * k).max(LEAST_ROOM),
            Wanted::Within(_) => ROOM_WITHIN,
        }
    }

    /// Rows that must be found.
    fn least(&self) -> usize {
        match self.options.wanted {
            Wanted::Top(k) => k.min(self.findable),
            Wanted::Within(_) => 0,
        }
    }

    /// The rows of a list that can be right: `None` where it was too short for all `count` of them.
    fn checked(&self, list: &[u32], count: usize) -> Result<Option<Vec<u32>>, Fault> {
        if count < self.least() {
            return Err(Fault::Mismatch("fewer rows than reach the floor"));
        }
        let Some(list) = list.get(..count) else { return Ok(None) };
        // A place that nobody wrote is 0; a row counts from 1.
        let mut found: Vec<u32> = list.iter().map(|row| row.wrapping_sub(1)).collect();
        found.sort_unstable();
        let is_there = found.last().is_none_or(|&row| (row as usize) < self.rows);
        if is_there && found.is_sorted_by(|a, b| a < b) {
            Ok(Some(found))
        } else {
            Err(Fault::Mismatch("a row that is not there, or twice"))
        }
    }
}
