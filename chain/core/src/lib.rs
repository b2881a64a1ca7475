//! The embedded chain: blocks, workspaces, conflict rules, codebooks, history and proofs.
//!
//! Synchronous and usable inside any program: no network, no async runtime. The append-only block log is
//! the truth; everything else is an index over it that can be rebuilt.
#![forbid(unsafe_code)]

pub mod atomic_io;
pub mod encoding;
pub mod hash;
pub mod ids;
pub mod index;
pub mod log;
