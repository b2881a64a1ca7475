//! Which way to compute all pairs of sparse rows: a small explicit model of what each way costs.
//!
//! Three ways combine. *Inverted lists* cost a multiply-add for each pair that shares a position. *Dense*
//! dimensions cost a share of a vector instruction for each pair, whether it shares the position or not: the
//! right values stand in a tile and the left row adds the tile's columns it uses; shared positions are
//! counted in masks of 64 dimensions. So the dimensions that most rows use are taken densely and the
//! rest by lists; all of them densely is the *dense tile*, none the plain lists. Where rows hardly ever
//! meet, even looking at each pair once would cost more than the meetings: then only *touched* partners
//! are looked at.
//!
//! The constants are nanoseconds on one core of a busy Sapphire Rapids virtual machine. Those of lists and of the
//! tile come from timings on 4,096 × 768 rows at 5 % and on 20,000 rows over zipf positions; the others are
//! estimates. Only their ratios matter, and no answer depends on them.

use std::fmt;

use crate::isa::{Isa, Level};

/// One entry of a list: its product added to an accumulator in cache.
const LIST_DOT_NS: f64 = 0.36;
/// One entry of a list: a count raised by one.
const LIST_COUNT_NS: f64 = 0.24;
/// Finding one list and leaving it.
const WALK_NS: f64 = 4.0;
/// One vector of a tile's column multiplied and added.
const TILE_NS: f64 = 0.7;
/// One vector of mask words intersected and counted.
const MASK_NS: f64 = 0.5;
/// The same where counting bits takes a table in registers.
const MASK_BY_TABLE_NS: f64 = 2.0;
/// Clearing and reading one vector of accumulators.
const SWEEP_NS: f64 = 1.5;
/// One entry of a list where each partner met is noted and looked at by itself.
const TOUCH_NS: f64 = 4.0;
/// Putting one entry of a row into the index.
const INDEX_NS: f64 = 5.0;
/// What any index costs.
const SET_UP_NS: f64 = 1_000.0;

/// The most dimensions that are taken densely.
const MOST_DENSE: usize = 4_096;
/// Right rows of one block: their accumulators stay in the first cache.
const WIDEST_BLOCK: usize = 8_192;
/// Right rows of a block whose dense dimensions are many.
const NARROWEST_BLOCK: usize = 1_024;
/// What the dense dimensions of a block may occupy: half of a small second cache.
const BLOCK_BYTES: usize = 512 << 10;
/// List starts that all blocks together may need for each entry of the batch.
const STARTS_PER_ENTRY: usize = 8;

/// What is wanted of each pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    /// The dot product.
    pub(crate) dots: bool,
    /// The number of shared positions.
    pub(crate) counts: bool,
    /// Also of pairs that share nothing.
    pub(crate) every_pair: bool,
}

/// The shape of the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) left_rows: usize,
    pub(crate) right_rows: usize,
    pub(crate) triangle: bool,
    /// Entries of both batches; of one, where they are the same.
    pub(crate) entries: usize,
}

/// In how many rows of either batch a dimension occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// The dimension's number.
    pub(crate) number: u32,
    pub(crate) left: u32,
    pub(crate) right: u32,
}

/// A way to compute all pairs of sparse rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Inverted lists; only partners that a row meets are looked at.
    TouchedLists,
    /// Inverted lists; every partner is looked at once.
    InvertedLists,
    /// The dimensions that most rows use densely, the rest by inverted lists.
    Hybrid,
    /// Every dimension densely.
    DenseTile,
}

impl Variant {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TouchedLists => "touched lists",
            Self::InvertedLists => "inverted lists",
            Self::Hybrid => "hybrid",
            Self::DenseTile => "dense tile",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which variant runs, and what the model expects of it and of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The variant that runs.
    pub variant: Variant,
    /// Dimensions that occur.
    pub dimensions: usize,
    /// Those of them that are taken densely.
    pub dense_dimensions: usize,
    /// The share of rows that use the least frequent of the dense dimensions.
    pub least_dense_share: f64,
    /// Pairs that share a position, counted once for each position.
    pub meetings: u64,
    /// Number of pairs.
    pub pairs: u64,
    /// Nanoseconds on one thread that the model expects of each variant that is possible.
    pub expected_ns: Vec<(Variant, f64)>,
}

impl Explanation {
    /// The same where all dimensions are taken densely whatever the model expects, because rows are few.
    pub(crate) fn directly(self) -> Self {
        Self {
            variant: Variant::DenseTile,
            dense_dimensions: self.dimensions,
            least_dense_share: 0.0,
            ..self
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_pair = self.meetings as f64 / self.pairs.max(1) as f64;
        write!(f, "{}: {} pairs share {per_pair:.3} positions on average; ", self.variant, self.pairs)?;
        if self.dense_dimensions > 0 {
            let (dense, all) = (self.dense_dimensions, self.dimensions);
            write!(f, "{dense} of {all} dimensions dense (in {:.1} % of rows or more); ", {
                self.least_dense_share * 100.0
            })?;
        }
        write!(f, "expected")?;
        for (variant, ns) in &self.expected_ns {
            write!(f, " {variant} {:.3} ms", ns / 1e6)?;
        }
        Ok(())
    }
}

/// What the model decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) variant: Variant,
    /// Columns that are taken densely, most frequent first.
    pub(crate) dense: Vec<u32>,
    /// Right rows of one block.
    pub(crate) block: usize,
}

