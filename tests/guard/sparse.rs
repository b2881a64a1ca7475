//! Operations on sparse rows: row pointers, indices, values, lists of pairs and scores, each at the edge.

use tensor_kernels::{Measure, Pairs, Similarity, SparseBatch, SparseVec, Thresholds};

use crate::inputs::Csr;
use crate::memory::{Lent, Place};
use crate::sweep::{LONGEST, MOST_ROWS, sweep};

/// The rows that a length stands for.
type Shape = fn(usize) -> Csr;

/// Kinds of rows and the greatest length.
const KINDS: [(Shape, usize); 3] = [
    (Csr::of_long_rows, LONGEST),
    (|count| Csr::of_many_rows(count, 40), MOST_ROWS),
    (|count| Csr::of_many_rows(count, 70_000), MOST_ROWS),
];

/// Rows in their place.
struct Rows {
    dim: u32,
    indptr: Lent<usize>,
    indices: Lent<u32>,
    values: Lent<f32>,
}

impl Rows {
    fn new(place: Place, rows: &Csr) -> Self {
        let (indptr, indices) = (place.copy(&rows.indptr), place.copy(&rows.indices));
        Self { dim: rows.dim, indptr, indices, values: place.copy(&rows.values) }
    }

    fn batch(&self) -> SparseBatch<'_> {
        SparseBatch::view(self.dim, &self.indptr, &self.indices, &self.values).unwrap()
    }
}

/// Scores that backends may round differently.
#[derive(Debug)]
struct Near(Vec<f32>);

impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3;
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(near)
    }
}

#[test]
fn all_pairs() {
    for (rows, longest) in KINDS {
        sweep("all_pairs", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, &rows(length));
            let batch = rows.batch();
            [Similarity::Cosine, Similarity::Jaccard].map(|similarity| {
                [Pairs::of(&batch), Pairs::between(&batch, &batch).unwrap()].map(|pairs| {
                    let listed = kernels.all_pairs(&pairs, similarity, "0.3".parse().unwrap()).unwrap().value;
                    let mut scores = place.copy(&vec![f32::NAN; pairs.count() as usize]);
                    kernels.all_pairs_scores_into(&pairs, similarity, &mut scores).unwrap();
                    (listed, Near(scores.to_vec()))
                })
            })
        });
    }
}

#[test]
fn sparse_pair() {
    for (rows, longest) in KINDS {
        sweep("sparse_pair", longest, 4, |kernels, length, place| {
            let csr = rows(length);
            let rows = Rows::new(place, &csr);
            let (batch, count) = (rows.batch(), csr.indptr.len() as u32 - 1);
            // Every row with some others.
            let pairs: Vec<_> = (0..count).flat_map(|i| [(i, i), (i, i * 7 % count), (0, i)]).collect();
            let (indices, values) = if count > 2 { batch.row(2) } else { (&[][..], &[][..]) };
            let query = SparseVec::new(csr.dim, indices.to_vec(), values.to_vec()).unwrap();
            let bits = |scores: Vec<f64>| scores.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            Measure::ALL.map(|measure| {
                let scores = kernels.sparse_pair(&batch, &batch, &pairs, measure).unwrap().value;
                let many = kernels.sparse_one_to_many(&query, &batch, measure).unwrap().value;
                (bits(scores), bits(many))
            })
        });
    }
}

#[test]
fn delta_and_conflicts() {
    for (rows, longest) in KINDS {
        sweep("delta", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, &rows(length));
            kernels.delta(&rows.batch()).unwrap().value
        });
        sweep("conflict_matrix", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, &rows(length));
            let batch = rows.batch();
            let thresholds = Thresholds::default();
            let triangle = kernels.conflict_matrix((&batch).into(), None, &thresholds).unwrap().value;
            let cross = kernels.conflict_cross((&batch).into(), (&batch).into(), None, &thresholds);
            (triangle, cross.unwrap().value)
        });
    }
}
