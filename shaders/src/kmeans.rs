//! The nearest centroid of each row of signed bytes: `wgsl/kmeans.wgsl`.

use bytemuck::{Pod, Zeroable};

use crate::{Binding, Entry, Shader, compose, tile};

/// What one dispatch is to do.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Job {
    /// Words of a row, a multiple of [`tile::DEPTH`]; 65,536 bytes at most.
    pub words: u32,
    /// Centroids, without padding.
    pub centroids: u32,
    /// The first tile of rows.
    pub first_tile: u32,
}

const _: () = assert!(size_of::<Job>() == 12);

/// 64 rows (x): their nearest centroids, and the checksums.
pub const ASSIGN: Entry = tile::entry("assign");

/// The shader.
pub const SHADER: Shader = Shader {
    name: "kmeans",
    source: compose!("bytes", "rows", "tile", "kmeans"),
    entries: &[ASSIGN],
    bindings: &[
        Binding::uniform::<Job>("job"),
        Binding::read::<[u32; 4]>("left_rows"),
        Binding::read::<[u32; 4]>("right_rows"),
        Binding::read::<tile::Row>("rows"),
        Binding::read::<tile::Row>("centroids"),
        Binding::write::<u32>("nearest"),
        Binding::write::<u32>("checksums"),
    ],
};
