//! The chain's questions to the kernels: which supplied deltas may not stand together.
//!
//! All that a block has to be asked is one question, so that a device has one submission to make of it.
//!
//! Two changesets whose deltas are compared never share a written key (the key rules come first), so
//! only the vectors decide, and the answer is exact on every backend.

use std::borrow::Cow;

use tensor_kernels::{
    ConflictInput, ConflictList, DeltaBatch, DeltaVector, KernelError, Kernels, Thresholds,
};

use crate::kernel_span::kernel_span;

/// Kernels, thresholds and dimension of one chain.
#[derive(Debug, Clone)]
pub(crate) struct Verdicts {
    kernels: Kernels,
    thresholds: Thresholds,
    dim: u32,
}

impl Verdicts {
    pub(crate) fn new(kernels: Kernels, thresholds: Thresholds, dim: u32) -> Self {
        Self { kernels, thresholds, dim }
    }

    pub(crate) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Pairs (earlier, later) of one list that may not both stand, ascending.
    pub(crate) fn clashes_within(&self, deltas: &[&DeltaVector]) -> Result<Vec<Clash>, KernelError> {
        Ok(self.clashes(deltas, &[], &[])?.0)
    }

    /// As [`clashes_within`](Self::clashes_within); and for each of the batches `right` the pairs (left, right) that
    /// may not both stand, ascending.
    pub(crate) fn clashes(
        &self,
        deltas: &[&DeltaVector],
        left: &[&DeltaVector],
        right: &[Cow<'_, DeltaBatch>],
    ) -> Result<(Vec<Clash>, Vec<Vec<Clash>>), KernelError> {
        if deltas.len() < 2 && (left.is_empty() || right.is_empty()) {
            return Ok(Default::default());
        }
        let (batch, left) = (self.pack(deltas)?, self.pack(left)?);
        let mut inputs = vec![ConflictInput::all_pairs((&batch).into(), None)?];
        for right in right {
            inputs.push(ConflictInput::cross((&left).into(), right.as_ref().into(), None)?);
        }
        let _span = kernel_span("conflict_matrix", batch.rows() + left.rows());
        let lists = self.kernels.conflict_matrices(&inputs, &self.thresholds).value;
        let mut clashes = lists.iter().map(rejected);
        Ok((clashes.next().unwrap_or_default(), clashes.collect()))
    }

    fn pack(&self, deltas: &[&DeltaVector]) -> Result<DeltaBatch, KernelError> {
        DeltaBatch::pack(self.dim, deltas.iter().copied())
    }
}

/// Positions of two deltas that may not both stand.
type Clash = (u32, u32);

fn rejected(list: &ConflictList) -> Vec<Clash> {
    let rejected = list.pairs().iter().filter(|pair| pair.class.should_reject());
    rejected.map(|pair| (pair.left, pair.right)).collect()
}

/// The cosine of two deltas for people to read; verdicts never use it. One f64 expression of exact
/// integers, so it is the same on every machine.
#[expect(clippy::cast_precision_loss, reason = "dot products and norms of deltas are below 2^50")]
pub(crate) fn similarity(a: &DeltaVector, b: &DeltaVector) -> f64 {
    let squared_norm = |v: &DeltaVector| v.codes().iter().map(|&c| i64::from(c) * i64::from(c)).sum::<i64>();
    let mut dot = 0_i64;
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.indices().get(i), b.indices().get(j)) {
        if x == y {
            dot += i64::from(a.codes()[i]) * i64::from(b.codes()[j]);
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    match (squared_norm(a), squared_norm(b)) {
        (0, _) | (_, 0) => 0.0,
        (a, b) => dot as f64 / ((a as f64).sqrt() * (b as f64).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor_kernels::SparseVec;

    fn delta(dense: &[f32]) -> DeltaVector {
        DeltaVector::from_sparse(&SparseVec::from_dense(dense).unwrap()).unwrap()
    }

    fn verdicts() -> Verdicts {
        Verdicts::new(Kernels::scalar().unwrap(), Thresholds::default(), 4)
    }

    #[test]
    fn the_same_direction_clashes_and_another_does_not() {
        let (x, y, also_x) =
            (delta(&[1.0, 0.0, 0.0, 0.0]), delta(&[0.0, 1.0, 0.0, 0.0]), delta(&[9.0, 0.0, 0.0, 0.0]));
        assert_eq!(verdicts().clashes_within(&[&x, &y, &also_x]).unwrap(), [(0, 2)]);
        let right = [Cow::Owned(DeltaBatch::pack(4, [&also_x]).unwrap())];
        let both = verdicts().clashes(&[&x, &y, &also_x], &[&y, &x], &right).unwrap();
        assert_eq!(both, (vec![(0, 2)], vec![vec![(1, 0)]]));
        assert_eq!(verdicts().clashes(&[&x], &[], &right).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn another_dimension_is_an_error() {
        let (x, wide) = (delta(&[1.0, 0.0, 0.0, 0.0]), delta(&[1.0; 5]));
        assert!(verdicts().clashes_within(&[&x, &wide]).is_err());
    }

    #[test]
    fn similarity_is_the_cosine() {
        let (a, b) = (delta(&[3.0, 4.0, 0.0]), delta(&[0.0, 4.0, 3.0]));
        assert!((similarity(&a, &b) - 0.64).abs() < 1e-4);
        assert!(similarity(&a, &DeltaVector::zero(3)).abs() < f64::EPSILON);
    }
}
