//! Dot products of signed bytes by themselves: VNNI in registers, AMX in tile registers.

#![expect(unsafe_code, reason = "tile instructions exist only as assembly")]

use std::arch::asm;
use std::arch::x86_64::__m512i;

use super::SUMS;
use crate::isa::Level;
use crate::simd::amx::Amx;
use crate::simd::vnni::Vnni;

/// Keeps the dot-product unit busy; `None` below `Avx512Vnni`.
pub(super) fn dots(level: Level, rounds: u64) -> Option<u64> {
    let token = match level {
        Level::Avx512Vnni(_, token) => token,
        Level::Amx(_, amx) => amx.vnni(),
        _ => return None,
    };
    token.vectorize(Dots { token, rounds });
    Some(2 * 64 * SUMS as u64 * rounds)
}

/// Keeps the tile unit busy; `None` below `Amx`.
pub(super) fn tiles(level: Level, rounds: u64) -> Option<u64> {
    let Level::Amx(_, amx) = level else { return None };
    Some(2 * 16 * 16 * 64 * multiply_tiles(amx, rounds))
}

struct Dots {
    token: Vnni,
    rounds: u64,
}

impl pulp::NullaryFnOnce for Dots {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let ones: __m512i = bytemuck::cast(std::hint::black_box([1i32; 16]));
        let mut sums = [ones; SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = self.token.dot4(*sum, ones, ones);
            }
        }
        for sum in sums {
            std::hint::black_box(bytemuck::cast::<_, [i32; 16]>(sum));
        }
    }
}

/// `rounds` times four tile products into four different tiles; returns the number of products.
fn multiply_tiles(amx: Amx, rounds: u64) -> u64 {
    let _configured = amx.configure();
    if rounds > 0 {
        // SAFETY: `amx` proves that the instructions exist and are allowed, and the tiles are configured. No
        // memory is touched; the loop counts down from a number above 0.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "tilezero tmm4",
                "tilezero tmm5",
                "2:",
                "tdpbsud tmm0, tmm4, tmm5",
                "tdpbsud tmm1, tmm4, tmm5",
                "tdpbsud tmm2, tmm4, tmm5",
                "tdpbsud tmm3, tmm4, tmm5",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                options(nostack, nomem),
            );
        }
    }
    4 * rounds
}
