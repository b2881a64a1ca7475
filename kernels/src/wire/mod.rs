//! How a vector travels between replicas: the smallest of six forms, never more than the caller allows lost.
//!
//! A form is a [`Layout`] and a [`Number`]. [`encode`] loses nothing; [`encode_within`] may round each
//! component by at most the caller's tolerance, and the encoding then carries the bound it kept. A vector
//! has exactly one lossless encoding, and [`decode`] refuses every other.
//!
//! ```text
//! form           1 byte: bits 0–1 number (0 f32, 1 f16, 2 i8), bit 2 sparse, bit 3 lossy
//! dim            LEB128
//! error bound    f32, if lossy: |x − x̂| of every component
//! scale          f32, if i8: x̂ = code · scale
//! sparse only    nnz as LEB128, then for each entry the positions skipped since the one before, as LEB128
//! numbers        of all dim components (dense) or of the nnz entries (sparse)
//! ```
//! Numbers and floats are little-endian. Integers are LEB128 of the least length.
//!
//! ```
//! use tensor_kernels::{SparseVec, wire};
//! let v = SparseVec::new(768, (0..38).map(|k| 20 * k).collect(), (1..39).map(|k| 0.1 * k as f32).collect())?;
//! let exact = wire::encode(&v);
//! assert_eq!(wire::decode(exact.bytes())?.vector, v);
//!
//! let rounded = wire::encode_within(&v, 0.02);
//! assert!(rounded.form().error_bound <= 0.02);
//! assert!(exact.ratio() > 15.0 && rounded.ratio() > 34.0); // 3,072 bytes of f32 in 194, in 88
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod leb128;
mod number;
mod rounded;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, WireError, decode};
pub use number::Number;

use crate::types::SparseVec;
use rounded::Rounded;

/// Which components are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// All of them, in order.
    Dense,
    /// Those that are not zero, with their positions.
    Sparse,
}

/// The form of an encoding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Form {
    /// Which components are written.
    pub layout: Layout,
    /// How each is written.
    pub number: Number,
    /// No component differs from the original by more than this; 0 if nothing was lost.
    pub error_bound: f32,
}

/// An encoded vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    bytes: Vec<u8>,
    form: Form,
    dim: u32,
}

impl Encoded {
    /// The encoding.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoding, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The form that was smallest.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Bytes of the vector as dense f32 ÷ bytes of this encoding.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        4.0 * f64::from(self.dim) / self.bytes.len() as f64
    }
}

/// The smallest encoding from which every component comes back exactly.
///
/// Cost: O(nnz) time and memory, whatever the dimension.
#[must_use]
pub fn encode(vector: &SparseVec) -> Encoded {
    encode_within(vector, 0.0)
}

/// The smallest encoding from which every component comes back within `tolerance`; lossless for one that
/// is NaN or negative.
///
/// Components that round to zero are dropped, so positions may be lost; the bound counts them. Of equal
/// lengths the more precise number wins, then the dense layout.
///
/// Cost: as [`encode`].
#[must_use]
pub fn encode_within(vector: &SparseVec, tolerance: f32) -> Encoded {
    let smallest = [Number::F16, Number::I8]
        .into_iter()
        .filter_map(|number| Rounded::new(vector, number))
        .filter(|rounded| rounded.error == 0.0 || rounded.error <= tolerance)
        .fold(
            Rounded::exact(vector),
            |best, next| if next.layout().1 < best.layout().1 { next } else { best },
        );
    Encoded { bytes: smallest.write(), form: smallest.form(), dim: vector.dim() }
}
