//! The fast path on the CPU: one dispatch per batch or block, rayon over fixed blocks.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
pub(crate) mod conflict_matrix;
pub(crate) mod delta;
pub(crate) mod int8;
mod intersect;
pub(crate) mod kmeans;
pub(crate) mod kmeans_codes;
mod postings;
mod nearest;
pub(crate) mod quantize;
pub(crate) mod search;
pub(crate) mod sparse_pair;
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
pub(crate) mod vnni;
