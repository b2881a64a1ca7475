//! What conflict kernels need of a batch, the same for f32 rows and for deltas.

use std::borrow::Cow;

use super::{CodePair, FloatPair, PairView, SquaredNorm, shared_values};
use crate::types::{KeyRelation, relation};
use crate::{ConflictList, ConflictPair, DeltaBatch, KeySets, SparseBatch};

/// A batch of sparse rows whose pairs can be judged.
pub(crate) trait JudgedRows: Sync {
    /// A row's squared norm and its root.
    type Norm: Copy + Send + Sync;

    fn rows(&self) -> usize;
    fn indptr(&self) -> &[usize];
    fn indices(&self) -> &[u32];
    /// All values as f32, exactly. A row's values may share a power of two that is left out: it
    /// cancels in a cosine.
    fn scaled_values(&self) -> Cow<'_, [f32]>;
    fn norm(&self, row: usize) -> Self::Norm;
    /// The norm in f64, in the scale of [`scaled_values`](Self::scaled_values).
    fn root(norm: Self::Norm) -> f64;
    /// The pair of row `left.0` and row `right.0` of `other`, given the f64 sum, in ascending position, of the
    /// products of their scaled values.
    fn pair<'a>(
        &'a self,
        left: (usize, Self::Norm),
        other: &'a Self,
        right: (usize, Self::Norm),
        dot: f64,
    ) -> impl PairView + 'a;

    /// The f64 sum, in ascending position, of the products of scaled values.
    fn dot(&self, row: usize, other: &Self, other_row: usize) -> f64;

    fn row_len(&self, row: usize) -> usize {
        self.indptr()[row + 1] - self.indptr()[row]
    }

    fn row_indices(&self, row: usize) -> &[u32] {
        &self.indices()[self.indptr()[row]..self.indptr()[row + 1]]
    }
}

impl JudgedRows for SparseBatch<'_> {
    type Norm = SquaredNorm<f64>;

    fn rows(&self) -> usize {
        SparseBatch::rows(self)
    }

    fn indptr(&self) -> &[usize] {
        SparseBatch::indptr(self)
    }

    fn indices(&self) -> &[u32] {
        SparseBatch::indices(self)
    }

    fn scaled_values(&self) -> Cow<'_, [f32]> {
        Cow::Borrowed(self.values())
    }

    fn norm(&self, row: usize) -> Self::Norm {
        SquaredNorm::of_values(self.row(row).1)
    }

    fn root(norm: Self::Norm) -> f64 {
        norm.root
    }

    fn dot(&self, row: usize, other: &Self, other_row: usize) -> f64 {
        let products = shared_values(self.row(row), other.row(other_row));
        products.fold(0.0, |sum, (x, y)| sum + f64::from(x) * f64::from(y))
    }

    fn pair<'a>(
        &'a self,
        (i, left): (usize, Self::Norm),
        other: &'a Self,
        (j, right): (usize, Self::Norm),
        dot: f64,
    ) -> impl PairView + 'a {
        FloatPair::new(dot, (left, right), self.row(i), other.row(j))
    }
}

impl JudgedRows for DeltaBatch {
    type Norm = SquaredNorm<u64>;

    fn rows(&self) -> usize {
        DeltaBatch::rows(self)
    }

    fn indptr(&self) -> &[usize] {
        DeltaBatch::indptr(self)
    }

    fn indices(&self) -> &[u32] {
        DeltaBatch::indices(self)
    }

    fn scaled_values(&self) -> Cow<'_, [f32]> {
        Cow::Owned(self.codes().iter().map(|&code| f32::from(code)).collect())
    }

    fn norm(&self, row: usize) -> Self::Norm {
        SquaredNorm::of_codes(self.row(row).1)
    }

    fn root(norm: Self::Norm) -> f64 {
        norm.root
    }

    fn dot(&self, row: usize, other: &Self, other_row: usize) -> f64 {
        let products = shared_values(self.row(row), other.row(other_row));
        products.fold(0.0, |sum, (x, y)| sum + f64::from(x) * f64::from(y))
    }

    fn pair<'a>(
        &'a self,
        (i, left): (usize, Self::Norm),
        other: &'a Self,
        (j, right): (usize, Self::Norm),
        dot: f64,
    ) -> impl PairView + 'a {
        // Codes are below 2^15 and rows have at most 2^20 of them: every partial sum is an integer
        // below 2^50, so f64 held the dot product exactly.
        #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^50")]
        let dot = dot as i64;
        CodePair { dot, left, right, exponents: (self.exponents()[i], other.exponents()[j]) }
    }
}

/// Two batches to be compared pair by pair, or one batch with itself (then each pair once).
pub(crate) struct Comparison<'a, B> {
    pub(crate) left: &'a B,
    pub(crate) right: &'a B,
    /// Whether right is left: only pairs i < j count.
    pub(crate) triangle: bool,
    /// Write keys of the left and right rows; `None` means that no two rows share a key.
    pub(crate) keys: Option<(&'a KeySets, &'a KeySets)>,
}

impl<B: JudgedRows> Comparison<'_, B> {
    /// How the keys of a pair stand to each other.
    pub(crate) fn key_relation(&self, i: usize, j: usize) -> KeyRelation {
        self.keys.map_or(KeyRelation::Disjoint, |(left, right)| relation(left.row(i), right.row(j)))
    }

    /// Number of pairs.
    pub(crate) fn pairs(&self) -> u64 {
        let (left, right) = (self.left.rows() as u64, self.right.rows() as u64);
        if self.triangle { left * left.saturating_sub(1) / 2 } else { left * right }
    }

    /// The result of this comparison: the pairs that are not orthogonal, in order.
    pub(crate) fn list(&self, pairs: Vec<ConflictPair>) -> ConflictList {
        let (left, right) = (self.left.rows(), self.right.rows());
        if self.triangle {
            ConflictList::triangle(left, pairs)
        } else {
            ConflictList::cross(left, right, pairs)
        }
    }
}
