//! k-means on f32 rows: what a caller asks and gets, and what the backends share.

use super::nearest::squared_distance;
use super::{Points, lloyd};
use crate::error::KernelError;
use crate::types::{Codebook, DenseView, Metric};

/// What to train. The default is what a codebook of states wants: 256 centroids by cosine.
///
/// ```
/// use tensor_kernels::{DenseView, KMeansOptions, Kernels, Metric};
/// let rows = [0.0, 1.0, 10.0, 11.0, 0.5, 10.5]; // six rows of one component
/// let options = KMeansOptions { k: 2, metric: Metric::L2, ..KMeansOptions::default() };
/// let run = Kernels::detect()?.kmeans(DenseView::new(&rows, 6, 1)?, &options)?;
/// let id = |row: usize| run.value.assignments[row];
/// assert!(id(0) == id(1) && id(1) == id(4) && id(4) != id(2));
/// assert_eq!(run.value.codebook.centroid(id(2) as usize), Some(&[10.5][..]));
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KMeansOptions {
    /// Centroids wanted. Fewer are returned where fewer rows are distinct; 0 gives an empty codebook.
    pub k: usize,
    /// Most times that centroids move. With 0 the seeds themselves are returned.
    pub max_iterations: usize,
    /// Seed of every random draw: the same seed and rows give the same bytes.
    pub seed: u64,
    /// `L2`: plain k-means. `Cosine`: spherical k-means, on rows and centroids of norm 1.
    pub metric: Metric,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        Self { k: 256, max_iterations: 100, seed: 42, metric: Metric::Cosine }
    }
}

/// A trained codebook and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// The centroids.
    pub codebook: Codebook,
    /// The nearest centroid of each row, exactly; ties to the lowest. Empty where the codebook is.
    pub assignments: Vec<u32>,
    /// How many times the centroids moved.
    pub iterations: usize,
    /// Σ ‖x − c‖² over all rows and their centroids, summed in f64 in ascending dimension, then row. For
    /// `Cosine` x is the normalised row.
    pub inertia: f64,
    /// Whether the last move changed no assignment.
    pub converged: bool,
}

/// Where scaling takes the greatest component.
const SCALED_EXPONENT: i32 = 40;

/// The rows of one training run: as given for `L2`, normalised for `Cosine`.
pub(crate) struct DensePoints<'a> {
    view: DenseView<'a>,
    normalized: Option<Vec<f32>>,
    metric: Metric,
    /// The product is a power of two: see [`DensePoints::scaled`].
    factors: [f32; 2],
}

impl<'a> DensePoints<'a> {
    /// Prepares `view` for a metric.
    ///
    /// # Errors
    /// [`KernelError::UnsupportedMetric`] for `Dot`, under which a longer centroid is always nearer.
    pub(crate) fn new(view: DenseView<'a>, metric: Metric) -> Result<Self, KernelError> {
        let normalized = match metric {
            Metric::L2 => None,
            Metric::Cosine => Some(normalized_rows(&view)),
            Metric::Dot => return Err(KernelError::UnsupportedMetric { operation: "kmeans", got: metric }),
        };
        let mut points = Self { view, normalized, metric, factors: [1.0; 2] };
        points.factors = factors_for((0..points.rows()).flat_map(|row| points.row(row)));
        Ok(points)
    }

    pub(crate) fn rows(&self) -> usize {
        self.view.rows()
    }

    pub(crate) fn dim(&self) -> usize {
        self.view.dim()
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        match &self.normalized {
            Some(rows) => &rows[row * self.dim()..(row + 1) * self.dim()],
            None => self.view.row(row),
        }
    }

    /// One component as the f32 arithmetic sees it: times the power of two that takes the greatest
    /// component of all rows into [2^40, 2^41).
    ///
    /// So no square or sum overflows, no difference above 2^-115 of the greatest component vanishes, and
    /// rows scaled by a power of two are clustered alike. The product is rounded only where it falls below
    /// 2^-126.
    #[inline(always)]
    pub(crate) fn scaled(&self, component: f32) -> f32 {
        component * self.factors[0] * self.factors[1]
    }

    /// The exponent of the power of two that takes the greatest component of all rows into [1, 2).
    pub(crate) fn unit_exponent(&self) -> i32 {
        self.factors.into_iter().map(libm::ilogbf).sum::<i32>() - SCALED_EXPONENT
    }

    /// What takes the square of a scaled length to one where the greatest component lies in [1, 2).
    pub(crate) fn unscaled_square() -> f32 {
        libm::ldexpf(1.0, -2 * SCALED_EXPONENT)
    }

    /// The mean of the rows `members` (at least one) as a centroid: sums in f64 in ascending row, divided
    /// by the count for `L2` or by their norm for `Cosine`, rounded once to f32. `sums` is scratch of
    /// `dim` values.
    #[inline(always)] // so that the loops are compiled for the level of the caller
    pub(crate) fn mean(&self, members: &[u32], sums: &mut [f64], centroid: &mut [f32]) {
        self.sum(members, sums);
        if self.metric == Metric::L2 {
            let count = members.len() as f64;
            for sum in &mut *sums {
                *sum /= count;
            }
        }
        self.round(sums, centroid);
    }

