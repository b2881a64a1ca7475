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
use rayon::prelude::*;
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

/// The checksums of all left rows. In a triangle a row meets the columns from its own block of [`SIDE`] on,
/// otherwise all of them.
pub(super) fn expected(
    left: CodedRows<'_>,
    right: CodedRows<'_>,
    triangle: bool,
    with_bits: bool,
    weights: &Weights,
) -> Vec<[u32; 2]> {
    let mut sums: Vec<Sums> = (0..right.rows().div_ceil(PART))
        .into_par_iter()
        .map(|part| {
            let mut sums = Sums::new(right.dim(), with_bits);
            part_of(part, right.rows()).for_each(|column| sums.add(right, column, weights));
            sums
        })
        .collect();
    // Of each part and all behind it.
    for part in (1..sums.len()).rev() {
        let (before, behind) = sums.split_at_mut(part);
        before[part - 1].add_all(&behind[0]);
    }
    let nothing = Sums::new(right.dim(), with_bits);
    let mut checksums = vec![[0; 2]; left.rows()];
    checksums.par_chunks_mut(PART).enumerate().for_each(|(part, checksums)| {
        let rows = part_of(part, left.rows()).zip(checksums);
        if triangle {
            let mut sums = sums.get(part + 1).unwrap_or(&nothing).clone();
            let mut met = part_of(part, right.rows()).end;
            for (row, checksum) in rows.rev() {
                while met > row / SIDE * SIDE {
                    met -= 1;
                    sums.add(right, met, weights);
                }
                *checksum = sums.checksum(left, row, weights);
            }
        } else {
            let sums = sums.first().unwrap_or(&nothing);
            rows.for_each(|(row, checksum)| *checksum = sums.checksum(left, row, weights));
        }
    });
    checksums
}

/// Rows that a thread takes at a time: whole blocks.
const PART: usize = 512;
const _: () = assert!(PART.is_multiple_of(SIDE));

fn part_of(part: usize, rows: usize) -> Range<usize> {
    part * PART..((part + 1) * PART).min(rows)
}

/// Weighted sums of right rows, position by position.
#[derive(Clone)]
struct Sums {
    positions: Vec<Sum>,
    /// 1 where shared positions count.
    present: u32,
}

/// For each of the two weights.
#[derive(Clone, Copy, Default)]
struct Sum {
    high: [u32; 2],
    low: [u32; 2],
    present: [u32; 2],
}

impl Sums {
    fn new(dim: usize, with_bits: bool) -> Self {
        Self { positions: vec![Sum::default(); dim], present: u32::from(with_bits) }
    }

