//! The rows that k-means begins with: `wgsl/kmeans_seeding.wgsl`.
//!
//! In each round `take` and `measure` for one part of the rows after the other, then once `draw`.

use bytemuck::{Pod, Zeroable};

use crate::{Binding, Entry, Shader, compose, tile};

/// What is bound, and how many rows are tried.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Job {
    /// Words of a row, a multiple of [`tile::DEPTH`]; 65,536 bytes at most.
    pub words: u32,
    /// Tiles of the part that is bound.
    pub tiles: u32,
    /// Rows of the part, without padding.
    pub rows: u32,
    /// Rows before the part.
    pub first_row: u32,
    /// Spans before the part.
    pub first_span: u32,
    /// Spans of all parts.
    pub spans: u32,
    /// Rows tried in a round, at most [`TRIALS`]. The first round tries one.
    pub trials: u32,
}

/// Where the search is, and the rows that are tried.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct State {
    /// How many rounds are over.
    pub round: u32,
    /// The trial that the last of them chose.
    pub winner: u32,
    /// Vectors begin at multiples of 16 bytes.
    pub unused: [u32; 2],
    /// For each trial the span of its row, the Σ D² in that span at which the row is found (low word, high word), and
    /// ‖x‖² of the row. In the first round every D² counts as 1.
    pub places: [[u32; 4]; TRIALS],
    /// The first words of the rows tried; the others follow.
    pub words: [u32; 4],
}

/// One row that was tried in one round.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Trial {
    /// 64 random bits, low word first.
    pub drawn: [u32; 2],
    /// The row, counted from 1.
    pub row: u32,
    /// Vectors begin at multiples of 16 bytes.
    pub unused: u32,
    /// Σ D² should the row be chosen, low word first.
    pub total: [u32; 2],
    /// Σ weight · product over all rows.
    pub checksums: [u32; 2],
}

const _: () = assert!(size_of::<Job>() == 28 && size_of::<State>() == 288 && size_of::<Trial>() == 32);

/// Rows that a round has room for.
pub const TRIALS: usize = 16;
/// Tiles of a span.
pub const SPAN_TILES: usize = 4;
/// Rows of a span.
pub const SPAN_ROWS: usize = SPAN_TILES * tile::SIDE;

/// All that was measured: the row that is chosen, and where the next ones lie.
pub const DRAW: Entry = tile::entry("draw");
/// One trial (x): its row.
pub const TAKE: Entry = Entry { name: "take", workgroup: [256, 1, 1] };
/// One span (x): its distances from all rows that are tried.
pub const MEASURE: Entry = tile::entry("measure");

/// The shader.
pub const SHADER: Shader = Shader {
    name: "kmeans_seeding",
    source: compose!("bytes", "rows", "wide", "kmeans_seeding"),
    entries: &[DRAW, TAKE, MEASURE],
    bindings: &[
        Binding::uniform::<Job>("job"),
        Binding::read::<[u32; 4]>("left_rows"),
        Binding::read::<tile::Row>("rows"),
        Binding::write::<u32>("nearest"),
        Binding::write::<u32>("distances"),
        Binding::write::<[u32; 4]>("spans"),
        Binding::write::<State>("state"),
        Binding::write::<Trial>("trials"),
    ],
};
