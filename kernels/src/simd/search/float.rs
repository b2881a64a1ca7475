//! The f32 scan: straight from the rows as they lie, for few queries, for levels where bytes are no faster, and
//! for queries that bytes cannot decide.
//!
//! The corpus is cut into blocks that stay in L2 while a group of queries passes. Panels of queries
//! meet a row one component at a time; few queries are taken one by one along the row. Which rows make
//! the shortlist may differ from level to level and with the number of threads; the answer cannot.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use super::bounds::{self, RowTerms};
use super::dots::{self, PANEL};
use super::shortlist::{self, Shortlist};
use crate::exact::{Judge, Sum};
use crate::isa::Level;
use crate::types::{DenseView, Neighbor, SearchOptions, Wanted};

/// Queries that share one pass over the corpus: a multiple of [`PANEL`], few enough for their panels to
/// stay in cache.
const GROUP: usize = 8 * PANEL;
/// Fewer queries than this are cheaper one by one than as a panel padded with zeros.
const LEAST_PANEL: usize = PANEL / 2;
/// Bytes of a row block, a fraction of any L2.
const BLOCK_BYTES: usize = 128 << 10;
/// Rows that one query meets at a time.
const ROWS_AT_ONCE: usize = 8;
/// Shortlisted rows worth a task of their own.
const LEAST_JUDGED: usize = 256;

/// For each query the wanted rows of the corpus, nearest first, ties by the lower row.
pub(super) fn search(
    level: Level,
    corpus: DenseView<'_>,
    queries: Vec<&[f32]>,
    options: SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let groups = queries.par_chunks(GROUP);
    let groups = groups.map(|queries| Group::new(corpus, queries.to_vec(), options).search(level));
    groups.flatten_iter().collect()
}

/// Queries on their way through the corpus.
struct Group<'a> {
    corpus: DenseView<'a>,
    options: SearchOptions<'a>,
    queries: Vec<&'a [f32]>,
    /// For each query its norm and its first floor; padded with zeros to whole panels.
    norms: Vec<f32>,
    floors: Vec<f32>,
    /// How many of the queries are in panels; the others go one by one.
    in_panels: usize,
    /// One panel after the other, `dim` long each.
    panels: Vec<[f32; PANEL]>,
}

/// What one worker knows after some blocks.
struct Progress {
    shortlists: Vec<Shortlist>,
    /// The floor of each shortlist, padded to whole panels.
    floors: Vec<f32>,
    /// Terms of the current block's rows.
    terms: Vec<RowTerms>,
}

impl<'a> Group<'a> {
    fn new(corpus: DenseView<'a>, queries: Vec<&'a [f32]>, options: SearchOptions<'a>) -> Self {
        let squares: Vec<Sum> = queries.iter().map(|query| Sum::dot(query, query)).collect();
        let mut norms: Vec<f32> = squares.iter().map(|&square| bounds::query_norm(square)).collect();
        let floor = |&square: &Sum| match options.wanted {
            Wanted::Top(_) => f32::NEG_INFINITY,
            Wanted::Within(threshold) => bounds::least_key(options.metric, threshold, square),
        };
        let mut floors: Vec<f32> = squares.iter().map(floor).collect();
        let alone = queries.len() % PANEL;
        let in_panels = if alone < LEAST_PANEL { queries.len() - alone } else { queries.len() };
        let padded = queries.len().next_multiple_of(PANEL);
        norms.resize(padded, 0.0);
        floors.resize(padded, f32::INFINITY);
        let panels = queries[..in_panels].chunks(PANEL).flat_map(|panel| {
            let component = |query: &[f32], k: usize| query.get(k).copied().unwrap_or(0.0);
            (0..corpus.dim()).map(move |k| {
                std::array::from_fn(|lane| panel.get(lane).map_or(0.0, |query| component(query, k)))
            })
        });
        Self { corpus, options, norms, floors, in_panels, panels: panels.collect(), queries }
    }

    fn search(&self, level: Level) -> Vec<Vec<Neighbor>> {
        let rows = self.corpus.rows();
        let block = (BLOCK_BYTES / (4 * self.corpus.dim().max(1))).max(1).next_multiple_of(24);
        let progress = (0..rows.div_ceil(block))
            .into_par_iter()
            .fold(
                || self.start(),
                |mut progress, index| {
                    let rows = index * block..((index + 1) * block).min(rows);
                    level.dispatch(ScanBlock { group: self, rows, progress: &mut progress });
                    progress
                },
            )
            .reduce(|| self.start(), Progress::merge);
        let answers = self.queries.par_iter().zip(progress.shortlists);
        answers.map(|(query, shortlist)| self.judge(query, shortlist)).collect()
    }

    fn start(&self) -> Progress {
        let shortlist = |floor: &f32| Shortlist::new(self.options.wanted, *floor);
        let shortlists = self.floors[..self.queries.len()].iter().map(shortlist).collect();
        Progress { shortlists, floors: self.floors.clone(), terms: Vec::new() }
    }

