//! A corpus that is searched more than once.

use crate::simd::search::coded::CodedPanels;
use crate::types::DenseView;

/// Rows to be searched: as they lie (`From<DenseView>`), or packed by [`Kernels::corpus`](crate::Kernels::corpus).
///
/// Packed, the rows are there a second time as signed bytes, a quarter of their size, which a search reads
/// instead; the rows themselves only settle which of the nearest are nearest. Answers are the same either way,
/// and whichever [`Kernels`](crate::Kernels) packed it, any may search it.
#[derive(Debug)]
pub struct Corpus<'a> {
    rows: DenseView<'a>,
    packed: Option<CodedPanels>,
}

impl<'a> Corpus<'a> {
    pub(crate) const fn packed(rows: DenseView<'a>, packed: Option<CodedPanels>) -> Self {
        Self { rows, packed }
    }

    /// The rows as they lie.
    #[must_use]
    pub const fn rows(&self) -> DenseView<'a> {
        self.rows
    }

    /// Bytes that packing has added.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, CodedPanels::bytes)
    }

    pub(crate) const fn coded(&self) -> Option<&CodedPanels> {
        self.packed.as_ref()
    }
}

impl<'a> From<DenseView<'a>> for Corpus<'a> {
    fn from(rows: DenseView<'a>) -> Self {
        Self::packed(rows, None)
    }
}
