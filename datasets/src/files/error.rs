//! What can be wrong with a file of vectors. Each variant carries what was got and what was expected.

use std::io;

use tensor_kernels::{KernelError, MapError};

/// A file that was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system cannot read or write it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An extension that stands for no format known here.
    #[error("cannot tell the format by the extension {got:?}: expected {}", expected_extensions())]
    UnknownFormat {
        /// The extension.
        got: String,
    },
    /// A file whose values do not lie in it as finite f32, row by row.
    #[error("{got} cannot be mapped: only .fbin, and .npy of type '<f4', can")]
    NotMappable {
        /// What was to be mapped.
        got: String,
    },
    /// Not the first bytes of the format.
    #[error("begins with {got:02x?}, expected {expected:02x?}")]
    BadMagic {
        /// The bytes there.
        got: Vec<u8>,
        /// The bytes of the format.
        expected: &'static [u8],
    },
    /// A version of the format that is not read here.
    #[error("format version {got}, expected 1 to 3")]
    UnknownVersion {
        /// The major version.
        got: u8,
    },
    /// A header that does not describe an array.
    #[error("header {got:?}: expected {expected}")]
    BadHeader {
        /// The header, or its length where that is what is wrong.
        got: String,
        /// What was looked for.
        expected: &'static str,
    },
    /// Values of a type that does not fit their use.
    #[error("values of type {got:?}, expected {expected}")]
    UnsupportedType {
        /// The type as the file names it.
        got: String,
        /// Types that are read there.
        expected: &'static str,
    },
    /// An array stored column by column.
    #[error(
        "stored column by column (Fortran order): save it row by row, as numpy.ascontiguousarray gives it"
    )]
    FortranOrder,
    /// Another number of dimensions than the use has.
    #[error("{what} has {got} dimensions, expected {expected}")]
    Dimensions {
        /// Which array.
        what: &'static str,
        /// Its dimensions.
        got: usize,
        /// Dimensions needed.
        expected: usize,
    },
    /// The number of bytes or elements does not follow from what was declared.
    #[error("{what}: {got}, expected {expected}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// Counted.
        got: u64,
        /// Declared.
        expected: u64,
    },
    /// A shape whose size does not fit the address space.
    #[error("a shape of {rows} × {dim} is larger than any memory")]
    TooLarge {
        /// Rows declared.
        rows: u64,
        /// Components declared.
        dim: u64,
    },
    /// A number that is not finite, or that f32 (an index: u32) cannot hold.
    #[error("{what} {position} is {got}, expected {expected}")]
    Value {
        /// What kind of number.
        what: &'static str,
        /// Position in its array.
        position: usize,
        /// The number.
        got: String,
        /// What would do.
        expected: &'static str,
    },
    /// An archive that is not a zip, is damaged, or lacks an array.
    #[error("{what}: {error}")]
    Zip {
        /// What was being read or written.
        what: &'static str,
        /// The archive's error.
        #[source]
        error: zip::result::ZipError,
    },
    /// Sparse rows in a layout that is not read here.
    #[error("a sparse matrix in the format {got:?}, expected \"csr\"")]
    NotCsr {
        /// The format as the file names it.
        got: String,
    },
    /// Not a parquet file, or one that is damaged.
    #[cfg(feature = "parquet")]
    #[error(transparent)]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// A kernel type refused the rows.
    #[error(transparent)]
    Rows(#[from] KernelError),
    /// The rows cannot be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
}

const fn expected_extensions() -> &'static str {
    if cfg!(feature = "parquet") {
        ".npy, .npz, .fbin, .ibin, .u8bin or .parquet"
    } else {
        ".npy, .npz, .fbin, .ibin or .u8bin (.parquet takes a build with the feature `parquet`)"
    }
}
