//! A transaction while it is open. It lives here, at the client: the cluster hears of it when it is committed.

use std::collections::BTreeSet;

use tensor_chain::encoding::Encode;

use crate::client::{Client, Consistency};
use crate::error::ClientError;
use crate::session::Session;
use crate::text::Data;
use crate::wire::{Batch, BatchError, Operation, Receipt, parse_vector};

/// Operations based on the state at one height, committed together or not at all.
///
/// ```no_run
/// # async fn example(client: tensor_client::Client) -> Result<(), tensor_client::ClientError> {
/// let mut transfer = client.begin().await?;
/// let from = transfer.get("from").await?;
/// transfer.put("from", b"0");
/// transfer.put("to", from.unwrap_or_default());
/// transfer.commit().await?; // refused if anyone wrote `from` or `to` meanwhile
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Workspace {
    client: Client,
    begin_height: u64,
    reads: BTreeSet<String>,
    ops: Vec<Operation>,
    embedding: Option<Vec<f32>>,
}

impl Workspace {
    pub(crate) const fn new(client: Client, begin_height: u64) -> Self {
        Self { client, begin_height, reads: BTreeSet::new(), ops: Vec::new(), embedding: None }
    }

    /// The height whose state it sees.
    #[must_use]
    pub const fn begin_height(&self) -> u64 {
        self.begin_height
    }

    /// The value a key has in this workspace: as its own operations leave it, or else as it was when the workspace
    /// began. A key looked up in the chain is part of the read set: if someone writes it before this is committed,
    /// the commit is refused.
    ///
    /// # Errors
    /// No node answered in time; a value in hexadecimal that is none.
    pub async fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ClientError> {
        if let Some(operation) = self.ops.iter().rev().find(|operation| operation.key() == key) {
            return Ok(written(operation)?);
        }
        self.reads.insert(key.to_owned());
        let found = self.client.get_with(key, Some(self.begin_height), Consistency::Linearizable).await?;
        Ok(found.value)
    }

    /// Adds a write.
    pub fn put(&mut self, key: impl Into<String>, value: impl AsRef<[u8]>) {
        self.add(Operation::Put { key: key.into(), value: Data::of(value.as_ref()) });
    }

    /// Adds a removal.
    pub fn delete(&mut self, key: impl Into<String>) {
        self.add(Operation::Delete { key: key.into() });
    }

    /// Adds an operation of any kind, to be applied in order with the others.
    pub fn add(&mut self, operation: Operation) {
        self.ops.push(operation);
    }

    /// Says what the change is as a vector, as many components as the chain's deltas have.
    pub fn set_embedding(&mut self, embedding: Vec<f32>) {
        self.embedding = Some(embedding);
    }

    /// Commits it.
    ///
    /// # Errors
    /// [`Problem::KeyConflict`](crate::wire::Problem::KeyConflict) and its neighbours where another commit came first:
    /// begin again. [`ClientError::Unknown`] where it may have been committed.
    pub async fn commit(self) -> Result<Receipt, ClientError> {
        let (client, batch) = self.into_batch();
        client.commit(&batch).await
    }

    /// Commits it exactly once, in a session.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_in(self, session: &Session) -> Result<Receipt, ClientError> {
        session.commit(&self.into_batch().1).await
    }

    fn into_batch(self) -> (Client, Batch) {
        let Self { client, begin_height, reads, ops, embedding } = self;
        let reads = reads.into_iter().collect();
        (client, Batch { begin_height: Some(begin_height), reads, ops, embedding })
    }
}

/// The value an operation leaves behind.
fn written(operation: &Operation) -> Result<Option<Vec<u8>>, BatchError> {
    Ok(match operation {
        Operation::Put { value, .. }
        | Operation::Update { value, .. }
        | Operation::Cas { new: value, .. } => Some(value.clone().into_bytes()?),
        Operation::Embed { vector, .. } => Some(parse_vector(vector)?.to_bytes()),
        Operation::Delete { .. } => None,
    })
}
