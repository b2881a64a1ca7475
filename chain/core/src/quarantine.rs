//! A chain that is not the cluster's: how it differs, and the mark that keeps its directory out of use.

use std::fmt;
use std::fs;
use std::io;

use crate::atomic_io::atomic_write;
use crate::dir::{DataDir, DirError};
use crate::ids::{BlockHash, Height};
use crate::store::StoreError;

/// Where a chain differs from what a quorum of the cluster's voters has signed. What led there, a processor, a device or
/// a build that computes wrongly, may do so again: the chain must not be used, and its node must not vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divergence {
    /// Height of the block that was signed.
    pub height: Height,
    /// The block that was signed.
    pub signed: BlockHash,
    /// The block that is here instead, if there is one.
    pub here: Option<BlockHash>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, signed, here } = self;
        write!(f, "at height {height} the voters have signed block {signed}, here is ")?;
        match here {
            Some(here) => write!(f, "block {here}"),
            None => f.write_str("none"),
        }
    }
}

impl std::error::Error for Divergence {}

/// What the mark says besides.
const ADVICE: &str = "\
This node computed another chain than the other nodes and must not vote any more. Find out why: memory, processor,
device or build. Then remove it from the cluster (tensorchain cluster remove ID), empty this directory and let the node
join anew (tensorchain node --join TICKET): it gets a new id.
";

/// Marks a directory, durably.
pub(crate) fn mark(dir: &DataDir, divergence: &Divergence) -> Result<(), StoreError> {
    let fail = |source| DirError::Io { dir: dir.path().to_owned(), source };
    let text = format!("{divergence}\n{ADVICE}");
    Ok(atomic_write(dir.quarantine_path(), text.as_bytes()).map_err(fail)?)
}

/// Refuses a directory that is marked.
pub(crate) fn refuse(dir: &DataDir) -> Result<(), StoreError> {
    match fs::read(dir.quarantine_path()) {
        Ok(text) => {
            let reason = String::from_utf8_lossy(&text).trim_end().to_owned();
            Err(StoreError::Quarantined { dir: dir.path().to_owned(), reason })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DirError::Io { dir: dir.path().to_owned(), source: error.into() }.into()),
    }
}
