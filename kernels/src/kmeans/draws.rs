//! The random numbers of k-means++: ChaCha with 8 rounds and three stated mappings, so that a seed
//! means the same draws on every machine and in every later version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of a seed: its eight bytes, least significant first, then zeros, are the ChaCha key.
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The 64 bits of the next draw, whatever it is mapped to.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An integer below `n` (0 for `n` = 0): ⌊r · n / 2^64⌋ of one 64-bit `r`. No value is favoured by
    /// more than one part in 2^64 / `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // The product of two 64-bit numbers, shifted by 64, fits 64 bits.
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A multiple of 2^-53 in [0, 1): the upper 53 bits of one 64-bit number.
    pub(crate) fn unit(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
        // 53 bits are exact in f64.
        (self.bits() >> 11) as f64 * SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        let mut draws = Draws::new(0);
        // ChaCha8's published keystream for the zero key begins 3e 00 ef 2f 89 5f 40 d6.
        assert_eq!(draws.0.next_u64(), u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]));
    }

    #[test]
    fn draws_stay_in_range_and_reach_both_ends() {
        let mut draws = Draws::new(7);
        let small: Vec<u64> = (0..200).map(|_| draws.below(3)).collect();
        assert_eq!((small.iter().min(), small.iter().max()), (Some(&0), Some(&2)));
        assert!((0..200).map(|_| draws.unit()).all(|u| (0.0..1.0).contains(&u)));
        assert_eq!(draws.below(0), 0);
        assert!(draws.below(u64::MAX) < u64::MAX);
    }
}
