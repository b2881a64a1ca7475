//! `put`, `delete`, `cas`: one operation, durable before it is acknowledged.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use serde::Serialize;
use tensor_chain::{CommitReceipt, TensorChain, Transaction};
use tensor_kernels::{DeltaVector, SparseVec};

use crate::chain_dir;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

/// Where an operation went.
#[derive(Serialize)]
struct Receipt {
    height: u64,
    hash: String,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} {}", self.height, self.hash)
    }
}

pub(super) fn put(
    config: &Config,
    key: String,
    value: String,
    embedding: Option<&Path>,
) -> Result<(), Failure> {
    let delta = embedding.map(read_vector).transpose()?;
    let put = Transaction::Put { key, data: value.into_bytes() };
    // A chain that is made now takes the dimension of the vector that it is to hold.
    let dim = delta.as_ref().and_then(|delta| NonZeroU32::new(delta.dim()));
    write(config, dim, |chain| match delta {
        None => Ok(chain.auto_commit(put)?),
        Some(delta) => {
            let workspace = chain.begin()?;
            workspace.add_operation(put)?;
            workspace.set_delta(DeltaVector::from_sparse(&delta)?)?;
            Ok(chain.commit(workspace)?)
        }
    })
}

pub(super) fn delete(config: &Config, key: String) -> Result<(), Failure> {
    write(config, None, |chain| Ok(chain.delete(key)?))
}

pub(super) fn cas(
    config: &Config,
    key: String,
    expected: Option<String>,
    new: String,
) -> Result<(), Failure> {
    let expected = expected.map(String::into_bytes);
    write(config, None, |chain| Ok(chain.compare_and_swap(key, expected, new.into_bytes())?))
}

/// Runs one operation and acknowledges it only once it is on disk; then closes the chain.
fn write(
    config: &Config,
    dim: Option<NonZeroU32>,
    operation: impl FnOnce(&TensorChain) -> Result<CommitReceipt, Failure>,
) -> Result<(), Failure> {
    let chain = chain_dir::open_or_create(config, dim)?;
    let receipt = operation(&chain)?;
    let answered =
        output::answer(config.output, &Receipt { height: receipt.height.0, hash: receipt.hash.to_string() });
    // The write is durable and acknowledged; failing to close only means that the next open looks closer.
    chain_dir::close(chain)?;
    Ok(answered?)
}

/// A vector from a JSON file: an array of numbers.
fn read_vector(path: &Path) -> Result<SparseVec, Failure> {
    let failed =
        |error: &dyn fmt::Display| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    super::parse_vector(&text).map_err(|error| failed(&error))
}
