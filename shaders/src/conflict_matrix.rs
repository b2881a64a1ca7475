//! The kernel that lists which pairs of rows may be other than orthogonal, and how its inputs and outputs lie.
//!
//! Bindings, in order: [`Job`], left codes, right codes, left [`Row`]s, right [`Row`]s, the list, the tallies.
//! The codes of a row are whole chunks of 16 bytes: the high plane, the low plane if there is one, then presence
//! bits. An entry of the list is `WRITTEN | left << 15 | right`, rows counted from the tile's first. The
//! tallies are the entries found, the workgroups done, and for each left row two checksums and its entries.

use bytemuck::{Pod, Zeroable};

use crate::{Binding, Entry, Shader, compose};

/// Rows and columns of a workgroup.
pub const SIDE: usize = 32;
/// Most rows on either side of a tile: what an entry has room for.
pub const MOST_ROWS: usize = 1 << 15;
/// Greatest dimension: the sum of the two mixed products stays below 2^28 and thus in 32 bits, and `dot · 2^13`
/// below 2^57.
pub const MOST_DIMENSIONS: usize = 1 << 13;
/// Marks an entry that was written, beside memory that was only cleared.
pub const WRITTEN: u32 = 1 << 31;
/// Tallies before those of rows.
pub const HEADER: usize = 2;
/// Tallies of a row.
pub const TALLIES: usize = 3;

/// What one dispatch does. Rows are counted from the first of the bound codes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct Job {
    /// First left row, a multiple of [`SIDE`] in a triangle.
    pub left_first: u32,
    /// Left rows, at least one.
    pub left_rows: u32,
    /// First right row, a multiple of [`SIDE`] in a triangle.
    pub right_first: u32,
    /// Right rows, at least one.
    pub right_rows: u32,
    /// Chunks from one row to the next.
    pub row_chunks: u32,
    /// Planes of digits: 1 where codes are multiples of 256, otherwise 2.
    pub planes: u32,
    /// Chunks of a plane.
    pub code_chunks: u32,
    /// Chunks of presence bits.
    pub bit_chunks: u32,
    /// 1 where left and right are the same rows and only pairs i < j count. A row then meets the columns
    /// from its own block of [`SIDE`] on.
    pub triangle: u32,
    /// 10⁴ + the structural threshold in 10⁻⁴.
    pub structural_factor: u32,
    /// Entries that the list has room for; more are counted but not written.
    pub capacity: u32,
    /// Weight of `high·low + low·high` in checksums, where `high·high` has 1.
    pub mix_middle: u32,
    /// Weight of `low·low` in checksums.
    pub mix_low: u32,
    /// Weight of the number of shared positions in checksums.
    pub mix_shared: u32,
    /// Uniform memory comes in steps of 16 bytes.
    pub unused: [u32; 2],
}

/// What decides pairs of a row.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct Row {
    /// ⌊norm · orthogonal threshold · 2⁷⌋.
    pub reach: u32,
    /// ⌊norm · 2⁶⌋.
    pub root: u32,
    /// Structural threshold in 10⁻⁴ times the number of positions.
    pub positions: u32,
    /// What a pair with this right row weighs in the checksums of its left row.
    pub weights: [u32; 2],
}

const _: () = assert!(size_of::<Job>() == 64 && size_of::<Row>() == 20);

/// 32 right rows (x) and 32 left rows (y).
pub const LIST: Entry = Entry { name: "conflict_matrix", workgroup: [8, 8, 1] };

/// The shader.
pub const SHADER: Shader = Shader {
    name: "conflict_matrix",
    source: compose!("wide", "conflict_matrix"),
    entries: &[LIST],
    bindings: &[
        Binding::uniform::<Job>("job"),
        Binding::read::<[u32; 4]>("left_codes"),
        Binding::read::<[u32; 4]>("right_codes"),
        Binding::read::<Row>("left"),
        Binding::read::<Row>("right"),
        Binding::write::<u32>("list"),
        Binding::write::<u32>("tallies"),
    ],
};
