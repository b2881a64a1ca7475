//! The `tensorchain` command: arguments in, one answer on stdout, one exit code.
//!
//! Reading order: [`cli`] (what can be asked) → [`config`] (flag > environment > file > default) →
//! [`commands`] (one file each) → [`output`] (the only place that writes to stdout) → [`exit`].
#![forbid(unsafe_code)]

pub mod answers;
#[cfg(feature = "gpu")]
pub mod calibration;
pub mod chain_dir;
pub mod classes;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod device;
pub mod exit;
pub mod format;
pub mod http;
pub mod logging;
pub mod node;
pub mod output;
pub mod progress;
pub mod report;
