//! A codebook of f32 centroids, for analytics.

use super::{DenseView, Metric};
use crate::error::KernelError;

/// `len` centroids of `dim` finite f32 components each, row-major, and the metric they were trained for.
///
/// The same metric trains and quantises: `L2` for plain k-means, `Cosine` for spherical k-means.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    metric: Metric,
    len: usize,
    dim: usize,
    centroids: Vec<f32>,
}

impl Codebook {
    /// A codebook from `len × dim` row-major centroids.
    ///
    /// # Errors
    /// As [`DenseView::new`].
    pub fn new(metric: Metric, len: usize, dim: usize, centroids: Vec<f32>) -> Result<Self, KernelError> {
        DenseView::new(&centroids, len, dim)?;
        Ok(Self { metric, len, dim, centroids })
    }

    /// Metric that trains and quantises.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
    }

    /// Number of centroids.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no centroids.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Components of each centroid.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// Centroid `id`, if there is one.
    #[must_use]
    pub fn centroid(&self, id: usize) -> Option<&[f32]> {
        (id < self.len).then(|| &self.centroids[id * self.dim..(id + 1) * self.dim])
    }

    /// All centroids as rows.
    #[must_use]
    pub fn view(&self) -> DenseView<'_> {
        DenseView::from_checked(&self.centroids, self.len, self.dim)
    }

    /// All centroids, row-major.
    #[must_use]
    pub fn centroids(&self) -> &[f32] {
        &self.centroids
    }
}
