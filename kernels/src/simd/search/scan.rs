//! The scan of a packed corpus: integer products, and for each finished 32 × 32 block one comparison a pair.
//!
//! # The bound
//! Let q = t·d + e and x = s·c + r be query and row with their codes d, c. Then
//! q·x − ts·(d·c) = (q − e)·r + e·x, so by Cauchy–Schwarz
//!
//! |q·x − ts·(d·c)| ≤ ‖t·d‖·‖r‖ + ‖e‖·‖x‖.
//!
//! d·c is an integer and exact. With the notation of [`bounds`] the key is estimated by K̂ = t·((s/n)·(d·c)) − h, where n
//! is ‖x‖ for the cosine and otherwise 1, and h is ‖x‖²/2 for L2 and otherwise 0. On the way: the integer to f32, two
//! products and the fused sum, 4u; 1/n within η/2 + 3u (`bounds`): in all less than ε of ‖t·d‖·‖s·c‖/n, which is at most
//! ‖t·d‖·(‖x‖ + ‖r‖)/n. So with the query's error e' = (‖e‖ + ε‖t·d‖)(1 + ε) and the row's r' = ‖r‖(1 + ε)
//!
//! |K̂ − K| ≤ ‖t·d‖·r'/n + e'·‖x‖(1 + ε)/n, and for L2 another ε of h.
//!
//! The comparison takes the largest r'/n and ‖x‖/n of a panel for all its rows, which costs nothing to speak of and
//! keeps the error of a pair out of the loop; a row that passes gets its own. Where all
//! rows of a panel have one scale, it is the product that is compared ([`PanelTerms::least_product`]).
//!
//! A row whose upper bound is below the floor, the least key that a wanted row may have as far as is known, is out for
//! certain. The floor depends on the order of the scan, the answer does not.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use pulp::Simd;
use rayon::prelude::*;

use super::bounds;
use super::coded::{CodedPanels, CodedRows, epsilon};
use super::shortlist::{self, Shortlist};
use super::terms::{PanelTerms, RowTerms};
use crate::exact::Sum;
use crate::isa::Level;
use crate::simd::tile::{Dots, SIDE, Sink, products};
use crate::types::{DenseView, SearchOptions, SearchRows, Wanted};

/// Bytes of the panels that stay in the second-level cache while all queries pass.
const GROUP_BYTES: usize = 512 << 10;
/// Below so many rows no shortlist is given up: the second filter makes short work of them.
const LEAST_GIVEN_UP: usize = 4_096;

/// What a block of queries adds to every pair.
#[derive(Clone)]
struct QueryTerms {
    scale: [f32; SIDE],
    /// 1 / `scale`.
    inverse: [f32; SIDE],
    /// ‖t·d‖, rounded up.
    norm: [f32; SIDE],
    /// e' of the bound.
    residual: [f32; SIDE],
    /// The floor to start from.
    floor: [f32; SIDE],
}

/// Queries on their way through a packed corpus.
pub(super) struct Scan<'a> {
    level: Level,
    options: SearchOptions<'a>,
    epsilon: f32,
    queries: CodedRows,
    terms: Vec<QueryTerms>,
    /// By query.
    norms: Vec<f32>,
    /// Rows at which a shortlist is given up: bytes do not tell enough of this query and corpus.
    too_many: usize,
}

/// For each query the rows that may be wanted, or `None` once it is given up.
pub(super) type Shortlists = Vec<Option<Shortlist>>;

impl<'a> Scan<'a> {
    /// Codes the queries; `asked` are the queries in f32.
    pub(super) fn new(
        level: Level,
        queries: SearchRows<'_>,
        asked: DenseView<'_>,
        options: &SearchOptions<'a>,
    ) -> Self {
        let packed = CodedRows::pack(level, queries);
        let epsilon = epsilon(queries.dim());
        let (zeros, never) = ([0.0; SIDE], [f32::INFINITY; SIDE]);
        let blank = QueryTerms { scale: zeros, inverse: zeros, norm: zeros, residual: zeros, floor: never };
        let mut terms = vec![blank; packed.rows.blocks()];
        let mut norms = Vec::with_capacity(asked.rows());
        for (index, (query, coded)) in asked.iter().zip(&packed.coded).enumerate() {
            let (terms, lane) = (&mut terms[index / SIDE], index % SIDE);
            #[expect(clippy::cast_possible_truncation, reason = "rounded up at once")]
            let norm = (packed.norms[index] as f32).next_up();
            terms.scale[lane] = coded.scale;
            terms.inverse[lane] = 1.0 / coded.scale;
            terms.norm[lane] = norm;
            terms.residual[lane] = (coded.residual + epsilon * norm) * (1.0 + epsilon);
            let square = Sum::dot(query, query);
            norms.push(bounds::query_norm(square));
            terms.floor[lane] = match options.wanted {
                Wanted::Top(_) => f32::NEG_INFINITY,
                Wanted::Within(near) => bounds::least_key(options.metric, near, square),
            };
        }
        let too_many = match options.wanted {
            Wanted::Top(k) => k.saturating_mul(16).max(LEAST_GIVEN_UP),
            Wanted::Within(_) => usize::MAX,
        };
        Self { level, options: *options, epsilon, queries: packed, terms, norms, too_many }
    }

