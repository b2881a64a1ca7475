//! sprs: sparse products on one thread, whatever is asked.

use sprs::{CsMat, CsVec};
use tensor_kernels::SparseBatch;

use super::super::sparse::{Score, SparseWork};

/// A sparse product.
pub type Product = CsMat<f32>;

fn matrix(rows: &SparseBatch<'_>) -> CsMat<f32> {
    let indices = rows.indices().iter().map(|&i| i as usize).collect();
    let shape = (rows.rows(), rows.dim() as usize);
    CsMat::new(shape, rows.indptr().to_vec(), indices, rows.values().to_vec())
}

/// All pairs of unit rows; the Jaccard index has no form here.
pub fn cosine(work: &SparseWork) -> Option<impl FnMut() -> Product> {
    (work.score == Score::Cosine).then(|| {
        let rows = matrix(&work.rows);
        let turned = rows.transpose_view().to_csr();
        move || &rows * &turned
    })
}

/// The sampled rows of a product.
pub fn answer(work: &SparseWork, product: &Product) -> Vec<f64> {
    work.sampled_scores(|row| {
        let mut scores = vec![0.0; product.cols()];
        if let Some(line) = product.outer_view(row) {
            line.iter().for_each(|(at, &score)| scores[at] = f64::from(score));
        }
        scores
    })
}

/// Cosine and Jaccard of neighbouring rows: the inner product is the library's, the shared positions come from
/// its inner product of ones.
pub fn pairs(rows: &SparseBatch<'_>) -> impl FnMut() -> Vec<f64> + use<> {
    let dim = rows.dim() as usize;
    let vector = |row: usize, ones: bool| {
        let (indices, values) = rows.row(row);
        let indices = indices.iter().map(|&i| i as usize).collect();
        CsVec::new(dim, indices, if ones { vec![1.0f32; values.len()] } else { values.to_vec() })
    };
    let vectors: Vec<_> = (0..rows.rows()).map(|row| (vector(row, false), vector(row, true))).collect();
    move || {
        let mut scores = Vec::with_capacity(vectors.len());
        for pair in vectors.chunks_exact(2) {
            let ((a, a_ones), (b, b_ones)) = (&pair[0], &pair[1]);
            let shared = f64::from(a_ones.dot(b_ones));
            let together = (a.nnz() + b.nnz()) as f64 - shared;
            scores.extend([f64::from(a.dot(b)), shared / together]);
        }
        scores
    }
}
