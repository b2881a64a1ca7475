//! No operation touches memory that it was not lent, at any level, wherever the memory begins or ends.
//!
//! Inputs and outputs lie against inaccessible pages; answers are compared with those of the oracle on
//! ordinary memory. What an operation allocates itself is watched by `tests/asan.sh`.
#![cfg(unix)]
#![deny(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod dense;
mod inputs;
mod memory;
mod sparse;
mod sweep;
