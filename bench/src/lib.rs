//! The benchmark runner's parts: how a case is timed, what a record holds, and the workloads.
//!
//! A case checks its answer against the oracle before it is timed; a wrong answer is a failure, not
//! a row. Figures are ratios within one run, because machines differ and drift.
#![forbid(unsafe_code)]

pub mod chain;
pub mod cli;
pub mod cluster;
pub mod compare;
pub mod environment;
pub mod error;
pub mod given;
pub mod gpu;
pub mod inputs;
pub mod limits;
pub mod options;
pub mod peers;
pub mod progress;
pub mod record;
pub mod report;
pub mod runner;
pub mod standing;
pub mod table;
pub mod timing;
pub mod work;
pub mod workloads;
