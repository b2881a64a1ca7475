//! `put`, `delete`, `cas`: one operation, durable before it is acknowledged.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::path::Path;

use tensor_chain::{ChainError, Changeset, MAX_EMBEDDING_DIM, MAX_VALUE_BYTES, TensorChain, Transaction};
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
    value: Option<String>,
    file: Option<&Path>,
    embedding: Option<&Path>,
) -> Result<(), Failure> {
    let data = match (value, file) {
        (Some(value), _) => value.into_bytes(),
        (None, Some(file)) => read_value(file)?,
        (None, None) => return Err(Failure::new(Exit::Usage, "a value or --file is needed")),
    };
    let vector = embedding.map(read_vector).transpose()?;
    // A chain that is made now takes the dimension of the vector that it is to hold.
    let dim = vector.as_ref().and_then(|vector| NonZeroU32::new(vector.dim()));
    let changeset = changeset(Transaction::Put { key: key.clone(), data: data.clone() }, vector.as_ref())?;
    match (source::cluster(config)?, vector) {
        (Some(node), None) => acknowledge(config, &node.wait(node.client().put(&key, data))?),
        (Some(node), Some(vector)) => {
            let (ops, embedding) = (vec![Operation::Put { key, value: Data::of(&data) }], vector.to_dense());
            let batch = Batch { begin_height: None, reads: Vec::new(), ops, embedding: Some(embedding) };
            acknowledge(config, &node.wait(node.client().commit(&batch))?)
        }
        (None, _) => commit(config, chain_dir::open_or_create(config, dim)?, changeset),
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

/// A value from a file, or from standard input where the file is `-`. No more is read than a value may have.
fn read_value(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed =
        |error: &dyn fmt::Display| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let most = MAX_VALUE_BYTES as u64 + 1;
    let mut value = Vec::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(most).read_to_end(&mut value),
        false => File::open(path).and_then(|file| file.take(most).read_to_end(&mut value)),
    };
    match read.map_err(|error| failed(&error))? {
        0..=MAX_VALUE_BYTES => Ok(value),
        _ => Err(failed(&format!("longer than a value may be: at most {MAX_VALUE_BYTES} bytes"))),
    }
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
