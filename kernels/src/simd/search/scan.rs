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
//! keeps the error of a pair out of the loop; a row that passes gets its own.
//!
//! A row whose upper bound is below the floor, the least key that a wanted row may have as far as is known, is out for
//! certain. The floor depends on the order of the scan, the answer does not.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use pulp::Simd;
use rayon::prelude::*;

use super::coded::{Coded, CodedPanels, CodedRows, CodedTerms};
use super::shortlist::{self, Shortlist};
use super::{bounds, dots};
use crate::exact::Sum;
use crate::isa::Level;
use crate::simd::tile::{Dots, SIDE, Sink, products};
use crate::types::{DenseView, Metric, SearchOptions, Wanted};

/// Bytes of the panels that stay in the second-level cache while all queries pass.
const GROUP_BYTES: usize = 512 << 10;
/// Below so many rows no shortlist is given up: the second filter makes short work of them.
const LEAST_GIVEN_UP: usize = 4_096;
/// Fewer lanes than any level has: sums of more lanes are shallower.
const LEAST_LANES: usize = 4;

/// What a panel adds to every pair.
struct PanelTerms {
    scale: [f32; SIDE],
    offset: [f32; SIDE],
    /// The largest residual and norm of its rows.
    residual: f32,
    norm: f32,
    /// Bit i: row i is there and may be wanted.
    allowed: u32,
}

impl PanelTerms {
    fn new(metric: Metric, epsilon: f32, coded: &[Coded; SIDE], allowed: u32) -> Self {
        let mut panel = Self { scale: [0.0; SIDE], offset: [0.0; SIDE], residual: 0.0, norm: 0.0, allowed };
        for (lane, &row) in coded.iter().enumerate() {
            let terms = CodedTerms::new(metric, epsilon, row);
            panel.scale[lane] = terms.scale;
            panel.offset[lane] = terms.offset;
            // A row that is not ordinary has NaNs: `max` leaves them out, the comparison lets the row pass.
            panel.residual = panel.residual.max(terms.residual);
            panel.norm = panel.norm.max(terms.norm);
        }
        panel
    }
}

/// What a block of queries adds to every pair.
#[derive(Clone)]
struct QueryTerms {
    scale: [f32; SIDE],
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
    /// Rows at which a shortlist is given up: bytes do not tell enough of this query and corpus.
    too_many: usize,
}

/// For each query the rows that may be wanted, or `None` once it is given up.
pub(super) type Shortlists = Vec<Option<Shortlist>>;

impl<'a> Scan<'a> {
    /// Codes the queries.
    pub(super) fn new(level: Level, queries: DenseView<'_>, options: &SearchOptions<'a>) -> Self {
        let packed = CodedRows::pack(level, queries);
        let epsilon = bounds::epsilon(queries.dim(), dots::depth(queries.dim(), LEAST_LANES));
        let (zeros, never) = ([0.0; SIDE], [f32::INFINITY; SIDE]);
        let blank = QueryTerms { scale: zeros, norm: zeros, residual: zeros, floor: never };
        let mut terms = vec![blank; packed.rows.blocks()];
        for (index, (query, coded)) in queries.iter().zip(&packed.coded).enumerate() {
            let (terms, lane) = (&mut terms[index / SIDE], index % SIDE);
            #[expect(clippy::cast_possible_truncation, reason = "rounded up at once")]
            let norm = (packed.norms[index] as f32).next_up();
            terms.scale[lane] = coded.scale;
            terms.norm[lane] = norm;
            terms.residual[lane] = (coded.residual + epsilon * norm) * (1.0 + epsilon);
            terms.floor[lane] = match options.wanted {
                Wanted::Top(_) => f32::NEG_INFINITY,
                Wanted::Within(near) => bounds::least_key(options.metric, near, Sum::dot(query, query)),
            };
        }
        let too_many = match options.wanted {
            Wanted::Top(k) => k.saturating_mul(16).max(LEAST_GIVEN_UP),
            Wanted::Within(_) => usize::MAX,
        };
        Self { level, options: *options, epsilon, queries: packed, terms, too_many }
    }

    /// What is known before the first row. A query that is not ordinary is not for bytes to decide.
    pub(super) fn start(&self) -> Shortlists {
        let shortlist = |query: usize| {
            let (terms, lane) = (&self.terms[query / SIDE], query % SIDE);
            terms.residual[lane].is_finite().then(|| Shortlist::new(self.options.wanted, terms.floor[lane]))
        };
        (0..self.queries.rows.rows()).map(shortlist).collect()
    }

