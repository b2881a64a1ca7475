//! Rows of integer codes, and how they lie on the device: planes of signed bytes, then presence bits.

use std::ops::Range;

use rayon::prelude::*;

use crate::exact::SquaredNorm;
use crate::types::{ByteView, DeltaBatch};

/// Bytes that a kernel loads at a time; planes are whole chunks.
const CHUNK: usize = 16;

/// Rows whose components are 256 · high + low with both in −128..=127.
#[derive(Debug, Clone, Copy)]
pub(super) enum CodedRows<'a> {
    Deltas(&'a DeltaBatch),
    /// Bytes are the high digits: a common factor of 256 does not matter to a direction.
    Bytes(ByteView<'a>),
}

/// A component that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) position: usize,
    pub(super) high: i8,
    pub(super) low: i8,
}

impl Component {
    fn of_code(position: u32, code: i16) -> Self {
        // −32,639 ≤ code ≤ 32,639: what the low digit leaves is a multiple of 256 in −32,768..=32,512.
        #[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
        let low = code as i8;
        #[expect(clippy::cast_possible_truncation, reason = "in −128..=127")]
        let high = ((i32::from(code) - i32::from(low)) / 256) as i8;
        Self { position: position as usize, high, low }
    }
}

impl<'a> CodedRows<'a> {
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Deltas(rows) => rows.rows(),
            Self::Bytes(rows) => rows.rows(),
        }
    }

    pub(super) fn dim(self) -> usize {
        match self {
            Self::Deltas(rows) => rows.dim() as usize,
            Self::Bytes(rows) => rows.dim(),
        }
    }

    /// Components of a row that are not zero, ascending by position.
    pub(super) fn components(self, row: usize) -> impl Iterator<Item = Component> + 'a {
        let (deltas, bytes) = match self {
            Self::Deltas(rows) => (Some(rows.row(row)), None),
            Self::Bytes(rows) => (None, Some(rows.row(row))),
        };
        let deltas = deltas.into_iter().flat_map(|(positions, codes)| {
            positions.iter().zip(codes).map(|(&position, &code)| Component::of_code(position, code))
        });
        let bytes = bytes.into_iter().flatten().enumerate().filter(|&(_, &byte)| byte != 0);
        deltas.chain(bytes.map(|(position, &high)| Component { position, high, low: 0 }))
    }

    /// The squared norm of a row of codes, below 2^43 for as many dimensions as the kernels take.
    pub(super) fn squared_norm(self, row: usize) -> u64 {
        match self {
            Self::Deltas(rows) => SquaredNorm::of_codes(rows.row(row).1).squared,
            Self::Bytes(rows) => SquaredNorm::of_bytes(rows.row(row)).squared << 16,
        }
    }

    /// Number of positions of a row; for dense rows all.
    pub(super) fn positions(self, row: usize) -> usize {
        match self {
            Self::Deltas(rows) => rows.row(row).0.len(),
            Self::Bytes(rows) => rows.dim(),
        }
    }
}

/// Chunks of a row on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// 1 where there are no low digits.
    pub(super) planes: usize,
    pub(super) code_chunks: usize,
    /// 0 for bytes, which have every position.
    pub(super) bit_chunks: usize,
}

impl Layout {
    pub(super) fn of(rows: CodedRows<'_>) -> Self {
        let (planes, bit_chunks) = match rows {
            CodedRows::Deltas(_) => (2, rows.dim().div_ceil(8 * CHUNK)),
            CodedRows::Bytes(_) => (1, 0),
        };
        Self { planes, code_chunks: rows.dim().div_ceil(CHUNK), bit_chunks }
    }

    pub(super) const fn row_chunks(self) -> usize {
        self.planes * self.code_chunks + self.bit_chunks
    }

    pub(super) const fn row_bytes(self) -> usize {
        self.row_chunks() * CHUNK
    }

    /// Some rows as they lie on the device.
    pub(super) fn pack(self, rows: CodedRows<'_>, range: Range<usize>) -> Vec<u8> {
        let mut packed = vec![0; range.len() * self.row_bytes()];
        packed.par_chunks_mut(self.row_bytes().max(1)).zip(range).for_each(|(bytes, row)| {
            let (high, rest) = bytes.split_at_mut(self.code_chunks * CHUNK);
            let (low, bits) = rest.split_at_mut((self.planes - 1) * self.code_chunks * CHUNK);
            for Component { position, high: h, low: l } in rows.components(row) {
                high[position] = h.cast_unsigned();
                if self.planes == 2 {
                    low[position] = l.cast_unsigned();
                }
                if self.bit_chunks > 0 {
                    bits[position / 8] |= 1 << (position % 8);
                }
            }
        });
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeltaVector, MIN_EXPONENT};

    #[test]
    fn both_digits_of_every_code_make_it_again() {
        for code in -DeltaVector::MAX_CODE..=DeltaVector::MAX_CODE {
            let Component { high, low, .. } = Component::of_code(0, code);
            assert_eq!(i32::from(high) * 256 + i32::from(low), i32::from(code));
        }
    }

    #[test]
    fn planes_and_bits_lie_one_behind_the_other() {
        let delta = |position: u32, code: i16| {
            DeltaVector::from_canonical(2, vec![position], vec![code], MIN_EXPONENT).unwrap()
        };
        let batch = DeltaBatch::pack(2, &[delta(0, 259), delta(1, -DeltaVector::MAX_CODE)]).unwrap();
        let rows = CodedRows::Deltas(&batch);
        let layout = Layout::of(rows);
        assert_eq!((layout.row_chunks(), layout.row_bytes()), (3, 48));
        let packed = layout.pack(rows, 0..2);
        assert_eq!((packed[0], packed[16], packed[32]), (1, 3, 1));
        assert_eq!((packed[48 + 1], packed[48 + 17], packed[48 + 32]), (0x81, 0x81, 2));
        assert_eq!(packed.iter().filter(|&&byte| byte != 0).count(), 6);

        let codes = [1i8, 0, -128, 127];
        let rows = CodedRows::Bytes(ByteView::new(&codes, 2, 2).unwrap());
        let packed = Layout::of(rows).pack(rows, 0..2);
        assert_eq!((packed.len(), packed[0], packed[16], packed[17]), (32, 1, 0x80, 0x7F));
    }
}
