//! Loops that keep one execution unit or one level of memory busy and nothing else: the limits against
//! which the benchmark runner holds the operations.
//!
//! They live here because only this crate may open an instruction-set level. Sums are carried in as many
//! independent registers as hide the latency of one instruction.

use pulp::{Simd, WithSimd};

use crate::isa::{Isa, Level};
pub use copy::copy;

#[cfg(target_arch = "x86_64")]
mod bf16;
#[cfg(target_arch = "x86_64")]
mod bytes;
mod copy;

/// Independent sums: two units of latency four need eight, and sixteen still fit the registers.
const SUMS: usize = 12;

/// An execution unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// f32 multiply-add.
    F32,
    /// Dot product of bf16 pairs.
    Bf16,
    /// Dot product of four bytes (VNNI).
    Int8,
    /// Product of tiles of bytes (AMX).
    Int8Tile,
}

/// Keeps a unit busy for `rounds` rounds of the best loop of a level. Returns how many operations that was
/// (a multiply-add counts two), or `None` where the level has no such unit.
#[must_use]
pub fn arithmetic(isa: Isa, unit: Unit, rounds: u64) -> Option<u64> {
    let level = Level::open(isa)?;
    match unit {
        Unit::F32 => Some(level.dispatch(MultiplyAdd { rounds })),
        #[cfg(target_arch = "x86_64")]
        Unit::Bf16 if isa >= Isa::Avx512Vnni => bf16::dots(rounds),
        #[cfg(target_arch = "x86_64")]
        Unit::Int8 => bytes::dots(level, rounds),
        #[cfg(target_arch = "x86_64")]
        Unit::Int8Tile => bytes::tiles(level, rounds),
        #[cfg(not(target_arch = "x86_64"))]
        Unit::Int8 | Unit::Int8Tile => None,
        Unit::Bf16 => None,
    }
}

/// Reads every word once; the exclusive or of all, so that nothing can be left out.
#[must_use]
pub fn read(isa: Isa, words: &[u32]) -> Option<u32> {
    Some(Level::open(isa)?.dispatch(Read { words }))
}

/// Bits that two slices have in common, over the shorter length: load, and, count.
#[must_use]
pub fn common_bits(isa: Isa, left: &[u64], right: &[u64]) -> Option<u64> {
    match Level::open(isa)? {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni(_, vnni) => Some(vnni.vectorize(CommonBits { left, right })),
        #[cfg(target_arch = "x86_64")]
        Level::Amx(_, amx) => Some(amx.vnni().vectorize(CommonBits { left, right })),
        level => Some(level.dispatch(CommonBits { left, right })),
    }
}

struct MultiplyAdd {
    rounds: u64,
}

impl WithSimd for MultiplyAdd {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        // Factors that keep every sum finite, hidden from the compiler.
        let (a, b) = (std::hint::black_box(0.999), std::hint::black_box(0.001));
        let (a, b) = (simd.splat_f32s(a), simd.splat_f32s(b));
        let mut sums = [b; SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, a, b);
            }
        }
        let total = sums.into_iter().fold(b, |x, y| simd.add_f32s(x, y));
        std::hint::black_box(simd.reduce_sum_f32s(total));
        2 * SUMS as u64 * S::F32_LANES as u64 * self.rounds
    }
}

struct Read<'a> {
    words: &'a [u32],
}

impl WithSimd for Read<'_> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u32 {
        let (vectors, rest) = S::as_simd_u32s(self.words);
        let mut sums = [simd.splat_u32s(0); 8];
        let mut groups = vectors.chunks_exact(8);
        for group in &mut groups {
            for (sum, &vector) in sums.iter_mut().zip(group) {
                *sum = simd.xor_u32s(*sum, vector);
            }
        }
        for &vector in groups.remainder() {
            sums[0] = simd.xor_u32s(sums[0], vector);
        }
        let total = sums.into_iter().fold(simd.splat_u32s(0), |x, y| simd.xor_u32s(x, y));
        let lanes: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&total));
        lanes.iter().chain(rest).fold(0, |x, y| x ^ y)
    }
}

struct CommonBits<'a> {
    left: &'a [u64],
    right: &'a [u64],
}

// By way of pulp's own blanket this serves every level, the ones with a vector bit count among them.
impl pulp::NullaryFnOnce for CommonBits<'_> {
    type Output = u64;

    #[inline(always)]
    fn call(self) -> u64 {
        self.left.iter().zip(self.right).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_there_at_the_levels_that_have_it() {
        for isa in Isa::available() {
            assert_eq!(arithmetic(isa, Unit::F32, 10).is_some(), isa != Isa::Scalar);
            assert_eq!(arithmetic(isa, Unit::Int8Tile, 10).is_some(), isa == Isa::Amx);
            assert_eq!(arithmetic(isa, Unit::Int8, 10).is_some(), isa >= Isa::Avx512Vnni);
            assert!(arithmetic(isa, Unit::Bf16, 10).is_none() || isa >= Isa::Avx512Vnni);
            let (one, two) = (arithmetic(isa, Unit::F32, 1), arithmetic(isa, Unit::F32, 2));
            assert_eq!(one.map(|ops| 2 * ops), two);
        }
    }

    #[test]
    fn every_word_is_read_and_every_bit_counted() {
        let words: Vec<u32> = (0..1_003u32).map(|n| n.wrapping_mul(0x9E37_79B9)).collect();
        let (left, right): (Vec<u64>, Vec<u64>) =
            (0..1_003u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n << 20 | n)).unzip();
        let bits = left.iter().zip(&right).map(|(a, b)| u64::from((a & b).count_ones())).sum::<u64>();
        for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Scalar) {
            for len in [0, 1, 15, 127, 128, 1_003] {
                let expected = words[..len].iter().fold(0, |x, y| x ^ y);
                assert_eq!(read(isa, &words[..len]), Some(expected), "{isa} {len}");
            }
            let mut twin = vec![0; words.len()];
            copy(&words, &mut twin);
            assert_eq!(twin, words);
            assert_eq!(common_bits(isa, &left, &right), Some(bits), "{isa}");
        }
    }
}
