//! `w8`: cosine and Jaccard of one sparse pair at a time, 768 dimensions 5 % full, both sides prepared.
//! Rows have unit length, so that a peer's inner product is the cosine.

use std::io;
use std::path::Path;

use tensor_kernels::{Kernels, Measure, PreparedSparse, SparseBatch, SparseVec};

use super::contender::{Contender, Resident};
use super::sparse::{unit_length, write_csr};
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::inputs::even_sparse;
use crate::work::Work;

/// Pairs of neighbouring rows: (0, 1), (2, 3), …
pub struct SparsePairWork {
    /// The rows of which neighbours are pairs.
    pub(super) rows: SparseBatch<'static>,
    vectors: Vec<SparseVec>,
}

impl SparsePairWork {
    /// The workload: few enough pairs to stay in cache, enough to time.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn new(quick: bool) -> Result<Self, BenchError> {
        let rows = unit_length(&even_sparse(if quick { 40 } else { 2_000 }, 768, 0.05)?)?;
        let vector = |row| SparseVec::new(rows.dim(), rows.row(row).0.to_vec(), rows.row(row).1.to_vec());
        let vectors = (0..rows.rows()).map(vector).collect::<Result<_, _>>()?;
        Ok(Self { rows, vectors })
    }
}

impl Workload for SparsePairWork {
    fn work(&self) -> Work {
        Work::sparse_pair("w8", self.vectors.len() / 2, 768, 0.05)
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        write_csr(folder, &self.rows)
    }

    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let prepared: Vec<_> = self.vectors.iter().cloned().map(PreparedSparse::new).collect();
        let run = move || {
            let mut scores = Vec::with_capacity(prepared.len());
            for pair in prepared.chunks_exact(2) {
                if let Ok(found) = kernels.prepared_pair(&pair[0], &pair[1]) {
                    scores.extend([found.cosine, found.jaccard]);
                }
            }
            scores
        };
        Ok(Some(Box::new(Resident::new(kernels.isa().name(), run, |scores: &Vec<f64>| scores.clone()))))
    }

    #[cfg(feature = "peers")]
    fn linked(&self, _threads: usize) -> Vec<super::workload::Linked<'_>> {
        super::linked::sparse_pair(self)
    }

    fn check(&self, answer: &[f64]) -> Verdict {
        if answer.len() != self.vectors.len() / 2 * 2 {
            return Verdict::WRONG;
        }
        let mut worst = 0.0f64;
        for (pair, scores) in self.vectors.chunks_exact(2).zip(answer.chunks_exact(2)) {
            for (measure, score) in [Measure::Cosine, Measure::Jaccard].into_iter().zip(scores) {
                let Ok(expected) = pair[0].measure(&pair[1], measure) else { return Verdict::WRONG };
                worst = worst.max((expected - score).abs());
            }
        }
        Verdict::of(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_score_is_seen() {
        let work = SparsePairWork::new(true).unwrap();
        let kernels = Kernels::detect().unwrap();
        let mut answer = work.ours(&kernels).unwrap().unwrap().answer().unwrap();
        assert!(work.check(&answer).exact);
        answer[1] += 0.5;
        assert!(work.check(&answer).max_error > 0.4);
    }
}
