//! Dense points around random centres: what embeddings look like to k-means and to search.

use tensor_kernels::{DenseView, KernelError};

use super::random::Random;
use super::{GenerateError, check};

/// Dense rows, and the centre each was drawn around.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustered {
    rows: usize,
    dim: usize,
    values: Vec<f32>,
    labels: Vec<u32>,
}

impl Clustered {
    /// The rows.
    ///
    /// # Errors
    /// More rows or dimensions than a view can hold.
    pub fn view(&self) -> Result<DenseView<'_>, KernelError> {
        DenseView::new(&self.values, self.rows, self.dim)
    }

    /// Which centre each row was drawn around, below the number of clusters.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }
}

/// `rows × dim` values: `clusters` standard normal centres, each row a uniformly chosen centre plus
/// `noise` times a standard normal per component.
///
/// # Errors
/// No cluster, no dimension, a noise that is negative, NaN or above 10⁶, or `rows × dim` over 2³² values.
pub fn clustered_dense(
    rows: usize,
    dim: usize,
    clusters: u32,
    noise: f64,
    seed: u64,
) -> Result<Clustered, GenerateError> {
    let most = (1u64 << 32) as f64;
    check("clusters", f64::from(clusters), 1.0, f64::from(u32::MAX))?;
    check("noise", noise, 0.0, 1e6)?;
    check("dim", dim as f64, 1.0, most)?;
    check("rows × dim", rows as f64 * dim as f64, 0.0, most)?;
    check("clusters × dim", f64::from(clusters) * dim as f64, 1.0, most)?;
    let mut random = Random::new(seed);
    let centres: Vec<f64> = (0..clusters as usize * dim).map(|_| random.normal()).collect();
    let (mut values, mut labels) = (Vec::with_capacity(rows * dim), Vec::with_capacity(rows));
    for _ in 0..rows {
        let label = random.below(u64::from(clusters)) as u32;
        labels.push(label);
        let centre = &centres[label as usize * dim..][..dim];
        values.extend(centre.iter().map(|&c| (c + noise * random.normal()) as f32));
    }
    Ok(Clustered { rows, dim, values, labels })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::test_support::hex;
    use super::*;

    #[test]
    fn rows_lie_around_their_centres() {
        let data = clustered_dense(2_000, 16, 4, 0.1, 9).unwrap();
        let view = data.view().unwrap();
        assert_eq!((view.rows(), view.dim(), data.labels().len()), (2_000, 16, 2_000));
        let distance = |a: usize, b: usize| -> f32 {
            view.row(a).iter().zip(view.row(b)).map(|(x, y)| (x - y).powi(2)).sum()
        };
        for (a, b) in (0..1_000).map(|i| (i, i + 1_000)) {
            let same = data.labels()[a] == data.labels()[b];
            assert_eq!(distance(a, b) < 3.0, same, "{a} {b}: {}", distance(a, b));
        }
        let share = data.labels().iter().filter(|&&label| label == 0).count() as f64 / 2_000.0;
        assert!((share - 0.25).abs() < 0.04, "{share}");
    }

    #[test]
    fn same_seed_same_bytes() {
        let mut hash = Sha256::new();
        let data = clustered_dense(100, 8, 5, 0.3, 42).unwrap();
        data.values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        data.labels.iter().for_each(|l| hash.update(l.to_le_bytes()));
        assert_eq!(hex(&hash.finalize()), "77a51c744aa0a915");
    }

    #[test]
    fn impossible_parameters_are_refused() {
        assert!(clustered_dense(1, 0, 1, 0.0, 0).is_err());
        assert!(clustered_dense(1, 1, 0, 0.0, 0).is_err());
        assert!(clustered_dense(1, 1, 1, f64::NAN, 0).is_err());
        assert!(clustered_dense(usize::MAX, usize::MAX, 1, 0.0, 0).is_err());
        assert!(clustered_dense(0, 3, 1, 0.0, 0).unwrap().view().is_ok());
    }
}
