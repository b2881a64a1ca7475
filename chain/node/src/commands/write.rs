//! `put`, `delete`, `cas`: one operation, durable before it is acknowledged.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use tensor_chain::{ChainError, Changeset, MAX_EMBEDDING_DIM, TensorChain, Transaction};
use tensor_client::text::Data;
use tensor_client::wire::{Batch, Operation, Receipt};
use tensor_kernels::{DeltaVector, SparseVec};

use super::source;
use crate::answers;
use crate::chain_dir;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn put(
    config: &Config,
    key: String,
    value: String,
    embedding: Option<&Path>,
) -> Result<(), Failure> {
    let vector = embedding.map(read_vector).transpose()?;
    // A chain that is made now takes the dimension of the vector that it is to hold.
    let dim = vector.as_ref().and_then(|vector| NonZeroU32::new(vector.dim()));
    let put = Transaction::Put { key: key.clone(), data: value.clone().into_bytes() };
    let changeset = changeset(put, vector.as_ref())?;
    match source::cluster(config)? {
        Some(node) => {
            let put = Operation::Put { key, value: Data::Text(value) };
            let embedding = vector.map(|vector| vector.to_dense());
            let batch = Batch { begin_height: None, reads: Vec::new(), ops: vec![put], embedding };
            acknowledge(config, &node.wait(node.client().commit(&batch))?)
        }
        None => commit(config, chain_dir::open_or_create(config, dim)?, changeset),
    }
}

pub(super) fn delete(config: &Config, key: String) -> Result<(), Failure> {
    match source::cluster(config)? {
        Some(node) => acknowledge(config, &node.wait(node.client().delete(&key))?),
        None => {
            let changeset = changeset(Transaction::Delete { key }, None)?;
            commit(config, chain_dir::open(config)?, changeset)
        }
    }
}

pub(super) fn cas(
    config: &Config,
    key: String,
    expected: Option<String>,
    new: String,
) -> Result<(), Failure> {
    let expected = expected.map(String::into_bytes);
    if let Some(node) = source::cluster(config)? {
        let swap = node.client().cas(&key, expected.as_deref(), new.as_bytes());
        return acknowledge(config, &node.wait(swap)?);
    }
    let expects_none = expected.is_none();
    let swap = Transaction::CompareAndSwap { key, expected, new: new.into_bytes() };
    let changeset = changeset(swap, None)?;
    // Where there is no chain there is no value: only a swap that expects none can succeed.
    let chain = match expects_none {
        true => chain_dir::open_or_create(config, None)?,
        false => chain_dir::open(config)?,
    };
    commit(config, chain, changeset)
}

/// One operation, held to every limit before a chain is opened: what is refused must not make one.
fn changeset(operation: Transaction, vector: Option<&SparseVec>) -> Result<Changeset, Failure> {
    let delta = vector.map(DeltaVector::from_sparse).transpose()?;
    Ok(Changeset::new(None, BTreeSet::new(), vec![operation], delta).map_err(ChainError::from)?)
}

/// Commits and acknowledges it only once it is on disk; then closes the chain.
fn commit(config: &Config, chain: TensorChain, changeset: Changeset) -> Result<(), Failure> {
    let answered = acknowledge(config, &answers::receipt(chain.commit_changeset(changeset)?));
    // The write is durable and acknowledged; failing to close only means that the next open looks closer.
    chain_dir::close(chain)?;
    answered
}

fn acknowledge(config: &Config, receipt: &Receipt) -> Result<(), Failure> {
    Ok(output::answer(config.output, receipt)?)
}

/// A vector from a JSON file: an array of numbers.
fn read_vector(path: &Path) -> Result<SparseVec, Failure> {
    let failed =
        |error: &dyn fmt::Display| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let vector = super::parse_vector(&text).map_err(|error| failed(&error))?;
    match vector.dim() {
        1..=MAX_EMBEDDING_DIM => Ok(vector),
        got => Err(failed(&format!("{got} components: expected 1 to {MAX_EMBEDDING_DIM}"))),
    }
}
