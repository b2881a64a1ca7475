//! The bf16 dot product, two products a lane, by itself.

#![expect(
    unsafe_code,
    reason = "pulp has the token but no methods for bf16: its one instruction is called here"
)]

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps, _mm512_reduce_add_ps, _mm512_setzero_ps};

use super::SUMS;

pulp::simd_type! {
    /// Proof of AVX-512 with bf16 dot products.
    struct Bf16 {
        avx512f: "avx512f",
        avx512bf16: "avx512bf16",
    }
}

/// Keeps the unit busy; the number of operations, or `None` where the processor has no such unit.
pub(super) fn dots(rounds: u64) -> Option<u64> {
    let token = Bf16::try_new()?;
    token.vectorize(Dots { token, rounds });
    Some(2 * 2 * 16 * SUMS as u64 * rounds)
}

struct Dots {
    token: Bf16,
    rounds: u64,
}

impl Bf16 {
    /// sum + two products of each lane.
    #[inline(always)]
    fn dot2(self, sum: __m512, a: __m512bh, b: __m512bh) -> __m512 {
        // SAFETY: `self` proves that the processor has AVX-512 F and BF16.
        unsafe { _mm512_dpbf16_ps(sum, a, b) }
    }
}

impl pulp::NullaryFnOnce for Dots {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let ones = std::hint::black_box([0x3f80_u16; 32]);
        // SAFETY: `token` proves AVX-512 F; thirty-two bf16 fill a register, and any bits are bf16 numbers.
        let (zero, a) = unsafe { (_mm512_setzero_ps(), std::mem::transmute::<[u16; 32], __m512bh>(ones)) };
        let mut sums = [zero; SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = self.token.dot2(*sum, a, a);
            }
        }
        for sum in sums {
            // SAFETY: as above.
            std::hint::black_box(unsafe { _mm512_reduce_add_ps(sum) });
        }
    }
}
