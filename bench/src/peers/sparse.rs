//! `w4`: cosine or Jaccard of all pairs of sparse rows, at two shapes: 768 dimensions 5 % full, and
//! 65,536 dimensions with 64 components a row drawn by Zipf's law.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use tensor_kernels::{AlignedBuf, Kernels, Measure, Pairs, Similarity, SparseBatch};

use super::contender::{Contender, Resident};
use super::exchange;
use super::oracle::sampled;
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::inputs::{even_sparse, zipf_rows};
use crate::work::Work;

/// How many rows of the answer are checked.
const CHECKED: usize = 64;

/// Which score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Σ aᵢbᵢ of rows of unit length.
    Cosine,
    /// Shared positions over all positions.
    Jaccard,
}

impl Score {
    fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Jaccard => "jaccard",
        }
    }
}

/// Sparse rows at unit length, which spares peers the scaling.
pub struct SparseWork {
    work: Work,
    pub(super) score: Score,
    pub(super) rows: SparseBatch<'static>,
}

impl SparseWork {
    /// 768 dimensions, 5 % present.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn even(score: Score, quick: bool) -> Result<Self, BenchError> {
        let rows = unit_length(&even_sparse(if quick { 200 } else { 4_096 }, 768, 0.05)?)?;
        let work = Work::sparse_pairs("w4a", score.name(), rows.rows(), 768, 0.05, "5 %");
        Ok(Self { work, score, rows })
    }

    /// 65,536 dimensions, 64 present.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn zipf(score: Score, quick: bool) -> Result<Self, BenchError> {
        let rows = unit_length(&zipf_rows(if quick { 300 } else { 20_000 }, 65_536)?)?;
        let density = 64.0 / 65_536.0;
        let work = Work::sparse_pairs("w4b", score.name(), rows.rows(), 65_536, density, "64 a row, zipf");
        Ok(Self { work, score, rows })
    }

    /// Flattens the sampled rows of a triangle of scores that `row` gives line by line.
    pub fn sampled_scores(&self, row: impl Fn(usize) -> Vec<f64>) -> Vec<f64> {
        sampled(self.rows.rows(), CHECKED).flat_map(row).collect()
    }
}

/// The rows scaled to unit length.
///
/// # Errors
/// None for rows without overflowing norms.
pub fn unit_length(rows: &SparseBatch<'_>) -> Result<SparseBatch<'static>, BenchError> {
    let mut values = Vec::with_capacity(rows.nnz());
    for row in 0..rows.rows() {
        let norm = rows.row(row).1.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        values.extend(rows.row(row).1.iter().map(|&x| (f64::from(x) / norm) as f32));
    }
    Ok(SparseBatch::new(rows.dim(), rows.indptr().to_vec(), rows.indices().to_vec(), values)?)
}

/// Writes CSR rows for a child process.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_csr(folder: &Path, rows: &SparseBatch<'_>) -> io::Result<()> {
    let indptr: Vec<i64> = rows.indptr().iter().map(|&at| exchange::integer(at)).collect();
    exchange::write(folder, "indptr", &indptr, None)?;
    exchange::write(folder, "indices", rows.indices(), None)?;
    exchange::write(folder, "values", rows.values(), None)?;
    exchange::write(folder, "dim", &[rows.dim()], None)
}

impl Workload for SparseWork {
    fn work(&self) -> Work {
        self.work.clone()
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        write_csr(folder, &self.rows)?;
        let rows: Vec<i64> = sampled(self.rows.rows(), CHECKED).map(exchange::integer).collect();
        exchange::write(folder, "sampled", &rows, None)
    }

    /// Scores go into memory that is kept, as peers' do; indices over the rows are built in every run.
    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let pairs = Pairs::of(&self.rows);
        let similarity = match self.score {
            Score::Cosine => Similarity::Cosine,
            Score::Jaccard => Similarity::Jaccard,
        };
        let places = usize::try_from(pairs.count()).unwrap_or(usize::MAX);
        let scores = Rc::new(RefCell::new(AlignedBuf::<f32>::zeroed(places)));
        let written = Rc::clone(&scores);
        let run = move || {
            kernels.all_pairs_scores_into(&Pairs::of(&self.rows), similarity, &mut scores.borrow_mut())
        };
        let answer = move |_: &_| {
            let scores = written.borrow();
            let score = |row: usize, at: usize| {
                let place = pairs.place(row, at).and_then(|place| usize::try_from(place).ok());
                place.and_then(|place| scores.get(place)).map_or(0.0, |&score| f64::from(score))
            };
            self.sampled_scores(|row| (0..self.rows.rows()).map(|at| score(row, at)).collect())
        };
        Ok(Some(Box::new(Resident::new(kernels.isa().name(), run, answer))))
    }

    #[cfg(feature = "peers")]
    fn linked(&self, threads: usize) -> Vec<super::workload::Linked<'_>> {
        super::linked::sparse(self, threads)
    }

    fn tolerance(&self) -> f64 {
        1e-6
    }

    /// Pairs right of the diagonal are compared with the oracle's scores.
    fn check(&self, answer: &[f64]) -> Verdict {
        let count = self.rows.rows();
        let checked = sampled(count, CHECKED);
        let measure = if self.score == Score::Cosine { Measure::Dot } else { Measure::Jaccard };
        let pairs: Vec<(u32, u32)> = checked
            .clone()
            .flat_map(|left| (left + 1..count).map(move |right| (left as u32, right as u32)))
            .collect();
        let scores = Kernels::scalar()
            .and_then(|kernels| kernels.sparse_pair(&self.rows, &self.rows, &pairs, measure));
        let Ok(scores) = scores else { return Verdict::WRONG };
        if answer.len() != checked.count() * count {
            return Verdict::WRONG;
        }
        let step = pairs.iter().zip(scores.value);
        let lines: Vec<&[f64]> = answer.chunks_exact(count).collect();
        let mut worst = 0.0f64;
        let (mut line, mut last) = (0, pairs.first().map_or(0, |pair| pair.0));
        for (&(left, right), score) in step {
            if left != last {
                (line, last) = (line + 1, left);
            }
            let error = (lines[line][right as usize] - score).abs();
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
        Verdict::of(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_score_is_seen() {
        for (score, measure) in [(Score::Cosine, Measure::Dot), (Score::Jaccard, Measure::Jaccard)] {
            let work = SparseWork::even(score, true).unwrap();
            let kernels = Kernels::scalar().unwrap();
            let count = work.rows.rows() as u32;
            let line = |row: usize| {
                let pairs: Vec<_> = (0..count).map(|right| (row as u32, right)).collect();
                kernels.sparse_pair(&work.rows, &work.rows, &pairs, measure).unwrap().value
            };
            let mut answer = work.sampled_scores(line);
            assert!(work.check(&answer).exact);
            answer[0] = 7.0;
            assert!(work.check(&answer).exact, "the diagonal does not count");
            answer[count as usize - 1] += 0.25;
            assert!((work.check(&answer).max_error - 0.25).abs() < 1e-12);
            answer[7] = f64::NAN;
            assert!(!work.check(&answer).exact);
        }
    }
}
