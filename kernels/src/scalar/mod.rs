//! The oracle: the shortest honest loop for each operation. Every other backend is held against it.

pub(crate) mod all_pairs;
pub(crate) mod all_pairs_scores;
pub(crate) mod conflict_matrix;
pub(crate) mod cosine_classes;
pub(crate) mod delta;
pub(crate) mod half;
pub(crate) mod int8;
pub(crate) mod kmeans;
pub(crate) mod kmeans_codes;
pub(crate) mod prepared_pair;
pub(crate) mod quantize;
pub(crate) mod search;
pub(crate) mod sparse_pair;
