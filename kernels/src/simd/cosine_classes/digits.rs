//! Rows as one or two signed bytes a component, and how far their cosines can be from the truth.
//!
//! A row a is held as codes c with |c| ≤ 32,639, split into two digits c = 256h + l, both signed bytes:
//!
//! | rows | code |
//! |---|---|
//! | f32 | round(a / s), s = max|aᵢ| / 32,639 |
//! | deltas | the delta's own codes |
//! | bytes | the byte is the high digit; there is no low one |
//!
//! # The bounds
//! Let â be what the codes stand for, in the unit in which ‖a‖ = 1, and e ≥ ‖a − â‖. Then
//! |a·b − â·b̂| ≤ ‖a − â‖‖b̂‖ + ‖a‖‖b − b̂‖ ≤ e_a + e_b(1 + e_a), by Cauchy–Schwarz. With u = 2^-24:
//!
//! * *Coarse*, â = 256h: e is the norm of what the high digit leaves over. Each component leaves no more than itself, so
//!   e ≤ 1. The integer product is exact; its rounding to f32, those of both norms' inverses and two
//!   multiplications come to 5u(1 + e_a)(1 + e_b) ≤ 20u, and the bound's own arithmetic to 9u: below 2^-19 = 32u.
//! * *Fine*, â = 256h + l, without the product of the low digits: it is at most ‖l_a‖‖l_b‖ ≤ (ε_a² + ε_b²)/2 with ε the
//!   coarse e, so e here is the norm of what both digits leave over, plus ε²/2. As |256h| ≤ 2|c| and |l| ≤ |c| in each
//!   component, the other three products are at most 4, 2 and 2 times (1 + e_a)(1 + e_b); seven roundings of at most
//!   8(1 + e_a)(1 + e_b) ≤ 32 in all: below 2^-16 = 256u.
//!
//! Both leave room for the rounding of the thresholds to f32. Norms are f64 sums. The norm of what is left over is an
//! f32 sum in lanes, whose relative error is below 1/128 for fewer than 2¹⁷ terms; it is raised by 1/64. Rows whose
//! greatest component is not within 2^-40..=2^60, where such sums could leave the range of f32, get an
//! infinite e: they are always left to the exact judge.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::tile::{BytePanels, ByteRows, Dots, SIDE};
use crate::aligned::AlignedBuf;
use crate::exact::SquaredNorm;
use crate::isa::Level;
use crate::types::{ByteView, CosineRows, DeltaBatch, DenseView};

/// Greatest code; its digits are 127 and 127.
const MAX_CODE: f32 = 32_639.0;
const COARSE_ROUNDING: f32 = 1.0 / (1u32 << 19) as f32;
const FINE_ROUNDING: f32 = 1.0 / (1u32 << 16) as f32;
/// Greatest components of rows whose f32 sums stay in range.
const ORDINARY: std::ops::RangeInclusive<f32> = 1.0 / (1u64 << 40) as f32..=(1u64 << 60) as f32;
/// Raises a computed norm above the true one.
const RAISE: f64 = 1.0 + 1.0 / 64.0;
/// Rows that one task encodes.
const ROWS_PER_TASK: usize = 32;
/// Sums side by side.
const LANES: usize = 16;

/// The digits of all rows, packed for both sides of a product.
pub(super) struct Digits {
    high: Plane,
    low: Option<Plane>,
    coarse: Precision,
    fine: Precision,
}

struct Plane {
    rows: ByteRows,
    panels: BytePanels,
}

/// What turns products into cosines, and the bound; one value a row, zero behind the last.
pub(super) struct Precision {
    /// 1 / ‖a‖ in the digits' unit; 0 for a row of zeros.
    pub(super) inverse: AlignedBuf<f32>,
    /// e.
    pub(super) error: AlignedBuf<f32>,
    /// Roundings, added to every bound.
    pub(super) rounding: f32,
}

