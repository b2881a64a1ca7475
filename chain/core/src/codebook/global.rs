//! The fixed codebook that every node shares.

use tensor_kernels::{Codebook, Decimal, DenseView, KMeansOptions, Kernels, Metric, residual};

use super::nearest::{cosine, cosine_at_least, distance_within, norm};
use super::{CodebookError, check_dimension};
use crate::hash::{Domain, Hash};
use crate::kernel_span::kernel_span;
use crate::shared_kernels::shared_kernels;

/// An entry's id is 16 bits wide.
const MAX_ENTRIES: usize = 1 << 16;
/// k-means begins from this seed, so that the same vectors train the same codebook everywhere.
const SEED: u64 = 42;
const HASH: Domain = Domain::new("codebook");

/// Known-good states, and the metric by which a state finds its nearest.
///
/// Looking something up changes nothing, so a codebook is a value: equal contents, equal
/// [`hash`](Self::hash). The f32 centroids here serve analysis; what nodes must agree on is decided by the
/// integer form of [`to_consensus`](Self::to_consensus).
///
/// ```
/// use tensor_chain::GlobalCodebook;
/// let codebook = GlobalCodebook::from_centroids(vec![vec![1.0, 0.0], vec![0.0, 1.0]])?;
/// let (entry_id, similarity) = codebook.quantize(&[0.6, 0.8])?;
/// assert_eq!(entry_id, 1);
/// assert!((similarity - 0.8).abs() < 1e-6);
/// assert!(!codebook.is_valid_state(&[0.6, 0.8], "0.9".parse()?)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct GlobalCodebook {
    kernels: Kernels,
    book: Codebook,
    labels: Vec<Option<String>>,
    radius: Option<Decimal>,
    epoch: u64,
}

/// One entry of a [`GlobalCodebook`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodebookEntry<'a> {
    /// Its position in the codebook.
    pub id: u16,
    /// Its components.
    pub centroid: &'a [f32],
    /// ‖centroid‖.
    pub magnitude: f64,
    /// What people call it.
    pub label: Option<&'a str>,
}

impl GlobalCodebook {
    /// Trains `k` centroids of unit length by spherical k-means, for lookup by cosine. Equal vectors train
    /// equal codebooks on every machine.
    ///
    /// Fewer than `k` distinct directions give fewer entries; no vectors, or a `k` of 0, give an empty
    /// codebook.
    ///
    /// # Errors
    /// Vectors of different dimension; a NaN or infinite component; more than 65,536 entries; kernels that
    /// cannot be started.
    pub fn from_kmeans(vectors: &[Vec<f32>], k: usize, max_iterations: usize) -> Result<Self, CodebookError> {
        Self::train(vectors, k, max_iterations, Metric::Cosine, shared_kernels()?)
    }

    /// As [`from_kmeans`](Self::from_kmeans), by any metric and on particular kernels. The metric that
    /// trains is the one that looks up.
    ///
    /// # Errors
    /// As [`from_kmeans`](Self::from_kmeans), and a metric that cannot train.
    pub fn train(
        vectors: &[Vec<f32>],
        k: usize,
        max_iterations: usize,
        metric: Metric,
        kernels: Kernels,
    ) -> Result<Self, CodebookError> {
        let (dim, data) = flatten(vectors)?;
        if k == 0 || vectors.is_empty() {
            return Self::build(Codebook::new(metric, 0, dim, Vec::new())?, Vec::new(), kernels);
        }
        let rows = DenseView::new(&data, vectors.len(), dim)?;
        let options = KMeansOptions { k, max_iterations, seed: SEED, metric };
        let _span = kernel_span("kmeans", rows.rows());
        let trained = kernels.kmeans(rows, &options)?.value.codebook;
        let labels = vec![None; trained.len()];
        Self::build(trained, labels, kernels)
    }

