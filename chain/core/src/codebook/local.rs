//! A codebook that learns on one node: the residuals of one domain, within a fixed amount of memory.

use tensor_kernels::{Decimal, DenseView, KernelError, Kernels, Metric, Neighbor};

use super::nearest::{nearest, nearest_above};
use super::pruning::{PruningStrategy, Usage};
use super::{CodebookError, check_dimension};
use crate::shared_kernels::shared_kernels;

/// At most `max_entries` directions of residuals, moved towards what is observed by an exponential moving
/// average (EMA). Counts its own learning steps instead of reading a clock.
///
/// ```
/// use tensor_chain::LocalCodebook;
/// let mut local = LocalCodebook::new("users", 2, 256, "0.1".parse()?)?;
/// let (id, similarity) = local.quantize_and_update(&[1.0, 0.0], "0.9".parse()?)?;
/// assert_eq!((id, similarity), (0, 1.0)); // nothing near: a new entry
/// assert_eq!(local.quantize_and_update(&[2.0, 0.0], "0.9".parse()?)?.0, id); // near: moves the entry
/// assert_eq!(local.get(id), Some(&[1.1, 0.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LocalCodebook {
    kernels: Kernels,
    domain: String,
    dim: usize,
    max_entries: usize,
    alpha: Decimal,
    strategy: PruningStrategy,
    /// Ascending by id, which is the order of insertion.
    entries: Vec<Entry>,
    /// The entries' centroids end to end.
    centroids: Vec<f32>,
    next_id: u64,
    tick: u64,
    lookups: u64,
    updates: u64,
    prunes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    usage: Usage,
}

/// What a local codebook has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalCodebookStats {
    /// Entries held now.
    pub entry_count: usize,
    /// Times an entry was moved towards an observation.
    pub total_updates: u64,
    /// Times an observation was looked up in order to learn from it.
    pub total_lookups: u64,
    /// Entries dropped to make room.
    pub total_prunes: u64,
    /// Entries ever inserted.
    pub total_insertions: u64,
}

impl LocalCodebook {
    /// An empty codebook of `dim` components for `domain`. An update moves an entry to
    /// `alpha · observation + (1 − alpha) · entry`.
    ///
    /// # Errors
    /// `max_entries` of 0; `alpha` outside 0.0001..=1; a dimension of 0; kernels that cannot be started.
    pub fn new(
        domain: impl Into<String>,
        dim: usize,
        max_entries: usize,
        alpha: Decimal,
    ) -> Result<Self, CodebookError> {
        Self::with_kernels(domain, dim, max_entries, alpha, shared_kernels()?)
    }

