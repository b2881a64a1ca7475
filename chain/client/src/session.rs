//! Writes that are applied exactly once: each carries the session's client id and a number of its own, and the
//! cluster remembers the outcome of each number.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::client::{self, Client};
use crate::error::ClientError;
use crate::exchange::Request;
use crate::wire::{self, Problem};

/// A client's session. Share it between tasks: writes may be under way at the same time, up to about a thousand.
#[derive(Debug)]
pub struct Session {
    client: Client,
    id: String,
    next: AtomicU64,
}

impl Session {
    pub(crate) const fn new(client: Client, id: String) -> Self {
        Self { client, id, next: AtomicU64::new(1) }
    }

    /// The id that the cluster knows it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The client it was opened with.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Writes a value.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] where no node told the outcome before the deadline.
    pub async fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<wire::Receipt, ClientError> {
        self.write(client::put(key, value.into())).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &str) -> Result<wire::Receipt, ClientError> {
        self.write(client::delete(key)).await
    }

    /// Writes a value where the present one is as expected, or where there is none if none is.
    ///
    /// # Errors
    /// [`Problem::ValueDiffers`] with what was found; otherwise as [`put`](Self::put).
    pub async fn cas(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<wire::Receipt, ClientError> {
        self.write(client::cas(key, expected, new)).await
    }

    /// Commits operations together.
    ///
    /// # Errors
    /// What the node refuses; otherwise as [`put`](Self::put).
    pub async fn commit(&self, batch: &wire::Batch) -> Result<wire::Receipt, ClientError> {
        self.write(client::commit(batch)).await
    }

    /// Commits many batches in one request, each with its own outcome: see [`Client::commit_many`].
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn commit_many(
        &self,
        batches: Vec<wire::Batch>,
    ) -> Result<Vec<Result<wire::Receipt, Problem>>, ClientError> {
        let count = batches.len() as u64;
        self.client.outcomes(&self.numbered(client::commit_many(batches), count)).await
    }

    async fn write(&self, request: Request) -> Result<wire::Receipt, ClientError> {
        self.client.json(&self.numbered(request, 1)).await
    }

    /// The request with the first of as many numbers as it has writes.
    fn numbered(&self, request: Request, writes: u64) -> Request {
        let sequence = self.next.fetch_add(writes, Ordering::Relaxed);
        Request { session: Some((self.id.clone(), sequence)), ..request }
    }
}
