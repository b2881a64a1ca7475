//! The chain in the data directory, opened as a command needs it.

use std::num::NonZeroU32;

use tensor_chain::dir::holds_chain;
use tensor_chain::log::LOG_FILE_NAME;
use tensor_chain::{ChainConfig, ChainError, TensorChain, TensorStore};
use tensor_kernels::Kernels;

use crate::config::Config;
use crate::device;
use crate::exit::{Exit, Failure};

/// Opens the chain, and makes it where there is none: then with vectors of `dim` components, if that is given.
///
/// # Errors
/// Exit codes of storage, configuration and device.
pub fn open_or_create(config: &Config, dim: Option<NonZeroU32>) -> Result<TensorChain, Failure> {
    let kernels = device::open(config)?;
    let store = TensorStore::open(&config.data_dir).map_err(ChainError::from)?;
    chain_in(store, kernels, dim)
}

fn chain_in(store: TensorStore, kernels: Kernels, dim: Option<NonZeroU32>) -> Result<TensorChain, Failure> {
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
    if holds_chain(dir) {
        let kernels = device::open(config)?;
        // Fails where blocks are lost.
        let store = TensorStore::open(dir).map_err(ChainError::from)?;
        if dir.join(LOG_FILE_NAME).exists() {
            return chain_in(store, kernels, None);
        }
    }
    let message =
        format!("no chain in {}: `tensorchain put` makes one, --data-dir names another", dir.display());
    Err(Failure::new(Exit::Failed, message))
}

/// Closes a chain cleanly, so that the next open finds any damage to the last block as well.
///
/// # Errors
/// Exit codes of storage.
pub fn close(chain: TensorChain) -> Result<(), Failure> {
    Ok(chain.close()?)
}
