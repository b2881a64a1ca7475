//! A corpus that is searched more than once.

use crate::simd::search::coded::CodedPanels;
use crate::together::Together;
use crate::types::SearchRows;

/// Rows to be searched: as they lie ([`Corpus::unpacked`]), or packed by [`Kernels::corpus`](crate::Kernels::corpus).
///
/// Packed, the rows are there a second time as signed bytes, a quarter of f32's size, which a search
/// reads instead; the rows themselves only settle which of the nearest are nearest. Answers are the same either way,
/// and whichever [`Kernels`](crate::Kernels) packed it, any may search it.
#[derive(Debug)]
pub struct Corpus<'a> {
    rows: SearchRows<'a>,
    packed: Option<CodedPanels>,
    together: Together,
    #[cfg(feature = "gpu")]
    resident: crate::gpu::Resident,
}

impl<'a> Corpus<'a> {
    /// Rows as they lie: nothing is read or kept. For a corpus that is searched once, or too large for memory.
    #[must_use]
    pub fn unpacked(rows: impl Into<SearchRows<'a>>) -> Self {
        Self::packed(rows.into(), None)
    }

    pub(crate) const fn packed(rows: SearchRows<'a>, packed: Option<CodedPanels>) -> Self {
        Self {
            rows,
            packed,
            together: Together::new(),
            #[cfg(feature = "gpu")]
            resident: crate::gpu::Resident::new(),
        }
    }

    /// The rows as they lie.
    #[must_use]
    pub const fn rows(&self) -> SearchRows<'a> {
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

    /// The searches that are under way.
    pub(crate) const fn together(&self) -> &Together {
        &self.together
    }

    /// What a device keeps of the rows, from the first search there on.
    #[cfg(feature = "gpu")]
    pub(crate) const fn resident(&self) -> &crate::gpu::Resident {
        &self.resident
    }
}
