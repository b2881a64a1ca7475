//! Tile products where there is no VNNI: bytes are widened to 16 bits in registers and multiplied in pairs.
//!
//! Even and odd bytes of each 32-bit word are taken apart, so two multiply-adds of 16-bit pairs make the
//! sum of four products. |pair| ≤ 2 · 255 · 128 fits a signed 32-bit lane.

use pulp::x86::{V3, V4};
use std::arch::x86_64::{__m256i, __m512i};

use super::{Block, Dots, SIDE};

/// Rows whose sums stay in registers.
const ROWS_V3: usize = 4;
/// As above, with twice the registers.
const ROWS_V4: usize = 6;

#[inline(always)]
pub(super) fn times_v3(simd: V3, left: Block<'_>, panel: &[u8], dots: &mut Dots) {
    let quads: &[[__m256i; 4]] = bytemuck::cast_slice(panel);
    for first in (0..left.rows).step_by(ROWS_V3) {
        // Rows behind the last one are zeros of the block's padding.
        let first = first.min(SIDE - ROWS_V3);
        for half in 0..2 {
            let mut sums = [[simd.avx._mm256_setzero_si256(); 2]; ROWS_V3];
            for (r, sums) in sums.iter_mut().enumerate() {
                *sums = [simd.avx._mm256_set1_epi32(left.starts[first + r][0]); 2];
            }
            let rows = left.words::<ROWS_V3>(first, quads.len());
            for (q, quad) in quads.iter().enumerate() {
                let low = simd.avx._mm256_set1_epi16(0x00FF);
                let mut even = [low; 2];
                let mut odd = [low; 2];
                for part in 0..2 {
                    let bytes = quad[half * 2 + part];
                    even[part] = simd.avx2._mm256_and_si256(bytes, low);
                    odd[part] = simd.avx2._mm256_srli_epi16::<8>(bytes);
                }
                for r in 0..ROWS_V3 {
                    let four = simd.avx._mm256_set1_epi32(rows[r][q]);
                    let a_even = simd.avx2._mm256_srai_epi16::<8>(simd.avx2._mm256_slli_epi16::<8>(four));
                    let a_odd = simd.avx2._mm256_srai_epi16::<8>(four);
                    for part in 0..2 {
                        let even = simd.avx2._mm256_madd_epi16(even[part], a_even);
                        let odd = simd.avx2._mm256_madd_epi16(odd[part], a_odd);
                        let both = simd.avx2._mm256_add_epi32(even, odd);
                        sums[r][part] = simd.avx2._mm256_add_epi32(sums[r][part], both);
                    }
                }
            }
            for (dots, sums) in dots[first..].iter_mut().zip(sums) {
                let out: &mut [[i32; 8]; 4] = bytemuck::cast_mut(dots);
                for part in 0..2 {
                    out[half * 2 + part] = bytemuck::cast(sums[part]);
                }
            }
        }
    }
}

#[inline(always)]
pub(super) fn times_v4(simd: V4, left: Block<'_>, panel: &[u8], dots: &mut Dots) {
    let quads: &[[__m512i; 2]] = bytemuck::cast_slice(panel);
    for first in (0..left.rows).step_by(ROWS_V4) {
        let first = first.min(SIDE - ROWS_V4);
        let mut sums = [[simd.avx512f._mm512_setzero_si512(); 2]; ROWS_V4];
        for (r, sums) in sums.iter_mut().enumerate() {
            *sums = [simd.avx512f._mm512_set1_epi32(left.starts[first + r][0]); 2];
        }
        let rows = left.words::<ROWS_V4>(first, quads.len());
        for (q, quad) in quads.iter().enumerate() {
            let low = simd.avx512f._mm512_set1_epi16(0x00FF);
            let mut even = [low; 2];
            let mut odd = [low; 2];
            for part in 0..2 {
                even[part] = simd.avx512f._mm512_and_si512(quad[part], low);
                odd[part] = simd.avx512bw._mm512_srli_epi16::<8>(quad[part]);
            }
            for r in 0..ROWS_V4 {
                let four = simd.avx512f._mm512_set1_epi32(rows[r][q]);
                let a_even = simd.avx512bw._mm512_srai_epi16::<8>(simd.avx512bw._mm512_slli_epi16::<8>(four));
                let a_odd = simd.avx512bw._mm512_srai_epi16::<8>(four);
                for part in 0..2 {
                    let even = simd.avx512bw._mm512_madd_epi16(even[part], a_even);
                    let odd = simd.avx512bw._mm512_madd_epi16(odd[part], a_odd);
                    let both = simd.avx512f._mm512_add_epi32(even, odd);
                    sums[r][part] = simd.avx512f._mm512_add_epi32(sums[r][part], both);
                }
            }
        }
        for (dots, sums) in dots[first..].iter_mut().zip(sums) {
            *dots = bytemuck::cast(sums);
        }
    }
}
