//! Seeded generators, one shape of data each. The same seed gives the same bytes on every machine:
//! ChaCha8 supplies the bits, our own mapping turns them into numbers, and logarithms come from `libm`.

mod bernoulli;
mod clustered;
mod conflict_heavy;
mod profiles;
mod random;
mod zipf;

use tensor_kernels::KernelError;

pub use bernoulli::bernoulli_sparse;
pub use clustered::{Clustered, clustered_dense};
pub use conflict_heavy::{ConflictShares, conflict_heavy};
pub use profiles::{PROFILE_DIM, Profile, profile_mix};
pub use zipf::zipf_sparse;

/// A parameter that describes no data.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A number outside its range.
    #[error("{name} is {got}, must lie in {min}..={max}")]
    OutOfRange {
        /// Which parameter.
        name: &'static str,
        /// Its value.
        got: f64,
        /// Least allowed value.
        min: f64,
        /// Greatest allowed value.
        max: f64,
    },
    /// The result is more than a kernel type can hold.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Refuses NaN and whatever lies outside `min..=max`.
fn check(name: &'static str, got: f64, min: f64, max: f64) -> Result<(), GenerateError> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(GenerateError::OutOfRange { name, got, min, max }) }
}

/// Rows under construction, in CSR form.
struct Rows {
    dim: u32,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl Rows {
    fn new(dim: u32) -> Self {
        Self { dim, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }

    /// Appends a row. Indices ascend, values are not zero.
    fn push(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        for (index, value) in row {
            self.indices.push(index);
            self.values.push(value);
        }
        self.indptr.push(self.indices.len());
    }

    fn finish(self) -> Result<tensor_kernels::SparseBatch<'static>, GenerateError> {
        Ok(tensor_kernels::SparseBatch::new(self.dim, self.indptr, self.indices, self.values)?)
    }
}

/// What the generators' tests share.
#[cfg(test)]
mod test_support {
    use sha2::{Digest, Sha256};
    use tensor_kernels::SparseBatch;

    /// The first eight bytes of SHA-256 over the little-endian content of a batch.
    pub fn fingerprint(batch: &SparseBatch<'_>) -> String {
        let mut hash = Sha256::new();
        hash.update(batch.dim().to_le_bytes());
        batch.indptr().iter().for_each(|&p| hash.update((p as u64).to_le_bytes()));
        batch.indices().iter().for_each(|i| hash.update(i.to_le_bytes()));
        batch.values().iter().for_each(|v| hash.update(v.to_le_bytes()));
        hex(&hash.finalize())
    }

    pub fn hex(bytes: &[u8]) -> String {
        bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Mean number of non-zero components of a row.
    pub fn mean_nnz(batch: &SparseBatch<'_>) -> f64 {
        batch.nnz() as f64 / batch.rows() as f64
    }
}
