//! The class of every pair of a batch, one byte a pair.

use std::ops::Range;

use super::{ConflictClass, ConflictList, ConflictPair, Rule};
use crate::aligned::AlignedBuf;
use crate::error::KernelError;

/// Rows whose entries begin at the same column.
pub(crate) const BLOCK: usize = 32;

/// Classes of all pairs i < j of one batch. About `rows² / 2` bytes, whatever the classes; where few pairs
/// matter a [`ConflictList`] is smaller.
///
/// Each byte holds the number of the rule that decided, or 0 for an orthogonal pair. Rows lie in blocks of 32,
/// and the rows of a block begin at the column of its first row.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMatrix {
    shape: Shape,
    rules: AlignedBuf<u8>,
}

impl ClassMatrix {
    /// All pairs orthogonal: memory for [`cosine_classes_into`](crate::Kernels::cosine_classes_into).
    ///
    /// Where memory is exhausted it ends the process, like `vec![0; n]`.
    ///
    /// # Errors
    /// More than `u32::MAX` rows, or more pairs than memory can address.
    pub fn orthogonal(rows: usize) -> Result<Self, KernelError> {
        let limit = u32::MAX as usize;
        let shape = Shape::new(rows.min(limit));
        if rows > limit || shape.start(shape.blocks()) > isize::MAX.unsigned_abs() {
            return Err(KernelError::TooLarge { what: "rows", got: rows, limit });
        }
        Ok(Self::of(rows))
    }

    /// The same for rows that were counted before.
    pub(crate) fn of(rows: usize) -> Self {
        let shape = Shape::new(rows);
        Self { shape, rules: AlignedBuf::zeroed(shape.start(shape.blocks())) }
    }

    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn rules_mut(&mut self) -> &mut [u8] {
        &mut self.rules
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.shape.rows
    }

    /// The class of a pair of different rows, in either order; `None` where a row does not exist or both are one.
    #[must_use]
    pub fn class_of(&self, a: usize, b: usize) -> Option<ConflictClass> {
        let (i, j) = (a.min(b), a.max(b));
        if j >= self.shape.rows || i == j {
            return None;
        }
        Some(class_of_rule(self.rules[self.shape.position(i, j)]))
    }

    /// Number of pairs of a class.
    #[must_use]
    pub fn count(&self, class: ConflictClass) -> u64 {
        let of = |rule: u8| u64::from(rule != 0 && class_of_rule(rule) == class);
        // Bytes that are no pair hold 0.
        let listed: u64 = match class {
            ConflictClass::Orthogonal => self.rules.iter().map(|&rule| u64::from(rule != 0)).sum(),
            _ => self.rules.iter().map(|&rule| of(rule)).sum(),
        };
        let rows = self.shape.rows as u64;
        if class == ConflictClass::Orthogonal { rows * rows.saturating_sub(1) / 2 - listed } else { listed }
    }

    /// The pairs that are not orthogonal.
    #[must_use]
    pub fn to_list(&self) -> ConflictList {
        let mut pairs = Vec::new();
        self.shape.list(0..self.shape.blocks(), &self.rules, &mut pairs);
        self.shape.conflict_list(pairs)
    }
}

/// The class that the rules for directions give by each of their numbers.
pub(crate) fn class_of_rule(rule: u8) -> ConflictClass {
    match rule {
        4 | 7 => ConflictClass::Conflicting,
        9 => ConflictClass::LowConflict,
        _ => ConflictClass::Orthogonal,
    }
}

/// Where the pairs of a batch lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    rows: usize,
}

impl Shape {
    pub(crate) const fn new(rows: usize) -> Self {
        Self { rows }
    }

    pub(crate) const fn blocks(self) -> usize {
        self.rows.div_ceil(BLOCK)
    }

    /// Columns that the rows of a block have.
    pub(crate) const fn width(self, block: usize) -> usize {
        (self.blocks() - block) * BLOCK
    }

    /// Where a block begins, or ends where it is one behind the last.
    pub(crate) const fn start(self, block: usize) -> usize {
        // Σ width(b) · BLOCK for b < block. One of the two factors is even.
        (2 * self.blocks() + 1 - block) * block / 2 * BLOCK * BLOCK
    }

    /// Where the pair i < j lies.
    pub(crate) const fn position(self, i: usize, j: usize) -> usize {
        let block = i / BLOCK;
        self.start(block) + i % BLOCK * self.width(block) + j - block * BLOCK
    }

    /// Appends the pairs of some blocks that are not orthogonal; `rules` begins with the first of them.
    pub(crate) fn list(self, blocks: Range<usize>, rules: &[u8], pairs: &mut Vec<ConflictPair>) {
        let mut rest = rules;
        for block in blocks {
            let (own, behind) = rest.split_at(self.width(block) * BLOCK);
            for (lane, row) in own.chunks_exact(self.width(block)).enumerate() {
                for (word, eight) in row.as_chunks::<8>().0.iter().enumerate() {
                    let mut left = u64::from_le_bytes(*eight);
                    while left != 0 {
                        let byte = left.trailing_zeros() / 8;
                        let rule = eight[byte as usize];
                        left &= !(0xFF << (8 * byte));
                        #[expect(
                            clippy::cast_possible_truncation,
                            reason = "batches have at most u32::MAX rows"
                        )]
                        let [i, j] = [block * BLOCK + lane, block * BLOCK + word * 8 + byte as usize]
                            .map(|row| row as u32);
                        pairs.push(ConflictPair {
                            left: i,
                            right: j,
                            class: class_of_rule(rule),
                            rule: Rule::new(rule),
                        });
                    }
                }
            }
            rest = behind;
        }
    }

    pub(crate) fn conflict_list(self, pairs: Vec<ConflictPair>) -> ConflictList {
        ConflictList::triangle(self.rows, pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_own_place_and_is_listed_in_order() {
        for rows in [0, 1, 2, 31, 32, 33, 64, 100, 161] {
            let mut matrix = ClassMatrix::of(rows);
            let shape = matrix.shape();
            let mut expected = Vec::new();
            for i in 0..rows {
                for j in i + 1..rows {
                    let rule = [0, 4, 7, 9][(i * 7 + j) % 4];
                    let place = &mut matrix.rules_mut()[shape.position(i, j)];
                    assert_eq!(*place, 0, "{i} {j} of {rows}");
                    *place = rule;
                    if rule != 0 {
                        expected.push((i as u32, j as u32, rule));
                    }
                    assert_eq!(matrix.class_of(j, i), Some(class_of_rule(rule)));
                }
                assert_eq!(matrix.class_of(i, i), None);
            }
            let list = matrix.to_list();
            let got: Vec<_> = list.pairs().iter().map(|p| (p.left, p.right, p.rule.number())).collect();
            assert_eq!(got, expected);
            for class in ConflictClass::ALL {
                assert_eq!(matrix.count(class), list.count(class), "{class}");
            }
        }
    }
}
