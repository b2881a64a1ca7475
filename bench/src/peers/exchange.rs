//! Arrays as the child process reads them: `.npy` files, version 1.0.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// An element that NumPy knows.
pub trait Element: Copy {
    /// Its type in a header.
    const TYPE: &'static str;
    /// Its bytes, little end first.
    fn bytes(self) -> impl AsRef<[u8]>;
}

macro_rules! elements {
    ($($rust:ty = $numpy:literal),*) => {$(
        impl Element for $rust {
            const TYPE: &'static str = $numpy;
            fn bytes(self) -> impl AsRef<[u8]> {
                self.to_le_bytes()
            }
        }
    )*};
}
elements!(f32 = "<f4", i8 = "|i1", u32 = "<u4", i64 = "<i8");

/// Writes `values` to `folder/name.npy` as rows of `dim`, or as one flat array where `dim` is `None`.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write<T: Element>(folder: &Path, name: &str, values: &[T], dim: Option<usize>) -> io::Result<()> {
    let shape = match dim {
        Some(dim) => format!("({}, {dim})", values.len() / dim.max(1)),
        None => format!("({},)", values.len()),
    };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", T::TYPE);
    // Ten bytes go before the header, one line feed ends it, and the values start at a multiple of 64.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut file = BufWriter::with_capacity(1 << 20, File::create(folder.join(format!("{name}.npy")))?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&u16::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for &value in values {
        file.write_all(value.bytes().as_ref())?;
    }
    file.flush()
}

/// Reads what a child process wrote: f64, little end first, nothing else.
///
/// # Errors
/// A file that is not there or not whole.
pub fn read(path: &Path) -> io::Result<Vec<f64>> {
    let bytes = std::fs::read(path)?;
    let (values, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(values.iter().map(|&value| f64::from_le_bytes(value)).collect())
}

/// A count or an index as the other side reads it.
#[must_use]
pub fn integer(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_readable_npy_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write(path, "a", &[1.5f32, -2.0, 0.0, 4.0, 5.0, 6.0], Some(3)).unwrap();
        let bytes = std::fs::read(path.join("a.npy")).unwrap();
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + header) % 64, 0);
        let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"), "{text}");
        assert_eq!(bytes[10 + header..][..8], [0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]);
        write(path, "flat", &[1i64, 2], None).unwrap();
        assert_eq!(std::fs::read(path.join("flat.npy")).unwrap().len(), 128 + 16);
    }

    #[test]
    fn answers_are_whole_f64() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer");
        std::fs::write(&path, [1.5f64.to_le_bytes(), 2f64.to_le_bytes()].concat()).unwrap();
        assert_eq!(read(&path).unwrap(), [1.5, 2.0]);
        std::fs::write(&path, [0u8; 9]).unwrap();
        assert!(read(&path).is_err());
    }
}