    /// The sum of the rows `members` in f64, in ascending row.
    #[inline(always)]
    pub(crate) fn sum(&self, members: &[u32], sums: &mut [f64]) {
        sums.fill(0.0);
        for &row in members {
            for (sum, &x) in sums.iter_mut().zip(self.row(row as usize)) {
                *sum += f64::from(x);
            }
        }
    }

    /// A mean as a centroid: rounded once to f32, for `Cosine` after division by its norm.
    #[inline(always)]
    pub(crate) fn round(&self, mean: &[f64], centroid: &mut [f32]) {
        if self.metric == Metric::Cosine {
            return normalize(mean, centroid);
        }
        for (c, &mean) in centroid.iter_mut().zip(mean) {
            // A mean lies between its greatest and least member; a rounded sum of billions of rows
            // might not.
            *c = (mean as f32).clamp(f32::MIN, f32::MAX);
        }
    }

    /// Squared distance of a row from its own centroid, in f64 in ascending dimension.
    #[inline(always)]
    pub(crate) fn deviation(&self, row: usize, id: u32, centroids: &[f32]) -> f64 {
        let start = id as usize * self.dim();
        squared_distance(self.row(row), &centroids[start..start + self.dim()])
    }
}

/// Trains on `points` by the operations of one backend.
///
/// # Errors
/// None for centroids that [`Codebook::new`] accepts, as those of finite rows are.
pub(crate) fn train_dense<P>(points: &P, dim: usize, options: &KMeansOptions) -> Result<KMeans, KernelError>
where
    P: Points<Value = f32, Deviation = f64>,
{
    let trained = lloyd::train(points, options.k, options.max_iterations, options.seed);
    let inertia = if trained.assignments.is_empty() {
        0.0
    } else {
        points.deviations(&trained.centroids, &trained.assignments).iter().fold(0.0, |sum, d| sum + d)
    };
    let len = trained.centroids.len() / dim.max(1);
    Ok(KMeans {
        codebook: Codebook::new(options.metric, len, dim, trained.centroids)?,
        assignments: trained.assignments,
        iterations: trained.iterations,
        inertia,
        converged: trained.converged,
    })
}

/// Each row divided by its norm; zero rows stay zero.
fn normalized_rows(view: &DenseView<'_>) -> Vec<f32> {
    let mut rows = vec![0.0; view.rows() * view.dim()];
    let mut wide = vec![0.0; view.dim()];
    for (row, out) in view.iter().zip(rows.chunks_exact_mut(view.dim().max(1))) {
        for (wide, &x) in wide.iter_mut().zip(row) {
            *wide = f64::from(x);
        }
        normalize(&wide, out);
    }
    rows
}

/// `values / ‖values‖`, the norm in f64 in ascending order, the quotient rounded once to f32; zeros for
/// the zero vector.
#[inline(always)]
fn normalize(values: &[f64], out: &mut [f32]) {
    let norm = values.iter().fold(0.0, |sum, x| sum + x * x).sqrt();
    for (out, x) in out.iter_mut().zip(values) {
        *out = if norm > 0.0 { (x / norm) as f32 } else { 0.0 };
    }
}

/// Two factors of the power of two that takes the greatest magnitude into [2^40, 2^41); of 1 where all are zero.
/// One f32 cannot hold powers above 2^127; below 1 the second factor is 1, so that a product is rounded once.
fn factors_for<'a>(components: impl Iterator<Item = &'a f32>) -> [f32; 2] {
    // Magnitudes order as their bits do; integers compare faster.
    let greatest = f32::from_bits(components.fold(0, |greatest, x| greatest.max(x.abs().to_bits())));
    let exponent = if greatest > 0.0 { SCALED_EXPONENT - libm::ilogbf(greatest) } else { 0 };
    let first = exponent.min(100);
    [libm::ldexpf(1.0, first), libm::ldexpf(1.0, exponent - first)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_takes_the_greatest_component_to_two_to_the_forty() {
        for greatest in [f32::MAX, 1.0, 1.999, 1e-30, f32::from_bits(1)] {
            let data = [0.0, -greatest, greatest / 2.0];
            let points = DensePoints::new(DenseView::new(&data, 3, 1).unwrap(), Metric::L2).unwrap();
            let scaled = points.scaled(-greatest).abs();
            assert!((2f32.powi(40)..2f32.powi(41)).contains(&scaled), "{greatest} {scaled}");
            let back = points.factors.iter().fold(f64::from(scaled), |x, &factor| x / f64::from(factor));
            assert!((back - f64::from(greatest)).abs() <= 0.0);
        }
    }

    #[test]
    fn norms_neither_overflow_nor_vanish() {
        for scale in [2f32.powi(125), 1.0, 2f32.powi(-100), f32::from_bits(1)] {
            let data = [3.0 * scale, 4.0 * scale, 0.0, 0.0];
            let points = DensePoints::new(DenseView::new(&data, 2, 2).unwrap(), Metric::Cosine).unwrap();
            assert_eq!((points.row(0), points.row(1)), (&[0.6, 0.8][..], &[0.0, 0.0][..]));
        }
    }
}
