//! The workloads that peers can answer too: the input of each, who answers it here, and how an answer is checked.

use std::io;
use std::path::Path;

use tensor_kernels::Kernels;

use super::clusters::{KMeansWork, NearestWork};
use super::contender::Contender;
use super::int8::{Direction, Int8Work};
use super::pairs::PairsWork;
use super::search::SearchWork;
use super::sparse::{Score, SparseWork};
use super::sparse_pair::SparsePairWork;
use crate::error::BenchError;
use crate::work::Work;

/// How an answer stands to the oracle's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The largest absolute difference from the oracle.
    pub max_error: f64,
    /// Whether there is no difference.
    pub exact: bool,
    /// What is asked of a k-means: its inertia.
    pub inertia: Option<f64>,
}

impl Verdict {
    /// The verdict on an answer that is not even of the right shape.
    pub const WRONG: Self = Self { max_error: f64::MAX, exact: false, inertia: None };

    /// The verdict on a largest difference. What lies below the oracle's own rounding is none.
    #[must_use]
    pub fn of(max_error: f64) -> Self {
        if !max_error.is_finite() {
            return Self::WRONG;
        }
        let exact = max_error < 1e-12;
        Self { max_error: if exact { 0.0 } else { max_error }, exact, inertia: None }
    }
}

/// A contender that was linked into this program, and what it is called.
pub type Linked<'a> = (&'static str, Box<dyn Contender + 'a>);

/// One workload with its input in memory.
pub trait Workload {
    /// What is computed on which input.
    fn work(&self) -> Work;

    /// Writes the input for child processes.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    fn write(&self, folder: &Path) -> io::Result<()>;

    /// Our own side; `None` where there is no such operation yet.
    ///
    /// # Errors
    /// The kernels refuse the input.
    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError>;

    /// The peers that were linked in.
    fn linked(&self, _threads: usize) -> Vec<Linked<'_>> {
        Vec::new()
    }

    /// The largest error that our own answer may have: 0 but for scores that are promised in f32.
    fn tolerance(&self) -> f64 {
        0.0
    }

    /// How far an answer is from the oracle's.
    fn check(&self, answer: &[f64]) -> Verdict;
}

/// Makes the input of a workload when its turn comes.
pub type Maker = fn(quick: bool) -> Result<Box<dyn Workload>, BenchError>;

/// Every workload that has peers, by the name that scripts and bars use. `quick` makes inputs that show only that everything runs.
pub const WORKLOADS: &[(&str, Maker)] = &[
    ("w1", |quick| Ok(Box::new(SearchWork::one(quick)?))),
    ("w2/128", |quick| Ok(Box::new(SearchWork::many(128, quick)?))),
    ("w2/768", |quick| Ok(Box::new(SearchWork::many(768, quick)?))),
    ("w2i/128", |quick| Ok(Box::new(SearchWork::codes(128, quick)?))),
    ("w2i/768", |quick| Ok(Box::new(SearchWork::codes(768, quick)?))),
    ("w3/128", |quick| Ok(Box::new(PairsWork::f32(128, quick)?))),
    ("w3/768", |quick| Ok(Box::new(PairsWork::f32(768, quick)?))),
    ("w3i/128", |quick| Ok(Box::new(PairsWork::codes(128, quick)?))),
    ("w3i/768", |quick| Ok(Box::new(PairsWork::codes(768, quick)?))),
    ("w4a/cosine", |quick| Ok(Box::new(SparseWork::even(Score::Cosine, quick)?))),
    ("w4a/jaccard", |quick| Ok(Box::new(SparseWork::even(Score::Jaccard, quick)?))),
    ("w4b/cosine", |quick| Ok(Box::new(SparseWork::zipf(Score::Cosine, quick)?))),
    ("w4b/jaccard", |quick| Ok(Box::new(SparseWork::zipf(Score::Jaccard, quick)?))),
    ("w5", |quick| Ok(Box::new(KMeansWork::new(quick)?))),
    ("w6", |quick| Ok(Box::new(NearestWork::new(quick)?))),
    ("w7/quantize", |quick| Ok(Box::new(Int8Work::new(Direction::Quantize, quick)?))),
    ("w7/dequantize", |quick| Ok(Box::new(Int8Work::new(Direction::Dequantize, quick)?))),
    ("w8", |quick| Ok(Box::new(SparsePairWork::new(quick)?))),
];
