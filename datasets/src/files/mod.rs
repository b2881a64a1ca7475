//! The user's own vectors: `.npy`, `.npz` (CSR), `.fbin`, `.ibin`, `.u8bin` and, with the feature
//! `parquet`, `.parquet`. One file a format.
//!
//! Nothing in a file is trusted. A shape is held against the bytes that are there before anything is
//! reserved for it, every value is checked, and numbers that f32 cannot hold are refused, not bent.
//! (`npyz` was considered for `.npy`; it reserves whatever length a header declares.)

mod bin;
mod elements;
mod error;
mod npy;
mod npy_header;
mod npz;
#[cfg(feature = "parquet")]
mod parquet_file;

use std::fs::File;
use std::path::Path;

use tensor_kernels::{DenseRows, DenseView, MappedRows, SparseBatch};

pub use error::FileError;
pub use npy::write_npy;
pub use npz::write_npz;

/// Rows out of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Rows {
    /// Dense rows in memory.
    Dense(DenseRows),
    /// Dense rows left in their file.
    Mapped(MappedRows),
    /// Sparse rows in memory.
    Sparse(SparseBatch<'static>),
}

impl Rows {
    /// The dense rows; `None` if they are sparse.
    #[must_use]
    pub fn dense(&self) -> Option<DenseView<'_>> {
        match self {
            Self::Dense(rows) => Some(rows.view()),
            Self::Mapped(rows) => Some(rows.view()),
            Self::Sparse(_) => None,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(rows) => rows.view().rows(),
            Self::Mapped(rows) => rows.view().rows(),
            Self::Sparse(rows) => rows.rows(),
        }
    }

    /// Components of each row.
    #[must_use]
    pub fn dim(&self) -> usize {
        match self {
            Self::Dense(rows) => rows.view().dim(),
            Self::Mapped(rows) => rows.view().dim(),
            Self::Sparse(rows) => rows.dim() as usize,
        }
    }
}

/// Reads a file into memory. The extension says what it is.
///
/// Dense files become [`Rows::Dense`]: f32 as they are, f64 rounded to the nearest f32, integers where f32
/// holds them exactly; of a `.parquet` the one column that holds lists of floats, or all columns if each
/// holds floats. `.npz` becomes [`Rows::Sparse`]: a CSR matrix as scipy's `save_npz` writes it.
///
/// ```
/// use tensor_datasets::files::{read, write_npy};
/// use tensor_kernels::DenseView;
/// let path = std::env::temp_dir().join("two-rows.npy");
/// write_npy(&mut std::fs::File::create(&path)?, DenseView::new(&[1.0, 2.0, 3.0, 4.0], 2, 2)?)?;
/// let rows = read(&path)?;
/// assert_eq!(rows.dense().unwrap().row(1), [3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`FileError`]: an extension, type or shape that is not read here, values that are not finite f32,
/// a CSR matrix with unsorted or repeated indices or with stored zeros.
pub fn read(path: &Path) -> Result<Rows, FileError> {
    let file = File::open(path)?;
    match extension(path) {
        "npy" => npy::read(file).map(Rows::Dense),
        "npz" => npz::read(file).map(Rows::Sparse),
        "fbin" => bin::read(file, elements::Element::F4).map(Rows::Dense),
        "ibin" => bin::read(file, elements::Element::I4).map(Rows::Dense),
        "u8bin" => bin::read(file, elements::Element::U1).map(Rows::Dense),
        #[cfg(feature = "parquet")]
        "parquet" => parquet_file::read(file).map(Rows::Dense),
        other => Err(FileError::UnknownFormat { got: other.to_owned() }),
    }
}

/// Maps a `.npy` of f32 or a `.fbin` instead of reading it, so that it may be larger than memory; see
/// [`MappedRows`] for what that asks of other processes.
///
/// # Errors
/// As [`read`]; every format and type that does not lie in the file as the kernels need it.
pub fn map(path: &Path) -> Result<Rows, FileError> {
    if cfg!(target_endian = "big") {
        return Err(FileError::NotMappable { got: "little-endian values on this machine".to_owned() });
    }
    let file = File::open(path)?;
    match extension(path) {
        "npy" => npy::map(&file).map(Rows::Mapped),
        "fbin" => bin::map(&file).map(Rows::Mapped),
        other => Err(FileError::NotMappable { got: format!(".{other}") }),
    }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}
