//! Canonical bytes of the kernels' integer vectors: indices as gaps, codes as they are.

use tensor_kernels::{DeltaSum, DeltaVector};

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};

/// dim, exponent, count, index gaps, codes (two bytes each).
impl Encode for DeltaVector {
    fn encode(&self, writer: &mut Writer) {
        writer.u32(self.dim());
        writer.i8(self.exponent());
        encode_indices(self.indices(), writer);
        self.codes().iter().for_each(|&code| writer.i16(code));
    }
}

impl Decode for DeltaVector {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (dim, exponent) = (reader.u32()?, reader.i8()?);
        let indices = decode_indices(reader)?;
        let codes = indices.iter().map(|_| reader.i16()).collect::<Result<_, _>>()?;
        Ok(Self::from_canonical(dim, indices, codes, exponent)?)
    }
}

/// dim, exponent, count, index gaps, components (zigzag varints).
impl Encode for DeltaSum {
    fn encode(&self, writer: &mut Writer) {
        writer.u32(self.dim());
        writer.i8(self.exponent());
        encode_indices(self.indices(), writer);
        self.components().iter().for_each(|&component| writer.zigzag(component));
    }
}

impl Decode for DeltaSum {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (dim, exponent) = (reader.u32()?, reader.i8()?);
        let indices = decode_indices(reader)?;
        let components = indices.iter().map(|_| reader.zigzag()).collect::<Result<_, _>>()?;
        Ok(Self::from_canonical(dim, exponent, indices, components)?)
    }
}

/// Count, then the distance of each index from the least it could be: 0 for neighbours.
fn encode_indices(indices: &[u32], writer: &mut Writer) {
    writer.varint(indices.len() as u64);
    let mut least = 0;
    for &index in indices {
        writer.varint(u64::from(index) - least);
        least = u64::from(index) + 1;
    }
}

fn decode_indices(reader: &mut Reader<'_>) -> Result<Vec<u32>, DecodeError> {
    let count = reader.count(1)?;
    let mut indices = Vec::with_capacity(count);
    let mut least = 0_u64;
    for _ in 0..count {
        let index = least
            .checked_add(reader.varint()?)
            .and_then(|index| u32::try_from(index).ok())
            .ok_or(DecodeError::Invalid { what: "vector index" })?;
        indices.push(index);
        least = u64::from(index) + 1;
    }
    Ok(indices)
}
