//! Where fetched data sets are kept: a folder outside any repository, one file a data set, and beside each
//! the digest it had when it was made, as `sha256sum` writes it, so that `sha256sum -c` checks it too.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::files::{FileError, Rows, write_npy, write_npz};
use crate::{BadSha256, Sha256, Source};

/// Environment variable that names the folder.
pub const CACHE_ENV: &str = "TENSORCHAIN_CACHE";

/// What is wrong with the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Nothing in the environment says where caches are.
    #[error("no place for a cache: set {CACHE_ENV}, XDG_CACHE_HOME or HOME")]
    NoPlace,
    /// The system cannot read or write a file.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        error: io::Error,
    },
    /// A digest beside a data set that is none.
    #[error("{}: {error}", path.display())]
    Record {
        /// The file that should hold it.
        path: PathBuf,
        /// What is there.
        #[source]
        error: BadSha256,
    },
    /// Rows that were made are not those of the list; they are not kept.
    #[error("{}: made with SHA-256 {got}, expected {expected}", path.display())]
    Unexpected {
        /// Where they would have been kept.
        path: PathBuf,
        /// Their digest.
        got: Sha256,
        /// The digest in the list.
        expected: Sha256,
    },
    /// Rows that cannot be written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        error: FileError,
    },
}

/// How a data set lies in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not there.
    Absent,
    /// There, with the digest it has to have.
    Sound {
        /// The digest.
        sha256: Sha256,
    },
    /// There, but not as it was made.
    Changed {
        /// Its digest.
        got: Sha256,
        /// The digest it had.
        expected: Sha256,
    },
}

/// A folder of data sets.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The folder that the environment names: `$TENSORCHAIN_CACHE`, else `$XDG_CACHE_HOME/tensorchain` where
    /// that is an absolute path, else `$HOME/.cache/tensorchain`. It need not exist.
    ///
    /// # Errors
    /// None of the three is set.
    pub fn from_env() -> Result<Self, CacheError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable(CACHE_ENV)
            .or_else(|| {
                Some(variable("XDG_CACHE_HOME").filter(|path| path.is_absolute())?.join("tensorchain"))
            })
            .or_else(|| Some(variable("HOME")?.join(".cache/tensorchain")));
        folder.map(Self::at).ok_or(CacheError::NoPlace)
    }

    /// This folder. It need not exist.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a data set is, or would be.
    #[must_use]
    pub fn path(&self, source: &Source) -> PathBuf {
        self.folder.join(source.file_name())
    }

    /// Bytes of a data set in the cache; `None` if it is absent.
    ///
    /// # Errors
    /// The system's, where it cannot tell.
    pub fn len(&self, source: &Source) -> Result<Option<u64>, CacheError> {
        let path = self.path(source);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CacheError::Io { path, error }),
        }
    }

    /// Hashes a data set again and compares with what the list demands, or where the list cannot know it,
    /// with the digest that was recorded when it was made.
    ///
    /// # Errors
    /// A file that cannot be read, a recorded digest that is missing or none.
    pub fn verify(&self, source: &Source) -> Result<State, CacheError> {
        if self.len(source)?.is_none() {
            return Ok(State::Absent);
        }
        let path = self.path(source);
        let got = Sha256::of_file(&path).map_err(|error| CacheError::Io { path, error })?;
        let expected = source.sha256.map_or_else(|| self.recorded(source), Ok)?;
        Ok(if got == expected { State::Sound { sha256: got } } else { State::Changed { got, expected } })
    }

    /// Writes a data set and its digest, each all at once, and returns the digest.
    pub(crate) fn store(&self, source: &Source, rows: &Rows) -> Result<Sha256, CacheError> {
        let path = self.path(source);
        let io = |error| CacheError::Io { path: path.clone(), error };
        fs::create_dir_all(&self.folder).map_err(io)?;
        let mut file = NamedTempFile::new_in(&self.folder).map_err(io)?;
        write(file.as_file_mut(), rows).map_err(|error| CacheError::File { path: path.clone(), error })?;
        let sha256 = Sha256::of_file(file.path()).map_err(io)?;
        if let Some(expected) = source.sha256.filter(|&expected| expected != sha256) {
            return Err(CacheError::Unexpected { path, got: sha256, expected });
        }
        let mut record = NamedTempFile::new_in(&self.folder).map_err(io)?;
        writeln!(record, "{sha256}  {}", source.file_name()).map_err(io)?;
        file.persist(&path).map_err(|error| io(error.error))?;
        record.persist(self.record(source)).map_err(|error| io(error.error))?;
        Ok(sha256)
    }

    fn record(&self, source: &Source) -> PathBuf {
        self.folder.join(format!("{}.sha256", source.file_name()))
    }

    fn recorded(&self, source: &Source) -> Result<Sha256, CacheError> {
        let path = self.record(source);
        let text = fs::read_to_string(&path).map_err(|error| CacheError::Io { path: path.clone(), error })?;
        let digest = text.split_whitespace().next().unwrap_or_default();
        digest.parse().map_err(|error| CacheError::Record { path, error })
    }
}

fn write(file: &mut File, rows: &Rows) -> Result<(), FileError> {
    let mut writer = BufWriter::new(file);
    match rows {
        Rows::Dense(rows) => write_npy(&mut writer, rows.view())?,
        Rows::Mapped(rows) => write_npy(&mut writer, rows.view())?,
        Rows::Sparse(rows) => write_npz(&mut writer, rows)?,
    }
    Ok(writer.flush()?)
}

#[cfg(test)]
mod tests {
    use tensor_kernels::SparseBatch;

    use super::*;
    use crate::Name;

    fn source(name: Name) -> Source {
        Source::all().unwrap().into_iter().find(|source| source.name == name).unwrap()
    }

    #[test]
    fn what_is_stored_is_sound_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        // Folders are made as needed.
        let cache = Cache::at(folder.path().join("a/b"));
        let source = source(Name::DebianDependencies);
        assert_eq!(cache.verify(&source).unwrap(), State::Absent);
        let rows = SparseBatch::new(2, vec![0, 1], vec![1], vec![1.0]).unwrap();
        let sha256 = cache.store(&source, &Rows::Sparse(rows.clone())).unwrap();
        assert_eq!(cache.verify(&source).unwrap(), State::Sound { sha256 });
        let Rows::Sparse(read) = crate::files::read(&cache.path(&source)).unwrap() else { panic!("sparse") };
        assert_eq!(read, rows);

        fs::write(cache.path(&source), "other").unwrap();
        let changed = State::Changed { got: Sha256::of(b"other"), expected: sha256 };
        assert_eq!(cache.verify(&source).unwrap(), changed);
        fs::remove_file(cache.record(&source)).unwrap();
        assert!(matches!(cache.verify(&source), Err(CacheError::Io { .. })));
    }

    #[test]
    fn rows_other_than_those_of_the_list_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, source) = (Cache::at(folder.path()), source(Name::Movielens100k));
        let rows = Rows::Sparse(SparseBatch::new(2, vec![0], vec![], vec![]).unwrap());
        assert!(matches!(cache.store(&source, &rows), Err(CacheError::Unexpected { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
