//! A replicated chain: Raft under the ledger, and how nodes reach each other.
#![forbid(unsafe_code)]

pub mod api;
pub mod link;
pub mod memory_link;
