//! What a conflict kernel is asked: which batches, and which keys their rows write.

use crate::error::KernelError;
use crate::exact::{Comparison, JudgedRows};
use crate::types::{DeltaBatch, KeySets, SparseBatch, Vectors};

/// Batches to be compared pair by pair, checked: dimensions agree and there is one key set a row.
pub struct ConflictInput<'a>(pub(crate) Job<'a>);

/// The comparison by kind of rows. Both kinds run the same generic kernel.
pub(crate) enum Job<'a> {
    Sparse(Comparison<'a, SparseBatch<'a>>),
    Deltas(Comparison<'a, DeltaBatch>),
}

impl<'a> ConflictInput<'a> {
    /// All pairs i < j of one batch. `keys: None` means that no two rows share a key.
    ///
    /// # Errors
    /// Key sets for another number of rows.
    pub fn all_pairs(vectors: Vectors<'a>, keys: Option<&'a KeySets>) -> Result<Self, KernelError> {
        check_keys(keys, vectors)?;
        Ok(Self::triangle(vectors, keys))
    }

    /// The same for keys that were checked.
    pub(crate) fn triangle(vectors: Vectors<'a>, keys: Option<&'a KeySets>) -> Self {
        let keys = keys.map(|keys| (keys, keys));
        Self(match vectors {
            Vectors::Sparse(rows) => {
                Job::Sparse(Comparison { left: rows, right: rows, triangle: true, keys })
            }
            Vectors::Deltas(rows) => {
                Job::Deltas(Comparison { left: rows, right: rows, triangle: true, keys })
            }
        })
    }

    /// All pairs of a row of `left` and a row of `right`. Both key sets number the same keys alike.
    ///
    /// # Errors
    /// Dimensions that differ, key sets for another number of rows, or batches of different kinds
    /// ([`DeltaBatch::to_sparse`] turns deltas into f32 rows exactly).
    pub fn cross(
        left: Vectors<'a>,
        right: Vectors<'a>,
        keys: Option<(&'a KeySets, &'a KeySets)>,
    ) -> Result<Self, KernelError> {
        if left.dim() != right.dim() {
            let (got, expected) = (right.dim() as usize, left.dim() as usize);
            return Err(KernelError::DimensionMismatch { got, expected });
        }
        check_keys(keys.map(|(keys, _)| keys), left)?;
        check_keys(keys.map(|(_, keys)| keys), right)?;
        match (left, right) {
            (Vectors::Sparse(left), Vectors::Sparse(right)) => {
                Ok(Self(Job::Sparse(Comparison { left, right, triangle: false, keys })))
            }
            (Vectors::Deltas(left), Vectors::Deltas(right)) => {
                Ok(Self(Job::Deltas(Comparison { left, right, triangle: false, keys })))
            }
            _ => Err(KernelError::MixedVectors),
        }
    }

    /// Left rows, and entries of all rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        fn size<B: JudgedRows>(job: &Comparison<'_, B>) -> (usize, usize) {
            let right = if job.triangle { 0 } else { job.right.indices().len() };
            (job.left.rows(), job.left.indices().len() + right)
        }
        match &self.0 {
            Job::Sparse(job) => size(job),
            Job::Deltas(job) => size(job),
        }
    }
}

impl std::fmt::Debug for ConflictInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, left, right, triangle) = match &self.0 {
            Job::Sparse(job) => ("sparse", job.left.rows(), job.right.rows(), job.triangle),
            Job::Deltas(job) => ("deltas", job.left.rows(), job.right.rows(), job.triangle),
        };
        write!(f, "ConflictInput({kind}, {left} × {right} rows, triangle: {triangle})")
    }
}

fn check_keys(keys: Option<&KeySets>, vectors: Vectors<'_>) -> Result<(), KernelError> {
    match keys {
        Some(keys) if keys.rows() != vectors.rows() => {
            let (got, expected) = (keys.rows(), vectors.rows());
            Err(KernelError::LengthMismatch { what: "key sets", got, expected })
        }
        _ => Ok(()),
    }
}
