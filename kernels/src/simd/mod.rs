//! The fast path on the CPU: one dispatch per batch or block, rayon over fixed blocks.

pub(crate) mod conflict_matrix;
pub(crate) mod delta;
mod postings;
pub(crate) mod quantize;
pub(crate) mod search;