    /// A codebook of given centroids without labels, for lookup by cosine; ids are their positions.
    ///
    /// # Errors
    /// Centroids of different dimension; a NaN or infinite component; more than 65,536 centroids; kernels
    /// that cannot be started.
    pub fn from_centroids(centroids: Vec<Vec<f32>>) -> Result<Self, CodebookError> {
        let labels = vec![None; centroids.len()];
        Self::from_parts(centroids, labels)
    }

    /// As [`from_centroids`](Self::from_centroids), with one label for each.
    ///
    /// # Errors
    /// As [`from_centroids`](Self::from_centroids), and another number of labels than of centroids.
    pub fn from_centroids_with_labels(
        centroids: Vec<Vec<f32>>,
        labels: Vec<String>,
    ) -> Result<Self, CodebookError> {
        Self::from_parts(centroids, labels.into_iter().map(Some).collect())
    }

    pub(super) fn from_parts(
        centroids: Vec<Vec<f32>>,
        labels: Vec<Option<String>>,
    ) -> Result<Self, CodebookError> {
        let (dim, data) = flatten(&centroids)?;
        let book = Codebook::new(Metric::Cosine, centroids.len(), dim, data)?;
        Self::build(book, labels, shared_kernels()?)
    }

    /// A codebook without entries, to which no state is near.
    ///
    /// # Errors
    /// Kernels that cannot be started.
    pub fn empty(dim: usize) -> Result<Self, CodebookError> {
        Self::build(Codebook::new(Metric::Cosine, 0, dim, Vec::new())?, Vec::new(), shared_kernels()?)
    }

    fn build(book: Codebook, labels: Vec<Option<String>>, kernels: Kernels) -> Result<Self, CodebookError> {
        let (got, limit) = (book.len(), MAX_ENTRIES);
        if got > limit {
            return Err(CodebookError::TooManyEntries { got, limit });
        }
        if labels.len() != book.len() {
            return Err(CodebookError::LabelCount { got: labels.len(), expected: book.len() });
        }
        // −0 becomes 0, so that equal values hash equally.
        let centroids = book.centroids().iter().map(|component| component + 0.0).collect();
        let book = Codebook::new(book.metric(), book.len(), book.dim(), centroids)?;
        Ok(Self { kernels, book, labels, radius: None, epoch: 0 })
    }

    /// The same entries looked up by another metric.
    ///
    /// # Errors
    /// None that these entries have not passed before.
    pub fn with_metric(self, metric: Metric) -> Result<Self, CodebookError> {
        let book = Codebook::new(metric, self.len(), self.dimension(), self.book.centroids().to_vec())?;
        Ok(Self { book, ..self })
    }

    /// Requires valid states to lie within `radius` of their nearest entry: cosine alone accepts any
    /// multiple of a centroid.
    #[must_use]
    pub fn with_radius(self, radius: Decimal) -> Self {
        Self { radius: Some(radius), ..self }
    }

    /// Numbers the vocabulary: how many times it has been replaced.
    #[must_use]
    pub fn with_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// Id of the nearest entry by the codebook's metric, ties to the lower id, and the cosine between `v`
    /// and its centroid.
    ///
    /// # Errors
    /// An empty codebook; another dimension; a NaN or infinite component.
    pub fn quantize(&self, v: &[f32]) -> Result<(u16, f64), CodebookError> {
        check_dimension(v.len(), self.dimension())?;
        let rows = DenseView::new(v, 1, v.len())?;
        let _span = kernel_span("quantize", rows.rows());
        let found = self.kernels.quantize(&self.book, rows)?.value.first().copied().flatten();
        let found = found.ok_or(CodebookError::Empty)?;
        let id = found.row as u16; // `build` has refused more than 65,536 entries
        let similarity = match self.metric() {
            Metric::Cosine => found.score,
            Metric::Dot | Metric::L2 => cosine(&self.kernels, v, self.centroid(id)?)?,
        };
        Ok((id, similarity))
    }

