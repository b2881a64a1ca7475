//! Files out of an archive, in memory: nothing is unpacked to the disk, so no path in one is ever followed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

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

fn from_zip(package: &Package, zip: impl Read + Seek) -> io::Result<Vec<Option<Vec<u8>>>> {
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    const FILES: [(&str, &[u8]); 3] = [("./a/b", b"content"), ("a/c", b"more"), ("a/d", b"unused")];

    /// A package of which `a/c`, `a/b` and a file that is not there are used.
    fn package() -> Package {
        let file = |path: &str, content| PackageFile { path: path.to_owned(), sha256: Sha256::of(content) };
        Package {
            client: Client::Npm,
            name: "p".to_owned(),
            version: None,
            files: vec![file("a/c", b"more"), file("a/b", b"content"), file("a/x", b"")],
        }
    }

    fn expected() -> Vec<Option<Vec<u8>>> {
        vec![Some(b"more".to_vec()), Some(b"content".to_vec()), None]
    }

    #[test]
    fn files_come_in_the_order_of_the_list() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, content) in FILES {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content).unwrap();
            // Zips name no current folder.
            zip.start_file(path.trim_start_matches("./"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        assert_eq!(from_tar(&package(), &*tar).unwrap(), expected());
        assert!(from_tar(&package(), &tar[..600]).is_err());
        assert_eq!(from_zip(&package(), zip.finish().unwrap()).unwrap(), expected());
    }

    #[test]
    fn a_file_that_is_missing_or_another_is_refused() {
        let package = package();
        let check =
            |content: Option<&[u8]>| checked(&package, &package.files[0], content.map(<[u8]>::to_vec));
        assert_eq!(check(Some(b"more")).unwrap(), b"more");
        assert!(matches!(check(None), Err(FetchError::MissingFile { file, .. }) if file == "a/c"));
        assert!(
            matches!(check(Some(b"less")), Err(FetchError::Hash { got, .. }) if got == Sha256::of(b"less"))
        );
    }

    #[test]
    fn a_file_larger_than_any_that_is_used_is_stopped() {
        assert!(content(io::repeat(0)).is_err());
    }
}
