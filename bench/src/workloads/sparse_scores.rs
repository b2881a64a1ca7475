//! The cosine or Jaccard index of every pair of sparse rows, as f32: the scores of `w4a` and `w4b`.
//!
//! The oracle scores the first rows with all others in f64; the largest difference is recorded and must lie
//! under the bound that the operation states.

use std::cell::RefCell;

use tensor_kernels::{AlignedBuf, Kernels, Pairs, Similarity, SparseBatch};

use crate::error::BenchError;
use crate::runner::{Bench, Contender, OURS, wrong};
use crate::work::Work;

/// Rows that the oracle scores with all others.
const SAMPLE: usize = 32;

pub(super) fn scores(
    bench: &mut Bench,
    work: &Work,
    batch: &SparseBatch<'_>,
    similarity: Similarity,
) -> Result<(), BenchError> {
    let pairs = Pairs::of(batch);
    let oracle = first_scores(batch, similarity)?;
    let count = usize::try_from(pairs.count()).unwrap_or(usize::MAX);
    // One triangle for all, written before the clock starts.
    let out = RefCell::new(AlignedBuf::<f32>::zeroed(count));
    let kernels = bench.kernels()?;
    let mut contenders = Vec::new();
    for handle in &kernels {
        let mut scores = out.borrow_mut();
        scores.fill(f32::NAN);
        handle.all_pairs_scores_into(&pairs, similarity, &mut scores)?;
        // The pairs of the first rows come first.
        let error = scores.iter().zip(&oracle).map(|(&got, &expected)| off(similarity, got, expected));
        let worst = error.fold(0.0, |worst, error| if error <= worst { worst } else { error });
        let sound = scores.iter().all(|score| score.is_finite());
        if !sound || worst > bound(batch, similarity) {
            return Err(wrong(work, OURS, handle.isa().name(), handle.threads()));
        }
        let mut case = work.case(OURS).on(handle.isa(), handle.threads());
        (case.max_error, case.exact) = (worst, worst == 0.0);
        let (out, pairs) = (&out, &pairs);
        let run = move || {
            let _ =
                std::hint::black_box(handle.all_pairs_scores_into(pairs, similarity, &mut out.borrow_mut()));
        };
        contenders.push(Contender { case, run: Box::new(run) });
    }
    bench.contest(work, None, contenders)
}

fn first_scores(batch: &SparseBatch<'_>, similarity: Similarity) -> Result<Vec<f64>, BenchError> {
    // A batch has at most u32::MAX rows.
    let rows = batch.rows() as u32;
    let pairs: Vec<_> =
        (0..rows.min(SAMPLE as u32)).flat_map(|i| (i + 1..rows).map(move |j| (i, j))).collect();
    Ok(Kernels::scalar()?.sparse_pair(batch, batch, &pairs, similarity.into())?.value)
}

/// How far a score is off. An index is a quotient rounded once to f32, so the oracle's is rounded too.
fn off(similarity: Similarity, got: f32, expected: f64) -> f64 {
    let expected = match similarity {
        Similarity::Jaccard => f64::from(expected as f32),
        Similarity::Cosine => expected,
    };
    (f64::from(got) - expected).abs()
}

/// Nothing for an index; for a cosine, whose magnitude is at most 1, γ of the widest row.
fn bound(batch: &SparseBatch<'_>, similarity: Similarity) -> f64 {
    let widest = (0..batch.rows()).map(|row| batch.row(row).0.len()).max().unwrap_or(0) as f64;
    let terms = (widest + 4.0) * 0.5 * f64::from(f32::EPSILON);
    match similarity {
        Similarity::Jaccard => 0.0,
        Similarity::Cosine => terms / (1.0 - terms),
    }
}
