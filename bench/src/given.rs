//! The user's own rows, from a file or a fetched data set.

use tensor_datasets::files::Rows;
use tensor_kernels::{DenseView, SparseBatch};

use crate::error::BenchError;

/// Rows, what they are called and what they hash to.
#[derive(Debug)]
pub struct Given {
    /// The file's or data set's name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    rows: Rows,
}

impl Given {
    /// Reads a file by its path or a fetched data set by its name.
    ///
    /// # Errors
    /// Data that cannot be opened.
    pub fn open(name_or_path: &str) -> Result<Self, BenchError> {
        let data = tensor_datasets::open(name_or_path)?;
        let (name, sha256) = (data.provenance.name, data.provenance.sha256.to_string());
        Ok(Self { name, sha256, rows: data.rows })
    }

    /// The rows, if they are dense.
    ///
    /// # Errors
    /// Sparse rows.
    pub fn dense(&self) -> Result<DenseView<'_>, BenchError> {
        self.rows.dense().ok_or_else(|| self.kind("sparse", "dense"))
    }

    /// The rows, if they are sparse.
    ///
    /// # Errors
    /// Dense rows.
    pub fn sparse(&self) -> Result<&SparseBatch<'static>, BenchError> {
        match &self.rows {
            Rows::Sparse(rows) => Ok(rows),
            _ => Err(self.kind("dense", "sparse")),
        }
    }

    fn kind(&self, got: &'static str, expected: &'static str) -> BenchError {
        BenchError::KindOfData { name: self.name.clone(), got, expected }
    }
}
