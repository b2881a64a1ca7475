//! A codebook of integer centroids: the vocabulary that every node agrees on.

use super::{MAX_EXPONENT, MIN_EXPONENT};
use crate::error::KernelError;

/// Most entries: an entry's id is stored as a u16.
pub(crate) const MAX_ENTRIES: usize = 1 << 16;
/// Most components: keeps |c|² of a centroid below 2^31 and every comparison within u128.
const MAX_DIM: usize = 1 << 16;

/// `len` centroids of `dim` codes in −127..=127 under one exponent: `c[i] = code · 2^exponent`.
///
/// Dot products and norms are integers, so the nearest entry of a vector is the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsensusCodebook {
    dim: u32,
    exponent: i8,
    codes: Vec<i8>,
    squared_norms: Vec<u32>,
    epoch: u64,
}

impl ConsensusCodebook {
    /// Greatest magnitude of a code.
    pub const MAX_CODE: i8 = i8::MAX;

    /// A codebook of no entries, which quantises nothing.
    #[must_use]
    pub const fn empty(dim: u32) -> Self {
        Self { dim, exponent: MIN_EXPONENT, codes: Vec::new(), squared_norms: Vec::new(), epoch: 0 }
    }

    /// A codebook from row-major codes. `epoch` counts replacements of the vocabulary.
    ///
    /// # Errors
    /// A dimension of 0 or above 65,536, more than 65,536 entries, codes that do not fill whole
    /// entries, a code of −128, or an exponent outside the delta range.
    pub fn new(dim: u32, exponent: i8, codes: Vec<i8>, epoch: u64) -> Result<Self, KernelError> {
        let width = dim as usize;
        if width == 0 {
            return Err(KernelError::ZeroDimension);
        }
        if width > MAX_DIM {
            return Err(KernelError::TooLarge { what: "codebook dimension", got: width, limit: MAX_DIM });
        }
        if !codes.len().is_multiple_of(width) {
            let expected = codes.len() / width * width;
            return Err(KernelError::LengthMismatch { what: "codes", got: codes.len(), expected });
        }
        if codes.len() / width > MAX_ENTRIES {
            let (got, limit) = (codes.len() / width, MAX_ENTRIES);
            return Err(KernelError::TooLarge { what: "codebook entries", got, limit });
        }
        if codes.contains(&i8::MIN) {
            return Err(KernelError::NotCanonical { what: "code out of range" });
        }
        if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
            return Err(KernelError::NotCanonical { what: "exponent out of range" });
        }
        let square = |code: &i8| u32::from(code.unsigned_abs()).pow(2);
        let squared_norms = codes.chunks_exact(width).map(|entry| entry.iter().map(square).sum()).collect();
        Ok(Self { dim, exponent, codes, squared_norms, epoch })
    }

    /// Components of each entry.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.squared_norms.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.squared_norms.is_empty()
    }

    /// The power of two that every code is multiplied by.
    #[must_use]
    pub const fn exponent(&self) -> i8 {
        self.exponent
    }

    /// How many times the vocabulary has been replaced.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Codes of entry `id`, if there is one.
    #[must_use]
    pub fn entry(&self, id: usize) -> Option<&[i8]> {
        (id < self.len()).then(|| self.codes_of(id))
    }

    /// Codes of an entry that exists.
    pub(crate) fn codes_of(&self, id: usize) -> &[i8] {
        let width = self.dim as usize;
        &self.codes[id * width..(id + 1) * width]
    }

    /// Codes of all entries, row-major.
    #[must_use]
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// |c|² of each entry, in units of 4^exponent.
    #[must_use]
    pub fn squared_norms(&self) -> &[u32] {
        &self.squared_norms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_shape_and_codes() {
        assert_eq!(
            ConsensusCodebook::new(2, 0, vec![3, 4, 0, -127], 1).unwrap().squared_norms(),
            [25, 16_129]
        );
        assert_eq!(ConsensusCodebook::new(0, 0, vec![], 0), Err(KernelError::ZeroDimension));
        assert!(ConsensusCodebook::new(2, 0, vec![1], 0).is_err());
        assert!(ConsensusCodebook::new(1, 0, vec![-128], 0).is_err());
        assert!(ConsensusCodebook::new(1, 17, vec![1], 0).is_err());
        assert!(ConsensusCodebook::new(1, 0, vec![1; 65_537], 0).is_err());
    }
}