    /// ‖q‖ as [`bounds::query_norm`] has it.
    pub(super) fn norm(&self, query: usize) -> f32 {
        self.norms[query]
    }

    /// What is known before the first row. A query that is not ordinary is not for bytes to decide.
    pub(super) fn start(&self) -> Shortlists {
        let shortlist = |query: usize| {
            let (terms, lane) = (&self.terms[query / SIDE], query % SIDE);
            terms.residual[lane].is_finite().then(|| Shortlist::new(self.options.wanted, terms.floor[lane]))
        };
        (0..self.queries.rows.rows()).map(shortlist).collect()
    }
}

/// Joins what two workers know; of no worker nothing is known.
fn merge(mut left: Shortlists, right: Shortlists) -> Shortlists {
    if left.is_empty() {
        return right;
    }
    for (left, right) in left.iter_mut().zip(right) {
        match (left.as_mut(), right) {
            (Some(left), Some(right)) => left.merge(right),
            _ => *left = None,
        }
    }
    left
}

/// A packed corpus, or a part of one, to be scanned.
pub(super) struct Piece<'a> {
    scan: &'a Scan<'a>,
    corpus: &'a CodedPanels,
    first: usize,
    terms: &'a [PanelTerms],
}

impl<'a> Piece<'a> {
    /// The rows of `corpus` are rows `first`, `first` + 1, … of the whole; `first` is a multiple of 32.
    pub(super) fn new(scan: &'a Scan<'a>, corpus: &'a CodedPanels, first: usize) -> Self {
        Self { scan, corpus, first, terms: corpus.terms(scan.options.metric) }
    }

    /// What is known after these panels as well.
    pub(super) fn scan(&self, panels: Range<usize>, known: Shortlists) -> Shortlists {
        let scan = self.scan;
        let group = (GROUP_BYTES / self.corpus.panels.panel_bytes().max(1)).max(1);
        let next = AtomicUsize::new(panels.start);
        let floors = self.floors(&known);
        let floors: Vec<AtomicU32> =
            floors.as_flattened().iter().map(|floor| AtomicU32::new(floor.to_bits())).collect();
        // Each worker takes the next group that nobody has taken: which one it gets decides how much it can
        // leave out early, not what the answer is.
        let workers = rayon::current_num_threads().min(panels.len().div_ceil(group)).max(1);
        let shares: Vec<Shortlists> = (1..workers).map(|_| scan.start()).chain([known]).collect();
        let work = |shortlists: Shortlists| {
            let mut worker = Worker { piece: self, floors: self.floors(&shortlists), shortlists };
            loop {
                let start = next.fetch_add(group, Relaxed);
                if start >= panels.end {
                    return worker.shortlists;
                }
                worker.raise(&floors);
                let (blocks, panels) = (0..scan.terms.len(), start..(start + group).min(panels.end));
                products(scan.level, &scan.queries.rows, blocks, &self.corpus.panels, panels, &mut worker);
                worker.publish(&floors);
            }
        };
        shares.into_par_iter().with_max_len(1).map(work).reduce(Vec::new, merge)
    }

    /// By block the floor of each query; infinite for one that is given up.
    fn floors(&self, known: &Shortlists) -> Vec<[f32; SIDE]> {
        let mut floors = vec![[f32::INFINITY; SIDE]; self.scan.terms.len()];
        for (floor, shortlist) in floors.as_flattened_mut().iter_mut().zip(known) {
            *floor = shortlist.as_ref().map_or(f32::INFINITY, Shortlist::floor);
        }
        floors
    }

