//! The workloads: the nine named ones at their own shapes or, where the matrix flags are given, the same
//! work at the shapes asked for.
//!
//! Every file here is one family. It makes an input, checks the answer against the oracle (a stated sample
//! of it where the oracle would take minutes) and hands the work to the runner.

mod dense_pairs;
mod density;
mod int8;
mod kmeans;
mod operations;
mod search;
mod sparse_pairs;
mod sparse_scores;
mod sparse_single;

use crate::error::BenchError;
use crate::runner::Bench;

/// A family of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Every operation at every level beside the scalar oracle.
    Operations,
    /// `w1`, `w2`.
    Search,
    /// `w3`, `w3i`.
    DensePairs,
    /// `w4a`, `w4b`, `w4c`, `w8`, `w9`, speed against density, scaling with the number of rows.
    Sparse,
    /// `w5`, `w6`.
    KMeans,
    /// `w7`.
    Int8,
}

impl Family {
    /// The families of the named workloads.
    pub const NAMED: [Self; 5] = [Self::Search, Self::DensePairs, Self::Sparse, Self::KMeans, Self::Int8];

    /// Measures the family.
    ///
    /// # Errors
    /// A wrong answer, an input that cannot be made, a level this machine lacks.
    pub fn run(self, bench: &mut Bench) -> Result<(), BenchError> {
        match self {
            Self::Operations => operations::run(bench),
            Self::Search => search::run(bench),
            Self::DensePairs => dense_pairs::run(bench),
            Self::Sparse => {
                sparse_pairs::run(bench)?;
                // These two make their own inputs, of shapes of their own.
                if bench.data().is_none() {
                    sparse_single::run(bench)?;
                }
                if bench.data().is_none() && !bench.options.is_matrix() {
                    density::run(bench)?;
                }
                Ok(())
            }
            Self::KMeans => kmeans::run(bench),
            Self::Int8 => int8::run(bench),
        }
    }
}
