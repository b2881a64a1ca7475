//! Sixteen rows side by side, a lane each, so that sums over dimensions never cross lanes.
//!
//! A sum whose order is fixed waits for each of its additions. Sixteen such sums, one in each lane of a
//! register, take no longer than one; the price is a transposition, half an instruction a value.

use crate::isa::Level;

/// Rows side by side.
pub(super) const ROWS: usize = 16;
/// Dimensions that are transposed at a time.
pub(super) const DEPTH: usize = 16;

/// `[dimension][row]`.
pub(super) type Lanes = [[f32; ROWS]; DEPTH];

/// `[row][dimension]`.
pub(super) type Part<'a> = [&'a [f32; DEPTH]; ROWS];

/// Sixteen pairs of vectors of one length.
pub(super) type Pairs<'a> = [(&'a [f32], &'a [f32]); ROWS];

/// Pairs, sixteen dimensions at a time.
pub(super) struct Parts<'a> {
    pairs: &'a Pairs<'a>,
    dim: usize,
    /// What is left of each side behind the last whole part, and zeros.
    rests: [[[f32; DEPTH]; ROWS]; 2],
}

impl<'a> Parts<'a> {
    #[inline(always)] // so that this and all below are compiled for the level of the caller
    pub(super) fn new(pairs: &'a Pairs<'a>) -> Self {
        let dim = pairs[0].0.len();
        let mut rests = [[[0.0; DEPTH]; ROWS]; 2];
        for (row, (x, y)) in pairs.iter().enumerate() {
            for (rests, side) in rests.iter_mut().zip([x, y]) {
                let (_, rest) = side[..dim].as_chunks::<DEPTH>();
                rests[row][..rest.len()].copy_from_slice(rest);
            }
        }
        Self { pairs, dim, rests }
    }

    /// Number of parts; they ascend in dimension.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.dim.div_ceil(DEPTH)
    }

    /// Both sides of one part.
    #[inline(always)]
    pub(super) fn get(&self, part: usize) -> [Part<'_>; 2] {
        let [mut x, mut y] = [self.rests[0].each_ref(), self.rests[1].each_ref()];
        if part < self.dim / DEPTH {
            for (row, pair) in self.pairs.iter().enumerate() {
                (x[row], y[row]) = (&pair.0.as_chunks().0[part], &pair.1.as_chunks().0[part]);
            }
        }
        [x, y]
    }
}

/// One lane a row.
#[inline(always)]
pub(super) fn transposed(level: Level, rows: Part<'_>) -> Lanes {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(simd) | Level::Avx512Vnni(simd, _) | Level::Amx(simd, _) => {
            x86::transposed_v4(simd, rows)
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(simd) => x86::transposed_v3(simd, rows),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => plain(rows),
    }
}

#[cfg(any(test, target_arch = "aarch64"))]
fn plain(rows: Part<'_>) -> Lanes {
    let mut lanes = [[0.0; ROWS]; DEPTH];
    for (row, values) in rows.into_iter().enumerate() {
        for (lanes, &value) in lanes.iter_mut().zip(values) {
            lanes[row] = value;
        }
    }
    lanes
}

/// Four dimensions at a time: loads put quarters of rows side by side in the quarters of a register, and two rounds
/// of unpacking transpose each 4 × 4 block in its quarter.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::__m128;

    use pulp::x86::{V3, V4};

    use super::{DEPTH, Lanes, Part, ROWS};

    /// Dimensions `at..at + 4` of a row.
    #[inline(always)]
    fn quarter(row: &[f32; DEPTH], at: usize) -> __m128 {
        bytemuck::cast([row[at], row[at + 1], row[at + 2], row[at + 3]])
    }

    #[inline(always)]
    pub(super) fn transposed_v4(simd: V4, rows: Part<'_>) -> Lanes {
        let f = simd.avx512f;
        let mut lanes = [[0.0; ROWS]; DEPTH];
        for at in (0..DEPTH).step_by(4) {
            // Rows k, k + 4, k + 8 and k + 12.
            let mut four = [f._mm512_setzero_ps(); 4];
            for (k, four) in four.iter_mut().enumerate() {
                *four = f._mm512_castps128_ps512(quarter(rows[k], at));
                *four = f._mm512_insertf32x4::<1>(*four, quarter(rows[k + 4], at));
                *four = f._mm512_insertf32x4::<2>(*four, quarter(rows[k + 8], at));
                *four = f._mm512_insertf32x4::<3>(*four, quarter(rows[k + 12], at));
            }
            let low = [f._mm512_unpacklo_ps(four[0], four[1]), f._mm512_unpacklo_ps(four[2], four[3])];
            let high = [f._mm512_unpackhi_ps(four[0], four[1]), f._mm512_unpackhi_ps(four[2], four[3])];
            let (low, high) = (low.map(bytemuck::cast), high.map(bytemuck::cast));
            lanes[at] = bytemuck::cast(f._mm512_unpacklo_pd(low[0], low[1]));
            lanes[at + 1] = bytemuck::cast(f._mm512_unpackhi_pd(low[0], low[1]));
            lanes[at + 2] = bytemuck::cast(f._mm512_unpacklo_pd(high[0], high[1]));
            lanes[at + 3] = bytemuck::cast(f._mm512_unpackhi_pd(high[0], high[1]));
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn transposed_v3(simd: V3, rows: Part<'_>) -> Lanes {
        let f = simd.avx;
        let mut lanes = [[[0.0f32; 8]; 2]; DEPTH];
        for half in 0..2 {
            for at in (0..DEPTH).step_by(4) {
                // Rows k and k + 4 of the half.
                let mut two = [f._mm256_setzero_ps(); 4];
                for (k, two) in two.iter_mut().enumerate() {
                    *two = f._mm256_castps128_ps256(quarter(rows[8 * half + k], at));
                    *two = f._mm256_insertf128_ps::<1>(*two, quarter(rows[8 * half + k + 4], at));
                }
                let low = [f._mm256_unpacklo_ps(two[0], two[1]), f._mm256_unpacklo_ps(two[2], two[3])];
                let high = [f._mm256_unpackhi_ps(two[0], two[1]), f._mm256_unpackhi_ps(two[2], two[3])];
                let (low, high) = (low.map(bytemuck::cast), high.map(bytemuck::cast));
                lanes[at][half] = bytemuck::cast(f._mm256_unpacklo_pd(low[0], low[1]));
                lanes[at + 1][half] = bytemuck::cast(f._mm256_unpackhi_pd(low[0], low[1]));
                lanes[at + 2][half] = bytemuck::cast(f._mm256_unpacklo_pd(high[0], high[1]));
                lanes[at + 3][half] = bytemuck::cast(f._mm256_unpackhi_pd(high[0], high[1]));
            }
        }
        bytemuck::cast(lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    struct Transpose<'a>(Level, Part<'a>);

    impl pulp::WithSimd for Transpose<'_> {
        type Output = Lanes;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> Lanes {
            transposed(self.0, self.1)
        }
    }

    #[test]
    fn every_level_transposes() {
        let rows: [[f32; DEPTH]; ROWS] =
            std::array::from_fn(|row| std::array::from_fn(|i| (row * DEPTH + i) as f32));
        for level in Isa::available().into_iter().filter_map(Level::open) {
            let got = level.dispatch(Transpose(level, rows.each_ref()));
            assert_eq!(got, plain(rows.each_ref()), "{}", level.isa());
        }
    }
}