/// Lanes of f32 and the cost of a vector of mask words per pair.
fn machine(level: Level) -> (f64, f64) {
    match level.isa() {
        Isa::Scalar => (1.0, MASK_BY_TABLE_NS),
        Isa::Neon => (4.0, MASK_NS / 2.0),
        Isa::Avx2 => (8.0, MASK_BY_TABLE_NS / 4.0),
        Isa::Avx512 => (16.0, MASK_BY_TABLE_NS / 8.0),
        Isa::Avx512Vnni | Isa::Amx => (16.0, MASK_NS / 8.0),
    }
}

/// Chooses a variant for columns that occur in at least one row of the right batch.
pub(crate) fn choose(
    level: Level,
    wants: Wants,
    shape: Shape,
    mut columns: Vec<Column>,
) -> (Plan, Explanation) {
    let (lanes, mask_ns) = machine(level);
    let (left, right) = (shape.left_rows as f64, shape.right_rows as f64);
    let pairs = if shape.triangle { left * (left - 1.0).max(0.0) / 2.0 } else { left * right };
    let partners = pairs / left.max(1.0);
    let blocks = (partners / WIDEST_BLOCK as f64).max(1.0);
    let list_ns =
        f64::from(u8::from(wants.dots)) * LIST_DOT_NS + f64::from(u8::from(wants.counts)) * LIST_COUNT_NS;
    let meetings_of = |column: &Column| {
        let (left, right) = (f64::from(column.left), f64::from(column.right));
        if shape.triangle { left * (left - 1.0) / 2.0 } else { left * right }
    };
    let by_list = |column: &Column| meetings_of(column) * list_ns + f64::from(column.left) * blocks * WALK_NS;
    let vectors = (partners / lanes).max(1.0);
    let in_tile = |column: &Column| {
        if wants.dots { f64::from(column.left) * vectors * TILE_NS } else { 0.0 }
    };
    let masks = |dense: usize| {
        if wants.counts { dense.div_ceil(64) as f64 * pairs.max(left * 8.0) * mask_ns } else { 0.0 }
    };

    let (meetings, walks) = columns.iter().fold((0.0, 0.0), |(meetings, walks), column| {
        (meetings + meetings_of(column), walks + f64::from(column.left))
    });
    let used = columns.len();
    let index = SET_UP_NS + shape.entries as f64 * INDEX_NS;
    let sweep = index + left * vectors * SWEEP_NS;
    let lists = sweep + columns.iter().map(by_list).sum::<f64>();
    let touched = index + meetings * TOUCH_NS + walks * WALK_NS;

    // Most frequent first; ties by number, so that the choice is one of the input alone.
    let order = |a: &Column, b: &Column| (b.right, a.number).cmp(&(a.right, b.number));
    if columns.len() > MOST_DENSE {
        columns.select_nth_unstable_by(MOST_DENSE, order);
        columns.truncate(MOST_DENSE);
    }
    columns.sort_unstable_by(order);
    let (mut rest, mut dense, mut tile) = (lists, 0, 0.0);
    let mut hybrid = lists;
    for (taken, column) in columns.iter().enumerate() {
        rest -= by_list(column);
        tile += in_tile(column);
        let cost = rest + tile + masks(taken + 1);
        if cost < hybrid {
            (hybrid, dense) = (cost, taken + 1);
        }
    }

    let starts = (shape.right_rows / WIDEST_BLOCK).saturating_mul(used);
    let blocks_fit = starts <= shape.entries.saturating_mul(STARTS_PER_ENTRY);
    let by_blocks = match dense {
        0 => Variant::InvertedLists,
        _ if dense == used => Variant::DenseTile,
        _ => Variant::Hybrid,
    };
    let mut expected = Vec::new();
    if !wants.every_pair {
        expected.push((Variant::TouchedLists, touched));
    }
    if blocks_fit || wants.every_pair {
        expected.push((Variant::InvertedLists, lists));
        if by_blocks != Variant::InvertedLists {
            expected.push((by_blocks, hybrid));
        }
    }
    let least =
        |least: (Variant, f64), &option: &(Variant, f64)| if option.1 < least.1 { option } else { least };
    let variant = expected.iter().fold((by_blocks, f64::INFINITY), least).0;
    if variant != by_blocks {
        dense = 0;
    }
    let share = |column: &Column| f64::from(column.right) / right.max(1.0);
    let explanation = Explanation {
        variant,
        dimensions: used,
        dense_dimensions: dense,
        least_dense_share: columns[..dense].last().map_or(0.0, share),
        meetings: meetings as u64,
        pairs: pairs as u64,
        expected_ns: expected,
    };
    let block = if variant == Variant::TouchedLists { shape.right_rows } else { block_width(wants, dense) };
    let dense = columns[..dense].iter().map(|column| column.number).collect();
    (Plan { variant, dense, block }, explanation)
}

/// Right rows of one block, a power of two.
fn block_width(wants: Wants, dense: usize) -> usize {
    let tile = if wants.dots { dense * size_of::<f32>() } else { 0 };
    let masks = if wants.counts { dense.div_ceil(64) * size_of::<u64>() } else { 0 };
    let fits = BLOCK_BYTES / (tile + masks).max(1);
    (1 << fits.max(1).ilog2()).clamp(NARROWEST_BLOCK, WIDEST_BLOCK)
}
