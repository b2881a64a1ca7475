//! The most promising adapter, which nobody opens before it is worth it.

use std::fmt;
use std::sync::OnceLock;

use super::accepts::accepts;
use super::adapters::{AdapterKind, adapters};
use super::device::{Gpu, OpenError, Options};
use crate::accelerator::{Accelerator, Fallback, Opened, Request};
use crate::conflict_input::ConflictInput;
use crate::corpus::Corpus;
use crate::kmeans::{KMeansCodes, KMeansCodesOptions};
use crate::types::{
    ConflictList, CosineRows, Decimal, Neighbor, Pairs, ScoredPair, SearchOptions, SearchRows, Similarity,
    Thresholds,
};

/// Name of the environment variable that, set to `1`, lets [`LazyGpu`] open an adapter that computes on the CPU.
pub const ALLOW_SOFTWARE_ENV: &str = "TENSORCHAIN_ALLOW_SOFTWARE_GPU";

/// The first adapter that is a GPU, opened when a [`Selector`](crate::Selector) asks for that, and until then absent.
pub struct LazyGpu {
    options: Options,
    allow_software: bool,
    gpu: OnceLock<Result<Gpu, OpenError>>,
}

impl LazyGpu {
    /// Opens nothing yet. `allow_software`: an adapter that computes on the CPU will do where there is no other.
    #[must_use]
    pub const fn new(options: Options, allow_software: bool) -> Self {
        Self { options, allow_software, gpu: OnceLock::new() }
    }

    /// The device, once it is open; why it could not be opened; `None` before.
    pub fn opened(&self) -> Option<Result<&Gpu, &OpenError>> {
        self.gpu.get().map(Result::as_ref)
    }

    fn find(&self) -> Result<Gpu, OpenError> {
        let adapters = adapters()?;
        let may_be_used = self.allow_software || adapters.iter().any(|one| one.kind != AdapterKind::Software);
        // The most promising comes first.
        if may_be_used {
            Gpu::open(0, self.options.clone())
        } else {
            Err(OpenError::OnlySoftware { adapters })
        }
    }

    fn gpu(&self) -> Result<&Gpu, Fallback> {
        self.gpu.get().and_then(|gpu| gpu.as_ref().ok()).ok_or(Fallback::Absent)
    }
}

impl Accelerator for LazyGpu {
    fn name(&self) -> String {
        match self.gpu.get() {
            None => "none opened: not worth it so far".to_owned(),
            Some(Ok(gpu)) => gpu.name(),
            Some(Err(error)) => format!("none: {error}"),
        }
    }

    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback> {
        accepts(self.options.least_pairs, request)
    }

    fn open(&self) -> Result<Opened, Fallback> {
        // No `get_or_init`: opening uses the pool's threads, which meanwhile may run another request up to here.
        if self.gpu.get().is_none() {
            let gpu = self.find();
            drop(self.gpu.set(gpu));
        }
        self.gpu()?.open()
    }

    fn conflict_matrices(
        &self,
        inputs: &[ConflictInput<'_>],
        thresholds: &Thresholds,
    ) -> Result<Vec<ConflictList>, Fallback> {
        self.gpu()?.conflict_matrices(inputs, thresholds)
    }

    fn cosine_conflicts(
        &self,
        rows: CosineRows<'_>,
        thresholds: &Thresholds,
    ) -> Result<ConflictList, Fallback> {
        self.gpu()?.cosine_conflicts(rows, thresholds)
    }

    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Vec<Neighbor>>, Fallback> {
        self.gpu()?.search(corpus, queries, options)
    }

    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, Fallback> {
        self.gpu()?.kmeans_codes(codes, dim, options)
    }

    fn all_pairs(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
        at_least: Decimal,
    ) -> Result<Vec<ScoredPair>, Fallback> {
        self.gpu()?.all_pairs(pairs, similarity, at_least)
    }
}

impl fmt::Debug for LazyGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyGpu({})", self.name())
    }
}
