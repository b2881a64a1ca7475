//! Sparse rows over a vocabulary in which few components are frequent and most are rare, as words,
//! hot keys and popular accounts are.

use tensor_kernels::SparseBatch;

use super::random::Random;
use super::{GenerateError, Rows, check};

/// `rows` rows of `dim` components with exactly `nnz` present, standard normal. Component r (from 0)
/// is drawn with weight 1/(r + 1)^`exponent`, without replacement within a row.
///
/// # Errors
/// An exponent outside 0..=8, `nnz` above `dim`, more entries than a batch can hold.
pub fn zipf_sparse(
    rows: usize,
    dim: u32,
    exponent: f64,
    nnz: usize,
    seed: u64,
) -> Result<SparseBatch<'static>, GenerateError> {
    check("exponent", exponent, 0.0, 8.0)?;
    check("nnz", nnz as f64, 0.0, f64::from(dim))?;
    let mut random = Random::new(seed);
    let mut urn = Urn::new((0..dim).map(|rank| weight(rank, exponent)));
    let mut batch = Rows::new(dim);
    for _ in 0..rows {
        let mut drawn: Vec<(usize, u64)> = (0..nnz).map(|_| urn.take(&mut random)).collect();
        drawn.iter().for_each(|&(item, weight)| urn.put_back(item, weight));
        drawn.sort_unstable();
        // Items number `dim`, a u32.
        batch.push(drawn.into_iter().map(|(item, _)| (item as u32, random.sparse_value())));
    }
    batch.finish()
}

/// The weight of a rank as an integer, at least 1, so that sums are exact in any order.
fn weight(rank: u32, exponent: f64) -> u64 {
    let scaled = libm::pow(f64::from(rank) + 1.0, -exponent) * (1u64 << 31) as f64;
    (scaled as u64).max(1)
}

/// Weighted drawing without replacement in O(log n): a Fenwick tree of the weights that are left.
struct Urn {
    /// Node i (from 1) holds the sum of the `i & −i` weights that end at item i − 1; a power of two of them.
    tree: Vec<u64>,
    weights: Vec<u64>,
    /// Sum of all weights left; below 2³¹ · 2³² by the bounds of [`weight`] and of the dimension.
    total: u64,
}

impl Urn {
    fn new(weights: impl Iterator<Item = u64>) -> Self {
        let weights: Vec<u64> = weights.collect();
        let mut urn = Self {
            tree: vec![0; weights.len().next_power_of_two() + 1],
            weights: vec![0; weights.len()],
            total: 0,
        };
        for (item, weight) in weights.into_iter().enumerate() {
            urn.put_back(item, weight);
        }
        urn
    }

    /// Draws an item that is still in the urn and takes it out.
    fn take(&mut self, random: &mut Random) -> (usize, u64) {
        let mut left = random.below(self.total);
        let (mut item, mut step) = (0, self.tree.len() - 1);
        // Descends to the last item before which the weights sum to at most `left`.
        while step > 0 {
            if let Some(&sum) = self.tree.get(item + step)
                && sum <= left
            {
                item += step;
                left -= sum;
            }
            step /= 2;
        }
        let weight = std::mem::take(&mut self.weights[item]);
        self.total -= weight;
        self.update(item, |sum| sum - weight);
        (item, weight)
    }

    fn put_back(&mut self, item: usize, weight: u64) {
        self.weights[item] = weight;
        self.total += weight;
        self.update(item, |sum| sum + weight);
    }

    fn update(&mut self, item: usize, change: impl Fn(u64) -> u64) {
        let mut node = item + 1;
        while let Some(sum) = self.tree.get_mut(node) {
            *sum = change(*sum);
            node += node & node.wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::fingerprint;
    use super::*;

    #[test]
    fn frequencies_fall_as_the_power_of_the_rank() {
        let batch = zipf_sparse(60_000, 100, 1.0, 1, 3).unwrap();
        let harmonic: f64 = (1..=100).map(|r| 1.0 / f64::from(r)).sum();
        for rank in [0, 1, 3, 9] {
            let share = batch.indices().iter().filter(|&&i| i == rank).count() as f64 / 60_000.0;
            let expected = 1.0 / (f64::from(rank) + 1.0) / harmonic;
            assert!((share / expected - 1.0).abs() < 0.08, "rank {rank}: {share} against {expected}");
        }
    }

    #[test]
    fn every_row_has_exactly_nnz_distinct_components() {
        for (dim, nnz) in [(1, 1), (7, 7), (64, 20), (65, 64), (5, 0), (0, 0)] {
            let batch = zipf_sparse(50, dim, 1.2, nnz, 4).unwrap();
            assert!((0..50).all(|row| batch.row(row).0.len() == nnz), "dim {dim}, nnz {nnz}");
        }
        assert!(zipf_sparse(1, 4, 1.0, 5, 0).is_err());
        assert!(zipf_sparse(1, 4, f64::NAN, 1, 0).is_err());
    }

    #[test]
    fn an_urn_gives_every_item_once_and_takes_them_back() {
        let mut random = Random::new(6);
        let mut urn = Urn::new([1, 1, 2, 3].into_iter());
        for _ in 0..100 {
            let mut drawn: Vec<_> = (0..4).map(|_| urn.take(&mut random)).collect();
            assert_eq!(urn.total, 0);
            drawn.iter().for_each(|&(item, weight)| urn.put_back(item, weight));
            drawn.sort_unstable();
            assert_eq!(drawn, [(0, 1), (1, 1), (2, 2), (3, 3)]);
        }
    }

    #[test]
    fn an_exponent_of_zero_is_uniform() {
        let batch = zipf_sparse(20_000, 5, 0.0, 2, 8).unwrap();
        for position in 0..5 {
            let share = batch.indices().iter().filter(|&&i| i == position).count() as f64 / 20_000.0;
            assert!((share - 0.4).abs() < 0.02, "{position}: {share}");
        }
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(fingerprint(&zipf_sparse(100, 1_000, 1.1, 12, 42).unwrap()), "faf55ca1325996cf");
    }
}
