//! HTTP client of a cluster: command line, tests and benches share it.
//!
//! Begin with [`Client`]. It follows the leader, tries other nodes, and sends a request again only where that is
//! safe; every outcome is one of done, not done, and unknown ([`ClientError::is_unknown`]). In a [`Session`] writes
//! are applied exactly once. What goes over the wire is in [`wire`], which the node uses as well.
#![forbid(unsafe_code)]

pub mod blocking;
pub mod text;
pub mod wire;

mod admin;
mod client;
mod endpoint;
mod error;
mod exchange;
mod session;
mod watch;
mod workspace;

pub use admin::{Admin, ExportError};
pub use client::{Client, ClientConfig, Consistency, Found};
pub use error::{AttemptError, ClientError};
pub use session::Session;
pub use watch::Watch;
pub use workspace::Workspace;
