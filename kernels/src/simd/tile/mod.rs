//! All dot products of rows of signed bytes with a packed corpus: the engine under exact search, dense
//! conflict classes and nearest centroids.
//!
//! The corpus lies in [`BytePanels`]: 32 rows side by side, dimension outermost, so that a lane is a row and
//! no sum ever crosses lanes. The other side, [`ByteRows`], passes over each panel in blocks of 32 rows. The
//! products are integers, the same on every level; what the caller makes of a finished block (a top-k, a
//! class, a nearest row) is its [`Sink`], which runs while the block is still in the nearest cache.

#[cfg(target_arch = "x86_64")]
mod narrow;
mod pack;
#[cfg(not(target_arch = "x86_64"))]
mod plain;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::isa::Level;
use crate::simd::stream::prefetch;
pub(crate) use pack::{BytePanels, ByteRows};

/// Rows of a panel, and rows of a block of the other side.
pub(crate) const SIDE: usize = 32;
/// The dimension from which on a dot product of signed bytes could leave 32 bits: 2¹⁷ · 128² = 2³¹.
pub(crate) const DIM_LIMIT: usize = 1 << 17;

/// Up to this many rows a 32 × 32 tile product costs more than one by rows: half-empty tiles take as long as
/// full ones (one row against 100,000 × 768: 5.8 ms by tiles, 4.2 ms by rows).
#[cfg(target_arch = "x86_64")]
const FEW: usize = 4;

/// The dot products of a block of rows with a panel: `dots[i][j]` belongs to the `i`-th row of the block
/// and the `j`-th row of the panel. Rows and lanes behind the last ones hold nothing of meaning.
pub(crate) type Dots = [[i32; SIDE]; SIDE];

/// What is done with each finished block.
pub(crate) trait Sink {
    /// Takes the products of block `block` of the rows with panel `panel`; must be `#[inline(always)]`, so
    /// that it is compiled for the level.
    fn take<S: Simd>(&mut self, simd: S, block: usize, panel: usize, dots: &Dots);
}

/// Hands the products of every block of `blocks` with every panel of `panels` to `sink`, panels ascending
/// within ascending blocks. Both sides must have the same dimension.
///
/// A caller with many blocks chooses `panels` so that they stay in the second-level cache meanwhile.
pub(crate) fn products(
    level: Level,
    rows: &ByteRows,
    blocks: Range<usize>,
    corpus: &BytePanels,
    panels: Range<usize>,
    sink: &mut impl Sink,
) {
    assert_eq!(rows.dim(), corpus.dim(), "both sides of a product have one dimension");
    let _tiles = prepare(level);
    level.dispatch(Products { level, rows, blocks, corpus, panels, sink });
}

/// Must be held by a thread while it multiplies blocks: the tile registers' configuration, where there are such.
#[cfg(target_arch = "x86_64")]
pub(super) type Prepared = Option<super::amx::Configured>;
/// Nothing to hold here.
#[cfg(not(target_arch = "x86_64"))]
pub(super) type Prepared = ();

/// What multiplying blocks needs.
#[cfg(target_arch = "x86_64")]
pub(super) fn prepare(level: Level) -> Prepared {
    match level {
        Level::Amx(_, amx) => Some(amx.configure()),
        _ => None,
    }
}

/// Nothing to prepare here.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn prepare(_: Level) -> Prepared {}

struct Products<'a, T> {
    level: Level,
    rows: &'a ByteRows,
    blocks: Range<usize>,
    corpus: &'a BytePanels,
    panels: Range<usize>,
    sink: &'a mut T,
}

impl<T: Sink> WithSimd for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut dots = Aligned::default();
        for block in self.blocks.clone() {
            let left = self.rows.block(block);
            for panel in self.panels.clone() {
                // Many blocks find the panels in the second-level cache; a single one has to fetch them (a single
                // row does so itself).
                if self.blocks.len() == 1 && left.rows > 1 && panel + 1 < self.panels.end {
                    for line in self.corpus.panel(panel + 1).as_chunks::<64>().0 {
                        prefetch(line, 0);
                    }
                }
                left.times(self.level, self.corpus.panel(panel), &mut dots.0);
                self.sink.take(simd, block, panel, &dots.0);
            }
        }
    }
}

/// Products that start on a cache line.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Aligned(pub(super) Dots);

/// A block of at most 32 rows, padded with rows of zeros to 32.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// 32 rows of `stride` bytes; what lies behind the dimension is zero.
    pub(super) codes: &'a [i8],
    /// A multiple of 64.
    pub(super) stride: usize,
    /// For each row −128 · Σ codes, sixteen times: the value from which its sums start, because panels hold
    /// `code + 128`.
    pub(super) starts: &'a [[i32; 16]; SIDE],
    /// Rows that count.
    pub(super) rows: usize,
}

