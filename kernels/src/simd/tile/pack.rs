//! Packing of signed bytes for tile products.

use std::ops::Range;

use rayon::prelude::*;

use super::{Block, DIM_LIMIT, SIDE};
use crate::aligned::AlignedBuf;

/// Dimensions are padded with zeros to a multiple of this: the depth of one AMX tile, one cache line.
const DEPTH: usize = 64;

/// The side of a product that passes over the panels: rows one after the other, each padded to whole cache
/// lines, in blocks of 32.
#[derive(Debug)]
pub(crate) struct ByteRows {
    rows: usize,
    dim: usize,
    stride: usize,
    codes: AlignedBuf<i8>,
    starts: AlignedBuf<[i32; 16]>,
}

impl ByteRows {
    /// Packs `codes.len() / dim` rows of `dim` codes.
    pub(crate) fn pack(codes: &[i8], dim: usize) -> Self {
        let mut packed = Self::zeroed(codes.len() / dim.max(1), dim);
        for (row, codes) in codes.chunks_exact(dim.max(1)).enumerate() {
            packed.set(row, codes);
        }
        packed
    }

    /// `rows` rows of zeros, to be filled by [`set`](Self::set).
    pub(crate) fn zeroed(rows: usize, dim: usize) -> Self {
        assert!(dim < DIM_LIMIT, "a dot product must fit 32 bits");
        let (padded, stride) = (rows.next_multiple_of(SIDE), dim.next_multiple_of(DEPTH));
        Self {
            rows,
            dim,
            stride,
            codes: AlignedBuf::zeroed(padded * stride),
            starts: AlignedBuf::zeroed(padded),
        }
    }

    /// Writes one row.
    pub(crate) fn set(&mut self, row: usize, codes: &[i8]) {
        assert!(row < self.rows && codes.len() == self.dim, "a row of the packed shape");
        self.codes[row * self.stride..][..self.dim].copy_from_slice(codes);
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        self.starts[row] = [-128 * sum; 16];
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn dim(&self) -> usize {
        self.dim
    }

    /// Blocks of 32 rows, the last one perhaps not full.
    pub(crate) const fn blocks(&self) -> usize {
        self.rows.div_ceil(SIDE)
    }

    pub(crate) fn block(&self, block: usize) -> Block<'_> {
        let first = block * SIDE;
        let (starts, _) = self.starts[first..].as_chunks::<SIDE>();
        Block {
            codes: &self.codes[first * self.stride..][..SIDE * self.stride],
            stride: self.stride,
            starts: &starts[0],
            rows: (self.rows - first).min(SIDE),
        }
    }
}

/// The corpus of a product: panels of 32 rows, `[panel][dimension / 4][row][dimension % 4]`, each byte
/// `code + 128`, because VNNI multiplies unsigned by signed bytes.
#[derive(Debug)]
pub(crate) struct BytePanels {
    rows: usize,
    dim: usize,
    /// Padded dimension.
    depth: usize,
    codes: AlignedBuf<u8>,
}

impl BytePanels {
    /// Packs `codes.len() / dim` rows of `dim` codes.
    pub(crate) fn pack(codes: &[i8], dim: usize) -> Self {
        let rows = codes.len() / dim.max(1);
        Self::pack_with(rows, dim, |row, out| out.copy_from_slice(&codes[row * dim..][..dim]))
    }

    /// Packs `rows` rows of `dim` codes, each written by `fill` into a slice of that length. Panels are
    /// packed in parallel; rows of one panel ascend.
    pub(crate) fn pack_with(rows: usize, dim: usize, fill: impl Fn(usize, &mut [i8]) + Sync) -> Self {
        let fill = |panel: Range<usize>, codes: &mut [i8], depth: usize| {
            for (row, codes) in panel.zip(codes.chunks_exact_mut(depth)) {
                fill(row, &mut codes[..dim]);
            }
        };
        Self::pack_panels(rows, dim, fill).0
    }

    /// Packs `rows` rows of `dim` codes, a panel at a time and panels in parallel, and collects what `fill` says of
    /// each panel. `fill` gets the panel's rows, room for their codes and the distance from row to row in it;
    /// what it leaves behind the dimension must stay zero.
    pub(crate) fn pack_panels<T: Send>(
        rows: usize,
        dim: usize,
        fill: impl Fn(Range<usize>, &mut [i8], usize) -> T + Sync,
    ) -> (Self, Vec<T>) {
        assert!(dim < DIM_LIMIT, "a dot product must fit 32 bits");
        let depth = dim.next_multiple_of(DEPTH);
        let mut codes = AlignedBuf::<u8>::zeroed(rows.div_ceil(SIDE) * SIDE * depth);
        let panels = codes.par_chunks_exact_mut((SIDE * depth).max(1)).enumerate();
        let said = panels.map_init(
            || vec![0i8; SIDE * depth],
            |scratch, (panel, out)| {
                let panel = panel * SIDE..((panel + 1) * SIDE).min(rows);
                let (used, rest) = scratch.split_at_mut(panel.len() * depth);
                rest.fill(0);
                let said = fill(panel, used, depth);
                interleave(scratch, depth, out);
                said
            },
        );
        let said = said.collect();
        (Self { rows, dim, depth, codes }, said)
    }

    /// `rows` rows of zeros, to be filled by [`set_panel`](Self::set_panel).
    pub(crate) fn zeroed(rows: usize, dim: usize) -> Self {
        assert!(dim < DIM_LIMIT, "a dot product must fit 32 bits");
        let depth = dim.next_multiple_of(DEPTH);
        let codes = AlignedBuf::zeroed(rows.div_ceil(SIDE) * SIDE * depth);
        Self { rows, dim, depth, codes }
    }

    /// Writes one panel from 32 rows of [`depth`](Self::depth) codes, zeros behind the dimension and the
    /// last row.
    pub(crate) fn set_panel(&mut self, panel: usize, codes: &[i8]) {
        let bytes = self.panel_bytes();
        interleave(&codes[..bytes], self.depth, &mut self.codes[panel * bytes..][..bytes]);
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn dim(&self) -> usize {
        self.dim
    }

    /// The dimension padded to whole cache lines.
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }

    /// Panels of 32 rows, the last one perhaps not full.
    pub(crate) const fn panels(&self) -> usize {
        self.rows.div_ceil(SIDE)
    }

    /// Bytes of one panel.
    pub(crate) const fn panel_bytes(&self) -> usize {
        SIDE * self.depth
    }

    pub(crate) fn panel(&self, panel: usize) -> &[u8] {
        &self.codes[panel * self.panel_bytes()..][..self.panel_bytes()]
    }
}

/// Writes 32 rows of `depth` codes into a panel, adding 128 to each.
fn interleave(rows: &[i8], depth: usize, out: &mut [u8]) {
    let rows: &[u32] = bytemuck::cast_slice(rows);
    let out: &mut [u32] = bytemuck::cast_slice_mut(out);
    for (lane, row) in rows.chunks_exact(depth / 4).enumerate() {
        for (quad, &four) in row.iter().enumerate() {
            // Flipping the top bit of a byte adds 128 modulo 256.
            out[quad * SIDE + lane] = four ^ 0x8080_8080;
        }
    }
}
