//! `put`, `delete`, `cas`: one operation, durable before it is acknowledged.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use tensor_chain::{ChainError, Changeset, CommitReceipt, TensorChain, Transaction};
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
    let delta = embedding.map(read_vector).transpose()?;
    if let Some(node) = source::cluster(config)? {
        let put = Operation::Put { key, value: Data::Text(value) };
        let embedding = delta.map(|delta| delta.to_dense());
        let batch = Batch { begin_height: None, reads: Vec::new(), ops: vec![put], embedding };
        return acknowledge(config, &node.wait(node.client().commit(&batch))?);
    }
    let put = Transaction::Put { key, data: value.into_bytes() };
    // A chain that is made now takes the dimension of the vector that it is to hold.
    let dim = delta.as_ref().and_then(|delta| NonZeroU32::new(delta.dim()));
    write(config, dim, |chain| {
        let delta = delta.as_ref().map(DeltaVector::from_sparse).transpose()?;
        let changeset = Changeset::new(None, BTreeSet::new(), vec![put], delta).map_err(ChainError::from)?;
        Ok(chain.commit_changeset(changeset)?)
    })
}

pub(super) fn delete(config: &Config, key: String) -> Result<(), Failure> {
    match source::cluster(config)? {
        Some(node) => acknowledge(config, &node.wait(node.client().delete(&key))?),
        None => write(config, None, |chain| Ok(chain.delete(key)?)),
    }
}

pub(super) fn cas(
    config: &Config,
    key: String,
    expected: Option<String>,
    new: String,
) -> Result<(), Failure> {
    let expected = expected.map(String::into_bytes);
    match source::cluster(config)? {
        Some(node) => {
            let swap = node.client().cas(&key, expected.as_deref(), new.as_bytes());
            acknowledge(config, &node.wait(swap)?)
        }
        None => write(config, None, |chain| Ok(chain.compare_and_swap(key, expected, new.into_bytes())?)),
    }
}

/// Runs one operation and acknowledges it only once it is on disk; then closes the chain.
fn write(
    config: &Config,
    dim: Option<NonZeroU32>,
    operation: impl FnOnce(&TensorChain) -> Result<CommitReceipt, Failure>,
) -> Result<(), Failure> {
    let chain = chain_dir::open_or_create(config, dim)?;
    let answered = acknowledge(config, &answers::receipt(operation(&chain)?));
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
    super::parse_vector(&text).map_err(|error| failed(&error))
}
