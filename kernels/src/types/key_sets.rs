//! Which keys the rows of a batch write, as numbers the caller has interned.

use super::check_indices;
use super::sparse_batch::check_row_pointers;
use crate::error::KernelError;

/// How the key sets of two rows stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyRelation {
    Disjoint,
    Overlapping,
    /// Equal and not empty.
    Equal,
}

/// The write keys of each row of a batch: ascending ids, equal ids meaning equal keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySets {
    indptr: Vec<usize>,
    ids: Vec<u32>,
}

impl KeySets {
    /// Key sets from each row's ids.
    ///
    /// # Errors
    /// Ids of a row that are not strictly ascending.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a [u32]>) -> Result<Self, KernelError> {
        let (mut indptr, mut ids) = (vec![0], Vec::new());
        for row in rows {
            check_indices(row, u32::MAX, ids.len())?;
            ids.extend_from_slice(row);
            indptr.push(ids.len());
        }
        check_row_pointers(&indptr, ids.len())?;
        Ok(Self { indptr, ids })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Ids of row `row`.
    pub(crate) fn row(&self, row: usize) -> &[u32] {
        &self.ids[self.indptr[row]..self.indptr[row + 1]]
    }
}

/// How two ascending id lists stand to each other.
pub(crate) fn relation(a: &[u32], b: &[u32]) -> KeyRelation {
    if a == b && !a.is_empty() {
        return KeyRelation::Equal;
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => return KeyRelation::Overlapping,
        }
    }
    KeyRelation::Disjoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations() {
        assert_eq!(relation(&[], &[]), KeyRelation::Disjoint);
        assert_eq!(relation(&[1, 3], &[1, 3]), KeyRelation::Equal);
        assert_eq!(relation(&[1, 3], &[2, 3]), KeyRelation::Overlapping);
        assert_eq!(relation(&[1], &[2, 3]), KeyRelation::Disjoint);
        assert!(KeySets::new([&[2, 1][..]]).is_err());
    }
}
