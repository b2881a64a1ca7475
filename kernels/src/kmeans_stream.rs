//! Codebooks that learn from batch after batch, without the rows of the batches before.
//!
//! Each centroid is a weighted mean of the rows that were nearest to it. Nearest is decided exactly and
//! sums run in f64 in ascending row, so the same batches in the same order give the same bytes everywhere.

use crate::error::KernelError;
use crate::kmeans::{Clusters, DensePoints};
use crate::types::{Codebook, DenseView, Neighbor};

/// How much the rows of earlier batches count beside those of a new one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StreamRate {
    /// Every row counts alike: the learning rate of a centroid is 1 / n, n the rows it has seen (mini-batch
    /// k-means; Sculley, "Web-scale k-means clustering", 2010). The first rows replace the initial centroid.
    Mean,
    /// Earlier batches fade by this factor in 0..1 with each batch: an exponential moving average (van den
    /// Oord, Vinyals and Kavukcuoglu, "Neural discrete representation learning", 2017, appendix A.1). The
    /// initial centroid counts as one row.
    Decay(f64),
}

/// A codebook that moves with the batches it is shown.
///
/// With the n rows of a batch that are nearest to a centroid c of weight w, and their sum s:
/// w′ = γw + αn and c′ = (γw·c + αs) / w′. [`StreamRate::Mean`] has γ = α = 1 and starts at w = 0;
/// [`StreamRate::Decay`]`(γ)` has α = 1 − γ and starts at w = 1. A centroid without rows stays where it is.
/// Under cosine the rows are those of norm 1, and the codebook holds c / ‖c‖.
///
/// ```
/// use tensor_kernels::{Codebook, DenseView, KMeansStream, Kernels, Metric, StreamRate};
/// let kernels = Kernels::detect()?;
/// let book = Codebook::new(Metric::L2, 2, 1, vec![0.0, 10.0])?;
/// let mut stream = KMeansStream::new(book, StreamRate::Mean)?;
/// let nearest = kernels.kmeans_stream(&mut stream, DenseView::new(&[1.0, 2.0, 11.0], 3, 1)?)?.value;
/// assert_eq!(nearest, [0, 0, 1]);
/// kernels.kmeans_stream(&mut stream, DenseView::new(&[3.0], 1, 1)?)?;
/// assert_eq!(stream.codebook().centroids(), [2.0, 11.0]); // the means of 1, 2, 3 and of 11
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansStream {
    codebook: Codebook,
    rate: StreamRate,
    /// Means in f64, row-major; the codebook holds them rounded.
    means: Vec<f64>,
    weights: Vec<f64>,
    counts: Vec<u64>,
}

impl KMeansStream {
    /// A stream that starts from the centroids of `codebook`, as of k-means on a first sample.
    ///
    /// # Errors
    /// A decay outside 0..1; [`Metric::Dot`](crate::Metric::Dot), under which a longer centroid is always nearer.
    pub fn new(codebook: Codebook, rate: StreamRate) -> Result<Self, KernelError> {
        let weight = match rate {
            StreamRate::Mean => 0.0,
            StreamRate::Decay(decay) if (0.0..1.0).contains(&decay) => 1.0,
            StreamRate::Decay(got) => return Err(KernelError::BadFactor { got }),
        };
        DensePoints::new(codebook.view(), codebook.metric())?;
        let means = codebook.centroids().iter().map(|&c| f64::from(c)).collect();
        let (weights, counts) = (vec![weight; codebook.len()], vec![0; codebook.len()]);
        Ok(Self { codebook, rate, means, weights, counts })
    }

    /// The centroids as they stand.
    #[must_use]
    pub const fn codebook(&self) -> &Codebook {
        &self.codebook
    }

    /// Rows that each centroid has been nearest to, over all batches.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Learns from a batch and returns the centroid that was nearest to each row, before any moved; empty
    /// where the codebook is. `quantize` is a backend's.
    ///
    /// # Errors
    /// None for rows of the codebook's dimension.
    pub(crate) fn update(
        &mut self,
        batch: DenseView<'_>,
        quantize: impl FnOnce(&Codebook, DenseView<'_>) -> Vec<Option<Neighbor>>,
    ) -> Result<Vec<u32>, KernelError> {
        let nearest: Vec<u32> =
            quantize(&self.codebook, batch).into_iter().flatten().map(|n| n.row).collect();
        if nearest.is_empty() {
            return Ok(nearest);
        }
        let points = DensePoints::new(batch, self.codebook.metric())?;
        let clusters = Clusters::group(&nearest, self.codebook.len());
        let dim = self.codebook.dim();
        let mut centroids = self.codebook.centroids().to_vec();
        let mut sums = vec![0.0; dim];
        let slots = self.means.chunks_exact_mut(dim).zip(centroids.chunks_exact_mut(dim));
        for (id, (mean, centroid)) in slots.enumerate() {
            let members = clusters.members(id);
            let (keep, learn) = match self.rate {
                StreamRate::Mean => (1.0, 1.0),
                StreamRate::Decay(decay) => (decay, 1.0 - decay),
            };
            let old = keep * self.weights[id];
            self.weights[id] = old + learn * members.len() as f64;
            self.counts[id] += members.len() as u64;
            if members.is_empty() {
                continue;
            }
            points.sum(members, &mut sums);
            for (mean, sum) in mean.iter_mut().zip(&sums) {
                *mean = (old * *mean + learn * sum) / self.weights[id];
            }
            points.round(mean, centroid);
        }
        self.codebook = Codebook::new(self.codebook.metric(), self.codebook.len(), dim, centroids)?;
        Ok(nearest)
    }
}