    fn judge(&self, query: &[f32], shortlist: Shortlist) -> Vec<Neighbor> {
        let judge = Judge::new(self.options.metric, self.corpus, query);
        let rows = shortlist.into_rows();
        let candidates = rows.par_iter().with_min_len(LEAST_JUDGED).map(|&row| judge.candidate(row));
        judge.nearest(candidates.collect(), self.options.wanted)
    }
}

impl Progress {
    fn merge(mut self, other: Self) -> Self {
        for (shortlist, others) in self.shortlists.iter_mut().zip(other.shortlists) {
            shortlist.merge(others);
        }
        self
    }
}

/// Offers the rows of one block to every query.
struct ScanBlock<'a> {
    group: &'a Group<'a>,
    rows: Range<usize>,
    progress: &'a mut Progress,
}

impl pulp::WithSimd for ScanBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let corpus = self.group.corpus;
        let epsilon = bounds::epsilon(corpus.dim(), dots::depth(corpus.dim(), S::F32_LANES));
        self.progress.terms.clear();
        // Plain loops: lane code inside a closure may be compiled without the level.
        for row in self.rows.clone() {
            let row = corpus.row(row);
            let terms =
                bounds::row_terms(self.group.options.metric, epsilon, dots::squared_norm(simd, row), row);
            self.progress.terms.push(terms);
        }

        for query in self.group.in_panels..self.group.queries.len() {
            self.one(simd, query);
        }
        // The registers hold the sums of R rows by one panel of V vectors, with a few to spare.
        match S::F32_LANES {
            16 => self.panels::<S, 2, 12>(simd),
            8 => self.panels::<S, 4, 3>(simd),
            _ => self.panels::<S, 8, 3>(simd),
        }
    }
}

impl ScanBlock<'_> {
    /// Offers a row to the shortlist of one query.
    fn offer(&mut self, query: usize, row: usize, dot: f32) {
        if self.group.options.allows(row) {
            let terms = self.progress.terms[row - self.rows.start];
            let shortlist = &mut self.progress.shortlists[query];
            #[expect(clippy::cast_possible_truncation, reason = "views have at most u32::MAX rows")]
            shortlist.offer(row as u32, terms.bounds(dot, self.group.norms[query]));
            self.progress.floors[query] = shortlist.floor();
        }
    }

    /// The `R` rows from `start` on; past the block's end its last row again.
    #[inline(always)]
    fn tile<const R: usize>(&self, start: usize) -> [&[f32]; R] {
        std::array::from_fn(|r| self.group.corpus.row((start + r).min(self.rows.end - 1)))
    }

    /// One query along the rows.
    #[inline(always)]
    fn one<S: Simd>(&mut self, simd: S, query: usize) {
        let norm = self.group.norms[query];
        for start in self.rows.clone().step_by(ROWS_AT_ONCE) {
            let dots: [f32; ROWS_AT_ONCE] =
                dots::dots_of_rows(simd, self.tile(start), self.group.queries[query]);
            for (row, dot) in (start..self.rows.end).zip(dots) {
                let terms = self.progress.terms[row - self.rows.start];
                if !shortlist::below(terms.bounds(dot, norm).1, self.progress.floors[query]) {
                    self.offer(query, row, dot);
                }
            }
        }
    }

    /// Every panel against `R` rows at a time.
    #[inline(always)]
    fn panels<S: Simd, const V: usize, const R: usize>(&mut self, simd: S) {
        let group = self.group;
        for (index, panel) in group.panels.chunks(group.corpus.dim().max(1)).enumerate() {
            let queries = index * PANEL..((index + 1) * PANEL).min(group.queries.len());
            let (norms, _) = group.norms[queries.start..].as_chunks::<PANEL>();
            for start in self.rows.clone().step_by(R) {
                let tile: [&[f32]; R] = self.tile(start);
                let dots = dots::dots_of_panel::<S, V, R>(simd, panel, tile);
                for (row, dots) in (start..self.rows.end).zip(&dots) {
                    let terms = self.progress.terms[row - self.rows.start];
                    let (floors, _) = self.progress.floors[queries.start..].as_chunks::<PANEL>();
                    // Bit i: query i cannot leave the row out.
                    let mut open = 0u32;
                    for lane in 0..PANEL {
                        let (_, upper) = terms.bounds(dots[lane], norms[0][lane]);
                        open |= u32::from(!shortlist::below(upper, floors[0][lane])) << lane;
                    }
                    while open != 0 {
                        let lane = open.trailing_zeros() as usize;
                        open &= open - 1;
                        if queries.start + lane < queries.end {
                            self.offer(queries.start + lane, row, dots[lane]);
                        }
                    }
                }
            }
        }
    }
}
