//! `w8`: cosine and Jaccard of one pair of sparse vectors, both prepared outside the timing.

use tensor_kernels::{PreparedSparse, SparseVec};

use crate::error::BenchError;
use crate::inputs;
use crate::options::or_default;
use crate::runner::{Bench, Contender, OURS, wrong};
use crate::work::Work;

/// Pairs that are computed by hand too.
const SAMPLE: usize = 100;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let pairs = if bench.options.quick { 100 } else { 2_000 };
    let name = if bench.options.is_matrix() { "sparse pair" } else { "w8" };
    for dim in or_default(&bench.options.dim, &[768]) {
        for density in or_default(&bench.options.density, &[0.05]) {
            let work = Work::sparse_pair(name, pairs, dim, density);
            if bench.wants(&work) {
                one_after_another(bench, &work, pairs, dim, density)?;
            }
        }
    }
    Ok(())
}

fn one_after_another(
    bench: &mut Bench,
    work: &Work,
    pairs: usize,
    dim: u32,
    density: f64,
) -> Result<(), BenchError> {
    let batch = inputs::even_sparse(2 * pairs, dim, density)?;
    let mut vectors = Vec::with_capacity(2 * pairs);
    for row in 0..batch.rows() {
        let (indices, values) = batch.row(row);
        vectors.push(PreparedSparse::new(SparseVec::new(dim, indices.to_vec(), values.to_vec())?));
    }
    let vectors = &vectors;
    let two = || vectors.chunks_exact(2).map(|two| (&two[0], &two[1]));
    let kernels = bench.kernels()?;
    let mut contenders = Vec::new();
    // A pair is answered on the caller's thread.
    for handle in kernels.iter().filter(|handle| handle.threads() == 1) {
        for (left, right) in two().take(SAMPLE) {
            let scores = handle.prepared_pair(left, right)?;
            if (scores.cosine, scores.jaccard) != by_hand(left.vector(), right.vector()) {
                return Err(wrong(work, OURS, handle.isa().name(), 1));
            }
        }
        let run = move || {
            for (left, right) in two() {
                let _ = std::hint::black_box(handle.prepared_pair(left, right));
            }
        };
        contenders.push(Contender { case: work.case(OURS).on(handle.isa(), 1), run: Box::new(run) });
    }
    bench.contest(work, None, contenders)
}

/// The two formulas over dense copies, f64 sums in ascending position.
fn by_hand(left: &SparseVec, right: &SparseVec) -> (f64, f64) {
    let (a, b) = (left.to_dense(), right.to_dense());
    let sum = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let both = a.iter().zip(&b).filter(|&(&x, &y)| x != 0.0 && y != 0.0).count();
    let either = a.iter().zip(&b).filter(|&(&x, &y)| x != 0.0 || y != 0.0).count();
    let norms = sum(&a, &a).sqrt() * sum(&b, &b).sqrt();
    let cosine = if norms > 0.0 { (sum(&a, &b) / norms).clamp(-1.0, 1.0) } else { 0.0 };
    (cosine, if either > 0 { both as f64 / either as f64 } else { 1.0 })
}
