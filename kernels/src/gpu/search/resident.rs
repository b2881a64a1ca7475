//! A corpus in the memory of a device: coded when a search first asks for it, and kept as long as the corpus is.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tensor_shaders::tile::SIDE;
use wgpu::BufferUsages;

use super::super::device::Gpu;
use super::super::fault::Fault;
use super::super::memory::Lease;
use super::super::tile_rows::{TileRows, WORD_BYTES, WeightedSums};
use super::coded::{Coding, Worst};
use crate::types::{Metric, RowMask, SearchRows};

/// Tiles of a long strip: parts of a corpus are filled up to whole ones.
pub(super) const STRIP_TILES: usize = 4;

/// What devices keep of a corpus.
#[derive(Debug)]
pub(crate) struct Resident {
    plain: Mutex<Option<Arc<ResidentRows>>>,
    normalised: Mutex<Option<Arc<ResidentRows>>>,
}

/// The rows of a corpus, coded one way.
#[derive(Debug)]
pub(super) struct ResidentRows {
    pub(super) coding: Coding,
    pub(super) worst: Worst,
    pub(super) sums: WeightedSums,
    /// Words of a row.
    pub(super) words: usize,
    pub(super) parts: Vec<Part>,
}

/// Some consecutive rows.
#[derive(Debug)]
pub(super) struct Part {
    /// The rows of the corpus; the first is a multiple of 32.
    pub(super) rows: Range<usize>,
    /// Tiles, padding included: a multiple of [`STRIP_TILES`].
    pub(super) tiles: usize,
    pub(super) codes: Lease,
    pub(super) infos: Lease,
    /// One bit for every row that is there.
    pub(super) all: Lease,
}

impl Resident {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { plain: Mutex::new(None), normalised: Mutex::new(None) }
    }

    /// The rows as the metric needs them, on this device.
    pub(super) fn get(
        &self,
        gpu: &Gpu,
        rows: SearchRows<'_>,
        metric: Metric,
        most_part_bytes: usize,
    ) -> Result<Arc<ResidentRows>, Fault> {
        let is_normalised = Coding::is_normalised(metric);
        let slot = if is_normalised { &self.normalised } else { &self.plain };
        let slot = || slot.lock().unwrap_or_else(PoisonError::into_inner);
        let is_here =
            |resident: &ResidentRows| resident.parts.iter().all(|part| gpu.memory().lent(&part.codes));
        if let Some(resident) = slot().clone().filter(|resident| is_here(resident)) {
            return Ok(resident);
        }
        // Not under the lock: a thread that waits for others of its pool may be given a search of the same corpus.
        let most = most_part_bytes.min(gpu.part_bytes());
        let resident = Arc::new(ResidentRows::upload(gpu, rows, is_normalised, most)?);
        Ok(Arc::clone(slot().insert(resident)))
    }
}

impl ResidentRows {
    fn upload(gpu: &Gpu, rows: SearchRows<'_>, is_normalised: bool, most: usize) -> Result<Self, Fault> {
        let coding = Coding::of(rows, is_normalised);
        let strip = STRIP_TILES * SIDE;
        let words = TileRows::words_of_bytes(rows.dim());
        let rows_at_once = (most / (words * WORD_BYTES) / strip * strip).max(strip);
        let (mut worst, mut sums, mut parts) = (Worst::default(), WeightedSums::default(), Vec::new());
        for first in (0..rows.rows()).step_by(rows_at_once) {
            let range = first..(first + rows_at_once).min(rows.rows());
            let (coded, part_worst) = coding.code(rows, range.clone(), STRIP_TILES);
            worst = worst.join(part_worst);
            sums = sums.add(&coded.sums());
            let upload = |bytes: &[u8]| gpu.memory().upload(gpu, bytes, BufferUsages::STORAGE);
            parts.push(Part {
                tiles: coded.tiles(),
                codes: upload(bytemuck::cast_slice(&coded.fours))?,
                infos: upload(bytemuck::cast_slice(&coded.infos))?,
                all: upload(bytemuck::cast_slice(&allowed(&range, coded.tiles(), None)))?,
                rows: range,
            });
        }
        Ok(Self { coding, worst, sums, words, parts })
    }
}

/// Bit i of word w: row 32w + i of the part is there, and in the mask if there is one.
pub(super) fn allowed(rows: &Range<usize>, tiles: usize, only: Option<&RowMask>) -> Vec<u32> {
    let word = |word: usize| {
        let there = rows.len().saturating_sub(32 * word).min(32);
        let bits = u32::MAX.checked_shr(32 - there as u32).unwrap_or(0);
        match only {
            Some(mask) if there > 0 => mask.word(rows.start / 32 + word) & bits,
            _ => bits,
        }
    };
    (0..tiles * SIDE / 32).map(word).collect()
}
