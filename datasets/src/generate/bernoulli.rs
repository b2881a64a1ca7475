//! Sparse rows in which every component is present with the same probability.

use tensor_kernels::SparseBatch;

use super::random::Random;
use super::{GenerateError, Rows, check};

/// `rows` sparse rows of `dim` components, each present with probability `density`, standard normal.
///
/// Cost follows the components present, not `dim`: the gap to the next one is drawn at once.
///
/// # Errors
/// A density outside 0..=1, more entries than a batch can hold.
pub fn bernoulli_sparse(
    rows: usize,
    dim: u32,
    density: f64,
    seed: u64,
) -> Result<SparseBatch<'static>, GenerateError> {
    check("density", density, 0.0, 1.0)?;
    let mut random = Random::new(seed);
    let mut batch = Rows::new(dim);
    for _ in 0..rows {
        let mut next = 0.0;
        batch.push(std::iter::from_fn(|| {
            next += gap(&mut random, density);
            // `next` counts whole numbers, so the cast is exact below `dim`.
            let index = (next < f64::from(dim)).then_some(next as u32)?;
            next += 1.0;
            Some((index, random.sparse_value()))
        }));
    }
    batch.finish()
}

/// Absent components before the next present one: geometric with parameter `density`, possibly infinite.
fn gap(random: &mut Random, density: f64) -> f64 {
    if density >= 1.0 {
        return 0.0;
    }
    // 1 − u lies in (0, 1]; a density of 0 divides by −0 and gives no component at all.
    libm::floor(libm::log(1.0 - random.unit()) / libm::log1p(-density)).abs()
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{fingerprint, mean_nnz};
    use super::*;

    #[test]
    fn density_is_as_stated_at_every_position() {
        for density in [0.01, 0.05, 0.5] {
            let mean = mean_nnz(&bernoulli_sparse(4_000, 768, density, 3).unwrap());
            assert!((mean / (768.0 * density) - 1.0).abs() < 0.03, "{density}: {mean}");
        }
        let batch = bernoulli_sparse(20_000, 10, 0.3, 3).unwrap();
        for position in 0..10 {
            let share = batch.indices().iter().filter(|&&i| i == position).count() as f64 / 20_000.0;
            assert!((share - 0.3).abs() < 0.015, "{position}: {share}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(bernoulli_sparse(50, 100, 0.0, 1).unwrap().nnz(), 0);
        assert_eq!(bernoulli_sparse(50, 100, 1.0, 1).unwrap().nnz(), 5_000);
        assert_eq!(bernoulli_sparse(5, 0, 0.5, 1).unwrap().nnz(), 0);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(bernoulli_sparse(1, 1, bad, 1).is_err());
        }
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(fingerprint(&bernoulli_sparse(100, 128, 0.05, 42).unwrap()), "67ab6f975e11d11c");
    }
}
