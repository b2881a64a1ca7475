//! Greedy k-means++: which rows become the first centroids.
//!
//! The first is drawn uniformly. Each further one is the best of 2 + ⌊ln k⌋ rows drawn with probability
//! proportional to D², the squared distance to the nearest row chosen so far: the one that leaves the
//! least sum of D². All draws for a centroid are tried in one pass over the rows.

use super::Points;
use super::draws::Draws;

/// Rows of one block of the distance buffer: one lane each in the widest vectors.
pub(crate) const BLOCK: usize = 16;
/// Rows whose D² are summed together: whole blocks.
pub(crate) const TASK: usize = 1024;

/// A squared distance and the exact or stated way to sum it.
pub(crate) trait Weight: Copy + PartialOrd + Default {
    /// Holds the sum over all rows.
    type Sum: Copy + PartialOrd + Default + Send;
    /// Greater than every distance.
    const FARTHEST: Self;

    /// `sum + weight`.
    fn add(sum: Self::Sum, weight: Self) -> Self::Sum;

    /// The sum of two sums.
    fn join(sum: Self::Sum, other: Self::Sum) -> Self::Sum;

    /// A uniform draw from [0, total).
    fn draw(draws: &mut Draws, total: Self::Sum) -> Self::Sum;
}

impl Weight for f32 {
    type Sum = f64;
    const FARTHEST: Self = Self::INFINITY;

    #[inline(always)]
    fn add(sum: f64, weight: Self) -> f64 {
        sum + f64::from(weight)
    }

    #[inline(always)]
    fn join(sum: f64, other: f64) -> f64 {
        sum + other
    }

    fn draw(draws: &mut Draws, total: f64) -> f64 {
        draws.unit() * total
    }
}

impl Weight for u32 {
    /// 2^32 rows of weights below 2^32 sum to less than 2^64.
    type Sum = u64;
    const FARTHEST: Self = Self::MAX;

    #[inline(always)]
    fn add(sum: u64, weight: Self) -> u64 {
        sum + u64::from(weight)
    }

    #[inline(always)]
    fn join(sum: u64, other: u64) -> u64 {
        sum + other
    }

    fn draw(draws: &mut Draws, total: u64) -> u64 {
        draws.below(total)
    }
}

/// At most `k` rows to begin with, in the order chosen; fewer where the rest coincide with them (D² = 0).
pub(crate) fn seed_rows<P: Points>(points: &P, k: usize, seed: u64) -> Vec<usize> {
    let rows = points.rows();
    let k = k.min(rows);
    if k == 0 {
        return Vec::new();
    }
    let mut draws = Draws::new(seed);
    let mut search = Search::new(points, trials(k));
    // A row count is at most 2^32 and fits both types.
    let mut chosen = vec![draws.below(rows as u64) as usize];
    search.choose_from(&chosen);
    while chosen.len() < k {
        let Some(candidates) = search.draw(&mut draws) else { break };
        let winner = search.choose_from(&candidates);
        chosen.push(candidates[winner]);
    }
    chosen
}

/// Rows drawn for each centroid: 2 + ⌊ln k⌋, for k ≥ 1.
pub(crate) fn trials(k: usize) -> usize {
    2 + libm::log(k as f64) as usize
}

/// The sum of D² over the rows of one task, should a candidate be chosen: Σ of the lesser of `nearest` and the
/// candidate's `distances`. Rows are added lane by lane, then lanes in ascending order.
#[inline(always)] // so that it is compiled for the level of the caller
pub(crate) fn potentials<W: Weight>(nearest: &[W], distances: &[W], sums: &mut [W::Sum]) {
    let ((nearest, _), (distances, _)) = (nearest.as_chunks::<BLOCK>(), distances.as_chunks::<BLOCK>());
    let trials = sums.len();
    for (trial, sum) in sums.iter_mut().enumerate() {
        let mut lanes = [W::Sum::default(); BLOCK];
        for (block, nearest) in nearest.iter().enumerate() {
            let distances = &distances[block * trials + trial];
            for lane in 0..BLOCK {
                lanes[lane] = W::add(lanes[lane], lesser(nearest[lane], distances[lane]));
            }
        }
        *sum = lanes.into_iter().fold(W::Sum::default(), W::join);
    }
}

