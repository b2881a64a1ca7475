//! Everything that a run decides, from one seed.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Another source, so that what draws from one does not shift what draws from the other.
    pub fn fork(&mut self) -> Self {
        Self::new(self.number())
    }

    /// A number of a range that is not empty. That a few come up a little more often than others does not matter.
    pub fn of(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.of(0..len as u64) as usize
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.of(0..100) < percent
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.index(of.len())].clone()) }
    }
}