/// Products of a block of rows with a panel, as f32, and the integer tiles they come from.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Products {
    /// Of the high digits; then of what was multiplied last.
    dots: Dots,
    /// Of both digits.
    values: [[f32; SIDE]; SIDE],
}

impl Products {
    /// Of the high digits of row `lane` of the block.
    #[inline(always)]
    pub(super) fn coarse(&self, lane: usize) -> [f32; SIDE] {
        let mut values = [0.0; SIDE];
        for (value, &dot) in values.iter_mut().zip(&self.dots[lane]) {
            *value = dot as f32;
        }
        values
    }

    /// Of both digits of row `lane` of the block.
    #[inline(always)]
    pub(super) fn fine(&self, lane: usize) -> [f32; SIDE] {
        self.values[lane]
    }
}

impl Default for Products {
    fn default() -> Self {
        Self { dots: [[0; SIDE]; SIDE], values: [[0.0; SIDE]; SIDE] }
    }
}

impl Digits {
    pub(super) fn new(level: Level, rows: CosineRows<'_>) -> Self {
        let mut raw = Raw { dim: rows.dim(), scales: vec![Scales::default(); rows.rows()], ..Raw::default() };
        match rows {
            CosineRows::F32(rows) => raw.fill(|first, out| level.dispatch(EncodeF32 { rows, first, out })),
            CosineRows::Deltas(rows) => raw.fill(|first, out| encode_deltas(rows, first, out)),
            CosineRows::Bytes(rows) => {
                level.dispatch(ScaleBytes { rows, scales: &mut raw.scales });
                return Self::pack(rows.codes(), None, &raw);
            }
        }
        Self::pack(&raw.high, Some(&raw.low), &raw)
    }

    fn pack(high: &[i8], low: Option<&[i8]>, raw: &Raw) -> Self {
        let plane = |codes: &[i8]| Plane {
            rows: ByteRows::pack(codes, raw.dim),
            panels: BytePanels::pack(codes, raw.dim),
        };
        let padded = raw.scales.len().next_multiple_of(SIDE);
        let precision = |of: fn(&Scales) -> (f32, f32), rounding| {
            let (mut inverse, mut error) = (AlignedBuf::zeroed(padded), AlignedBuf::zeroed(padded));
            for (row, scales) in raw.scales.iter().enumerate() {
                (inverse[row], error[row]) = of(scales);
            }
            Precision { inverse, error, rounding }
        };
        Self {
            coarse: precision(|scales| (scales.coarse, scales.coarse_error), COARSE_ROUNDING),
            fine: precision(|scales| (scales.fine, scales.fine_error), FINE_ROUNDING),
            high: plane(high),
            low: low.map(plane),
        }
    }

    /// The products of the high digits.
    #[inline(always)]
    pub(super) fn coarse(&self, level: Level, block: usize, panel: usize, out: &mut Products) -> &Precision {
        self.high.rows.block(block).times(level, self.high.panels.panel(panel), &mut out.dots);
        &self.coarse
    }

    /// The products of both digits, after [`coarse`](Self::coarse) of the same tile; `None` where there is only one.
    #[inline(always)]
    pub(super) fn fine(
        &self,
        level: Level,
        block: usize,
        panel: usize,
        out: &mut Products,
    ) -> Option<&Precision> {
        let low = self.low.as_ref()?;
        for (value, &dot) in out.values.as_flattened_mut().iter_mut().zip(out.dots.as_flattened()) {
            *value = 65_536.0 * dot as f32;
        }
        for (rows, panels) in [(&self.high.rows, &low.panels), (&low.rows, &self.high.panels)] {
            rows.block(block).times(level, panels.panel(panel), &mut out.dots);
            for (value, &dot) in out.values.as_flattened_mut().iter_mut().zip(out.dots.as_flattened()) {
                *value += 256.0 * dot as f32;
            }
        }
        Some(&self.fine)
    }
}

