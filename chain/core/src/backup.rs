//! A copy of a chain while it is in use.

use std::path::Path;

use crate::chain::TensorChain;
use crate::dir::DataDir;
use crate::error::ChainError;
use crate::ids::Height;
use crate::log::{BlockLog, FileLog, Scan};
use crate::store::{self, StoreError};

impl TensorChain {
    /// Copies the chain, as it is at this moment, into a new data directory: all of it or nothing. Commits go on
    /// meanwhile. The copy has no key: whoever opens it becomes a node of its own.
    ///
    /// Returns the height of the copy's last block.
    ///
    /// # Errors
    /// A directory that holds something already; a log that cannot be read; a failure of either medium.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Height, ChainError> {
        self.ledger()?;
        let log = self.store().log().ok_or(StoreError::NoLog)?;
        let dir = DataDir::open(to).map_err(StoreError::from)?;
        let mut last = log.start();
        let frames =
            Scan::new(log, last).inspect(|frame| last = frame.as_ref().map_or(last, |frame| frame.offset));
        let copy = FileLog::create_with(dir.path(), log.params(), frames).map_err(StoreError::from)?;
        let tip = store::decode(&log.read(last).map_err(StoreError::from)?)?;
        copy.close(tip.hash()).map_err(StoreError::from)?;
        Ok(tip.header.height)
    }
}
