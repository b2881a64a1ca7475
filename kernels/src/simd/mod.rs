//! The fast path on the CPU: one dispatch per batch or block, rayon over fixed blocks.

pub(crate) mod conflict_matrix;
pub(crate) mod delta;
pub(crate) mod int8;
mod postings;
pub(crate) mod sparse_pair;
pub(crate) mod quantize;
pub(crate) mod search;