/// Norms of rows of bytes, which are exact as they are.
struct ScaleBytes<'a> {
    rows: ByteView<'a>,
    scales: &'a mut [Scales],
}

impl WithSimd for ScaleBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, scales) in self.scales.iter_mut().enumerate() {
            // At most 2¹⁷ · 2¹⁴.
            let squared: i32 =
                self.rows.row(row).iter().map(|&code| i32::from(code).pow(2)).fold(0, i32::wrapping_add);
            scales.coarse = inverse(1.0, f64::from(squared.cast_unsigned()).sqrt());
        }
    }
}

/// Both precisions of one row.
#[derive(Clone, Copy, Default)]
struct Scales {
    coarse: f32,
    coarse_error: f32,
    fine: f32,
    fine_error: f32,
}

impl Scales {
    /// Of a row of which nothing is known but that it is not zero.
    const UNKNOWN: Self =
        Self { coarse: 0.0, coarse_error: f32::INFINITY, fine: 0.0, fine_error: f32::INFINITY };

    /// For a high digit worth `unit`, and what one digit and both leave over of a row of norm 1.
    #[inline(always)]
    fn new(unit: f64, norm: f64, coarse_error: f32, rest: f32) -> Self {
        Self {
            coarse: inverse(unit, norm),
            coarse_error,
            fine: inverse(unit / 256.0, norm),
            fine_error: rest + coarse_error * coarse_error,
        }
    }
}

/// unit / norm; 0 for a row of zeros.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "one of the roundings that the bounds count")]
fn inverse(unit: f64, norm: f64) -> f32 {
    if norm > 0.0 { (unit / norm) as f32 } else { 0.0 }
}

/// √squared / norm, raised.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "far below what it is raised by")]
fn error(squared: f64, norm: f64) -> f32 {
    if norm > 0.0 { (squared.sqrt() / norm * RAISE) as f32 } else { 0.0 }
}

/// Digits row by row, before packing.
#[derive(Default)]
struct Raw {
    dim: usize,
    high: Vec<i8>,
    low: Vec<i8>,
    scales: Vec<Scales>,
}

/// The part of [`Raw`] that one task writes.
struct Part<'a> {
    dim: usize,
    high: &'a mut [i8],
    low: &'a mut [i8],
    scales: &'a mut [Scales],
}

impl Raw {
    /// Lets `encode` write the rows from a first one on, in parallel.
    fn fill(&mut self, encode: impl Fn(usize, Part<'_>) + Sync) {
        let dim = self.dim;
        self.high = vec![0; self.scales.len() * dim];
        self.low = vec![0; self.scales.len() * dim];
        let codes = ROWS_PER_TASK * dim.max(1);
        let digits = self.high.par_chunks_mut(codes).zip(self.low.par_chunks_mut(codes));
        let tasks = digits.zip(self.scales.par_chunks_mut(ROWS_PER_TASK)).enumerate();
        tasks.for_each(|(task, ((high, low), scales))| {
            encode(task * ROWS_PER_TASK, Part { dim, high, low, scales });
        });
    }
}

struct EncodeF32<'a> {
    rows: DenseView<'a>,
    first: usize,
    out: Part<'a>,
}

impl WithSimd for EncodeF32<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Part { dim, high, low, scales } = self.out;
        let digits = high.chunks_exact_mut(dim.max(1)).zip(low.chunks_exact_mut(dim.max(1)));
        for (row, ((high, low), scales)) in (self.first..).zip(digits.zip(scales)) {
            *scales = encode_f32(self.rows.row(row), high, low);
        }
    }
}

