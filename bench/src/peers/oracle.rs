//! What answers are checked by, f64 and only for as many rows as can be afforded, and the codes that
//! both sides of a workload on signed bytes are given.

use tensor_kernels::{Int8Mode, Kernels};

use crate::error::BenchError;
use crate::inputs::Dense;

/// Σ aᵢbᵢ in f64. Products of two f32 are exact; the order of the eight sums is fixed.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |x, y| f64::from(x) * f64::from(y))
}

/// Σ (aᵢ − bᵢ)² in f64.
#[must_use]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |x, y| {
        let difference = f64::from(x) - f64::from(y);
        difference * difference
    })
}

fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f64) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(&x, &y)| term(x, y)).sum::<f64>()
}

/// The rows as signed bytes, each under its own scale.
///
/// # Errors
/// More values than a view can hold.
pub fn codes_of(rows: &Dense) -> Result<Vec<i8>, BenchError> {
    Ok(Kernels::detect()?.int8_quantize(rows.view()?, Int8Mode::Symmetric).value.codes().to_vec())
}

/// Codes as f32, exactly.
#[must_use]
pub fn widened(codes: &[i8], dim: usize) -> Dense {
    let values: Vec<f32> = codes.iter().map(|&code| f32::from(code)).collect();
    Dense::copy(values.chunks_exact(dim), dim)
}

/// The rows scaled to unit length; a zero row stays.
#[must_use]
pub fn unit_rows(rows: &Dense) -> Dense {
    let mut values = Vec::with_capacity(rows.values().len());
    for row in rows.values().chunks_exact(rows.dim()) {
        let norm = dot(row, row).sqrt().max(f64::MIN_POSITIVE);
        values.extend(row.iter().map(|&x| (f64::from(x) / norm) as f32));
    }
    Dense::copy(values.chunks_exact(rows.dim()), rows.dim())
}

/// At most `most` of `count` positions, evenly spread, the first among them.
pub fn sampled(count: usize, most: usize) -> impl Iterator<Item = usize> + Clone {
    (0..count).step_by(count.div_ceil(most.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_run_over_every_component() {
        let a: Vec<f32> = (0u8..19).map(f32::from).collect();
        assert_eq!(dot(&a, &a), 2_109.0);
        assert_eq!(squared_distance(&a, &[1.0; 19]), 1_786.0);
    }

    #[test]
    fn samples_are_spread_and_bounded() {
        assert_eq!(sampled(10, 4).collect::<Vec<_>>(), [0, 3, 6, 9]);
        assert_eq!(sampled(3, 16).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((sampled(0, 4).count(), sampled(1_000, 16).count()), (0, 16));
    }
}