    /// Id of the nearest entry and `v − centroid`, each component rounded to f32 once.
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize), and a difference that overflows.
    pub fn compute_residual(&self, v: &[f32]) -> Result<(u16, Vec<f32>), CodebookError> {
        let (id, _) = self.quantize(v)?;
        Ok((id, self.residual(v, id)?))
    }

    /// Whether the cosine between `v` and its nearest entry is ≥ `threshold`, and `v` lies within the
    /// radius if there is one. Decided exactly. Nothing is near an empty codebook.
    ///
    /// # Errors
    /// Another dimension; a NaN or infinite component.
    pub fn is_valid_state(&self, v: &[f32], threshold: Decimal) -> Result<bool, CodebookError> {
        if self.is_empty() {
            return Ok(false);
        }
        let (id, _) = self.quantize(v)?;
        Ok(cosine_at_least(&self.kernels, v, self.centroid(id)?, threshold)?
            && self.is_within_radius(v, id)?)
    }

    /// What entry `id` leaves of `v`.
    pub(super) fn residual(&self, v: &[f32], id: u16) -> Result<Vec<f32>, CodebookError> {
        Ok(residual(&self.book, usize::from(id), v)?)
    }

    /// Whether `v` lies within the radius of entry `id`, or there is no radius.
    pub(super) fn is_within_radius(&self, v: &[f32], id: u16) -> Result<bool, CodebookError> {
        match self.radius {
            Some(radius) => Ok(distance_within(&self.kernels, v, self.centroid(id)?, radius)?),
            None => Ok(true),
        }
    }

    /// Components of every entry.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.book.dim()
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.book.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.book.is_empty()
    }

    /// The metric that trained the codebook and looks up in it.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.book.metric()
    }

    /// How far a valid state may lie from its nearest entry.
    #[must_use]
    pub const fn radius(&self) -> Option<Decimal> {
        self.radius
    }

    /// How many times the vocabulary has been replaced.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Entry `id`, if there is one.
    #[must_use]
    pub fn get(&self, id: u16) -> Option<CodebookEntry<'_>> {
        let centroid = self.book.centroid(usize::from(id))?;
        let label = self.labels.get(usize::from(id))?.as_deref();
        Some(CodebookEntry { id, centroid, magnitude: norm(centroid), label })
    }

    /// All entries in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = CodebookEntry<'_>> {
        (0..=u16::MAX).map_while(|id| self.get(id))
    }

    /// SHA-256 of everything that decides a lookup: metric, epoch, radius and centroids. Labels are for
    /// people and do not count.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let radius = self.radius.map_or(i64::MIN, |radius| i64::from(radius.ten_thousandths()));
        let metric = match self.metric() {
            Metric::Dot => 0,
            Metric::Cosine => 1,
            Metric::L2 => 2,
        };
        let centroids: Vec<u8> = self.book.centroids().iter().flat_map(|c| c.to_le_bytes()).collect();
        HASH.hash(&[
            &[metric],
            &self.epoch.to_le_bytes(),
            &radius.to_le_bytes(),
            &(self.dimension() as u64).to_le_bytes(),
            &centroids,
        ])
    }

    pub(crate) const fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    pub(super) fn centroids(&self) -> &[f32] {
        self.book.centroids()
    }

    fn centroid(&self, id: u16) -> Result<&[f32], CodebookError> {
        self.book.centroid(usize::from(id)).ok_or(CodebookError::UnknownEntry { id: u64::from(id) })
    }
}

/// Equal entries, labels, metric, radius and epoch; which kernels look up does not matter.
impl PartialEq for GlobalCodebook {
    fn eq(&self, other: &Self) -> bool {
        (&self.book, &self.labels, self.radius, self.epoch)
            == (&other.book, &other.labels, other.radius, other.epoch)
    }
}

/// The rows' dimension and their components end to end.
fn flatten(rows: &[Vec<f32>]) -> Result<(usize, Vec<f32>), CodebookError> {
    let dim = rows.first().map_or(0, Vec::len);
    rows.iter().try_for_each(|row| check_dimension(row.len(), dim))?;
    Ok((dim, rows.concat()))
}
