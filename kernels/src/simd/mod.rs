//! The fast path on the CPU: one dispatch per batch or block, rayon over fixed blocks.

pub(crate) mod all_pairs;
pub(crate) mod all_pairs_scores;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
pub(crate) mod conflict_matrix;
pub(crate) mod cosine_classes;
pub(crate) mod delta;
pub(crate) mod half;
pub(crate) mod int8;
mod intersect;
pub(crate) mod kmeans;
pub(crate) mod kmeans_codes;
mod lanes;
mod nearest;
pub(crate) mod pairs;
pub(crate) mod prepared_pair;
pub(crate) mod quantize;
pub(crate) mod roofs;
mod scores;
pub(crate) mod search;
pub(crate) mod sparse_pair;
mod stream;
pub(crate) mod tile;
pub(crate) mod variant;
#[cfg(target_arch = "x86_64")]
pub(crate) mod vnni;