    /// As [`new`](Self::new), on particular kernels.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn with_kernels(
        domain: impl Into<String>,
        dim: usize,
        max_entries: usize,
        alpha: Decimal,
        kernels: Kernels,
    ) -> Result<Self, CodebookError> {
        Self::check(max_entries, alpha)?;
        if dim == 0 {
            return Err(KernelError::ZeroDimension.into());
        }
        Ok(Self {
            kernels,
            domain: domain.into(),
            dim,
            max_entries,
            alpha,
            strategy: PruningStrategy::default(),
            entries: Vec::new(),
            centroids: Vec::new(),
            next_id: 0,
            tick: 0,
            lookups: 0,
            updates: 0,
            prunes: 0,
        })
    }

    /// Checks what does not depend on the vectors.
    pub(super) fn check(max_entries: usize, alpha: Decimal) -> Result<(), CodebookError> {
        if max_entries == 0 {
            return Err(CodebookError::ZeroCapacity);
        }
        if !(1..=10_000).contains(&alpha.ten_thousandths()) {
            return Err(CodebookError::BadAlpha { got: alpha });
        }
        Ok(())
    }

    /// Chooses what makes room from now on.
    pub fn set_pruning_strategy(&mut self, strategy: PruningStrategy) {
        self.strategy = strategy;
    }

    /// Id of the entry nearest to `residual` by cosine and that cosine, ties to the older entry; none where
    /// there are no entries. Changes nothing.
    ///
    /// # Errors
    /// Another dimension; a NaN or infinite component.
    pub fn quantize(&self, residual: &[f32]) -> Result<Option<(u64, f64)>, CodebookError> {
        check_dimension(residual.len(), self.dim)?;
        let found = nearest(&self.kernels, self.rows()?, residual, Metric::Cosine)?;
        Ok(found.and_then(|found| self.id_and_score(found)))
    }

    /// As [`quantize`](Self::quantize), but only an entry of cosine ≥ `threshold`, decided exactly.
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize).
    pub fn quantize_above(
        &self,
        residual: &[f32],
        threshold: Decimal,
    ) -> Result<Option<(u64, f64)>, CodebookError> {
        check_dimension(residual.len(), self.dim)?;
        let found = nearest_above(&self.kernels, self.rows()?, residual, threshold)?;
        Ok(found.and_then(|found| self.id_and_score(found)))
    }

    /// Learns from `residual`: moves the nearest entry towards it if their cosine is ≥ `threshold`,
    /// otherwise inserts it as a new entry, dropping one if the codebook is full. Returns the entry's id
    /// and the cosine before the update, 1 for a new entry. Ids are never used again.
    ///
    /// # Errors
    /// Another dimension; a NaN or infinite component; the zero vector.
    pub fn quantize_and_update(
        &mut self,
        residual: &[f32],
        threshold: Decimal,
    ) -> Result<(u64, f64), CodebookError> {
        let found = self.quantize_above(residual, threshold)?;
        if residual.iter().all(|&component| component == 0.0) {
            return Err(CodebookError::ZeroObservation);
        }
        self.lookups += 1;
        match found {
            Some((id, similarity)) => self.ema_update(id, residual).map(|()| (id, similarity)),
            None => Ok((self.insert(residual), 1.0)),
        }
    }

    /// Moves entry `id` to `alpha · observation + (1 − alpha) · entry`, each component rounded to f32 once.
    ///
    /// # Errors
    /// No such entry; another dimension; a NaN or infinite component.
    pub fn ema_update(&mut self, id: u64, observation: &[f32]) -> Result<(), CodebookError> {
        check_dimension(observation.len(), self.dim)?;
        DenseView::new(observation, 1, self.dim)?;
        let position = self.position(id).ok_or(CodebookError::UnknownEntry { id })?;
        let new_weight = self.alpha.to_f64();
        let centroid = &mut self.centroids[position * self.dim..(position + 1) * self.dim];
        for (held, &observed) in centroid.iter_mut().zip(observation) {
            *held = (new_weight * f64::from(observed) + (1.0 - new_weight) * f64::from(*held)) as f32;
        }
        self.tick += 1;
        self.updates += 1;
        let usage = &mut self.entries[position].usage;
        usage.uses += 1;
        usage.last_tick = self.tick;
        Ok(())
    }

    /// Centroid of entry `id`; none where there is no such entry any more.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&[f32]> {
        self.position(id).map(|position| &self.centroids[position * self.dim..(position + 1) * self.dim])
    }

    /// What the codebook has done so far.
    #[must_use]
    pub const fn stats(&self) -> LocalCodebookStats {
        LocalCodebookStats {
            entry_count: self.entries.len(),
            total_updates: self.updates,
            total_lookups: self.lookups,
            total_prunes: self.prunes,
            total_insertions: self.next_id,
        }
    }

    /// The domain whose residuals this learns.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Components of every entry.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.dim
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, centroid: &[f32]) -> u64 {
        if self.entries.len() >= self.max_entries {
            self.prune();
        }
        self.tick += 1;
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push(Entry { id, usage: Usage { uses: 1, last_tick: self.tick } });
        self.centroids.extend_from_slice(centroid);
        id
    }

    /// Drops the least valuable entry.
    fn prune(&mut self) {
        let usages = self.entries.iter().map(|entry| entry.usage);
        if let Some(position) = self.strategy.victim(usages, self.tick) {
            self.entries.remove(position);
            self.centroids.drain(position * self.dim..(position + 1) * self.dim);
            self.prunes += 1;
        }
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok()
    }

    fn rows(&self) -> Result<DenseView<'_>, CodebookError> {
        Ok(DenseView::new(&self.centroids, self.entries.len(), self.dim)?)
    }

    fn id_and_score(&self, found: Neighbor) -> Option<(u64, f64)> {
        self.entries.get(found.row as usize).map(|entry| (entry.id, found.score))
    }
}
