//! Greedy k-means++: which rows become the first centroids.
//!
//! The first is drawn uniformly. Each further one is the best of 2 + ⌊ln k⌋ rows drawn with probability
//! proportional to D², the squared distance to the nearest row chosen so far: the one that leaves the
//! least sum of D². All draws for a centroid are tried in one pass over the rows.

use super::Points;
use super::draws::Draws;

/// Rows of one block of the distance buffer: one lane each in the widest vectors.
pub(crate) const BLOCK: usize = 16;

/// A squared distance and the exact or stated way to sum it.
pub(crate) trait Weight: Copy + PartialOrd + Default {
    /// Holds the sum over all rows.
    type Sum: Copy + PartialOrd + Default;
    /// Greater than every distance.
    const FARTHEST: Self;

    /// `sum + weight`.
    fn add(sum: Self::Sum, weight: Self) -> Self::Sum;

    /// A uniform draw from [0, total).
    fn draw(draws: &mut Draws, total: Self::Sum) -> Self::Sum;
}

impl Weight for f32 {
    type Sum = f64;
    const FARTHEST: Self = Self::INFINITY;

    fn add(sum: f64, weight: Self) -> f64 {
        sum + f64::from(weight)
    }

    fn draw(draws: &mut Draws, total: f64) -> f64 {
        draws.unit() * total
    }
}

impl Weight for u32 {
    /// 2^32 rows of weights below 2^32 sum to less than 2^64.
    type Sum = u64;
    const FARTHEST: Self = Self::MAX;

    fn add(sum: u64, weight: Self) -> u64 {
        sum + u64::from(weight)
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
fn trials(k: usize) -> usize {
    2 + libm::log(k as f64) as usize
}

/// The state of the search, reused from centroid to centroid.
struct Search<'a, P: Points> {
    points: &'a P,
    /// Draws per centroid.
    trials: usize,
    /// D² of each row; zero behind the last row, so that the padding is never drawn and adds nothing.
    nearest: Vec<P::Weight>,
    /// Sums of D² through each row, in ascending row.
    prefix: Vec<<P::Weight as Weight>::Sum>,
    distances: Vec<P::Weight>,
}

impl<'a, P: Points> Search<'a, P> {
    fn new(points: &'a P, trials: usize) -> Self {
        let rows = points.rows();
        let padded = rows.next_multiple_of(BLOCK);
        let mut nearest = vec![P::Weight::FARTHEST; rows];
        nearest.resize(padded, P::Weight::default());
        let prefix = Vec::with_capacity(rows);
        Self { points, trials, nearest, prefix, distances: vec![P::Weight::default(); padded * trials] }
    }

    /// Draws the candidates for the next centroid; `None` where every D² is 0.
    fn draw(&mut self, draws: &mut Draws) -> Option<Vec<usize>> {
        let rows = self.points.rows();
        let mut total = Default::default();
        self.prefix.clear();
        self.prefix.extend(self.nearest[..rows].iter().map(|&weight| {
            total = P::Weight::add(total, weight);
            total
        }));
        // Should rounding leave a draw at the total itself, it falls to the last row that has weight.
        let last = self.nearest.iter().rposition(|&weight| weight > P::Weight::default())?;
        let find = |drawn| self.prefix.partition_point(|&sum| sum <= drawn).min(last);
        Some((0..self.trials).map(|_| find(P::Weight::draw(draws, total))).collect())
    }

    /// Takes the candidate that leaves the least sum of D² (ties to the first) into account and returns
    /// its position.
    fn choose_from(&mut self, candidates: &[usize]) -> usize {
        let distances = &mut self.distances[..self.nearest.len() * candidates.len()];
        self.points.distances(candidates, &self.nearest, distances);
        let blocks =
            || self.nearest.chunks_exact(BLOCK).zip(distances.chunks_exact(BLOCK * candidates.len()));

        let mut potentials = vec![<P::Weight as Weight>::Sum::default(); candidates.len()];
        for (nearest, distances) in blocks() {
            for (potential, distances) in potentials.iter_mut().zip(distances.chunks_exact(BLOCK)) {
                for (&old, &new) in nearest.iter().zip(distances) {
                    *potential = P::Weight::add(*potential, lesser(old, new));
                }
            }
        }
        let mut winner = 0;
        for (trial, potential) in potentials.iter().enumerate() {
            if *potential < potentials[winner] {
                winner = trial;
            }
        }
        let distances = distances.chunks_exact(BLOCK * candidates.len());
        for (nearest, distances) in self.nearest.chunks_exact_mut(BLOCK).zip(distances) {
            for (old, &new) in nearest.iter_mut().zip(&distances[winner * BLOCK..]) {
                *old = lesser(*old, new);
            }
        }
        winner
    }
}

fn lesser<W: PartialOrd>(old: W, new: W) -> W {
    if new < old { new } else { old }
}
