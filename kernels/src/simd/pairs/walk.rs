//! Walks the left rows over the blocks of an index and hands on what each row has with its partners.

use std::ops::Range;

use rayon::prelude::*;

use super::index::{Block, Index};
use super::{CHUNK, Wants, lists, sums};
use crate::isa::Level;
use crate::simd::variant::Variant;

/// Most left rows of one task, and least.
const ROWS_PER_TASK: (usize, usize) = (128, 8);
/// Tasks that a batch is cut into where its rows are few: by its size alone, never by the number of threads.
const TASKS: usize = 64;
/// Entries of a batch that is not worth a second thread.
const FEW_ENTRIES: usize = 32_768;

/// Whether a batch is one task, which runs on the caller's thread: waking another would take longer.
pub(crate) fn is_small(left_rows: usize, entries: usize) -> bool {
    left_rows <= ROWS_PER_TASK.0 && entries <= FEW_ENTRIES
}

/// Accumulators of the left rows that share a pass over the tile and the masks of a block.
const GROUP: usize = 65_536;

/// What becomes of dot products (of unit rows) and shared positions.
pub(crate) trait Consumer {
    /// What is computed; the slices of what is not are empty.
    const WANTS: Wants;

    /// Left row `i` with the right rows from `first` on. May change the slices.
    fn segment<S: pulp::Simd>(
        &mut self,
        simd: S,
        i: usize,
        first: usize,
        dots: &mut [f32],
        counts: &mut [u32],
    );

    /// Left row `i` with right row `j`, which share `count` ≥ 1 positions; `j` ascends. Other right rows share none, and
    /// are not handed on. Never called where every pair is wanted.
    fn touched(&mut self, _i: usize, _j: usize, _dot: f32, _count: u32) {}
}

/// Accumulators of one task.
#[derive(Default)]
struct Room {
    dots: Vec<f32>,
    counts: Vec<u32>,
    touched: Vec<u32>,
}

/// Walks all left rows, one consumer a task of consecutive rows. Returns what `finish` makes of the consumers, in
/// order; an error ends the walk early. `start` is given the rows of the task and whatever `parts` holds for it.
pub(crate) fn scan<C, P, R, E>(
    level: Level,
    index: &Index,
    rows: usize,
    parts: impl FnMut(Range<usize>) -> P,
    start: impl Fn(Range<usize>, P) -> C + Sync,
    finish: impl Fn(C) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    C: Consumer,
    P: Send,
    R: Send,
    E: Send,
{
    let step = if is_small(rows, index.entries) {
        ROWS_PER_TASK.0
    } else {
        rows.div_ceil(TASKS).clamp(ROWS_PER_TASK.1, ROWS_PER_TASK.0)
    };
    let ranges = (0..rows).step_by(step).map(|first| first..(first + step).min(rows));
    let mut parts = parts;
    let tasks: Vec<_> = ranges.map(|range| (range.clone(), parts(range))).collect();
    let run = |room: &mut Room, (range, part): (Range<usize>, P)| {
        let mut consumer = start(range.clone(), part);
        level.dispatch(Task { level, index, rows: range, room, consumer: &mut consumer });
        finish(consumer)
    };
    if tasks.len() <= 1 {
        return tasks.into_iter().map(|task| run(&mut Room::default(), task)).collect();
    }
    tasks.into_par_iter().map_init(Room::default, run).collect()
}

struct Task<'a, C> {
    level: Level,
    index: &'a Index,
    rows: Range<usize>,
    room: &'a mut Room,
    consumer: &'a mut C,
}

impl<C: Consumer> pulp::WithSimd for Task<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, simd: S) {
        let index = self.index;
        for block in &index.blocks {
            if index.triangle && block.first() + block.rows() <= self.rows.start + 1 {
                continue;
            }
            if index.variant == Variant::TouchedLists {
                self.touch(block);
            } else {
                self.block(simd, block);
            }
        }
    }
}

