//! Classes of all pairs by direction alone, by tile products of signed bytes.
//!
//! Every row is rounded to one byte a component. The products of 32 × 32 rows then give each cosine within
//! a proved bound, which decides all pairs that are not close to a threshold. Where many pairs of a tile are
//! close, a second byte a component gives their cosines to about five digits; whatever is still close is
//! judged exactly. [`digits`] has the rounding and the bounds.

mod digits;

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use self::digits::{Digits, Precision, Products};
use super::tile::{self, DIM_LIMIT, SIDE};
use crate::Thresholds;
use crate::exact::Directions;
use crate::isa::{Isa, Level};
use crate::scalar;
use crate::types::{CLASS_BLOCK, ClassMatrix, ClassShape, ConflictList, CosineRows};

/// Blocks of 32 rows that a panel meets while it is in the nearest cache.
const BLOCKS_PER_TASK: usize = 4;
/// Marks a pair that its cosine's bound leaves open; no rule has this number.
const OPEN: u8 = 0xFF;

const _: () = assert!(SIDE == CLASS_BLOCK, "a tile fills whole rows of a block of classes");

/// The class of every pair.
pub(crate) fn cosine_classes(
    level: Level,
    rows: CosineRows<'_>,
    thresholds: &Thresholds,
    matrix: &mut ClassMatrix,
) {
    if rows.dim() >= DIM_LIMIT {
        return scalar::cosine_classes::cosine_classes(rows, thresholds, matrix);
    }
    let scan = Scan::new(level, rows, thresholds);
    let mut rest = matrix.rules_mut();
    let mut tasks = Vec::new();
    for blocks in scan.tasks() {
        let (own, behind) = rest.split_at_mut(scan.strip_len(&blocks));
        tasks.push((blocks, own));
        rest = behind;
    }
    tasks.into_par_iter().for_each(|(blocks, rules)| scan.strip(blocks, rules));
}

/// The pairs that are not orthogonal. Memory: the pairs, and `128 · rows` bytes a thread.
pub(crate) fn cosine_conflicts(level: Level, rows: CosineRows<'_>, thresholds: &Thresholds) -> ConflictList {
    if rows.dim() >= DIM_LIMIT {
        let mut matrix = ClassMatrix::of(rows.rows());
        scalar::cosine_classes::cosine_classes(rows, thresholds, &mut matrix);
        return matrix.to_list();
    }
    let scan = Scan::new(level, rows, thresholds);
    let found: Vec<_> = scan
        .tasks()
        .into_par_iter()
        .map_init(Vec::new, |rules, blocks| {
            // All rows that exist are written; behind the last one nothing of the task before may be left.
            rules.clear();
            rules.resize(scan.strip_len(&blocks), 0);
            scan.strip(blocks.clone(), rules);
            let mut pairs = Vec::new();
            scan.shape.list(blocks, rules, &mut pairs);
            pairs
        })
        .collect();
    scan.shape.conflict_list(found.concat())
}

/// What all tasks share.
struct Scan<'a> {
    level: Level,
    rows: usize,
    shape: ClassShape,
    digits: Digits,
    judge: Directions<'a>,
    thresholds: &'a Thresholds,
    cuts: Cuts,
    /// Open pairs of a tile from which on the second byte is cheaper than one exact judgement each.
    many: usize,
}

/// The thresholds that matter to a direction, in f32: the bounds have room for their rounding.
#[derive(Clone, Copy)]
struct Cuts {
    orthogonal: f32,
    conflict: f32,
}

impl<'a> Scan<'a> {
    fn new(level: Level, rows: CosineRows<'a>, thresholds: &'a Thresholds) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a rounding that the bounds allow for")]
        let cuts = Cuts {
            orthogonal: thresholds.orthogonal.to_f64() as f32,
            conflict: thresholds.conflict.to_f64() as f32,
        };
        Self {
            level,
            rows: rows.rows(),
            shape: ClassShape::new(rows.rows()),
            digits: Digits::new(level, rows),
            judge: Directions::new(rows),
            thresholds,
            cuts,
            many: match level.isa() {
                // Three tile products against one dot product in f64, both proportional to the dimension.
                Isa::Amx => 4,
                Isa::Avx512Vnni => 16,
                _ => 96,
            },
        }
    }

    fn tasks(&self) -> Vec<Range<usize>> {
        let blocks = self.shape.blocks();
        let starts = (0..blocks).step_by(BLOCKS_PER_TASK);
        starts.map(|first| first..(first + BLOCKS_PER_TASK).min(blocks)).collect()
    }

    fn strip_len(&self, blocks: &Range<usize>) -> usize {
        self.shape.start(blocks.end) - self.shape.start(blocks.start)
    }

    /// Writes the rules of all pairs of some blocks of rows with the rows behind them.
    fn strip(&self, blocks: Range<usize>, rules: &mut [u8]) {
        let _tiles = tile::prepare(self.level);
        self.level.dispatch(Strip { scan: self, blocks, rules });
    }
}

struct Strip<'a> {
    scan: &'a Scan<'a>,
    blocks: Range<usize>,
    rules: &'a mut [u8],
}

