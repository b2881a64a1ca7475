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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tensor_kernels::SparseVec;

    proptest! {
        #[test]
        fn deltas_and_their_sums_come_back_from_their_bytes(
            rows in proptest::collection::vec(proptest::collection::vec(-1e5f32..1e5, 9), 0..5), gap in 1usize..400,
        ) {
            let spread = |row: &Vec<f32>| {
                let mut dense = vec![0.0; row.len() * gap];
                row.iter().enumerate().for_each(|(n, &value)| dense[n * gap] = value);
                DeltaVector::from_sparse(&SparseVec::from_dense(&dense).unwrap()).unwrap()
            };
            let deltas: Vec<_> = rows.iter().map(spread).collect();
            for delta in &deltas {
                prop_assert_eq!(&DeltaVector::from_bytes(&delta.to_bytes()).unwrap(), delta);
            }
            let sum = DeltaSum::of((9 * gap) as u32, &deltas).unwrap();
            prop_assert_eq!(DeltaSum::from_bytes(&sum.to_bytes()).unwrap(), sum);
        }

        #[test]
        fn no_bytes_panic_and_what_decodes_has_no_other_encoding(
            bytes in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            if let Ok(delta) = DeltaVector::from_bytes(&bytes) {
                prop_assert_eq!(delta.to_bytes(), &bytes[..]);
            }
            if let Ok(sum) = DeltaSum::from_bytes(&bytes) {
                prop_assert_eq!(sum.to_bytes(), &bytes[..]);
            }
        }
    }

    #[test]
    fn indices_that_run_over_are_refused() {
        let mut writer = Writer::new();
        writer.u32(u32::MAX);
        writer.i8(0);
        writer.varint(2);
        writer.varint(u64::from(u32::MAX - 1));
        writer.varint(u64::MAX);
        assert_eq!(
            DeltaVector::from_bytes(writer.as_bytes()),
            Err(DecodeError::Invalid { what: "vector index" })
        );
    }
}
