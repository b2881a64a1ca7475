//! A vector rounded to one number format, and its bytes.

use super::number::Coder;
use super::{Form, Layout, Number, leb128};
use crate::types::{Int8Mode, SparseVec, scale_of};

/// Set in the first byte where indices are written.
pub(super) const SPARSE: u8 = 0b0100;
/// Set in the first byte where something was lost and the error bound follows.
pub(super) const LOSSY: u8 = 0b1000;

/// A vector whose components were rounded to one format; those that became zero are gone.
#[derive(Debug)]
pub(super) struct Rounded {
    pub(super) number: Number,
    /// What an [`Number::I8`] code is multiplied with; 0 in other formats.
    pub(super) scale: f32,
    /// No component lost more than this; 0 if nothing was lost.
    pub(super) error: f32,
    pub(super) vector: SparseVec,
}

impl Rounded {
    /// `vector` in a shorter `number`; `None` where a component is out of the format's range.
    pub(super) fn new(vector: &SparseVec, number: Number) -> Option<Self> {
        let greatest = vector.values().iter().fold(0.0f32, |greatest, x| greatest.max(x.abs()));
        let scale = match number {
            Number::I8 => scale_of(Int8Mode::Symmetric, -greatest, greatest).scale,
            Number::F32 | Number::F16 => 0.0,
        };
        let coder = Coder::new(number, scale);
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        let mut error = 0.0f32;
        for (index, x) in vector.iter() {
            let rounded = coder.value(coder.word(x))?;
            // Exact: a rounded value is 0 or within a factor of two of x (Sterbenz' lemma).
            error = error.max((x - rounded).abs());
            if rounded != 0.0 {
                indices.push(index);
                values.push(rounded);
            }
        }
        let vector = SparseVec::from_checked(vector.dim(), indices, values);
        Some(Self { number, scale, error, vector })
    }

    /// `vector` as it is.
    pub(super) fn exact(vector: &SparseVec) -> Self {
        Self { number: Number::F32, scale: 0.0, error: 0.0, vector: vector.clone() }
    }

    /// The smaller layout and its length in bytes; dense where they are equal.
    pub(super) fn layout(&self) -> (Layout, u64) {
        let (dense, sparse) = (self.len(Layout::Dense), self.len(Layout::Sparse));
        if sparse < dense { (Layout::Sparse, sparse) } else { (Layout::Dense, dense) }
    }

    /// How many bytes [`write`](Self::write) gives.
    fn len(&self, layout: Layout) -> u64 {
        let (dim, nnz) = (self.vector.dim(), self.nnz());
        let floats = usize::from(self.error > 0.0) + usize::from(self.number == Number::I8);
        let head = 1 + leb128::len(dim) + 4 * floats;
        let (gaps, numbers) = match layout {
            Layout::Dense => (0, dim),
            Layout::Sparse => (leb128::len(nnz) + self.gaps().map(leb128::len).sum::<usize>(), nnz),
        };
        (head + gaps) as u64 + u64::from(numbers) * self.number.width() as u64
    }

    /// The bytes in the smaller layout.
    pub(super) fn write(&self) -> Vec<u8> {
        let (layout, _) = self.layout();
        let coder = Coder::new(self.number, self.scale);
        let mut out = Vec::new();
        let flags =
            if layout == Layout::Sparse { SPARSE } else { 0 } | if self.error > 0.0 { LOSSY } else { 0 };
        out.push(self.number.code() | flags);
        leb128::write(self.vector.dim(), &mut out);
        if self.error > 0.0 {
            out.extend(self.error.to_le_bytes());
        }
        if self.number == Number::I8 {
            out.extend(self.scale.to_le_bytes());
        }
        let width = self.number.width();
        let put = |word: u32, out: &mut Vec<u8>| out.extend_from_slice(&word.to_le_bytes()[..width]);
        match layout {
            Layout::Dense => {
                let mut entries = self.vector.iter().peekable();
                for index in 0..self.vector.dim() {
                    put(entries.next_if(|&(at, _)| at == index).map_or(0, |(_, x)| coder.word(x)), &mut out);
                }
            }
            Layout::Sparse => {
                leb128::write(self.nnz(), &mut out);
                self.gaps().for_each(|gap| leb128::write(gap, &mut out));
                self.vector.values().iter().for_each(|&x| put(coder.word(x), &mut out));
            }
        }
        out
    }

    /// What was chosen.
    pub(super) fn form(&self) -> Form {
        Form { layout: self.layout().0, number: self.number, error_bound: self.error }
    }

    /// Number of entries.
    #[expect(clippy::cast_possible_truncation, reason = "ascending u32 indices below a u32 dimension")]
    fn nnz(&self) -> u32 {
        self.vector.nnz() as u32
    }

    /// How many positions each index skips since the one before.
    fn gaps(&self) -> impl Iterator<Item = u32> + '_ {
        let mut next = 0;
        self.vector.indices().iter().map(move |&index| {
            let gap = index - next;
            next = index + 1; // an index is below a u32 dimension
            gap
        })
    }
}
