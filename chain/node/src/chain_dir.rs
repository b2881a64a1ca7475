//! The chain in the data directory, opened as a command needs it.

use std::path::Path;

use tensor_chain::{ChainConfig, TensorChain, TensorStore};

use crate::config::Config;
use crate::device;
use crate::exit::{Exit, Failure};

/// Whether a directory holds a chain.
#[must_use]
pub fn has_chain(dir: &Path) -> bool {
    dir.join("blocks.log").exists()
}

/// Opens the chain and makes it where there is none yet.
///
/// # Errors
/// Exit codes of storage, configuration and device.
pub fn open_or_create(config: &Config) -> Result<TensorChain, Failure> {
    let kernels = device::open(config)?;
    let store = TensorStore::open(&config.data_dir)?;
    let chain = TensorChain::with_config(
        store,
        ChainConfig { kernels: Some(kernels), ..ChainConfig::new("tensorchain") },
    );
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
        let message =
            format!("no chain in {}: `tensorchain put` makes one, --data-dir names another", dir.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    open_or_create(config)
}

/// Closes a chain cleanly, so that the next open finds any damage to the last block as well.
///
/// # Errors
/// Exit codes of storage.
pub fn close(chain: TensorChain) -> Result<(), Failure> {
    Ok(chain.close()?)
}
