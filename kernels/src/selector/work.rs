//! How much there is to do: the numbers of a request that its time depends on, taken from its shape alone.

use crate::accelerator::Request;
use crate::conflict_input::{ConflictInput, Job};
use crate::types::{CosineRows, Pairs};

/// Rounds of k-means until it has settled, where more are allowed.
const ROUNDS: usize = 10;
/// From so many queries on a search is bound by arithmetic rather than by reading the corpus.
const MANY_QUERIES: usize = 8;
/// Pairs of sparse rows that the CPU passes over in the time of one product.
const PASSED_OVER: f64 = 16.0;

/// What is measured apart: operations, and kinds of their inputs whose speed differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "gpu", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Class {
    /// Conflict classes of deltas.
    ConflictMatrix,
    /// Pairs of rows of signed bytes by direction.
    CosineBytes,
    /// Pairs of deltas by direction.
    CosineDeltas,
    /// Search for few queries.
    SearchFew,
    /// Search for many queries at once.
    SearchMany,
    /// k-means on codes.
    KMeans,
    /// Pairs of sparse rows by Jaccard index.
    AllPairs,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::ConflictMatrix,
        Self::CosineBytes,
        Self::CosineDeltas,
        Self::SearchFew,
        Self::SearchMany,
        Self::KMeans,
        Self::AllPairs,
    ];

    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConflictMatrix => "conflict_matrix",
            Self::CosineBytes => "cosine_classes of bytes",
            Self::CosineDeltas => "cosine_classes of deltas",
            Self::SearchFew => "search, one query",
            Self::SearchMany => "search, 64 queries",
            Self::KMeans => "kmeans, k = 64",
            Self::AllPairs => "all_pairs by Jaccard",
        }
    }
}

/// How much there is to do. Units are products of components; only their ratio to the measured ones matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// What kind of work.
    pub class: Class,
    /// Units for the CPU, which passes over what both rows do not have.
    pub cpu: f64,
    /// Units for the accelerator, which multiplies every position.
    pub gpu: f64,
    /// Times that the accelerator is waited for.
    pub round_trips: f64,
    /// Bytes that go there.
    pub up: f64,
    /// Bytes that come back.
    pub down: f64,
}

/// Rows of one side or both.
#[derive(Debug, Clone, Copy)]
struct Sides {
    pairs: f64,
    rows: f64,
    dim: f64,
    /// Pairs of entries that meet if positions are spread evenly.
    meetings: f64,
}

impl Work {
    /// What a request amounts to.
    #[must_use]
    pub fn of(request: &Request<'_>) -> Self {
        match *request {
            Request::ConflictMatrices(inputs, _) => Self::conflict_matrices(inputs),
            Request::CosineConflicts(rows, _) => {
                let bytes = matches!(rows, CosineRows::Bytes(_));
                Self::cosines(
                    if bytes { Class::CosineBytes } else { Class::CosineDeltas },
                    rows.rows(),
                    rows.dim(),
                )
            }
            Request::Search(corpus, queries, _) => {
                Self::search(corpus.rows().rows(), queries.rows(), queries.dim(), corpus.packed_bytes() > 0)
            }
            Request::KMeansCodes(codes, dim, options) => {
                let rows = codes.len() / (dim as usize).max(1);
                Self::kmeans(rows, options.k, dim as usize, options.max_iterations)
            }
            Request::AllPairs(pairs, ..) => Self::all_pairs(Sides::of_pairs(pairs)),
        }
    }

    /// A plain example of the class with so many rows of so many dimensions, one in twenty of them used where rows are
    /// sparse.
    #[must_use]
    pub fn example(class: Class, rows: usize, dim: usize) -> Self {
        let entries = rows * dim.div_ceil(20);
        let sparse = || Sides::new((rows, rows), (entries, entries), dim, true);
        match class {
            Class::ConflictMatrix => Self::conflict_matrix(sparse()),
            Class::CosineBytes | Class::CosineDeltas => Self::cosines(class, rows, dim),
            Class::SearchFew => Self::search(rows, 1, dim, true),
            Class::SearchMany => Self::search(rows, 64, dim, true),
            Class::KMeans => Self::kmeans(rows, 64, dim, ROUNDS),
            Class::AllPairs => Self::all_pairs(sparse()),
        }
    }

