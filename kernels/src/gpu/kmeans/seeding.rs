//! The rows that k-means begins with, chosen on the device: many rounds of k-means++ are one submission, and what
//! comes back of a round are the rows it tried and the Σ D² that each would have left.
//!
//! Which of them is chosen follows from that, and is the CPU's word. Products with the rows tried are covered by
//! checksums, D² by a sample at the end. That rows are drawn as they should be is for the known answers.

use std::ops::Range;

use bytemuck::Zeroable;
use rayon::prelude::*;
use tensor_shaders::kmeans_seeding::{
    DRAW, Job, MEASURE, SHADER, SPAN_ROWS, SPAN_TILES, State, TAKE, TRIALS, Trial,
};
use tensor_shaders::tile::SIDE;
use wgpu::BufferUsages;

use super::super::fault::Fault;
use super::super::memory::Lease;
use super::super::submit::Dispatch;
use super::super::tile_rows::{Secret, TileRows, WORD_BYTES, WeightedSums};
use super::{Part, Rows, SAMPLE, row_bytes};
use crate::kmeans::draws::Draws;
use crate::kmeans::{Points, squared_distance, trials};

/// Bytes of a product, as `gpu.work()` counts them.
const CHUNK: usize = 16;
/// Products for which there is time while a round passes from one dispatch to the next.
const ROUND_WORK: u64 = 1 << 20;
/// 65,536 centroids have 2 + ⌊ln 65,536⌋ = 13 trials each.
const _: () = assert!(TRIALS >= 13);

/// At most `k` rows in the order chosen: those of [`seed_rows`](crate::kmeans::seed_rows).
pub(super) fn seeds(rows: &Rows<'_>, k: usize, seed: u64) -> Result<Vec<usize>, Fault> {
    let k = k.min(rows.rows());
    if k == 0 {
        return Ok(Vec::new());
    }
    let search = Search::new(rows, k, seed)?;
    let rounds = search.run()?;
    let seeds = search.chosen(&rounds)?;
    search.check_distances(&seeds, rounds.len())?;
    Ok(seeds)
}

struct Search<'a> {
    rows: &'a Rows<'a>,
    /// Rounds at most.
    k: usize,
    /// Trials of a round after the first.
    trials: usize,
    sums: WeightedSums,
    /// One for each part of the rows.
    parts: Vec<PartOfSearch>,
    spans: Lease,
    state: Lease,
    rounds: Lease,
}

/// What the search keeps of a part besides its rows.
struct PartOfSearch {
    job: Lease,
    distances: Lease,
    spans: usize,
}

/// The trials of one round; those that were not made are of no account.
type Round = [Trial; TRIALS];

impl<'a> Search<'a> {
    fn new(rows: &'a Rows<'a>, k: usize, seed: u64) -> Result<Self, Fault> {
        let (memory, storage) = (rows.gpu.memory(), BufferUsages::STORAGE);
        let trials = trials(k);
        let mut draws = Draws::new(seed);
        let first = draws.below(rows.rows() as u64);
        let mut rounds = vec![Round::default(); k + 1];
        for trial in rounds[1..k].iter_mut().flat_map(|round| &mut round[..trials]) {
            let bits = draws.bits();
            trial.drawn = [bits as u32, (bits >> 32) as u32];
        }
        let words = TileRows::words_of_bytes(rows.cpu.points().dim());
        let state_bytes = size_of::<State>() + WORD_BYTES * TRIALS * words;
        let state = memory.lease(
            rows.gpu,
            state_bytes as u64,
            storage | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        )?;
        let begin = begin(&rows.parts, first as usize);
        rows.gpu.checked_queue(|queue| queue.write_buffer(&state, 0, bytemuck::bytes_of(&begin)))?;
        let spans: usize = rows.parts.iter().map(spans_of).sum();
        Ok(Self {
            rows,
            k,
            trials,
            sums: rows.parts.iter().fold(WeightedSums::default(), |sums, part| sums.add(&part.sums)),
            parts: parts(rows, words, spans, trials)?,
            spans: memory.lease(rows.gpu, (spans * TRIALS * size_of::<[u32; 4]>()) as u64, storage)?,
            state,
            rounds: memory.upload(
                rows.gpu,
                bytemuck::cast_slice(&rounds),
                storage | BufferUsages::COPY_SRC,
            )?,
        })
    }

