//! Raft under the chain.
#![forbid(unsafe_code)]
