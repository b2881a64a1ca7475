//! `w5`: k-means++ and 20 rounds of Lloyd on 100,000 rows; W6: the nearest of 256 centroids.

use std::io;
use std::path::Path;

use tensor_kernels::{Codebook, KMeansOptions, Kernels, Metric};

use super::contender::{Contender, Resident};
use super::exchange;
use super::oracle::{sampled, squared_distance};
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::inputs::{Dense, points};
use crate::work::Work;

const DIM: usize = 128;
const ROUNDS: usize = 20;

/// How many rows of W6 are checked.
const CHECKED: usize = 4_096;

fn rows(quick: bool) -> Result<Dense, BenchError> {
    Ok(points(if quick { 2_000 } else { 100_000 }, DIM)?)
}

/// k-means.
pub struct KMeansWork {
    rows: Dense,
    k: usize,
}

impl KMeansWork {
    /// The workload.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn new(quick: bool) -> Result<Self, BenchError> {
        Ok(Self { rows: rows(quick)?, k: if quick { 16 } else { 256 } })
    }
}

impl Workload for KMeansWork {
    fn work(&self) -> Work {
        Work::kmeans("w5", self.rows.rows(), DIM, self.k, ROUNDS)
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        exchange::write(folder, "rows", self.rows.values(), Some(DIM))?;
        exchange::write(folder, "k", &[exchange::integer(self.k)], None)
    }

    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let options = KMeansOptions { k: self.k, max_iterations: ROUNDS, seed: 1, metric: Metric::L2 };
        let rows = self.rows.view()?;
        let train = move || kernels.kmeans(rows, &options);
        Ok(Some(Box::new(Resident::new(kernels.isa().name(), train, |trained| {
            let centroids = trained.as_ref().map(|run| run.value.codebook.centroids()).unwrap_or_default();
            centroids.iter().map(|&x| f64::from(x)).collect()
        }))))
    }

    /// Seeds differ, so centroids cannot be compared; what counts is the sum of squared distances.
    fn check(&self, answer: &[f64]) -> Verdict {
        let centroids: Vec<f32> = answer.iter().map(|&x| x as f32).collect();
        if centroids.len() != self.k * DIM {
            return Verdict::WRONG;
        }
        let nearest = self.rows.values().chunks_exact(DIM).map(|row| {
            centroids.chunks_exact(DIM).map(|c| squared_distance(row, c)).fold(f64::INFINITY, f64::min)
        });
        Verdict { max_error: 0.0, exact: false, inertia: Some(nearest.sum()) }
    }
}

/// The nearest centroid of each row.
pub struct NearestWork {
    pub(super) rows: Dense,
    book: Codebook,
}

impl NearestWork {
    /// The workload; the centroids are one round of k-means away from its seeds.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn new(quick: bool) -> Result<Self, BenchError> {
        let rows = rows(quick)?;
        let k = if quick { 16 } else { 256 };
        let options = KMeansOptions { k, max_iterations: 1, seed: 1, metric: Metric::L2 };
        let book = Kernels::detect()?.kmeans(rows.view()?, &options)?.value.codebook;
        Ok(Self { rows, book })
    }

    /// The centroids, row by row.
    pub fn centroids(&self) -> &[f32] {
        self.book.centroids()
    }
}

impl Workload for NearestWork {
    fn work(&self) -> Work {
        Work::nearest("w6", self.rows.rows(), DIM, self.book.len())
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        exchange::write(folder, "rows", self.rows.values(), Some(DIM))?;
        exchange::write(folder, "centroids", self.book.centroids(), Some(DIM))
    }

    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let rows = self.rows.view()?;
        let assign = move || kernels.quantize(&self.book, rows);
        Ok(Some(Box::new(Resident::new(kernels.isa().name(), assign, |found| {
            let found = found.as_ref().map(|run| run.value.as_slice()).unwrap_or_default();
            found.iter().flatten().map(|neighbor| f64::from(neighbor.row)).collect()
        }))))
    }

    #[cfg(feature = "peers")]
    fn linked(&self, threads: usize) -> Vec<super::workload::Linked<'_>> {
        super::linked::nearest(self, threads)
    }

    /// The error of a wrong centroid is how much farther it is, squared, than the nearest.
    fn check(&self, answer: &[f64]) -> Verdict {
        let count = self.rows.rows();
        if answer.len() != count {
            return Verdict::WRONG;
        }
        let mut worst = 0.0f64;
        for row in sampled(count, CHECKED) {
            let values = &self.rows.values()[row * DIM..][..DIM];
            let to = |centroid: &[f32]| squared_distance(values, centroid);
            let nearest = self.centroids().chunks_exact(DIM).map(to).fold(f64::INFINITY, f64::min);
            let Some(chosen) = self.book.centroid(answer[row] as usize) else {
                return Verdict::WRONG;
            };
            worst = worst.max(to(chosen) - nearest);
        }
        Verdict::of(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_answers_pass_and_wrong_ones_do_not() {
        let kernels = Kernels::detect().unwrap();
        let work = NearestWork::new(true).unwrap();
        let mut answer = work.ours(&kernels).unwrap().unwrap().answer().unwrap();
        assert!(work.check(&answer).exact);
        answer[0] = (answer[0] + 1.0) % 16.0;
        assert!(work.check(&answer).max_error > 0.0);
        answer[0] = 99.0;
        assert!(!work.check(&answer).exact);

        let work = KMeansWork::new(true).unwrap();
        let answer = work.ours(&kernels).unwrap().unwrap().answer().unwrap();
        let inertia = work.check(&answer).inertia.unwrap();
        let worse = work.check(&answer.iter().map(|x| x + 0.5).collect::<Vec<_>>()).inertia.unwrap();
        assert!(inertia > 0.0 && worse > inertia);
        assert!(work.check(&answer[1..]).inertia.is_none());
    }
}
