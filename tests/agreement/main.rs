//! Every operation, on every backend of this machine, gives the oracle's answer.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adversarial;
mod all_pairs;
mod all_pairs_scores;
mod conflict_matrix;
mod cosine_classes;
mod delta;
mod golden;
mod half;
mod independent_set;
mod int8;
mod kmeans;
mod kmeans_stream;
mod prepared_pair;
mod quantize;
mod search;
mod sparse_pair;
