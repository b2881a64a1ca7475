//! The oracle: the shortest honest loop for each operation. Every other backend is held against it.

pub(crate) mod conflict_matrix;
pub(crate) mod kmeans;
pub(crate) mod kmeans_codes;