    /// Of several comparisons at once, which are one submission.
    fn conflict_matrices(inputs: &[ConflictInput<'_>]) -> Self {
        let none = Self::conflict_matrix(Sides::new((0, 0), (0, 0), 0, true));
        inputs.iter().map(|input| Self::conflict_matrix(Sides::of_input(input))).fold(none, |all, one| Self {
            cpu: all.cpu + one.cpu,
            gpu: all.gpu + one.gpu,
            up: all.up + one.up,
            down: all.down + one.down,
            ..all
        })
    }

    fn conflict_matrix(sides: Sides) -> Self {
        Self {
            class: Class::ConflictMatrix,
            cpu: sides.cpu(),
            gpu: sides.pairs * sides.dim,
            round_trips: 1.0,
            // Two planes of bytes, and the rows' table.
            up: sides.rows * (2.0 * sides.dim + 20.0),
            down: 12.0 * sides.rows,
        }
    }

    fn cosines(class: Class, rows: usize, dim: usize) -> Self {
        let Sides { pairs, rows, dim, .. } = Sides::new((rows, rows), (0, 0), dim, true);
        let planes = if class == Class::CosineDeltas { 2.0 } else { 1.0 };
        let (up, down) = (rows * (planes * dim + 20.0), 12.0 * rows);
        Self { class, cpu: pairs * dim, gpu: pairs * dim, round_trips: 1.0, up, down }
    }

    /// A corpus that is kept is sent once for many searches, which is nothing to each of them.
    fn search(rows: usize, queries: usize, dim: usize, is_kept: bool) -> Self {
        let class = if queries < MANY_QUERIES { Class::SearchFew } else { Class::SearchMany };
        let (rows, queries, dim) = (rows as f64, queries as f64, dim as f64);
        // Few queries take as long as reading the corpus does.
        let products = if class == Class::SearchFew { rows * dim } else { rows * queries * dim };
        let up = dim * (queries + if is_kept { 0.0 } else { rows });
        // Lists of 512 rows a query.
        Self { class, cpu: products, gpu: products, round_trips: 2.0, up, down: queries * 4.0 * 512.0 }
    }

    fn kmeans(rows: usize, k: usize, dim: usize, max_iterations: usize) -> Self {
        let rounds = max_iterations.clamp(1, ROUNDS) as f64;
        let (rows, k, dim) = (rows as f64, k.min(rows) as f64, dim as f64);
        let products = rows * k * dim * rounds;
        Self {
            class: Class::KMeans,
            cpu: products,
            gpu: products,
            round_trips: rounds,
            up: rows * dim + rounds * k * dim,
            down: 4.0 * rows * rounds,
        }
    }

    fn all_pairs(sides: Sides) -> Self {
        let bytes = sides.dim / 8.0;
        Self {
            class: Class::AllPairs,
            cpu: sides.cpu(),
            gpu: sides.pairs * bytes,
            round_trips: 1.0,
            up: sides.rows * bytes,
            down: 8.0 * sides.rows,
        }
    }

    /// Which power of two the work is next above: works of one size are alike enough to remember who did them.
    pub(super) fn size(&self) -> u32 {
        // At most 63: a shift of one u64.
        (self.cpu.max(1.0) as u64).max(1).ilog2()
    }
}

impl Sides {
    fn new(rows: (usize, usize), entries: (usize, usize), dim: usize, is_triangle: bool) -> Self {
        let (left, right, dim) = (rows.0 as f64, rows.1 as f64, dim as f64);
        let half = if is_triangle { 0.5 } else { 1.0 };
        Self {
            pairs: half * left * right,
            rows: if is_triangle { left } else { left + right },
            dim,
            meetings: half * entries.0 as f64 * entries.1 as f64 / dim.max(1.0),
        }
    }

    fn of_input(input: &ConflictInput<'_>) -> Self {
        match &input.0 {
            Job::Sparse(job) => Self::new(
                (job.left.rows(), job.right.rows()),
                (job.left.nnz(), job.right.nnz()),
                job.left.dim() as usize,
                job.triangle,
            ),
            Job::Deltas(job) => Self::new(
                (job.left.rows(), job.right.rows()),
                (job.left.indices().len(), job.right.indices().len()),
                job.left.dim() as usize,
                job.triangle,
            ),
        }
    }

    fn of_pairs(pairs: &Pairs<'_>) -> Self {
        let (left, right) = (pairs.left(), pairs.right());
        let rows = (left.rows(), right.rows());
        Self::new(rows, (left.nnz(), right.nnz()), left.dim() as usize, pairs.is_triangle())
    }

    fn cpu(&self) -> f64 {
        self.meetings + self.pairs / PASSED_OVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SparseBatch, Thresholds, Vectors};

    #[test]
    fn a_request_is_worth_what_its_shape_is() {
        let batch = SparseBatch::view(4, &[0, 2, 4], &[0, 1, 2, 3], &[1.0; 4]).unwrap();
        let input = ConflictInput::all_pairs(Vectors::from(&batch), None).unwrap();
        let work = Work::of(&Request::ConflictMatrices(&[input], &Thresholds::default()));
        // Half of 4 · 4 / 4 meetings, and half of 2 · 2 pairs.
        assert_eq!((work.class, work.cpu, work.gpu), (Class::ConflictMatrix, 2.0 + 2.0 / 16.0, 8.0));
    }

    #[test]
    fn more_rows_are_more_work_on_every_side() {
        for class in Class::ALL {
            let [less, more] = [100, 1_000].map(|rows| Work::example(class, rows, 384));
            assert_eq!(less.class, class);
            assert!(less.cpu < more.cpu && less.gpu < more.gpu && less.up <= more.up, "{less:?} {more:?}");
            assert!(less.size() < more.size());
        }
        assert_eq!(Work { cpu: f64::MAX, ..Work::example(Class::KMeans, 1, 1) }.size(), 63);
        assert_eq!(Work::example(Class::KMeans, 0, 0).size(), 0);
    }
}