    fn add(&mut self, right: CodedRows<'_>, column: usize, weights: &Weights) {
        for Component { position, high, low } in right.components(column) {
            let sum = &mut self.positions[position];
            for (k, weight) in weights.columns[column].into_iter().enumerate() {
                sum.high[k] = sum.high[k].wrapping_add(weight.wrapping_mul(wrapped(high)));
                sum.low[k] = sum.low[k].wrapping_add(weight.wrapping_mul(wrapped(low)));
                sum.present[k] = sum.present[k].wrapping_add(weight.wrapping_mul(self.present));
            }
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.positions.iter_mut().zip(&other.positions) {
            for k in [0, 1] {
                sum.high[k] = sum.high[k].wrapping_add(more.high[k]);
                sum.low[k] = sum.low[k].wrapping_add(more.low[k]);
                sum.present[k] = sum.present[k].wrapping_add(more.present[k]);
            }
        }
    }

    /// What a left row's pairs with all that was added weigh.
    fn checksum(&self, left: CodedRows<'_>, row: usize, weights: &Weights) -> [u32; 2] {
        let [middle, lowest, shared] = weights.mix;
        let mut checksum = [0u32; 2];
        for Component { position, high, low } in left.components(row) {
            let (h, l, sum) = (wrapped(high), wrapped(low), &self.positions[position]);
            for (k, checksum) in checksum.iter_mut().enumerate() {
                let mixed = h.wrapping_mul(sum.low[k]).wrapping_add(l.wrapping_mul(sum.high[k]));
                let parts = h
                    .wrapping_mul(sum.high[k])
                    .wrapping_add(middle.wrapping_mul(mixed))
                    .wrapping_add(lowest.wrapping_mul(l.wrapping_mul(sum.low[k])))
                    .wrapping_add(shared.wrapping_mul(sum.present[k]));
                *checksum = checksum.wrapping_add(parts);
            }
        }
        checksum
    }
}

/// A digit modulo 2³².
const fn wrapped(digit: i8) -> u32 {
    (digit as i32).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ByteView;
    use crate::{DeltaBatch, DeltaVector, MIN_EXPONENT};
    use proptest::prelude::*;

    /// What a sound kernel sums up, pair by pair.
    fn summed(
        left: CodedRows<'_>,
        right: CodedRows<'_>,
        triangle: bool,
        with_bits: bool,
        weights: &Weights,
    ) -> Vec<[u32; 2]> {
        let checksum = |i: usize| {
            let first = if triangle { i / SIDE * SIDE } else { 0 };
            (first..right.rows()).fold([0u32; 2], |sums, j| {
                let mut parts = [0i64; 4];
                for a in left.components(i) {
                    for b in right.components(j).filter(|b| b.position == a.position) {
                        let (ah, al) = (i64::from(a.high), i64::from(a.low));
                        let (bh, bl) = (i64::from(b.high), i64::from(b.low));
                        parts[0] += ah * bh;
                        parts[1] += ah * bl + al * bh;
                        parts[2] += al * bl;
                        parts[3] += i64::from(with_bits);
                    }
                }
                let factors = [1, weights.mix[0], weights.mix[1], weights.mix[2]];
                let mixed = parts
                    .iter()
                    .zip(factors)
                    .fold(0u32, |sum, (&part, factor)| sum.wrapping_add((part as u32).wrapping_mul(factor)));
                std::array::from_fn(|k| sums[k].wrapping_add(weights.columns[j][k].wrapping_mul(mixed)))
            })
        };
        (0..left.rows()).map(checksum).collect()
    }

    fn deltas(rows: &[Vec<i16>]) -> DeltaBatch {
        let vectors = rows.iter().map(|codes| {
            let kept = (0..).zip(codes).filter(|&(_, &code)| code != 0);
            let (positions, codes) = kept.unzip();
            DeltaVector::from_canonical(3, positions, codes, MIN_EXPONENT).unwrap()
        });
        DeltaBatch::pack(3, &vectors.collect::<Vec<_>>()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn checksums_are_the_sums_of_all_pairs(
            rows in prop::collection::vec(prop::collection::vec(-32_639i16..=32_639, 3), 0..70),
            others in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0), -300i16..300], 3), 0..70),
        ) {
            let (left, right) = (deltas(&rows), deltas(&others));
            let (left, right) = (CodedRows::Deltas(&left), CodedRows::Deltas(&right));
            let weights = Weights::draw(rows.len().max(others.len()));
            for with_bits in [false, true] {
                prop_assert_eq!(
                    expected(left, right, false, with_bits, &weights), summed(left, right, false, with_bits, &weights)
                );
                prop_assert_eq!(
                    expected(left, left, true, with_bits, &weights), summed(left, left, true, with_bits, &weights)
                );
            }
        }
    }

    #[test]
    fn rows_of_more_than_one_part() {
        let codes: Vec<i8> = (0..2 * PART + 40).map(|row| ((row * 37 % 255) as u8).cast_signed()).collect();
        let rows = CodedRows::Bytes(ByteView::new(&codes, codes.len(), 1).unwrap());
        let weights = Weights::draw(codes.len());
        for triangle in [false, true] {
            assert_eq!(
                expected(rows, rows, triangle, false, &weights),
                summed(rows, rows, triangle, false, &weights)
            );
        }
    }
}
