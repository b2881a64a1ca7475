//! Rows as `tile.wgsl` takes them: in fours, filled up to whole tiles, each with two secret weights.
//!
//! # The checksums
//! A kernel sums weight(i) · weight(j) · product(i, j) over all pairs of rows it computes, modulo 2³² and for both weights. As
//! products are linear in either row, the same numbers are those of one pair: the weighted sums of the rows of
//! each side (Freivalds 1977), which takes O(rows · dim) here instead of O(rows² · dim) there. The weights are odd, so
//! that one wrong product changes both sums for certain, whatever they are. Should several be wrong, by amounts whose
//! least power of two is 2^v, and m = 32 − v, then one checksum is right all the same with probability at most
//! m / 2^(m − 1): over the weights of one side, some row of the other meets a sum of errors whose lowest set bit lies t
//! places above v with probability 2^−t at most, and over that row's weight the total vanishes with 2^−(m − 1 − t). Both
//! are right with the square of that: below 2⁻⁵¹ where some error is odd.
//!
//! They cover the products, not what is decided from them.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use rayon::prelude::*;
use tensor_shaders::tile::{DEPTH, FOUR, Row, SIDE};

/// Bytes and bits of a word.
pub(super) const WORD_BYTES: usize = 4;
const WORD_BITS: usize = 32;

/// Rows of one side, or a part of them.
pub(super) struct TileRows {
    words: usize,
    rows: usize,
    element: Element,
    pub(super) fours: Vec<[u32; FOUR]>,
    /// One for every row, those that fill up included.
    pub(super) infos: Vec<Row>,
}

/// What words are made of.
#[derive(Debug, Clone, Copy)]
enum Element {
    Byte,
    Bit,
}

/// For both weights Σ weight · row, by position.
#[derive(Debug, Clone, Default)]
pub(super) struct WeightedSums([Vec<u32>; 2]);

impl WeightedSums {
    /// Adds those of other rows.
    pub(super) fn add(mut self, other: &Self) -> Self {
        for (sums, other) in self.0.iter_mut().zip(&other.0) {
            sums.resize(sums.len().max(other.len()), 0);
            for (sum, other) in sums.iter_mut().zip(other) {
                *sum = sum.wrapping_add(*other);
            }
        }
        self
    }

    /// The checksums of all pairs of one of the rows and this one, of signed bytes, which has no weights of its own.
    pub(super) fn checksums_with(&self, row: &[i8]) -> [u32; 2] {
        std::array::from_fn(|k| {
            let products = self.0[k].iter().zip(row);
            products
                .fold(0, |sum: u32, (a, &b)| sum.wrapping_add(a.wrapping_mul(i32::from(b).cast_unsigned())))
        })
    }

    /// The checksums of all pairs of a row of either side.
    pub(super) fn checksums(&self, other: &Self) -> [u32; 2] {
        std::array::from_fn(|k| {
            let products = self.0[k].iter().zip(&other.0[k]).map(|(a, b)| a.wrapping_mul(*b));
            products.fold(0, u32::wrapping_add)
        })
    }
}

impl TileRows {
    /// Rows of `dim` signed bytes, filled up to a multiple of `multiple` tiles. `fill` writes a row, which is zero before, and
    /// returns its value.
    pub(super) fn bytes(
        rows: usize,
        dim: usize,
        multiple: usize,
        fill: impl Fn(usize, &mut [i8]) -> i32 + Sync,
    ) -> Self {
        let words = Self::words_of_bytes(dim);
        let row_words = |row, words: &mut [u32]| {
            let bytes: &mut [i8] = bytemuck::cast_slice_mut(words);
            let value = fill(row, &mut bytes[..dim]);
            // The first byte is the lowest of its word, as kernels see it.
            words.iter_mut().for_each(|word| *word = u32::from_le(*word));
            value
        };
        Self::pack((rows, words, Element::Byte), multiple, row_words)
    }

