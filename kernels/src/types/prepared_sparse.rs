//! A sparse vector laid out to meet others quickly.
//!
//! Where two vectors share no position in 64, one AND of two words says so; where they do, the number of
//! bits before a position (its rank) says which entry stands there. Both are prepared once.

use super::SparseVec;
use crate::sparse_score::magnitude;

/// Up to this dimension every vector has presence bits: 64 words, eight vectors of 512 bits.
const ALWAYS_BITS: usize = 4_096;
/// Words that are compared at once; the bits of a vector fill whole groups.
pub(crate) const GROUP: usize = 8;

/// A [`SparseVec`] with its magnitude, and presence bits with ranks where they are not many more than its
/// entries: the input of [`Kernels::prepared_pair`](crate::Kernels::prepared_pair).
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedSparse {
    vector: SparseVec,
    magnitude: f64,
    /// Bit `i % 64` of word `i / 64` says whether component `i` is stored; empty for a vector without.
    bits: Vec<[u64; GROUP]>,
    /// Entries before each word.
    before: Vec<[u32; GROUP]>,
}

impl PreparedSparse {
    /// Prepares a vector. Cost: O(nnz + dim / 64) where it gets presence bits, O(nnz) otherwise.
    #[must_use]
    pub fn new(vector: SparseVec) -> Self {
        let magnitude = magnitude(vector.values());
        let dim = vector.dim() as usize;
        let groups =
            if dim <= ALWAYS_BITS || dim / 64 <= vector.nnz() { dim.div_ceil(64 * GROUP) } else { 0 };
        let (mut bits, mut before) = (vec![[0; GROUP]; groups], vec![[0; GROUP]; groups]);
        if groups > 0 {
            let words: &mut [u64] = bits.as_flattened_mut();
            for &index in vector.indices() {
                words[index as usize / 64] |= 1 << (index % 64);
            }
            let mut entries = 0;
            for (before, word) in before.as_flattened_mut().iter_mut().zip(&*words) {
                *before = entries;
                entries += word.count_ones();
            }
        }
        Self { vector, magnitude, bits, before }
    }

    /// The vector.
    #[must_use]
    pub const fn vector(&self) -> &SparseVec {
        &self.vector
    }

    /// √Σ xᵢ².
    #[must_use]
    pub const fn magnitude(&self) -> f64 {
        self.magnitude
    }

    /// Presence bits and the entries before each word, or nothing.
    pub(crate) fn ranks(&self) -> (&[[u64; GROUP]], &[[u32; GROUP]]) {
        (&self.bits, &self.before)
    }
}

/// What two sparse vectors have in common; each equals the [`Measure`](crate::Measure) of its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairScores {
    /// Positions that both store.
    pub shared: usize,
    /// Σ aᵢbᵢ.
    pub dot: f64,
    /// Σ aᵢbᵢ / (‖a‖ ‖b‖), in −1..=1; 0 where either vector is zero.
    pub cosine: f64,
    /// Shared positions / positions of either, in 0..=1; 1 for two zero vectors.
    pub jaccard: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_the_entries_before_each_word() {
        let indices = vec![0, 63, 64, 200, 511, 512, 767];
        let vector = SparseVec::new(768, indices.clone(), vec![1.0; 7]).unwrap();
        let prepared = PreparedSparse::new(vector);
        let (bits, before) = prepared.ranks();
        let (bits, before) = (bits.as_flattened(), before.as_flattened());
        assert_eq!((bits.len(), before.len()), (16, 16));
        for (entry, index) in indices.into_iter().enumerate() {
            let (word, bit) = (index as usize / 64, index % 64);
            assert!(bits[word] >> bit & 1 == 1);
            assert_eq!(before[word] + (bits[word] & ((1 << bit) - 1)).count_ones(), entry as u32);
        }
        assert_eq!(bits.iter().map(|word| word.count_ones()).sum::<u32>(), 7);
    }

    #[test]
    fn a_wide_vector_of_few_entries_has_no_bits() {
        let few = SparseVec::new(u32::MAX, vec![7], vec![1.0]).unwrap();
        assert!(PreparedSparse::new(few).ranks().0.is_empty());
        let dense_enough = SparseVec::new(6_400, (0..100).collect(), vec![1.0; 100]).unwrap();
        assert_eq!(PreparedSparse::new(dense_enough).ranks().0.len(), 13);
        assert!(PreparedSparse::new(SparseVec::zero(0)).ranks().0.is_empty());
    }
}