impl WithSimd for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { scan, blocks, rules } = self;
        let first = scan.shape.start(blocks.start);
        let mut products = Products::default();
        for panel in blocks.start..scan.shape.blocks() {
            for block in blocks.start..blocks.end.min(panel + 1) {
                let corner = scan.shape.start(block) - first + (panel - block) * SIDE;
                let mut tile = Tile { scan, block, panel, rules: &mut rules[corner..] };
                let precision = scan.digits.coarse(scan.level, block, panel, &mut products);
                let mut open = tile.decide(precision, |lane| products.coarse(lane));
                if open > scan.many
                    && let Some(precision) = scan.digits.fine(scan.level, block, panel, &mut products)
                {
                    open = tile.decide(precision, |lane| products.fine(lane));
                }
                if open > 0 {
                    tile.judge();
                }
            }
        }
    }
}

/// The pairs of a block of rows with a panel.
struct Tile<'a> {
    scan: &'a Scan<'a>,
    block: usize,
    panel: usize,
    /// The tile's first row begins here.
    rules: &'a mut [u8],
}

impl Tile<'_> {
    /// Writes the rule of every pair that its bound decides, and `OPEN` for the others; returns how many these are.
    #[inline(always)]
    fn decide(&mut self, precision: &Precision, products: impl Fn(usize) -> [f32; SIDE]) -> usize {
        let Precision { inverse, error, rounding } = precision;
        let lanes = self.panel * SIDE;
        let (inverses, errors) = (inverse[lanes..].as_chunks().0, error[lanes..].as_chunks().0);
        let mut open = 0;
        for (lane, row) in self.rows() {
            let bound = Bound {
                inverse: inverse[row],
                slope: 1.0 + error[row],
                offset: error[row] + rounding,
                cuts: self.scan.cuts,
            };
            // Lanes behind the last row are no pairs.
            let lanes = SIDE.min(self.scan.rows - self.panel * SIDE);
            let mut rules = bound.rules(&products(lane), &inverses[0], &errors[0]);
            rules[lanes..].fill(0);
            if self.block == self.panel {
                // Only pairs of a row with one behind it count.
                rules[..=lane].fill(0);
            }
            open += count_open(&rules);
            self.row(lane).copy_from_slice(&rules);
        }
        open
    }

    /// Judges the open pairs.
    #[inline(never)]
    fn judge(&mut self) {
        let Self { scan, panel, .. } = *self;
        for (lane, row) in self.rows() {
            let (words, _) = self.row(lane).as_chunks_mut::<8>();
            for (first, word) in (panel * SIDE..).step_by(8).zip(words) {
                let mut open = open_of(word);
                while open != 0 {
                    let place = open.trailing_zeros() as usize / 8;
                    open &= open - 1;
                    word[place] = scan.judge.rule(row, first + place, scan.thresholds);
                }
            }
        }
    }

    /// Lane and number of each row that exists.
    fn rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let first = self.block * SIDE;
        (first..self.scan.rows.min(first + SIDE)).enumerate()
    }

    fn row(&mut self, lane: usize) -> &mut [u8] {
        &mut self.rules[lane * self.scan.shape.width(self.block)..][..SIDE]
    }
}

/// How many rules are `OPEN`.
#[inline(always)]
fn count_open(rules: &[u8; SIDE]) -> usize {
    rules.as_chunks::<8>().0.iter().map(|word| open_of(word).count_ones() as usize).sum()
}

/// The top bit of each rule that is `OPEN`: of all their numbers only this one has it.
#[inline(always)]
fn open_of(word: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*word) & 0x8080_8080_8080_8080
}

/// One row's side of the bound on its cosines, and the thresholds.
struct Bound {
    inverse: f32,
    slope: f32,
    offset: f32,
    cuts: Cuts,
}

impl Bound {
    #[inline(always)]
    fn rules(&self, products: &[f32; SIDE], inverses: &[f32; SIDE], errors: &[f32; SIDE]) -> [u8; SIDE] {
        // 32 bits a lane until all is decided, so that no lane changes its width meanwhile.
        let mut rules = [0i32; SIDE];
        for lane in 0..SIDE {
            let cosine = products[lane] * (self.inverse * inverses[lane]);
            let error = errors[lane].mul_add(self.slope, self.offset);
            let magnitude = cosine.abs();
            let (orthogonal, conflict) = (magnitude - self.cuts.orthogonal, magnitude - self.cuts.conflict);
            let signed = if cosine < 0.0 { 7 } else { 4 };
            let rule = if orthogonal < 0.0 { 0 } else { 9 };
            let rule = if conflict < 0.0 { rule } else { signed };
            // Where the bound is infinite or no number the comparison is false: open.
            let near = if orthogonal.abs() < conflict.abs() { orthogonal.abs() } else { conflict.abs() };
            rules[lane] = if near > error { rule } else { i32::from(OPEN) };
        }
        let mut bytes = [0; SIDE];
        for (byte, rule) in bytes.iter_mut().zip(rules) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 255")]
            let rule = rule as u8;
            *byte = rule;
        }
        bytes
    }
}
