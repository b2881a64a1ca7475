//! Which cluster a directory belongs to: a file that is written once, before anything else of the cluster is.

use std::io::ErrorKind;
use std::path::Path;

use tensor_chain::ChainId;
use tensor_chain::atomic_io::atomic_write;

use crate::exit::{Exit, Failure};

const FILE: &str = "cluster";

/// The cluster of the directory. A new directory belongs to the cluster that it is to join, or to a new one.
///
/// # Errors
/// A directory of another cluster than the one to join; a damaged file; a failure of the medium; no random bytes.
pub(super) fn of(dir: &Path, joins: Option<ChainId>) -> Result<ChainId, Failure> {
    let path = dir.join(FILE);
    let failed = |exit, message: String| Failure::new(exit, format!("{}: {message}", path.display()));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let damaged = |error| failed(Exit::Corruption, format!("no cluster id: {error}"));
            let found: ChainId = text.trim_end().parse().map_err(damaged)?;
            match joins.filter(|joins| *joins != found) {
                Some(joins) => Err(failed(
                    Exit::Failed,
                    format!("this directory belongs to cluster {found}, the ticket is for {joins}"),
                )),
                None => Ok(found),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = match joins {
                Some(id) => id,
                None => ChainId::random().map_err(|error| failed(Exit::Failed, error.to_string()))?,
            };
            atomic_write(&path, format!("{id}\n").as_bytes())
                .map_err(|error| Failure::of_file(&path, &error))?;
            Ok(id)
        }
        Err(error) => Err(failed(Exit::Failed, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stays_with_its_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let id = of(dir.path(), None).unwrap();
        assert_eq!(of(dir.path(), None).unwrap(), id);
        assert_eq!(of(dir.path(), Some(id)).unwrap(), id);
        assert_eq!(of(dir.path(), Some(ChainId([7; 32]))).unwrap_err().exit(), Exit::Failed);
        std::fs::write(dir.path().join(FILE), "x").unwrap();
        assert_eq!(of(dir.path(), None).unwrap_err().exit(), Exit::Corruption);

        let other = tempfile::tempdir().unwrap();
        assert_eq!(of(other.path(), Some(id)).unwrap(), id);
        assert_ne!(of(tempfile::tempdir().unwrap().path(), None).unwrap(), id);
    }
}