    /// All rounds; or, where every D² is 0 after one, that one and perhaps some more.
    fn run(&self) -> Result<Vec<Round>, Fault> {
        let gpu = self.rows.gpu;
        let kernel = |entry| gpu.pipelines().get(gpu, &SHADER, entry);
        let (draw, take, measure) = (kernel(DRAW)?, kernel(TAKE)?, kernel(MEASURE)?);
        let bindings: Vec<_> =
            self.rows.parts.iter().zip(&self.parts).map(|both| self.bindings(both)).collect();
        let dispatch = |pipeline, part: usize, workgroups: usize| Dispatch {
            pipeline,
            bindings: &bindings[part],
            // A part has at most 2^13 spans.
            workgroups: (workgroups as u32, 1),
            cleared: &[],
        };
        let mut rounds: Vec<Round> = Vec::with_capacity(self.k);
        while rounds.len() < self.k && self.least(&rounds).is_none_or(|(_, least)| least > 0) {
            let at_once = self.rounds_at_once();
            let next = rounds.len()..(rounds.len() + at_once.max(1)).min(self.k);
            let mut queue = Vec::new();
            for round in next.clone() {
                let trials = self.trials_of(round);
                queue.extend((0..bindings.len()).map(|part| dispatch(&take, part, trials)));
                let spans = self.parts.iter().map(|part| part.spans).enumerate();
                queue.extend(spans.map(|(part, spans)| dispatch(&measure, part, spans)));
                queue.push(dispatch(&draw, 0, 1));
            }
            // A round that is more than one submission's work is one for each part.
            let alone = if at_once == 0 { queue.len() - 1 } else { 0 };
            for dispatch in &queue[..alone] {
                gpu.submit(std::slice::from_ref(dispatch), &[(&self.state, 0, 1)])?;
            }
            rounds.extend(self.submit(&queue[alone..], next)?);
        }
        Ok(rounds)
    }

