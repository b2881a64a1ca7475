//! The proof value of AVX-512 with VNNI and its friends, and the tile product that uses it.

#![expect(
    unsafe_code,
    reason = "pulp has the token but no methods for VNNI: its one instruction is called here"
)]

use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32, _mm512_set1_epi32};

use super::stream::prefetch;
use super::tile::{Block, Dots, SIDE};

pulp::simd_type! {
    /// Proof of the AVX-512 sets that came with Ice Lake and Zen 4.
    pub(crate) struct Vnni {
        pub(crate) avx512f: "avx512f",
        pub(crate) avx512bw: "avx512bw",
        pub(crate) avx512vl: "avx512vl",
        pub(crate) avx512vnni: "avx512vnni",
        pub(crate) avx512vbmi: "avx512vbmi",
        pub(crate) avx512vbmi2: "avx512vbmi2",
        pub(crate) avx512bitalg: "avx512bitalg",
        pub(crate) avx512vpopcntdq: "avx512vpopcntdq",
    }
}

impl Vnni {
    /// The products of a block with one panel.
    #[inline(always)]
    pub(super) fn times(self, left: Block<'_>, panel: &[u8], dots: &mut Dots) {
        let mut first = 0;
        while first < left.rows {
            // Twelve rows fill the registers: 24 sums, two vectors of the panel, one broadcast.
            let step = match left.rows - first {
                12.. => self.rows::<12>(left, panel, first, dots),
                8..12 => self.rows::<8>(left, panel, first, dots),
                4..8 => self.rows::<4>(left, panel, first, dots),
                _ => self.rows::<1>(left, panel, first, dots),
            };
            first += step;
        }
    }

    /// The products of `R` rows from row `first` on; returns `R`.
    #[inline(always)]
    fn rows<const R: usize>(self, left: Block<'_>, panel: &[u8], first: usize, dots: &mut Dots) -> usize {
        self.vectorize(Rows::<R> { token: self, left, panel, first, dots });
        R
    }

    /// sum + Σ of four products of unsigned by signed bytes, in each 32-bit lane, modulo 2³².
    #[inline(always)]
    pub(super) fn dot4(self, sum: __m512i, unsigned: __m512i, signed: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has AVX-512 F and VNNI.
        unsafe { _mm512_dpbusd_epi32(sum, unsigned, signed) }
    }

    #[inline(always)]
    fn splat(self, value: i32) -> __m512i {
        // SAFETY: as in `dot4`.
        unsafe { _mm512_set1_epi32(value) }
    }
}

/// How far ahead of a single row panels are asked for.
const AHEAD: usize = 4096;

struct Rows<'a, const R: usize> {
    token: Vnni,
    left: Block<'a>,
    panel: &'a [u8],
    first: usize,
    dots: &'a mut Dots,
}

impl<const R: usize> pulp::NullaryFnOnce for Rows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { token, left, panel, first, dots } = self;
        let quads: &[[__m512i; 2]] = bytemuck::cast_slice(panel);
        let mut sums = [[token.splat(0); 2]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            *sums = [token.splat(left.starts[first + r][0]); 2];
        }
        let rows = left.words::<R>(first, quads.len());
        for (q, quad) in quads.iter().enumerate() {
            if R == 1 {
                // One row leaves the processor waiting for memory.
                prefetch(&quad[0], AHEAD);
                prefetch(&quad[1], AHEAD);
            }
            for r in 0..R {
                let four = token.splat(rows[r][q]);
                sums[r][0] = token.dot4(sums[r][0], quad[0], four);
                sums[r][1] = token.dot4(sums[r][1], quad[1], four);
            }
        }
        for (dots, sums) in dots[first..SIDE].iter_mut().zip(sums) {
            *dots = bytemuck::cast(sums);
        }
    }
}
