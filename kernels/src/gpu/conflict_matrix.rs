//! Conflict classes of all pairs of deltas: the device leaves out what is surely orthogonal, the CPU judges the rest.
//!
//! A pair of non-zero deltas is orthogonal if and only if |cos| < orthogonal and Jaccard < structural: of the rules
//! before the sixth, 2, 3 and 5 need a Jaccard index at or above structural (1 for the first two), and 4 a cosine at
//! or above conflict, which lies above orthogonal. Both are what the device asks. Pairs with a zero delta are
//! decided by their keys, which the device does not know.
//!
//! What is asked at once, as of the deltas of a block among themselves and beside earlier ones, is one submission.

use rayon::prelude::*;
use tensor_shaders::conflict_matrix::MOST_DIMENSIONS;

use super::candidates::{Question, candidates};
use super::coded_rows::CodedRows;
use super::device::Gpu;
use super::fault::Fault;
use crate::Fallback;
use crate::conflict_input::{ConflictInput, Job};
use crate::exact::{Comparison, JudgedRows};
use crate::scalar::conflict_matrix::PairJudge;
use crate::simd::conflict_matrix::pairs_of_zero_rows;
use crate::types::{ConflictList, DeltaBatch, Thresholds};

/// The comparisons, if the device is to be asked at all.
///
/// Wide sparse batches stay on the CPU: the device multiplies every position, also those where both rows are zero.
pub(super) fn for_gpu<'a, 'b>(
    least_pairs: u64,
    inputs: &'b [ConflictInput<'a>],
) -> Result<Vec<&'b Comparison<'a, DeltaBatch>>, Fallback> {
    let job = |input: &'b ConflictInput<'a>| match &input.0 {
        Job::Deltas(job) => Ok(job),
        // f32 rows have no exact planes of bytes.
        Job::Sparse(_) => Err(Fallback::NoVersion),
    };
    let jobs = inputs.iter().map(job).collect::<Result<Vec<_>, _>>()?;
    let pairs = jobs.iter().map(|job| job.pairs()).sum();
    let dim = jobs.iter().map(|job| job.left.dim() as usize).max().unwrap_or(0);
    worth_it(least_pairs, pairs, dim).map(|()| jobs)
}

pub(super) fn worth_it(least_pairs: u64, pairs: u64, dim: usize) -> Result<(), Fallback> {
    if dim > MOST_DIMENSIONS {
        return Err(Fallback::TooWide);
    }
    if pairs < least_pairs.max(1) { Err(Fallback::TooFew) } else { Ok(()) }
}

/// The pairs of each comparison that are not orthogonal.
pub(super) fn conflict_matrices(
    gpu: &Gpu,
    jobs: &[&Comparison<'_, DeltaBatch>],
    thresholds: &Thresholds,
) -> Result<Vec<ConflictList>, Fault> {
    let questions: Vec<_> = jobs.iter().map(|job| question(job, thresholds)).collect();
    let candidates = candidates(gpu, &questions)?;
    Ok(jobs.iter().zip(candidates).map(|(job, candidates)| judged(job, &candidates, thresholds)).collect())
}

fn judged(
    job: &Comparison<'_, DeltaBatch>,
    candidates: &[(u32, u32)],
    thresholds: &Thresholds,
) -> ConflictList {
    let judge = PairJudge::new(job, thresholds);
    let mut pairs: Vec<_> = candidates
        .par_iter()
        .map(|&(i, j)| (i as usize, j as usize))
        .filter(|&(i, j)| job.left.row_len(i) > 0 && job.right.row_len(j) > 0)
        .filter_map(|(i, j)| judge.verdict(i, j))
        .collect();
    let zero_rows = pairs_of_zero_rows(job);
    if !zero_rows.is_empty() {
        pairs.extend(zero_rows);
        pairs.sort_unstable();
    }
    job.list(pairs)
}

pub(super) fn question<'a>(job: &Comparison<'a, DeltaBatch>, thresholds: &Thresholds) -> Question<'a> {
    Question {
        left: CodedRows::Deltas(job.left),
        right: CodedRows::Deltas(job.right),
        triangle: job.triangle,
        orthogonal: thresholds.orthogonal,
        structural: Some(thresholds.structural),
    }
}