    /// What is known after the rows of `corpus` as well, which are rows `first`, `first` + 1, … of the whole; `first`
    /// is a multiple of 32.
    pub(super) fn run(&self, corpus: &CodedPanels, first: usize, known: Shortlists) -> Shortlists {
        let piece = Piece { scan: self, corpus, first, panels: self.panel_terms(corpus, first / SIDE) };
        let group = (GROUP_BYTES / corpus.panels.panel_bytes().max(1)).max(1);
        let next = AtomicUsize::new(0);
        let floors: Vec<AtomicU32> =
            piece.floors(&known).as_flattened().iter().map(|floor| AtomicU32::new(floor.to_bits())).collect();
        // Each worker takes the next group that nobody has taken: which one it gets decides how much it can
        // leave out early, not what the answer is.
        let workers = rayon::current_num_threads().min(piece.panels.len().div_ceil(group)).max(1);
        let shares: Vec<Shortlists> = (1..workers).map(|_| self.start()).chain([known]).collect();
        let work = |shortlists: Shortlists| {
            let mut worker = Worker { piece: &piece, floors: piece.floors(&shortlists), shortlists };
            loop {
                let start = next.fetch_add(1, Relaxed) * group;
                if start >= piece.panels.len() {
                    return worker.shortlists;
                }
                worker.raise(&floors);
                let panels = start..(start + group).min(piece.panels.len());
                let blocks = 0..self.terms.len();
                products(self.level, &self.queries.rows, blocks, &corpus.panels, panels, &mut worker);
                worker.publish(&floors);
            }
        };
        shares.into_par_iter().with_max_len(1).map(work).reduce(Vec::new, merge)
    }

    fn panel_terms(&self, corpus: &CodedPanels, first: usize) -> Vec<PanelTerms> {
        let terms = |(panel, coded): (usize, &[Coded; SIDE])| {
            let there = (corpus.panels.rows() - panel * SIDE).min(SIDE);
            let there = u32::MAX >> (SIDE - there);
            let allowed = self.options.only.map_or(there, |mask| mask.word(first + panel) & there);
            PanelTerms::new(self.options.metric, self.epsilon, coded, allowed)
        };
        corpus.coded.par_iter().enumerate().map(terms).collect()
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

/// A part of the corpus that is scanned in one go.
struct Piece<'a> {
    scan: &'a Scan<'a>,
    corpus: &'a CodedPanels,
    first: usize,
    panels: Vec<PanelTerms>,
}

impl Piece<'_> {
    /// By block the floor of each query; infinite for one that is given up.
    fn floors(&self, known: &Shortlists) -> Vec<[f32; SIDE]> {
        let mut floors = vec![[f32::INFINITY; SIDE]; self.scan.terms.len()];
        for (floor, shortlist) in floors.as_flattened_mut().iter_mut().zip(known) {
            *floor = shortlist.as_ref().map_or(f32::INFINITY, Shortlist::floor);
        }
        floors
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

    /// Offers the rows of a panel of which one passed the comparison with a query.
    #[inline(never)]
    fn offer(&mut self, query: usize, panel: usize, dots: &[i32; SIDE], bound: f32) {
        let Some(shortlist) = &mut self.shortlists[query] else { return };
        let (block, query) = (query / SIDE, query % SIDE);
        let scan = self.piece.scan;
        let (terms, lanes) = (&scan.terms[block], &self.piece.panels[panel]);
        for lane in (0..SIDE).filter(|&lane| lanes.allowed >> lane & 1 == 1) {
            let key = estimate(lanes, lane, dots[lane], terms.scale[query]);
            if shortlist::below(key, bound) {
                continue;
            }
            let coded = self.piece.corpus.coded[panel][lane];
            let row = CodedTerms::new(scan.options.metric, scan.epsilon, coded);
            let error = terms.norm[query].mul_add(row.residual, terms.residual[query] * row.norm);
            #[expect(clippy::cast_possible_truncation, reason = "views have at most u32::MAX rows")]
            let index = (self.piece.first + panel * SIDE + lane) as u32;
            shortlist.offer(index, (key - error - row.slack, key + error));
        }
        let floor = &mut self.floors[block][query];
        *floor = floor.max(shortlist.floor());
        if shortlist.len() > scan.too_many {
            *floor = f32::INFINITY;
            self.shortlists[block * SIDE + query] = None;
        }
    }
}

#[inline(always)]
fn estimate(lanes: &PanelTerms, lane: usize, dot: i32, scale: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a rounding that the bound allows for")]
    let dot = dot as f32;
    (dot * lanes.scale[lane]).mul_add(scale, lanes.offset[lane])
}

impl Sink for Worker<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, panel: usize, dots: &Dots) {
        let lanes = &self.piece.panels[panel];
        if lanes.allowed == 0 {
            return;
        }
        let scan = self.piece.scan;
        let terms = &scan.terms[block];
        let mut bounds = [0f32; SIDE];
        for query in 0..SIDE {
            let floor = self.floors[block][query];
            bounds[query] =
                terms.residual[query].mul_add(-lanes.norm, terms.norm[query].mul_add(-lanes.residual, floor));
        }
        let queries = (scan.queries.rows.rows() - block * SIDE).min(SIDE);
        for query in 0..queries {
            let mut any = false;
            for lane in 0..SIDE {
                let key = estimate(lanes, lane, dots[query][lane], terms.scale[query]);
                any |= !shortlist::below(key, bounds[query]);
            }
            if any {
                self.offer(block * SIDE + query, panel, &dots[query], bounds[query]);
            }
        }
    }
}
