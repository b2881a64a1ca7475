//! `w5` and `w6`: clustering, and the nearest centroid of every row.
//!
//! The oracle clusters a twentieth of the rows, whose whole answer must be the same; all levels and thread
//! counts must agree on all rows. Of the nearest centroids it finds those of the first 1,000 rows.

use tensor_kernels::{KMeansOptions, Kernels, Metric};

use super::search::sample;
use crate::error::BenchError;
use crate::inputs;
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::{Bench, OURS, wrong};
use crate::work::Work;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let (rows, k) = if bench.options.quick { (2_000, 16) } else { (100_000, 256) };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[128]) {
            let dim = dim as usize;
            measure(bench, n, dim, k)?;
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench, rows: usize, dim: usize, k: usize) -> Result<(), BenchError> {
    let rounds = 20;
    let (clustering, nearest) = if bench.options.is_matrix() { ("kmeans", "nearest") } else { ("w5", "w6") };
    let clustering = Work::kmeans(clustering, rows, dim, k, rounds);
    let nearest = Work::nearest(nearest, rows, dim, k);
    if !bench.wants(&clustering) && !bench.wants(&nearest) {
        return Ok(());
    }
    let points = inputs::points(rows, dim)?;
    let points = points.view()?;
    let options = KMeansOptions { k, max_iterations: rounds, seed: 1, metric: Metric::L2 };
    let kernels = bench.kernels()?;
    if bench.wants(&clustering) {
        let few = sample(points, rows / 20)?;
        let few = few.view()?;
        let oracle = Kernels::scalar()?.kmeans(few, &options)?.value;
        for handle in &kernels {
            if handle.kmeans(few, &options)?.value != oracle {
                return Err(wrong(&clustering, OURS, handle.isa().name(), handle.threads()));
            }
        }
        let before = bench.record.cases.len();
        let found = bench.ours(
            &clustering,
            None,
            &kernels,
            |_| Ok(true),
            |kernels| Ok(kernels.kmeans(points, &options)?.value),
        )?;
        let note = found.map(|answer| format!("inertia {:.6e}", answer.inertia));
        bench.record.cases[before..].iter_mut().for_each(|case| case.note.clone_from(&note));
    }
    if bench.wants(&nearest) {
        let few = sample(points, rows.min(10 * k))?;
        let book = Kernels::detect()?.kmeans(few.view()?, &options)?.value.codebook;
        let few = sample(points, 1_000)?;
        let oracle = Kernels::scalar()?.quantize(&book, few.view()?)?.value;
        let check = |answer: &Vec<_>| Ok(answer.len() == rows && answer[..oracle.len()] == oracle[..]);
        bench.ours(&nearest, Some(Limit::F32), &kernels, check, |kernels| {
            Ok(kernels.quantize(&book, points)?.value)
        })?;
    }
    Ok(())
}
