//! The chain in the data directory, opened as a command needs it.

use std::num::NonZeroU32;
use std::path::Path;

use tensor_chain::log::LOG_FILE_NAME;
use tensor_chain::{ChainConfig, ChainError, TensorChain, TensorStore};

use crate::config::Config;
use crate::device;
use crate::exit::{Exit, Failure};

/// Whether a directory holds a chain, or says that it held one when it was closed.
#[must_use]
pub fn has_chain(dir: &Path) -> bool {
    [LOG_FILE_NAME, "CLEAN"].iter().any(|file| dir.join(file).exists())
}

/// Opens the chain, and makes it where there is none: then with vectors of `dim` components, if that is given.
///
/// # Errors
/// Exit codes of storage, configuration and device.
pub fn open_or_create(config: &Config, dim: Option<NonZeroU32>) -> Result<TensorChain, Failure> {
    let kernels = device::open(config)?;
    let store = TensorStore::open(&config.data_dir).map_err(ChainError::from)?;
    let new = ChainConfig::new("tensorchain");
    let embedding_dim = dim.unwrap_or(new.embedding_dim);
    let chain = TensorChain::with_config(store, ChainConfig { kernels: Some(kernels), embedding_dim, ..new });
    chain.initialize()?;
    Ok(chain)
}

/// Opens the chain, which has to be there: reading must not make an empty one.
///
/// # Errors
/// As [`open_or_create`]; exit 1 where there is no chain.
pub fn open(config: &Config) -> Result<TensorChain, Failure> {
    let dir = &config.data_dir;
    if !has_chain(dir) {
        if dir.join("index").exists() {
            // It may be what is left of one: opening tells.
            TensorStore::open(dir).map_err(ChainError::from)?;
        }
        let message =
            format!("no chain in {}: `tensorchain put` makes one, --data-dir names another", dir.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    open_or_create(config, None)
}

/// Closes a chain cleanly, so that the next open finds any damage to the last block as well.
///
/// # Errors
/// Exit codes of storage.
pub fn close(chain: TensorChain) -> Result<(), Failure> {
    Ok(chain.close()?)
}