    fn bindings<'b>(&'b self, (rows, part): (&'b Part, &'b PartOfSearch)) -> [&'b wgpu::Buffer; 8] {
        let Self { spans, state, rounds, .. } = self;
        [&part.job, &rows.codes, &rows.infos, &rows.nearest, &part.distances, spans, state, rounds]
    }

    /// Rounds that are one submission's work; 0 where one round is more than that.
    fn rounds_at_once(&self) -> usize {
        let row_chunks = row_bytes(self.rows.cpu.points().dim()) / CHUNK;
        let work = (self.rows.rows() * row_chunks * TRIALS) as u64 + ROUND_WORK;
        usize::try_from(self.rows.gpu.work() / work).unwrap_or(usize::MAX)
    }

    fn submit(&self, queue: &[Dispatch<'_>], rounds: Range<usize>) -> Result<Vec<Round>, Fault> {
        let words = size_of::<Round>() / WORD_BYTES;
        let wanted = rounds.len() * words;
        let reads = [(&*self.state, 0, 1), (&*self.rounds, rounds.start * words, wanted)];
        let readings = self.rows.gpu.submit(queue, &reads)?;
        match &readings[..] {
            [over, trials] if over[..] == [rounds.end as u32] && trials.len() == wanted => {
                Ok(bytemuck::pod_collect_to_vec(trials))
            }
            _ => Err(Fault::Mismatch("rounds left undone")),
        }
    }

    /// Rows tried in a round.
    fn trials_of(&self, round: usize) -> usize {
        if round == 0 { 1 } else { self.trials }
    }

    /// The trial that leaves the least Σ D² in the last of these rounds, and that; ties to the first.
    fn least(&self, rounds: &[Round]) -> Option<(usize, u64)> {
        let last = rounds.last()?;
        let trials = last.iter().take(self.trials_of(rounds.len() - 1)).enumerate();
        trials.map(|(trial, tried)| (trial, total(tried))).min_by_key(|&(_, total)| total)
    }

    /// The rows chosen, if all that was tried can be right.
    fn chosen(&self, rounds: &[Round]) -> Result<Vec<usize>, Fault> {
        let points = self.rows.cpu.points();
        let mut before = u64::MAX;
        let mut chosen = Vec::with_capacity(rounds.len());
        for round in 1..=rounds.len() {
            let rounds = &rounds[..round];
            let (Some((winner, least)), Some(tried)) = (self.least(rounds), rounds.last()) else { break };
            let is_sound = |trial: &Trial| {
                let row = trial.row.wrapping_sub(1) as usize;
                row < points.rows() && self.sums.checksums_with(points.row(row)) == trial.checksums
            };
            if !tried[..self.trials_of(round - 1)].par_iter().all(is_sound) {
                return Err(Fault::Mismatch("the products of a row tried"));
            }
            if least > before {
                return Err(Fault::Mismatch("a sum of distances that grew"));
            }
            before = least;
            chosen.push(tried[winner].row as usize - 1);
            if least == 0 {
                break;
            }
        }
        Ok(chosen)
    }

    /// Holds D² of some rows, which the device cannot foresee, to the rows chosen.
    fn check_distances(&self, chosen: &[usize], rounds: usize) -> Result<(), Fault> {
        // The last round's row is not in it yet.
        let (points, chosen) = (self.rows.cpu.points(), &chosen[..chosen.len().min(rounds - 1)]);
        let secret = Secret::new();
        let rows = (0..SAMPLE).map(|draw| secret.weights(draw)[0] as usize % points.rows());
        let part_of = |row: usize| self.rows.parts.iter().find(|part| part.rows.contains(&row));
        let sample: Vec<_> = rows.filter_map(|row| Some((row, part_of(row)?))).collect();
        let reads: Vec<_> =
            sample.iter().map(|&(row, part)| (&*part.nearest, row - part.rows.start, 1)).collect();
        let readings = self.rows.gpu.submit(&[], &reads)?;
        let is_right = |(&(row, _), reading): (&(usize, &Part), &Vec<u32>)| {
            let distances = chosen.iter().map(|&seed| squared_distance(points.row(row), points.row(seed)));
            reading[..] == [distances.min().unwrap_or(u32::MAX)]
        };
        if readings.len() == sample.len() && sample.par_iter().zip(&readings).all(is_right) {
            Ok(())
        } else {
            Err(Fault::Mismatch("a squared distance"))
        }
    }
}

/// Spans of a part.
const fn spans_of(part: &Part) -> usize {
    part.tiles.div_ceil(SPAN_TILES)
}

/// Σ D² should the row be chosen.
fn total(trial: &Trial) -> u64 {
    let [low, high] = trial.total.map(u64::from);
    high << 32 | low
}

/// Where the search begins: with one row, given by its number.
fn begin(parts: &[Part], first: usize) -> State {
    let mut spans = 0;
    let mut state = State::zeroed();
    for part in parts {
        if part.rows.contains(&first) {
            let row = first - part.rows.start;
            // Rows and spans are at most 2^24.
            state.places[0] = [(spans + row / SPAN_ROWS) as u32, (row % SPAN_ROWS) as u32, 0, 0];
        }
        spans += spans_of(part);
    }
    state
}

fn parts(rows: &Rows<'_>, words: usize, spans: usize, trials: usize) -> Result<Vec<PartOfSearch>, Fault> {
    let memory = rows.gpu.memory();
    let mut first_span = 0;
    let part = |part: &Part| {
        // Counts of rows, and of what is fewer than rows, fit 32 bits.
        let job = Job {
            words: words as u32,
            tiles: part.tiles as u32,
            rows: part.rows.len() as u32,
            first_row: part.rows.start as u32,
            first_span: first_span as u32,
            spans: spans as u32,
            trials: trials as u32,
        };
        first_span += spans_of(part);
        // No more than the codes take: a row has at least 64 bytes of them.
        let bytes = part.tiles * SIDE * TRIALS * WORD_BYTES;
        Ok(PartOfSearch {
            job: memory.upload(rows.gpu, bytemuck::bytes_of(&job), BufferUsages::UNIFORM)?,
            distances: memory.lease(rows.gpu, bytes as u64, BufferUsages::STORAGE)?,
            spans: spans_of(part),
        })
    };
    rows.parts.iter().map(part).collect()
}