#[inline(always)]
fn encode_f32(row: &[f32], high: &mut [i8], low: &mut [i8]) -> Scales {
    let greatest = greatest_magnitude(row);
    if greatest == 0.0 {
        return Scales::default();
    }
    if !ORDINARY.contains(&greatest) {
        return Scales::UNKNOWN;
    }
    let (unit, codes_per_unit) = (greatest / MAX_CODE, MAX_CODE / greatest);
    let mut sums = Sums::default();
    let (blocks, tail) = row.as_chunks::<LANES>();
    let (high_blocks, high_tail) = high.as_chunks_mut::<LANES>();
    let (low_blocks, low_tail) = low.as_chunks_mut::<LANES>();
    for ((block, high), low) in blocks.iter().zip(high_blocks).zip(low_blocks) {
        (*high, *low) = sums.encode(block, unit, codes_per_unit);
    }
    let mut padded = [0.0; LANES];
    padded[..tail.len()].copy_from_slice(tail);
    let (last_high, last_low) = sums.encode(&padded, unit, codes_per_unit);
    high_tail.copy_from_slice(&last_high[..tail.len()]);
    low_tail.copy_from_slice(&last_low[..tail.len()]);

    let norm = sums.squared.iter().sum::<f64>().sqrt();
    let [coarse, fine] = [sums.coarse, sums.fine].map(|lanes| lanes.map(f64::from).iter().sum());
    let [coarse_error, fine_error] = [coarse, fine].map(|squared| error(squared, norm));
    Scales::new(256.0 * f64::from(unit), norm, coarse_error, fine_error)
}

/// Sums of squares of a row and of what its digits leave over.
#[derive(Default)]
struct Sums {
    squared: [f64; LANES],
    coarse: [f32; LANES],
    fine: [f32; LANES],
}

impl Sums {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "digits fit signed bytes, codes 16 bits")]
    fn encode(&mut self, block: &[f32; LANES], unit: f32, codes_per_unit: f32) -> ([i8; LANES], [i8; LANES]) {
        let (mut high, mut low) = ([0; LANES], [0; LANES]);
        for (lane, &x) in block.iter().enumerate() {
            let code = (x * codes_per_unit).round_ties_even().clamp(-MAX_CODE, MAX_CODE);
            let code = code as i32;
            let digit = (code + 128) >> 8;
            high[lane] = digit as i8;
            low[lane] = (code - 256 * digit) as i8;
            self.squared[lane] += f64::from(x) * f64::from(x);
            let rest = (digit as f32 * -256.0).mul_add(unit, x);
            self.coarse[lane] = rest.mul_add(rest, self.coarse[lane]);
            let rest = (code as f32).mul_add(-unit, x);
            self.fine[lane] = rest.mul_add(rest, self.fine[lane]);
        }
        (high, low)
    }
}

#[inline(always)]
fn greatest_magnitude(row: &[f32]) -> f32 {
    let mut greatest = [0.0f32; LANES];
    let (blocks, tail) = row.as_chunks::<LANES>();
    for block in blocks {
        for (greatest, x) in greatest.iter_mut().zip(block) {
            *greatest = if x.abs() > *greatest { x.abs() } else { *greatest };
        }
    }
    tail.iter().chain(&greatest).fold(0.0, |greatest: f32, x| greatest.max(x.abs()))
}

fn encode_deltas(rows: &DeltaBatch, first: usize, out: Part<'_>) {
    let Part { dim, high, low, scales } = out;
    let digits = high.chunks_exact_mut(dim.max(1)).zip(low.chunks_exact_mut(dim.max(1)));
    for (row, ((high, low), scales)) in (first..).zip(digits.zip(scales)) {
        let (indices, codes) = rows.row(row);
        let norm = SquaredNorm::of_codes(codes).root;
        let mut rest = 0.0;
        for (&index, &code) in indices.iter().zip(codes) {
            let digit = (i32::from(code) + 128) >> 8;
            let left = i32::from(code) - 256 * digit;
            #[expect(clippy::cast_possible_truncation, reason = "both digits are signed bytes")]
            let [digit, left_digit] = [digit, left].map(|digit| digit as i8);
            (high[index as usize], low[index as usize]) = (digit, left_digit);
            rest += f64::from(left) * f64::from(left);
        }
        *scales = Scales::new(256.0, norm, error(rest, norm), 0.0);
    }
}
