//! Which requests the device has a version of: by their shapes alone, before anything is opened.

use super::{all_pairs, conflict_matrix, cosine_classes, kmeans, search};
use crate::accelerator::{Fallback, Request};

/// Whether there is a version for these inputs, of at least so many pairs.
pub(super) fn accepts(least_pairs: u64, request: &Request<'_>) -> Result<(), Fallback> {
    match *request {
        Request::ConflictMatrices(inputs, _) => conflict_matrix::for_gpu(least_pairs, inputs).map(drop),
        Request::CosineConflicts(rows, _) => cosine_classes::for_gpu(least_pairs, rows).map(drop),
        Request::Search(corpus, queries, options) => {
            search::is_for_gpu(least_pairs, corpus, queries, options.wanted)
        }
        Request::KMeansCodes(codes, dim, options) => {
            kmeans::is_for_gpu(least_pairs, codes.len() / (dim as usize).max(1), options.k)
        }
        Request::AllPairs(pairs, similarity, at_least) => {
            all_pairs::is_for_gpu(least_pairs, pairs, similarity, at_least)
        }
    }
}
