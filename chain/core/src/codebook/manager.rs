//! The one owner of all codebooks: the global one and a local one for each domain.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tensor_kernels::Decimal;

use super::nearest::{distance_within, norm};
use super::{CodebookError, GlobalCodebook, LocalCodebook, LocalCodebookStats};

/// How codebooks are used. Fields left out have their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodebookConfig {
    /// Most entries of each local codebook. Default 256.
    pub local_capacity: usize,
    /// Weight of a new observation in a local entry. Default 0.1.
    pub ema_alpha: Decimal,
    /// Cosine from which a residual moves a local entry instead of becoming one. Default 0.9.
    pub similarity_threshold: Decimal,
    /// Residuals must be longer than this to reach the local codebook. Default 0.05.
    pub residual_threshold: Decimal,
    /// Cosine from which a state is valid. Default 0.8.
    pub validity_threshold: Decimal,
}

impl Default for CodebookConfig {
    fn default() -> Self {
        Self {
            local_capacity: 256,
            ema_alpha: Decimal::from_ten_thousandths(1_000),
            similarity_threshold: Decimal::from_ten_thousandths(9_000),
            residual_threshold: Decimal::from_ten_thousandths(500),
            validity_threshold: Decimal::from_ten_thousandths(8_000),
        }
    }
}

/// A state as entries of the global and perhaps of a local codebook.
#[derive(Debug, Clone, PartialEq)]
pub struct HierarchicalQuantization {
    /// The nearest global entry.
    pub global_entry_id: u16,
    /// Cosine between the state and that entry.
    pub global_similarity: f64,
    /// The local entry nearest to the residual, where the residual is long enough and there is one.
    pub local_entry_id: Option<u64>,
    /// Cosine between the residual and that entry.
    pub local_similarity: Option<f64>,
    /// The ids: global, then local if there is one.
    pub codes: Vec<u64>,
}

impl HierarchicalQuantization {
    fn new((global_entry_id, global_similarity): (u16, f64), local: Option<(u64, f64)>) -> Self {
        Self {
            global_entry_id,
            global_similarity,
            local_entry_id: local.map(|(id, _)| id),
            local_similarity: local.map(|(_, similarity)| similarity),
            codes: std::iter::once(u64::from(global_entry_id)).chain(local.map(|(id, _)| id)).collect(),
        }
    }
}

/// Quantises states by the global codebook and, domain by domain, their residuals by local ones.
///
/// Only [`learn`](Self::learn) changes anything. Verdicts here may rest on what this node has learned, so
/// they are advice: nothing that nodes must agree on may use them.
///
/// ```
/// use tensor_chain::{CodebookConfig, CodebookManager, GlobalCodebook};
/// let global = GlobalCodebook::from_centroids(vec![vec![1.0, 0.0], vec![0.0, 1.0]])?;
/// let manager = CodebookManager::new(global, CodebookConfig::default())?;
/// let state = [0.9, 0.3];
/// assert_eq!(manager.quantize("users", &state)?.codes, [0]);
/// assert_eq!(manager.learn("users", &state)?.codes, [0, 0]);
/// assert_eq!(manager.quantize("users", &state)?.codes, [0, 0]);
/// # Ok::<(), tensor_chain::CodebookError>(())
/// ```
#[derive(Debug)]
pub struct CodebookManager {
    global: GlobalCodebook,
    config: CodebookConfig,
    locals: RwLock<BTreeMap<String, LocalCodebook>>,
}

impl CodebookManager {
    /// A manager that has learned nothing yet.
    ///
    /// # Errors
    /// A configuration that no local codebook accepts.
    pub fn new(global: GlobalCodebook, config: CodebookConfig) -> Result<Self, CodebookError> {
        LocalCodebook::check(config.local_capacity, config.ema_alpha)?;
        Ok(Self { global, config, locals: RwLock::default() })
    }

    /// The global codebook.
    #[must_use]
    pub const fn global(&self) -> &GlobalCodebook {
        &self.global
    }

    /// How the codebooks are used.
    #[must_use]
    pub const fn config(&self) -> &CodebookConfig {
        &self.config
    }

