//! The few questions a codebook asks the kernels, for one vector at a time.

use tensor_kernels::{Decimal, DenseView, KernelError, Kernels, Metric, Neighbor, Wanted};

use crate::kernel_span::kernel_span;

/// The nearest row to `v`, ties to the lower row; none where there are no rows.
pub(super) fn nearest(
    kernels: &Kernels,
    rows: DenseView<'_>,
    v: &[f32],
    metric: Metric,
) -> Result<Option<Neighbor>, KernelError> {
    search(kernels, rows, v, metric, Wanted::Top(1))
}

/// The nearest row to `v` among those of cosine ≥ `threshold`, decided exactly.
pub(super) fn nearest_above(
    kernels: &Kernels,
    rows: DenseView<'_>,
    v: &[f32],
    threshold: Decimal,
) -> Result<Option<Neighbor>, KernelError> {
    search(kernels, rows, v, Metric::Cosine, Wanted::Within(threshold))
}

/// Whether ‖a − b‖ ≤ `limit`, decided exactly.
pub(crate) fn distance_within(
    kernels: &Kernels,
    a: &[f32],
    b: &[f32],
    limit: Decimal,
) -> Result<bool, KernelError> {
    Ok(search(kernels, row(b)?, a, Metric::L2, Wanted::Within(limit))?.is_some())
}

/// ‖a − b‖.
pub(crate) fn distance(kernels: &Kernels, a: &[f32], b: &[f32]) -> Result<f64, KernelError> {
    Ok(nearest(kernels, row(b)?, a, Metric::L2)?.map_or(0.0, |found| found.score))
}

/// Cosine of the angle between `a` and `b`; 0 where either is zero.
pub(crate) fn cosine(kernels: &Kernels, a: &[f32], b: &[f32]) -> Result<f64, KernelError> {
    Ok(nearest(kernels, row(b)?, a, Metric::Cosine)?.map_or(0.0, |found| found.score))
}

/// Whether the cosine of the angle between `a` and `b` is ≥ `threshold`, decided exactly.
pub(super) fn cosine_at_least(
    kernels: &Kernels,
    a: &[f32],
    b: &[f32],
    threshold: Decimal,
) -> Result<bool, KernelError> {
    Ok(nearest_above(kernels, row(b)?, a, threshold)?.is_some())
}

/// ‖v‖, summed in ascending dimension.
pub(super) fn norm(v: &[f32]) -> f64 {
    v.iter().map(|&component| f64::from(component) * f64::from(component)).sum::<f64>().sqrt()
}

fn row(v: &[f32]) -> Result<DenseView<'_>, KernelError> {
    DenseView::new(v, 1, v.len())
}

fn search(
    kernels: &Kernels,
    rows: DenseView<'_>,
    v: &[f32],
    metric: Metric,
    wanted: Wanted,
) -> Result<Option<Neighbor>, KernelError> {
    let _span = kernel_span("search", rows.rows());
    let found = kernels.search(rows, row(v)?, metric, wanted)?.value;
    Ok(found.into_iter().next().and_then(|neighbors| neighbors.into_iter().next()))
}
