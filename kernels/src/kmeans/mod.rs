//! k-means: greedy k-means++ seeding and Lloyd's iteration, on f32 rows and on integer codes.
//!
//! One driver serves both kinds of rows on every backend. A backend supplies the operations of [`Points`];
//! whatever it does inside them, it returns the same bytes, so a seed gives the same codebook on every
//! instruction-set level and number of threads.

mod codes;
mod dense;
pub(crate) mod draws;
mod lloyd;
mod nearest;
mod seeding;
#[cfg(test)]
mod tests;

pub(crate) use codes::{CodePoints, nearest as nearest_code, squared_distance, train_codes};
pub use codes::{KMeansCodes, KMeansCodesOptions};
pub(crate) use dense::{DensePoints, train_dense};
pub use dense::{KMeans, KMeansOptions};
pub(crate) use lloyd::Clusters;
pub(crate) use nearest::nearest;
#[cfg(feature = "gpu")]
pub(crate) use seeding::trials;
pub(crate) use seeding::{BLOCK, TASK, Weight, potentials, seed_rows};

/// Rows to be clustered, as the driver sees them. A list of centroids is row-major and not empty.
pub(crate) trait Points {
    /// One component of a row or centroid.
    type Value: Copy;
    /// The squared distance that seeding draws by.
    type Weight: Weight;
    /// The squared distance of a row from its own centroid, as reported.
    type Deviation: Copy + PartialOrd + Default;

    /// Number of rows.
    fn rows(&self) -> usize;

    /// The components of one row.
    fn row(&self, row: usize) -> &[Self::Value];

    /// The rows to begin with, as [`seed_rows`] chooses them by [`distances`](Self::distances).
    fn seeds(&self, k: usize, seed: u64) -> Vec<usize>
    where
        Self: Sized,
    {
        seed_rows(self, k, seed)
    }

    /// Squared distances of all rows from the rows `candidates`, in blocks of [`BLOCK`] rows: row `i` from
    /// `candidates[t]` is `out[(i / BLOCK · candidates.len() + t) · BLOCK + i % BLOCK]`. What lies behind the
    /// last row is left unspecified, and so is by how much a distance is not below `nearest` of its row.
    ///
    /// `sums` gets, for each [`TASK`] of rows and each candidate, their [`potentials`].
    fn distances(
        &self,
        candidates: &[usize],
        nearest: &[Self::Weight],
        out: &mut [Self::Weight],
        sums: &mut [<Self::Weight as Weight>::Sum],
    );

    /// The nearest centroid of each row, exactly; ties to the lowest.
    fn assign(&self, centroids: &[Self::Value]) -> Vec<u32>;

    /// Replaces the centroid of each `changed` cluster that has members by their mean.
    fn update(&self, clusters: &Clusters, changed: &[bool], centroids: &mut [Self::Value]);

    /// Squared distance of each row from its centroid.
    fn deviations(&self, centroids: &[Self::Value], assignments: &[u32]) -> Vec<Self::Deviation>;
}
