//! From bytes that anyone may have sent back to a vector.
//!
//! Memory is bounded by the length of the input: nothing is allocated for a declared length before the
//! bytes it stands for are known to be there, and a dimension alone costs nothing.

use super::number::Coder;
use super::rounded::{LOSSY, Rounded, SPARSE};
use super::{Form, Number, encode, leb128};
use crate::types::SparseVec;

/// A decoded vector and the form it travelled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The vector.
    pub vector: SparseVec,
    /// Layout, number and error bound.
    pub form: Form,
}

/// What is wrong with an encoding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The input ends early.
    #[error("{got} bytes left, at least {needed} needed")]
    Truncated {
        /// Bytes left.
        got: usize,
        /// Bytes that what was declared needs at least.
        needed: u64,
    },
    /// The input goes on after the vector.
    #[error("{got} bytes after the end")]
    TrailingBytes {
        /// How many.
        got: usize,
    },
    /// A first byte that is no form.
    #[error("unknown form {got:#04x}")]
    UnknownForm {
        /// The byte.
        got: u8,
    },
    /// An integer that does not fit 32 bits.
    #[error("an integer of more than 32 bits")]
    IntegerTooLong,
    /// A scale or error bound that is not finite and positive.
    #[error("{field} is {got}, must be finite and positive")]
    BadFloat {
        /// Which field.
        field: &'static str,
        /// Its value.
        got: f32,
    },
    /// An index that is not below the dimension.
    #[error("entry {entry} lies outside dimension {dim}")]
    IndexOutOfBounds {
        /// Number of the entry.
        entry: u32,
        /// The declared dimension.
        dim: u32,
    },
    /// A component that is NaN or infinite, or the i8 code −128.
    #[error("number {position} ({word:#x}) stands for no value")]
    BadNumber {
        /// Position among the numbers.
        position: usize,
        /// The number as written.
        word: u32,
    },
    /// Not what an encoder writes: padded integers, a form that is not the smallest, an explicit or
    /// negative zero.
    #[error("not the canonical encoding")]
    NotCanonical,
}

/// The vector of an encoding.
///
/// # Errors
/// Bytes that no encoder writes. A lossless encoding must be the one that [`encode`] gives; a lossy one
/// must have the smaller layout for its numbers, least integers and no explicit or negative zero.
pub fn decode(bytes: &[u8]) -> Result<Decoded, WireError> {
    let rounded = parse(bytes)?;
    // Encoding again is the whole check of canonical form: no rule can be forgotten.
    let again = if rounded.error > 0.0 { rounded.write() } else { encode(&rounded.vector).into_bytes() };
    if again != bytes {
        return Err(WireError::NotCanonical);
    }
    Ok(Decoded { form: rounded.form(), vector: rounded.vector })
}

/// Reads every field; whether they are the ones an encoder writes is left to the caller.
fn parse(mut input: &[u8]) -> Result<Rounded, WireError> {
    let input = &mut input;
    let [head] = take(input)?;
    let (sparse, lossy) = (head & SPARSE != 0, head & LOSSY != 0);
    let number = Number::ALL.into_iter().find(|number| number.code() == head & !(SPARSE | LOSSY));
    let Some(number) = number.filter(|&number| !(lossy && number == Number::F32)) else {
        return Err(WireError::UnknownForm { got: head });
    };
    let dim = leb128::read(input)?;
    let error = if lossy { positive(input, "error bound")? } else { 0.0 };
    let scale = if number == Number::I8 { positive(input, "scale")? } else { 0.0 };
    let width = number.width();
    let positions = if sparse {
        positions(input, dim, width)?
    } else {
        need(input, u64::from(dim) * width as u64)?;
        (0..dim).collect()
    };
    let length = positions.len() * width;
    need(input, length as u64)?;
    if input.len() > length {
        return Err(WireError::TrailingBytes { got: input.len() - length });
    }
    let coder = Coder::new(number, scale);
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for (position, (bytes, index)) in input.chunks_exact(width).zip(positions).enumerate() {
        let word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        let value = coder.value(word).ok_or(WireError::BadNumber { position, word })?;
        if value != 0.0 {
            indices.push(index);
            values.push(value);
        }
    }
    Ok(Rounded { number, scale, error, vector: SparseVec::from_checked(dim, indices, values) })
}

/// Reads the positions of a sparse vector, whose numbers of `width` bytes follow.
fn positions(input: &mut &[u8], dim: u32, width: usize) -> Result<Vec<u32>, WireError> {
    let nnz = leb128::read(input)?;
    // Each entry takes at least one byte for its position.
    need(input, u64::from(nnz) * (1 + width as u64))?;
    let mut positions = Vec::with_capacity(nnz as usize);
    let mut next = 0u32;
    for entry in 0..nnz {
        let gap = leb128::read(input)?;
        let index = next.checked_add(gap).filter(|&index| index < dim);
        let index = index.ok_or(WireError::IndexOutOfBounds { entry, dim })?;
        positions.push(index);
        next = index + 1; // index < dim ≤ u32::MAX
    }
    Ok(positions)
}

/// Reads an f32 that is finite and positive.
fn positive(input: &mut &[u8], field: &'static str) -> Result<f32, WireError> {
    let got = f32::from_le_bytes(take(input)?);
    if got.is_finite() && got > 0.0 { Ok(got) } else { Err(WireError::BadFloat { field, got }) }
}

/// Takes `N` bytes off the front.
pub(super) fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (&bytes, rest) =
        input.split_first_chunk().ok_or(WireError::Truncated { got: input.len(), needed: N as u64 })?;
    *input = rest;
    Ok(bytes)
}

/// Checks that `needed` bytes are left.
fn need(input: &[u8], needed: u64) -> Result<(), WireError> {
    if (input.len() as u64) < needed {
        return Err(WireError::Truncated { got: input.len(), needed });
    }
    Ok(())
}
