//! A node's HTTP API: what clients, operators and their tools talk to.
//!
//! Reading order: [`ledger`] (what is asked of the node behind it) → `routes` (every address) → one file for each
//! family of addresses → `request` (what is refused before a handler runs) → [`server`] (connections, deadlines and
//! limits). The JSON on the wire is [`tensor_client::wire`], which clients use as well. This is the only place that
//! names axum.

pub mod ledger;
pub mod server;

mod admin;
mod batch;
mod body;
mod config;
mod evaluator;
mod export;
mod health;
mod kv;
mod metrics;
mod openapi;
mod refusal;
mod request;
mod routes;
mod search;
mod service;
mod stalls;
mod watch;

pub use config::{HttpConfig, Token};
pub use evaluator::HealthLimits;
pub(crate) use evaluator::SILENT;
pub use openapi::document;
