//! Dense rows of any kind that can be searched.

use half::{bf16, f16};

use super::{ByteView, DenseView, HalfKind, HalfView};

/// Rows of a corpus, or queries: each row is the vector of real numbers it denotes, all of which f32 holds exactly.
#[derive(Debug, Clone, Copy)]
pub enum SearchRows<'a> {
    /// f32 components.
    F32(DenseView<'a>),
    /// f16 or bf16 components.
    Half(HalfView<'a>),
    /// Signed bytes: the integers themselves, without a scale.
    Bytes(ByteView<'a>),
}

impl<'a> SearchRows<'a> {
    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        match self {
            Self::F32(rows) => rows.rows(),
            Self::Half(rows) => rows.rows(),
            Self::Bytes(rows) => rows.rows(),
        }
    }

    /// Components of each row.
    #[must_use]
    pub const fn dim(&self) -> usize {
        match self {
            Self::F32(rows) => rows.dim(),
            Self::Half(rows) => rows.dim(),
            Self::Bytes(rows) => rows.dim(),
        }
    }

    /// The components of a row in f32: the row itself, or `room`, which is `dim` long, once they are written there.
    pub(crate) fn row<'r>(&self, row: usize, room: &'r mut [f32]) -> &'r [f32]
    where
        'a: 'r,
    {
        match self {
            Self::F32(rows) => return rows.row(row),
            Self::Half(rows) => {
                let bits = &rows.bits()[row * rows.dim()..][..rows.dim()];
                for (out, &bits) in room.iter_mut().zip(bits) {
                    *out = match rows.kind() {
                        HalfKind::F16 => f16::from_bits(bits).to_f32(),
                        HalfKind::Bf16 => bf16::from_bits(bits).to_f32(),
                    };
                }
            }
            Self::Bytes(rows) => {
                for (out, &code) in room.iter_mut().zip(rows.row(row)) {
                    *out = f32::from(code);
                }
            }
        }
        room
    }

    /// Some rows in f32, one after the other.
    pub(crate) fn gather(&self, rows: impl Iterator<Item = usize>) -> Vec<f32> {
        let mut room = vec![0.0; self.dim()];
        let mut values = Vec::with_capacity(rows.size_hint().0 * self.dim());
        for row in rows {
            values.extend_from_slice(self.row(row, &mut room));
        }
        values
    }

    /// What [`gather`](Self::gather) returned, as rows.
    pub(crate) fn view_of<'v>(&self, values: &'v [f32]) -> DenseView<'v> {
        DenseView::from_checked(values, values.len() / self.dim().max(1), self.dim())
    }
}

impl<'a> From<DenseView<'a>> for SearchRows<'a> {
    fn from(rows: DenseView<'a>) -> Self {
        Self::F32(rows)
    }
}

impl<'a> From<HalfView<'a>> for SearchRows<'a> {
    fn from(rows: HalfView<'a>) -> Self {
        Self::Half(rows)
    }
}

impl<'a> From<ByteView<'a>> for SearchRows<'a> {
    fn from(rows: ByteView<'a>) -> Self {
        Self::Bytes(rows)
    }
}
