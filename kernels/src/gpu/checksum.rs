//! A random checksum of every row: what a device's sums must add up to, known without making them.
//!
//! For a pair (i, j) the kernel makes hh = high·high, m = high·low + low·high, ll = low·low and the number s of shared
//! positions. Into the checksum of row i goes w(i, j) = hh + μm + λll + σs, times a weight r(j), all modulo 2³²:
//! c(i) = Σⱼ r(j) w(i, j). Each part is linear in row j, so the same number comes from the weighted sum of all
//! right rows, met by row i once (Freivalds 1977): O(entries) instead of O(rows² · dim).
//!
//! μ, λ, σ and the weights are drawn anew for every call, and there are two independent weights a column. If some
//! w(i, j) are wrong, by amounts of which the one divisible by the least power of two is divisible by 2^v, a checksum
//! is right all the same with probability 2^(v−32), and both are with 2^(2v−64): 2⁻⁶⁴ for an odd error, 2⁻³² for a
//! multiple of 2¹⁶. Only errors that are multiples of 2³² cannot be seen, and no sum of a kernel is as large as that.
//! Errors in several parts of one pair cancel in w with probability 2⁻³² or less times the like power of two.
//!
//! What is decided from these sums, and written, is not covered: that is for the known answers and the counts.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_shaders::conflict_matrix::SIDE;

use super::coded_rows::{CodedRows, Component};

/// Weights that a device cannot have met before.
pub(super) struct Weights {
    /// Two for each right row.
    pub(super) columns: Vec<[u32; 2]>,
    /// μ, λ and σ.
    pub(super) mix: [u32; 3],
}

impl Weights {
    pub(super) fn draw(columns: usize) -> Self {
        // The standard library's own source of unpredictable numbers; none of them reaches a result.
        let mut seed = [0; 32];
        for word in seed.as_chunks_mut::<8>().0 {
            *word = RandomState::new().hash_one(0u8).to_le_bytes();
        }
        let mut draws = ChaCha8Rng::from_seed(seed);
        let mix = std::array::from_fn(|_| draws.next_u32());
        Self { columns: (0..columns).map(|_| [draws.next_u32(), draws.next_u32()]).collect(), mix }
    }
}

/// Weighted sums of right rows at one position.
#[derive(Clone, Copy, Default)]
struct Sums {
    high: [u32; 2],
    low: [u32; 2],
    present: [u32; 2],
}

/// The checksums of some left rows with some right rows. In a triangle a row meets the columns from its own
/// block of [`SIDE`] on.
pub(super) fn expected(
    (left, left_range): (CodedRows<'_>, Range<usize>),
    (right, right_range): (CodedRows<'_>, Range<usize>),
    triangle: bool,
    with_bits: bool,
    weights: &Weights,
) -> Vec<[u32; 2]> {
    let mut sums = vec![Sums::default(); right.dim()];
    let present = u32::from(with_bits);
    let mut checksums = vec![[0u32; 2]; left_range.len()];
    let mut met = right_range.end;
    for (row, checksum) in left_range.zip(&mut checksums).rev() {
        let first = if triangle { row / SIDE * SIDE } else { 0 }.max(right_range.start);
        while met > first {
            met -= 1;
            for Component { position, high, low } in right.components(met) {
                let sums = &mut sums[position];
                for (k, weight) in weights.columns[met].into_iter().enumerate() {
                    sums.high[k] = sums.high[k].wrapping_add(weight.wrapping_mul(wrapped(high)));
                    sums.low[k] = sums.low[k].wrapping_add(weight.wrapping_mul(wrapped(low)));
                    sums.present[k] = sums.present[k].wrapping_add(weight.wrapping_mul(present));
                }
            }
        }
        let [middle, lowest, shared] = weights.mix;
        for Component { position, high, low } in left.components(row) {
            let (h, l, sums) = (wrapped(high), wrapped(low), &sums[position]);
            for k in 0..2 {
                let mixed = h.wrapping_mul(sums.low[k]).wrapping_add(l.wrapping_mul(sums.high[k]));
                let parts = h
                    .wrapping_mul(sums.high[k])
                    .wrapping_add(middle.wrapping_mul(mixed))
                    .wrapping_add(lowest.wrapping_mul(l.wrapping_mul(sums.low[k])))
                    .wrapping_add(shared.wrapping_mul(sums.present[k]));
                checksum[k] = checksum[k].wrapping_add(parts);
            }
        }
    }
    checksums
}

/// A digit modulo 2³².
const fn wrapped(digit: i8) -> u32 {
    (digit as i32).cast_unsigned()
}