impl<C: Consumer> Task<'_, C> {
    /// The first row of a block that row `i` is paired with, counted from the block's first.
    #[inline(always)]
    fn first_partner(&self, i: usize, block: &Block) -> usize {
        if self.index.triangle { (i + 1).saturating_sub(block.first()) } else { 0 }
    }

    #[inline(always)]
    fn is_own(&self, i: usize, block: &Block) -> bool {
        self.index.triangle && (block.first()..block.first() + block.rows()).contains(&i)
    }

    #[inline(always)]
    fn block<S: pulp::Simd>(&mut self, simd: S, block: &Block) {
        let stride = block.stride();
        let dense = !block.tile.is_empty() || !block.masks.is_empty();
        let group = if dense { (GROUP / stride).max(1) } else { 1 };
        let room = group.min(self.rows.len()) * stride;
        let grow = |wanted: bool, len: usize| if wanted { len.max(room) } else { 0 };
        self.room.dots.resize(grow(C::WANTS.dots, self.room.dots.len()), 0.0);
        self.room.counts.resize(grow(C::WANTS.counts, self.room.counts.len()), 0);
        let mut start = self.rows.start;
        while start < self.rows.end {
            let rows = start..(start + group).min(self.rows.end);
            start = rows.end;
            if self.first_partner(rows.start, block) >= block.rows() {
                continue;
            }
            if dense {
                self.dense(simd, rows.clone(), block);
            }
            for (place, i) in rows.enumerate() {
                let first = self.first_partner(i, block);
                if first < block.rows() {
                    self.row(simd, i, block, place * stride, first, dense);
                }
            }
        }
    }

    /// Fills the accumulators of a group of rows with what the dense dimensions give.
    #[inline(always)]
    fn dense<S: pulp::Simd>(&mut self, simd: S, rows: Range<usize>, block: &Block) {
        let (index, stride) = (self.index, block.stride());
        let first = self.first_partner(rows.start, block) / CHUNK;
        if C::WANTS.dots {
            let chunk_len = block.tile.len() / (stride / CHUNK);
            for (number, chunk) in block.tile.chunks_exact(chunk_len).enumerate().skip(first) {
                for (place, i) in rows.clone().enumerate() {
                    let dots = &mut self.room.dots[place * stride + number * CHUNK..];
                    if let Some(dots) = dots.first_chunk_mut() {
                        sums::tile(simd, index.dense(i), chunk, dots);
                    }
                }
            }
        }
        if C::WANTS.counts {
            let masks: Vec<&[u64]> = rows.map(|i| index.mask(i)).collect();
            sums::count_masks(self.level, &masks, block, first, &mut self.room.counts);
        }
    }

    #[inline(always)]
    fn row<S: pulp::Simd>(&mut self, simd: S, i: usize, block: &Block, at: usize, first: usize, dense: bool) {
        let own = self.is_own(i, block);
        let Room { dots, counts, .. } = &mut *self.room;
        let (mut dots, mut counts) = (&mut dots[..], &mut counts[..]);
        if C::WANTS.dots {
            dots = &mut dots[at..at + block.stride()];
        }
        if C::WANTS.counts {
            counts = &mut counts[at..at + block.stride()];
        }
        if !dense {
            if C::WANTS.dots {
                dots[first..].fill(0.0);
            }
            if C::WANTS.counts {
                counts[first..].fill(0);
            }
        }
        let walks = self.index.walks(i);
        match (C::WANTS.dots, C::WANTS.counts) {
            (true, true) => lists::add::<true, true>(block, walks, own, dots, counts),
            (true, false) => lists::add::<true, false>(block, walks, own, dots, counts),
            _ => lists::add::<false, true>(block, walks, own, dots, counts),
        }
        let dots = if C::WANTS.dots { &mut dots[first..block.rows()] } else { dots };
        let counts = if C::WANTS.counts { &mut counts[first..block.rows()] } else { counts };
        self.consumer.segment(simd, i, block.first() + first, dots, counts);
    }

    #[inline(always)]
    fn touch(&mut self, block: &Block) {
        let Room { dots, counts, touched } = &mut *self.room;
        dots.resize(if C::WANTS.dots { block.rows() } else { 0 }, 0.0);
        counts.resize(block.rows(), 0);
        for i in self.rows.clone() {
            let own = self.index.triangle && (block.first()..block.first() + block.rows()).contains(&i);
            let walks = self.index.walks(i);
            if C::WANTS.dots {
                lists::touch::<true>(block, walks, own, (dots, counts), touched);
            } else {
                lists::touch::<false>(block, walks, own, (dots, counts), touched);
            }
            touched.sort_unstable();
            for &j in &*touched {
                let dot = dots.get_mut(j as usize).map_or(0.0, std::mem::take);
                let count = std::mem::take(&mut counts[j as usize]);
                self.consumer.touched(i, block.first() + j as usize, dot, count);
            }
            touched.clear();
        }
    }
}
