//! `all_pairs_scores`: Jaccard indices equal to the last bit on every backend, cosines within their bound.

use proptest::prelude::*;
use tensor_kernels::{KernelError, Pairs, Similarity, SparseBatch};
use tensor_tests::every_backend;

use crate::all_pairs::{batch, skewed};

/// γ₍ₙ₊₄₎ for the positions that two rows share, and half a unit in the last place of the oracle's rounding.
fn bound(shared: usize) -> f64 {
    let n = (shared + 4) as f64 / f64::from(1 << 24);
    n / (1.0 - n) + 1.0 / f64::from(1 << 25)
}

fn check(pairs: &Pairs<'_>) {
    let backends = every_backend().unwrap();
    let scores = |kernels: &tensor_kernels::Kernels, similarity| {
        let mut scores = vec![f32::NAN; usize::try_from(pairs.count()).unwrap()];
        kernels.all_pairs_scores_into(pairs, similarity, &mut scores).unwrap();
        assert_eq!(scores[..], kernels.all_pairs_scores(pairs, similarity).unwrap().value[..], "{kernels:?}");
        scores
    };
    let indices = scores(&backends[0], Similarity::Jaccard);
    let cosines = scores(&backends[0], Similarity::Cosine);
    for kernels in &backends[1..] {
        let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&scores(kernels, Similarity::Jaccard)), bits(&indices), "{kernels:?}");
        let mut near = scores(kernels, Similarity::Cosine).into_iter().zip(&cosines);
        for i in 0..pairs.left().rows() {
            for j in 0..pairs.right().rows() {
                let Some(place) = pairs.place(i, j) else { continue };
                let (got, &expected) = near.next().unwrap();
                assert_eq!(cosines[place as usize].to_bits(), expected.to_bits());
                let a = pairs.left().row(i).0;
                let shared = pairs.right().row(j).0.iter().filter(|k| a.binary_search(k).is_ok()).count();
                let error = (f64::from(got) - f64::from(expected)).abs();
                assert!(error <= bound(shared), "{kernels:?} ({i}, {j}): {got} against {expected}");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_backend_scores_every_pair((dim, rows) in batch(), cut in 0usize..34) {
        let all = SparseBatch::from_rows(dim, &rows).unwrap();
        check(&Pairs::of(&all));
        let (left, right) = rows.split_at(cut.min(rows.len()));
        let (left, right) = (SparseBatch::from_rows(dim, left).unwrap(), SparseBatch::from_rows(dim, right).unwrap());
        check(&Pairs::between(&left, &right).unwrap());
    }
}

#[test]
fn more_rows_than_a_task_or_a_chunk() {
    for (rows, dim, entries) in [(300, 40, 20), (300, 5_000, 30), (700, 60_000, 6)] {
        check(&Pairs::of(&skewed(rows, dim, entries)));
    }
}

#[test]
fn another_number_of_places_is_refused() {
    let batch = skewed(4, 10, 2);
    for kernels in every_backend().unwrap() {
        let refused = kernels.all_pairs_scores_into(&Pairs::of(&batch), Similarity::Cosine, &mut [0.0; 5]);
        let expected = KernelError::LengthMismatch { what: "scores", got: 5, expected: 6 };
        assert_eq!(refused.unwrap_err(), expected);
    }
}