    /// What the local codebook of `domain` has done; none where nothing was learned there.
    #[must_use]
    pub fn local_stats(&self, domain: &str) -> Option<LocalCodebookStats> {
        self.locals().get(domain).map(LocalCodebook::stats)
    }

    /// Nearest entries of both stages. Changes nothing.
    ///
    /// # Errors
    /// An empty global codebook; another dimension; a NaN or infinite component.
    pub fn quantize(&self, domain: &str, state: &[f32]) -> Result<HierarchicalQuantization, CodebookError> {
        let global = self.global.quantize(state)?;
        let residual = self.global.residual(state, global.0)?;
        let local = match self.locals().get(domain) {
            Some(local) if self.is_long(&residual) => local.quantize(&residual)?,
            _ => None,
        };
        Ok(HierarchicalQuantization::new(global, local))
    }

    /// As [`quantize`](Self::quantize), and teaches the residual to the local codebook of `domain`.
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize).
    pub fn learn(&self, domain: &str, state: &[f32]) -> Result<HierarchicalQuantization, CodebookError> {
        let global = self.global.quantize(state)?;
        let residual = self.global.residual(state, global.0)?;
        if !self.is_long(&residual) {
            return Ok(HierarchicalQuantization::new(global, None));
        }
        let mut locals = self.locals.write().unwrap_or_else(PoisonError::into_inner);
        if !locals.contains_key(domain) {
            locals.insert(domain.to_owned(), self.new_local(domain)?);
        }
        let threshold = self.config.similarity_threshold;
        let learned = locals.get_mut(domain).map(|local| local.quantize_and_update(&residual, threshold));
        Ok(HierarchicalQuantization::new(global, learned.transpose()?))
    }

    /// Whether `state` is near a global entry, or its residual near a local one, at the configured
    /// validity threshold.
    ///
    /// # Errors
    /// Another dimension than the global codebook's; a NaN or infinite component.
    pub fn is_valid_state(&self, domain: &str, state: &[f32]) -> Result<bool, CodebookError> {
        self.is_valid_state_at(domain, state, self.config.validity_threshold)
    }

    /// As [`is_valid_state`](Self::is_valid_state), at another threshold.
    ///
    /// # Errors
    /// As [`is_valid_state`](Self::is_valid_state).
    pub fn is_valid_state_at(
        &self,
        domain: &str,
        state: &[f32],
        threshold: Decimal,
    ) -> Result<bool, CodebookError> {
        if self.global.is_valid_state(state, threshold)? {
            return Ok(true);
        }
        let locals = self.locals();
        let Some(local) = locals.get(domain) else { return Ok(false) };
        let (id, residual) = self.global.compute_residual(state)?;
        Ok(self.global.is_within_radius(state, id)? && local.quantize_above(&residual, threshold)?.is_some())
    }

    /// Whether both states are valid and ‖to − from‖ ≤ `max_distance`, decided exactly.
    ///
    /// # Errors
    /// As [`is_valid_state`](Self::is_valid_state).
    pub fn is_valid_transition(
        &self,
        domain: &str,
        from: &[f32],
        to: &[f32],
        max_distance: Decimal,
    ) -> Result<bool, CodebookError> {
        Ok(self.is_valid_state(domain, from)?
            && self.is_valid_state(domain, to)?
            && distance_within(self.global.kernels(), from, to, max_distance)?)
    }

    /// Whether a residual is worth the local codebook's attention: no verdict but what this node chooses to learn,
    /// so that f64 may decide.
    fn is_long(&self, residual: &[f32]) -> bool {
        norm(residual) > self.config.residual_threshold.to_f64()
    }

    fn new_local(&self, domain: &str) -> Result<LocalCodebook, CodebookError> {
        let CodebookConfig { local_capacity, ema_alpha, .. } = self.config;
        let kernels = self.global.kernels().clone();
        LocalCodebook::with_kernels(domain, self.global.dimension(), local_capacity, ema_alpha, kernels)
    }

    fn locals(&self) -> RwLockReadGuard<'_, BTreeMap<String, LocalCodebook>> {
        // A reader never sees half a lesson: a panic while learning is ruled out, and poison means nothing.
        self.locals.read().unwrap_or_else(PoisonError::into_inner)
    }
}
