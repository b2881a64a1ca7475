//! Six sparsity profiles of transaction deltas in 128 dimensions, from a counter that moves one
//! component to a bulk migration that moves half of them.

use tensor_kernels::SparseBatch;

use super::random::Random;
use super::{GenerateError, Rows};

/// Dimensions of every profile's deltas.
pub const PROFILE_DIM: u32 = 128;

/// What a transaction does, seen through how many components its delta moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// A counter goes up: 1.0 components.
    Counter,
    /// One key changes: 4.0 components on average.
    SingleKey,
    /// An edge joins two nodes of a graph: 7.0.
    GraphEdge,
    /// Several fields of a record change: 11.3.
    MultiField,
    /// A record appears: 29.5.
    NewRecord,
    /// A table is rewritten: 59.5.
    BulkMigration,
}

impl Profile {
    /// Every profile, sparsest first.
    pub const ALL: [Self; 6] = [
        Self::Counter,
        Self::SingleKey,
        Self::GraphEdge,
        Self::MultiField,
        Self::NewRecord,
        Self::BulkMigration,
    ];

    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::SingleKey => "single_key",
            Self::GraphEdge => "graph_edge",
            Self::MultiField => "multi_field",
            Self::NewRecord => "new_record",
            Self::BulkMigration => "bulk_migration",
        }
    }

    /// Mean number of non-zero components of a delta.
    #[must_use]
    pub fn mean_nnz(self) -> f64 {
        let (base, one_more, _) = self.nnz();
        f64::from(base) + one_more
    }

    /// `rows` deltas of this profile: uniformly chosen positions, standard normal values.
    ///
    /// ```
    /// use tensor_datasets::generate::{PROFILE_DIM, Profile};
    /// let deltas = Profile::SingleKey.generate(1_000, 42)?;
    /// assert_eq!((deltas.rows(), deltas.dim()), (1_000, PROFILE_DIM));
    /// # Ok::<(), tensor_datasets::generate::GenerateError>(())
    /// ```
    ///
    /// # Errors
    /// More rows than a batch can hold.
    pub fn generate(self, rows: usize, seed: u64) -> Result<SparseBatch<'static>, GenerateError> {
        generate(rows, seed, |_| self)
    }

    /// (base, probability of one more, half width of the uniform spread around them); the mean is their sum.
    const fn nnz(self) -> (u32, f64, u32) {
        match self {
            Self::Counter => (1, 0.0, 0),
            Self::SingleKey => (4, 0.0, 2),
            Self::GraphEdge => (7, 0.0, 2),
            Self::MultiField => (11, 0.3, 4),
            Self::NewRecord => (29, 0.5, 8),
            Self::BulkMigration => (59, 0.5, 16),
        }
    }
}

/// The everyday mix, 7.15 components on average: 70 % single keys, 20 % graph edges, 10 % new records.
///
/// # Errors
/// As [`Profile::generate`].
pub fn profile_mix(rows: usize, seed: u64) -> Result<SparseBatch<'static>, GenerateError> {
    generate(rows, seed, |random| match random.below(10) {
        0..7 => Profile::SingleKey,
        7..9 => Profile::GraphEdge,
        _ => Profile::NewRecord,
    })
}

fn generate(
    rows: usize,
    seed: u64,
    mut profile: impl FnMut(&mut Random) -> Profile,
) -> Result<SparseBatch<'static>, GenerateError> {
    let mut random = Random::new(seed);
    let mut batch = Rows::new(PROFILE_DIM);
    for _ in 0..rows {
        let (base, one_more, spread) = profile(&mut random).nnz();
        let extra = u64::from(random.chance(one_more)) + random.below(2 * u64::from(spread) + 1);
        let nnz = (base - spread) as usize + extra as usize;
        batch.push(random.distinct(nnz, PROFILE_DIM).into_iter().map(|index| (index, random.sparse_value())));
    }
    batch.finish()
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{fingerprint, mean_nnz};
    use super::*;

    #[test]
    fn means_are_those_of_the_profile() {
        let stated = [1.0, 4.0, 7.0, 11.3, 29.5, 59.5];
        for (profile, stated) in Profile::ALL.into_iter().zip(stated) {
            assert!((profile.mean_nnz() - stated).abs() < 1e-12);
            let mean = mean_nnz(&profile.generate(20_000, 1).unwrap());
            assert!((mean / stated - 1.0).abs() < 0.01, "{}: {mean}", profile.name());
        }
        let mean = mean_nnz(&profile_mix(40_000, 1).unwrap());
        assert!((mean / 7.15 - 1.0).abs() < 0.02, "mix: {mean}");
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(fingerprint(&Profile::MultiField.generate(100, 42).unwrap()), "b9bc81770ba74038");
        assert_eq!(fingerprint(&profile_mix(100, 42).unwrap()), "73b7d0d5a1e8e4df");
    }
}
