//! k-means on integer codes: every step is exact integer arithmetic, so any machine that trains finds the
//! same codebook.

use super::{Points, lloyd};
use crate::error::KernelError;
use crate::types::{ConsensusCodebook, MAX_ENTRIES};

/// What to train on codes, and what the codebook is to say about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KMeansCodesOptions {
    /// Centroids wanted, at most 65,536. Fewer are returned where fewer rows are distinct; 0 gives an
    /// empty codebook.
    pub k: usize,
    /// Most times that centroids move. With 0 the seeds themselves are returned.
    pub max_iterations: usize,
    /// Seed of every random draw.
    pub seed: u64,
    /// The power of two that the codes are multiplied by, handed on to the codebook.
    pub exponent: i8,
    /// Epoch of the codebook.
    pub epoch: u64,
}

/// A trained integer codebook and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KMeansCodes {
    /// The centroids.
    pub codebook: ConsensusCodebook,
    /// The nearest centroid of each row by ‖x − c‖²; ties to the lowest. Empty where the codebook is.
    pub assignments: Vec<u32>,
    /// How many times the centroids moved.
    pub iterations: usize,
    /// Σ ‖x − c‖² over all rows and their centroids, in units of 4^exponent.
    pub inertia: u128,
    /// Whether the last move changed no assignment.
    pub converged: bool,
}

/// Row-major codes of one training run.
pub(crate) struct CodePoints<'a> {
    codes: &'a [i8],
    dim: usize,
}

impl<'a> CodePoints<'a> {
    /// Checks codes, shape and options once.
    ///
    /// # Errors
    /// As [`ConsensusCodebook::new`]; more than `u32::MAX` rows; more centroids than a codebook holds.
    pub(crate) fn new(codes: &'a [i8], dim: u32, options: &KMeansCodesOptions) -> Result<Self, KernelError> {
        // The codebook states the limits of dimension and exponent: an empty one checks them.
        ConsensusCodebook::new(dim, options.exponent, Vec::new(), options.epoch)?;
        let dim = dim as usize;
        let rows = codes.len() / dim;
        if !codes.len().is_multiple_of(dim) {
            let (got, expected) = (codes.len(), rows * dim);
            return Err(KernelError::LengthMismatch { what: "codes", got, expected });
        }
        if codes.contains(&i8::MIN) {
            return Err(KernelError::NotCanonical { what: "code out of range" });
        }
        for (what, got, limit) in
            [("rows", rows, u32::MAX as usize), ("codebook entries", options.k.min(rows), MAX_ENTRIES)]
        {
            if got > limit {
                return Err(KernelError::TooLarge { what, got, limit });
            }
        }
        Ok(Self { codes, dim })
    }

    pub(crate) fn rows(&self) -> usize {
        self.codes.len() / self.dim
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn row(&self, row: usize) -> &[i8] {
        &self.codes[row * self.dim..(row + 1) * self.dim]
    }

    /// The exact mean of the rows `members` (at least one), each component rounded half to even. `sums` is
    /// scratch of `dim` values.
    #[inline(always)] // so that the loops are compiled for the level of the caller
    pub(crate) fn mean(&self, members: &[u32], sums: &mut [i64], centroid: &mut [i8]) {
        sums.fill(0);
        for &row in members {
            for (sum, &code) in sums.iter_mut().zip(self.row(row as usize)) {
                *sum += i64::from(code);
            }
        }
        #[expect(clippy::cast_possible_wrap, reason = "at most u32::MAX members")]
        let count = members.len() as i64;
        for (c, &sum) in centroid.iter_mut().zip(&*sums) {
            *c = rounded_quotient(sum, count);
        }
    }

    /// Squared distance of a row from its own centroid.
    #[inline(always)]
    pub(crate) fn deviation(&self, row: usize, id: u32, centroids: &[i8]) -> u32 {
        let start = id as usize * self.dim;
        squared_distance(self.row(row), &centroids[start..start + self.dim])
    }
}

/// Σ (xᵢ − cᵢ)²: at most 65,536 · 254², which is below 2^32.
#[inline(always)]
pub(crate) fn squared_distance(x: &[i8], centroid: &[i8]) -> u32 {
    x.iter().zip(centroid).fold(0, |sum: u32, (&x, &c)| {
        let difference = i32::from(i16::from(x) - i16::from(c));
        // At most 254²: the cast keeps the value.
        sum.wrapping_add((difference * difference) as u32)
    })
}

/// The nearest centroid, ties to the lowest.
#[inline(always)]
pub(crate) fn nearest(x: &[i8], centroids: &[i8]) -> u32 {
    let mut best = (0, u32::MAX);
    for (id, centroid) in (0..).zip(centroids.chunks_exact(x.len())) {
        let distance = squared_distance(x, centroid);
        if distance < best.1 {
            best = (id, distance);
        }
    }
    best.0
}

/// `sum / count` rounded half to even, for a mean of codes.
fn rounded_quotient(sum: i64, count: i64) -> i8 {
    let (floor, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
    let up = match (2 * rest).cmp(&count) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => floor % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    // A mean of codes lies in −127..=127.
    (floor + i64::from(up)) as i8
}

/// Trains on `points` by the operations of one backend.
///
/// # Errors
/// None for options that [`CodePoints::new`] accepted.
pub(crate) fn train_codes<P>(
    points: &P,
    dim: u32,
    options: &KMeansCodesOptions,
) -> Result<KMeansCodes, KernelError>
where
    P: Points<Value = i8, Deviation = u32>,
{
    let trained = lloyd::train(points, options.k, options.max_iterations, options.seed);
    let inertia = if trained.assignments.is_empty() {
        0
    } else {
        let deviations = points.deviations(&trained.centroids, &trained.assignments);
        deviations.into_iter().map(u128::from).sum()
    };
    Ok(KMeansCodes {
        codebook: ConsensusCodebook::new(dim, options.exponent, trained.centroids, options.epoch)?,
        assignments: trained.assignments,
        iterations: trained.iterations,
        inertia,
        converged: trained.converged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_round_half_to_even() {
        for (sum, count, expected) in [
            (1, 2, 0),
            (3, 2, 2),
            (-1, 2, 0),
            (-3, 2, -2),
            (5, 3, 2),
            (4, 3, 1),
            (-4, 3, -1),
            (-254, 2, -127),
        ] {
            assert_eq!(rounded_quotient(sum, count), expected, "{sum}/{count}");
        }
    }

    #[test]
    fn the_greatest_distance_fits() {
        let (x, c) = (vec![127i8; 65_536], vec![-127i8; 65_536]);
        assert_eq!(squared_distance(&x, &c), 65_536 * 254 * 254);
    }
}
