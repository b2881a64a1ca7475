//! The file of the report, looked at before anything is computed: a path that cannot be written fails at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tensor_chain::atomic_io::{AtomicIoError, AtomicWriter, atomic_write};

use crate::exit::Failure;

/// Where a report goes.
#[derive(Debug)]
pub(super) enum ReportFile {
    /// A file that is replaced as a whole, or made. No link: what one points to is replaced, not the link.
    Whole(PathBuf),
    /// What is there already and is no file, as a pipe or a terminal: it is written into and stays what it is.
    Stream(File),
}

impl ReportFile {
    /// The file at a path, once it is known that it can be written.
    pub(super) fn at(path: &Path) -> Result<Self, Failure> {
        Self::open(path).map_err(|error| Failure::of_file(path, &error))
    }

    fn open(path: &Path) -> Result<Self, AtomicIoError> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => Ok(Self::Stream(OpenOptions::new().write(true).open(path)?)),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => {
                let file = linked(path)?;
                AtomicWriter::new(&file)?.abort();
                Ok(Self::Whole(file))
            }
        }
    }

    /// Writes the report.
    pub(super) fn write(self, path: &Path, text: &str) -> Result<(), Failure> {
        let written = match self {
            Self::Whole(file) => atomic_write(file, text.as_bytes()),
            Self::Stream(mut stream) => stream.write_all(text.as_bytes()).map_err(AtomicIoError::Io),
        };
        written.map_err(|error| Failure::of_file(path, &error))
    }
}

/// What a path leads to through all links, even where nothing is there yet.
fn linked(path: &Path) -> io::Result<PathBuf> {
    match (fs::canonicalize(path), fs::read_link(path)) {
        (Err(error), Ok(to)) if error.kind() == ErrorKind::NotFound => {
            linked(&path.parent().unwrap_or(Path::new("")).join(to))
        }
        (Err(error), Err(_)) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        (found, _) => found,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn write(path: &Path, text: &str) {
        ReportFile::at(path).unwrap().write(path, text).unwrap();
    }

    /// As `/dev/null` has to.
    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink("pipe", &link).unwrap();
        // Open for both, so that neither end waits for the other to be opened.
        let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
        for path in [&pipe, &link] {
            write(path, "report");
            assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo() && link.is_symlink());
            let mut got = [0; 6];
            reader.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"report");
        }
    }

    #[test]
    fn a_link_stays_and_what_it_points_to_is_replaced_or_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("far")).unwrap();
        fs::write(path("far/file"), "old").unwrap();
        for (link, to) in [("to-file", "far/file"), ("to-link", "far/link"), ("far/link", "new")] {
            symlink(to, path(link)).unwrap();
        }
        for (link, file) in [("to-file", "far/file"), ("to-link", "far/new"), ("plain", "plain")] {
            write(&path(link), link);
            assert_eq!(fs::read_to_string(path(file)).unwrap(), link);
        }
        assert!(["to-file", "to-link", "far/link"].iter().all(|link| path(link).is_symlink()));
    }

    #[test]
    fn asking_makes_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        ReportFile::at(&file).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&file, "old").unwrap();
        ReportFile::at(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }
}
