//! A device that compares directions once and never again in time, and has no version of anything else.

use std::sync::atomic::{AtomicBool, Ordering};

use tensor_kernels::{
    Accelerator, ConflictInput, ConflictList, Corpus, CosineRows, Decimal, Fallback, KMeansCodes,
    KMeansCodesOptions, Kernels, Neighbor, Opened, Pairs, Request, ScoredPair, SearchOptions, SearchRows,
    Similarity, Thresholds,
};

#[derive(Debug, Default)]
pub struct Moody(AtomicBool);

impl Accelerator for Moody {
    fn name(&self) -> String {
        "moody".to_owned()
    }

    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback> {
        if matches!(request, Request::CosineConflicts(..)) { Ok(()) } else { Err(Fallback::NoVersion) }
    }

    fn open(&self) -> Result<Opened, Fallback> {
        Err(Fallback::Absent)
    }

    fn conflict_matrices(
        &self,
        _: &[ConflictInput<'_>],
        _: &Thresholds,
    ) -> Result<Vec<ConflictList>, Fallback> {
        Err(Fallback::NoVersion)
    }

    fn cosine_conflicts(
        &self,
        rows: CosineRows<'_>,
        thresholds: &Thresholds,
    ) -> Result<ConflictList, Fallback> {
        match self.0.swap(true, Ordering::Relaxed) {
            true => Err(Fallback::Timeout),
            false => Ok(Kernels::scalar().unwrap().cosine_conflicts(rows, thresholds).value),
        }
    }

    fn search(
        &self,
        _: &Corpus<'_>,
        _: SearchRows<'_>,
        _: &SearchOptions<'_>,
    ) -> Result<Vec<Vec<Neighbor>>, Fallback> {
        Err(Fallback::NoVersion)
    }

    fn kmeans_codes(&self, _: &[i8], _: u32, _: &KMeansCodesOptions) -> Result<KMeansCodes, Fallback> {
        Err(Fallback::NoVersion)
    }

    fn all_pairs(&self, _: &Pairs<'_>, _: Similarity, _: Decimal) -> Result<Vec<ScoredPair>, Fallback> {
        Err(Fallback::NoVersion)
    }
}