    /// Rows of `dim` bits. The value of a row is how many are set: `fill` gives their positions, below `dim`.
    pub(super) fn bits<'a>(rows: usize, dim: usize, fill: impl Fn(usize) -> &'a [u32] + Sync) -> Self {
        let words = Self::words_of_bits(dim);
        let row_words = |row, words: &mut [u32]| {
            let positions = fill(row);
            for &position in positions {
                words[position as usize / WORD_BITS] |= 1 << (position % 32);
            }
            // At most `dim`, which the callers keep to 2^16.
            (positions.len() as u32).cast_signed()
        };
        Self::pack((rows, words, Element::Bit), 1, row_words)
    }

    fn pack(
        (rows, words, element): (usize, usize, Element),
        multiple: usize,
        fill: impl Fn(usize, &mut [u32]) -> i32 + Sync,
    ) -> Self {
        let padded = rows.next_multiple_of(multiple * SIDE);
        let secret = Secret::new();
        let mut fours = vec![[0; FOUR]; padded / FOUR * words];
        let mut infos = vec![Row::default(); padded];
        // A tile at a time.
        let tiles = fours.par_chunks_mut(SIDE / FOUR * words).zip(infos.par_chunks_mut(SIDE)).enumerate();
        tiles.for_each(|(tile, (fours, infos))| {
            let mut row_words = vec![0; words];
            for (slot, info) in infos.iter_mut().enumerate() {
                let row = tile * SIDE + slot;
                info.weights = secret.weights(row);
                if row < rows {
                    row_words.fill(0);
                    info.value = fill(row, &mut row_words);
                    for (at, &word) in row_words.iter().enumerate() {
                        fours[slot / FOUR * words + at][slot % FOUR] = word;
                    }
                }
            }
        });
        Self { words, rows, element, fours, infos }
    }

    /// The weighted sums of all rows.
    pub(super) fn sums(&self) -> WeightedSums {
        self.sums_of(0..self.tiles())
    }

    /// The same of the rows of some tiles.
    pub(super) fn sums_of(&self, tiles: Range<usize>) -> WeightedSums {
        let positions = self.words * self.element.per_word();
        let nothing = || WeightedSums(std::array::from_fn(|_| vec![0; positions]));
        let sums = tiles.into_par_iter().fold(nothing, |mut sums, tile| {
            for row in tile * SIDE..(tile + 1) * SIDE {
                let words = self.fours[row / FOUR * self.words..].iter().take(self.words);
                for (k, weight) in self.infos[row].weights.into_iter().enumerate() {
                    let sums = sums.0[k].chunks_exact_mut(self.element.per_word());
                    for (sums, four) in sums.zip(words.clone()) {
                        self.element.add(four[row % FOUR], weight, sums);
                    }
                }
            }
            sums
        });
        sums.reduce(WeightedSums::default, |sums, other| sums.add(&other))
    }

    /// Words of a row of `dim` bytes.
    pub(super) const fn words_of_bytes(dim: usize) -> usize {
        dim.div_ceil(WORD_BYTES).next_multiple_of(DEPTH)
    }

    /// Words of a row of `dim` bits.
    pub(super) const fn words_of_bits(dim: usize) -> usize {
        dim.div_ceil(WORD_BITS).next_multiple_of(DEPTH)
    }

    /// Words of a row.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Rows without padding.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Tiles of all rows.
    pub(super) fn tiles(&self) -> usize {
        self.infos.len() / SIDE
    }
}

impl Element {
    const fn per_word(self) -> usize {
        match self {
            Self::Byte => WORD_BYTES,
            Self::Bit => WORD_BITS,
        }
    }

    /// Adds the elements of a word, times a weight, each to its own sum.
    fn add(self, word: u32, weight: u32, sums: &mut [u32]) {
        match self {
            Self::Byte => {
                for (sum, byte) in sums.iter_mut().zip(word.to_le_bytes()) {
                    let byte = i32::from(byte.cast_signed()).cast_unsigned();
                    *sum = sum.wrapping_add(weight.wrapping_mul(byte));
                }
            }
            Self::Bit => {
                let mut rest = word;
                while rest != 0 {
                    let sum = &mut sums[rest.trailing_zeros() as usize];
                    *sum = sum.wrapping_add(weight);
                    rest &= rest - 1;
                }
            }
        }
    }
}