/// The state of the search, reused from centroid to centroid.
struct Search<'a, P: Points> {
    points: &'a P,
    /// Draws per centroid.
    trials: usize,
    /// D² of each row; zero behind the last row, so that the padding is never drawn and adds nothing.
    nearest: Vec<P::Weight>,
    /// Σ D² of each task.
    sums: Vec<<P::Weight as Weight>::Sum>,
    distances: Vec<P::Weight>,
    /// Σ D² of each task for each candidate.
    potentials: Vec<<P::Weight as Weight>::Sum>,
}

impl<'a, P: Points> Search<'a, P> {
    fn new(points: &'a P, trials: usize) -> Self {
        let rows = points.rows();
        let (padded, tasks) = (rows.next_multiple_of(BLOCK), rows.div_ceil(TASK));
        let mut nearest = vec![P::Weight::FARTHEST; rows];
        nearest.resize(padded, P::Weight::default());
        Self {
            points,
            trials,
            nearest,
            sums: vec![Default::default(); tasks],
            distances: vec![P::Weight::default(); padded * trials],
            potentials: vec![Default::default(); tasks * trials],
        }
    }

    /// Draws the candidates for the next centroid; `None` where every D² is 0.
    fn draw(&self, draws: &mut Draws) -> Option<Vec<usize>> {
        let nothing = Default::default();
        let last = self.sums.iter().rposition(|&sum| sum > nothing)?;
        let mut total = nothing;
        let through: Vec<_> = self
            .sums
            .iter()
            .map(|&sum| {
                total = P::Weight::join(total, sum);
                total
            })
            .collect();
        let find = |drawn| {
            // Should rounding leave a draw at the end, it falls to the last row that has weight.
            let task = through.partition_point(|&sum| sum <= drawn).min(last);
            let mut sum = if task == 0 { nothing } else { through[task - 1] };
            let mut found = task * TASK;
            for (row, &weight) in self.nearest.iter().enumerate().skip(task * TASK).take(TASK) {
                if weight > P::Weight::default() {
                    found = row;
                    sum = P::Weight::add(sum, weight);
                    if sum > drawn {
                        break;
                    }
                }
            }
            found
        };
        Some((0..self.trials).map(|_| find(P::Weight::draw(draws, total))).collect())
    }

    /// Takes the candidate that leaves the least sum of D² (ties to the first) into account and returns
    /// its position.
    fn choose_from(&mut self, candidates: &[usize]) -> usize {
        let trials = candidates.len();
        let distances = &mut self.distances[..self.nearest.len() * trials];
        let potentials = &mut self.potentials[..self.sums.len() * trials];
        self.points.distances(candidates, &self.nearest, distances, potentials);

        let total = |trial: usize| {
            potentials.iter().skip(trial).step_by(trials).copied().fold(Default::default(), P::Weight::join)
        };
        let (mut winner, mut least) = (0, total(0));
        for trial in 1..trials {
            let potential = total(trial);
            if potential < least {
                (winner, least) = (trial, potential);
            }
        }
        for (sum, potentials) in self.sums.iter_mut().zip(potentials.chunks_exact(trials)) {
            *sum = potentials[winner];
        }
        let (nearest, _) = self.nearest.as_chunks_mut::<BLOCK>();
        let (distances, _) = distances.as_chunks::<BLOCK>();
        for (block, nearest) in nearest.iter_mut().enumerate() {
            for (old, &new) in nearest.iter_mut().zip(&distances[block * trials + winner]) {
                *old = lesser(*old, new);
            }
        }
        winner
    }
}

#[inline(always)]
fn lesser<W: PartialOrd>(old: W, new: W) -> W {
    if new < old { new } else { old }
}
