//! From a registry's package to rows in the cache.
//!
//! The registry's ordinary client fetches, so that mirrors, proxies and credentials are whatever the user
//! has set up. What is used of a package is held against its digest, and so is what is made of it.

mod archive;
mod client;
mod debian;
mod error;
mod mnist;
mod movielens;
mod wordllama;
mod wordnet;

pub use error::FetchError;

use crate::cache::{Cache, State};
use crate::files::Rows;
use crate::sources::{Client, Name, Source};
use crate::{Sha256, fetch::wordllama::WordLlama};

/// What [`fetch`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Digest of the file in the cache.
    pub sha256: Sha256,
    /// Whether it was there already.
    pub was_there: bool,
}

/// Puts a data set into the cache, unless it is there and sound.
///
/// # Errors
/// See [`FetchError`]; the cache is then as it was.
pub fn fetch(source: &Source, cache: &Cache) -> Result<Fetched, FetchError> {
    // A damaged file, or one without its record, is fetched again.
    if let Ok(State::Sound { sha256 }) = cache.verify(source) {
        return Ok(Fetched { sha256, was_there: true });
    }
    let files = Files::of(source)?;
    let rows = convert(source.name, &files)?;
    check_shape(source, &rows)?;
    Ok(Fetched { sha256: cache.store(source, &rows)?, was_there: false })
}

/// The files that a source uses, in its order, unpacked.
struct Files(Vec<Vec<u8>>);

impl Files {
    fn of(source: &Source) -> Result<Self, FetchError> {
        let mut files = Vec::new();
        for package in &source.packages {
            match package.client {
                Client::AptCache => files.push(client::package_lists()?),
                Client::Npm | Client::Pip | Client::AptGet => {
                    files.extend(archive::files(package, &client::Download::of(package)?)?);
                }
            }
        }
        Ok(Self(files))
    }

    /// The file at a position of the list; empty, and so refused by whoever reads it, if there is none.
    fn at(&self, position: usize) -> &[u8] {
        self.0.get(position).map_or(&[], Vec::as_slice)
    }
}

fn convert(name: Name, files: &Files) -> Result<Rows, FetchError> {
    match name {
        Name::Mnist => mnist::rows(files.at(0)).map(Rows::Dense),
        Name::WordnetGlosses => {
            let glosses = wordnet::glosses(&[files.at(0), files.at(1), files.at(2), files.at(3)])?;
            WordLlama::new(files.at(4), files.at(5))?.embed_all(&glosses).map(Rows::Dense)
        }
        Name::DebianDependencies => debian::rows(files.at(0)).map(Rows::Sparse),
        Name::Movielens100k => movielens::rows(files.at(0)).map(Rows::Sparse),
    }
}

fn check_shape(source: &Source, rows: &Rows) -> Result<(), FetchError> {
    let got = rows.rows() as u64;
    match source.least_rows {
        Some(expected) if got < expected => Err(FetchError::TooFewRows { got, expected }),
        _ => Ok(()),
    }
}
