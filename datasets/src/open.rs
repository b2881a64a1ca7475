//! One way to data, whatever they are: a name out of the list or a path.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files::{self, FileError, Rows};
use crate::{Cache, CacheError, Name, Sha256, Source, SourcesError};

/// Rows, and where they come from.
#[derive(Debug)]
pub struct Dataset {
    /// The rows.
    pub rows: Rows,
    /// Where they come from.
    pub provenance: Provenance,
}

/// What a report has to say of its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// Name of the data set, or the file's own name.
    pub name: String,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Rows in it.
    pub rows: usize,
    /// Components of each row.
    pub dim: usize,
}

/// Data that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A data set that has not been fetched.
    #[error("{name} is not in the cache {}: `tensorchain data fetch {name}` puts it there", cache.display())]
    NotFetched {
        /// The data set.
        name: Name,
        /// The cache.
        cache: PathBuf,
    },
    /// The list of data sets cannot be read.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// There is no cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The file cannot be hashed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        error: io::Error,
    },
    /// The file was refused.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: FileError,
    },
}

/// Reads a fetched data set, by its name, or a file, by its path, into memory.
///
/// What is a [`Name`] is taken as one; `./mnist` is the file of that name.
///
/// # Errors
/// A name that has not been fetched; whatever [`files::read`] refuses.
pub fn open(name_or_path: &str) -> Result<Dataset, OpenError> {
    open_with(name_or_path, files::read)
}

/// As [`open`], but leaves dense rows in their file, which may then be larger than memory.
///
/// # Errors
/// A name that has not been fetched; whatever [`files::map`] refuses.
pub fn open_mapped(name_or_path: &str) -> Result<Dataset, OpenError> {
    open_with(name_or_path, files::map)
}

fn open_with(
    name_or_path: &str,
    read: impl Fn(&Path) -> Result<Rows, FileError>,
) -> Result<Dataset, OpenError> {
    let (path, name) = match name_or_path.parse() {
        Ok(name) => (cached(name, &Cache::from_env()?)?, name_or_path.to_owned()),
        Err(_) => {
            let path = PathBuf::from(name_or_path);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (path, name)
        }
    };
    let rows = read(&path).map_err(|error| OpenError::File { path: path.clone(), error })?;
    let sha256 = Sha256::of_file(&path).map_err(|error| OpenError::Io { path, error })?;
    let provenance = Provenance { name, sha256, rows: rows.rows(), dim: rows.dim() };
    Ok(Dataset { rows, provenance })
}

fn cached(name: Name, cache: &Cache) -> Result<PathBuf, OpenError> {
    match Source::all()?.iter().find(|source| source.name == name) {
        Some(source) if cache.len(source)?.is_some() => Ok(cache.path(source)),
        _ => Err(OpenError::NotFetched { name, cache: cache.folder().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/f4.npy");
        let sha256 = Sha256::of_file(Path::new(path)).unwrap();
        let expected = Provenance { name: "f4.npy".to_owned(), sha256, rows: 2, dim: 3 };
        for open in [open, open_mapped] {
            assert_eq!(open(path).unwrap().provenance, expected);
        }
        let error = open("no-such-file.npy").unwrap_err().to_string();
        assert!(error.starts_with("no-such-file.npy: "), "{error}");
    }

    #[test]
    fn a_name_is_a_file_in_the_cache_or_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let error = cached(Name::Mnist, &cache).unwrap_err().to_string();
        assert!(error.ends_with("`tensorchain data fetch mnist` puts it there"), "{error}");
        std::fs::write(folder.path().join("mnist.npy"), "").unwrap();
        assert_eq!(cached(Name::Mnist, &cache).unwrap(), folder.path().join("mnist.npy"));
    }
}
