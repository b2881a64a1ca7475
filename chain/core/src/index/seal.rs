//! The seal of a closed index: checksums of fjall's own files.
//!
//! fjall checks the blocks of its tables but believes its journals and version files: one flipped bit there can
//! end the process or bring back an old value. So whoever closes the index notes how those files were left, and
//! whoever opens it compares, before fjall looks at them. After a crash there is no seal, and fjall recovers as it
//! is made to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::atomic_io::{AtomicIoError, atomic_write};
use crate::encoding::Writer;

/// What the seal says of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are as they were left.
    Intact,
    /// There is no seal.
    Unsealed,
    /// They are not as they were left.
    Broken,
}

/// Compares the files of a directory with what the seal says of them.
pub(super) fn check(files: &Path, seal: &Path) -> io::Result<Verdict> {
    match fs::read(seal) {
        Ok(sealed) if sealed == seal_of(files)? => Ok(Verdict::Intact),
        Ok(_) => Ok(Verdict::Broken),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Verdict::Unsealed),
        Err(error) => Err(error),
    }
}

/// Takes the seal away: from here on the files may change. Durably, or a power loss would cost a rebuild.
pub(super) fn remove(seal: &Path) -> io::Result<()> {
    fs::remove_file(seal)?;
    seal.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Writes the seal when it is dropped: to be dropped after the database that it seals.
#[derive(Debug)]
pub(super) struct SealOnDrop {
    pub files: PathBuf,
    pub seal: PathBuf,
}

impl Drop for SealOnDrop {
    fn drop(&mut self) {
        let sealed = seal_of(&self.files).map_err(AtomicIoError::from);
        if let Err(error) = sealed.and_then(|seal| atomic_write(&self.seal, &seal)) {
            tracing::warn!(index = %self.files.display(), %error, "index closed without a seal");
        }
    }
}

/// Names, lengths and checksums of all files but the tables, in order.
fn seal_of(dir: &Path) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new();
    write_dir(dir, &mut writer)?;
    Ok(writer.into_bytes())
}

fn write_dir(dir: &Path, writer: &mut Writer) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        writer.bytes(name.as_encoded_bytes());
        if !entry.file_type()?.is_dir() {
            let (len, crc) = checksum(&path)?;
            writer.u64(len);
            writer.u32(crc);
        } else if name != "tables" {
            write_dir(&path, writer)?;
        }
    }
    Ok(())
}

fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    let (mut len, mut crc) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((len, crc));
        }
        len += read as u64;
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}
