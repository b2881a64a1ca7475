//! A random checksum of every row: what a device's sums must add up to, known without making them.
//!
//! For a pair (i, j) the kernel makes hh = high·high, m = high·low + low·high, ll = low·low and the number s of shared
//! positions. Into the checksum of row i goes w(i, j) = hh + μm + λll + σs, times a weight r(j), all modulo 2³²:
//! c(i) = Σⱼ r(j) w(i, j). Each part is linear in row j, so the same number comes from the weighted sum of all
//! right rows, met by row i once (Freivalds 1977): O(entries) instead of O(rows² · dim).
//!
//! μ, λ and σ are drawn anew for every call, weights whenever rows go to the device, and there are two independent ones
//! a column. If some w(i, j) are wrong, by amounts of which the one divisible by the least power of two is divisible by 2^v, a checksum
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

/// μ, λ and σ; σ is 0 where shared positions are not counted.
pub(super) type Mix = [u32; 3];

/// μ, λ and σ that a device cannot have met before.
pub(super) fn draw_mix() -> Mix {
    let mut draws = draws();
    std::array::from_fn(|_| draws.next_u32())
}

/// Two such weights for each of so many rows.
pub(super) fn draw_columns(rows: usize) -> Vec<[u32; 2]> {
    let mut draws = draws();
    (0..rows).map(|_| [draws.next_u32(), draws.next_u32()]).collect()
}

/// Seeded by the standard library's own source of unpredictable numbers; none of them reaches a result.
fn draws() -> ChaCha8Rng {
    let mut seed = [0; 32];
    for word in seed.as_chunks_mut::<8>().0 {
        *word = RandomState::new().hash_one(0u8).to_le_bytes();
    }
    ChaCha8Rng::from_seed(seed)
}

/// The checksums of left rows that have met all of the right rows.
pub(super) fn of_rectangle(left: CodedRows<'_>, right: &Sums, mix: Mix) -> Vec<[u32; 2]> {
    (0..left.rows()).into_par_iter().map(|row| right.checksum(left, row, mix)).collect()
}

/// The checksums of rows of which each has met the columns from its own block of [`SIDE`] on.
pub(super) fn of_triangle(rows: CodedRows<'_>, columns: &[[u32; 2]], mix: Mix) -> Vec<[u32; 2]> {
    let mut sums = Sums::of_parts(rows, columns);
    // Of each part and all behind it.
    for part in (1..sums.len()).rev() {
        let (before, behind) = sums.split_at_mut(part);
        before[part - 1].add_all(&behind[0]);
    }
    let nothing = Sums::new(rows.dim());
    let mut checksums = vec![[0; 2]; rows.rows()];
    checksums.par_chunks_mut(PART).enumerate().for_each(|(part, checksums)| {
        let mut sums = sums.get(part + 1).unwrap_or(&nothing).clone();
        let mut met = part_of(part, rows.rows()).end;
        for (row, checksum) in part_of(part, rows.rows()).zip(checksums).rev() {
            while met > row / SIDE * SIDE {
                met -= 1;
                sums.add(rows, met, columns);
            }
            *checksum = sums.checksum(rows, row, mix);
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
#[derive(Debug, Clone)]
pub(super) struct Sums(Vec<Sum>);

/// For each of the two weights.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    high: [u32; 2],
    low: [u32; 2],
    present: [u32; 2],
}

impl Sums {
    fn new(dim: usize) -> Self {
        Self(vec![Sum::default(); dim])
    }

    /// Of all rows.
    pub(super) fn of(right: CodedRows<'_>, columns: &[[u32; 2]]) -> Self {
        let mut sums = Self::new(right.dim());
        Self::of_parts(right, columns).iter().for_each(|part| sums.add_all(part));
        sums
    }

    /// Of each part of the rows.
    fn of_parts(right: CodedRows<'_>, columns: &[[u32; 2]]) -> Vec<Self> {
        let of_part = |part| {
            let mut sums = Self::new(right.dim());
            part_of(part, right.rows()).for_each(|column| sums.add(right, column, columns));
            sums
        };
        (0..right.rows().div_ceil(PART)).into_par_iter().map(of_part).collect()
    }

    fn add(&mut self, right: CodedRows<'_>, column: usize, columns: &[[u32; 2]]) {
        for Component { position, high, low } in right.components(column) {
            let sum = &mut self.0[position];
            for (k, weight) in columns[column].into_iter().enumerate() {
                sum.high[k] = sum.high[k].wrapping_add(weight.wrapping_mul(wrapped(high)));
                sum.low[k] = sum.low[k].wrapping_add(weight.wrapping_mul(wrapped(low)));
                sum.present[k] = sum.present[k].wrapping_add(weight);
            }
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            for k in [0, 1] {
                sum.high[k] = sum.high[k].wrapping_add(more.high[k]);
                sum.low[k] = sum.low[k].wrapping_add(more.low[k]);
                sum.present[k] = sum.present[k].wrapping_add(more.present[k]);
            }
        }
    }

    /// What a left row's pairs with all that was added weigh.
    fn checksum(&self, left: CodedRows<'_>, row: usize, [middle, lowest, shared]: Mix) -> [u32; 2] {
        let mut checksum = [0u32; 2];
        for Component { position, high, low } in left.components(row) {
            let (h, l, sum) = (wrapped(high), wrapped(low), &self.0[position]);
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
        columns: &[[u32; 2]],
        mix: Mix,
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
                        parts[3] += 1;
                    }
                }
                let factors = [1, mix[0], mix[1], mix[2]];
                let mixed = parts
                    .iter()
                    .zip(factors)
                    .fold(0u32, |sum, (&part, factor)| sum.wrapping_add((part as u32).wrapping_mul(factor)));
                std::array::from_fn(|k| sums[k].wrapping_add(columns[j][k].wrapping_mul(mixed)))
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
            let (columns, mix) = (draw_columns(rows.len().max(others.len())), draw_mix());
            prop_assert_eq!(
                of_rectangle(left, &Sums::of(right, &columns), mix), summed(left, right, false, &columns, mix)
            );
            prop_assert_eq!(of_triangle(left, &columns, mix), summed(left, left, true, &columns, mix));
        }
    }

    #[test]
    fn rows_of_more_than_one_part() {
        let codes: Vec<i8> = (0..2 * PART + 40).map(|row| ((row * 37 % 255) as u8).cast_signed()).collect();
        let rows = CodedRows::Bytes(ByteView::new(&codes, codes.len(), 1).unwrap());
        let (columns, mix) = (draw_columns(codes.len()), draw_mix());
        let sums = Sums::of(rows, &columns);
        assert_eq!(of_rectangle(rows, &sums, mix), summed(rows, rows, false, &columns, mix));
        assert_eq!(of_triangle(rows, &columns, mix), summed(rows, rows, true, &columns, mix));
    }
}
