//! Products of row-major f32 matrices by the libraries that have them.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

/// `out = left · rightᵀ` for rows of `dim`, on the calling thread.
pub type Product = fn(left: &[f32], right: &[f32], dim: usize, out: &mut [f32]);

/// By faer.
pub fn faer_product(left: &[f32], right: &[f32], dim: usize, out: &mut [f32]) {
    let (m, n) = (left.len() / dim, right.len() / dim);
    let left = MatRef::from_row_major_slice(left, m, dim);
    let right = MatRef::from_row_major_slice(right, n, dim);
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    matmul(out, Accum::Replace, left, right.transpose(), 1.0, Par::Seq);
}

/// By matrixmultiply, which ndarray calls.
pub fn ndarray_product(left: &[f32], right: &[f32], dim: usize, out: &mut [f32]) {
    let (m, n) = (left.len() / dim, right.len() / dim);
    let views = (
        ArrayView2::from_shape((m, dim), left),
        ArrayView2::from_shape((n, dim), right),
        ArrayViewMut2::from_shape((m, n), out),
    );
    if let (Ok(left), Ok(right), Ok(mut out)) = views {
        general_mat_mul(1.0, &left, &right.t(), 0.0, &mut out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::PRODUCTS;

    #[test]
    fn every_library_multiplies_by_the_transpose() {
        for (name, product) in PRODUCTS {
            let mut out = [0.0; 6];
            product(&[1.0, 2.0, 3.0, 4.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2, &mut out);
            assert_eq!(out, [1.0, 2.0, 3.0, 3.0, 4.0, 7.0], "{name}");
        }
    }
}
