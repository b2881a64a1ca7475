//! Which rows of a corpus a search may return.

use crate::error::KernelError;

/// Rows of a word.
const WORD: usize = 32;

/// A set of rows of a corpus: one bit a row.
///
/// ```
/// let mut mask = tensor_kernels::RowMask::none(100);
/// mask.allow(7)?;
/// assert!(mask.allows(7) && !mask.allows(8));
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMask {
    rows: usize,
    /// Bit i of word w stands for row 32 w + i; bits behind the last row are 0.
    words: Vec<u32>,
}

impl RowMask {
    /// None of `rows` rows.
    #[must_use]
    pub fn none(rows: usize) -> Self {
        Self { rows, words: vec![0; rows.div_ceil(WORD)] }
    }

    /// The rows for which `allows` holds.
    #[must_use]
    pub fn from_fn(rows: usize, mut allows: impl FnMut(usize) -> bool) -> Self {
        let mut mask = Self::none(rows);
        for row in (0..rows).filter(|&row| allows(row)) {
            mask.words[row / WORD] |= 1 << (row % WORD);
        }
        mask
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`KernelError::NoSuchRow`].
    pub fn allow(&mut self, row: usize) -> Result<(), KernelError> {
        if row >= self.rows {
            return Err(KernelError::NoSuchRow { row, rows: self.rows });
        }
        self.words[row / WORD] |= 1 << (row % WORD);
        Ok(())
    }

    /// Number of rows of the corpus.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the row is there and in the set.
    #[must_use]
    pub fn allows(&self, row: usize) -> bool {
        self.words.get(row / WORD).is_some_and(|word| word >> (row % WORD) & 1 == 1)
    }

    /// The bits of rows 32 `word`, 32 `word` + 1, …
    pub(crate) fn word(&self, word: usize) -> u32 {
        self.words[word]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_rows_it_was_given_and_no_others() {
        for rows in [0, 1, 31, 32, 33, 100] {
            let mut mask = RowMask::from_fn(rows, |row| row % 3 == 0);
            assert!((0..rows + 40).all(|row| mask.allows(row) == (row < rows && row % 3 == 0)), "{rows}");
            assert_eq!(mask.allow(rows), Err(KernelError::NoSuchRow { row: rows, rows }));
            for row in 0..rows {
                mask.allow(row).unwrap();
            }
            assert!((0..rows + 40).all(|row| mask.allows(row) == (row < rows)), "{rows}");
        }
    }
}