impl Block<'_> {
    /// The products with one panel, on a thread that holds [`prepare`]'s guard. Only the first `rows` rows of `dots`
    /// are sure to be written.
    #[inline(always)]
    pub(super) fn times(self, level: Level, panel: &[u8], dots: &mut Dots) {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Amx(_, amx) if self.rows > FEW => amx.times(self, panel, dots),
            #[cfg(target_arch = "x86_64")]
            Level::Amx(_, amx) => amx.vnni().times(self, panel, dots),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni(_, vnni) => vnni.times(self, panel, dots),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => narrow::times_v4(token, self, panel, dots),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => narrow::times_v3(token, self, panel, dots),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => plain::times(self, panel, dots),
        }
    }

    /// The codes of `R` rows from row `first` on, four to a word; each slice has `quads` words.
    #[inline(always)]
    pub(super) fn words<const R: usize>(&self, first: usize, quads: usize) -> [&[i32]; R] {
        let mut rows: [&[i32]; R] = [&[]; R];
        for (r, row) in rows.iter_mut().enumerate() {
            let codes = &self.codes[(first + r) * self.stride..][..self.stride];
            *row = &bytemuck::cast_slice(codes)[..quads];
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa::Isa;

    /// Collects every product that counts.
    struct Collect {
        rows: usize,
        corpus: usize,
        all: Vec<i32>,
    }

    impl Sink for Collect {
        #[inline(always)]
        fn take<S: Simd>(&mut self, _: S, block: usize, panel: usize, dots: &Dots) {
            for (row, dots) in (block * SIDE..self.rows).zip(dots) {
                for (other, &dot) in (panel * SIDE..self.corpus).zip(dots) {
                    self.all[row * self.corpus + other] = dot;
                }
            }
        }
    }

    fn naive(rows: &[i8], corpus: &[i8], dim: usize) -> Vec<i32> {
        let dot = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
        rows.chunks(dim).flat_map(|a| corpus.chunks(dim).map(move |b| dot(a, b))).collect()
    }

    fn check(rows: &[i8], corpus: &[i8], dim: usize) {
        let (n, m) = (rows.len() / dim, corpus.len() / dim);
        let expected = naive(rows, corpus, dim);
        for isa in Isa::available() {
            let Some(level) = Level::open(isa) else { continue };
            let (left, right) = (ByteRows::pack(rows, dim), BytePanels::pack(corpus, dim));
            let mut sink = Collect { rows: n, corpus: m, all: vec![0; n * m] };
            products(level, &left, 0..left.blocks(), &right, 0..right.panels(), &mut sink);
            assert_eq!(sink.all, expected, "{isa}, {n} × {m} × {dim}");
        }
    }

    #[test]
    fn extremes_do_not_saturate() {
        for dim in [1, 3, 4, 63, 64, 65, 768, 4_096] {
            for (a, b) in [(127, 127), (-128, -128), (-128, 127), (127, -128)] {
                check(&vec![a; 33 * dim], &vec![b; 33 * dim], dim);
            }
        }
        let dim = DIM_LIMIT - 1;
        check(&vec![-128; dim], &vec![-128; dim], dim);
    }

    #[test]
    fn a_thread_may_prepare_twice() {
        for level in Isa::available().into_iter().filter_map(Level::open) {
            let outer = prepare(level);
            check(&[1, 2, 3], &[4, 5, 6], 3); // prepares and releases
            let (left, right) = (ByteRows::pack(&[3; 320], 10), BytePanels::pack(&[2; 320], 10));
            let mut dots = Aligned::default();
            level.dispatch(Times(level, left.block(0), right.panel(0), &mut dots.0));
            assert_eq!(dots.0, [[60; SIDE]; SIDE], "{}", level.isa());
            drop(outer);
        }
    }

    struct Times<'a>(Level, Block<'a>, &'a [u8], &'a mut Dots);

    impl WithSimd for Times<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            self.1.times(self.0, self.2, self.3);
        }
    }

    #[test]
    fn no_rows_give_no_products() {
        check(&[], &[1, 2, 3], 3);
        check(&[1, 2, 3], &[], 3);
    }

    proptest! {
        #[test]
        fn equals_the_plain_sums_at_every_level(
            (dim, rows, corpus) in (1usize..200).prop_flat_map(|dim| {
                let side = (0usize..80).prop_flat_map(move |n| prop::collection::vec(any::<i8>(), n * dim));
                (Just(dim), side.clone(), side)
            }),
        ) {
            check(&rows, &corpus, dim);
        }
    }
}
