//! `w5` and `w6`: clustering, and the nearest centroid of every row.
//!
//! The oracle clusters a twentieth of the rows, whose whole answer must be the same; all levels and thread
//! counts must agree on all rows. Of the nearest centroids it finds those of the first 1,000 rows.

use tensor_kernels::{DenseView, KMeansOptions, Kernels, Metric};

use super::search::sample;
use crate::error::BenchError;
use crate::inputs;
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::{Bench, OURS, wrong};
use crate::work::Work;

/// Rounds of Lloyd's iteration.
const ROUNDS: usize = 20;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let (rows, k) = if bench.options.quick { (2_000, 16) } else { (100_000, 256) };
    if let Some(data) = bench.data() {
        let rows = data.dense()?;
        let clustering = Work::kmeans("kmeans", rows.rows(), rows.dim(), k, ROUNDS).of(&data.name);
        let nearest = Work::nearest("nearest", rows.rows(), rows.dim(), k).of(&data.name);
        return both(bench, &clustering, &nearest, rows, k);
    }
    let (clustering, nearest) = if bench.options.is_matrix() { ("kmeans", "nearest") } else { ("w5", "w6") };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[128]) {
            let clustering = Work::kmeans(clustering, n, dim as usize, k, ROUNDS);
            let nearest = Work::nearest(nearest, n, dim as usize, k);
            if bench.wants(&clustering) || bench.wants(&nearest) {
                let points = inputs::points(n, dim as usize)?;
                both(bench, &clustering, &nearest, points.view()?, k)?;
            }
        }
    }
    Ok(())
}

fn both(
    bench: &mut Bench,
    clustering: &Work,
    nearest: &Work,
    points: DenseView<'_>,
    k: usize,
) -> Result<(), BenchError> {
    let options = KMeansOptions { k, max_iterations: ROUNDS, seed: 1, metric: Metric::L2 };
    if bench.wants(clustering) {
        cluster(bench, clustering, points, &options)?;
    }
    if bench.wants(nearest) {
        let some = sample(points, 10 * k)?;
        let book = Kernels::detect()?.kmeans(some.view()?, &options)?.value.codebook;
        let few = sample(points, 1_000)?;
        let oracle = Kernels::scalar()?.quantize(&book, few.view()?)?.value;
        let kernels = bench.kernels()?;
        let check = |answer: &Vec<_>| Ok(answer.len() == points.rows() && answer.starts_with(&oracle));
        bench.ours(nearest, Some(Limit::Int8Best), &kernels, check, |kernels| {
            Ok(kernels.quantize(&book, points)?.value)
        })?;
    }
    Ok(())
}

fn cluster(
    bench: &mut Bench,
    work: &Work,
    points: DenseView<'_>,
    options: &KMeansOptions,
) -> Result<(), BenchError> {
    let few = sample(points, points.rows() / 20)?;
    let few = few.view()?;
    let oracle = Kernels::scalar()?.kmeans(few, options)?.value;
    let kernels = bench.kernels()?;
    for handle in &kernels {
        if handle.kmeans(few, options)?.value != oracle {
            return Err(wrong(work, OURS, handle.isa().name(), handle.threads()));
        }
    }
    let before = bench.record.cases.len();
    let found = bench.ours(
        work,
        None,
        &kernels,
        |_| Ok(true),
        |kernels| Ok(kernels.kmeans(points, options)?.value),
    )?;
    let note = found.map(|answer| format!("inertia {:.6e}", answer.inertia));
    bench.record.cases[before..].iter_mut().for_each(|case| case.note.clone_from(&note));
    Ok(())
}
