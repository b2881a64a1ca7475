//! Raft under the chain. Only this directory knows the consensus library and the library of its log, so that both can
//! be replaced here.
//!
//! ```text
//! submit ─► proposer ─► log_store ─► peers (network, service) ─► state_machine ─► the chain ─► each writer's answer
//! ```
//!
//! The log carries batches of writes; verdicts, blocks and answers come from applying them. The log is the truth until
//! a snapshot has made the blocks and the state durable.

mod admin;
#[cfg(test)]
mod admin_tests;
mod blocking;
mod checkpoints;
mod condition;
mod config;
#[cfg(test)]
mod conformance_tests;
mod disk_guard;
mod durable;
mod failure;
mod handover;
mod log_record;
mod log_store;
mod messages;
mod network;
#[cfg(feature = "simulation")]
mod ordered_runtime;
mod proposer;
mod replica;
mod restore;
mod service;
#[cfg(feature = "simulation")]
pub mod simulation;
mod snapshots;
mod state_machine;
mod statistics;
mod torn_log;
#[cfg(test)]
mod transfer_tests;
mod types;
mod validation;
mod voters;
mod watch;

/// Where the log lines of the consensus library come from.
pub const LIBRARY_TARGET: &str = "openraft";

pub use config::{ReplicaConfig, Timing};
pub use failure::ReplicaError;
pub use replica::Replica;
pub use restore::{RestoreError, Restored, check_export, restore};
pub use watch::{Cluster, ClusterWatch, StatusWatch};
