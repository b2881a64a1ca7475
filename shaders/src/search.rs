//! Which rows of a corpus may be among the nearest to each query: `wgsl/search.wgsl`.
//!
//! For one part of a corpus after the other `scan`, then once `choose`, then for each part `list`.

use bytemuck::{Pod, Zeroable};

use crate::{Binding, Entry, Shader, compose, tile};

/// What one dispatch is to do.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Job {
    /// Words of a row, a multiple of [`tile::DEPTH`].
    pub words: u32,
    /// Queries, without padding.
    pub queries: u32,
    /// Tiles in a strip.
    pub strip_tiles: u32,
    /// Strips of the whole corpus.
    pub strips: u32,
    /// Where the part of the corpus that is bound begins.
    pub first_strip: u32,
    /// As `first_strip`, in rows.
    pub first_row: u32,
    /// How many nearest rows `choose` is to find a floor for.
    pub wanted: u32,
    /// Places in the list of a query.
    pub capacity: u32,
    /// Offsets, which are below 2²⁹ and not negative, are shifted right by so many bits, 0 to 31.
    pub shift: u32,
}

/// What is known of a query besides its codes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Query {
    /// The floor: given, or chosen by `choose`.
    pub floor: i32,
    /// How far below the floor the key of a wanted row can lie; `u32::MAX` stands for any distance.
    pub reach: u32,
    /// As [`tile::Row::weights`].
    pub weights: [u32; 2],
}

const _: () = assert!(size_of::<Job>() == 36 && size_of::<Query>() == 16);

/// One strip (x) and 64 queries (y): the strip's greatest keys, and the checksums.
pub const SCAN: Entry = tile::entry("scan");
/// One query (x): its floor.
pub const CHOOSE: Entry = Entry { name: "choose", workgroup: [256, 1, 1] };
/// One strip (x) and one query (y): the rows that reach the floor.
pub const LIST: Entry = Entry { name: "list", workgroup: [64, 1, 1] };

/// Words of `found` before the counts: the checksums.
pub const FOUND_HEAD: usize = 2;

/// The shader.
pub const SHADER: Shader = Shader {
    name: "search",
    source: compose!("bytes", "rows", "tile", "search"),
    entries: &[SCAN, CHOOSE, LIST],
    bindings: &[
        Binding::uniform::<Job>("job"),
        Binding::read::<[u32; 4]>("left_rows"),
        Binding::read::<[u32; 4]>("right_rows"),
        Binding::read::<tile::Row>("rows"),
        Binding::read::<u32>("allowed"),
        Binding::write::<i32>("strips"),
        Binding::write::<Query>("queries"),
        Binding::write::<u32>("found"),
    ],
};
