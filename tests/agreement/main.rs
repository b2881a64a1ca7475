//! Every operation, on every backend of this machine, gives the oracle's answer.
#![forbid(unsafe_code)]

mod conflict_matrix;
mod delta;
