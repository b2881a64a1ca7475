//! The shape of `wgsl/tile.wgsl`: how rows lie in memory, and the tile that a workgroup computes.
//!
//! Rows lie in fours: word w of rows 4p .. 4p + 3 is the vector at p · words + w. The last tile is filled up with rows of
//! zeros, and the last words of a row with zeros.

use bytemuck::{Pod, Zeroable};

use crate::Entry;

/// Rows of a side of a tile.
pub const SIDE: usize = 64;
/// The number of words of a row is a multiple of this.
pub const DEPTH: usize = 16;
/// Rows whose words lie side by side.
pub const FOUR: usize = 4;

/// What is known of a row besides its words.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Row {
    /// The offset, squared norm or number of bits: each shader says which.
    pub value: i32,
    /// What the row's sums are multiplied by before they are added to the two checksums.
    pub weights: [u32; 2],
}

const _: () = assert!(size_of::<Row>() == 12);

/// An entry point that computes tiles.
pub(crate) const fn entry(name: &'static str) -> Entry {
    Entry { name, workgroup: [16, 16, 1] }
}
