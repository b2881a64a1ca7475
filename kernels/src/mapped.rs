//! Rows searched where they lie in a file, so that a corpus may be larger than memory.
//!
//! The system reads pages as a scan reaches them and drops them again under pressure. Values are checked
//! once, when the file is mapped, in one pass from front to back.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

use crate::error::KernelError;
use crate::types::{DenseView, check_dense};

/// Why a file cannot be used as rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The system does not map the file.
    #[error("cannot map the file: {0}")]
    Io(#[from] io::Error),
    /// The file ends before the last row does.
    #[error("the file has {got} bytes, its rows reach to byte {expected}")]
    TooShort {
        /// Bytes in the file.
        got: u64,
        /// Bytes that the rows need, with what lies before them.
        expected: u64,
    },
    /// The values begin where no f32 can.
    #[error("values begin at byte {offset}, which is no multiple of 4")]
    Misaligned {
        /// The offset that was given.
        offset: u64,
    },
    /// The shape or a value is not one of a [`DenseView`].
    #[error(transparent)]
    Rows(#[from] KernelError),
}

/// A file's `rows × dim` matrix of finite f32, row-major, in the byte order of this machine.
///
/// ```
/// use std::io::Write;
/// use tensor_kernels::MappedRows;
/// let mut file = tempfile::tempfile()?;
/// for value in [1.0_f32, 2.0, 3.0, 4.0] {
///     file.write_all(&value.to_ne_bytes())?;
/// }
/// assert_eq!(MappedRows::new(&file, 0, 2, 2)?.view().row(1), [3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # While a file is mapped
/// Nothing may write to it. Other values than those that were checked may then be seen, and a process
/// that touches a page which another process has cut off is ended by the system (SIGBUS). Replace such
/// a file by renaming a new one over it: the mapping keeps the old content.
#[derive(Debug)]
pub struct MappedRows {
    map: Mmap,
    rows: usize,
    dim: usize,
}

impl MappedRows {
    /// Maps `rows × dim` contiguous values that begin at byte `offset`, and reads them once to check them.
    ///
    /// # Errors
    /// A file that ends too early or cannot be mapped, an offset that is no multiple of 4, and whatever
    /// [`DenseView::new`] refuses.
    pub fn new(file: &File, offset: u64, rows: usize, dim: usize) -> Result<Self, MapError> {
        let too_large =
            || KernelError::TooLarge { what: "rows × dimension", got: rows, limit: usize::MAX / 4 };
        let bytes =
            rows.checked_mul(dim).and_then(|n| n.checked_mul(size_of::<f32>())).ok_or_else(too_large)?;
        let (got, expected) = (file.metadata()?.len(), offset.saturating_add(bytes as u64));
        if got < expected {
            return Err(MapError::TooShort { got, expected });
        }
        let map = map(file, offset, bytes)?;
        let values = bytemuck::try_cast_slice(&map).map_err(|_| MapError::Misaligned { offset })?;
        check_dense(values, rows, dim)?;
        Ok(Self { map, rows, dim })
    }

    /// The rows; costs nothing, the values have been checked.
    #[must_use]
    pub fn view(&self) -> DenseView<'_> {
        DenseView::from_checked(bytemuck::cast_slice(&self.map), self.rows, self.dim)
    }
}

/// Maps `bytes` bytes from `offset` on, which the file has.
#[expect(unsafe_code, reason = "a mapped file is memory that the system fills")]
fn map(file: &File, offset: u64, bytes: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping is read-only, lies within the file, and is unmapped when the `Mmap` is dropped, which
    // every borrow of it precedes. What remains is that someone else changes the file meanwhile, which no
    // process can prevent. Every bit pattern is a valid u8 and a valid f32, and no kernel takes a length or
    // an address from a value, so a write shows as other numbers; a truncation ends the process with
    // SIGBUS at the first touch of a lost page. The documentation of the type asks for neither.
    unsafe { MmapOptions::new().offset(offset).len(bytes).map(file) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(header: &[u8], values: &[f32]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(header).unwrap();
        file.write_all(bytemuck::cast_slice(values)).unwrap();
        file
    }

    #[test]
    fn rows_are_those_of_the_file_wherever_they_begin() {
        for header in [0, 4, 8, 64, 4_096, 5_000] {
            let file = file(&vec![7; header], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let mapped = MappedRows::new(&file, header as u64, 2, 3).unwrap();
            assert_eq!(mapped.view().iter().collect::<Vec<_>>(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
            // A file may hold more than is asked for.
            assert_eq!(MappedRows::new(&file, header as u64, 1, 3).unwrap().view().rows(), 1);
        }
        assert_eq!(MappedRows::new(&file(&[], &[]), 0, 0, 7).unwrap().view().rows(), 0);
    }

    #[test]
    fn refuses_what_no_kernel_could_read() {
        let file = file(&[0; 6], &[1.0, f32::NAN]);
        assert!(matches!(MappedRows::new(&file, 6, 1, 2), Err(MapError::Misaligned { offset: 6 })));
        assert!(matches!(MappedRows::new(&file, 8, 1, 2), Err(MapError::TooShort { got: 14, expected: 16 })));
        assert!(matches!(MappedRows::new(&file, u64::MAX, 1, 1), Err(MapError::TooShort { .. })));
        for (rows, dim) in [(usize::MAX, 2), (usize::MAX / 2, 1)] {
            assert!(matches!(
                MappedRows::new(&file, 0, rows, dim),
                Err(MapError::Rows(KernelError::TooLarge { .. }))
            ));
        }
        assert!(matches!(MappedRows::new(&file, 0, 1, 0), Err(MapError::Rows(KernelError::ZeroDimension))));
    }

    #[test]
    fn a_value_that_is_not_finite_is_found_at_its_position() {
        let file = file(&[0; 4], &[1.0, 2.0, f32::INFINITY, 4.0]);
        let error = MappedRows::new(&file, 4, 2, 2).unwrap_err();
        assert!(matches!(error, MapError::Rows(KernelError::NonFinite { position: 2 })), "{error}");
    }
}
