//! All-or-nothing file writes: after a crash a file holds its old content or its new content, never a mixture.
//!
//! Content goes to a temporary file `.{filename}.tmp.{uuid}` in the same directory, is synced, takes the final
//! name by a rename, and the directory is synced so that the rename itself survives a power loss.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum AtomicIoError {
    /// An operation failed; the file has its old content. A full medium shows in the error's kind.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The medium could not promise durability; the file has its old or its new content.
    #[error("sync failed: {0}")]
    Fsync(io::Error),
    /// The path names no file in a directory.
    #[error("{} has no parent directory", .0.display())]
    NoParentDir(PathBuf),
}

/// What these functions return.
pub type Result<T> = std::result::Result<T, AtomicIoError>;

/// Replaces the content of a file, which need not exist; missing parent directories are made.
///
/// # Errors
/// See [`AtomicIoError`].
pub fn atomic_write(path: impl AsRef<Path>, data: &[u8]) -> Result<()> {
    let mut writer = AtomicWriter::new(path)?;
    writer.write_all(data)?;
    writer.commit()
}

/// Empties a file.
///
/// # Errors
/// See [`AtomicIoError`].
pub fn atomic_truncate(path: impl AsRef<Path>) -> Result<()> {
    atomic_write(path, &[])
}

/// Collects content that takes its place all at once. Dropped without a commit, it leaves no trace.
///
/// ```
/// use std::io::Write;
/// use tensor_chain::atomic_io::AtomicWriter;
///
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("snapshot");
/// let mut writer = AtomicWriter::new(&path)?;
/// writer.write_all(b"head ")?;
/// writer.write_all(b"and body")?;
/// assert!(!path.exists());
/// writer.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"head and body");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AtomicWriter {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    dir: PathBuf,
    renamed: bool,
}

impl AtomicWriter {
    /// Starts new content for a file; missing parent directories are made.
    ///
    /// # Errors
    /// See [`AtomicIoError`].
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_mode(path.as_ref(), 0o666) // what `File::create` asks for; the umask takes away from it
    }

    /// Starts new content for a file that only its owner may read and write.
    ///
    /// # Errors
    /// See [`AtomicIoError`].
    pub fn private(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_mode(path.as_ref(), 0o600)
    }

    fn with_mode(path: &Path, mode: u32) -> Result<Self> {
        let no_parent = || AtomicIoError::NoParentDir(path.to_owned());
        let name = path.file_name().ok_or_else(no_parent)?;
        let dir = match path.parent().ok_or_else(no_parent)? {
            dir if dir == Path::new("") => Path::new("."),
            dir => dir,
        };
        create_dirs(dir)?;
        let temporary = dir.join(temporary_name(name));
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        Ok(Self {
            file: BufWriter::new(file),
            temporary,
            path: path.to_owned(),
            dir: dir.to_owned(),
            renamed: false,
        })
    }

    /// Puts the content in place, durably.
    ///
    /// # Errors
    /// See [`AtomicIoError`].
    pub fn commit(mut self) -> Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all().map_err(AtomicIoError::Fsync)?;
        fs::rename(&self.temporary, &self.path)?;
        self.renamed = true;
        sync_dir(&self.dir)
    }

    /// Gives the content up; the file stays as it was.
    pub fn abort(self) {}
}

impl Write for AtomicWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicWriter {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = fs::remove_file(&self.temporary)
        {
            tracing::warn!(file = %self.temporary.display(), %error, "temporary file not removed");
        }
    }
}

/// Removes the temporary files that a crash left in a directory and returns their number. Nobody may be writing
/// there.
///
/// # Errors
/// See [`AtomicIoError`].
pub fn sweep_orphans(dir: impl AsRef<Path>) -> Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_temporary_name(&entry.file_name()) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)?.sync_all().map_err(AtomicIoError::Fsync)
}

/// Makes a directory and the missing ones above it, durably.
pub(crate) fn create_dirs(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = above(dir);
    if above != dir {
        create_dirs(above)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => sync_dir(above),
    }
}

/// Makes a directory where there is none, and makes durable what a process that was killed may have left undone: its
/// name, and the names in it. Whoever opens a directory goes by the names that it sees, and a power loss could take
/// those back that were never synced.
///
/// # Errors
/// See [`AtomicIoError`].
pub fn settle_dir(dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    create_dirs(dir)?;
    match sync_dir(above(dir)) {
        // Whose names one may not read are somebody else's business.
        Err(AtomicIoError::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {}
        synced => synced?,
    }
    sync_dir(dir)
}

/// The directory in which a directory is.
fn above(dir: &Path) -> &Path {
    match dir.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    }
}

fn temporary_name(name: &OsStr) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp.{}", Uuid::new_v4()));
    temporary
}

fn is_temporary_name(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let parts = name.strip_prefix('.').and_then(|rest| rest.rsplit_once(".tmp."));
    parts.is_some_and(|(file, uuid)| !file.is_empty() && Uuid::try_parse(uuid).is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_made_with_its_parents_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        atomic_write(&path, b"first").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        atomic_write(&path, b"2nd").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2nd");
        atomic_truncate(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(names(path.parent().unwrap()), ["file"]);
    }

    #[test]
    fn what_is_not_committed_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        atomic_write(&path, b"old").unwrap();
        for end in [drop, AtomicWriter::abort] {
            let mut writer = AtomicWriter::new(&path).unwrap();
            writer.write_all(&[7; 100_000]).unwrap();
            assert_eq!(names(dir.path()).len(), 2, "content in the making is beside the file");
            assert_eq!(fs::read(&path).unwrap(), b"old");
            end(writer);
            assert_eq!(names(dir.path()), ["file"]);
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
    }

    #[test]
    fn a_failed_rename_keeps_the_old_and_removes_the_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(matches!(atomic_write(&path, b"new"), Err(AtomicIoError::Io(_))));
        assert_eq!(names(dir.path()), ["taken"]);
        assert!(path.is_dir());
    }

    #[test]
    fn a_path_without_parent_is_refused() {
        for path in ["/", "", "..", "a/.."] {
            let error = atomic_write(path, b"x").unwrap_err();
            assert!(
                matches!(&error, AtomicIoError::NoParentDir(named) if named == Path::new(path)),
                "{path}"
            );
        }
    }

    #[test]
    fn a_private_file_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        AtomicWriter::private(&path).unwrap().commit().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_orphans_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = AtomicWriter::new(dir.path().join("file")).unwrap();
        writer.write_all(b"half").unwrap();
        std::mem::forget(writer); // what a crash does
        let kept = ["file", ".hidden", ".file.tmp.12", &format!("file.tmp.{}", Uuid::new_v4())];
        for name in kept {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(sweep_orphans(dir.path()).unwrap(), 1);
        let (mut left, mut kept) = (names(dir.path()), kept.map(str::to_owned));
        left.sort();
        kept.sort();
        assert_eq!(left, kept);
    }
}