    /// Bit i: row i of the panel is there and may be found.
    fn allowed(&self, panel: usize) -> u32 {
        let there = u32::MAX >> (SIDE - (self.corpus.panels.rows() - panel * SIDE).min(SIDE));
        self.scan.options.only.map_or(there, |mask| mask.word(self.first / SIDE + panel) & there)
    }
}

/// What one worker knows.
struct Worker<'a> {
    piece: &'a Piece<'a>,
    /// As [`Piece::floors`], raised by what other workers know.
    floors: Vec<[f32; SIDE]>,
    shortlists: Shortlists,
}

impl Worker<'_> {
    /// Takes over floors that others have raised.
    fn raise(&mut self, floors: &[AtomicU32]) {
        for (own, shared) in self.floors.as_flattened_mut().iter_mut().zip(floors) {
            *own = own.max(f32::from_bits(shared.load(Relaxed)));
        }
    }

    fn publish(&self, floors: &[AtomicU32]) {
        for (&own, shared) in self.floors.as_flattened().iter().zip(floors) {
            // A floor that another worker raises meanwhile may be lost here; it is still that worker's own.
            if own > f32::from_bits(shared.load(Relaxed)) {
                shared.store(own.to_bits(), Relaxed);
            }
        }
    }

    /// Offers the rows `open` of a panel, which passed the comparison with a query, given their keys.
    #[inline(never)]
    fn offer(&mut self, query: usize, panel: usize, mut open: u32, keys: &[f32; SIDE]) {
        let Some(shortlist) = &mut self.shortlists[query] else { return };
        let scan = self.piece.scan;
        let (terms, lane) = (&scan.terms[query / SIDE], query % SIDE);
        let (norm, residual) = (terms.norm[lane], terms.residual[lane]);
        while open != 0 {
            let row = open.trailing_zeros() as usize;
            open &= open - 1;
            let coded = self.piece.corpus.coded[panel][row];
            let row_terms = RowTerms::new(scan.options.metric, scan.epsilon, coded);
            let error = norm * row_terms.residual + residual * row_terms.norm;
            #[expect(clippy::cast_possible_truncation, reason = "views have at most u32::MAX rows")]
            let index = (self.piece.first + panel * SIDE + row) as u32;
            shortlist.offer(index, (keys[row] - error - row_terms.slack, keys[row] + error));
        }
        let floor = &mut self.floors[query / SIDE][lane];
        *floor = floor.max(shortlist.floor());
        if shortlist.len() > scan.too_many {
            *floor = f32::INFINITY;
            self.shortlists[query] = None;
        }
    }
}

/// The key of row `i` of a panel, from the integer product.
#[inline(always)]
fn estimate(dot: i32, panel: &PanelTerms, i: usize, scale: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a rounding that the bound allows for")]
    let dot = dot as f32;
    (dot * panel.scale[i]).mul_add(scale, panel.offset[i])
}

impl Sink for Worker<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, panel: usize, dots: &Dots) {
        let allowed = self.piece.allowed(panel);
        if allowed == 0 {
            return;
        }
        let (scan, row) = (self.piece.scan, &self.piece.terms[panel]);
        let query = &scan.terms[block];
        let (mut bounds, mut least) = ([0f32; SIDE], [0f32; SIDE]);
        for lane in 0..SIDE {
            let floor = query.norm[lane].mul_add(-row.residual, self.floors[block][lane]);
            bounds[lane] = query.residual[lane].mul_add(-row.norm, floor);
            least[lane] = row.least_product(bounds[lane], query.inverse[lane]);
        }
        let queries = (scan.queries.rows.rows() - block * SIDE).min(SIDE);
        for lane in 0..queries {
            let mut passed = false;
            if row.is_even() {
                for &dot in &dots[lane] {
                    #[expect(clippy::cast_precision_loss, reason = "a rounding that the bound allows for")]
                    let dot = dot as f32;
                    passed |= !shortlist::below(dot, least[lane]);
                }
            } else {
                for (i, &dot) in dots[lane].iter().enumerate() {
                    let key = estimate(dot, row, i, query.scale[lane]);
                    passed |= !shortlist::below(key, bounds[lane]);
                }
            }
            if passed {
                let (mut keys, mut open) = ([0f32; SIDE], 0u32);
                for (i, key) in keys.iter_mut().enumerate() {
                    *key = estimate(dots[lane][i], row, i, query.scale[lane]);
                    open |= u32::from(!shortlist::below(*key, bounds[lane])) << i;
                }
                if open & allowed != 0 {
                    self.offer(block * SIDE + lane, panel, open & allowed, &keys);
                }
            }
        }
    }
}
