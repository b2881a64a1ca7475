//! The client for programs that do one thing after the other.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::client::{Client, ClientConfig};
use crate::error::ClientError;

/// A client with a runtime of its own, on the caller's thread.
///
/// ```no_run
/// let node = tensor_client::blocking::Node::new(["http://127.0.0.1:8080"], Default::default())?;
/// let found = node.wait(node.client().get("greeting"))?;
/// # Ok::<(), tensor_client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Node {
    runtime: Runtime,
    client: Client,
}

impl Node {
    /// A client of the nodes that listen at these addresses.
    ///
    /// # Errors
    /// As [`Client::new`]; a runtime that cannot be started.
    pub fn new(
        endpoints: impl IntoIterator<Item = impl AsRef<str>>,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        let runtime: io::Result<_> = Builder::new_current_thread().enable_all().build();
        let client = Client::with_config(endpoints, config)?;
        Ok(Self { runtime: runtime.map_err(ClientError::Runtime)?, client })
    }

    /// What to ask.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer. Not to be called from asynchronous code.
    pub fn wait<F: Future>(&self, question: F) -> F::Output {
        self.runtime.block_on(question)
    }
}
