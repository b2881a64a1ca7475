//! A replicated chain: Raft under the ledger, and how nodes reach each other.
//!
//! A [`Replica`] is one node. It asks others through a [`PeerLink`](link::PeerLink) and answers them through the
//! [`PeerService`](link::PeerService) that it hands out; what carries the bytes is chosen outside.
#![forbid(unsafe_code)]

pub mod api;
pub mod link;
pub mod memory_link;
pub mod ticket;
pub mod transport;

mod raft;

pub use raft::{Replica, ReplicaConfig, StartError, StatusWatch, Timing};
