//! The pairs of bit rows whose Jaccard index reaches a threshold: `wgsl/all_pairs.wgsl`.

use bytemuck::{Pod, Zeroable};

use crate::{Binding, Entry, Shader, compose, tile};

/// What one dispatch is to do.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Job {
    /// Words of a row, a multiple of [`tile::DEPTH`]; 2¹⁶ bits at most.
    pub words: u32,
    /// Left rows, without padding.
    pub left_count: u32,
    /// Right rows, without padding.
    pub right_count: u32,
    /// The threshold in ten-thousandths, 1 to 10,000.
    pub at_least: u32,
    /// 1 where left and right are the same rows, of which each pair is wanted once.
    pub is_triangle: u32,
    /// The first tile of the left side.
    pub first_left: u32,
    /// The first tile of the right side.
    pub first_right: u32,
    /// Pairs that there is room for.
    pub capacity: u32,
}

const _: () = assert!(size_of::<Job>() == 32);

/// One tile: x counts those of the right side, y those of the left.
pub const PAIRS: Entry = tile::entry("pairs");

/// Words of `found` before the pairs: the checksums and the number of pairs.
pub const FOUND_HEAD: usize = 3;

/// The shader.
pub const SHADER: Shader = Shader {
    name: "all_pairs",
    source: compose!("bits", "rows", "tile", "all_pairs"),
    entries: &[PAIRS],
    bindings: &[
        Binding::uniform::<Job>("job"),
        Binding::read::<[u32; 4]>("left_rows"),
        Binding::read::<[u32; 4]>("right_rows"),
        Binding::read::<tile::Row>("left"),
        Binding::read::<tile::Row>("right"),
        Binding::write::<u32>("found"),
    ],
};
