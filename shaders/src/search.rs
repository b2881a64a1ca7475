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
    /// How many nearest rows are wanted; 0 where the floors are given.
    pub wanted: u32,
    /// Places in the list of a query.
    pub capacity: u32,
}

/// What is known of a row of the corpus besides its codes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Row {
    /// The key of a query and this row is their product less this.
    pub offset: i32,
    /// What the row's products are multiplied by before they are added to the two checksums of a query.
    pub weights: [u32; 2],
}

/// What `scan` finds in one strip for one query.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Strip {
    /// The greatest key of the rows that may be found; `i32::MIN` without any.
    pub greatest: i32,
    /// Σ weight · product over all rows of the strip, modulo 2³².
    pub checksums: [u32; 2],
}

/// What is known of a query besides its codes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Query {
    /// The floor: given, or chosen by `choose`.
    pub floor: i32,
    /// How far below the floor the key of a wanted row can lie; not negative.
    pub reach: i32,
    /// Set by `choose`: Σ weight · product over all rows, modulo 2³².
    pub checksums: [u32; 2],
}

const _: () = assert!(size_of::<Job>() == 32 && size_of::<Row>() == 12);
const _: () = assert!(size_of::<Strip>() == 12 && size_of::<Query>() == 16);

/// One strip (x) and 64 queries (y): the strip's greatest keys.
pub const SCAN: Entry = tile::entry("scan");
/// One query (x): its floor and checksums.
pub const CHOOSE: Entry = Entry { name: "choose", workgroup: [256, 1, 1] };
/// One strip (x) and one query (y): the rows that reach the floor.
pub const LIST: Entry = Entry { name: "list", workgroup: [64, 1, 1] };

/// The shader.
pub const SHADER: Shader = Shader {
    name: "search",
    source: compose!("bytes", "tile", "search"),
    entries: &[SCAN, CHOOSE, LIST],
    bindings: &[
        Binding::uniform::<Job>("job"),
        Binding::read::<[u32; 4]>("left_rows"),
        Binding::read::<[u32; 4]>("right_rows"),
        Binding::read::<Row>("rows"),
        Binding::read::<u32>("allowed"),
        Binding::write::<Strip>("strips"),
        Binding::write::<Query>("queries"),
        Binding::write::<u32>("found"),
    ],
};
