//! From a seed to numbers. The mapping is ours, so that a new version of a random-number crate cannot
//! change the data behind a published measurement.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers, the same for the same seed on every machine.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// The key of the cipher is the seed, little-endian, followed by zeros.
    pub(super) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `0..n`, or 0 for `n` = 0; the bias of a multiplication of 64 bits is below n/2⁶⁴.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Standard normal rounded to f32, never zero, as a value of a sparse row has to be.
    pub(super) fn sparse_value(&mut self) -> f32 {
        let value = self.normal() as f32;
        if value == 0.0 { 1.0 } else { value }
    }

    /// `count` distinct numbers of `0..n`, ascending; all of them where `count` ≥ `n`. Every set is equally likely.
    pub(super) fn distinct(&mut self, count: usize, n: u32) -> Vec<u32> {
        // Floyd's method: one draw per element, whatever the density.
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(n);
        let mut chosen = std::collections::BTreeSet::new();
        for last in n - count..n {
            let drawn = self.below(u64::from(last) + 1) as u32;
            if !chosen.insert(drawn) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().collect()
    }

    /// Puts a slice in random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let drawn = self.below(end as u64 + 1) as usize;
            items.swap(end, drawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_is_fixed() {
        let mut random = Random::new(1);
        assert_eq!((random.below(1_000), random.below(1_000)), (381, 294));
        assert_eq!(random.unit().to_bits(), 0x3fe98b4c7dccb49e);
        assert_ne!(Random::new(1).below(1_000), Random::new(2).below(1_000));
    }

    #[test]
    fn moments_of_the_normal() {
        let mut random = Random::new(7);
        let draws: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn distinct_is_ascending_uniform_and_never_too_long() {
        let mut random = Random::new(3);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            let chosen = random.distinct(3, 10);
            assert!(chosen.len() == 3 && chosen.is_sorted_by(|a, b| a < b));
            chosen.iter().for_each(|&i| seen[i as usize] += 1);
        }
        assert!(seen.iter().all(|&n| (2_850..3_150).contains(&n)), "{seen:?}");
        assert_eq!(random.distinct(9, 4), [0, 1, 2, 3]);
        assert!(random.distinct(1, 0).is_empty());
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(5).shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..100));
    }
}