/// Numbers that a device cannot have met before, made from the standard library's source of unpredictable ones. None of
/// them reaches a result.
pub(super) struct Secret(u64);

impl Secret {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }

    /// Two odd numbers for a row: the halves of a SplitMix64 output.
    pub(super) fn weights(&self, row: usize) -> [u32; 2] {
        let mut z = self.0.wrapping_add((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        [(z >> 32) as u32 | 1, z as u32 | 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_four_rows_lie_side_by_side() {
        let rows = TileRows::bytes(5, 5, 1, |row, bytes| {
            bytes.fill(row as i8 + 1);
            7
        });
        assert_eq!((rows.words(), rows.rows(), rows.tiles(), rows.fours.len()), (16, 5, 1, 16 * 16));
        assert_eq!(rows.fours[0], [0x0101_0101, 0x0202_0202, 0x0303_0303, 0x0404_0404]);
        assert_eq!(rows.fours[1], [1, 2, 3, 4], "the fifth byte");
        assert_eq!(rows.fours[16], [0x0505_0505, 0, 0, 0], "the fifth row");
        assert_eq!(rows.infos.iter().map(|info| info.value).sum::<i32>(), 5 * 7);
    }

    #[test]
    fn checksums_are_those_of_all_pairs() {
        let byte = |row: usize, at: usize| (((row * 37 + at * 101 + 5) % 255) as u8).cast_signed();
        let fill = |row: usize, bytes: &mut [i8]| {
            bytes.iter_mut().enumerate().for_each(|(at, out)| *out = byte(row, at));
            0
        };
        let (left, right) = (TileRows::bytes(70, 9, 1, fill), TileRows::bytes(3, 9, 4, fill));
        let mut expected = [0u32; 2];
        for (i, row) in left.infos[..70].iter().enumerate() {
            for (j, other) in right.infos[..3].iter().enumerate() {
                let product = (0..9).map(|at| i32::from(byte(i, at)) * i32::from(byte(j, at))).sum::<i32>();
                for (k, sum) in expected.iter_mut().enumerate() {
                    let weight = row.weights[k].wrapping_mul(other.weights[k]);
                    *sum = sum.wrapping_add(weight.wrapping_mul(product.cast_unsigned()));
                }
            }
        }
        assert_eq!(left.sums().checksums(&right.sums()), expected);
    }

    #[test]
    fn checksums_of_bits_are_those_of_shared_positions() {
        let rows = [vec![0u32, 5, 33], vec![5, 33, 700], vec![]];
        let packed = TileRows::bits(3, 701, |row| &rows[row]);
        assert_eq!(packed.infos[..3].iter().map(|info| info.value).collect::<Vec<_>>(), [3, 3, 0]);
        let shared = [[3u32, 2, 0], [2, 3, 0], [0, 0, 0]];
        let mut expected = [0u32; 2];
        for (i, shared) in shared.iter().enumerate() {
            for (j, &shared) in shared.iter().enumerate() {
                for (k, sum) in expected.iter_mut().enumerate() {
                    let weight = packed.infos[i].weights[k].wrapping_mul(packed.infos[j].weights[k]);
                    *sum = sum.wrapping_add(weight.wrapping_mul(shared));
                }
            }
        }
        assert_eq!(packed.sums().checksums(&packed.sums()), expected);
    }

    #[test]
    fn weights_are_odd_and_differ() {
        let secret = Secret::new();
        let weights: std::collections::BTreeSet<_> = (0..1000).map(|row| secret.weights(row)).collect();
        assert_eq!(weights.len(), 1000);
        assert!(weights.iter().flatten().all(|weight| weight % 2 == 1));
    }
}
