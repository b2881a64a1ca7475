//! What the demo asks of the deltas that the chain holds: how far each day moved, and typical days.

use tensor_datasets::{Date, EcbFx};
use tensor_kernels::{DeltaVector, DenseView, KMeansOptions, KernelError, Kernels, Metric};

use super::answer::{Codebook, Drift};

/// Entries of the codebook.
const ENTRIES: usize = 32;
/// Rounds after which training stops even if days still change their entry.
const MAX_ROUNDS: usize = 300;
/// Seed of the first entries.
const SEED: u64 = 42;

/// ‖delta‖: squares summed in f64 in ascending dimension.
pub(super) fn norm(delta: &DeltaVector) -> f64 {
    delta.values().map(|value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

/// The `count` days that moved farthest, and the currency that moved most on each.
pub(super) fn largest(fx: &EcbFx, deltas: &[DeltaVector], norms: &[f64], count: usize) -> Vec<Drift> {
    let mut days: Vec<(f64, Date, &DeltaVector)> =
        fx.dates().iter().zip(deltas).zip(norms).map(|((&date, delta), &norm)| (norm, date, delta)).collect();
    // Equal norms in order of time.
    days.sort_by(|a, b| b.0.total_cmp(&a.0));
    let moved_most = |delta: &DeltaVector| {
        let (index, _) =
            delta.indices().iter().zip(delta.codes()).max_by_key(|(_, code)| code.unsigned_abs())?;
        fx.currencies().get(*index as usize).cloned()
    };
    days.iter()
        .take(count)
        .filter_map(|&(norm, date, delta)| {
            Some(Drift { date: date.to_string(), currency: moved_most(delta)?, norm: round(norm, 1e6) })
        })
        .collect()
}

/// Trains a codebook of typical days; also returns how many days each entry stands for.
pub(super) fn codebook(
    kernels: &Kernels,
    deltas: &[DeltaVector],
) -> Result<(Codebook, Vec<u64>), KernelError> {
    let dim = deltas.first().map_or(0, |delta| delta.dim() as usize);
    let dense: Vec<f32> = deltas.iter().flat_map(|delta| delta.to_sparse().to_dense()).collect();
    let view = DenseView::new(&dense, deltas.len(), dim)?;
    let options = KMeansOptions { k: ENTRIES, max_iterations: MAX_ROUNDS, seed: SEED, metric: Metric::L2 };
    let trained = kernels.kmeans(view, &options)?.value;
    let mut members = vec![0; trained.codebook.len()];
    for &entry in &trained.assignments {
        members[entry as usize] += 1;
    }
    let total = total_variance(&view);
    let codebook = Codebook {
        entries: trained.codebook.len(),
        rounds: trained.iterations,
        inertia: round(trained.inertia, 1e6),
        explained_variance: round(if total > 0.0 { 1.0 - trained.inertia / total } else { 0.0 }, 1e6),
    };
    Ok((codebook, members))
}

/// Σ ‖x − mean‖² over all rows, in f64, ascending.
fn total_variance(rows: &DenseView<'_>) -> f64 {
    let count = rows.rows() as f64;
    (0..rows.dim())
        .map(|component| {
            let mean = rows.iter().map(|row| f64::from(row[component])).sum::<f64>() / count;
            rows.iter().map(|row| (f64::from(row[component]) - mean).powi(2)).sum::<f64>()
        })
        .sum()
}

/// A number as it is printed: a multiple of 1 / `scale`.
pub(super) fn round(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}
