//! The index of a few rows of small dimension: every dimension is dense at its own place, so nothing has to be
//! counted, sorted or numbered first. Counting would take longer than comparing the rows.

use super::index::{Block, Index, Ragged, Side};
use super::{CHUNK, WORD};
use crate::simd::variant::{Variant, Wants};

/// The largest dimension.
const MOST_DIMENSIONS: usize = 4 * WORD;
/// Entries of a row on average from which on lists would be longer than the tile.
const LEAST_ENTRIES: usize = 4;

/// Whether all pairs of a side are better taken directly: rows of one chunk, small dimension, not too sparse.
pub(super) fn suits(side: &Side<'_>) -> bool {
    let rows = side.indptr.len() - 1;
    rows < CHUNK
        && side.indices.len() >= rows * LEAST_ENTRIES
        && side.indices.iter().fold(0, |most, &index| most.max(index)) < MOST_DIMENSIONS as u32
}

/// The index of all pairs of a side that [`suits`].
pub(super) fn index(wants: Wants, side: &Side<'_>) -> Index {
    let rows = side.indptr.len() - 1;
    let dimensions = side.indices.iter().fold(0, |most, &index| most.max(index as usize + 1));
    let words = if wants.counts { dimensions.div_ceil(WORD) } else { 0 };
    let mut block = Block::dense(rows, if wants.dots { dimensions } else { 0 }, words);
    let mut masks = vec![0; rows * words];
    for (row, range) in side.indptr.windows(2).enumerate() {
        let indices = &side.indices[range[0]..range[1]];
        if wants.counts {
            let mut mask = [0u64; MOST_DIMENSIONS / WORD];
            for &index in indices {
                mask[index as usize / WORD % mask.len()] |= 1 << (index as usize % WORD);
            }
            for (word, &bits) in mask[..words].iter().enumerate() {
                masks[row * words + word] = bits;
                block.masks[word * CHUNK + row] = bits;
            }
        }
        if wants.dots {
            for (&index, &unit) in indices.iter().zip(&side.units[range[0]..range[1]]) {
                block.tile[index as usize * CHUNK + row] = unit;
            }
        }
    }
    let entries = if wants.dots {
        side.indices.iter().copied().zip(side.units.iter().copied()).collect()
    } else {
        Vec::new()
    };
    let ends = if wants.dots { side.indptr.to_vec() } else { vec![0; rows + 1] };
    Index {
        triangle: true,
        entries: side.indices.len(),
        variant: Variant::DenseTile,
        words,
        blocks: vec![block],
        walks: Ragged { ends: vec![0; rows + 1], items: Vec::new() },
        dense: Ragged { ends, items: entries },
        masks,
    }
}
