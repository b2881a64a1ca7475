//! Dot products and shared positions of one left row with one block of right rows: dense dimensions
//! from the tile and the masks, the others by inverted lists.

use pulp::Simd;

use super::CHUNK;
use super::index::Block;
use crate::isa::Level;

/// Right rows whose counts are in registers at once.
const COUNTED: usize = 32;

/// Vectors of sums that are in registers at once.
const SUMS: usize = 4;

/// One chunk of dot products over the dense dimensions: Σ weight · column.
#[inline(always)]
pub(super) fn tile<S: Simd>(simd: S, dense: &[(u32, f32)], chunk: &[f32], dots: &mut [f32; CHUNK]) {
    let width = CHUNK / S::F32_LANES;
    let (columns, _) = S::as_simd_f32s(chunk);
    let (dots, _) = S::as_mut_simd_f32s(&mut dots[..]);
    for (part, dots) in dots.as_chunks_mut::<SUMS>().0.iter_mut().enumerate() {
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for &(place, weight) in dense {
            let weight = simd.splat_f32s(weight);
            let column = &columns[place as usize * width + part * SUMS..][..SUMS];
            for (sum, &value) in sums.iter_mut().zip(column) {
                *sum = simd.mul_add_f32s(weight, value, *sum);
            }
        }
        *dots = sums;
    }
}

/// Shared dense positions of several left rows with a block, from chunk `first` on.
///
/// The counts of each row stand `stride` apart.
pub(super) fn count_masks(level: Level, masks: &[&[u64]], block: &Block, first: usize, counts: &mut [u32]) {
    let count = CountMasks { masks, block, first, counts };
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni(_, token) => token.vectorize(count),
        #[cfg(target_arch = "x86_64")]
        Level::Amx(_, token) => token.vnni().vectorize(count),
        _ => level.dispatch(count),
    }
}

struct CountMasks<'a> {
    masks: &'a [&'a [u64]],
    block: &'a Block,
    first: usize,
    counts: &'a mut [u32],
}

impl CountMasks<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { masks, block, first, counts } = self;
        let words = masks.first().map_or(1, |mask| mask.len());
        let stride = block.stride();
        for (number, chunk) in block.masks.chunks_exact(words * CHUNK).enumerate().skip(first) {
            let (chunk, _) = chunk.as_chunks::<CHUNK>();
            for (row, mask) in masks.iter().enumerate() {
                let counts = &mut counts[row * stride + number * CHUNK..][..CHUNK];
                for (half, counts) in counts.as_chunks_mut::<COUNTED>().0.iter_mut().enumerate() {
                    let mut sums = [0u64; COUNTED];
                    for (&word, right) in mask.iter().zip(chunk) {
                        let right = &right[half * COUNTED..][..COUNTED];
                        for lane in 0..COUNTED {
                            sums[lane] += u64::from((word & right[lane]).count_ones());
                        }
                    }
                    for lane in 0..COUNTED {
                        #[expect(clippy::cast_possible_truncation, reason = "at most the dense dimensions")]
                        {
                            counts[lane] = sums[lane] as u32;
                        }
                    }
                }
            }
        }
    }
}

impl pulp::NullaryFnOnce for CountMasks<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.run();
    }
}
